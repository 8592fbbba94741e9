package app_test

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider/providertest"
)

// The emulations do not read descriptors. That they hold them is shown by descriptors
// that are wrong in one place.

func TestADescriptorThatIsWrongFails(t *testing.T) {
	t.Parallel()
	type change = func(p *provider.Provider)
	auth := func(method string) change { return func(p *provider.Provider) { p.TokenAuth = method } }
	body := func(body string) change { return func(p *provider.Provider) { p.TokenBody = body } }
	pkce := func(pkce string) change { return func(p *provider.Provider) { p.PKCE = pkce } }
	separator := func(s string) change { return func(p *provider.Provider) { p.Scopes.Separator = s } }
	unit := func(unit string) change {
		return func(p *provider.Provider) {
			p.Response.ExpiresUnit = unit
			if p.Response.ExpiresIn == "" {
				p.Response.ExpiresIn = "/expires_in"
			}
		}
	}
	noOffline := func(p *provider.Provider) { p.Scopes.Offline = "" }
	noParameters := func(p *provider.Provider) { p.Parameters = provider.Parameters{} }
	noLookups := func(p *provider.Provider) { p.Lookups = nil }
	bearer := func(p *provider.Provider) { p.Token = provider.TokenUse{Header: "Authorization", Prefix: "Bearer "} }
	noCodes := func(p *provider.Provider) { p.Response.ErrorCodes = nil }
	oneEndpoint := func(p *provider.Provider) { p.RefreshEndpoint = p.TokenEndpoint }
	mayExpire := func(p *provider.Provider) { p.Refresh.NeverExpires = false }
	tests := map[string]map[string]change{
		"google":     {"no access_type and prompt": noParameters, "a fixed host elsewhere": func(p *provider.Provider) { p.Hosts = []string{"api.google.com"} }},
		"salesforce": {"no offline scope": noOffline, "basic": auth("client_secret_basic"), "the login host is the API": func(p *provider.Provider) { p.Hosts = []string{"login.salesforce.com"} }},
		"hubspot":    {"no lookup": noLookups, "comma scopes": separator(","), "json": body("json")},
		"slack": {
			"its own errors": noCodes,
			"space scopes":   separator(" "), "json": body("json"),
			"the user's token": func(p *provider.Provider) { p.Response.AccessToken = "/authed_user/access_token" },
			"scopes of a user": func(p *provider.Provider) { p.Scopes.Parameter = "user_scope" },
		},
		"slack-user": {"the bot's token": func(p *provider.Provider) { p.Response.AccessToken = "/access_token" }, "scopes of a bot": func(p *provider.Provider) { p.Scopes.Parameter = "scope" }},
		"quickbooks": {"form-encoded basic": auth("client_secret_basic"), "post": auth("client_secret_post"), "realmid": from("realm_id", "callback:realmid")},
		"xero":       {"no offline_access": noOffline, "no tenant": noLookups, "no tenant header": func(p *provider.Provider) { p.Token.Headers = nil }},
		"shopify":    {"space scopes": separator(" "), "does not ask for expiry": noParameters, "bearer": bearer, "another signature": func(p *provider.Provider) { p.Callback.HMACParameter = "signature" }, "basic": auth("client_secret_basic")},
		"zoho":       {"space scopes": separator(" "), "no access_type": noParameters, "bearer": bearer, "its own errors": noCodes, "token at the first data center": func(p *provider.Provider) { p.TokenEndpoint = "https://{accounts_host}/oauth/v2/token" }},
		"notion":     {"form": body("form"), "post": auth("client_secret_post"), "no owner": noParameters, "form-encoded basic": auth("client_secret_basic")},
		"github":     {"scopes in the answer by spaces": func(p *provider.Provider) { p.Scopes.ResponseSeparator = " " }, "scopes by commas": separator(","), "may expire": mayExpire},
		"microsoft": {"no offline_access": noOffline, "the old endpoint": func(p *provider.Provider) {
			p.TokenEndpoint = "https://login.microsoftonline.com/{tenant}/oauth2/token"
		}},
		"atlassian":              {"form": body("form"), "no audience": noParameters, "no offline_access": noOffline, "no site": noLookups},
		"airtable":               {"no PKCE": pkce("none"), "post": auth("client_secret_post")},
		"x":                      {"no PKCE": pkce("none"), "post": auth("client_secret_post"), "offline_access": func(p *provider.Provider) { p.Scopes.Offline = "offline_access" }},
		"linkedin":               {"PKCE": pkce("S256"), "basic": auth("client_secret_basic_raw")},
		"figma":                  {"PKCE": pkce("S256"), "refreshed where exchanged": oneEndpoint},
		"pipedrive":              {"PKCE": pkce("S256"), "post": auth("client_secret_post"), "one API host": func(p *provider.Provider) { p.Hosts = []string{"api.pipedrive.com"} }},
		"monday":                 {"PKCE": pkce("S256"), "may expire": mayExpire},
		"instagram":              {"short-lived": noLookups, "refreshed where exchanged": oneEndpoint, "grant": func(p *provider.Provider) { p.Refresh.GrantType = "refresh_token" }, "a refresh token": func(p *provider.Provider) { p.Refresh.Sends = "refresh_token" }, "POST": func(p *provider.Provider) { p.Refresh.Method = "POST" }, "shows the secret": func(p *provider.Provider) { p.Refresh.TokenAuth = "client_secret_post" }},
		"facebook":               {"POST": func(p *provider.Provider) { p.TokenMethod, p.TokenBody = "POST", "form" }, "short-lived": noLookups},
		"clover":                 {"refreshed where exchanged": oneEndpoint, "seconds": unit("s"), "refreshed with the secret": func(p *provider.Provider) { p.Refresh.TokenAuth = "client_secret_post" }, "form": body("form")},
		"tiktok":                 {"client_id": func(p *provider.Provider) { p.Rename = nil }, "space scopes": separator(" ")},
		"amazon-selling-partner": {"code": func(p *provider.Provider) { p.Callback.CodeParameter = "code" }, "no application_id": noParameters, "bearer": bearer},
		"zendesk":                {"asks for no lifetime": noParameters, "form": body("form")},
		"adp":                    {"no certificate": func(p *provider.Provider) { p.ClientCertificate = false }},
		"fiserv-banking-hub":     {"seconds": unit("s")},
		"bullhorn":               {"logs in once": each(false), "bearer": bearer, "no session": noLookups, "form": body("form")},
		"docuware":               {"no offline_access": noOffline, "another issuer": func(p *provider.Provider) { p.Issuer = "{identity_service}/x" }},
		"bitbucket":              {"scope": func(p *provider.Provider) { p.Response.Scope = "/scope" }},
		"dropbox":                {"no token_access_type": noParameters},
		"linear":                 {"space scopes": separator(" ")},
		"square":                 {"seconds": unit("s"), "expires_in": func(p *provider.Provider) { p.Response.ExpiresIn = "/expires_in" }, "form": body("form"), "session": noParameters},
		"paypal":                 {"form-encoded basic": auth("client_secret_basic")},
		"mailchimp":              {"no data center": noLookups},
		"docusign":               {"no account": noLookups},
		"reddit":                 {"temporary": noParameters},
		"typeform":               {"no offline": noOffline},
		"okta":                   {"raw basic": auth("client_secret_basic_raw"), "post": auth("client_secret_post")},
		"miro":                   {"form": body("form")},
		"wrike":                  {"one host": func(p *provider.Provider) { p.Hosts = []string{"www.wrike.com"} }},
		"klaviyo":                {"no PKCE": pkce("none")},
		"twitch":                 {"its own errors": noCodes},
		"adobe-acrobat-sign":     {"refreshed where exchanged": oneEndpoint, "no access point": from("api_access_point", "callback:api_url")},
	}
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		for what, wrong := range tests[name] {
			t.Run(name+"/"+what, func(t *testing.T) {
				t.Parallel()
				p := named(t, name)
				// What a refresh takes over from the token request goes with it.
				before := p
				wrong(&p)
				inherit(before, &p)
				if err := newLife(t, p, providertest.Serve(t, name)).live(t.Context()); err == nil {
					t.Error("the emulation took it")
				}
			})
		}
	}
}

func inherit(before provider.Provider, p *provider.Provider) {
	if before.Refresh.TokenAuth == before.TokenAuth && p.Refresh.TokenAuth == before.TokenAuth {
		p.Refresh.TokenAuth = p.TokenAuth
	}
	if before.Refresh.Body == before.TokenBody {
		p.Refresh.Body = p.TokenBody
	}
	if before.RefreshEndpoint == before.TokenEndpoint {
		p.RefreshEndpoint = p.TokenEndpoint
	}
}

func from(name, source string) func(p *provider.Provider) {
	return func(p *provider.Provider) {
		v := p.Variables[name]
		v.From = source
		p.Variables[name] = v
	}
}

func each(each bool) func(p *provider.Provider) {
	return func(p *provider.Provider) { p.Lookups[0].Each = each }
}

func TestADescriptorWithAnotherURLFails(t *testing.T) {
	t.Parallel()
	fields := map[string]func(p *provider.Provider) *string{
		"authorization_endpoint": func(p *provider.Provider) *string { return &p.AuthorizationEndpoint },
		"token_endpoint":         func(p *provider.Provider) *string { return &p.TokenEndpoint },
		"revocation_endpoint":    func(p *provider.Provider) *string { return &p.RevocationEndpoint },
		"introspection_endpoint": func(p *provider.Provider) *string { return &p.IntrospectionEndpoint },
		"refresh_endpoint":       func(p *provider.Provider) *string { return &p.RefreshEndpoint },
	}
	for _, p := range load(t).All() {
		for field, of := range fields {
			t.Run(p.Name+"/"+field, func(t *testing.T) {
				t.Parallel()
				p := named(t, p.Name)
				if *of(&p) == "" {
					return // It has none, or the issuer's metadata say it.
				}
				server := providertest.Serve(t, p.Name)
				unused := map[string]bool{"refresh_endpoint": !server.Refreshes(), "revocation_endpoint": !server.Revokes(), "introspection_endpoint": !server.Introspects()}
				if unused[field] {
					return // It is not played.
				}
				*of(&p) += "x"
				if err := newLife(t, p, server).live(t.Context()); err == nil {
					t.Error("the emulation took it")
				}
			})
		}
	}
}

// named returns a provider of the test's own, to change.
func named(t *testing.T, name string) provider.Provider {
	t.Helper()
	p, err := load(t).Provider(name)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if p, err = provider.Parse(name, data); err != nil {
		t.Fatal(err)
	}
	return p
}
