package storetest

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/job"
	"github.com/cofferdam-run/cofferdam/host/retention"
	"github.com/cofferdam-run/cofferdam/host/store"
)

// Retention checks what is purged and what a deleted tenant leaves, row by row in
// every table that there is.
func Retention(t *testing.T, open Open, c Catalogue) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, *kept){
		"what is old goes with all that hangs off it":  purgeByAge,
		"what finished first goes":                     purgeByBytes,
		"a batch is as small as it is asked for":       purgeBatches,
		"what may still run stays":                     purgeSparesTheLiving,
		"a shared body stays while one names it":       purgeSharedBodies,
		"a body in use meanwhile stays":                purgeIdleBodies,
		"a large body goes with its last event":        purgeLarge,
		"a large body that is young goes later":        purgeYoung,
		"a large body counts":                          purgeLargest,
		"a key is known for a while":                   purgeKeys,
		"bytes are counted once":                       countBytes,
		"an event stays with its latest execution":     purgeRedelivered,
		"what is redriven is purged later":             purgeRedriven,
		"answers are swept":                            sweepAnswers,
		"what nothing hangs off goes":                  forgetLoose,
		"a turn is one process's":                      turns,
		"purges and runs do not disturb each other":    purgeRaces,
		"a deleted tenant leaves what it has used":     eraseAll,
		"a deletion goes on where it was":              eraseSteps,
		"a deletion waits for runs":                    eraseWaits,
		"a tenant's plugins go with it":                erasePlugins,
		"a deletion can be called off until it is due": deletionGrace,
		"everything of a tenant is exported":           archived,
		"a deletion of one that was resumed is off":    deletionResumed,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, &kept{bundle: setup(t, open), catalogue: c})
		})
	}
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
			lock.Lock()
			purged += got.Executions
			lock.Unlock()
			if err != nil || left(ctx, t, k, before) == 0 {
				return
			}
		}
	})
	if purged != n {
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
