package oauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// assertionMost is how long a JWT lives from its iat to its exp. Google takes an
	// hour, GitHub 10 minutes, Salesforce 3 to 5.
	assertionMost = 5 * time.Minute
	// datedBack is how long before now it begins, for servers whose clock is behind.
	datedBack = 30 * time.Second
	// rsaLeast is in bits: https://www.rfc-editor.org/rfc/rfc7518#section-3.3.
	rsaLeast = 2048
)

// claims are those of a JWT bearer grant.
func (as Assertion) claims(r Registration) map[string]any {
	claims := map[string]any{}
	maps.Copy(claims, as.Claims)
	issuer := or(as.Issuer, r.ClientID)
	claims["iss"], claims["sub"] = issuer, or(as.Subject, issuer)
	claims["aud"] = or(as.Audience, or(r.Wire.AssertionAudience, r.Endpoints.Token))
	if lifetime := as.Lifetime; lifetime > 0 && lifetime < assertionMost {
		claims["exp"] = lifetime
	}
	return claims
}

// clientAssertion is the JWT of private_key_jwt: RFC 7523, section 3.
func (c *Client) clientAssertion(r Registration, endpoint string, now time.Time) (string, error) {
	return c.sign(r, map[string]any{
		"iss": r.ClientID, "sub": r.ClientID, "aud": or(r.Wire.AssertionAudience, endpoint),
	}, now)
}

// sign makes a JWT with the registration's key, of its own times and id.
func (c *Client) sign(r Registration, claims map[string]any, now time.Time) (string, error) {
	key, err := r.Secret.signer()
	if err != nil {
		return "", err
	}
	algorithm, err := algorithmOf(key, r.Wire.Algorithm)
	if err != nil {
		return "", err
	}
	id, err := c.random()
	if err != nil {
		return "", err
	}
	lifetime, ok := claims["exp"].(time.Duration)
	if !ok {
		lifetime = assertionMost - datedBack
	}
	now = now.Truncate(time.Second)
	claims["iat"], claims["exp"], claims["jti"] = now.Add(-datedBack).Unix(), now.Add(min(lifetime, assertionMost-datedBack)).Unix(), id
	delete(claims, "nbf")
	body, err := json.Marshal(claims)
	if err != nil {
		return "", newError(codeRegistration, "the claims of the assertion are not JSON: %s", err)
	}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{Key: key, KeyID: r.Secret.KeyID}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", newError(codeRegistration, "the private key does not sign with %s: %s", algorithm, err)
	}
	signed, err := signer.Sign(body)
	if err != nil {
		return "", newError(codeRegistration, "the private key does not sign with %s: %s", algorithm, err)
	}
	return signed.CompactSerialize()
}

// signer reads the private key. No error quotes it.
func (s Secret) signer() (crypto.Signer, error) {
	block, _ := pem.Decode([]byte(strings.TrimSpace(s.PrivateKey)))
	if block == nil {
		return nil, newError(codeRegistration, "the client has no private key in PEM, which begins with -----BEGIN")
	}
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		return nil, newError(codeRegistration, "the client's private key is a PEM block of the type %.40q: it must be PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY, not encrypted", block.Type)
	}
	if err != nil {
		return nil, newError(codeRegistration, "the client's private key does not parse as a %s: was it copied whole?", block.Type)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, newError(codeRegistration, "the client's private key is a %T, which signs nothing", key)
	}
	return signer, nil
}

// algorithmOf is the algorithm that is asked for, if the key is one for it, or the one
// that the key is for. There is no "none", and no HMAC: a server that took one would
// take the public key for the secret.
func algorithmOf(key crypto.Signer, asked string) (jose.SignatureAlgorithm, error) {
	var fit []jose.SignatureAlgorithm
	kind := "of a kind that signs no JWT"
	switch public := key.Public().(type) {
	case *rsa.PublicKey:
		kind = "RSA"
		if bits := public.N.BitLen(); bits < rsaLeast {
			return "", newError(codeRegistration, "the client's RSA key has %d bits: %d are the least", bits, rsaLeast)
		}
		fit = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512}
	case *ecdsa.PublicKey:
		kind = public.Curve.Params().Name
		fit = map[string][]jose.SignatureAlgorithm{"P-256": {jose.ES256}, "P-384": {jose.ES384}, "P-521": {jose.ES512}}[kind]
	case ed25519.PublicKey:
		kind, fit = "Ed25519", []jose.SignatureAlgorithm{jose.EdDSA}
	}
	if asked == "" && len(fit) > 0 {
		return fit[0], nil
	}
	if !slices.Contains(fit, jose.SignatureAlgorithm(asked)) {
		return "", newError(codeRegistration, "the client is to sign with %.16q, and its key is %s: the algorithm must be one of %v", asked, kind, fit)
	}
	return jose.SignatureAlgorithm(asked), nil
}

// certificate reads what the client shows in TLS handshakes.
func (s Secret) certificate() (tls.Certificate, error) {
	pair, err := tls.X509KeyPair([]byte(s.Certificate), []byte(s.PrivateKey))
	if err != nil {
		return tls.Certificate{}, newError(codeRegistration, "the client's certificate and private key are no pair in PEM")
	}
	return pair, nil
}
