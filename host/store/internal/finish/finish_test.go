package finish_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/host/store/internal/finish"
	"github.com/cofferdam-run/cofferdam/host/store/internal/sealing"
	"github.com/cofferdam-run/cofferdam/host/usage"
	"github.com/cofferdam-run/cofferdam/hostfns/emit"
	"github.com/cofferdam-run/cofferdam/runtime"
)

func TestOf(t *testing.T) {
	t.Parallel()
	now, later := time.UnixMicro(1000), time.UnixMicro(5000)
	for name, tt := range map[string]struct {
		c         execution.Completion
		cancelled bool
		want      finish.Row
	}{
		"a checkpoint waits and has tags": {
			execution.Completion{Outcome: execution.Waiting, Checkpointed: true, Reason: "sleep", Until: later, Tags: []emit.Tag{{Name: "a", Value: "b"}}},
			false,
			finish.Row{State: column.Waiting, Reason: "sleep", RunAt: 5000, Tags: []byte(`[{"name":"a","value":"b"}]`)},
		},
		"a checkpoint stands though it was to be cancelled": {
			execution.Completion{Outcome: execution.Waiting, Checkpointed: true, Tags: []emit.Tag{{Name: "a", Value: "b"}}},
			true,
			finish.Row{State: column.Cancelled, RunAt: 1000, FinishedAt: 1000, Tags: []byte(`[{"name":"a","value":"b"}]`)},
		},
		"success is over": {
			execution.Completion{Outcome: execution.Succeeded, Counted: true, Output: []byte("1"), Tags: []emit.Tag{{Name: "a", Value: "b"}}},
			false,
			finish.Row{State: column.Succeeded, Counted: 1, Output: []byte("1"), Tags: []byte(`[{"name":"a","value":"b"}]`), RunAt: 1000, FinishedAt: 1000},
		},
		"success stands though it was to be cancelled": {
			execution.Completion{Outcome: execution.Succeeded},
			true,
			finish.Row{State: column.Succeeded, RunAt: 1000, FinishedAt: 1000},
		},
		"waiting waits until its time": {
			execution.Completion{Outcome: execution.Waiting, Reason: "retry", Until: later},
			false,
			finish.Row{State: column.Waiting, Reason: "retry", RunAt: 5000},
		},
		"waiting without a time waits for ever": {
			execution.Completion{Outcome: execution.Waiting, Reason: "paused"},
			false,
			finish.Row{State: column.Waiting, Reason: "paused", RunAt: column.Never},
		},
		"what would run again is cancelled if that was asked for": {
			execution.Completion{Outcome: execution.Waiting, Reason: "retry", Until: later},
			true,
			finish.Row{State: column.Cancelled, RunAt: 1000, FinishedAt: 1000},
		},
		"handed back is due at once": {
			execution.Completion{Outcome: execution.Queued},
			false,
			finish.Row{State: column.Queued, RunAt: 1000},
		},
		"dead keeps why": {
			execution.Completion{Outcome: execution.Dead, Error: []byte("{}"), Fingerprint: "f", Tags: []emit.Tag{{Name: "a"}}},
			false,
			finish.Row{State: column.Dead, Error: []byte("{}"), Fingerprint: "f", RunAt: 1000, FinishedAt: 1000},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := finish.Of(tt.c, finish.Before{CancelRequested: tt.cancelled}, now)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
	for _, outcome := range []execution.State{execution.Running, "", "finished"} {
		if _, err := finish.Of(execution.Completion{Outcome: outcome}, finish.Before{}, now); err == nil {
			t.Errorf("outcome %q: got no error", outcome)
		}
	}
}

func TestTagsAreAddedToThoseOfEarlierCheckpoints(t *testing.T) {
	t.Parallel()
	c := execution.Completion{Outcome: execution.Succeeded, Tags: []emit.Tag{{Name: "old", Value: "1"}, {Name: "new", Value: "1"}}}
	got, err := finish.Of(c, finish.Before{Tags: []byte(`[{"name":"old","value":"1"}]`)}, time.UnixMicro(1))
	if err != nil {
		t.Fatal(err)
	}
	if want := `[{"name":"old","value":"1"},{"name":"new","value":"1"}]`; string(got.Tags) != want {
		t.Errorf("got %s, want %s", got.Tags, want)
	}
	if _, err := finish.Of(c, finish.Before{Tags: []byte(`{`)}, time.UnixMicro(1)); err == nil {
		t.Error("got no error for tags that cannot be read")
	}
	c.Checkpointed = true
	if _, err := finish.Of(c, finish.Before{}, time.UnixMicro(1)); err == nil {
		t.Error("got no error for a success that is checkpointed")
	}
}

func TestUsedIsNothingForARunThatDidNothing(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 23, 0, 0, 0, time.FixedZone("west", -3600))
	used := runtime.Usage{Fuel: 1, CPU: 2, Wall: 3, HostCalls: 4, InputBytes: 5, OutputBytes: 6, MemoryBytes: 7}
	for name, tt := range map[string]struct {
		c     execution.Completion
		state int
		want  usage.Total
		ok    bool
	}{
		"a success": {
			execution.Completion{Tenant: "t", Counted: true, Usage: used},
			column.Succeeded,
			usage.Total{Executions: 1, Attempts: 1, Fuel: 1, CPU: 2, Wall: 3, HostCalls: 4, InputBytes: 5, OutputBytes: 6, MemoryBytes: 7},
			true,
		},
		"a run that was handed back": {
			execution.Completion{Tenant: "t", Usage: runtime.Usage{Fuel: 1}}, column.Queued, usage.Total{Attempts: 1, Fuel: 1}, true,
		},
		"a module that could not be started": {
			execution.Completion{Tenant: "t", Counted: true}, column.Dead, usage.Total{Executions: 1, Attempts: 1}, true,
		},
		"an installation that was removed": {execution.Completion{Tenant: "t"}, column.Cancelled, usage.Total{Executions: 1}, true},
		"an installation that is paused":   {execution.Completion{Tenant: "t"}, column.Waiting, usage.Total{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := finish.Used(tt.c, finish.Row{State: tt.state}, "i", now)
			tt.want.Tenant, tt.want.Day, tt.want.Installation = "t", "2026-11-21", "i"
			if d := cmp.Diff(tt.want, got); d != "" || ok != tt.ok {
				t.Errorf("got %t, want %t (-want +got):\n%s", ok, tt.ok, d)
			}
		})
	}
}

func TestRecordsBelongToTheTenantOfTheExecution(t *testing.T) {
	t.Parallel()
	now := time.UnixMicro(1000)
	c := sealing.Completion{
		Completion: execution.Completion{Tenant: "mine"},
		Records: []sealing.Event{
			{Event: event.Event{ID: "e", Tenant: "other"}},
			{Event: event.Event{ID: "f", Installation: "i2", Source: "s", ReceivedAt: time.UnixMicro(7)}},
		},
	}
	want := []sealing.Event{
		{Event: event.Event{ID: "e", Tenant: "mine", Installation: "i", Source: "i", ReceivedAt: now}},
		{Event: event.Event{ID: "f", Tenant: "mine", Installation: "i2", Source: "s", ReceivedAt: time.UnixMicro(7)}},
	}
	if d := cmp.Diff(want, finish.Records(c, "i", now)); d != "" {
		t.Error(d)
	}
}
