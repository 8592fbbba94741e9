package tck_test

import (
	"context"
	"crypto/ed25519"
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
	keys := published{
		"shared": {Secret: []byte("0123456789abcdef0123456789abcdef")},
		"app":    {Private: ed25519.NewKeyFromSeed(seed), ID: "k1"},
		"aws": {
			AWS:    &sigv4.Signer{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", Region: "us-east-1", Service: "s3"},
			Covers: func(u *url.URL) bool { return u.Host == "examplebucket.s3.amazonaws.com" },
		},
	}
	text, err := fs.ReadFile(sdk.Vectors("probe"), "sign.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Vectors []read }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for _, v := range file.Vectors {
		granted := keys
		if v.Name == "not-granted" {
			granted = published{}
		}
		session := sign.New(sign.Config{
			Keys: granted, Now: func() time.Time { return time.Date(2026, 3, 2, 7, 14, 10, 0, time.UTC) },
			Allowed: map[string][]string{"shared": {"hmac-sha1", "hmac-sha256", "HS256"}, "app": {"EdDSA"}, "aws": {"aws-sigv4"}},
		})
		for _, c := range v.Calls {
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
	if len(file.Vectors) < 10 {
		t.Errorf("there are %d vectors, want more", len(file.Vectors))
	}
}
