package registry_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/registry"
)

func plugins(t *testing.T) *testBundle {
	t.Helper()
	b := setup(t, nil)
	b.add(t, "operator", "orders", []string{"*"}, "1.9.0", "1.10.0", "2.0.0-rc.1", "1.11.0 yanked", "1.2.0")
	b.add(t, "operator", "beta", []string{"*"}, "0.1.0-alpha.2", "0.1.0-alpha.10")
	b.add(t, "operator", "gone", []string{"*"}, "1.0.0 yanked")
	b.add(t, "acme", "crm", []string{"ten_2"}, "1.0.0")
	b.add(t, "ten-1", "crm", []string{}, "3.0.0")
	return b
}

func TestResolve(t *testing.T) {
	t.Parallel()
	b := plugins(t)
	tenant := func(id string) registry.Viewer { return registry.Viewer{Tenant: id} }
	tests := []struct {
		name   string
		viewer registry.Viewer
		ref    string
		want   string // The version's id without plv_, or the error's code.
	}{
		{"the newest release by semver", operator, "orders", "operator.orders.1.10.0"},
		{"a pre-release where there is nothing else", operator, "beta", "operator.beta.0.1.0-alpha.10"},
		{"an exact version", operator, "orders@1.2.0", "operator.orders.1.2.0"},
		{"an exact pre-release", operator, "orders@2.0.0-rc.1", "operator.orders.2.0.0-rc.1"},
		{"a yanked version by its exact name", operator, "orders@1.11.0", "operator.orders.1.11.0"},
		{"a publisher's", operator, "acme/crm", "acme.crm.1.0.0"},
		{"a publisher's exact version", operator, "ten-1/crm@3.0.0", "ten-1.crm.3.0.0"},
		{"a version's id", operator, "plv_acme.crm.1.0.0", "acme.crm.1.0.0"},
		{"a plugin's id", operator, "plg_operator.orders", "operator.orders.1.10.0"},
		{"a plugin's id and a version", operator, "plg_operator.orders@1.2.0", "operator.orders.1.2.0"},
		{"a plugin's id and a version's", operator, "plg_operator.orders@plv_operator.orders.1.2.0", "operator.orders.1.2.0"},
		{"a name of two publishers", operator, "crm", registry.CodeAmbiguous},
		{"the one that is shared with a tenant", tenant("ten_2"), "crm", "acme.crm.1.0.0"},
		{"a tenant's own", tenant("ten_1"), "crm", "ten-1.crm.3.0.0"},
		{"nothing of another tenant's", tenant("ten_2"), "ten-1/crm", registry.CodeNotFound},
		{"nothing of another tenant's by id", tenant("ten_2"), "plv_ten-1.crm.3.0.0", registry.CodeNotFound},
		{"nothing", operator, "nothing", registry.CodeNotFound},
		{"no such version", operator, "orders@9.9.9", registry.CodeNotFound},
		{"every version yanked", operator, "gone", registry.CodeYanked},
		{"no name", operator, "", registry.CodeInvalidRequest},
		{"no name but a version", operator, "@1.0.0", registry.CodeInvalidRequest},
		{"no plugin", operator, "acme/", registry.CodeInvalidRequest},
		{"no publisher", operator, "/crm", registry.CodeInvalidRequest},
		{"a path", operator, "a/b/c", registry.CodeInvalidRequest},
		{"spaces", operator, "two words", registry.CodeInvalidRequest},
		{"a NUL", operator, "a\x00", registry.CodeInvalidRequest},
		{"bytes that are no text", operator, "a\xff", registry.CodeInvalidRequest},
		{"a long name", operator, strings.Repeat("a", 257), registry.CodeInvalidRequest},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v, err := b.Resolve(t.Context(), tt.viewer, tt.ref)
			got := strings.TrimPrefix(v.ID, "plv_")
			if refused, ok := errors.AsType[*registry.Error](err); ok {
				got = refused.Code
			} else if err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("got %s (%v), want %s", got, err, tt.want)
			}
		})
	}
}

func TestResolveSaysWhatThereIs(t *testing.T) {
	t.Parallel()
	_, err := plugins(t).Resolve(t.Context(), operator, "orders@9.9.9")
	checkError(t, err, &registry.Error{
		Code: registry.CodeNotFound, Message: `the plugin "orders" has no version "9.9.9"`,
		Hint: "It has 2.0.0-rc.1 (beta), 1.11.0 (yanked), 1.10.0, 1.9.0, 1.2.0.",
	})
}

func TestPluginListsVersionsNewestFirst(t *testing.T) {
	t.Parallel()
	p, versions, err := plugins(t).Plugin(t.Context(), operator, "orders")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range versions {
		got = append(got, v.Version)
	}
	if want := "2.0.0-rc.1 1.11.0 1.10.0 1.9.0 1.2.0"; p.Name != "orders" || strings.Join(got, " ") != want {
		t.Errorf("got %s %v, want %s", p.Name, got, want)
	}
}

func TestYank(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		viewer registry.Viewer
		ref    string
		why    string
		code   string
	}{
		{"the operator yanks anything", operator, "acme/crm@1.0.0", "broken", ""},
		{"by id", operator, "plv_acme.crm.1.0.0", "", ""},
		{"a tenant yanks its own", registry.Viewer{Tenant: "ten_1"}, "crm@3.0.0", "", ""},
		{"but not what is shared with it", registry.Viewer{Tenant: "ten_2"}, "crm@1.0.0", "", registry.CodeDenied},
		{"nor what it does not see", registry.Viewer{Tenant: "ten_3"}, "ten-1/crm@3.0.0", "", registry.CodeNotFound},
		{"not the newest by accident", operator, "orders", "", registry.CodeInvalidRequest},
		{"a reason has an end", operator, "orders@1.9.0", strings.Repeat("x", 1001), registry.CodeInvalidRequest},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := plugins(t)
			v, err := b.Yank(t.Context(), tt.viewer, tt.ref, tt.why)
			if tt.code != "" {
				var refused *registry.Error
				if !errors.As(err, &refused) || refused.Code != tt.code {
					t.Errorf("got %v, want %s", err, tt.code)
				}
				return
			}
			if err != nil || v.YankedAt.IsZero() || v.YankedWhy != tt.why {
				t.Fatalf("got %+v, %v", v, err)
			}
			again, err := b.Resolve(t.Context(), operator, v.ID)
			if err != nil || !again.YankedAt.Equal(v.YankedAt) {
				t.Errorf("got %v, %v, want it kept", again.YankedAt, err)
			}
		})
	}
}

func TestYankTwiceKeepsTheFirst(t *testing.T) {
	t.Parallel()
	v, err := plugins(t).Yank(t.Context(), operator, "orders@1.11.0", "another reason")
	if err != nil || v.YankedWhy != "it leaks" {
		t.Errorf("got %q, %v, want the first reason", v.YankedWhy, err)
	}
}

func TestShare(t *testing.T) {
	t.Parallel()
	own := registry.Viewer{Tenant: "ten_1"}
	tests := []struct {
		name    string
		viewer  registry.Viewer
		tenants []string
		code    string
	}{
		{"the operator with everyone", operator, []string{"*"}, ""},
		{"its tenant with another", own, []string{"ten_2"}, ""},
		{"its tenant not with everyone", own, []string{"*"}, registry.CodeDenied},
		{"nobody else's", registry.Viewer{Tenant: "ten_2"}, []string{"ten_2"}, registry.CodeNotFound},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := plugins(t)
			_, err := b.Share(t.Context(), tt.viewer, "ten-1/crm", tt.tenants)
			_, seen := b.Resolve(t.Context(), registry.Viewer{Tenant: "ten_2"}, "ten-1/crm")
			if tt.code != "" {
				var refused *registry.Error
				if !errors.As(err, &refused) || refused.Code != tt.code || seen == nil {
					t.Errorf("got %v, want %s; ten_2 sees it: %v", err, tt.code, seen == nil)
				}
				return
			}
			if err != nil || seen != nil {
				t.Errorf("got %v; ten_2: %v", err, seen)
			}
		})
	}
}

func TestPublisherOf(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	first, err := b.PublisherOf(t.Context(), registry.Viewer{Tenant: "ten_01J9ZK"})
	if err != nil || first.Name != "ten-01j9zk" || first.Kind != registry.TenantOwned || first.Tenant != "ten_01J9ZK" {
		t.Fatalf("got %+v, %v", first, err)
	}
	again, err := b.PublisherOf(t.Context(), registry.Viewer{Tenant: "ten_01J9ZK"})
	if err != nil || again.ID != first.ID {
		t.Errorf("got %s, %v, want %s", again.ID, err, first.ID)
	}
	if p, err := b.PublisherOf(t.Context(), operator); err != nil || p.Name != "operator" {
		t.Errorf("got %+v, %v, want the operator", p, err)
	}
	_, err = b.PublisherOf(t.Context(), registry.Viewer{})
	checkError(t, err, &registry.Error{Code: registry.CodeDenied})
	if _, err := b.AddPublisher(t.Context(), "ten-2", registry.Vendor, ""); err != nil {
		t.Fatal(err)
	}
	_, err = b.PublisherOf(t.Context(), registry.Viewer{Tenant: "ten_2"})
	checkError(t, err, &registry.Error{Code: registry.CodeDenied, Message: `"ten-2" is taken by somebody else`})
}

func TestAddPublisherRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, publisher string
		kind            registry.PublisherKind
		tenant, where   string
	}{
		{"a name", "Acme Inc", registry.Vendor, "", "name"},
		{"a kind", "acme2", "friend", "", "kind"},
		{"a tenant's without a tenant", "acme2", registry.TenantOwned, "", "tenant"},
		{"a vendor's with a tenant", "acme2", registry.Vendor, "ten_1", "tenant"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := setup(t, nil).AddPublisher(t.Context(), tt.publisher, tt.kind, tt.tenant)
			checkError(t, err, &registry.Error{Code: registry.CodeInvalidRequest, Where: tt.where})
		})
	}
}

func FuzzResolve(f *testing.F) {
	for _, ref := range []string{"orders", "orders@1.2.0", "acme/crm@1.0.0", "plv_x", "plg_x@", "//@@", "a/b@c@d"} {
		f.Add(ref)
	}
	store := &memory{blobs: map[string][]byte{}}
	r := registry.New(registry.Config{Store: store, Publishers: store, Blobs: store})
	f.Fuzz(func(t *testing.T, ref string) {
		_, err := r.Resolve(t.Context(), operator, ref)
		if _, ok := errors.AsType[*registry.Error](err); !ok {
			t.Errorf("got %v from an empty registry, want an Error", err)
		}
	})
}
