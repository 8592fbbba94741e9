package schema_test

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/internal/schema"
)

type base struct {
	ID      string    `json:"id" doc:"Assigned by us."`
	Created time.Time `json:"created"`
}

type tree struct {
	Value    int     `json:"value"`
	Children []*tree `json:"children,omitempty"`
}

type level string

type everything struct {
	base

	Level   level             `json:"level" enum:"low, high" default:"low"`
	Tags    []string          `json:"tags" enum:"a,b"`
	Size    uint8             `json:"size,omitempty"`
	Ratio   *float64          `json:"ratio"`
	Extra   map[string]any    `json:"extra,omitempty"`
	Names   map[string]string `json:"names,omitempty"`
	Raw     json.RawMessage   `json:"raw,omitempty"`
	Data    []byte            `json:"data,omitempty"`
	Pair    [2]bool           `json:"pair"`
	Address netip.Addr        `json:"address"`
	Count   int64             `json:"count,string"`
	Site    string            `json:"site" title:"Site" format:"uri" default:"https://example.com" example:"https://shop.example"`
	Skipped chan int          `json:"-"`
	NoTag   bool
}

func TestSchemasFollowTheGoType(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		typ  reflect.Type
		mode schema.Mode
		want string
	}{
		"an empty struct takes nothing": {
			reflect.TypeFor[struct{}](), schema.Input,
			`{"type":"object","additionalProperties":false}`,
		},
		"an output may grow": {
			reflect.TypeFor[base](), schema.Output,
			`{"type":"object","properties":{"id":{"description":"Assigned by us.","type":"string"},"created":{"type":"string","format":"date-time"}},"required":["id","created"]}`,
		},
		"a scalar": {reflect.TypeFor[int](), schema.Input, `{"type":"integer"}`},
		"anything": {reflect.TypeFor[any](), schema.Output, `{}`},
		"recursion becomes a definition": {
			reflect.TypeFor[tree](), schema.Output,
			`{"$ref":"#/$defs/tree","$defs":{"tree":{"type":"object","properties":{"value":{"type":"integer"},"children":{"type":"array","items":{"$ref":"#/$defs/tree"}}},"required":["value"]}}}`,
		},
		"recursion below the root": {
			reflect.TypeFor[struct {
				Top *tree `json:"top"`
			}](), schema.Output,
			`{"type":"object","properties":{"top":{"anyOf":[{"$ref":"#/$defs/tree"},{"type":"null"}]}},"$defs":{"tree":{"type":"object","properties":{"value":{"type":"integer"},"children":{"type":"array","items":{"$ref":"#/$defs/tree"}}},"required":["value"]}}}`,
		},
		"a nil slice or map is null, but only in an output": {
			reflect.TypeFor[struct {
				L []int          `json:"l"`
				M map[string]int `json:"m"`
			}](), schema.Output,
			`{"type":"object","properties":{"l":{"type":["array","null"],"items":{"type":"integer"}},"m":{"type":["object","null"],"additionalProperties":{"type":"integer"}}},"required":["l","m"]}`,
		},
		"a pointer with enum may still be null": {
			reflect.TypeFor[struct {
				P *string `json:"p" enum:"x"`
			}](), schema.Input,
			`{"type":"object","properties":{"p":{"type":["string","null"],"enum":["x",null]}},"additionalProperties":false}`,
		},
		"everything at once": {
			reflect.TypeFor[everything](), schema.Input,
			`{"type":"object","properties":{` +
				`"id":{"description":"Assigned by us.","type":"string"},` +
				`"created":{"type":"string","format":"date-time"},` +
				`"level":{"type":"string","enum":["low","high"],"default":"low"},` +
				`"tags":{"type":"array","items":{"type":"string","enum":["a","b"]}},` +
				`"size":{"type":"integer","minimum":0},` +
				`"ratio":{"type":["number","null"]},` +
				`"extra":{"type":"object","additionalProperties":{}},` +
				`"names":{"type":"object","additionalProperties":{"type":"string"}},` +
				`"raw":{},` +
				`"data":{"type":"string","contentEncoding":"base64"},` +
				`"pair":{"type":"array","minItems":2,"maxItems":2,"items":{"type":"boolean"}},` +
				`"address":{"type":"string"},` +
				`"count":{"type":"string"},` +
				`"site":{"title":"Site","type":"string","format":"uri","default":"https://example.com","examples":["https://shop.example"]},` +
				`"NoTag":{"type":"boolean"}},` +
				`"required":["id","created","tags","pair","address","count","NoTag"],"additionalProperties":false}`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := schema.Of(tt.typ, tt.mode)
			if err != nil {
				t.Fatal(err)
			}
			want := strings.Replace(tt.want, "{", `{"$schema":"`+schema.Draft+`",`, 1)
			want = strings.Replace(want, ",}", "}", 1)
			if string(got) != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestTypesOfOneNameGetDefinitionsOfTheirOwn(t *testing.T) {
	t.Parallel()
	type node struct {
		Next *node `json:"next,omitempty"`
	}
	first := reflect.TypeFor[node]()
	second := func() reflect.Type {
		type node struct {
			Prev *node `json:"prev,omitempty"`
		}
		return reflect.TypeFor[node]()
	}()
	both := reflect.StructOf([]reflect.StructField{
		{Name: "A", Type: first, Tag: `json:"a"`},
		{Name: "B", Type: second, Tag: `json:"b"`},
	})
	got, err := schema.Of(both, schema.Output)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"a":{"$ref":"#/$defs/node"}`, `"b":{"$ref":"#/$defs/node_2"}`, `"node_2":{"type":"object","properties":{"prev"`} {
		if !strings.Contains(string(got), want) {
			t.Errorf("%s is not in %s", want, got)
		}
	}
}

func TestTheNearerFieldWins(t *testing.T) {
	t.Parallel()
	got, err := schema.Of(reflect.TypeFor[struct {
		*base

		ID int `json:"id"`
	}](), schema.Output)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(got), `"id":{"type":"integer"}`) {
		t.Errorf("id is not the outer one: %s", got)
	}
	if strings.Contains(string(got), `"required":["id","created"]`) {
		t.Errorf("a property of an embedded pointer is required: %s", got)
	}
}

func TestMistakesNameTheField(t *testing.T) {
	t.Parallel()
	type a struct {
		X int `json:"x"`
	}
	type b struct {
		Y int `json:"x"`
	}
	twice := reflect.StructOf([]reflect.StructField{
		{Name: "A", Type: reflect.TypeFor[a](), Anonymous: true},
		{Name: "B", Type: reflect.TypeFor[b](), Anonymous: true},
	})
	tests := map[string]struct {
		typ  reflect.Type
		want []string
	}{
		"a channel": {reflect.TypeFor[struct {
			Done chan int `json:"done"`
		}](), []string{`property "done"`, "chan int has no JSON form"}},
		"a map without string keys": {reflect.TypeFor[map[bool]int](), []string{"keys of a map must be strings"}},
		"a default of another type": {reflect.TypeFor[struct {
			N int `json:"n" default:"many"`
		}](), []string{`property "n"`, `default "many"`, "int"}},
		"an example of another type": {reflect.TypeFor[struct {
			N int `json:"n" example:"many"`
		}](), []string{`property "n"`, `example "many"`, "int"}},
		"an enum of another type": {reflect.TypeFor[struct {
			N int `json:"n" enum:"1,two"`
		}](), []string{`property "n"`, `"two"`}},
		"a secret": {reflect.TypeFor[struct {
			Token string `json:"token" format:"password"`
		}](), []string{`property "token"`, "secrets belong in a connection"}},
		"a format of a number": {reflect.TypeFor[struct {
			N int `json:"n" format:"uri"`
		}](), []string{`property "n"`, "is for strings"}},
		"one name twice": {twice, []string{`two properties named "x"`}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := schema.Of(tt.typ, schema.Input)
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q in it", err, want)
				}
			}
		})
	}
}

type retry struct {
	Max  int    `json:"max" default:"3"`
	Mode string `json:"mode" default:"slow"`
}

type withDefaults struct {
	Name  string           `json:"name" default:"x"`
	Big   int64            `json:"big"`
	Retry retry            `json:"retry,omitzero"`
	Maybe *retry           `json:"maybe"`
	List  []retry          `json:"list"`
	ByKey map[string]retry `json:"by_key"`
	Text  int              `json:"text,string" default:"9"`
}

func TestUnmarshalFillsInDefaults(t *testing.T) {
	t.Parallel()
	def := retry{3, "slow"}
	tests := map[string]struct {
		data string
		want withDefaults
	}{
		"nothing":             {``, withDefaults{Name: "x", Retry: def, Text: 9}},
		"null":                {`null`, withDefaults{Name: "x", Retry: def, Text: 9}},
		"what is said stays":  {`{"name":"","retry":{"max":0},"text":"1"}`, withDefaults{Retry: retry{0, "slow"}, Text: 1}},
		"a pointer stays nil": {`{"maybe":null}`, withDefaults{Name: "x", Retry: def, Text: 9}},
		"behind pointers, lists and maps": {
			`{"maybe":{},"list":[{"max":1},{}],"by_key":{"a":{}}}`,
			withDefaults{Name: "x", Retry: def, Maybe: &def, List: []retry{{1, "slow"}, def}, ByKey: map[string]retry{"a": def}, Text: 9},
		},
		"64 bits survive": {`{"big":9007199254740993}`, withDefaults{Name: "x", Big: 9007199254740993, Retry: def, Text: 9}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got withDefaults
			if err := schema.Unmarshal([]byte(tt.data), &got); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestUnmarshalRefusesWhatIsNotTheType(t *testing.T) {
	t.Parallel()
	for _, data := range []string{`[]`, `{"name":1}`, `{"list":{}}`, `{`, `7`} {
		var v withDefaults
		if err := schema.Unmarshal([]byte(data), &v); err == nil {
			t.Errorf("%s was taken for %+v", data, v)
		}
	}
	if err := schema.Unmarshal([]byte(`{}`), withDefaults{}); err == nil {
		t.Error("a value that is not a pointer was taken")
	}
}

// FuzzUnmarshal: whatever encoding/json takes is taken, and nothing panics.
func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte(`{"name":"","retry":{"max":0},"list":[{}],"by_key":{"a":null}}`))
	f.Add([]byte(`{"retry":[],"list":{"x":1}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var plain, filled withDefaults
		plainErr := json.Unmarshal(data, &plain)
		if err := schema.Unmarshal(data, &filled); plainErr == nil && err != nil {
			t.Errorf("%q: %v", data, err)
		}
	})
}
