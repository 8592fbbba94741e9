package connection

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/hostfns/sign"
)

// Held gives credentials to one process that stores nothing, such as a call on an
// author's machine: specs by the names that the plugin has for them. One that is
// wrong is an InvalidInput fault, as it is to Create. An OAuth2 has a token in its
// Credential, which nobody renews. They are sign.Keys, too.
func Held(specs map[string]Spec, now func() time.Time) (egress.Credentials, error) {
	h := held{specs: map[string]Spec{}, now: now}
	for name, spec := range specs {
		judged := spec
		if spec.Type == OAuth2 {
			judged.Type = Bearer // It has what one of these has.
		}
		if err := judged.check(); err != nil {
			return nil, err
		}
		h.specs[name] = spec
	}
	return h, nil
}

type held struct {
	specs map[string]Spec
	now   func() time.Time
}

// Apply implements egress.Credentials.
func (h held) Apply(_ context.Context, name string, r *http.Request) (secrets []string, err error) {
	c, secret, err := h.credential(name, r)
	if err != nil {
		return nil, err
	}
	return secret.apply(c, r, h.now)
}

// Parts implements egress.Placeable.
func (h held) Parts(_ context.Context, name string, r *http.Request) (map[string]string, error) {
	c, secret, err := h.credential(name, r)
	if err != nil {
		return nil, err
	}
	return secret.placeable(c)
}

// Key implements sign.Keys.
func (h held) Key(_ context.Context, name string) (sign.Key, error) {
	spec, ok := h.specs[name]
	if !ok {
		return sign.Key{}, fmt.Errorf("%w: give it one named %.64q", sign.ErrNoConnection, name)
	}
	return spec.Credential.key(spec.connection())
}

func (s Spec) connection() Connection {
	return Connection{Name: s.Name, Type: s.Type, Hosts: s.Hosts, Header: s.Header, Query: s.Query}
}

// Account implements egress.Accounts.
func (h held) Account(name string) string { return name }

func (h held) credential(name string, r *http.Request) (Connection, Credential, error) {
	spec, ok := h.specs[name]
	if !ok {
		return Connection{}, Credential{}, fmt.Errorf("%w: give it one named %.64q", egress.ErrNoConnection, name)
	}
	c := spec.connection()
	if !c.allows(r) {
		return c, Credential{}, fmt.Errorf("%w: it is for %s", egress.ErrHostNotAllowed, strings.Join(c.Hosts, ", "))
	}
	return c, spec.Credential, nil
}
