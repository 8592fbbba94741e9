package egress_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// renewable are connections whose tokens are exchanged for the next ones.
type renewable struct {
	mu sync.Mutex
	// at is how many tokens of a connection there were before.
	at map[string]int
	// asked are the connections that were to be renewed, and with which token they were
	// refused.
	asked []string
	// worked are those whose tokens were taken, and with which one.
	worked []string
	// fails is what to renew ends with.
	fails error
	// last says that there is no next one.
	last bool
}

func tokenOf(name string, n int) string { return fmt.Sprintf("token-%d-of-%s-0123456789", n, name) }

func (c *renewable) Apply(_ context.Context, name string, r *http.Request) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	token := tokenOf(name, c.at[name])
	r.Header.Set("Authorization", "Bearer "+token)
	return []string{token}, nil
}

func (c *renewable) Parts(_ context.Context, name string, _ *http.Request) (map[string]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return map[string]string{"access_token": tokenOf(name, c.at[name])}, nil
}

func (c *renewable) Renew(_ context.Context, name string, r *http.Request) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, name+" after "+r.Header.Get("Authorization")+r.Header.Get("X-Token"))
	if c.fails != nil || c.last {
		return false, c.fails
	}
	if c.at == nil {
		c.at = map[string]int{}
	}
	c.at[name]++
	return true, nil
}

func (c *renewable) Worked(_ context.Context, name string, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.worked = append(c.worked, name+" with "+r.Header.Get("Authorization"))
}

// strict takes the tokens from the from'th on, and keeps what it gets.
type strict struct {
	from int
	mu   sync.Mutex
	got  []string
}

func (k *strict) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	given := strings.TrimPrefix(r.Header.Get("Authorization")+r.Header.Get("X-Token"), "Bearer ")
	k.mu.Lock()
	k.got = append(k.got, strings.TrimSuffix(r.Method+" "+string(body), " ")+" "+r.Header.Get("Idempotency-Key"))
	k.mu.Unlock()
	var n int
	if _, err := fmt.Sscanf(given, "token-%d-of-", &n); err != nil || n < k.from {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, strings.Repeat("refused: "+given+"\n", 10_000)) // Longer than what is drained.
		return
	}
	_, _ = io.WriteString(w, "done with "+given+" after "+tokenOf("crm", n-1))
}

func (k *strict) requests() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.got)
}

// renewing is a server that refuses the first tokens, and a guest that may reach it.
func renewing(t *testing.T, from int, c *renewable) (*strict, testBundle, guest) {
	t.Helper()
	k := &strict{from: from}
	b := setup(t, k.ServeHTTP, nil)
	return k, b, b.guest(t, egress.Permissions{Credentials: c, Pool: "ten_a", Slots: map[string]egress.Slots{"crm": {Headers: []string{"X-Token"}}}})
}

func TestACredentialThatIsRefusedIsRenewedOnce(t *testing.T) {
	t.Parallel()
	t.Run("and what was asked is asked again", func(t *testing.T) {
		t.Parallel()
		c := &renewable{}
		k, b, g := renewing(t, 1, c)
		a := g.must(t, "http", using("crm", "https://"+b.host+"/orders"), nil)
		if a.Status != http.StatusOK || a.text() != "done with [redacted] after [redacted]" {
			t.Errorf("got %d %q, want the answer to the second, without either token", a.Status, a.text())
		}
		if diff := cmp.Diff([]string{"GET ", "GET "}, k.requests()); diff != "" {
			t.Errorf("what the server got (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"crm after Bearer " + tokenOf("crm", 0)}, c.asked); diff != "" {
			t.Errorf("what was to be renewed (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"crm with Bearer " + tokenOf("crm", 1)}, c.worked); diff != "" {
			t.Errorf("what has worked (-want +got):\n%s", diff)
		}
		steps := g.gate.Steps()
		if want := "GET https://" + b.host + "/orders -> 401 -> 200"; len(steps) != 1 || steps[0].Summary != want {
			t.Errorf("the trace is %+v, want one step, %q", steps, want)
		}
		if trace := fmt.Sprint(steps); strings.Contains(trace, tokenOf("crm", 0)) || strings.Contains(trace, tokenOf("crm", 1)) {
			t.Errorf("the trace shows a token: %s", trace)
		}
	})
	t.Run("and a second refusal is the guest's to read", func(t *testing.T) {
		t.Parallel()
		c := &renewable{}
		k, b, g := renewing(t, 5, c)
		a := g.must(t, "http", using("crm", "https://"+b.host), nil)
		if a.Status != http.StatusUnauthorized || strings.Contains(a.text(), "token-") || len(c.asked) != 1 || len(k.requests()) != 2 || len(c.worked) > 0 {
			t.Errorf("got %d, renewed %d times, and sent %d times, want 401, once and twice", a.Status, len(c.asked), len(k.requests()))
		}
	})
	t.Run("unless there is no other", func(t *testing.T) {
		t.Parallel()
		c := &renewable{last: true}
		k, b, g := renewing(t, 5, c)
		a := g.must(t, "http", using("crm", "https://"+b.host), nil)
		if a.Status != http.StatusUnauthorized || len(a.text()) < 10_000 || len(k.requests()) != 1 {
			t.Errorf("got %d with %d bytes after %d requests, want the whole refusal of one", a.Status, len(a.text()), len(k.requests()))
		}
	})
	t.Run("of two connections each its own", func(t *testing.T) {
		t.Parallel()
		c := &renewable{}
		_, b, g := renewing(t, 1, c)
		for _, name := range []string{"crm", "shop", "crm"} {
			if a := g.must(t, "http", using(name, "https://"+b.host), nil); a.Status != http.StatusOK {
				t.Errorf("%s: got %d", name, a.Status)
			}
		}
		want := []string{"crm after Bearer " + tokenOf("crm", 0), "shop after Bearer " + tokenOf("shop", 0)}
		if diff := cmp.Diff(want, c.asked); diff != "" {
			t.Errorf("what was to be renewed (-want +got):\n%s", diff)
		}
	})
	t.Run("in a slot, too", func(t *testing.T) {
		t.Parallel()
		c := &renewable{}
		_, b, g := renewing(t, 1, c)
		request := using("crm", "https://"+b.host)
		request["headers"] = map[string][]string{"x-token": {"{{connection.access_token}}"}}
		if a := g.must(t, "http", request, nil); a.Status != http.StatusOK {
			t.Errorf("got %d", a.Status)
		}
		if diff := cmp.Diff([]string{"crm after " + tokenOf("crm", 0)}, c.asked); diff != "" {
			t.Errorf("what was to be renewed (-want +got):\n%s", diff)
		}
	})
	t.Run("where an answer is streamed", func(t *testing.T) {
		t.Parallel()
		_, b, g := renewing(t, 1, &renewable{})
		all, err := g.rest(t.Context(), g.open(t, using("crm", "https://"+b.host)), 1<<10)
		if err != nil || string(all) != "done with [redacted] after [redacted]" {
			t.Errorf("got %q, %v", all, err)
		}
	})
}

func TestNothingIsRenewedWithoutACredential(t *testing.T) {
	t.Parallel()
	c := &renewable{}
	k, b, g := renewing(t, 1, c)
	own := get("https://" + b.host)
	own["headers"] = map[string][]string{"Authorization": {"Bearer of the guest's"}}
	if a := g.must(t, "http", own, nil); a.Status != http.StatusUnauthorized || len(c.asked) != 0 || len(k.requests()) != 1 {
		t.Errorf("got %d after %d requests, and %v was to be renewed", a.Status, len(k.requests()), c.asked)
	}
	both := using("crm", "https://"+b.host)
	both["headers"] = own["headers"]
	g.refused(t, "http", both, hostfns.CodeInvalidRequest, `comes from the connection "crm"`)
}

func TestWhatIsSentAgainIsTheSame(t *testing.T) {
	t.Parallel()
	c := &renewable{}
	k := &strict{from: 1}
	b := setup(t, k.ServeHTTP, nil)
	s := b.egress.Session(egress.Permissions{
		Rules: []egress.Rule{rule(b.host)}, Credentials: c, Pool: "ten_a",
		Idempotency: []egress.IdempotencyRule{{Host: b.host, Header: "Idempotency-Key", TTL: time.Hour}},
	})
	request := using("crm", "https://"+b.host)
	request["method"], request["body"] = "POST", "one order"
	if answer := keyed(t, s, "exe_1/h-1", request); !strings.Contains(answer, `"status":200`) {
		t.Errorf("the guest is told %.200s", answer)
	}
	if diff := cmp.Diff([]string{"POST one order exe_1/h-1", "POST one order exe_1/h-1"}, k.requests()); diff != "" {
		t.Errorf("what the server got (-want +got):\n%s", diff)
	}
}

func TestOutcomesOfRenewals(t *testing.T) {
	t.Parallel()
	post := func(b testBundle) map[string]any {
		return map[string]any{"connection": "crm", "method": "POST", "url": "https://" + b.host, "body": "x"}
	}
	broken := hostfns.Errorf(hostfns.CodeAuth, "the user has to reconnect")
	later := &hostfns.Error{Code: hostfns.CodeRateLimited, Message: "not now", RetryAfter: 90 * time.Second}
	tests := map[string]struct {
		from    int
		c       *renewable
		outcome hostfns.Outcome
		code    hostfns.Code
		sent    int
	}{
		"done at the second try":     {1, &renewable{}, hostfns.Done, "", 2},
		"refused twice":              {9, &renewable{}, hostfns.NotDone, "", 2},
		"nothing newer":              {9, &renewable{last: true}, hostfns.NotDone, "", 1},
		"broken for good":            {9, &renewable{fails: broken}, hostfns.NotDone, hostfns.CodeAuth, 1},
		"to be asked for later":      {9, &renewable{fails: later}, hostfns.NotDone, hostfns.CodeRateLimited, 1},
		"not the guest's to know of": {9, &renewable{fails: errors.New("database is gone")}, hostfns.NotDone, "ended", 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, b, g := renewing(t, tt.from, tt.c)
			got, err := outcomeOf(t, g.session.Funcs(), post(b))
			if got != tt.outcome || len(k.requests()) != tt.sent || (err != nil) != (tt.code == "ended") {
				t.Errorf("the outcome is %s after %d requests, with %v, want %s after %d", got, len(k.requests()), err, tt.outcome, tt.sent)
			}
			if tt.code == "" || tt.code == "ended" {
				return
			}
			_, err = g.ask(t.Context(), "http", post(b), nil)
			if e, ok := errors.AsType[*hostfns.Error](err); !ok || e.Code != tt.code {
				t.Errorf("the guest is told %v, want %s", err, tt.code)
			}
			if e, ok := errors.AsType[*hostfns.Error](err); ok && tt.code == hostfns.CodeRateLimited && e.RetryAfter != later.RetryAfter {
				t.Errorf("the guest is told to come back in %s, want %s", e.RetryAfter, later.RetryAfter)
			}
		})
	}
}

func TestWhatWasStreamedIsNotSentAgain(t *testing.T) {
	t.Parallel()
	t.Run("and the guest is told that another try may do", func(t *testing.T) {
		t.Parallel()
		c := &renewable{}
		k, b, g := renewing(t, 1, c)
		request := put(b)
		request["connection"] = "crm"
		n := g.upload(t, request)
		g.must(t, "stream_write", asked{"upload": n}, []byte("chunk"))
		g.refused(t, "stream_finish", asked{"upload": n}, hostfns.CodeUpstreamUnavailable, "make the request once more")
		if len(k.requests()) != 1 || len(c.asked) != 1 {
			t.Errorf("it was sent %d times, and renewed %d times, want once", len(k.requests()), len(c.asked))
		}
	})
	t.Run("from server to server", func(t *testing.T) {
		t.Parallel()
		k, b, g := renewing(t, 0, &renewable{})
		n := g.open(t, using("crm", "https://"+b.host))
		k.from = 1
		request := put(b)
		request["connection"], request["body_stream"] = "crm", n
		g.refused(t, "http", request, hostfns.CodeUpstreamUnavailable, "make the request once more")
	})
	t.Run("and reads the refusal where there is nothing newer", func(t *testing.T) {
		t.Parallel()
		_, b, g := renewing(t, 9, &renewable{last: true})
		request := put(b)
		request["connection"] = "crm"
		n := g.upload(t, request)
		if got := g.must(t, "stream_finish", asked{"upload": n}, nil); got.Status != http.StatusUnauthorized {
			t.Errorf("got %d, want 401", got.Status)
		}
	})
}

// The lease may end while a credential is renewed: then nothing more is sent.
func TestWithoutItsLeaseNothingIsSentAgain(t *testing.T) {
	t.Parallel()
	c := &renewable{}
	k := &strict{from: 1}
	b := setup(t, k.ServeHTTP, nil)
	s := b.egress.Session(egress.Permissions{
		Rules: []egress.Rule{rule(b.host)}, Credentials: c, Held: func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return len(c.asked) == 0
		},
	})
	raw, err := json.Marshal(using("crm", "https://"+b.host))
	if err != nil {
		t.Fatal(err)
	}
	if _, told, err := doRaw(t.Context(), s, raw); !errors.Is(err, hostfns.ErrNotHeld) || len(k.requests()) != 1 {
		t.Errorf("got %v, %v after %d requests, want the end of the run after one", told, err, len(k.requests()))
	}
}

// A refusal that never ends takes no more time than the call has.
func TestARefusalThatStallsEndsWithTheCall(t *testing.T) {
	t.Parallel()
	c := &renewable{}
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.Header.Get("Authorization"), tokenOf("crm", 1)) {
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}, func(cfg *egress.Config) { cfg.Timeout = 300 * time.Millisecond })
	s := b.egress.Session(egress.Permissions{Rules: []egress.Rule{rule(b.host)}, Credentials: c})
	wantError(t, s, using("crm", "https://"+b.host), hostfns.CodeTimeout, "did not answer in time")
}

// One crossing is one entry of a journal, whatever it took.
func TestARenewalIsPartOfOneCrossing(t *testing.T) {
	t.Parallel()
	k := &strict{from: 1}
	b := setup(t, k.ServeHTTP, nil)
	s := b.egress.Session(egress.Permissions{Rules: []egress.Rule{rule(b.host)}, Credentials: &renewable{}})
	var entries [][]byte
	gate := hostfns.NewGate(hostfns.GateConfig{
		Funcs: s.Funcs(), Now: time.Now,
		Journal: func(next hostfns.Handler) hostfns.Handler {
			return func(ctx context.Context, c runtime.Crossing) (json.RawMessage, error) {
				answer, err := next(ctx, c)
				entries = append(entries, answer)
				return answer, err
			}
		},
	})
	raw, err := json.Marshal(using("crm", "https://"+b.host))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gate.Call(t.Context(), runtime.Crossing{Func: "http", Request: raw}); err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || bytes.Contains(entries[0], []byte("refused")) || len(k.requests()) != 2 {
		t.Errorf("there are %d entries of %d requests, want one with the second answer: %.200s", len(entries), len(k.requests()), entries)
	}
}
