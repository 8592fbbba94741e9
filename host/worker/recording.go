package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
	"github.com/cofferdam-run/cofferdam/hostfns/replay"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// Recording gives an execution as it can be run again anywhere: the newest run that
// its journal has. It is a Conflict fault if there is none, because it has not run,
// or because what it recorded was purged.
func (s *Sandbox) Recording(ctx context.Context, tenant, id string, withModule bool) (replay.Recording, error) {
	trace, err := s.c.Records.Trace(ctx, tenant, id)
	if err != nil {
		return replay.Recording{}, fmt.Errorf("find execution: %w", err)
	}
	stored, err := s.c.Records.Journal(ctx, tenant, id)
	if err != nil {
		return replay.Recording{}, fmt.Errorf("read journal: %w", err)
	}
	if stored.World == nil {
		return replay.Recording{}, fault.New(fault.Conflict, "not_recorded", "the execution %q has no recording", id).
			WithHint("It has not run yet, or what it recorded is older than the tenant's retention.")
	}
	j := job{execution: trace.Execution, event: trace.Event, claimed: execution.Claimed{Tenant: tenant, Execution: id}}
	r := replay.Recording{
		Execution: id, Kind: string(trace.Execution.Kind), Name: trace.Execution.Name,
	}
	if err := json.Unmarshal(stored.World, &r.World); err != nil {
		return r, fmt.Errorf("read the world of an execution: %w", err)
	}
	if r.Entries, err = journal.Join(stored.Segments); err != nil {
		return r, err
	}
	r.Missing = replay.Streamed(r.Entries)
	if err := s.recorded(ctx, &j, trace, &r); err != nil {
		return r, err
	}
	if withModule {
		if r.Module, err = s.c.Plugins.Wasm(ctx, j.version); err != nil {
			return r, fmt.Errorf("read module: %w", err)
		}
	}
	return r, nil
}

// recorded fills in what does not come from the journal.
func (s *Sandbox) recorded(ctx context.Context, j *job, trace execution.Trace, r *replay.Recording) error {
	version := trace.Execution.VersionID
	if version == "" && len(trace.Attempts) > 0 { // It was redriven, and has not run since.
		version = trace.Attempts[len(trace.Attempts)-1].VersionID
	}
	var err error
	if j.version, err = s.version(ctx, version); err != nil {
		return err
	}
	if j.installation, err = s.c.Installation(ctx, j.claimed.Tenant, trace.Execution.Installation); err != nil && !isNotFound(err) {
		return fmt.Errorf("find installation: %w", err)
	}
	r.Plugin, r.Version, r.Export = j.version.Name, j.version.Version, j.export()
	r.Granted = granted(*j)
	if r.Input, err = envelope(*j, r.World); err != nil {
		return err
	}
	for _, a := range trace.Attempts {
		r.Wall += a.FinishedAt.Sub(a.StartedAt)
		r.RecordedAt = a.FinishedAt
	}
	r.Outcome = outcomeOf(trace.Execution)
	switch r.Outcome {
	case replay.Succeeded:
		r.Output = trace.Execution.Output
	case replay.Failed:
		r.Error = &replay.Error{Code: trace.Execution.Error.Code, Message: trace.Execution.Error.Message}
	default:
		return nil
	}
	if n := len(trace.Attempts); n > 0 {
		last := trace.Attempts[n-1]
		r.Fuel = last.Usage.Fuel
		r.Left = left(trace.Execution, r.World, last)
	}
	return nil
}

// left is what a success left behind, nil where that is not known: of records those
// whose key was taken are not kept, and tags are those of all checkpoints.
func left(e execution.Execution, w journal.World, last execution.Attempt) *replay.Left {
	emits := slices.ContainsFunc(last.Steps, func(s hostfns.Step) bool { return s.Func == "emit" })
	if e.State != execution.Succeeded || e.Kind == event.Poll || w.Generation > 0 || emits {
		return nil
	}
	l := &replay.Left{Tags: e.Tags}
	for _, s := range last.State {
		write := replay.StateWrite{Key: s.Key, Delete: s.Op == "delete"}
		switch s.Op {
		case "set":
			write.Value = replay.Body(s.Value)
		case "add":
			if err := json.Unmarshal(s.Value, &write.Delta); err != nil {
				return nil
			}
		}
		l.State = append(l.State, write)
	}
	return l
}

// outcomeOf says how the run ended that the journal has. Of one that is to be made
// again the journal has a part.
func outcomeOf(e execution.Execution) replay.Outcome {
	switch {
	case e.State == execution.Succeeded:
		return replay.Succeeded
	case e.State == execution.Waiting && e.Reason == execution.ReasonSleep:
		return replay.Suspended
	case e.State != execution.Dead || e.Error == nil:
		return replay.Interrupted
	}
	if c := e.Error.Class; c == fault.AmbiguousEffect || c == fault.Platform {
		return replay.Interrupted
	}
	switch e.Error.Code {
	case execution.ReasonConflict, string(runtime.CodeDeadlineExceeded), string(runtime.CodeKilled), "journal_diverged", "journal_full":
		return replay.Interrupted
	}
	return replay.Failed
}

// granted names the functions that the manifest asks for and the tenant grants.
func granted(j job) []string {
	var granted []string
	for _, name := range j.version.Manifest.Functions {
		if slices.Contains(j.installation.Grants.Functions, name) {
			granted = append(granted, name)
		}
	}
	return granted
}
