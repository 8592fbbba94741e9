package host

import (
	"context"
	"fmt"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/app"
	"github.com/cofferdam-run/cofferdam/host/authorization"
	"github.com/cofferdam-run/cofferdam/host/connect"
	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
)

// askers are the plugins that accounts are connected for.
type askers struct{ h *Host }

// Asker implements connect.Plugins.
func (a askers) Asker(ctx context.Context, tenant, installation, plugin string) (connect.Asker, error) {
	viewer, ref := registry.Viewer{Tenant: tenant}, plugin
	var out connect.Asker
	var config []byte
	if installation != "" {
		i, err := a.h.Installations.Get(ctx, tenant, installation)
		if err != nil {
			return out, err
		}
		// The version was the tenant's to install: whether it may still see it does not matter.
		viewer, ref, out.Installation, config = registry.Viewer{Operator: true}, i.VersionID, i.ID, i.Config
	}
	v, err := a.h.Plugins.Resolve(ctx, viewer, ref)
	if err != nil {
		return out, fault.From(err)
	}
	out.Plugin, out.PluginID, out.Title, out.Test = v.Name, v.Plugin, v.Manifest.Title, v.Manifest.Test
	if out.Title == "" {
		out.Title = v.Name
	}
	for _, c := range v.Manifest.Connections {
		out.Slots = append(out.Slots, slotOf(v.Manifest, c, config))
	}
	return out, nil
}

// described finds the descriptor of a provider in a plugin's manifest.
func (w *wiring) described(ctx context.Context, tenant, ref, name string) (app.Described, error) {
	viewer := registry.Viewer{Tenant: tenant}
	if tenant == app.Operator {
		viewer = registry.Viewer{Operator: true}
	}
	v, err := w.h.Plugins.Resolve(ctx, viewer, ref)
	if err != nil {
		return app.Described{}, fault.From(err).At("/plugin")
	}
	var names []string
	for _, p := range v.Manifest.ProvidersOf() {
		names = append(names, p.Name)
	}
	if name == "" && len(names) == 1 {
		name = names[0]
	}
	descriptor, ok := v.Manifest.Descriptor(name)
	switch {
	case len(names) == 0:
		return app.Described{}, fault.New(fault.InvalidInput, codeProviders, "%s %s describes no provider of its own", v.Name, v.Version).At("/plugin").
			WithHint("Leave the plugin out, and name a provider that the host has: list them with: cofferdam provider list")
	case !ok:
		return app.Described{}, fault.New(fault.InvalidInput, codeProviders, "%s %s describes no provider %.64q", v.Name, v.Version, name).At("/provider").
			WithHint("It describes %s.", strings.Join(names, ", "))
	}
	return app.Described{Descriptor: descriptor, Origin: app.Origin{ID: v.Plugin, Name: v.Name, Version: v.Version}}, nil
}

// codeProviders is of a plugin that does not describe a provider.
const codeProviders = "provider_not_found"

// slotOf is a connection of a manifest. Without hosts of its own, its credential goes to
// those that the plugin calls.
func slotOf(m manifest.Manifest, c manifest.Connection, config []byte) connect.Slot {
	slot := connect.Slot{
		Name: c.Name, Title: c.Title, Description: c.Description, Type: connection.Type(c.Type),
		Header: c.Header, Query: c.Query, Fields: c.Fields, Provider: c.Provider, Scopes: c.Scopes,
	}
	wished := c.Hosts
	if len(wished) == 0 && slot.Type != connection.OAuth2 {
		for _, e := range m.Egress {
			wished = append(wished, e.Host)
		}
	}
	for _, text := range wished {
		if host := installation.HostIn(text, config); host != "" {
			slot.Hosts = append(slot.Hosts, host)
		}
	}
	return slot
}

// Grant implements connect.Plugins.
func (a askers) Grant(ctx context.Context, tenant, id, name, connection string) error {
	i, err := a.h.Installations.Get(ctx, tenant, id)
	if err != nil || i.Grants.Connections[name] == connection {
		return err
	}
	g := i.Grants
	g.Connections = map[string]string{name: connection}
	for other, id := range i.Grants.Connections {
		if other != name {
			g.Connections[other] = id
		}
	}
	_, err = a.h.Installations.Grant(ctx, tenant, i.ID, g)
	return err
}

// tester runs the tests of installations.
type tester struct{ executions *execution.Executions }

// Start implements connect.Tester.
func (t tester) Start(ctx context.Context, tenant, installation string) (string, error) {
	started, err := t.executions.Start(context.WithoutCancel(ctx), tenant, execution.Start{
		Installation: installation, Kind: event.Test, Name: "test", Lane: event.Interactive,
	})
	if err != nil {
		return "", fmt.Errorf("start a test: %w", err)
	}
	return started.Execution, nil
}

// Outcome implements connect.Tester.
func (t tester) Outcome(ctx context.Context, tenant, id string) (bool, *fault.Error, error) {
	x, err := t.executions.Get(ctx, tenant, id)
	if err != nil {
		return false, nil, err
	}
	switch {
	case x.State == execution.Succeeded:
		return true, nil, nil
	case x.State.Done(), x.State == execution.Waiting && x.Reason == execution.ReasonReconnect:
		failure := x.Error
		if failure == nil {
			failure = fault.New(fault.Auth, fault.CodeUpstreamAuth, "the test of the connection did not succeed")
		}
		return true, failure, nil
	case x.State == execution.Waiting && x.Error != nil && (x.Reason == execution.ReasonRetry || x.Reason == execution.ReasonRateLimited):
		return true, x.Error, nil // What passes, a person sees pass sooner.
	default:
		return false, nil, nil
	}
}

// sessions makes the sessions in which users connect accounts, if browsers can come.
func (w *wiring) sessions() error {
	h := w.h
	if w.c.PublicURL == "" {
		return nil
	}
	sessions, err := connect.New(connect.Config{
		Store: w.c.Store, Vault: w.vault, Client: w.oauth, Apps: clients{h.Apps}, Authorizations: agreements{h.Authorizations}, Connections: h.Connections, Plugins: askers{h}, Tester: tester{h.Executions},
		PublicURL: w.c.PublicURL, Now: w.c.Now,
	})
	if err != nil {
		return fmt.Errorf("configure host: %w", err)
	}
	h.Connects = sessions
	return nil
}

// agreements keep what users agree to.
type agreements struct{ kept *authorization.Authorizations }

// Agree implements connect.Authorizations.
func (a agreements) Agree(ctx context.Context, g connect.Agreed) error {
	_, err := a.kept.Put(ctx, obtained(g))
	return err
}

// Discard implements connect.Authorizations.
func (a agreements) Discard(ctx context.Context, g connect.Agreed) error {
	return a.kept.Discard(ctx, obtained(g))
}

func obtained(g connect.Agreed) authorization.Obtained {
	return authorization.Obtained{
		Tenant: g.Tenant, Connection: g.Connection, App: g.App, Provider: g.Provider, Token: g.Token, Variables: g.Variables, Grant: g.Grant,
	}
}

// AppOf implements connect.Authorizations.
func (a agreements) AppOf(ctx context.Context, tenant, connection string) (string, error) {
	kept, err := a.kept.Get(ctx, tenant, connection)
	return kept.App, err
}

// AccountOf implements connect.Authorizations.
func (a agreements) AccountOf(ctx context.Context, tenant, connection string) (connect.Account, error) {
	kept, err := a.kept.AccountOf(ctx, tenant, connection)
	return connect.Account{App: kept.App, Variables: kept.Variables, Identity: kept.Identity}, err
}

// clients are the apps that users agree to.
type clients struct{ apps *app.Apps }

// App implements connect.Apps.
func (c clients) App(ctx context.Context, tenant, idOrName string) (connect.App, error) {
	a, p, err := c.apps.Described(ctx, tenant, idOrName)
	if err != nil {
		return connect.App{}, err
	}
	out := connect.App{ID: a.ID, Name: a.Name, Title: a.Title, Provider: p, Scopes: a.Scopes, Grant: a.Grant, Inputs: map[string]provider.Variable{}}
	if a.Plugin != nil {
		out.Plugin = a.Plugin.ID
	}
	if len(out.Scopes) == 0 {
		out.Scopes = p.Scopes.Default
	}
	for name, v := range p.Variables {
		if _, fixed := a.Variables[name]; v.From == "input" && v.Of != "app" && !fixed {
			out.Inputs[name] = v
		}
	}
	return out, nil
}

// AppsOf implements connect.Apps.
func (c clients) AppsOf(ctx context.Context, tenant, provider string) ([]connect.App, error) {
	listed, err := c.apps.List(ctx, tenant)
	if err != nil {
		return nil, err
	}
	var all []connect.App
	for _, a := range listed {
		if a.Provider != provider {
			continue
		}
		one, err := c.App(ctx, tenant, a.ID)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// Registration implements connect.Apps.
func (c clients) Registration(ctx context.Context, tenant, id string, variables map[string]string) (connect.Registered, error) {
	r, err := c.apps.Registration(ctx, tenant, id, variables)
	return connect.Registered{Registration: r.Registration, Provider: r.Provider}, err
}

// Look implements connect.Apps.
func (c clients) Look(ctx context.Context, tenant, id string, l connect.Look) (connect.Look, error) {
	v, err := c.apps.Look(ctx, tenant, id, app.Visit{Token: l.Token, Variables: l.Variables, Looked: l.Looked})
	if err != nil {
		return connect.Look{}, err
	}
	out := connect.Look{Token: v.Token, Variables: v.Variables, Looked: v.Looked}
	for _, choice := range v.Choices {
		out.Choices = append(out.Choices, connect.Item{Label: choice.Label, Variables: choice.Learned})
	}
	return out, nil
}

// forgetSessions forgets connect sessions that are over.
func (h *Host) forgetSessions(ctx context.Context) error {
	if h.Connects == nil {
		return nil
	}
	return h.Connects.Tidy(ctx)
}
