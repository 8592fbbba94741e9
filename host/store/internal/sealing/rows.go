package sealing

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
)

// Event is an event as its row has it.
type Event struct {
	event.Event
	// Headers is the Request.
	Headers []byte
	// Digest is that of a large Body, which stands apart, or nil.
	Digest []byte
}

// Large is how many bytes a body has that stands apart: rows of events stay small enough
// to be read and written many at once.
const Large = 64 << 10

// Completion is the end of a run as its rows have it, but for state, which is sealed
// once its version is known.
type Completion struct {
	execution.Completion
	Records []Event
	Keys    vault.Payloads
}

// Event seals an event's request and body.
func (s *Sealing) Event(ctx context.Context, e event.Event) (Event, error) {
	k, err := s.Keys(ctx, e.Tenant)
	if err != nil {
		return Event{}, err
	}
	return sealEvent(k, e)
}

// Apart seals an event as Event does, but for a Body that is large: that is sealed as one
// that stands apart, by its digest.
func (s *Sealing) Apart(ctx context.Context, e event.Event) (Event, error) {
	if len(e.Body) < Large {
		return s.Event(ctx, e)
	}
	k, err := s.Keys(ctx, e.Tenant)
	if err != nil {
		return Event{}, err
	}
	body := e.Body
	e.Body = nil
	row, err := sealEvent(k, e)
	if err != nil {
		return row, err
	}
	digest := sha256.Sum256(body)
	row.Digest = digest[:]
	row.Body, err = k.Seal(bodyOf(e.Tenant, row.Digest), body)
	return row, err
}

// bodyOf is where a body belongs that stands apart.
func bodyOf(tenant string, digest []byte) vault.Field {
	return Field(tenant, "event_bodies", "bytes", 1, hex.EncodeToString(digest))
}

func sealEvent(k vault.Payloads, e event.Event) (Event, error) {
	row := Event{Event: e}
	var err error
	if e.Request != nil {
		if row.Headers, err = column.JSON(e.Request); err != nil {
			return row, err
		}
		if row.Headers, err = k.Seal(Field(e.Tenant, "events", "request", 1, e.ID), row.Headers); err != nil {
			return row, err
		}
	}
	row.Body, err = k.Seal(Field(e.Tenant, "events", "body", 1, e.ID), e.Body)
	return row, err
}

// OpenEvent opens what Event has sealed.
func (s *Sealing) OpenEvent(ctx context.Context, row Event) (event.Event, error) {
	e := row.Event
	body := Field(e.Tenant, "events", "body", 1, e.ID)
	if row.Digest != nil {
		body = bodyOf(e.Tenant, row.Digest)
	}
	if err := s.Open(ctx, body, &e.Body); err != nil {
		return e, err
	}
	if row.Headers == nil {
		return e, nil
	}
	if err := s.Open(ctx, Field(e.Tenant, "events", "request", 1, e.ID), &row.Headers); err != nil {
		return e, err
	}
	e.Request = &event.Request{}
	return e, column.FromJSON(row.Headers, e.Request)
}

// Beginning seals the world and the journal of a run's beginning.
func (s *Sealing) Beginning(ctx context.Context, of execution.Claimed, b execution.Beginning) (execution.Beginning, error) {
	k, err := s.Keys(ctx, of.Tenant)
	if err != nil {
		return b, err
	}
	if b.World, err = k.Seal(worldOf(of.Tenant, of.Execution), b.World); err != nil {
		return b, err
	}
	b.Journal, err = sealSegment(k, of.Tenant, of.Execution, b.Journal)
	return b, err
}

// Segment seals a segment of an execution's journal, or none.
func (s *Sealing) Segment(ctx context.Context, tenant, execution string, g *journal.Segment) (*journal.Segment, error) {
	if g == nil {
		return nil, nil //nolint:nilnil // No segment is sealed to none.
	}
	k, err := s.Keys(ctx, tenant)
	if err != nil {
		return nil, err
	}
	return sealSegment(k, tenant, execution, g)
}

func sealSegment(k vault.Payloads, tenant, execution string, g *journal.Segment) (*journal.Segment, error) {
	if g == nil {
		return nil, nil //nolint:nilnil // No segment is sealed to none.
	}
	sealed := journal.Segment{Seq: g.Seq}
	var err error
	if sealed.Data, err = k.Seal(segmentOf(tenant, execution, g.Seq), g.Data); err != nil {
		return nil, err
	}
	if len(g.Large) > 0 {
		sealed.Large = make(map[journal.Digest][]byte, len(g.Large))
	}
	for d, b := range g.Large {
		if sealed.Large[d], err = k.Seal(largeOf(tenant, d), b); err != nil {
			return nil, err
		}
	}
	return &sealed, nil
}

// OpenSegment opens a segment without its large bodies, or the world.
func (s *Sealing) OpenSegment(ctx context.Context, tenant, execution string, g *journal.Segment) error {
	return s.Open(ctx, segmentOf(tenant, execution, g.Seq), &g.Data)
}

// OpenLarge opens a large body.
func (s *Sealing) OpenLarge(ctx context.Context, tenant string, d journal.Digest, b *[]byte) error {
	return s.Open(ctx, largeOf(tenant, d), b)
}

// Completion seals what ends a run. Of a tenant whose key was destroyed nothing is kept
// but that it ended, so that the deletion of the tenant need not wait for ever.
func (s *Sealing) Completion(ctx context.Context, c execution.Completion) (Completion, error) {
	k, err := s.Keys(ctx, c.Tenant)
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Code == fault.CodeNotFound {
		return Completion{Completion: execution.Completion{
			Tenant: c.Tenant, Execution: c.Execution, Claim: c.Claim, Outcome: c.Outcome, Counted: c.Counted,
			Reason: c.Reason, Until: c.Until, WaitsFor: c.WaitsFor, VersionID: c.VersionID, Fingerprint: c.Fingerprint, Usage: c.Usage, Checkpointed: c.Checkpointed,
		}}, nil
	}
	if err != nil {
		return Completion{}, err
	}
	row := Completion{Completion: c, Keys: k}
	claim := strconv.FormatInt(c.Claim, 10)
	for _, f := range []struct {
		field vault.Field
		bytes *[]byte
	}{
		{outputOf(c.Tenant, c.Execution), &row.Output},
		{errorOf(c.Tenant, c.Execution), &row.Error},
		{Field(c.Tenant, "attempts", "body", 1, c.Execution, claim), &row.Attempt},
		{worldOf(c.Tenant, c.Execution), &row.World},
	} {
		if *f.bytes, err = k.Seal(f.field, *f.bytes); err != nil {
			return row, err
		}
	}
	if row.Journal, err = sealSegment(k, c.Tenant, c.Execution, c.Journal); err != nil {
		return row, err
	}
	if p := c.Checkpoint; p != nil {
		sealed := *p
		sealed.Cursor, err = k.Seal(Field(c.Tenant, "checkpoints", "cursor", 1, p.Installation, p.Poll), p.Cursor)
		row.Checkpoint = &sealed
	}
	for _, e := range c.Records {
		if err != nil {
			break
		}
		var r Event
		e.Tenant = c.Tenant
		r, err = sealEvent(k, e)
		row.Records = append(row.Records, r)
	}
	return row, err
}

// OpenEnd opens an execution's output and error.
func (s *Sealing) OpenEnd(ctx context.Context, tenant, execution string, output, failure *[]byte) error {
	if err := s.Open(ctx, outputOf(tenant, execution), output); err != nil {
		return err
	}
	return s.Open(ctx, errorOf(tenant, execution), failure)
}

// OpenAttempt opens the trace of a run.
func (s *Sealing) OpenAttempt(ctx context.Context, tenant, execution string, claim int64, body *[]byte) error {
	return s.Open(ctx, Field(tenant, "attempts", "body", 1, execution, strconv.FormatInt(claim, 10)), body)
}

// OpenCursor opens a poll's checkpoint.
func (s *Sealing) OpenCursor(ctx context.Context, tenant, installation, poll string, cursor *[]byte) error {
	return s.Open(ctx, Field(tenant, "checkpoints", "cursor", 1, installation, poll), cursor)
}

// State is where a value of an installation's state belongs.
func State(tenant, installation, key string, version int64) vault.Field {
	return Field(tenant, "state_values", "value", version, installation, key)
}

func outputOf(tenant, execution string) vault.Field {
	return Field(tenant, "executions", "output", 1, execution)
}

func errorOf(tenant, execution string) vault.Field {
	return Field(tenant, "executions", "error", 1, execution)
}

// worldOf is where a world belongs, which lies before the first segment.
func worldOf(tenant, execution string) vault.Field { return segmentOf(tenant, execution, 0) }

func segmentOf(tenant, execution string, seq int) vault.Field {
	return Field(tenant, "journal", "body", 1, execution, strconv.Itoa(seq))
}

func largeOf(tenant string, d journal.Digest) vault.Field {
	return Field(tenant, "journal_bodies", "bytes", 1, hex.EncodeToString(d[:]))
}
