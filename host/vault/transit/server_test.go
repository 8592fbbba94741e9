package transit_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

const token = "hvs.CAESIJ-a-token-of-the-test"

// engine is a transit engine as its documentation describes it.
type engine struct {
	mu   sync.Mutex
	keys map[string]*key
	// token is the one that may.
	token, namespace string
}

// key is a named key: its versions from 1.
type key struct {
	derived  bool
	versions [][]byte
	// oldest is min_decryption_version.
	oldest int
}

func newKey(derived bool) *key {
	k := &key{derived: derived, oldest: 1}
	k.rotate()
	return k
}

func (k *key) rotate() {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // It never fails.
	k.versions = append(k.versions, b)
}

func (k *key) aead(version int, context []byte) cipher.AEAD {
	secret := k.versions[version-1]
	if k.derived {
		h := hmac.New(sha256.New, secret)
		h.Write(context)
		secret = h.Sum(nil)
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		panic(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return gcm
}

type refusal struct {
	status int
	text   string
}

func (e *engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	data, refused := e.answer(r)
	w.Header().Set("Content-Type", "application/json")
	if refused != nil {
		w.WriteHeader(refused.status)
		_ = json.NewEncoder(w).Encode(map[string]any{"errors": []string{refused.text}})
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"request_id": "1", "lease_id": "", "data": data})
}

func (e *engine) answer(r *http.Request) (map[string]any, *refusal) {
	verb, name, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/transit/"), "/")
	if r.Header.Get("X-Vault-Token") != e.token || r.Header.Get("X-Vault-Namespace") != e.namespace {
		return nil, &refusal{403, "1 error occurred:\n\t* permission denied\n\n"}
	}
	if r.Method != http.MethodPost || !ok || !strings.HasPrefix(r.URL.Path, "/v1/transit/") {
		return nil, &refusal{404, "no handler for route " + strconv.Quote(r.URL.Path)}
	}
	k := e.keys[name]
	if k == nil {
		return nil, &refusal{400, "encryption key not found"}
	}
	var in struct{ Plaintext, Ciphertext, Context string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, &refusal{400, "failed to parse JSON input: " + err.Error()}
	}
	context, err := base64.StdEncoding.DecodeString(in.Context)
	if err != nil {
		return nil, &refusal{400, "failed to base64-decode context"}
	}
	if k.derived && len(context) == 0 {
		return nil, &refusal{500, "missing 'context' for key derivation; the key was created using a derived key"}
	}
	if verb == "encrypt" {
		plaintext, err := base64.StdEncoding.DecodeString(in.Plaintext)
		if err != nil {
			return nil, &refusal{400, "failed to base64-decode plaintext"}
		}
		return k.encrypt(plaintext, context), nil
	}
	plaintext, refused := k.decrypt(in.Ciphertext, context)
	switch {
	case refused != nil:
		return nil, refused
	case verb == "decrypt":
		return map[string]any{"plaintext": base64.StdEncoding.EncodeToString(plaintext)}, nil
	case verb == "rewrap":
		return k.encrypt(plaintext, context), nil
	default:
		return nil, &refusal{404, "unsupported path"}
	}
}

func (k *key) encrypt(plaintext, context []byte) map[string]any {
	latest := len(k.versions)
	nonce := make([]byte, 12)
	_, _ = rand.Read(nonce) // It never fails.
	sealed := k.aead(latest, context).Seal(nonce, nonce, plaintext, nil)
	return map[string]any{
		"ciphertext": fmt.Sprintf("vault:v%d:%s", latest, base64.StdEncoding.EncodeToString(sealed)), "key_version": latest,
	}
}

func (k *key) decrypt(ciphertext string, context []byte) ([]byte, *refusal) {
	rest, ok := strings.CutPrefix(ciphertext, "vault:v")
	if !ok {
		return nil, &refusal{400, "invalid ciphertext: no prefix"}
	}
	number, encoded, ok := strings.Cut(rest, ":")
	version, err := strconv.Atoi(number)
	if !ok || err != nil {
		return nil, &refusal{400, "invalid ciphertext: version number could not be decoded"}
	}
	if version > len(k.versions) || version < 1 {
		return nil, &refusal{400, "invalid ciphertext: version is too new"}
	}
	if version < k.oldest {
		return nil, &refusal{400, "ciphertext or signature version is disallowed by policy (too old)"}
	}
	sealed, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, &refusal{400, "invalid ciphertext: could not decode base64"}
	}
	if len(sealed) < 12 {
		return nil, &refusal{400, "invalid ciphertext length"}
	}
	plaintext, err := k.aead(version, context).Open(nil, sealed[:12], sealed[12:], nil)
	if err != nil {
		return nil, &refusal{400, err.Error()} // "cipher: message authentication failed".
	}
	return plaintext, nil
}
