package journal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// shelf is a server with one body, which keeps what it is sent.
type shelf struct {
	url string

	mu       sync.Mutex
	body     []byte
	etag     string
	status   int
	requests []string
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	s := &shelf{body: bytes.Repeat([]byte("0123456789"), 1000), etag: `"1"`, status: http.StatusOK}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	sent, err := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	line := fmt.Sprintf("%s %d", r.Method, len(sent))
	if err != nil {
		line += " cut off"
	}
	s.requests = append(s.requests, line)
	if s.etag != "" {
		w.Header().Set("ETag", s.etag)
	}
	w.WriteHeader(s.status)
	if r.Method == http.MethodGet || strings.HasSuffix(r.URL.Path, "/export") {
		_, _ = w.Write(s.body)
	}
}

func (s *shelf) set(change func(*shelf)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// took are the requests that came, those of a kind.
func (s *shelf) took(method string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.requests), func(line string) bool { return !strings.HasPrefix(line, method) })
}

// streamRun is one run of an execution that streams.
type streamRun struct {
	t       *testing.T
	journal *journal.Journal
	gate    *hostfns.Gate
	session *egress.Session
}

// runs makes runs, of an execution whose journal is kept by w.
func (s *shelf) runs(t *testing.T, w *world, out *egress.Egress) *streamRun {
	t.Helper()
	w.claim++
	j := journal.New(journal.Config{
		Entries: slices.Clone(w.store.entries), Start: epoch, Now: w.clock, Claim: w.claim, Execution: "exe_1", Log: w.store,
	})
	session := out.Session(egress.Permissions{Rules: []egress.Rule{{
		Host: strings.TrimPrefix(s.url, "http://"), Methods: []string{"GET", "POST", "PUT"},
	}}})
	t.Cleanup(session.Close)
	return &streamRun{t: t, journal: j, session: session, gate: hostfns.NewGate(hostfns.GateConfig{
		Funcs: session.Funcs(), Journal: j.Outer, Layers: []hostfns.Layer{j.Inner}, Now: w.clock,
	})}
}

// ask gives what the guest is told, with the bytes that follow it.
func (r *streamRun) ask(function, request string, chunk ...byte) (string, error) {
	raw := []byte(request)
	if chunk != nil {
		raw = append(append(raw, '\n'), chunk...)
	}
	a, err := r.gate.Call(r.t.Context(), runtime.Crossing{Func: function, Request: raw})
	return string(a.Response), err
}

func (r *streamRun) must(function, request string, chunk ...byte) string {
	r.t.Helper()
	told, err := r.ask(function, request, chunk...)
	if err != nil || !strings.HasPrefix(told, `{"result"`) {
		r.t.Fatalf("%s %s: %s, %v", function, request, told, err)
	}
	return told
}

// keep has the store keep what there is, as a crash would find it that comes now.
func (r *streamRun) keep() {
	r.t.Helper()
	if err := r.journal.Flush(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *streamRun) crash() { r.session.Close() }

func newEgress(t *testing.T) *egress.Egress {
	t.Helper()
	out := egress.New(egress.Config{AllowAddrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	t.Cleanup(out.Close)
	return out
}

func request(method, url, more string) string {
	return fmt.Sprintf(`{"method":%q,"url":%q%s}`, method, url, more)
}

const read = `{"stream":1,"max":1000}`

func TestDownloadIsFetchedAgainAndComparedWhenARunIsMadeAgain(t *testing.T) {
	t.Parallel()
	s, w, out := newShelf(t), newWorld(), newEgress(t)
	script := func(r *streamRun) (all []string) {
		all = append(all, r.must("http", request("GET", s.url, `,"stream":true`)))
		for range 3 {
			all = append(all, r.must("stream_read", read))
		}
		return append(all, r.must("http", request("POST", s.url, `,"body":"x"`)))
	}
	first := s.runs(t, w, out)
	told := script(first)
	first.keep()
	first.crash()
	kept := w.store.entries
	for _, e := range kept {
		if bytes.Contains(e.Answer, []byte("0123456789012345678901234567890123456789")) {
			t.Errorf("entry %d has bytes of the body: %s", e.Ordinal, e.Answer)
		}
	}
	second := s.runs(t, w, out)
	if diff := cmp.Diff(told, script(second)); diff != "" {
		t.Errorf("the guest is told something else (-first +again):\n%s", diff)
	}
	rest := 0
	for end := false; !end; rest++ {
		end = strings.Contains(second.must("stream_read", read), `"end":true`)
	}
	if rest != 8 { // Seven whole chunks, and the end.
		t.Errorf("there were %d more chunks, want 8", rest)
	}
	if diff := cmp.Diff([]string{"GET 0", "POST 1", "GET 0"}, s.took("")); diff != "" {
		t.Errorf("the server was asked (-want +got):\n%s", diff)
	}
	// What is not read again is not fetched again.
	third := s.runs(t, w, out)
	third.must("http", request("GET", s.url, `,"stream":true`))
	if n := len(s.took("GET")); n != 2 {
		t.Errorf("it was fetched %d times, want 2", n)
	}
}

func TestDownloadThatHasChangedEndsTheRun(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*shelf)
		method string
		want   error
		text   string
	}{
		"another etag":                 {func(s *shelf) { s.etag = `"2"` }, "GET", hostfns.ErrChanged, `its "etag" was "\"1\"" and is "\"2\""`},
		"another status":               {func(s *shelf) { s.status = 404 }, "GET", hostfns.ErrChanged, "its status was 200 and is 404"},
		"other bytes, no less":         {func(s *shelf) { s.body[500] = 'x' }, "GET", hostfns.ErrChanged, "a chunk of 1000 bytes has the digest"},
		"fewer bytes":                  {func(s *shelf) { s.body = s.body[:700] }, "GET", hostfns.ErrChanged, "a chunk of 700 bytes has the digest"},
		"the answer to what is unsafe": {func(*shelf) {}, "POST", hostfns.ErrChanged, "it answered a POST"},
		"nobody there":                 {func(s *shelf) { s.status = 500 }, "GET", hostfns.ErrChanged, "its status was 200 and is 500"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, w, out := newShelf(t), newWorld(), newEgress(t)
			script := func(r *streamRun) (string, error) {
				r.must("http", request(tt.method, s.url+"/export", `,"stream":true`))
				return r.ask("stream_read", read)
			}
			first := s.runs(t, w, out)
			if _, err := script(first); err != nil {
				t.Fatal(err)
			}
			first.keep()
			first.crash()
			s.set(tt.change)
			_, err := script(s.runs(t, w, out))
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v, want %v: ...%s...", err, tt.want, tt.text)
			}
		})
	}
}

func TestDownloadThatCannotBeFetchedAgainEndsTheRunForNow(t *testing.T) {
	t.Parallel()
	s, w := newShelf(t), newWorld()
	first := s.runs(t, w, newEgress(t))
	first.must("http", request("GET", s.url, `,"stream":true`))
	first.must("stream_read", read)
	first.keep()
	first.crash()
	away := egress.New(egress.Config{}) // There is no way to the server any more.
	t.Cleanup(away.Close)
	again := s.runs(t, w, away)
	again.must("http", request("GET", s.url, `,"stream":true`))
	_, err := again.ask("stream_read", read)
	if e, ok := errors.AsType[*hostfns.RefetchError](err); !ok || !strings.Contains(e.Error(), "plain http") {
		t.Errorf("got %v", err)
	}
}

// upload writes two chunks, and finishes.
func (s *shelf) upload(r *streamRun, method string) error {
	r.must("http", request(method, s.url, `,"upload":true`))
	for range 2 {
		if _, err := r.ask("stream_write", `{"upload":1}`, bytes.Repeat([]byte("u"), 100)...); err != nil {
			return err
		}
	}
	_, err := r.ask("stream_finish", `{"upload":1}`)
	return err
}

func TestUploadThatWasFinishedIsNotSentAgain(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"POST", "PUT"} {
		s, w, out := newShelf(t), newWorld(), newEgress(t)
		for range 2 {
			r := s.runs(t, w, out)
			if err := s.upload(r, method); err != nil {
				t.Fatal(err)
			}
			r.keep()
			r.crash()
		}
		if diff := cmp.Diff([]string{method + " 200"}, s.took("")); diff != "" {
			t.Errorf("the server was asked (-want +got):\n%s", diff)
		}
		open, finish := w.store.entries[1], w.store.entries[4]
		if open.Outcome != hostfns.Done || open.GoesOn || finish.Of != 1 || finish.Effect != hostfns.Read {
			t.Errorf("%s: the journal has %+v and %+v", method, open, finish)
		}
		for _, e := range w.store.entries[2:4] {
			if string(e.Request) != `{"upload":1}` || e.Digest == journal.DigestOf(e.Request) {
				t.Errorf("%s: a chunk is kept as %q", method, e.Request)
			}
		}
	}
}

func TestUploadThatIsCutIsAmbiguousOrMadeAgain(t *testing.T) {
	t.Parallel()
	for _, ending := range []journal.Ending{journal.Interrupted, journal.Passing, journal.Raised} {
		for _, method := range []string{"POST", "PUT"} {
			s, w, out := newShelf(t), newWorld(), newEgress(t)
			r := s.runs(t, w, out)
			r.must("http", request(method, s.url, `,"upload":true`))
			r.must("stream_write", `{"upload":1}`, []byte("some")...)
			r.keep()
			r.crash()
			next := journal.After(w.store.entries, journal.Failure{Ending: ending})
			if method == "POST" {
				if !next.Dead || next.Ambiguous == nil || next.Ambiguous.Ordinal != 1 {
					t.Errorf("ending %d of a POST: got %+v", ending, next)
				}
				asked := journal.After(w.store.entries, journal.Failure{Ending: ending, Confirm: true})
				if !asked.Confirm || len(asked.Entries) != 2 {
					t.Errorf("ending %d of a POST, with confirm: got %+v", ending, asked)
				}
				continue
			}
			if next.Dead || len(next.Entries) != 2 || !next.Entries[1].Again || next.Entries[1].GoesOn {
				t.Fatalf("ending %d of a PUT: got %+v", ending, next)
			}
			w.store.entries = next.Entries
			again := s.runs(t, w, out)
			if err := s.upload(again, method); err != nil {
				t.Fatal(err)
			}
			if took := s.took(""); took[len(took)-1] != "PUT 200" {
				t.Errorf("the server was asked %v", took)
			}
		}
	}
}

func TestUploadWhoseAnswerSaysNoIsMadeAgainAsAWhole(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]func(journal.Next) bool{
		429: func(n journal.Next) bool {
			return len(n.Entries) == 2 && n.Entries[1].Again && n.Entries[1].Outcome == hostfns.NotDone
		},
		503: func(n journal.Next) bool { return n.Dead && n.Ambiguous != nil && n.Ambiguous.Ordinal == 1 },
		200: func(n journal.Next) bool { return n.Dead && n.Ambiguous == nil },
	} {
		s, w, out := newShelf(t), newWorld(), newEgress(t)
		s.status = status
		r := s.runs(t, w, out)
		if err := s.upload(r, "POST"); err != nil {
			t.Fatal(err)
		}
		if next := journal.After(r.journal.Entries(), journal.Failure{Ending: journal.Passing}); !want(next) {
			t.Errorf("after %d: got %+v", status, next)
		}
		// After a crash the guest is told the same, and nothing is sent.
		if next := journal.After(r.journal.Entries(), journal.Failure{}); len(next.Entries) != 5 {
			t.Errorf("after %d and a crash: got %+v", status, next)
		}
		if next := journal.Revive(r.journal.Entries()); status == 200 && len(next) != 5 {
			t.Errorf("revived, it has %d entries", len(next))
		}
	}
}

func TestUploadThatIsGivenUpIsSo(t *testing.T) {
	t.Parallel()
	s, w, out := newShelf(t), newWorld(), newEgress(t)
	r := s.runs(t, w, out)
	r.must("http", request("POST", s.url, `,"upload":true`))
	r.must("stream_write", `{"upload":1}`, []byte("some")...)
	r.must("stream_close", `{"upload":1}`)
	r.must("http", request("POST", s.url, `,"body":"x"`))
	r.keep()
	if e := r.journal.Entries()[1]; e.Outcome != hostfns.Unknown || e.GoesOn {
		t.Errorf("got %+v", e)
	}
	// What the guest did in spite of it is done.
	if next := journal.After(w.store.entries, journal.Failure{}); len(next.Entries) != len(w.store.entries) {
		t.Errorf("got %+v", next)
	}
}

func TestWhileAnUploadIsOpenNothingElseIsChanged(t *testing.T) {
	t.Parallel()
	s, w, out := newShelf(t), newWorld(), newEgress(t)
	r := s.runs(t, w, out)
	r.must("http", request("POST", s.url, `,"upload":true`))
	for _, method := range []string{"POST", "PUT"} {
		if told, err := r.ask("http", request(method, s.url, `,"body":"x"`)); err != nil || !strings.Contains(told, "nothing else can be changed meanwhile") {
			t.Errorf("%s: got %s and %v", method, told, err)
		}
	}
	r.must("http", request("GET", s.url, ""))
	r.must("stream_finish", `{"upload":1}`)
	r.must("http", request("POST", s.url, `,"body":"x"`))
	if diff := cmp.Diff([]string{"POST 0", "POST 1"}, s.took("POST")); diff != "" {
		t.Errorf("the server was asked (-want +got):\n%s", diff)
	}
}

func TestUploadOfSomethingElseThanBeforeIsADivergence(t *testing.T) {
	t.Parallel()
	s, w, out := newShelf(t), newWorld(), newEgress(t)
	first := s.runs(t, w, out)
	if err := s.upload(first, "POST"); err != nil {
		t.Fatal(err)
	}
	first.keep()
	again := s.runs(t, w, out)
	again.must("http", request("POST", s.url, `,"upload":true`))
	_, err := again.ask("stream_write", `{"upload":1}`, bytes.Repeat([]byte("v"), 100)...)
	diverged, ok := errors.AsType[*journal.DivergedError](err)
	if !ok || diverged.Effect == nil || diverged.Effect.Ordinal != 1 || string(diverged.Request) != `{"upload":1}` {
		t.Errorf("got %v", err)
	}
}

func TestUploadOfWhichSomebodyHasFoundOutIsMadeForNobody(t *testing.T) {
	t.Parallel()
	s, w, out := newShelf(t), newWorld(), newEgress(t)
	first := s.runs(t, w, out)
	first.must("http", request("POST", s.url, `,"upload":true`))
	first.keep()
	first.crash()
	next := journal.After(w.store.entries, journal.Failure{Confirm: true})
	w.store.entries = journal.Settle(next.Entries, json.RawMessage(`{"status":201,"headers":{},"body":"found"}`), true, epoch, 2)
	came := len(s.took(""))
	again := s.runs(t, w, out)
	if told := again.must("http", request("POST", s.url, `,"upload":true`)); told != `{"result":{"upload":1}}` {
		t.Errorf("it begins with %s", told)
	}
	again.must("stream_write", `{"upload":1}`, []byte("some")...)
	if told := again.must("stream_finish", `{"upload":1}`); !strings.Contains(told, `"body":"found"`) {
		t.Errorf("it ends with %s", told)
	}
	if n := len(s.took("")); n != came {
		t.Errorf("%d requests were made", n-came)
	}
}

func TestPipeThatIsDoneIsNeitherFetchedNorSentAgain(t *testing.T) {
	t.Parallel()
	s, w, out := newShelf(t), newWorld(), newEgress(t)
	for range 2 {
		r := s.runs(t, w, out)
		r.must("http", request("GET", s.url, `,"stream":true`))
		r.must("http", request("POST", s.url, `,"body_stream":1`))
		if told, _ := r.ask("stream_read", read); !strings.Contains(told, "was sent as a body") {
			t.Errorf("got %s", told)
		}
		r.keep()
	}
	if diff := cmp.Diff([]string{"GET 0", "POST 10000"}, s.took("")); diff != "" {
		t.Errorf("the server was asked (-want +got):\n%s", diff)
	}
}

func TestPipeThatIsMadeAgainSendsWhatTheFirstWouldHave(t *testing.T) {
	t.Parallel()
	s, w, out := newShelf(t), newWorld(), newEgress(t)
	script := func(r *streamRun) error {
		r.must("http", request("GET", s.url, `,"stream":true`))
		if _, err := r.ask("stream_read", read); err != nil {
			return err
		}
		_, err := r.ask("http", request("PUT", s.url, `,"body_stream":1`))
		return err
	}
	first := s.runs(t, w, out)
	if err := script(first); err != nil {
		t.Fatal(err)
	}
	first.keep()
	w.store.entries[3].Again = true
	if err := script(s.runs(t, w, out)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"GET 0", "PUT 9000", "GET 0", "PUT 9000"}, s.took("")); diff != "" {
		t.Errorf("the server was asked (-want +got):\n%s", diff)
	}
	w.store.entries[3].Again = true
	s.set(func(s *shelf) { s.etag = `"2"` })
	if err := script(s.runs(t, w, out)); !errors.Is(err, hostfns.ErrChanged) {
		t.Errorf("what has changed was sent: %v", err)
	}
}

func TestAChangedBodyIsReadFromTheStartIfNothingWasChanged(t *testing.T) {
	t.Parallel()
	reads := []journal.Entry{{}, {Ordinal: 1, Func: "http", Effect: hostfns.Read}, {Ordinal: 2, Func: egress.ReadFunc, Effect: hostfns.Read}}
	if next := journal.After(reads, journal.Failure{Ending: journal.Changed}); !next.Restarts || len(next.Entries) != 1 {
		t.Errorf("got %+v", next)
	}
	if next := journal.After(reads, journal.Failure{Ending: journal.Changed, Starts: 3}); !next.Dead {
		t.Errorf("the fourth time: got %+v", next)
	}
	effects := append(slices.Clone(reads), journal.Entry{Ordinal: 3, Func: "http", Effect: hostfns.Unsafe, Outcome: hostfns.Done, Answered: epoch})
	if next := journal.After(effects, journal.Failure{Ending: journal.Changed}); !next.Dead || !strings.Contains(next.Reason, "a body that was streamed has changed since") {
		t.Errorf("after an effect: got %+v", next)
	}
}
