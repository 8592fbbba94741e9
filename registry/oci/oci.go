// Package oci keeps plugins in OCI registries, as the artifacts of CNCF's Wasm
// working group
// (<https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>): a
// manifest whose config is of the type application/vnd.wasm.config.v0+json, with one
// layer of the type application/wasm. Other tools can pull what it pushes.
//
//	client := oci.New(oci.Config{})
//	pushed, err := client.Push(ctx, "oci://ghcr.io/acme/hello:1.0.0", oci.Plugin{Wasm: wasm, Name: "hello", Version: "1.0.0"})
//	plugin, err := client.Pull(ctx, "oci://ghcr.io/acme/hello@"+pushed)
//
// A signature is a referrer of the manifest: an artifact of the type SignatureType
// that names it as its subject. What is pushed twice has the same digest.
//
// A registry is a stranger: sizes are bounded before anything is read, every blob is
// held against its digest, and nothing is taken for a module that is none.
package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"

	"github.com/cofferdam-run/cofferdam/registry/signature"
)

// The media types.
const (
	configType = "application/vnd.wasm.config.v0+json"
	layerType  = "application/wasm"
	// SignatureType is that of a signature, and of the artifact that carries it.
	SignatureType = "application/vnd.cofferdam.signature.v1+json"
)

// Scheme is what references begin with.
const Scheme = "oci://"

const (
	// maxWasm is what a server takes unless it is told otherwise.
	maxWasm = 20 << 20
	// maxManifest and maxConfig are far above what a plugin's have, of 1 KiB each.
	maxManifest = 1 << 20
	maxConfig   = 64 << 10
	// maxSignatures that are looked at.
	maxSignatures = 16
)

// Config configures a Client.
type Config struct {
	// HTTP makes the requests. Defaults to a client without a time limit of its own.
	HTTP *http.Client
	// PlainHTTP speaks HTTP without TLS to any registry. Defaults to doing so only
	// where the registry is this machine.
	PlainHTTP bool
	// Login finds the credential for a registry. Defaults to none.
	Login func(ctx context.Context, host string) (Login, error)
	// MaxBytes bounds a module. Defaults to 20 MiB.
	MaxBytes int64
}

// Login is a credential; the zero Login is nobody. It prints as nothing.
type Login struct {
	Username, Password string
	// Token is an identity token, which some registries give in place of a password.
	Token string
}

// String implements fmt.Stringer.
func (Login) String() string { return "[redacted]" }

// GoString implements fmt.GoStringer.
func (Login) GoString() string { return "[redacted]" }

// Client pushes and pulls.
type Client struct{ c Config }

// New returns a Client.
func New(c Config) *Client {
	if c.HTTP == nil {
		c.HTTP = &http.Client{}
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = maxWasm
	}
	return &Client{c: c}
}

// DockerLogin finds credentials where docker login leaves them: in the
// configuration file of Docker, or in the helper that it names.
func DockerLogin() (func(ctx context.Context, host string) (Login, error), error) {
	store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{})
	if err != nil {
		return nil, fmt.Errorf("read the credentials of docker: %w", err)
	}
	find := credentials.Credential(store)
	return func(ctx context.Context, host string) (Login, error) {
		c, err := find(ctx, host)
		if err != nil {
			return Login{}, fmt.Errorf("read the credentials of docker for %s: %w", host, err)
		}
		return Login{Username: c.Username, Password: c.Password, Token: c.RefreshToken}, nil
	}, nil
}

// Plugin is what is kept.
type Plugin struct {
	Wasm []byte
	// Name, Version, Description and Revision are annotations, for people who look at
	// the registry. What a plugin is, its module says.
	Name, Version, Description, Revision string
	// Created is when it was made. Defaults to the beginning of 1970, so that the same
	// plugin always has the same digest.
	Created time.Time
	// Signature is its publisher's, or nil.
	Signature *signature.Signature
	// Digest is that of the manifest, as "sha256:...". Push ignores it.
	Digest string
}

// reference reads "oci://host/repository:tag" or "oci://host/repository@digest".
func reference(s string) (registry.Reference, error) {
	rest, ok := strings.CutPrefix(s, Scheme)
	if !ok {
		return registry.Reference{}, fmt.Errorf("%q is not a reference: it must be like %sregistry.example/repository:tag", clip(s), Scheme)
	}
	ref, err := registry.ParseReference(rest)
	if err != nil {
		return ref, fmt.Errorf("%q is not a reference: it must be like %sregistry.example/repository:tag", clip(s), Scheme)
	}
	if ref.Reference == "" {
		return ref, fmt.Errorf("%q names no tag and no digest: write %s:TAG", clip(s), clip(s))
	}
	return ref, nil
}

// IsReference says whether a text is meant as a reference.
func IsReference(s string) bool { return strings.HasPrefix(s, Scheme) }

// repository is the way to where a reference leads.
func (c *Client) repository(ref registry.Reference) *remote.Repository {
	return &remote.Repository{
		Reference: ref,
		PlainHTTP: c.c.PlainHTTP || isThisMachine(ref.Host()),
		// What a registry may make us hold of manifests and lists.
		MaxMetadataBytes: maxManifest,
		Client: &auth.Client{
			Client: c.c.HTTP, Cache: auth.NewCache(),
			Header: http.Header{"User-Agent": {"cofferdam"}},
			Credential: func(ctx context.Context, host string) (auth.Credential, error) {
				if c.c.Login == nil {
					return auth.EmptyCredential, nil
				}
				l, err := c.c.Login(ctx, host)
				return auth.Credential{Username: l.Username, Password: l.Password, RefreshToken: l.Token}, err
			},
		},
	}
}

// isThisMachine says whether a host, with or without a port, is the one we run on.
func isThisMachine(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if name == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil && addr.IsLoopback()
}

// wasmConfig is the config of a Wasm artifact.
type wasmConfig struct {
	Created      *time.Time      `json:"created,omitempty"`
	Author       string          `json:"author,omitempty"`
	Architecture string          `json:"architecture"`
	OS           string          `json:"os"`
	LayerDigests []string        `json:"layerDigests"`
	Component    json.RawMessage `json:"component,omitempty"`
}

// checkModule refuses what is no core module.
func checkModule(wasm []byte) error {
	const magic, module, component = "\x00asm", "\x01\x00\x00\x00", "\x0d\x00\x01\x00"
	switch {
	case len(wasm) < 8 || string(wasm[:4]) != magic:
		return errors.New("it is not a WebAssembly module")
	case string(wasm[4:8]) == component:
		return errors.New("it is a WebAssembly component, and plugins are core modules: build it without a component step")
	case string(wasm[4:8]) != module:
		return fmt.Errorf("it is WebAssembly of a version that is not known: % x", wasm[4:8])
	default:
		return nil
	}
}

// check refuses a descriptor before what it describes is read.
func check(d ocispec.Descriptor, what string, least, most int64) error {
	if d.Size < least || d.Size > most {
		return fmt.Errorf("its %s has %d bytes: it must have from %d to %d", what, d.Size, least, most)
	}
	if err := d.Digest.Validate(); err != nil || d.Digest.Algorithm() != "sha256" {
		return fmt.Errorf("its %s has the digest %q: it must be a sha256", what, clip(d.Digest.String()))
	}
	return nil
}

// clip shortens what a message quotes.
func clip(s string) string {
	if r := []rune(s); len(r) > 100 {
		return string(r[:100]) + "…"
	}
	return s
}
