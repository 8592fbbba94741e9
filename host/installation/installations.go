package installation

import (
	"context"
	"encoding/json"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/registry"
)

// Config configures Installations.
type Config struct {
	Store    Store
	Registry Versions
	// Connection says whether a tenant has a connection, by id or name, and
	// returns its id.
	Connection func(ctx context.Context, tenant, idOrName string) (string, error)
	// Release queues what waited because an installation was paused.
	Release func(ctx context.Context, tenant, installation string) error
	Now     func() time.Time
}

// Versions finds plugin versions: a *registry.Registry.
type Versions interface {
	Resolve(ctx context.Context, v registry.Viewer, ref string) (registry.Version, error)
}

// Installations are the plugins that tenants have enabled.
type Installations struct{ c Config }

// New returns Installations.
func New(c Config) *Installations { return &Installations{c: c} }

// Spec asks for an installation.
type Spec struct {
	// Plugin is a reference that registry.Resolve understands.
	Plugin string `json:"plugin"`
	// Name defaults to the plugin's.
	Name   string          `json:"name,omitempty"`
	Config json.RawMessage `json:"config,omitempty"`
	// Grants default to all that the manifest asks for; connections are granted by
	// their own names where the tenant has one of that name.
	Grants *Grants `json:"grants,omitempty"`
}

// Create enables a plugin for a tenant.
func (s *Installations) Create(ctx context.Context, tenant string, spec Spec) (Installation, error) {
	panic("unbuilt")
}

// Get finds an installation by id or name.
func (s *Installations) Get(ctx context.Context, tenant, idOrName string) (Installation, error) {
	panic("unbuilt")
}

// List lists a tenant's installations.
func (s *Installations) List(ctx context.Context, tenant string) ([]Installation, error) {
	panic("unbuilt")
}

// Configure replaces the configuration.
func (s *Installations) Configure(ctx context.Context, tenant, id string, config json.RawMessage) (Installation, error) {
	panic("unbuilt")
}

// Grant replaces the grants.
func (s *Installations) Grant(ctx context.Context, tenant, id string, g Grants) (Installation, error) {
	panic("unbuilt")
}

// Pause keeps events without running them, until Resume.
func (s *Installations) Pause(ctx context.Context, tenant, id string) (Installation, error) {
	panic("unbuilt")
}

// Resume runs what has gathered.
func (s *Installations) Resume(ctx context.Context, tenant, id string) (Installation, error) {
	panic("unbuilt")
}

// Upgrade pins another version of the same plugin, whose schema the
// configuration must fit; an empty version is the newest. Grants stay as they are.
func (s *Installations) Upgrade(ctx context.Context, tenant, id, version string) (Installation, error) {
	panic("unbuilt")
}

// Rollback pins the version before.
func (s *Installations) Rollback(ctx context.Context, tenant, id string) (Installation, error) {
	panic("unbuilt")
}

// Uninstall ends the installation. What is queued for it is cancelled when it is claimed.
func (s *Installations) Uninstall(ctx context.Context, tenant, id string) error { panic("unbuilt") }

// Callable checks that an installation can be asked for something, and that
// the input fits the schema. It returns the installation.
func (s *Installations) Callable(ctx context.Context, tenant, id string, kind event.Kind, name string, input json.RawMessage) (Installation, error) {
	panic("unbuilt")
}
