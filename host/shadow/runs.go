package shadow

import (
	"context"
	"fmt"
	goruntime "runtime"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/job"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/replay"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// sinceUsual is how far back a run looks where nothing is said.
const sinceUsual = 7 * 24 * time.Hour

// Recorder gives the recordings of executions: a *worker.Sandbox.
type Recorder interface {
	Recording(ctx context.Context, tenant, id string, withModule bool) (replay.Recording, error)
}

// Plugins finds plugins: a *registry.Registry.
type Plugins interface {
	Resolve(ctx context.Context, v registry.Viewer, ref string) (registry.Version, error)
	Wasm(ctx context.Context, v registry.Version) ([]byte, error)
}

// Config configures Runs.
type Config struct {
	Store   Store
	Jobs    *job.Jobs
	Plugins Plugins
	// Read gives a Recorder for these executions of a tenant, which may have read all of
	// them at once.
	Read func(ctx context.Context, tenant string, executions []string) (Recorder, error)
	// Installation finds by id.
	Installation func(ctx context.Context, tenant, id string) (installation.Installation, error)
	// Runtime must offer what the workers' does. Whoever opened it closes it, after Runs.
	Runtime *runtime.Runtime
	// Functions are the host app's own: only what they compute is called.
	Functions []hostfns.Func
	// Limits are the most that a plugin gets.
	Limits runtime.Limits
	// Parallel is how many executions are replayed at once, by all runs of this process
	// together. Defaults to one for each processor.
	Parallel int
	Now      func() time.Time
}

// Runs are the shadow runs. They are the job.Handler of Kind, and safe for concurrent
// use.
type Runs struct {
	c       Config
	modules *modules
	slots   chan struct{}
}

var _ job.Handler = (*Runs)(nil)

// New returns Runs; the caller closes them.
func New(c Config) *Runs {
	if c.Parallel <= 0 {
		c.Parallel = goruntime.GOMAXPROCS(0)
	}
	r := &Runs{c: c, slots: make(chan struct{}, c.Parallel)}
	r.modules = &modules{prepare: r.prepare, all: map[string]*prepared{}}
	return r
}

// Close releases the prepared modules. No step may be under way.
func (r *Runs) Close(ctx context.Context) error { return r.modules.close(ctx) }

// Start begins a run. A Spec without Since looks at the last seven days.
func (r *Runs) Start(ctx context.Context, s Spec) (Run, error) {
	o, err := r.ordered(ctx, s)
	if err != nil {
		return Run{}, err
	}
	return view(r.c.Jobs.Create(ctx, s.Tenant, Kind, o))
}

// Get returns a run. The tenant is empty for a run of all tenants.
func (r *Runs) Get(ctx context.Context, tenant, id string) (Run, error) {
	j, err := r.c.Jobs.Get(ctx, tenant, id)
	if err == nil && j.Kind != Kind {
		err = fault.NotFound("shadow run", id)
	}
	return view(j, err)
}

// List lists the newest first, 50 if no limit is said; before is an id, or empty.
func (r *Runs) List(ctx context.Context, tenant, before string, limit int) ([]Run, error) {
	all, err := r.c.Jobs.List(ctx, tenant, job.Filter{Kind: Kind, Before: before, Limit: limit})
	if err != nil {
		return nil, err
	}
	list := make([]Run, len(all))
	for i, j := range all {
		if list[i], err = runOf(j); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Cancel ends a run: its report stays as it is.
func (r *Runs) Cancel(ctx context.Context, tenant, id string) (Run, error) {
	if _, err := r.Get(ctx, tenant, id); err != nil {
		return Run{}, err
	}
	return view(r.c.Jobs.Cancel(ctx, tenant, id))
}

func (r *Runs) prepare(ctx context.Context, v registry.Version) (*runtime.Module, error) {
	wasm, err := r.c.Plugins.Wasm(ctx, v)
	if err != nil {
		return nil, fmt.Errorf("read module: %w", err)
	}
	return r.c.Runtime.Prepare(ctx, wasm, r.c.Limits)
}

// ordered checks a Spec and finds what its names mean.
func (r *Runs) ordered(ctx context.Context, s Spec) (order, error) {
	now := r.c.Now()
	if s.Until.IsZero() || s.Until.After(now) {
		s.Until = now
	}
	if s.Since.IsZero() {
		s.Since = s.Until.Add(-sinceUsual)
	}
	switch {
	case !s.Since.Before(s.Until):
		return order{}, fault.New(fault.InvalidInput, "period_empty", "the period ends before it begins").At("/since").
			WithHint("since has to be before until, which is now at the latest")
	case s.Limit < 0:
		return order{}, fault.New(fault.InvalidInput, "limit_invalid", "the limit is %d: it is 1 or more, or 0 for none", s.Limit).At("/limit")
	}
	version, err := r.version(ctx, s.Plugin, s.Version, "/version")
	if err != nil {
		return order{}, err
	}
	against, err := r.version(ctx, s.Plugin, s.Against, "/against")
	if err != nil {
		return order{}, err
	}
	s.Version, s.Against = version.Version, against.Version
	return order{Spec: s, PluginID: version.Plugin, VersionID: version.ID, AgainstID: against.ID}, nil
}

// version finds an exact version: there is no newest to be guessed.
func (r *Runs) version(ctx context.Context, plugin, version, where string) (registry.Version, error) {
	if plugin == "" || strings.Contains(plugin, "@") {
		return registry.Version{}, fault.New(fault.InvalidInput, "plugin_invalid", "%.100q does not name a plugin", plugin).
			At("/plugin").WithHint("write name or publisher/name; the version goes beside it")
	}
	if version == "" {
		return registry.Version{}, fault.New(fault.InvalidInput, "version_missing", "nothing says which version").
			At(where).WithHint("for example 1.2.0")
	}
	v, err := r.c.Plugins.Resolve(ctx, registry.Viewer{Operator: true}, plugin+"@"+version)
	if err != nil {
		return v, fmt.Errorf("find version: %w", err)
	}
	return v, nil
}

func view(j job.Job, err error) (Run, error) {
	if err != nil {
		return Run{}, err
	}
	return runOf(j)
}
