package admission_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/webhook/admission"
)

// queue is what all processes have.
type queue struct {
	queued, ofWebhook, workers int
	counts                     int
	err                        error
}

func (q *queue) Queued(_ context.Context, _, installation, _ string, most int) (int, error) {
	q.counts++
	if installation != "" {
		return min(q.ofWebhook, most), q.err
	}
	return min(q.queued, most), q.err
}

func (q *queue) Workers(context.Context) (int, error) { return q.workers, nil }

// bundle is a gate at a time that tests set.
type bundle struct {
	*admission.Gate
	queue queue
	now   time.Time
}

func setup(bounds admission.Bounds) *bundle {
	b := &bundle{queue: queue{workers: 1}, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	b.Gate = admission.New(admission.Config{Bounds: bounds, Queue: &b.queue, Now: func() time.Time { return b.now }})
	return b
}

func guest(tenant, endpoint admission.Limits) admission.Guest {
	return admission.Guest{Tenant: "ten_a", Endpoint: "end_a", Installation: "ins_a", Webhook: "issues", OfTenant: tenant, OfEndpoint: endpoint}
}

// let says how many of n come in, and the first refusal.
func (b *bundle) let(t *testing.T, to admission.Guest, n int) (in int, refusal *fault.Error) {
	t.Helper()
	for range n {
		err := b.Look(t.Context(), to)
		if err == nil {
			err = b.Enter(t.Context(), to)
		}
		if err == nil {
			in++
			b.Leave(to, true)
			continue
		}
		f := fault.From(err)
		if f.RetryAfter < time.Second {
			t.Errorf("it says to come again after %s: %v", f.RetryAfter, f)
		}
		if refusal == nil {
			refusal = f
		}
	}
	return in, refusal
}

func wantCode(t *testing.T, f *fault.Error, code string, status int) {
	t.Helper()
	if f == nil || f.Code != code || fault.Status(f) != status {
		t.Errorf("got %v, want %s with %d", f, code, status)
	}
}

func TestARateIsKept(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		to   admission.Guest
		code string
	}{
		"the endpoint's": {guest(admission.Limits{}, admission.Limits{Rate: 5, Burst: 20}), "endpoint_rate_exceeded"},
		"the tenant's":   {guest(admission.Limits{Rate: 5, Burst: 20}, admission.Limits{}), "tenant_rate_exceeded"},
		"the lower one's": {
			guest(admission.Limits{Rate: 5, Burst: 20}, admission.Limits{Rate: 1000}), "tenant_rate_exceeded",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(admission.Bounds{})
			in, refusal := b.let(t, tt.to, 30)
			if in != 20 {
				t.Errorf("%d came in at once, want a burst of 20", in)
			}
			wantCode(t, refusal, tt.code, 429)
			for second := range 4 {
				b.now = b.now.Add(time.Second)
				if in, _ := b.let(t, tt.to, 30); in != 5 {
					t.Errorf("second %d: %d came in, want 5", second, in)
				}
			}
		})
	}
}

func TestABurstIsTenSecondsWorthUnlessItIsSaid(t *testing.T) {
	t.Parallel()
	b := setup(admission.Bounds{})
	if in, _ := b.let(t, guest(admission.Limits{Rate: 3}, admission.Limits{}), 100); in != 30 {
		t.Errorf("%d came in at once, want 30", in)
	}
}

func TestProcessesShareARate(t *testing.T) {
	t.Parallel()
	b := setup(admission.Bounds{})
	b.queue.workers = 4
	to := guest(admission.Limits{Rate: 8, Burst: 40}, admission.Limits{})
	if in, _ := b.let(t, to, 100); in != 10 {
		t.Errorf("one of four let %d in, want a quarter of 40", in)
	}
	b.queue.workers = 1
	b.now = b.now.Add(5 * time.Second) // Two a second until now, when the others are found gone.
	in, _ := b.let(t, to, 100)
	if in != 10 {
		t.Errorf("it let %d in, want 10", in)
	}
	b.now = b.now.Add(time.Second)
	if in, _ := b.let(t, to, 100); in != 8 {
		t.Errorf("alone it let %d in, want 8", in)
	}
}

func TestALimitThatIsChangedCounts(t *testing.T) {
	t.Parallel()
	b := setup(admission.Bounds{})
	b.let(t, guest(admission.Limits{Rate: 1, Burst: 1}, admission.Limits{}), 3)
	b.now = b.now.Add(time.Second)
	if in, _ := b.let(t, guest(admission.Limits{Rate: 10, Burst: 10}, admission.Limits{}), 30); in != 1 {
		t.Errorf("%d came in at once, want the one that the old rate has given", in)
	}
	b.now = b.now.Add(time.Second)
	if in, _ := b.let(t, guest(admission.Limits{Rate: 10, Burst: 10}, admission.Limits{}), 30); in != 10 {
		t.Errorf("%d came in, want 10", in)
	}
	if in, refusal := b.let(t, guest(admission.Limits{}, admission.Limits{}), 1000); in != 1000 {
		t.Errorf("%d of 1000 came in without a limit: %v", in, refusal)
	}
}

func TestWhoIsOnlyLookedAtTakesNothing(t *testing.T) {
	t.Parallel()
	b := setup(admission.Bounds{})
	to := guest(admission.Limits{Rate: 1, Burst: 5}, admission.Limits{Rate: 1, Burst: 5})
	for range 100 {
		if err := b.Look(t.Context(), to); err != nil {
			t.Fatal(err)
		}
	}
	if in, _ := b.let(t, to, 10); in != 5 {
		t.Errorf("%d came in, want 5", in)
	}
}

func TestAFullQueueTakesNoMore(t *testing.T) {
	t.Parallel()
	for name, to := range map[string]admission.Guest{
		"of the tenant":  guest(admission.Limits{Queued: 10}, admission.Limits{}),
		"of the webhook": guest(admission.Limits{Queued: 1000}, admission.Limits{Queued: 10}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(admission.Bounds{})
			b.queue.queued, b.queue.ofWebhook = 4, 4
			in, refusal := b.let(t, to, 100)
			if in != 6 {
				t.Errorf("%d came in, want 6: what this process has queued since it counted is known", in)
			}
			wantCode(t, refusal, fault.CodeQueueFull, 503)
			if b.queue.counts > 2 {
				t.Errorf("it was counted %d times within one second", b.queue.counts)
			}
			b.now = b.now.Add(time.Second)
			b.queue.queued, b.queue.ofWebhook = 9, 9
			if in, _ := b.let(t, to, 100); in != 1 {
				t.Errorf("a second later %d came in, want 1", in)
			}
		})
	}
}

func TestACountThatFailsLeavesWhatIsKnown(t *testing.T) {
	t.Parallel()
	b := setup(admission.Bounds{})
	to := guest(admission.Limits{Queued: 5}, admission.Limits{})
	b.let(t, to, 3)
	b.queue.err = errors.New("down")
	b.now = b.now.Add(time.Minute)
	if in, _ := b.let(t, to, 10); in != 2 {
		t.Errorf("%d came in, want 2", in)
	}
}

func TestAProcessTakesSoManyAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(admission.Bounds{Deliveries: 3})
	to := guest(admission.Limits{}, admission.Limits{})
	for range 3 {
		if err := b.Enter(t.Context(), to); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, fault.From(b.Enter(t.Context(), to)), fault.CodeOverloaded, 503)
	wantCode(t, fault.From(b.Look(t.Context(), to)), fault.CodeOverloaded, 503)
	b.Leave(to, false)
	if err := b.Enter(t.Context(), to); err != nil {
		t.Errorf("after one has left: %v", err)
	}
}

func TestBodiesHaveSoMuchRoom(t *testing.T) {
	t.Parallel()
	b := setup(admission.Bounds{Bytes: 100})
	first, err := b.Room(60)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(first.Reader(bytes.NewReader(make([]byte, 60)))); err != nil {
		t.Fatal(err)
	}
	_, err = b.Room(41)
	wantCode(t, fault.From(err), fault.CodeOverloaded, 503)
	silent, err := b.Room(-1)
	if err != nil {
		t.Fatalf("one whose length is not known: %v", err)
	}
	_, err = io.ReadAll(silent.Reader(bytes.NewReader(make([]byte, 50))))
	wantCode(t, fault.From(err), fault.CodeOverloaded, 503)
	silent.Close()
	silent.Close()
	first.Close()
	if last, err := b.Room(100); err != nil {
		t.Errorf("after all have left: %v", err)
	} else {
		last.Close()
	}
}

func TestWhatNothingCameForIsForgotten(t *testing.T) {
	t.Parallel()
	b := setup(admission.Bounds{})
	to := guest(admission.Limits{Rate: 1, Burst: 10, Queued: 100}, admission.Limits{})
	b.let(t, to, 20)
	b.Trim() // Nothing is full: nothing is forgotten.
	if in, _ := b.let(t, to, 20); in != 0 {
		t.Errorf("%d came in after nothing was to forget", in)
	}
	b.now = b.now.Add(time.Hour)
	b.Trim()
	if in, _ := b.let(t, to, 20); in != 10 {
		t.Errorf("%d came in, want 10", in)
	}
}

func TestGateIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	b := setup(admission.Bounds{Deliveries: 4})
	to := guest(admission.Limits{Rate: 1, Burst: 1000, Queued: 700}, admission.Limits{Rate: 1, Burst: 500})
	var in, inside, most atomic.Int64
	var wg sync.WaitGroup
	b.let(t, to, 1) // The counts are made: the fake is not safe.
	for range 8 {
		wg.Go(func() {
			for range 500 {
				if b.Look(t.Context(), to) != nil || b.Enter(t.Context(), to) != nil {
					continue
				}
				most.Store(max(most.Load(), inside.Add(1)))
				in.Add(1)
				inside.Add(-1)
				b.Leave(to, true)
			}
		})
	}
	wg.Wait()
	if in.Load() != 499 || most.Load() > 4 {
		t.Errorf("%d came in, %d at once, want 499 and at most 4", in.Load(), most.Load())
	}
}
