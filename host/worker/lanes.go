package worker

import (
	"context"
	"sync"
	"time"
)

// lane says beside whom an execution may run: it is how many workers in a row have died
// while they ran it.
type lane int

const (
	// common is for those that no worker has died of.
	common lane = iota
	// suspect is for those that were in flight once when a worker died: they run one
	// at a time, beside the common ones.
	suspect
	// solo is for those that were in flight twice, and further ones for those that were
	// more often: they run with no other, so that the one that kills workers is found, and
	// the others are not blamed for it.
	solo
)

// lanes lets executions in.
type lanes struct {
	mu sync.Mutex
	// in is how many run, by lane, and coming how many were claimed and do not run yet.
	in, coming [quarantineAfter]int
	// changed is closed when somebody leaves, or gives up.
	changed chan struct{}
}

// expect says that an execution was claimed, which is to enter.
func (l *lanes) expect(in lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.coming[in]++
}

// unexpect says that one that was expected does not come.
func (l *lanes) unexpect(in lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.coming[in]--
	l.change()
}

// alone says whether somebody is to run alone, or does. Whoever was claimed now would wait
// for its end, and be lost for a lease if the process dies of it: another worker may do
// better.
func (l *lanes) alone() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return sum(l.in[solo:])+sum(l.coming[solo:]) > 0
}

// enter waits until an execution that was expected may run, and returns what is to be called
// when it has, or nil once patience ends: one that waits to run solo behind a run that does
// not end must not have everybody wait for ever, and beside that run it would not be alone.
// It is let in without its turn once ctx ends, for it will not run.
func (l *lanes) enter(ctx context.Context, in lane, patience <-chan time.Time) (leave func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() {
		l.coming[in]--
		l.change()
	}()
	for waited := false; !waited && !l.open(in); {
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			waited = true
		case <-patience:
			l.mu.Lock()
			return nil
		}
		l.mu.Lock()
	}
	l.in[in]++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.in[in]--
		l.change()
	}
}

// open says whether a lane's next may be let in. Who is to run alone does so after those
// that were claimed with it and are less likely to end the process: they would be lost with
// it. Nobody else is claimed meanwhile, so its turn comes, if those that run end before its
// patience does: see patience.
func (l *lanes) open(in lane) bool {
	if in >= solo {
		return sum(l.in[:]) == 0 && sum(l.coming[:in]) == 0
	}
	return sum(l.in[solo:]) == 0 && (in == common || l.in[suspect] == 0)
}

// change tells those who wait to look again.
func (l *lanes) change() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

func sum(counts []int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}
