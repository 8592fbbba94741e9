// Package installation is plugins that tenants have enabled: which version, with
// which configuration, allowed to do what.
//
//	          pause             resume
//	active ---------> paused ----------> active
//	   |
//	   | uninstall
//	   v
//	removed   (kept for its executions; nothing runs any more)
//
// An installation runs one pinned version. Upgrade and Rollback change the pin;
// unfinished executions stay on the version that they began with. One that follows a
// channel is upgraded by itself, forward only.
//
// A version that asks for more than the one before waits for the tenant's consent:
// the installation stays where it is and says in Upgrade what is asked for. Consent
// adds that to the grants and nothing else, so that what a tenant has narrowed stays
// as narrow as it was.
package installation

import (
	"context"
	"encoding/json"
	"time"

	"github.com/cofferdam-run/cofferdam/registry/channel"
	"github.com/cofferdam-run/cofferdam/registry/diff"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
)

// State of an installation.
type State string

// The states of an installation.
const (
	Active  State = "active"
	Paused  State = "paused"
	Broken  State = "error"
	Removed State = "removed"
)

// Installation is a tenant's enabled plugin.
type Installation struct {
	ID     string `json:"id"`
	Tenant string `json:"tenant"`
	// Name is unique among the tenant's installations. Defaults to the plugin's.
	Name   string `json:"name"`
	Plugin string `json:"plugin"`
	// VersionID pins the version that runs; Previous is what Rollback goes back to.
	VersionID  string `json:"version_id"`
	PluginName string `json:"plugin_name"`
	Version    string `json:"version"`
	Previous   string `json:"previous_version_id,omitempty"`
	// Channel is what it follows; empty for one that is pinned.
	Channel channel.Channel `json:"channel,omitempty"`
	// Upgrade is the version that it waits to go to, or nil.
	Upgrade *Upgrade        `json:"upgrade,omitempty"`
	Config  json.RawMessage `json:"config"`
	Grants  Grants          `json:"grants"`
	State   State           `json:"state"`
	// Reason says why the state is error.
	Reason string `json:"reason,omitempty"`
	// PluginPaused says that the operator has paused the plugin for everybody.
	PluginPaused bool `json:"plugin_paused,omitempty"`
	// MaxRunning is how many of its executions may run at once, in the cluster; 0 is as
	// many as its tenant's.
	MaxRunning int       `json:"max_running,omitempty"`
	CreatedAt  time.Time `json:"created_at"`
	UpdatedAt  time.Time `json:"updated_at"`
}

// Runs says whether what is queued for it may run.
func (i *Installation) Runs() bool { return i.State == Active && !i.PluginPaused }

// Grants are what the tenant allows: never more than the manifest asks for.
type Grants struct {
	Egress []manifest.Egress `json:"egress"`
	// Connections maps the names that the plugin uses to ids of connections.
	Connections map[string]string `json:"connections"`
	// Functions are host functions beyond the built-in ones.
	Functions []string        `json:"functions"`
	Limits    manifest.Limits `json:"limits,omitzero"`
}

// Upgrade is a version that an installation waits to go to.
type Upgrade struct {
	To        string `json:"to"`
	VersionID string `json:"version_id"`
	// Asks are what the version asks for beyond the one that runs and the grants.
	Asks []diff.Change `json:"asks"`
	// Digest names the asks: to consent with it is to consent to exactly them.
	Digest string `json:"digest"`
	// Problem says why it cannot go there whatever the tenant consents to: the
	// configuration does not fit, or a connection.
	Problem string `json:"problem,omitempty"`
	// Channel is the one that offers it; empty if the tenant has asked for it.
	Channel channel.Channel `json:"channel,omitempty"`
	// Since is when it began to wait.
	Since time.Time `json:"since"`
}

// CodeChanged is the code of a change that another one came before.
const CodeChanged = "installation_changed"

// Store keeps installations. Every method is bound to a tenant: another
// tenant's installation is fault.NotFound.
type Store interface {
	// InsertInstallation returns a Conflict fault if the name is taken.
	InsertInstallation(ctx context.Context, i Installation) error
	// Installation finds by id or name. Removed ones are found by id only.
	Installation(ctx context.Context, tenant, idOrName string) (Installation, error)
	// Installations lists those that are not removed, by id.
	Installations(ctx context.Context, tenant string) ([]Installation, error)
	// UpdateInstallation replaces it where its UpdatedAt is since, or returns a
	// Conflict fault with CodeChanged: of two who change it at once, one would put
	// back what the other has taken away.
	UpdateInstallation(ctx context.Context, i Installation, since time.Time) error
}

// Across looks at the installations of all tenants at once, for the operator.
type Across interface {
	// Following lists those that follow a channel and come after one, by tenant and id.
	Following(ctx context.Context, after Place, limit int) ([]Installation, error)
	// Running lists those that are pinned to a version, of one tenant or, if that is
	// empty, of all.
	Running(ctx context.Context, tenant, version string, after Place, limit int) ([]Installation, error)
}

// Place is where an installation comes in a list of all.
type Place struct{ Tenant, ID string }
