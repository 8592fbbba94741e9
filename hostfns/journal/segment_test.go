package journal_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
	"github.com/cofferdam-run/cofferdam/runtime"
)

func segment(tb testing.TB, seq, from int, entries []journal.Entry) journal.Segment {
	tb.Helper()
	s, err := journal.NewSegment(seq, from, entries)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// large are entries whose first and last carry the same large body, one as its
// request and the other as its answer.
func large(n int) []journal.Entry {
	body := bytes.Repeat([]byte("x"), 16<<10)
	entries := past(strings.Repeat("p", n))
	entries[0].Answer, entries[n].Request = body, body
	entries[n].Answer = slices.Concat([]byte(`"`), body, []byte(`"`))
	return entries
}

func TestSegmentsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	all := large(6)
	cut := slices.Concat(all[:2], past("rrpu")[2:])
	tests := map[string]struct {
		give []journal.Segment
		want []journal.Entry
	}{
		"none":                         {nil, nil},
		"one":                          {[]journal.Segment{segment(t, 1, 0, all)}, all},
		"one after the other":          {[]journal.Segment{segment(t, 1, 0, all[:3]), segment(t, 2, 3, all[3:])}, all},
		"one that replaces an end":     {[]journal.Segment{segment(t, 1, 0, all), segment(t, 2, 2, cut[2:])}, cut},
		"one that cuts":                {[]journal.Segment{segment(t, 1, 0, all), segment(t, 3, 2, nil)}, all[:2]},
		"one that begins all over":     {[]journal.Segment{segment(t, 1, 0, all), segment(t, 2, 0, cut)}, cut},
		"all that there are cut":       {[]journal.Segment{segment(t, 1, 0, all), segment(t, 2, 0, nil)}, []journal.Entry{}},
		"what was replaced, elsewhere": {[]journal.Segment{segment(t, 1, 0, cut), segment(t, 2, 1, all[1:])}, slices.Concat(cut[:1], all[1:])},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := journal.Join(test.give)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLargeBodiesAreKeptOnce(t *testing.T) {
	t.Parallel()
	s := segment(t, 1, 0, large(3))
	if len(s.Large) != 2 || len(s.Data) > 2000 {
		t.Errorf("got %d bodies beside %d bytes, want 2 and few", len(s.Large), len(s.Data))
	}
	for d, body := range s.Large {
		if journal.DigestOf(body) != d {
			t.Errorf("a body is kept as %x", d[:8])
		}
	}
	if entries := large(3); len(entries[3].Request) == 0 || len(entries[0].Answer) == 0 {
		t.Error("what was given has lost its bodies")
	}
}

func TestWhatIsNoJournalIsRefused(t *testing.T) {
	t.Parallel()
	entries := large(3)
	whole := segment(t, 7, 0, entries)
	changed := func(change func(*journal.Segment)) []journal.Segment {
		s := segment(t, 7, 0, entries)
		change(&s)
		return []journal.Segment{s}
	}
	tests := map[string]struct {
		give []journal.Segment
		want string
	}{
		"nothing in it":     {[]journal.Segment{{Seq: 7}}, "read segment 7 of a journal: byte 0: it is cut off"},
		"another version":   {changed(func(s *journal.Segment) { s.Data[0] = 2 }), "segment 7 of a journal: its version is 2, and this program knows version 1"},
		"more behind":       {changed(func(s *journal.Segment) { s.Data = append(s.Data, 0) }), "1 bytes follow its end"},
		"a missing body":    {changed(func(s *journal.Segment) { s.Large = nil }), "is not there"},
		"another body":      {changed(func(s *journal.Segment) { swap(s.Large) }), "is another's"},
		"the wrong order":   {[]journal.Segment{segment(t, 2, 2, entries[2:]), segment(t, 1, 1, entries[1:2])}, "segment 2 of a journal: it begins at entry 2, and those before it end at 0"},
		"a gap":             {[]journal.Segment{segment(t, 1, 0, entries[:2]), segment(t, 3, 3, entries[3:])}, "segment 3 of a journal: it begins at entry 3, and those before it end at 2"},
		"another's entries": {[]journal.Segment{segment(t, 1, 0, entries[1:])}, "entry 0 has the ordinal 1"},
		"a count beyond":    {changed(func(s *journal.Segment) { s.Data = []byte{1, 0, 0xff, 0xff, 3} }), "byte 2: 65535 is more than 10000"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := journal.Join(test.give)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %d entries, %v, want %q", len(got), err, test.want)
			}
		})
	}
	for n := range whole.Data {
		if _, err := journal.Join([]journal.Segment{{Seq: 7, Data: whole.Data[:n], Large: whole.Large}}); err == nil {
			t.Errorf("the first %d bytes of %d were taken for all", n, len(whole.Data))
		}
	}
}

// swap gives each digest the other's body.
func swap(bodies map[journal.Digest][]byte) {
	var all []journal.Digest
	for d := range bodies {
		all = append(all, d)
	}
	bodies[all[0]], bodies[all[1]] = bodies[all[1]], bodies[all[0]]
}

func FuzzJoin(f *testing.F) {
	entries := large(3)
	f.Add(segment(f, 1, 0, entries[:2]).Data, segment(f, 2, 2, entries[2:]).Data, []byte("x"))
	f.Add(segment(f, 1, 0, entries).Data, segment(f, 2, 1, nil).Data, entries[3].Request)
	f.Add([]byte{1, 0, 0}, []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, one, two, body []byte) {
		bodies := map[journal.Digest][]byte{journal.DigestOf(body): body}
		got, err := journal.Join([]journal.Segment{{Seq: 1, Data: one, Large: bodies}, {Seq: 2, Data: two}})
		if err != nil {
			return
		}
		again, err := journal.Join([]journal.Segment{segment(t, 1, 0, got)})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, again); diff != "" && len(got) > 0 {
			t.Errorf("entries (-first +second):\n%s", diff)
		}
	})
}

func TestWorldComesBackAsItWas(t *testing.T) {
	t.Parallel()
	want := journal.World{
		Model: 3, Module: "sha256:aa", Image: "sha256:bb", Seed: journal.Seed{1, 2, 255}, Start: epoch,
		Config: json.RawMessage(`{"a":1}`), Connections: journal.Granted{"github": json.RawMessage(`{"login":"octo"}`)}, Limits: runtime.Limits{MemoryBytes: 17, Fuel: 5},
		Attempt: 2, Cursor: json.RawMessage(`"c"`), Checkpoint: json.RawMessage(`[1]`), Restarts: 1, Redriven: true,
		Keys: []journal.UsedKey{{Key: "exe_1/charge", Digest: journal.DigestOf([]byte("x")), Asked: epoch}},
	}
	doc, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"seed":"0102ff0000`, fmt.Sprintf(`"digest":"%x"`, journal.DigestOf([]byte("x")))} {
		if !strings.Contains(string(doc), part) {
			t.Errorf("%s is not in %s", part, doc)
		}
	}
	var got journal.World
	if err := json.Unmarshal(doc, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("world (-want +got):\n%s", diff)
	}
}

func TestWorldRefusesWhatIsNoDigest(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]string{
		`{"seed":"00"}`: "read seed: it has 2 characters, and 64 is right",
		`{"seed":"` + strings.Repeat("zz", 32) + `"}`:             "read seed: ",
		`{"keys":[{"digest":"` + strings.Repeat("0", 65) + `"}]}`: "read digest: it has 65 characters, and 64 is right",
	} {
		var w journal.World
		if err := json.Unmarshal([]byte(doc), &w); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", doc, err, want)
		}
	}
}

// An execution whose entries are kept as a server keeps them goes on as one whose
// entries are at hand.
func TestRunGoesOnFromSegments(t *testing.T) {
	t.Parallel()
	w := newWorld()
	var first, second []string
	j, _, err := w.run(t, journal.Config{}, asks(&first, "GET /a", "POST /b "+strings.Repeat("long ", 5000), "GET /c"))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := journal.Join([]journal.Segment{segment(t, 1, 0, j.Entries())})
	if err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(time.Hour)
	j, _, err = w.run(t, journal.Config{Entries: entries}, asks(&second, "GET /a", "POST /b "+strings.Repeat("long ", 5000), "GET /c"))
	if err != nil || w.made["POST /b"] != 1 {
		t.Fatalf("got %v, made %v", err, w.made)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("answers (-first +second):\n%s", diff)
	}
	if e := j.Entries()[2]; e.Outcome != hostfns.Done || len(e.Request) < 16<<10 {
		t.Errorf("its request has %d bytes", len(e.Request))
	}
}

func TestAWorldOfEarlierServersHasNamesOnly(t *testing.T) {
	t.Parallel()
	for before, want := range map[string]string{
		`["a","b"]`:             `{"a":{},"b":{}}`,
		`[]`:                    `{}`,
		`null`:                  `{}`,
		`{"a":{"id":1},"b":{}}`: `{"a":{"id":1},"b":{}}`,
	} {
		var g journal.Granted
		if err := json.Unmarshal([]byte(before), &g); err != nil {
			t.Fatal(err)
		}
		if got, err := json.Marshal(g); err != nil || string(got) != want {
			t.Errorf("%s became %s, %v, want %s", before, got, err, want)
		}
	}
	if err := json.Unmarshal([]byte(`"a"`), &journal.Granted{}); err == nil {
		t.Error("a string was taken for connections")
	}
	if got, err := json.Marshal(journal.Granted{"a": nil}); err != nil || string(got) != `{"a":{}}` {
		t.Errorf("no fields became %s, %v", got, err)
	}
}
