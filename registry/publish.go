package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/cofferdam-run/cofferdam/registry/channel"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/registry/signature"
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
	// Provider says what is wrong with a descriptor of an OAuth provider, with pointers
	// into it. Defaults to refusing each: hosts without accounts have no use for one.
	Provider func(descriptor json.RawMessage) []manifest.Problem
	// Descriptor says the same of how a webhook is signed. Defaults to refusing each.
	Descriptor func(descriptor json.RawMessage) []manifest.Problem
	// RequireSignatures names the kinds of publishers whose uploads must be signed.
	// Defaults to none.
	RequireSignatures []PublisherKind
	// NewID makes an id with a prefix.
	NewID func(prefix string) string
	Now   func() time.Time
}

// Registry publishes plugins and finds them.
type Registry struct{ c Config }

// New returns a Registry.
func New(c Config) *Registry {
	c.Limits = c.Limits.WithDefaults()
	c.Functions, c.Schemes = slices.Clone(c.Functions), slices.Clone(c.Schemes)
	if c.Provider == nil {
		c.Provider = func(json.RawMessage) []manifest.Problem {
			return []manifest.Problem{{Message: "this host takes no providers of plugins' own"}}
		}
	}
	if c.Descriptor == nil {
		c.Descriptor = func(json.RawMessage) []manifest.Problem {
			return []manifest.Problem{{Message: "this host takes no descriptors of plugins' own"}}
		}
	}
	c.RequireSignatures = slices.Clone(c.RequireSignatures)
	return &Registry{c: c}
}

// The prefixes of the registry's ids.
const (
	pluginPrefix    = "plg_"
	versionPrefix   = "plv_"
	publisherPrefix = "pub_"
)

// Upload is a version to be published.
type Upload struct {
	// Wasm is read to its end, at most Limits.ModuleBytes.
	Wasm io.Reader
	// Name and Version are those of a level-0 plugin. For a typed connector they
	// are the manifest's, and must equal it if they are given.
	Name, Version string
	// Egress is what a level-0 plugin may ask for.
	Egress []manifest.Egress
	// Prerelease marks a build of many that are made while a plugin is developed: with
	// dev.7 version 1.2.0 is published as 1.2.0-dev.7. Defaults to none.
	Prerelease string
	// Channel is where it is offered. Defaults to beta for a pre-release, and else to
	// stable.
	Channel channel.Channel
	// Signature is the publisher's, of exactly these bytes. Defaults to none.
	Signature *signature.Signature
	// Share lists the tenants that see a new plugin; "*" is everyone. Defaults to
	// everyone for the operator's, and nobody for others'.
	Share []string
}

// Publish checks a module, describes it in the sandbox, and stores it as a
// version of the publisher (an id or name). The same bytes again give the
// version that exists.
func (r *Registry) Publish(ctx context.Context, publisher string, u Upload) (Version, error) {
	p, err := r.c.Publishers.Publisher(ctx, publisher)
	if err != nil {
		return Version{}, fmt.Errorf("find publisher: %w", err)
	}
	share, err := shareOf(p, u.Share)
	if err != nil {
		return Version{}, err
	}
	if err := r.required(p, u); err != nil {
		return Version{}, err
	}
	wasm, err := r.read(u.Wasm)
	if err != nil {
		return Version{}, err
	}
	v, err := r.version(ctx, p, wasm, u)
	if err != nil {
		return Version{}, err
	}
	pl := Plugin{ID: v.Plugin, Publisher: p.ID, Name: v.Name, Title: v.Manifest.Title, Shared: share, CreatedAt: v.CreatedAt}
	stored, err := r.c.Store.InsertVersion(ctx, p, pl, v, wasm)
	if err != nil {
		return Version{}, r.explainInsert(err, v)
	}
	return stored, nil
}

// Examine gives the manifest of a prepared module, whose bytes have the hash sum,
// and refuses what Publish would. It stores nothing: a Registry of Functions, Schemes,
// Provider and Descriptor alone can do it.
func (r *Registry) Examine(ctx context.Context, module *runtime.Module, sum [sha256.Size]byte, u Upload) (manifest.Manifest, error) {
	var m manifest.Manifest
	var err error
	if slices.Contains(module.Exports(), Describe) {
		m, err = r.describe(ctx, module, sum)
	} else {
		m, err = r.plain(module, u)
	}
	if err != nil {
		return m, err
	}
	if err := r.check(m, module.Exports()); err != nil {
		return m, err
	}
	return m, matches(m, u)
}

// version is all that is stored of an upload besides its bytes.
func (r *Registry) version(ctx context.Context, p Publisher, wasm []byte, u Upload) (Version, error) {
	sum := sha256.Sum256(wasm)
	m, err := r.examine(ctx, wasm, sum, u)
	if err != nil {
		return Version{}, err
	}
	m.Version = prereleased(m.Version, u.Prerelease)
	v := Version{
		ID: r.c.NewID(versionPrefix), Plugin: r.c.NewID(pluginPrefix), Name: m.Name, Version: m.Version,
		Digest: "sha256:" + hex.EncodeToString(sum[:]), Size: int64(len(wasm)), Manifest: m, CreatedAt: r.c.Now(),
	}
	if v.Channel, err = channelOf(m.Version, u.Channel); err != nil {
		return Version{}, err
	}
	if v.Build, err = buildOf(wasm); err != nil {
		return Version{}, err
	}
	if v.Signature, err = r.signed(ctx, p, v, u.Signature); err != nil {
		return Version{}, err
	}
	v.Changes, err = r.changes(ctx, p, v)
	return v, err
}

// prereleased gives a semantic version with one identifier more of a pre-release.
func prereleased(version, mark string) string {
	if mark == "" {
		return version
	}
	number, build, _ := strings.Cut(version, "+")
	separator := "-"
	if strings.Contains(number, "-") {
		separator = "."
	}
	if build != "" {
		build = "+" + build
	}
	return number + separator + mark + build
}

// read reads an upload no further than its limit.
func (r *Registry) read(upload io.Reader) ([]byte, error) {
	limit := r.c.Limits.ModuleBytes
	if upload == nil {
		upload = strings.NewReader("")
	}
	wasm, err := io.ReadAll(io.LimitReader(upload, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("read module: %w", err)
	}
	if len(wasm) > limit {
		return nil, &Error{
			Code:    CodeModuleTooLarge,
			Message: fmt.Sprintf("the module is larger than the %d bytes that are allowed", limit),
			Hint:    "Leave out debug information (for Go: -ldflags='-s -w') and what the plugin does not use.",
		}
	}
	return wasm, nil
}

// examine finds out what a module is.
func (r *Registry) examine(ctx context.Context, wasm []byte, sum [sha256.Size]byte, u Upload) (manifest.Manifest, error) {
	module, err := r.c.Runtime.Prepare(ctx, wasm, r.c.Limits)
	if err != nil {
		return manifest.Manifest{}, fmt.Errorf("prepare module: %w", refusal(err))
	}
	m, err := r.Examine(ctx, module, sum, u)
	return m, errors.Join(err, module.Close(ctx))
}

// refusal gives the runtime's refusal of a module in the registry's words.
func refusal(err error) error {
	if invalid, ok := errors.AsType[*runtime.InvalidModule](err); ok {
		return &Error{Code: invalid.Code, Message: invalid.Message, Hint: invalid.Hint}
	}
	return err
}

// matches compares a manifest with what the upload said of it.
func matches(m manifest.Manifest, u Upload) error {
	for _, f := range []struct{ where, given, own string }{{"name", u.Name, m.Name}, {"version", u.Version, m.Version}} {
		if f.given != "" && f.given != f.own {
			return &Error{
				Code: CodeInvalidManifest, Where: f.where,
				Message: fmt.Sprintf("the upload gives the %s %q, but the plugin describes itself as %q", f.where, clip(f.given), f.own),
				Hint:    "Leave it out: a typed connector says it itself.",
			}
		}
	}
	if m.Level > 0 && len(u.Egress) > 0 {
		return &Error{
			Code: CodeInvalidManifest, Where: "egress",
			Message: "the upload asks for egress, but the plugin describes itself",
			Hint:    "Put the hosts into the plugin's manifest.",
		}
	}
	return nil
}

// explainInsert adds what to do about a version that is taken.
func (r *Registry) explainInsert(err error, v Version) error {
	var refused *Error
	if errors.As(err, &refused) && refused.Code == CodeVersionExists {
		return &Error{
			Code: CodeVersionExists, Where: "version",
			Message: fmt.Sprintf("%s %s was published before with other bytes, and a version never changes", v.Name, v.Version),
			Hint:    "Raise the version and publish again.",
		}
	}
	return fmt.Errorf("store version: %w", err)
}

// shareOf is who sees a new plugin.
func shareOf(p Publisher, wish []string) ([]string, error) {
	if wish == nil && p.Kind == Operator {
		return []string{everyone}, nil
	}
	shared, err := cleanShare(wish)
	if err != nil {
		return nil, err
	}
	if p.Kind == TenantOwned && slices.Contains(shared, everyone) {
		return nil, errShareWithEveryone()
	}
	return shared, nil
}

const (
	// everyone in place of a tenant.
	everyone = "*"
	// maxShared tenants can be named one by one.
	maxShared = 1000
)

func errShareWithEveryone() *Error {
	return &Error{
		Code: CodeDenied, Where: "share",
		Message: "a tenant's plugin cannot be shared with everyone by the tenant",
		Hint:    "Name the tenants, or ask the operator to share it.",
	}
}

func cleanShare(tenants []string) ([]string, error) {
	shared := slices.Clone(tenants)
	slices.Sort(shared)
	shared = slices.Compact(shared)
	if slices.Contains(shared, everyone) {
		return []string{everyone}, nil
	}
	if len(shared) > maxShared {
		return nil, &Error{
			Code: CodeInvalidRequest, Where: "share",
			Message: fmt.Sprintf("%d tenants are named: at most %d can be", len(shared), maxShared), Hint: `Share with "*", which is everyone.`,
		}
	}
	for _, t := range shared {
		if t == "" || len(t) > 64 || strings.ContainsFunc(t, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return nil, &Error{Code: CodeInvalidRequest, Where: "share", Message: fmt.Sprintf("%q is not a tenant", clip(t))}
		}
	}
	if shared == nil {
		shared = []string{}
	}
	return shared, nil
}

// clip shortens what a message quotes.
func clip(s string) string {
	if r := []rune(s); len(r) > 64 {
		return string(r[:64]) + "…"
	}
	return s
}
