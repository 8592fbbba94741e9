package execution

import (
	"context"
	"encoding/json"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/ident"
)

// lookEvery is how often Wait looks at the store without a ring of the Bell: an
// execution may end in another process, whose Bell is not heard here.
const lookEvery = 500 * time.Millisecond

// listMost and listUsual bound a List.
const (
	listMost  = 200
	listUsual = 50
)

// Config configures Executions.
type Config struct {
	Store  Store
	Events event.Store
	// Callable checks a Start and returns the installation's id.
	Callable func(ctx context.Context, tenant, installation string, kind event.Kind, name string, input json.RawMessage) (string, error)
	// Wake is told the tenant of each execution that was queued. Defaults to nobody.
	Wake func(ctx context.Context, tenant string)
	// Stop is told a running execution whose end was asked for, so that one of this
	// process ends at once. Defaults to nobody: it ends with the next heartbeat.
	Stop func(id string)
	// Clock is the store's time.
	Clock func(ctx context.Context) (time.Time, error)
	// Bell rings when an execution of this process changes. Defaults to one that
	// only these Executions ring.
	Bell *Bell
	Now  func() time.Time
	// After is time.After, for the clock that Wait and Tail look by.
	After func(d time.Duration) <-chan time.Time
}

// Executions are the work of a host. They are safe for concurrent use.
type Executions struct{ c Config }

// New returns Executions.
func New(c Config) *Executions {
	if c.Wake == nil {
		c.Wake = func(context.Context, string) {}
	}
	if c.Stop == nil {
		c.Stop = func(string) {}
	}
	if c.Bell == nil {
		c.Bell = &Bell{}
	}
	return &Executions{c: c}
}

// Start asks an installation for something.
type Start struct {
	Installation string
	Kind         event.Kind
	// Name is the action or poll.
	Name  string
	Input json.RawMessage
	Lane  event.Lane
}

// Start stores the event and queues its execution. What it returns is durable.
func (x *Executions) Start(ctx context.Context, tenant string, s Start) (event.Accepted, error) {
	installation, err := x.c.Callable(ctx, tenant, s.Installation, s.Kind, s.Name, s.Input)
	if err != nil {
		return event.Accepted{}, err
	}
	now := x.c.Now()
	accepted, err := x.c.Events.Accept(ctx, event.Event{
		ID:           ident.New(ident.Event, now),
		Tenant:       tenant,
		Installation: installation,
		Kind:         s.Kind,
		Name:         s.Name,
		Body:         s.Input,
		ReceivedAt:   now,
	}, &event.Work{Execution: ident.New(ident.Execution, now), Lane: s.Lane})
	if err != nil {
		return event.Accepted{}, err
	}
	x.queued(ctx, tenant)
	return accepted, nil
}

// Wait returns the execution once it is done, or as it stands when ctx ends,
// with ctx's error.
func (x *Executions) Wait(ctx context.Context, tenant, id string) (Execution, error) {
	rung, stop := x.c.Bell.Listen(tenant)
	defer stop()
	var last Execution
	for {
		e, err := x.c.Store.Execution(ctx, tenant, id)
		switch {
		case ctx.Err() != nil && err != nil:
			return last, ctx.Err()
		case err != nil:
			return last, err
		case e.State.Done():
			return e, nil
		}
		last = e
		select {
		case <-ctx.Done():
			return last, ctx.Err()
		case <-rung:
		case <-x.c.After(lookEvery):
		}
	}
}

// Get returns an execution.
func (x *Executions) Get(ctx context.Context, tenant, id string) (Execution, error) {
	return x.c.Store.Execution(ctx, tenant, id)
}

// Trace returns all that is known of an execution.
func (x *Executions) Trace(ctx context.Context, tenant, id string) (Trace, error) {
	return x.c.Store.Trace(ctx, tenant, id)
}

// List lists the newest first, 50 if the filter says no limit.
func (x *Executions) List(ctx context.Context, tenant string, f Filter) ([]Execution, error) {
	if f.Limit <= 0 {
		f.Limit = listUsual
	}
	f.Limit = min(f.Limit, listMost)
	return x.c.Store.Executions(ctx, tenant, f)
}

// Cancel ends an execution that is not done: at once if it is not running, else
// within a heartbeat. It returns the execution as it is then; one that is done
// stays as it is.
func (x *Executions) Cancel(ctx context.Context, tenant, id string) (Execution, error) {
	state, err := x.c.Store.Cancel(ctx, tenant, id)
	if err != nil {
		return Execution{}, err
	}
	if state == Running {
		x.c.Stop(id)
	}
	x.c.Bell.Ring(tenant)
	return x.c.Store.Execution(ctx, tenant, id)
}

// DeadLetters groups the dead executions of a tenant.
func (x *Executions) DeadLetters(ctx context.Context, tenant string) ([]DeadLetters, error) {
	return x.c.Store.DeadLetters(ctx, tenant)
}

func (x *Executions) queued(ctx context.Context, tenant string) {
	x.c.Wake(ctx, tenant)
	x.c.Bell.Ring(tenant)
}
