package runtime

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/cofferdam-run/cofferdam/runtime/meter"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// code is compiled code, of all modules that are the same to the engine: what they
// begin with, memory and globals, is set from outside.
type code struct {
	sum      [sha256.Size]byte // Of the module before it counted fuel.
	compiled wazero.CompiledModule
	// rewritten is how long the module was that was compiled, and bytes about what
	// there is now.
	rewritten int
	bytes     int64
	// users are the loaded modules that have it. It goes with the last of them, unless
	// somebody wanted it kept at a time. Both are guarded by codes.mu.
	users int
	kept  time.Time
}

// codes are all that are compiled. The zero value is ready.
type codes struct {
	mu  sync.Mutex
	all map[[sha256.Size]byte]*code
}

// enter counts a user in, if there is such code.
func (c *codes) enter(sum [sha256.Size]byte) *code {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := c.all[sum]
	if found != nil {
		found.users++
	}
	return found
}

// add keeps code that was compiled, for its first user.
func (c *codes) add(made *code) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = map[[sha256.Size]byte]*code{}
	}
	made.users = 1
	c.all[made.sum] = made
}

// keep has code stay when nobody uses it any more, until dropBefore is called for a
// later time.
func (c *codes) keep(one *code, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one.kept = now
}

// leave counts a user out, and takes code out that nobody is left to use.
func (c *codes) leave(left *code) (unused *code) {
	c.mu.Lock()
	defer c.mu.Unlock()
	left.users--
	if left.users > 0 || !left.kept.IsZero() {
		return nil
	}
	delete(c.all, left.sum)
	return left
}

// dropBefore takes out what nobody uses and was kept before t. What is used goes with
// its last user from now on.
func (c *codes) dropBefore(t time.Time) []*code {
	return c.drop(func(one *code) bool { return one.kept.Before(t) })
}

func (c *codes) drop(which func(*code) bool) []*code {
	c.mu.Lock()
	defer c.mu.Unlock()
	var dropped []*code
	for sum, one := range c.all {
		if !which(one) {
			continue
		}
		one.kept = time.Time{}
		if one.users == 0 {
			delete(c.all, sum)
			dropped = append(dropped, one)
		}
	}
	return dropped
}

// dropAll takes out all that nobody uses.
func (c *codes) dropAll() []*code { return c.drop(func(*code) bool { return true }) }

// ages are since when there is code that nobody uses.
func (c *codes) ages() []time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	var since []time.Time
	for _, one := range c.all {
		if one.users == 0 {
			since = append(since, one.kept)
		}
	}
	return since
}

// compile has a planned module count fuel, which changes it, and compiles it, unless
// there is such code already. The caller releases it.
func (r *Runtime) compile(ctx context.Context, m *wasm.Module) (*code, error) {
	sum := sha256.Sum256(m.Encode())
	if found := r.codes.enter(sum); found != nil {
		return found, nil
	}
	done, err := r.compiling.take(ctx, sum)
	if err != nil {
		return nil, fmt.Errorf("wait for another to compile the same module: %w", err)
	}
	defer done()
	if found := r.codes.enter(sum); found != nil {
		return found, nil
	}
	if err := meter.Rewrite(m); err != nil {
		return nil, refused(err)
	}
	made := &code{sum: sum}
	if err := r.fill(ctx, made, m.Encode()); err != nil {
		return nil, err
	}
	r.codes.add(made)
	r.held.Add(made.bytes)
	return made, nil
}

// fill has the compiler do what costs, then takes its result.
func (r *Runtime) fill(ctx context.Context, made *code, rewritten []byte) error {
	// By what the engine is given, too: what differs in what was added is one to it.
	done, err := r.compiling.take(ctx, sha256.Sum256(rewritten))
	if err != nil {
		return fmt.Errorf("wait for another to compile the same module: %w", err)
	}
	defer done()
	made.rewritten, made.bytes = len(rewritten), int64(len(rewritten))*nativeFactor
	err = r.compiler.Compile(ctx, rewritten)
	if err == nil {
		made.compiled, err = compileHere(ctx, r.engine, rewritten)
	}
	if err != nil {
		return refused(err)
	}
	return nil
}

// release gives code back, once for each compile.
func (r *Runtime) release(ctx context.Context, c *code) error {
	if unused := r.codes.leave(c); unused != nil {
		return r.drop(ctx, unused)
	}
	return nil
}

func (r *Runtime) drop(ctx context.Context, dropped ...*code) error {
	var errs []error
	for _, c := range dropped {
		r.held.Add(-c.bytes)
		errs = append(errs, c.compiled.Close(context.WithoutCancel(ctx)))
	}
	return errors.Join(errs...)
}
