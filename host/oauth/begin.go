package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// Starter is who begins a flow, and who alone may end it.
type Starter struct {
	Tenant string `json:"tenant"`
	// Session is what the browser is known by, such as the hash of its cookie.
	Session string `json:"session"`
}

// Flow is an authorization that a user was sent to, until the callback. It prints as
// "[redacted]"; encoded as JSON it is whole, to be sealed.
type Flow struct {
	// ID is the SHA-256 of the state, in hexadecimal: who reads the store learns no
	// state.
	ID      string  `json:"id"`
	Starter Starter `json:"starter"`
	// Note is the caller's own, such as the connection that is to be made.
	Note string `json:"note,omitempty"`
	// Issuer, Authorization, Token, ClientID and RedirectURI are those of the
	// registration that it began with: the code goes to nobody else. Token is empty if the
	// callback names it.
	Issuer        string `json:"issuer,omitempty"`
	IssPromised   bool   `json:"iss_promised,omitempty"`
	Authorization string `json:"authorization_endpoint"`
	Token         string `json:"token_endpoint"`
	ClientID      string `json:"client_id"`
	RedirectURI   string `json:"redirect_uri"`
	// Scopes that were asked for.
	Scopes []string `json:"scopes,omitempty"`
	// Verifier is PKCE's, or empty without it.
	Verifier  string    `json:"code_verifier,omitempty"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Begun is where to send the browser. It prints as "[redacted]".
type Begun struct {
	URL string
	// State is in URL; it is for callers that match a window to its flow.
	State     string
	ExpiresAt time.Time
}

// secretBytes are 256 bits, 43 characters of base64: what RFC 7636 section 4.1 asks of
// a verifier, and more than the 128 bits that RFC 6749 section 10.10 asks of a state.
const secretBytes = 32

// Begin starts an authorization code flow of a user. Note is kept with it.
func (c *Client) Begin(ctx context.Context, r Registration, starter Starter, note string) (Begun, error) {
	if c.config.Flows == nil {
		return Begun{}, newError(codeRegistration, "nothing keeps flows: set Config.Flows")
	}
	if starter.Tenant == "" || starter.Session == "" {
		return Begun{}, newError(codeRegistration, "a flow needs a tenant and a session that begin it")
	}
	if err := c.checkFlow(r); err != nil {
		return Begun{}, err
	}
	state, err := c.random()
	if err != nil {
		return Begun{}, err
	}
	f := Flow{
		ID: flowID(state), Starter: starter, Note: note,
		Issuer: r.Endpoints.Issuer, IssPromised: r.Endpoints.IssPromised,
		Authorization: r.Endpoints.Authorization, Token: r.Endpoints.Token,
		ClientID: r.ClientID, RedirectURI: r.RedirectURI, Scopes: slices.Clone(r.Scopes),
		ExpiresAt: c.config.Now().Add(c.config.FlowLifetime),
	}
	if r.Wire.PKCE != "none" {
		if f.Verifier, err = c.random(); err != nil {
			return Begun{}, err
		}
	}
	to, err := authorizationURL(r, state, f.Verifier)
	if err != nil {
		return Begun{}, err
	}
	if err := c.config.Flows.PutFlow(ctx, f); err != nil {
		return Begun{}, fmt.Errorf("keep the flow: %w", err)
	}
	return Begun{URL: to, State: state, ExpiresAt: f.ExpiresAt}, nil
}

// checkFlow says what of r keeps it from an authorization code flow.
func (c *Client) checkFlow(r Registration) error {
	if err := c.check(r); err != nil {
		return err
	}
	if _, err := c.endpoint(r, "authorization", r.Endpoints.Authorization); err != nil {
		return err
	}
	if _, err := c.endpoint(r, "token", r.Endpoints.Token); err != nil && (r.Endpoints.Token != "" || !r.Endpoints.TokenComes) {
		return err
	}
	if _, err := c.address(r.RedirectURI); err != nil {
		return newError(codeRegistration, "the redirect URI of %.64q, %.200q, %s", r.Provider, r.RedirectURI, err)
	}
	methods, sent := r.Endpoints.PKCEMethods, r.Wire.PKCE != "none"
	// A server that has nothing but "plain" would show the verifier to whoever reads
	// the browser's history: https://www.rfc-editor.org/rfc/rfc7636#section-4.2.
	if sent && len(methods) > 0 && !slices.Contains(methods, "S256") {
		return newError(codeRegistration, "%.64q says that its code_challenge_methods are %.64q: S256 is not among them", r.Provider, strings.Join(methods, " "))
	}
	if r.Wire.PKCE == "required" && methods != nil && len(methods) == 0 {
		return newError(codeRegistration, "%.64q requires PKCE, and its metadata has it no more", r.Provider)
	}
	return nil
}

// random is a text that nobody guesses.
func (c *Client) random() (string, error) {
	var b [secretBytes]byte
	if _, err := io.ReadFull(c.config.Rand, b[:]); err != nil {
		return "", fmt.Errorf("read randomness: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b[:]), nil
}

func flowID(state string) string {
	sum := sha256.Sum256([]byte(state))
	return hex.EncodeToString(sum[:])
}

// authorizationURL is the request of RFC 6749, section 4.1.1.
func authorizationURL(r Registration, state, verifier string) (string, error) {
	config := oauth2.Config{
		ClientID: r.ClientID, RedirectURL: r.RedirectURI,
		Endpoint: oauth2.Endpoint{AuthURL: r.Endpoints.Authorization, AuthStyle: oauth2.AuthStyleInParams},
	}
	var options []oauth2.AuthCodeOption
	for name, value := range r.Wire.AuthorizationParameters {
		options = append(options, oauth2.SetAuthURLParam(name, value))
	}
	if len(r.Scopes) > 0 {
		options = append(options, oauth2.SetAuthURLParam(r.Wire.scopeParameter(), r.Wire.joined(r.Scopes)))
	}
	if verifier != "" {
		options = append(options, oauth2.S256ChallengeOption(verifier))
	}
	u, err := url.Parse(config.AuthCodeURL(state, options...))
	if err != nil {
		return "", newError(codeRegistration, "the authorization endpoint of %.64q is no URL", r.Provider)
	}
	query := u.Query()
	for _, resource := range r.Resources {
		query.Add("resource", resource) // Each by itself: https://www.rfc-editor.org/rfc/rfc8707#section-2.
	}
	u.RawQuery = r.Wire.renamed(query).Encode()
	return u.String(), nil
}

func (w Wire) scopeParameter() string { return or(w.ScopeParameter, "scope") }

func (w Wire) joined(scopes []string) string {
	return strings.Join(scopes, or(w.ScopeSeparator, " "))
}

// renamed are parameters by the server's own names.
func (w Wire) renamed(params url.Values) url.Values {
	own := make(url.Values, len(params))
	for name, values := range params {
		own[or(w.Rename[name], name)] = values
	}
	return own
}

func or(value, def string) string {
	if value == "" {
		return def
	}
	return value
}
