package connect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
)

// arrived makes tokens of a callback, or says why it brings none.
func (s *Sessions) arrived(ctx context.Context, v *visit, a oauth.Arrived, refused error) error {
	if refused != nil {
		return s.failed(ctx, v, refused, Consent)
	}
	r, err := s.c.Apps.Registration(ctx, v.tenant(), v.chosen().App, v.Variables)
	if err != nil {
		return s.failed(ctx, v, err, Consent)
	}
	token, err := s.c.Client.Exchange(ctx, r.Registration, a)
	if err != nil {
		return s.failed(ctx, v, err, Consent)
	}
	variables := r.Provider.Captured(a.Values, nil)
	maps.Copy(variables, v.Variables)
	return s.learn(ctx, v, Look{Token: token, Variables: variables})
}

// learn asks the provider what a connection needs to know of a new token's account, and
// makes the connection. Where the user has to select, it stops. Tokens that neither a
// connection nor the session has then are revoked.
func (s *Sessions) learn(ctx context.Context, v *visit, l Look) error {
	kept, err := s.learned(ctx, v, l)
	if kept {
		return err
	}
	return errors.Join(err, s.discard(ctx, v, l))
}

// learned says whether the session, or a connection, has the tokens then.
func (s *Sessions) learned(ctx context.Context, v *visit, l Look) (kept bool, err error) {
	o := v.chosen()
	if v.Missing = l.Token.Missing; len(missing(o.Required, v.Missing)) > 0 {
		return false, s.failed(ctx, v, lacking(missing(o.Required, v.Missing), v.For.Title), Consent)
	}
	l, err = s.c.Apps.Look(ctx, v.tenant(), o.App, l)
	if err != nil {
		return false, s.failed(ctx, v, err, v.restart())
	}
	if len(l.Choices) > 0 {
		v.State, v.Items = Selecting, labels(l.Choices)
		err := s.put(ctx, v, &held{Look: &l})
		return err == nil, err
	}
	r, err := s.c.Apps.Registration(ctx, v.tenant(), o.App, l.Variables)
	if err != nil {
		return false, s.failed(ctx, v, err, v.restart())
	}
	kept, err = s.keepTokens(s.acting(ctx, v), v, r, l)
	if err == nil {
		return kept, s.connected(ctx, v, o)
	}
	return kept, s.failed(ctx, v, err, Consent)
}

func labels(items []Item) []string {
	all := make([]string, len(items))
	for i, item := range items {
		all[i] = item.Label
	}
	return all
}

// missing are those of required that were not given.
func missing(required, lacks []string) []string {
	var all []string
	for _, scope := range required {
		if slices.Contains(lacks, scope) {
			all = append(all, scope)
		}
	}
	return all
}

func lacking(scopes []string, who string) error {
	if who == "" {
		who = "The app"
	}
	return fault.New(fault.Auth, codeScopes, "the consent leaves out what is needed: %s", strings.Join(scopes, ", ")).
		WithHint("%s does not work without that. Try again, and leave everything ticked that the provider asks about.", who)
}

// keepTokens makes the connection of tokens. It says whether that has them then, which it
// may where there is an error, too.
func (s *Sessions) keepTokens(ctx context.Context, v *visit, r Registered, l Look) (kept bool, err error) {
	o := v.chosen()
	fields, err := o.told(r.Provider, v.Extra)
	if err != nil {
		return false, err
	}
	fresh := v.Connection == ""
	c, err := s.account(ctx, v, o, connection.Spec{Type: oauth2, Hosts: r.Provider.Hosts, Fields: fields})
	if err != nil {
		return false, err
	}
	if v.Reconnect && !v.Another {
		before, err := s.c.Authorizations.AccountOf(ctx, v.tenant(), c.ID)
		if err != nil {
			return false, err
		}
		if err := sameAccount(c, before, Account{App: o.App, Variables: r.Provider.Values, Identity: l.Token.Identity()}, r.Provider.Provider); err != nil {
			return false, err
		}
	}
	err = s.c.Authorizations.Agree(ctx, Agreed{
		Tenant: v.tenant(), Connection: c.ID, App: o.App, Provider: o.Provider, Token: l.Token, Variables: r.Provider.Values, Grant: o.Grant,
	})
	if err != nil {
		if fresh { // A connection that has no tokens is nobody's.
			err = errors.Join(err, s.c.Connections.Delete(ctx, v.tenant(), c.ID))
		}
		return false, fmt.Errorf("keep what was agreed to: %w", err)
	}
	v.Connection = c.ID
	if fresh {
		return true, nil
	}
	var at connection.Place
	if fields != nil && !sameFields(c.Fields, fields) {
		at.Fields = fields
	}
	// What waits goes on, also where the API refused tokens that their provider thought good.
	if _, err := s.c.Connections.Reconnected(ctx, v.tenant(), c.ID, at); err != nil {
		return true, fmt.Errorf("keep what is known of the account: %w", err)
	}
	return true, nil
}

// account finds the connection, or makes it.
func (s *Sessions) account(ctx context.Context, v *visit, o *option, spec connection.Spec) (connection.Connection, error) {
	if v.Connection != "" {
		return s.c.Connections.Get(ctx, v.tenant(), v.Connection)
	}
	name, tries := v.name(o)
	for n := 1; ; n++ {
		spec.Name = name
		if n > 1 {
			spec.Name = fmt.Sprintf("%s-%d", name, n)
		}
		c, err := s.c.Connections.Create(ctx, v.tenant(), spec)
		if f, ok := errors.AsType[*fault.Error](err); ok && f.Class == fault.Conflict && n < tries {
			continue
		}
		return c, err
	}
}

// static makes the connection of a credential that was entered.
func (s *Sessions) static(ctx context.Context, v *visit, o *option, given Values) error {
	acting := s.acting(ctx, v)
	if v.Connection == "" {
		c, err := s.account(acting, v, o, connection.Spec{
			Type: o.Type, Hosts: o.Hosts, Header: o.Header, Query: o.Query, Fields: given.Fields, Credential: given.Credential,
		})
		if err != nil {
			return under("/values", err)
		}
		v.Connection = c.ID
		return s.connected(ctx, v, o)
	}
	if _, err := s.c.Connections.Replace(acting, v.tenant(), v.Connection, given.Credential); err != nil {
		if f := fault.From(err); f.Code == fault.CodeNotFound {
			return s.failed(ctx, v, err, Fields)
		}
		return under("/values", err)
	}
	if given.Fields != nil {
		if _, err := s.c.Connections.SetFields(acting, v.tenant(), v.Connection, given.Fields); err != nil {
			return under("/values", err)
		}
	}
	return s.connected(ctx, v, o)
}

// connected lets the installation use the connection, and has it tested.
func (s *Sessions) connected(ctx context.Context, v *visit, o *option) error {
	v.Error, v.Device, v.Items, v.Untested = nil, nil, nil, false
	if v.For.Installation == "" {
		v.State = Done
		return s.put(ctx, v, nil)
	}
	if o.Slot != "" {
		if err := s.c.Plugins.Grant(s.acting(ctx, v), v.tenant(), v.For.Installation, o.Slot, v.Connection); err != nil {
			return s.failed(ctx, v, err, v.restart())
		}
	}
	v.State = Done
	if v.For.Test && s.c.Tester != nil {
		id, err := s.c.Tester.Start(ctx, v.tenant(), v.For.Installation)
		v.State, v.Test, v.TestedAt = Testing, id, s.c.Now()
		if err != nil { // It cannot be tested now, which says nothing of the connection.
			v.State, v.Untested = Done, true
		}
	}
	return s.put(ctx, v, nil)
}

// tested looks whether the test has ended.
func (s *Sessions) tested(ctx context.Context, v *visit) error {
	ended, failure, err := s.c.Tester.Outcome(ctx, v.tenant(), v.Test)
	switch late := s.c.Now().After(v.TestedAt.Add(testPatience)); {
	case err != nil && !late:
		return err
	case err != nil || !ended && late:
		v.State, v.Untested = Done, true
	case !ended:
		return nil
	case failure != nil:
		v.fail(failure, v.restart())
	default:
		v.State = Done
	}
	err = s.put(ctx, v, nil)
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Class == fault.Conflict {
		return nil // Somebody else looked at the same time.
	}
	return err
}

// acting makes what is done for a session an act of its user's, unless it is somebody
// else's already.
func (s *Sessions) acting(ctx context.Context, v *visit) context.Context {
	if _, _, acts := audit.EntryOf(ctx, s.c.Now()); acts {
		return ctx
	}
	action := "connection.connect"
	if v.Reconnect {
		action = "connection.reconnect"
	}
	return audit.Begin(ctx, &audit.Act{Who: v.row.ID, Tenant: v.tenant(), Action: action, Object: v.Connection})
}

// told are the fields of a connection: what the provider has told of the account, and
// what the user has. Of a plugin that takes no others than it names, it is those.
func (o *option) told(p provider.Resolved, extra json.RawMessage) (json.RawMessage, error) {
	all := map[string]json.RawMessage{}
	if len(extra) > 0 {
		if err := json.Unmarshal(extra, &all); err != nil {
			return nil, fmt.Errorf("read the fields of an account: %w", err) // They were checked.
		}
	}
	var asked object
	narrow := o.Fields != nil && json.Unmarshal(o.Fields, &asked) == nil && asked.Additional == false
	for name, value := range p.Values {
		if _, named := asked.Properties[name]; narrow && !named {
			continue
		}
		b, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("encode a field of an account: %w", err)
		}
		all[name] = b
	}
	if len(all) == 0 {
		return nil, nil
	}
	return json.Marshal(all)
}

func sameFields(a, b json.RawMessage) bool {
	var x, y map[string]json.RawMessage
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil &&
		maps.EqualFunc(x, y, func(p, q json.RawMessage) bool { return string(p) == string(q) })
}
