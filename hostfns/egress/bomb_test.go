package egress_test

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/metrics"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

// wire answers each request with what write puts on its connection.
func wire(write func(ctx context.Context, c io.Writer)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		// A guest that has had enough closes: the writer is told, and ends.
		ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
		go func() {
			defer cancel()
			io.Copy(io.Discard, conn)
		}()
		write(ctx, conn)
		if c, ok := conn.(interface{ CloseWrite() error }); ok {
			c.CloseWrite()
		}
		<-ctx.Done()
	}
}

// forever writes chunk again and again, with a pause between, until nobody reads.
func forever(head, chunk string, pause time.Duration) http.HandlerFunc {
	return wire(func(ctx context.Context, c io.Writer) {
		io.WriteString(c, head)
		for ctx.Err() == nil {
			if _, err := io.WriteString(c, chunk); err != nil {
				return
			}
			if pause > 0 {
				select {
				case <-ctx.Done():
				case <-time.After(pause):
				}
			}
		}
	})
}

func once(answer string) http.HandlerFunc {
	return wire(func(_ context.Context, c io.Writer) { io.WriteString(c, answer) })
}

func coded(coding string, body []byte) http.HandlerFunc {
	return once(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n%s", coding, len(body), body))
}

func zlibbed(body []byte) []byte {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	w.Write(body)
	w.Close()
	return b.Bytes()
}

func inflatable(body []byte) []byte {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	w.Write(body)
	w.Close()
	return b.Bytes()
}

// bomb is an answer that is meant to hurt.
type bomb struct {
	handler http.HandlerFunc
	// code is what is told; empty for an answer that is one, within the limits.
	code hostfns.Code
	// slow ones may be over in time only, on a machine that is busy.
	slow bool
}

func bombs(t *testing.T) map[string]bomb {
	t.Helper()
	const ok = "HTTP/1.1 200 OK\r\n"
	zeros := make([]byte, 64<<20)
	member := string(gzipped(t, nil))
	tooLarge, network, timeout := hostfns.CodeResponseTooLarge, hostfns.CodeNetwork, hostfns.CodeTimeout
	all := map[string]bomb{
		"gzip, 1 to 1000":            {coded("gzip", gzipped(t, zeros)), tooLarge, false},
		"deflate, 1 to 1000":         {coded("deflate", zlibbed(zeros)), tooLarge, false},
		"bare deflate, 1 to 1000":    {coded("deflate", inflatable(zeros)), tooLarge, false},
		"gzip, within the size":      {coded("gzip", gzipped(t, zeros[:7<<20])), tooLarge, false},
		"gzip in gzip, said":         {coded("gzip, gzip", gzipped(t, gzipped(t, zeros))), network, false},
		"gzip in gzip, unsaid":       {coded("gzip", gzipped(t, gzipped(t, zeros))), "", false},
		"gzip without an end":        {forever(ok+"Content-Encoding: gzip\r\n\r\n", member, 0), tooLarge, true},
		"gzip, cut off":              {coded("gzip", gzipped(t, zeros)[:1000]), network, false},
		"brotli":                     {coded("br", []byte("\xcf\xff\xff\x7f\xf8\x2f\x00\x01")), network, false},
		"zstd, a window of 2 GiB":    {coded("zstd", []byte("\x28\xb5\x2f\xfd\x00\xa8\x03\x00\x00\x00")), network, false},
		"a coding nobody knows":      {coded(strings.Repeat("x", 1000), []byte("x")), network, false},
		"chunks without an end":      {forever(ok+"Transfer-Encoding: chunked\r\n\r\n", "4000\r\n"+strings.Repeat("x", 0x4000)+"\r\n", 0), tooLarge, false},
		"a chunk of 2^63 bytes":      {forever(ok+"Transfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\n", strings.Repeat("x", 1<<14), 0), tooLarge, false},
		"a chunk's extension":        {forever(ok+"Transfer-Encoding: chunked\r\n\r\n1;x=", strings.Repeat("x", 1<<14), 0), network, false},
		"chunks of a byte":           {forever(ok+"Transfer-Encoding: chunked\r\n\r\n", strings.Repeat("1\r\nx\r\n", 1<<10), 0), tooLarge, true},
		"trailers without an end":    {forever(ok+"Transfer-Encoding: chunked\r\n\r\n0\r\n", "X: "+strings.Repeat("x", 1<<10)+"\r\n", 0), network, false},
		"a byte at a time":           {forever(ok+"\r\n", "x", 20*time.Millisecond), timeout, false},
		"headers, a byte at a time":  {forever(ok+"X: ", "x", 20*time.Millisecond), timeout, false},
		"nothing at all":             {forever("", "", time.Hour), timeout, false},
		"nothing after the headers":  {forever(ok+"Content-Length: 10\r\n\r\n", "", time.Hour), timeout, false},
		"informational, for ever":    {forever("", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", 0), tooLarge, false},
		"100 Continue, for ever":     {forever("", "HTTP/1.1 100 Continue\r\n\r\n", 0), tooLarge, false},
		"a header of 10 MB":          {once(ok + "X: " + strings.Repeat("x", 10<<20) + "\r\n\r\n"), tooLarge, false},
		"a header without an end":    {forever(ok+"X: ", strings.Repeat("x", 1<<14), 0), tooLarge, false},
		"10,000 headers":             {once(ok + strings.Repeat("X: y\r\n", 10_000) + "\r\n"), tooLarge, false},
		"a status line of 10 MB":     {once("HTTP/1.1 200 " + strings.Repeat("x", 10<<20) + "\r\n\r\n"), tooLarge, false},
		"less than it said":          {once(ok + "Content-Length: 8000000\r\n\r\nx"), network, false},
		"more than it said":          {once(ok + "Content-Length: 1\r\n\r\nxy" + strings.Repeat("z", 1<<20)), "", false},
		"a length that is too large": {once(ok + "Content-Length: 9223372036854775807\r\n\r\nx"), tooLarge, false},
		"a length that is negative":  {once(ok + "Content-Length: -1\r\n\r\nx"), network, false},
		"two lengths":                {once(ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy"), network, false},
		"two framings":               {once(ok + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"), "", false},
		"two transfer codings":       {once(ok + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), network, false},
		"a body that never ends":     {forever(ok+"\r\n", strings.Repeat("x", 1<<14), 0), tooLarge, false},
		"101, and then for ever":     {forever("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", strings.Repeat("x", 1<<14), 0), network, false},
		"HTTP/2, unasked":            {forever("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x08", 0), network, false},
		"HTTP/0.9":                   {once("hello"), network, false},
		"a charset that is none":     {once(ok + "Content-Type: text/html; charset=\"\xff\xfe\r\nContent-Length: 4\r\n\r\n\xff\xfe\x00\xd8"), "", false},
		"a header with a NUL":        {once(ok + "X: a\x00b\r\n\r\n"), network, false},
		"a header's name with one":   {once(ok + "X\x00Y: a\r\n\r\n"), network, false},
		"a redirect with a body":     {forever("HTTP/1.1 302 Found\r\nLocation: /again\r\n\r\n", strings.Repeat("x", 1<<14), 0), hostfns.CodeLimitExceeded, false},
		"a 204 with a body":          {forever("HTTP/1.1 204 No Content\r\n\r\n", strings.Repeat("x", 1<<14), 0), "", false},
	}
	return all
}

// TestHTTPSurvivesBombs measures memory, and so runs by itself.
func TestHTTPSurvivesBombs(t *testing.T) { //nolint:paralleltest // It measures memory.
	for name, bomb := range bombs(t) { //nolint:paralleltest // Likewise.
		t.Run(name, func(t *testing.T) {
			b := setup(t, bomb.handler, func(c *egress.Config) { c.Timeout, c.Idle = time.Second, 500*time.Millisecond })
			measured := peak(t)
			start := time.Now()
			a, told := do(t, b.session(), get("https://"+b.host))
			took, extra := time.Since(start), measured()
			switch {
			case bomb.slow && told != nil && told.Code == hostfns.CodeTimeout:
			case told == nil && bomb.code != "", told != nil && told.Code != bomb.code:
				t.Errorf("got %v %v, want %q", a.Status, told, bomb.code)
			case took > 2*time.Second:
				t.Errorf("it took %s", took)
			case extra > 64<<20:
				t.Errorf("it took %d MB of memory", extra>>20)
			}
			t.Logf("%d KB, %s", extra>>10, took.Round(time.Millisecond))
		})
	}
}

// peak measures by how much the heap grows at most until it is asked.
func peak(t *testing.T) func() uint64 {
	t.Helper()
	heap := func() uint64 {
		s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	before := heap()
	var most atomic.Uint64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			most.Store(max(most.Load(), heap()))
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	return func() uint64 {
		close(stop)
		<-stopped
		return max(most.Load(), before) - before
	}
}

func TestHTTPSurvivesAHandshakeThatNeverEnds(t *testing.T) {
	t.Parallel()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	out := newEgress(t, egress.Config{AllowAddrs: loopback(), Timeout: 200 * time.Millisecond})
	host := l.Addr().String()
	wantError(t, named(out, host), get("https://"+host), hostfns.CodeTimeout, "")
}

// TestHTTPTakesNoAnswerThatWasNotAskedFor: what a server sends beyond its answer is not
// the next one's, though the connection is kept.
func TestHTTPTakesNoAnswerThatWasNotAskedFor(t *testing.T) {
	t.Parallel()
	const poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
	b := setup(t, once("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"+poison), nil)
	for range 5 {
		s := b.egress.Session(egress.Permissions{Rules: []egress.Rule{rule(b.host)}, Pool: "t"})
		if got := must(t, s, get("https://"+b.host)).text(); got != "good" {
			t.Errorf("got %q", got)
		}
	}
}

func TestHTTPUnpacksDeflate(t *testing.T) {
	t.Parallel()
	text := []byte(strings.Repeat("hello, ", 1000))
	for name, body := range map[string][]byte{"in zlib's format": zlibbed(text), "bare": inflatable(text)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, coded("Deflate", body), nil)
			a := must(t, b.session(), get("https://"+b.host))
			if a.text() != string(text) || a.Headers["content-encoding"] != nil {
				t.Errorf("got %d bytes with %v", len(a.text()), a.Headers)
			}
		})
	}
	t.Run("of nothing", func(t *testing.T) {
		t.Parallel()
		b := setup(t, coded("deflate", nil), nil)
		if a := must(t, b.session(), get("https://"+b.host)); a.text() != "" {
			t.Errorf("got %q", a.text())
		}
	})
	t.Run("that is none", func(t *testing.T) {
		t.Parallel()
		b := setup(t, coded("deflate", []byte("\xff\xff\xff\xff")), nil)
		wantError(t, b.session(), get("https://"+b.host), hostfns.CodeNetwork, "broken")
	})
}
