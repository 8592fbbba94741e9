package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/job"
)

func testJobs(t *testing.T, open Open) {
	each(t, open, map[string]func(*testing.T, *bundle){
		"what is kept of a job":            jobRoundTrip,
		"claiming and leases":              claimJobs,
		"who claims has it alone":          claimJobsTogether,
		"saving is fenced":                 saveJob,
		"pausing, resuming and cancelling": steerJob,
		"a pause lets the step end":        pauseInStep,
		"there is a bound":                 jobsBound,
		"others' jobs":                     otherJobs,
	})
}

func (b *bundle) job(t testing.TB, p place) job.Job {
	t.Helper()
	j := job.Job{
		ID: ident.New(ident.Job, b.clock.now()), Tenant: p.tenant, Kind: "redrive", Spec: json.RawMessage(`{"a":1}`),
		State: job.Queued, CreatedAt: b.clock.now(), ChangedAt: b.clock.now(),
	}
	must(t, b.InsertJob(t.Context(), j, 10))
	return j
}

// claimJobs claims with a lease of 30 s.
func (b *bundle) claimJobs(t testing.TB, owner string, n int, kinds ...string) []job.Job {
	t.Helper()
	if len(kinds) == 0 {
		kinds = []string{"redrive", "other"}
	}
	claimed, _, err := b.ClaimJobs(t.Context(), job.Claiming{Owner: owner, Kinds: kinds, N: n, Lease: 30 * time.Second})
	must(t, err)
	return claimed
}

func (b *bundle) wantJob(t testing.TB, j job.Job, want job.State) job.Job {
	t.Helper()
	got, err := b.Job(t.Context(), j.Tenant, j.ID)
	must(t, err)
	if got.State != want {
		t.Errorf("the job is %s, want %s", got.State, want)
	}
	return got
}

// saved saves a step and checks the state after.
func (b *bundle) saved(t testing.TB, j job.Job, s job.Saved, want job.State) {
	t.Helper()
	got, err := b.SaveJob(t.Context(), j, s)
	must(t, err)
	if got != want {
		t.Errorf("after it was saved the job is %s, want %s", got, want)
	}
}

func jobRoundTrip(t *testing.T, b *bundle) {
	ctx := t.Context()
	j := b.job(t, b.acme)
	got := b.wantJob(t, j, job.Queued)
	equal(t, j, got)
	wantFault(t, b.InsertJob(ctx, j, 10), fault.Conflict, "job_exists")

	b.clock.advance(time.Second)
	claimed := b.claimJobs(t, "w1", 9)[0]
	b.saved(t, claimed, job.Saved{Progress: []byte(`{"n":1}`), Cursor: "c1", Due: time.Minute}, job.Running)
	got = b.wantJob(t, j, job.Running)
	if string(got.Progress) != `{"n":1}` || got.Cursor != "c1" || got.Tries != 0 || !got.ChangedAt.Equal(b.clock.now()) || !got.FinishedAt.IsZero() {
		t.Errorf("after a step: %+v", got)
	}
	b.clock.advance(time.Minute)
	claimed = b.claimJobs(t, "w1", 9)[0]
	equal(t, "c1", claimed.Cursor)
	failed := &fault.Error{Class: fault.Platform, Code: "x", Message: "it broke"}
	b.saved(t, claimed, job.Saved{Cursor: "c2", To: job.Failed, Error: failed}, job.Failed)
	got = b.wantJob(t, j, job.Failed)
	equal(t, failed, got.Error)
	if !got.FinishedAt.Equal(b.clock.now()) || got.Progress != nil {
		t.Errorf("after it failed: %+v", got)
	}
	older := b.job(t, b.acme)
	b.clock.advance(time.Millisecond)
	newer := b.job(t, b.acme)
	all, err := b.Jobs(ctx, b.acme.tenant, job.Filter{Kind: "redrive", Limit: 2})
	must(t, err)
	if len(all) != 2 || all[0].ID != newer.ID {
		t.Errorf("listed %+v, want the newest first, two of them", all)
	}
	all, err = b.Jobs(ctx, b.acme.tenant, job.Filter{Before: older.ID})
	must(t, err)
	equal(t, j.ID, all[len(all)-1].ID)
	all, err = b.Jobs(ctx, b.acme.tenant, job.Filter{Kind: "other"})
	must(t, err)
	equal(t, 0, len(all))
	_, err = b.SaveJob(ctx, newer, job.Saved{To: job.Paused})
	wantFault(t, err, fault.InvalidInput, "job_state_unknown")
}

func claimJobs(t *testing.T, b *bundle) {
	ctx := t.Context()
	_, next, err := b.ClaimJobs(ctx, job.Claiming{Owner: "w1", Kinds: []string{"redrive"}, N: 9, Lease: time.Second})
	must(t, err)
	if !next.IsZero() {
		t.Errorf("the next is due at %v, want never", next)
	}
	first := b.job(t, b.acme)
	b.clock.advance(time.Second)
	second := b.job(t, b.other)
	equal(t, 0, len(b.claimJobs(t, "w1", 9, "other")))
	equal(t, 0, len(b.claimJobs(t, "w1", 0)))
	got := b.claimJobs(t, "w1", 1)
	if len(got) != 1 || got[0].ID != first.ID || got[0].Claim != 1 || got[0].Tries != 1 || got[0].State != job.Running {
		t.Errorf("claimed %+v, want the one that is due for longest", got)
	}
	equal(t, second.ID, b.claimJobs(t, "w1", 9)[0].ID)
	_, next, err = b.ClaimJobs(ctx, job.Claiming{Owner: "w2", Kinds: []string{"redrive"}, N: 9, Lease: time.Second})
	must(t, err)
	equal(t, b.clock.now().Add(30*time.Second), next)

	b.clock.advance(20 * time.Second)
	state, err := b.RenewJob(ctx, got[0], 30*time.Second)
	must(t, err)
	equal(t, job.Running, state)
	b.clock.advance(15 * time.Second)
	again := b.claimJobs(t, "w2", 9)
	if len(again) != 1 || again[0].ID != second.ID || again[0].Claim != 2 || again[0].Tries != 2 {
		t.Errorf("claimed %+v, want the one whose lease has run out", again)
	}
	// A saved step may be waited for, or given back at once.
	b.saved(t, again[0], job.Saved{Due: time.Second}, job.Running)
	equal(t, 0, len(b.claimJobs(t, "w2", 9)))
	b.clock.advance(time.Second)
	again = b.claimJobs(t, "w2", 9)
	equal(t, 1, again[0].Tries)
	b.saved(t, again[0], job.Saved{}, job.Running)
	equal(t, 1, len(b.claimJobs(t, "w3", 9)))
}

func claimJobsTogether(t *testing.T, b *bundle) {
	for range 8 {
		b.job(t, b.acme)
	}
	var mu sync.Mutex
	seen := map[string]int{}
	together(6, func(i int) {
		for range 3 {
			claimed, _, err := b.ClaimJobs(t.Context(), job.Claiming{Owner: fmt.Sprint("w", i), Kinds: []string{"redrive"}, N: 2, Lease: time.Minute})
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			for _, j := range claimed {
				seen[j.ID]++
			}
			mu.Unlock()
		}
	})
	for id, n := range seen {
		if n != 1 {
			t.Errorf("the job %s was claimed %d times", id, n)
		}
	}
	equal(t, 8, len(seen))
}

func saveJob(t *testing.T, b *bundle) {
	ctx := t.Context()
	j := b.job(t, b.acme)
	stale := b.claimJobs(t, "w1", 1)[0]
	b.clock.advance(31 * time.Second)
	fresh := b.claimJobs(t, "w2", 1)[0]
	_, err := b.SaveJob(ctx, stale, job.Saved{Cursor: "stale", To: job.Done})
	wantIs(t, err, job.ErrFenced)
	_, err = b.RenewJob(ctx, stale, time.Hour)
	wantIs(t, err, job.ErrFenced)
	b.saved(t, fresh, job.Saved{Cursor: "fresh", To: job.Done}, job.Done)
	got := b.wantJob(t, j, job.Done)
	equal(t, "fresh", got.Cursor)
	_, err = b.SaveJob(ctx, fresh, job.Saved{Cursor: "late"})
	wantIs(t, err, job.ErrFenced) // It has ended.
	_, err = b.RenewJob(ctx, fresh, time.Hour)
	wantIs(t, err, job.ErrFenced)
	b.clock.advance(time.Hour)
	equal(t, 0, len(b.claimJobs(t, "w2", 9)))
}

func steerJob(t *testing.T, b *bundle) {
	for name, tt := range map[string]struct {
		steps []job.State
		last  string
	}{
		"paused and resumed":           {[]job.State{job.Paused, job.Paused, job.Queued, job.Queued}, ""},
		"cancelled":                    {[]job.State{job.Cancelled, job.Cancelled}, ""},
		"cancelled while it is paused": {[]job.State{job.Paused, job.Cancelled}, ""},
		"cancelled is for ever":        {[]job.State{job.Cancelled, job.Queued}, "job_cancelled"},
		"what has ended has no pause":  {[]job.State{job.Cancelled, job.Paused}, "job_cancelled"},
		"done is not to be asked for":  {[]job.State{job.Done}, "job_state_unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			j := b.job(t, b.newPlace(t, name))
			for i, to := range tt.steps {
				err := b.SteerJob(t.Context(), j.Tenant, j.ID, to)
				if f := (*fault.Error)(nil); i == len(tt.steps)-1 && tt.last != "" {
					if !errors.As(err, &f) || f.Code != tt.last {
						t.Errorf("got %v, want %s", err, tt.last)
					}
					return
				}
				must(t, err)
				got := b.wantJob(t, j, to)
				equal(t, to == job.Cancelled, !got.FinishedAt.IsZero())
			}
		})
	}
	p := b.newPlace(t, "running")
	j := b.job(t, p)
	for _, claimed := range b.claimJobs(t, "w1", 20) {
		if claimed.ID == j.ID {
			must(t, b.SteerJob(t.Context(), p.tenant, j.ID, job.Queued)) // It runs already.
			b.saved(t, claimed, job.Saved{To: job.Failed, Error: &fault.Error{Code: "x"}}, job.Failed)
		}
	}
	must(t, b.SteerJob(t.Context(), p.tenant, j.ID, job.Queued))
	got := b.wantJob(t, j, job.Queued)
	if got.Error != nil || !got.FinishedAt.IsZero() {
		t.Errorf("a resumed job: %+v", got)
	}
	wantNotFound(t, "SteerJob", b.SteerJob(t.Context(), p.tenant, "job_none", job.Paused))
}

func pauseInStep(t *testing.T, b *bundle) {
	ctx := t.Context()
	j := b.job(t, b.acme)
	claimed := b.claimJobs(t, "w1", 1)[0]
	must(t, b.SteerJob(ctx, j.Tenant, j.ID, job.Paused))
	state, err := b.RenewJob(ctx, claimed, time.Minute)
	must(t, err)
	equal(t, job.Paused, state)
	b.saved(t, claimed, job.Saved{Cursor: "c1", Due: time.Minute}, job.Paused)
	equal(t, 0, len(b.claimJobs(t, "w2", 1)))
	must(t, b.SteerJob(ctx, j.Tenant, j.ID, job.Queued))
	claimed = b.claimJobs(t, "w2", 1)[0] // At once: who held it has let go.
	equal(t, "c1", claimed.Cursor)

	// Resumed before the step has ended, it goes on where it is.
	must(t, b.SteerJob(ctx, j.Tenant, j.ID, job.Paused))
	must(t, b.SteerJob(ctx, j.Tenant, j.ID, job.Queued))
	equal(t, 0, len(b.claimJobs(t, "w3", 1)))
	b.saved(t, claimed, job.Saved{Cursor: "c2", Due: time.Minute}, job.Running)

	// A cancelled one keeps what its step has done, and stays cancelled.
	must(t, b.SteerJob(ctx, j.Tenant, j.ID, job.Cancelled))
	b.saved(t, claimed, job.Saved{Cursor: "c3", To: job.Done}, job.Cancelled)
	equal(t, "c3", b.wantJob(t, j, job.Cancelled).Cursor)
	b.clock.advance(time.Hour)
	equal(t, 0, len(b.claimJobs(t, "w3", 1)))

	// A last step that ends while the job is paused has ended it.
	j = b.job(t, b.acme)
	claimed = b.claimJobs(t, "w1", 1)[0]
	must(t, b.SteerJob(ctx, j.Tenant, j.ID, job.Paused))
	b.saved(t, claimed, job.Saved{To: job.Done}, job.Done)
}

func jobsBound(t *testing.T, b *bundle) {
	ctx := t.Context()
	for range 10 {
		b.job(t, b.acme)
	}
	j := job.Job{ID: "job_more", Tenant: b.acme.tenant, Kind: "redrive", Spec: []byte("{}"), CreatedAt: b.clock.now(), ChangedAt: b.clock.now()}
	wantFault(t, b.InsertJob(ctx, j, 10), fault.Conflict, "too_many_jobs")
	all, err := b.Jobs(ctx, b.acme.tenant, job.Filter{})
	must(t, err)
	must(t, b.SteerJob(ctx, b.acme.tenant, all[0].ID, job.Cancelled))
	must(t, b.InsertJob(ctx, j, 10))
	b.job(t, b.other)
}

func otherJobs(t *testing.T, b *bundle) {
	ctx := t.Context()
	j := b.job(t, b.acme)
	operators := b.job(t, place{})
	for _, tenant := range []string{b.other.tenant, ""} {
		wantNotFound(t, "Job", second(b.Job(ctx, tenant, j.ID)))
		wantNotFound(t, "SteerJob", b.SteerJob(ctx, tenant, j.ID, job.Cancelled))
	}
	all, err := b.Jobs(ctx, b.other.tenant, job.Filter{})
	must(t, err)
	equal(t, 0, len(all))
	all, err = b.Jobs(ctx, "", job.Filter{})
	must(t, err)
	equal(t, operators.ID, all[0].ID)
	claimed := j
	claimed.Tenant, claimed.Claim = b.other.tenant, 0
	_, err = b.SaveJob(ctx, claimed, job.Saved{To: job.Done})
	wantIs(t, err, job.ErrFenced)
	b.wantJob(t, j, job.Queued)
}
