package oauth

import (
	"fmt"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// secretMost is more than a chain of certificates has.
const secretMost = 32 << 10

// Proof is what a client has to show, and to whom.
type Proof struct {
	// TokenAuth is as Wire's.
	TokenAuth string
	// Certificate says that the client shows one, whatever TokenAuth is.
	Certificate bool
	// Signs says that the client signs for its grants: jwt_bearer.
	Signs bool
	// Callbacks says that the server signs callbacks with the client secret.
	Callbacks bool
	// Algorithm is as Wire's.
	Algorithm string
}

// needs names the parts of a secret that p cannot do without.
func (p Proof) needs() map[string]bool {
	method := or(p.TokenAuth, "client_secret_basic")
	return map[string]bool{
		"client_secret": strings.HasPrefix(method, "client_secret") && !p.Signs || p.Callbacks,
		"private_key":   method == "private_key_jwt" || method == "tls_client_auth" || p.Certificate || p.Signs,
		"certificate":   method == "tls_client_auth" || p.Certificate,
	}
}

// Problems says why s is not what p asks for, each at its part's name. It never quotes s.
func (s Secret) Problems(p Proof) []fault.Problem {
	var found []fault.Problem
	say := func(part, format string, args ...any) {
		found = append(found, fault.Problem{Where: "/" + part, Message: fmt.Sprintf(format, args...)})
	}
	method, needs := or(p.TokenAuth, "client_secret_basic"), p.needs()
	secretToo := strings.HasPrefix(method, "client_secret")
	for _, part := range []struct{ name, value string }{{"client_secret", s.ClientSecret}, {"private_key", s.PrivateKey}, {"certificate", s.Certificate}} {
		optional := part.name == "client_secret" && secretToo
		switch {
		case part.value == "" && needs[part.name]:
			say(part.name, "is missing: the client proves itself by %s%s", method, p.besides())
		case part.value != "" && !needs[part.name] && !optional:
			say(part.name, "is there, and the client proves itself by %s%s: leave it out", method, p.besides())
		case len(part.value) > secretMost:
			say(part.name, "has %d bytes, and %d is the limit", len(part.value), secretMost)
		case part.name == "client_secret" && strings.ContainsFunc(part.value, func(r rune) bool { return r < ' ' || r == 0x7f }):
			say(part.name, "has a line break or another control character: was it copied whole, and nothing else?")
		case part.name == "client_secret" && part.value != strings.TrimSpace(part.value):
			say(part.name, "begins or ends with a space: was it copied with one?")
		}
	}
	if s.KeyID != "" && !needs["private_key"] {
		say("key_id", "names a key, and the client has none: leave it out")
	}
	if len(found) == 0 {
		return s.keyProblems(p, needs)
	}
	return found
}

// keyProblems tries the key, and the certificate with it.
func (s Secret) keyProblems(p Proof, needs map[string]bool) []fault.Problem {
	if !needs["private_key"] {
		return nil
	}
	key, err := s.signer()
	if err == nil && (p.Signs || p.TokenAuth == "private_key_jwt") {
		_, err = algorithmOf(key, p.Algorithm)
	}
	if err != nil {
		return []fault.Problem{{Where: "/private_key", Message: said(err)}}
	}
	if needs["certificate"] {
		if _, err := s.certificate(); err != nil {
			return []fault.Problem{{Where: "/certificate", Message: said(err)}}
		}
	}
	return nil
}

// said is an error of ours without its code.
func said(err error) string {
	if e, ok := err.(*Error); ok { //nolint:errorlint // It is of this package, and wrapped by nobody.
		return e.Description
	}
	return err.Error()
}

func (p Proof) besides() string {
	var also []string
	for _, b := range []struct {
		is   bool
		text string
	}{{p.Certificate, "shows a certificate"}, {p.Signs, "signs for its grant"}, {p.Callbacks, "has its callbacks signed"}} {
		if b.is {
			also = append(also, b.text)
		}
	}
	if len(also) == 0 {
		return ""
	}
	return ", and " + strings.Join(also, ", and ")
}
