package egress

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

// lanes keep the requests of one connection from being more than so many at a time, and
// in a second.
type lanes struct {
	width int
	// least is for how long a place is taken at least, which bounds the rate: width
	// places, each taken for width/rate seconds, are rate requests in a second.
	least time.Duration

	mu   sync.Mutex
	open map[account]*lane
}

// account is whose connection a lane is for.
type account struct{ pool, name string }

// lane has the places of one connection.
type lane struct {
	taken int
	// waiting are told, in order, when a place is theirs.
	waiting []chan struct{}
}

func newLanes(width int, rate float64) *lanes {
	l := &lanes{width: width, open: map[account]*lane{}}
	if rate > 0 {
		l.least = time.Duration(float64(width) / rate * float64(time.Second))
	}
	return l
}

// enter waits for a place, until ctx is over. The caller leaves once.
func (l *lanes) enter(ctx context.Context, key account) (leave func(), err error) {
	if err := l.take(ctx, key); err != nil {
		return nil, err
	}
	release := func() { l.release(key) }
	if l.least == 0 {
		return release, nil
	}
	// The request's end and the time's, whichever is later, give the place free.
	var ended atomic.Int32
	last := func() {
		if ended.Add(1) == 2 {
			release()
		}
	}
	time.AfterFunc(l.least, last)
	return last, nil
}

func (l *lanes) take(ctx context.Context, key account) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	one := l.open[key]
	if one == nil {
		one = &lane{}
		l.open[key] = one
	}
	if one.taken < l.width {
		one.taken++
		l.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	one.waiting = append(one.waiting, turn)
	l.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	i := slices.Index(one.waiting, turn)
	if i >= 0 {
		one.waiting = slices.Delete(one.waiting, i, i+1)
	}
	l.mu.Unlock()
	if i < 0 {
		l.release(key) // The turn has come at the same time.
	}
	return ctx.Err()
}

// release gives a place to who waits longest, or to whoever comes.
func (l *lanes) release(key account) {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.open[key]
	if len(one.waiting) > 0 {
		close(one.waiting[0])
		one.waiting = slices.Delete(one.waiting, 0, 1)
		return
	}
	if one.taken--; one.taken == 0 {
		delete(l.open, key)
	}
}

// enter waits for a place among the requests of the connection that out names.
func (s *Session) enter(ctx context.Context, out *outgoing) (leave func(), err error) {
	if out.connection == "" || s.permissions.Pool == "" {
		return func() {}, nil
	}
	leave, err = s.egress.lanes.enter(ctx, s.accountOf(out))
	if err != nil {
		return nil, hostfns.Errorf(hostfns.CodeTimeout,
			"the connection %.64q is in use by as many requests as it may be, and none of them came to an end in time", out.connection)
	}
	return leave, nil
}

// accountOf is whose connection a request names.
func (s *Session) accountOf(out *outgoing) account {
	key := account{pool: s.permissions.Pool, name: out.connection}
	if a, ok := s.permissions.Credentials.(Accounts); ok {
		key.name = a.Account(out.connection)
	}
	return key
}
