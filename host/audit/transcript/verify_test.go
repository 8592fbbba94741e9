package transcript_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/cofferdam-run/cofferdam/host/audit/transcript"
)

// world is a log with checkpoints, and what an outsider kept of it.
type world struct {
	signer note.Signer
	key    note.Verifier
	leaves []string
	// marks are the sizes that were signed, the last of which is the log's.
	marks []int64
	// dropped is how many leaves, from the first, have only their hash left.
	dropped int
}

func newWorld(tb testing.TB, r *rand.Rand, n int) *world {
	tb.Helper()
	secret, public, err := note.GenerateKey(nil, "cofferdam-audit-test")
	if err != nil {
		tb.Fatal(err)
	}
	w := &world{}
	if w.signer, err = note.NewSigner(secret); err != nil {
		tb.Fatal(err)
	}
	if w.key, err = note.NewVerifier(public); err != nil {
		tb.Fatal(err)
	}
	w.leaves = leavesOf(tb, r, n, "a")
	for size := int64(0); size < int64(n); size += 1 + r.Int64N(int64(n)/3+1) {
		w.marks = append(w.marks, size)
	}
	w.marks = append(w.marks, int64(n))
	return w
}

// leavesOf are n leaves of some tenants, as a sequencer makes them.
func leavesOf(tb testing.TB, r *rand.Rand, n int, what string) []string {
	tb.Helper()
	var all []string
	last := map[string]int64{}
	for i := range int64(n) {
		tenant := []string{"", "ten_a", "ten_b"}[r.IntN(3)]
		says := map[string]any{
			"n": i, "who": fmt.Sprint("tok_", r.IntN(9)), "action": "connection.use", "object": fmt.Sprint("con_", what, r.IntN(1000)), "tenant": tenant,
			"at": fmt.Sprintf("2026-11-20T12:00:00.%06dZ", i),
		}
		if prev, ok := last[tenant]; ok {
			says["prev"] = prev
		}
		last[tenant] = i
		text, err := transcript.Canonical(says)
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, string(text))
	}
	return all
}

// stored is a tree's stored hashes.
func stored(tb testing.TB, leaves []string) tlog.HashReader {
	tb.Helper()
	var hashes []tlog.Hash
	read := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, i := range indexes {
			out = append(out, hashes[i])
		}
		return out, nil
	})
	for n, l := range leaves {
		more, err := tlog.StoredHashes(int64(n), []byte(l), read)
		if err != nil {
			tb.Fatal(err)
		}
		hashes = append(hashes, more...)
	}
	return read
}

// sign signs the first size leaves.
func (w *world) sign(tb testing.TB, leaves []string, size int64) []byte {
	tb.Helper()
	root, err := tlog.TreeHash(size, stored(tb, leaves[:size]))
	if err != nil {
		tb.Fatal(err)
	}
	signed, err := transcript.Checkpoint{Size: size, Root: root}.Sign(w.signer)
	if err != nil {
		tb.Fatal(err)
	}
	return signed
}

// written is the transcript, and kept what an outsider has of checkpoints.
func (w *world) written(tb testing.TB) (lines []string, kept [][]byte) {
	tb.Helper()
	var b bytes.Buffer
	whole := w.marks[len(w.marks)-1]
	out, err := transcript.NewWriter(&b, transcript.Header{Checkpoint: string(w.sign(tb, w.leaves, whole))})
	if err != nil {
		tb.Fatal(err)
	}
	for _, size := range w.marks {
		kept = append(kept, w.sign(tb, w.leaves, size))
		if err := out.Write(transcript.Line{Checkpoint: string(kept[len(kept)-1])}); err != nil {
			tb.Fatal(err)
		}
	}
	for n, l := range w.leaves {
		line := transcript.Line{N: int64(n), Leaf: l}
		if n < w.dropped {
			h := tlog.RecordHash([]byte(l))
			line.Leaf, line.Hash = "", &h
		}
		if err := out.Write(line); err != nil {
			tb.Fatal(err)
		}
	}
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n"), kept
}

func (w *world) verify(tb testing.TB, lines []string, earlier [][]byte) transcript.Report {
	tb.Helper()
	r, err := transcript.Verify(strings.NewReader(strings.Join(lines, "\n")), transcript.Options{Keys: []note.Verifier{w.key}, Earlier: earlier})
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// attack changes a transcript. Those that rewrite have the key, and sign what they have
// made; it is the checkpoint that somebody kept which tells.
type attack func(t *testing.T, r *rand.Rand, w *world, lines []string, first int) (changed []string)

// attacks are all that can be done to a log: each returns a transcript that is another.
var attacks = map[string]attack{
	"a leaf is edited": func(_ *testing.T, r *rand.Rand, _ *world, lines []string, first int) []string {
		i := first + r.IntN(len(lines)-first)
		at := strings.Index(lines[i], "con_") + 4
		if at < 4 {
			at = strings.Index(lines[i], `"hash":"`) + 8 // Only the hash is left.
		}
		at += r.IntN(2)
		b := []byte(lines[i])
		if b[at]++; b[at] == '"' || b[at] == '\\' || b[at] > 'z' || b[at] == ':' || b[at] == '[' {
			b[at] = 'a'
		}
		lines[i] = string(b)
		return lines
	},
	"a byte of a leaf is another": func(_ *testing.T, r *rand.Rand, _ *world, lines []string, first int) []string {
		i := first + r.IntN(len(lines)-first)
		b := []byte(lines[i])
		at := 8 + r.IntN(len(b)-8)
		b[at] ^= byte(1 + r.IntN(255))
		lines[i] = string(b)
		return lines
	},
	"a leaf is deleted": func(_ *testing.T, r *rand.Rand, _ *world, lines []string, first int) []string {
		i := first + r.IntN(len(lines)-first)
		return slices.Delete(lines, i, i+1)
	},
	"the last leaves are cut off": func(_ *testing.T, r *rand.Rand, _ *world, lines []string, first int) []string {
		return lines[:first+r.IntN(len(lines)-first)]
	},
	"two leaves change places": func(_ *testing.T, r *rand.Rand, _ *world, lines []string, first int) []string {
		i, j := two(r, first, len(lines))
		lines[i], lines[j] = lines[j], lines[i]
		return lines
	},
	"two texts change places": func(_ *testing.T, r *rand.Rand, _ *world, lines []string, first int) []string {
		i, j := two(r, first, len(lines))
		head := func(s string) (string, string) { n := strings.Index(s, ",") + 1; return s[:n], s[n:] }
		hi, ti := head(lines[i])
		hj, tj := head(lines[j])
		lines[i], lines[j] = hi+tj, hj+ti
		return lines
	},
	"a leaf is there twice": func(_ *testing.T, r *rand.Rand, _ *world, lines []string, first int) []string {
		i := first + r.IntN(len(lines)-first)
		return slices.Insert(lines, i, lines[i])
	},
	"a leaf is added at the end": func(t *testing.T, r *rand.Rand, w *world, lines []string, _ int) []string {
		t.Helper()
		more := leavesOf(t, r, len(w.leaves)+1, "x")
		return append(lines, lineOf(len(w.leaves), more[len(w.leaves)]))
	},
	"a text is taken away, and another hash left": func(_ *testing.T, r *rand.Rand, _ *world, lines []string, first int) []string {
		i := first + r.IntN(len(lines)-first)
		lines[i] = fmt.Sprintf(`{"n":%d,"hash":"%s"}`, i-first, tlog.RecordHash([]byte("x")).String())
		return lines
	},
	"the log is written anew and signed, and was known before": func(t *testing.T, r *rand.Rand, w *world, _ []string, _ int) []string {
		t.Helper()
		// A fork: it leaves the known one at a place before the last known checkpoint.
		at := r.IntN(len(w.leaves))
		fork := *w
		fork.leaves = append(slices.Clone(w.leaves[:at]), leavesOf(t, r, len(w.leaves)+r.IntN(9), "fork")[at:]...)
		fork.leaves = renumbered(t, fork.leaves)
		fork.marks = []int64{int64(len(fork.leaves))}
		lines, _ := fork.written(t)
		return lines
	},
	"a leaf is left out, and the rest numbered and signed anew": func(t *testing.T, r *rand.Rand, w *world, _ []string, _ int) []string {
		t.Helper()
		at := r.IntN(len(w.leaves))
		fork := *w
		fork.leaves = renumbered(t, slices.Delete(slices.Clone(w.leaves), at, at+1))
		fork.marks = []int64{int64(len(fork.leaves))}
		lines, _ := fork.written(t)
		return lines
	},
	"two leaves change places, and all is signed anew": func(t *testing.T, r *rand.Rand, w *world, _ []string, _ int) []string {
		t.Helper()
		i, j := two(r, 0, len(w.leaves))
		fork := *w
		fork.leaves = slices.Clone(w.leaves)
		fork.leaves[i], fork.leaves[j] = fork.leaves[j], fork.leaves[i]
		fork.leaves = renumbered(t, fork.leaves)
		lines, _ := fork.written(t)
		return lines
	},
	"another key signs": func(t *testing.T, r *rand.Rand, w *world, _ []string, _ int) []string {
		t.Helper()
		fork := newWorld(t, r, 2)
		fork.leaves, fork.marks = w.leaves, w.marks
		lines, _ := fork.written(t)
		return lines
	},
}

func two(r *rand.Rand, from, to int) (i, j int) {
	i = from + r.IntN(to-from)
	for j = i; j == i; {
		j = from + r.IntN(to-from)
	}
	return i, j
}

func lineOf(n int, leaf string) string {
	return fmt.Sprintf(`{"n":%d,"leaf":%s}`, n, strings.TrimSuffix(quoted(leaf), "\n"))
}

func quoted(s string) string { return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"` }

// renumbered makes leaves ones that are in order in themselves.
func renumbered(tb testing.TB, leaves []string) []string {
	tb.Helper()
	last := map[any]int64{}
	for i, l := range leaves {
		says, err := transcript.Parse([]byte(l))
		if err != nil {
			tb.Fatal(err)
		}
		delete(says, "prev")
		if prev, ok := last[says["tenant"]]; ok {
			says["prev"] = prev
		}
		says["n"] = int64(i)
		last[says["tenant"]] = int64(i)
		text, err := transcript.Canonical(says)
		if err != nil {
			tb.Fatal(err)
		}
		leaves[i] = string(text)
	}
	return leaves
}

// TestEveryChangeIsFound makes 10,000 changes of all kinds, and has each found.
func TestEveryChangeIsFound(t *testing.T) {
	t.Parallel()
	const changes = 10_000
	per := changes/len(attacks) + 1
	for name, change := range attacks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(1, uint64(len(name))))
			var w *world
			var lines []string
			var kept [][]byte
			made := 0
			for n := 0; made < per; n++ {
				if n%50 == 0 {
					w = newWorld(t, r, 3+r.IntN(40))
					w.dropped = r.IntN(2) * r.IntN(len(w.leaves))
					lines, kept = w.written(t)
					if got := w.verify(t, lines, kept); !got.Sound() || got.Leaves != int64(len(w.leaves)) || got.Checkpoints < len(w.marks)-1 {
						t.Fatalf("the log itself: %+v", got)
					}
				}
				changed := change(t, r, w, slices.Clone(lines), 1+len(w.marks))
				if same(lines, changed) {
					continue
				}
				made++
				got := w.verify(t, changed, kept)
				if got.Sound() {
					t.Fatalf("seed %d, change %d: nothing was found\n%s\n%s", len(name), n, strings.Join(lines, "\n"), strings.Join(changed, "\n"))
				}
				for _, p := range got.Problems {
					if p.Text == "" || p.Kind == "" || p.To < p.From {
						t.Errorf("a problem says nothing: %+v", p)
					}
				}
			}
		})
	}
}

// same says that a change changed nothing that a reader of JSON sees.
func same(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && meaning(a[i]) != meaning(b[i]) {
			return false
		}
	}
	return true
}

func TestWithoutAnEarlierCheckpointWhoHasTheKeyIsBelieved(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(2, 2))
	w := newWorld(t, r, 30)
	_, kept := w.written(t)
	fork := *w
	fork.leaves = leavesOf(t, r, 30, "fork")
	lines, _ := fork.written(t)
	if got := w.verify(t, lines, nil); !got.Sound() {
		t.Errorf("got %+v, want a log that is sound in itself", got)
	}
	got := w.verify(t, lines, kept)
	if got.Sound() || !slices.ContainsFunc(got.Problems, func(p transcript.Problem) bool { return p.Kind == transcript.Forked }) {
		t.Errorf("got %+v, want a fork", got)
	}
}

func TestItIsSaidBetweenWhichCheckpoints(t *testing.T) {
	t.Parallel()
	w := newWorld(t, rand.New(rand.NewPCG(3, 3)), 100)
	w.marks = []int64{10, 20, 60, 100}
	lines, kept := w.written(t)
	at := 1 + len(w.marks) + 33
	lines[at] = strings.Replace(lines[at], "con_", "cno_", 1)
	got := w.verify(t, lines, kept)
	if len(got.Problems) == 0 || got.Problems[0].Kind != transcript.Changed || got.Problems[0].From != 20 || got.Problems[0].To != 59 {
		t.Errorf("got %+v, want a change of leaves 20 to 59", got.Problems)
	}
}

func TestATenantsPart(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(4, 4))
	w := newWorld(t, r, 60)
	hashes := stored(t, w.leaves)
	var b bytes.Buffer
	out, err := transcript.NewWriter(&b, transcript.Header{Checkpoint: string(w.sign(t, w.leaves, 60)), Tenant: "ten_a"})
	if err != nil {
		t.Fatal(err)
	}
	own := 0
	for n, l := range w.leaves {
		if !strings.Contains(l, "ten_a") {
			continue
		}
		proof, err := tlog.ProveRecord(60, int64(n), hashes)
		if err != nil {
			t.Fatal(err)
		}
		if err := out.Write(transcript.Line{N: int64(n), Leaf: l, Proof: proof}); err != nil {
			t.Fatal(err)
		}
		own++
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	got := w.verify(t, lines, nil)
	if !got.Sound() || got.Leaves != int64(own) || got.Tenant != "ten_a" {
		t.Fatalf("got %+v, want %d leaves that are sound", got, own)
	}
	for range 500 {
		changed := slices.Clone(lines)
		i, j := two(r, 1, len(lines))
		switch r.IntN(4) {
		case 0: // The last of them may be missing: that cannot be told.
			i = 1 + r.IntN(len(lines)-2)
			changed = slices.Delete(changed, i, i+1)
		case 1:
			changed[i], changed[j] = changed[j], changed[i]
		case 2:
			changed[i] = strings.Replace(changed[i], "con_", "noc_", 1)
		default:
			changed[0] = strings.Replace(changed[0], "ten_a", "ten_b", 1)
		}
		if w.verify(t, changed, nil).Sound() {
			t.Fatalf("nothing was found:\n%s", strings.Join(changed, "\n"))
		}
	}
}
