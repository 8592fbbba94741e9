package hostfns

import (
	"encoding/json"
	"fmt"
	"time"
)

// Suspended is the error of a Func whose answer has to wait for so long that no
// sandbox is to be held for it: it ends the run, which is made again at Until.
type Suspended struct { //nolint:errname // It is no failure.
	// Reason is a word for what is waited for, such as "sleep".
	Reason string
	// For is what is waited for, such as a connection, by its id; it may be empty.
	For string
	// Until is when to go on; zero for when somebody says so.
	Until time.Time
	// Answer is what the guest will be told then, as Envelope gives it; nil if it is
	// to be asked for again.
	Answer json.RawMessage
	// Checkpoint, if not nil, ends more than the run: what it has changed so far is
	// committed, its journal is dropped, and the next run begins from its start, with
	// this in its input.
	Checkpoint json.RawMessage
}

// Error implements error.
func (s *Suspended) Error() string {
	if s.Until.IsZero() {
		return "waits: " + s.Reason
	}
	return fmt.Sprintf("waits until %s: %s", s.Until.UTC().Format(time.RFC3339), s.Reason)
}
