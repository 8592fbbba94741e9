package installation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
)

// grants checks what a tenant allows; nil is all that the manifest asks for.
func (s *Installations) grants(ctx context.Context, tenant string, m manifest.Manifest, wish *Grants) (Grants, error) {
	if wish == nil {
		return s.allOf(ctx, tenant, m)
	}
	if problems := excess(m, *wish); len(problems) > 0 {
		e := fault.New(fault.InvalidInput, "grant_exceeds_manifest", "the grants allow more than %s %s asks for", m.Name, m.Version).
			WithHint("Grant what the plugin's manifest asks for, or less.").At("/grants")
		e.Problems = problems
		return Grants{}, e
	}
	granted := Grants{
		Egress: notNil(slices.Clone(wish.Egress)), Functions: notNil(slices.Clone(wish.Functions)),
		Connections: map[string]string{}, Limits: wish.Limits,
	}
	for _, name := range slices.Sorted(maps.Keys(wish.Connections)) {
		account, err := s.c.Connection(ctx, tenant, wish.Connections[name])
		if isNotFound(err) {
			return Grants{}, fault.New(fault.InvalidInput, "connection_missing", "the tenant has no connection %q, which is to be granted as %q", clip(wish.Connections[name]), name).
				WithHint("Create the connection first, then grant it by its name or id.").At("/grants/connections/" + name)
		}
		if err != nil {
			return Grants{}, fmt.Errorf("find connection: %w", err)
		}
		granted.Connections[name] = account.ID
	}
	return granted, s.connectable(ctx, tenant, m, granted.Connections)
}

// allOf grants all that a manifest asks for. A connection that the tenant does
// not have yet is left out; it can be granted later.
func (s *Installations) allOf(ctx context.Context, tenant string, m manifest.Manifest) (Grants, error) {
	g := Grants{
		Egress: notNil(slices.Clone(m.Egress)), Functions: notNil(slices.Clone(m.Functions)),
		Connections: map[string]string{},
	}
	for _, c := range m.Connections {
		account, err := s.c.Connection(ctx, tenant, c.Name)
		if isNotFound(err) {
			continue
		}
		if err != nil {
			return Grants{}, fmt.Errorf("find connection: %w", err)
		}
		g.Connections[c.Name] = account.ID
	}
	return g, s.connectable(ctx, tenant, m, g.Connections)
}

// excess lists what a grant allows beyond a manifest.
func excess(m manifest.Manifest, g Grants) []fault.Problem {
	var problems []fault.Problem
	report := func(where, format string, args ...any) {
		problems = append(problems, fault.Problem{Where: where, Message: fmt.Sprintf(format, args...)})
	}
	for i, e := range g.Egress {
		excessEgress(fmt.Sprintf("/grants/egress/%d", i), m, e, report)
	}
	for _, name := range slices.Sorted(maps.Keys(g.Connections)) {
		if !slices.ContainsFunc(m.Connections, func(c manifest.Connection) bool { return c.Name == name }) {
			report("/grants/connections", "the plugin does not ask for a connection %q", clip(name))
		}
	}
	for i, f := range g.Functions {
		if !slices.Contains(m.Functions, f) {
			report(fmt.Sprintf("/grants/functions/%d", i), "the plugin does not ask for the function %q", clip(f))
		}
	}
	excessLimit("/grants/limits/memory_mib", int64(g.Limits.MemoryMiB), int64(m.Limits.MemoryMiB), report)
	excessLimit("/grants/limits/timeout_ms", int64(g.Limits.TimeoutMS), int64(m.Limits.TimeoutMS), report)
	excessLimit("/grants/limits/stream_mib", int64(g.Limits.StreamMiB), int64(m.Limits.StreamMiB), report)
	excessLimit("/grants/limits/fuel", g.Limits.Fuel, m.Limits.Fuel, report)
	return problems
}

func excessEgress(where string, m manifest.Manifest, e manifest.Egress, report func(where, format string, args ...any)) {
	host, err := manifest.ParseHost(e.Host)
	if err != nil {
		report(where+"/host", "%v", err)
		return
	}
	asked := map[string]bool{}
	covered := false
	for _, wish := range m.Egress {
		if wished, err := manifest.ParseHost(wish.Host); err == nil && wished.Covers(host) {
			covered = true
			for _, method := range wish.Methods {
				asked[method] = true
			}
		}
	}
	if !covered {
		report(where+"/host", "the plugin does not ask for the host %s", host)
		return
	}
	if len(e.Methods) == 0 {
		report(where+"/methods", "names no method: leave the entry out to grant nothing")
	}
	for i, method := range e.Methods {
		if !asked[method] {
			report(fmt.Sprintf("%s/methods/%d", where, i), "the plugin does not ask for %s at the host %s", clip(method), host)
		}
	}
}

func excessLimit(where string, granted, wished int64, report func(where, format string, args ...any)) {
	if granted < 0 {
		report(where, "%d must not be negative: leave it out to grant what the plugin asks for", granted)
	}
	if wished > 0 && granted > wished {
		report(where, "%d is more than the %d that the plugin asks for", granted, wished)
	}
}

func isNotFound(err error) bool {
	e, ok := errors.AsType[*fault.Error](err)
	return ok && e.Code == fault.CodeNotFound
}

// notNil makes a list that is written as [] and not as null.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// clip shortens what a message quotes.
func clip(s string) string {
	if r := []rune(s); len(r) > 64 {
		return string(r[:64]) + "…"
	}
	return s
}
