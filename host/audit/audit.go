// Package audit is the log of who did what: every administrative act, use of a
// credential and change of the configuration is a leaf of a Merkle tree (RFC 6962),
// whose root is signed again and again. What is in the log cannot be changed, left
// out or moved without that showing, to anybody who kept a signed checkpoint; see
// the package transcript, which tells.
//
//	ctx = audit.Begin(ctx, &audit.Act{Who: "tok_1", Action: "tenant.create", Request: "req_1"})
//	err := store.InsertTenant(ctx, t) // The act's entry is in the same transaction.
//
//	l := audit.New(audit.Config{Store: db, Signer: key, ...})
//	go l.Run(ctx)
//
// How an entry gets there:
//
//   - What changes the database takes the act from its context, and adds the entry to
//     those that are pending, in its own transaction: there is no change without its
//     entry, and no entry without its change. An act of several transactions has an
//     entry of each, with the same request.
//   - Uses of credentials, and what changes nothing, such as a refusal, go through
//     [Log.Use] and [Log.Note]: many share a transaction, and what a stranger can
//     repeat is counted instead of written down each time.
//   - A sequencer gives pending entries their numbers, adds them to the tree and takes
//     them from the pending ones, all in one transaction: one that ends half-way has
//     done nothing. One process of a cluster has the turn; if two believe so, the
//     second waits for the first, and goes on behind it.
//
// Between its own transaction and the sequencer's, which is [Config.Every] at most, an
// entry is a row as any other, and who writes to the database could change it without
// that showing.
//
// A leaf keeps its text for [Config.Keep], and its hash for ever, so that the log can
// be checked without what it said.
package audit

import (
	"time"
	"unicode/utf8"

	"github.com/cofferdam-run/cofferdam/host/audit/transcript"
)

// Prefix is that of the ids of entries.
const Prefix = "act_"

// Result is how an act ended.
type Result string

// The results.
const (
	Done Result = "done"
	// Denied means that whoever asked may not.
	Denied Result = "denied"
	// Failed means that it was not done for another reason.
	Failed Result = "failed"
)

// Entry is what is written down.
type Entry struct {
	ID string
	At time.Time
	// Who is the id of a token, "host" for what the program does by itself, or
	// "anonymous". From is the address that the request came from.
	Who, From string
	// Tenant is whose act it is, and who sees it beside the operator; may be empty.
	Tenant string
	// Action is what was done, as tenant.create, and Object the id of what it was done to.
	Action, Object string
	// Key is the id of a key or credential that was used, and Purpose what for.
	Key, Purpose string
	// Request and Execution say in the course of what.
	Request, Execution string
	Result             Result
	// Code is the fault's, if there was one.
	Code string
	// Count is how often it happened; 0 is once.
	Count int64
}

// maxText is the most bytes of a text in an entry; longer ones are cut. Ids and names
// have a few dozen.
const maxText = 1 << 10

// Text is the entry as the leaf that it will be, but for what only the sequencer knows.
func (e Entry) Text() ([]byte, error) { return transcript.Canonical(e.says()) }

func (e Entry) says() map[string]any {
	return map[string]any{
		"action": fit(e.Action), "at": e.At.UTC().Format(timeFormat), "code": fit(e.Code), "count": e.Count,
		"execution": fit(e.Execution), "from": fit(e.From), "id": fit(e.ID), "key": fit(e.Key), "object": fit(e.Object),
		"purpose": fit(e.Purpose), "request": fit(e.Request), "result": fit(string(e.Result)), "tenant": fit(e.Tenant), "who": fit(e.Who),
	}
}

// fit makes a text one that a leaf can have: what comes from outside may be none.
func fit(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	if utf8.ValidString(s) {
		return s
	}
	valid := make([]rune, 0, len(s))
	for _, r := range s {
		if r != utf8.RuneError {
			valid = append(valid, r)
		}
	}
	return string(valid)
}

// timeFormat is how a leaf has a time: RFC 3339 in UTC, to the microsecond.
const timeFormat = "2006-01-02T15:04:05.000000Z"

// parseTime reads a leaf's time; what is none is the zero time.
func parseTime(s string) time.Time {
	t, err := time.Parse(timeFormat, s)
	if err != nil {
		return time.Time{}
	}
	return t
}
