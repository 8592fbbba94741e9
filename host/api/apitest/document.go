package apitest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// openapi is what a Client reads of a document.
type openapi struct {
	Paths map[string]map[string]json.RawMessage `json:"paths"`
}

// operation is an operation of a document and where it stands in it.
type operation struct {
	ID          string                `json:"operationId"`
	Parameters  []parameter           `json:"parameters"`
	RequestBody *content              `json:"requestBody"`
	Responses   map[string]content    `json:"responses"`
	Security    []map[string][]string `json:"security"`

	method, path string
}

type parameter struct {
	Name     string `json:"name"`
	In       string `json:"in"`
	Required bool   `json:"required"`
}

// content is a body, of a request or a response.
type content struct {
	Required bool                 `json:"required"`
	Content  map[string]mediaType `json:"content"`
}

type mediaType struct {
	Schema json.RawMessage `json:"schema"`
}

func (d openapi) operations() map[string]operation {
	all := map[string]operation{}
	for path, item := range d.Paths {
		for method, raw := range item {
			var op operation
			// A path item also has keys that are no operations.
			if json.Unmarshal(raw, &op) != nil || op.ID == "" {
				continue
			}
			op.method, op.path = strings.ToUpper(method), path
			all[op.ID] = op
		}
	}
	return all
}

// pointer is a JSON pointer to a place below the operation.
func (op operation) pointer(below ...string) string {
	var b strings.Builder
	for _, step := range append([]string{"paths", op.path, strings.ToLower(op.method)}, below...) {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(step))
	}
	return b.String()
}

// schemas are those of a document, compiled when they are first needed.
type schemas struct {
	mu       sync.Mutex
	compiler *jsonschema.Compiler
	compiled map[string]*jsonschema.Schema
}

// documentURL names the document among the compiler's resources.
const documentURL = "urn:openapi"

func newSchemas(document []byte) (*schemas, error) {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return nil, fmt.Errorf("parse the OpenAPI document: %w", err)
	}
	c := jsonschema.NewCompiler()
	// A document that refers to another place is not complete.
	c.UseLoader(jsonschema.SchemeURLLoader{})
	if err := c.AddResource(documentURL, v); err != nil {
		return nil, fmt.Errorf("read the OpenAPI document: %w", err)
	}
	return &schemas{compiler: c, compiled: map[string]*jsonschema.Schema{}}, nil
}

// check validates what v is as JSON.
func (s *schemas) check(v any, pointer string) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	decoded, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	return s.checkDecoded(decoded, pointer)
}

func (s *schemas) checkDecoded(v any, pointer string) error {
	schema, err := s.at(pointer)
	if err != nil {
		return err
	}
	return schema.Validate(v)
}

func (s *schemas) at(pointer string) (*jsonschema.Schema, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if schema, ok := s.compiled[pointer]; ok {
		return schema, nil
	}
	schema, err := s.compiler.Compile(documentURL + "#" + fragment(pointer))
	if err != nil {
		return nil, fmt.Errorf("compile the schema at %s: %w", pointer, err)
	}
	s.compiled[pointer] = schema
	return schema, nil
}

// fragment escapes a pointer for a URL: paths of the API have braces.
func fragment(pointer string) string {
	return strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D").Replace(pointer)
}
