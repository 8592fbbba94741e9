package registry_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/channel"
)

// shop is a connector that asks for hosts.
func shop(version string, hosts ...string) []byte {
	var egress []string
	for _, h := range hosts {
		egress = append(egress, `{"host":"`+h+`","methods":["GET"]}`)
	}
	return typed(`{"name":"shop","version":"` + version + `","egress":[` + strings.Join(egress, ",") + `]}`)
}

// published publishes as a publisher, in a channel, or the version's own.
func (b *testBundle) published(t *testing.T, publisher string, wasm []byte, c channel.Channel) registry.Version {
	t.Helper()
	u := upload(wasm)
	u.Channel = c
	v, err := b.Publish(t.Context(), publisher, u)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAVersionIsComparedWithTheOneBelowIt(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	if v := b.published(t, "acme", shop("1.0.0", "a.example"), ""); v.Changes != nil {
		t.Errorf("the first: got %+v, want nothing to compare it with", v.Changes)
	}
	b.published(t, "operator", shop("1.5.0", "x.example"), "") // Another publisher's.
	second := b.published(t, "acme", shop("2.0.0", "a.example", "b.example"), "")
	if second.Changes == nil || second.Changes.From != "1.0.0" || len(second.Changes.Asks()) != 1 || second.Changes.Asks()[0].Name != "b.example" {
		t.Fatalf("got %+v, want b.example asked for since 1.0.0", second.Changes)
	}
	if _, err := b.Yank(t.Context(), operator, "acme/shop@2.0.0", "broken"); err != nil {
		t.Fatal(err)
	}
	// A version between them, and one after what was yanked.
	if v := b.published(t, "acme", shop("1.1.0", "c.example"), ""); v.Changes.From != "1.0.0" {
		t.Errorf("1.1.0 is compared with %s", v.Changes.From)
	}
	if v := b.published(t, "acme", shop("3.0.0", "c.example"), ""); v.Changes.From != "1.1.0" || len(v.Changes.Asks()) != 0 {
		t.Errorf("3.0.0 is compared with %s, not the newest that was not yanked: %v", v.Changes.From, v.Changes)
	}
	d, err := b.Compare(t.Context(), operator, "acme/shop@3.0.0", "1.0.0")
	if err != nil || d.From != "1.0.0" || len(d.Asks()) != 1 {
		t.Errorf("got %v, %v, want c.example asked for since 1.0.0", d, err)
	}
	if d, err := b.Compare(t.Context(), operator, "acme/shop@2.0.0", ""); err != nil || !cmp.Equal(d, second.Changes) {
		t.Errorf("got %v, %v, want what was found when it was published", d, err)
	}
	for _, ref := range []string{"acme/shop@9.0.0", "acme/none"} {
		if _, err := b.Compare(t.Context(), operator, ref, "1.0.0"); err == nil {
			t.Errorf("%s: got no error", ref)
		}
	}
	if _, err := b.Compare(t.Context(), operator, "acme/shop@3.0.0", "9.0.0"); err == nil {
		t.Error("against a version that is not there: got no error")
	}
}

func TestChannels(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.published(t, "operator", shop("1.0.0"), "")
	b.published(t, "operator", shop("1.1.0"), channel.Beta)
	b.published(t, "operator", shop("2.0.0-rc.1"), "")
	offers := func(want map[string]string) {
		t.Helper()
		for ref, version := range want {
			if v, err := b.Resolve(t.Context(), operator, ref); err != nil || v.Version != version {
				t.Errorf("%s: got %s, %v, want %s", ref, v.Version, err, version)
			}
		}
	}
	offers(map[string]string{"shop": "1.0.0", "shop@stable": "1.0.0", "shop@beta": "2.0.0-rc.1"})
	if v, err := b.Promote(t.Context(), operator, "shop@1.1.0", channel.Stable); err != nil || v.Channel != channel.Stable {
		t.Fatalf("got %s, %v", v.Channel, err)
	}
	offers(map[string]string{"shop": "1.1.0", "shop@stable": "1.1.0", "shop@beta": "2.0.0-rc.1"})
	for _, yanked := range []string{"shop@1.1.0", "shop@2.0.0-rc.1"} {
		if _, err := b.Yank(t.Context(), operator, yanked, "broken"); err != nil {
			t.Fatal(err)
		}
	}
	offers(map[string]string{"shop": "1.0.0", "shop@stable": "1.0.0", "shop@beta": "1.0.0"})

	b.published(t, "operator", typed(`{"name":"early","version":"0.1.0-a"}`), "")
	offers(map[string]string{"early": "0.1.0-a", "early@beta": "0.1.0-a"})
	_, err := b.Resolve(t.Context(), operator, "early@stable")
	checkError(t, err, &registry.Error{
		Code: registry.CodeNotFound, Message: `the plugin "early" has nothing in the channel stable`, Hint: "It has 0.1.0-a (beta).",
	})
}

func TestWhatCannotBePromoted(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.published(t, "operator", shop("1.0.0"), "")
	b.published(t, "operator", shop("2.0.0-rc.1"), "")
	b.published(t, "operator", shop("1.1.0"), channel.Beta)
	if _, err := b.Yank(t.Context(), operator, "shop@1.1.0", "broken"); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		viewer   registry.Viewer
		ref      string
		to       channel.Channel
		code     string
		contains string
	}{
		"a pre-release":             {operator, "shop@2.0.0-rc.1", channel.Stable, registry.CodeInvalidRequest, "is a pre-release"},
		"back":                      {operator, "shop@1.0.0", channel.Beta, registry.CodeInvalidRequest, "is in the channel stable"},
		"what was yanked":           {operator, "shop@1.1.0", channel.Stable, registry.CodeYanked, "was yanked"},
		"to a channel of one's own": {operator, "shop@1.0.0", "nightly", registry.CodeInvalidRequest, `"nightly" is not a channel`},
		"no version":                {operator, "shop", channel.Stable, registry.CodeInvalidRequest, "which version"},
		"somebody else's":           {registry.Viewer{Tenant: "ten_1"}, "shop@1.0.0", channel.Stable, registry.CodeDenied, "another publisher"},
		"what is not there":         {operator, "shop@7.0.0", channel.Stable, registry.CodeNotFound, "no version"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := b.Promote(t.Context(), tt.viewer, tt.ref, tt.to)
			checkCode(t, err, tt.code, tt.contains)
		})
	}
	if v, err := b.Promote(t.Context(), operator, "shop@1.0.0", channel.Stable); err != nil || v.Channel != channel.Stable {
		t.Errorf("to where it is: got %s, %v", v.Channel, err)
	}
	u := upload(shop("3.0.0-rc.1"))
	u.Channel = channel.Stable
	_, err := b.Publish(t.Context(), "operator", u)
	checkCode(t, err, registry.CodeInvalidRequest, "is a pre-release")
	u = upload(shop("3.0.0"))
	u.Channel = "nightly"
	_, err = b.Publish(t.Context(), "operator", u)
	checkCode(t, err, registry.CodeInvalidRequest, `"nightly" is not a channel`)
}

func TestWhatIsDeprecatedIsOfferedAllTheSame(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.published(t, "ten-1", shop("1.0.0"), "")
	tenant := registry.Viewer{Tenant: "ten_1"}
	deprecated := func(version, plugin string) {
		t.Helper()
		p, versions, err := b.Plugin(t.Context(), tenant, "shop")
		if err != nil || p.DeprecatedWhy != plugin || p.DeprecatedAt.IsZero() != (plugin == "") && plugin != "" {
			t.Errorf("the plugin: got %q, %v, want %q", p.DeprecatedWhy, err, plugin)
		}
		if v, err := b.Resolve(t.Context(), tenant, "shop"); err != nil || v.DeprecatedWhy != version || versions[0].DeprecatedWhy != version {
			t.Errorf("the version: got %q, %v, want %q", v.DeprecatedWhy, err, version)
		}
	}
	for _, step := range []struct{ ref, why, version, plugin string }{
		{"shop@1.0.0", "use 2.0.0", "use 2.0.0", ""},
		{"shop", "use store", "use 2.0.0", "use store"},
		{"shop@1.0.0", "", "", "use store"},
		{"shop", "", "", ""},
	} {
		if err := b.Deprecate(t.Context(), tenant, step.ref, step.why); err != nil {
			t.Fatal(err)
		}
		deprecated(step.version, step.plugin)
	}
	checkCode(t, b.Deprecate(t.Context(), registry.Viewer{Tenant: "ten_2"}, "ten-1/shop", "mine"), registry.CodeNotFound, "")
	checkCode(t, b.Deprecate(t.Context(), tenant, "shop", strings.Repeat("x", 1001)), registry.CodeInvalidRequest, "at most 1000 bytes")
	checkCode(t, b.Deprecate(t.Context(), tenant, "shop@2.0.0", "x"), registry.CodeNotFound, "")
}
