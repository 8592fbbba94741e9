// Package connect is the visits of users who connect an account, or connect one again:
// connect sessions. A host app makes one for its user and sends them to its link, or
// shows the steps itself; both go the same way.
//
//	made, err := sessions.Create(ctx, tenant, connect.Spec{Installation: "crm", ReturnURL: "https://app.example/done"})
//	// The user opens made.URL, or the host app's own pages do the steps:
//	session, err := sessions.Step(ctx, tenant, made.ID, connect.Step{Step: "fields", Values: values})
//
// # The steps
//
//		open --> choosing --> fields --> consent --> selecting --> testing --> done
//		             |           |         |  ^          |            |
//		             |           |         v  |          v            v
//		             +-----------+------> failed <-------+------------+
//
//		cancelled, expired: from each that is not an end
//
//	  - open: nobody has opened the link yet.
//	  - choosing: which account type, if the plugin has several, or which app of a
//	    provider's. With one there is nothing to choose.
//	  - fields: the provider's variables, the parts of a credential, what the plugin wants
//	    to know of the account. Without any there is nothing to enter.
//	  - consent: the user goes to the provider and agrees, or enters the code of the device
//	    flow there. A credential that was entered needs none, and no more does an app that
//	    gets its tokens for itself.
//	  - selecting: the consent is for several of what a connection is for one of.
//	  - testing: the connection is there, and the plugin's test runs with it.
//	  - done, cancelled, expired: ends. failed can be tried again, from consent or fields.
//
// # Who may go on
//
// A link has a secret of 256 bits, of which the SHA-256 is stored. The first browser
// that opens it gets a cookie, and from then on it alone is let in: a link that somebody
// else has read opens nothing. A consent in a window of its own, which a page in a frame
// opens, is of that browser too, and shown so by the token of the page's form. What comes
// from the provider must come to the browser that was sent there.
//
// # Promises
//
//   - A connection that is connected again keeps its id and its name. Another account is
//     refused, if the provider tells which one it is, unless the session allows it.
//   - Tokens are with the connection, or with the session, sealed, while the user selects;
//     a session that ends has none. Those that become no connection's are revoked, unless
//     that could end what another connection of the tenant's has.
//   - A session is over after 30 minutes, whatever was begun in it.
package connect

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/host/vault"
)

const (
	// lifetime is how long a user has for everything: a consent of 10 minutes, twice, and
	// a look for an API key.
	lifetime = 30 * time.Minute
	// kept is how long a session can be looked at after that, by a host app that asks what
	// became of it.
	kept = 24 * time.Hour
	// testPatience is how long a test is waited for. A sandbox has at most a minute; one
	// that waits longer waits for something else.
	testPatience = 90 * time.Second
)

// Config configures Sessions.
type Config struct {
	Store Store
	Vault *vault.Vault
	// Client has the Flows of NewFlows.
	Client Client
	// Apps are who asks for consents. Defaults to none.
	Apps           Apps
	Connections    Connections
	Authorizations Authorizations
	Plugins        Plugins
	// Tester defaults to none: then no connection is tested.
	Tester Tester
	// PublicURL is where browsers reach the program, without a slash at its end. With a
	// path, the program is below that.
	PublicURL string
	// Now is the clock. It must be set.
	Now func() time.Time
	// Rand is where secrets come from. Defaults to crypto/rand.
	Rand io.Reader
}

// Client is how tokens are got: an *oauth.Client.
type Client interface {
	Begin(ctx context.Context, r oauth.Registration, starter oauth.Starter, note string) (oauth.Begun, error)
	Accept(ctx context.Context, starter oauth.Starter, redirectURI string, callback url.Values) (oauth.Arrived, error)
	Exchange(ctx context.Context, r oauth.Registration, a oauth.Arrived) (oauth.Token, error)
	DeviceBegin(ctx context.Context, r oauth.Registration) (oauth.Device, error)
	DevicePoll(ctx context.Context, r oauth.Registration, d *oauth.Device) (oauth.Token, error)
	ClientCredentials(ctx context.Context, r oauth.Registration) (oauth.Token, error)
	JWTBearer(ctx context.Context, r oauth.Registration, as oauth.Assertion) (oauth.Token, error)
}

// Connections are the tenant's accounts: a *connection.Connections.
type Connections interface {
	Create(ctx context.Context, tenant string, spec connection.Spec) (connection.Connection, error)
	Get(ctx context.Context, tenant, idOrName string) (connection.Connection, error)
	Replace(ctx context.Context, tenant, id string, c connection.Credential) (connection.Connection, error)
	SetFields(ctx context.Context, tenant, id string, fields json.RawMessage) (connection.Connection, error)
	// Reconnected says that a user has agreed anew: what waits for the connection goes on.
	Reconnected(ctx context.Context, tenant, id string, at connection.Place) (connection.Connection, error)
	Delete(ctx context.Context, tenant, id string) error
}

// Authorizations keep what was agreed to.
type Authorizations interface {
	// Agree keeps the tokens of a connection, instead of those before.
	Agree(ctx context.Context, a Agreed) error
	// Discard has tokens revoked that are no connection's, unless another one may be of the
	// same account. Agreed.Connection is the session's id.
	Discard(ctx context.Context, a Agreed) error
	// AppOf is the app that a connection's tokens are from.
	AppOf(ctx context.Context, tenant, connection string) (string, error)
	// AccountOf is whose they are.
	AccountOf(ctx context.Context, tenant, connection string) (Account, error)
}

// Account is whose the tokens of a connection are, as far as the provider has told.
type Account struct {
	App       string
	Variables map[string]string
	Identity  oauth.Identity
}

// Agreed is what a user has agreed to.
type Agreed struct {
	Tenant, Connection, App, Provider string
	Token                             oauth.Token
	Variables                         map[string]string
	Grant                             string
}

// Tester runs a plugin's test.
type Tester interface {
	// Start starts the test of an installation, and returns its execution.
	Start(ctx context.Context, tenant, installation string) (string, error)
	// Outcome says whether it has ended, and with which error. One that waits until
	// a person does something has ended.
	Outcome(ctx context.Context, tenant, execution string) (ended bool, failure *fault.Error, err error)
}

// Sessions are the visits of users who connect accounts. They are safe for concurrent
// use.
type Sessions struct{ c Config }

// New returns Sessions.
func New(c Config) (*Sessions, error) {
	if c.Store == nil || c.Vault == nil || c.Now == nil || c.Connections == nil || c.Plugins == nil {
		return nil, errors.New("configure connect sessions: Store, Vault, Connections, Plugins and Now must be set")
	}
	if u, err := url.Parse(c.PublicURL); err != nil || u.Host == "" || strings.HasSuffix(c.PublicURL, "/") {
		return nil, errors.New("configure connect sessions: PublicURL must be a URL without a slash at its end, such as https://connect.example.com")
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	return &Sessions{c: c}, nil
}

// Tidy forgets what has expired: what sessions hold and flows at once, sessions a day
// later.
func (s *Sessions) Tidy(ctx context.Context) error {
	now := s.c.Now()
	err := s.expire(ctx, now)
	return errors.Join(err, s.c.Store.PurgeVisits(ctx, now.Add(-kept), now))
}

// PublicURL is where browsers reach the program, without a slash at its end.
func (s *Sessions) PublicURL() string { return s.c.PublicURL }

// public is an address of the program's own.
func (s *Sessions) public(path string) string { return s.c.PublicURL + path }

// loopback says that the program is reached on its own machine: it is in development.
func (s *Sessions) loopback() bool { return strings.HasPrefix(s.c.PublicURL, "http://") }
