package transcript

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Checkpoint says what a log was: its first Size leaves are those whose tree has
// Root. Signed, it is a note of three lines and signatures, as
// <https://c2sp.org/tlog-checkpoint> has them:
//
//	cofferdam audit ten.example
//	1742
//	Zm9v...
//
//	— cofferdam audit ten.example WGh...
type Checkpoint struct {
	// Origin is the name of the log, and of the key that signs it.
	Origin string
	Size   int64
	Root   tlog.Hash
}

// maxCheckpoint is far more bytes than a checkpoint has, with many signatures.
const maxCheckpoint = 16 << 10

// Sign returns the checkpoint as a note that all of these have signed. Its origin is
// the first one's name, which is that of the others: they are the log's keys.
func (c Checkpoint) Sign(by note.Signer, along ...note.Signer) ([]byte, error) {
	text := fmt.Sprintf("%s\n%d\n%s\n", by.Name(), c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
	signed, err := note.Sign(&note.Note{Text: text}, append([]note.Signer{by}, along...)...)
	if err != nil {
		return nil, fmt.Errorf("sign a checkpoint: %w", err)
	}
	return signed, nil
}

// Open returns the checkpoint of a note that one of the keys, no two of which are the
// same, has signed. What follows the third line, which later versions may have, is not
// looked at.
func Open(signed []byte, keys ...note.Verifier) (Checkpoint, error) {
	if len(signed) > maxCheckpoint {
		return Checkpoint{}, fmt.Errorf("open a checkpoint: it has %d bytes, and the most is %d", len(signed), maxCheckpoint)
	}
	n, err := note.Open(signed, note.VerifierList(keys...))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("open a checkpoint: %s has not signed it: %w", named(keys), err)
	}
	return parse(n.Text, n.Sigs[0].Name)
}

// named says which keys are meant.
func named(keys []note.Verifier) string {
	all := make([]string, len(keys))
	for i, k := range keys {
		all[i] = fmt.Sprintf("%s+%08x", k.Name(), k.KeyHash())
	}
	if len(all) == 1 {
		return "the key " + all[0]
	}
	return "any of the keys " + strings.Join(all, ", ")
}

func parse(text, name string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 4 {
		return Checkpoint{}, errors.New("open a checkpoint: it has fewer than three lines")
	}
	c := Checkpoint{Origin: lines[0]}
	if c.Origin != name {
		return Checkpoint{}, fmt.Errorf("open a checkpoint: it is of the log %q, and the key is that of %q", c.Origin, name)
	}
	var err error
	if c.Size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || c.Size < 0 || strconv.FormatInt(c.Size, 10) != lines[1] {
		return Checkpoint{}, fmt.Errorf("open a checkpoint: its size is %q, which is no number of leaves", lines[1])
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return Checkpoint{}, fmt.Errorf("open a checkpoint: its root is %q, which is no hash", lines[2])
	}
	copy(c.Root[:], root)
	return c, nil
}

// Split parts a file of checkpoints, one after another as a sink writes them, into
// its notes.
func Split(file []byte) [][]byte {
	var notes [][]byte
	// A note is a text, an empty line, and signatures; the next one's text begins with
	// the first line after those that is no signature.
	lines := bytes.SplitAfter(file, []byte("\n"))
	var now []byte
	signed := false
	for _, line := range lines {
		signature := bytes.HasPrefix(line, []byte("— "))
		if signed && !signature {
			notes, now, signed = append(notes, now), nil, false
		}
		if len(now) == 0 && len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		now = append(now, line...)
		signed = signed || signature
	}
	if len(now) > 0 {
		notes = append(notes, now)
	}
	return notes
}
