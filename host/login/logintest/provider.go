// Package logintest is a small OpenID provider for tests: discovery, keys, and the
// device flow of RFC 8628, each as its specification has it.
package logintest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"
)

// Provider is a provider that listens on the loopback.
type Provider struct {
	// URL is its issuer.
	URL string
	// Claims are those of the tokens that the device flow gives, beside the usual ones.
	Claims map[string]any

	srv *httptest.Server

	mu   sync.Mutex
	keys []*ecdsa.PrivateKey
	// published is how many of the keys are shown.
	published int
	requests  map[string]int
	pending   map[string]device
	down      bool
}

// device is one that asked to be let in.
type device struct {
	client string
	polls  int
}

// New starts a provider. The caller closes it.
func New() (*Provider, error) {
	p := &Provider{requests: map[string]int{}, pending: map[string]device{}}
	if err := p.Rotate(); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discover)
	mux.HandleFunc("GET /keys", p.showKeys)
	mux.HandleFunc("POST /device", p.authorize)
	mux.HandleFunc("POST /token", p.grant)
	p.srv = httptest.NewServer(p.counted(mux))
	p.URL = p.srv.URL
	return p, nil
}

// Close stops it.
func (p *Provider) Close() { p.srv.Close() }

// SetDown has it answer nothing but 503, or everything again.
func (p *Provider) SetDown(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}

// Requests is how often a path was asked for.
func (p *Provider) Requests(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests[path]
}

// Rotate has it sign with another key, which it shows.
func (p *Provider) Rotate() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = append(p.keys, key)
	p.published = len(p.keys)
	return nil
}

// Token signs claims with the latest key, with iss, iat and exp where they are not
// given: an hour from now.
func (p *Provider) Token(now time.Time, claims map[string]any) (string, error) {
	p.mu.Lock()
	key, kid := p.keys[len(p.keys)-1], len(p.keys)
	p.mu.Unlock()
	all := map[string]any{"iss": p.URL, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	maps.Copy(all, claims)
	return Sign(key, map[string]any{"alg": "ES256", "kid": fmt.Sprint(kid)}, all)
}

// Sign makes a JWT (RFC 7519) with ES256 (RFC 7518, section 3.4), whatever the header
// says of it.
func Sign(key *ecdsa.PrivateKey, header, claims map[string]any) (string, error) {
	h, err := json.Marshal(header)
	if err != nil {
		return "", fmt.Errorf("encode header: %w", err)
	}
	c, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encode claims: %w", err)
	}
	signed := encode(h) + "." + encode(c)
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signed + "." + encode(signature), nil
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (p *Provider) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.requests[r.URL.Path]++
		down := p.down
		p.mu.Unlock()
		if down {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// discover answers as OpenID Connect Discovery 1.0 has it.
func (p *Provider) discover(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{
		"issuer": p.URL, "jwks_uri": p.URL + "/keys", "token_endpoint": p.URL + "/token", "authorization_endpoint": p.URL + "/auth",
		"device_authorization_endpoint": p.URL + "/device", "id_token_signing_alg_values_supported": []string{"ES256"},
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
	})
}

// showKeys answers with a JWK set (RFC 7517).
func (p *Provider) showKeys(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	keys := []map[string]string{}
	for i, k := range p.keys[:p.published] {
		point, err := k.PublicKey.Bytes() // 4, x, y.
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		keys = append(keys, map[string]string{
			"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": fmt.Sprint(i + 1), "x": encode(point[1:33]), "y": encode(point[33:]),
		})
	}
	answer(w, http.StatusOK, map[string]any{"keys": keys})
}

// authorize begins the device flow: RFC 8628, section 3.2.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	code := rand.Text()
	p.mu.Lock()
	p.pending[code] = device{client: r.PostFormValue("client_id")}
	p.mu.Unlock()
	answer(w, http.StatusOK, map[string]any{
		"device_code": code, "user_code": "WDJB-MJHT", "verification_uri": p.URL + "/verify",
		"verification_uri_complete": p.URL + "/verify?user_code=WDJB-MJHT", "expires_in": 60, "interval": 1,
	})
}

// grant answers the device that polls: RFC 8628, section 3.5. The user is thought to
// have agreed by the second time.
func (p *Provider) grant(w http.ResponseWriter, r *http.Request) {
	code := r.PostFormValue("device_code")
	p.mu.Lock()
	d, ok := p.pending[code]
	d.polls++
	if ok {
		p.pending[code] = d
	}
	p.mu.Unlock()
	switch {
	case r.PostFormValue("grant_type") != "urn:ietf:params:oauth:grant-type:device_code" || !ok || r.PostFormValue("client_id") != d.client:
		answer(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
		return
	case d.polls < 2:
		answer(w, http.StatusBadRequest, map[string]string{"error": "authorization_pending"})
		return
	}
	claims := map[string]any{"aud": d.client, "sub": "user-1"}
	maps.Copy(claims, p.Claims)
	id, err := p.Token(time.Now(), claims)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer(w, http.StatusOK, map[string]any{"access_token": rand.Text(), "token_type": "Bearer", "expires_in": 3600, "id_token": id})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
