package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/pace"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/hostfns/emit"
	"github.com/cofferdam-run/cofferdam/hostfns/guestlog"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
	"github.com/cofferdam-run/cofferdam/hostfns/replay"
	"github.com/cofferdam-run/cofferdam/hostfns/sign"
	"github.com/cofferdam-run/cofferdam/hostfns/state"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// sandboxed is one run that has begun.
type sandboxed struct {
	sandbox *Sandbox
	job     job
	past    past
	module  *runtime.Module
	held    func() bool
}

// AmbiguousError is an execution that cannot go on before somebody says whether
// an effect has happened.
type AmbiguousError struct {
	Effect journal.Entry
	// Why says how it came to that.
	Why string
}

// Error implements error.
func (e *AmbiguousError) Error() string { return e.Why }

// UnconfirmedError is an effect of which the plugin does not know yet whether it
// has happened: it is asked again later.
type UnconfirmedError struct {
	Effect journal.Entry
	Err    error
}

// Error implements error.
func (e *UnconfirmedError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("confirm entry %d: %v", e.Effect.Ordinal, e.Err)
	}
	return fmt.Sprintf("confirm entry %d: the plugin does not know whether it has happened", e.Effect.Ordinal)
}

// Unwrap gives what the plugin's confirm has failed with, if it has.
func (e *UnconfirmedError) Unwrap() error { return e.Err }

// clear finds out what became of an effect that the last run, or a worker that has
// died with it, has left open. An error ends the run before it began.
func (r *sandboxed) clear(ctx context.Context) (Ended, error) {
	p := &r.past
	if len(p.entries) <= 1 {
		return Ended{}, nil
	}
	last := &p.entries[len(p.entries)-1]
	if last.Again {
		return Ended{}, nil // It is decided.
	}
	way := r.way(hostfns.NewRedactor())
	defer way.Close()
	failure := r.failure(ctx, way)
	if !last.Confirm {
		failure.Ending = journal.Interrupted
		next := journal.After(p.entries, failure)
		switch {
		case next.Dead && next.Ambiguous != nil:
			return r.unbegun(ctx, p.entries), &AmbiguousError{Effect: *next.Ambiguous, Why: next.Reason}
		case !next.Confirm:
			return Ended{}, r.replace(ctx, next.Entries)
		}
		p.entries = next.Entries
	}
	answer, happened, err := r.confirm(ctx)
	if err != nil {
		return r.unbegun(ctx, p.entries), err
	}
	return Ended{}, r.replace(ctx, journal.Settle(p.entries, answer, happened, r.sandbox.c.Now(), r.job.claimed.Claim))
}

// replace has the store keep what was found out about the last entry.
func (r *sandboxed) replace(ctx context.Context, entries []journal.Entry) error {
	p := &r.past
	k := Kept{Entries: p.entries, Stored: len(p.entries), Length: len(p.entries), Seq: p.seq}
	segment, err := k.segment(entries)
	p.entries = entries
	if err != nil || segment == nil {
		return err
	}
	if err := r.sandbox.c.Records.Append(ctx, r.job.claimed, *segment); err != nil {
		return fmt.Errorf("record what became of an effect: %w", err)
	}
	p.seq++
	return nil
}

// unbegun is what a run leaves behind that did not come to the guest.
func (r *sandboxed) unbegun(ctx context.Context, entries []journal.Entry) Ended {
	return Ended{VersionID: r.job.version.ID, Kept: &Kept{
		Entries: entries, Stored: len(entries), Length: len(entries), Seq: r.past.seq,
		World: r.past.world, Failure: r.failure(ctx, r.way(hostfns.NewRedactor())),
	}}
}

// way is the run's way out: what its installation was granted, and no more.
func (r *sandboxed) way(secrets *hostfns.Redactor) *egress.Session {
	j := r.job
	return r.sandbox.c.Egress.Session(egress.Permissions{
		Rules:       installation.Rules(j.installation, j.version.Manifest),
		Credentials: r.sandbox.c.Credentials(j.claimed.Tenant, j.installation.Grants.Connections),
		Secrets:     secrets,
		Pool:        j.claimed.Tenant,
		Idempotency: installation.Idempotency(j.installation, j.version.Manifest),
		NotDone:     installation.NotDone(j.installation, j.version.Manifest),
		Slots:       installation.Slots(j.version.Manifest),
		StreamBytes: installation.StreamBytes(j.installation, j.version.Manifest),
		Pace:        r.sandbox.c.Pace(r.paced()),
		Held:        r.held,
	})
}

// paced is what the run is to those who say when its requests go.
func (r *sandboxed) paced() pace.Run {
	rates := map[string]pace.Rate{}
	for _, c := range r.job.version.Manifest.Connections {
		if c.Rate != (manifest.Rate{}) {
			rates[c.Name] = pace.Rate(c.Rate)
		}
	}
	c := r.job.claimed
	return pace.Run{
		Tenant: c.Tenant, Execution: c.Execution, Lane: c.Lane, Again: c.Claim > 1,
		Connections: r.job.installation.Grants.Connections, Rates: rates,
	}
}

// signatures are what the run may have signed: with the connections that its
// installation was granted, by the algorithms that its manifest names.
func (r *sandboxed) signatures(secrets *hostfns.Redactor) *sign.Session {
	j := r.job
	keys, _ := r.sandbox.c.Credentials(j.claimed.Tenant, j.installation.Grants.Connections).(sign.Keys)
	return sign.New(sign.Config{Keys: keys, Allowed: j.version.Manifest.Signs(), Secrets: secrets, Now: r.sandbox.c.Now})
}

// failure has what is known of how the run can go on, whatever ends it.
func (r *sandboxed) failure(ctx context.Context, way *egress.Session) journal.Failure {
	return journal.Failure{
		Starts:  r.past.world.Restarts,
		Confirm: r.job.version.Manifest.Confirm,
		Mend: func(e journal.Entry) bool {
			funcs := slices.Concat(way.Funcs(), r.sandbox.c.Functions)
			i := slices.IndexFunc(funcs, func(f hostfns.Func) bool { return f.Name == e.Func && f.Mark != nil })
			if i < 0 {
				return false
			}
			mark, err := funcs[i].Mark(ctx, e.Request)
			return err == nil && e.Recognised(mark, r.sandbox.c.Now())
		},
	}
}

// permitted is a run's gate and the sessions behind it.
type permitted struct {
	gate  *hostfns.Gate
	state *state.Session
	log   *guestlog.Log
	kept  *emit.Kept
	way   *egress.Session
	// Both are nil for a run that keeps nothing.
	journal *journal.Journal
	stored  *segments
}

// permit builds the gate of a run.
func (r *sandboxed) permit() permitted {
	s, j := r.sandbox, r.job
	secrets := hostfns.NewRedactor()
	watch := s.c.Watch.of(Caller{Tenant: j.claimed.Tenant, Installation: j.installation.ID, Execution: j.claimed.Execution})
	p := permitted{
		log:  guestlog.New(guestlog.Config{Secrets: secrets, Sink: watch.line, Now: s.c.Now}),
		kept: emit.New(emit.Limits{}),
		way:  r.way(secrets),
	}
	reader := s.c.Records.State(j.claimed.Tenant, j.installation.ID)
	gate := hostfns.GateConfig{Granted: granted(r.job), Secrets: secrets, Sink: watch.step, Now: s.c.Now}
	if !s.c.Unjournaled {
		mode := journal.Redrive
		if r.past.strict {
			mode = journal.Resume
		}
		p.stored = &segments{records: s.c.Records, claimed: j.claimed, seq: r.past.seq, length: len(r.past.entries)}
		p.journal = journal.New(journal.Config{
			Execution: scope(j.claimed.Execution, r.past.world), Entries: slices.Clone(r.past.entries), Start: r.past.world.Start,
			Keys: r.past.world.Keys, Forced: r.past.world.Forced, Mode: mode, Claim: j.claimed.Claim, Log: p.stored, Held: r.held, Now: s.c.Now, After: s.c.After,
		})
		gate.Journal, gate.Layers = p.journal.Outer, []hostfns.Layer{p.way.Ahead, r.intend, p.journal.Inner}
		reader = state.Kept(reader, p.journal.Read)
	}
	p.state = state.NewSession(reader, state.Limits{})
	gate.Funcs = slices.Concat(
		p.state.Funcs(), p.log.Funcs(), p.kept.Funcs(), p.way.Funcs(), r.signatures(secrets).Funcs(),
		[]hostfns.Func{hostfns.Sleep(s.c.Now, s.c.After)}, s.c.Functions,
	)
	p.gate = hostfns.NewGate(gate)
	return p
}

// intend has it be durable with the intent of a request that a credential is opened for
// it. What has no intent says so by itself.
func (r *sandboxed) intend(next hostfns.Handler) hostfns.Handler {
	accounts := r.sandbox.c.Accounts
	if accounts == nil {
		return next
	}
	return func(ctx context.Context, c runtime.Crossing) (json.RawMessage, error) {
		if hostfns.EffectOf(ctx, c.Request) == hostfns.Unsafe {
			if m, err := hostfns.MarkOf(ctx, c.Request); err == nil && m.Account != "" && m.Host != "" {
				ctx = accounts.Intent(ctx, r.job.claimed.Tenant, m.Account, m.Host)
			}
		}
		return next(ctx, c)
	}
}

// run has the guest run, from where its journal ends.
func (r *sandboxed) run(ctx context.Context) (Ended, error) {
	input, err := envelope(r.job, r.past.world)
	if err != nil {
		return Ended{VersionID: r.job.version.ID}, err
	}
	p := r.permit()
	defer p.way.Close()
	start := r.past.world.Start
	if p.journal != nil {
		start = p.journal.Start()
	}
	result, err := r.module.Call(ctx, runtime.Call{
		Export: r.job.export(), Input: input, Host: p.gate,
		World: runtime.World{
			Seed: r.past.world.Seed, Start: start, Config: replay.ConfigStrings(r.past.world.Config),
		},
		Limits: r.past.world.Limits,
		Share:  runtime.Share{Key: r.job.claimed.Tenant},
	})
	// Before the journal: what goes on is broken off, and nothing of it comes to an end.
	p.way.Close()
	if p.journal != nil {
		// What could not be written goes with the commit that ends the run.
		_ = p.journal.Close(ctx)
	}
	ended := r.traced(ctx, p, result)
	if suspended, ok := errors.AsType[*hostfns.Suspended](err); ok && suspended.Checkpoint != nil {
		r.sandbox.gather(r.job, p, &ended)
		return ended, err
	}
	if err != nil {
		return ended, err
	}
	return ended, r.collect(ctx, p, result.Output, &ended)
}

// doubt is the input of confirm: see sdk/ABI.md, "Exports".
type doubt struct {
	Execution   string          `json:"execution"`
	Function    string          `json:"function"`
	Request     json.RawMessage `json:"request"`
	AskedAt     string          `json:"asked_at"`
	Config      json.RawMessage `json:"config"`
	Connections journal.Granted `json:"connections"`
}

// confirm asks the plugin whether the last entry's effect has happened, with
// nothing but questions that change nothing.
func (r *sandboxed) confirm(ctx context.Context) (answer json.RawMessage, happened bool, err error) {
	s, j, last := r.sandbox, r.job, r.past.entries[len(r.past.entries)-1]
	unconfirmed := &UnconfirmedError{Effect: last}
	input, err := json.Marshal(doubt{
		Execution: j.execution.ID, Function: last.Func, Request: last.Request, AskedAt: last.Asked.UTC().Format(time.RFC3339Nano),
		Config: orJSON(r.past.world.Config, `{}`), Connections: r.past.world.Connections,
	})
	if err != nil {
		return nil, false, fmt.Errorf("encode the input of confirm: %w", err)
	}
	secrets := hostfns.NewRedactor()
	log := guestlog.New(guestlog.Config{Secrets: secrets, Now: s.c.Now})
	way := r.way(secrets)
	defer way.Close()
	var waits *hostfns.Suspended
	gate := hostfns.NewGate(hostfns.GateConfig{
		Funcs:   slices.Concat(log.Funcs(), way.Funcs(), []hostfns.Func{hostfns.Sleep(s.c.Now, s.c.After)}, s.c.Functions),
		Granted: granted(r.job), Layers: []hostfns.Layer{hostfns.ReadOnly, noting(&waits)}, Secrets: secrets, Now: s.c.Now,
	})
	result, err := r.module.Call(ctx, runtime.Call{
		Export: "confirm", Input: input, Host: gate,
		World: runtime.World{
			Seed: r.past.world.Seed, Start: s.c.Now(), Config: replay.ConfigStrings(r.past.world.Config),
		},
		Limits: r.past.world.Limits,
		Share:  runtime.Share{Key: j.claimed.Tenant},
	})
	if waits != nil {
		return nil, false, waits
	}
	if _, guests := errors.AsType[*runtime.Failure](err); guests {
		unconfirmed.Err = err
		return nil, false, unconfirmed
	}
	if err != nil {
		return nil, false, fmt.Errorf("call confirm: %w", err)
	}
	var told struct {
		Happened *bool           `json:"happened"`
		Response json.RawMessage `json:"response"`
	}
	if err := json.Unmarshal(result.Output, &told); err != nil {
		unconfirmed.Err = fmt.Errorf("its output is not of the form {\"happened\",\"response\"}: %w", err)
		return nil, false, unconfirmed
	}
	if told.Happened == nil {
		return nil, false, unconfirmed
	}
	return orJSON(told.Response, `{}`), *told.Happened, nil
}

// noting is a layer that takes note of a connection that cannot be used now: whoever is
// told that it cannot wait has not found anything out.
func noting(waits **hostfns.Suspended) hostfns.Layer {
	return func(next hostfns.Handler) hostfns.Handler {
		return func(ctx context.Context, c runtime.Crossing) (json.RawMessage, error) {
			result, err := next(ctx, c)
			if s, ok := errors.AsType[*hostfns.Suspended](err); ok && s.For != "" {
				*waits = s
			}
			return result, err
		}
	}
}
