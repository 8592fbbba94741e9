package journal

import (
	"crypto/sha256"
	"encoding/json"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

const (
	// MaxEntries is how many an execution may have.
	MaxEntries = 10_000
	// MaxBytes is how large its entries may be together, as [Entry.Size] counts.
	MaxBytes = 32 << 20
)

// startFunc is the Func of the first entry, whose time is what the guest's clock
// shows before its first question.
const startFunc = "start"

// Digest is the SHA-256 of a request.
type Digest [sha256.Size]byte

// DigestOf returns the digest of a request as the guest made it.
func DigestOf(request []byte) Digest { return sha256.Sum256(request) }

// Entry is one question to the world outside, and its answer once there is one.
type Entry struct {
	// Ordinal counts the questions of an execution from 1; 0 is its start.
	Ordinal int
	// Func is whom it was put to.
	Func    string
	Effect  hostfns.Effect
	Outcome hostfns.Outcome
	// Digest is the request's. The Request itself is kept for what may have to be
	// sent again byte for byte: for what is not Done.
	Digest  Digest
	Request []byte
	// Again says that it is to be asked again, whatever was answered.
	Again bool
	// Claim is the one under which it was asked last.
	Claim int64
	// Asked is when it was asked first, and Answered when the answer came, to which
	// the guest's clock then moved; zero while there is none.
	Asked, Answered time.Time
	// Resumed is the time to which the clock moved on instead when a run that had
	// been replayed up to this answer went on with live work; zero for none.
	Resumed time.Time
	// Answer is {"result": ...} or {"error": ...}, as the guest got it, without any
	// secret.
	Answer json.RawMessage
}

// entryOverhead is about what an entry takes beside its request and answer.
const entryOverhead = 80

// Size is what the entry counts towards MaxBytes.
func (e *Entry) Size() int { return len(e.Func) + len(e.Request) + len(e.Answer) + entryOverhead }

// settled says that something was, or may have been, changed outside that cannot
// be taken back: no cut may come before it.
func (e *Entry) settled() bool {
	return (e.Effect == hostfns.Idempotent || e.Effect == hostfns.Unsafe) && e.Outcome != hostfns.NotDone
}

// open says that it has to be asked again.
func (e *Entry) open() bool { return e.Again || e.Answered.IsZero() }

// anew says that its guest may make it of something else than before: of a request
// that was never accepted, or that changes nothing, the signature and the time that
// are in it have changed.
func (e *Entry) anew() bool { return !e.settled() }

// clock is what the guest's clock shows after the answer.
func (e *Entry) clock() time.Time {
	if e.Resumed.After(e.Answered) {
		return e.Resumed
	}
	return e.Answered
}
