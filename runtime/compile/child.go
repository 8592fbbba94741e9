package compile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	goruntime "runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Config configures a Child.
type Config struct {
	// Path is the cofferdam binary that is started to compile, of the same release
	// as this program.
	Path string
	// CacheDir is the folder of the engine's cache. It is made if it is not there.
	CacheDir string
	// CacheBytes is what the machine code in CacheDir may take up: what was not used
	// for longest goes first. Defaults to 8 GiB.
	CacheBytes int64
	// CPU is what a compilation may take of a core. Defaults to 1 s and 2 s more for
	// each MiB of the module, of which ordinary ones take 0.6 s.
	CPU time.Duration
	// Memory is what it may take. Defaults to 512 MiB; an ordinary module of 14 MB
	// takes 270.
	Memory int64
	// Code is how much machine code may come of it. Defaults to 256 MiB; an ordinary
	// module of 14 MB makes 55.
	Code int64
	// Time is how long it may go on once it has started. Defaults to 30 s and four
	// times its CPU: a child stands back behind a busy server.
	Time time.Duration
	// AtOnce is how many may go on at once; the others wait. Defaults to half of
	// GOMAXPROCS, and to one at least.
	AtOnce int
	// Now is the clock that says when code was used. Defaults to time.Now.
	Now func() time.Time
	// Logger takes what does not concern the uploader. Defaults to slog.Default.
	Logger *slog.Logger
}

const (
	mib = 1 << 20

	// How CPU is scaled to a module: see Config.CPU.
	baseCPU   = time.Second
	cpuPerMiB = 2 * time.Second

	// inUse is for how long code that was used is not swept. From here to the
	// engine it takes milliseconds.
	inUse = 10 * time.Minute
)

func (c Config) withDefaults() Config {
	if c.CacheBytes == 0 {
		c.CacheBytes = 8 << 30
	}
	if c.Memory == 0 {
		c.Memory = 512 * mib
	}
	if c.Code == 0 {
		c.Code = 256 * mib
	}
	if c.AtOnce == 0 {
		c.AtOnce = max(1, goruntime.GOMAXPROCS(0)/2)
	}
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // The default clock.
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func (c Config) validate() error {
	if c.Path == "" {
		return errors.New("configure the compiler: Path is not set: name a cofferdam binary, or use InProcess")
	}
	if c.CacheDir == "" {
		return errors.New("configure the compiler: CacheDir is not set: it is how machine code comes from the child")
	}
	for name, value := range map[string]int64{
		"CacheBytes": c.CacheBytes, "CPU": int64(c.CPU), "Memory": c.Memory, "Code": c.Code, "Time": int64(c.Time), "AtOnce": int64(c.AtOnce),
	} {
		if value < 0 {
			return fmt.Errorf("configure the compiler: %s is %d, and must not be negative", name, value)
		}
	}
	return nil
}

// order is what a module of this size is given.
func (c Config) order(moduleBytes int) order {
	o := order{Protocol: protocol, ModuleBytes: moduleBytes, CPU: c.CPU, Memory: c.Memory, Code: c.Code}
	if o.CPU == 0 {
		o.CPU = baseCPU + cpuPerMiB*time.Duration(moduleBytes)/mib
	}
	return o
}

// time is what an order may take by the clock on the wall.
func (c Config) time(o order) time.Duration {
	if c.Time != 0 {
		return c.Time
	}
	return 30*time.Second + 4*o.CPU
}

// Child compiles in child processes. It is safe for concurrent use, and several
// processes may share its folder.
type Child struct {
	config Config
	slots  chan struct{}
	// compiled counts modules that were not in the cache.
	compiled atomic.Int64

	mu sync.Mutex
	// opened is nil until the folder was found to be good.
	opened *index
}

// NewChild returns a Child. It starts nothing: see Check.
func NewChild(c Config) (*Child, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	// A bare name is a file here, never one that is looked for: which binary runs
	// must not depend on the environment.
	path, err := filepath.Abs(c.Path)
	if err != nil {
		return nil, fmt.Errorf("configure the compiler: find %s: %w", c.Path, err)
	}
	c.Path = path
	return &Child{config: c, slots: make(chan struct{}, c.AtOnce)}, nil
}

// Compile implements Compiler. It starts no process if the folder holds the
// module's machine code already.
func (c *Child) Compile(ctx context.Context, wasm []byte) error {
	x, err := c.open(ctx)
	if err != nil {
		return err
	}
	name := x.nameOf(wasm)
	if x.use(name, c.config.Now()) {
		return ctx.Err()
	}
	release, err := c.acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	// Somebody else may have uploaded the same module while this one waited.
	if x.use(name, c.config.Now()) {
		return nil
	}
	stage, err := x.stage()
	if err != nil {
		return err
	}
	defer stage.remove()
	if err := c.fill(ctx, stage, wasm); err != nil {
		return err
	}
	if err := x.keep(name, stage, c.config.Now()); err != nil {
		return err
	}
	c.compiled.Add(1)
	c.sweep(ctx, x, len(wasm))
	return nil
}

// Compiled is how many modules it has compiled: the others were in its cache.
func (c *Child) Compiled() int64 { return c.compiled.Load() }

// Check has the child compile a module of a few bytes and compares what came of it
// with what this process would make. Its error says what the operator can do.
func (c *Child) Check(ctx context.Context) error {
	x, err := c.open(ctx)
	if err != nil {
		return err
	}
	release, err := c.acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	stage, err := x.stage()
	if err != nil {
		return err
	}
	defer stage.remove()
	if err := c.fill(ctx, stage, probe()); err != nil {
		if _, cost := errors.AsType[*CostError](err); cost {
			return fmt.Errorf("the limits are too low for any plugin: %w", err)
		}
		return err
	}
	made, err := stage.file()
	if err != nil {
		return err
	}
	if made.key != x.engine.key {
		return fmt.Errorf("%w: %s names its machine code differently than this process: use the binary of the same release", ErrBinary, c.config.Path)
	}
	return nil
}

// open opens the folder, once.
func (c *Child) open(ctx context.Context) (*index, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.opened != nil {
		return c.opened, nil
	}
	x, err := openIndex(ctx, c.config.CacheDir)
	if err != nil {
		return nil, err
	}
	c.opened = x
	return x, nil
}

// acquire waits for one of the slots. Whoever gets it releases it.
func (c *Child) acquire(ctx context.Context) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("compile module: %w", err)
	}
	select {
	case c.slots <- struct{}{}:
		return func() { <-c.slots }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait to compile the module: %w", context.Cause(ctx))
	}
}

// fill has a child compile the module into the stage.
func (c *Child) fill(ctx context.Context, s *stage, wasm []byte) error {
	o := c.config.order(len(wasm))
	o.Engine, o.Dir = s.engine, s.dir
	return process{path: c.config.Path, order: o, time: c.config.time(o)}.run(ctx, wasm)
}

// sweep makes room after something was added. That it cannot is not the
// uploader's business.
func (c *Child) sweep(ctx context.Context, x *index, moduleBytes int) {
	// Folders that children write to are in use for as long as a child may take.
	used := max(inUse, c.config.time(c.config.order(moduleBytes)))
	freed, err := Sweep(x.dir, c.config.CacheBytes, c.config.Now().Add(-used))
	if err != nil {
		c.config.Logger.WarnContext(ctx, "compiled code cannot be cleaned up", slog.String("folder", x.dir), slog.Any("error", err))
	}
	if freed.Files > 0 {
		c.config.Logger.InfoContext(ctx, "compiled code was cleaned up",
			slog.String("folder", x.dir), slog.Int("files", freed.Files), slog.Int64("bytes", freed.Bytes))
	}
}
