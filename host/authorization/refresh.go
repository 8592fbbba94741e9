package authorization

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/oauth"
)

// verdict is what an error says of the token that was sent.
type verdict int

const (
	// untouched: the server has not looked at it.
	untouched verdict = iota
	// unclear: the server may have replaced it, and the answer is lost.
	unclear
	// unreadable is unclear, of an answer that will be the same again.
	unreadable
	// misfit: the server has refused the client, or how it asks.
	misfit
	// odd: the server has refused it in words that nobody knows.
	odd
	// ended: the server has refused it.
	ended
)

// judge reads an error of a refresh.
func judge(err error) verdict {
	e, ok := errors.AsType[*oauth.Error](err)
	if !ok {
		return unclear
	}
	if e.Retryable {
		limits := e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable
		if limits || e.Fault().Class == fault.RateLimited || unsent(err) {
			return untouched
		}
		return unclear
	}
	switch e.Code {
	case oauth.CodeInvalidGrant, "invalid_token", "access_denied", "login_required", "consent_required", "interaction_required", "account_selection_required":
		return ended
	case "answer_invalid":
		return unreadable
	case "invalid_client", "registration_invalid", "metadata_invalid":
		return misfit
	}
	if e.Fault().Class == fault.InvalidInput { // invalid_request, invalid_scope, ...
		return misfit
	}
	return odd
}

// unsent says that a request never left: there was no connection to send it on.
func unsent(err error) bool {
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return true
	}
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

const (
	// triesMost is how often a flight sends the same token if answers are lost, and
	// triesWithin in what time, if the provider has no opinion.
	triesMost   = 3
	triesWithin = 30 * time.Second
	// backoffLeast and backoffMost are how long an authorization is left alone after a
	// flight in vain, and after many.
	backoffLeast = 5 * time.Second
	backoffMost  = 15 * time.Minute
	// oddMost is how many refusals that nobody understands it takes until they count.
	oddMost = 3
)

// refresh asks for new tokens, under the lease.
func (f *flight) refresh(ctx context.Context) (*entry, error) {
	if f.held.Unfinished {
		return f.finish(ctx)
	}
	for try := 1; ; try++ {
		token, err := f.ask(ctx)
		if err == nil {
			return f.keep(ctx, token)
		}
		if errors.Is(err, errAgain) {
			return nil, err
		}
		v := judge(err)
		f.lost = f.lost || (v == unclear || v == unreadable) && !f.held.machine()
		switch {
		case v == ended, v == odd && f.row.Failures+1 >= oddMost:
			again, refusal := f.refused(ctx, err)
			if !again {
				return nil, refusal
			}
		case v == unclear && f.again(ctx, try, err):
		default:
			return f.failed(ctx, v, err)
		}
	}
}

// ask makes one request, which ends before the lease does.
func (f *flight) ask(ctx context.Context) (oauth.Token, error) {
	if err := f.extend(ctx); err != nil {
		return oauth.Token{}, err
	}
	f.reach(asking)
	ctx, cancel := context.WithTimeout(ctx, f.c.Timeout)
	defer cancel()
	return f.obtain(ctx, f.by, f.held)
}

// obtain asks for tokens by the grant that they were got with.
func (a *Authorizations) obtain(ctx context.Context, by Registered, k kept) (oauth.Token, error) {
	switch k.Grant {
	case ClientCredentials:
		return a.c.Client.ClientCredentials(ctx, by.Registration)
	case JWTBearer:
		var as oauth.Assertion
		if k.Assertion != nil {
			as = *k.Assertion
		}
		return a.c.Client.JWTBearer(ctx, by.Registration, as)
	default:
		return a.c.Client.Refresh(ctx, by.Registration, k.sends(by))
	}
}

// again waits to send the same token once more, after an answer that was lost: it is
// still ours to send, and within the provider's grace it is as good as it was.
func (f *flight) again(ctx context.Context, try int, err error) bool {
	within := triesWithin
	if grace := time.Duration(f.by.Provider.Refresh.GraceSeconds) * time.Second; grace > 0 {
		within = min(within, grace)
	}
	wait := time.Duration(1<<(2*(try-1))) * time.Second / 2 // 0.5 s, 2 s.
	if e, ok := errors.AsType[*oauth.Error](err); ok {
		wait = max(wait, e.RetryAfter)
	}
	since := f.row.RefreshingSince
	if f.held.machine() {
		since = f.claimedAt
	}
	if try >= triesMost || f.c.Now().Add(wait).Sub(since) >= within {
		return false
	}
	f.metrics.refreshed(f.row.Provider, "again")
	return f.pause(ctx, wait) == nil
}

// refused is told that the server has refused the token. It is true if another one is to
// be tried: the one before, whose successor has never worked.
func (f *flight) refused(ctx context.Context, cause error) (again bool, err error) {
	row, err := f.c.Store.Authorization(ctx, f.k.tenant, f.k.connection)
	if err != nil {
		return false, err
	}
	if row.Version != f.row.Version || row.State != Active {
		return false, errAgain // Somebody else was quicker.
	}
	if f.held.Previous != "" && row.WorkedAt.Before(row.ObtainedAt) && !f.older {
		f.older = true
		f.held.Token.Refresh, f.held.Previous = f.held.Previous, ""
		now := f.row
		f.intend(&now)
		if err := f.swap(ctx, now, f.c.Lease); err != nil {
			return false, err
		}
		f.metrics.refreshed(f.row.Provider, "previous")
		return true, nil
	}
	reason := Ended
	switch {
	case !f.held.rotates(f.by):
	case f.lost:
		reason = PossiblyLost
	case !f.older && saysUsed(cause):
		reason = PossiblyStolen
	}
	return false, f.breaks(ctx, reason, cause)
}

// saysUsed says that the server has told that a token was used before. RFC 6749 has no code
// for that, so that it is in the words for people, of those servers that have any.
func saysUsed(err error) bool {
	e, ok := errors.AsType[*oauth.Error](err)
	if !ok {
		return false
	}
	said := strings.ToLower(e.Description)
	for _, words := range []string{"already used", "already been used", "been used already", "reuse", "re-use", "used more than once", "used before"} {
		if strings.Contains(said, words) {
			return true
		}
	}
	return false
}

// failed writes down that it did not go well this time, and when it is tried again.
func (f *flight) failed(ctx context.Context, v verdict, cause error) (*entry, error) {
	now := f.row
	now.Failures, now.FailedAt, now.Error = f.row.Failures+1, f.c.Now(), as(cause)
	wait := f.backoff(v, now.Failures)
	if e, ok := errors.AsType[*oauth.Error](cause); ok {
		wait = max(wait, e.RetryAfter)
		if e.Fault().Class == fault.RateLimited {
			f.pauses.set(f.row.App, max(e.RetryAfter, time.Second))
		}
	}
	now.Error.RetryAfter = wait
	now.DueAt = f.c.Now().Add(wait)
	if v != unclear && v != unreadable && !f.lost {
		now.RefreshingSince, now.RefreshingHash = time.Time{}, nil
	}
	f.metrics.refreshed(f.row.Provider, map[verdict]string{
		untouched: "delayed", unclear: "unanswered", unreadable: "unreadable", misfit: "misconfigured", odd: "refused",
	}[v])
	if err := f.swap(ctx, now, 0); err != nil {
		return nil, err
	}
	return f.without(wait, as(cause))
}

// backoff is how long it is left alone, longer each time. A token of which nobody knows
// whether it was replaced is sent again within the provider's grace.
func (f *flight) backoff(v verdict, failures int64) time.Duration {
	wait := min(backoffMost, backoffLeast<<min(failures-1, 10))
	grace := time.Duration(f.by.Provider.Refresh.GraceSeconds) * time.Second
	if left := grace - f.c.Now().Sub(f.row.RefreshingSince); v == unclear && left > 0 {
		wait = max(time.Second, min(wait, left/2))
	}
	return time.Duration(float64(wait) * (0.75 + f.held.spread()/2))
}

// breaks ends an authorization, if nobody has changed it meanwhile.
func (f *flight) breaks(ctx context.Context, reason string, cause error) error {
	now := f.row
	now.State, now.BrokenSince = Broken, f.c.Now()
	now.Failures, now.FailedAt = f.row.Failures+1, f.c.Now()
	now.Error = as(cause)
	now.Error.RetryAfter = 0
	now.Error.Details = because(now.Error.Details, reason)
	now.Error.Hint = hintReconnect
	now.DueAt = f.c.Now().Add(tellAgain)
	now.RefreshingSince, now.RefreshingHash = time.Time{}, nil
	if err := f.swap(ctx, now, 0); err != nil {
		return err
	}
	f.warm.drop(f.k)
	f.metrics.refreshed(f.row.Provider, reason)
	f.metrics.broke(f.row.Provider, reason)
	f.c.Logger.LogAttrs(ctx, slog.LevelWarn, "an authorization has broken: its user has to reconnect",
		slog.String("tenant", f.row.Tenant), slog.String("connection", f.row.Connection), slog.String("provider", f.row.Provider),
		slog.String("reason", reason), slog.Any("error", cause))
	f.tell(ctx, f.row)
	return broken(f.row)
}

// because adds to the details of a fault why an authorization broke.
func because(details json.RawMessage, reason string) json.RawMessage {
	all := map[string]any{}
	if json.Unmarshal(details, &all) != nil || all == nil {
		all = map[string]any{}
	}
	all["reason"] = reason
	with, _ := json.Marshal(all) // Of what was JSON, it does not fail.
	return with
}
