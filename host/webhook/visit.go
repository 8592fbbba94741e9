package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/webhook/admission"
)

// Visit is a delivery whose body has not been read.
type Visit struct {
	i     *Intake
	of    endpoint.Endpoint
	guest admission.Guest
	room  *admission.Room
}

// Admit says whether a delivery may come to an endpoint, before its body is read, of whose
// size something was announced, or -1. Who was let in closes the visit.
//
// Refusals are faults: not_found, endpoint_disabled; and with a RetryAfter, before anything
// is stored, endpoint_rate_exceeded, tenant_rate_exceeded, queue_full and overloaded.
func (i *Intake) Admit(ctx context.Context, id string, announced int64) (v *Visit, err error) {
	began := i.c.Now()
	defer func() {
		if err != nil {
			i.refusals.answered(began, Answer{}, err)
		}
	}()
	e, err := i.open(ctx, id)
	if err != nil {
		return nil, err
	}
	limits, err := i.limits.of(ctx, e.Tenant)
	if err != nil {
		return nil, fmt.Errorf("find the tenant's limits: %w", err)
	}
	v = &Visit{i: i, of: e.Endpoint, guest: admission.Guest{
		Tenant: e.Tenant, Endpoint: e.ID, Installation: e.Installation, Webhook: e.Webhook, OfTenant: limits,
		OfEndpoint: admission.Limits{Rate: e.Limits.Rate, Burst: e.Limits.Burst, Queued: e.Limits.Queued},
	}}
	err = i.c.Gate.Look(ctx, v.guest)
	if err == nil {
		v.room, err = i.c.Gate.Room(announced)
	}
	if err != nil {
		return nil, i.refusals.turnedAway(ctx, v.of, err)
	}
	return v, nil
}

// open finds an endpoint that takes deliveries.
func (i *Intake) open(ctx context.Context, id string) (endpoint.Opened, error) {
	e, err := i.c.Endpoints.Open(ctx, id)
	if err != nil {
		return e, fmt.Errorf("open endpoint: %w", err)
	}
	if e.Disabled {
		return e, fault.New(fault.Denied, fault.CodeEndpointDisabled, "the endpoint is disabled").
			WithHint("Enable it, or let the vendor stop delivering to it.")
	}
	return e, nil
}

// MaxBytes is how large the body may be, or else what is given.
func (v *Visit) MaxBytes(otherwise int64) int64 {
	if v.of.Limits.MaxBytes > 0 {
		return v.of.Limits.MaxBytes
	}
	return otherwise
}

// Read has the body read. It is overloaded if there is no more room.
func (v *Visit) Read(ctx context.Context, body io.Reader, read func(io.Reader) ([]byte, error)) ([]byte, error) {
	b, err := read(v.room.Reader(body))
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Code == fault.CodeOverloaded {
		return nil, v.i.refusals.turnedAway(ctx, v.of, err)
	}
	return b, err
}

// Close ends the visit.
func (v *Visit) Close() { v.room.Close() }

// Receive verifies the delivery and stores it, as Intake.Receive does.
func (v *Visit) Receive(ctx context.Context, d Delivery) (answer Answer, err error) {
	began := v.i.c.Now()
	defer func() { v.i.refusals.answered(began, answer, err) }()
	// Once more: while its body came the endpoint may have been changed.
	e, err := v.i.open(ctx, v.of.ID)
	if err != nil {
		return Answer{}, err
	}
	return v.i.receive(ctx, e, v.guest, d)
}

// limits are those of tenants, as they were some seconds ago at most.
type limits struct {
	find func(ctx context.Context, tenant string) (admission.Limits, error)
	now  func() time.Time

	mu       sync.Mutex
	byTenant map[string]*limited
}

// limited are a tenant's limits.
type limited struct {
	admission.Limits
	until time.Time
}

const (
	// limitsFor is how long limits that were changed go unnoticed.
	limitsFor = 5 * time.Second
	// maxLimited bounds the tenants whose limits are remembered: those of about 100 bytes.
	maxLimited = 65_536
)

// of finds a tenant's limits. While one looks whether they were changed, others go by what
// they were.
func (l *limits) of(ctx context.Context, tenant string) (admission.Limits, error) {
	now := l.now()
	l.mu.Lock()
	held, ok := l.byTenant[tenant]
	if ok && now.Before(held.until) {
		defer l.mu.Unlock()
		return held.Limits, nil
	}
	if ok {
		held.until = now.Add(limitsFor)
	}
	l.mu.Unlock()
	found, err := l.find(ctx, tenant)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		delete(l.byTenant, tenant)
		return admission.Limits{}, err
	}
	if len(l.byTenant) >= maxLimited {
		clear(l.byTenant)
	}
	l.byTenant[tenant] = &limited{found, now.Add(limitsFor)}
	return found, nil
}
