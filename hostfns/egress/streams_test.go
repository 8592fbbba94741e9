package egress_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// guest asks as one would, through a gate.
type guest struct {
	session *egress.Session
	gate    *hostfns.Gate
}

func (b testBundle) guest(t *testing.T, p egress.Permissions) guest {
	t.Helper()
	if p.Rules == nil {
		p.Rules = []egress.Rule{rule(b.host)}
	}
	if p.Secrets == nil {
		p.Secrets = hostfns.NewRedactor()
	}
	s := b.egress.Session(p)
	t.Cleanup(s.Close)
	return guest{session: s, gate: hostfns.NewGate(hostfns.GateConfig{Funcs: s.Funcs(), Secrets: p.Secrets, Now: time.Now})}
}

// heard is what a guest reads of any of the functions.
type heard struct {
	answer
	Stream int    `json:"stream"`
	Upload int    `json:"upload"`
	Bytes  int    `json:"bytes"`
	End    bool   `json:"end"`
	Ended  bool   `json:"ended"`
	SHA256 string `json:"sha256"`
	chunk  []byte
}

// ask asks, with bytes behind the question.
func (g guest) ask(ctx context.Context, function string, request any, chunk []byte) (heard, error) {
	var got heard
	raw, err := json.Marshal(request)
	if err != nil {
		return got, err
	}
	if chunk != nil {
		raw = append(append(raw, '\n'), chunk...)
	}
	a, err := g.gate.Call(ctx, runtime.Crossing{Func: function, Request: raw})
	if err != nil {
		return got, err
	}
	head, rest, _ := bytes.Cut(a.Response, []byte("\n"))
	result, err := hostfns.Open(head)
	if err != nil {
		return got, err
	}
	got.chunk = rest
	return got, json.Unmarshal(result, &got)
}

func (g guest) must(t *testing.T, function string, request any, chunk []byte) heard {
	t.Helper()
	got, err := g.ask(t.Context(), function, request, chunk)
	if err != nil {
		t.Fatalf("%s %v: %v", function, request, err)
	}
	return got
}

// refused asks for what is refused.
func (g guest) refused(t *testing.T, function string, request any, code hostfns.Code, text string) {
	t.Helper()
	got, err := g.ask(t.Context(), function, request, nil)
	if e, ok := errors.AsType[*hostfns.Error](err); !ok || e.Code != code || !strings.Contains(e.Message, text) {
		t.Errorf("%s %v:\ngot  %+v, %v\nwant %s: ...%s...", function, request, got, err, code, text)
	}
}

type asked = map[string]any

// open asks for a stream.
func (g guest) open(t *testing.T, request asked) int {
	t.Helper()
	request["stream"] = true
	return g.must(t, "http", request, nil).Stream
}

// rest reads a stream to its end, or its error.
func (g guest) rest(ctx context.Context, stream, size int) ([]byte, error) {
	var all []byte
	for {
		got, err := g.ask(ctx, "stream_read", asked{"stream": stream, "max": size}, nil)
		if err != nil {
			return all, err
		}
		sum := sha256.Sum256(got.chunk)
		if got.Bytes != len(got.chunk) || got.SHA256 != hex.EncodeToString(sum[:]) || !got.End && got.Bytes != size {
			return all, errors.New("a chunk is not what is said of it")
		}
		all = append(all, got.chunk...)
		if got.End {
			return all, nil
		}
	}
}

func text(n int) []byte {
	return bytes.Repeat([]byte("0123456789abcde\n"), n/16+1)[:n]
}

func TestStreamGivesABodyInEqualChunks(t *testing.T) {
	t.Parallel()
	content := text(300_001)
	b := setup(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"1"`)
		for from := 0; from < len(content); from += 77_777 {
			_, _ = w.Write(content[from:min(len(content), from+77_777)])
			w.(http.Flusher).Flush()
		}
	}, nil)
	g := b.guest(t, egress.Permissions{})
	for _, size := range []int{1000, 300_001, 1 << 20} {
		got, err := g.rest(t.Context(), g.open(t, get("https://"+b.host)), size)
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("in chunks of %d: got %d bytes and %v, want %d", size, len(got), err, len(content))
		}
	}
	steps := g.gate.Steps()
	if len(steps) != 3 || steps[0].StreamedBytes != int64(len(content)) || strings.Contains(steps[0].Response, "0123") {
		t.Errorf("got %d steps, the first %+v, want 3 that have passed %d bytes", len(steps), steps[0], len(content))
	}
}

func TestStreamIsTheAnswersOfAnyStatus(t *testing.T) {
	t.Parallel()
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		status, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
		w.WriteHeader(status)
		if status != 204 {
			_, _ = io.WriteString(w, "what "+r.Method+" says")
		}
	}, nil)
	g := b.guest(t, egress.Permissions{})
	for path, want := range map[string]string{"/200": "what GET says", "/404": "what GET says", "/503": "what GET says", "/204": ""} {
		if got, err := g.rest(t.Context(), g.open(t, get("https://"+b.host+path)), 100); string(got) != want || err != nil {
			t.Errorf("%s: got %q and %v, want %q", path, got, err, want)
		}
	}
	head := get("https://" + b.host + "/200")
	head["method"] = "HEAD"
	if got, err := g.rest(t.Context(), g.open(t, head), 100); len(got) > 0 || err != nil {
		t.Errorf("HEAD: got %q and %v", got, err)
	}
}

func TestStreamThatIsNotThereIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "ok")
	}, func(c *egress.Config) { c.Streams = 2 })
	g := b.guest(t, egress.Permissions{})
	first := g.open(t, get("https://"+b.host))
	g.refused(t, "stream_read", asked{"stream": 7}, hostfns.CodeInvalidRequest, `"stream" is 7, and there is no such stream in this run`)
	g.refused(t, "stream_read", asked{}, hostfns.CodeInvalidRequest, `"stream" is 0`)
	g.refused(t, "stream_read", asked{"stream": first, "max": 1<<20 + 1}, hostfns.CodeInvalidRequest, `"max" is 1048577: it must be from 1 to 1048576`)
	g.refused(t, "stream_read", asked{"stream": first, "max": -1}, hostfns.CodeInvalidRequest, `"max" is -1`)
	g.refused(t, "stream_read", asked{"strem": first}, hostfns.CodeInvalidRequest, "unknown field")
	g.refused(t, "stream_write", asked{"upload": first}, hostfns.CodeInvalidRequest, "is no upload: it can be read")
	g.refused(t, "stream_finish", asked{"upload": 3}, hostfns.CodeInvalidRequest, "no such stream")
	g.refused(t, "stream_close", asked{"upload": first}, hostfns.CodeInvalidRequest, "is no upload")
	if _, err := g.rest(t.Context(), first, 10); err != nil {
		t.Fatal(err)
	}
	g.refused(t, "stream_read", asked{"stream": first}, hostfns.CodeInvalidRequest, "which was read to its end")
	second := g.open(t, get("https://"+b.host))
	g.must(t, "stream_close", asked{"stream": second}, nil)
	g.refused(t, "stream_read", asked{"stream": second}, hostfns.CodeInvalidRequest, "which was closed")
	g.refused(t, "stream_close", asked{"stream": second}, hostfns.CodeInvalidRequest, "which was closed")
	third := g.open(t, get("https://"+b.host))
	g.must(t, "http", asked{"method": "PUT", "url": "https://" + b.host, "body_stream": third}, nil)
	g.refused(t, "stream_read", asked{"stream": third}, hostfns.CodeInvalidRequest, "which was sent as a body")
	g.refused(t, "http", asked{"method": "PUT", "url": "https://" + b.host, "body_stream": third}, hostfns.CodeInvalidRequest, `"body_stream" is 4, which was sent as a body`[:13])
	up := g.must(t, "http", asked{"method": "PUT", "url": "https://" + b.host, "upload": true}, nil).Upload
	g.refused(t, "stream_read", asked{"stream": up}, hostfns.CodeInvalidRequest, "is an upload: it can be written")
	g.refused(t, "http", asked{"method": "PUT", "url": "https://" + b.host, "upload": true}, hostfns.CodeInvalidRequest, "one at a time")
	g.open(t, get("https://"+b.host))
	over := get("https://" + b.host)
	over["stream"] = true
	g.refused(t, "http", over, hostfns.CodeLimitExceeded, "2 streams are open, which is the limit")
}

func TestStreamsThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, func(http.ResponseWriter, *http.Request) {}, nil)
	g := b.guest(t, egress.Permissions{Idempotency: []egress.IdempotencyRule{{Host: b.host, Header: "Idempotency-Key", TTL: time.Hour}}})
	for _, tt := range []struct {
		change asked
		text   string
	}{
		{asked{"method": "GET", "upload": true}, "a GET has no body"},
		{asked{"method": "GET", "body_stream": 1}, "a GET has no body"},
		{asked{"upload": true, "body": "x"}, "more than one of"},
		{asked{"upload": true, "body_stream": 1}, "more than one of"},
		{asked{"body_stream": 0}, `"body_stream" is 0: it must be the "stream"`},
		{asked{"body_stream": 9}, `"body_stream" is 9, and there is no such stream`},
		{asked{"upload": true, "idempotency_key": "a"}, `"idempotency_key" is there, and the body is streamed`},
		{asked{"upload": true, "headers": asked{"content-length": []string{"-1"}}}, `the header "content-length" is "-1"`},
		{asked{"upload": true, "headers": asked{"transfer-encoding": []string{"chunked"}}}, "is set by the host"},
	} {
		request := asked{"method": "POST", "url": "https://" + b.host}
		maps.Copy(request, tt.change)
		g.refused(t, "http", request, hostfns.CodeInvalidRequest, tt.text)
	}
}

// The ways in which a server can go wrong once it has begun.
func TestStreamEndsWithWhatIsWrong(t *testing.T) {
	t.Parallel()
	hang, bomb, half := make(chan struct{}), gzipped(t, make([]byte, 64<<20)), gzipped(t, text(100_000))
	half = half[:len(half)/2]
	t.Cleanup(func() { close(hang) })
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		begin := func() {
			_, _ = w.Write(text(5000))
			w.(http.Flusher).Flush()
		}
		switch r.URL.Path {
		case "/reset":
			begin()
			panic(http.ErrAbortHandler)
		case "/short":
			w.Header().Set("Content-Length", "9000")
			begin()
			panic(http.ErrAbortHandler)
		case "/idle":
			begin()
			select {
			case <-hang:
			case <-r.Context().Done():
			}
		case "/large":
			w.Header().Set("Content-Length", "2000000")
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := w.Write(text(5000)); err != nil {
					return
				}
			}
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb)
		case "/halfgzip":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(half)
		case "/nogzip":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(text(5000))
		case "/brotli":
			w.Header().Set("Content-Encoding", "br")
			_, _ = w.Write(text(5000))
		}
	}, func(c *egress.Config) { c.Idle, c.StreamBytes = 500*time.Millisecond, 1_000_000 })
	for path, want := range map[string]struct {
		code  hostfns.Code
		text  string
		bytes int
	}{
		"/reset":    {hostfns.CodeNetwork, "ended the connection before its answer was complete", 5000},
		"/short":    {hostfns.CodeNetwork, "ended the connection before its answer was complete", 5000},
		"/idle":     {hostfns.CodeTimeout, "began to stream, and nothing passed for 500ms", 5000},
		"/large":    {hostfns.CodeResponseTooLarge, "over the limit of 1000000 bytes for a body that is streamed", 0},
		"/endless":  {hostfns.CodeResponseTooLarge, "over the limit of 1000000 bytes for a body that is streamed", 1_000_000},
		"/bomb":     {hostfns.CodeResponseTooLarge, "", 1_000_000},
		"/halfgzip": {hostfns.CodeNetwork, "ended the connection before its answer was complete", -1},
		"/nogzip":   {hostfns.CodeNetwork, "answers with broken gzip", 0},
		"/brotli":   {hostfns.CodeNetwork, "cannot be searched for credentials", 0},
	} {
		t.Run(path[1:], func(t *testing.T) {
			t.Parallel()
			g := b.guest(t, egress.Permissions{})
			request := get("https://" + b.host + path)
			request["stream"] = true
			var got []byte
			begun, err := g.ask(t.Context(), "http", request, nil)
			if err == nil {
				got, err = g.rest(t.Context(), begun.Stream, 1000)
			}
			e, ok := errors.AsType[*hostfns.Error](err)
			if !ok || e.Code != want.code || !strings.Contains(e.Message, want.text) || want.bytes >= 0 && len(got) > want.bytes {
				t.Errorf("got %d bytes and %v, want at most %d and %s: %s", len(got), err, want.bytes, want.code, want.text)
			}
			if want.bytes > 0 && len(got) == 0 {
				t.Error("nothing came before it went wrong")
			}
			if begun.Stream > 0 {
				g.refused(t, "stream_read", asked{"stream": begun.Stream}, hostfns.CodeInvalidRequest, "which broke off")
			}
		})
	}
}

func TestStreamOfAGuestThatIsSlowGoesOn(t *testing.T) {
	t.Parallel()
	b := setup(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(text(3 << 20)) },
		func(c *egress.Config) { c.Idle = time.Second })
	g := b.guest(t, egress.Permissions{})
	n := g.open(t, get("https://"+b.host))
	time.Sleep(1500 * time.Millisecond)
	if got, err := g.rest(t.Context(), n, 1<<20); len(got) != 3<<20 || err != nil {
		t.Errorf("got %d bytes and %v", len(got), err)
	}
}

func TestStreamEndsWithTheGuestsCall(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{}, 4)
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(text(5000))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		gone <- struct{}{}
	}, nil)
	g := b.guest(t, egress.Permissions{})
	n := g.open(t, get("https://"+b.host))
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := g.rest(ctx, n, 1<<20); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the end of the call", err)
	}
	<-gone
	// Opened and left: the end of the session ends it.
	g.open(t, get("https://"+b.host))
	g.session.Close()
	<-gone
}

func TestStreamCarriesTheSecretNoWhereHoweverItIsSplit(t *testing.T) {
	t.Parallel()
	var received atomic.Pointer[[]byte]
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			body, _ := io.ReadAll(r.Body)
			received.Store(&body)
			return
		}
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		for range 500 {
			for _, part := range []string{"before ", token[:5], token[5:], " after ", hex.EncodeToString([]byte(token)), "\n"} {
				_, _ = io.WriteString(w, part)
				w.(http.Flusher).Flush()
			}
		}
	}, nil)
	want := strings.Repeat("before [redacted] after [redacted]\n", 500)
	g := b.guest(t, egress.Permissions{Credentials: credentials(token16)})
	got, err := g.rest(t.Context(), g.open(t, using("c", "https://"+b.host)), 13)
	if diff := cmp.Diff(want, string(got)); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	g.must(t, "http", asked{"method": "PUT", "url": "https://" + b.host, "body_stream": g.open(t, using("c", "https://"+b.host))}, nil)
	if body := received.Load(); body == nil || string(*body) != want {
		t.Error("a body that was piped was not searched")
	}
}

func TestStreamsHoldTheirPlaceAmongTheRequestsOfAConnection(t *testing.T) {
	t.Parallel()
	b := setup(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(text(5 << 20)) },
		func(c *egress.Config) { c.PerConnection = 1 })
	g := b.guest(t, egress.Permissions{Credentials: credentials(token16), Pool: "t"})
	n := g.open(t, using("c", "https://"+b.host))
	other := using("c", "https://"+b.host)
	other["timeout_ms"] = 50
	g.refused(t, "http", other, hostfns.CodeTimeout, "is in use by as many requests")
	g.must(t, "stream_close", asked{"stream": n}, nil)
	delete(other, "timeout_ms")
	if got, err := g.rest(t.Context(), g.open(t, other), 1<<20); len(got) != 5<<20 || err != nil {
		t.Errorf("got %d bytes and %v", len(got), err)
	}
}
