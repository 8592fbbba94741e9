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
	// Digest is that of the Request, which is as the guest made it: what is sent again
	// is sent byte for byte, and who compares two runs is shown both calls.
	Digest  Digest
	Request []byte
	// Key is the idempotency key that was sent with it; empty for none.
	Key string
	// Account is whose account at the other side it went to; empty for none.
	Account string
	// Fuel is what the guest had burnt when it asked.
	Fuel int64
	// Again says that it is to be asked again, whatever was answered.
	Again bool
	// Confirm says that somebody has to find out first whether it happened.
	Confirm bool
	// Waits says that its answer was known before its time, which is Answered: a run
	// that comes to it earlier waits on.
	Waits bool
	// GoesOn says that it was answered before what it began was over, and that this has
	// not been concluded: of an upload, that it was not finished.
	GoesOn bool
	// Of is the ordinal of the entry that this one concludes, whose Outcome is what it
	// came to; 0 for none.
	Of int
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
func (e *Entry) Size() int {
	return len(e.Func) + len(e.Request) + len(e.Key) + len(e.Account) + len(e.Answer) + entryOverhead
}

// settled says that something was, or may have been, changed outside that cannot
// be taken back: no cut may come before it.
func (e *Entry) settled() bool {
	return (e.Effect == hostfns.Idempotent || e.Effect == hostfns.Unsafe) && e.Outcome != hostfns.NotDone
}

// begun is the entry as it was before it was answered, when nobody knew more of it than
// that it was sent.
func (e *Entry) begun() Entry {
	was := *e
	was.GoesOn, was.Answer, was.Answered, was.Resumed = false, nil, time.Time{}, time.Time{}
	return was
}

// open says that it has to be asked again, or somebody whether it may be.
func (e *Entry) open() bool { return e.Again || e.Confirm || e.Answered.IsZero() }

// undecided says that nobody knows whether it was made, and that it must not be made
// again before somebody has said that it may.
func (e *Entry) undecided() bool {
	return e.Confirm || e.Effect == hostfns.Unsafe && e.Outcome != hostfns.NotDone && !e.Again
}

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
