package provenance_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/registry/provenance"
)

func TestParse(t *testing.T) {
	t.Parallel()
	got, err := provenance.Parse([]byte(`{"builder":"cofferdam 1.4.0","language":"typescript","engine":{"name":"quickjs-wasi","version":"3.6.2","sha256":"ab"},"revision":"1a2b","modified":true,"of_later":[1]}`))
	want := &provenance.Build{
		Builder: "cofferdam 1.4.0", Language: "typescript", Revision: "1a2b", Modified: true,
		Engine: &provenance.Engine{Name: "quickjs-wasi", Version: "3.6.2", SHA256: "ab"},
	}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	const line = "typescript, by cofferdam 1.4.0, with quickjs-wasi 3.6.2, from revision 1a2b, with changes that were not committed"
	if got.String() != line {
		t.Errorf("got %q, want %q", got, line)
	}
}

func TestWhatIsNoBuild(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ section, want string }{
		"no JSON":             {`{`, "not a JSON object"},
		"a list":              {`[]`, "not a JSON object"},
		"a number":            {`{"revision":7}`, "not a JSON object"},
		"not UTF-8":           {"\"\xff\"", "not UTF-8"},
		"far too long":        {strings.Repeat(" ", 20_000), "at most 16384"},
		"a long text":         {`{"engine":{"version":"` + strings.Repeat("1", 300) + `"}}`, "engine.version has 300 bytes"},
		"a line of one's own": {`{"revision":"a\n  signed by everybody"}`, "control character"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := provenance.Parse([]byte(tt.section)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestNothingIsKnown(t *testing.T) {
	t.Parallel()
	var none *provenance.Build
	if a, b := none.String(), (&provenance.Build{}).String(); a != "nothing is known" || b != a {
		t.Errorf("got %q and %q", a, b)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"builder":"x","engine":{"name":"y"}}`))
	f.Fuzz(func(t *testing.T, section []byte) {
		if b, err := provenance.Parse(section); err == nil && strings.ContainsAny(b.String(), "\n\x1b") {
			t.Errorf("got %q", b)
		}
	})
}
