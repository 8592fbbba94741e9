// Package registry keeps plugins: their publishers, their versions and their
// bytes. A version never changes: name and semver lead to one digest for ever.
// It knows tenants only as names that a plugin can be shared with.
//
//	version, err := registry.Publish(ctx, publisher, registry.Upload{Wasm: f})
//	version, err = registry.Resolve(ctx, viewer, "hello-go@0.1.0")
//
// What becomes of a version after it was published is said beside it: which channel
// it is in, and whether it is deprecated or yanked.
//
//	published --promote--> stable
//	    |  deprecate: still offered, with a warning; can be undone
//	    |  yank: not offered to new installations any more, for good; what runs it goes on
package registry

import (
	"context"
	"fmt"
	"time"

	"github.com/cofferdam-run/cofferdam/registry/channel"
	"github.com/cofferdam-run/cofferdam/registry/diff"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/registry/provenance"
	"github.com/cofferdam-run/cofferdam/registry/signature"
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
	// DeprecatedWhy is what those should know who use it, and DeprecatedAt since when;
	// a plugin that is deprecated goes on.
	DeprecatedAt  time.Time `json:"deprecated_at,omitzero"`
	DeprecatedWhy string    `json:"deprecated_why,omitempty"`
	// PausedAt is since when nothing of it runs, for anybody; zero if it is not paused.
	PausedAt time.Time `json:"paused_at,omitzero"`
}

// Version is a published version of a plugin. Its channel only rises, it can be
// deprecated and yanked, and its signature can be brought in later; all else is
// immutable.
type Version struct {
	ID      string `json:"id"`
	Plugin  string `json:"plugin"`
	Name    string `json:"name"`
	Version string `json:"version"`
	// Channel is where it is offered.
	Channel channel.Channel `json:"channel"`
	// Digest is "sha256:" and the lower-case hex of the module's bytes.
	Digest    string            `json:"digest"`
	Size      int64             `json:"size"`
	Manifest  manifest.Manifest `json:"manifest"`
	CreatedAt time.Time         `json:"created_at"`
	// Changes is what it asks for beyond the newest version below it that there was
	// when it was published; nil for a plugin's first.
	Changes *diff.Diff `json:"changes,omitempty"`
	// Build is what the module says of how it was made; nil if nothing.
	Build *provenance.Build `json:"build,omitempty"`
	// Signature is its publisher's; nil for a version that is not signed.
	Signature *signature.Signature `json:"signature,omitempty"`
	// SignerRevokedAt is when the key was taken back that has signed it.
	SignerRevokedAt time.Time `json:"signer_revoked_at,omitzero"`
	DeprecatedAt    time.Time `json:"deprecated_at,omitzero"`
	DeprecatedWhy   string    `json:"deprecated_why,omitempty"`
	YankedAt        time.Time `json:"yanked_at,omitzero"`
	YankedWhy       string    `json:"yanked_why,omitempty"`
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
	// existing version, to which it adds the signature if it has none; with another
	// digest, an *Error with CodeVersionExists.
	InsertVersion(ctx context.Context, p Publisher, pl Plugin, v Version, wasm []byte) (Version, error)
	Plugins(ctx context.Context, v Viewer) ([]Plugin, error)
	// Versions lists a plugin's versions, newest first. The plugin is named by id,
	// by name, or by publisher/name. Of several visible plugins with a name, it is
	// the one of the viewer's own publisher, else the operator's, else an *Error
	// with CodeAmbiguous: what a tenant shares takes nobody's name.
	Versions(ctx context.Context, v Viewer, plugin string) (Plugin, []Version, error)
	Version(ctx context.Context, v Viewer, id string) (Version, error)
	Share(ctx context.Context, plugin string, tenants []string) error
	Standing
}

// Publishers keeps who owns plugins, and with which keys they sign.
type Publishers interface {
	InsertPublisher(ctx context.Context, p Publisher) error
	Publishers(ctx context.Context) ([]Publisher, error)
	// Publisher finds by id or name.
	Publisher(ctx context.Context, idOrName string) (Publisher, error)
	// InsertPublisherKey returns a Conflict fault if the publisher has the key.
	InsertPublisherKey(ctx context.Context, k signature.Key) error
	// PublisherKeys lists a publisher's keys by age, the revoked ones too.
	PublisherKeys(ctx context.Context, publisher string) ([]signature.Key, error)
	// RevokePublisherKey leaves one that is revoked as it is.
	RevokePublisherKey(ctx context.Context, publisher, key string, at time.Time) error
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
	// CodeInvalidSignature is that of an upload with a wrong signature.
	CodeInvalidSignature = "signature_invalid"
)

// Error implements error.
func (e *Error) Error() string {
	if e.Where == "" {
		return fmt.Sprintf("%s: %s", e.Code, e.Message)
	}
	return fmt.Sprintf("%s: %s: %s", e.Code, e.Where, e.Message)
}
