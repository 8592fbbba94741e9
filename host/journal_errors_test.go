package host_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/postgres"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/store/storetest/faults"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
	"github.com/cofferdam-run/cofferdam/hostfns/state"
)

// breaking is a store of which one call fails: it is not made, or its answer is lost.
// Claims wait at a gate, so that a test can begin something before it is run.
type breaking struct {
	store.Store

	gate sync.RWMutex
	// ended receives the execution of each completion that ends it, when it was taken
	// or may have been before.
	ended chan string

	mu     sync.Mutex
	method string
	left   int
	after  bool
	struck bool
}

func breakable(db store.Store) *breaking { return &breaking{Store: db, ended: make(chan string, 100)} }

// through makes a call, or fails it.
func through[T any](b *breaking, method string, do func() (T, error)) (got T, err error) {
	fails, after := b.next(method)
	if fails && !after {
		return got, errAway(method)
	}
	got, err = do()
	if fails {
		var none T
		return none, errAway(method)
	}
	return got, err
}

func errAway(method string) error {
	return fault.New(fault.Platform, fault.CodeDatabaseUnreachable, "the database did not answer %s", method)
}

func (b *breaking) Claim(ctx context.Context, worker string, quotas []execution.Quota, backfill int) (execution.Taken, error) {
	b.gate.RLock()
	defer b.gate.RUnlock()
	return through(b, "Claim", func() (execution.Taken, error) { return b.Store.Claim(ctx, worker, quotas, backfill) })
}

func (b *breaking) ClaimBackfill(ctx context.Context, worker string, quotas []execution.Quota) (execution.Taken, error) {
	b.gate.RLock()
	defer b.gate.RUnlock()
	return through(b, "ClaimBackfill", func() (execution.Taken, error) { return b.Store.ClaimBackfill(ctx, worker, quotas) })
}

func (b *breaking) Backlogs(ctx context.Context) ([]execution.Backlog, error) {
	return through(b, "Backlogs", func() ([]execution.Backlog, error) { return b.Store.Backlogs(ctx) })
}

func (b *breaking) Heartbeat(ctx context.Context, worker string, lease time.Duration) ([]string, error) {
	return through(b, "Heartbeat", func() ([]string, error) { return b.Store.Heartbeat(ctx, worker, lease) })
}

func (b *breaking) Reap(ctx context.Context) ([]string, error) {
	return through(b, "Reap", func() ([]string, error) { return b.Store.Reap(ctx) })
}

func (b *breaking) Promote(ctx context.Context, limit int) (tenants []string, next time.Time, err error) {
	tenants, err = through(b, "Promote", func() (due []string, err error) {
		due, next, err = b.Store.Promote(ctx, limit)
		return due, err
	})
	return tenants, next, err
}

func (b *breaking) Begin(ctx context.Context, c execution.Claimed, with execution.Beginning) error {
	_, err := through(b, "Begin", func() (any, error) { return nil, b.Store.Begin(ctx, c, with) })
	return err
}

func (b *breaking) Append(ctx context.Context, c execution.Claimed, s journal.Segment) error {
	_, err := through(b, "Append", func() (any, error) { return nil, b.Store.Append(ctx, c, s) })
	return err
}

func (b *breaking) Complete(ctx context.Context, c execution.Completion) error {
	_, err := through(b, "Complete", func() (any, error) {
		err := b.Store.Complete(ctx, c)
		if (err == nil || errors.Is(err, execution.ErrFenced)) && c.Outcome.Done() {
			b.ended <- c.Execution
		}
		return nil, err
	})
	return err
}

func (b *breaking) Journal(ctx context.Context, tenant, id string) (execution.Recorded, error) {
	return through(b, "Journal", func() (execution.Recorded, error) { return b.Store.Journal(ctx, tenant, id) })
}

func (b *breaking) Execution(ctx context.Context, tenant, id string) (execution.Execution, error) {
	return through(b, "Execution", func() (execution.Execution, error) { return b.Store.Execution(ctx, tenant, id) })
}

func (b *breaking) Event(ctx context.Context, tenant, id string) (event.Event, error) {
	return through(b, "Event", func() (event.Event, error) { return b.Store.Event(ctx, tenant, id) })
}

func (b *breaking) Tenant(ctx context.Context, id string) (tenant.Tenant, error) {
	return through(b, "Tenant", func() (tenant.Tenant, error) { return b.Store.Tenant(ctx, id) })
}

func (b *breaking) Installation(ctx context.Context, tenant, id string) (installation.Installation, error) {
	return through(b, "Installation", func() (installation.Installation, error) { return b.Store.Installation(ctx, tenant, id) })
}

func (b *breaking) State(tenant, installation string) state.Reader {
	return breakingState{b: b, Reader: b.Store.State(tenant, installation)}
}

// arm has the n-th call of a method from now on fail.
func (b *breaking) arm(method string, n int, after bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.method, b.left, b.after, b.struck = method, n, after, false
}

// disarm has no call fail, and says whether one has.
func (b *breaking) disarm() (struck bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = 0
	return b.struck
}

// next counts a call, and says whether it fails, and when.
func (b *breaking) next(method string) (fails, after bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left == 0 || b.method != method {
		return false, false
	}
	b.left--
	if b.left > 0 {
		return false, false
	}
	b.struck = true
	return true, b.after
}

type breakingState struct {
	state.Reader

	b *breaking
}

func (s breakingState) Get(ctx context.Context, key string) (state.Entry, error) {
	return through(s.b, "State.Get", func() (state.Entry, error) { return s.Reader.Get(ctx, key) })
}

// order is a run that does something of everything, under names of its own.
type order struct {
	n     int
	party *party
}

func (o order) effect(name string) string { return fmt.Sprintf("%s-%d", name, o.n) }

func (o order) steps() []step {
	return []step{
		get(o.party.plain + "/" + o.effect("look")),
		call("state_get", `{"key":"last"}`),
		post(o.party.plain + "/" + o.effect("mail")),
		call("state_add", `{"key":"n","delta":1}`),
		call("state_cas", fmt.Sprintf(`{"key":"seen-%d","new":true}`, o.n)),
		post(o.party.keyed + "/" + o.effect("charge")),
		call("probe", `{}`),
		call("sleep", `{"ms":1}`),
		post(o.party.plain + "/" + o.effect("ship")),
		call("state_set", fmt.Sprintf(`{"key":"last","value":%d}`, o.n)),
		call("emit", fmt.Sprintf(`{"name":"done","key":"done-%d","data":1}`, o.n)),
	}
}

// interrupt has the order's first run fail at its last effect.
func (o order) interrupt() {
	path := "/" + o.effect("ship")
	o.party.tell(func(a asked) reply {
		if a.path == path && a.n == 1 {
			return reply{status: http.StatusTooManyRequests, refused: true}
		}
		return reply{}
	})
}

// once checks that each of the order's effects, and its state and record, are there
// exactly once after it has succeeded, and at most once otherwise: nothing of the
// state then.
func (o order) once(t *testing.T, j *journaled, before int, x execution.Execution) {
	t.Helper()
	want := 0
	if x.State == execution.Succeeded {
		want = 1
	}
	for _, name := range []string{"mail", "charge", "ship"} {
		if got := o.party.times(o.effect(name)); got > 1 || got < want {
			t.Errorf("it is %s, and effect %s was had %d times", x.State, name, got)
		}
	}
	if got := j.number(t, "n") - before; got != want {
		t.Errorf("it is %s, and was counted %d times", x.State, got)
	}
	if got := j.records(t, fmt.Sprintf("done-%d", o.n)); got != want {
		t.Errorf("it is %s, and has %d records", x.State, got)
	}
}

// readsProbe is a probe for every guest that changes nothing, so that it may be asked again.
func readsProbe(answer func(ctx context.Context) error) []hostfns.Func {
	all := probe(answer)
	all[0].Granted, all[0].Effect = false, hostfns.Always(hostfns.Read)
	return all
}

// sweeping configures a Host for runs that are to fail and go on quickly.
func sweeping(db store.Store) host.Config {
	c := hosting(db)
	c.Functions = readsProbe(quiet)
	return c
}

// broke runs an order of which a call fails that arm has chosen, and returns how it
// ended, and what disarm says: whether one has failed.
func (b *breaking) broke(t *testing.T, j *journaled, o order, arm func(), disarm func() bool) (x execution.Execution, struck bool) {
	t.Helper()
	b.gate.Lock()
	id := j.do(t, o.steps()...)
	arm()
	b.gate.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !x.State.Done() {
		select {
		case ended := <-b.ended:
			if ended != id {
				continue
			}
			struck = disarm() || struck
		case <-ctx.Done():
		}
		var err error
		if x, err = b.Store.Execution(t.Context(), j.owner, id); err != nil {
			t.Fatal(err)
		}
		if ctx.Err() != nil && !x.State.Done() {
			t.Fatalf("it has not come to its end: it is %s for %q with %v", x.State, x.Reason, x.Error)
		}
	}
	return x, struck
}

// callsOf is how often a run calls a method at least, and the worker around it.
var callsOf = map[string]int{
	"Claim": 1, "Execution": 1, "Installation": 1, "Tenant": 1, "Event": 1, "Begin": 1,
	"State.Get": 3, "Append": 3, "Complete": 1,
	// Only a run that goes on reads what there is.
	"Journal": 1,
	// What the worker calls all the time.
	"Backlogs": 0, "Heartbeat": 0, "Promote": 0, "Reap": 0,
}

// A call of the store fails, for every call that a run makes: it is as if it had not.
func TestEachFailingDatabaseCallIsSurvived(t *testing.T) {
	t.Parallel()
	for db, open := range map[string]func(*testing.T) store.Store{"sqlite": openStore, "postgres": openPostgres} {
		for when, after := range map[string]bool{"not made": false, "answer lost": true} {
			t.Run(db+"/"+when, func(t *testing.T) {
				t.Parallel()
				b := breakable(open(t))
				j := setupJournal(t, sweeping(b), newParty(t, nil))
				made := 0
				for method, least := range callsOf {
					n := 1
					for most := 2 + 30*least; n <= most; n++ {
						made++
						o := order{n: made, party: j.party}
						if method == "Journal" {
							o.interrupt()
						}
						before := j.number(t, "n")
						x, struck := b.broke(t, j, o, func() { b.arm(method, n, after) }, b.disarm)
						o.once(t, j, before, x)
						if x.State != execution.Succeeded || t.Failed() {
							t.Fatalf("call %d of %s: it is %s with %v", n, method, x.State, x.Error)
						}
						if !struck {
							break
						}
					}
					if n <= least {
						t.Errorf("a run calls %s %d times, want %d at least", method, n-1, least)
					}
				}
			})
		}
	}
}

// The same for every statement, of which a call makes several.
func TestEachFailingStatementIsSurvived(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T, *faults.Plan) store.Store{"sqlite": brokenSQLite, "postgres": brokenPostgres} {
		for when, w := range map[string]faults.When{"not executed": faults.Before, "answer lost": faults.After} {
			t.Run(name+"/"+when, func(t *testing.T) {
				t.Parallel()
				plan := &faults.Plan{}
				b := breakable(open(t, plan))
				j := setupJournal(t, sweeping(b), newParty(t, nil))
				for n := 1; ; n++ {
					o := order{n: n, party: j.party}
					before := j.number(t, "n")
					x, struck := b.broke(t, j, o, func() { plan.Arm(n, w) }, func() bool {
						defer plan.Arm(0, w)
						return plan.Struck()
					})
					if x.State != execution.Succeeded {
						t.Errorf("it is %s with %v", x.State, x.Error)
					}
					o.once(t, j, before, x)
					if t.Failed() {
						t.Fatalf("statement %d", n)
					}
					if !struck {
						t.Logf("a run makes fewer than %d statements", n)
						return
					}
				}
			})
		}
	}
}

func brokenSQLite(t *testing.T, plan *faults.Plan) store.Store {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Options{Driver: faults.SQLite(plan)})
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	t.Cleanup(func() { db.Close() })
	if _, _, err := db.Migrate(t.Context()); err != nil {
		t.Fatalf("migrate store: %v", err)
	}
	return db
}

func brokenPostgres(t *testing.T, plan *faults.Plan) store.Store {
	t.Helper()
	address, stop, err := faults.Postgres(t.Context(), postgrestest.DSN(t), plan)
	if err != nil {
		t.Fatalf("start the proxy: %v", err)
	}
	t.Cleanup(stop)
	db, err := postgres.Open(t.Context(), address, postgres.Options{})
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// Each call of the guest's fails once, in each way in which it can.
func TestEachFailingHostCallIsSurvived(t *testing.T) {
	t.Parallel()
	ways := map[string]reply{
		"refused":             {status: http.StatusTooManyRequests, refused: true},
		"busy":                {status: http.StatusServiceUnavailable, refused: true},
		"failed after it did": {status: http.StatusInternalServerError},
		"silent after it did": {silent: true},
		"silent":              {silent: true, refused: true},
	}
	// What has no key and was not refused cannot be known.
	ambiguous := func(path, way string) bool {
		return way != "refused" && (strings.HasPrefix(path, "/mail") || strings.HasPrefix(path, "/ship"))
	}
	for db, open := range map[string]func(*testing.T) store.Store{"sqlite": openStore, "postgres": openPostgres} {
		for way, does := range ways {
			t.Run(db+"/"+way, func(t *testing.T) {
				t.Parallel()
				p := newParty(t, nil)
				j := setupJournal(t, sweeping(open(t)), p)
				for n, name := range []string{"look", "mail", "charge", "ship"} {
					o := order{n: n, party: p}
					path := "/" + o.effect(name)
					p.tell(func(a asked) reply {
						if a.path == path && a.n == 1 {
							return does
						}
						return reply{}
					})
					before := j.number(t, "n")
					x := j.ended(t, j.do(t, o.steps()...))
					o.once(t, j, before, x)
					want := execution.Succeeded
					if ambiguous(path, way) {
						want = execution.Dead
					}
					if x.State != want || want == execution.Dead && x.Error.Class != fault.AmbiguousEffect {
						t.Fatalf("%s: it is %s with %v, want %s", name, x.State, x.Error, want)
					}
					if want == execution.Succeeded {
						continue
					}
					x = j.resolved(t, x, o.effect(name))
					o.once(t, j, before, x)
					if x.State != execution.Succeeded {
						t.Fatalf("%s: once it was resolved it is %s with %v", name, x.State, x.Error)
					}
				}
			})
		}
	}
}

// tell has the party do something else from now on.
func (p *party) tell(answer func(asked) reply) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
}

// resolved decides about an ambiguous effect as a person does who looks at the other
// side, and waits for the end.
func (j *journaled) resolved(t *testing.T, x execution.Execution, effect string) execution.Execution {
	t.Helper()
	r := execution.Resolution{SendAgain: true}
	if j.party.times(effect) > 0 {
		r = execution.Resolution{Answer: json.RawMessage(`{"status":200}`)}
	}
	if _, err := j.h.Executions.Resolve(t.Context(), j.owner, x.ID, r); err != nil {
		t.Fatalf("resolve: %v", err)
	}
	return j.ended(t, x.ID)
}

// A function of the host app's fails, or panics.
func TestEachFailingFunctionIsSurvived(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func() error{
		"error": func() error { return errors.New("out of order") },
		"panic": func() error { panic("out of order") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var once sync.Once
			c := hosting(openStore(t))
			c.Functions = readsProbe(func(context.Context) (err error) {
				broken := false
				once.Do(func() { broken = true })
				if broken {
					return fail()
				}
				return nil
			})
			j := setupJournal(t, c, newParty(t, nil))
			o := order{n: 1, party: j.party}
			x := j.ended(t, j.do(t, o.steps()...))
			if x.State != execution.Succeeded {
				t.Errorf("it is %s with %v", x.State, x.Error)
			}
			o.once(t, j, 0, x)
		})
	}
}
