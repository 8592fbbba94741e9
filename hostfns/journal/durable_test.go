package journal_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// slowLog is a Log whose writes take as long as a test wants, and which notices those
// that overlap.
type slowLog struct {
	t       *testing.T
	mu      sync.Mutex
	entries []journal.Entry
	busy    bool
	// began is told of each write; it ends when ends says with what.
	began chan []journal.Entry
	ends  chan error
}

func newSlowLog(t *testing.T) *slowLog {
	t.Helper()
	return &slowLog{t: t, began: make(chan []journal.Entry), ends: make(chan error)}
}

// Write implements journal.Log.
func (l *slowLog) Write(ctx context.Context, entries []journal.Entry) error {
	l.mu.Lock()
	if l.busy {
		l.t.Error("two writes at a time")
	}
	l.busy = true
	l.mu.Unlock()
	l.began <- entries
	var err error
	select {
	case err = <-l.ends:
	case <-ctx.Done():
		err = ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy = false
	if err == nil {
		l.entries = append(l.entries[:min(entries[0].Ordinal, len(l.entries))], entries...)
	}
	return err
}

// next lets the next write through, and gives what it wrote.
func (l *slowLog) next(err error) []journal.Entry {
	entries := <-l.began
	l.ends <- err
	return entries
}

// timer is a time.After that passes when a test says so.
type timer struct {
	asked chan time.Duration
	pass  chan time.Time
}

func newTimer() timer { return timer{asked: make(chan time.Duration, 100), pass: make(chan time.Time)} }

func (t timer) after(d time.Duration) <-chan time.Time {
	t.asked <- d
	return t.pass
}

var posted = journal.Question{Func: "http", Request: []byte(`{}`), Effect: hostfns.Unsafe}

// post makes an effect, and lets the write of its intent through.
func post(ctx context.Context, t *testing.T, j *journal.Journal, l *slowLog) error {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := j.Ask(ctx, posted, func(ctx context.Context) (json.RawMessage, hostfns.Outcome, error) {
			return json.RawMessage(`{"result":{}}`), hostfns.Done, j.Announce(ctx)
		})
		done <- err
	}()
	for {
		select {
		case err := <-done:
			return err
		case <-l.began:
			l.ends <- nil
		}
	}
}

func open(t *testing.T, l journal.Log, after func(time.Duration) <-chan time.Time) *journal.Journal {
	t.Helper()
	return journal.New(journal.Config{Log: l, Claim: 1, Start: epoch, Now: func() time.Time { return epoch }, After: after})
}

func TestOutcomeIsDurableSoon(t *testing.T) {
	t.Parallel()
	l, clock := newSlowLog(t), newTimer()
	j := open(t, l, clock.after)
	if err := post(t.Context(), t, j, l); err != nil {
		t.Fatal(err)
	}
	if got := <-clock.asked; got != 50*time.Millisecond {
		t.Errorf("it waits for %s", got)
	}
	clock.pass <- epoch
	written := l.next(nil)
	if len(written) != 1 || written[0].Ordinal != 1 || written[0].Outcome != hostfns.Done {
		t.Errorf("got %+v, want the outcome of entry 1", written)
	}
	if err := j.Close(t.Context()); err != nil || len(j.Pending()) != 0 {
		t.Errorf("got %v, %d pending", err, len(j.Pending()))
	}
}

func TestAnotherWriteTakesTheOutcomeWithIt(t *testing.T) {
	t.Parallel()
	l, clock := newSlowLog(t), newTimer()
	j := open(t, l, clock.after)
	for range 2 { // The intent of the second is the outcome of the first.
		if err := post(t.Context(), t, j, l); err != nil {
			t.Fatal(err)
		}
	}
	flushed := make(chan error)
	go func() { flushed <- j.Flush(t.Context()) }()
	if written := l.next(nil); len(written) != 1 || written[0].Ordinal != 2 {
		t.Errorf("got %+v, want entry 2", written)
	}
	if err := <-flushed; err != nil {
		t.Fatal(err)
	}
	<-clock.asked
	clock.pass <- epoch // Nothing is left to write.
	if err := j.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestCloseEndsTheWait(t *testing.T) {
	t.Parallel()
	l, clock := newSlowLog(t), newTimer()
	j := open(t, l, clock.after)
	if err := post(t.Context(), t, j, l); err != nil {
		t.Fatal(err)
	}
	<-clock.asked
	for range 2 {
		if err := j.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if pending := j.Pending(); len(pending) != 1 || pending[0].Outcome != hostfns.Done {
		t.Errorf("pending is %+v, want the outcome", pending)
	}
	if err := post(t.Context(), t, j, l); err != nil {
		t.Errorf("after Close: %v", err)
	}
	if err := open(t, l, nil).Close(t.Context()); err != nil {
		t.Errorf("of a journal without effects: %v", err)
	}
}

func TestWriteThatHasBegunOutlivesTheRun(t *testing.T) {
	t.Parallel()
	l, clock := newSlowLog(t), newTimer()
	j := open(t, l, clock.after)
	run, end := context.WithCancel(t.Context())
	if err := post(run, t, j, l); err != nil {
		t.Fatal(err)
	}
	<-clock.asked
	clock.pass <- epoch
	<-l.began
	end()
	closed := make(chan error)
	go func() { closed <- j.Close(t.Context()) }()
	l.ends <- nil
	if err := <-closed; err != nil || len(j.Pending()) != 0 {
		t.Errorf("got %v, %d pending", err, len(j.Pending()))
	}
}

func TestCloseGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	l, clock := newSlowLog(t), newTimer()
	j := open(t, l, clock.after)
	if err := post(t.Context(), t, j, l); err != nil {
		t.Fatal(err)
	}
	<-clock.asked
	clock.pass <- epoch
	<-l.began
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := j.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the write was given up", err)
	}
	if pending := j.Pending(); len(pending) != 1 {
		t.Errorf("%d pending, want the one that was not written", len(pending))
	}
}

func TestWhatChangesDuringAWriteIsPending(t *testing.T) {
	t.Parallel()
	l, clock := newSlowLog(t), newTimer()
	j := open(t, l, clock.after)
	if err := post(t.Context(), t, j, l); err != nil {
		t.Fatal(err)
	}
	_, err := j.Ask(t.Context(), journal.Question{Func: "http", Effect: hostfns.Read}, func(context.Context) (json.RawMessage, hostfns.Outcome, error) {
		<-clock.asked
		clock.pass <- epoch
		if written := <-l.began; len(written) != 2 || !written[1].Answered.IsZero() {
			t.Errorf("got %+v, want the outcome, and a question that is open", written)
		}
		return json.RawMessage(`{"result":{}}`), hostfns.Done, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	l.ends <- nil
	if err := j.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if pending := j.Pending(); len(pending) != 1 || pending[0].Ordinal != 2 || pending[0].Answered.IsZero() {
		t.Errorf("pending is %+v, want the answer that came during the write", pending)
	}
}

func TestFailedWriteInTheBackgroundEndsTheRun(t *testing.T) {
	t.Parallel()
	l, clock := newSlowLog(t), newTimer()
	j := open(t, l, clock.after)
	if err := post(t.Context(), t, j, l); err != nil {
		t.Fatal(err)
	}
	<-clock.asked
	clock.pass <- epoch
	l.next(errFenced)
	if err := j.Close(t.Context()); !errors.Is(err, errFenced) {
		t.Errorf("Close: got %v, want %v", err, errFenced)
	}
	if err := j.Flush(t.Context()); !errors.Is(err, errFenced) {
		t.Errorf("Flush: got %v, want %v", err, errFenced)
	}
	if err := j.Announce(t.Context()); !errors.Is(err, errFenced) {
		t.Errorf("Announce: got %v, want %v", err, errFenced)
	}
	_, err := j.Ask(t.Context(), journal.Question{Func: "http"}, func(context.Context) (json.RawMessage, hostfns.Outcome, error) {
		t.Error("it was asked")
		return nil, hostfns.Unknown, nil
	})
	if !errors.Is(err, errFenced) {
		t.Errorf("Ask: got %v, want %v", err, errFenced)
	}
}

// A run that makes one effect after the other, while all that is written is written
// by the clock, too.
func TestWritesNeverOverlap(t *testing.T) {
	t.Parallel()
	l := newSlowLog(t)
	passed := make(chan time.Time)
	close(passed)
	j := open(t, l, func(time.Duration) <-chan time.Time { return passed })
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-l.began:
				l.ends <- nil
			case <-stop:
				return
			}
		}
	}()
	for range 200 {
		_, err := j.Ask(t.Context(), posted, func(ctx context.Context) (json.RawMessage, hostfns.Outcome, error) {
			return json.RawMessage(`{"result":{}}`), hostfns.Done, j.Announce(ctx)
		})
		if err != nil {
			t.Fatal(err)
		}
		_ = j.Pending()
	}
	if err := j.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := j.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(stop)
	<-stopped
	if len(l.entries) != 201 {
		t.Fatalf("%d entries are kept, want 201", len(l.entries))
	}
	for i, e := range l.entries {
		if e.Ordinal != i || e.Outcome != hostfns.Done {
			t.Fatalf("entry %d is %+v", i, e)
		}
	}
}

func TestLeaseIsAskedForBeforeEachEffect(t *testing.T) {
	t.Parallel()
	for name, answers := range map[string][]bool{
		"lost before":               {false},
		"lost while it is recorded": {true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			held := func() bool {
				first := answers[0]
				answers = answers[min(1, len(answers)-1):]
				return first
			}
			var told []string
			j, _, err := w.run(t, journal.Config{Held: held}, asks(&told, "POST /a"))
			if !errors.Is(err, hostfns.ErrNotHeld) || w.made["POST /a"] != 0 {
				t.Fatalf("got %v, made %v, want %v", err, w.made, hostfns.ErrNotHeld)
			}
			if e := j.Entries()[1]; e.Outcome != hostfns.NotDone || !e.Answered.IsZero() {
				t.Errorf("its entry is %+v, want it not done and open", e)
			}
		})
	}
}
