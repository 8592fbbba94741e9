package installation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/channel"
)

// Config configures Installations.
type Config struct {
	Store    Store
	Across   Across
	Registry Versions
	// Connection finds a tenant's connection by id or name.
	Connection func(ctx context.Context, tenant, idOrName string) (Account, error)
	// Release queues what waited because an installation was paused.
	Release func(ctx context.Context, tenant, installation string) error
	// Now is the clock, and After what Run waits on.
	Now    func() time.Time
	After  func(d time.Duration) <-chan time.Time
	Logger *slog.Logger
}

// Account is what an installation may know of a connection.
type Account struct {
	ID string
	// Fields is a JSON object, or nil.
	Fields json.RawMessage
}

// Versions finds plugin versions: a *registry.Registry.
type Versions interface {
	Resolve(ctx context.Context, v registry.Viewer, ref string) (registry.Version, error)
}

// Installations are the plugins that tenants have enabled.
type Installations struct {
	c     Config
	cache *cache
	// nudged has a value when a channel may offer something new.
	nudged chan struct{}
}

// New returns Installations.
func New(c Config) *Installations {
	return &Installations{c: c, cache: newCache(), nudged: make(chan struct{}, 1)}
}

// Spec asks for an installation.
type Spec struct {
	// Plugin is a reference that registry.Resolve understands.
	Plugin string `json:"plugin"`
	// Channel is what to follow. Defaults to none: the version is pinned.
	Channel channel.Channel `json:"channel,omitempty"`
	// Name defaults to the plugin's.
	Name string `json:"name,omitempty"`
	// Config is completed with the defaults of the schema's properties.
	Config json.RawMessage `json:"config,omitempty"`
	// Grants default to all that the manifest asks for; connections are granted by
	// their own names where the tenant has one of that name.
	Grants *Grants `json:"grants,omitempty"`
	// MaxRunning caps its executions in flight, in the cluster. Defaults to 0: only its
	// tenant's cap counts.
	MaxRunning int `json:"max_running,omitempty"`
}

// maxRunning is that of a tenant.
const maxRunning = 10_000

func checkRunning(n int) error {
	if n < 0 || n > maxRunning {
		return fault.New(fault.InvalidInput, "max_running_invalid", "%d may not run at once: the cap is from 1 to %d, or 0 for only the tenant's", n, maxRunning).At("/max_running")
	}
	return nil
}

const codeNameInvalid = "name_invalid"

var installationName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// Create enables a plugin for a tenant.
func (s *Installations) Create(ctx context.Context, tenant string, spec Spec) (Installation, error) {
	if err := checkName(spec.Name); err != nil {
		return Installation{}, err
	}
	if err := checkRunning(spec.MaxRunning); err != nil {
		return Installation{}, err
	}
	ref, err := spec.ref()
	if err != nil {
		return Installation{}, err
	}
	v, err := s.offered(ctx, tenant, ref)
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
		Channel: spec.Channel, Config: config, Grants: grants, State: Active, MaxRunning: spec.MaxRunning, CreatedAt: now, UpdatedAt: now,
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

// ref is the version that is asked for: that of the channel, if one is to be followed.
func (s Spec) ref() (string, error) {
	if s.Channel == "" {
		return s.Plugin, nil
	}
	if _, err := channel.Parse(string(s.Channel)); err != nil {
		return "", invalidChannel(err)
	}
	if strings.Contains(s.Plugin, "@") || strings.HasPrefix(s.Plugin, ident.PluginVersion) {
		return "", fault.New(fault.InvalidInput, "version_and_channel", "%.100q names a version, and the channel %s is to be followed", s.Plugin, s.Channel).
			WithHint("Name the plugin without a version, or leave out the channel.").At("/plugin")
	}
	return s.Plugin + "@" + string(s.Channel), nil
}

func invalidChannel(err error) error {
	return fault.New(fault.InvalidInput, "channel_unknown", "%v", err).At("/channel")
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

// Limit caps how many of its executions run at once, in the cluster; 0 leaves it at its
// tenant's cap. What runs already goes on.
func (s *Installations) Limit(ctx context.Context, tenant, id string, running int) (Installation, error) {
	if err := checkRunning(running); err != nil {
		return Installation{}, err
	}
	return s.update(ctx, tenant, id, func(i *Installation) error {
		if i.MaxRunning == running {
			return errUnchanged
		}
		i.MaxRunning = running
		return nil
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

// errUnchanged ends a change that changes nothing.
var errUnchanged = errors.New("unchanged")

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
	err = change(&i)
	if errors.Is(err, errUnchanged) {
		return i, nil
	}
	if err != nil {
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
