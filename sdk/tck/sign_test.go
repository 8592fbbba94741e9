package tck_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/sign"
	"github.com/cofferdam-run/cofferdam/hostfns/sign/sigv4"
	"github.com/cofferdam-run/cofferdam/sdk"
)

// published are keys that anybody has: a secret to be read here, the key of
// https://www.rfc-editor.org/rfc/rfc8032#section-7.1, and AWS's example.
type published map[string]sign.Key

// Key implements sign.Keys.
func (p published) Key(_ context.Context, name string) (sign.Key, error) {
	key, ok := p[name]
	if name == "secret.hex" {
		return key, fmt.Errorf("%w: the endpoint's secret is not of the form that %q stands for", sign.ErrNoKey, name)
	}
	if !ok {
		return key, fmt.Errorf("%w: grant a connection named %q to the installation", sign.ErrNoConnection, name)
	}
	return key, nil
}

// TestSignVectorsAreTheHosts has the host answer what the vectors ask, with keys that
// are published, and holds the vectors' answers to its own.
func TestSignVectorsAreTheHosts(t *testing.T) {
	t.Parallel()
	seed, err := hex.DecodeString("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
	if err != nil {
		t.Fatal(err)
	}
	const secret = "0123456789abcdef0123456789abcdef"
	decoded, err := base64.StdEncoding.DecodeString(secret)
	if err != nil {
		t.Fatal(err)
	}
	keys := published{
		"secret": {Secret: []byte(secret)}, "secret.base64": {Secret: decoded},
		"shared": {Secret: []byte(secret)},
		"app":    {Private: ed25519.NewKeyFromSeed(seed), ID: "k1"},
		"aws": {
			AWS:    &sigv4.Signer{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", Region: "us-east-1", Service: "s3"},
			Covers: func(u *url.URL) bool { return u.Host == "examplebucket.s3.amazonaws.com" },
		},
	}
	delivery := map[string][]string{"secret": {"hmac-sha256"}, "secret.base64": {"hmac-sha256"}, "secret.hex": {"hmac-sha256"}}
	all := map[string]map[string][]string{
		"sign.json":   {"shared": {"hmac-sha1", "hmac-sha256", "HS256"}, "app": {"EdDSA"}, "aws": {"aws-sigv4"}},
		"verify.json": delivery,
	}
	for name, allowed := range all {
		vectors := signVectors(t, name)
		for _, v := range vectors {
			granted := keys
			if v.Name == "not-granted" {
				granted = published{}
			}
			checkSigned(t, v, sign.New(sign.Config{
				Keys: granted, Allowed: allowed, Now: func() time.Time { return time.Date(2026, 3, 2, 7, 14, 10, 0, time.UTC) },
			}))
		}
		if len(vectors) < 10 {
			t.Errorf("there are %d vectors in %s, want more", len(vectors), name)
		}
	}
}

func signVectors(t *testing.T, name string) []read {
	t.Helper()
	text, err := fs.ReadFile(sdk.Vectors("probe"), name)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Vectors []read }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	return file.Vectors
}

// checkSigned has the host sign what a vector asks for.
func checkSigned(t *testing.T, v read, session *sign.Session) {
	t.Helper()
	for _, c := range v.Calls {
		if c.Func != sign.FuncName {
			continue
		}
		result, err := session.Funcs()[0].Answer(t.Context(), c.Request)
		answer := any(map[string]any{"result": result})
		if told, ok := errors.AsType[*hostfns.Error](err); ok {
			answer = map[string]any{"error": map[string]any{"code": told.Code, "message": told.Message}}
		} else if err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(normal(c.Answer), normal(got)); diff != "" {
			t.Errorf("%s: the answer (-vector +host):\n%s\n%s", v.Name, diff, got)
		}
	}
}
