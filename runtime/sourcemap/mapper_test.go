package sourcemap_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/evanw/esbuild/pkg/api"
	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/runtime/sourcemap"
)

// source is an author's file, whose third line fails.
const source = `interface Order { id: number }
export function run(order: Order): string {
  if (order.id < 0) throw new Error("no such order: " + order.id);
  return "ok";
}
`

// bundle makes a bundle of the source as it is made of connectors, and says where in it
// a piece of code is.
func bundle(tb testing.TB, minify bool) (sourceMap []byte, position func(code string) string) {
	tb.Helper()
	result := api.Build(api.BuildOptions{
		Stdin:             &api.StdinOptions{Contents: source, Sourcefile: "src/shop.ts", Loader: api.LoaderTS},
		Format:            api.FormatIIFE,
		GlobalName:        "c",
		Outfile:           "connector.js",
		Sourcemap:         api.SourceMapExternal,
		MinifyWhitespace:  minify,
		MinifySyntax:      minify,
		MinifyIdentifiers: minify,
	})
	if len(result.Errors) > 0 {
		tb.Fatal(result.Errors[0].Text)
	}
	var code string
	for _, f := range result.OutputFiles {
		if strings.HasSuffix(f.Path, ".map") {
			sourceMap = f.Contents
		} else {
			code = string(f.Contents)
		}
	}
	return sourceMap, func(piece string) string {
		before, _, found := strings.Cut(code, piece)
		if !found {
			tb.Fatalf("there is no %q in %s", piece, code)
		}
		return fmt.Sprintf("connector.js:%d:%d", 1+strings.Count(before, "\n"), len(before)-strings.LastIndex(before, "\n"))
	}
}

func mapperOf(text string) *sourcemap.Mapper {
	return sourcemap.New(func() ([]byte, error) { return []byte(text), nil })
}

// lines is a map of a bundle whose line N is line N of its only source, whatever the
// column.
func lines(name string, n int) *sourcemap.Mapper {
	text, err := json.Marshal(map[string]any{
		"version": 3, "sources": []string{name}, "names": []string{}, "mappings": "AAAA" + strings.Repeat(";AACA", n-1),
	})
	if err != nil {
		panic(err)
	}
	return mapperOf(string(text))
}

func TestPositionsAreTheAuthors(t *testing.T) {
	t.Parallel()
	t.Run("as the bundle was written", func(t *testing.T) {
		t.Parallel()
		text, at := bundle(t, false)
		m, position := mapperOf(string(text)), at("throw new Error")
		if got, want := m.Text("Error: no\n    at run ("+position+")\n"), "Error: no\n    at run (src/shop.ts:3:21)\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got := m.Text(position[:strings.LastIndex(position, ":")]); got != "src/shop.ts:3" {
			t.Errorf("without a column got %q", got)
		}
	})
	t.Run("minified", func(t *testing.T) {
		t.Parallel()
		text, at := bundle(t, true)
		if got := mapperOf(string(text)).Text(at("Error(")); !strings.HasPrefix(got, "src/shop.ts:3:") {
			t.Errorf("got %q", got)
		}
	})
}

func TestText(t *testing.T) {
	t.Parallel()
	m := lines("src/a.ts", 9)
	for name, test := range map[string]struct{ text, want string }{
		"nothing":                       {"", ""},
		"no position":                   {"connector.js is fine", "connector.js is fine"},
		"several":                       {"connector.js:1:1, connector.js:2:7", "src/a.ts:1:1, src/a.ts:2:1"},
		"with neighbours":               {"<connector.js:3:4>:5", "<src/a.ts:3:1>:5"},
		"without a column":              {"at connector.js:3", "at src/a.ts:3"},
		"a colon behind it":             {"connector.js:3: oops", "src/a.ts:3: oops"},
		"a line that is not there":      {"connector.js:99:1", "connector.js:99:1"},
		"a line before the first":       {"connector.js:0:1", "connector.js:0:1"},
		"a column before the first":     {"connector.js:1:0", "src/a.ts:1:1"},
		"numbers that are none of ours": {"connector.js:12345678901:1", "connector.js:12345678901:1"},
		"another file":                  {"my-connector.js:1:1 src/connector.js:1:1 connector.jsx:1", "my-connector.js:1:1 src/connector.js:1:1 connector.jsx:1"},
		"after a line feed in JSON":     {`"\nconnector.js:1:1\tconnector.js:2:1"`, `"\nsrc/a.ts:1:1\tsrc/a.ts:2:1"`},
		"after another escape":          {`"\xconnector.js:1:1"`, `"\xconnector.js:1:1"`},
		"bytes that are no text":        {"\xff connector.js:1:1\x00", "\xff src/a.ts:1:1\x00"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := m.Text(test.text); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	t.Run("as many as a stack trace has", func(t *testing.T) {
		t.Parallel()
		got := m.Text(strings.Repeat("connector.js:1:1 ", 10_000))
		if n := strings.Count(got, "src/a.ts"); n == 0 || n > 1000 {
			t.Errorf("%d positions were mapped", n)
		}
	})
}

func TestPathsAreTidy(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"src/a.ts":                               "src/a.ts",
		"./src/../a.ts":                          "a.ts",
		"../../shared/a.ts":                      "shared/a.ts",
		"../../../node_modules/zod/mini.js":      "node_modules/zod/mini.js",
		"node_modules/.pnpm/a/node_modules/b.js": "node_modules/b.js",
		"/somewhere/deep/src/a.ts":               "a.ts",
		`C:\me\src\a.ts`:                         "a.ts",
		"file:///somewhere/a.ts":                 "a.ts",
		"cofferdam:entry":                        "cofferdam:entry",
		"connector.js":                           "./connector.js",
		"a\n    at evil (b.ts:1:1)":              "a_    at evil (b.ts:1:1)",
		`a","code":"b`:                           "a_,_code_:_b",
		"":                                       "unknown",
		"..":                                     "unknown",
		strings.Repeat("x", 1000):                strings.Repeat("x", 200) + "...",
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			if got := lines(given, 1).Text("connector.js:1:1"); got != want+":1:1" {
				t.Errorf("got %q, want %q", got, want+":1:1")
			}
		})
	}
}

func TestStackLeavesTheEngineOut(t *testing.T) {
	t.Parallel()
	const stack = "    at <anonymous> (connector.js:2:9)\n    at [Symbol.replace] (native)\n    at replace (native)\n    at run (connector.js:3:1)\n    at map (native)"
	const want = "    at <anonymous> (src/a.ts:2:1)\n    at run (src/a.ts:3:1)\n"
	if diff := cmp.Diff(want, lines("src/a.ts", 9).Stack(stack)); diff != "" {
		t.Errorf("differs (-want +got):\n%s", diff)
	}
}

func TestDetails(t *testing.T) {
	t.Parallel()
	m := lines("src/a.ts", 9)
	for name, test := range map[string]struct{ doc, want string }{
		"nothing":                   {``, ``},
		"no position":               {`{"stack": "    at replace (native)"}`, `{"stack": "    at replace (native)"}`},
		"a stack":                   {`{ "a": 1.0, "stack":"at connector.js:1:2\n    at map (native)\n    at <x> (connector.js:2:2)" , "z":[]}`, `{ "a": 1.0, "stack":"at src/a.ts:1:1\n    at <x> (src/a.ts:2:1)" , "z":[]}`},
		"one in a cause":            {`{"stack":"x","cause":{"stack":"at connector.js:1:2"}}`, `{"stack":"x","cause":{"stack":"at src/a.ts:1:1"}}`},
		"a stack that is no string": {`{"stack":["at connector.js:1:2"]}`, `{"stack":["at src/a.ts:1:1"]}`},
		"no object":                 {`"at connector.js:1:2"`, `"at src/a.ts:1:1"`},
		"no document":               {`{"stack":"connector.js:1:2`, `{"stack":"src/a.ts:1:1`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := string(m.Details(json.RawMessage(test.doc))); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestMapsThatAreNone(t *testing.T) {
	t.Parallel()
	const text = "at connector.js:1:1"
	for name, m := range map[string]*sourcemap.Mapper{
		"nil":                     nil,
		"no JSON":                 mapperOf("{"),
		"another version":         mapperOf(`{"version":2,"sources":["a"],"mappings":"AAAA"}`),
		"sections":                mapperOf(`{"version":3,"sections":[null]}`),
		"no mappings":             mapperOf(`{"version":3,"sources":["a"],"mappings":""}`),
		"a source of none":        mapperOf(`{"version":3,"sources":[],"mappings":"AAAA"}`),
		"a source before them":    mapperOf(`{"version":3,"sources":["a"],"mappings":"ADAA"}`),
		"a line before the first": mapperOf(`{"version":3,"sources":["a"],"mappings":"AADA"}`),
		"no source":               mapperOf(`{"version":3,"sources":["a"],"mappings":"A"}`),
		"too many sources":        mapperOf(`{"version":3,"sources":["a"` + strings.Repeat(`,"a"`, 20_000) + `],"mappings":"AAAA"}`),
		"too many mappings":       mapperOf(`{"version":3,"sources":["a"],"mappings":"AAAA` + strings.Repeat(",CAAA", 1<<19+1) + `"}`),
		"too many bytes":          mapperOf(`{"version":3,"sources":["a"],"mappings":"AAAA"}` + strings.Repeat(" ", 8<<20)),
		"none to be read":         sourcemap.New(func() ([]byte, error) { return nil, errors.New("gone") }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := m.Text(text); got != text && name != "no source" {
				t.Errorf("got %q", got)
			}
			if got := string(m.Details([]byte(`{"stack":"` + text + `"}`))); !json.Valid([]byte(got)) {
				t.Errorf("got %s", got)
			}
			m.Forget()
		})
	}
}

func TestASourceMapIsReadOnceAndWhenNeeded(t *testing.T) {
	t.Parallel()
	read := 0
	m := sourcemap.New(func() ([]byte, error) {
		read++
		return []byte(`{"version":3,"sources":["a.ts"],"mappings":"AAAA"}`), nil
	})
	want := func(n int, when string) {
		t.Helper()
		if read != n {
			t.Errorf("it was read %d times %s, want %d", read, when, n)
		}
	}
	m.Text("nothing of ours")
	m.Details([]byte(`{}`))
	want(0, "before it was needed")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { m.Text("connector.js:1:1") })
	}
	wg.Wait()
	want(1, "by eight")
	m.Forget()
	m.Text("connector.js:1:1")
	want(2, "after it was given back")
}

// FuzzMapper looks for a map that panics, or that breaks the document that it is for.
func FuzzMapper(f *testing.F) {
	made, _ := bundle(f, true)
	f.Add(made, "at run (connector.js:1:40)")
	f.Add([]byte(`{"version":3,"sources":["\""],"mappings":"AAAA;AACA,C"}`), `\nconnector.js:2:1`)
	f.Add([]byte(`{"version":3,"sources":["a"],"mappings":"AggggggggggA"}`), "connector.js:1")
	f.Fuzz(func(t *testing.T, text []byte, stack string) {
		m := sourcemap.New(func() ([]byte, error) { return text, nil })
		if got := m.Text(stack); len(got) > len(stack)+256*256 {
			t.Errorf("%d bytes became %d", len(stack), len(got))
		}
		doc, err := json.Marshal(map[string]any{"message": stack, "stack": stack})
		if err != nil {
			t.Skip(err)
		}
		if got := m.Details(doc); !json.Valid(got) {
			t.Errorf("%s became %s", doc, got)
		}
	})
}

func ExampleMapper() {
	m := sourcemap.New(func() ([]byte, error) {
		return []byte(`{"version":3,"sources":["../src/shop.ts"],"names":[],"mappings":"AAAA;AAWI"}`), nil
	})
	fmt.Println(m.Text("Error: no such order\n    at run (connector.js:2:7)"))
	// Output:
	// Error: no such order
	//     at run (src/shop.ts:12:5)
}
