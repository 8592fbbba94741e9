package store

import (
	"context"

	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/destination"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
)

// Outlets are the stores of what leaves, and of what is looked for to be told.
type Outlets interface {
	destination.Store
	Deliverers
	Lookouts
}

const destinationColumns = `SELECT tenant, id, name, spec, ordered, state, reason, since, failing_since, failed_at, throttled_until, version, created_at, updated_at, sealed FROM destinations `

// destinationSpec is what of a destination no query asks for.
type destinationSpec struct {
	URL   string   `json:"url"`
	Kinds []string `json:"kinds"`
}

func destinationTaken(d destination.Destination) *fault.Error {
	return conflict("destination_exists", "there is a destination %q already", d.Name).At("/name").WithHint("Choose another name.")
}

// InsertDestination implements destination.Store.
func (s *SQL) InsertDestination(ctx context.Context, d destination.Destination, sealed []byte, most int) error {
	spec, err := column.JSON(destinationSpec{URL: d.URL, Kinds: d.Kinds})
	if err != nil {
		return err
	}
	err = s.d.Write(audit.Made(ctx, d.ID), func(ctx context.Context, tx Conn) error {
		n, err := scanInt(tx.QueryRowContext(ctx, `SELECT count(*) FROM destinations WHERE tenant = $1`, d.Tenant))
		switch {
		case err != nil:
			return err
		case n >= most:
			return conflict("too_many_destinations", "there are %d destinations, and %d is the most", n, most).WithHint("Delete one that is not needed.")
		}
		_, err = execOn(ctx, tx,
			`INSERT INTO destinations (tenant, id, name, spec, ordered, state, reason, since, version, created_at, updated_at, sealed)
			 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
			d.Tenant, d.ID, d.Name, spec, number01(d.Ordered), string(d.State), string(d.Reason), column.Micros(d.Since), d.Version,
			column.Micros(d.CreatedAt), column.Micros(d.UpdatedAt), column.Bytes(sealed))
		return err
	})
	return s.refused(err, "insert a destination", destinationTaken(d), fault.NotFound("tenant", d.Tenant))
}

// Destination implements destination.Store.
func (s *SQL) Destination(ctx context.Context, tenant, idOrName string) (destination.Destination, []byte, error) {
	d, err := find(ctx, s, fault.NotFound("destination", idOrName), scanDestination,
		destinationColumns+`WHERE tenant = $1 AND (id = $2 OR name = $2)`, tenant, idOrName)
	return d.Destination, d.sealed, err
}

// Destinations implements destination.Store.
func (s *SQL) Destinations(ctx context.Context, tenant, before string, limit int) ([]destination.Destination, error) {
	var w where
	w.and("tenant = ?", tenant)
	w.given("id < ?", before)
	found, err := list(ctx, s, scanDestination, destinationColumns+w.String()+` ORDER BY id DESC `+w.limit(limit), w.args...)
	return plainDestinations(found), err
}

func plainDestinations(found []sealedDestination) []destination.Destination {
	all := make([]destination.Destination, len(found))
	for i, d := range found {
		all[i] = d.Destination
	}
	return all
}

// UpdateDestination implements destination.Store.
func (s *SQL) UpdateDestination(ctx context.Context, d destination.Destination, sealed []byte) error {
	spec, err := column.JSON(destinationSpec{URL: d.URL, Kinds: d.Kinds})
	if err != nil {
		return err
	}
	err = s.d.Write(ctx, func(ctx context.Context, tx Conn) error {
		n, err := execOn(ctx, tx,
			`UPDATE destinations SET name = $4, spec = $5, ordered = $6, sealed = $7, version = $3, updated_at = $8
			 WHERE tenant = $1 AND id = $2 AND version = $3 - 1`,
			d.Tenant, d.ID, d.Version, d.Name, spec, number01(d.Ordered), sealed, column.Micros(d.UpdatedAt))
		if err != nil {
			return err
		}
		if n == 0 {
			return stale(ctx, tx, "destination", d.ID, `SELECT version FROM destinations WHERE tenant = $1 AND id = $2`, d.Tenant, d.ID)
		}
		// What has happened to it while it was changed is left as it is, but for what was asked.
		_, err = execOn(ctx, tx,
			`UPDATE destinations SET state = $3, reason = $4, since = $5, failing_since = 0, failed_at = 0, throttled_until = 0
			 WHERE tenant = $1 AND id = $2 AND since < $5`,
			d.Tenant, d.ID, string(d.State), string(d.Reason), column.Micros(d.Since))
		return err
	})
	return s.refused(err, "update a destination", destinationTaken(d), nil)
}

// DeleteDestination implements destination.Store.
func (s *SQL) DeleteDestination(ctx context.Context, tenant, id string) error {
	return s.write(ctx, "delete a destination", func(ctx context.Context, tx Conn) error {
		n, err := execOn(ctx, tx, `DELETE FROM destinations WHERE tenant = $1 AND id = $2`, tenant, id)
		if err != nil {
			return err
		}
		if n == 0 {
			return fault.NotFound("destination", id)
		}
		_, err = execOn(ctx, tx, `DELETE FROM deliveries WHERE destination = $1`, id)
		return err
	})
}

// sealedDestination is a row of destinations.
type sealedDestination struct {
	destination.Destination
	sealed []byte
}

func scanDestination(r scanner) (sealedDestination, error) {
	var d sealedDestination
	var spec []byte
	var ordered, since, failing, failed, throttled, created, updated int64
	err := r.Scan(&d.Tenant, &d.ID, &d.Name, &spec, &ordered, &d.State, &d.Reason, &since, &failing, &failed, &throttled, &d.Version, &created, &updated, &d.sealed)
	if err != nil {
		return d, err
	}
	d.Ordered, d.Since, d.FailingSince, d.FailedAt = ordered == 1, column.Time(since), column.Time(failing), column.Time(failed)
	d.ThrottledUntil, d.CreatedAt, d.UpdatedAt = column.Time(throttled), column.Time(created), column.Time(updated)
	var asked destinationSpec
	err = column.FromJSON(spec, &asked)
	d.URL, d.Kinds = asked.URL, asked.Kinds
	return d, err
}

// number01 is a truth in a column of numbers, which the databases have alike.
func number01(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
