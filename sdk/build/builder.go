package build

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"time"

	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/registry/provenance"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// Builder builds one project as often as its files change. It keeps what does not
// change with them: the engine, its machine code, and files that were parsed. It is
// not safe for concurrent use, but for Check, which may go on beside Build.
type Builder struct {
	options Options
	project project
	runtime *runtime.Runtime
	rules   *registry.Registry
	scripts *scripts // nil for other languages than TypeScript.
	// last is the module that was described last: its machine code is the next one's,
	// while there is one that has it.
	last *runtime.Module
}

// New finds the project at path, a folder or an entry file, and gets ready to build
// it. The caller closes the Builder. The error is an *Error where there is no project,
// or its packages are not installed.
func New(ctx context.Context, path string, o Options) (*Builder, error) {
	p, err := locate(path, o.Language)
	if err != nil {
		return nil, err
	}
	o.Builder = cmp.Or(o.Builder, "cofferdam")
	o.Limits = o.Limits.WithDefaults()
	if p.look = o.Look; p.look == nil {
		p.look = exec.LookPath
	}
	if o.Now == nil {
		o.Now = time.Now //nolint:forbidigo // The default clock.
	}
	b := &Builder{options: o, project: p}
	if p.language == TypeScript {
		if err := p.installed(); err != nil {
			return nil, err
		}
		if b.scripts, err = newScripts(p, o); err != nil {
			return nil, err
		}
	}
	b.runtime, err = runtime.New(ctx, runtime.Config{
		Functions: slices.Concat(hostFunctions(), []string{signFunction}, streamFunctions(), o.Functions), CacheDir: o.CacheDir, Now: o.Now,
	})
	if err != nil {
		return nil, errors.Join(err, b.Close(ctx))
	}
	b.rules = registry.New(registry.Config{Functions: o.Functions, Schemes: o.Schemes, Provider: o.Provider, Descriptor: o.Descriptor, Limits: o.Limits})
	return b, nil
}

// Close gives back what the Builder keeps.
func (b *Builder) Close(ctx context.Context) error {
	if b.scripts != nil {
		b.scripts.close()
	}
	if b.runtime == nil {
		return nil
	}
	return b.runtime.Close(ctx)
}

// Root is the project's folder.
func (b *Builder) Root() string { return b.project.root }

// Language is what the project is written in.
func (b *Builder) Language() Language { return b.project.language }

// Inputs are the files that the last Build read, as far as that is known: those of a
// TypeScript bundle that could be made.
func (b *Builder) Inputs() []string {
	if b.scripts == nil {
		return nil
	}
	return slices.Clone(b.scripts.bundler.inputs)
}

// Check has the author's own tsc check the types, if it is installed. It takes
// seconds.
func (b *Builder) Check(ctx context.Context) ([]Problem, error) {
	if b.project.language != TypeScript {
		return nil, nil
	}
	return b.project.check(ctx)
}

// Build makes the plugin of what the files are now. The error is an *Error where
// they are to blame.
func (b *Builder) Build(ctx context.Context) (*Plugin, error) {
	begun := b.options.Now()
	checkContext, stopCheck := context.WithCancel(ctx)
	defer stopCheck()
	checking := b.startCheck(checkContext)
	plugin, err := b.make(ctx)
	if wrong, ok := errors.AsType[*Error](err); ok && wrong.reading {
		stopCheck() // It would say the same, later.
	}
	checked := <-checking
	if err = joinProblems(checked, err); err != nil {
		return nil, err
	}
	plugin.Took.Check = checked.took
	plugin.Took.Total = b.options.Now().Sub(begun)
	return plugin, nil
}

// checkResult is what a type check that went on beside the build has found.
type checkResult struct {
	problems []Problem
	err      error
	took     time.Duration
}

func (b *Builder) startCheck(ctx context.Context) <-chan checkResult {
	done := make(chan checkResult, 1)
	if b.options.NoCheck || b.project.language != TypeScript {
		done <- checkResult{}
		return done
	}
	go func() {
		begun := b.options.Now()
		problems, err := b.Check(ctx)
		done <- checkResult{problems: problems, err: err, took: b.options.Now().Sub(begun)}
	}()
	return done
}

// joinProblems has what both found. Where sources cannot be read, tsc says the same;
// and what was loaded with a mistake in its types failed because of it, most likely.
func joinProblems(c checkResult, err error) error {
	wrong, ok := errors.AsType[*Error](err)
	switch {
	case err != nil && (!ok || wrong.reading):
		return err
	case c.err != nil:
		return c.err
	case len(c.problems) == 0:
		return err
	case ok && !wrong.loading:
		return &Error{Problems: slices.Concat(wrong.Problems, c.problems)}
	default:
		return &Error{Problems: c.problems}
	}
}

// made is a module on its way to be a plugin.
type made struct {
	module    []byte
	info      provenance.Build
	sourceMap []byte
	bundle    *Bundle
	warnings  []Problem
	took      Times
}

func (b *Builder) make(ctx context.Context) (*Plugin, error) {
	m := made{info: provenance.Build{Builder: b.options.Builder, Language: string(b.project.language)}}
	var err error
	if b.scripts != nil {
		err = b.scripts.make(ctx, b.runtime, &m)
	} else {
		err = b.compile(ctx, &m)
	}
	if err != nil {
		return nil, err
	}
	p, err := b.finish(ctx, m)
	if err == nil && b.scripts != nil && b.scripts.lacks(imports(p.Manifest)) {
		// What it asks of the host app is known only now: once more, with that linked.
		return b.make(ctx)
	}
	return p, err
}

// finish has the module judged as a server would at its upload, and writes down what
// it is.
func (b *Builder) finish(ctx context.Context, m made) (*Plugin, error) {
	if b.options.Stamp {
		m.info.Revision, m.info.Modified = b.project.revision(ctx)
	}
	begun := b.options.Now()
	described, err := b.describe(ctx, m)
	if err != nil {
		return nil, err
	}
	m.took.Describe = b.options.Now().Sub(begun)
	sections := map[string][]byte{SectionManifest: nil, SectionInfo: nil, SectionSourceMap: m.sourceMap}
	if sections[SectionManifest], err = json.Marshal(described); err != nil {
		return nil, fmt.Errorf("write manifest: %w", err)
	}
	if sections[SectionInfo], err = json.Marshal(m.info); err != nil {
		return nil, fmt.Errorf("write build info: %w", err)
	}
	binary, err := runtime.WithSections(m.module, sections)
	if err != nil {
		return nil, fmt.Errorf("write sections: %w", err)
	}
	if limit := b.options.Limits.ModuleBytes; len(binary) > limit {
		return nil, tooLarge(m, len(binary), limit)
	}
	sum := sha256.Sum256(binary)
	return &Plugin{
		Wasm: binary, Digest: "sha256:" + hex.EncodeToString(sum[:]), Manifest: described, Info: m.info,
		SourceMap: m.sourceMap, Bundle: m.bundle, Warnings: m.warnings, Took: m.took,
	}, nil
}

// describe asks the module what it is.
func (b *Builder) describe(ctx context.Context, m made) (_ manifest.Manifest, err error) {
	if limit := b.options.Limits.ModuleBytes; len(m.module) > limit {
		return manifest.Manifest{}, tooLarge(m, len(m.module), limit)
	}
	module, err := b.runtime.Prepare(ctx, m.module, b.options.Limits)
	if err != nil {
		return manifest.Manifest{}, b.failed(err, m)
	}
	defer func() { err = errors.Join(err, b.replace(ctx, module)) }()
	if !slices.Contains(module.Exports(), registry.Describe) {
		return manifest.Manifest{}, wrong("define the connector with the SDK, which exports it; 'cofferdam new' makes an example",
			"what was built exports no describe, so it is no connector")
	}
	sum := sha256.Sum256(m.module)
	described, err := b.rules.Examine(ctx, module, sum, registry.Upload{})
	if err == nil {
		return described, nil
	}
	if refused, ok := errors.AsType[*registry.Error](err); ok && refused.Code == registry.CodeDescribeFailed && b.scripts != nil {
		// The registry does not say where in the sources it was: the guest does.
		if _, failure := module.Call(ctx, runtime.Call{Export: registry.Describe, World: registry.World(sum)}); failure != nil {
			err = failure
		}
	}
	return described, b.failed(err, m)
}

// replace keeps a module instead of the last.
func (b *Builder) replace(ctx context.Context, module *runtime.Module) error {
	last := b.last
	b.last = module
	if last == nil {
		return nil
	}
	return last.Close(ctx)
}

// tooLarge says which parts are.
func tooLarge(m made, size, limit int) *Error {
	e := wrong("leave out what the plugin does not use", "the plugin has %s: more than the limit of %s", kilobytes(size), kilobytes(limit))
	if m.bundle != nil {
		e.Problems[0].Notes = m.bundle.largest()
		e.Problems[0].Text += fmt.Sprintf(", of a bundle of %s", kilobytes(m.bundle.Bytes))
	}
	return e
}

// signFunction is of the hosts whose connections sign. Only what signs imports it, so
// that any other plugin runs where there is none: a script where its manifest has
// something to sign with or a webhook that it verifies, and compiled languages where the program uses it.
const signFunction = "sign"

// imports are the functions that a manifest asks for beside those of every host.
func imports(m manifest.Manifest) []string {
	all := slices.Clone(m.Functions)
	if len(m.Signs()) > 0 || m.Verifies() {
		all = append(all, signFunction)
	}
	if m.Limits.StreamMiB > 0 {
		all = append(all, streamFunctions()...)
	}
	return all
}

// streamFunctions are about bodies that pass in chunks, and as signFunction: a script
// imports them where its manifest says how long such bodies may be.
func streamFunctions() []string {
	return []string{"stream_close", "stream_finish", "stream_read", "stream_write"}
}

// hostFunctions are those that every host has: see sdk/ABI.md.
func hostFunctions() []string {
	return []string{
		"emit", "http", "log", "sleep", "state_add", "state_cas", "state_delete", "state_get", "state_list", "state_set", "tag",
	}
}
