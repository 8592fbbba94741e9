package host

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/worker"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/compile"
)

// Config configures a Host.
type Config struct {
	// Store keeps everything. Its schema must have been migrated.
	Store store.Store
	// Keeper holds the key encryption key.
	Keeper vault.Keeper
	// Functions are the host app's own, offered to guests beside the built-in
	// ones. Their context carries the execution: see CallerOf. One that is marked
	// as Granted must be asked for by the plugin's manifest and granted by the
	// tenant; the others are open to every guest. Defaults to none.
	Functions []hostfns.Func
	// Limits are the most that a plugin gets, whatever it asks for. Defaults to runtime's.
	Limits runtime.Limits
	// Egress bounds guests' HTTP. Defaults to egress's.
	Egress egress.Config
	// Slots is how many executions run at once in this process. Defaults to 32.
	Slots int
	// Lease is how long a dead process keeps its executions. Defaults to 8 s.
	Lease time.Duration
	// Drain is how long executions in flight may go on once Run's context has
	// ended. Defaults to 30 s.
	Drain time.Duration
	// Attempts is how often an execution is tried before it is dead. Defaults to 8.
	Attempts int
	// Retention is how long a tenant keeps what has finished, unless it says so
	// itself, and how much of it. Defaults to 30 days and 10 GiB.
	Retention tenant.Retention
	// Unjournaled has runs keep no journal: one that is made again asks everything
	// again, effects included. It is for measuring only what the journal costs.
	Unjournaled bool
	// CacheDir is a private folder for compiled code. Defaults to none.
	CacheDir string
	// Compiler says which cofferdam binary, its Path, compiles what is uploaded, in
	// processes of its own and under which limits. Its folder, clock and logger are
	// those of this Config. Defaults to none: compiling is done in this process, and
	// what bounds it are the limits on a module's shape.
	Compiler compile.Config
	// Metrics is where metrics are registered: one Host's to a registry. Defaults to
	// one of its own, which has those of the Go runtime and of the process too.
	Metrics *prometheus.Registry
	// Logger takes what operators should know. Defaults to slog.Default.
	Logger *slog.Logger
	// Now is the clock, and After what is waited on. Default to time.Now and time.After.
	Now   func() time.Time
	After func(d time.Duration) <-chan time.Time
}

func (c Config) withDefaults() Config {
	c.Functions = slices.Clone(c.Functions)
	c.Limits = c.Limits.WithDefaults()
	c.Retention = c.Retention.Or(tenant.Retention{Days: 30, Bytes: 10 << 30})
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
		c.Metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // The default clock has to come from somewhere.
	}
	if c.After == nil {
		c.After = time.After //nolint:forbidigo // As above.
	}
	return c
}

func (c Config) validate() error {
	if c.Store == nil {
		return errors.New("configure host: Store is not set: open one with sqlite.Open or postgres.Open")
	}
	if c.Keeper == nil {
		return errors.New("configure host: Keeper is not set: open a key file with keyfile.Open")
	}
	if err := c.Retention.Check(); err != nil {
		return fmt.Errorf("configure host: Retention: %w", err)
	}
	if c.Compiler.Path != "" && c.CacheDir == "" {
		return errors.New("configure host: Compiler.Path is set and CacheDir is not: it is where compiled code comes from")
	}
	name := regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_.-]{0,62}$`)
	taken := map[string]string{}
	for _, builtin := range worker.Functions(nil) {
		taken[builtin] = "built in"
	}
	for i, f := range c.Functions {
		if !name.MatchString(f.Name) {
			return fmt.Errorf("configure host: Functions[%d] is named %q: a name is a letter, and up to 62 letters, digits, _, . and -", i, f.Name)
		}
		if f.Answer == nil {
			return fmt.Errorf("configure host: Functions[%d], %q, has no Answer", i, f.Name)
		}
		if by, ok := taken[f.Name]; ok {
			return fmt.Errorf("configure host: Functions[%d] is named %q, which is %s: choose another name", i, f.Name, by)
		}
		taken[f.Name] = fmt.Sprintf("the name of Functions[%d]", i)
	}
	return nil
}
