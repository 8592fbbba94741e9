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
// unfinished executions stay on the version that they began with.
package installation

import (
	"context"
	"encoding/json"
	"time"

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
	VersionID  string          `json:"version_id"`
	PluginName string          `json:"plugin_name"`
	Version    string          `json:"version"`
	Previous   string          `json:"previous_version_id,omitempty"`
	Config     json.RawMessage `json:"config"`
	Grants     Grants          `json:"grants"`
	State      State           `json:"state"`
	// Reason says why the state is error.
	Reason    string    `json:"reason,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Grants are what the tenant allows: never more than the manifest asks for.
type Grants struct {
	Egress []manifest.Egress `json:"egress"`
	// Connections maps the names that the plugin uses to ids of connections.
	Connections map[string]string `json:"connections"`
	// Functions are host functions beyond the built-in ones.
	Functions []string        `json:"functions"`
	Limits    manifest.Limits `json:"limits,omitzero"`
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
