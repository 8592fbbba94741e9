package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/app"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/vault/vaulttest"
)

const (
	acme  = "ten_0000000000000000000000ACME"
	other = "ten_000000000000000000000OTHER"
)

// own is a descriptor that no program comes with.
const own = `{"name":"acme","title":"Acme","docs":["https://acme.example/oauth"],
	"authorization_endpoint":"https://id.acme.example/authorize","token_endpoint":"https://id.acme.example/token","hosts":["api.acme.example"]}`

type testBundle struct {
	*app.Apps

	at time.Time
}

func setup(t *testing.T, described func(context.Context, string, string, string) (app.Described, error)) *testBundle {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "cofferdam.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if _, _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{acme, other} {
		if err := db.InsertTenant(t.Context(), tenant.Tenant{ID: id, Name: strings.ToLower(id), State: tenant.Active}); err != nil {
			t.Fatal(err)
		}
	}
	b := &testBundle{at: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}
	b.Apps = app.New(app.Config{
		Store: db, Vault: vaulttest.New(t), Providers: load(t), PublicURL: "https://cofferdam.example/", Described: described,
		Now: func() time.Time { return b.at },
	})
	return b
}

func github() app.Spec {
	return app.Spec{Name: "github", Provider: "github", ClientID: "Iv1.0", Secret: oauth.Secret{ClientSecret: "s3cret-of-github"}, Scopes: []string{"repo"}}
}

func (b *testBundle) create(t *testing.T, tenant string, s app.Spec) app.App {
	t.Helper()
	a, err := b.Create(t.Context(), tenant, s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func wantFault(t *testing.T, err error, class fault.Class, code, message string) *fault.Error {
	t.Helper()
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Class != class || f.Code != code || !strings.Contains(f.Message+" "+f.Hint, message) {
		t.Fatalf("got %v, want a fault of %s, %s, with %q", err, class, code, message)
	}
	return f
}

func TestAppsAreTheTenantsOwnAndTheOperators(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t, nil), t.Context()
	shared := b.create(t, app.Operator, github())
	mine := github()
	mine.ClientID = "Iv1.mine"
	a := b.create(t, acme, mine)
	if !shared.Shared || a.Shared || shared.Tenant != app.Operator || a.Grant != "authorization_code" {
		t.Errorf("got %+v and %+v", shared, a)
	}
	for tenantID, want := range map[string]app.App{acme: a, other: shared, app.Operator: shared} {
		got, err := b.Get(ctx, tenantID, "github")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", tenantID, diff)
		}
	}
	all, err := b.List(ctx, acme)
	if err != nil || len(all) != 2 {
		t.Fatalf("got %d apps, %v", len(all), err)
	}
	if _, err := b.Get(ctx, other, a.ID); err == nil {
		t.Error("another tenant has it")
	}
	if _, err := b.Get(ctx, app.Operator, a.ID); err == nil {
		t.Error("the operator's are searched, and a tenant's is found")
	}
	// What is the operator's, a tenant does not change.
	title := "mine"
	for name, err := range map[string]error{
		"update": errOf(b.Update(ctx, other, shared.ID, app.Change{Title: &title})),
		"secret": errOf(b.ReplaceSecret(ctx, other, shared.ID, oauth.Secret{ClientSecret: "x"})),
		"delete": b.Delete(ctx, other, "github"),
	} {
		f, ok := errors.AsType[*fault.Error](err)
		if !ok || f.Code != fault.CodeNotFound {
			t.Errorf("%s: got %v", name, err)
		}
	}
	seen := shared.Seen()
	if seen.ClientID != "" || seen.Tenant != "" || seen.Name != "github" || !seen.Shared || len(seen.Scopes) != 1 {
		t.Errorf("a tenant sees %+v", seen)
	}
	if diff := cmp.Diff(a, a.Seen()); diff != "" {
		t.Error(diff)
	}
}

func errOf(_ app.App, err error) error { return err }

func TestRegistrationsHaveTheSecretThatIsNow(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t, nil), t.Context()
	a := b.create(t, app.Operator, github())
	r, err := b.Registration(ctx, acme, "github", nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.App != a.ID || r.ClientID != "Iv1.0" || r.Secret.ClientSecret != "s3cret-of-github" ||
		r.RedirectURI != "https://cofferdam.example/oauth/callback/github" || r.Endpoints.Token != "https://github.com/login/oauth/access_token" {
		t.Errorf("got %+v of %s", r.Endpoints, r.RedirectURI)
	}
	b.at = b.at.Add(time.Hour)
	replaced, err := b.ReplaceSecret(ctx, app.Operator, a.ID, oauth.Secret{ClientSecret: "another"})
	if err != nil || replaced.Version != 2 || !replaced.UpdatedAt.Equal(b.at) {
		t.Fatalf("got %+v, %v", replaced, err)
	}
	if r, err = b.Registration(ctx, acme, a.ID, nil); err != nil || r.Secret.ClientSecret != "another" {
		t.Fatalf("got %v", err)
	}
	if err := b.Delete(ctx, app.Operator, "github"); err != nil {
		t.Fatal(err)
	}
	_, err = b.Registration(ctx, acme, a.ID, nil)
	wantFault(t, err, fault.InvalidInput, fault.CodeNotFound, "app")
}

// Whoever may change an app, but did not know its secret, must not have it sent elsewhere.
func TestWhatMovesASecretNeedsIt(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t, nil), t.Context()
	a := b.create(t, acme, app.Spec{
		Name: "kc", Provider: "keycloak", ClientID: "id", Secret: oauth.Secret{ClientSecret: "s"}, Variables: map[string]string{"host": "ID.acme.example"},
	})
	if a.Variables["host"] != "id.acme.example" {
		t.Errorf("got %v", a.Variables)
	}
	_, err := b.Registration(ctx, acme, "kc", map[string]string{"host": "evil.example", "realm": "main"})
	wantFault(t, err, fault.InvalidInput, "variable_of_app", "the app says what it is")
	elsewhere, id, title, scopes := map[string]string{"host": "evil.example"}, "id2", "Logins", []string{"a", "b"}
	for name, c := range map[string]app.Change{"variables": {Variables: &elsewhere}, "client_id": {ClientID: &id}} {
		_, err := b.Update(ctx, acme, a.ID, c)
		wantFault(t, err, fault.InvalidInput, "invalid_app", name+" says where the secret goes")
	}
	if a, err = b.Update(ctx, acme, "kc", app.Change{Title: &title, Scopes: &scopes, Variables: &a.Variables}); err != nil || a.Title != title || len(a.Scopes) != 2 {
		t.Fatalf("got %+v, %v", a, err)
	}
	if a, err = b.Update(ctx, acme, "kc", app.Change{Variables: &elsewhere, ClientID: &id, Secret: &oauth.Secret{ClientSecret: "theirs"}}); err != nil || a.ClientID != id {
		t.Fatalf("got %+v, %v", a, err)
	}
}

func TestADescriptorOfOnesOwnIsCopied(t *testing.T) {
	t.Parallel()
	manifest := own
	origin := app.Origin{ID: "plg_1", Name: "connector", Version: "1.0.0"}
	b := setup(t, func(_ context.Context, tenant, plugin, name string) (app.Described, error) {
		if tenant != acme || plugin != "connector" || name != "acme" {
			return app.Described{}, fault.NotFound("plugin", plugin)
		}
		return app.Described{Descriptor: json.RawMessage(manifest), Origin: origin}, nil
	})
	ctx := t.Context()
	for name, spec := range map[string]app.Spec{"inline": {Descriptor: json.RawMessage(own)}, "plugin": {Plugin: "connector", Provider: "acme"}} {
		manifest = own
		spec.Name, spec.ClientID, spec.Secret = name, "id", oauth.Secret{ClientSecret: "s"}
		a := b.create(t, acme, spec)
		if a.Provider != "acme" || len(a.Descriptor) == 0 {
			t.Errorf("%s: got %+v", name, a)
		}
		manifest = strings.ReplaceAll(own, "id.acme.example", "id.evil.example")
		r, err := b.Registration(ctx, acme, name, nil)
		if err != nil || r.Endpoints.Token != "https://id.acme.example/token" {
			t.Errorf("%s: got %+v, %v", name, r.Endpoints, err)
		}
		if kept, err := b.Get(ctx, acme, name); err != nil || (name == "plugin") != (kept.Plugin != nil) || kept.Plugin != nil && *kept.Plugin != origin {
			t.Errorf("%s: it is kept as from %+v, %v", name, kept.Plugin, err)
		}
		shown := b.Show(a)
		if !slices.Equal(shown.SecretGoesTo, []string{"id.acme.example"}) || !slices.Equal(shown.TokensGoTo, []string{"api.acme.example"}) || shown.RedirectURI != r.RedirectURI {
			t.Errorf("%s: it is shown as %+v", name, shown)
		}
	}
	bad := app.Spec{Name: "x", ClientID: "id", Secret: oauth.Secret{ClientSecret: "s"}}
	for what, tt := range map[string]struct {
		spec  func(s *app.Spec)
		class fault.Class
		code  string
		where string
	}{
		"a name that is taken": {func(s *app.Spec) { s.Descriptor = json.RawMessage(strings.Replace(own, `"acme"`, `"github"`, 1)) }, fault.Conflict, "provider_name_taken", "/descriptor/name"},
		"another name":         {func(s *app.Spec) { s.Descriptor, s.Provider = json.RawMessage(own), "acne" }, fault.InvalidInput, "invalid_app", "/provider"},
		"two descriptors":      {func(s *app.Spec) { s.Descriptor, s.Plugin = json.RawMessage(own), "connector" }, fault.InvalidInput, "invalid_app", "/descriptor"},
		"one that is none":     {func(s *app.Spec) { s.Descriptor = json.RawMessage(`{"name":"acme"}`) }, fault.InvalidInput, "provider_invalid", "/descriptor/title"},
		"a plugin that is not": {func(s *app.Spec) { s.Plugin, s.Provider = "nobody", "acme" }, fault.InvalidInput, fault.CodeNotFound, ""},
		"plain http":           {func(s *app.Spec) { s.Descriptor = json.RawMessage(strings.ReplaceAll(own, "https://id", "http://id")) }, fault.InvalidInput, "provider_invalid", "/descriptor/authorization_endpoint"},
	} {
		spec := bad
		tt.spec(&spec)
		_, err := b.Create(ctx, acme, spec)
		if f := wantFault(t, err, tt.class, tt.code, ""); f.Where != tt.where {
			t.Errorf("%s: at %q, want %q", what, f.Where, tt.where)
		}
	}
}

func TestNoTwoServersHaveOneRedirectURI(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	uri := func(tenant, name, descriptor string) string {
		a := b.create(t, tenant, app.Spec{Name: name, Descriptor: json.RawMessage(descriptor), ClientID: "id", Secret: oauth.Secret{ClientSecret: "s"}})
		r, err := b.Registration(t.Context(), tenant, a.ID, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r.RedirectURI
	}
	honest := uri(acme, "honest", own)
	if !strings.HasPrefix(honest, "https://cofferdam.example/oauth/callback/acme.") {
		t.Errorf("got %s", honest)
	}
	if again := uri(other, "again", strings.Replace(own, "api.acme", "api2.acme", 1)); again != honest {
		t.Errorf("the same server has %s and %s", honest, again)
	}
	for name, part := range map[string]string{"by its tokens": "id.acme.example/token", "by its pages": "id.acme.example/authorize"} {
		if evil := uri(other, strings.ReplaceAll(name, " ", "-"), strings.Replace(own, part, "id.evil.example/x", 1)); evil == honest {
			t.Errorf("another server, %s, has %s too", name, evil)
		}
	}
}

func TestBadInputIsNamedAllAtOnce(t *testing.T) {
	t.Parallel()
	b, ctx := setup(t, nil), t.Context()
	_, err := b.Create(ctx, acme, app.Spec{
		Name: "app_x", Title: "two\nlines", Provider: "shopify", ClientID: " id ", Grant: "password",
		Secret: oauth.Secret{PrivateKey: "k"}, Scopes: []string{"a b", "a,b", "", "c", "c"}, Variables: map[string]string{"shop": "a.b", "store": "x"},
	})
	f := wantFault(t, err, fault.InvalidInput, "invalid_app", "more: see problems")
	var places []string
	for _, p := range f.Problems {
		places = append(places, p.Where)
	}
	want := []string{
		"/name", "/title", "/client_id", "/grant", "/scopes/0", "/scopes/1", "/scopes/2", "/scopes/4", "/variables/shop", "/variables/store",
		"/secret/client_secret", "/secret/private_key",
	}
	if diff := cmp.Diff(want, places); diff != "" {
		t.Error(diff)
	}
	_, err = b.Create(ctx, acme, app.Spec{Name: "?", Provider: "githib", ClientID: "i"})
	f = wantFault(t, err, fault.InvalidInput, "provider_not_found", `Did you mean "github"?`)
	if f.Where != "/provider" || len(f.Problems) != 2 || f.Problems[1].Where != "/name" {
		t.Errorf("got %q and %+v", f.Where, f.Problems)
	}
	for name, tt := range map[string]struct {
		spec    app.Spec
		where   string
		message string
	}{
		"no scopes where some are needed":   {app.Spec{Provider: "google"}, "/scopes", "refuses a request without one"},
		"no variable of the app's":          {app.Spec{Provider: "keycloak"}, "/variables/host", "the same for all who connect"},
		"no secret":                         {app.Spec{Provider: "github", Secret: oauth.Secret{}}, "/secret/client_secret", "is missing: the client proves itself by client_secret_post"},
		"a key for a secret":                {app.Spec{Provider: "adp", Secret: oauth.Secret{ClientSecret: "s", PrivateKey: "k", Certificate: "c"}}, "/secret/private_key", "no private key in PEM"},
		"a variable that a callback brings": {app.Spec{Provider: "quickbooks", Scopes: []string{"a"}, Variables: map[string]string{"realm_id": "1"}}, "/variables/realm_id", "is not a variable that somebody enters"},
		"a secret with a line break":        {app.Spec{Provider: "github", Secret: oauth.Secret{ClientSecret: "a\nb"}}, "/secret/client_secret", "control character"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := tt.spec
			s.Name, s.ClientID = "x", "id"
			if s.Secret == (oauth.Secret{}) && name != "no secret" {
				s.Secret.ClientSecret = "s"
			}
			_, err := b.Create(ctx, acme, s)
			f := wantFault(t, err, fault.InvalidInput, "invalid_app", tt.message)
			if f.Where != tt.where {
				t.Errorf("at %q, want %q", f.Where, tt.where)
			}
			if strings.Contains(err.Error(), "a\nb") {
				t.Errorf("it quotes the secret: %v", err)
			}
		})
	}
	b.create(t, acme, github())
	_, err = b.Create(ctx, acme, github())
	wantFault(t, err, fault.Conflict, "name_taken", "")
}

func TestNothingPrintsASecret(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	s := github()
	var text strings.Builder
	slog.New(slog.NewJSONHandler(&text, nil)).Info("spec", slog.Any("spec", s))
	fmt.Fprintf(&text, "%v %+v %#v", s, s, b.create(t, acme, s))
	if strings.Contains(text.String(), "s3cret") {
		t.Errorf("got %s", text.String())
	}
}
