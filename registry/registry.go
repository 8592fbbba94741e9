// Package registry keeps plugins: their publishers, their versions and their
// bytes. A version never changes: name and semver lead to one digest for ever.
// It knows tenants only as names that a plugin can be shared with.
//
//	version, err := registry.Publish(ctx, publisher, registry.Upload{Wasm: f})
//	version, err = registry.Resolve(ctx, viewer, "hello-go@0.1.0")
package registry

import (
	"context"
	"fmt"
	"time"

	"github.com/cofferdam-run/cofferdam/registry/manifest"
)

// PublisherKind says whose a plugin is.
type PublisherKind string

// The kinds of publishers.
const (
	Operator PublisherKind = "operator"
	Vendor   PublisherKind = "vendor"
	// TenantOwned is a tenant that uploads plugins for itself.
	TenantOwned PublisherKind = "tenant"
)

// Publisher owns plugins.
type Publisher struct {
	ID        string        `json:"id"`
	Name      string        `json:"name"`
	Kind      PublisherKind `json:"kind"`
	Tenant    string        `json:"tenant,omitempty"`
	CreatedAt time.Time     `json:"created_at"`
}

// Plugin is a name that versions are published under; names are unique per publisher.
type Plugin struct {
	ID        string `json:"id"`
	Publisher string `json:"publisher"`
	Name      string `json:"name"`
	Title     string `json:"title,omitempty"`
	// Shared lists the tenants that see the plugin besides its publisher; "*" is everyone.
	Shared    []string  `json:"shared"`
	CreatedAt time.Time `json:"created_at"`
}

// Version is a published version of a plugin. All but the yank is immutable.
type Version struct {
	ID      string `json:"id"`
	Plugin  string `json:"plugin"`
	Name    string `json:"name"`
	Version string `json:"version"`
	// Digest is "sha256:" and the lower-case hex of the module's bytes.
	Digest    string            `json:"digest"`
	Size      int64             `json:"size"`
	Manifest  manifest.Manifest `json:"manifest"`
	CreatedAt time.Time         `json:"created_at"`
	YankedAt  time.Time         `json:"yanked_at,omitzero"`
	YankedWhy string            `json:"yanked_why,omitempty"`
}

// Viewer is who asks: the operator sees everything, a tenant what is its own or
// shared with it.
type Viewer struct {
	Operator bool
	Tenant   string
}

// Store keeps what the registry knows. Every method that takes a Viewer shows
// only what that viewer may see, and returns a NotFound *Error otherwise.
type Store interface {
	// InsertVersion stores publisher, plugin (where new), version and bytes at
	// once. If the name and version exist with the same digest it returns the
	// existing version; with another one, an *Error with CodeVersionExists.
	InsertVersion(ctx context.Context, p Publisher, pl Plugin, v Version, wasm []byte) (Version, error)
	Plugins(ctx context.Context, v Viewer) ([]Plugin, error)
	// Versions lists a plugin's versions, newest first. The plugin is named by id,
	// by name, or by publisher/name. Of several visible plugins with a name, it is
	// the one of the viewer's own publisher, else the operator's, else an *Error
	// with CodeAmbiguous: what a tenant shares takes nobody's name.
	Versions(ctx context.Context, v Viewer, plugin string) (Plugin, []Version, error)
	Version(ctx context.Context, v Viewer, id string) (Version, error)
	Yank(ctx context.Context, id, why string, at time.Time) error
	Share(ctx context.Context, plugin string, tenants []string) error
}

// Publishers keeps who owns plugins.
type Publishers interface {
	InsertPublisher(ctx context.Context, p Publisher) error
	Publishers(ctx context.Context) ([]Publisher, error)
	// Publisher finds by id or name.
	Publisher(ctx context.Context, idOrName string) (Publisher, error)
}

// Blobs keeps bytes by digest. In the reference stores they live in the
// database, so that nodes share nothing else.
type Blobs interface {
	Blob(ctx context.Context, digest string) ([]byte, error)
}

// Error is a request that the registry refuses.
type Error struct {
	// Code is one of the constants below, or that of a *runtime.InvalidModule.
	Code    string
	Message string
	Hint    string
	// Where points into the upload, such as "manifest/config/properties/token", or is empty.
	Where string
	// Problems are all that is wrong with a manifest; the Message lists them too.
	Problems []manifest.Problem
}

// Codes of Error.
const (
	CodeNotFound        = "not_found"
	CodeVersionExists   = "version_exists"
	CodeVersionInUse    = "version_in_use"
	CodeYanked          = "version_yanked"
	CodeAmbiguous       = "plugin_name_ambiguous"
	CodeInvalidManifest = "invalid_manifest"
	CodeDescribeFailed  = "describe_failed"
	CodeSecretInConfig  = "secret_in_config"
	CodeDenied          = "denied"
	CodeModuleTooLarge  = "module_too_large"
	CodeInvalidRequest  = "invalid_request"
)

// Error implements error.
func (e *Error) Error() string {
	if e.Where == "" {
		return fmt.Sprintf("%s: %s", e.Code, e.Message)
	}
	return fmt.Sprintf("%s: %s: %s", e.Code, e.Where, e.Message)
}
