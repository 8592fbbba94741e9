package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/channel"
	"github.com/cofferdam-run/cofferdam/registry/diff"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/registry/provenance"
	"github.com/cofferdam-run/cofferdam/registry/signature"
)

// shelf is a registry with what tests publish.
type shelf struct {
	*bundle
}

func (s shelf) publisher(name, tenant string) registry.Publisher {
	kind := registry.Vendor
	if tenant != "" {
		kind = registry.TenantOwned
	}
	return registry.Publisher{ID: "pub_" + name, Name: name, Kind: kind, Tenant: tenant, CreatedAt: s.clock.now()}
}

// publish publishes bytes under a fresh id.
func (s shelf) publish(t testing.TB, p registry.Publisher, name, version, wasm string) (registry.Version, error) {
	t.Helper()
	now := s.clock.now()
	return s.InsertVersion(t.Context(), p,
		registry.Plugin{ID: ident.New(ident.Plugin, now), Publisher: p.ID, Name: name, CreatedAt: now},
		registry.Version{
			ID: ident.New(ident.PluginVersion, now), Name: name, Version: version, Digest: "sha256:" + wasm, Size: int64(len(wasm)),
			Channel: channel.Of(version), Manifest: manifest.Manifest{Name: name, Version: version, Level: 1}, CreatedAt: now,
		}, []byte(wasm))
}

func testRegistry(t *testing.T, open Open) {
	for name, test := range map[string]func(*testing.T, shelf){
		"a version never changes":                   versionNeverChanges,
		"concurrent uploads of a version keep one":  concurrentUploads,
		"nobody publishes under another's name":     publishersOwnTheirNames,
		"a tenant sees what is its own or shared":   visibility,
		"a name of several publishers must be told": ambiguousNames,
		"a shared plugin takes nobody's name":       nearestNames,
		"a yanked version stays":                    yank,
		"what a version came with stays with it":    cameWith,
		"a signature can be brought in later":       signedLater,
		"channels and deprecations can be changed":  changedLater,
		"keys are their publisher's":                publisherKeys,
		"a version in use is counted":               pinned,
		"publishers are found by id and name":       publishers,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, shelf{setup(t, open)})
		})
	}
}

func versionNeverChanges(t *testing.T, s shelf) {
	p := s.publisher("vendor", "")
	v, err := s.publish(t, p, "hello", "0.1.0", "bytes")
	must(t, err)
	same, err := s.publish(t, p, "hello", "0.1.0", "bytes")
	must(t, err)
	equal(t, v, same)
	_, err = s.publish(t, p, "hello", "0.1.0", "other bytes")
	wantRegistry(t, err, registry.CodeVersionExists)

	s.clock.advance(time.Second)
	second, err := s.publish(t, p, "hello", "0.2.0", "bytes")
	must(t, err)
	if second.Plugin != v.Plugin {
		t.Errorf("got plugin %s for the second version, want %s", second.Plugin, v.Plugin)
	}
	_, versions, err := s.Versions(t.Context(), registry.Viewer{Operator: true}, "hello")
	must(t, err)
	equal(t, []registry.Version{second, v}, versions)
	blob, err := s.Blob(t.Context(), v.Digest)
	must(t, err)
	equal(t, "bytes", string(blob))
	_, err = s.Blob(t.Context(), "sha256:none")
	wantRegistry(t, err, registry.CodeNotFound)
}

func concurrentUploads(t *testing.T, s shelf) {
	p := s.publisher("vendor", "")
	got := make([]registry.Version, 8)
	together(len(got), func(i int) {
		v, err := s.publish(t, p, "hello", "0.1.0", "bytes")
		if err != nil {
			t.Error(err)
		}
		got[i] = v
	})
	for _, v := range got {
		equal(t, got[0], v)
	}
}

func publishersOwnTheirNames(t *testing.T, s shelf) {
	_, err := s.publish(t, s.publisher("vendor", ""), "hello", "0.1.0", "bytes")
	must(t, err)
	thief := s.publisher("vendor", s.acme.tenant)
	thief.ID = "pub_thief"
	_, err = s.publish(t, thief, "hello", "0.2.0", "evil")
	wantFault(t, err, fault.Conflict, "publisher_exists")
	_, versions, err := s.Versions(t.Context(), registry.Viewer{Operator: true}, "vendor/hello")
	must(t, err)
	equal(t, 1, len(versions))
	if _, err := s.Blob(t.Context(), "sha256:evil"); err == nil {
		t.Error("the refused bytes were stored")
	}
}

func visibility(t *testing.T, s shelf) {
	ctx := t.Context()
	for name, tt := range map[string]struct {
		owner  string
		shared []string
		sees   map[string]bool
	}{
		"own":      {s.acme.tenant, nil, map[string]bool{s.acme.tenant: true}},
		"private":  {"", nil, nil},
		"shared":   {"", []string{s.other.tenant, s.other.tenant}, map[string]bool{s.other.tenant: true}},
		"everyone": {"", []string{"*"}, map[string]bool{s.acme.tenant: true, s.other.tenant: true}},
	} {
		v, err := s.publish(t, s.publisher(name, tt.owner), name, "0.1.0", name)
		must(t, err)
		must(t, s.Share(ctx, v.Plugin, tt.shared))
		for _, viewer := range []registry.Viewer{{Operator: true}, {Tenant: s.acme.tenant}, {Tenant: s.other.tenant}, {}} {
			want := viewer.Operator || tt.sees[viewer.Tenant]
			s.wantVisible(t, viewer, v, want)
		}
	}
	all, err := s.Plugins(ctx, registry.Viewer{Operator: true})
	must(t, err)
	equal(t, 4, len(all))
	wantRegistry(t, s.Share(ctx, "plg_none", []string{"*"}), registry.CodeNotFound)
}

// wantVisible looks for a version in every way that there is.
func (s shelf) wantVisible(t testing.TB, viewer registry.Viewer, v registry.Version, want bool) {
	t.Helper()
	_, byID := s.Version(t.Context(), viewer, v.ID)
	_, _, byName := s.Versions(t.Context(), viewer, v.Name)
	_, _, byPlugin := s.Versions(t.Context(), viewer, v.Plugin)
	_, _, byBoth := s.Versions(t.Context(), viewer, v.Name+"/"+v.Name)
	for how, err := range map[string]error{"id": byID, "name": byName, "plugin id": byPlugin, "publisher/name": byBoth} {
		if got := err == nil; got != want {
			t.Errorf("%+v sees %s by %s: got %t (%v), want %t", viewer, v.Name, how, got, err, want)
		}
		if err != nil {
			wantRegistry(t, err, registry.CodeNotFound)
		}
	}
	listed := false
	plugins, err := s.Plugins(t.Context(), viewer)
	must(t, err)
	for _, p := range plugins {
		listed = listed || p.ID == v.Plugin
	}
	if listed != want {
		t.Errorf("%+v has %s in the list: got %t, want %t", viewer, v.Name, listed, want)
	}
}

func ambiguousNames(t *testing.T, s shelf) {
	ctx, operator := t.Context(), registry.Viewer{Operator: true}
	for i, p := range []registry.Publisher{s.publisher("one", ""), s.publisher("two", s.acme.tenant)} {
		_, err := s.publish(t, p, "hello", "0.1.0", fmt.Sprint(i))
		must(t, err)
	}
	_, _, err := s.Versions(ctx, operator, "hello")
	wantRegistry(t, err, registry.CodeAmbiguous)
	_, versions, err := s.Versions(ctx, operator, "two/hello")
	must(t, err)
	equal(t, "sha256:1", versions[0].Digest)
	// What a viewer does not see is not in its way.
	_, versions, err = s.Versions(ctx, registry.Viewer{Tenant: s.acme.tenant}, "hello")
	must(t, err)
	equal(t, "sha256:1", versions[0].Digest)
}

func nearestNames(t *testing.T, s shelf) {
	ctx, everyone := t.Context(), []string{"*"}
	house := s.publisher("house", "")
	house.Kind = registry.Operator
	// From what has the least claim on the name to what has the most.
	for _, p := range []registry.Publisher{s.publisher("one", ""), s.publisher("theirs", s.other.tenant), house, s.publisher("own", s.acme.tenant)} {
		v, err := s.publish(t, p, "hello", "0.1.0", p.Name)
		must(t, err)
		must(t, s.Share(ctx, v.Plugin, everyone))
		if p.Name == "theirs" {
			_, _, err := s.Versions(ctx, registry.Viewer{Tenant: s.acme.tenant}, "hello")
			wantRegistry(t, err, registry.CodeAmbiguous)
		}
		if p.Name == "house" {
			s.wantNearest(t, registry.Viewer{Tenant: s.acme.tenant}, "house")
		}
	}
	s.wantNearest(t, registry.Viewer{Tenant: s.acme.tenant}, "own")
	s.wantNearest(t, registry.Viewer{Tenant: s.other.tenant}, "theirs")
	s.wantNearest(t, registry.Viewer{Operator: true}, "house")
	_, versions, err := s.Versions(ctx, registry.Viewer{Tenant: s.acme.tenant}, "theirs/hello")
	must(t, err)
	equal(t, "sha256:theirs", versions[0].Digest)
}

// wantNearest asks whose plugin a viewer means by the name "hello".
func (s shelf) wantNearest(t testing.TB, viewer registry.Viewer, publisher string) {
	t.Helper()
	p, versions, err := s.Versions(t.Context(), viewer, "hello")
	must(t, err)
	equal(t, "pub_"+publisher, p.Publisher)
	equal(t, 1, len(versions))
	equal(t, "sha256:"+publisher, versions[0].Digest)
}

func yank(t *testing.T, s shelf) {
	ctx := t.Context()
	v, err := s.publish(t, s.publisher("vendor", ""), "hello", "0.1.0", "bytes")
	must(t, err)
	at := s.clock.now()
	must(t, s.Yank(ctx, v.ID, "broken", at))
	must(t, s.Yank(ctx, v.ID, "again", at.Add(time.Hour)))
	got, err := s.Version(ctx, registry.Viewer{Operator: true}, v.ID)
	must(t, err)
	v.YankedAt, v.YankedWhy = at, "broken"
	equal(t, v, got)
	if _, err := s.Blob(ctx, v.Digest); err != nil {
		t.Errorf("the bytes of a yanked version are gone: %v", err)
	}
	wantRegistry(t, s.Yank(ctx, "plv_none", "", at), registry.CodeNotFound)
}

func pinned(t *testing.T, s shelf) {
	c := s.running(t, s.acme)
	must(t, s.Begin(t.Context(), c, begins("plv_1")))
	wantPinned(t, s.Store, "plv_1", 2, 1)
	must(t, s.Complete(t.Context(), success(c)))
	wantPinned(t, s.Store, "plv_1", 2, 0)
	i, err := s.Installation(t.Context(), s.acme.tenant, s.acme.installation)
	must(t, err)
	i.State = "removed"
	must(t, s.UpdateInstallation(t.Context(), i, i.UpdatedAt))
	wantPinned(t, s.Store, "plv_1", 1, 0)
	wantPinned(t, s.Store, "plv_none", 0, 0)
}

func wantPinned(t testing.TB, s store.Store, version string, installations, executions int) {
	t.Helper()
	i, e, err := s.Pinned(t.Context(), version)
	must(t, err)
	if i != installations || e != executions {
		t.Errorf("%s: got %d installations and %d executions, want %d and %d", version, i, e, installations, executions)
	}
}

func publishers(t *testing.T, s shelf) {
	ctx := t.Context()
	p := s.publisher("vendor", "")
	must(t, s.InsertPublisher(ctx, p))
	for _, key := range []string{p.ID, p.Name} {
		got, err := s.Publisher(ctx, key)
		must(t, err)
		equal(t, p, got)
	}
	twin := p
	twin.ID = "pub_twin"
	wantFault(t, s.InsertPublisher(ctx, twin), fault.Conflict, "publisher_exists")
	_, err := s.Publisher(ctx, "nobody")
	wantRegistry(t, err, registry.CodeNotFound)
	all, err := s.Publishers(ctx)
	must(t, err)
	equal(t, []registry.Publisher{p}, all)
}

func wantRegistry(t testing.TB, err error, code string) {
	t.Helper()
	var e *registry.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("got error %v, want a registry error %s", err, code)
	}
}

// signedBy is somebody's word for a version; the store takes it as it is.
func (s shelf) signedBy(key, version string) *signature.Signature {
	return &signature.Signature{
		Statement: signature.Statement{Name: "hello", Version: version, Digest: "sha256:bytes", SignedAt: s.clock.now()},
		Key:       key, Value: []byte{1, 2, 3},
	}
}

// detailed is a version with all that there is to store of one.
func (s shelf) detailed(v registry.Version) registry.Version {
	v.Channel = channel.Beta
	d := diff.Between(manifest.Manifest{Version: "0.0.1"}, manifest.Manifest{Version: v.Version, Functions: []string{"f"}})
	v.Changes = &d
	v.Build = &provenance.Build{Language: "go", Revision: "ab", Engine: &provenance.Engine{Name: "e"}}
	v.Signature = s.signedBy("key_1", v.Version)
	return v
}

func cameWith(t *testing.T, s shelf) {
	ctx, p := t.Context(), s.publisher("vendor", "")
	pl := registry.Plugin{ID: "plg_1", Publisher: p.ID, Name: "hello", CreatedAt: s.clock.now()}
	want := s.detailed(registry.Version{
		ID: "plv_new", Plugin: pl.ID, Name: "hello", Version: "0.1.0", Digest: "sha256:bytes", Size: 5,
		Manifest: manifest.Manifest{Name: "hello", Version: "0.1.0", Level: 1}, CreatedAt: s.clock.now(),
	})
	got, err := s.InsertVersion(ctx, p, pl, want, []byte("bytes"))
	must(t, err)
	equal(t, want, got)
	must(t, s.InsertPublisherKey(ctx, signature.Key{ID: "key_1", Publisher: p.ID, CreatedAt: s.clock.now()}))
	must(t, s.RevokePublisherKey(ctx, p.ID, "key_1", s.clock.now()))
	want.SignerRevokedAt = s.clock.now()
	got, err = s.Version(ctx, registry.Viewer{Operator: true}, "plv_new")
	must(t, err)
	equal(t, want, got)
	_, all, err := s.Versions(ctx, registry.Viewer{Operator: true}, "pub_vendor/hello")
	must(t, err)
	equal(t, []registry.Version{want}, all)
}

func signedLater(t *testing.T, s shelf) {
	ctx, p := t.Context(), s.publisher("vendor", "")
	unsigned, err := s.publish(t, p, "hello", "0.1.0", "bytes")
	must(t, err)
	pl := registry.Plugin{ID: "plg_2", Publisher: p.ID, Name: "hello"}
	again := unsigned
	for _, step := range []struct{ key, want string }{{"key_1", "key_1"}, {"key_2", "key_1"}, {"", "key_1"}} {
		again.Signature = nil
		if step.key != "" {
			again.Signature = s.signedBy(step.key, "0.1.0")
		}
		got, err := s.InsertVersion(ctx, p, pl, again, []byte("bytes"))
		must(t, err)
		if got.ID != unsigned.ID || got.Signature == nil || got.Signature.Key != step.want {
			t.Errorf("after %q: got %+v, want it signed with %s", step.key, got.Signature, step.want)
		}
	}
	again.Digest, again.Signature = "sha256:other", s.signedBy("key_3", "0.1.0")
	_, err = s.InsertVersion(ctx, p, pl, again, []byte("other"))
	wantRegistry(t, err, registry.CodeVersionExists)
}

func changedLater(t *testing.T, s shelf) {
	ctx, operator := t.Context(), registry.Viewer{Operator: true}
	v, err := s.publish(t, s.publisher("vendor", ""), "hello", "0.1.0-rc.1", "bytes")
	must(t, err)
	equal(t, channel.Beta, v.Channel)
	must(t, s.SetChannel(ctx, v.ID, channel.Stable))
	must(t, s.Deprecate(ctx, v.ID, "old", s.clock.now()))
	must(t, s.Deprecate(ctx, v.Plugin, "gone", s.clock.now()))
	v.Channel, v.DeprecatedAt, v.DeprecatedWhy = channel.Stable, s.clock.now(), "old"
	p, all, err := s.Versions(ctx, operator, "hello")
	must(t, err)
	equal(t, []registry.Version{v}, all)
	if p.DeprecatedWhy != "gone" || p.DeprecatedAt != s.clock.now() {
		t.Errorf("the plugin: got %q at %s", p.DeprecatedWhy, p.DeprecatedAt)
	}
	must(t, s.Deprecate(ctx, v.ID, "", s.clock.now()))
	must(t, s.Deprecate(ctx, v.Plugin, "", s.clock.now()))
	p, all, err = s.Versions(ctx, operator, v.Plugin)
	must(t, err)
	if !p.DeprecatedAt.IsZero() || p.DeprecatedWhy != "" || !all[0].DeprecatedAt.IsZero() || all[0].DeprecatedWhy != "" {
		t.Errorf("it was taken back: got %+v and %+v", p, all[0])
	}
	wantRegistry(t, s.Deprecate(ctx, "plv_none", "old", s.clock.now()), registry.CodeNotFound)
	wantRegistry(t, s.SetChannel(ctx, "plv_none", channel.Stable), registry.CodeNotFound)
}

func publisherKeys(t *testing.T, s shelf) {
	ctx := t.Context()
	one, two := s.publisher("one", ""), s.publisher("two", "")
	must(t, s.InsertPublisher(ctx, one))
	must(t, s.InsertPublisher(ctx, two))
	k := signature.Key{ID: "key_1", Publisher: one.ID, Title: "CI", Public: "pem", CreatedAt: s.clock.now()}
	must(t, s.InsertPublisherKey(ctx, k))
	wantFault(t, s.InsertPublisherKey(ctx, k), fault.Conflict, "key_exists")
	same := k
	same.Publisher = two.ID
	must(t, s.InsertPublisherKey(ctx, same)) // Two publishers may share a key.
	at := s.clock.now().Add(time.Hour)
	must(t, s.RevokePublisherKey(ctx, one.ID, k.ID, at))
	must(t, s.RevokePublisherKey(ctx, one.ID, k.ID, at.Add(time.Hour)))
	k.RevokedAt = at
	for publisher, want := range map[string][]signature.Key{one.ID: {k}, two.ID: {same}, "pub_none": {}} {
		got, err := s.PublisherKeys(ctx, publisher)
		must(t, err)
		equal(t, want, got)
	}
	wantRegistry(t, s.RevokePublisherKey(ctx, two.ID, "key_2", at), registry.CodeNotFound)
}
