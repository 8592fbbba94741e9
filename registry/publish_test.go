package registry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// typed is a connector that describes itself with a manifest and exports more.
func typed(described string, exports ...string) []byte {
	outputs := map[string]string{"describe": described}
	for _, e := range exports {
		outputs[e] = `{}`
	}
	return runtimetest.Outputs(outputs)
}

func upload(wasm []byte) registry.Upload { return registry.Upload{Wasm: bytes.NewReader(wasm)} }

func TestPublishStoresATypedConnector(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	wasm := typed(`{"name":"orders","version":"1.2.3","title":"Orders","actions":[{"name":"sync"}],"functions":["crm_lookup"],"test":true}`, "action", "test")
	got, err := b.Publish(t.Context(), "operator", upload(wasm))
	if err != nil {
		t.Fatal(err)
	}
	want := registry.Version{
		ID: "plv_004", Plugin: "plg_005", Name: "orders", Version: "1.2.3", Channel: "stable", Digest: got.Digest, Size: int64(len(wasm)),
		Manifest: manifest.Manifest{
			Name: "orders", Version: "1.2.3", Title: "Orders", Level: 1, Test: true,
			Actions: []manifest.Action{{Name: "sync"}}, Functions: []string{"crm_lookup"},
		},
		CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("version (-want +got):\n%s", diff)
	}
	if stored, err := b.Wasm(t.Context(), got); err != nil || !bytes.Equal(stored, wasm) {
		t.Errorf("got %d bytes back, %v, want %d", len(stored), err, len(wasm))
	}
	if plugins, err := b.Plugins(t.Context(), registry.Viewer{Tenant: "ten_9"}); err != nil || len(plugins) != 1 {
		t.Errorf("a tenant sees %v, %v, want the operator's plugin", plugins, err)
	}
}

func TestPublishAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	wasm := typed(`{"name":"orders","version":"1.0.0"}`)
	first, err := b.Publish(t.Context(), "acme", upload(wasm))
	if err != nil {
		t.Fatal(err)
	}
	again, err := b.Publish(t.Context(), "acme", upload(wasm))
	if err != nil || again.ID != first.ID {
		t.Errorf("the same bytes: got %s, %v, want %s", again.ID, err, first.ID)
	}
	_, err = b.Publish(t.Context(), "acme", upload(typed(`{"name":"orders","version":"1.0.0"}`, "action")))
	want := &registry.Error{
		Code: registry.CodeVersionExists, Where: "version",
		Message: "orders 1.0.0 was published before with other bytes, and a version never changes",
		Hint:    "Raise the version and publish again.",
	}
	checkError(t, err, want)
	if _, err := b.Publish(t.Context(), "operator", upload(typed(`{"name":"orders","version":"1.0.0"}`, "action"))); err != nil {
		t.Errorf("another publisher's plugin of the name: %v", err)
	}
}

func TestPublishMakesAManifestForAPlainPlugin(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	egress := []manifest.Egress{{Host: "*.example.com", Methods: []string{"GET"}}}
	u := upload(runtimetest.Outputs(map[string]string{"greet": "hi", "count_vowels": "1", "_initialize": "", "__wasm_call_ctors": ""}))
	u.Name, u.Version, u.Egress = "greeter", "0.1.0", egress
	got, err := b.Publish(t.Context(), "ten-1", u)
	if err != nil {
		t.Fatal(err)
	}
	want := manifest.Manifest{Name: "greeter", Version: "0.1.0", Actions: []manifest.Action{{Name: "count_vowels"}, {Name: "greet"}}, Egress: egress}
	if diff := cmp.Diff(want, got.Manifest); diff != "" {
		t.Errorf("manifest (-want +got):\n%s", diff)
	}
	if plugins, err := b.Plugins(t.Context(), registry.Viewer{Tenant: "ten_9"}); err != nil || len(plugins) != 0 {
		t.Errorf("another tenant sees %v, %v", plugins, err)
	}
	ask := upload(runtimetest.Ask("look", "crm_lookup", `{}`))
	ask.Name, ask.Version = "looker", "0.1.0"
	if got, err = b.Publish(t.Context(), "acme", ask); err != nil || !cmp.Equal(got.Manifest.Functions, []string{"crm_lookup"}) {
		t.Errorf("got functions %v, %v, want the one that is imported", got.Manifest.Functions, err)
	}
}

func checkError(t *testing.T, err error, want *registry.Error) {
	t.Helper()
	var got *registry.Error
	if !errors.As(err, &got) {
		t.Fatalf("got %v, want a registry.Error", err)
	}
	if got.Code != want.Code || got.Where != want.Where {
		t.Errorf("got code %q at %q, want %q at %q (%v)", got.Code, got.Where, want.Code, want.Where, err)
	}
	if !strings.Contains(got.Message, want.Message) {
		t.Errorf("got message %q, want %q in it", got.Message, want.Message)
	}
	if !strings.Contains(got.Hint, want.Hint) {
		t.Errorf("got hint %q, want %q in it", got.Hint, want.Hint)
	}
}

func TestPublishRefuses(t *testing.T) {
	t.Parallel()
	const minimal = `{"name":"a","version":"1.0.0"`
	plain := func(name, version string) registry.Upload {
		u := upload(runtimetest.Echo("run"))
		u.Name, u.Version = name, version
		return u
	}
	tests := []struct {
		name   string
		upload registry.Upload
		want   registry.Error
	}{
		{"nothing", registry.Upload{}, registry.Error{Code: "not_wasm"}},
		{"something else", upload([]byte("#!/bin/sh\n")), registry.Error{Code: "not_wasm"}},
		{"a function that is not offered", upload(runtimetest.Ask("action", "launch", `{}`)), registry.Error{Code: "import_not_offered", Message: "launch"}},
		{"a large module", upload(bytes.Repeat([]byte{0}, 100_001)), registry.Error{
			Code: "module_too_large", Message: "larger than the 100000 bytes", Hint: "debug information",
		}},
		{"describe that traps", upload(runtimetest.Trap("describe")), registry.Error{
			Code: "describe_failed", Where: "describe", Message: "it ended with trapped: ", Hint: "in a test of the plugin",
		}},
		{"describe that loops", upload(runtimetest.Loop("describe")), registry.Error{
			Code: "describe_failed", Where: "describe", Message: "it did not return within 200ms", Hint: "must return a constant",
		}},
		{"describe that burns its fuel", upload(runtimetest.Loop("describe")), registry.Error{
			Code: "describe_failed", Where: "describe", Message: "used up its 1000000 units of fuel", Hint: "must return a constant",
		}},
		{"describe that eats memory", upload(runtimetest.Grow("describe")), registry.Error{Code: "describe_failed", Where: "describe", Message: "memory_exceeded"}},
		{"describe that recurses", upload(runtimetest.Recurse("describe")), registry.Error{Code: "describe_failed", Where: "describe", Message: "stack_exhausted"}},
		{"describe that asks", upload(runtimetest.Ask("describe", "http", `{}`)), registry.Error{
			Code: "describe_failed", Where: "describe", Message: "it asked the host for something", Hint: "without asking the host",
		}},
		{"describe that fails", upload(runtimetest.Fail("describe", `{"code":"plugin_bug","message":"two actions are called sync"}`, 1)), registry.Error{
			Code: "describe_failed", Where: "describe", Message: "two actions are called sync",
		}},
		{"describe that says nothing", upload(typed("")), registry.Error{Code: "describe_failed", Where: "describe", Message: "its output is not JSON"}},
		{"describe that is not JSON", upload(typed(`{name: "a"}`)), registry.Error{
			Code: "describe_failed", Where: "describe", Message: "its output is not JSON: at byte 2: invalid character 'n'", Hint: "must return the manifest",
		}},
		{"a manifest with a field too many", upload(typed(minimal + `,"secret":1}`)), registry.Error{
			Code: "invalid_manifest", Where: "manifest/secret", Message: "is not a field of a manifest",
		}},
		{"a manifest with several faults", upload(typed(`{"name":"A","version":"1"}`)), registry.Error{
			Code: "invalid_manifest", Where: "manifest", Message: `/name: "A" must be 1 to 63 of a-z, 0-9 and -, and not begin with -; /version: "1" must be a semantic version`,
		}},
		{"a schema that is none", upload(typed(minimal+`,"actions":[{"name":"x","input":{"type":"text"}}]}`, "action")), registry.Error{
			Code: "invalid_manifest", Where: "manifest/actions/0/input/type", Message: "must be one of",
		}},
		{"a schema that reads files", upload(typed(minimal + `,"config":{"$ref":"file:///etc/passwd"}}`)), registry.Error{
			Code: "invalid_manifest", Where: "manifest/config/$ref", Message: "leads out of the schema",
		}},
		{"a config that is a list", upload(typed(minimal + `,"config":{"type":"array"}}`)), registry.Error{
			Code: "invalid_manifest", Where: "manifest/config/type", Message: `must be "object"`,
		}},
		{"a secret in the config", upload(typed(minimal + `,"config":{"type":"object","properties":{"auth":{"properties":{"token":{"format":"password"}}}}}}`)), registry.Error{
			Code: "secret_in_config", Where: "manifest/config/properties/auth/properties/token", Message: "marks a property as secret", Hint: "belong in a connection",
		}},
		{"a secret in an input", upload(typed(minimal+`,"actions":[{"name":"x","input":{"allOf":[{"properties":{"k":{"writeOnly":true}}}]}}]}`, "action")), registry.Error{
			Code: "secret_in_config", Where: "manifest/actions/0/input/allOf/0/properties/k",
		}},
		{"actions without the export", upload(typed(minimal+`,"actions":[{"name":"x"}]}`, "webhook")), registry.Error{
			Code: "invalid_manifest", Where: "manifest/actions", Message: `does not export "action"`,
		}},
		{"webhooks without the export", upload(typed(minimal+`,"webhooks":[{"name":"x","scheme":"github"}]}`, "action")), registry.Error{
			Code: "invalid_manifest", Where: "manifest/webhooks", Message: `does not export "webhook"`,
		}},
		{"polls without the export", upload(typed(minimal + `,"polls":[{"name":"x"}]}`)), registry.Error{
			Code: "invalid_manifest", Where: "manifest/polls", Message: `does not export "poll"`,
		}},
		{"a test without the export", upload(typed(minimal + `,"test":true}`)), registry.Error{
			Code: "invalid_manifest", Where: "manifest/test", Message: `does not export "test"`,
		}},
		{"a confirm without the export", upload(typed(minimal + `,"confirm":true}`)), registry.Error{
			Code: "invalid_manifest", Where: "manifest/confirm", Message: `does not export "confirm"`,
		}},
		{"a webhook that it verifies without the export", upload(typed(minimal+`,"webhooks":[{"name":"x","verify":true}]}`, "webhook")), registry.Error{
			Code: "invalid_manifest", Where: "manifest/webhooks", Message: `does not export "verify"`,
		}},
		{"a webhook that is verified twice", upload(typed(minimal+`,"webhooks":[{"name":"x","verify":true,"scheme":"github"}]}`, "webhook", "verify")), registry.Error{
			Code: "invalid_manifest", Where: "manifest/webhooks/0", Message: "keep one of them",
		}},
		{"an unknown scheme", upload(typed(minimal+`,"webhooks":[{"name":"x","scheme":"stripe"}]}`, "webhook")), registry.Error{
			Code: "invalid_manifest", Where: "manifest/webhooks/0/scheme", Message: `"stripe" is not a scheme that this host knows: it has github, standard-webhooks`,
		}},
		{"an unknown function", upload(typed(minimal + `,"functions":["erp_post"]}`)), registry.Error{
			Code: "invalid_manifest", Where: "manifest/functions/0", Message: `"erp_post" is not a function that this host offers beyond the built-in ones: it has crm_lookup`,
		}},
		{"another name than it says", func() registry.Upload {
			u := upload(typed(minimal + `}`))
			u.Name = "b"
			return u
		}(), registry.Error{Code: "invalid_manifest", Where: "name", Message: `the upload gives the name "b", but the plugin describes itself as "a"`}},
		{"egress for a connector", func() registry.Upload {
			u := upload(typed(minimal + `}`))
			u.Egress = []manifest.Egress{{Host: "a.test", Methods: []string{"GET"}}}
			return u
		}(), registry.Error{Code: "invalid_manifest", Where: "egress"}},
		{"a plain plugin without a name", plain("", "1.0.0"), registry.Error{
			Code: "invalid_manifest", Where: "name", Message: "does not export describe", Hint: "Give a name and a version",
		}},
		{"a plain plugin with a bad version", plain("a", "one"), registry.Error{Code: "invalid_manifest", Where: "version", Message: `/version: "one" must be a semantic version`}},
		{"a plain plugin that can do nothing", func() registry.Upload {
			u := upload(runtimetest.Outputs(map[string]string{"_start": ""}))
			u.Name, u.Version = "a", "1.0.0"
			return u
		}(), registry.Error{Code: "invalid_manifest", Where: "wasm", Message: "nothing that can be called"}},
		{"a tenant that is none", func() registry.Upload {
			u := plain("a", "1.0.0")
			u.Share = []string{"ten_2", ""}
			return u
		}(), registry.Error{Code: "invalid_request", Where: "share", Message: `"" is not a tenant`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(c *registry.Config) {
				c.Limits = runtime.Limits{ModuleBytes: 100_000}
				if strings.Contains(tt.name, "loops") {
					c.Limits.Deadline = 200 * time.Millisecond
				}
				if strings.Contains(tt.name, "burns") {
					c.Limits.Fuel = 1_000_000
				}
			})
			_, err := b.Publish(t.Context(), "acme", tt.upload)
			checkError(t, err, &tt.want)
			if len(b.store.versions) != 0 {
				t.Error("something was stored")
			}
		})
	}
}

func TestPublishListsEveryProblem(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	_, err := b.Publish(t.Context(), "acme", upload(typed(`{"name":"a","version":"1.0.0","functions":["x"],"polls":[{"name":"p"}],"config":{"minimum":"1"}}`)))
	var got *registry.Error
	if !errors.As(err, &got) {
		t.Fatal(err)
	}
	where := map[string]bool{}
	for _, p := range got.Problems {
		where[p.Where] = true
	}
	if want := map[string]bool{"/functions/0": true, "/polls": true, "/config/minimum": true}; !maps.Equal(where, want) {
		t.Errorf("got problems at %v, want %v", where, want)
	}
}

// restless describes itself with a title of eight random letters, salted so that
// two of them can have different bytes.
func restless(salt int32) []byte {
	var b runtimetest.Builder
	random := b.Import("wasi_snapshot_preview1", "random_get", "ii", "i")
	alloc := b.Import(runtimetest.Extism, "alloc", "I", "I")
	store := b.Import(runtimetest.Extism, "store_u8", "Ii", "")
	output := b.Import(runtimetest.Extism, "output_set", "II", "")
	b.Memory(1)
	const before, after = `{"name":"a","version":"1.0.0","title":"`, `"}`
	get, add64 := runtimetest.Op(0x20, 0), runtimetest.Op(0x7c)
	body := [][]byte{
		runtimetest.I32(salt), runtimetest.Op(0x1a), // drop
		runtimetest.I32(0), runtimetest.I32(8), runtimetest.Invoke(random), runtimetest.Op(0x1a),
		runtimetest.I64(int64(len(before) + 8 + len(after))), runtimetest.Invoke(alloc), runtimetest.Op(0x21, 0),
	}
	for i, c := range []byte(before + "????????" + after) {
		value := runtimetest.I32(int32(c))
		if c == '?' { // 'a' + memory[i] & 15
			value = slices.Concat(runtimetest.I32(int32(i-len(before))), runtimetest.Op(0x2d, 0, 0),
				runtimetest.I32(15), runtimetest.Op(0x71), runtimetest.I32('a'), runtimetest.Op(0x6a))
		}
		body = append(body, get, runtimetest.I64(int64(i)), add64, value, runtimetest.Invoke(store))
	}
	body = append(body, get, runtimetest.I64(int64(len(before)+8+len(after))), runtimetest.Invoke(output), runtimetest.I32(0))
	b.Func("describe", "", "i", "I", body...)
	return b.Bytes()
}

func TestPublishDescribesInAConstantWorld(t *testing.T) {
	t.Parallel()
	title := func(salt int32) string {
		v, err := setup(t, nil).Publish(t.Context(), "acme", upload(restless(salt)))
		if err != nil {
			t.Fatal(err)
		}
		return v.Manifest.Title
	}
	first, again, other := title(1), title(1), title(2)
	if first != again || first == other {
		t.Errorf("got titles %q and %q for the same bytes, %q for others", first, again, other)
	}
}

func TestPublishPassesOnWhatIsNotTheModulesFault(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection reset")
	t.Run("a reader that breaks", func(t *testing.T) {
		t.Parallel()
		_, err := setup(t, nil).Publish(t.Context(), "acme", registry.Upload{Wasm: io.MultiReader(strings.NewReader("\x00asm"), iotest.ErrReader(broken))})
		if !errors.Is(err, broken) {
			t.Errorf("got %v, want %v", err, broken)
		}
	})
	t.Run("a store that breaks", func(t *testing.T) {
		t.Parallel()
		b := setup(t, nil)
		b.store.fail = broken
		if _, err := b.Publish(t.Context(), "acme", upload(typed(`{"name":"a","version":"1.0.0"}`))); !errors.Is(err, broken) {
			t.Errorf("got %v, want %v", err, broken)
		}
	})
	t.Run("an unknown publisher", func(t *testing.T) {
		t.Parallel()
		_, err := setup(t, nil).Publish(t.Context(), "nobody", registry.Upload{})
		checkError(t, err, &registry.Error{Code: registry.CodeNotFound})
	})
}

func TestPublishSharesNewPlugins(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, publisher string
		share           []string
		want            []string
		code            string
	}{
		{"the operator's with everyone", "operator", nil, []string{"*"}, ""},
		{"the operator's with nobody, if it says so", "operator", []string{}, []string{}, ""},
		{"a vendor's with nobody", "acme", nil, []string{}, ""},
		{"a vendor's with whom it names", "acme", []string{"ten_2", "ten_1", "ten_2"}, []string{"ten_1", "ten_2"}, ""},
		{"everyone is everyone", "acme", []string{"ten_2", "*"}, []string{"*"}, ""},
		{"a tenant's not with everyone", "ten-1", []string{"*"}, nil, registry.CodeDenied},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil)
			u := upload(typed(`{"name":"a","version":"1.0.0"}`))
			u.Share = tt.share
			_, err := b.Publish(t.Context(), tt.publisher, u)
			if tt.code != "" {
				checkError(t, err, &registry.Error{Code: tt.code, Where: "share"})
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, b.store.plugins[0].Shared); diff != "" {
				t.Errorf("shared (-want +got):\n%s", diff)
			}
		})
	}
}

func TestProvidersAreTheHostsToCheck(t *testing.T) {
	t.Parallel()
	wasm := typed(`{"name":"crm","version":"1.0.0","providers":[{"name":"acme"},{"name":"github"}]}`)
	check := func(descriptor json.RawMessage) []manifest.Problem {
		if string(descriptor) == `{"name":"github"}` {
			return []manifest.Problem{{Where: "/name", Message: "is the host's"}, {Message: "is short"}}
		}
		return nil
	}
	b := setup(t, func(c *registry.Config) { c.Provider = check })
	_, err := b.Publish(t.Context(), "operator", upload(wasm))
	refused, ok := errors.AsType[*registry.Error](err)
	want := []manifest.Problem{{Where: "/providers/1/name", Message: "is the host's"}, {Where: "/providers/1", Message: "is short"}}
	if !ok || refused.Code != registry.CodeInvalidManifest {
		t.Fatalf("got %v", err)
	}
	if diff := cmp.Diff(want, refused.Problems); diff != "" {
		t.Error(diff)
	}
	if v, err := b.Publish(t.Context(), "operator", upload(typed(`{"name":"crm","version":"1.0.0","providers":[{"name":"acme"}]}`))); err != nil || len(v.Manifest.Providers) != 1 {
		t.Errorf("got %+v, %v", v, err)
	}
	// A host that knows nothing of providers takes none.
	_, err = setup(t, nil).Publish(t.Context(), "operator", upload(wasm))
	if refused, ok := errors.AsType[*registry.Error](err); !ok || refused.Where != "manifest" || !strings.Contains(refused.Message, "takes no providers") {
		t.Errorf("got %v", err)
	}
}
