package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/pace"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/hostfns/emit"
	"github.com/cofferdam-run/cofferdam/hostfns/guestlog"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
	"github.com/cofferdam-run/cofferdam/hostfns/sign"
	"github.com/cofferdam-run/cofferdam/hostfns/state"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/runtime"
)

const (
	// lookAgain is how long something that is paused stays parked if nobody says
	// that it was resumed: a resume and a parking may cross.
	lookAgain = 15 * time.Minute
	// newerAgain is how long what this worker does not know stays parked.
	newerAgain = time.Minute
	// versionsMost bounds the versions that are remembered: of a few KiB each.
	versionsMost = 1024
)

// Records is what a Sandbox needs of the store.
type Records interface {
	// Execution, Trace and Event are execution.Store's and event.Store's.
	Execution(ctx context.Context, tenant, id string) (execution.Execution, error)
	Trace(ctx context.Context, tenant, id string) (execution.Trace, error)
	Event(ctx context.Context, tenant, id string) (event.Event, error)
	// Begin, Journal, Append, State and Cursor are execution.Runs's.
	Begin(ctx context.Context, c execution.Claimed, b execution.Beginning) error
	Journal(ctx context.Context, tenant, execution string) (execution.Recorded, error)
	Append(ctx context.Context, c execution.Claimed, s journal.Segment) error
	State(tenant, installation string) state.Reader
	Cursor(ctx context.Context, tenant, installation, poll string) ([]byte, error)
}

// Plugins finds plugins: a *registry.Registry.
type Plugins interface {
	Resolve(ctx context.Context, v registry.Viewer, ref string) (registry.Version, error)
	Wasm(ctx context.Context, v registry.Version) ([]byte, error)
}

// Accounts keep account of the credentials that runs open.
type Accounts interface {
	// Run returns the context of a run, and what is called once that is over.
	Run(ctx context.Context) (run context.Context, end func())
	// Intent returns the context in which the intent of a request to a host is written,
	// for which a connection's credential will be opened.
	Intent(ctx context.Context, tenant, connection, host string) context.Context
}

// SandboxConfig configures a Sandbox.
type SandboxConfig struct {
	Records Records
	Plugins Plugins
	// Runtime must offer the names of Functions(c.Functions). Whoever opened it
	// closes it, after the Sandbox.
	Runtime *runtime.Runtime
	// Tenant and Installation find by id.
	Tenant       func(ctx context.Context, id string) (tenant.Tenant, error)
	Installation func(ctx context.Context, tenant, id string) (installation.Installation, error)
	// Fields are what a version is told of the connections of an installation. Defaults
	// to their names, with no fields.
	Fields func(ctx context.Context, i installation.Installation, v registry.Version) (map[string]json.RawMessage, error)
	// Credentials binds a tenant's connections to what an installation was granted.
	Credentials func(tenant string, granted map[string]string) egress.Credentials
	// Pace says when the requests of a run go. Defaults to at once.
	Pace func(r pace.Run) egress.Pace
	// Accounts are kept of what is opened. Defaults to none.
	Accounts Accounts
	// Egress is the guests' way out; whoever opened it closes it.
	Egress *egress.Egress
	// Functions are offered beside the built-in ones. Defaults to none.
	Functions []hostfns.Func
	// Limits are the most that a plugin gets. Defaults to runtime's.
	Limits runtime.Limits
	// Seed feeds an execution's random stream: the same for every run of it, and
	// not to be guessed by anyone outside.
	Seed func(ctx context.Context, tenant, execution string) ([32]byte, error)
	// Unjournaled runs keep nothing: one that is made again asks everything again.
	// It is for measuring what the journal costs.
	Unjournaled bool
	// Watch is told what runs do as they do it. Defaults to nobody.
	Watch Watcher
	// Modules is how many prepared modules are known that nobody uses; what of them
	// is in memory, the Runtime decides. Defaults to 4096.
	Modules int
	// Now and After are the clock. They must be set.
	Now   func() time.Time
	After func(d time.Duration) <-chan time.Time
}

// Sandbox runs executions: it is a Runner. It is safe for concurrent use.
type Sandbox struct {
	c       SandboxConfig
	modules *modules
	// verifies are calls for deliveries that have not been taken yet.
	verifies *entrance

	mu sync.Mutex
	// versions never change, but for a yank, which stops no run.
	versions map[string]registry.Version
}

var _ Runner = (*Sandbox)(nil)

// NewSandbox returns a Sandbox; the caller closes it.
func NewSandbox(c SandboxConfig) *Sandbox {
	if c.Modules <= 0 {
		c.Modules = 4096
	}
	if c.Fields == nil {
		c.Fields = named
	}
	if c.Pace == nil {
		c.Pace = func(pace.Run) egress.Pace { return nil }
	}
	c.Functions = slices.Clone(c.Functions)
	s := &Sandbox{c: c, verifies: newEntrance(verifiesOfTenant), versions: map[string]registry.Version{}}
	s.modules = newModules(c.Modules, s.prepare)
	return s
}

// named has the names of an installation's connections, and no fields.
func named(_ context.Context, i installation.Installation, _ registry.Version) (map[string]json.RawMessage, error) {
	all := make(map[string]json.RawMessage, len(i.Grants.Connections))
	for name := range i.Grants.Connections {
		all[name] = json.RawMessage(`{}`)
	}
	return all, nil
}

// Functions gives the sorted names of all functions that guests may import: the
// built-in ones and further.
func Functions(further []hostfns.Func) []string {
	return hostfns.Names(slices.Concat(builtin(), further))
}

func builtin() []hostfns.Func {
	way := egress.New(egress.Config{})
	defer way.Close()
	log := guestlog.New(guestlog.Config{Now: func() time.Time { return time.Time{} }})
	return slices.Concat(
		state.NewSession(nil, state.Limits{}).Funcs(), log.Funcs(), emit.New(emit.Limits{}).Funcs(),
		way.Session(egress.Permissions{}).Funcs(), sign.New(sign.Config{}).Funcs(), []hostfns.Func{hostfns.Sleep(nil, nil)},
	)
}

// Close releases the prepared modules. No run may be in flight.
func (s *Sandbox) Close(ctx context.Context) error { return s.modules.close(ctx) }

// Run implements Runner.
func (s *Sandbox) Run(ctx context.Context, c execution.Claimed, held func() bool) (Ended, error) {
	j, err := s.job(ctx, c)
	if err != nil {
		return Ended{}, err
	}
	p, err := s.recall(ctx, &j)
	if err != nil {
		return Ended{}, err
	}
	module, release, err := s.modules.take(ctx, j.version)
	if err != nil {
		return Ended{VersionID: j.version.ID}, fmt.Errorf("prepare plugin version %s: %w", j.version.ID, err)
	}
	defer release()
	p.fit(module.Facts())
	b, err := p.beginning(j.version.ID)
	if err != nil {
		return Ended{VersionID: j.version.ID}, err
	}
	if s.c.Unjournaled {
		b.World = nil
	}
	// From here on the version cannot be removed.
	if err := s.c.Records.Begin(ctx, c, b); err != nil {
		return Ended{VersionID: j.version.ID}, fmt.Errorf("begin run: %w", err)
	}
	// What was pinned holds, whatever the installation has now. What it is granted is
	// another matter: that can be taken away at any time.
	j.installation.Config = p.world.Config
	r := &sandboxed{sandbox: s, job: j, past: p, module: module, held: held}
	ctx = withCaller(ctx, Caller{Tenant: c.Tenant, Installation: j.installation.ID, Execution: c.Execution})
	ctx = vault.Using(ctx, vault.Use{Who: "installation " + j.installation.ID, Execution: c.Execution})
	if s.c.Accounts != nil {
		run, end := s.c.Accounts.Run(ctx)
		defer end()
		ctx = run
	}
	if ended, err := r.clear(ctx); err != nil {
		return ended, err
	}
	return r.run(ctx)
}

// job is all that a run is made of.
type job struct {
	claimed      execution.Claimed
	execution    execution.Execution
	event        event.Event
	installation installation.Installation
	version      registry.Version
}

// job finds what a run is made of, and whether it may begin.
func (s *Sandbox) job(ctx context.Context, c execution.Claimed) (job, error) {
	j := job{claimed: c}
	var err error
	if j.execution, err = s.c.Records.Execution(ctx, c.Tenant, c.Execution); err != nil {
		return j, fmt.Errorf("find execution: %w", err)
	}
	if !knows(j.execution.Kind) {
		return j, &ParkedError{Reason: execution.ReasonUnknownKind, Until: s.c.Now().Add(newerAgain)}
	}
	if j.installation, err = s.c.Installation(ctx, c.Tenant, j.execution.Installation); err != nil {
		if isNotFound(err) {
			return j, ErrRemoved
		}
		return j, fmt.Errorf("find installation: %w", err)
	}
	owner, err := s.c.Tenant(ctx, c.Tenant)
	if err != nil {
		return j, fmt.Errorf("find tenant: %w", err)
	}
	switch {
	case j.installation.State == installation.Removed:
		return j, ErrRemoved
	case !j.installation.Runs(), owner.State != tenant.Active:
		return j, &ParkedError{Reason: execution.ReasonPaused, Until: s.c.Now().Add(lookAgain + fullJitter(lookAgain/4, lookAgain, 0))}
	}
	// An execution stays on the version that it began with.
	version := j.execution.VersionID
	if version == "" {
		version = j.installation.VersionID
	}
	if j.version, err = s.version(ctx, version); err != nil {
		return j, err
	}
	if j.event, err = s.c.Records.Event(ctx, c.Tenant, j.execution.Event); err != nil {
		return j, fmt.Errorf("find event: %w", err)
	}
	return j, nil
}

// version finds a version that the tenant was let install: whether it may still
// see it does not matter.
func (s *Sandbox) version(ctx context.Context, id string) (registry.Version, error) {
	s.mu.Lock()
	v, known := s.versions[id]
	s.mu.Unlock()
	if known {
		return v, nil
	}
	v, err := s.c.Plugins.Resolve(ctx, registry.Viewer{Operator: true}, id)
	if err != nil {
		return v, fmt.Errorf("find plugin version %s: %w", id, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.versions) >= versionsMost {
		clear(s.versions)
	}
	s.versions[id] = v
	return v, nil
}

func (s *Sandbox) prepare(ctx context.Context, v registry.Version) (*runtime.Module, error) {
	wasm, err := s.c.Plugins.Wasm(ctx, v)
	if err != nil {
		return nil, fmt.Errorf("read module: %w", err)
	}
	return s.c.Runtime.Prepare(ctx, wasm, s.c.Limits)
}

func isNotFound(err error) bool {
	e, ok := errors.AsType[*fault.Error](err)
	return ok && e.Code == fault.CodeNotFound
}
