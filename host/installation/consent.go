package installation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/registry/diff"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
)

// beyond leaves out of what a version asks for what is granted already, as after a
// rollback, and what could not come to anything with these grants.
func beyond(i Installation, asks []diff.Change) []diff.Change {
	return slices.DeleteFunc(asks, func(c diff.Change) bool {
		switch c.Part {
		case diff.Egress:
			return len(ungranted(i.Grants.Egress, c)) == 0
		case diff.Function:
			return slices.Contains(i.Grants.Functions, c.Name)
		case diff.Connection:
			_, granted := i.Grants.Connections[c.Name]
			// A change of what is not granted concerns nobody.
			return granted == (c.Verb == diff.Added)
		case diff.Config:
			_, there := property(i.Config, c.Name)
			return there || !slices.ContainsFunc(i.Grants.Egress, func(e manifest.Egress) bool { return e.Host == "{config."+c.Name+"}" })
		case diff.Limit:
			return narrower(i.Grants.Limits, c.Name)
		default:
			return false
		}
	})
}

// ungranted are the methods of an ask that no grant covers.
func ungranted(grants []manifest.Egress, ask diff.Change) []string {
	return slices.DeleteFunc(slices.Clone(ask.Methods), func(method string) bool {
		return slices.ContainsFunc(grants, func(g manifest.Egress) bool {
			return slices.Contains(g.Methods, method) && contains(g.Host, ask.Name)
		})
	})
}

// contains says whether all that one host of a grant allows is allowed by another.
func contains(wide, narrow string) bool {
	w, err := manifest.ParseHost(wide)
	if err != nil {
		return false
	}
	n, err := manifest.ParseHost(narrow)
	return err == nil && w.Covers(n)
}

// narrower says whether the tenant has a limit of its own, which no wish widens.
func narrower(own manifest.Limits, name string) bool {
	switch name {
	case "memory_mib":
		return own.MemoryMiB > 0
	case "timeout_ms":
		return own.TimeoutMS > 0
	case "stream_mib":
		return own.StreamMiB > 0
	default:
		return own.Fuel > 0
	}
}

// widen adds to the grants what was consented to, and nothing else. Connections are
// granted where the tenant has one of that name.
func (s *Installations) widen(ctx context.Context, i *Installation, m manifest.Manifest, asks []diff.Change) error {
	g := i.Grants.clone()
	for _, ask := range asks {
		switch {
		case ask.Part == diff.Egress:
			g.Egress = allowed(g.Egress, ask.Name, ungranted(g.Egress, ask))
		case ask.Part == diff.Function:
			g.Functions = append(g.Functions, ask.Name)
		case ask.Part == diff.Connection && ask.Verb == diff.Added:
			account, err := s.c.Connection(ctx, i.Tenant, ask.Name)
			if isNotFound(err) {
				continue
			}
			if err != nil {
				return fmt.Errorf("find connection: %w", err)
			}
			g.Connections[ask.Name] = account.ID
		}
	}
	i.Grants = g
	return s.connectable(ctx, i.Tenant, m, g.Connections)
}

// clone copies g, so that no two installations share what is in it.
func (g Grants) clone() Grants {
	connections := make(map[string]string, len(g.Connections))
	maps.Copy(connections, g.Connections)
	egress := make([]manifest.Egress, len(g.Egress))
	for i, e := range g.Egress {
		egress[i] = manifest.Egress{Host: e.Host, Methods: slices.Clone(e.Methods)}
	}
	return Grants{Egress: egress, Connections: connections, Functions: notNil(slices.Clone(g.Functions)), Limits: g.Limits}
}

// allowed adds methods at a host to grants that nobody else has.
func allowed(grants []manifest.Egress, host string, methods []string) []manifest.Egress {
	i := slices.IndexFunc(grants, func(e manifest.Egress) bool { return e.Host == host })
	if i < 0 {
		return append(grants, manifest.Egress{Host: host, Methods: methods})
	}
	grants[i].Methods = append(grants[i].Methods, methods...)
	return grants
}

// The codes of what a tenant has set up and a version cannot work with.
const (
	codeConfigInvalid = "config_invalid"
	codeFieldsInvalid = "connection_fields_invalid"
)

// problemOf is what a tenant is told that an upgrade waits for; other errors are
// nothing that the tenant can mend.
func problemOf(err error) (string, bool) {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Code != codeConfigInvalid && f.Code != codeFieldsInvalid {
		return "", false
	}
	parts := []string{f.Message}
	for _, p := range f.Problems {
		parts = append(parts, p.Where+" "+p.Message)
	}
	return clipLong(strings.Join(parts, "; ")), true
}

// clipLong bounds what is stored of a problem.
func clipLong(s string) string {
	const most = 2000
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

// same says whether a wait is as it was but for its time.
func (u *Upgrade) same(o *Upgrade) bool {
	if u == nil || o == nil {
		return u == o
	}
	return u.VersionID == o.VersionID && u.Digest == o.Digest && u.Problem == o.Problem && u.Channel == o.Channel
}

// fieldsOf is an object of fields, which is empty for none.
func fieldsOf(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage(`{}`)
	}
	return raw
}
