package runtime

import (
	"context"
	"crypto/sha256"
	"sync"
)

// turns lets one at a time work on the same module. The engine must not be given
// the same module twice at once: what it loads from its cache it shows to all
// before it is whole. The zero value is ready.
type turns struct {
	mu  sync.Mutex
	all map[[sha256.Size]byte]*turn
}

// turn is a lock that can be waited for with a context.
type turn struct {
	taken chan struct{}
	users int // Those that have it or want it; guarded by turns.mu.
}

// take waits for the module's turn. Who got it calls the function when done.
func (t *turns) take(ctx context.Context, sum [sha256.Size]byte) (done func(), err error) {
	t.mu.Lock()
	if t.all == nil {
		t.all = map[[sha256.Size]byte]*turn{}
	}
	own := t.all[sum]
	if own == nil {
		own = &turn{taken: make(chan struct{}, 1)}
		t.all[sum] = own
	}
	own.users++
	t.mu.Unlock()
	select {
	case own.taken <- struct{}{}:
		return func() {
			<-own.taken
			t.leave(sum, own)
		}, nil
	case <-ctx.Done():
		t.leave(sum, own)
		return nil, ctx.Err()
	}
}

func (t *turns) leave(sum [sha256.Size]byte, own *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if own.users--; own.users == 0 {
		delete(t.all, sum)
	}
}
