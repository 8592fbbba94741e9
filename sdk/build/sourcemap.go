package build

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/cofferdam-run/cofferdam/runtime/sourcemap"
)

// sourceMap is a source map, revision 3 (<https://tc39.es/ecma426/>).
type sourceMap struct {
	Version  int      `json:"version"`
	File     string   `json:"file"`
	Sources  []string `json:"sources"`
	Names    []string `json:"names"`
	Mappings string   `json:"mappings"`
}

// tidy makes the paths of a source map independent of where the project is: those of
// packages begin with node_modules, and others are relative to the project.
func tidy(text []byte) ([]byte, error) {
	var m sourceMap
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("read the source map: %w", err)
	}
	m.File = sourcemap.Bundle
	for i, s := range m.Sources {
		s = strings.TrimPrefix(s, "./")
		if at := strings.LastIndex(s, "node_modules/"); at > 0 && s[at-1] == '/' {
			s = s[at:]
		}
		m.Sources[i] = s
	}
	out, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write the source map: %w", err)
	}
	return out, nil
}
