package archive

import (
	"crypto/sha256"
	"encoding"
	"encoding/base64"
	"encoding/json"
	"hash"
	"slices"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// done is the kind after the last.
const done = "done"

// cursor is where an archive goes on, and what its manifest has to say of what is before.
type cursor struct {
	Tenant string    `json:"tenant"`
	At     time.Time `json:"at"`
	// Kind is the one to go on with, after Pos, with the part after Part.
	Kind string `json:"kind"`
	Part int    `json:"part"`
	Pos  string `json:"pos,omitempty"`
	// Files, Bytes and Counts are those before, and Sum is the state of their hash.
	Files  int              `json:"files"`
	Bytes  int64            `json:"bytes"`
	Counts map[string]int64 `json:"counts,omitempty"`
	Sum    []byte           `json:"sum,omitempty"`
}

// String is the cursor as it stands in a gzip header and in a query.
func (c cursor) String() string {
	doc, err := json.Marshal(c)
	if err != nil {
		return "" // It has nothing that JSON cannot have.
	}
	return base64.RawURLEncoding.EncodeToString(doc)
}

// at is the cursor at the beginning of a kind.
func (c cursor) at(kind, pos string) cursor {
	c.Kind, c.Part, c.Pos = kind, 0, pos
	return c
}

// parseCursor reads one of a tenant's.
func parseCursor(text, tenant string, now time.Time) (cursor, error) {
	var c cursor
	doc, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(doc, &c)
	}
	known := c.Kind == done || slices.ContainsFunc(kinds(), func(k kind) bool { return k.name == c.Kind })
	sum := newSum(nil)
	if err == nil && len(c.Sum) > 0 {
		err = sum.(encoding.BinaryUnmarshaler).UnmarshalBinary(c.Sum) //nolint:forcetypeassert // The standard library's SHA-256 is one.
	}
	if err != nil || !known || c.Tenant != tenant || c.Part < 0 || c.Files < 1 || c.At.After(now) {
		return cursor{}, fault.New(fault.InvalidInput, "cursor_invalid", "this is no cursor of an export of this tenant").
			At("cursor").WithHint("begin the export anew")
	}
	return c, nil
}

// newSum is a hash in a state that was checked, or a new one.
func newSum(state []byte) hash.Hash {
	h := sha256.New()
	if len(state) > 0 {
		_ = h.(encoding.BinaryUnmarshaler).UnmarshalBinary(state) //nolint:forcetypeassert // As above; it was checked.
	}
	return h
}

// stateOf is what newSum takes.
func stateOf(h hash.Hash) []byte {
	state, err := h.(encoding.BinaryMarshaler).MarshalBinary() //nolint:forcetypeassert // As above.
	if err != nil {
		return nil // The standard library's never fails.
	}
	return state
}
