package transcript

import (
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// KeyAction is the action of a leaf whose object is a public key, as name+hash+key, that
// the log is signed with from there on.
const KeyAction = "audit.key"

// Followed is a key that a log was signed with from a leaf on.
type Followed struct {
	// Leaf is the number of the one that says so.
	Leaf int64         `json:"leaf"`
	Text string        `json:"key"`
	Key  note.Verifier `json:"-"`
}

// Follow returns the keys that a whole log names as its own, in order: those of leaves
// that a checkpoint proves which a known key has signed, or one that was followed
// before. It says nothing of what is wrong with a transcript; that is for Verify, with
// the keys that were known and these.
func Follow(r io.Reader, known ...note.Verifier) ([]Followed, error) {
	f := &follower{known: slices.Clone(known), notes: map[int64][][]byte{}}
	in := newReader(r)
	var h Header
	err := in.next(&h)
	if err == nil && h.Format == Format && h.Tenant == "" {
		f.note([]byte(h.Checkpoint))
		err = f.read(in)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, errMalformed) {
		err = nil
	}
	return f.followed, err
}

type follower struct {
	known []note.Verifier
	// notes are signed checkpoints by the sizes that they claim.
	notes map[int64][][]byte
	tree  frontier
	// named are keys that no checkpoint has proved yet.
	named, followed []Followed
}

// note keeps a checkpoint until the tree is of its size.
func (f *follower) note(signed []byte) {
	lines := strings.SplitN(string(signed), "\n", 3)
	if len(lines) < 3 {
		return
	}
	if size, err := strconv.ParseInt(lines[1], 10, 64); err == nil {
		f.notes[size] = append(f.notes[size], signed)
	}
}

func (f *follower) read(in *reader) error {
	for {
		var l Line
		if err := in.next(&l); err != nil {
			return err
		}
		if l.Checkpoint != "" {
			f.note([]byte(l.Checkpoint))
			continue
		}
		n := f.tree.size
		hash, says, err := l.open()
		if err != nil || l.N != n {
			return nil //nolint:nilerr // Verify says what is wrong.
		}
		f.tree.add(hash)
		f.name(n, says)
		f.prove()
	}
}

// open is a leaf's hash, and what it says if that was kept.
func (l Line) open() (tlog.Hash, map[string]any, error) {
	if l.Leaf == "" {
		if l.Hash == nil {
			return tlog.Hash{}, nil, errMalformed
		}
		return *l.Hash, nil, nil
	}
	says, err := Parse([]byte(l.Leaf))
	return tlog.RecordHash([]byte(l.Leaf)), says, err
}

// name keeps the key that a leaf names, if it does.
func (f *follower) name(n int64, says map[string]any) {
	if says["action"] != KeyAction || says["result"] != "done" {
		return
	}
	text, _ := says["object"].(string)
	key, err := note.NewVerifier(text)
	if err != nil || len(f.known) == 0 || key.Name() != f.known[0].Name() {
		return
	}
	f.named = append(f.named, Followed{Leaf: n, Text: text, Key: key})
}

// prove follows the keys that are named up to here, if a checkpoint of here is signed
// with one that is known.
func (f *follower) prove() {
	if len(f.named) == 0 {
		return
	}
	for _, signed := range f.notes[f.tree.size] {
		c, err := Open(signed, f.known...)
		if err != nil || c.Root != f.tree.root() {
			continue
		}
		for _, n := range f.named {
			same := func(k note.Verifier) bool { return k.KeyHash() == n.Key.KeyHash() && k.Name() == n.Key.Name() }
			if !slices.ContainsFunc(f.known, same) {
				f.known, f.followed = append(f.known, n.Key), append(f.followed, n)
			}
		}
		f.named = nil
		return
	}
}
