package connection

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/authorization"
	"github.com/cofferdam-run/cofferdam/host/fault"
)

// Machines get tokens for themselves, without a user: see app.Apps and
// authorization.Authorizations.
type Machines interface {
	// Obtain asks for a token, and for what its provider tells of the account. It keeps
	// nothing. An empty grant is the app's.
	Obtain(ctx context.Context, tenant, app, grant string, variables map[string]string) (authorization.Registered, authorization.Obtained, error)
	// Put keeps what was obtained, for a connection.
	Put(ctx context.Context, o authorization.Obtained) (authorization.Authorization, error)
}

// Machine asks for a connection of type OAuth2 whose tokens an app gets for itself.
type Machine struct {
	// Name is as in a Spec.
	Name string
	// App is the app, by id or name, and Grant how it gets tokens, which may be left out.
	App, Grant string
	// Variables are the provider's that the app does not say.
	Variables map[string]string
	// Hosts are fewer than the provider's, which are all that the token is sent to if there
	// are none here.
	Hosts []string
	// Fields are what else plugins may know of the account than the provider tells.
	Fields json.RawMessage
}

// CreateMachine asks for a token and makes the connection that it is of. If there is none
// to be had, there is no connection.
func (s *Connections) CreateMachine(ctx context.Context, tenant string, m Machine) (Connection, error) {
	if s.c.Machines == nil {
		return Connection{}, fmt.Errorf("create connection %s: this host keeps no tokens", m.Name)
	}
	if err := invalid(m.problems()); err != nil {
		return Connection{}, err
	}
	// A token that is asked for in vain counts at some providers.
	if _, err := s.Get(ctx, tenant, m.Name); err == nil {
		return Connection{}, fault.New(fault.Conflict, "name_taken", "the tenant has a connection named %q already", m.Name).At("/name")
	}
	by, o, err := s.c.Machines.Obtain(ctx, tenant, m.App, m.Grant, m.Variables)
	if err != nil {
		return Connection{}, err
	}
	spec := Spec{Name: m.Name, Type: OAuth2, Hosts: m.Hosts}
	if len(spec.Hosts) == 0 {
		spec.Hosts = by.Provider.Hosts
	}
	if err := invalid(strangers(spec.Hosts, by.Provider.Hosts)); err != nil {
		return Connection{}, err
	}
	if spec.Fields, err = fieldsWith(m.Fields, by.Provider.Values); err != nil {
		return Connection{}, err
	}
	c, err := s.Create(ctx, tenant, spec)
	if err != nil {
		return Connection{}, err
	}
	o.Tenant, o.Connection = tenant, c.ID
	if _, err := s.c.Machines.Put(ctx, o); err != nil {
		err = fmt.Errorf("keep the token of connection %s: %w", c.Name, err)
		// A connection that has no token is nobody's.
		return Connection{}, errors.Join(err, s.Delete(context.WithoutCancel(ctx), tenant, c.ID))
	}
	return c, nil
}

func (m Machine) problems() []fault.Problem {
	s := Spec{Name: m.Name, Hosts: m.Hosts}
	found := append(s.nameProblems(), fieldProblems(m.Fields)...)
	if m.App == "" {
		found = append(found, fault.Problem{
			Where:   "/app",
			Message: "a connection of type oauth2 that is created so needs an app that gets tokens for itself; a user's account is connected in a connect session",
		})
	}
	if len(m.Hosts) > 0 {
		found = append(found, s.hostProblems()...)
	}
	return found
}

// strangers are those of hosts that are not a provider's.
func strangers(hosts, provided []string) []fault.Problem {
	var found []fault.Problem
	all := Connection{Hosts: provided}
	for i, host := range hosts {
		at := &http.Request{URL: &url.URL{Scheme: "https", Host: strings.ToLower(host), Path: "/"}}
		same := slices.ContainsFunc(provided, func(p string) bool { return strings.EqualFold(p, host) })
		if !same && (strings.HasPrefix(host, "*") || !all.allows(at)) {
			found = append(found, fault.Problem{
				Where:   fmt.Sprintf("/hosts/%d", i),
				Message: fmt.Sprintf("%.253q is none of the provider's hosts: %s", host, strings.Join(provided, ", ")),
			})
		}
	}
	return found
}

// fieldsWith are fields with the values that a provider has told of the account, which nobody
// says otherwise.
func fieldsWith(fields json.RawMessage, values map[string]string) (json.RawMessage, error) {
	if len(values) == 0 {
		return fields, nil
	}
	all := map[string]json.RawMessage{}
	if fields != nil {
		if err := json.Unmarshal(fields, &all); err != nil {
			return nil, fmt.Errorf("read the fields of an account: %w", err) // They were checked.
		}
	}
	var found []fault.Problem
	for name, value := range values {
		b, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("encode a field of an account: %w", err)
		}
		if own, there := all[name]; there && string(own) != string(b) {
			found = append(found, fault.Problem{Where: "/fields/" + name, Message: fmt.Sprintf("the provider says what %.64s is: leave it out", name)})
		}
		all[name] = b
	}
	if err := invalid(found); err != nil {
		return nil, err
	}
	return json.Marshal(all)
}
