// Package check refuses what a database could not keep, with the same words for
// every database, before it reaches one.
package check

import (
	"math"
	"strings"
	"unicode/utf8"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
)

// maxKey is the most bytes of what is part of an index: Postgres takes rows of
// up to 2,704 bytes there (a third of a page), and three ids may lie beside it.
const maxKey = 2048

// The codes.
const (
	codeText    = "text_invalid"
	codeTooLong = "key_too_long"
	codeSegment = "segment_invalid"
)

// Event refuses an event that cannot be kept.
func Event(e event.Event) error {
	for _, f := range []field{
		{"/id", e.ID},
		{"/tenant", e.Tenant},
		{"/installation", e.Installation},
		{"/kind", string(e.Kind)},
		{"/name", e.Name},
		{"/source", e.Source},
	} {
		if err := f.text(); err != nil {
			return err
		}
	}
	return field{"/dedupe_key", e.DedupeKey}.key()
}

// Work refuses work that would never be claimed.
func Work(w *event.Work) error {
	switch {
	case w == nil:
		return nil
	case w.Execution == "":
		return fault.New(fault.InvalidInput, codeText, "the execution has no id").At("/execution")
	case w.Lane < event.Interactive || w.Lane > event.Backfill:
		return fault.New(fault.InvalidInput, "lane_unknown", "there is no lane %d, only %d to %d", w.Lane, event.Interactive, event.Backfill).At("/lane")
	case w.OrderKey != "" && !event.IsOrderKey(w.OrderKey):
		return fault.New(fault.InvalidInput, "order_key_invalid", "the order key is none that event.KeyOf makes").At("/order_key")
	default:
		return field{"/execution", w.Execution}.text()
	}
}

// Completion refuses a completion that cannot be kept.
func Completion(c execution.Completion) error {
	for _, f := range []field{
		{"/version_id", c.VersionID}, {"/reason", c.Reason}, {"/waits_for", c.WaitsFor}, {"/fingerprint", c.Fingerprint},
	} {
		if err := f.text(); err != nil {
			return err
		}
	}
	if err := Segment(c.Journal); err != nil {
		return err
	}
	if c.Outcome != execution.Succeeded && !c.Checkpointed {
		return nil
	}
	for _, t := range c.Tags {
		if err := (field{"/tags", t.Name + t.Value}).key(); err != nil {
			return err
		}
	}
	for _, w := range c.State.Writes {
		if err := (field{"/state", w.Key}).key(); err != nil {
			return err
		}
	}
	for _, r := range c.Records {
		if err := Event(r); err != nil {
			return err
		}
	}
	if c.Checkpoint != nil {
		return field{"/checkpoint", c.Checkpoint.Poll}.text()
	}
	return nil
}

// Segment refuses a segment that could not be told from a world; nil passes.
func Segment(s *journal.Segment) error {
	switch {
	case s == nil:
		return nil
	case s.Seq < 1 || s.Seq > math.MaxInt32:
		return fault.New(fault.InvalidInput, codeSegment, "the segment has the number %d, and the first is 1", s.Seq).At("/journal")
	case len(s.Data) == 0:
		return fault.New(fault.InvalidInput, codeSegment, "the segment %d is empty", s.Seq).At("/journal")
	default:
		return nil
	}
}

// Redriving refuses a mode that is none.
func Redriving(r execution.Redriving) error {
	switch r.Mode {
	case "", execution.Resume, execution.Restart, execution.Force:
		return Segment(r.Journal)
	default:
		return fault.New(fault.InvalidInput, "mode_unknown", "there is no mode %q, only resume, restart and force", r.Mode).At("/mode")
	}
}

// field is a value and where it is.
type field struct {
	where, value string
}

// text refuses what Postgres does not take as text.
func (f field) text() error {
	if !utf8.ValidString(f.value) || strings.ContainsRune(f.value, 0) {
		return fault.New(fault.InvalidInput, codeText, "%q is not UTF-8 text without NUL", f.value).At(f.where)
	}
	return f.key()
}

func (f field) key() error {
	if len(f.value) > maxKey {
		return fault.New(fault.InvalidInput, codeTooLong, "it has %d bytes, and the most is %d", len(f.value), maxKey).At(f.where)
	}
	return nil
}
