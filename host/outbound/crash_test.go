package outbound_test

import (
	"context"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/outbound"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/postgres"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/store/storetest/faults"
)

// TestEveryStatementMayFail has each statement of sending fail in turn, and the process with
// it. The next one sends what was not sent, and nothing is lost: there is one delivery of
// each message, and it arrives.
func TestEveryStatementMayFail(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(testing.TB, *faults.Plan, func() time.Time) (store.Store, error){"sqlite": brokenSQLite, "postgres": brokenPostgres} {
		for when, w := range map[string]faults.When{"not executed": faults.Before, "answer lost": faults.After} {
			t.Run(name+"/"+when, func(t *testing.T) {
				t.Parallel()
				var plan faults.Plan
				b := setup(t, func(tb testing.TB, now func() time.Time) (store.Store, error) {
					tb.Helper()
					return open(tb, &plan, now)
				})
				r := b.receiver(t)
				d := r.listens(t, acme, false, "*")
				for n := 1; ; n++ {
					id := b.record(t, acme, "order", `{}`)
					plan.Arm(n, w)
					_, _ = b.SendDue(t.Context()) // Whatever it says, it is dead then.
					struck := plan.Struck()
					plan.Arm(0, w)
					b.destinations, b.Sender = b.process(b.Store, "wrk_next", nil)
					b.advance(31 * time.Second) // The lease and the turn are over.
					for range 5 {               // The first may find a connection that is gone.
						if _, err := b.SendDue(t.Context()); err == nil {
							break
						}
					}
					b.advance(31 * time.Second)
					b.due(t)
					all, err := b.List(t.Context(), acme, d.ID, outbound.Filter{Limit: 200})
					must(t, err)
					if len(all) != n || all[0].Message != id || all[0].State != outbound.Delivered || !slices.Contains(r.ids(), id) {
						t.Fatalf("when statement %d fails: %d deliveries, the last %+v", n, len(all), all[0])
					}
					b.advance(time.Millisecond)
					if !struck {
						if n < 8 {
							t.Errorf("sending makes %d statements", n)
						}
						return
					}
				}
			})
		}
	}
}

func brokenSQLite(tb testing.TB, plan *faults.Plan, now func() time.Time) (store.Store, error) {
	tb.Helper()
	return sqlite.Open(tb.Context(), filepath.Join(tb.TempDir(), "test.db"), sqlite.Options{Driver: faults.SQLite(plan), Now: now})
}

func brokenPostgres(tb testing.TB, plan *faults.Plan, now func() time.Time) (store.Store, error) {
	tb.Helper()
	address, stop, err := faults.Postgres(tb.Context(), postgrestest.DSN(tb), plan)
	must(tb, err)
	tb.Cleanup(stop)
	return postgres.Open(tb.Context(), address, postgres.Options{Now: now})
}

// TestWhatADeadProcessSentIsSentAgain has a process die while it sends.
func TestWhatADeadProcessSentIsSentAgain(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bundle) {
		t.Helper()
		r := b.receiver(t)
		d := r.listens(t, acme, false, "*")
		id := b.record(t, acme, "order", `{}`)
		due, err := b.DueDestinations(t.Context(), 10)
		must(t, err)
		if len(due.Refs) > 0 {
			t.Fatalf("due before it is spread: %+v", due)
		}
		_, err = b.Spread(t.Context(), 10)
		must(t, err)
		dead, err := b.ClaimDeliveries(t.Context(), outbound.Ref{Owner: acme, Destination: d.ID}, 4, 30*time.Second)
		must(t, err)
		if len(dead) != 1 {
			t.Fatalf("claimed %+v", dead)
		}
		b.advance(29 * time.Second)
		b.due(t)
		if got := r.ids(); len(got) > 0 {
			t.Errorf("%v arrived while another had claimed it", got)
		}
		b.advance(time.Second)
		b.due(t)
		if diff := cmp.Diff([]string{id}, r.ids()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		// The dead were not.
		late := dead[0]
		late.Tries, late.Attempts = 1, []outbound.Attempt{{Status: 500}}
		if _, err := b.SettleDelivery(t.Context(), outbound.Settled{Delivery: late, To: outbound.Failed}); err != outbound.ErrFenced { //nolint:errorlint // It is as it is.
			t.Errorf("got %v, want it fenced off", err)
		}
		if err := b.ReleaseDelivery(t.Context(), late, 0); err != outbound.ErrFenced { //nolint:errorlint // As above.
			t.Errorf("got %v, want it fenced off", err)
		}
		if x := b.only(t, acme, d); x.State != outbound.Delivered || x.Tries != 1 {
			t.Errorf("got %+v", x)
		}
	})
}

// TestAProcessThatEndsGivesBackWhatItSends ends one in the middle of a request.
func TestAProcessThatEndsGivesBackWhatItSends(t *testing.T) {
	t.Parallel()
	b := setup(t, openSQLite)
	r := b.receiver(t)
	d := r.listens(t, acme, false, "*")
	b.record(t, acme, "order", `{}`)
	ctx, end := context.WithCancel(t.Context())
	r.answersWith(func(_ http.ResponseWriter, q *http.Request) {
		end()
		<-q.Context().Done()
	})
	_, _ = b.SendDue(ctx)
	r.answers(http.StatusOK)
	_, b.Sender = b.process(b.Store, "wrk_next", nil)
	b.due(t) // No lease has ended.
	if x := b.only(t, acme, d); x.State != outbound.Delivered || x.Tries != 1 {
		t.Errorf("got %+v", x)
	}
}

// TestProcessesSendEachOnce has three processes on one Postgres send the same messages.
func TestProcessesSendEachOnce(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.DSN(t)
	open := func(tb testing.TB, now func() time.Time) (store.Store, error) {
		tb.Helper()
		return postgres.Open(tb.Context(), dsn, postgres.Options{Now: now})
	}
	b := setup(t, open)
	var under, most atomic.Int64
	r := b.receiver(t)
	r.answersWith(func(http.ResponseWriter, *http.Request) {
		if n := under.Add(1); n > most.Load() {
			most.Store(n)
		}
		under.Add(-1)
	})
	d := r.listens(t, acme, false, "*")
	ordered := b.receiver(t)
	ordered.listens(t, acme, true, "*")
	senders := []*outbound.Sender{b.Sender}
	for _, name := range []string{"wrk_2", "wrk_3"} {
		s, err := open(t, b.now)
		must(t, err)
		t.Cleanup(func() { must(t, s.Close()) })
		s.SealWith(b.vault)
		_, sender := b.process(s, name, nil)
		senders = append(senders, sender)
	}
	const messages = 60
	var want []string
	for range messages {
		want = append(want, b.record(t, acme, "order", `{}`))
		b.advance(time.Millisecond)
	}
	for len(r.all()) < messages || len(ordered.all()) < messages {
		var done sync.WaitGroup
		for _, s := range senders {
			done.Go(func() {
				if _, err := s.SendDue(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		done.Wait()
		if t.Failed() {
			return
		}
	}
	if diff := cmp.Diff(want, ordered.ids()); diff != "" {
		t.Errorf("in order (-want +got):\n%s", diff)
	}
	got := r.ids()
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	all, err := b.List(t.Context(), acme, d.ID, outbound.Filter{Limit: 200, State: outbound.Delivered})
	must(t, err)
	if len(all) != messages || most.Load() > 4 {
		t.Errorf("%d deliveries, %d at once", len(all), most.Load())
	}
}
