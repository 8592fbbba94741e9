package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/emit"
	"github.com/cofferdam-run/cofferdam/hostfns/guestlog"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
	"github.com/cofferdam-run/cofferdam/hostfns/replay"
	"github.com/cofferdam-run/cofferdam/hostfns/state"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// cursorMost bounds a poll's cursor: it is where a poll stands, not what it found.
const cursorMost = 64 << 10

// traced gathers what a call left behind whether it succeeded or not.
func (r *sandboxed) traced(ctx context.Context, p permitted, result runtime.Result) Ended {
	ended := Ended{VersionID: r.job.version.ID, Plugin: r.job.version.Name, Version: r.job.version.Version, Attempt: execution.Attempt{
		Usage: result.Usage,
		// A trace shows empty lists, not null.
		Steps: append([]hostfns.Step{}, p.gate.Steps()...),
		Logs:  append([]guestlog.Line{}, p.log.Lines()...),

		LostLines: result.LostLines,
	}}
	if p.journal != nil {
		entries, pending := p.journal.Entries(), p.journal.Pending()
		ended.Kept = &Kept{
			Entries: entries, Stored: len(entries) - len(pending), Length: p.stored.length, Seq: p.stored.seq,
			World: r.past.world, Failure: r.failure(ctx, p.way),
		}
		// A run that ended before it came there has not burnt all of it.
		ended.Attempt.ReplayedFuel = min(replayed(entries, r.job.claimed.Claim), result.Usage.Fuel)
	}
	return ended
}

// replayed is the fuel that was burnt to come to where the run before had been.
func replayed(entries []journal.Entry, claim int64) int64 {
	fuel := int64(0)
	for i := range entries {
		if entries[i].Claim != claim {
			fuel = max(fuel, entries[i].Fuel)
		}
	}
	return fuel
}

// collect gathers what a call that succeeded left behind.
func (r *sandboxed) collect(ctx context.Context, p permitted, output []byte, ended *Ended) error {
	if r.job.execution.Kind == event.Poll {
		checkpoint, err := readPoll(ctx, r.job, p.kept, output)
		if err != nil {
			return err
		}
		ended.Effects.Checkpoint = checkpoint
	}
	ended.Effects.Output = replay.Kept(output)
	r.sandbox.gather(r.job, p, ended)
	return nil
}

// gather gathers what is committed.
func (s *Sandbox) gather(j job, p permitted, ended *Ended) {
	ended.Effects.State = p.state.Changes()
	ended.Effects.Tags = p.kept.Tags()
	ended.Effects.Records = s.records(j, p.kept.Records())
	ended.Attempt.State = writes(ended.Effects.State)
}

// records makes events of emitted records. Of those with one key the
// installation keeps the first.
func (s *Sandbox) records(j job, records []emit.Record) []event.Event {
	now := s.c.Now()
	events := make([]event.Event, len(records))
	for i, r := range records {
		events[i] = event.Event{
			ID: ident.New(ident.Event, now), Tenant: j.claimed.Tenant, Installation: j.installation.ID,
			Kind: event.Record, Name: r.Name, Source: j.installation.ID, DedupeKey: r.Key,
			Body: r.Data, ReceivedAt: now,
		}
	}
	return events
}

// polled is the output of a poll.
type polled struct {
	Records []struct {
		Key  string          `json:"key"`
		Data json.RawMessage `json:"data"`
	} `json:"records"`
	Cursor json.RawMessage `json:"cursor"`
	More   bool            `json:"more"`
}

// readPoll reads the output of a poll: its records are kept like those that were
// emitted, under the same limits.
func readPoll(ctx context.Context, j job, kept *emit.Kept, output []byte) (*execution.Checkpoint, error) {
	var out polled
	if err := json.Unmarshal(output, &out); err != nil {
		return nil, brokenPoll("is not of the form {\"records\":[{\"key\",\"data\"}],\"cursor\",\"more\"}: %v", err)
	}
	if len(out.Cursor) > cursorMost {
		return nil, brokenPoll("has a cursor of %d bytes, and %d is the limit: keep in it where the poll stands, and the rest in state", len(out.Cursor), cursorMost)
	}
	put := answerOf(kept, "emit")
	for i, r := range out.Records {
		request, err := json.Marshal(emit.Record{Name: j.execution.Name, Key: r.Key, Data: orJSON(r.Data, `null`)})
		if err != nil {
			return nil, brokenPoll("has a record %d that cannot be read: %v", i, err)
		}
		if _, err := put(ctx, request); err != nil {
			if told, ok := errors.AsType[*hostfns.Error](err); ok {
				return nil, brokenPoll("has a record %d that is refused: %s", i, told.Message)
			}
			return nil, fmt.Errorf("keep record %d: %w", i, err)
		}
	}
	return &execution.Checkpoint{Installation: j.installation.ID, Poll: j.execution.Name, Cursor: orJSON(out.Cursor, `null`)}, nil
}

func brokenPoll(format string, args ...any) error {
	return &runtime.Failure{Code: runtime.CodePluginBug, Message: "the poll's output " + fmt.Sprintf(format, args...)}
}

// answerOf finds a function of a session.
func answerOf(kept *emit.Kept, name string) func(context.Context, json.RawMessage) (any, error) {
	for _, f := range kept.Funcs() {
		if f.Name == name {
			return f.Answer
		}
	}
	return func(context.Context, json.RawMessage) (any, error) {
		return nil, fmt.Errorf("there is no function %q", name)
	}
}

// writes gives changes of state as the trace shows them.
func writes(c state.Changes) []execution.StateWrite {
	shown := make([]execution.StateWrite, len(c.Writes))
	for i, w := range c.Writes {
		shown[i] = execution.StateWrite{Key: w.Key, Op: "set", Value: w.Value}
		switch {
		case w.Delete:
			shown[i].Op = "delete"
		case w.Value == nil:
			shown[i].Op, shown[i].Value = "add", json.RawMessage(strconv.FormatInt(w.Delta, 10))
		}
	}
	return shown
}
