package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

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
	// Execution is what its idempotency keys begin with.
	Execution string
	// Keys are those of entries that were dropped.
	Keys []UsedKey
	// Forced says that an effect of theirs may be made again though the other side may
	// have forgotten its key.
	Forced bool
	// Log must be set, but for Replay.
	Log Log
	// Held says whether the run may still make effects. Defaults to always.
	Held func() bool
	// Now is the clock. It must be set.
	Now func() time.Time
	// After is time.After in a program. Without it, outcomes of effects are durable
	// with the next write that is due for another reason.
	After func(time.Duration) <-chan time.Time
}

// Journal is an execution's journal during one run. Questions are asked by one
// goroutine at a time; the other methods may be called meanwhile. Who made it closes
// it.
type Journal struct {
	c Config

	mu      sync.Mutex
	entries []Entry
	bytes   int
	// next is the index of the entry that the next question is matched with.
	next int
	// before is the entry whose effect is being made again, of which it is not known
	// whether it was made; else nil.
	before *Entry
	// underway is what this run has begun that goes on.
	underway underway
	// flushed is how many of the entries the Log has as they are, and touched the
	// first that has changed since the latest write began.
	flushed, touched int

	// writing has one Write at a time.
	writing sync.Mutex
	// due is for what is done in the background, which begins with the first effect:
	// done is nil until then.
	due, stop, done chan struct{}
	cancel          context.CancelFunc
	closed          bool
	failed          error
}

// New returns a Journal at its beginning. The entries are its own from then on.
func New(c Config) *Journal {
	j := &Journal{c: c, entries: c.Entries, next: 1, flushed: len(c.Entries), touched: math.MaxInt}
	j.due, j.stop = make(chan struct{}, 1), make(chan struct{})
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
	// Kept is what is kept in Request's place. Defaults to Request.
	Kept   []byte
	Effect hostfns.Effect
	// Fuel is what the guest has burnt so far.
	Fuel int64
}

func (q Question) kept() []byte {
	if q.Kept == nil {
		return bytes.Clone(q.Request)
	}
	return bytes.Clone(q.Kept)
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
// do's own, one of this package, or that of a write in the background.
//
// A *hostfns.Suspended of do's is kept, too: the next run is told its answer, at its
// time, or asks again if it has none. A run that comes to it too early gets the same
// error again.
func (j *Journal) Ask(ctx context.Context, q Question, do func(context.Context) (json.RawMessage, hostfns.Outcome, error)) (Reply, error) {
	if err := j.broken(); err != nil {
		return Reply{}, err
	}
	recorded, err := j.recall(q)
	if recorded != nil || err != nil {
		return orNone(recorded), err
	}
	at, err := j.begin(q)
	if err != nil {
		return Reply{}, err
	}
	answer, outcome, err := do(ctx)
	return j.end(ctx, at, Reply{Answer: answer}, outcome, err)
}

func orNone(r *Reply) Reply {
	if r == nil {
		return Reply{}
	}
	return *r
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
	switch {
	case again && e.undecided() && j.c.Mode != Replay:
		return nil, fmt.Errorf("make entry %d, %s, again: %w", e.Ordinal, e.Func, ErrUndecided)
	case again:
		return nil, j.live()
	case j.c.Mode != Replay && e.Waits && e.Answered.After(j.c.Now()):
		return nil, &hostfns.Suspended{Reason: e.Func, Until: e.Answered, Answer: e.Answer}
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
		j.touch(at)
	}
}

// differ says that a question is not the one that is recorded, or drops the rest of
// the journal where that is allowed.
func (j *Journal) differ(q Question) error {
	e := &DivergedError{Expected: j.entries[j.next], Func: q.Func, Request: q.kept()}
	for i := j.next; i < len(j.entries) && e.Effect == nil; i++ {
		switch of := j.entries[i].Of; {
		case j.entries[i].settled():
			settled := j.entries[i]
			e.Effect = &settled
		case of > 0 && of < j.next && j.entries[of].settled():
			// What was begun before has had its effect, and went on here.
			settled := j.entries[of]
			e.Effect = &settled
		}
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
	j.touch(from)
}

// begin makes the entry of a question that is asked now, and returns its index.
func (j *Journal) begin(q Question) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e := Entry{
		Ordinal: j.next, Func: q.Func, Effect: q.Effect, Digest: DigestOf(q.Request),
		Request: q.kept(), Fuel: q.Fuel, Claim: j.c.Claim, Asked: j.c.Now(),
		Outcome: hostfns.NotDone, // Until it is announced.
	}
	j.before = nil
	if j.next < len(j.entries) {
		if before := j.entries[j.next]; before.settled() {
			e.Asked = before.Asked // A key's life counts from the first time.
			e.Outcome, e.Key, e.Account = hostfns.Unknown, before.Key, before.Account
			j.before = &before
		}
		j.cut(j.next)
	}
	if n, size := len(j.entries)+1, j.bytes+e.Size(); n > MaxEntries || size > MaxBytes {
		return 0, &FullError{Entries: n, Bytes: size}
	}
	j.touch(len(j.entries))
	j.entries = append(j.entries, e)
	j.bytes += e.Size()
	j.next++
	return e.Ordinal, nil
}

// end closes an entry. Of an error of the host's there is no answer.
func (j *Journal) end(ctx context.Context, at int, reply Reply, outcome hostfns.Outcome, failed error) (Reply, error) {
	waits, suspended := errors.AsType[*hostfns.Suspended](failed)
	j.mu.Lock()
	defer j.mu.Unlock()
	e := &j.entries[at]
	announced := e.Effect == hostfns.Unsafe && at < j.flushed
	j.touch(at)
	if suspended && waits.Answer == nil && outcome == hostfns.NotDone && j.before != nil {
		// Nothing was sent: what was decided about the first time still holds.
		j.bytes += j.before.Size() - e.Size()
		*e = *j.before
		return reply, failed
	}
	j.bytes -= e.Size()
	e.Outcome = outcome
	switch {
	case suspended && waits.Answer != nil && waits.Checkpoint == nil && !waits.Until.IsZero():
		e.Outcome, e.Answer, e.Answered, e.Waits = hostfns.Done, waits.Answer, waits.Until, true
	case suspended:
		e.Outcome = hostfns.NotDone
	case failed == nil:
		e.Answer, e.Answered = reply.Answer, j.c.Now()
	case outcome == hostfns.Done:
		e.Outcome = hostfns.Unknown // The answer is lost, and with it what was done.
	}
	if j.before != nil && e.Outcome == hostfns.NotDone {
		// That it was not accepted now says nothing of the first time.
		e.Outcome = hostfns.Unknown
	}
	if failed == nil && j.part(ctx, at) {
		announced = true
	}
	j.bytes += e.Size()
	if announced {
		j.settle(ctx)
	}
	reply.At = e.Answered
	if failed == nil && j.bytes > MaxBytes {
		failed = &FullError{Entries: len(j.entries), Bytes: j.bytes}
	}
	return reply, failed
}
