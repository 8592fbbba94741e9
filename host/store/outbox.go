package store

import (
	"context"

	"github.com/cofferdam-run/cofferdam/host/destination"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/outbound"
	"github.com/cofferdam-run/cofferdam/host/store/internal/column"
)

// told is a row of the outbox.
type told struct {
	seq                  int64
	tenant, object, name string
	source               outbound.Source
}

// OutboxWaits implements outbound.Queue.
func (s *SQL) OutboxWaits(ctx context.Context) (bool, error) {
	some, err := list(ctx, s, scanInt, `SELECT 1 FROM outbox WHERE source <> 'dead' LIMIT 1`)
	return len(some) > 0, err
}

// Spread implements outbound.Queue. The rows go first: who comes second finds them gone, and
// makes nothing.
func (s *SQL) Spread(ctx context.Context, limit int) (int, error) {
	rows, err := list(ctx, s, scanTold, `SELECT seq, tenant, source, object, name FROM outbox WHERE source <> 'dead' ORDER BY seq LIMIT $1`, limit)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	byTenant, err := s.listening(ctx, rows)
	if err != nil {
		return 0, err
	}
	made := 0
	err = s.write(ctx, "spread the outbox", func(ctx context.Context, tx Conn) error {
		made = 0
		for _, t := range rows {
			gone, err := execOn(ctx, tx, `DELETE FROM outbox WHERE seq = $1`, t.seq)
			if err != nil {
				return err
			}
			if gone == 0 {
				continue // Another process has it.
			}
			n, err := s.deliveriesOf(ctx, tx, t, byTenant)
			if err != nil {
				return err
			}
			made += n
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return made, nil
}

// listening are the destinations of the tenants of some rows, and the operator's.
func (s *SQL) listening(ctx context.Context, rows []told) (map[string][]destination.Destination, error) {
	owners := map[string]bool{destination.Operator: true}
	for _, t := range rows {
		owners[t.tenant] = true
	}
	var names []string
	for owner := range owners {
		names = append(names, owner)
	}
	among, err := texts(names)
	if err != nil {
		return nil, err
	}
	found, err := list(ctx, s, scanDestination, destinationColumns+`WHERE `+s.d.In("tenant", s.d.Each("$1"))+` ORDER BY id`, among)
	byTenant := map[string][]destination.Destination{}
	for _, d := range plainDestinations(found) {
		byTenant[d.Tenant] = append(byTenant[d.Tenant], d)
	}
	return byTenant, err
}

// deliveriesOf makes the deliveries of one message, and counts them.
func (s *SQL) deliveriesOf(ctx context.Context, tx Conn, t told, byTenant map[string][]destination.Destination) (int, error) {
	kind := outbound.TypeOf(t.source, t.name)
	made := 0
	for _, owner := range []string{t.tenant, destination.Operator} {
		for _, d := range byTenant[owner] {
			if !d.Wants(kind) {
				continue
			}
			now := s.d.Clock()
			n, err := execOn(ctx, tx, insertDelivery,
				ident.New(ident.Delivery, now), owner, d.ID, t.tenant, kind, string(t.source), t.object, column.Micros(now), 0, column.Micros(now))
			if err != nil {
				return made, err
			}
			made += int(n)
		}
		if t.tenant == destination.Operator {
			break
		}
	}
	return made, nil
}

// insertDelivery adds one that is due at once, or whose lease ends then; none of a
// destination that was deleted meanwhile.
const insertDelivery = `INSERT INTO deliveries (id, owner, destination, tenant, type, source, object, state, tries, due_at, claim, leased, created_at, finished_at)
	 SELECT $1, tenant, id, $4, $5, $6, $7, 0, 0, $8, $9, $9, $10, 0 FROM destinations WHERE tenant = $2 AND id = $3 ON CONFLICT (destination, object) DO NOTHING`

func scanTold(r scanner) (told, error) {
	var t told
	err := r.Scan(&t.seq, &t.tenant, &t.source, &t.object, &t.name)
	return t, err
}
