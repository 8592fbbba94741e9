package authorization

import (
	"context"
	"time"
)

const (
	day = 24 * time.Hour
	// tellBefore is how long before its end somebody is told, at most, and tellPart the part
	// of its life that it is then: the last quarter, for by two thirds of it what can be
	// made to live longer was.
	tellBefore = 7 * day
	tellPart   = 4
	// tellLife is how long one lives at least of which anybody is told.
	tellLife = day
	// sameEnd is how much two ends may differ and be the same: who says in how many seconds
	// something ends says it a little differently each time.
	sameEnd = time.Hour
)

// agreedAt is when its user has agreed. Of one from before that was kept it is the last
// refresh.
func (k kept) agreedAt() time.Time {
	if k.AgreedAt.IsZero() {
		return k.Token.ObtainedAt
	}
	return k.AgreedAt
}

// ends says when it ends for good, and when somebody is to be told, as far as that is
// known: zero is never.
func (k kept) ends(r Registered) (at, tell time.Time) {
	if k.machine() {
		return at, tell // It asks for another.
	}
	rules, t := r.Provider.Refresh, k.Token
	var since time.Time
	sooner := func(end, from time.Time) {
		if at.IsZero() || end.Before(at) {
			at, since = end, from
		}
	}
	from := t.ObtainedAt
	if k.Fixed || !k.rotates(r) {
		from = k.agreedAt()
	}
	switch {
	case !k.renewable(r), rules.Sends == "access_token":
		if !t.ExpiresAt.IsZero() {
			sooner(t.ExpiresAt, t.ObtainedAt)
		}
	case !t.RefreshExpiresAt.IsZero():
		sooner(t.RefreshExpiresAt, from)
	case rules.LifeDays > 0:
		sooner(from.Add(time.Duration(rules.LifeDays)*day), from)
	}
	if rules.IdleDays > 0 && k.renewable(r) {
		sooner(t.ObtainedAt.Add(time.Duration(rules.IdleDays)*day), t.ObtainedAt)
	}
	if life := at.Sub(since); !at.IsZero() && life >= tellLife {
		tell = at.Add(-min(tellBefore, life/tellPart))
	}
	return at, tell
}

// schedule writes down when a row ends, and when it is due.
func (a *Authorizations) schedule(r *Row, k kept, by Registered) {
	if at, tell := k.ends(by); at.IsZero() != r.EndsAt.IsZero() || at.Sub(r.EndsAt).Abs() >= sameEnd {
		r.EndsAt, r.TellAt = at, tell
	}
	r.DueAt = k.window(by, r.WorkedAt, a.c.Now()).due
	if !r.TellAt.IsZero() && (r.DueAt.IsZero() || r.TellAt.Before(r.DueAt)) {
		r.DueAt = r.TellAt
	}
}

// endingDue tells of one that is going to end, if it is time to and nobody was told yet.
func (a *Authorizations) endingDue(ctx context.Context, k key) error {
	row, err := a.c.Store.Authorization(ctx, k.tenant, k.connection)
	if isNotFound(err) {
		return nil
	}
	now := a.c.Now()
	if err != nil || row.State != Active || row.Held || row.TellAt.IsZero() || row.TellAt.After(now) {
		return err
	}
	held, err := a.open(ctx, row, "refresh")
	if err != nil {
		return err
	}
	by, err := a.registered(ctx, row, held)
	if err != nil {
		return err
	}
	// Whoever swaps first tells.
	mine, due := row, row.DueAt
	mine.DueAt = now.Add(tellAgain)
	row, ok, err := a.c.Store.SwapAuthorization(ctx, row, mine, 0)
	if err != nil || !ok {
		return err
	}
	if err := a.c.Ending(ctx, a.shown(row)); err != nil {
		a.untold(ctx, row, tellAgain, err)
		return nil
	}
	told := row
	told.TellAt = time.Time{}
	if a.schedule(&told, held, by); due.After(now) {
		told.DueAt = due // It was refreshed in vain, and is again then.
	}
	_, _, err = a.c.Store.SwapAuthorization(ctx, row, told, 0)
	return err
}
