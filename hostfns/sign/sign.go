// Package sign gives a guest signatures, made with keys that it never sees: HMACs,
// JSON web tokens, and URLs that AWS takes as signed.
//
//	session := sign.New(sign.Config{
//		Keys:    keys,
//		Allowed: map[string][]string{"app": {"RS256"}},
//		Secrets: secrets, Now: now,
//	})
//	gate := hostfns.NewGate(hostfns.GateConfig{Funcs: session.Funcs(), Secrets: secrets, Now: now})
//
// The guest names a connection that its installation was granted, and an algorithm
// that its manifest asks for, for that connection. What else holds:
//
//   - A token lives for an hour at most, and the host sets when it begins and ends.
//   - An HMAC is not made of what would be a token, or of nothing.
//   - A URL is signed for the connection's hosts only, for an hour at most.
//   - The answers are in no trace, and hidden where the guest uses them.
//
// An answer is an answer from outside: keys are replaced, tokens have times, and some
// signatures are random, so that a run that is made again gets the one that it had.
package sign

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/sign/sigv4"
)

// FuncName is the name of the Func.
const FuncName = "sign"

var (
	// ErrNoConnection says that a name has no connection behind it.
	ErrNoConnection = errors.New("no such connection")
	// ErrNoKey says that a connection's credential is none to sign with.
	ErrNoKey = errors.New("the connection has no key to sign with")
)

// Key is what signs. One of Secret, Private and AWS is set.
type Key struct {
	// Secret is for HMAC, and for tokens of HS256 and its like.
	Secret []byte
	// Private is an RSA, ECDSA or Ed25519 key, for tokens.
	Private crypto.Signer
	// ID is the "kid" of tokens; empty for none.
	ID string
	// AWS is for URLs, at the hosts that Covers lets through.
	AWS    *sigv4.Signer
	Covers func(u *url.URL) bool
}

// Keys finds the keys of connections. The host binds it to a tenant's installation.
type Keys interface {
	// Key finds the key of the connection that the guest calls name. It returns
	// ErrNoConnection or ErrNoKey, wrapped with what to do: the guest is told the text.
	// Any other error ends the guest's call.
	Key(ctx context.Context, name string) (Key, error)
}

// Config configures a Session.
type Config struct {
	// Keys of the installation's connections. Defaults to none.
	Keys Keys
	// Allowed are the algorithms that the manifest asks for, by connection. Defaults to
	// none.
	Allowed map[string][]string
	// Secrets learns the shared secrets that were used, which servers know and could send
	// back. Defaults to nobody.
	Secrets *hostfns.Redactor
	// Calls of one run. Defaults to 100.
	Calls int
	// Now is the clock. It must be set, but for who never calls the Func.
	Now func() time.Time
}

// Session is the signatures of one run. It is used by one goroutine at a time.
type Session struct {
	c     Config
	calls int
}

// New returns a Session.
func New(c Config) *Session {
	if c.Calls <= 0 {
		c.Calls = 100
	}
	return &Session{c: c}
}

// Funcs gives sign.
func (s *Session) Funcs() []hostfns.Func {
	return []hostfns.Func{{
		Name: FuncName, Answer: s.answer, Effect: hostfns.Always(hostfns.Read), Private: true, Summarize: summarize,
	}}
}

// Algorithms are those that there are, in the words of a manifest.
func Algorithms() []string {
	return []string{
		"hmac-sha1", "hmac-sha256", "hmac-sha384", "hmac-sha512",
		"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "EdDSA",
		"aws-sigv4",
	}
}

// request is what a guest sends; which of it, the algorithm says.
type request struct {
	Connection string `json:"connection"`
	Algorithm  string `json:"algorithm"`
	// Payload is what an HMAC is made of.
	Payload       *string `json:"payload"`
	PayloadBase64 *string `json:"payload_base64"`
	// Claims are those of a token.
	Claims json.RawMessage `json:"claims"`
	// Method and URL are what is to be signed for AWS.
	Method string `json:"method"`
	URL    string `json:"url"`
	// LifetimeS is how long a token or URL is good for, in seconds.
	LifetimeS *int64 `json:"lifetime_s"`
}

func (s *Session) answer(ctx context.Context, raw json.RawMessage) (any, error) {
	if s.calls++; s.calls > s.c.Calls {
		return nil, hostfns.Errorf(hostfns.CodeLimitExceeded, "this run has made the %d signatures that it may: spread the work over several executions", s.c.Calls)
	}
	r, err := hostfns.Decode[request](raw)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(Algorithms(), r.Algorithm) {
		return nil, invalid("\"algorithm\" is %.32q: it must be one of %s", r.Algorithm, strings.Join(Algorithms(), ", "))
	}
	if err := r.fits(); err != nil {
		return nil, err
	}
	key, err := s.key(ctx, r)
	if err != nil {
		return nil, err
	}
	switch family(r.Algorithm) {
	case hmacs:
		return r.hmac(key)
	case tokens:
		return r.token(key, s.c.Now())
	default:
		return r.presign(key, s.c.Now())
	}
}

// key finds the key, if the guest may use it with the algorithm.
func (s *Session) key(ctx context.Context, r request) (Key, error) {
	if !slices.Contains(s.c.Allowed[r.Connection], r.Algorithm) {
		return Key{}, hostfns.Errorf(hostfns.CodeDenied,
			"the connection %.64q may not sign with %s: name it under \"sign\" of the connection in the manifest", r.Connection, r.Algorithm)
	}
	if s.c.Keys == nil {
		return Key{}, hostfns.Errorf(hostfns.CodeNoConnection, "the installation has no connections, and so none named %.64q", r.Connection)
	}
	key, err := s.c.Keys.Key(ctx, r.Connection)
	if errors.Is(err, ErrNoConnection) || errors.Is(err, ErrNoKey) {
		return Key{}, hostfns.Errorf(hostfns.CodeNoConnection, "connection %.64q: %s", r.Connection, err)
	}
	if err != nil {
		return Key{}, err
	}
	if s.c.Secrets != nil {
		if key.Secret != nil {
			s.c.Secrets.Add(string(key.Secret))
		}
		if key.AWS != nil {
			s.c.Secrets.Add(key.AWS.SecretAccessKey)
		}
	}
	return key, nil
}

// kind is what is made with an algorithm.
type kind int

const (
	hmacs kind = iota
	tokens
	urls
)

func family(algorithm string) kind {
	switch {
	case strings.HasPrefix(algorithm, "hmac-"):
		return hmacs
	case algorithm == "aws-sigv4":
		return urls
	default:
		return tokens
	}
}

// fits refuses what the algorithm has no use for: who sends it means something else.
func (r request) fits() error {
	k := family(r.Algorithm)
	for _, part := range []struct {
		name  string
		there bool
		of    kind
	}{
		{"payload", r.Payload != nil, hmacs},
		{"payload_base64", r.PayloadBase64 != nil, hmacs},
		{"claims", r.Claims != nil, tokens},
		{"method", r.Method != "", urls},
		{"url", r.URL != "", urls},
	} {
		if part.there && part.of != k {
			return invalid("%q has no use with %s: leave it out", part.name, r.Algorithm)
		}
	}
	if r.LifetimeS != nil && k == hmacs {
		return invalid("\"lifetime_s\" has no use with %s: leave it out", r.Algorithm)
	}
	return nil
}

const (
	// usual is how long a token or URL is good for if the guest does not say.
	usual = 5 * time.Minute
	// longest is what vendors take at most: Google an hour, Apple 20 minutes, GitHub 10.
	longest = time.Hour
)

func (r request) lifetime() (time.Duration, error) {
	if r.LifetimeS == nil {
		return usual, nil
	}
	if s := *r.LifetimeS; s < 1 || s > int64(longest/time.Second) {
		return 0, invalid("\"lifetime_s\" is %d: it must be from 1 to %d", s, int64(longest/time.Second))
	}
	return time.Duration(*r.LifetimeS) * time.Second, nil
}

func invalid(format string, args ...any) error {
	return hostfns.Errorf(hostfns.CodeInvalidRequest, format, args...)
}

// mismatch says that a key is not for the algorithm.
func (r request) mismatch(has string) error {
	return hostfns.Errorf(hostfns.CodeNoConnection, "connection %.64q: %s takes %s, and the connection has another key: grant one that has", r.Connection, r.Algorithm, has)
}

// summarize shows what was signed with, and nothing of what.
func summarize(raw json.RawMessage) string {
	var r struct{ Connection, Algorithm string }
	if err := json.Unmarshal(raw, &r); err != nil {
		return ""
	}
	return r.Algorithm + " with " + r.Connection
}
