package trial_test

import (
	"crypto/ecdsa"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/internal/trial"
	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/hostfns/sign"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
)

// TestThrowawayCredentialsFit any connection that there is.
func TestThrowawayCredentialsFit(t *testing.T) {
	t.Parallel()
	for _, kind := range connection.Types() {
		c := manifest.Connection{Name: "a", Type: string(kind), Hosts: []string{"a.example"}}
		if kind == connection.APIKey {
			c.Header = "X-Key"
		}
		credential, err := trial.Throwaway(c)
		if err != nil {
			t.Fatal(err)
		}
		held, err := connection.Held(map[string]connection.Spec{"a": {Name: "a", Type: kind, Header: c.Header, Hosts: c.Hosts, Credential: credential}}, now)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if kind != connection.HMAC && kind != connection.PrivateKey {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://a.example/", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := held.Apply(t.Context(), "a", r); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
		}
	}
}

// TestThrowawayKeysSignByAnyAlgorithm of their type.
func TestThrowawayKeysSignByAnyAlgorithm(t *testing.T) {
	t.Parallel()
	for _, algorithm := range sign.Algorithms() {
		kind := connection.HMAC
		switch {
		case algorithm == "aws-sigv4":
			kind = connection.AWS
		case strings.HasPrefix(algorithm, "RS"), strings.HasPrefix(algorithm, "E"):
			kind = connection.PrivateKey
		}
		credential, err := trial.Throwaway(manifest.Connection{Name: "a", Type: string(kind), Sign: []string{algorithm}})
		if err != nil {
			t.Fatal(err)
		}
		held, err := connection.Held(map[string]connection.Spec{"a": {Name: "a", Type: kind, Hosts: []string{"a.example"}, Credential: credential}}, now)
		if err != nil {
			t.Fatal(err)
		}
		session := sign.New(sign.Config{Keys: held.(sign.Keys), Allowed: map[string][]string{"a": {algorithm}}, Now: now})
		request := `{"connection":"a","algorithm":"` + algorithm + `",` + map[bool]string{true: `"payload":"x"}`, false: `"claims":{}}`}[strings.HasPrefix(algorithm, "hmac-")]
		if kind == connection.AWS {
			request = `{"connection":"a","algorithm":"aws-sigv4","method":"GET","url":"https://a.example/"}`
		}
		if answer, err := session.Funcs()[0].Answer(t.Context(), []byte(request)); err != nil {
			t.Errorf("%s: got %v, %v", algorithm, answer, err)
		}
	}
}

// TestTestKeysAreThoseOfTheirStandards by the public halves that those have.
func TestTestKeysAreThoseOfTheirStandards(t *testing.T) {
	t.Parallel()
	for algorithm, want := range map[string]string{
		"ES256": "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6",
		"ES384": "ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64def8f0ea9055866064a254515480bc13",
	} {
		key, err := trial.TestKey(algorithm)
		if err != nil {
			t.Fatal(err)
		}
		public, err := key.Public().(*ecdsa.PublicKey).Bytes()
		if got := hex.EncodeToString(public[1 : 1+len(want)/2]); err != nil || got != want {
			t.Errorf("%s: got the X %s, %v, want %s", algorithm, got, err, want)
		}
	}
	if _, err := trial.TestKey("HS256"); err == nil {
		t.Error("a shared secret has a private key")
	}
}
