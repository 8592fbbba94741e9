package authorization

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/oauth"
)

const (
	// keepWithin is for how long it is tried to store an answer: there is no other of it.
	keepWithin = 5 * time.Minute
	// keepPause is the longest pause in between.
	keepPause = 2 * time.Second
	// learnWithin bounds the questions about a token that has come.
	learnWithin = 10 * time.Second
)

// keep stores an answer. Until that is committed, nobody else has it.
func (f *flight) keep(ctx context.Context, token oauth.Token) (*entry, error) {
	came := f.c.Now()
	f.leave() // Others may ask while this is stored.
	f.reach(answered)
	next := f.held.with(f.by, token, f.w.refused != "")
	next.Unfinished = f.unfinished(next)
	if err := f.store(ctx, next); err != nil {
		return nil, err
	}
	f.metrics.window.Observe(max(f.c.Now().Sub(came), 0).Seconds())
	outcome := "renewed"
	if f.lost {
		outcome = "recovered"
	}
	f.metrics.refreshed(f.row.Provider, outcome)
	if next.Unfinished {
		return f.finish(ctx)
	}
	return f.usableNow(ctx)
}

// store stores tokens as the next version, however long it takes, unless somebody has
// stored others.
func (f *flight) store(ctx context.Context, next kept) error {
	ctx, cancel := context.WithTimeout(detach(ctx), keepWithin)
	defer cancel()
	for pause := pollLeast; ; pause = min(2*pause, keepPause) {
		err := f.storeOnce(ctx, next)
		if errors.Is(err, errAgain) {
			err = f.fenced(ctx, next)
		}
		switch {
		case err == nil:
			f.held = next
			return nil
		case errors.Is(err, errAgain): // Another has the lease, and has stored nothing.
			continue
		case isNotFound(err), errors.Is(err, errReplaced):
			if errors.Is(err, errReplaced) {
				return errAgain
			}
			return err
		}
		f.c.Logger.LogAttrs(ctx, slog.LevelError, "new tokens are not stored yet, and are lost if this process ends",
			slog.String("tenant", f.row.Tenant), slog.String("connection", f.row.Connection), slog.Any("error", err))
		if f.pause(ctx, pause) != nil {
			return err
		}
	}
}

// errReplaced says that other tokens are stored by now.
var errReplaced = errors.New("other tokens are stored")

func (f *flight) storeOnce(ctx context.Context, next kept) error {
	now := f.row
	now.State, now.Version = Active, f.row.Version+1
	now.Failures, now.FailedAt, now.Error = 0, time.Time{}, nil
	now.RefreshingSince, now.RefreshingHash = time.Time{}, nil
	if err := f.seal(ctx, &now, next); err != nil {
		return err
	}
	f.reach(sealed)
	lease := time.Duration(0)
	f.schedule(&now, next, f.by)
	switch {
	case next.Unfinished:
		lease, now.DueAt, now.Owner = f.c.Lease, f.c.Now().Add(f.c.Lease+claimSlack), f.c.Owner
	case !now.BrokenSince.IsZero():
		now.DueAt = f.c.Now() // Somebody is to be told that it works again.
	}
	if err := f.swap(ctx, now, lease); err != nil {
		return err
	}
	f.reach(stored)
	return nil
}

// fenced looks why tokens were not stored. It is errAgain if they are to be stored in
// spite of it: who has the lease now has asked with the token that these came for, and
// will be refused.
func (f *flight) fenced(ctx context.Context, next kept) error {
	row, err := f.c.Store.Authorization(ctx, f.k.tenant, f.k.connection)
	switch {
	case isNotFound(err), err == nil && row.State == Revoking:
		// The connection was deleted meanwhile: what came is nobody's.
		if err := f.retire(ctx, f.row, next); err != nil {
			return err
		}
		f.metrics.refreshed(f.row.Provider, "deleted")
		return fault.NotFound("authorization of the connection", f.k.connection)
	case err != nil:
		return err
	case row.Version == f.row.Version:
		f.row = row
		return errAgain
	}
	f.metrics.refreshed(f.row.Provider, "fenced")
	newer, err := f.open(ctx, row, "refresh")
	if err != nil {
		return err
	}
	if foreign(f.row, next, row, newer) {
		if err := f.retire(ctx, f.row, next); err != nil {
			return err
		}
	}
	return errReplaced
}

// unfinished says that there is more to ask before a token can be used, or its end be
// known.
func (f *flight) unfinished(k kept) bool { return f.looksUp() || f.asksEnd(k) }

func (f *flight) looksUp() bool {
	if f.c.Lookup == nil {
		return false
	}
	for _, l := range f.by.Provider.Lookups {
		if l.Each {
			return true
		}
	}
	return false
}

// asksEnd says that a server knows when a token ends that has not said so.
func (f *flight) asksEnd(k kept) bool { return asksEnd(f.by, k) }

func asksEnd(by Registered, k kept) bool {
	return k.Token.ExpiresAt.IsZero() && by.Endpoints.Introspection != "" && !by.Provider.Refresh.NeverExpires
}

// finish asks for what a token lacks that is stored already.
func (f *flight) finish(ctx context.Context) (*entry, error) {
	next := f.held
	next.Unfinished, next.Variables = false, maps.Clone(f.held.Variables)
	asked, cancel := context.WithTimeout(ctx, learnWithin)
	defer cancel()
	if f.looksUp() {
		token, variables, err := f.c.Lookup(asked, f.by, next.Token, next.Variables)
		if err != nil {
			return f.failed(ctx, untouched, err)
		}
		next.Token, next.Variables = token, variables
	}
	f.learn(asked, f.by, &next)
	if err := f.store(ctx, next); err != nil {
		return nil, err
	}
	return f.usableNow(ctx)
}

// learn asks the server when a token ends. If it does not say, it stays unknown: then
// the first refusal tells.
func (a *Authorizations) learn(ctx context.Context, by Registered, k *kept) {
	if !asksEnd(by, *k) {
		return
	}
	said, err := a.c.Client.Introspect(ctx, by.Registration, k.Token.Access, "access_token")
	if err == nil && said.Active {
		k.Token.ExpiresAt = said.ExpiresAt
	}
}

// usableNow takes what was stored into memory, and tells if it had broken before.
func (f *flight) usableNow(ctx context.Context) (*entry, error) {
	by, err := f.registered(ctx, f.row, f.held)
	if err != nil {
		return nil, err
	}
	f.by = by
	if !f.row.BrokenSince.IsZero() {
		f.row = f.mended(ctx, f.row, f.held, by)
	}
	return f.hold(f.row, f.held, f.by), nil
}

// foreign says that tokens are another account's, or another client's, than those that
// replace them: then they are revoked. Those of the same account and client are not, for
// servers end with one token all that the user has agreed to with this client.
func foreign(was Row, old kept, now Row, fresh kept) bool {
	if was.App != now.App || was.Provider != now.Provider {
		return true
	}
	return old.Token.Identity().Differs(fresh.Token.Identity())
}
