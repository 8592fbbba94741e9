// Package fositetest_test plays the client of host/oauth against a real authorization
// server, ory/fosite, with rotation and reuse detection on. It is a module of its own,
// for fosite needs more than all the rest.
package fositetest_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/host/oauth/oauthtest"
	jose "github.com/go-jose/go-jose/v3"
	"github.com/google/go-cmp/cmp"
	"github.com/ory/fosite"
	"github.com/ory/fosite/storage"
)

func TestBehaviours(t *testing.T) {
	t.Parallel()
	const others = "RFC 8693, 8707, 7009, 7662: "
	oauthtest.Run(t, oauthtest.Fosite, map[string]func(*testing.T){
		"RFC 6749: a state that was used":                                   stateUsed,
		"RFC 6749: a code that was used":                                    codeUsed,
		"RFC 6749: the seven errors of a callback":                          callbackErrors,
		"RFC 6749: a token type in any case, or none":                       tokenType,
		"RFC 6749: scopes narrowed by the user":                             scopesNarrowed,
		"RFC 6749: a refresh with a new refresh token replaces the old one": refreshReplaces,
		"RFC 6749: client_secret_basic with : % + / and UTF-8":              secretBasic,
		"RFC 6749: client_secret_post":                                      secretPost,
		"RFC 7636: never plain":                                             neverPlain,
		"RFC 7636: an absent verifier":                                      verifierAbsent,
		"RFC 7636: a wrong verifier":                                        verifierWrong,
		"RFC 7636: a server without PKCE":                                   withoutPKCE,
		"RFC 7636: a downgrade":                                             downgrade,
		"RFC 9700: the redirect URI, letter by letter":                      redirectExact,
		"RFC 9700: refresh tokens rotate, and a reuse ends the family":      reuse,
		"RFC 9700: a token for one audience":                                oneAudience,
		"RFC 9700: no scope that was not asked for":                         noFurtherScope,
		"RFC 9700: neither passwords nor the implicit grant":                noImplicit,
		"RFC 7523: the audience":                                            assertionAudience,
		"RFC 7523: issuer and subject":                                      assertionIssuer,
		"RFC 7523: a life of 5 minutes at most":                             assertionLife,
		"RFC 7523: an id for each":                                          assertionID,
		"RFC 7523: RS256, ES256 and PS256":                                  assertionAlgorithms,
		"RFC 7523: the key's id":                                            assertionKeyID,
		"RFC 7523: a key that was replaced":                                 assertionKeyReplaced,
		"RFC 7523: once more by the server's clock":                         assertionClock,
		"RFC 7523: alg none is refused":                                     assertionNone,
		others + "a revocation":                                             revocation,
		others + "a revocation of what is revoked":                          revocationTwice,
		others + "introspection of an active token":                         introspectionActive,
		others + "introspection of an inactive token":                       introspectionInactive,
		"RFC 6819: a code of another flow":                                  codeInjected,
	})
}

func stateUsed(t *testing.T) {
	b := setup(t)
	callback := b.visit(t, b.begin(t, b.registration(t)).URL)
	if _, err := b.accept(t, callback); err != nil {
		t.Fatal(err)
	}
	_, err := b.accept(t, callback)
	wantError(t, err, oauth.CodeState)
}

func codeUsed(t *testing.T) {
	b := setup(t)
	r := b.registration(t)
	arrived, err := b.accept(t, b.visit(t, b.begin(t, r).URL))
	if err != nil {
		t.Fatal(err)
	}
	token, err := b.client.Exchange(t.Context(), r, arrived)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.client.Exchange(t.Context(), r, arrived)
	wantError(t, err, oauth.CodeInvalidGrant)
	// The server takes it for a theft, and ends what came of the code.
	_, err = b.client.Refresh(t.Context(), r, token.Refresh)
	wantError(t, err, oauth.CodeInvalidGrant)
}

func callbackErrors(t *testing.T) {
	for code, refusal := range map[string]*fosite.RFC6749Error{
		"invalid_request": fosite.ErrInvalidRequest, "unauthorized_client": fosite.ErrUnauthorizedClient, "access_denied": fosite.ErrAccessDenied,
		"unsupported_response_type": fosite.ErrUnsupportedResponseType, "invalid_scope": fosite.ErrInvalidScope, "server_error": fosite.ErrServerError,
		"temporarily_unavailable": fosite.ErrTemporarilyUnavailable,
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.refuse = refusal
			arrived, err := b.accept(t, b.visit(t, b.begin(t, b.registration(t)).URL))
			wantError(t, err, code)
			if arrived.Flow.Note != "con_1" {
				t.Error("nobody knows which flow it was")
			}
		})
	}
	b := setup(t)
	r := b.registration(t)
	r.Scopes = []string{"read", "everything"}
	_, err := b.accept(t, b.visit(t, b.begin(t, r).URL))
	wantError(t, err, "invalid_scope")
}

func tokenType(t *testing.T) {
	b := setup(t) // It says "bearer".
	token := b.connect(t, b.registration(t))
	if token.Type != "Bearer" || token.Access == "" || token.Refresh == "" || (time.Until(token.ExpiresAt)-time.Hour).Abs() > 10*time.Second {
		t.Errorf("got %s until %s", token.Type, token.ExpiresAt)
	}
}

func scopesNarrowed(t *testing.T) {
	b := setup(t)
	b.keep = []string{"read"}
	token := b.connect(t, b.registration(t))
	if !cmp.Equal(token.Scopes, []string{"read"}) || !cmp.Equal(token.Missing, []string{"write"}) {
		t.Errorf("got %v without %v", token.Scopes, token.Missing)
	}
}

func refreshReplaces(t *testing.T) {
	b := setup(t)
	r := b.registration(t)
	token := b.connect(t, r)
	for range 5 {
		next, err := b.client.Refresh(t.Context(), r, token.Refresh)
		if err != nil {
			t.Fatal(err)
		}
		if !next.Rotated || next.Refresh == token.Refresh || next.Access == token.Access {
			t.Fatal("it did not rotate")
		}
		token = next
	}
}

func secretBasic(t *testing.T) {
	b := setup(t)
	r := b.registration(t)
	if _, err := b.client.ClientCredentials(t.Context(), r); err != nil {
		t.Error(err)
	}
	r.Wire.TokenAuth = "client_secret_basic_raw" // fosite reads it as the RFC has it.
	_, err := b.client.ClientCredentials(t.Context(), r)
	if err == nil {
		t.Error("the server takes a secret that is not encoded")
	}
}

func secretPost(t *testing.T) {
	b := setup(t)
	b.registered.TokenEndpointAuthMethod = "client_secret_post"
	r := b.registration(t)
	_, err := b.client.ClientCredentials(t.Context(), r)
	wantError(t, err, "invalid_client")
	r.Wire.TokenAuth = "client_secret_post"
	if token, err := b.client.ClientCredentials(t.Context(), r); err != nil || token.Refresh != "" {
		t.Errorf("got %v", err)
	}
}

func neverPlain(t *testing.T) {
	b := setup(t) // It refuses plain.
	b.connect(t, b.registration(t))
}

func verifierAbsent(t *testing.T) {
	b := setup(t)
	r := b.registration(t)
	arrived, err := b.accept(t, b.visit(t, b.begin(t, r).URL))
	if err != nil {
		t.Fatal(err)
	}
	arrived.Flow.Verifier = ""
	_, err = b.client.Exchange(t.Context(), r, arrived)
	wantError(t, err, oauth.CodeInvalidGrant)
	r.Wire.PKCE = "none"
	_, err = b.accept(t, b.visit(t, b.begin(t, r).URL))
	wantError(t, err, "invalid_request")
}

func verifierWrong(t *testing.T) {
	b := setup(t)
	r := b.registration(t)
	arrived, err := b.accept(t, b.visit(t, b.begin(t, r).URL))
	if err != nil {
		t.Fatal(err)
	}
	arrived.Flow.Verifier = strings.Repeat("w", 43)
	_, err = b.client.Exchange(t.Context(), r, arrived)
	wantError(t, err, oauth.CodeInvalidGrant)
}

func withoutPKCE(t *testing.T) {
	b := setup(t, func(c *fosite.Config) { c.EnforcePKCE = false })
	r := b.registration(t)
	r.Wire.PKCE = "none"
	if token := b.connect(t, r); token.Access == "" {
		t.Error("got no token")
	}
}

func downgrade(t *testing.T) {
	for enforced, want := range map[bool]string{true: "invalid_request", false: oauth.CodeInvalidGrant} {
		b := setup(t, func(c *fosite.Config) { c.EnforcePKCE = enforced })
		r := b.registration(t)
		address := with(t, with(t, b.begin(t, r).URL, "code_challenge", ""), "code_challenge_method", "")
		arrived, err := b.accept(t, b.visit(t, address))
		if !enforced {
			if err != nil {
				t.Fatal(err)
			}
			_, err = b.client.Exchange(t.Context(), r, arrived)
		}
		wantError(t, err, want)
	}
}

func redirectExact(t *testing.T) {
	b := setup(t)
	r := b.registration(t)
	b.connect(t, r)
	r.RedirectURI = strings.ToUpper(redirectURI)
	if callback := b.visit(t, b.begin(t, r).URL); callback != nil {
		t.Errorf("the user was sent to where nobody said: %v", callback)
	}
}

func reuse(t *testing.T) {
	b := setup(t)
	r := b.registration(t)
	first := b.connect(t, r)
	second, err := b.client.Refresh(t.Context(), r, first.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	// Somebody else has the first one.
	_, err = b.client.Refresh(t.Context(), r, first.Refresh)
	wantError(t, err, oauth.CodeInvalidGrant)
	// Then nobody has any.
	_, err = b.client.Refresh(t.Context(), r, second.Refresh)
	wantError(t, err, oauth.CodeInvalidGrant)
	said, err := b.client.Introspect(t.Context(), r, second.Access, "access_token")
	if err == nil && said.Active {
		t.Error("the access token of the family is alive")
	}
	if got := b.asked(); got != 4 {
		t.Errorf("the server was asked %d times: a refresh was tried again by itself", got)
	}
}

func oneAudience(t *testing.T) {
	b := setup(t)
	r := b.registration(t)
	r.Wire.AuthorizationParameters = map[string]string{"audience": "https://api.acme.example"}
	b.connect(t, r)
	if !cmp.Equal(b.audience, []string{"https://api.acme.example"}) {
		t.Errorf("got %v", b.audience)
	}
}

func noFurtherScope(t *testing.T) {
	b := setup(t)
	r := b.registration(t)
	r.Scopes = []string{"read"}
	token := b.connect(t, r)
	if !cmp.Equal(token.Scopes, []string{"read"}) || token.Missing != nil {
		t.Errorf("got %v", token.Scopes)
	}
}

func noImplicit(t *testing.T) {
	b := setup(t)
	address := with(t, b.begin(t, b.registration(t)).URL, "response_type", "token")
	if _, err := b.accept(t, b.visit(t, address)); err == nil {
		t.Error("a token came by the browser")
	}
}

// key is a private key, its PEM, and what the server gets of it.
func key(t *testing.T, signer crypto.Signer, id string) (oauth.Secret, jose.JSONWebKey) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		t.Fatal(err)
	}
	return oauth.Secret{PrivateKey: string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), KeyID: id},
		jose.JSONWebKey{Key: signer.Public(), KeyID: id, Use: "sig"}
}

func ec(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	made, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	made, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return made
})

// signing is a bundle whose client signs with ES256.
func signing(t *testing.T) (*testBundle, oauth.Registration) {
	t.Helper()
	b := setup(t)
	secret, public := key(t, ec(t), "key-1")
	return b, b.signs(t, secret, "ES256", public)
}

// bearer lets the server take JWTs of an issuer for a subject.
func (b *testBundle) bearer(issuer, subject string) {
	keys := b.registered.JSONWebKeys.Keys
	b.store.IssuerPublicKeys[issuer] = storage.IssuerPublicKeys{Issuer: issuer, KeysBySub: map[string]storage.SubjectPublicKeys{
		subject: {Subject: subject, Keys: map[string]storage.PublicKeyScopes{keys[0].KeyID: {Key: &keys[0], Scopes: []string{"read", "write"}}}},
	}}
}

func assertionAudience(t *testing.T) {
	b, r := signing(t)
	if _, err := b.client.ClientCredentials(t.Context(), r); err != nil {
		t.Error(err)
	}
	r.Wire.AssertionAudience = "https://another.example/token"
	_, err := b.client.ClientCredentials(t.Context(), r)
	wantError(t, err, "invalid_client")
}

func assertionIssuer(t *testing.T) {
	b, r := signing(t)
	b.bearer("robot", "user")
	if token, err := b.client.JWTBearer(t.Context(), r, oauth.Assertion{Issuer: "robot", Subject: "user"}); err != nil || token.Access == "" {
		t.Error(err)
	}
	_, err := b.client.JWTBearer(t.Context(), r, oauth.Assertion{Issuer: "robot", Subject: "another"})
	wantError(t, err, oauth.CodeInvalidGrant)
}

func assertionLife(t *testing.T) {
	b, r := signing(t) // It takes no more than 5 minutes.
	b.bearer("robot", "user")
	if _, err := b.client.JWTBearer(t.Context(), r, oauth.Assertion{Issuer: "robot", Subject: "user", Lifetime: time.Hour}); err != nil {
		t.Error(err)
	}
}

func assertionID(t *testing.T) {
	b, r := signing(t) // It takes none twice.
	b.bearer("robot", "user")
	for range 3 {
		if _, err := b.client.JWTBearer(t.Context(), r, oauth.Assertion{Issuer: "robot", Subject: "user"}); err != nil {
			t.Error(err)
		}
	}
	if got := len(b.store.BlacklistedJTIs); got != 6 {
		t.Errorf("the server saw %d ids, want 6", got)
	}
}

func assertionAlgorithms(t *testing.T) {
	for algorithm, signer := range map[string]crypto.Signer{"RS256": rsaKey(), "ES256": ec(t), "PS256": rsaKey()} {
		b := setup(t)
		secret, public := key(t, signer, "key-1")
		if _, err := b.client.ClientCredentials(t.Context(), b.signs(t, secret, algorithm, public)); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
}

func assertionKeyID(t *testing.T) {
	b := setup(t)
	secret, public := key(t, ec(t), "second")
	_, other := key(t, ec(t), "first")
	if _, err := b.client.ClientCredentials(t.Context(), b.signs(t, secret, "ES256", other, public)); err != nil {
		t.Error(err)
	}
	secret.KeyID = "first"
	_, err := b.client.ClientCredentials(t.Context(), b.signs(t, secret, "ES256", other, public))
	wantError(t, err, "invalid_client")
}

func assertionKeyReplaced(t *testing.T) {
	b := setup(t)
	old, oldPublic := key(t, ec(t), "old")
	fresh, freshPublic := key(t, ec(t), "new")
	for _, secret := range []oauth.Secret{old, fresh} {
		if _, err := b.client.ClientCredentials(t.Context(), b.signs(t, secret, "ES256", oldPublic, freshPublic)); err != nil {
			t.Error(err)
		}
	}
	_, err := b.client.ClientCredentials(t.Context(), b.signs(t, old, "ES256", freshPublic))
	if err == nil {
		t.Error("the server takes the old key")
	}
	if _, err := b.client.ClientCredentials(t.Context(), b.signs(t, fresh, "ES256", freshPublic)); err != nil {
		t.Error(err)
	}
}

func assertionClock(t *testing.T) {
	for _, ahead := range []time.Duration{10 * time.Minute, -10 * time.Minute} {
		b, r := signing(t)
		b.bearer("robot", "user")
		b.ahead = ahead
		token, err := b.client.ClientCredentials(t.Context(), r)
		if err != nil || (token.Skew+ahead).Abs() > 2*time.Second {
			t.Errorf("%s: got a skew of %s, %v", ahead, token.Skew, err)
		}
		if _, err := b.client.JWTBearer(t.Context(), r, oauth.Assertion{Issuer: "robot", Subject: "user"}); err != nil {
			t.Errorf("%s: %v", ahead, err)
		}
	}
}

func assertionNone(t *testing.T) {
	b, r := signing(t)
	r.Wire.Algorithm = "none"
	_, err := b.client.ClientCredentials(t.Context(), r)
	if wantError(t, err, "registration_invalid"); b.asked() != 0 {
		t.Error("it was sent")
	}
}

func revocation(t *testing.T) {
	b := setup(t)
	r := b.registration(t)
	token := b.connect(t, r)
	if err := b.client.Revoke(t.Context(), r, token.Refresh, "refresh_token"); err != nil {
		t.Fatal(err)
	}
	_, err := b.client.Refresh(t.Context(), r, token.Refresh)
	wantError(t, err, oauth.CodeInvalidGrant)
}

func revocationTwice(t *testing.T) {
	b := setup(t)
	r := b.registration(t)
	token := b.connect(t, r)
	for range 2 {
		if err := b.client.Revoke(t.Context(), r, token.Refresh, "refresh_token"); err != nil {
			t.Error(err)
		}
	}
	if err := b.client.Revoke(t.Context(), r, "nobodys", ""); err != nil {
		t.Error(err)
	}
}

func introspectionActive(t *testing.T) {
	b := setup(t)
	r := b.registration(t)
	token := b.connect(t, r)
	got, err := b.client.Introspect(t.Context(), r, token.Access, "access_token")
	if err != nil || !got.Active || got.ClientID != clientID || got.Subject != "user" || !cmp.Equal(got.Scopes, []string{"read", "write"}) || got.ExpiresAt.Sub(token.ExpiresAt).Abs() > 5*time.Second {
		t.Errorf("got %+v, %v", got, err)
	}
}

func introspectionInactive(t *testing.T) {
	b := setup(t)
	r := b.registration(t)
	token := b.connect(t, r)
	if err := b.client.Revoke(t.Context(), r, token.Refresh, ""); err != nil {
		t.Fatal(err)
	}
	for _, dead := range []string{token.Access, "nobodys"} {
		got, err := b.client.Introspect(t.Context(), r, dead, "")
		if err != nil || got.Active {
			t.Errorf("got %+v, %v", got, err)
		}
	}
}

func codeInjected(t *testing.T) {
	b := setup(t)
	r := b.registration(t)
	victim := b.visit(t, b.begin(t, r).URL)
	attacker := b.visit(t, b.begin(t, r).URL)
	arrived, err := b.accept(t, url.Values{"state": attacker["state"], "code": victim["code"]})
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.client.Exchange(t.Context(), r, arrived)
	wantError(t, err, oauth.CodeInvalidGrant)
}
