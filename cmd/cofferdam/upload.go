package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/extism"
)

// upload is a module to be published, and what the Extism manifest says that it
// was found by.
type upload struct {
	io.ReadCloser

	hosts  []string
	config map[string]string
	limits runtime.Limits
}

// openUpload opens a module, or the one that an Extism manifest names: a file
// whose name ends in .json.
func openUpload(path string) (upload, error) {
	if !strings.EqualFold(filepath.Ext(path), ".json") {
		f, err := os.Open(path)
		if err != nil {
			return upload{}, usagef("open the module: %v", err)
		}
		return upload{ReadCloser: f}, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return upload{}, usagef("open the manifest: %v", err)
	}
	m, err := extism.Parse(text)
	var p extism.Plugin
	if err == nil {
		p, err = extism.Read(m, filepath.Dir(path))
	}
	if err != nil {
		if _, ok := errors.AsType[*extism.Error](err); ok {
			return upload{}, usagef("%s is no Extism manifest that can be published:\n%v", path, err)
		}
		return upload{}, err
	}
	return upload{
		ReadCloser: io.NopCloser(bytes.NewReader(p.Wasm)),
		hosts:      p.Hosts, config: p.Config, limits: p.Limits,
	}, nil
}

// advice is how to install a version so that it has what the Extism manifest says
// and no version does; empty when there is nothing.
func (u upload) advice(v registry.Version) string {
	limits := manifest.Limits{
		// Whole MiB: a little more than asked lets a module start that needs it all.
		MemoryMiB: int((u.limits.MemoryBytes + 1<<20 - 1) >> 20),
		TimeoutMS: int(u.limits.Deadline.Milliseconds()),
	}
	flags := ""
	if len(u.config) > 0 {
		flags += " --config " + quoted(u.config)
	}
	if limits != (manifest.Limits{}) {
		flags += " --grants " + quoted(installation.Grants{
			Egress: v.Manifest.Egress, Connections: map[string]string{}, Functions: v.Manifest.Functions, Limits: limits,
		})
	}
	if flags == "" {
		return ""
	}
	return fmt.Sprintf("configuration and limits are an installation's; to have those of the manifest:\n  cofferdam install %s@%s%s", v.Name, v.Version, flags)
}

// quoted is a JSON document as a word of the shell's.
func quoted(v any) string {
	data, _ := json.Marshal(v) // Strings and numbers always encode.
	return "'" + strings.ReplaceAll(string(data), "'", `'\''`) + "'"
}
