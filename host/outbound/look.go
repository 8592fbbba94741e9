package outbound

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/cofferdam-run/cofferdam/host/destination"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/notice"
)

// Test sends a message to a destination now, once, whatever state it is in, and returns what
// came of it.
func (s *Sender) Test(ctx context.Context, owner, idOrName string) (Delivery, error) {
	to, err := s.c.Destinations.Open(ctx, owner, idOrName)
	if err != nil {
		return Delivery{}, fmt.Errorf("test a destination: %w", err)
	}
	now := s.c.Now()
	id := ident.New(ident.Delivery, now)
	d := Delivery{
		ID: id, Destination: to.ID, Owner: owner, Tenant: owner, Type: TypeTest, Message: id, Source: FromTest,
		State: Waiting, CreatedAt: now, Claim: 1, Attempts: []Attempt{},
	}
	if err := s.c.Store.InsertDelivery(ctx, d, s.c.Lease); err != nil {
		return Delivery{}, fmt.Errorf("test a destination: %w", err)
	}
	d, err = s.try(ctx, to, d)
	if err != nil {
		return Delivery{}, fmt.Errorf("test a destination: %w", err)
	}
	d.FinishedAt = s.c.Now()
	return d.seen(), nil
}

// List lists what was and is to be sent to a destination, the newest first.
func (s *Sender) List(ctx context.Context, owner, idOrName string, f Filter) ([]Delivery, error) {
	to, err := s.c.Destinations.Get(ctx, owner, idOrName)
	if err != nil {
		return nil, fmt.Errorf("list deliveries: %w", err)
	}
	all, err := s.c.Store.OutboundDeliveries(ctx, owner, to.ID, f)
	if err != nil {
		return nil, fmt.Errorf("list deliveries: %w", err)
	}
	for i := range all {
		all[i] = all[i].seen()
	}
	return all, nil
}

// Get finds a delivery to a destination.
func (s *Sender) Get(ctx context.Context, owner, idOrName, id string) (Delivery, error) {
	d, err := s.find(ctx, owner, idOrName, id)
	return d.seen(), err
}

// Retry has a delivery sent now that has failed, or waits, with all its tries before it.
func (s *Sender) Retry(ctx context.Context, owner, idOrName, id string) (Delivery, error) {
	if _, err := s.find(ctx, owner, idOrName, id); err != nil {
		return Delivery{}, err
	}
	if err := s.c.Store.RetryDelivery(ctx, owner, id); err != nil {
		return Delivery{}, fmt.Errorf("retry a delivery: %w", err)
	}
	s.Wake()
	return s.Get(ctx, owner, idOrName, id)
}

func (s *Sender) find(ctx context.Context, owner, idOrName, id string) (Delivery, error) {
	to, err := s.c.Destinations.Get(ctx, owner, idOrName)
	if err != nil {
		return Delivery{}, fmt.Errorf("find delivery: %w", err)
	}
	d, err := s.c.Store.OutboundDelivery(ctx, owner, id)
	if err == nil && d.Destination != to.ID {
		err = fault.NotFound("delivery", id)
	}
	if err != nil {
		return Delivery{}, fmt.Errorf("find delivery: %w", err)
	}
	return d, nil
}

// Forget deletes what is older than a time of a tenant's.
func (s *Sender) Forget(ctx context.Context, tenant string, before time.Time) error {
	for {
		n, err := s.c.Store.ForgetDeliveries(ctx, tenant, before, batch)
		if err != nil {
			return fmt.Errorf("forget deliveries: %w", err)
		}
		if n < batch {
			return nil
		}
	}
}

// seen is d as people see it.
func (d Delivery) seen() Delivery {
	if d.Tenant == destination.Operator {
		d.Tenant = ""
	}
	if d.State != Waiting {
		d.Due = time.Time{}
	}
	return d
}

// disabled is the notice of a destination to which nothing is sent any more.
func disabled(d destination.Destination, reason string, last Attempt, now time.Time) notice.Notice {
	why := fault.New(fault.Upstream, "destination_"+reason, "the destination %q was disabled: %s", d.Name, last.Error).
		WithHint("Enable it once it takes messages again: what waits is sent then.")
	return notice.Notice{
		ID: ident.New(ident.Notice, now), Tenant: d.Tenant, Kind: notice.DestinationDisabled, Destination: d.ID, Name: d.Name, Error: why,
		Subject: d.ID + " disabled " + strconv.FormatInt(now.UnixMicro(), 10), At: now, CreatedAt: now,
	}
}
