package signature_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/registry/signature"
)

// key is the first test vector of RFC 8032, section 7.1: a key that everybody knows.
func key(tb testing.TB) ed25519.PrivateKey {
	tb.Helper()
	return ed25519.NewKeyFromSeed([]byte("\x9d\x61\xb1\x9d\xef\xfd\x5a\x60\xba\x84\x4a\xf4\x92\xec\x2c\xc4\x44\x49\xc5\x69\x7b\x32\x69\x19\x70\x3b\xac\x03\x1c\xae\x7f\x60"))
}

func statement() signature.Statement {
	return signature.Statement{
		Name: "hello", Version: "1.0.0", Digest: "sha256:" + strings.Repeat("ab", 32),
		SignedAt: time.Date(2026, 11, 22, 10, 0, 0, 999, time.FixedZone("", 3600)),
	}
}

func signed(tb testing.TB) (signature.Signature, ed25519.PublicKey) {
	tb.Helper()
	private := key(tb)
	s, err := signature.Sign(private, statement())
	if err != nil {
		tb.Fatal(err)
	}
	return s, private.Public().(ed25519.PublicKey)
}

func ExampleSign() {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	s, err := signature.Sign(private, signature.Statement{
		Name: "hello", Version: "1.0.0", Digest: "sha256:" + strings.Repeat("ab", 32), SignedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	})
	fmt.Println(err, s.Verify(public))
	// Output: <nil> <nil>
}

func TestTheTextIsTheOneThatIsSpecified(t *testing.T) {
	t.Parallel()
	s, public := signed(t)
	text := "cofferdam plugin signature v1\nname: hello\nversion: 1.0.0\ndigest: sha256:" + strings.Repeat("ab", 32) + "\nsigned-at: 2026-11-22T09:00:00Z\n"
	if !ed25519.Verify(public, []byte(text), s.Value) {
		t.Error("the signature is not one of the text that the package's comment specifies")
	}
	if want := "key_21fe31dfa154a261626bf854046fd227"; s.Key != want {
		t.Errorf("got the key %s, want %s", s.Key, want)
	}
}

func TestADocumentComesBackAsItWent(t *testing.T) {
	t.Parallel()
	s, public := signed(t)
	document, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	got, err := signature.Parse(document)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(s, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if err := got.Verify(public); err != nil {
		t.Error(err)
	}
}

func TestWhatWasNotSignedDoesNotVerify(t *testing.T) {
	t.Parallel()
	other, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, public := signed(t)
	for name, change := range map[string]func(*signature.Signature, *ed25519.PublicKey){
		"another name":      func(s *signature.Signature, _ *ed25519.PublicKey) { s.Name = "hallo" },
		"another version":   func(s *signature.Signature, _ *ed25519.PublicKey) { s.Version = "1.0.1" },
		"another module":    func(s *signature.Signature, _ *ed25519.PublicKey) { s.Digest = "sha256:" + strings.Repeat("cd", 32) },
		"another time":      func(s *signature.Signature, _ *ed25519.PublicKey) { s.SignedAt = s.SignedAt.Add(time.Second) },
		"another signature": func(s *signature.Signature, _ *ed25519.PublicKey) { s.Value = append([]byte{1}, s.Value[1:]...) },
		"none":              func(s *signature.Signature, _ *ed25519.PublicKey) { s.Value = nil },
		"another key":       func(_ *signature.Signature, k *ed25519.PublicKey) { *k = other },
		"another key's id":  func(s *signature.Signature, k *ed25519.PublicKey) { *k, s.Key = other, signature.KeyID(other) },
		"no key":            func(_ *signature.Signature, k *ed25519.PublicKey) { *k = nil },
		"a name with lines": func(s *signature.Signature, _ *ed25519.PublicKey) { s.Name = "hello\nversion: 9" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, public := s, public
			change(&s, &public)
			if err := s.Verify(public); err == nil {
				t.Error("it verifies")
			}
		})
	}
}

func TestDocumentsThatAreNone(t *testing.T) {
	t.Parallel()
	s, _ := signed(t)
	with := func(change func(*signature.Signature)) string {
		s := s
		change(&s)
		document, _ := json.Marshal(s)
		return string(document)
	}
	for name, tt := range map[string]struct{ document, want string }{
		"nothing":              {"", "not a signature"},
		"no JSON":              {"{", "not a signature"},
		"another field":        {`{"name":"hello","evil":1}`, "not a signature"},
		"two of them":          {with(func(*signature.Signature) {}) + "{}", "after its end"},
		"too much":             {strings.Repeat(" ", 5000), "at most 4096"},
		"no name":              {with(func(s *signature.Signature) { s.Name = "" }), `its name is ""`},
		"a long version":       {with(func(s *signature.Signature) { s.Version = strings.Repeat("1", 300) }), "its version is"},
		"a digest in capitals": {with(func(s *signature.Signature) { s.Digest = strings.ToUpper(s.Digest) }), "64 lower-case hex"},
		"no time":              {with(func(s *signature.Signature) { s.SignedAt = time.Time{} }), "signed_at"},
		"half a second":        {with(func(s *signature.Signature) { s.SignedAt = s.SignedAt.Add(time.Millisecond) }), "whole seconds"},
		"no key":               {with(func(s *signature.Signature) { s.Key = "key_x" }), `"key_x" is not the id`},
		"half a signature":     {with(func(s *signature.Signature) { s.Value = s.Value[:32] }), "has 32 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := signature.Parse([]byte(tt.document)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestWhatCannotBeSigned(t *testing.T) {
	t.Parallel()
	bad := statement()
	bad.Digest = "md5:1"
	if _, err := signature.Sign(key(t), bad); err == nil {
		t.Error("a statement that is none was signed")
	}
}

func TestKeysComeBackAsTheyWent(t *testing.T) {
	t.Parallel()
	private := key(t)
	public := private.Public().(ed25519.PublicKey)
	text, err := signature.EncodePrivate(private)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := signature.ParsePrivate(text); err != nil || !bytes.Equal(got, private) {
		t.Errorf("private: %v", err)
	}
	half, err := signature.EncodePublic(public)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := signature.ParsePublic(half); err != nil || !bytes.Equal(got, public) {
		t.Errorf("public: %v", err)
	}
	if _, err := signature.ParsePublic(string(text)); err == nil || !strings.Contains(err.Error(), "private key, which nobody else must see") {
		t.Errorf("the private key in the public one's place: got %v", err)
	}
	if _, err := signature.ParsePrivate([]byte(half)); err == nil || !strings.Contains(err.Error(), "it is a PUBLIC KEY") {
		t.Errorf("the public key in the private one's place: got %v", err)
	}
}

func TestKeysOfOtherKinds(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&rsaKey.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ text, want string }{
		"nothing":  {"", "not PEM"},
		"an RSA":   {string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), "Ed25519"},
		"garbage":  {string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")})), "Ed25519"},
		"too much": {strings.Repeat("x", 5000), "at most 4096"},
	} {
		if _, err := signature.ParsePublic(tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
	if _, err := signature.ParsePrivate(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})); err == nil {
		t.Error("garbage was taken for a private key")
	}
}

func FuzzParse(f *testing.F) {
	s, public := signed(f)
	document, _ := json.Marshal(s)
	f.Add(document)
	f.Fuzz(func(t *testing.T, document []byte) {
		got, err := signature.Parse(document)
		if err == nil && got.Verify(public) == nil && !cmp.Equal(got.Statement, s.Statement) {
			t.Errorf("%s verifies", document)
		}
	})
}
