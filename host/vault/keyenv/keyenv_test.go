package keyenv_test

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/vault/keepertest"
	"github.com/cofferdam-run/cofferdam/host/vault/keyenv"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
)

// secret returns 32 bytes that look random.
func secret(seed byte) []byte {
	b := make([]byte, 32)
	for i := range b {
		b[i] = seed + byte(i*37)
	}
	return b
}

func parse(t *testing.T, value string) *keyfile.Key {
	t.Helper()
	k, err := keyenv.Parse([]byte(value))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeeper(t *testing.T) {
	t.Parallel()
	value := base64.StdEncoding.EncodeToString(secret(1))
	keepertest.Run(t, keepertest.Keepers{
		New: func(t *testing.T) vault.Keeper { t.Helper(); return parse(t, value) },
		Other: func(t *testing.T) vault.Keeper {
			t.Helper()
			return parse(t, hex.EncodeToString(secret(2)))
		},
		Secrets: []string{value, string(secret(1))},
	})
}

func TestParseTakesEveryEncoding(t *testing.T) {
	t.Parallel()
	want, err := keyfile.FromKey([32]byte(secret(0xf0)))
	if err != nil {
		t.Fatal(err)
	}
	b := secret(0xf0)
	for name, value := range map[string]string{
		"base64":                     base64.StdEncoding.EncodeToString(b),
		"base64 with a line break":   base64.StdEncoding.EncodeToString(b) + "\n",
		"base64 without padding":     base64.RawStdEncoding.EncodeToString(b),
		"base64 of URLs":             base64.URLEncoding.EncodeToString(b),
		"base64 of URLs, no padding": base64.RawURLEncoding.EncodeToString(b),
		"hex":                        hex.EncodeToString(b),
		"hex in capitals":            strings.ToUpper(hex.EncodeToString(b)),
	} {
		if got := parse(t, value).KeyID(); got != want.KeyID() {
			t.Errorf("%s: got %s, want %s, which a file with this key has", name, got, want.KeyID())
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, value, want string }{
		{"nothing", "", "empty"},
		{"spaces", " \n", "empty"},
		{"a password", "correct horse battery staple", "neither base64 nor hex"},
		{"a word that is base64", "hunter22", "6 bytes"},
		{"16 bytes", base64.StdEncoding.EncodeToString(secret(1)[:16]), "16 bytes"},
		{"64 bytes", base64.StdEncoding.EncodeToString(append(secret(1), secret(2)...)), "64 bytes"},
		{"zeros", strings.Repeat("0", 64), "1 different bytes"},
		{"a word that is repeated", base64.StdEncoding.EncodeToString([]byte(strings.Repeat("cofferdam", 4)[:32])), "not random"},
		{"64 characters that are not hex", strings.Repeat("zx", 32), "not hex"},
		{"hex that was cut", hex.EncodeToString(secret(1))[:63], ""},
		{"two lines", base64.StdEncoding.EncodeToString(secret(1)) + "\nA=1", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := keyenv.Parse([]byte(tt.value))
			if _, ok := errors.AsType[*keyenv.Error](err); !ok || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want an *Error with %q", err, tt.want)
			}
			if value := strings.TrimSpace(tt.value); len(value) > 6 && strings.Contains(err.Error(), value[:6]) {
				t.Errorf("the value is in the error: %v", err)
			}
			if !strings.Contains(err.Error(), "openssl rand") {
				t.Errorf("%v does not say what to do", err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(hex.EncodeToString(secret(1))))
	f.Fuzz(func(t *testing.T, value []byte) {
		if k, err := keyenv.Parse(value); (k == nil) == (err == nil) {
			t.Errorf("got %v and %v", k, err)
		}
	})
}
