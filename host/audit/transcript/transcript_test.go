package transcript_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/cofferdam-run/cofferdam/host/audit/transcript"
)

// meaning is what a reader of JSON makes of a line.
func meaning(line string) string {
	var l struct {
		transcript.Line
		Format, Tenant string
	}
	if err := json.Unmarshal([]byte(line), &l); err != nil {
		return "bad: " + line
	}
	return fmt.Sprintf("%d|%s|%v|%v|%s|%s|%s", l.N, l.Leaf, l.Hash, l.Proof, l.Checkpoint, l.Format, l.Tenant)
}

func TestALeafHasOneText(t *testing.T) {
	t.Parallel()
	got, err := transcript.Canonical(map[string]any{
		"who": "tok_1", "n": int64(0), "action": "a<b>&\u2028\"\\\b\f\n\r\t\x01ü", "count": int64(0), "tenant": "", "prev": int64(0),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"action":"a<b>&` + "\u2028" + `\"\\\b\f\n\r\t\u0001ü","n":0,"prev":0,"who":"tok_1"}`
	if string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	back, err := transcript.Parse(got)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]any{
		"who": "tok_1", "n": int64(0), "action": "a<b>&\u2028\"\\\b\f\n\r\t\x01ü", "prev": int64(0),
	}, back); d != "" {
		t.Errorf("(-want +got) %s", d)
	}
}

func TestAnyOtherTextIsRefused(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"nothing":                `{}`,
		"no object":              `[1]`,
		"white space":            `{"a": "b"}`,
		"another order":          `{"b":"1","a":"1"}`,
		"a doubled name":         `{"a":"1","a":"1"}`,
		"an empty text":          `{"a":""}`,
		"a zero":                 `{"a":0}`,
		"another escape":         `{"a":"\u0041"}`,
		"an escape in capitals":  `{"a":"\u001F"}`,
		"a long escape":          `{"a":"\u000a"}`,
		"a raw control":          "{\"a\":\"\n\"}",
		"a slash that is hidden": `{"a":"\/"}`,
		"a fraction":             `{"a":1.0}`,
		"a leading zero":         `{"a":01}`,
		"a number below zero":    `{"a":-1}`,
		"a number too large":     `{"a":9007199254740992}`,
		"no text":                `{"a":null}`,
		"an object in it":        `{"a":{}}`,
		"something after it":     `{"a":"b"} `,
		"a second one":           `{"a":"b"}{"a":"b"}`,
		"no end":                 `{"a":"b"`,
		"no end of a text":       `{"a":"b`,
		"a comma at the end":     `{"a":"b",}`,
		"not UTF-8":              "{\"a\":\"\xff\"}",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := transcript.Parse([]byte(text)); err == nil {
				t.Errorf("%s is read as %v", text, got)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"a":"b","n":0}`, `{"a":"\u0001\n"}`, `{"n":12}`, `{`, ``} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		leaf, err := transcript.Parse(text)
		if err != nil {
			return
		}
		again, err := transcript.Canonical(leaf)
		if err != nil || !bytes.Equal(again, text) {
			t.Errorf("%q is read, and written as %q, %v", text, again, err)
		}
		var any1 map[string]any
		if err := json.Unmarshal(text, &any1); err != nil || len(any1) != len(leaf) {
			t.Errorf("%q is no JSON for others: %v", text, err)
		}
	})
}

func FuzzVerify(f *testing.F) {
	w := newWorld(f, rand.New(rand.NewPCG(1, 1)), 5)
	lines, _ := w.written(f)
	f.Add(strings.Join(lines, "\n"))
	f.Add(`{"format":"cofferdam-audit-1","checkpoint":""}`)
	whole := strings.Join(lines, "\n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := transcript.Verify(strings.NewReader(text), transcript.Options{Keys: []note.Verifier{w.key}})
		if err != nil {
			return
		}
		for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
			if r.Sound() && text != whole && i < len(lines) && meaning(line) != meaning(lines[i]) {
				// Another checkpoint of the same log would be sound, and there is none with a signature.
				t.Errorf("it is sound, and line %d is %s", i, line)
			}
		}
	})
}

func TestCheckpoints(t *testing.T) {
	t.Parallel()
	w := newWorld(t, rand.New(rand.NewPCG(1, 1)), 9)
	good := w.sign(t, w.leaves, 9)
	c, err := transcript.Open(good, w.key)
	if err != nil || c.Size != 9 || c.Origin != w.key.Name() {
		t.Fatalf("got %+v, %v", c, err)
	}
	forged := func(text string) []byte {
		signed, err := note.Sign(&note.Note{Text: text}, w.signer)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	root := tlog.Hash{}.String()
	for name, bad := range map[string][]byte{
		"nothing":         nil,
		"another size":    bytes.Replace(good, []byte("\n9\n"), []byte("\n8\n"), 1),
		"no signature":    good[:bytes.Index(good, []byte("\n\n"))+1],
		"too long":        append(good, make([]byte, 20_000)...),
		"two lines":       forged("cofferdam-audit-test\n9\n"),
		"of another log":  forged("another\n9\n" + root + "\n"),
		"a negative size": forged("cofferdam-audit-test\n-9\n" + root + "\n"),
		"a padded size":   forged("cofferdam-audit-test\n09\n" + root + "\n"),
		"no root":         forged("cofferdam-audit-test\n9\nAAAA\n"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := transcript.Open(bad, w.key); err == nil {
				t.Errorf("it opens as %+v", got)
			}
		})
	}
}

func TestAFileOfCheckpointsIsParted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, rand.New(rand.NewPCG(1, 1)), 9)
	var file []byte
	for size := range int64(9) {
		file = append(append(file, w.sign(t, w.leaves, size)...), '\n')
	}
	notes := transcript.Split(file)
	if len(notes) != 9 {
		t.Fatalf("got %d notes, want 9", len(notes))
	}
	for size, n := range notes {
		if c, err := transcript.Open(n, w.key); err != nil || c.Size != int64(size) {
			t.Errorf("note %d: got %+v, %v", size, c, err)
		}
	}
	if got := transcript.Split(nil); len(got) != 0 {
		t.Errorf("got %d notes of nothing", len(got))
	}
}

func TestWhatIsNoTranscriptIsSaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t, rand.New(rand.NewPCG(1, 1)), 3)
	lines, _ := w.written(t)
	for name, text := range map[string]string{
		"nothing":           "",
		"no JSON":           "hello",
		"another format":    `{"format":"x"}`,
		"a line too long":   lines[0] + "\n" + `{"n":0,"leaf":"` + strings.Repeat("a", 2<<20) + `"}`,
		"a leaf of nothing": lines[0] + "\n" + `{"n":0}`,
		"no leaves":         lines[0],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := transcript.Verify(strings.NewReader(text), transcript.Options{Keys: []note.Verifier{w.key}})
			if err != nil || got.Sound() {
				t.Errorf("got %+v, %v, want a problem", got, err)
			}
		})
	}
}
