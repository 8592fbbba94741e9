package build

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/registry/provenance"
	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/sourcemap"
)

// Language is what a project is written in.
type Language string

// The languages.
const (
	TypeScript Language = "typescript"
	Go         Language = "go"
	Rust       Language = "rust"
	C          Language = "c"
)

// ParseLanguage reads the name of a language, or its usual short form.
func ParseLanguage(s string) (Language, bool) {
	l, ok := map[string]Language{
		"typescript": TypeScript, "ts": TypeScript, "javascript": TypeScript, "js": TypeScript,
		"go": Go, "golang": Go, "rust": Rust, "rs": Rust, "c": C,
	}[s]
	return l, ok
}

// Options say how a project is built.
type Options struct {
	// Language defaults to what the files of the project say.
	Language Language
	// NoCheck leaves out the type check of TypeScript in Build; Check makes it.
	NoCheck bool
	// Stamp writes the revision of the git checkout that the project is in.
	Stamp bool
	// Builder names the program that builds. Defaults to "cofferdam".
	Builder string
	// Functions are the host app's own, which a plugin may ask for.
	Functions []string
	// Schemes are the webhook signature schemes that the manifest may name.
	Schemes []string
	// Provider is that of registry.Config: what is wrong with a provider of the manifest.
	// Defaults to refusing each.
	Provider func(descriptor json.RawMessage) []manifest.Problem
	// Descriptor is that of registry.Config: what is wrong with how a webhook is signed.
	Descriptor func(descriptor json.RawMessage) []manifest.Problem
	// Limits are those of a server. Default to runtime's.
	Limits runtime.Limits
	// CacheDir is a private folder for what is compiled and linked. Defaults to
	// none: each Builder compiles the engine anew, which takes a second or two.
	CacheDir string
	// Look finds a compiler by its name or path. Defaults to exec.LookPath.
	Look func(name string) (string, error)
	// Now is the clock. Defaults to time.Now.
	Now func() time.Time
}

// Plugin is what was built.
type Plugin struct {
	Wasm []byte `json:"-"`
	// Digest is sha256:..., of Wasm.
	Digest   string            `json:"digest"`
	Manifest manifest.Manifest `json:"manifest"`
	// Info is the content of the section cofferdam.build.
	Info provenance.Build `json:"build"`
	// SourceMap is the one of the bundle; it is nil for other languages than TypeScript.
	SourceMap []byte `json:"-"`
	// Bundle is nil for other languages than TypeScript.
	Bundle   *Bundle   `json:"bundle,omitempty"`
	Warnings []Problem `json:"warnings,omitempty"`
	Took     Times     `json:"took"`
}

// Bundle is what of a TypeScript project and its packages is evaluated.
type Bundle struct {
	Bytes int `json:"bytes"`
	// Parts are the project itself and its packages, largest first.
	Parts []Part `json:"parts"`
}

// Part is one package's share of a bundle.
type Part struct {
	// Name is the package's, and empty for the project's own files.
	Name  string `json:"name"`
	Bytes int    `json:"bytes"`
	// Folder is the package's folder that has most of it, if one has a quarter or more.
	Folder      string `json:"folder,omitempty"`
	FolderBytes int    `json:"folder_bytes,omitempty"`
}

// Times are how long the steps of a build took.
type Times struct {
	// Compile is bundling, or the work of another language's compiler. Check went
	// on beside the other steps.
	Compile  time.Duration `json:"compile_ns"`
	Check    time.Duration `json:"check_ns,omitempty"`
	Freeze   time.Duration `json:"freeze_ns,omitempty"`
	Describe time.Duration `json:"describe_ns"`
	Total    time.Duration `json:"total_ns"`
}

// The custom sections of a plugin.
const (
	SectionManifest  = "cofferdam.manifest"
	SectionSourceMap = sourcemap.Section
	SectionInfo      = provenance.Section
)

// Project builds a project once: path is its folder, or its entry file. The error is
// an *Error where the project is to blame.
func Project(ctx context.Context, path string, o Options) (_ *Plugin, err error) {
	b, err := New(ctx, path, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Close(ctx)) }()
	return b.Build(ctx)
}
