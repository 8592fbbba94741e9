package egress_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	goruntime "runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

// sink keeps what it is sent: of each request its body, and what ended that.
type sink struct {
	mu     sync.Mutex
	bodies []string
	ends   []error
	length []int64
	came   chan struct{}
}

func newSink() *sink { return &sink{came: make(chan struct{}, 16)} }

func (k *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	k.mu.Lock()
	k.bodies, k.ends, k.length = append(k.bodies, string(body)), append(k.ends, err), append(k.length, r.ContentLength)
	k.mu.Unlock()
	k.came <- struct{}{}
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, "got it")
}

func (k *sink) last() (body string, length int64, ended error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := len(k.bodies) - 1
	return k.bodies[n], k.length[n], k.ends[n]
}

func put(b testBundle) asked { return asked{"method": "PUT", "url": "https://" + b.host} }

func (g guest) upload(t *testing.T, request asked) int {
	t.Helper()
	request["upload"] = true
	return g.must(t, "http", request, nil).Upload
}

func TestUploadSendsWhatIsWritten(t *testing.T) {
	t.Parallel()
	k := newSink()
	b := setup(t, k.ServeHTTP, nil)
	for _, declared := range []bool{false, true} {
		g := b.guest(t, egress.Permissions{})
		request, wantLength := put(b), int64(-1)
		if declared {
			request["headers"], wantLength = asked{"content-length": []string{"300000"}}, 300_000
		}
		n := g.upload(t, request)
		for range 3 {
			if g.must(t, "stream_write", asked{"upload": n}, text(100_000)).Ended {
				t.Fatal("it ended while it was read")
			}
		}
		g.must(t, "stream_write", asked{"upload": n}, []byte{})
		got := g.must(t, "stream_finish", asked{"upload": n}, nil)
		body, length, ended := k.last()
		want := bytes.Repeat(text(100_000), 3)
		if got.Status != http.StatusCreated || got.text() != "got it" || body != string(want) || ended != nil || length != wantLength {
			t.Errorf("got %d %q, and the server %d bytes of %d with %v", got.Status, got.text(), len(body), length, ended)
		}
		g.refused(t, "stream_write", asked{"upload": n}, hostfns.CodeInvalidRequest, "which was finished")
		g.refused(t, "stream_finish", asked{"upload": n}, hostfns.CodeInvalidRequest, "which was finished")
		if s := g.gate.Steps(); s[0].StreamedBytes != 300_000 || len(s) != 3 {
			t.Errorf("got %d steps, the first %+v", len(s), s[0])
		}
	}
}

func TestUploadThatIsNotFinishedNeverPassesForWhole(t *testing.T) {
	t.Parallel()
	k := newSink()
	b := setup(t, k.ServeHTTP, func(c *egress.Config) { c.StreamBytes = 250_000 })
	begin := func(t *testing.T, change asked) (guest, int) {
		t.Helper()
		g := b.guest(t, egress.Permissions{})
		request := put(b)
		maps.Copy(request, change)
		n := g.upload(t, request)
		g.must(t, "stream_write", asked{"upload": n}, text(100_000))
		return g, n
	}
	for name, end := range map[string]func(t *testing.T){
		"closed by the guest": func(t *testing.T) {
			t.Helper()
			g, n := begin(t, nil)
			g.must(t, "stream_close", asked{"upload": n}, nil)
		},
		"left by the guest": func(t *testing.T) {
			t.Helper()
			g, _ := begin(t, nil)
			g.session.Close()
		},
		"shorter than was said": func(t *testing.T) {
			t.Helper()
			g, n := begin(t, asked{"headers": asked{"content-length": []string{"200000"}}})
			g.refused(t, "stream_finish", asked{"upload": n}, hostfns.CodeInvalidRequest, `the body has 100000 bytes, and "content-length" is 200000`)
		},
	} {
		end(t)
		<-k.came
		if body, _, ended := k.last(); ended == nil {
			t.Errorf("%s: the server took %d bytes for all of it", name, len(body))
		}
	}
	g, n := begin(t, asked{"headers": asked{"content-length": []string{"100001"}}})
	if _, err := g.ask(t.Context(), "stream_write", asked{"upload": n}, text(2)); err == nil {
		t.Error("more than was said was taken")
	}
	g.session.Close()
	<-k.came
	g, n = begin(t, nil)
	g.must(t, "stream_write", asked{"upload": n}, text(150_000))
	_, err := g.ask(t.Context(), "stream_write", asked{"upload": n}, text(1))
	if e, ok := errors.AsType[*hostfns.Error](err); !ok || e.Code != hostfns.CodeLimitExceeded {
		t.Errorf("got %v, want the limit", err)
	}
	if _, err := g.ask(t.Context(), "stream_write", asked{"upload": n}, text(1<<20+1)); err == nil {
		t.Error("a chunk over the limit was taken")
	}
}

func TestUploadThatIsAnsweredEarlyEnds(t *testing.T) {
	t.Parallel()
	b := setup(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, "too large")
	}, nil)
	g := b.guest(t, egress.Permissions{})
	n := g.upload(t, put(b))
	ended := false
	for i := 0; i < 100 && !ended; i++ {
		ended = g.must(t, "stream_write", asked{"upload": n}, text(1<<20)).Ended
	}
	got, err := g.ask(t.Context(), "stream_finish", asked{"upload": n}, nil)
	if !ended || err == nil && got.Status != http.StatusRequestEntityTooLarge {
		t.Errorf("ended %t; got %d and %v", ended, got.Status, err)
	}
}

func TestUploadToWhoTakesNothingEnds(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	b := setup(t, func(http.ResponseWriter, *http.Request) { <-hang }, func(c *egress.Config) { c.Idle = 200 * time.Millisecond })
	t.Cleanup(func() { close(hang) })
	g := b.guest(t, egress.Permissions{})
	n := g.upload(t, put(b))
	ended := false
	for i := 0; i < 100 && !ended; i++ {
		ended = g.must(t, "stream_write", asked{"upload": n}, text(1<<20)).Ended
	}
	if !ended {
		t.Error("100 MiB were written to a server that reads nothing")
	}
	g.refused(t, "stream_finish", asked{"upload": n}, hostfns.CodeTimeout, "nothing passed for 200ms")
}

func TestUploadToWhoDoesNotAnswerEndsInTime(t *testing.T) {
	t.Parallel()
	b := setup(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}, nil)
	g := b.guest(t, egress.Permissions{})
	request := put(b)
	request["timeout_ms"] = 300
	n := g.upload(t, request)
	g.must(t, "stream_write", asked{"upload": n}, text(1000))
	g.refused(t, "stream_finish", asked{"upload": n}, hostfns.CodeTimeout, "did not answer in time: 300 ms")
}

func TestUploadOfWhoHasLostTheLeaseSendsNothing(t *testing.T) {
	t.Parallel()
	k := newSink()
	b := setup(t, k.ServeHTTP, nil)
	var lost atomic.Bool
	g := b.guest(t, egress.Permissions{Held: func() bool { return !lost.Load() }})
	n := g.upload(t, put(b))
	g.must(t, "stream_write", asked{"upload": n}, text(1000))
	lost.Store(true)
	if _, err := g.ask(t.Context(), "stream_write", asked{"upload": n}, text(1000)); !errors.Is(err, egress.ErrNotHeld) {
		t.Errorf("got %v, want the end of the run", err)
	}
	g.session.Close()
	<-k.came
	if _, _, ended := k.last(); ended == nil {
		t.Error("the server took it for all")
	}
}

func TestUploadIsRedirectedOnlyToItsAnswer(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]bool{http.StatusSeeOther: true, http.StatusTemporaryRedirect: false, http.StatusPermanentRedirect: false} {
		b := setup(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if r.Method == http.MethodPut {
				http.Redirect(w, r, "/result", status)
				return
			}
			_, _ = w.Write(text(100))
		}, nil)
		g := b.guest(t, egress.Permissions{})
		request := put(b)
		request["stream"] = true
		n := g.upload(t, request)
		g.must(t, "stream_write", asked{"upload": n}, text(1000))
		if !want {
			g.refused(t, "stream_finish", asked{"upload": n}, hostfns.CodeDenied, "cannot be sent again")
			continue
		}
		got := g.must(t, "stream_finish", asked{"upload": n}, nil)
		if body, err := g.rest(t.Context(), got.Stream, 10); !bytes.Equal(body, text(100)) || err != nil {
			t.Errorf("got %q and %v", body, err)
		}
	}
}

func TestPipePassesABodyOnAsItIs(t *testing.T) {
	t.Parallel()
	k := newSink()
	target := setup(t, k.ServeHTTP, nil)
	from := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/whole":
			w.Header().Set("Content-Length", "200000")
			_, _ = w.Write(text(200_000))
		case "/broken":
			_, _ = w.Write(text(100_000))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(from.Close)
	host := from.Listener.Addr().String()
	g := target.guest(t, egress.Permissions{Rules: []egress.Rule{rule(target.host), rule(host)}})

	n := g.open(t, get("http://"+host+"/whole"))
	if got := g.must(t, "stream_read", asked{"stream": n, "max": 50}, nil); !bytes.Equal(got.chunk, text(50)) {
		t.Errorf("got %q", got.chunk)
	}
	request := put(target)
	request["body_stream"], request["headers"] = n, asked{"content-length": []string{"199950"}}
	got := g.must(t, "http", request, nil)
	if body, length, ended := k.last(); got.text() != "got it" || body != string(text(200_000)[50:]) || ended != nil || length != 199_950 {
		t.Errorf("got %q, and the server %d bytes of %d and %v", got.text(), len(body), length, ended)
	}
	if s := g.gate.Steps(); s[0].StreamedBytes != 200_000 || s[len(s)-1].StreamedBytes != 199_950 {
		t.Errorf("got the steps %+v", s)
	}

	request = put(target)
	request["body_stream"] = g.open(t, get("http://"+host+"/whole"))
	g.must(t, "http", request, nil)
	if _, length, _ := k.last(); length != 200_000 {
		t.Errorf("got the length %d, which the answer had said", length)
	}

	request = put(target)
	request["body_stream"] = g.open(t, get("http://"+host+"/broken"))
	g.refused(t, "http", request, hostfns.CodeNetwork, "http://"+host+" ended the connection before its answer was complete")
	for range 3 {
		<-k.came
	}
	if body, _, ended := k.last(); ended == nil {
		t.Errorf("the server took %d bytes for all of it", len(body))
	}
}

// hashed sums up what it is given, and counts it.
type hashed struct {
	hash.Hash
	n atomic.Int64
}

func (h *hashed) Write(p []byte) (int, error) {
	h.n.Add(int64(len(p)))
	return h.Hash.Write(p)
}

// What goes through in chunks is in memory a chunk at a time. Each way is measured by
// itself, over what the test holds anyway.
func TestStreamsTakeLittleMemory(t *testing.T) { //nolint:paralleltest // It measures the process.
	const size, most = 64 << 20, 4 << 20
	received := &hashed{Hash: sha256.New()}
	source := func(to io.Writer) {
		piece := text(64 << 10)
		for range size / len(piece) {
			if _, err := to.Write(piece); err != nil {
				return
			}
		}
	}
	want := sha256.New()
	source(want)
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			source(w)
			return
		}
		received.Reset()
		_, _ = io.CopyBuffer(struct{ io.Writer }{received}, struct{ io.Reader }{r.Body}, make([]byte, 32<<10))
	}, nil)
	secrets := hostfns.NewRedactor("a secret that is looked for everywhere")
	g := b.guest(t, egress.Permissions{Secrets: secrets})
	check := func(name string, sum []byte, peak uint64) {
		t.Helper()
		if !bytes.Equal(sum, want.Sum(nil)) {
			t.Errorf("%s: what came is not what was sent", name)
		}
		t.Logf("%s: %d KiB at most", name, peak>>10)
		if peak > most {
			t.Errorf("%s: it took %d bytes, and %d at most is right", name, peak, most)
		}
	}
	peak := measured()
	sum, n := sha256.New(), g.open(t, get("https://"+b.host))
	for end := false; !end; {
		got := g.must(t, "stream_read", asked{"stream": n}, nil)
		sum.Write(got.chunk)
		end = got.End
		peak.look()
	}
	check("down", sum.Sum(nil), peak.most)

	peak = measured()
	request := put(b)
	request["body_stream"] = g.open(t, get("https://"+b.host))
	stop := peak.watch()
	g.must(t, "http", request, nil)
	stop()
	check("across", received.Sum(nil), peak.most)

	peak = measured()
	n = g.upload(t, put(b))
	piece := text(1 << 20)
	for range size / len(piece) {
		g.must(t, "stream_write", asked{"upload": n}, piece)
		peak.look()
	}
	g.must(t, "stream_finish", asked{"upload": n}, nil)
	check("up", received.Sum(nil), peak.most)
}

// growth is by how much the heap has grown at most, of what is in use after a collection.
type growth struct {
	before, most uint64
	looks        int
}

func measured() *growth { return &growth{before: inUse()} }

func inUse() uint64 {
	goruntime.GC()
	var m goruntime.MemStats
	goruntime.ReadMemStats(&m)
	return m.HeapAlloc
}

func (p *growth) look() {
	if p.looks++; p.looks%8 != 1 {
		return
	}
	if now := inUse(); now > p.before {
		p.most = max(p.most, now-p.before)
	}
}

// watch looks all the time, until it is stopped.
func (p *growth) watch() (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
				p.look()
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}
