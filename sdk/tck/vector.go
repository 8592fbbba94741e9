package tck

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// vector is one call of a guest, and all that must come of it. Its form is that of
// sdk/testdata/README.md.
type vector struct {
	// Name is unique in a folder: file/name.
	Name   string                     `json:"name"`
	About  string                     `json:"about"`
	Export string                     `json:"export"`
	Now    time.Time                  `json:"now"`
	Input  json.RawMessage            `json:"input"`
	State  map[string]json.RawMessage `json:"state"`
	Calls  []call                     `json:"calls"`
	Logs   []line                     `json:"logs"`
	Output json.RawMessage            `json:"output"`
	Error  *failure                   `json:"error"`
	// Until is when a guest that waits is called again.
	Until *time.Time `json:"until"`
	Left  *left      `json:"left"`
}

// call is a crossing that the guest is expected to make.
type call struct {
	Func    string          `json:"func"`
	Request json.RawMessage `json:"request"`
	Answer  json.RawMessage `json:"answer"`
}

type line struct {
	Level   string          `json:"level"`
	Message string          `json:"message"`
	Fields  json.RawMessage `json:"fields"`
}

// failure is what is expected of an error.
type failure struct {
	Code         string `json:"code"`
	RetryAfterMS int64  `json:"retry_after_ms"`
	// Says are parts of the message.
	Says []string `json:"says"`
	// Details are members that the error's details have, among others.
	Details map[string]json.RawMessage `json:"details"`
}

// left is what a call leaves behind that succeeds.
type left struct {
	Records []json.RawMessage          `json:"records"`
	Tags    []json.RawMessage          `json:"tags"`
	State   map[string]json.RawMessage `json:"state"`
}

// described is what manifest.json says of the guest itself.
type described struct {
	About    string          `json:"about"`
	Manifest json.RawMessage `json:"manifest"`
	Schemas  []schemaVector  `json:"schemas"`
}

// schemaVector knows a schema by what it accepts.
type schemaVector struct {
	Where   string            `json:"where"`
	Accepts []json.RawMessage `json:"accepts"`
	Refuses []json.RawMessage `json:"refuses"`
	// Fills are the defaults.
	Fills json.RawMessage `json:"fills"`
}

const manifestFile = "manifest.json"

// defaultNow is what the guest's clock shows where a vector does not say.
func defaultNow() time.Time { return time.Date(2026, 3, 2, 7, 14, 10, 0, time.UTC) }

// readVectors reads a folder of vectors, for a guest of that name.
func readVectors(files fs.FS, guest string) ([]vector, error) {
	names, err := fs.Glob(files, "*.json")
	if err != nil {
		return nil, fmt.Errorf("list vectors: %w", err)
	}
	var all []vector
	for _, name := range names {
		if name == manifestFile {
			continue
		}
		some, err := readFile(files, name, guest)
		if err != nil {
			return nil, fmt.Errorf("read vectors of %s: %w", name, err)
		}
		all = append(all, some...)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("read vectors: there are none among %q", names)
	}
	return all, nil
}

func readFile(files fs.FS, name, guest string) ([]vector, error) {
	text, err := fs.ReadFile(files, name)
	if err != nil {
		return nil, err
	}
	var file struct {
		Vectors []json.RawMessage `json:"vectors"`
	}
	if err := strictly(text, &file); err != nil {
		return nil, err
	}
	var all []vector
	for i, raw := range file.Vectors {
		v, err := readVector(raw, guest)
		if err != nil {
			return nil, fmt.Errorf("vector %d: %w", i, err)
		}
		v.Name = strings.TrimSuffix(path.Base(name), ".json") + "/" + v.Name
		if slices.ContainsFunc(all, func(other vector) bool { return other.Name == v.Name }) {
			return nil, fmt.Errorf("there are two of %s", v.Name)
		}
		all = append(all, v)
	}
	return all, nil
}

// readVector fills in what is between ${ and }.
func readVector(raw json.RawMessage, guest string) (vector, error) {
	var words struct {
		Let map[string]struct {
			Repeat string `json:"repeat"`
			Times  int    `json:"times"`
		} `json:"let"`
	}
	if err := json.Unmarshal(raw, &words); err != nil {
		return vector{}, err
	}
	values := []string{"${name}", guest}
	for _, name := range slices.Sorted(maps.Keys(words.Let)) {
		l := words.Let[name]
		values = append(values, "${"+name+"}", strings.Repeat(l.Repeat, l.Times))
	}
	filled, err := fill(raw, strings.NewReplacer(values...))
	if err != nil {
		return vector{}, err
	}
	v := struct {
		vector
		Let json.RawMessage `json:"let"`
	}{vector: vector{Now: defaultNow()}}
	if err := strictly(filled, &v); err != nil {
		return vector{}, err
	}
	ends := 0
	for _, set := range []bool{v.Output != nil, v.Error != nil, v.Until != nil} {
		if set {
			ends++
		}
	}
	if v.Export == "" || v.Input == nil || ends != 1 {
		return vector{}, fmt.Errorf("%q needs an export, an input, and one of output, error and until", v.Name)
	}
	return v.vector, nil
}

// fill replaces in all strings of a document.
func fill(raw json.RawMessage, r *strings.Replacer) (json.RawMessage, error) {
	v, err := decode(raw)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err = e.Encode(replaced(v, r))
	return b.Bytes(), err
}

func replaced(v any, r *strings.Replacer) any {
	switch v := v.(type) {
	case string:
		return r.Replace(v)
	case []any:
		for i := range v {
			v[i] = replaced(v[i], r)
		}
	case map[string]any:
		for key, member := range v {
			v[key] = replaced(member, r)
		}
	}
	return v
}

// decode keeps the digits of numbers.
func decode(raw json.RawMessage) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

func strictly(raw json.RawMessage, v any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	return d.Decode(v)
}
