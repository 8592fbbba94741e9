package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/cofferdam-run/cofferdam/runtime/abi"
	"github.com/cofferdam-run/cofferdam/runtime/compile"
	"github.com/cofferdam-run/cofferdam/runtime/fairshare"
	"github.com/cofferdam-run/cofferdam/runtime/image"
	"github.com/cofferdam-run/cofferdam/runtime/meter"
)

// Config configures a Runtime.
type Config struct {
	// Functions are the names that guests may import from extism:host/user,
	// each (i64) -> i64, answered by the Host of the call. Defaults to none.
	Functions []string
	// CacheDir is a private folder for compiled code and for modules that are
	// unloaded, which several processes may share. Defaults to none: every start
	// compiles anew, and unloaded modules stay in memory.
	CacheDir string
	// Compiler does the compiling, of which CacheDir then has the result. Defaults
	// to compile.InProcess.
	Compiler compile.Compiler
	// Now is the clock of deadlines and of Usage. Defaults to time.Now.
	Now func() time.Time
	// Running is how many guests run at once; the others wait. Defaults to GOMAXPROCS.
	Running int
	// HeldBytes is about what modules and sandboxes that nobody is using may hold
	// together; beyond, those used longest ago go. Defaults to 1 GiB.
	HeldBytes int64
	// Idle is how long a module or sandbox is kept by Trim that nobody uses.
	// Defaults to 5 minutes.
	Idle time.Duration
}

// Runtime prepares modules. It is safe for concurrent use.
type Runtime struct {
	engine    wazero.Runtime
	cache     wazero.CompilationCache // nil when there is no CacheDir.
	kernel    wazero.CompiledModule
	offers    *abi.Offers
	compiler  compile.Compiler
	shares    *fairshare.Scheduler
	mechanism image.Mechanism
	now       func() time.Time
	cacheDir  string
	idle      time.Duration
	closed    atomic.Bool
	compiling turns
	codes     codes

	// held is about what is idle, in bytes, and heldMost what may be.
	held      atomic.Int64
	heldMost  int64
	relieving sync.Mutex

	mu      sync.Mutex
	modules map[*Module]struct{} // Those that are open.
	swept   time.Time            // When the folder of sources was swept last.
}

const (
	defaultHeldBytes = 1 << 30
	defaultIdle      = 5 * time.Minute
)

// New returns a Runtime; the caller closes it.
func New(ctx context.Context, c Config) (*Runtime, error) {
	offers, err := abi.New(slices.Clone(c.Functions))
	if err != nil {
		return nil, fmt.Errorf("configure host functions: %w", err)
	}
	r := &Runtime{
		offers:    offers,
		compiler:  c.Compiler,
		shares:    fairshare.New(c.Running),
		mechanism: image.Probe(),
		now:       c.Now,
		idle:      cmp.Or(c.Idle, defaultIdle),
		heldMost:  cmp.Or(c.HeldBytes, defaultHeldBytes),
		modules:   map[*Module]struct{}{},
	}
	if r.now == nil {
		r.now = time.Now //nolint:forbidigo // The default clock.
	}
	if r.compiler == nil {
		r.compiler = compile.InProcess{}
	}
	if c.CacheDir != "" {
		if r.cacheDir, err = compile.OpenDir(c.CacheDir); err != nil {
			return nil, err
		}
		if r.cache, err = compile.OpenCache(r.cacheDir); err != nil {
			return nil, err
		}
	}
	if err := r.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start the sandbox engine: %w", err), r.Close(ctx))
	}
	return r, nil
}

// Close releases all compiled code, that of modules that are not closed
// included. No call may be in flight.
func (r *Runtime) Close(ctx context.Context) error {
	if r.closed.Swap(true) {
		return nil
	}
	var err error
	for _, m := range r.all() {
		err = errors.Join(err, m.Close(ctx))
	}
	err = errors.Join(err, r.drop(ctx, r.codes.dropAll()...))
	if r.engine != nil {
		err = errors.Join(err, r.engine.Close(ctx))
	}
	if r.cache != nil {
		err = errors.Join(err, r.cache.Close(ctx))
	}
	if err != nil {
		return fmt.Errorf("close runtime: %w", err)
	}
	return nil
}

// start makes the engine, and in it what all sandboxes share.
func (r *Runtime) start(ctx context.Context) (err error) {
	if r.engine, err = compile.NewEngine(ctx, r.cache); err != nil {
		return err
	}
	if err = r.offers.Instantiate(ctx, r.engine); err != nil {
		return err
	}
	if err = meter.Instantiate(ctx, r.engine); err != nil {
		return err
	}
	r.kernel, err = abi.CompileKernel(ctx, r.engine)
	return err
}
