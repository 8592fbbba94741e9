package destination_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/destination"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
)

const acme = "ten_01J00000000000000000000000"

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

type bundle struct {
	*destination.Destinations

	now     time.Time
	checked []string
	refuses error
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{now: noon}
	now := func() time.Time { return b.now }
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Options{Now: now})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	_, _, err = s.Migrate(t.Context())
	must(t, err)
	must(t, s.InsertTenant(t.Context(), tenant.Tenant{ID: acme, Name: "acme", Limits: tenant.Limits{Running: 1, Weight: 1}, State: tenant.Active, CreatedAt: noon}))
	keeper, err := keyfile.Ephemeral()
	must(t, err)
	b.Destinations = destination.New(destination.Config{
		Store: s, Vault: vault.Configured(vault.Config{Store: s, Keeper: keeper, Logger: slog.New(slog.DiscardHandler)}), Now: now,
		Check: func(_ context.Context, url string) error {
			b.checked = append(b.checked, url)
			return b.refuses
		},
	})
	return b
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (b *bundle) create(t *testing.T, spec destination.Spec) (destination.Destination, string) {
	t.Helper()
	d, secret, err := b.Create(t.Context(), acme, spec)
	must(t, err)
	return d, secret
}

func TestWhatADestinationWants(t *testing.T) {
	t.Parallel()
	for kinds, want := range map[string][]string{
		"*":                         {"record.order", "record.order.paid", "execution.dead", "tenant.digest"},
		"record.*":                  {"record.order", "record.order.paid"},
		"record.order":              {"record.order"},
		"execution.dead,tenant.*":   {"execution.dead", "tenant.digest"},
		"connection.*,records.*":    nil,
		"record.ord,execution.dea":  nil,
		"execution.*,record.order,": {"record.order", "execution.dead"},
	} {
		d := destination.Destination{Kinds: strings.Split(kinds, ",")}
		var got []string
		for _, kind := range []string{"record.order", "record.order.paid", "execution.dead", "tenant.digest"} {
			if d.Wants(kind) {
				got = append(got, kind)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", kinds, diff)
		}
	}
}

func TestDestinationsThatAreNone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	all := []string{"*"}
	for name, tt := range map[string]struct {
		spec destination.Spec
		code string
	}{
		"no URL":            {destination.Spec{Kinds: all}, "url_invalid"},
		"another scheme":    {destination.Spec{URL: "ftp://a.example", Kinds: all}, "url_invalid"},
		"a user":            {destination.Spec{URL: "https://me@a.example", Kinds: all}, "url_invalid"},
		"a fragment":        {destination.Spec{URL: "https://a.example/#x", Kinds: all}, "url_invalid"},
		"too long":          {destination.Spec{URL: "https://a.example/" + strings.Repeat("x", 2048), Kinds: all}, "url_invalid"},
		"no kinds":          {destination.Spec{URL: "https://a.example"}, "kinds_invalid"},
		"too many":          {destination.Spec{URL: "https://a.example", Kinds: slices.Repeat(all, 101)}, "kinds_invalid"},
		"half a kind":       {destination.Spec{URL: "https://a.example", Kinds: []string{"record."}}, "kinds_invalid"},
		"a star in between": {destination.Spec{URL: "https://a.example", Kinds: []string{"record.*.x"}}, "kinds_invalid"},
		"a star after more": {destination.Spec{URL: "https://a.example", Kinds: []string{"record.ord*"}}, "kinds_invalid"},
		"a name with space": {destination.Spec{URL: "https://a.example", Kinds: all, Name: "a b"}, "name_invalid"},
		"a name like an id": {destination.Spec{URL: "https://a.example", Kinds: all, Name: "dst_1"}, "name_invalid"},
		"a short secret":    {destination.Spec{URL: "https://a.example", Kinds: all, Secret: "whsec_AAAA"}, ""},
	} {
		_, _, err := b.Create(t.Context(), acme, tt.spec)
		if f, ok := errors.AsType[*fault.Error](err); !ok || tt.code != "" && f.Code != tt.code {
			t.Errorf("%s: got %v, want %s", name, err, tt.code)
		}
	}
	b.refuses = fault.New(fault.Denied, "url_refused", "no")
	if _, _, err := b.Create(t.Context(), acme, destination.Spec{URL: "https://a.example", Kinds: all}); !errors.Is(err, b.refuses) {
		t.Errorf("got %v", err)
	}
}

func TestTheURLIsCheckedWhenItChanges(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d, _ := b.create(t, destination.Spec{URL: "https://a.example/x", Kinds: []string{"*"}})
	if d.Name != "a.example" || d.State != destination.Active {
		t.Errorf("got %+v", d)
	}
	b.refuses = fault.New(fault.Denied, "url_refused", "it leads elsewhere now")
	off, url := true, "https://b.example"
	_, err := b.Update(t.Context(), acme, d.ID, destination.Change{Disabled: &off})
	must(t, err) // Nobody is kept from switching it off.
	if _, err := b.Update(t.Context(), acme, d.ID, destination.Change{URL: &url}); !errors.Is(err, b.refuses) {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff([]string{"https://a.example/x", url}, b.checked); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSecretsOverlap(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d, first := b.create(t, destination.Spec{URL: "https://a.example", Kinds: []string{"*"}})
	secrets := func() []string {
		o, err := b.Open(t.Context(), acme, d.ID)
		must(t, err)
		return o.Secrets(b.now)
	}
	want := func(want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, secrets()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	_, second, err := b.Rotate(t.Context(), acme, d.ID, "", time.Hour)
	must(t, err)
	want(second, first)
	_, third, err := b.Rotate(t.Context(), acme, d.ID, "", 2*time.Hour)
	must(t, err)
	want(third, second, first)
	b.now = b.now.Add(time.Hour) // That of the first, which a later rotation does not extend.
	want(third, second)
	_, fourth, err := b.Rotate(t.Context(), acme, d.ID, "", 0)
	must(t, err)
	want(fourth)
	for _, keep := range []time.Duration{-1, 31 * 24 * time.Hour} {
		if _, _, err := b.Rotate(t.Context(), acme, d.ID, "", keep); err == nil {
			t.Errorf("a secret is kept for %s", keep)
		}
	}
}
