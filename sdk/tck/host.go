package tck

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
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

// host is what a guest meets in a vector: the gate, with state, records, tags and
// logs as in production. Third parties, and what goes wrong, are the vector's.
type host struct {
	vector  *vector
	gate    *hostfns.Gate
	journal *journal.Journal
	state   *state.Session
	kept    *emit.Kept
	lines   *guestlog.Log
	// seen are the crossings so far, and what was answered, but for log.
	seen []call
	// forced says that the vector has made something fail that had gone well: no
	// journal can show that again.
	forced bool
}

const logFunc = "log"

// exportVerify decides about a delivery, with less to ask for and less fuel than others:
// sdk/ABI.md, "Webhooks that a plugin verifies".
const (
	exportVerify                  = "verify"
	verifyFuel, verifyFuelPerByte = 200_000_000, 400
)

func newHost(v *vector) *host {
	now := func() time.Time { return v.Now }
	h := &host{vector: v, lines: guestlog.New(guestlog.Config{Now: now}), kept: emit.New(emit.Limits{})}
	h.journal = journal.New(journal.Config{Execution: "exe_1", Start: v.Now, Claim: 1, Log: unkept{}, Now: now})
	h.state = state.NewSession(state.Kept(stored(v.State), h.journal.Read), state.Limits{})
	config := hostfns.GateConfig{Journal: h.journal.Outer, Layers: []hostfns.Layer{h.journal.Inner, h.script}, Now: now}
	config.Funcs = slices.Concat(h.state.Funcs(), h.lines.Funcs(), h.kept.Funcs(), outsideFuncs(),
		[]hostfns.Func{hostfns.Sleep(now, func(time.Duration) <-chan time.Time { return passed() })})
	if v.Export == exportVerify { // Nothing is kept of it, and nobody makes it again.
		config = hostfns.GateConfig{Funcs: signFuncs(), Layers: []hostfns.Layer{h.script}, Now: now}
	}
	h.gate = hostfns.NewGate(config)
	return h
}

// passed is a wait that is over.
func passed() <-chan time.Time {
	done := make(chan time.Time)
	close(done)
	return done
}

// outsideFuncs are http and sign, with what production knows of their requests and
// nothing behind them: neither third parties nor keys.
func outsideFuncs() []hostfns.Func {
	way := egress.New(egress.Config{})
	defer way.Close()
	return append(unanswered(way.Session(egress.Permissions{}).Funcs()), signFuncs()...)
}

// signFuncs are all that verify may ask for.
func signFuncs() []hostfns.Func { return unanswered(sign.New(sign.Config{}).Funcs()) }

func unanswered(funcs []hostfns.Func) []hostfns.Func {
	for i := range funcs {
		funcs[i].Answer = func(context.Context, json.RawMessage) (any, error) { return nil, errUnexpected }
	}
	return funcs
}

// errUnexpected ends a run that asks for what its vector does not have.
var errUnexpected = errors.New("the vector has no answer to this call")

// Call implements runtime.Host.
func (h *host) Call(ctx context.Context, c runtime.Crossing) (runtime.Answer, error) {
	if c.Func == logFunc {
		return h.gate.Call(ctx, c)
	}
	i := len(h.seen)
	h.seen = append(h.seen, call{Func: c.Func, Request: slices.Clone(c.Request)})
	answer, err := h.gate.Call(ctx, c)
	h.seen[i].Answer = slices.Clone(answer.Response)
	return answer, err
}

// script answers what the world outside is asked, and what is to go wrong, from the
// vector: the rest is computed.
func (h *host) script(next hostfns.Handler) hostfns.Handler {
	return func(ctx context.Context, c runtime.Crossing) (json.RawMessage, error) {
		i := len(h.seen) - 1
		if c.Func == logFunc || i >= len(h.vector.Calls) || h.vector.Calls[i].Func != c.Func {
			return next(ctx, c)
		}
		scripted, failure := hostfns.Open(h.vector.Calls[i].Answer)
		if c.Func == "http" || c.Func == sign.FuncName {
			return scripted, failure
		}
		result, err := next(ctx, c)
		if failure != nil && err == nil {
			h.forced = true
			return nil, failure
		}
		return result, err
	}
}

// unkept is a journal.Log of executions that nobody goes on with.
type unkept struct{}

// Write implements journal.Log.
func (unkept) Write(context.Context, []journal.Entry) error { return nil }

// stored is the state that a call begins with.
type stored map[string]json.RawMessage

// Get implements state.Reader.
func (s stored) Get(_ context.Context, key string) (state.Entry, error) {
	e := state.Entry{Key: key, Value: s[key]}
	if e.Value != nil {
		e.Version = 1
	}
	return e, nil
}

// List implements state.Reader.
func (s stored) List(_ context.Context, prefix, after string, limit int) ([]state.Entry, error) {
	var all []state.Entry
	for _, key := range slices.Sorted(maps.Keys(s)) {
		if strings.HasPrefix(key, prefix) && key > after {
			all = append(all, state.Entry{Key: key, Value: s[key], Version: 1})
		}
	}
	return all[:min(limit, len(all))], nil
}

// committed is the state that a call leaves that succeeds.
func (h *host) committed() (map[string]json.RawMessage, error) {
	after := map[string]json.RawMessage{}
	maps.Copy(after, h.vector.State)
	for _, w := range h.state.Changes().Writes {
		switch {
		case w.Delete:
			delete(after, w.Key)
		case w.Value != nil:
			after[w.Key] = w.Value
		default:
			var n int64
			if value, ok := after[w.Key]; ok {
				if err := json.Unmarshal(value, &n); err != nil {
					return nil, fmt.Errorf("add to %q: %w", w.Key, err)
				}
			}
			after[w.Key] = json.RawMessage(fmt.Sprint(n + w.Delta))
		}
	}
	return after, nil
}

// run is a call that was made, and how it ended.
type run struct {
	host   *host
	result runtime.Result
	err    error
	// failure is the err of a guest that failed, and wait that of one that waits.
	failure *runtime.Failure
	wait    *hostfns.Suspended
}

// play makes the call of a vector.
func (g *guest) play(ctx context.Context, v *vector, limits runtime.Limits) run {
	h := newHost(v)
	r := run{host: h}
	if v.Export == exportVerify && limits.Fuel == 0 {
		limits.Fuel = verifyFuel + verifyFuelPerByte*int64(len(v.Input)) // As much as the body has, and a little more.
	}
	r.result, r.err = g.module.Call(ctx, runtime.Call{
		Export: v.Export, Input: v.Input, Host: h, Limits: limits,
		World: runtime.World{Seed: seedOf(v), Start: h.journal.Start()},
	})
	errors.As(r.err, &r.failure)
	errors.As(r.err, &r.wait)
	return r
}

func seedOf(v *vector) [32]byte { return journal.Seed(journal.DigestOf(v.Input)) }

// recording is what the host would export of the run.
func (g *guest) recording(r run) replay.Recording {
	v := r.host.vector
	recording := replay.Recording{
		Execution: "exe_1", Export: v.Export, Input: v.Input, Entries: r.host.journal.Entries(), Fuel: r.result.Usage.Fuel,
		World: journal.World{
			Model: runtime.Model, Module: g.digest, Image: g.module.Facts().ImageDigest,
			Seed: seedOf(v), Start: v.Now, Attempt: 1,
		},
	}
	switch {
	case r.failure != nil:
		recording.Outcome, recording.Error = replay.Failed, &replay.Error{Code: string(r.failure.Code), Message: r.failure.Message}
	case r.wait != nil:
		recording.Outcome = replay.Suspended
	default:
		recording.Outcome, recording.Output = replay.Succeeded, r.result.Output
		recording.Left = replay.LeftOf(r.host.kept.Records(), r.host.kept.Tags(), r.host.state.Changes().Writes)
	}
	return recording
}
