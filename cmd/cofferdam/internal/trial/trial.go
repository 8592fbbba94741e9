// Package trial makes one run of a plugin's export with the gate of a server and no
// server: for `cofferdam call` and for tests of plugins.
//
//	out := egress.New(egress.Config{})
//	report, err := trial.Run(ctx, module, trial.Config{
//		Export: "action", Input: input, Egress: out, Permissions: egress.Permissions{Rules: rules},
//		State: state, Now: time.Now, After: time.After,
//	})
//
// All that a guest asks passes hostfns.Gate with its quotas, trace and redaction;
// HTTP passes egress with its rules. The state is the caller's, in memory; nothing of
// a run is kept but what the Report says. A wait is not waited for: the clock is put
// forward instead, unless the run waits with a checkpoint, which ends it.
package trial

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/hostfns/emit"
	"github.com/cofferdam-run/cofferdam/hostfns/guestlog"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
	"github.com/cofferdam-run/cofferdam/hostfns/replay"
	"github.com/cofferdam-run/cofferdam/hostfns/sign"
	"github.com/cofferdam-run/cofferdam/hostfns/state"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// Config says what is run, and in which world.
type Config struct {
	Export string
	Input  []byte
	// Execution is its id, with which idempotency keys begin. Defaults to DefaultExecution.
	Execution string
	// Settings is the configuration, a JSON object, as Extism's config has it too.
	// Defaults to none.
	Settings json.RawMessage
	// State is what is stored when the run begins. Defaults to nothing.
	State map[string]json.RawMessage
	// Egress is the way out, and Permissions what is permitted on it: its Secrets are
	// the run's. They default to none.
	Egress      *egress.Egress
	Permissions egress.Permissions
	// Signs are the algorithms that may be signed with, by connection.
	Signs map[string][]string
	// Signer is asked for signatures in front of the function sign, which is next.
	// Defaults to nobody.
	Signer func(ctx context.Context, request json.RawMessage, next Answer) (any, error)
	// Functions are a host app's own.
	Functions []hostfns.Func
	// Limits default to the module's.
	Limits runtime.Limits
	// Seed feeds the random stream.
	Seed [32]byte
	// Step and Line are told what the run does as it does it. Default to nobody.
	Step func(hostfns.Step)
	Line func(guestlog.Line)
	// Now is the clock. It must be set.
	Now func() time.Time
}

// Answer is what answers a host function.
type Answer = func(ctx context.Context, request json.RawMessage) (any, error)

// DefaultExecution is the id of an execution that nobody has named.
const DefaultExecution = "exe_00000000000000000000000001"

// Report is what a run came to.
type Report struct {
	// Output is set, or Failure is, or Waits.
	Output  []byte
	Failure *runtime.Failure
	// Waits is the end of a run with a checkpoint.
	Waits *Wait
	Usage runtime.Usage
	Steps []hostfns.Step
	Lines []guestlog.Line
	// Left is what the run would leave behind, if it did not fail.
	Left *replay.Left
}

// Wait is a run that ended to be made again from a checkpoint.
type Wait struct {
	Until      time.Time       `json:"until"`
	Checkpoint json.RawMessage `json:"checkpoint"`
}

// Run makes a run. An error is the host's: the plugin's own is in the Report.
func Run(ctx context.Context, m *runtime.Module, c Config) (*Report, error) {
	if c.Execution == "" {
		c.Execution = DefaultExecution
	}
	if c.Permissions.Secrets == nil {
		c.Permissions.Secrets = hostfns.NewRedactor()
	}
	r := newRun(&c, m.Imports())
	defer r.close()
	result, err := m.Call(ctx, runtime.Call{
		Export: c.Export, Input: c.Input, Host: r.gate, Limits: c.Limits,
		World: runtime.World{Seed: c.Seed, Start: r.journal.Start(), Config: replay.ConfigStrings(c.Settings)},
	})
	if closed := r.journal.Close(ctx); err == nil && closed != nil {
		return nil, fmt.Errorf("end run: %w", closed)
	}
	report := &Report{
		Usage: result.Usage, Steps: r.gate.Steps(), Lines: r.log.Lines(),
		Left: replay.LeftOf(r.kept.Records(), r.kept.Tags(), r.state.Changes().Writes),
	}
	failure, failed := errors.AsType[*runtime.Failure](err)
	suspended, waits := errors.AsType[*hostfns.Suspended](err)
	switch {
	case failed:
		report.Failure = failure
	case waits:
		report.Waits = &Wait{Until: suspended.Until, Checkpoint: suspended.Checkpoint}
	case err != nil:
		return report, fmt.Errorf("call %s: %w", c.Export, err)
	default:
		report.Output = result.Output
	}
	return report, nil
}

// run is what one run is made of.
type run struct {
	gate    *hostfns.Gate
	journal *journal.Journal
	state   *state.Session
	log     *guestlog.Log
	kept    *emit.Kept
	// way is nil for a run that has none.
	way *egress.Session
	// ahead is how far waits that were not waited for have put the clock forward.
	ahead time.Duration
}

func newRun(c *Config, imports []string) *run {
	r := &run{kept: emit.New(emit.Limits{})}
	now := func() time.Time { return c.Now().Add(r.ahead) }
	r.log = guestlog.New(guestlog.Config{Secrets: c.Permissions.Secrets, Sink: c.Line, Now: now})
	r.journal = journal.New(journal.Config{Execution: c.Execution, Start: now(), Claim: 1, Log: forgotten{}, Now: now})
	r.state = state.NewSession(state.Kept(memory(c.State), r.journal.Read), state.Limits{})
	funcs := slices.Concat(r.state.Funcs(), r.log.Funcs(), r.kept.Funcs(), []hostfns.Func{r.sleep(now)}, c.Functions)
	if c.Egress != nil {
		r.way = c.Egress.Session(c.Permissions)
		funcs = append(funcs, r.way.Funcs()...)
		funcs = append(funcs, signs(c, now)...)
	}
	granted := make([]string, len(c.Functions))
	for i, f := range c.Functions {
		granted[i] = f.Name
	}
	for _, name := range imports {
		if !slices.ContainsFunc(funcs, func(f hostfns.Func) bool { return f.Name == name }) {
			funcs = append(funcs, absent(name))
		}
	}
	r.gate = hostfns.NewGate(hostfns.GateConfig{
		Funcs: funcs, Granted: granted, Secrets: c.Permissions.Secrets, Sink: c.Step,
		Journal: r.journal.Outer, Layers: []hostfns.Layer{r.journal.Inner}, Now: now,
	})
	return r
}

// signs is the function sign.
func signs(c *Config, now func() time.Time) []hostfns.Func {
	keys, _ := c.Permissions.Credentials.(sign.Keys)
	funcs := sign.New(sign.Config{Keys: keys, Allowed: c.Signs, Secrets: c.Permissions.Secrets, Now: now}).Funcs()
	if c.Signer == nil {
		return funcs
	}
	for i, f := range funcs {
		funcs[i].Answer = func(ctx context.Context, request json.RawMessage) (any, error) {
			return c.Signer(ctx, request, f.Answer)
		}
	}
	return funcs
}

// close ends what the run has left open.
func (r *run) close() {
	if r.way != nil {
		r.way.Close()
	}
}

// absent is a function that a plugin imports and nobody offers.
func absent(name string) hostfns.Func {
	return hostfns.Func{Name: name, Answer: func(context.Context, json.RawMessage) (any, error) {
		return nil, hostfns.Errorf(hostfns.CodeDenied, "there is nobody here who answers the function %q", name)
	}}
}

// sleep is the function sleep, for which the clock is put forward.
func (r *run) sleep(now func() time.Time) hostfns.Func {
	passed := make(chan time.Time)
	close(passed)
	f := hostfns.Sleep(now, func(d time.Duration) <-chan time.Time {
		r.ahead += d
		return passed
	})
	sleep := f.Answer
	f.Answer = func(ctx context.Context, request json.RawMessage) (any, error) {
		answer, err := sleep(ctx, request)
		if waits, ok := errors.AsType[*hostfns.Suspended](err); ok && waits.Checkpoint == nil {
			r.ahead += waits.Until.Sub(now())
			return nil, nil
		}
		return answer, err
	}
	return f
}

// forgotten is the journal.Log of a run that is not made again.
type forgotten struct{}

// Write implements journal.Log.
func (forgotten) Write(context.Context, []journal.Entry) error { return nil }
