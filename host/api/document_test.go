package api_test

import (
	"encoding/json"
	"flag"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/api/apitest"
)

var update = flag.Bool("update", false, "write openapi.json anew")

// openapi is what these tests read of the document.
type openapi struct {
	OpenAPI string                          `json:"openapi"`
	Paths   map[string]map[string]operation `json:"paths"`
	Tags    []struct{ Name string }         `json:"tags"`

	Components struct {
		Schemas map[string]struct {
			Properties map[string]struct {
				Description string `json:"description"`
			} `json:"properties"`
		} `json:"schemas"`
	} `json:"components"`
}

type operation struct {
	ID          string   `json:"operationId"`
	Summary     string   `json:"summary"`
	Description string   `json:"description"`
	Tags        []string `json:"tags"`
	Parameters  []struct {
		Name        string `json:"name"`
		In          string `json:"in"`
		Description string `json:"description"`
	} `json:"parameters"`
	RequestBody *struct {
		Content map[string]struct {
			Schema  json.RawMessage `json:"schema"`
			Example json.RawMessage `json:"example"`
		} `json:"content"`
	} `json:"requestBody"`
	Responses map[string]struct {
		Description string `json:"description"`
		Content     map[string]struct {
			Schema json.RawMessage `json:"schema"`
		} `json:"content"`
	} `json:"responses"`
	Security []map[string][]string `json:"security"`
	Reach    string                `json:"x-reach"`
	Scope    string                `json:"x-scope"`
	Roles    []string              `json:"x-roles"`
}

func document(t *testing.T) ([]byte, openapi) {
	t.Helper()
	b, err := api.Document("0.0.0")
	if err != nil {
		t.Fatal(err)
	}
	var doc openapi
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	return b, doc
}

// each calls f with each operation in a subtest of its own.
func (d openapi) each(t *testing.T, f func(t *testing.T, method, path string, op operation)) {
	t.Helper()
	for path, item := range d.Paths {
		for method, op := range item {
			t.Run(op.ID, func(t *testing.T) {
				t.Parallel()
				f(t, method, path, op)
			})
		}
	}
}

func TestDocumentIsTheOneThatIsCheckedIn(t *testing.T) {
	t.Parallel()
	got, _ := document(t)
	if *update {
		if err := os.WriteFile("openapi.json", got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("the API has changed; look at the difference, then run go test ./host/api -update (-was +is):\n%s", diff)
	}
}

func TestDocumentIsComplete(t *testing.T) {
	t.Parallel()
	_, doc := document(t)
	if doc.OpenAPI != "3.1.0" {
		t.Errorf("openapi = %q", doc.OpenAPI)
	}
	tags := map[string]bool{}
	for _, tag := range doc.Tags {
		tags[tag.Name] = true
	}
	camel := regexp.MustCompile(`^[a-z][A-Za-z]+$`)
	doc.each(t, func(t *testing.T, method, path string, op operation) {
		t.Helper()
		if !camel.MatchString(op.ID) {
			t.Errorf("operation id %q of %s %s is not camelCase", op.ID, method, path)
		}
		if op.Summary == "" || op.Description == "" {
			t.Error("it has no summary or description")
		}
		if len(op.Tags) != 1 || !tags[op.Tags[0]] {
			t.Errorf("tags = %q, which the document does not describe", op.Tags)
		}
		if (len(op.Security) == 0) != (op.Reach == "public") {
			t.Errorf("security = %v with reach %q", op.Security, op.Reach)
		}
		for _, p := range op.Parameters {
			if p.Description == "" {
				t.Errorf("the parameter %q has no description", p.Name)
			}
		}
	})
}

func TestDocumentDeclaresEveryBody(t *testing.T) {
	t.Parallel()
	_, doc := document(t)
	doc.each(t, func(t *testing.T, method, _ string, op operation) {
		t.Helper()
		success := false
		for code, resp := range op.Responses {
			success = success || strings.HasPrefix(code, "2")
			if resp.Description == "" {
				t.Errorf("the response %s has no description", code)
			}
			if len(resp.Content) == 0 && code != "204" {
				t.Errorf("the response %s has no content", code)
			}
			for kind, content := range resp.Content {
				if len(content.Schema) == 0 {
					t.Errorf("the %s of response %s has no schema", kind, code)
				}
			}
		}
		if !success || op.Responses["500"].Description == "" {
			t.Errorf("responses = %v: one of success or the 500 is missing", slices.Sorted(maps.Keys(op.Responses)))
		}
		if op.RequestBody == nil {
			if method == "put" || method == "patch" {
				t.Error("it declares no body")
			}
			return
		}
		for kind, content := range op.RequestBody.Content {
			if kind == "application/json" && len(content.Example) == 0 {
				t.Errorf("its body has no example")
			}
		}
	})
}

func TestDocumentDescribesEveryProperty(t *testing.T) {
	t.Parallel()
	_, doc := document(t)
	for name, schema := range doc.Components.Schemas {
		for key, p := range schema.Properties {
			if p.Description == "" {
				t.Errorf("%s.%s has no description: add a line to properties.txt", name, key)
			}
		}
	}
	if _, ok := doc.Components.Schemas["ErrorModel"]; ok {
		t.Error("the document shows huma's own error, which nobody gets to see")
	}
}

func TestExamplesFitTheirSchemas(t *testing.T) {
	t.Parallel()
	b, doc := document(t)
	// A server that answers nothing of use: what is tested is what the client lets out.
	srv := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(srv.Close)
	c, err := apitest.New(b, srv.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	doc.each(t, func(t *testing.T, _, _ string, op operation) {
		t.Helper()
		if op.RequestBody == nil {
			return
		}
		content, ok := op.RequestBody.Content["application/json"]
		if !ok {
			return
		}
		params := map[string]any{}
		for _, p := range op.Parameters {
			if p.In == "path" {
				params[p.Name] = "x"
			}
		}
		_, _, err := c.Do(t.Context(), op.ID, params, content.Example)
		if err != nil && strings.Contains(err.Error(), "the body") && !strings.Contains(err.Error(), "answer") {
			t.Errorf("the example %s does not fit: %v", content.Example, err)
		}
	})
}
