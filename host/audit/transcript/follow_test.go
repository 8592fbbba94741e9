package transcript_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/cofferdam-run/cofferdam/host/audit/transcript"
)

// anotherKey is a key of a log's name.
func anotherKey(t *testing.T, name string) (note.Signer, note.Verifier, string) {
	t.Helper()
	secret, public, err := note.GenerateKey(nil, name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	return s, v, public
}

// named is a log of which a leaf names another key.
func named(t *testing.T, w *world, at int, public string) {
	t.Helper()
	says, err := transcript.Parse([]byte(w.leaves[at]))
	if err != nil {
		t.Fatal(err)
	}
	says["action"], says["object"], says["result"] = transcript.KeyAction, public, "done"
	text, err := transcript.Canonical(says)
	if err != nil {
		t.Fatal(err)
	}
	w.leaves[at] = string(text)
}

// signedBy makes the checkpoints of some sizes those of another key, too, or of that alone.
func signedBy(t *testing.T, w *world, lines []string, by ...note.Signer) []string {
	t.Helper()
	mixed := *w
	mixed.signer = by[0]
	again, _ := mixed.written(t)
	for i := 0; i <= len(w.marks); i++ {
		lines[i] = again[i]
	}
	return lines
}

func TestWhoKnowsTheKeyBeforeIsToldTheNext(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 5))
	w := newWorld(t, r, 40)
	w.marks = []int64{10, 20, 30, 40}
	next, nextKey, public := anotherKey(t, w.key.Name())
	third, thirdKey, publicThird := anotherKey(t, w.key.Name())
	_, foreignKey, foreign := anotherKey(t, "another-log")
	named(t, w, 12, public)
	named(t, w, 13, foreign)
	named(t, w, 25, publicThird)
	old, _ := w.written(t)
	// Up to 20 the first key signs, then the second, and the third in the end.
	lines := slices.Clone(old)
	for by, at := range map[note.Signer][]int{next: {3}, third: {0, 4}} {
		signed := signedBy(t, w, slices.Clone(old), by)
		for _, i := range at {
			lines[i] = signed[i]
		}
	}
	text := strings.Join(lines, "\n")
	got, err := transcript.Follow(strings.NewReader(text), w.key)
	if err != nil || len(got) != 2 || got[0].Leaf != 12 || got[0].Text != public || got[1].Leaf != 25 || got[1].Text != publicThird {
		t.Fatalf("got %+v, %v", got, err)
	}
	for name, c := range map[string]struct {
		keys  []note.Verifier
		sound bool
	}{
		"all":                {[]note.Verifier{w.key, nextKey, thirdKey}, true},
		"the first":          {[]note.Verifier{w.key}, false},
		"the last":           {[]note.Verifier{thirdKey}, false},
		"without the second": {[]note.Verifier{w.key, thirdKey, foreignKey}, false},
	} {
		report, err := transcript.Verify(strings.NewReader(text), transcript.Options{Keys: c.keys})
		if err != nil || report.Sound() != c.sound {
			t.Errorf("%s: got %+v, %v", name, report, err)
		}
	}
	for name, change := range map[string]func([]string) []string{
		"a leaf before is another": func(l []string) []string {
			l[7] = strings.Replace(l[7], "con_", "noc_", 1)
			return l
		},
		"the key is another": func(l []string) []string {
			_, _, forged := anotherKey(t, w.key.Name())
			l[1+len(w.marks)+12] = strings.Replace(l[1+len(w.marks)+12], public, forged, 1)
			return l
		},
		"no checkpoint of the first key": func(l []string) []string { return signedBy(t, w, l, next) },
		"nothing":                        func([]string) []string { return nil },
		"nonsense":                       func(l []string) []string { l[9] = "{"; return l },
	} {
		got, err := transcript.Follow(strings.NewReader(strings.Join(change(slices.Clone(lines)), "\n")), w.key)
		if err != nil || len(got) != 0 {
			t.Errorf("%s: got %+v, %v, want nobody to be followed", name, got, err)
		}
	}
	// The last key has signed all of it, the leaf that names the second one too.
	if got, err := transcript.Follow(strings.NewReader(text), thirdKey); err != nil || len(got) != 1 || got[0].Leaf != 12 {
		t.Errorf("from the last key: got %+v, %v", got, err)
	}
}

func TestACheckpointOfTwoKeysOpensWithEither(t *testing.T) {
	t.Parallel()
	w := newWorld(t, rand.New(rand.NewPCG(6, 6)), 3)
	next, nextKey, _ := anotherKey(t, w.key.Name())
	_, strange, _ := anotherKey(t, w.key.Name())
	signed, err := transcript.Checkpoint{Size: 3}.Sign(next, w.signer)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		keys []note.Verifier
		ok   bool
	}{
		"new": {[]note.Verifier{nextKey}, true}, "old": {[]note.Verifier{w.key}, true}, "both": {[]note.Verifier{w.key, nextKey}, true},
		"neither": {[]note.Verifier{strange}, false}, "none": {nil, false},
	} {
		if got, err := transcript.Open(signed, c.keys...); (err == nil) != c.ok || c.ok && got.Size != 3 {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}
