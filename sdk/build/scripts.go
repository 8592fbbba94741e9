package build

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/cofferdam-run/cofferdam/registry/provenance"
	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/sdk/build/quickjs"
)

// scripts makes modules of a TypeScript project.
type scripts struct {
	options Options
	project project
	bundler *bundler
	// engine is linked for functions, those of the host app that the connector asked
	// for last.
	engine    []byte
	functions []string
}

func newScripts(p project, o Options) (*scripts, error) {
	b, err := newBundler(p)
	if err != nil {
		return nil, err
	}
	return &scripts{options: o, project: p, bundler: b}, nil
}

func (s *scripts) close() { s.bundler.close() }

// make bundles, links and freezes.
func (s *scripts) make(ctx context.Context, rt *runtime.Runtime, m *made) error {
	now := s.options.Now
	begun := now()
	bundled, err := s.bundler.bundle()
	if err != nil {
		return err
	}
	m.sourceMap, m.bundle, m.warnings = bundled.sourceMap, &bundled.bundle, bundled.warnings
	m.took.Compile = now().Sub(begun)
	if limit := s.options.Limits.InputBytes; len(bundled.code) > limit {
		return bundleTooLarge(bundled.bundle, limit)
	}
	if err := s.link(); err != nil {
		return err
	}
	m.info.Engine = &provenance.Engine{Name: quickjs.Package, Version: quickjs.Version, SHA256: quickjs.Checksum}
	begun = now()
	frozen, err := rt.Freeze(ctx, s.engine, s.options.Limits, runtime.Freezing{Export: "load", Input: bundled.code})
	if err != nil {
		return s.failed(err, *m)
	}
	m.module, m.took.Freeze = frozen.Module, now().Sub(begun)
	return nil
}

// link links the engine, unless that is done: an engine that is altered while a
// Builder has it is not looked at again.
func (s *scripts) link() error {
	if s.engine != nil {
		return nil
	}
	dir, err := s.project.engine()
	if err != nil {
		return err
	}
	engine, err := quickjs.Link(dir, slices.Concat(hostFunctions(), s.functions))
	if broken, ok := errors.AsType[*quickjs.EngineError](err); ok {
		file := broken.File
		if _, rest, _ := packageOf(filepath.ToSlash(file)); rest != "" {
			file = "node_modules/" + quickjs.Package + "/" + rest
		}
		return wrong(broken.Hint, "the engine of TypeScript connectors: %s %s", file, broken.Problem)
	}
	if err != nil {
		return fmt.Errorf("link the engine: %w", err)
	}
	s.engine = engine
	return nil
}

// lacks says whether the engine has to be linked anew for the functions that a
// manifest asks for.
func (s *scripts) lacks(functions []string) bool {
	wanted := slices.Compact(slices.Sorted(slices.Values(functions)))
	if slices.Equal(wanted, s.functions) {
		return false
	}
	s.functions, s.engine = wanted, nil
	return true
}

const hintSmaller = "import only the parts that are used"

func bundleTooLarge(b Bundle, limit int) *Error {
	e := wrong(hintSmaller, "the bundle has %s: more than the limit of %s", kilobytes(b.Bytes), kilobytes(limit))
	e.Problems[0].Notes = b.largest()
	return e
}
