package journal

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

// settleWithin is how soon after its answer an effect's outcome is durable: what a
// guest then computes for seconds must not leave an effect in doubt if it crashes. It is
// longer than a guest takes to its next effect, whose intent carries the outcome, on a
// machine that has more to do than it can.
const settleWithin = 50 * time.Millisecond

// Log keeps entries where a crash does not reach them.
type Log interface {
	// Write makes entries durable before it returns: of what it had, it keeps what
	// comes before the first of them. An error of a claim that is not the latest any
	// more must end the run. It is not called concurrently.
	Write(ctx context.Context, entries []Entry) error
}

// Announce makes the question that is being asked durable if it must not be made
// twice, together with all that came before it. It is called when nothing but the
// effect itself is left to do: from then on, it may have been made.
func (j *Journal) Announce(ctx context.Context) error {
	j.mu.Lock()
	at := len(j.entries) - 1
	e := &j.entries[at]
	if e.Effect > hostfns.Read {
		e.Outcome = hostfns.Unknown
		j.touch(at)
	}
	name, unsafe := e.Func, e.Effect == hostfns.Unsafe
	j.mu.Unlock()
	if !unsafe {
		return nil
	}
	if err := j.Flush(ctx); err != nil {
		return fmt.Errorf("record the intent of %s: %w", name, err)
	}
	return nil
}

// Flush makes what is not yet durable so.
func (j *Journal) Flush(ctx context.Context) error {
	j.writing.Lock()
	defer j.writing.Unlock()
	entries, err := j.batch()
	if err != nil || len(entries) == 0 {
		return err
	}
	if err := j.c.Log.Write(ctx, entries); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.flushed = min(entries[0].Ordinal+len(entries), j.touched)
	return nil
}

// Pending are the entries that the Log does not have as they are now: they are for
// the commit that ends the run, after Close.
func (j *Journal) Pending() []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.entries[j.flushed:])
}

// Close ends what goes on in the background; a write that has begun is waited for,
// until ctx ends. It returns the error of one that has failed. The other methods can
// be used still.
func (j *Journal) Close(ctx context.Context) error {
	j.mu.Lock()
	if !j.closed {
		j.closed = true
		close(j.stop)
	}
	done, cancel := j.done, j.cancel
	j.mu.Unlock()
	if done != nil {
		select {
		case <-done:
		case <-ctx.Done():
		}
		cancel()
		<-done
	}
	return j.broken()
}

// batch is what there is to write.
func (j *Journal) batch() ([]Entry, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failed != nil {
		return nil, j.failed
	}
	j.touched = math.MaxInt
	return slices.Clone(j.entries[j.flushed:]), nil
}

// broken is the error of a write in the background.
func (j *Journal) broken() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.failed
}

// touch notes that the entries from an index on are not what the Log has, or is
// being given.
func (j *Journal) touch(from int) {
	j.flushed = min(j.flushed, from)
	j.touched = min(j.touched, from)
}

// settle has the outcome of an effect made durable soon. The run goes on meanwhile.
func (j *Journal) settle(ctx context.Context) {
	if j.c.After == nil || j.closed {
		return
	}
	if j.done == nil {
		j.done = make(chan struct{})
		// A write that has begun outlives the run, up to Close.
		ctx, j.cancel = context.WithCancel(context.WithoutCancel(ctx))
		go j.tend(ctx, j.done)
	}
	select {
	case j.due <- struct{}{}:
	default: // It is due already.
	}
}

// tend writes what is due until Close.
func (j *Journal) tend(ctx context.Context, done chan<- struct{}) {
	defer close(done)
	for {
		select {
		case <-j.stop:
			return
		case <-j.due:
		}
		select {
		case <-j.stop:
			return
		case <-j.c.After(settleWithin):
		}
		if err := j.Flush(ctx); err != nil {
			j.mu.Lock()
			j.failed = fmt.Errorf("record the outcome of an effect: %w", err)
			j.mu.Unlock()
			return
		}
	}
}
