package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/registry/diff"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/runtime"
	sdk "github.com/cofferdam-run/cofferdam/sdk/build"
)

// compare sets the diff to what --against names, or to the newest version of the
// server if there is a token for one.
func (v *checking) compare(ctx context.Context, r *review) error {
	if r.Manifest.Name == "" || v.against == "" && v.Token == "" {
		return nil
	}
	before, err := v.before(ctx, r.Manifest.Name)
	if v.against == "" {
		if _, away := errors.AsType[*unreachableError](err); away || isNotFound(err) {
			return nil // Nobody asked for it.
		}
	}
	if err != nil {
		return err
	}
	d := diff.Between(before, r.Manifest)
	r.Diff = &d
	if before.Name != r.Manifest.Name {
		r.Warnings = append(r.Warnings, fmt.Sprintf("it is compared with a plugin of another name, %s", before.Name))
	}
	return nil
}

func isNotFound(err error) bool {
	f, ok := errors.AsType[*fault.Error](err)
	return ok && f.Code == fault.CodeNotFound
}

// before is the manifest of the version that is compared with.
func (v *checking) before(ctx context.Context, name string) (manifest.Manifest, error) {
	if info, err := os.Stat(v.against); err == nil && info.Mode().IsRegular() {
		return manifestOf(v.against)
	}
	version := ""
	if v.against != "" {
		name, version, _ = strings.Cut(v.against, "@")
	}
	var p pluginDetail
	if err := v.client().call(ctx, http.MethodGet, "/v1/plugins/"+escape(name), nil, &p); err != nil {
		return manifest.Manifest{}, err
	}
	for _, known := range p.Versions {
		if version == known.Version || version == "" && known.YankedAt.IsZero() {
			return known.Manifest, nil
		}
	}
	return manifest.Manifest{}, fault.New(fault.InvalidInput, fault.CodeNotFound, "the server has no version %q of %s", version, name)
}

// manifestOf is the manifest that a file says it has.
func manifestOf(path string) (manifest.Manifest, error) {
	binary, err := os.ReadFile(path)
	if err != nil {
		return manifest.Manifest{}, usagef("open the plugin to compare with: %v", err)
	}
	section, ok := runtime.Section(binary, sdk.SectionManifest)
	if !ok {
		return manifest.Manifest{}, usagef("%s has no manifest in it: 'cofferdam build' writes one", path)
	}
	m, err := manifest.Parse(section)
	if err != nil {
		return m, usagef("%s has a manifest that is none: %v", path, err)
	}
	return m, nil
}
