package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
)

func testRedrives(t *testing.T, open Open) {
	each(t, open, map[string]func(*testing.T, *bundle){
		"crashes are counted until a run ends":            crashes,
		"a redrive says how to run until a run has begun": redriveModes,
		"a redrive on the same version runs on":           redriveSameVersion,
		"a redrive adds what was decided":                 redriveJournal,
		"a redrive of one of many changes the lane":       redriveLane,
	})
}

func crashes(t *testing.T, b *bundle) {
	ctx := t.Context()
	c := b.running(t, b.acme)
	equal(t, 0, c.Crashes)
	// Who has only claimed it was not killed by it.
	b.clock.advance(9 * time.Second)
	must2(t)(b.Reap(ctx))
	c = b.claim(t, "unbegun", b.acme, 1)[0]
	equal(t, 0, c.Crashes)
	must(t, b.Begin(ctx, c, begins("plv_1")))
	for n := 1; n <= 3; n++ {
		b.clock.advance(9 * time.Second)
		must2(t)(b.Reap(ctx))
		again := b.claim(t, fmt.Sprint("crashing", n), b.acme, 1)
		equal(t, 1, len(again))
		equal(t, n, again[0].Crashes)
		equal(t, 1, again[0].Attempt)
		// A beginning is no end.
		must(t, b.Begin(ctx, again[0], begins("plv_1")))
		c = again[0]
	}
	end := success(c)
	waiting(execution.ReasonRetry, b.clock.now())(&end)
	must(t, b.Complete(ctx, end))
	must3(t)(b.Promote(ctx, 10))
	c = b.claim(t, "w9", b.acme, 1)[0]
	equal(t, 0, c.Crashes)
	must(t, b.Begin(ctx, c, begins("plv_1")))
	b.clock.advance(9 * time.Second)
	must2(t)(b.Reap(ctx))
	c = b.claim(t, "w10", b.acme, 1)[0]
	equal(t, 1, c.Crashes)
	end = success(c)
	dead("f")(&end)
	must(t, b.Complete(ctx, end))
	must(t, b.Redrive(ctx, c.Tenant, c.Execution, execution.Redriving{}))
	c = b.claim(t, "w10", b.acme, 1)[0]
	equal(t, 0, c.Crashes)
	must(t, b.Begin(ctx, c, begins("plv_1")))
	// A person's second thought forgets the crashes too.
	b.clock.advance(9 * time.Second)
	must2(t)(b.Reap(ctx))
	must2(t)(b.Cancel(ctx, c.Tenant, c.Execution))
	must(t, b.Redrive(ctx, c.Tenant, c.Execution, execution.Redriving{}))
	equal(t, 0, b.claim(t, "w11", b.acme, 1)[0].Crashes)
}

func redriveLane(t *testing.T, b *bundle) {
	redriven := func(t *testing.T, c execution.Claimed, many bool) event.Lane {
		t.Helper()
		end := success(c)
		dead("f")(&end)
		must(t, b.Complete(t.Context(), end))
		must(t, b.Redrive(t.Context(), c.Tenant, c.Execution, execution.Redriving{Backfill: many}))
		again := b.claim(t, "w1", b.acme, 1)[0]
		equal(t, c.Execution, again.Execution)
		return again.Lane
	}
	c := b.running(t, b.acme)
	for _, step := range []struct {
		many bool
		want event.Lane
	}{{false, event.Live}, {true, event.Backfill}, {true, event.Backfill}, {false, event.Live}} {
		equal(t, step.want, redriven(t, c, step.many))
		c.Claim++
	}
}

func redriveModes(t *testing.T, b *bundle) {
	ctx := t.Context()
	for mode, want := range map[execution.Mode]execution.Mode{
		"": execution.Resume, execution.Resume: execution.Resume, execution.Restart: execution.Restart, execution.Force: execution.Force,
	} {
		t.Run(string("mode "+mode), func(t *testing.T) {
			p := b.newPlace(t, "of"+string(mode))
			c := b.running(t, p)
			must(t, b.Begin(ctx, c, execution.Beginning{VersionID: "plv_1", World: []byte("w")}))
			end := success(c)
			dead("f")(&end)
			end.Journal = new(segment(1, "a"))
			must(t, b.Complete(ctx, end))
			must(t, b.Redrive(ctx, p.tenant, c.Execution, execution.Redriving{Mode: mode}))
			b.wantJournal(t, c, "w", "a")
			e := b.execution(t, p, c.Execution)
			if e.Mode != want || e.State != execution.Queued || e.VersionID != "" || e.Attempt != 0 || e.Error != nil {
				t.Errorf("a redriven execution: %+v", e)
			}
			// Who does not come as far as to pin a world has not settled it.
			again := b.claim(t, "w1", p, 1)[0]
			must(t, b.Begin(ctx, again, begins("plv_2")))
			end = success(again)
			end.Outcome, end.Counted = execution.Queued, false
			must(t, b.Complete(ctx, end))
			equal(t, want, b.execution(t, p, c.Execution).Mode)
			last := b.claim(t, "w1", p, 1)[0]
			must(t, b.Begin(ctx, last, execution.Beginning{VersionID: "plv_2", World: []byte("w2"), Journal: new(segment(2, "b"))}))
			equal(t, "", b.execution(t, p, c.Execution).Mode)
			b.wantJournal(t, c, "w2", "a", "b")
		})
	}
}

func redriveSameVersion(t *testing.T, b *bundle) {
	ctx := t.Context()
	c := b.running(t, b.acme)
	must(t, b.Begin(ctx, c, execution.Beginning{VersionID: "plv_1", World: []byte("w")}))
	end := success(c)
	dead("f")(&end)
	must(t, b.Complete(ctx, end))
	must(t, b.Redrive(ctx, c.Tenant, c.Execution, execution.Redriving{SameVersion: true}))
	e := b.execution(t, b.acme, c.Execution)
	if e.Mode != "" || e.State != execution.Queued || e.VersionID != "plv_1" || e.Attempt != 0 || e.Error != nil || e.Fingerprint != "" {
		t.Errorf("a redriven execution: %+v", e)
	}
	b.wantJournal(t, c, "w")
	_, n, err := b.Pinned(ctx, "plv_1")
	must(t, err)
	equal(t, 1, n)
}

func redriveJournal(t *testing.T, b *bundle) {
	ctx := t.Context()
	c := b.running(t, b.acme)
	r := execution.Redriving{SameVersion: true, Journal: new(segment(1, "it happened", "large"))}
	wantFault(t, b.Redrive(ctx, c.Tenant, c.Execution, r), fault.Conflict, "not_redrivable")
	b.wantJournal(t, c, "")
	end := success(c)
	dead("f")(&end)
	must(t, b.Complete(ctx, end))
	must(t, b.Redrive(ctx, c.Tenant, c.Execution, r))
	equal(t, []string{"large"}, b.wantJournal(t, c, "", "it happened"))
	must2(t)(b.Cancel(ctx, c.Tenant, c.Execution))
	// Two persons decide: the second has to look again.
	wantFault(t, b.Redrive(ctx, c.Tenant, c.Execution, r), fault.Conflict, "exists")
	b.wantState(t, b.acme, c.Execution, execution.Cancelled)
	r.Journal.Seq = 2
	must(t, b.Redrive(ctx, c.Tenant, c.Execution, r))
	b.wantJournal(t, c, "", "it happened", "it happened")
}
