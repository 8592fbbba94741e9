package vault_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"testing"

	"github.com/c2sp/wycheproof"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/aead/xaesgcm"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/secretdata"
)

// hexed is bytes that are hex in JSON.
type hexed []byte

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *hexed) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	*h = b
	return err
}

// group is some vectors of a file. What a kind of file has not is empty.
type group struct {
	KeySize, IvSize, TagSize int
	PublicKey                struct{ PK hexed }
	Tests                    []struct {
		TcID                                                  int
		Key, IV, AAD, Msg, CT, Tag, IKM, Salt, Info, OKM, Sig hexed
		Size                                                  int
		Result                                                string
	}
}

func groups(t *testing.T, name string) []group {
	t.Helper()
	text, err := fs.ReadFile(wycheproof.TestVectors, name)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ TestGroups []group }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	return file.TestGroups
}

func TestWycheproofAESGCM(t *testing.T) {
	t.Parallel()
	tried := 0
	for _, g := range groups(t, "aes_gcm_test.json") {
		if g.KeySize != 256 || g.IvSize != 96 {
			continue // XAES uses these alone.
		}
		for _, v := range g.Tests {
			tried++
			block, err := aes.NewCipher(v.Key)
			if err != nil {
				t.Fatal(err)
			}
			gcm, err := cipher.NewGCM(block)
			if err != nil {
				t.Fatal(err)
			}
			sealed := append(bytes.Clone(v.CT), v.Tag...)
			got, err := gcm.Open(nil, v.IV, sealed, v.AAD)
			if (err == nil) != (v.Result == "valid") || err == nil && !bytes.Equal(got, v.Msg) {
				t.Errorf("%d: got %x, %v, want %s", v.TcID, got, err, v.Result)
			}
			if v.Result == "valid" && !bytes.Equal(gcm.Seal(nil, v.IV, v.Msg, v.AAD), sealed) {
				t.Errorf("%d: it seals to something else", v.TcID)
			}
			// As Tink, whose nonces stand in front.
			tink, err := subtle.NewAESGCM(v.Key)
			if err != nil {
				t.Fatal(err)
			}
			got, err = tink.Decrypt(append(bytes.Clone(v.IV), sealed...), v.AAD)
			if (err == nil) != (v.Result == "valid") || err == nil && !bytes.Equal(got, v.Msg) {
				t.Errorf("%d: Tink: got %x, %v, want %s", v.TcID, got, err, v.Result)
			}
		}
	}
	atLeast(t, tried, 60)
}

func atLeast(t *testing.T, tried, want int) {
	t.Helper()
	if tried < want {
		t.Errorf("%d vectors were tried, want at least %d", tried, want)
	}
}

func TestWycheproofHKDF(t *testing.T) {
	t.Parallel()
	tried := 0
	for _, g := range groups(t, "hkdf_sha256_test.json") {
		for _, v := range g.Tests {
			tried++
			got, err := hkdf.Key(sha256.New, v.IKM, v.Salt, string(v.Info), v.Size)
			if (err == nil) != (v.Result == "valid") || err == nil && !bytes.Equal(got, v.OKM) {
				t.Errorf("%d: got %x, %v, want %s", v.TcID, got, err, v.Result)
			}
		}
	}
	atLeast(t, tried, 80)
}

func TestWycheproofHMAC(t *testing.T) {
	t.Parallel()
	tried := 0
	for _, g := range groups(t, "hmac_sha256_test.json") {
		for _, v := range g.Tests {
			tried++
			h := hmac.New(sha256.New, v.Key)
			h.Write(v.Msg)
			if got := hmac.Equal(h.Sum(nil)[:g.TagSize/8], v.Tag); got != (v.Result == "valid") {
				t.Errorf("%d: equal %t, want %s", v.TcID, got, v.Result)
			}
		}
	}
	atLeast(t, tried, 170)
}

func TestWycheproofEd25519(t *testing.T) {
	t.Parallel()
	tried := 0
	for _, g := range groups(t, "ed25519_test.json") {
		for _, v := range g.Tests {
			tried++
			if got := ed25519.Verify(ed25519.PublicKey(g.PublicKey.PK), v.Msg, v.Sig); got != (v.Result == "valid") {
				t.Errorf("%d: verified %t, want %s", v.TcID, got, v.Result)
			}
		}
	}
	atLeast(t, tried, 140)
}

// The vectors of <https://c2sp.org/XAES-256-GCM>, for Wycheproof has none.
func TestXAESVectors(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		key  byte
		aad  string
		want string
	}{
		{1, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
		{3, "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
	} {
		parameters, err := xaesgcm.NewParameters(xaesgcm.VariantNoPrefix, 12)
		if err != nil {
			t.Fatal(err)
		}
		secret := secretdata.NewBytesFromData(bytes.Repeat([]byte{v.key}, 32), insecuresecretdataaccess.Token{})
		k, err := xaesgcm.NewKey(secret, 0, parameters)
		if err != nil {
			t.Fatal(err)
		}
		m := keyset.NewManager()
		id, err := m.AddKey(k)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.SetPrimary(id); err != nil {
			t.Fatal(err)
		}
		handle, err := m.Handle()
		if err != nil {
			t.Fatal(err)
		}
		a, err := aead.New(handle)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := hex.DecodeString(v.want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := a.Decrypt(append([]byte("ABCDEFGHIJKLMNOPQRSTUVWX"), sealed...), []byte(v.aad))
		if err != nil || string(got) != "XAES-256-GCM" {
			t.Errorf("key of %d: got %q, %v", v.key, got, err)
		}
	}
}
