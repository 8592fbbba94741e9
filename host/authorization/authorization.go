// Package authorization keeps what users agreed to: the tokens of one connection, sealed
// where they lie and fresh when they are asked for.
//
//	all, err := authorization.New(authorization.Config{Store: db, Source: apps, Client: client, Vault: v, Owner: id, ...})
//	_, err = all.Put(ctx, authorization.Obtained{Tenant: t, Connection: "con_...", App: "app_...", Provider: "acme", Token: token})
//	access, err := all.Token(ctx, t, "con_...")            // From memory, nearly always.
//	err = all.Worked(ctx, t, "con_...", access.ID)         // The API took it.
//	renewed, err := all.Refused(ctx, t, "con_...", access.ID) // It answered 401.
//	go all.Run(ctx)                                        // Refreshes before anybody waits.
//
// The words:
//
//   - Provider: an authorization server and its quirks, as data.
//   - App: an OAuth client registered with a provider, the operator's (for all tenants)
//     or a tenant's own.
//   - Authorization: what a user agreed to: the tokens of one connection, kept and
//     refreshed.
//
// # A refresh, step by step
//
// Where refresh tokens rotate, one that is sent twice ends all that its user agreed to:
// the server takes the second for a thief's. Hence one refresh at a time, of all
// processes, and what a crash leaves is known to whoever goes on:
//
//  1. One flight of a process. Who comes meanwhile waits for it; it runs in a context of
//     its own, so that it goes on whoever leaves.
//  2. Read what is stored. If that is not stale any more, it is what was wanted. If
//     another process holds the lease, wait for it. Nobody is asked sooner than the last
//     failure, or the provider's Retry-After, lets one.
//  3. In one commit, if all is as it was read: the lease, and the intent, which is since
//     when, and the SHA-256 of the token that is going to be sent. It is one change and
//     not two, because being as it was read is what reading again would tell. A crash from
//     here on leaves a lease that ends by itself after Config.Lease, and an intent.
//  4. Ask, outside any transaction, for at most half as long as the lease. A crash here
//     leaves an intent of which nobody knows whether it was carried out.
//  5. Store the answer as the next version, if the version is still the one that was
//     read; with it go lease and intent. The refresh token before stays sealed with it
//     until the new access token has worked once. A crash between 4 and 5 loses what only
//     this process had: see below.
//
// Who has the lease after a crash finds the intent, and sends the same token again. At a
// provider with a grace period, or whose refresh tokens do not rotate, that is as good as
// the first time. At any other it is all that can be done: if the server had not got to
// the first one it works (counted as "recovered"), and if it had, the authorization
// breaks for the reason PossiblyLost.
//
// What a provider answers instead of tokens:
//
//   - invalid_grant: look whether somebody has stored a newer version; then try the
//     refresh token before, if its successor has never worked; only then it is broken.
//   - 429, 503, or no connection: the token was not looked at. It is left alone for as
//     long as the provider says, and so are the others of the same app.
//   - A time-out or another 5xx: it may have been. The same token again, by the same
//     holder, after a pause, within the grace period; after that, by whoever comes next.
//   - A refusal of the client: nothing has ended, and no user can help. It is tried again
//     now and then, and shows in Authorization.Error.
//
// # The window that is left
//
// Between an answer and its commit, a process that is killed loses a family of tokens at
// a provider that rotates them without a grace period. That cannot be closed from here,
// only kept short, and known. Of 500 refreshes on a machine of two cores that was busy with
// more, it was 0.5 ms at the median and 34 ms at the 99th percentile on SQLite, and 0.8 and
// 17 ms on Postgres (make bench SUITE=oauth, oauth/lost_window_ms); of a server's own
// refreshes, cofferdam_oauth_lost_window_seconds measures it. Whoever takes the lease over
// notices within a minute, and the user is asked to reconnect.
//
// # In memory
//
// A token in memory is used for Config.Fresh, 5 s, without a look at the database; then
// its version is read by its key. So long one of a connection that another process has
// deleted or connected anew is used at most. Within the margin before its end (the
// provider's, or 5 minutes, and at most a fifth of its life) it is used while it is
// refreshed; callers wait only for one that has ended. Run refreshes earlier still, spread
// over another fifth of the life by a number that is each token's own.
//
// # Sharp edges
//
//   - Leases are by the database's clock. A process that stands still between looking at
//     its lease and sending, for longer than the rest of it, sends what another has sent.
//   - The protocol tells no difference between a user who takes back what was agreed to and
//     a thief who was quicker with a refresh token. So it is PossiblyStolen only if the
//     provider says in words that a token was used before, and Ended if not.
//   - Who tells nobody that a token Worked keeps the one before it for longer, and has
//     connections refreshed that nobody uses.
package authorization

import (
	"encoding/json"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/oauth"
)

// State is what an authorization is in.
type State string

// The states. Refreshing and Expiring are not stored: they are Active ones, looked at.
const (
	// Active has tokens that work, as far as anybody knows.
	Active State = "active"
	// Refreshing is one whose token is being refreshed now.
	Refreshing State = "refreshing"
	// Expiring is one whose token has ended, or is about to, and was not refreshed yet.
	Expiring State = "expiring"
	// Broken is one that the provider does not take any more: its user has to reconnect.
	Broken State = "broken"
	// Revoking is one whose connection is deleted, and whose tokens are to be revoked.
	Revoking State = "revoking"
)

// The grants by which tokens are got. Those of machines bring a new token where the
// first refreshes the one before.
const (
	AuthorizationCode = "authorization_code"
	DeviceCode        = "device_code"
	TokenExchange     = "token_exchange"
	ClientCredentials = "client_credentials"
	JWTBearer         = "jwt_bearer"
)

// Authorization is what people see of one: nothing of its tokens. Times that nobody
// knows are zero.
type Authorization struct {
	Tenant     string `json:"-"`
	Connection string `json:"connection"`
	App        string `json:"app"`
	Provider   string `json:"provider"`
	Grant      string `json:"grant"`
	State      State  `json:"state"`
	// Scopes are those that were given, and Missing those that were asked for besides.
	Scopes  []string `json:"scopes"`
	Missing []string `json:"missing,omitempty"`
	// ObtainedAt is when the access token came, ExpiresAt when it ends, DueAt when it is
	// refreshed at the latest, by itself, and WorkedAt when one was last taken by the API.
	ObtainedAt time.Time `json:"obtained_at"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"`
	DueAt      time.Time `json:"due_at,omitzero"`
	WorkedAt   time.Time `json:"worked_at,omitzero"`
	// EndsAt is when it ends whatever is refreshed, or unless it is refreshed before, as far
	// as its provider tells: from then on its user has to agree once more.
	EndsAt time.Time `json:"ends_at,omitzero"`
	// BrokenSince is when it broke; of one that is being revoked, when that began.
	BrokenSince time.Time `json:"broken_since,omitzero"`
	// FailedAt is when it was last tried in vain, Failures how often since it last went
	// well, and Error why: safe to show.
	FailedAt time.Time    `json:"failed_at,omitzero"`
	Failures int64        `json:"failures,omitempty"`
	Error    *fault.Error `json:"error,omitempty"`
	Version  int64        `json:"version"`
}

// Why an authorization broke, as Authorization.Reason says it.
const (
	// Ended: the provider does not take it any more, and may have good reason: it has run
	// out, its user took it back, or the client's registration changed.
	Ended = "ended"
	// PossiblyLost: a process died after it had asked for new tokens and before it had
	// stored them. The provider has replaced what is stored here.
	PossiblyLost = "possibly_lost"
	// PossiblyStolen: refresh tokens rotate, and the provider says of one that it was used
	// before, which we have not: somebody else may have.
	PossiblyStolen = "possibly_stolen"
)

// Reason is why a Broken one broke, or empty.
func (a Authorization) Reason() string {
	if a.State != Broken || a.Error == nil {
		return ""
	}
	var details struct {
		Reason string `json:"reason"`
	}
	if json.Unmarshal(a.Error.Details, &details) != nil || details.Reason == "" {
		return Ended
	}
	return details.Reason
}

// Account is whose a connection's tokens are, as far as its provider has told.
type Account struct {
	App       string
	Variables map[string]string
	Identity  oauth.Identity
}

// Obtained is what a user has agreed to just now, or what a machine is to get for
// itself: see Authorizations.Put.
type Obtained struct {
	Tenant, Connection string
	// App and Provider are by whom, and with whom, it was agreed.
	App, Provider string
	// Token may be empty for the grants of machines: then it is asked for.
	Token oauth.Token
	// Variables are those of the provider's templates, all that are known by now.
	Variables map[string]string
	// Grant defaults to AuthorizationCode.
	Grant string
	// Assertion is what a JWTBearer says.
	Assertion *oauth.Assertion
}
