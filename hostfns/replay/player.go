package replay

import (
	"bytes"
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
	"github.com/cofferdam-run/cofferdam/hostfns/sign"
	"github.com/cofferdam-run/cofferdam/hostfns/state"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// codeNotRecorded is of Steps only: no guest is told that its run has ended.
const codeNotRecorded hostfns.Code = "not_recorded"

// errStopped ends a run where the recording does.
var errStopped = errors.New("the recording ends here")

// player is the host of one replayed run: a gate behind which there is nothing.
type player struct {
	outcome Outcome
	entries []journal.Entry
	journal *journal.Journal
	gate    *hostfns.Gate
	state   *state.Session
	log     *guestlog.Log
	kept    *emit.Kept
	funcs   map[string]hostfns.Func

	// now is what the guest's clock shows.
	now time.Time
	// next is the index of the entry that the next question is matched with.
	next int
	// spans says which entries a crossing was answered from.
	spans map[int]span
	// fuel is what had been used at the crossing of an entry, by its index.
	fuel map[int]int64

	// One of these is set where the recording ended the run, and at which crossing.
	differs *Divergence
	open    *Call
	lacks   *Call
	stopped int
}

// span is a run of entries.
type span struct{ from, to int }

func newPlayer(r Recording, imports []string, further []hostfns.Func) *player {
	p := &player{
		outcome: r.Outcome, entries: answered(r.Entries), next: 1,
		funcs: map[string]hostfns.Func{}, spans: map[int]span{}, fuel: map[int]int64{},
	}
	p.journal = journal.New(journal.Config{
		Entries: slices.Clone(p.entries), Start: r.World.Start, Mode: journal.Replay, Now: p.clock,
	})
	p.now = p.journal.Start()
	p.state = state.NewSession(state.Kept(noState{}, p.read), state.Limits{})
	p.log = guestlog.New(guestlog.Config{Now: p.clock})
	p.kept = emit.New(emit.Limits{})
	funcs := p.functions(r, imports, further)
	for _, f := range funcs {
		p.funcs[f.Name] = f
	}
	p.gate = hostfns.NewGate(hostfns.GateConfig{Funcs: funcs, Granted: r.Granted, Journal: p.layer, Now: p.clock})
	return p
}

// answered gives the entries as the last run saw them: what is to be asked again
// has its answer from then, for there is nobody to ask.
func answered(entries []journal.Entry) []journal.Entry {
	entries = slices.Clone(entries)
	for i := range entries {
		entries[i].Again, entries[i].Confirm = false, false
	}
	return entries
}

// functions are what a run computes by itself, and the names of all else.
func (p *player) functions(r Recording, imports []string, further []hostfns.Func) []hostfns.Func {
	all := slices.Concat(p.state.Funcs(), p.log.Funcs(), p.kept.Funcs(), outsideFuncs(), further)
	names := slices.Clone(imports)
	for i := range r.Entries {
		names = append(names, r.Entries[i].Func)
	}
	for _, name := range names {
		all = append(all, hostfns.Func{Name: name, Answer: unreachable})
	}
	var first []hostfns.Func // Of each name.
	for _, f := range all {
		if !slices.ContainsFunc(first, func(o hostfns.Func) bool { return o.Name == f.Name }) {
			first = append(first, f)
		}
	}
	return first
}

// outsideFuncs are the built-in functions that ask outside: their words for a
// request, with nothing behind them.
func outsideFuncs() []hostfns.Func {
	way := egress.New(egress.Config{})
	defer way.Close()
	funcs := append(way.Session(egress.Permissions{}).Funcs(), sign.New(sign.Config{}).Funcs()...)
	funcs = append(funcs, hostfns.Sleep(nil, nil))
	for i := range funcs {
		funcs[i].Answer = unreachable
		if funcs[i].Name == egress.ReadFunc {
			funcs[i].Recall = unkept
		}
	}
	return funcs
}

// errStreamed ends a run where it reads what was streamed.
var errStreamed = errors.New("the body was streamed, and no recording has it")

// unkept is of a chunk, of which a recording has the length and the digest alone.
func unkept(_ context.Context, _, kept json.RawMessage) (json.RawMessage, error) {
	var chunk struct{ Bytes int }
	if err := json.Unmarshal(kept, &chunk); err != nil || chunk.Bytes > 0 {
		return nil, errStreamed
	}
	return kept, nil
}

// unreachable is behind the journal, which never lets anything through.
func unreachable(context.Context, json.RawMessage) (any, error) { return nil, journal.ErrOffline }

// noState is behind the journal, too.
type noState struct{}

// Get implements state.Reader.
func (noState) Get(context.Context, string) (state.Entry, error) {
	return state.Entry{}, journal.ErrOffline
}

// List implements state.Reader.
func (noState) List(context.Context, string, string, int) ([]state.Entry, error) {
	return nil, journal.ErrOffline
}

func (p *player) clock() time.Time { return p.now }

// layer is the gate's journal.
func (p *player) layer(next hostfns.Handler) hostfns.Handler {
	outer := p.journal.Outer(next)
	return func(ctx context.Context, c runtime.Crossing) (json.RawMessage, error) {
		if hostfns.EffectOf(ctx, c.Request) == hostfns.Computed {
			return next(ctx, c)
		}
		p.fuel[p.next] = c.Fuel
		var result json.RawMessage
		err := p.ask(ctx, c.Func, c.Request, func() (err error) {
			result, err = outer(ctx, c)
			return err
		})
		return result, err
	}
}

// read is for state.Kept.
func (p *player) read(ctx context.Context, request []byte, do func(context.Context) (json.RawMessage, error)) (json.RawMessage, error) {
	var answer json.RawMessage
	err := p.ask(ctx, journal.StateFunc, request, func() (err error) {
		answer, err = p.journal.Read(ctx, request, do)
		return err
	})
	return answer, err
}

// ask has the journal answer, and keeps what is to be told of it.
func (p *player) ask(ctx context.Context, name string, request []byte, answer func() error) error {
	p.stopped = hostfns.Ordinal(ctx)
	if err := p.arrive(name, request); err != nil {
		return err
	}
	err := answer()
	if diverged, ok := errors.AsType[*journal.DivergedError](err); ok {
		p.differs = &Divergence{Expected: p.recorded(diverged.Expected), Actual: p.asked(diverged.Func, diverged.Request)}
		return err
	}
	if errors.Is(err, journal.ErrOffline) {
		p.differs = &Divergence{Actual: p.asked(name, request)}
		return err
	}
	if errors.Is(err, errStreamed) {
		p.lacks = p.recorded(p.entries[p.next])
		return err
	}
	p.advance(p.stopped)
	p.stopped = 0
	return err
}

// arrive says whether the run ends at a question because the recorded one did.
func (p *player) arrive(name string, request []byte) error {
	if p.next >= len(p.entries) {
		return nil
	}
	e := p.entries[p.next]
	if !e.Answered.IsZero() && (p.outcome != Suspended || p.next < len(p.entries)-1) {
		return nil
	}
	if e.Func == name && e.Digest == journal.DigestOf(request) {
		p.open = p.recorded(e)
	} else {
		p.differs = &Divergence{Expected: p.recorded(e), Actual: p.asked(name, request)}
	}
	return errStopped
}

// advance goes past an entry, to the time of its answer.
func (p *player) advance(ordinal int) {
	e := &p.entries[p.next]
	for _, t := range []time.Time{e.Answered, e.Resumed} {
		if t.After(p.now) {
			p.now = t
		}
	}
	s, ok := p.spans[ordinal]
	if !ok {
		s.from = p.next
	}
	s.to = p.next
	p.spans[ordinal] = s
	p.next++
}

// steps are the gate's, with the times of the recording.
func (p *player) steps() []hostfns.Step {
	steps := p.gate.Steps()
	for i := range steps {
		if s, ok := p.spans[steps[i].Ordinal]; ok {
			steps[i].At = p.entries[s.from].Asked
			steps[i].Duration = p.entries[s.to].Answered.Round(0).Sub(steps[i].At.Round(0))
		}
		if steps[i].Ordinal == p.stopped {
			steps[i].Code = codeNotRecorded
		}
	}
	return steps
}

// recorded is an entry as a Call.
func (p *player) recorded(e journal.Entry) *Call {
	c := p.asked(e.Func, e.Request)
	c.Ordinal, c.Digest = e.Ordinal, e.Digest
	c.Effect, c.Outcome = e.Effect.String(), e.Outcome.String()
	return c
}

// asked is a question as a Call.
func (p *player) asked(name string, request []byte) *Call {
	digest := journal.DigestOf(request)
	if keep := p.funcs[name].Keep; keep != nil {
		request = keep(request)
	}
	c := &Call{Ordinal: p.next, Func: name, Request: bytes.Clone(request), Digest: digest}
	if summarize := p.funcs[name].Summarize; summarize != nil && request != nil {
		c.Summary = summarize(request)
	}
	return c
}

// fuelDiffers says at which call it was first that the fuel was not what it had been,
// as far as that is recorded.
func (p *player) fuelDiffers() string {
	for i := range p.entries {
		if now, ok := p.fuel[i]; ok && p.entries[i].Fuel > 0 && now != p.entries[i].Fuel {
			return fmt.Sprintf("; at entry %d, %s, it was %d and is %d", i, p.recorded(p.entries[i]), p.entries[i].Fuel, now)
		}
	}
	return ""
}
