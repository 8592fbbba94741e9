// Package transcript is an audit log outside of the database: how its leaves and
// checkpoints are written, and what tells whether anybody has changed them since.
// It needs no database, no server and nothing of a host, so that whoever does not
// trust those can use it.
//
//	report, err := transcript.Verify(file, transcript.Options{Key: key, Earlier: checkpoints})
//	if err == nil && !report.Sound() { ... report.Problems ... }
//
// A transcript is lines of JSON. The first says what it is and has the signed
// checkpoint that it is of; then come other checkpoints, and then leaves:
//
//	{"format":"cofferdam-audit-1","checkpoint":"...note..."}
//	{"checkpoint":"...an earlier note..."}
//	{"n":0,"leaf":"{\"action\":...}"}
//	{"n":1,"hash":"..."}
//
// A leaf is there with its text, see Canonical, or, once that was kept for long
// enough, with its hash alone. The hashes of all leaves, in order, give the root that
// the checkpoint has (RFC 6962): no leaf can be changed, left out, added or moved
// without the key that signs, and with the key not behind the back of anybody who
// holds an earlier checkpoint.
//
// The transcript of one tenant names it in the first line. It has that tenant's leaves
// only, each with a proof that it is in the tree; and since each leaf names the
// tenant's leaf before it, none between two of them is missing. What came after the
// last of them it cannot show.
package transcript

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"golang.org/x/mod/sumdb/tlog"
)

// Format is that of the transcripts that this package writes and reads.
const Format = "cofferdam-audit-1"

// maxLine is more than the longest line: texts in a leaf are cut at 1 KiB.
const maxLine = 1 << 20

// Header is the first line.
type Header struct {
	Format string `json:"format"`
	// Checkpoint is a signed note: what the transcript is of.
	Checkpoint string `json:"checkpoint"`
	// Tenant is whose leaves these are, or empty for all.
	Tenant string `json:"tenant,omitempty"`
}

// Line is a leaf, or a checkpoint between the header and the leaves.
type Line struct {
	N int64 `json:"n"`
	// Leaf is the canonical text, or empty where only Hash is left.
	Leaf  string           `json:"leaf,omitempty"`
	Hash  *tlog.Hash       `json:"hash,omitempty"`
	Proof tlog.RecordProof `json:"proof,omitempty"`
	// Checkpoint is a signed note; then there is nothing else.
	Checkpoint string `json:"checkpoint,omitempty"`
}

// Writer writes a transcript. The header comes first, then checkpoints, then leaves.
type Writer struct{ e *json.Encoder }

// NewWriter writes the header.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	h.Format = Format
	if err := e.Encode(h); err != nil {
		return nil, fmt.Errorf("write a transcript: %w", err)
	}
	return &Writer{e: e}, nil
}

// Write writes a line.
func (w *Writer) Write(l Line) error {
	var err error
	if l.Checkpoint != "" {
		err = w.e.Encode(map[string]string{"checkpoint": l.Checkpoint})
	} else {
		err = w.e.Encode(l)
	}
	if err != nil {
		return fmt.Errorf("write a transcript: %w", err)
	}
	return nil
}

// reader reads a transcript.
type reader struct {
	s    *bufio.Scanner
	line int
}

func newReader(r io.Reader) *reader {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 64<<10), maxLine)
	return &reader{s: s}
}

// errMalformed is a line that is none of a transcript.
var errMalformed = errors.New("this is no line of a transcript")

// next reads the next line into v. At the end the error is io.EOF.
func (r *reader) next(v any) error {
	r.line++
	if !r.s.Scan() {
		switch err := r.s.Err(); {
		case err == nil:
			return io.EOF
		case errors.Is(err, bufio.ErrTooLong):
			return fmt.Errorf("line %d has more than %d bytes: %w", r.line, maxLine, errMalformed)
		default:
			return err
		}
	}
	if err := json.Unmarshal(r.s.Bytes(), v); err != nil {
		return fmt.Errorf("line %d: %w: %w", r.line, errMalformed, err)
	}
	return nil
}
