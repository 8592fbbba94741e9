package installation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
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
type Installations struct {
	c     Config
	cache *cache
}

// New returns Installations.
func New(c Config) *Installations { return &Installations{c: c, cache: newCache()} }

// Spec asks for an installation.
type Spec struct {
	// Plugin is a reference that registry.Resolve understands.
	Plugin string `json:"plugin"`
	// Name defaults to the plugin's.
	Name string `json:"name,omitempty"`
	// Config is completed with the defaults of the schema's properties.
	Config json.RawMessage `json:"config,omitempty"`
	// Grants default to all that the manifest asks for; connections are granted by
	// their own names where the tenant has one of that name.
	Grants *Grants `json:"grants,omitempty"`
}

const codeNameInvalid = "name_invalid"

var installationName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// Create enables a plugin for a tenant.
func (s *Installations) Create(ctx context.Context, tenant string, spec Spec) (Installation, error) {
	if err := checkName(spec.Name); err != nil {
		return Installation{}, err
	}
	v, err := s.offered(ctx, tenant, spec.Plugin)
	if err != nil {
		return Installation{}, err
	}
	config, err := s.fit(v, spec.Config)
	if err != nil {
		return Installation{}, err
	}
	grants, err := s.grants(ctx, tenant, v.Manifest, spec.Grants)
	if err != nil {
		return Installation{}, err
	}
	now := s.c.Now()
	i := Installation{
		ID: ident.New(ident.Installation, now), Tenant: tenant, Name: spec.Name,
		Config: config, Grants: grants, State: Active, CreatedAt: now, UpdatedAt: now,
	}
	if i.Name == "" {
		i.Name = v.Name
	}
	i.pin(v)
	if err := s.c.Store.InsertInstallation(ctx, i); err != nil {
		return Installation{}, fmt.Errorf("insert installation: %w", err)
	}
	return i, nil
}

// checkName refuses names that are none; an empty one is the plugin's. The
// pattern has no _, and the prefix is checked all the same: both are looked up in
// one place, and such a name could stand for another's id.
func checkName(name string) error {
	switch {
	case strings.HasPrefix(name, ident.Installation):
		return fault.New(fault.InvalidInput, codeNameInvalid, "the name must not begin with %s, for that is how ids begin", ident.Installation).At("/name")
	case name != "" && !installationName.MatchString(name):
		return fault.New(fault.InvalidInput, codeNameInvalid, "the name must be 1 to 63 of a-z, 0-9 and -, and not begin with -").At("/name")
	default:
		return nil
	}
}

// Get finds an installation by id or name.
func (s *Installations) Get(ctx context.Context, tenant, idOrName string) (Installation, error) {
	i, err := s.c.Store.Installation(ctx, tenant, idOrName)
	if err != nil {
		return Installation{}, fmt.Errorf("find installation: %w", err)
	}
	return i, nil
}

// List lists a tenant's installations.
func (s *Installations) List(ctx context.Context, tenant string) ([]Installation, error) {
	found, err := s.c.Store.Installations(ctx, tenant)
	if err != nil {
		return nil, fmt.Errorf("list installations: %w", err)
	}
	return found, nil
}

// Configure replaces the configuration.
func (s *Installations) Configure(ctx context.Context, tenant, id string, config json.RawMessage) (Installation, error) {
	return s.update(ctx, tenant, id, func(i *Installation) error {
		v, err := s.pinned(ctx, i.VersionID)
		if err != nil {
			return err
		}
		i.Config, err = s.fit(v, config)
		return err
	})
}

// Grant replaces the grants.
func (s *Installations) Grant(ctx context.Context, tenant, id string, g Grants) (Installation, error) {
	return s.update(ctx, tenant, id, func(i *Installation) error {
		v, err := s.pinned(ctx, i.VersionID)
		if err != nil {
			return err
		}
		i.Grants, err = s.grants(ctx, tenant, v.Manifest, &g)
		return err
	})
}

// Pause keeps events without running them, until Resume.
func (s *Installations) Pause(ctx context.Context, tenant, id string) (Installation, error) {
	return s.update(ctx, tenant, id, func(i *Installation) error {
		i.State, i.Reason = Paused, ""
		return nil
	})
}

// Resume runs what has gathered. If that fails, it can be called again.
func (s *Installations) Resume(ctx context.Context, tenant, id string) (Installation, error) {
	i, err := s.update(ctx, tenant, id, func(i *Installation) error {
		i.State, i.Reason = Active, ""
		return nil
	})
	if err != nil {
		return Installation{}, err
	}
	// After the state, so that nothing is queued only to be found paused.
	if err := s.c.Release(ctx, tenant, i.ID); err != nil {
		return Installation{}, fmt.Errorf("release executions: %w", err)
	}
	return i, nil
}

// Upgrade pins another version of the same plugin, whose schema the
// configuration must fit; an empty version is the newest. Grants stay as they are.
func (s *Installations) Upgrade(ctx context.Context, tenant, id, version string) (Installation, error) {
	return s.update(ctx, tenant, id, func(i *Installation) error {
		ref := i.Plugin
		if version != "" {
			ref += "@" + version
		}
		v, err := s.offered(ctx, tenant, ref)
		if err != nil {
			return err
		}
		return s.move(ctx, i, v)
	})
}

// Rollback pins the version before, yanked or not; another Rollback goes forward again.
func (s *Installations) Rollback(ctx context.Context, tenant, id string) (Installation, error) {
	return s.update(ctx, tenant, id, func(i *Installation) error {
		if i.Previous == "" {
			return fault.New(fault.Conflict, "no_previous_version", "the installation %q has run no version before %s", i.Name, i.Version).
				WithHint("Upgrade it to the version that you want.")
		}
		v, err := s.pinned(ctx, i.Previous)
		if err != nil {
			return err
		}
		return s.move(ctx, i, v)
	})
}

// Uninstall ends the installation. What is queued for it is cancelled when it is claimed.
func (s *Installations) Uninstall(ctx context.Context, tenant, id string) error {
	i, err := s.Get(ctx, tenant, id)
	if err != nil || i.State == Removed {
		return err
	}
	_, err = s.update(ctx, tenant, i.ID, func(i *Installation) error {
		i.State, i.Reason = Removed, ""
		return nil
	})
	if e, ok := errors.AsType[*fault.Error](err); ok && e.Code == codeRemoved {
		return nil // Somebody else was quicker.
	}
	if err != nil {
		return err
	}
	// What was parked is claimed, and then cancelled.
	return s.c.Release(ctx, tenant, i.ID)
}

// updateTries is how often a change is made anew that another one came before.
const updateTries = 3

// update changes an installation that is there.
func (s *Installations) update(ctx context.Context, tenant, id string, change func(*Installation) error) (Installation, error) {
	var i Installation
	var err error
	for range updateTries {
		i, err = s.updateOnce(ctx, tenant, id, change)
		if e, ok := errors.AsType[*fault.Error](err); !ok || e.Code != CodeChanged {
			break
		}
	}
	return i, err
}

func (s *Installations) updateOnce(ctx context.Context, tenant, id string, change func(*Installation) error) (Installation, error) {
	i, err := s.present(ctx, tenant, id)
	if err != nil {
		return Installation{}, err
	}
	since := i.UpdatedAt
	if err := change(&i); err != nil {
		return Installation{}, err
	}
	i.UpdatedAt = s.c.Now()
	if err := s.c.Store.UpdateInstallation(ctx, i, since); err != nil {
		return Installation{}, fmt.Errorf("update installation: %w", err)
	}
	return i, nil
}

// codeRemoved is the code of an installation that was uninstalled.
const codeRemoved = "installation_removed"

func (s *Installations) present(ctx context.Context, tenant, id string) (Installation, error) {
	i, err := s.Get(ctx, tenant, id)
	if err == nil && i.State == Removed {
		err = fault.New(fault.Conflict, codeRemoved, "the installation %q was uninstalled", i.Name).
			WithHint("Install the plugin again.")
	}
	return i, err
}

// move pins another version, if the configuration fits it.
func (s *Installations) move(ctx context.Context, i *Installation, v registry.Version) error {
	if v.Plugin != i.Plugin {
		return fault.New(fault.InvalidInput, "other_plugin", "the version %q is of another plugin, %s", v.Version, v.Name).At("/version")
	}
	if v.ID == i.VersionID {
		return nil
	}
	before, err := s.pinned(ctx, i.VersionID)
	if err != nil {
		return err
	}
	config, err := s.carry(before, v, i.Config)
	if err != nil {
		return err
	}
	i.Config, i.Previous = config, i.VersionID
	i.pin(v)
	return nil
}

func (i *Installation) pin(v registry.Version) {
	i.Plugin, i.PluginName, i.VersionID, i.Version = v.Plugin, v.Name, v.ID, v.Version
}

// offered finds a version that a tenant may take up.
func (s *Installations) offered(ctx context.Context, tenant, ref string) (registry.Version, error) {
	v, err := s.c.Registry.Resolve(ctx, registry.Viewer{Tenant: tenant}, ref)
	if err != nil {
		return v, told(err)
	}
	if !v.YankedAt.IsZero() {
		e := fault.New(fault.Conflict, registry.CodeYanked, "%s %s was yanked by its publisher", v.Name, v.Version).WithHint("Choose another version.")
		if v.YankedWhy != "" {
			e.Message += ": " + v.YankedWhy
		}
		return v, e
	}
	return v, nil
}

// pinned finds the version that an installation has. It asks as the operator: a
// plugin that is not shared any more goes on where it is installed.
func (s *Installations) pinned(ctx context.Context, versionID string) (registry.Version, error) {
	if v, ok := s.cache.versions.Get(versionID); ok {
		return v, nil
	}
	v, err := s.c.Registry.Resolve(ctx, registry.Viewer{Operator: true}, versionID)
	if err != nil {
		return v, told(err)
	}
	s.cache.versions.Add(versionID, v)
	return v, nil
}

// told gives the registry's refusals as faults, and leaves the rest.
func told(err error) error {
	if _, ok := errors.AsType[*registry.Error](err); ok {
		return fault.From(err)
	}
	return fmt.Errorf("find plugin version: %w", err)
}
