// Package provenance is what a plugin's file says of how it was built: the custom
// section cofferdam.build of its module, a JSON document that build tools write.
//
//	section, ok := runtime.Section(wasm, provenance.Section)
//	build, err := provenance.Parse(section)
//
// It is the author's word and nobody else's. Where the author has signed the file,
// the signature covers it, for it covers every byte.
package provenance

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Section is the name of the custom section.
const Section = "cofferdam.build"

// Build says how a module was made.
type Build struct {
	// Builder is the program that made it, such as "cofferdam 1.4.0".
	Builder string `json:"builder,omitempty"`
	// Language is that of the sources: typescript, go, rust, c.
	Language string `json:"language,omitempty"`
	// Engine is what interprets the sources, where something does.
	Engine *Engine `json:"engine,omitempty"`
	// Revision is that of the sources in version control, and Modified says that they
	// were not as they are there.
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"`
}

// Engine is an interpreter that is linked into a module.
type Engine struct {
	Name    string `json:"name,omitempty"`
	Version string `json:"version,omitempty"`
	// SHA256 is the hash of its file, in hex.
	SHA256 string `json:"sha256,omitempty"`
}

const (
	// maxSection is some twenty times what build tools write.
	maxSection = 16 << 10
	maxText    = 256
)

// Parse reads a section. Fields that it does not know are those of later tools, and
// ignored.
func Parse(section []byte) (*Build, error) {
	if len(section) > maxSection {
		return nil, fmt.Errorf("it has %d bytes: at most %d are allowed", len(section), maxSection)
	}
	if !utf8.Valid(section) {
		return nil, errors.New("it is not UTF-8")
	}
	var b Build
	if err := json.Unmarshal(section, &b); err != nil {
		return nil, fmt.Errorf("it is not a JSON object of the expected form: %w", err)
	}
	texts := []struct{ name, value string }{{"builder", b.Builder}, {"language", b.Language}, {"revision", b.Revision}}
	if b.Engine != nil {
		texts = append(texts, []struct{ name, value string }{
			{"engine.name", b.Engine.Name}, {"engine.version", b.Engine.Version}, {"engine.sha256", b.Engine.SHA256},
		}...)
	}
	for _, text := range texts {
		if len(text.value) > maxText {
			return nil, fmt.Errorf("its %s has %d bytes: at most %d are allowed", text.name, len(text.value), maxText)
		}
		if strings.ContainsFunc(text.value, unicode.IsControl) {
			return nil, fmt.Errorf("its %s has a control character", text.name)
		}
	}
	return &b, nil
}

// String is b in a line, for people.
func (b *Build) String() string {
	if b == nil {
		return "nothing is known"
	}
	var parts []string
	if b.Language != "" {
		parts = append(parts, b.Language)
	}
	if b.Builder != "" {
		parts = append(parts, "by "+b.Builder)
	}
	if e := b.Engine; e != nil {
		parts = append(parts, strings.TrimSpace("with "+e.Name+" "+e.Version))
	}
	if b.Revision != "" {
		parts = append(parts, "from revision "+b.Revision)
	}
	if b.Modified {
		parts = append(parts, "with changes that were not committed")
	}
	if len(parts) == 0 {
		return "nothing is known"
	}
	return strings.Join(parts, ", ")
}
