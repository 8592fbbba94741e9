package authorization

import (
	"context"
	"errors"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

const (
	// likedFor is for how long after a token came nobody believes that it has ended: an
	// API that refuses it does not like it, and will not like the next one.
	likedFor = 10 * time.Second
	// forcedAgain is after how long a token that was got because the API refused the one
	// before, and of which nobody has said that it worked, may be replaced in the same way.
	forcedAgain = 10 * time.Minute
	// quietFor is how long who can do without a refresh leaves it to who has begun it.
	quietFor = time.Second
	// refusalsMost is how many refusals of a token that cannot be refreshed it takes until
	// it counts as ended: one may be of a request that was not this token's to make.
	refusalsMost = 3
)

// Token returns a token that can be used now. One in memory costs a look into a map; one
// that is about to end is refreshed while it is used; for one that has ended the caller
// waits, as long as ctx lets it, and the refresh goes on without it.
//
// An authorization that has broken is a fault of the class auth, whose hint is to
// reconnect; whatever passes by itself keeps its class, and says when to try again.
func (a *Authorizations) Token(ctx context.Context, tenant, connection string) (Access, error) {
	k := key{tenant, connection}
	now := a.c.Now().UnixMicro()
	if e := a.warm.get(k); e != nil && now < e.soft && now-e.checked.Load() < a.c.Fresh.Microseconds() {
		return e.access, nil
	}
	e, err := a.current(ctx, k)
	if err != nil {
		return Access{}, err
	}
	if e = a.early(ctx, k, e); e == nil {
		if e, err = a.wait(ctx, k, want{}); err != nil {
			return Access{}, err
		}
	}
	return e.access, nil
}

// early returns e if it can be used, and has it refreshed if it is about to end; or nil.
func (a *Authorizations) early(ctx context.Context, k key, e *entry) *entry {
	now := a.c.Now().UnixMicro()
	switch {
	case now < e.soft:
		return e
	case now >= e.hard:
		return nil
	}
	if quiet := e.quiet.Load(); now >= quiet && e.quiet.CompareAndSwap(quiet, now+quietFor.Microseconds()) {
		a.fly(ctx, k, want{})
	}
	return e
}

// Refused is told that the API has answered 401 to the token of an id. If a newer one is
// stored it says so at once; else it has this one refreshed, once. It is false, with the
// reason as far as there is one, if nothing newer can be had: the API does not like what
// there is.
func (a *Authorizations) Refused(ctx context.Context, tenant, connection, id string) (renewed bool, err error) {
	k := key{tenant, connection}
	if e := a.warm.get(k); e != nil {
		e.checked.Store(0) // Another process may have a newer one.
	}
	for range 2 { // The first may have joined who was not told.
		e, err := a.current(ctx, k)
		if err != nil {
			return false, err
		}
		if e.access.ID != id {
			return true, nil
		}
		if !a.forceable(e) {
			return false, nil
		}
		if e, err = a.wait(ctx, k, want{refused: id}); err != nil {
			return false, err
		}
		if e.access.ID != id {
			return true, nil
		}
		if e.final {
			return false, nil // It was counted.
		}
	}
	return false, nil
}

// forceable says that a token which the API refuses may be refreshed before its time. One
// that it has taken before may be at once, if it came in its own time: an API that takes it
// here and refuses it there has one refresh forced, and not one each time.
func (a *Authorizations) forceable(e *entry) bool {
	age, worked := a.c.Now().Sub(e.row.ObtainedAt), e.worked.Load()
	if !e.forced && worked {
		return true
	}
	return age >= likedFor && (!e.forced || worked || age >= forcedAgain)
}

// Worked is told that the API has taken the token of an id. Only the first one that says
// so of a token writes anything.
func (a *Authorizations) Worked(ctx context.Context, tenant, connection, id string) error {
	e := a.warm.get(key{tenant, connection})
	if e == nil || e.access.ID != id || e.worked.Load() || !e.worked.CompareAndSwap(false, true) {
		return nil
	}
	if err := a.c.Store.NoteWorked(detach(ctx), e.row, a.c.Now(), e.final); err != nil {
		e.worked.Store(false)
		return err
	}
	return nil
}

// Forget drops what this process holds of a tenant's tokens.
func (a *Authorizations) Forget(tenant string) { a.warm.forget(tenant) }

// current returns what is stored, from memory if that was compared lately.
func (a *Authorizations) current(ctx context.Context, k key) (*entry, error) {
	if e := a.warm.get(k); e != nil && a.c.Now().UnixMicro()-e.checked.Load() < a.c.Fresh.Microseconds() {
		return e, nil
	}
	return a.landed(ctx, a.flights.DoChan("look "+k.String(), func() (any, error) {
		return a.guarded(ctx, func(ctx context.Context) (*entry, error) { return a.look(ctx, k) })
	}))
}

// look compares what is in memory with what is stored, and loads it if it is another.
func (a *Authorizations) look(ctx context.Context, k key) (*entry, error) {
	e := a.warm.get(k)
	if e != nil {
		version, state, err := a.c.Store.AuthorizationVersion(ctx, k.tenant, k.connection)
		if err == nil && version == e.row.Version && state == Active {
			e.checked.Store(a.c.Now().UnixMicro())
			return e, nil
		}
		if a.warm.drop(k); err != nil {
			return nil, err
		}
	}
	row, err := a.usable(ctx, k)
	if err != nil {
		return nil, err
	}
	held, err := a.open(ctx, row, "token")
	if err != nil {
		return nil, err
	}
	by, err := a.registered(ctx, row, held)
	if err != nil {
		return nil, err
	}
	return a.hold(row, held, by), nil
}

// usable reads an authorization that has not ended.
func (a *Authorizations) usable(ctx context.Context, k key) (Row, error) {
	row, err := a.c.Store.Authorization(ctx, k.tenant, k.connection)
	if err != nil {
		return Row{}, err
	}
	switch row.State {
	case Active:
		return row, nil
	case Broken:
		return Row{}, broken(row)
	default:
		return Row{}, fault.NotFound("authorization of the connection", k.connection)
	}
}

// registered resolves what an authorization was made with.
func (a *Authorizations) registered(ctx context.Context, r Row, k kept) (Registered, error) {
	return a.c.Source.Registration(ctx, r.Tenant, r.App, k.Variables)
}

// broken is the fault of an authorization that has broken.
func broken(r Row) error {
	f := fault.New(fault.Auth, fault.CodeUpstreamAuth, "the authorization of connection %s with %s has ended", r.Connection, r.Provider)
	if r.Error != nil {
		f.Message, f.Details = r.Error.Message, r.Error.Details
	}
	return f.WithHint("%s", hintReconnect)
}

const hintReconnect = "Reconnect: the user has to agree once more. Until then, what needs this connection waits."

// as gives an error its fault, whole.
func as(err error) *fault.Error {
	f := *fault.From(err) // It may be shared.
	return &f
}

func isNotFound(err error) bool {
	f, ok := errors.AsType[*fault.Error](err)
	return ok && f.Code == fault.CodeNotFound
}
