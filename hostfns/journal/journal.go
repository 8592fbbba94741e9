package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

// ErrOffline ends a run that is only replayed, at the first question to which its
// journal has no answer.
var ErrOffline = errors.New("the journal has no answer to this, and the run has no way out")

// FullError ends a run whose journal would grow beyond its limits.
type FullError struct {
	// Entries and Bytes are what it would have.
	Entries, Bytes int
}

// Error implements error.
func (e *FullError) Error() string {
	return fmt.Sprintf("the journal would have %d entries and %d bytes; an execution may have %d and %d: "+
		"spread the work over several executions", e.Entries, e.Bytes, MaxEntries, MaxBytes)
}

// DivergedError ends a run that asks for something else than the run before it did
// at the same place. Nothing was sent.
type DivergedError struct {
	// Expected is the entry that the journal has there.
	Expected Entry
	// Func and Request are what was asked for.
	Func    string
	Request []byte
	// Effect is the first entry, from Expected on, that has or may have changed
	// something outside; nil when there is none.
	Effect *Entry
}

// Error implements error.
func (e *DivergedError) Error() string {
	const shown = 200
	text := fmt.Sprintf("at entry %d the journal has %s of a request with digest %x, and now %s was asked: %.*q",
		e.Expected.Ordinal, e.Expected.Func, e.Expected.Digest[:8], e.Func, shown, e.Request)
	if e.Effect != nil {
		text += fmt.Sprintf("; entry %d, %s, has changed something outside, so that the rest cannot be dropped", e.Effect.Ordinal, e.Effect.Func)
	}
	return text
}

// Log keeps entries where a crash does not reach them.
type Log interface {
	// Write makes entries durable before it returns: of what it had, it keeps what
	// comes before the first of them. An error of a claim that is not the latest any
	// more must end the run.
	Write(ctx context.Context, entries []Entry) error
}

// Mode is what a run may do beyond its journal.
type Mode byte

const (
	// Resume goes on live where the journal ends. To differ from it is an error.
	Resume Mode = iota
	// Redrive goes on live, too, from where another version of the plugin differs, if
	// nothing that was changed outside lies beyond.
	Redrive
	// Replay never goes live.
	Replay
)

// Config configures a Journal.
type Config struct {
	// Entries are what the execution has, in order; none is a new start.
	Entries []Entry
	// Start is what the guest's clock shows first at a new start.
	Start time.Time
	Mode  Mode
	// Claim is the run's.
	Claim int64
	// Log must be set, but for Replay.
	Log Log
	// Now is the clock. It must be set.
	Now func() time.Time
}

// Journal is an execution's journal during one run. Questions are asked by one
// goroutine at a time; the other methods may be called meanwhile.
type Journal struct {
	c Config

	mu      sync.Mutex
	entries []Entry
	bytes   int
	// next is the index of the entry that the next question is matched with.
	next int
	// flushed is how many of the entries the Log has as they are.
	flushed int
}

// New returns a Journal at its beginning. The entries are its own from then on.
func New(c Config) *Journal {
	j := &Journal{c: c, entries: c.Entries, next: 1, flushed: len(c.Entries)}
	if len(j.entries) == 0 {
		j.entries = []Entry{{Func: startFunc, Effect: hostfns.Read, Outcome: hostfns.Done, Claim: c.Claim, Asked: c.Start, Answered: c.Start}}
	}
	for i := range j.entries {
		j.bytes += j.entries[i].Size()
	}
	j.arrive()
	return j
}

// Start is what the guest's clock shows before its first question.
func (j *Journal) Start() time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.entries[0].clock()
}

// Question is what a guest asks of the world outside.
type Question struct {
	Func    string
	Request []byte
	Effect  hostfns.Effect
}

// Reply is an answer, and the time to which the guest's clock moves.
type Reply struct {
	Answer json.RawMessage
	At     time.Time
	// Recorded says that it is the answer of an earlier run.
	Recorded bool
}

// Ask answers from the journal, or else from do, whose answer it keeps. Do says
// what became of the question even if it returns an error. An error ends the run:
// do's own, a *DivergedError, a *FullError or ErrOffline.
func (j *Journal) Ask(ctx context.Context, q Question, do func(context.Context) (json.RawMessage, hostfns.Outcome, error)) (Reply, error) {
	recorded, err := j.recall(q)
	if recorded != nil || err != nil {
		return orNone(recorded), err
	}
	at, err := j.begin(q)
	if err != nil {
		return Reply{}, err
	}
	answer, outcome, err := do(ctx)
	if full := j.end(at, answer, outcome, err); err == nil {
		err = full
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return Reply{Answer: answer, At: j.entries[at].Answered}, err
}

func orNone(r *Reply) Reply {
	if r == nil {
		return Reply{}
	}
	return *r
}

// Announce makes the question that is being asked durable if it must not be made
// twice, together with all that came before it. It is called when nothing but the
// effect itself is left to do.
func (j *Journal) Announce(ctx context.Context) error {
	j.mu.Lock()
	last := j.entries[len(j.entries)-1]
	j.mu.Unlock()
	if last.Effect != hostfns.Unsafe {
		return nil
	}
	if err := j.Flush(ctx); err != nil {
		return fmt.Errorf("record the intent of %s: %w", last.Func, err)
	}
	return nil
}

// Flush makes what is not yet durable so.
func (j *Journal) Flush(ctx context.Context) error {
	entries := j.Pending()
	if len(entries) == 0 {
		return nil
	}
	if err := j.c.Log.Write(ctx, entries); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.flushed = len(j.entries)
	return nil
}

// Pending are the entries that the Log does not have as they are now: they are for
// the commit that ends the run.
func (j *Journal) Pending() []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.entries[j.flushed:])
}

// Entries are all that there are.
func (j *Journal) Entries() []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.entries)
}

// recall gives the recorded answer, if there is one.
func (j *Journal) recall(q Question) (*Reply, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.next == len(j.entries) {
		return nil, j.live()
	}
	e := &j.entries[j.next]
	again := e.open()
	if !again || !e.anew() {
		if e.Func != q.Func || e.Digest != DigestOf(q.Request) {
			return nil, j.differ(q)
		}
	}
	if again {
		return nil, j.live()
	}
	j.next++
	j.arrive()
	return &Reply{Answer: e.Answer, At: e.clock(), Recorded: true}, nil
}

// live says whether the run may ask the world.
func (j *Journal) live() error {
	if j.c.Mode == Replay {
		return ErrOffline
	}
	return nil
}

// arrive moves the clock to the present where the next question will be asked live.
// An effect that is sent again byte for byte has to be made of what it was made of
// before, the time included.
func (j *Journal) arrive() {
	if j.c.Mode == Replay {
		return
	}
	if j.next == len(j.entries) || j.entries[j.next].open() && j.entries[j.next].anew() {
		j.move(j.next - 1)
	}
}

// move has the clock show the present after an entry of an earlier run.
func (j *Journal) move(at int) {
	e := &j.entries[at]
	if now := j.c.Now(); e.Claim != j.c.Claim && now.After(e.clock()) {
		e.Resumed = now
		j.flushed = min(j.flushed, at)
	}
}

// differ says that a question is not the one that is recorded, or drops the rest of
// the journal where that is allowed.
func (j *Journal) differ(q Question) error {
	e := &DivergedError{Expected: j.entries[j.next], Func: q.Func, Request: bytes.Clone(q.Request)}
	if i := slices.IndexFunc(j.entries[j.next:], func(e Entry) bool { return e.settled() }); i >= 0 {
		settled := j.entries[j.next+i]
		e.Effect = &settled
	}
	if j.c.Mode != Redrive || e.Effect != nil {
		return e
	}
	j.cut(j.next)
	return nil
}

// cut forgets the entries from an index on.
func (j *Journal) cut(from int) {
	for i := from; i < len(j.entries); i++ {
		j.bytes -= j.entries[i].Size()
	}
	j.entries = j.entries[:from]
	j.flushed = min(j.flushed, from)
}

// begin makes the entry of a question that is asked now, and returns its index.
func (j *Journal) begin(q Question) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e := Entry{
		Ordinal: j.next, Func: q.Func, Effect: q.Effect, Digest: DigestOf(q.Request),
		Claim: j.c.Claim, Asked: j.c.Now(),
	}
	if j.next < len(j.entries) {
		if before := j.entries[j.next]; before.settled() {
			e.Asked = before.Asked // A key's life counts from the first time.
		}
		j.cut(j.next)
	}
	if q.Effect != hostfns.Read {
		e.Request = bytes.Clone(q.Request)
	}
	if n, size := len(j.entries)+1, j.bytes+e.Size(); n > MaxEntries || size > MaxBytes {
		return 0, &FullError{Entries: n, Bytes: size}
	}
	j.entries = append(j.entries, e)
	j.bytes += e.Size()
	j.next++
	return e.Ordinal, nil
}

// end closes an entry. Of an error of the host's there is no answer.
func (j *Journal) end(at int, answer json.RawMessage, outcome hostfns.Outcome, failed error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	e := &j.entries[at]
	j.flushed = min(j.flushed, at)
	j.bytes -= e.Size()
	e.Outcome = outcome
	if failed == nil {
		e.Answer, e.Answered = answer, j.c.Now()
	}
	if outcome == hostfns.Done {
		e.Request = nil // It is not sent again.
	}
	j.bytes += e.Size()
	if failed == nil && j.bytes > MaxBytes {
		return &FullError{Entries: len(j.entries), Bytes: j.bytes}
	}
	return nil
}
