package tck

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing" //nolint:depguard // It is for tests.

	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/registry/schema"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// testManifest holds what describe returned against the rules, and against
// manifest.json of the vectors, if there is one.
func (g *guest) testManifest(t *testing.T, vectors fs.FS) {
	t.Helper()
	for where, raw := range g.schemas() {
		if _, err := schema.Compile(raw); err != nil {
			t.Errorf("%s: %v", where, err)
		}
		if secrets := schema.Secrets(raw); len(secrets) > 0 {
			t.Errorf("%s marks as secret, which belongs in a connection: %q", where, secrets)
		}
	}
	g.testSection(t)
	text, err := fs.ReadFile(vectors, manifestFile)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if text, err = fill(text, strings.NewReplacer("${name}", g.manifest.Name)); err != nil {
		t.Fatalf("read %s: %v", manifestFile, err)
	}
	var want described
	if err := strictly(text, &want); err != nil {
		t.Fatalf("read %s: %v", manifestFile, err)
	}
	got, err := g.withoutSchemas()
	if err != nil {
		t.Fatal(err)
	}
	for _, difference := range differ("the manifest", want.Manifest, got) {
		t.Error(difference)
	}
	for _, s := range want.Schemas {
		for _, difference := range s.compare(g.schemas()[s.Where]) {
			t.Error(difference)
		}
	}
}

// testSection holds what a builder wrote beside the code against what the code says.
func (g *guest) testSection(t *testing.T) {
	t.Helper()
	const name = "cofferdam.manifest"
	section, ok := runtime.Section(g.wasm, name)
	if !ok {
		return
	}
	said, err := manifest.Parse(section)
	if err != nil {
		t.Fatalf("the custom section %s: %v", name, err)
	}
	for _, difference := range differ("the custom section "+name, encode(g.manifest), encode(said)) {
		t.Error(difference)
	}
}

// schemas are those of the manifest, by where they stand.
func (g *guest) schemas() map[string]json.RawMessage {
	all := map[string]json.RawMessage{}
	add := func(where string, raw json.RawMessage) {
		if raw != nil {
			all[where] = raw
		}
	}
	add("/config", g.manifest.Config)
	for i, a := range g.manifest.Actions {
		add(fmt.Sprintf("/actions/%d/input", i), a.Input)
		add(fmt.Sprintf("/actions/%d/output", i), a.Output)
	}
	return all
}

// withoutSchemas is what describe returned, less what differs from language to
// language.
func (g *guest) withoutSchemas() (json.RawMessage, error) {
	v, err := decode(g.described)
	if err != nil {
		return nil, fmt.Errorf("read the manifest: %w", err)
	}
	m, _ := v.(map[string]any)
	delete(m, "config")
	actions, _ := m["actions"].([]any)
	for _, a := range actions {
		if a, ok := a.(map[string]any); ok {
			delete(a, "input")
			delete(a, "output")
		}
	}
	for name, member := range m {
		if list, ok := member.([]any); ok && len(list) == 0 || member == nil || member == "" || member == false {
			delete(m, name)
		}
	}
	return json.Marshal(m)
}

// compare tries a schema.
func (s schemaVector) compare(raw json.RawMessage) []string {
	compiled, err := schema.Compile(raw)
	if err != nil {
		return []string{fmt.Sprintf("%s: %v", s.Where, err)}
	}
	var differences []string
	for _, doc := range s.Accepts {
		if problems := compiled.Validate(doc); len(problems) > 0 {
			differences = append(differences, fmt.Sprintf("%s refuses %s: %v", s.Where, doc, problems))
		}
	}
	for _, doc := range s.Refuses {
		if problems := compiled.Validate(doc); len(problems) == 0 {
			differences = append(differences, fmt.Sprintf("%s accepts %s", s.Where, doc))
		}
	}
	if s.Fills != nil {
		filled, err := compiled.Defaults(json.RawMessage(`{}`))
		if err != nil {
			return append(differences, fmt.Sprintf("%s: %v", s.Where, err))
		}
		differences = append(differences, differ(s.Where+", its defaults", s.Fills, filled)...)
	}
	return differences
}
