package quickjs_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"
)

// The side module's "pkcs8" is a bare key, of PKCS #1 for RSA.
func TestSignaturesAreThoseOfOthers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("what is signed"))
	private := base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PrivateKey(key))
	for name, verify := range map[string]func(signature []byte) error{
		"RSASSA-PKCS1-v1_5": func(s []byte) error { return rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, sum[:], s) },
		"RSA-PSS":           func(s []byte) error { return rsa.VerifyPSS(&key.PublicKey, crypto.SHA256, sum[:], s, nil) },
	} {
		code := fmt.Sprintf(`(async () => {
			const a = { name: %q, hash: "SHA-256", saltLength: 32 };
			const k = await crypto.subtle.importKey("pkcs8", Uint8Array.from(atob(%q), c => c.charCodeAt(0)), a, false, ["sign"]);
			const s = await crypto.subtle.sign(a, k, new TextEncoder().encode("what is signed"));
			return btoa(String.fromCharCode(...new Uint8Array(s)));
		})()`, name, private)
		var signature []byte // As base64, in JSON.
		if err := json.Unmarshal([]byte(b.value(t, code)), &signature); err != nil {
			t.Fatal(err)
		}
		if err := verify(signature); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
