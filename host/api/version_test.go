package api_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/signature"
)

// newKey is the public half of a new key.
func newKey(t *testing.T) string {
	t.Helper()
	public, _ := keys(t)
	return public
}

func keys(t *testing.T) (string, ed25519.PrivateKey) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signature.EncodePublic(public)
	if err != nil {
		t.Fatal(err)
	}
	return text, private
}

// publishSigned publishes with a signature, or with what is in its place.
func (b *bundle) publishSigned(t *testing.T, secret string, wasm []byte, header string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+"/v1/plugins", bytes.NewReader(wasm))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	req.Header.Set("Plugin-Signature", header)
	return send(t, req)
}

func signedHeader(t *testing.T, private ed25519.PrivateKey, wasm []byte) string {
	t.Helper()
	sum := sha256.Sum256(wasm)
	s, err := signature.Sign(private, signature.Statement{
		Name: "hello", Version: "0.1.0", Digest: "sha256:" + hex.EncodeToString(sum[:]), SignedAt: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	document, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(document)
}

func TestSignedUploads(t *testing.T) {
	t.Parallel()
	b := setupHost(t, api.Options{}, func(c *host.Config) { c.RequireSignatures = []registry.PublisherKind{registry.TenantOwned} })
	_, secret := b.tenant(t, "acme")
	wasm := connector("hello", "0.1.0")
	public, private := keys(t)
	if p := b.publish(t, secret, wasm, nil).problem(t); p["code"] != "signature_required" || p["status"] != 422.0 {
		t.Errorf("unsigned: got %v", p)
	}
	for name, header := range map[string]string{"no base64": "{}", "no signature": "e30=", "of nobody": signedHeader(t, private, wasm)} {
		if p := b.publishSigned(t, secret, wasm, header).problem(t); p["code"] != "signature_invalid" {
			t.Errorf("%s: got %v", name, p)
		}
	}
	me := map[string]any{"publisher": "me"}
	own := b.c.As(secret)
	key := do(t, own, 201, "addPublisherKey", me, map[string]any{"public_key": public, "title": "laptop"})["id"]
	do(t, own, 409, "addPublisherKey", me, map[string]any{"public_key": public})
	do(t, own, 422, "addPublisherKey", me, map[string]any{"public_key": "none"})
	a := b.publishSigned(t, secret, wasm, signedHeader(t, private, wasm))
	var v struct {
		Signature struct{ Key string }
		Warnings  []string
	}
	if err := json.Unmarshal(a.body, &v); err != nil || a.status != 201 || v.Signature.Key != key || v.Warnings != nil {
		t.Fatalf("signed: status %d, %v: %s", a.status, err, a.body)
	}
	do(t, own, 204, "revokePublisherKey", map[string]any{"publisher": "me", "key": key}, nil)
	do(t, own, 404, "revokePublisherKey", map[string]any{"publisher": "me", "key": "key_none"}, nil)
	got := do(t, own, 200, "getVersion", map[string]any{"plugin": "hello", "version": "0.1.0"}, nil)
	if got["signer_revoked_at"] == nil || !strings.Contains(fmt.Sprint(got["warnings"]), "was revoked") {
		t.Errorf("got %v, want to be told that the key was revoked", got)
	}
	if items := do(t, own, 200, "listPublisherKeys", me, nil)["items"].([]any); len(items) != 1 || items[0].(map[string]any)["revoked_at"] == nil {
		t.Errorf("got %v, want the revoked key", items)
	}
	// The operator's are asked for nothing.
	if a := b.publish(t, b.operator, wasm, nil); a.status != 201 {
		t.Errorf("the operator's: status %d: %s", a.status, a.body)
	}
}

func TestChannelsAndDeprecation(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	for version, q := range map[string]url.Values{"0.1.0": nil, "0.2.0": {"channel": {"beta"}}} {
		if a := b.publish(t, b.operator, connector("hello", version), q); a.status != 201 {
			t.Fatalf("publish: %d %s", a.status, a.body)
		}
	}
	if a := b.publish(t, b.operator, connector("hello", "0.3.0-rc.1"), url.Values{"channel": {"stable"}}); a.status != 422 {
		t.Errorf("a pre-release that is to be stable: status %d", a.status)
	}
	b.tenant(t, "acme")
	in := map[string]any{"tenant": "acme"}
	follower := b.do(t, 201, "createInstallation", in, map[string]any{"plugin": "hello", "channel": "stable"})
	if follower["version"] != "0.1.0" || follower["channel"] != "stable" {
		t.Fatalf("got %v, want the stable version followed", follower)
	}
	b.do(t, 422, "createInstallation", in, map[string]any{"plugin": "hello@0.1.0", "channel": "stable", "name": "x"})
	second := map[string]any{"plugin": "hello", "version": "0.2.0"}
	if a := b.raw(t, http.MethodPost, "/v1/plugins/hello/versions/0.2.0/promote", b.operator, `{"channel":"nightly"}`); a.status != 422 {
		t.Errorf("to a channel that there is not: status %d", a.status)
	}
	if got := b.do(t, 200, "promoteVersion", second, map[string]any{"channel": "stable"}); got["channel"] != "stable" {
		t.Errorf("got the channel %v", got["channel"])
	}
	one := map[string]any{"tenant": "acme", "installation": "hello"}
	b.await(t, func() bool { return b.do(t, 200, "getInstallation", one, nil)["version"] == "0.2.0" })

	b.do(t, 200, "deprecatePlugin", map[string]any{"plugin": "hello"}, map[string]any{"why": "use store"})
	b.do(t, 200, "deprecateVersion", second, map[string]any{"why": "slow"})
	b.do(t, 200, "yankVersion", second, map[string]any{"why": "loses orders"})
	got := b.do(t, 200, "listInstallations", in, nil)["items"].([]any)[0].(map[string]any)
	if want := "[hello is deprecated: use store hello 0.2.0 is deprecated: slow hello 0.2.0 was yanked: loses orders]"; fmt.Sprint(got["warnings"]) != want {
		t.Errorf("got %v, want %s", got["warnings"], want)
	}
	users := b.do(t, 200, "listVersionInstallations", second, nil)["items"].([]any)
	if len(users) != 1 || users[0].(map[string]any)["id"] != follower["id"] {
		t.Errorf("got %v, want the one that runs what was yanked", users)
	}
	// The channel falls back for those who come, and not for who is there.
	if got := b.do(t, 201, "createInstallation", in, map[string]any{"plugin": "hello", "channel": "stable", "name": "late"})["version"]; got != "0.1.0" {
		t.Errorf("a newcomer got %v, want what was not yanked", got)
	}
	if got := b.do(t, 200, "followChannel", one, map[string]any{"channel": ""}); got["channel"] != nil || got["version"] != "0.2.0" {
		t.Errorf("got %v, want it pinned where it is", got)
	}
	b.do(t, 200, "deprecatePlugin", map[string]any{"plugin": "hello"}, map[string]any{"why": ""})
	b.do(t, 200, "deprecateVersion", second, map[string]any{"why": ""})
	if got := b.do(t, 200, "getInstallation", one, nil); fmt.Sprint(got["warnings"]) != "[hello 0.2.0 was yanked: loses orders]" {
		t.Errorf("got %v, want the deprecations taken back", got["warnings"])
	}
}

// await waits until the workers have done something.
func (b *bundle) await(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); {
		if time.Now().After(deadline) {
			t.Fatal("it has not come to it within a minute")
		}
	}
}

func TestVersionsInstallationsArePaged(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	acme, secret := b.tenant(t, "acme")
	b.installed(t, acme)
	other, _ := b.tenant(t, "other")
	for _, name := range []string{"b", "c"} {
		b.do(t, 201, "createInstallation", map[string]any{"tenant": other}, map[string]any{"plugin": "hello", "name": name})
	}
	one := map[string]any{"plugin": "hello", "version": "0.1.0", "limit": 2}
	first := b.do(t, 200, "listVersionInstallations", one, nil)
	one["cursor"] = first["next_cursor"]
	rest := b.do(t, 200, "listVersionInstallations", one, nil)
	if len(first["items"].([]any)) != 2 || len(rest["items"].([]any)) != 1 || rest["next_cursor"] != "" {
		t.Errorf("got %v and %v", first, rest)
	}
	one["cursor"] = "nonsense"
	b.do(t, 422, "listVersionInstallations", one, nil)
	delete(one, "cursor")
	own := do(t, b.c.As(secret), 200, "listVersionInstallations", one, nil)["items"].([]any)
	if len(own) != 1 || own[0].(map[string]any)["tenant"] != acme {
		t.Errorf("a tenant sees %v, want its own", own)
	}
}

func TestModulesAreDownloadedByThoseWhoseTheyAre(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	_, secret := b.tenant(t, "acme")
	wasm := connector("hello", "0.1.0")
	if a := b.publish(t, b.operator, wasm, nil); a.status != 201 {
		t.Fatalf("publish: %d %s", a.status, a.body)
	}
	const path = "/v1/plugins/hello/versions/0.1.0/module"
	if a := b.raw(t, http.MethodGet, path, b.operator, ""); a.status != 200 || !bytes.Equal(a.body, wasm) || a.header.Get("Content-Type") != "application/wasm" {
		t.Errorf("the operator: status %d, %d bytes of %s", a.status, len(a.body), a.header.Get("Content-Type"))
	}
	if p := b.raw(t, http.MethodGet, path, secret, "").problem(t); p["status"] != 403.0 {
		t.Errorf("who may install it: got %v, want 403", p)
	}
}

func TestDifferencesAreShown(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	for _, version := range []string{"0.1.0", "0.2.0"} {
		if a := b.publish(t, b.operator, connector("hello", version), nil); a.status != 201 {
			t.Fatalf("publish: %d %s", a.status, a.body)
		}
	}
	show := func(version, against string) map[string]any {
		in := map[string]any{"plugin": "hello", "version": version}
		if against != "" {
			in["against"] = against
		}
		return b.do(t, 200, "diffVersion", in, nil)
	}
	if got := show("0.2.0", ""); got["from"] != "0.1.0" || got["to"] != "0.2.0" || len(got["changes"].([]any)) != 0 {
		t.Errorf("got %v", got)
	}
	if got := show("0.1.0", ""); got["from"] != "" || got["to"] != "0.1.0" {
		t.Errorf("the first: got %v", got)
	}
	if got := show("0.1.0", "0.2.0"); got["from"] != "0.2.0" {
		t.Errorf("backwards: got %v", got)
	}
	b.do(t, 404, "diffVersion", map[string]any{"plugin": "hello", "version": "0.1.0", "against": "9.0.0"}, nil)
}
