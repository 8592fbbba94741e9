package worker

import (
	"context"
	"sync"
	"time"
)

// lane says beside whom an execution may run, by how many workers in a row have died
// while they ran it.
type lane byte

const (
	// common is for those that no worker has died of.
	common lane = iota
	// suspect is for those that were in flight once when a worker died: they run one
	// at a time, beside the common ones.
	suspect
	// solo is for those that were in flight twice: they run with no other, so that the
	// one that kills workers is found, and the others are not blamed for it.
	solo
)

func laneOf(crashes int) lane { return lane(min(crashes, int(solo))) }

// lanes lets executions in.
type lanes struct {
	mu sync.Mutex
	// in is how many run, by lane, and wanted how many wait to run solo: while one
	// does, nobody else is let in.
	in     [solo + 1]int
	wanted int
	// changed is closed when somebody leaves, or gives up.
	changed chan struct{}
}

// enter waits until an execution may run, and returns what is to be called when it
// has, or nil once patience ends: one that waits to run solo behind a run that does not
// end must not have everybody wait for ever, and beside that run it would not be alone.
// It is let in without its turn once ctx ends, for it will not run.
func (l *lanes) enter(ctx context.Context, in lane, patience <-chan time.Time) (leave func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if in == solo {
		l.wanted++
		defer func() {
			l.wanted--
			l.change()
		}()
	}
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

// open says whether a lane's next may be let in.
func (l *lanes) open(in lane) bool {
	switch in {
	case solo:
		return l.in == [solo + 1]int{}
	case suspect:
		return l.in[solo] == 0 && l.wanted == 0 && l.in[suspect] == 0
	default:
		return l.in[solo] == 0 && l.wanted == 0
	}
}

// change tells those who wait to look again.
func (l *lanes) change() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}
