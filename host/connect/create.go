package connect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
)

// Codes of refusals.
const (
	codeSpec    = "connect_session_invalid"
	codeValues  = "connect_values_invalid"
	codeStep    = "connect_step_invalid"
	codeOver    = "connect_session_over"
	codeAccount = "another_account"
	codeScopes  = "scopes_missing"
	codeNothing = "nothing_to_connect"
	// CodeBrowser is the code of a link that another browser has opened.
	CodeBrowser = "connect_session_of_another_browser"
)

// Spec asks for a session.
type Spec struct {
	// Installation is whose plugin asks for an account, by id or name; or Plugin, whose
	// user has not installed it yet; or none, with App or Connection.
	Installation, Plugin string
	// Slot is the plugin's name for the account. Defaults to letting the user choose.
	Slot string
	// App asks for the consent, by id or name. Defaults to letting the user choose from
	// those of the provider.
	App string
	// Connection is the one that is connected again, by id or name.
	Connection string
	// AnotherAccount lets Connection be for another account from now on.
	AnotherAccount bool
	// Name is what the new connection is called. Defaults to Slot, or the provider's name.
	Name string
	// ReturnURL is where the user goes at the end, and Origins who may have the pages in a
	// frame, and is told what happens in them.
	ReturnURL string
	Origins   []string
	Brand     Brand
}

// originsMost is more than a host app has: one for each of its environments.
const originsMost = 10

// Create makes a session, and the link that opens it. The link is not to be had again.
func (s *Sessions) Create(ctx context.Context, tenant string, spec Spec) (session Session, link string, err error) {
	found := s.checkAddresses(&spec)
	brand, odd := spec.Brand.checked()
	if found = append(found, odd...); len(found) > 0 {
		e := fault.New(fault.InvalidInput, codeSpec, "%s", found[0].Message).At(found[0].Where)
		e.Problems = found
		return Session{}, "", e
	}
	v := &visit{State: Open, Name: spec.Name, ReturnURL: spec.ReturnURL, Origins: spec.Origins, Brand: brand, Another: spec.AnotherAccount}
	if err := s.options(ctx, tenant, spec, v); err != nil {
		return Session{}, "", err
	}
	secret, err := s.secret()
	if err != nil {
		return Session{}, "", err
	}
	now := s.c.Now()
	v.row = Row{
		Tenant: tenant, ID: ident.New(ident.ConnectSession, now), Digest: digest(secret), State: Open,
		Version: 1, CreatedAt: now, ExpiresAt: now.Add(lifetime),
	}
	if err := s.fill(ctx, v, nil, &v.row); err != nil {
		return Session{}, "", err
	}
	if err := s.c.Store.InsertVisit(ctx, v.row); err != nil {
		return Session{}, "", fmt.Errorf("keep a connect session: %w", err)
	}
	return v.view(now), s.public("/connect/" + secret), nil
}

// checkAddresses says what is wrong with where the user goes, and who may look on. It
// writes origins as browsers do.
func (s *Sessions) checkAddresses(spec *Spec) []fault.Problem {
	var found []fault.Problem
	say := func(where, format string, args ...any) {
		found = append(found, fault.Problem{Where: where, Message: fmt.Sprintf(format, args...)})
	}
	if n := len(spec.Origins); n > originsMost {
		say("/origins", "there are %d origins: at most %d are allowed", n, originsMost)
		return found
	}
	spec.Origins = slices.Clone(spec.Origins)
	for i, text := range spec.Origins {
		origin, err := s.origin(text, false)
		if err != nil {
			say(fmt.Sprintf("/origins/%d", i), "%.128q %s", text, err)
			continue
		}
		spec.Origins[i] = origin
	}
	if spec.ReturnURL == "" {
		return found
	}
	origin, err := s.origin(spec.ReturnURL, true)
	switch {
	case err != nil:
		say("/return_url", "the address %s", err)
	case len(spec.Origins) > 0 && !slices.Contains(spec.Origins, origin):
		say("/return_url", "the address is at %s, which is not among the origins", origin)
	}
	return found
}

// origin is that of an address, as browsers write it (RFC 6454). An address that is to
// be one has nothing else.
func (s *Sessions) origin(text string, path bool) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "" || u.Hostname() == "" || len(text) > 2048:
		return "", errors.New("is none such as https://app.example.com")
	case u.User != nil:
		return "", errors.New("has a user name, which makes its host look like another")
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`\"'<>;,*`, r) }):
		return "", errors.New("has a character that it has to escape")
	case !path && (u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != ""):
		return "", errors.New("has more than a scheme, a host and a port: an origin is https://app.example.com")
	case u.Scheme != "https" && (u.Scheme != "http" || !s.loopback() || !isLoopback(u.Hostname())):
		return "", errors.New("does not begin with https://; http:// is for an app on this machine, in development")
	}
	host := strings.ToLower(u.Host)
	if u.Port() == "443" && u.Scheme == "https" || u.Port() == "80" && u.Scheme == "http" {
		host = strings.TrimSuffix(strings.TrimSuffix(host, ":443"), ":80")
	}
	return u.Scheme + "://" + host, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// options finds what there is to connect.
func (s *Sessions) options(ctx context.Context, tenant string, spec Spec, v *visit) error {
	var err error
	if spec.Installation != "" || spec.Plugin != "" {
		if spec.Installation != "" && spec.Plugin != "" {
			return fault.New(fault.InvalidInput, codeSpec, "both an installation and a plugin are named").At("/plugin").WithHint("Name the installation: it knows its plugin.")
		}
		if v.For, err = s.c.Plugins.Asker(ctx, tenant, spec.Installation, spec.Plugin); err != nil {
			return err
		}
	}
	if spec.Connection != "" {
		return s.again(ctx, tenant, spec, v)
	}
	if v.For.Plugin == "" {
		if spec.App == "" {
			return fault.New(fault.InvalidInput, codeSpec, "nothing says what is to be connected").
				WithHint("Name an installation, a plugin, an app or a connection.")
		}
		app, err := s.app(ctx, tenant, spec.App)
		if err != nil {
			return err
		}
		v.Options = []option{optionOf(Slot{Type: oauth2}, app)}
		return nil
	}
	slots := v.For.Slots
	if spec.Slot != "" {
		i := slices.IndexFunc(slots, func(s Slot) bool { return s.Name == spec.Slot })
		if i < 0 {
			return fault.New(fault.InvalidInput, codeSpec, "%s asks for no connection %.64q", v.For.Plugin, spec.Slot).
				At("/slot").WithHint("It asks for %s.", orNone(namesOf(slots)))
		}
		slots = slots[i : i+1]
	}
	for _, slot := range slots {
		more, err := s.optionsOf(ctx, tenant, slot, v.For.PluginID, spec.App)
		if err != nil {
			return err
		}
		v.Options = append(v.Options, more...)
	}
	if len(v.Options) == 0 {
		return fault.New(fault.Conflict, codeNothing, "there is nothing that %s could be connected with", v.For.Plugin).
			WithHint("Create an app for the provider that it asks for, or name one that is of that provider.")
	}
	return nil
}

func namesOf(slots []Slot) []string {
	names := make([]string, len(slots))
	for i, s := range slots {
		names[i] = s.Name
	}
	return names
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

func (s *Sessions) app(ctx context.Context, tenant, idOrName string) (App, error) {
	if s.c.Apps == nil {
		return App{}, fault.NotFound("app", idOrName).At("/app")
	}
	return s.c.Apps.App(ctx, tenant, idOrName)
}

// fits says whether an account that an app connects can be what a plugin asks for. Of a
// provider that another plugin describes, only the name is the same.
func (a App) fits(slot Slot, plugin string) bool {
	return a.Provider.Name == slot.Provider && (a.Plugin == "" || a.Plugin == plugin)
}

// optionsOf are the ways to connect a slot of a plugin: one, or one for each app of its
// provider.
func (s *Sessions) optionsOf(ctx context.Context, tenant string, slot Slot, plugin, only string) ([]option, error) {
	if slot.Type != oauth2 {
		if only != "" {
			return nil, nil
		}
		return []option{optionOf(slot, App{})}, nil
	}
	if only != "" {
		app, err := s.app(ctx, tenant, only)
		if err != nil || !app.fits(slot, plugin) {
			return nil, err
		}
		return []option{optionOf(slot, app)}, nil
	}
	if s.c.Apps == nil {
		return nil, nil
	}
	apps, err := s.c.Apps.AppsOf(ctx, tenant, slot.Provider)
	var all []option
	for _, app := range apps {
		if app.fits(slot, plugin) {
			all = append(all, optionOf(slot, app))
		}
	}
	return all, err
}

// optionOf joins what a plugin asks for and an app that can give it.
func optionOf(slot Slot, app App) option {
	p := app.Provider
	o := option{
		Choice: Choice{
			ID:    strings.Trim(slot.Name+"/"+app.ID, "/"),
			Title: cmp.Or(slot.Title, p.Title, worded(slot.Name)), Description: slot.Description, Type: slot.Type, Slot: slot.Name,
			App: app.ID, Provider: p.Name, Scopes: app.Scopes, Hosts: slot.Hosts,
		},
		Grant: app.Grant, Required: slot.Scopes, Header: slot.Header, Query: slot.Query, Fields: slot.Fields,
	}
	if app.ID == "" {
		return o
	}
	if app.Title != "" && app.Title != p.Title {
		o.Title += " (" + app.Title + ")"
	}
	if o.Grant == "" && len(p.Grant) > 0 {
		o.Grant = p.Grant[0]
	}
	if len(o.Hosts) == 0 {
		o.Hosts = p.Hosts
	}
	o.Inputs = app.Inputs
	return o
}

// again prepares to connect a connection again, as what it is.
func (s *Sessions) again(ctx context.Context, tenant string, spec Spec, v *visit) error {
	c, err := s.c.Connections.Get(ctx, tenant, spec.Connection)
	if err != nil {
		return err
	}
	v.Connection, v.Reconnect, v.Name = c.ID, true, c.Name
	slot := Slot{Type: c.Type, Header: c.Header, Query: c.Query, Hosts: c.Hosts}
	for _, asked := range v.For.Slots {
		if asked.Name == spec.Slot || spec.Slot == "" && asked.Name == c.Name {
			slot.Name, slot.Title, slot.Description, slot.Scopes, slot.Fields = asked.Name, asked.Title, asked.Description, asked.Scopes, asked.Fields
		}
	}
	if c.Type != oauth2 {
		slot.Title = cmp.Or(slot.Title, c.Name)
		v.Options = []option{optionOf(slot, App{})}
		return nil
	}
	id, err := s.c.Authorizations.AppOf(ctx, tenant, c.ID)
	if err != nil {
		return err
	}
	app, err := s.app(ctx, tenant, id)
	if err != nil {
		return err
	}
	if spec.App != "" {
		before := app
		if app, err = s.app(ctx, tenant, spec.App); err != nil {
			return err
		}
		if !app.fits(Slot{Provider: before.Provider.Name}, before.Plugin) {
			return fault.New(fault.InvalidInput, codeSpec, "the app %.64q is of another provider than the connection %q, which is of %s", spec.App, c.Name, before.Provider.Title).At("/app").
				WithHint("Name an app of the same provider, or leave the connection out, for a new one.")
		}
	}
	v.Options = []option{optionOf(slot, app)}
	return nil
}

// name is what a new connection is called, and how often it is to be tried with another
// number at its end.
func (v *visit) name(o *option) (name string, tries int) {
	if v.Name != "" {
		return v.Name, 1
	}
	const numbered = 50
	return cmp.Or(o.Slot, o.Provider), numbered
}
