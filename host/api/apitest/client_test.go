package apitest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/api/apitest"
)

const document = `{
	"openapi": "3.1.0",
	"paths": {
		"/things/{thing}": {
			"get": {
				"operationId": "getThing",
				"security": [{"bearer": []}],
				"parameters": [
					{"name": "thing", "in": "path", "required": true, "schema": {"type": "string"}},
					{"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 10}},
					{"name": "Prefer", "in": "header", "schema": {"type": "string"}}
				],
				"responses": {
					"200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}},
					"204": {"description": "Nothing."},
					"404": {"content": {"application/problem+json": {"schema": {"type": "object"}}}}
				}
			},
			"put": {
				"operationId": "putThing",
				"parameters": [{"name": "thing", "in": "path", "required": true, "schema": {"type": "string"}}],
				"requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}},
				"responses": {"204": {"description": "Done."}}
			}
		},
		"/files": {
			"post": {
				"operationId": "postFile",
				"requestBody": {"required": true, "content": {"application/wasm": {"schema": {"type": "string"}}}},
				"responses": {"204": {"description": "Done."}}
			}
		}
	},
	"components": {"schemas": {"Thing": {
		"type": "object", "required": ["name"], "additionalProperties": false, "properties": {"name": {"type": "string"}}
	}}}
}`

// answers is a server that answers everything so, and a client of it.
func answers(t *testing.T, status int, contentType, body string) (*apitest.Client, *http.Request) {
	t.Helper()
	last := &http.Request{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*last = *r
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		if status != http.StatusNoContent {
			fmt.Fprint(w, body)
		}
	}))
	t.Cleanup(srv.Close)
	c, err := apitest.New([]byte(document), srv.URL+"/", "t0k3n")
	if err != nil {
		t.Fatal(err)
	}
	return c, last
}

func TestRequestsAreHeldToTheDocument(t *testing.T) {
	t.Parallel()
	thing := map[string]any{"thing": "a"}
	for _, test := range []struct {
		name, operation string
		params          map[string]any
		body            any
		want            string
	}{
		{"no such operation", "dropThing", nil, nil, "no operation"},
		{"a parameter that is missing", "getThing", nil, nil, `"thing" is required`},
		{"a parameter that is not declared", "getThing", map[string]any{"thing": "a", "colour": "red"}, nil, `no parameter "colour"`},
		{"a parameter of another type", "getThing", map[string]any{"thing": "a", "limit": "many"}, nil, `parameter "limit"`},
		{"a parameter out of range", "getThing", map[string]any{"thing": "a", "limit": 11}, nil, `parameter "limit"`},
		{"a body that is not declared", "getThing", thing, map[string]any{}, "declares no body"},
		{"a body that is missing", "putThing", thing, nil, "a body is required"},
		{"a body that lacks a property", "putThing", thing, map[string]any{}, "the body"},
		{"a body with another property", "putThing", thing, map[string]any{"name": "a", "colour": "red"}, "the body"},
		{"bytes where there is only JSON", "putThing", thing, []byte("x"), "no body but JSON"},
		{"JSON where there are only bytes", "postFile", nil, map[string]any{}, "no JSON body"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, last := answers(t, 204, "", "")
			_, _, err := c.Do(t.Context(), test.operation, test.params, test.body)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
			if last.URL != nil {
				t.Error("the request was made all the same")
			}
		})
	}
}

func TestAnswersAreHeldToTheDocument(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name        string
		status      int
		contentType string
		body        string
		want        string
	}{
		{"as declared", 200, "application/json; charset=utf-8", `{"name":"a"}`, ""},
		{"a declared problem", 404, "application/problem+json", `{}`, ""},
		{"nothing, as declared", 204, "", "", ""},
		{"another status", 201, "application/json", `{"name":"a"}`, "does not declare the status 201"},
		{"another media type", 200, "text/html", `<p>`, `media type "text/html"`},
		{"no JSON", 200, "application/json", `<p>`, "parse the body"},
		{"another shape", 200, "application/json", `{"name":1}`, "/name"},
		{"another property", 200, "application/json", `{"name":"a","secret":"b"}`, "secret"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, _ := answers(t, test.status, test.contentType, test.body)
			status, _, err := c.Do(t.Context(), "getThing", map[string]any{"thing": "a"}, nil)
			switch {
			case test.want == "" && (err != nil || status != test.status):
				t.Errorf("%d %v", status, err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestRequestIsBuiltFromTheDocument(t *testing.T) {
	t.Parallel()
	c, last := answers(t, 204, "", "")
	_, err := c.As("another").Send(t.Context(), apitest.Call{
		Operation: "getThing",
		Params:    map[string]any{"thing": "a/b", "limit": 3, "Prefer": "wait=1"},
		Header:    http.Header{"X-Signature": {"s"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := []string{last.Method, last.RequestURI, last.Header.Get("Prefer"), last.Header.Get("X-Signature"), last.Header.Get("Authorization")}
	want := []string{"GET", "/things/a%2Fb?limit=3", "wait=1", "s", "Bearer another"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, _, err := c.Do(t.Context(), "postFile", nil, []byte("\x00asm")); err != nil {
		t.Fatal(err)
	}
	if got := last.Header.Get("Content-Type"); got != "application/wasm" || last.Header.Get("Authorization") != "" {
		t.Errorf("content type %q, authorization %q: a route without security was given a token", got, last.Header.Get("Authorization"))
	}
	if diff := cmp.Diff([]string{"getThing", "postFile", "putThing"}, c.Operations()); diff != "" {
		t.Error(diff)
	}
}

func TestDocumentMustStandAlone(t *testing.T) {
	t.Parallel()
	if _, err := apitest.New([]byte("openapi: 3.1.0"), "", ""); err == nil {
		t.Error("YAML was taken for JSON")
	}
	outside := strings.Replace(document, `"#/components/schemas/Thing"`, `"file:///etc/passwd"`, 1)
	if !json.Valid([]byte(outside)) {
		t.Fatal("the document is broken")
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{}`)
	}))
	t.Cleanup(srv.Close)
	c, err := apitest.New([]byte(outside), srv.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Do(t.Context(), "getThing", map[string]any{"thing": "a"}, nil); err == nil {
		t.Error("a reference to a file was followed")
	}
}
