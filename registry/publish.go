package registry

import (
	"context"
	"io"
	"time"

	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// Config configures a Registry.
type Config struct {
	Store      Store
	Publishers Publishers
	Blobs      Blobs
	// Runtime runs describe, once, at upload.
	Runtime *runtime.Runtime
	// Limits bound uploads and their describe. Defaults to runtime's.
	Limits runtime.Limits
	// Functions are the host functions that a manifest may ask for beyond the
	// built-in ones.
	Functions []string
	// Schemes are the webhook signature schemes that a manifest may name.
	Schemes []string
	// NewID makes an id with a prefix.
	NewID func(prefix string) string
	Now   func() time.Time
}

// Registry publishes plugins and finds them.
type Registry struct{ c Config }

// New returns a Registry.
func New(c Config) *Registry { return &Registry{c: c} }

// Upload is a version to be published.
type Upload struct {
	// Wasm is read to its end, at most Limits.ModuleBytes.
	Wasm io.Reader
	// Name and Version are those of a level-0 plugin. For a typed connector they
	// are the manifest's, and must equal it if they are given.
	Name, Version string
	// Egress is what a level-0 plugin may ask for.
	Egress []manifest.Egress
	// Share lists the tenants that see a new plugin; "*" is everyone. Defaults to
	// everyone for the operator's, and nobody for others'.
	Share []string
}

// Publish checks a module, describes it in the sandbox, and stores it as a
// version of the publisher (an id or name). The same bytes again give the
// version that exists.
func (r *Registry) Publish(ctx context.Context, publisher string, u Upload) (Version, error) {
	panic("unbuilt")
}

// Resolve finds a version by id, or by name, name@version, publisher/name or
// publisher/name@version. Without a version it is the newest that is not
// yanked; a yanked version is found by its exact name only.
func (r *Registry) Resolve(ctx context.Context, v Viewer, ref string) (Version, error) {
	panic("unbuilt")
}

// Plugins lists what the viewer may see.
func (r *Registry) Plugins(ctx context.Context, v Viewer) ([]Plugin, error) { panic("unbuilt") }

// Plugin finds a plugin by id, name or publisher/name, with its versions, newest first.
func (r *Registry) Plugin(ctx context.Context, v Viewer, ref string) (Plugin, []Version, error) {
	panic("unbuilt")
}

// Yank hides a version from new installations; what runs it goes on.
func (r *Registry) Yank(ctx context.Context, v Viewer, ref, why string) (Version, error) {
	panic("unbuilt")
}

// Share sets the tenants that see a plugin.
func (r *Registry) Share(ctx context.Context, v Viewer, plugin string, tenants []string) (Plugin, error) {
	panic("unbuilt")
}

// Wasm returns the bytes of a version.
func (r *Registry) Wasm(ctx context.Context, v Version) ([]byte, error) { panic("unbuilt") }

// AddPublisher adds a publisher. A tenant's publisher is made by its first upload.
func (r *Registry) AddPublisher(ctx context.Context, name string, kind PublisherKind, tenant string) (Publisher, error) {
	panic("unbuilt")
}

// PublisherOf returns the publisher of the operator, or of a tenant, making it if need be.
func (r *Registry) PublisherOf(ctx context.Context, v Viewer) (Publisher, error) { panic("unbuilt") }
