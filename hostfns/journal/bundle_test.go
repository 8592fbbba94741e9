package journal_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
	"github.com/cofferdam-run/cofferdam/runtime"
)

var errFenced = errors.New("fenced")

// store is a Log, which loses nothing.
type store struct {
	entries []journal.Entry
	writes  int
	err     error
}

// Write implements journal.Log. What is kept has gone through the codec.
func (s *store) Write(_ context.Context, entries []journal.Entry) error {
	if s.err != nil {
		return s.err
	}
	s.writes++
	s.entries = s.entries[:min(entries[0].Ordinal, len(s.entries))]
	for _, e := range entries {
		b, err := e.MarshalBinary()
		if err != nil {
			return err
		}
		var kept journal.Entry
		if err := kept.UnmarshalBinary(b); err != nil {
			return err
		}
		s.entries = append(s.entries, kept)
	}
	return nil
}

// ask is what a world is asked: "POST /a", with a body that is not looked at.
type ask struct {
	Do   string `json:"do"`
	Body string `json:"body,omitempty"`
}

// world is the other side of the functions of a test, over all runs of an execution.
type world struct {
	store *store
	now   time.Time
	claim int64
	// made counts what came to it, by what was asked.
	made map[string]int
	// answers say what becomes of what is asked, by what is asked; the last one
	// stays. An answer of "ok" is the default, "none" is no answer at all after it was
	// done, "refused" is none that was sent, "held" is one that is to be asked for later.
	answers map[string][]string
	// seen is called with the store as it is when an effect is done.
	seen func(*store)
	// mark is what the functions say of what is asked.
	mark hostfns.Mark
	// keys are those that were sent, in order.
	keys []string
	// waits is what the function "wait" ends with.
	waits *hostfns.Suspended
}

func newWorld() *world {
	return &world{store: &store{}, now: epoch, made: map[string]int{}, answers: map[string][]string{}}
}

func (w *world) clock() time.Time {
	w.now = w.now.Add(time.Second)
	return w.now
}

func effectOf(raw json.RawMessage) hostfns.Effect {
	switch {
	case strings.Contains(string(raw), "POST"):
		return hostfns.Unsafe
	case strings.Contains(string(raw), "PUT"):
		return hostfns.Idempotent
	default:
		return hostfns.Read
	}
}

func (w *world) answer(ctx context.Context, raw json.RawMessage) (any, error) {
	r, err := hostfns.Decode[ask](raw)
	if err != nil {
		return nil, err
	}
	if w.seen != nil {
		w.seen(w.store)
	}
	answer := "ok"
	if all := w.answers[r.Do]; len(all) > 0 {
		answer, w.answers[r.Do] = all[0], all[min(1, len(all)-1):]
	}
	if answer == "refused" {
		hostfns.Report(ctx, hostfns.NotDone)
		return nil, hostfns.Errorf(hostfns.CodeNetwork, "refused")
	}
	if answer == "held" {
		hostfns.Report(ctx, hostfns.NotDone)
		return nil, &hostfns.Suspended{Reason: "rate_limited", For: "con_1", Until: w.now.Add(time.Hour)}
	}
	w.made[r.Do]++
	if effectOf(raw) != hostfns.Read {
		w.keys = append(w.keys, hostfns.KeyOf(ctx))
	}
	switch answer {
	case "none":
		hostfns.Report(ctx, hostfns.Unknown)
		return nil, hostfns.Errorf(hostfns.CodeTimeout, "no answer")
	case "503":
		if effectOf(raw) == hostfns.Unsafe {
			hostfns.Report(ctx, hostfns.Unknown)
		}
	case "429":
		hostfns.Report(ctx, hostfns.NotDone)
	case "lost":
		hostfns.Report(ctx, hostfns.Done)
		return nil, errors.New("the answer was lost")
	case "host":
		return nil, errors.New("the host has failed")
	}
	return map[string]string{"answer": answer}, nil
}

// marks is the world's mark; what is asked for by "POST /a" is alike for all bodies.
func (w *world) marks(_ context.Context, raw json.RawMessage) (hostfns.Mark, error) {
	r, err := hostfns.Decode[ask](raw)
	m := w.mark
	m.Same = strings.ToLower(strings.NewReplacer(" ", "", "/", "").Replace(r.Do))
	return m, err
}

// guest is the code of a plugin: it asks, and gives up with an error.
type guest func(ask func(string) string) error

// run makes one run of a guest. What it asks for is "POST /a" or "POST /a body".
func (w *world) run(t *testing.T, c journal.Config, g guest) (*journal.Journal, *hostfns.Gate, error) {
	t.Helper()
	w.claim++
	if c.Execution == "" {
		c.Execution = "exe_1"
	}
	if c.Claim == 0 {
		c.Claim = w.claim
	}
	if c.Entries == nil {
		c.Entries = slices.Clone(w.store.entries)
	}
	c.Start, c.Log, c.Now = w.clock(), w.store, w.clock
	j := journal.New(c)
	gate := hostfns.NewGate(hostfns.GateConfig{
		Funcs: []hostfns.Func{
			{Name: "http", Effect: effectOf, Answer: w.answer, Mark: w.marks},
			{Name: "wait", Effect: hostfns.Always(hostfns.Read), Answer: func(context.Context, json.RawMessage) (any, error) { return nil, w.waits }},
			{Name: "log", Effect: hostfns.Always(hostfns.Computed), Answer: func(context.Context, json.RawMessage) (any, error) { return "said", nil }},
			{Name: "granted", Granted: true, Answer: w.answer},
		},
		Journal: j.Outer, Layers: []hostfns.Layer{j.Inner}, Quota: hostfns.Quota{Calls: 100}, Now: w.clock,
	})
	var failed error
	err := g(func(what string) string {
		if failed != nil {
			return ""
		}
		name := "http"
		if first, rest, ok := strings.Cut(what, ": "); ok {
			name, what = first, rest
		}
		words := append(strings.SplitN(what, " ", 3), "", "")
		request, err := json.Marshal(ask{Do: strings.TrimSpace(words[0] + " " + words[1]), Body: words[2]})
		if err != nil {
			t.Fatal(err)
		}
		a, err := gate.Call(t.Context(), runtime.Crossing{Func: name, Request: request})
		if failed = err; err != nil {
			return ""
		}
		return string(a.Response)
	})
	if failed != nil {
		err = failed
	}
	return j, gate, err
}

// finish keeps what a run has left, as the commit that ends it does.
func (w *world) finish(t *testing.T, j *journal.Journal, next journal.Next) {
	t.Helper()
	if err := j.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !next.Dead {
		w.store.entries = next.Entries
	}
}
