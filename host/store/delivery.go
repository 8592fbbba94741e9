package store

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/outbound"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
	"github.com/cofferdam-run/cofferdam/host/store/internal/sealing"
	"github.com/cofferdam-run/cofferdam/host/vault"
)

// Deliverers are the stores of what leaves.
type Deliverers interface {
	outbound.Queue
	outbound.Log
}

const (
	deliveryFields = `id, destination, owner, tenant, type, source, object, state, tries, due_at, claim, log, created_at, finished_at`
	// attemptsKept is how many attempts a delivery shows: those of the schedule and as many
	// that somebody has asked for.
	attemptsKept = 20
	// failureLapse is how long nothing failed, because nothing was sent, before a failure is
	// the first again: longer than any wait of the schedule.
	failureLapse = 36 * time.Hour
)

// The states of a delivery, as its column has them.
const (
	deliveryWaiting = iota
	deliveryDelivered
	deliveryFailed
)

func logOf(d outbound.Delivery) vault.Field {
	return sealing.Field(d.Tenant, "deliveries", "log", 1, d.ID)
}

// sendable are the destinations that may be sent to now, $1.
const sendable = `d.state = 'active' AND d.throttled_until <= $1
	 AND EXISTS (SELECT 1 FROM tenants t WHERE t.id = d.tenant AND t.state IN ('active', 'paused', 'reserved'))`

// DueDestinations implements outbound.Queue.
func (s *SQL) DueDestinations(ctx context.Context, limit int) (outbound.Due, error) {
	now := s.d.Clock()
	due := outbound.Due{Now: now}
	var err error
	due.Refs, err = list(ctx, s, scanDueRef,
		`SELECT d.tenant, d.id, d.ordered FROM destinations d WHERE `+sendable+`
		   AND (d.ordered = 0 AND EXISTS (SELECT 1 FROM deliveries v WHERE v.destination = d.id AND v.state = 0 AND v.due_at <= $1)
		     OR d.ordered = 1 AND (SELECT v.due_at FROM deliveries v WHERE v.destination = d.id AND v.state = 0 ORDER BY v.seq LIMIT 1) <= $1)
		 ORDER BY d.served_at, d.id LIMIT $2`, column.Micros(now), limit)
	if err != nil {
		return due, err
	}
	next, err := find(ctx, s, nil, scanInt64,
		`SELECT COALESCE(MIN(at), 0) FROM (
		   SELECT MIN(due_at) AS at FROM deliveries WHERE state = 0 AND due_at > $1
		   UNION ALL SELECT MIN(throttled_until) FROM destinations WHERE throttled_until > $1) soonest`, column.Micros(now))
	due.Next = column.Time(next)
	return due, err
}

func scanDueRef(r scanner) (outbound.Ref, error) {
	var ref outbound.Ref
	var ordered int64
	err := r.Scan(&ref.Owner, &ref.Destination, &ordered)
	ref.Ordered = ordered == 1
	return ref, err
}

// ClaimDeliveries implements outbound.Queue. It begins with the destination's row, so that
// one process claims of it at a time and counts what the others have claimed.
func (s *SQL) ClaimDeliveries(ctx context.Context, r outbound.Ref, most int, lease time.Duration) ([]outbound.Delivery, error) {
	now := s.d.Clock()
	if sent, err := sending(ctx, s.d.Reader(), r, now); err != nil || sent >= most {
		return nil, Fault(s.d, err, "count deliveries under way")
	}
	var rows []deliveryRow
	err := s.write(ctx, "claim deliveries", func(ctx context.Context, tx Conn) error {
		rows = nil
		mine, err := execOn(ctx, tx,
			`UPDATE destinations AS d SET served_at = $1 WHERE d.tenant = $2 AND d.id = $3 AND `+sendable, column.Micros(now), r.Owner, r.Destination)
		if err != nil {
			return err
		}
		sent, err := sending(ctx, tx, r, now)
		if err != nil {
			return err
		}
		if mine == 0 || sent >= most {
			return errUnchanged
		}
		rows, err = claimOf(ctx, tx, r, most-sent, now, lease)
		if err == nil && len(rows) == 0 {
			return errUnchanged
		}
		return err
	})
	if err != nil && !errors.Is(err, errUnchanged) {
		return nil, err
	}
	return s.deliveries(ctx, rows)
}

// sending is how many deliveries to a destination are under way.
func sending(ctx context.Context, c Conn, r outbound.Ref, now time.Time) (int, error) {
	return scanInt(c.QueryRowContext(ctx,
		`SELECT count(*) FROM deliveries WHERE destination = $1 AND state = 0 AND leased = 1 AND due_at > $2`, r.Destination, column.Micros(now)))
}

// claimOf claims of a destination whose row the transaction holds.
func claimOf(ctx context.Context, tx Conn, r outbound.Ref, n int, now time.Time, lease time.Duration) ([]deliveryRow, error) {
	which := `destination = $1 AND state = 0 AND due_at <= $2 ORDER BY due_at, seq LIMIT $4`
	if r.Ordered {
		which, n = `destination = $1 AND state = 0 ORDER BY seq LIMIT $4`, 1
	}
	return listOn(ctx, tx, scanDelivery,
		`UPDATE deliveries SET claim = claim + 1, leased = 1, due_at = $3
		 WHERE seq IN (SELECT seq FROM deliveries WHERE `+which+`) AND due_at <= $2 RETURNING `+deliveryFields,
		r.Destination, column.Micros(now), column.Micros(now.Add(lease)), n)
}

// InsertDelivery implements outbound.Queue.
func (s *SQL) InsertDelivery(ctx context.Context, d outbound.Delivery, lease time.Duration) error {
	n, err := s.exec(ctx, "insert a delivery", insertDelivery,
		d.ID, d.Owner, d.Destination, d.Tenant, d.Type, string(d.Source), d.Message, column.Micros(s.d.Clock().Add(lease)), 1, column.Micros(d.CreatedAt))
	if err == nil && n == 0 {
		return fault.NotFound("destination", d.Destination)
	}
	return err
}

// ReleaseDelivery implements outbound.Queue.
func (s *SQL) ReleaseDelivery(ctx context.Context, d outbound.Delivery, in time.Duration) error {
	n, err := s.exec(ctx, "release a delivery",
		`UPDATE deliveries SET leased = 0, due_at = $3 WHERE id = $1 AND claim = $2 AND state = 0 AND leased = 1`,
		d.ID, d.Claim, column.Micros(s.d.Clock().Add(in)))
	if err == nil && n == 0 {
		return outbound.ErrFenced
	}
	return err
}

// SettleDelivery implements outbound.Queue.
func (s *SQL) SettleDelivery(ctx context.Context, d outbound.Settled) (bool, error) {
	now := s.d.Clock()
	state, due, finished := deliveryWaiting, now.Add(d.In), time.Time{}
	if d.To != outbound.Waiting {
		finished = now
		if state = deliveryFailed; d.To == outbound.Delivered {
			state = deliveryDelivered
		}
	}
	text, err := column.JSON(d.Attempts[max(0, len(d.Attempts)-attemptsKept):])
	if err != nil {
		return false, err
	}
	sealed, err := s.sealing.Seal(ctx, logOf(d.Delivery), text)
	if err != nil {
		return false, err
	}
	off := false
	err = s.d.Write(ctx, func(ctx context.Context, tx Conn) error {
		off = false
		// The destination's row comes first, as where deliveries are claimed.
		reason, err := failed(ctx, tx, d, now)
		if err != nil {
			return err
		}
		n, err := execOn(ctx, tx,
			`UPDATE deliveries SET state = $3, tries = $4, due_at = $5, leased = 0, log = $6, finished_at = $7 WHERE id = $1 AND claim = $2 AND state = 0 AND leased = 1`,
			d.ID, d.Claim, state, d.Tries, column.Micros(due), sealed, column.Micros(finished))
		if err == nil && n == 0 {
			return outbound.ErrFenced
		}
		if err != nil || reason == "" {
			return err
		}
		off = true
		return disable(ctx, tx, d, reason, now)
	})
	if errors.Is(err, outbound.ErrFenced) {
		return false, outbound.ErrFenced
	}
	if err != nil {
		return false, Fault(s.d, err, "settle a delivery")
	}
	return off, nil
}

// failed keeps how sending to a destination goes, and says why it is to be disabled, if it
// is. A test says nothing of that.
func failed(ctx context.Context, tx Conn, d outbound.Settled, now time.Time) (reason string, err error) {
	if d.Source == outbound.FromTest {
		return "", nil
	}
	if d.To == outbound.Delivered {
		_, err := execOn(ctx, tx, `UPDATE destinations SET failing_since = 0, failed_at = 0 WHERE tenant = $1 AND id = $2 AND failing_since > 0`, d.Owner, d.Destination)
		return "", err
	}
	us, until := column.Micros(now), int64(0)
	if d.Throttle > 0 {
		until = column.Micros(now.Add(d.Throttle))
	}
	rows, err := listOn(ctx, tx, scanInt64,
		`UPDATE destinations SET failing_since = CASE WHEN failed_at < $4 THEN $3 ELSE failing_since END, failed_at = $3,
		   throttled_until = CASE WHEN throttled_until < $5 THEN $5 ELSE throttled_until END
		 WHERE tenant = $1 AND id = $2 AND state = 'active' RETURNING failing_since`,
		d.Owner, d.Destination, us, column.Micros(now.Add(-failureLapse)), until)
	if err != nil || len(rows) == 0 {
		return "", err
	}
	switch {
	case d.Gone:
		return "gone", nil
	case rows[0] <= column.Micros(now.Add(-d.DisableAfter)):
		return "failing", nil
	default:
		return "", nil
	}
}

// disable disables a destination, with the notice that says so.
func disable(ctx context.Context, tx Conn, d outbound.Settled, reason string, now time.Time) error {
	_, err := execOn(ctx, tx, `UPDATE destinations SET state = 'disabled', reason = $3, since = $4, throttled_until = 0 WHERE tenant = $1 AND id = $2`,
		d.Owner, d.Destination, reason, column.Micros(now))
	if err != nil {
		return err
	}
	row, err := noticeRow(d.Disabled(reason))
	if err != nil {
		return err
	}
	_, err = execOn(ctx, tx, insertNotice, row...)
	return err
}

// Backlog implements outbound.Queue.
func (s *SQL) Backlog(ctx context.Context) (outbound.Backlog, error) {
	var b outbound.Backlog
	err := s.d.Reader().QueryRowContext(ctx,
		`SELECT (SELECT count(*) FROM deliveries v JOIN destinations d ON d.id = v.destination AND d.tenant = v.owner WHERE v.state = 0 AND d.state = 'active'),
		   (SELECT count(*) FROM destinations WHERE state = 'disabled')`).Scan(&b.Waiting, &b.Disabled)
	return b, Fault(s.d, err, "read the database")
}

// OutboundDeliveries implements outbound.Log.
func (s *SQL) OutboundDeliveries(ctx context.Context, owner, destination string, f outbound.Filter) ([]outbound.Delivery, error) {
	var w where
	w.and("owner = ?", owner)
	w.and("destination = ?", destination)
	if f.State != "" {
		w.and("state = ?", deliveryState(f.State))
	}
	w.given("type = ?", f.Type)
	w.given("id < ?", f.Before)
	rows, err := list(ctx, s, scanDelivery, `SELECT `+deliveryFields+` FROM deliveries `+w.String()+` ORDER BY id DESC `+w.limit(f.Limit), w.args...)
	if err != nil {
		return nil, err
	}
	return s.deliveries(ctx, rows)
}

// OutboundDelivery implements outbound.Log.
func (s *SQL) OutboundDelivery(ctx context.Context, owner, id string) (outbound.Delivery, error) {
	row, err := find(ctx, s, fault.NotFound("delivery", id), scanDelivery,
		`SELECT `+deliveryFields+` FROM deliveries WHERE owner = $1 AND id = $2`, owner, id)
	if err != nil {
		return outbound.Delivery{}, err
	}
	return s.delivery(ctx, row)
}

// RetryDelivery implements outbound.Log. One that is being sent stays as it is.
func (s *SQL) RetryDelivery(ctx context.Context, owner, id string) error {
	now := column.Micros(s.d.Clock())
	n, err := s.exec(ctx, "retry a delivery",
		`UPDATE deliveries SET state = 0, tries = 0, due_at = $3, finished_at = 0, leased = 0, claim = claim + 1
		 WHERE owner = $1 AND id = $2 AND source <> 'test' AND (state = 2 OR state = 0 AND (leased = 0 OR due_at <= $3))`, owner, id, now)
	if err != nil || n == 1 {
		return err
	}
	d, err := s.OutboundDelivery(ctx, owner, id)
	if err != nil || d.State == outbound.Waiting {
		return err
	}
	return conflict("delivery_done", "the delivery %q was taken, or is a test", id).WithHint("Only what has failed or waits is sent again.")
}

// ForgetDeliveries implements outbound.Log.
func (s *SQL) ForgetDeliveries(ctx context.Context, tenant string, before time.Time, limit int) (int, error) {
	bound := ident.Bound(ident.Delivery, before)
	some, err := list(ctx, s, scanInt, `SELECT 1 FROM deliveries WHERE tenant = $1 AND id < $2 LIMIT 1`, tenant, bound)
	if err != nil || len(some) == 0 {
		return 0, err
	}
	n, err := s.exec(ctx, "forget deliveries",
		`DELETE FROM deliveries WHERE seq IN (SELECT seq FROM deliveries WHERE tenant = $1 AND id < $2 ORDER BY id LIMIT $3)`, tenant, bound, limit)
	return int(n), err
}

// deliveryRow is a row of deliveries.
type deliveryRow struct {
	outbound.Delivery
	log []byte
}

// delivery opens a row.
func (s *SQL) delivery(ctx context.Context, row deliveryRow) (outbound.Delivery, error) {
	d := row.Delivery
	d.Attempts = []outbound.Attempt{}
	if len(row.log) == 0 {
		return d, nil
	}
	if err := s.sealing.Open(ctx, logOf(d), &row.log); err != nil {
		return d, err
	}
	return d, column.FromJSON(row.log, &d.Attempts)
}

// deliveries opens rows. One whose log does not open has none: its tenant's key may be gone,
// and there are others' with it.
func (s *SQL) deliveries(ctx context.Context, rows []deliveryRow) ([]outbound.Delivery, error) {
	return opened(rows, func(row deliveryRow) (outbound.Delivery, error) {
		d, err := s.delivery(ctx, row)
		if f, ok := errors.AsType[*fault.Error](err); ok && (f.Code == sealing.CodeSealed || f.Code == fault.CodeNotFound) {
			return d, nil
		}
		return d, err
	})
}

func deliveryState(s outbound.State) int {
	switch s {
	case outbound.Waiting:
		return deliveryWaiting
	case outbound.Delivered:
		return deliveryDelivered
	case outbound.Failed:
		return deliveryFailed
	default:
		return math.MaxInt32
	}
}

func scanDelivery(r scanner) (deliveryRow, error) {
	var d deliveryRow
	var state int
	var due, created, finished int64
	err := r.Scan(&d.ID, &d.Destination, &d.Owner, &d.Tenant, &d.Type, &d.Source, &d.Message, &state, &d.Tries, &due, &d.Claim, &d.log, &created, &finished)
	d.State = [...]outbound.State{outbound.Waiting, outbound.Delivered, outbound.Failed}[min(max(state, 0), deliveryFailed)]
	d.Due, d.CreatedAt, d.FinishedAt = column.Time(due), column.Time(created), column.Time(finished)
	return d, err
}
