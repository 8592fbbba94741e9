package host_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
)

// TestShapesThatBreakNaiveDesigns are runs after which it is not obvious what may be
// made again, on each store.
func TestShapesThatBreakNaiveDesigns(t *testing.T) {
	t.Parallel()
	for db, open := range map[string]func(*testing.T) store.Store{"sqlite": openStore, "postgres": openPostgres} {
		for name, test := range map[string]func(*testing.T, store.Store){
			"a tolerated 503 before an effect stays as it was, and a read that fails is made again":          toleratedThenARead,
			"a tolerated 503 before an effect stays as it was, and an effect that was refused is made again": toleratedThenAnEffect,
			"an effect without an answer is sent again if a person says so":                                  unansweredSentAgain,
			"an effect without an answer gets one from a person":                                             unansweredAnswered,
			"an effect without an answer that has a key is sent again with it":                               unansweredKeyed,
			"a restart shifts ordinals and keeps the keys":                                                   shiftedOrdinals,
			"a worker that slept through its lease sends nothing":                                            sleeperSendsNothing,
			"a worker that slept through its lease does not send what another has sent with a key":           sleeperSendsNothingTwice,
		} {
			t.Run(db+"/"+name, func(t *testing.T) {
				t.Parallel()
				test(t, open(t))
			})
		}
	}
}

// tolerated runs POST a, GET b, which is busy, POST c, and d, which does as it is
// told the first time.
func tolerated(t *testing.T, db store.Store, d func(url string) step, first reply) {
	t.Helper()
	p := newParty(t, func(a asked) reply {
		switch {
		case a.path == "/b" && a.n == 1:
			return reply{status: http.StatusServiceUnavailable}
		case a.path == "/d" && a.n == 1:
			return first
		}
		return reply{}
	})
	j := setupJournal(t, hosting(db), p)
	b := get(p.plain + "/b")
	b.Tolerate = true
	x := j.ended(t, j.do(t, post(p.plain+"/a"), b, post(p.plain+"/c"), d(p.plain+"/d"), call("state_add", `{"key":"n","delta":1}`)))
	if x.State != execution.Succeeded {
		t.Fatalf("it is %s: %v", x.State, x.Error)
	}
	if diff := cmp.Diff([]int{200, 503, 200, 200}, statuses(t, x)); diff != "" {
		t.Errorf("the guest was told (-want +got):\n%s", diff)
	}
	var paths []string
	for _, r := range p.requests("") {
		paths = append(paths, r.path)
	}
	if want := []string{"/a", "/b", "/c", "/d", "/d"}; !slices.Equal(paths, want) {
		t.Errorf("the requests are %v, want %v", paths, want)
	}
	if p.times("a") != 1 || p.times("c") != 1 || j.number(t, "n") != 1 {
		t.Errorf("a was had %d times, c %d times, and n is %d: want 1 of each", p.times("a"), p.times("c"), j.number(t, "n"))
	}
}

func toleratedThenARead(t *testing.T, db store.Store) {
	t.Helper()
	tolerated(t, db, get, reply{status: http.StatusServiceUnavailable})
}

func toleratedThenAnEffect(t *testing.T, db store.Store) {
	t.Helper()
	tolerated(t, db, post, reply{status: http.StatusTooManyRequests, refused: true})
}

// unanswered runs to the point where POST pay was sent, and nothing came back.
func unanswered(t *testing.T, db store.Store, refused bool) (*journaled, execution.Execution) {
	t.Helper()
	p := newParty(t, func(a asked) reply {
		return reply{silent: a.path == "/pay" && a.n == 1, refused: refused && a.n == 1, body: "paid"}
	})
	j := setupJournal(t, hosting(db), p)
	x := j.ended(t, j.do(t, get(p.plain+"/account"), post(p.plain+"/pay"), call("state_add", `{"key":"n","delta":1}`)))
	if x.State != execution.Dead || x.Error == nil || x.Error.Class != fault.AmbiguousEffect {
		t.Fatalf("it is %s with %v, want dead of an ambiguous effect", x.State, x.Error)
	}
	if !strings.Contains(x.Error.Message, "POST "+p.plain+"/pay") || !strings.Contains(x.Error.Hint, "resolve") {
		t.Errorf("the error says %q and %q, want the request, and what to do", x.Error.Message, x.Error.Hint)
	}
	// To have it go on without a decision is refused, or ends as before.
	switch _, err := j.h.Executions.Redrive(t.Context(), j.owner, x.ID, execution.Resume); {
	case err == nil:
		if x = j.ended(t, x.ID); x.State != execution.Dead || x.Error.Class != fault.AmbiguousEffect {
			t.Fatalf("once redriven it is %s with %v, want dead as before", x.State, x.Error)
		}
	case fault.From(err).Code != execution.CodeAmbiguousEffect:
		t.Errorf("a redrive before somebody has decided gives %v, want that it is ambiguous", err)
	}
	if n := len(p.requests("/pay")); n != 1 || j.number(t, "n") != 0 {
		t.Errorf("it was sent %d times, and n is %d: want 1 and 0", n, j.number(t, "n"))
	}
	return j, x
}

func unansweredSentAgain(t *testing.T, db store.Store) {
	t.Helper()
	j, x := unanswered(t, db, true)
	if _, err := j.h.Executions.Resolve(t.Context(), j.owner, x.ID, execution.Resolution{SendAgain: true}); err != nil {
		t.Fatalf("resolve: %v", err)
	}
	if x = j.ended(t, x.ID); x.State != execution.Succeeded {
		t.Fatalf("it is %s: %v", x.State, x.Error)
	}
	sent := j.party.requests("/pay")
	if len(sent) != 2 || sent[0].raw != sent[1].raw {
		t.Errorf("it was sent as %v, want twice the same", sent)
	}
	if j.party.times("pay") != 1 || len(j.party.requests("/account")) != 1 || j.number(t, "n") != 1 {
		t.Errorf("pay was had %d times, and n is %d: want 1 and 1", j.party.times("pay"), j.number(t, "n"))
	}
}

func unansweredAnswered(t *testing.T, db store.Store) {
	t.Helper()
	j, x := unanswered(t, db, false)
	r := execution.Resolution{Answer: json.RawMessage(`{"status":201,"headers":{},"body":"paid by hand"}`)}
	if _, err := j.h.Executions.Resolve(t.Context(), j.owner, x.ID, r); err != nil {
		t.Fatalf("resolve: %v", err)
	}
	if x = j.ended(t, x.ID); x.State != execution.Succeeded {
		t.Fatalf("it is %s: %v", x.State, x.Error)
	}
	if diff := cmp.Diff([]int{200, 201}, statuses(t, x)); diff != "" || !strings.Contains(string(x.Output), "paid by hand") {
		t.Errorf("the guest was told %s", x.Output)
	}
	if n := len(j.party.requests("")); n != 2 || j.party.times("pay") != 1 || j.number(t, "n") != 1 {
		t.Errorf("there were %d requests, pay was had %d times, and n is %d: want 2, 1 and 1", n, j.party.times("pay"), j.number(t, "n"))
	}
}

func unansweredKeyed(t *testing.T, db store.Store) {
	t.Helper()
	p := newParty(t, func(a asked) reply { return reply{silent: a.path == "/pay" && a.n == 1} })
	j := setupJournal(t, hosting(db), p)
	x := j.ended(t, j.do(t, post(p.keyed+"/pay"), post(p.keyed+"/pay"), call("state_add", `{"key":"n","delta":1}`)))
	if x.State != execution.Succeeded {
		t.Fatalf("it is %s: %v", x.State, x.Error)
	}
	// The guest wants it twice: those are two effects, of which the first was sent twice.
	sent := p.requests("/pay")
	if len(sent) != 3 || sent[0].raw != sent[1].raw || sent[0].key == sent[2].key || sent[0].key == "" {
		t.Errorf("it was sent as %v, want the first twice, and another", sent)
	}
	if !strings.HasPrefix(sent[0].key, x.ID+"/") {
		t.Errorf("the key is %q, want one that begins with the execution's id", sent[0].key)
	}
	if p.times("pay") != 2 || j.number(t, "n") != 1 {
		t.Errorf("pay was had %d times, and n is %d: want 2 and 1", p.times("pay"), j.number(t, "n"))
	}
}

// A list names what is to be done. After the first run it has grown at its front, so
// that from the start each request stands at another place than before.
func shiftedOrdinals(t *testing.T, db store.Store) {
	t.Helper()
	var mended atomic.Bool
	p := newParty(t, func(a asked) reply {
		switch {
		case a.path == "/list" && mended.Load():
			return reply{body: `["new","one","two"]`}
		case a.path == "/list":
			return reply{body: `["one","two"]`}
		case a.path == "/check" && !mended.Load():
			return reply{status: http.StatusUnprocessableEntity}
		}
		return reply{}
	})
	j := setupJournal(t, hosting(db), p)
	list := get(p.keyed + "/list")
	list.Each = p.keyed + "/orders"
	x := j.ended(t, j.do(t, list, get(p.keyed+"/check"), call("state_add", `{"key":"n","delta":1}`)))
	if x.State != execution.Dead || p.times("one") != 1 || p.times("two") != 1 {
		t.Fatalf("it is %s with %v, and one was had %d times", x.State, x.Error, p.times("one"))
	}
	mended.Store(true)
	if _, err := j.h.Executions.Redrive(t.Context(), j.owner, x.ID, execution.Restart); err != nil {
		t.Fatalf("redrive: %v", err)
	}
	if x = j.ended(t, x.ID); x.State != execution.Succeeded {
		t.Fatalf("it is %s: %v", x.State, x.Error)
	}
	for _, effect := range []string{"new", "one", "two"} {
		if p.times(effect) != 1 {
			t.Errorf("%s was had %d times, want once", effect, p.times(effect))
		}
	}
	effects := map[string]string{}
	for _, r := range p.requests("/orders") {
		if of, known := effects[r.key]; known && of != r.effect || r.key == "" {
			t.Errorf("the key %q came with %s and with %s", r.key, of, r.effect)
		}
		effects[r.key] = r.effect
	}
	if len(effects) != 3 || len(p.requests("/orders")) != 5 || j.number(t, "n") != 1 {
		t.Errorf("%d keys came in %d requests, and n is %d: want 3, 5 and 1", len(effects), len(p.requests("/orders")), j.number(t, "n"))
	}
}

// frozen is the store of a process that is stopped once it has recorded the intent of
// an effect, before it sends it: it asks nothing until it is thawed.
type frozen struct {
	store.Store

	once sync.Once
	// stopped is closed when it is stopped, and thaw to let it go on.
	stopped, thaw chan struct{}
}

func freeze(db store.Store) *frozen {
	return &frozen{Store: db, stopped: make(chan struct{}), thaw: make(chan struct{})}
}

func (f *frozen) Append(ctx context.Context, c execution.Claimed, s journal.Segment) error {
	err := f.Store.Append(ctx, c, s)
	f.once.Do(func() { close(f.stopped) })
	f.hold()
	return err
}

func (f *frozen) Heartbeat(ctx context.Context, worker string, lease time.Duration) ([]string, error) {
	f.hold()
	return f.Store.Heartbeat(ctx, worker, lease)
}

func (f *frozen) Claim(ctx context.Context, worker string, quotas []execution.Quota, backfill int) (execution.Taken, error) {
	f.hold()
	return f.Store.Claim(ctx, worker, quotas, backfill)
}

func (f *frozen) ClaimBackfill(ctx context.Context, worker string, quotas []execution.Quota) (execution.Taken, error) {
	f.hold()
	return f.Store.ClaimBackfill(ctx, worker, quotas)
}

func (f *frozen) Reap(ctx context.Context) ([]string, error) {
	f.hold()
	return f.Store.Reap(ctx)
}

func (f *frozen) Promote(ctx context.Context, limit int) ([]string, time.Time, error) {
	f.hold()
	return f.Store.Promote(ctx, limit)
}

func (f *frozen) Complete(ctx context.Context, c execution.Completion) error {
	f.hold()
	return f.Store.Complete(ctx, c)
}

// hold blocks while the process is stopped.
func (f *frozen) hold() {
	select {
	case <-f.stopped:
		<-f.thaw
	default:
	}
}

// sleeper stops a worker between an effect's intent and its first byte, and lets it
// go on once another has brought the execution to its end.
func sleeper(t *testing.T, db store.Store, address func(*party) string) (*journaled, execution.Execution) {
	t.Helper()
	p := newParty(t, nil)
	asleep := freeze(db)
	c := hosting(asleep)
	c.Keeper = newKey(t)
	j := setupJournal(t, c, p)
	id := j.do(t, get(p.plain+"/account"), post(address(p)+"/pay"), call("state_add", `{"key":"n","delta":1}`))
	<-asleep.stopped
	awake := hosting(db)
	awake.Keeper = c.Keeper
	other := runHost(t, awake)
	x, err := other.h.Executions.Wait(t.Context(), j.owner, id)
	if err != nil {
		t.Fatalf("wait: %v", err)
	}
	if x.Claim < 2 {
		t.Fatalf("it was claimed %d times, want that another has claimed it", x.Claim)
	}
	sent := len(p.requests("/pay"))
	close(asleep.thaw)
	// It runs again once what it slept in has ended: it takes up new work.
	next := j.ended(t, j.do(t, call("state_add", `{"key":"next","delta":1}`)))
	if next.State != execution.Succeeded {
		t.Fatalf("what came after it is %s: %v", next.State, next.Error)
	}
	if now := len(p.requests("/pay")); now != sent {
		t.Errorf("%d requests were sent after it woke up", now-sent)
	}
	after, err := other.h.Executions.Get(t.Context(), j.owner, id)
	if err != nil {
		t.Fatalf("get: %v", err)
	}
	if diff := cmp.Diff(x, after); diff != "" {
		t.Errorf("its writes have landed (-before +after):\n%s", diff)
	}
	return j, x
}

func sleeperSendsNothing(t *testing.T, db store.Store) {
	t.Helper()
	j, x := sleeper(t, db, func(p *party) string { return p.plain })
	if x.State != execution.Dead || x.Error.Class != fault.AmbiguousEffect {
		t.Errorf("it is %s with %v, want dead of an ambiguous effect", x.State, x.Error)
	}
	if n := len(j.party.requests("/pay")); n != 0 || j.number(t, "n") != 0 {
		t.Errorf("%d requests were sent, and n is %d: want 0 and 0", n, j.number(t, "n"))
	}
}

func sleeperSendsNothingTwice(t *testing.T, db store.Store) {
	t.Helper()
	j, x := sleeper(t, db, func(p *party) string { return p.keyed })
	if x.State != execution.Succeeded {
		t.Errorf("it is %s with %v, want succeeded", x.State, x.Error)
	}
	if n := len(j.party.requests("/pay")); n != 1 || j.number(t, "n") != 1 {
		t.Errorf("%d requests were sent, and n is %d: want 1 and 1", n, j.number(t, "n"))
	}
}
