package installation

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/registry/schema"
)

// Fields are what a plugin is told of the connections that an installation was
// granted: each by the plugin's name for it, with its fields, completed with the
// defaults of the version's schema. One that was deleted, or that the version does
// not ask for, has none.
func (s *Installations) Fields(ctx context.Context, i Installation, v registry.Version) (map[string]json.RawMessage, error) {
	told := make(map[string]json.RawMessage, len(i.Grants.Connections))
	for name, id := range i.Grants.Connections {
		told[name] = fieldsOf(nil)
		compiled, err := s.fieldSchema(v, name)
		if err != nil {
			return nil, err
		}
		if compiled == nil {
			continue // Nothing of it is the plugin's to know.
		}
		account, err := s.c.Connection(ctx, i.Tenant, id)
		if isNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("find connection: %w", err)
		}
		if told[name], err = compiled.Defaults(account.Fields); err != nil {
			return nil, fmt.Errorf("complete the fields of connection %s: %w", id, err)
		}
	}
	return told, nil
}

// fieldSchema is the schema of a connection's fields; nil if a version has none.
func (s *Installations) fieldSchema(v registry.Version, name string) (*schema.Schema, error) {
	i := slices.IndexFunc(v.Manifest.Connections, func(c manifest.Connection) bool { return c.Name == name })
	if i < 0 || v.Manifest.Connections[i].Fields == nil {
		return nil, nil //nolint:nilnil // Most connections have no fields.
	}
	return s.cache.compiled(v, connectionKey+name, v.Manifest.Connections[i].Fields)
}

// connectionKey tells schemas of connections from those of actions, whose names have
// no colon.
const connectionKey = "connection:"

// connectable refuses connections whose fields are not what a plugin asks for. The
// fault lists every problem and shows no value.
func (s *Installations) connectable(ctx context.Context, tenant string, m manifest.Manifest, granted map[string]string) error {
	var problems []fault.Problem
	var first string
	for _, name := range slices.Sorted(maps.Keys(granted)) {
		i := slices.IndexFunc(m.Connections, func(c manifest.Connection) bool { return c.Name == name })
		if i < 0 || m.Connections[i].Fields == nil {
			continue
		}
		account, err := s.c.Connection(ctx, tenant, granted[name])
		if isNotFound(err) {
			continue // It was deleted, which its next call will say.
		}
		if err != nil {
			return fmt.Errorf("find connection: %w", err)
		}
		found, err := misfits(m.Connections[i].Fields, account.Fields)
		if err != nil {
			return fmt.Errorf("check the fields of connection %s: %w", account.ID, err)
		}
		if len(found) > 0 && first == "" {
			first = name
		}
		problems = append(problems, under("/connections/"+name+"/fields", found)...)
	}
	if len(problems) == 0 {
		return nil
	}
	e := fault.New(fault.InvalidInput, codeFieldsInvalid, "the connection that is granted as %q does not have what %s %s asks for", first, m.Name, m.Version).
		WithHint("Set the fields with `cofferdam connection update`, or grant another connection.").At("/grants/connections/" + first)
	e.Problems = problems
	return e
}

// misfits are the problems that fields have with a schema.
func misfits(raw, fields json.RawMessage) ([]schema.Problem, error) {
	compiled, err := schema.Compile(raw)
	if err != nil {
		return nil, fmt.Errorf("compile schema: %w", err) // It compiled when it was published.
	}
	whole, err := compiled.Defaults(fields)
	if err != nil {
		return nil, fmt.Errorf("complete the fields: %w", err) // They were an object when they were stored.
	}
	return compiled.Validate(whole), nil
}

// Fitting refuses fields of a connection with which an installation that was granted
// it could not work. The connection is meant by its id.
func (s *Installations) Fitting(ctx context.Context, tenant, connection string, fields json.RawMessage) error {
	all, err := s.List(ctx, tenant)
	if err != nil {
		return err
	}
	for _, i := range all {
		for name, id := range i.Grants.Connections {
			if id != connection {
				continue
			}
			if err := s.fitting(ctx, i, name, fields); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Installations) fitting(ctx context.Context, i Installation, name string, fields json.RawMessage) error {
	v, err := s.pinned(ctx, i.VersionID)
	if err != nil {
		return err
	}
	compiled, err := s.fieldSchema(v, name)
	if err != nil || compiled == nil {
		return err
	}
	whole, err := compiled.Defaults(fields)
	if err != nil {
		return fmt.Errorf("complete the fields: %w", err) // The caller has seen to it that they are an object.
	}
	if problems := compiled.Validate(whole); len(problems) > 0 {
		e := fault.New(fault.InvalidInput, codeFieldsInvalid, "the installation %q, which was granted this connection as %q, asks for other fields", i.Name, name).
			WithHint("Change what does not fit, or grant the installation another connection first.").At("/fields")
		e.Problems = under("/fields", problems)
		return e
	}
	return nil
}
