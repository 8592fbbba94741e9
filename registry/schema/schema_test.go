package schema_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/registry/schema"
)

func compile(t *testing.T, raw string) *schema.Schema {
	t.Helper()
	s, err := schema.Compile(json.RawMessage(raw))
	if err != nil {
		t.Fatalf("compile %s: %v", raw, err)
	}
	return s
}

func TestValidateListsEveryProblem(t *testing.T) {
	t.Parallel()
	const object = `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","additionalProperties":false,
		"required":["repo","url"],"properties":{"repo":{"type":"string","minLength":3},"url":{"type":"string","format":"uri"},
		"level":{"enum":["low","high"]},"n":{"type":"integer","minimum":1,"maximum":9},"a/b":{"type":"array","items":{"type":"string"},"maxItems":1,"uniqueItems":true}}}`
	tests := []struct {
		name, schema, doc string
		want              []schema.Problem
	}{
		{"fits", object, `{"repo":"abc","url":"https://x.test","level":"low","n":3,"a/b":["x"]}`, nil},
		{
			"several at once, sorted", object, `{"repo":"s3","token":"sekret","n":12,"level":"sekret","a/b":["x",7]}`,
			[]schema.Problem{
				{"/a~1b", "must have at most 1 items, not 2"},
				{"/a~1b/1", "must be of type string, not number"},
				{"/level", `must be one of "low", "high"`},
				{"/n", "must be at most 9"},
				{"/repo", "must have at least 3 characters, not 2"},
				{"/token", "is not a known property"},
				{"/url", "is required"},
			},
		},
		{"format", object, `{"repo":"abc","url":"::sekret"}`, []schema.Problem{{"/url", `must have the format "uri"`}}},
		{"wrong kind", object, `[]`, []schema.Problem{{"", "must be of type object, not array"}}},
		{"empty", object, ``, []schema.Problem{{"", "is not JSON: it is empty or ends too early"}}},
		{"cut off", object, `{"repo":`, []schema.Problem{{"", "is not JSON: it is empty or ends too early"}}},
		{"not JSON", object, `{repo}`, []schema.Problem{{"", "is not JSON: at byte 2: invalid character 'r' looking for beginning of object key string"}}},
		{"two documents", object, `{} {}`, []schema.Problem{{"", "goes on after its end, at byte 4"}}},
		{"not UTF-8", object, "\"\xff\"", []schema.Problem{{"", "is not UTF-8"}}},
		{"no schema", ``, `[1,"x"]`, nil},
		{"null schema", `null`, `7`, nil},
		{
			"alternatives", `{"anyOf":[{"type":"string"},{"type":"object","required":["a"]}]}`, `{}`,
			[]schema.Problem{{"", "fits none of the alternatives: must be of type string, not object; or it /a is required"}},
		},
		{"one of two", `{"oneOf":[{"type":"number"},{"minimum":3}]}`, `4`, []schema.Problem{{"", "fits alternatives 1 and 2, and must fit one only"}}},
		{
			"through references", `{"$defs":{"p":{"type":"object","properties":{"next":{"$ref":"#/$defs/p"},"n":{"type":"integer"}}}},"$ref":"#/$defs/p"}`,
			`{"next":{"next":{"n":1.5}}}`,
			[]schema.Problem{{"/next/next/n", "must be of type integer, not number"}},
		},
		{"dependent", `{"dependentRequired":{"user":["password"]}}`, `{"user":1}`, []schema.Problem{{"/password", `is required where there is "user"`}}},
		{"pattern", `{"pattern":"^a+$"}`, `"sekret"`, []schema.Problem{{"", `must match the pattern "^a+$"`}}},
		{"const", `{"const":{"a":1}}`, `"sekret"`, []schema.Problem{{"", `must be {"a":1}`}}},
		{"multiple", `{"multipleOf":0.5,"exclusiveMinimum":1,"exclusiveMaximum":0.25}`, `0.7`, []schema.Problem{{"", "must be a multiple of 0.5"}, {"", "must be less than 0.25"}, {"", "must be more than 1"}}},
		{"forbidden", `{"properties":{"old":false}}`, `{"old":1}`, []schema.Problem{{"/old", "must not be there"}}},
		{"not", `{"not":{"type":"string"}}`, `"sekret"`, []schema.Problem{{"", `must not fit the schema under "not"`}}},
		{"contains", `{"contains":{"type":"string"}}`, `[1]`, []schema.Problem{{"", `must have an item that fits the schema under "contains"`}}},
		{"property names", `{"propertyNames":{"maxLength":1}}`, `{"ab":1}`, []schema.Problem{{"", `must not have a property of the name "ab"`}}},
		{"twice", `{"uniqueItems":true}`, `[1,1]`, []schema.Problem{{"", "must have no item twice: 0 and 1 are equal"}}},
		{"a number that no machine holds", `{"minimum":1}`, `{"a":[1e999999999]}`, []schema.Problem{{"/a/0", "is a number out of range: it must fit a float64, in at most 64 characters"}}},
		{"a number too near to zero", `{"minimum":1}`, `1e-999999999`, []schema.Problem{{"", "is a number out of range: it must fit a float64, in at most 64 characters"}}},
		{"a number with many digits", `{"type":"integer"}`, strings.Repeat("1", 100), []schema.Problem{{"", "is a number out of range: it must fit a float64, in at most 64 characters"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := compile(t, tt.schema).Validate(json.RawMessage(tt.doc))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if strings.Contains(fmt.Sprint(got), "sekret") {
				t.Errorf("a message shows a value: %v", got)
			}
		})
	}
}

func TestValidateRefusesDepth(t *testing.T) {
	t.Parallel()
	doc := strings.Repeat(`{"a":`, 300) + "1" + strings.Repeat("}", 300)
	got := compile(t, `{}`).Validate(json.RawMessage(doc))
	if len(got) != 1 || !strings.Contains(got[0].Message, "256 levels") || len(got[0].Where) > 100 {
		t.Errorf("got %v, want one problem about the depth, with a short pointer", got)
	}
}

func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	var many strings.Builder
	many.WriteString(`{"properties":{"b":true`)
	for i := range 4000 {
		fmt.Fprintf(&many, `,"p%d":{"minimum":1}`, i)
	}
	many.WriteString(`}}`)
	tests := []struct{ name, schema, where, message string }{
		{"not JSON", `{"a"`, "", "is not JSON"},
		{"not a schema", `{"type":"text"}`, "/type", "must be one of"},
		{"a keyword of the wrong type", `{"properties":{"a":{"minimum":"x"}}}`, "/properties/a/minimum", "must be of type number, not string"},
		{"a file", `{"$ref":"file:///etc/passwd"}`, "/$ref", `"file:///etc/passwd" leads out of the schema`},
		{"an address", `{"items":{"$ref":"http://169.254.169.254/x"}}`, "/items/$ref", "leads out of the schema"},
		{"a relative file", `{"allOf":[{"$ref":"secret.json"}]}`, "/allOf/0/$ref", "leads out of the schema"},
		{"the meta-schema", `{"$ref":"https://json-schema.org/draft/2020-12/schema"}`, "/$ref", "leads out of the schema"},
		{"a reference hidden in data", `{"$ref":"#/default/x","default":{"x":{"$ref":"file:///etc/passwd"}}}`, "", "leads out of the schema"},
		{"a reference to nothing", `{"$ref":"#/$defs/x"}`, "", `"#/$defs/x", where there is nothing`},
		{"an anchor that is not there", `{"$ref":"#x"}`, "", `"#x", where there is nothing`},
		{"another dialect", `{"$schema":"http://json-schema.org/draft-07/schema#"}`, "/$schema", "is not the dialect"},
		{"a dialect of its own", `{"$schema":"file:///etc/passwd"}`, "/$schema", "is not the dialect"},
		{"an inner dialect", `{"$defs":{"a":{"$id":"b","$schema":"http://json-schema.org/draft-04/schema#"}}}`, "/$defs/a/$schema", "is not the dialect"},
		{"a dynamic reference", `{"$dynamicRef":"#x"}`, "/$dynamicRef", "is not supported"},
		{"a dynamic reference hidden in data", `{"$ref":"#/const","const":{"$dynamicRef":"#x","$dynamicAnchor":"x"}}`, "", "not supported"},
		{"a pattern that is none", `{"pattern":"("}`, "/pattern", `must have the format "regex"`},
		{"a number that no machine holds", `{"minimum":1e999999999}`, "/minimum", "out of range"},
		{"too long", `{"description":"` + strings.Repeat("x", 300_000) + `"}`, "", "at most 262144 are allowed"},
		{"too many parts", many.String(), "", "4001 subschemas: at most 4000 are allowed"},
		{"too deep", strings.Repeat(`{"not":`, 400) + "{}" + strings.Repeat("}", 400), "/not/not/not/not/not/not/not/not/not/not/not/not/not/not/not/not/not/…", "256 levels"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := schema.Compile(json.RawMessage(tt.schema))
			var invalid schema.Errors
			if !errors.As(err, &invalid) {
				t.Fatalf("got error %v, want Errors", err)
			}
			if got := invalid[0]; got.Where != tt.where || !strings.Contains(got.Message, tt.message) {
				t.Errorf("got %+v, want %q at %q", got, tt.message, tt.where)
			}
		})
	}
}

// A schema in which each definition is asked for twice by the one before.
func doubling(keyword string, levels int) string {
	var b strings.Builder
	b.WriteString(`{"$ref":"#/$defs/d0","$defs":{`)
	for i := range levels {
		next := fmt.Sprintf(`{"$ref":"#/$defs/d%d"}`, i+1)
		fmt.Fprintf(&b, `"d%d":%s,`, i, fmt.Sprintf(keyword, next, next))
	}
	fmt.Fprintf(&b, `"d%d":{"type":"string"}}}`, levels)
	return b.String()
}

func TestValidateBoundsTheWork(t *testing.T) {
	t.Parallel()
	for _, keyword := range []string{
		`{"allOf":[%s,%s]}`, `{"anyOf":[%s,%s]}`, `{"oneOf":[%s,%s]}`, `{"not":{"anyOf":[%s,%s]}}`,
		`{"dependentSchemas":{"a":%s,"b":%s}}`, `{"if":%s,"else":%s}`,
	} {
		t.Run(keyword, func(t *testing.T) {
			t.Parallel()
			s := compile(t, doubling(keyword, 60))
			got := s.Validate(json.RawMessage(`{"a":1,"b":2}`))
			if len(got) != 1 || !strings.Contains(got[0].Message, "steps that checking it against its schema may take") {
				t.Errorf("got %v, want one problem about the work", got)
			}
		})
	}
}

func TestValidateGivesEachDocumentItsOwnBudget(t *testing.T) {
	t.Parallel()
	s := compile(t, `{"type":["object","string"],"properties":{"a":`+doubling(`{"allOf":[%s,%s]}`, 60)+`},
		"$defs":`+doubling(`{"allOf":[%s,%s]}`, 60)[len(`{"$ref":"#/$defs/d0","$defs":`):])
	if got := s.Validate(json.RawMessage(`{"a":1}`)); len(got) != 1 {
		t.Fatalf("got %v, want one problem about the work", got)
	}
	if got := s.Validate(json.RawMessage(`"cheap"`)); len(got) != 0 {
		t.Errorf("got %v for the next document, want none", got)
	}
}

func TestSchemaIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	s := compile(t, `{"type":"object","required":["a"]}`)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 50 {
				doc, want := `{"a":1}`, 0
				if i%2 == 0 {
					doc, want = `{}`, 1
				}
				if got := len(s.Validate(json.RawMessage(doc))); got != want {
					t.Errorf("got %d problems for %s, want %d", got, doc, want)
				}
			}
		})
	}
	wg.Wait()
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	s := compile(t, `{"properties":{"a":{"default":1e2},"b":{"default":null},"c":{"type":"string"},"d":{"properties":{"e":{"default":1}}}}}`)
	tests := []struct{ name, given, want string }{
		{"nothing", ``, `{"a":1e2,"b":null}`},
		{"null", `null`, `{"a":1e2,"b":null}`},
		{"given values stay", `{"a":12345678901234567890,"z":{}}`, `{"a":12345678901234567890,"b":null,"z":{}}`},
		{"only the top level", `{"d":{}}`, `{"a":1e2,"b":null,"d":{}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := s.Defaults(json.RawMessage(tt.given))
			if err != nil || string(got) != tt.want {
				t.Errorf("got %s, %v, want %s", got, err, tt.want)
			}
		})
	}
	if _, err := s.Defaults(json.RawMessage(`[]`)); err == nil {
		t.Error("got no error for an array")
	}
}

func TestOutgrown(t *testing.T) {
	t.Parallel()
	before := compile(t, `{"properties":{"a":{"default":{"x": 1}},"b":{"default":1},"c":{"default":1}}}`)
	after := compile(t, `{"properties":{"c":{}}}`)
	got, err := after.Outgrown(before, json.RawMessage(`{"a":{"x":1},"b":2,"c":1}`))
	if want := `{"b":2,"c":1}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, schema string
		want         []string
	}{
		{"none", `{"properties":{"url":{"format":"uri"}}}`, nil},
		{"password", `{"properties":{"token":{"type":"string","format":"password"}}}`, []string{"/properties/token"}},
		{"write-only", `{"properties":{"a/b":{"writeOnly":true}}}`, []string{"/properties/a~1b"}},
		{"marked", `{"properties":{"a":{"x-secret":true}}}`, []string{"/properties/a"}},
		{"not marked", `{"properties":{"a":{"x-secret":false,"writeOnly":false}}}`, nil},
		{"nested", `{"properties":{"a":{"properties":{"b":{"format":"password"}}}}}`, []string{"/properties/a/properties/b"}},
		{"a definition", `{"$defs":{"k":{"format":"password"}}}`, []string{"/$defs/k"}},
		{"allOf", `{"allOf":[{},{"properties":{"k":{"writeOnly":true}}}]}`, []string{"/allOf/1/properties/k"}},
		{"items", `{"items":{"x-secret":true},"prefixItems":[{"format":"password"}]}`, []string{"/items", "/prefixItems/0"}},
		{"conditions", `{"if":{},"then":{"additionalProperties":{"format":"password"}}}`, []string{"/then/additionalProperties"}},
		{"an unknown keyword that a $ref can lead to", `{"x-parts":{"k":{"format":"password"}}}`, []string{"/x-parts/k"}},
		{"a property that is called format", `{"properties":{"format":{"const":"password"},"writeOnly":true,"x-secret":true}}`, nil},
		{"data", `{"default":{"format":"password"},"enum":[{"writeOnly":true}],"const":{"x-secret":true},"examples":[{"format":"password"}]}`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, schema.Secrets(json.RawMessage(tt.schema))); diff != "" {
				t.Errorf("secrets (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzCompile(f *testing.F) {
	f.Add([]byte(`{"$ref":"#/$defs/a","$defs":{"a":{"items":{"$ref":"#"}}}}`), []byte(`[[1e400]]`))
	f.Add([]byte(`{"$id":"x","$anchor":"a","unevaluatedProperties":false}`), []byte(`{"a":1}`))
	f.Add([]byte(`{"$ref":"file:///etc/passwd"}`), []byte(`0`))
	f.Add([]byte(`{"minimum":0.1,"multipleOf":3,"format":"date","pattern":"^x"}`), []byte(`"2020-01-01"`))
	f.Fuzz(func(t *testing.T, raw, doc []byte) {
		s, err := schema.Compile(raw)
		if err != nil {
			var invalid schema.Errors
			if !errors.As(err, &invalid) || len(invalid) == 0 {
				t.Errorf("got error %v, want Errors with problems", err)
			}
			return
		}
		s.Validate(doc)
		schema.Secrets(raw)
	})
}

func ExampleSchema_Validate() {
	s, err := schema.Compile(json.RawMessage(`{
		"type": "object",
		"properties": {"repo": {"type": "string"}, "count": {"type": "integer", "minimum": 1}},
		"required": ["repo"]
	}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, p := range s.Validate(json.RawMessage(`{"count": 0}`)) {
		fmt.Println(p.Where, p.Message)
	}
	// Output:
	// /count must be at least 1
	// /repo is required
}

func TestPatternsAreBounded(t *testing.T) {
	t.Parallel()
	const vast = `(abcdefghijklmnopqrstuvwxyz){1000}`
	refused := map[string]string{
		"one that is repeated a thousand times": `{"pattern":"` + vast + `"}`,
		"nested repetitions":                    `{"pattern":"((((a{10}){10}){10}){10})"}`,
		"one that is long":                      `{"pattern":"` + strings.Repeat("a", 1025) + `"}`,
		"the name of properties":                `{"patternProperties":{"` + vast + `":{}}}`,
		"many at a time":                        `{"allOf":[` + strings.Repeat(`{"pattern":"(abcdefghi){500}"},`, 100) + `{}]}`,
		"where data should be":                  `{"$ref":"#/default","default":{"pattern":"` + vast + `"}}`,
	}
	for name, raw := range refused {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := schema.Compile(json.RawMessage(raw)); err == nil {
				t.Error("got no error")
			}
		})
	}
	t.Run("those of people are not", func(t *testing.T) {
		t.Parallel()
		compile(t, `{"allOf":[`+strings.Repeat(`{"pattern":"^([a-z0-9][a-z0-9-]{0,62}\\.)+\\p{L}{2,24}$"},`, 100)+`{}]}`)
	})
	t.Run("in a document", func(t *testing.T) {
		t.Parallel()
		s := compile(t, `{"format":"regex"}`)
		if got := s.Validate(json.RawMessage(`"` + vast + `"`)); len(got) != 1 {
			t.Errorf("got %v, want one problem", got)
		}
		for range 100 {
			if got := s.Validate(json.RawMessage(`"^(abcdefghi){900}$"`)); got != nil {
				t.Fatalf("got %v, want none", got)
			}
		}
	})
}
