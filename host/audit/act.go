package audit

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/cofferdam-run/cofferdam/host/ident"
)

// Host is who does what nobody has asked for.
const Host = "host"

// Act is what somebody asks for. It is carried by the context of all that is done for it.
type Act struct {
	Who, From       string
	Tenant          string
	Action, Object  string
	Request, Reason string

	written atomic.Int64
}

type (
	actKey  struct{}
	madeKey struct{}
)

// Begin returns a context of all that is done for an act.
func Begin(ctx context.Context, a *Act) context.Context { return context.WithValue(ctx, actKey{}, a) }

// Made returns the context of a transaction that makes a thing with an id, which
// nobody knew when the act began.
func Made(ctx context.Context, object string) context.Context {
	if _, ok := ctx.Value(actKey{}).(*Act); !ok || object == "" {
		return ctx
	}
	return context.WithValue(ctx, madeKey{}, object)
}

// Written is how many transactions have committed with an entry of the act.
func (a *Act) Written() int64 { return a.written.Load() }

// EntryOf returns the entry that belongs into a transaction of ctx, and what is to be
// called once that has committed. It is false if ctx is of no act.
func EntryOf(ctx context.Context, at time.Time) (e Entry, committed func(), ok bool) {
	a, _ := ctx.Value(actKey{}).(*Act)
	if a == nil {
		return Entry{}, nil, false
	}
	object, _ := ctx.Value(madeKey{}).(string)
	e = a.entry(Entry{ID: ident.New(Prefix, at), At: at, Object: object, Result: Done})
	return e, func() { a.written.Add(1) }, true
}

// Ended is the entry of an act that changed nothing, or of which nobody wrote what.
func (a *Act) Ended(r Result, code string) Entry {
	e := a.entry(Entry{})
	e.Result, e.Code = r, code
	return e
}

// entry fills in what the act knows.
func (a *Act) entry(e Entry) Entry {
	e.Who, e.From, e.Request, e.Purpose = a.Who, a.From, a.Request, a.Reason
	e.Action, e.Tenant = a.Action, a.Tenant
	if e.Object == "" {
		e.Object = a.Object
	}
	return e
}
