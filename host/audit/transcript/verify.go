package transcript

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Options say what a transcript is held to.
type Options struct {
	// Keys are the log's public ones, of which each checkpoint has to be signed with one:
	// the one that it has, and those from before it was replaced. See Follow.
	Keys []note.Verifier
	// Earlier are signed checkpoints that were kept elsewhere. The more often one is
	// taken, the closer is said where something was changed.
	Earlier [][]byte
}

// Kind is what is wrong.
type Kind string

// The kinds.
const (
	// Malformed is what nobody can read.
	Malformed Kind = "malformed"
	// Unsigned is a checkpoint that none of the keys has signed.
	Unsigned Kind = "unsigned"
	// Misplaced is a leaf that is missing, doubled or out of order.
	Misplaced Kind = "misplaced"
	// Changed means that leaves are not what the checkpoint says.
	Changed Kind = "changed"
	// Forked means that two checkpoints say different things of the same leaves.
	Forked Kind = "forked"
	// Cut means that the transcript ends before a checkpoint does.
	Cut Kind = "cut"
)

// Problem is something that is wrong.
type Problem struct {
	Kind Kind `json:"kind"`
	// From and To are the first and last leaf that may be concerned.
	From int64  `json:"from"`
	To   int64  `json:"to"`
	Text string `json:"text"`
}

// Report is what a transcript shows.
type Report struct {
	Origin string `json:"origin"`
	Tenant string `json:"tenant,omitempty"`
	// Size is how many leaves the log has, Leaves how many were read, and Hashes how
	// many of these have only their hash left.
	Size   int64 `json:"size"`
	Leaves int64 `json:"leaves"`
	Hashes int64 `json:"hashes"`
	// Checkpoints is how many the leaves were held to.
	Checkpoints int       `json:"checkpoints"`
	Problems    []Problem `json:"problems"`
}

// maxProblems is how many are told: one is enough to know.
const maxProblems = 100

// Sound says that nothing is wrong.
func (r Report) Sound() bool { return len(r.Problems) == 0 }

// Verify holds a transcript to the checkpoint in it and to earlier ones. What is
// wrong with it is in the report; the error is that it could not be read.
func Verify(r io.Reader, o Options) (Report, error) {
	v := &verifier{in: newReader(r), o: o, last: map[string]int64{}}
	err := v.run()
	if errors.Is(err, errMalformed) {
		v.problem(Malformed, v.tree.size, v.report.Size-1, "%v", err)
		err = nil
	}
	if v.report.Problems == nil {
		v.report.Problems = []Problem{}
	}
	if err != nil {
		return v.report, fmt.Errorf("verify a transcript: %w", err)
	}
	return v.report, nil
}

type verifier struct {
	in     *reader
	o      Options
	report Report
	// marks are the checkpoints, the shortest first, and matched the size of the last
	// one that the leaves were held to.
	marks   []Checkpoint
	matched int64
	whole   Checkpoint
	tree    frontier
	// last is each tenant's last leaf, and bare the ranges of leaves whose tenant is
	// not known any more.
	last map[string]int64
	bare []span
}

// span is a range of leaves: the first, and the one after the last.
type span struct{ from, to int64 }

func (v *verifier) problem(k Kind, from, to int64, format string, args ...any) {
	if len(v.report.Problems) < maxProblems {
		v.report.Problems = append(v.report.Problems, Problem{k, from, max(from, to), fmt.Sprintf(format, args...)})
	}
}

func (v *verifier) run() error {
	var h Header
	if err := v.in.next(&h); err != nil {
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("it is empty: %w", errMalformed)
		}
		return err
	}
	if h.Format != Format {
		return fmt.Errorf("its format is %q, and this reads %q: %w", h.Format, Format, errMalformed)
	}
	var err error
	if v.whole, err = Open([]byte(h.Checkpoint), v.o.Keys...); err != nil {
		v.problem(Unsigned, 0, 0, "the checkpoint that it begins with: %v", err)
		return nil
	}
	v.report.Origin, v.report.Size, v.report.Tenant = v.whole.Origin, v.whole.Size, h.Tenant
	v.marks = append(v.marks, v.whole)
	for _, signed := range v.o.Earlier {
		v.mark(signed)
	}
	first, err := v.others()
	if err != nil {
		return err
	}
	v.agree()
	if h.Tenant != "" {
		return v.part(first)
	}
	return v.all(first)
}

// mark adds a checkpoint.
func (v *verifier) mark(signed []byte) {
	c, err := Open(signed, v.o.Keys...)
	if err != nil {
		v.problem(Unsigned, 0, 0, "%v", err)
		return
	}
	v.marks = append(v.marks, c)
}

// others reads the checkpoints after the header, and returns the line that is none,
// or nil.
func (v *verifier) others() (*Line, error) {
	for {
		var l Line
		err := v.in.next(&l)
		switch {
		case errors.Is(err, io.EOF):
			return nil, nil //nolint:nilnil // No line is an answer: there are no leaves.
		case err != nil:
			return nil, err
		case l.Checkpoint == "":
			return &l, nil
		}
		v.mark([]byte(l.Checkpoint))
	}
}

// agree looks for checkpoints that say different things of the same leaves, and
// leaves one of each size.
func (v *verifier) agree() {
	slices.SortStableFunc(v.marks, func(a, b Checkpoint) int { return cmp.Compare(a.Size, b.Size) })
	var kept []Checkpoint
	for _, m := range v.marks {
		if n := len(kept); n > 0 && kept[n-1].Size == m.Size {
			if kept[n-1].Root != m.Root {
				v.problem(Forked, 0, m.Size-1, "two signed checkpoints of %d leaves have different roots: there are two logs", m.Size)
			}
			continue
		}
		kept = append(kept, m)
	}
	v.marks = kept
	if last := kept[len(kept)-1]; last.Size > v.whole.Size {
		v.problem(Cut, v.whole.Size, last.Size-1, "it is of %d leaves, and there is a checkpoint of %d: those after the first were taken away, or it was written earlier", v.whole.Size, last.Size)
	}
}

// all checks the transcript of a whole log.
func (v *verifier) all(l *Line) error {
	v.match()
	for l != nil {
		if !v.leaf(*l) {
			return nil
		}
		v.match()
		var next Line
		err := v.in.next(&next)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		l = &next
	}
	if v.tree.size < v.whole.Size {
		v.problem(Cut, v.tree.size, v.whole.Size-1, "it ends after %d leaves, and its checkpoint is of %d", v.tree.size, v.whole.Size)
	}
	return nil
}

// match holds the tree to the checkpoint of its size, if there is one.
func (v *verifier) match() {
	i, ok := slices.BinarySearchFunc(v.marks, v.tree.size, func(c Checkpoint, n int64) int { return cmp.Compare(c.Size, n) })
	if !ok || v.tree.size > v.whole.Size {
		return
	}
	v.report.Checkpoints++
	if v.tree.root() != v.marks[i].Root {
		v.problem(Changed, v.matched, v.tree.size-1, "the %d leaves do not have the root that the checkpoint of %d has; those before leaf %d do",
			v.tree.size, v.tree.size, v.matched)
		return
	}
	if len(v.report.Problems) == 0 {
		v.matched = v.tree.size
	}
}

// leaf adds a leaf to the tree, and says whether it makes sense to go on.
func (v *verifier) leaf(l Line) bool {
	n := v.tree.size
	switch {
	case n >= v.whole.Size:
		v.problem(Misplaced, n, n, "there is a leaf %d, and its checkpoint is of %d", l.N, v.whole.Size)
		return false
	case l.N != n:
		v.problem(Misplaced, n, n, "leaf %d is where leaf %d should be", l.N, n)
		return false
	}
	hash, says, ok := v.read(l)
	if !ok {
		return false
	}
	v.tree.add(hash)
	v.report.Leaves++
	if says == nil {
		v.report.Hashes++
		v.barely(n)
		return true
	}
	return v.follows(n, says)
}

// read returns a leaf's hash and what it says, which is nil if nothing but the hash
// is left.
func (v *verifier) read(l Line) (tlog.Hash, map[string]any, bool) {
	if l.Leaf == "" {
		if l.Hash == nil {
			v.problem(Malformed, l.N, l.N, "leaf %d has neither text nor hash", l.N)
			return tlog.Hash{}, nil, false
		}
		return *l.Hash, nil, true
	}
	says, err := Parse([]byte(l.Leaf))
	if err != nil {
		v.problem(Malformed, l.N, l.N, "leaf %d: %v", l.N, err)
		return tlog.Hash{}, nil, false
	}
	if says["n"] != l.N {
		v.problem(Misplaced, l.N, l.N, "the text of leaf %d says that it is leaf %v", l.N, says["n"])
		return tlog.Hash{}, nil, false
	}
	hash := tlog.RecordHash([]byte(l.Leaf))
	if l.Hash != nil && *l.Hash != hash {
		v.problem(Changed, l.N, l.N, "the text of leaf %d does not have its hash", l.N)
		return tlog.Hash{}, nil, false
	}
	return hash, says, true
}

// barely remembers that of a leaf only the hash is left.
func (v *verifier) barely(n int64) {
	if last := len(v.bare) - 1; last >= 0 && v.bare[last].to == n {
		v.bare[last].to++
		return
	}
	v.bare = append(v.bare, span{n, n + 1})
}

// follows checks which leaf of the same tenant a leaf says comes before it.
func (v *verifier) follows(n int64, says map[string]any) bool {
	tenant, _ := says["tenant"].(string)
	before, known := v.last[tenant]
	v.last[tenant] = n
	prev, names := says["prev"].(int64)
	switch {
	case names && known && prev == before, !names && !known, names && prev < n && v.isBare(prev) && (!known || prev > before):
		return true
	case names:
		v.problem(Misplaced, n, n, "leaf %d says that its tenant's leaf before it is %d, which it is not", n, prev)
	default:
		v.problem(Misplaced, n, n, "leaf %d says that it is its tenant's first, and leaf %d came before it", n, before)
	}
	return false
}

func (v *verifier) isBare(n int64) bool {
	return slices.ContainsFunc(v.bare, func(s span) bool { return s.from <= n && n < s.to })
}

// part checks the transcript of a tenant's leaves.
func (v *verifier) part(l *Line) error {
	before, any1 := int64(-1), false
	for l != nil {
		if !v.proven(*l, before, any1) {
			return nil
		}
		before, any1 = l.N, true
		v.report.Leaves++
		var next Line
		err := v.in.next(&next)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		l = &next
	}
	v.report.Checkpoints = 1
	return nil
}

// proven checks that a leaf is in the tree, is the tenant's, and comes after the one
// before.
func (v *verifier) proven(l Line, before int64, follows bool) bool {
	if l.N <= before || l.N >= v.whole.Size {
		v.problem(Misplaced, l.N, l.N, "leaf %d is after leaf %d, in a log of %d", l.N, before, v.whole.Size)
		return false
	}
	hash, says, ok := v.read(l)
	if !ok {
		return false
	}
	if err := tlog.CheckRecord(l.Proof, v.whole.Size, v.whole.Root, l.N, hash); err != nil {
		v.problem(Changed, l.N, l.N, "leaf %d is not in the log: %v", l.N, err)
		return false
	}
	if says == nil {
		v.report.Hashes++
		return true
	}
	prev, names := says["prev"].(int64)
	switch {
	case says["tenant"] != v.report.Tenant:
		v.problem(Misplaced, l.N, l.N, "leaf %d is not the tenant's", l.N)
	case names != follows || names && prev != before:
		v.problem(Misplaced, before+1, l.N-1, "between leaves %d and %d one of the tenant's is missing", before, l.N)
	default:
		return true
	}
	return false
}
