package execution

import (
	"context"
	"encoding/json"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
)

// Config configures Executions.
type Config struct {
	Store  Store
	Events event.Store
	// Callable checks a Start and returns the installation's id.
	Callable func(ctx context.Context, tenant, installation string, kind event.Kind, name string, input json.RawMessage) (string, error)
	// Wake is told the tenant of each execution that was queued.
	Wake func(ctx context.Context, tenant string)
	// Bell rings when an execution of this process changes.
	Bell *Bell
	Now  func() time.Time
	// After is time.After, for the clock that Wait and Tail look by.
	After func(d time.Duration) <-chan time.Time
}

// Executions are the work of a host.
type Executions struct{ c Config }

// New returns Executions.
func New(c Config) *Executions { return &Executions{c: c} }

// Start asks an installation for something.
type Start struct {
	Installation string
	Kind         event.Kind
	// Name is the action or poll.
	Name  string
	Input json.RawMessage
	Lane  event.Lane
}

// Start stores the event and queues its execution.
func (x *Executions) Start(ctx context.Context, tenant string, s Start) (event.Accepted, error) {
	panic("unbuilt")
}

// Wait returns the execution once it is done, or as it stands when ctx ends,
// with ctx's error.
func (x *Executions) Wait(ctx context.Context, tenant, id string) (Execution, error) {
	panic("unbuilt")
}

// Tail calls f with each execution of the tenant that changes, until ctx ends or f fails.
func (x *Executions) Tail(ctx context.Context, tenant string, f func(Execution) error) error {
	panic("unbuilt")
}

// Get returns an execution.
func (x *Executions) Get(ctx context.Context, tenant, id string) (Execution, error) {
	panic("unbuilt")
}

// Trace returns all that is known of an execution.
func (x *Executions) Trace(ctx context.Context, tenant, id string) (Trace, error) { panic("unbuilt") }

// List lists the newest first.
func (x *Executions) List(ctx context.Context, tenant string, f Filter) ([]Execution, error) {
	panic("unbuilt")
}

// Cancel ends an execution that is not done.
func (x *Executions) Cancel(ctx context.Context, tenant, id string) (Execution, error) {
	panic("unbuilt")
}

// Redrive gives a dead or cancelled execution another chance.
func (x *Executions) Redrive(ctx context.Context, tenant, id string) (Execution, error) {
	panic("unbuilt")
}

// DeadLetters groups the dead executions of a tenant.
func (x *Executions) DeadLetters(ctx context.Context, tenant string) ([]DeadLetters, error) {
	panic("unbuilt")
}

// Bell tells listeners in this process that something of a tenant has changed.
// The zero value works.
type Bell struct{}

// Ring wakes the tenant's listeners. It never blocks.
func (b *Bell) Ring(tenant string) { panic("unbuilt") }

// Listen returns a channel that receives after each Ring, merging those that
// were not received yet, and a function that stops it.
func (b *Bell) Listen(tenant string) (rung <-chan struct{}, stop func()) { panic("unbuilt") }
