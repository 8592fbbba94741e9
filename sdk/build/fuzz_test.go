package build_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/sdk/build"
)

// FuzzMarked marks places in lines that are anybody's.
func FuzzMarked(f *testing.F) {
	f.Add("let x = ;", 8, 1)
	f.Add("\tä\x1b[2Jö", 3, 100)
	f.Add(strings.Repeat("x", 1000), 900, 50)
	f.Add("\xff\xfe", 1, 1)
	f.Add("", -1, -1)
	f.Fuzz(func(t *testing.T, line string, at, length int) {
		p := build.Marked(line, at, length)
		for _, text := range []string{p.Source, p.Caret} {
			if !utf8.ValidString(text) || utf8.RuneCountInString(text) > 200 {
				t.Fatalf("got %q", text)
			}
			for _, r := range text {
				if r != '\t' && !unicode.IsPrint(r) {
					t.Fatalf("got %q, which a terminal obeys", text)
				}
			}
		}
		if !strings.Contains(p.Caret, "^") {
			t.Fatalf("got %q, want a mark", p.Caret)
		}
	})
}

// FuzzDiagnostics reads what compilers may write.
func FuzzDiagnostics(f *testing.F) {
	f.Add("./main.go:12:5: undefined: x\n\thave ()\n")
	f.Add("src/lib.rs:1:1: error[E0425]: cannot find value `x` in this scope\n")
	f.Add("a.c:3:7: warning: unused\na.c:4:1: error: expected ';'\n")
	f.Add("src/a.ts(3,5): error TS2322: Type 'string' is not assignable.\n  Because.\n")
	f.Add("x:99999999999999999999:1: y")
	f.Fuzz(func(t *testing.T, said string) {
		root := t.TempDir()
		for _, p := range append(build.CompilerProblems(root, said), build.TypeProblems(root, said)...) {
			for _, r := range p.Text {
				if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
					t.Fatalf("got %q, which a terminal obeys", p.Text)
				}
			}
		}
	})
}

// FuzzTidy reads source maps.
func FuzzTidy(f *testing.F) {
	f.Add([]byte(`{"version":3,"sources":["./src/a.ts","../../x/node_modules/zod/index.js"],"names":[],"mappings":"AAAA"}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		tidy, err := build.Tidy(text)
		if err == nil && !json.Valid(tidy) {
			t.Fatalf("got %q", tidy)
		}
	})
}

func TestPathsInSourceMapsAreTidy(t *testing.T) {
	t.Parallel()
	tidy, err := build.Tidy([]byte(`{"version":3,"sources":["src/a.ts","./b.ts","../../x/node_modules/zod/index.js","node_modules/@a/b/c.js","cofferdam:entry"],"names":[],"mappings":"AAAA"}`))
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Sources []string }
	if err := json.Unmarshal(tidy, &got); err != nil {
		t.Fatal(err)
	}
	want := []string{"src/a.ts", "b.ts", "node_modules/zod/index.js", "node_modules/@a/b/c.js", "cofferdam:entry"}
	if diff := cmp.Diff(want, got.Sources); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
