package storetest

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/hostfns/emit"
)

func testExecutions(t *testing.T, open Open) {
	each(t, open, map[string]func(*testing.T, *bundle){
		"cancelling":              cancel,
		"cancelling what has run": cancelRaces,
		"redriving":               redriveAgain,
		"releasing":               release,
		"reconnecting":            reconnect,
		"what is stranded":        stranded,
		"listing":                 listExecutions,
		"the live tail":           changed,
		"dead letters":            deadLetters,
		"the trace":               trace,
	})
}

// end completes a new run with an outcome.
func (b *bundle) end(t testing.TB, p place, change func(*execution.Completion)) string {
	t.Helper()
	c := success(b.running(t, p))
	change(&c)
	must(t, b.Complete(t.Context(), c))
	return c.Execution
}

func dead(fingerprint string) func(*execution.Completion) {
	return func(c *execution.Completion) {
		c.Outcome, c.Fingerprint = execution.Dead, fingerprint
		c.Error = []byte(`{"class":"upstream","code":"http_500","message":"it broke"}`)
	}
}

func waiting(reason string, until time.Time) func(*execution.Completion) {
	return func(c *execution.Completion) {
		c.Outcome, c.Reason, c.Until = execution.Waiting, reason, until
	}
}

func cancel(t *testing.T, b *bundle) {
	wait := b.end(t, b.acme, waiting(execution.ReasonRetry, b.clock.now().Add(time.Hour)))
	done := b.end(t, b.acme, func(*execution.Completion) {})
	run := b.running(t, b.acme)
	queued := b.work(t, b.acme, event.Live)
	for id, want := range map[string]execution.State{
		queued: execution.Cancelled, wait: execution.Cancelled, run.Execution: execution.Running, done: execution.Succeeded,
	} {
		got, err := b.Cancel(t.Context(), b.acme.tenant, id)
		must(t, err)
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		b.wantState(t, b.acme, id, want)
	}
	e := b.execution(t, b.acme, queued)
	if !e.FinishedAt.Equal(b.clock.now()) || e.CancelRequested {
		t.Errorf("a queued execution that was cancelled: %+v", e)
	}
	if !b.execution(t, b.acme, run.Execution).CancelRequested {
		t.Error("the running execution does not know that its cancellation was asked for")
	}
	asked, err := b.Heartbeat(t.Context(), "w1", time.Minute)
	must(t, err)
	equal(t, []string{run.Execution}, asked)
	if got := b.claim(t, "w2", b.acme, 10); len(got) != 0 {
		t.Errorf("claimed %v, want nothing", got)
	}
}

func cancelRaces(t *testing.T, b *bundle) {
	ctx := t.Context()
	succeeds, waits := b.running(t, b.acme), b.running(t, b.acme)
	for _, c := range []execution.Claimed{succeeds, waits} {
		must2(t)(b.Cancel(ctx, b.acme.tenant, c.Execution))
	}
	must(t, b.Complete(ctx, success(succeeds)))
	b.wantState(t, b.acme, succeeds.Execution, execution.Succeeded) // It happened.
	c := success(waits)
	waiting(execution.ReasonRetry, b.clock.now())(&c)
	must(t, b.Complete(ctx, c))
	b.wantState(t, b.acme, waits.Execution, execution.Cancelled)

	// Against claims: each is cancelled before, or asked to end after.
	for range 30 {
		b.work(t, b.acme, event.Live)
	}
	list, err := b.Executions(ctx, b.acme.tenant, execution.Filter{State: execution.Queued})
	must(t, err)
	together(len(list)+2, func(i int) {
		if i >= len(list) {
			b.claim(t, names("racer", 2)[i-len(list)], b.acme, 20)
			return
		}
		if _, err := b.Cancel(ctx, b.acme.tenant, list[i].ID); err != nil {
			t.Error(err)
		}
	})
	for _, e := range list {
		got := b.execution(t, b.acme, e.ID)
		if got.State != execution.Cancelled && (got.State != execution.Running || !got.CancelRequested) {
			t.Errorf("after a cancellation: %s, cancel requested %t", got.State, got.CancelRequested)
		}
	}
}

func redriveAgain(t *testing.T, b *bundle) {
	ctx := t.Context()
	id := b.end(t, b.acme, func(c *execution.Completion) {
		dead("f")(c)
		c.VersionID = "plv_1"
	})
	if got := b.execution(t, b.acme, id).Attempt; got != 1 {
		t.Errorf("got attempt %d, want 1", got)
	}
	must(t, b.Redrive(ctx, b.acme.tenant, id, execution.Redriving{}))
	e := b.execution(t, b.acme, id)
	if e.State != execution.Queued || e.Attempt != 0 || e.VersionID != "" || e.Error != nil || e.Fingerprint != "" || !e.FinishedAt.IsZero() {
		t.Errorf("a redriven execution: %+v", e)
	}
	wantFault(t, b.Redrive(ctx, b.acme.tenant, id, execution.Redriving{}), fault.Conflict, "not_redrivable")
	must2(t)(b.Cancel(ctx, b.acme.tenant, id))
	must(t, b.Redrive(ctx, b.acme.tenant, id, execution.Redriving{}))
	claimed := b.claim(t, "w2", b.acme, 10)
	if len(claimed) != 1 || claimed[0].Claim != 2 || claimed[0].Attempt != 1 {
		t.Errorf("got %+v, want the second claim of a first attempt", claimed)
	}
}

func release(t *testing.T, b *bundle) {
	ctx := t.Context()
	paused := b.end(t, b.acme, waiting(execution.ReasonPaused, time.Time{}))
	retry := b.end(t, b.acme, waiting(execution.ReasonRetry, b.clock.now().Add(time.Hour)))
	others := b.end(t, b.other, waiting(execution.ReasonPaused, time.Time{}))
	n, err := b.Release(ctx, b.acme.tenant, "ins_none", execution.ReasonPaused)
	must(t, err)
	equal(t, 0, n)
	n, err = b.Release(ctx, b.acme.tenant, b.acme.installation, execution.ReasonPaused)
	must(t, err)
	equal(t, 1, n)
	b.wantState(t, b.acme, paused, execution.Queued)
	b.wantState(t, b.acme, retry, execution.Waiting)
	b.wantState(t, b.other, others, execution.Waiting)
	n, err = b.Release(ctx, b.other.tenant, "", execution.ReasonPaused)
	must(t, err)
	equal(t, 1, n)
	b.wantState(t, b.other, others, execution.Queued)
}

func listExecutions(t *testing.T, b *bundle) {
	tagged := b.end(t, b.acme, func(c *execution.Completion) {
		c.Tags = []emit.Tag{{Name: "order", Value: "1001"}, {Name: "empty"}, {Name: "order", Value: "1001"}}
	})
	b.clock.advance(time.Millisecond)
	failed := b.end(t, b.acme, dead("f1"))
	b.clock.advance(time.Millisecond)
	queued := b.work(t, b.acme, event.Backfill)
	b.work(t, b.other, event.Live)
	ev := b.execution(t, b.acme, failed).Event
	for name, tt := range map[string]struct {
		f    execution.Filter
		want []string
	}{
		"all, newest first": {execution.Filter{}, []string{queued, failed, tagged}},
		"a limit":           {execution.Filter{Limit: 1}, []string{queued}},
		"the next":          {execution.Filter{Before: failed}, []string{tagged}},
		"a state":           {execution.Filter{State: execution.Dead}, []string{failed}},
		"a tag":             {execution.Filter{Tag: emit.Tag{Name: "order", Value: "1001"}}, []string{tagged}},
		"an empty tag":      {execution.Filter{Tag: emit.Tag{Name: "empty"}}, []string{tagged}},
		"another tag":       {execution.Filter{Tag: emit.Tag{Name: "order", Value: "1002"}}, nil},
		"a fingerprint":     {execution.Filter{Fingerprint: "f1"}, []string{failed}},
		"an event":          {execution.Filter{Event: ev}, []string{failed}},
		"no such event":     {execution.Filter{Event: "evt_none"}, nil},
		"all at once": {execution.Filter{
			Installation: b.acme.installation, Kind: event.Webhook, Name: "issues", State: execution.Succeeded,
			Tag: emit.Tag{Name: "order", Value: "1001"}, Before: queued, Limit: 5,
		}, []string{tagged}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := b.Executions(t.Context(), b.acme.tenant, tt.f)
			must(t, err)
			equal(t, tt.want, ids(got))
		})
	}
	_, err := b.Executions(t.Context(), b.acme.tenant, execution.Filter{State: "finished"})
	wantFault(t, err, fault.InvalidInput, "state_unknown")
	e := b.execution(t, b.acme, tagged)
	equal(t, 3, len(e.Tags))
}

func ids(es []execution.Execution) []string {
	var out []string
	for _, e := range es {
		out = append(out, e.ID)
	}
	return out
}

func changed(t *testing.T, b *bundle) {
	start := b.clock.now()
	first := b.work(t, b.acme, event.Live)
	b.clock.advance(time.Second)
	second := b.work(t, b.acme, event.Live)
	b.clock.advance(time.Second)
	must2(t)(b.Cancel(t.Context(), b.acme.tenant, first))
	got, err := b.Changed(t.Context(), b.acme.tenant, start, 10)
	must(t, err)
	equal(t, []string{second, first}, ids(got))
	got, err = b.Changed(t.Context(), b.acme.tenant, b.clock.now(), 10)
	must(t, err)
	equal(t, []string{first}, ids(got))
	got, err = b.Changed(t.Context(), b.acme.tenant, start, 1)
	must(t, err)
	equal(t, []string{second}, ids(got))
}

func deadLetters(t *testing.T, b *bundle) {
	b.end(t, b.acme, dead("f1"))
	first := b.clock.now()
	b.clock.advance(time.Second)
	newest := b.end(t, b.acme, dead("f1"))
	b.clock.advance(time.Second)
	single := b.end(t, b.acme, dead("f2"))
	b.end(t, b.other, dead("f1"))
	got, err := b.DeadLetters(t.Context(), b.acme.tenant)
	must(t, err)
	group := execution.DeadLetters{
		Installation: b.acme.installation, Class: "upstream", Code: "http_500", Message: "it broke",
	}
	one, two := group, group
	one.Fingerprint, one.Count, one.First, one.Last, one.Sample = "f2", 1, b.clock.now(), b.clock.now(), single
	two.Fingerprint, two.Count, two.First, two.Last, two.Sample = "f1", 2, first, first.Add(time.Second), newest
	equal(t, []execution.DeadLetters{one, two}, got)
}

func trace(t *testing.T, b *bundle) {
	ctx := t.Context()
	attempt := func(c execution.Claimed, outcome execution.State) []byte {
		body, err := json.Marshal(execution.Attempt{Claim: c.Claim, Number: c.Attempt, Worker: "w1", Outcome: outcome})
		must(t, err)
		return body
	}
	c := b.running(t, b.acme)
	must(t, b.Begin(ctx, c, begins("plv_1")))
	began := b.clock.now()
	first := success(c)
	waiting(execution.ReasonRetry, b.clock.now())(&first)
	first.Attempt, first.Error = attempt(c, execution.Waiting), []byte(`{"code":"x"}`)
	must(t, b.Complete(ctx, first))
	if e := b.execution(t, b.acme, c.Execution); e.Error == nil || e.Error.Code != "x" || e.Reason != execution.ReasonRetry || e.Attempt != 1 {
		t.Errorf("a waiting execution: %+v", e)
	}
	must3(t)(b.Promote(ctx, 10))

	b.clock.advance(time.Second)
	c = b.claim(t, "w1", b.acme, 1)[0]
	must(t, b.Begin(ctx, c, begins("plv_1")))
	second := success(c)
	second.Attempt, second.Output = attempt(c, execution.Succeeded), []byte(`{"ok":true}`)
	record := event.Event{ID: ident.New(ident.Event, b.clock.now()), Kind: event.Record, Name: "order", DedupeKey: "1", Body: []byte("{}")}
	second.Records = []event.Event{record}
	must(t, b.Complete(ctx, second))

	got, err := b.Trace(ctx, b.acme.tenant, c.Execution)
	must(t, err)
	e := got.Execution
	if e.State != execution.Succeeded || e.Attempt != 2 || e.Claim != 2 || e.Worker != "" || e.Error != nil || string(e.Output) != `{"ok":true}` ||
		!e.StartedAt.Equal(began) || !e.FinishedAt.Equal(b.clock.now()) || e.VersionID != "plv_1" {
		t.Errorf("the execution: %+v", e)
	}
	equal(t, e.Event, got.Event.ID)
	if len(got.Attempts) != 2 || got.Attempts[0].Outcome != execution.Waiting || got.Attempts[1].Number != 2 {
		t.Errorf("the attempts: %+v", got.Attempts)
	}
	equal(t, []string{record.ID}, got.Emitted)
}

// must3 is must2 for calls with two results and an error.
func must3(t testing.TB) func(any, any, error) {
	return func(_, _ any, err error) {
		t.Helper()
		must(t, err)
	}
}
