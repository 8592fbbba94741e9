package storetest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/job"
	"github.com/cofferdam-run/cofferdam/host/retention"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/token"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/registry"
)

// Catalogue is how to look at a store's tables themselves.
type Catalogue struct {
	Conn func(s store.Store) store.Conn
	// Columns is a query of the names of all tables of ours and of their columns.
	Columns string
}

// Retention checks what is purged and what a deleted tenant leaves, row by row in
// every table that there is.
func Retention(t *testing.T, open Open, c Catalogue) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, *kept){
		"what is old goes with all that hangs off it": purgeByAge,
		"what finished first goes":                    purgeByBytes,
		"a batch is as small as it is asked for":      purgeBatches,
		"what may still run stays":                    purgeSparesTheLiving,
		"a shared body stays while one names it":      purgeSharedBodies,
		"a body in use meanwhile stays":               purgeIdleBodies,
		"a key is known for a while":                  purgeKeys,
		"bytes are counted once":                      countBytes,
		"what is redriven is purged later":            purgeRedriven,
		"answers are swept":                           sweepAnswers,
		"what nothing hangs off goes":                 forgetLoose,
		"a turn is one process's":                     turns,
		"purges and runs do not disturb each other":   purgeRaces,
		"a deleted tenant leaves what it has used":    eraseAll,
		"a deletion goes on where it was":             eraseSteps,
		"a deletion waits for runs":                   eraseWaits,
		"a tenant's plugins go with it":               erasePlugins,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, &kept{bundle: setup(t, open), catalogue: c})
		})
	}
}

// kept is a store whose rows are counted.
type kept struct {
	*bundle

	catalogue Catalogue
}

// rows counts the rows of a tenant's, by table, and those of nobody's as "".
func (k *kept) rows(t testing.TB, tenantID string) map[string]int {
	t.Helper()
	found := make(map[string]int)
	for table, columns := range k.tables(t) {
		owner := owner(table, columns)
		query, args := "SELECT count(*) FROM "+table, []any{}
		if owner != "" {
			query, args = query+" WHERE "+owner+" = $1", append(args, tenantID)
		}
		if owner == "" && tenantID != "" {
			continue
		}
		var n int
		must(t, k.catalogue.Conn(k.Store).QueryRowContext(t.Context(), query, args...).Scan(&n))
		if n > 0 {
			found[table] = n
		}
	}
	return found
}

// owner is the column that says whose a row is.
func owner(table string, columns []string) string {
	switch {
	case table == "tenants":
		return "id"
	case table == "idempotency_keys":
		return "scope"
	case slices.Contains(columns, "tenant"):
		return "tenant"
	default:
		return ""
	}
}

func (k *kept) tables(t testing.TB) map[string][]string {
	t.Helper()
	rows, err := k.catalogue.Conn(k.Store).QueryContext(t.Context(), k.catalogue.Columns)
	must(t, err)
	defer func() { _ = rows.Close() }()
	found := make(map[string][]string)
	for rows.Next() {
		var table, column string
		must(t, rows.Scan(&table, &column))
		found[table] = append(found[table], column)
	}
	must(t, rows.Err())
	if len(found) < 20 {
		t.Fatalf("found %d tables, of more: %v", len(found), found)
	}
	return found
}

// finished makes an execution that leaves a row in every table that one can, with
// the given large bodies in its journal.
func (k *kept) finished(t testing.TB, p place, large ...string) execution.Claimed {
	t.Helper()
	ctx := t.Context()
	c := k.running(t, p)
	one := segment(1, "segment", large...)
	must(t, k.Begin(ctx, c, execution.Beginning{VersionID: "plv_1", World: []byte("world")}))
	must(t, k.Append(ctx, c, one))
	s := k.full(c, p)
	s.Records[0].DedupeKey = ""
	two := segment(2, "segment")
	s.Journal = &two
	must(t, k.Complete(ctx, s))
	return c
}

// perExecution is what finished leaves that goes when it does.
func perExecution(n int, changes ...map[string]int) map[string]int {
	want := map[string]int{"executions": n, "events": 2 * n, "attempts": n, "journal": 3 * n, "execution_tags": n}
	for _, c := range changes {
		for table, d := range c {
			want[table] += d
		}
	}
	maps.DeleteFunc(want, func(_ string, n int) bool { return n == 0 })
	return want
}

// lost is what was there before and is not now.
func lost(before, now map[string]int) map[string]int {
	d := make(map[string]int)
	for table, n := range before {
		if n != now[table] {
			d[table] = n - now[table]
		}
	}
	for table, n := range now {
		if _, ok := before[table]; !ok {
			d[table] = -n
		}
	}
	return d
}

// purge purges what finished before a time ago, in batches of any size.
func (k *kept) purge(t testing.TB, p place, ago time.Duration) retention.Purged {
	t.Helper()
	var total retention.Purged
	for {
		got, err := k.Purge(t.Context(), p.tenant, retention.Batch{Before: k.clock.now().Add(-ago), Executions: 100})
		must(t, err)
		if got == (retention.Purged{}) {
			return total
		}
		total = total.Plus(got)
	}
}

func purgeByAge(t *testing.T, k *kept) {
	old := []execution.Claimed{k.finished(t, k.acme, "big 1"), k.finished(t, k.acme, "big 2", "big 3")}
	k.finished(t, k.other, "big 1")
	k.clock.advance(48 * time.Hour)
	k.finished(t, k.acme, "big 4")
	mine, theirs, nobodys := k.rows(t, k.acme.tenant), k.rows(t, k.other.tenant), k.rows(t, "")

	got := k.purge(t, k.acme, 24*time.Hour)
	equal(t, 2, got.Executions)
	equal(t, 4, got.Events)
	bodies := map[string]int{"journal_bodies": 3, "journal_refs": 3}
	equal(t, perExecution(2, bodies), lost(mine, k.rows(t, k.acme.tenant)))
	equal(t, theirs, k.rows(t, k.other.tenant))
	equal(t, nobodys, k.rows(t, ""))
	for _, c := range old {
		_, err := k.Trace(t.Context(), c.Tenant, c.Execution)
		wantNotFound(t, "a purged execution", err)
		k.wantJournal(t, c, "")
	}
	equal(t, retention.Purged{}, k.purge(t, k.acme, 24*time.Hour))
	equal(t, 1, k.purge(t, k.other, 24*time.Hour).Executions)
}

func purgeByBytes(t *testing.T, k *kept) {
	ctx := t.Context()
	var all []execution.Claimed
	for range 4 {
		all = append(all, k.finished(t, k.acme, strings.Repeat("x", len(all)+1)+strings.Repeat("y", 10_000)))
		k.clock.advance(time.Minute)
	}
	k.clock.advance(2 * time.Hour)
	full, err := k.Retained(ctx, k.acme.tenant)
	must(t, err)
	if full < 40_000 || full > 45_000 {
		t.Fatalf("got %d bytes for four executions of 10 kB each", full)
	}
	// One byte too much costs one execution, the first.
	got, err := k.Purge(ctx, k.acme.tenant, retention.Batch{Before: k.clock.now(), Executions: 100, Bytes: 1})
	must(t, err)
	equal(t, 1, got.Executions)
	// What two hold costs two; the body is counted with what it belongs to.
	got, err = k.Purge(ctx, k.acme.tenant, retention.Batch{Before: k.clock.now(), Executions: 100, Bytes: 10_500})
	must(t, err)
	equal(t, 2, got.Executions)
	for i, c := range all {
		_, err := k.Execution(ctx, c.Tenant, c.Execution)
		if i < 3 {
			wantNotFound(t, "what finished first", err)
			continue
		}
		must(t, err)
	}
	left, err := k.Retained(ctx, k.acme.tenant)
	must(t, err)
	if left < 10_000 || left > 11_500 {
		t.Errorf("got %d bytes for what is left", left)
	}
}

func purgeBatches(t *testing.T, k *kept) {
	for range 5 {
		k.finished(t, k.acme)
	}
	k.clock.advance(time.Minute)
	large := strings.Repeat("z", 5<<20)
	for i := range 2 { // As much as one transaction deletes is less than both.
		k.finished(t, k.acme, fmt.Sprint(i, large))
	}
	k.clock.advance(2 * time.Hour)
	var sizes []int
	for {
		got, err := k.Purge(t.Context(), k.acme.tenant, retention.Batch{Before: k.clock.now(), Executions: 5 - len(sizes)})
		must(t, err)
		if got.Executions == 0 {
			break
		}
		sizes = append(sizes, got.Executions)
	}
	equal(t, []int{5, 1, 1}, sizes)
	equal(t, 0, k.rows(t, k.acme.tenant)["executions"])
}

func purgeSparesTheLiving(t *testing.T, k *kept) {
	ctx := t.Context()
	run := k.running(t, k.acme)
	must(t, k.Begin(ctx, run, execution.Beginning{VersionID: "plv_1", World: []byte("w")}))
	must(t, k.Append(ctx, run, segment(1, "s", "big")))
	k.end(t, k.acme, waiting(execution.ReasonSleep, k.clock.now().Add(1000*time.Hour)))
	k.work(t, k.acme, event.Live)
	before := k.rows(t, k.acme.tenant)
	k.clock.advance(500 * time.Hour)
	equal(t, retention.Purged{}, k.purge(t, k.acme, time.Hour))
	got, err := k.Forget(ctx, k.acme.tenant, k.clock.now(), k.clock.now())
	must(t, err)
	equal(t, retention.Purged{}, got)
	equal(t, before, k.rows(t, k.acme.tenant))

	ends := []string{k.end(t, k.acme, dead("f")), k.end(t, k.acme, func(*execution.Completion) {})}
	cancelled := k.work(t, k.acme, event.Live)
	must2(t)(k.Cancel(ctx, k.acme.tenant, cancelled))
	ends = append(ends, cancelled)
	k.clock.advance(2 * time.Hour)
	equal(t, len(ends), k.purge(t, k.acme, time.Hour).Executions)
	equal(t, before["executions"], k.rows(t, k.acme.tenant)["executions"])
	must(t, k.Complete(ctx, success(run)))
}

func purgeSharedBodies(t *testing.T, k *kept) {
	first := k.finished(t, k.acme, "shared", "mine")
	k.finished(t, k.other, "shared")
	k.clock.advance(24 * time.Hour)
	second := k.finished(t, k.acme, "shared")
	k.clock.advance(2 * time.Hour)
	k.purge(t, k.acme, 12*time.Hour)
	k.wantJournal(t, first, "")
	equal(t, []string{"shared"}, k.wantJournal(t, second, "world", "segment", "segment"))
	equal(t, 1, k.rows(t, k.acme.tenant)["journal_bodies"])
	k.purge(t, k.acme, time.Hour)
	equal(t, 0, k.rows(t, k.acme.tenant)["journal_bodies"])
	equal(t, 1, k.rows(t, k.other.tenant)["journal_bodies"])
}

// purgeIdleBodies purges so early that the body may be named by a transaction
// that has not committed.
func purgeIdleBodies(t *testing.T, k *kept) {
	k.finished(t, k.acme, "young")
	k.clock.advance(time.Minute)
	equal(t, 1, k.purge(t, k.acme, 0).Executions)
	equal(t, 1, k.rows(t, k.acme.tenant)["journal_bodies"])
	k.finished(t, k.acme, "young")
	k.clock.advance(retention.Fresh + time.Minute)
	equal(t, 1, k.purge(t, k.acme, retention.Fresh).Executions)
	equal(t, 0, k.rows(t, k.acme.tenant)["journal_bodies"])
}

func purgeKeys(t *testing.T, k *kept) {
	ctx := t.Context()
	e := k.event(k.acme)
	e.DedupeKey, e.Request = "delivery 1", &event.Request{}
	work := event.Work{Execution: ident.New(ident.Execution, k.clock.now()), Lane: event.Live}
	must2(t)(k.Accept(ctx, e, &work))
	c := k.claim(t, "w1", k.acme, 1)[0]
	s := k.full(c, k.acme) // It emits a record with a key.
	must(t, k.Complete(ctx, s))
	k.clock.advance(48 * time.Hour)
	got := k.purge(t, k.acme, 24*time.Hour)
	equal(t, 1, got.Executions)
	equal(t, 0, got.Events)

	// They are found no more, but a repeated one is known.
	equal(t, 2, k.rows(t, k.acme.tenant)["events"])
	_, err := k.Event(ctx, k.acme.tenant, e.ID)
	wantNotFound(t, "the event", err)
	events, err := k.Events(ctx, k.acme.tenant, event.Filter{})
	must(t, err)
	equal(t, 0, len(events))
	again := k.event(k.acme)
	again.DedupeKey = e.DedupeKey
	accepted, err := k.Accept(ctx, again, &event.Work{Execution: "exe_again", Lane: event.Live})
	must(t, err)
	equal(t, event.Accepted{Event: e.ID, Execution: work.Execution, Duplicate: true}, accepted)
	second := k.running(t, k.acme)
	repeat := k.full(second, k.acme)
	must(t, k.Complete(ctx, repeat))
	trace, err := k.Trace(ctx, k.acme.tenant, second.Execution)
	must(t, err)
	equal(t, 0, len(trace.Emitted))

	k.clock.advance(retention.KeyLife)
	forgotten, err := k.Forget(ctx, k.acme.tenant, k.clock.now().Add(-retention.KeyLife), k.clock.now().Add(-retention.KeyLife))
	must(t, err)
	equal(t, retention.Purged{Keys: 2}, forgotten)
	accepted, err = k.Accept(ctx, again, &event.Work{Execution: "exe_again", Lane: event.Live})
	must(t, err)
	equal(t, false, accepted.Duplicate)
}

func countBytes(t *testing.T, k *kept) {
	ctx := t.Context()
	bytes := func() int64 {
		n, err := k.Retained(ctx, k.acme.tenant)
		must(t, err)
		return n
	}
	equal(t, 0, bytes())
	body := strings.Repeat("b", 1000)
	k.finished(t, k.acme, body)
	// The body at once, the rest once the ten minutes are over.
	equal(t, 1000, bytes())
	k.clock.advance(12 * time.Minute)
	one := bytes() - 1000
	if one < 20 || one > 200 {
		t.Errorf("got %d bytes for an execution without its body", one)
	}
	for range 2 {
		k.finished(t, k.acme, body)
	}
	k.clock.advance(12 * time.Minute)
	equal(t, 3*one+1000, bytes())
	equal(t, 3*one+1000, bytes())
	// What has been counted is taken off again, and nothing of it stays.
	got, err := k.Purge(ctx, k.acme.tenant, retention.Batch{Before: k.clock.now(), Executions: 1})
	must(t, err)
	equal(t, one, got.Bytes)
	equal(t, 2*one+1000, bytes())
	k.clock.advance(2 * time.Hour)
	equal(t, 2*one+1000, k.purge(t, k.acme, time.Hour).Bytes)
	equal(t, 0, bytes())
	equal(t, 0, k.rows(t, k.acme.tenant)["retained"])
	other, err := k.Retained(ctx, k.other.tenant)
	must(t, err)
	equal(t, 0, other)
}

func purgeRedriven(t *testing.T, k *kept) {
	ctx := t.Context()
	id := k.end(t, k.acme, dead("f"))
	k.clock.advance(time.Hour)
	must2(t)(k.Retained(ctx, k.acme.tenant))
	must(t, k.Redrive(ctx, k.acme.tenant, id, execution.Redriving{}))
	equal(t, retention.Purged{}, k.purge(t, k.acme, 0))
	c := k.claim(t, "w1", k.acme, 1)[0]
	must(t, k.Complete(ctx, success(c)))
	k.clock.advance(time.Hour)
	must2(t)(k.Retained(ctx, k.acme.tenant))
	equal(t, 1, k.purge(t, k.acme, time.Minute).Executions)
	// What was counted of it twice is gone with the last.
	n, err := k.Retained(ctx, k.acme.tenant)
	must(t, err)
	equal(t, 0, n)
}

func sweepAnswers(t *testing.T, k *kept) {
	ctx := t.Context()
	for _, key := range []string{"a", "b"} {
		must2(t)(k.Reserve(ctx, store.Key{Scope: k.acme.tenant, Key: key, Digest: []byte("d")}, k.clock.now()))
		k.clock.advance(25 * time.Hour)
	}
	before := k.clock.now().Add(-retention.AnswerLife)
	got, err := k.Sweep(ctx, before)
	must(t, err)
	equal(t, retention.Purged{Answers: 1}, got)
	got, err = k.Sweep(ctx, before)
	must(t, err)
	equal(t, retention.Purged{}, got)
	equal(t, 1, k.rows(t, k.acme.tenant)["idempotency_keys"])
}

func forgetLoose(t *testing.T, k *kept) {
	ctx := t.Context()
	must2(t)(k.Accept(ctx, k.event(k.acme), nil))
	must2(t)(k.Accept(ctx, k.event(k.other), nil))
	k.insertJob(t, k.acme, "job_1")
	must(t, k.SteerJob(ctx, k.acme.tenant, "job_1", job.Cancelled))
	k.insertJob(t, k.acme, "job_2")
	k.clock.advance(48 * time.Hour)
	must2(t)(k.Accept(ctx, k.event(k.acme), nil))
	old := k.clock.now().Add(-24 * time.Hour)
	got, err := k.Forget(ctx, k.acme.tenant, old, old)
	must(t, err)
	equal(t, retention.Purged{Events: 1, Jobs: 1}, got)
	equal(t, 1, k.rows(t, k.acme.tenant)["events"])
	equal(t, 1, k.rows(t, k.acme.tenant)["jobs"])
	equal(t, 1, k.rows(t, k.other.tenant)["events"])
}

func (k *kept) insertJob(t testing.TB, p place, id string) {
	t.Helper()
	now := k.clock.now()
	must(t, k.InsertJob(t.Context(), job.Job{ID: id, Tenant: p.tenant, Kind: "k", Spec: []byte("{}"), State: job.Queued, CreatedAt: now, ChangedAt: now}, 9))
}

func turns(t *testing.T, k *kept) {
	ctx := t.Context()
	take := func(name, holder string) bool {
		mine, err := k.TakeTurn(ctx, retention.Turn{Name: name, Holder: holder, For: time.Minute})
		must(t, err)
		return mine
	}
	equal(t, true, take("a", "x"))
	equal(t, false, take("a", "y"))
	equal(t, true, take("b", "y"))
	k.clock.advance(40 * time.Second)
	equal(t, true, take("a", "x"))
	k.clock.advance(40 * time.Second)
	equal(t, false, take("a", "y"))
	k.clock.advance(40 * time.Second)
	equal(t, true, take("a", "y"))
	equal(t, false, take("a", "x"))
}

// purgeRaces purges while executions with the same large body begin and end.
func purgeRaces(t *testing.T, k *kept) {
	ctx := t.Context()
	const n = 40
	for range n {
		k.finished(t, k.acme, "shared")
	}
	k.clock.advance(2 * time.Hour)
	before := k.clock.now().Add(-time.Hour)
	for range n {
		k.work(t, k.acme, event.Live)
	}
	claims := k.claim(t, "w1", k.acme, n)
	equal(t, n, len(claims))
	var purged int
	var lock sync.Mutex
	together(n+2, func(i int) {
		if i < n {
			c := claims[i]
			s := success(c)
			two := segment(2, "b", "shared")
			s.Journal = &two
			for _, err := range []error{
				k.Begin(ctx, c, execution.Beginning{VersionID: "plv_1", World: []byte("w")}),
				k.Append(ctx, c, segment(1, "a", "shared", "large")), k.Complete(ctx, s),
			} {
				if err != nil {
					t.Error(err)
				}
			}
			return
		}
		// Two at once, as when a turn was lost.
		for {
			got, err := k.Purge(ctx, k.acme.tenant, retention.Batch{Before: before, Executions: 3})
			if err != nil {
				t.Error(err)
			}
			if err != nil || left(ctx, t, k, before) == 0 {
				return
			}
			lock.Lock()
			purged += got.Executions
			lock.Unlock()
		}
	})
	if purged > n {
		t.Errorf("%d were purged of %d", purged, n)
	}
	for _, c := range claims {
		equal(t, []string{"large", "shared"}, k.wantJournal(t, c, "w", "a", "b"))
	}
	equal(t, map[string]int{"executions": n, "journal_bodies": 2, "journal_refs": 2 * n},
		only(k.rows(t, k.acme.tenant), "executions", "journal_bodies", "journal_refs"))
}

// left counts what is to be purged.
func left(ctx context.Context, t *testing.T, k *kept, before time.Time) int {
	var n int
	err := k.catalogue.Conn(k.Store).QueryRowContext(ctx,
		`SELECT count(*) FROM executions WHERE tenant = $1 AND state >= 3 AND finished_at < $2`, k.acme.tenant, before.UnixMicro()).Scan(&n)
	if err != nil {
		t.Error(err)
	}
	return n
}

// owns gives a tenant a row in every table that a tenant can have one in.
func (k *kept) owns(t testing.TB, p place) {
	t.Helper()
	ctx, now := t.Context(), k.clock.now()
	k.finished(t, p, "large")
	k.clock.advance(12 * time.Minute)
	must2(t)(k.Retained(ctx, p.tenant))
	must(t, k.Complete(ctx, costing(k.running(t, p), 5)))
	k.end(t, p, waiting(execution.ReasonSleep, now.Add(time.Hour)))
	k.work(t, p, event.Live)
	must2(t)(k.Accept(ctx, k.event(p), nil))
	must2(t)(k.InsertKey(ctx, vault.Key{Tenant: p.tenant, KeyID: "kek", Wrapped: []byte("wrapped")}))
	must(t, k.InsertToken(ctx, token.Token{ID: "tok_" + p.tenant, Tenant: p.tenant}, []byte("hash "+p.tenant)))
	must(t, k.InsertConnection(ctx, connection.Connection{ID: "con_1", Tenant: p.tenant, Name: "c", Type: connection.Bearer, Version: 1}, []byte("sealed")))
	end := k.endpoint(p)
	must(t, k.InsertEndpoint(ctx, end, []byte("sealed")))
	must2(t)(k.Reserve(ctx, store.Key{Scope: p.tenant, Key: "a", Digest: []byte("d")}, now))
	k.insertJob(t, p, "job_1")
	s := shelf{k.bundle}
	v, err := s.publish(t, s.publisher("pub-"+p.tenant, p.tenant), "own", "0.1.0", "module of "+p.tenant)
	must(t, err)
	must(t, k.Share(ctx, v.Plugin, []string{p.tenant}))
}

// marked pauses a tenant and begins its deletion.
func (k *kept) marked(t testing.TB, p place) {
	t.Helper()
	ctx := t.Context()
	was, err := k.Tenant(ctx, p.tenant)
	must(t, err)
	paused := was
	paused.State = tenant.Paused
	must(t, k.UpdateTenant(ctx, paused, was))
	must(t, k.DeleteTenant(ctx, paused))
}

// erase goes on with a deletion until there is nothing left, and returns how many
// steps it took.
func (k *kept) erase(t testing.TB, p place) int {
	t.Helper()
	for n := 1; ; n++ {
		got, err := k.Erase(t.Context(), p.tenant)
		must(t, err)
		if got == (retention.Erased{}) {
			return n
		}
		if got.Waits != "" {
			t.Fatalf("it waits for %s", got.Waits)
		}
	}
}

func eraseAll(t *testing.T, k *kept) {
	ctx := t.Context()
	k.owns(t, k.acme)
	k.owns(t, k.other)
	mine, theirs := k.rows(t, k.acme.tenant), k.rows(t, k.other.tenant)
	for table, columns := range k.tables(t) {
		if owner(table, columns) != "" && mine[table] == 0 {
			t.Errorf("the tenant has nothing in %s: this proves nothing of it", table)
		}
	}
	active, err := k.Tenant(ctx, k.acme.tenant)
	must(t, err)
	wantFault(t, k.DeleteTenant(ctx, active), fault.Conflict, tenant.CodeChanged)
	_, err = k.Erase(ctx, k.acme.tenant)
	wantFault(t, err, fault.Conflict, "tenant_not_deleting")
	equal(t, mine, k.rows(t, k.acme.tenant))

	// The key is gone, and the tokens, before anything else is.
	k.marked(t, k.acme)
	equal(t, map[string]int{"tenant_keys": 1, "tokens": 1}, lost(mine, k.rows(t, k.acme.tenant)))
	_, err = k.InsertKey(ctx, vault.Key{Tenant: k.acme.tenant, KeyID: "kek", Wrapped: []byte("again")})
	wantNotFound(t, "InsertKey", err)
	_, err = k.Accept(ctx, k.event(k.acme), &event.Work{Execution: "exe_late"})
	wantNotFound(t, "Accept", err)
	deleting, err := k.Tenant(ctx, "acme")
	must(t, err)
	equal(t, tenant.Deleting, deleting.State)

	k.erase(t, k.acme)
	used := map[string]int{"tenants": 1, "usage_days": mine["usage_days"]}
	equal(t, used, k.rows(t, k.acme.tenant))
	must(t, k.Bury(ctx, k.acme.tenant))
	equal(t, used, k.rows(t, k.acme.tenant))
	equal(t, theirs, k.rows(t, k.other.tenant))
	for _, ref := range []string{"acme", k.acme.tenant} {
		_, err = k.Tenant(ctx, ref)
		wantNotFound(t, "a deleted tenant", err)
	}
	all, err := k.Tenants(ctx, "", 10)
	must(t, err)
	equal(t, 1, len(all))
	totals, err := k.UsageByTenant(ctx, always(), "", 10)
	must(t, err)
	equal(t, 2, len(totals))
	equal(t, totals[1].Fuel, totals[0].Fuel)
	if totals[0].Fuel == 0 {
		t.Error("what the tenant has used is gone")
	}
	_, err = k.Accept(ctx, k.event(k.acme), nil)
	wantNotFound(t, "Accept", err)
	_, err = k.InsertKey(ctx, vault.Key{Tenant: "ten_none", KeyID: "kek", Wrapped: []byte{1}})
	wantNotFound(t, "InsertKey of no tenant", err)
	k.newPlace(t, "acme") // The name is free.
}

// eraseSteps stops a deletion after each step, as a crash would.
func eraseSteps(t *testing.T, k *kept) {
	ctx := t.Context()
	k.owns(t, k.acme)
	for range 120 {
		k.work(t, k.acme, event.Live)
	}
	k.marked(t, k.acme)
	total := func() int { return sum(slices.Collect(maps.Values(k.rows(t, k.acme.tenant)))) }
	steps := 0
	for before := total(); ; steps++ {
		got, err := k.Erase(ctx, k.acme.tenant)
		must(t, err)
		now := total()
		if got == (retention.Erased{}) {
			equal(t, before, now)
			break
		}
		if now >= before {
			t.Fatalf("step %d of %d rows took nothing away: %d rows before, %d now", steps, got.Rows, before, now)
		}
		before = now
	}
	if steps < 10 {
		t.Errorf("%d steps, want more: what is large must not go at once", steps)
	}
	equal(t, map[string]int{"tenants": 1, "usage_days": 1}, k.rows(t, k.acme.tenant))
	equal(t, 1, k.erase(t, k.acme)) // Again, which changes nothing.
	must(t, k.Bury(ctx, k.acme.tenant))
	_, err := k.Erase(ctx, k.acme.tenant)
	wantFault(t, err, fault.Conflict, "tenant_not_deleting")
}

func eraseWaits(t *testing.T, k *kept) {
	ctx := t.Context()
	run := k.running(t, k.acme)
	must(t, k.Append(ctx, run, segment(1, "a", "large")))
	k.work(t, k.acme, event.Live)
	k.marked(t, k.acme)
	first, err := k.Erase(ctx, k.acme.tenant)
	must(t, err)
	equal(t, retention.Erased{Rows: 1}, first)
	for range 2 {
		got, err := k.Erase(ctx, k.acme.tenant)
		must(t, err)
		equal(t, retention.Erased{Waits: "runs in flight"}, got)
	}
	stop, err := k.Heartbeat(ctx, "w1", time.Minute)
	must(t, err)
	equal(t, []string{run.Execution}, stop)
	// What it does until then is still recorded, and it ends.
	must(t, k.Append(ctx, run, segment(2, "b", "large")))
	must(t, k.Complete(ctx, success(run)))
	k.erase(t, k.acme)
	equal(t, 1, k.rows(t, k.acme.tenant)["tenants"])
	wantIs(t, k.Append(ctx, run, segment(3, "c", "large")), execution.ErrFenced)
	equal(t, 0, k.rows(t, k.acme.tenant)["journal_bodies"])
}

func erasePlugins(t *testing.T, k *kept) {
	ctx := t.Context()
	s := shelf{k.bundle}
	mine, vendor := s.publisher("acme-pub", k.acme.tenant), s.publisher("vendor", "")
	v, err := s.publish(t, mine, "crm", "1.0.0", "the same module")
	must(t, err)
	must2(t)(s.publish(t, mine, "crm", "2.0.0", "another module"))
	same, err := s.publish(t, vendor, "crm", "1.0.0", "the same module")
	must(t, err)
	must(t, k.Share(ctx, v.Plugin, []string{k.other.tenant}))
	i := k.installation(k.other.tenant, "crm")
	i.VersionID = v.ID
	must(t, k.InsertInstallation(ctx, i))

	was, err := k.Tenant(ctx, k.acme.tenant)
	must(t, err)
	paused := was
	paused.State = tenant.Paused
	must(t, k.UpdateTenant(ctx, paused, was))
	wantFault(t, k.DeleteTenant(ctx, paused), fault.Conflict, tenant.CodePublisher)
	i.State = "removed"
	must(t, k.UpdateInstallation(ctx, i, i.UpdatedAt))
	must(t, k.DeleteTenant(ctx, paused))

	// One that installs it at the last moment is waited for.
	late := k.installation(k.other.tenant, "late")
	late.VersionID = v.ID
	must(t, k.InsertInstallation(ctx, late))
	for {
		got, err := k.Erase(ctx, k.acme.tenant)
		must(t, err)
		if got.Waits != "" {
			break
		}
		if got.Rows == 0 {
			t.Fatal("a plugin that another tenant has installed was taken away")
		}
	}
	must2(t)(k.Version(ctx, registry.Viewer{Operator: true}, v.ID))
	late.State = "removed"
	must(t, k.UpdateInstallation(ctx, late, late.UpdatedAt))
	k.erase(t, k.acme)
	if _, err := k.Version(ctx, registry.Viewer{Operator: true}, v.ID); err == nil {
		t.Error("its plugin is still there")
	}
	blob, err := k.Blob(ctx, same.Digest)
	must(t, err)
	equal(t, "the same module", string(blob))
	equal(t, map[string]int{"blobs": 1, "plugin_versions": 1, "plugins": 1},
		only(k.rows(t, ""), "blobs", "plugin_versions", "plugins"))
}

func only(rows map[string]int, tables ...string) map[string]int {
	found := make(map[string]int)
	for _, t := range tables {
		if n, ok := rows[t]; ok {
			found[t] = n
		}
	}
	return found
}

func sum(ns []int) int {
	total := 0
	for _, n := range ns {
		total += n
	}
	return total
}
