package authorization

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

const (
	// pollLeast and pollMost are how often who waits for another process looks whether it
	// is done.
	pollLeast = 20 * time.Millisecond
	pollMost  = 250 * time.Millisecond
	// claimSlack is how much later than a lease what was claimed is due, so that whoever
	// looks finds that it is over.
	claimSlack = time.Second
)

// errAgain says that what is stored is another than was read: look again.
var errAgain = errors.New("what is stored has changed")

// flight is one look after an authorization, which ends with a token or an error.
type flight struct {
	*Authorizations

	k key
	w want
	// row is as it is stored: once it was claimed, under our lease. held and by are what
	// it has, and what it was made with.
	row  Row
	held kept
	by   Registered
	// lost says that the token was sent, by whomever, and that nobody knows the answer.
	lost bool
	// older says that the previous refresh token was taken back.
	older bool
	// claimedAt is when the lease began.
	claimedAt time.Time
	// leave gives the provider's slot back.
	leave func()
}

// renew looks at what is stored, and refreshes it if that is to be done and nobody else
// does it. Whoever does has the others wait.
func (a *Authorizations) renew(ctx context.Context, k key, w want) (*entry, error) {
	f := &flight{Authorizations: a, k: k, w: w}
	for poll := pollLeast; ; poll = min(2*poll, pollMost) {
		e, err := f.once(ctx)
		if !errors.Is(err, errAgain) {
			return e, err
		}
		if err := a.pause(ctx, poll); err != nil {
			return nil, err
		}
	}
}

// once is errAgain if somebody else is at it.
func (f *flight) once(ctx context.Context) (*entry, error) {
	if err := f.read(ctx); err != nil {
		return nil, err
	}
	if !f.stale() {
		return f.hold(f.row, f.held, f.by), nil
	}
	if !f.held.renewable(f.by) {
		return f.unrenewable(ctx)
	}
	if f.row.Held && f.row.Owner != f.c.Owner { // Ours is of a flight that did not know that it had it.
		return f.without(quietFor, errAgain)
	}
	if left := f.row.DueAt.Sub(f.c.Now()); f.row.Failures > 0 && left > 0 {
		return f.without(left, later(f.row.Error, left))
	}
	if left := f.pauses.left(f.row.App); left > 0 {
		return f.without(left, later(limited(f.row.Provider), left))
	}
	leave, err := f.lanes.enter(ctx, f.row.Provider)
	if err != nil {
		return nil, err
	}
	f.leave = sync.OnceFunc(leave)
	defer f.leave()
	if err := f.claim(ctx); err != nil {
		return nil, err
	}
	return f.refresh(ctx)
}

// read reads what is stored, and opens it if it is another than before.
func (f *flight) read(ctx context.Context) error {
	row, err := f.usable(ctx, f.k)
	if err != nil {
		f.warm.drop(f.k)
		return err
	}
	if f.row.Version == row.Version && f.held.Token.Access != "" {
		f.row = row
		return nil
	}
	held, err := f.open(ctx, row, "refresh")
	if err != nil {
		return err
	}
	f.row, f.held = row, held
	if f.by, err = f.registered(ctx, row, held); err != nil {
		return err
	}
	return nil
}

// stale says that what is stored is to be refreshed.
func (f *flight) stale() bool {
	now := f.c.Now()
	w := f.held.window(f.by, f.row.WorkedAt, now)
	past := func(at time.Time) bool { return !at.IsZero() && !now.Before(at) }
	switch {
	case f.held.Unfinished:
		return true
	case f.w.refused != "":
		return idOf(f.held.Token.Access) == f.w.refused
	case f.w.due && past(f.row.TellAt): // It is due for that, and perhaps for this.
		return past(w.due) || !f.row.RefreshingSince.IsZero()
	case f.w.due:
		return past(f.row.DueAt)
	case w.soft.IsZero():
		return past(w.hard)
	default:
		return past(w.soft)
	}
}

// without gives what is stored, if that can be used still, and has nobody who can do
// without look at it for a while; or else an error.
func (f *flight) without(quiet time.Duration, err error) (*entry, error) {
	now := f.c.Now()
	hard := f.held.window(f.by, f.row.WorkedAt, now).hard
	if f.held.Unfinished || f.w.refused != "" || !hard.IsZero() && !now.Before(hard) {
		return nil, err
	}
	e := f.hold(f.row, f.held, f.by)
	e.quiet.Store(now.Add(quiet).UnixMicro())
	return e, nil
}

// unrenewable is a token that has ended, or is said to have, and that nothing can be
// done about.
func (f *flight) unrenewable(ctx context.Context) (*entry, error) {
	ended := fault.New(fault.Auth, fault.CodeUpstreamAuth, "the token has ended, and %s gave none to refresh it with", f.row.Provider).
		WithHint("%s", hintReconnect)
	if f.w.refused == "" {
		return nil, f.breaks(ctx, Ended, ended)
	}
	if f.row.Failures+1 >= refusalsMost {
		return nil, f.breaks(ctx, Ended, ended)
	}
	now := f.row
	now.Failures, now.FailedAt, now.Error = f.row.Failures+1, f.c.Now(), ended
	row, ok, err := f.c.Store.SwapAuthorization(ctx, f.row, now, 0)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errAgain
	}
	return f.hold(row, f.held, f.by), nil
}

// claim takes the lease and writes down what is going to be sent, in one commit, if all
// is still as it was read: hence it is known to be stale still. It is errAgain if not.
func (f *flight) claim(ctx context.Context) error {
	f.lost = !f.row.RefreshingSince.IsZero() && !f.held.machine()
	now := f.row
	now.Owner = f.c.Owner
	if !f.held.Unfinished {
		f.intend(&now)
	}
	// If we die, it is due once the lease is over.
	now.DueAt = f.c.Now().Add(f.c.Lease + claimSlack)
	f.claimedAt = f.c.Now()
	if err := f.swap(ctx, now, f.c.Lease); err != nil {
		return err
	}
	f.reach(claimed)
	return nil
}

// intend writes down in a row what is going to be sent. Since when stays, if it is the
// same again: from then on the provider may have replaced it.
func (f *flight) intend(r *Row) {
	hash := hashOf(f.held.sends(f.by))
	if r.RefreshingSince.IsZero() || !bytes.Equal(hash, r.RefreshingHash) {
		r.RefreshingSince, r.RefreshingHash = f.c.Now(), hash
	}
}

// extend makes sure that the lease outlasts a request.
func (f *flight) extend(ctx context.Context) error {
	if f.c.Now().Sub(f.claimedAt) <= f.c.Lease-f.c.Timeout {
		return nil
	}
	now := f.row
	now.DueAt = f.c.Now().Add(f.c.Lease + claimSlack)
	f.claimedAt = f.c.Now()
	return f.swap(ctx, now, f.c.Lease)
}

// swap changes what is stored. It is errAgain if somebody else has.
func (f *flight) swap(ctx context.Context, now Row, lease time.Duration) error {
	row, ok, err := f.c.Store.SwapAuthorization(ctx, f.row, now, lease)
	if err != nil {
		return err
	}
	if !ok {
		return errAgain
	}
	f.row = row
	return nil
}

// later is a fault that says when to try again.
func later(f *fault.Error, in time.Duration) error {
	if f == nil {
		f = fault.New(fault.Upstream, "upstream_unavailable", "the authorization server did not answer").WithHint("Try again later.")
	}
	said := *f
	said.RetryAfter = in
	return &said
}

func limited(provider string) *fault.Error {
	return fault.New(fault.RateLimited, "rate_limited", "%s takes no more requests for tokens for now", provider).WithHint("Try again later.")
}
