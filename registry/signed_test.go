package registry_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/provenance"
	"github.com/cofferdam-run/cofferdam/registry/signature"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// checkCode wants a registry.Error with a code, whose text contains something.
func checkCode(t *testing.T, err error, code, contains string) {
	t.Helper()
	var e *registry.Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Message, contains) {
		t.Errorf("got %v, want %s with %q", err, code, contains)
	}
}

// author is somebody with a key.
type author struct {
	private ed25519.PrivateKey
	public  string
}

func newAuthor(t *testing.T) author {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signature.EncodePublic(public)
	if err != nil {
		t.Fatal(err)
	}
	return author{private, text}
}

// sign signs a module, as one that was built an hour before it is published.
func (a author) sign(t *testing.T, wasm []byte, change func(*signature.Statement)) *signature.Signature {
	t.Helper()
	sum := sha256.Sum256(wasm)
	st := signature.Statement{
		Name: "shop", Version: "1.0.0", Digest: "sha256:" + hex.EncodeToString(sum[:]), SignedAt: time.Date(2026, 1, 2, 2, 4, 5, 0, time.UTC),
	}
	if change != nil {
		change(&st)
	}
	s, err := signature.Sign(a.private, st)
	if err != nil {
		t.Fatal(err)
	}
	return &s
}

func TestASignedVersion(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *registry.Config) { c.RequireSignatures = []registry.PublisherKind{registry.Vendor} })
	ada, wasm := newAuthor(t), shop("1.0.0")
	key, err := b.AddKey(t.Context(), operator, "acme", ada.public, "Ada")
	if err != nil {
		t.Fatal(err)
	}
	u := upload(wasm)
	u.Signature = ada.sign(t, wasm, nil)
	v, err := b.Publish(t.Context(), "acme", u)
	if err != nil || v.Signature == nil || v.Signature.Key != key.ID {
		t.Fatalf("got %+v, %v, want it signed with %s", v.Signature, err, key.ID)
	}
	_, err = b.Publish(t.Context(), "acme", upload(shop("1.1.0")))
	checkCode(t, err, "signature_required", `"acme" must be signed here`)
	// Nobody asks it of the others.
	if v := b.published(t, "ten-1", shop("1.0.0"), ""); v.Signature != nil {
		t.Errorf("got %+v, want no signature", v.Signature)
	}
}

func TestSignaturesThatAreRefused(t *testing.T) {
	t.Parallel()
	ada, eve := newAuthor(t), newAuthor(t)
	wasm := shop("1.0.0")
	for name, tt := range map[string]struct {
		by       author
		change   func(*signature.Statement)
		spoil    func(*signature.Signature)
		contains string
	}{
		"of another plugin":  {by: ada, change: func(s *signature.Statement) { s.Name = "shopp" }, contains: `it is for the name shopp`},
		"of another version": {by: ada, change: func(s *signature.Statement) { s.Version = "1.0.1" }, contains: `the version 1.0.1`},
		"of another module":  {by: ada, change: func(s *signature.Statement) { s.Digest = "sha256:" + strings.Repeat("0", 64) }, contains: "the digest sha256:0000000000000000…"},
		"of tomorrow":        {by: ada, change: func(s *signature.Statement) { s.SignedAt = s.SignedAt.AddDate(0, 0, 1) }, contains: "yet to come"},
		"by somebody else":   {by: eve, contains: "is no key of the publisher"},
		"in ada's name":      {by: eve, spoil: func(s *signature.Signature) { s.Key = keyOf(t, ada) }, contains: "does not verify"},
		"with a bit flipped": {by: ada, spoil: func(s *signature.Signature) { s.Value[7] ^= 1 }, contains: "does not verify"},
		"with another time":  {by: ada, spoil: func(s *signature.Signature) { s.SignedAt = s.SignedAt.Add(time.Second) }, contains: "does not verify"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil)
			if _, err := b.AddKey(t.Context(), operator, "acme", ada.public, ""); err != nil {
				t.Fatal(err)
			}
			// It is a key here, and another publisher's.
			if _, err := b.AddKey(t.Context(), operator, "operator", eve.public, ""); err != nil {
				t.Fatal(err)
			}
			u := upload(wasm)
			u.Signature = tt.by.sign(t, wasm, tt.change)
			if tt.spoil != nil {
				tt.spoil(u.Signature)
			}
			_, err := b.Publish(t.Context(), "acme", u)
			checkCode(t, err, registry.CodeInvalidSignature, tt.contains)
		})
	}
}

// keyOf is the id of somebody's key.
func keyOf(t *testing.T, a author) string {
	t.Helper()
	public, err := signature.ParsePublic(a.public)
	if err != nil {
		t.Fatal(err)
	}
	return signature.KeyID(public)
}

func TestARevokedKeySignsNothingMore(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	ada, tenant := newAuthor(t), registry.Viewer{Tenant: "ten_1"}
	key, err := b.AddKey(t.Context(), tenant, "", ada.public, "laptop")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.RevokeKey(t.Context(), tenant, "ten-1", key.ID); err != nil {
		t.Fatal(err)
	}
	wasm := shop("1.0.0")
	u := upload(wasm)
	u.Signature = ada.sign(t, wasm, nil)
	_, err = b.Publish(t.Context(), "ten-1", u)
	checkCode(t, err, registry.CodeInvalidSignature, "which was revoked at 2026-01-02T03:04:05Z")
	keys, err := b.Keys(t.Context(), tenant, "")
	if err != nil || len(keys) != 1 || keys[0].RevokedAt.IsZero() || keys[0].Title != "laptop" {
		t.Errorf("got %+v, %v, want the revoked one", keys, err)
	}
}

func TestKeysAreTheirPublishers(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	ada := newAuthor(t)
	stranger := registry.Viewer{Tenant: "ten_2"}
	for what, err := range map[string]error{
		"add":    second(b.AddKey(t.Context(), stranger, "ten-1", ada.public, "")),
		"list":   second(b.Keys(t.Context(), stranger, "acme")),
		"revoke": b.RevokeKey(t.Context(), stranger, "operator", "key_1"),
		"none":   second(b.Keys(t.Context(), operator, "nobody")),
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			checkCode(t, err, registry.CodeNotFound, "there is no publisher")
		})
	}
	for name, tt := range map[string]struct{ public, title, contains string }{
		"no key":           {"", "", "not PEM"},
		"a title of lines": {ada.public, "a\nb", "the title must be a line"},
		"a long title":     {ada.public, strings.Repeat("x", 201), "at most 200 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := setup(t, nil).AddKey(t.Context(), operator, "acme", tt.public, tt.title)
			checkCode(t, err, registry.CodeInvalidRequest, tt.contains)
		})
	}
	for range 50 {
		if _, err := b.AddKey(t.Context(), operator, "acme", newAuthor(t).public, ""); err != nil {
			t.Fatal(err)
		}
	}
	_, err := b.AddKey(t.Context(), operator, "acme", ada.public, "")
	checkCode(t, err, registry.CodeInvalidRequest, "has 50 keys")
}

func second[T any](_ T, err error) error { return err }

func TestAVersionSaysHowItWasBuilt(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	with := func(section string) []byte {
		wasm, err := runtime.WithSections(shop("1.0.0"), map[string][]byte{provenance.Section: []byte(section)})
		if err != nil {
			t.Fatal(err)
		}
		return wasm
	}
	v := b.published(t, "acme", with(`{"builder":"cofferdam 1.0.0","language":"go","revision":"ab","modified":true}`), "")
	want := &provenance.Build{Builder: "cofferdam 1.0.0", Language: "go", Revision: "ab", Modified: true}
	if d := cmp.Diff(want, v.Build); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	_, err := b.Publish(t.Context(), "operator", upload(with(`[]`)))
	checkCode(t, err, registry.CodeInvalidManifest, "its custom section cofferdam.build cannot be read")
	if v := b.published(t, "operator", shop("1.0.0"), ""); v.Build != nil {
		t.Errorf("got %+v of a module that says nothing", v.Build)
	}
}

func TestFieldsOfConnectionsAreObjectsWithoutSecrets(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ fields, want string }{
		"an object":    {`{"properties":{"id":{"type":"string"}}}`, ""},
		"none":         {`null`, ""},
		"a number":     {`7`, "must be a JSON Schema"},
		"a string":     {`{"type":"string"}`, `must be "object"`},
		"a secret":     {`{"properties":{"key":{"writeOnly":true}}}`, "marks a property as secret"},
		"a password":   {`{"properties":{"id":{"format":"password"}}}`, "/connections/0/fields/properties/id"},
		"no such type": {`{"properties":{"id":{"type":"nonesuch"}}}`, "must be one of"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wasm := typed(`{"name":"shop","version":"1.0.0","connections":[{"name":"shop","type":"bearer","hosts":["a.example"],"fields":` + tt.fields + `}]}`)
			_, err := setup(t, nil).Publish(t.Context(), "acme", upload(wasm))
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
