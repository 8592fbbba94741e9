package egress

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

// maxKeyName is what a guest may call a key: with an execution's id before it, it
// stays below the 255 bytes that servers take.
const maxKeyName = 128

// derivedName is what the names begin with that a journal makes.
const derivedName = "h-"

// IdempotencyRule says that a host does not do twice what comes twice with one key.
type IdempotencyRule struct {
	// Host is as that of a Rule.
	Host string
	// Header is where the host reads the key.
	Header string
	// TTL is how long it remembers one.
	TTL time.Duration
}

// NotDoneRule says which answers of a host mean that it did not accept the request,
// beside 429.
type NotDoneRule struct {
	// Host is as that of a Rule.
	Host   string
	Status []int
}

// Accounts is what Credentials may implement, too: whether an effect can be made
// again depends on whether it would go to the same account.
type Accounts interface {
	// Account identifies what the guest calls name; it is empty if there is no such
	// connection.
	Account(name string) string
}

// idempotent is an IdempotencyRule that has been read.
type idempotent struct {
	host   matcher
	header string
	ttl    time.Duration
}

// notDone is a NotDoneRule that has been read.
type notDone struct {
	host   matcher
	status []int
}

// matchHost reads the host of a rule that is about all methods.
func matchHost(host string) (matcher, bool) {
	m, err := Rule{Host: host, Methods: []string{http.MethodGet}}.compile()
	return m, err == nil
}

// marked is the request that was marked last: mostly the one that is sent next, which
// is not parsed again.
type marked struct {
	raw []byte
	out *outgoing
}

// parse reads a request that is to be sent.
func (s *Session) parse(raw json.RawMessage) (*outgoing, error) {
	last := s.marked
	s.marked = marked{}
	if last.out != nil && bytes.Equal(last.raw, raw) {
		return last.out, nil
	}
	return s.egress.parse(raw)
}

// mark says how an http request of the guest's is known again: by the host's
// idempotency key, where it has one, and to whose account it goes.
func (s *Session) mark(_ context.Context, raw json.RawMessage) (hostfns.Mark, error) {
	out := s.marked.out
	if out == nil || !bytes.Equal(s.marked.raw, raw) {
		var err error
		if out, err = s.egress.parse(raw); err != nil {
			return hostfns.Mark{}, nil //nolint:nilerr // It is refused when it is to be sent.
		}
		s.marked = marked{raw: bytes.Clone(raw), out: out}
	}
	m := hostfns.Mark{Host: out.url.Host}
	if a, ok := s.permissions.Credentials.(Accounts); ok && out.connection != "" {
		m.Account = a.Account(out.connection)
	}
	if out.streamed() {
		return m, nil // Nobody can tell whether what is streamed again is the same.
	}
	effect := effectOfMethod(out.method)
	d := s.idempotencyOf(out.origin)
	if d == nil || effect == hostfns.Read || effect == hostfns.Idempotent && out.keyName == "" {
		return m, nil
	}
	m.Keyed, m.Name, m.TTL = true, out.keyName, d.ttl
	hash := sha256.New()
	for _, part := range []string{out.method, "\n", out.url.String(), "\n"} {
		hash.Write([]byte(part)) // Neither a method nor a URL has a line break in it.
	}
	hash.Write(out.body)
	m.Same = hex.EncodeToString(hash.Sum(nil))[:32]
	return m, nil
}

// idempotencyOf is what is declared for an origin, or nil.
func (s *Session) idempotencyOf(o origin) *idempotent {
	i := slices.IndexFunc(s.idempotency, func(d idempotent) bool { return d.host.reaches(o) })
	if i < 0 {
		return nil
	}
	return &s.idempotency[i]
}

// checkKey refuses a key that would not arrive, and one that is not the host's.
func (s *Session) checkKey(out *outgoing) error {
	d := s.idempotencyOf(out.origin)
	switch {
	case out.keyName != "" && effectOfMethod(out.method) == hostfns.Read:
		return invalid("\"idempotency_key\" is for requests that change something, and this is a %s: leave it out", out.method)
	case out.keyName != "" && d == nil:
		return invalid("\"idempotency_key\" is there, and the manifest does not say in which header %s takes one: name the host under \"idempotency\"", out.origin)
	case d != nil && out.header.Get(d.header) != "":
		return invalid("the header %q is set by the host, as the manifest's \"idempotency\" says: use \"idempotency_key\" for a key of your own",
			strings.ToLower(d.header))
	}
	return nil
}

// putKey adds the crossing's key to a request.
func (s *Session) putKey(ctx context.Context, out *outgoing, header http.Header) {
	key, d := hostfns.KeyOf(ctx), s.idempotencyOf(out.origin)
	if key != "" && d != nil && effectOfMethod(out.method) != hostfns.Read {
		header.Set(d.header, key)
	}
}

// sendOnce keeps the transport from sending again, by itself and without anyone's
// knowledge, what got no answer on a connection that had been used before: it does so
// for each request with one of these headers, whoever set it. It looks for them in
// its own spelling, which the other side does not tell from this one.
func sendOnce(header http.Header) {
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if values, ok := header[name]; ok {
			delete(header, name)
			header[strings.ToLower(name)] = values
		}
	}
}

// outcome says what an answer's status tells. A credential that is refused was
// refused before anything was done.
func (s *Session) outcome(out *outgoing, status int) hostfns.Outcome {
	declared := slices.ContainsFunc(s.notDone, func(d notDone) bool {
		return d.host.reaches(out.origin) && slices.Contains(d.status, status)
	})
	if declared || status == http.StatusUnauthorized && out.connection != "" {
		return hostfns.NotDone
	}
	return outcomeOf(out.method, status)
}

// checkKeyName checks what a guest calls its key.
func checkKeyName(name string) error {
	if strings.HasPrefix(name, derivedName) {
		return invalid("\"idempotency_key\" is %.32q: names that begin with %s are those of keys that the host makes", name, derivedName)
	}
	if len(name) > maxKeyName || strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return invalid("\"idempotency_key\" is %.32q, of %d bytes: it must be 1 to %d visible ASCII characters", name, len(name), maxKeyName)
	}
	return nil
}
