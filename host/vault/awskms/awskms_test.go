package awskms_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/vault/awskms"
	"github.com/cofferdam-run/cofferdam/host/vault/keepertest"
	"github.com/cofferdam-run/cofferdam/hostfns/sign/sigv4"
)

const (
	arn      = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	otherARN = "arn:aws:kms:eu-central-1:111122223333:key/0987dcba-09fe-87dc-65ba-ab0987654321"
)

func credentials(context.Context) (sigv4.Signer, error) {
	return sigv4.Signer{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", SessionToken: "a session"}, nil
}

// kms is AWS KMS as its documentation describes it. A ciphertext names its key.
func kms(w http.ResponseWriter, r *http.Request) {
	refuse := func(name, message string) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"__type": name, "message": message})
	}
	body, _ := io.ReadAll(r.Body)
	if !isSigned(r, body) {
		refuse("InvalidSignatureException", "The request signature we calculated does not match the signature you provided.")
		return
	}
	var in struct {
		KeyID                     string `json:"KeyId"`
		Plaintext, CiphertextBlob []byte
		EncryptionContext         map[string]string
	}
	if err := json.Unmarshal(body, &in); err != nil {
		refuse("SerializationException", "")
		return
	}
	bound, _ := json.Marshal(in.EncryptionContext) // In order of the names.
	switch r.Header.Get("X-Amz-Target") {
	case "TrentService.Encrypt":
		if len(in.Plaintext) < 1 || len(in.Plaintext) > 4096 {
			refuse("ValidationException", "1 validation error detected")
			return
		}
		nonce := make([]byte, 12)
		_, _ = rand.Read(nonce) // It never fails.
		blob := append([]byte(in.KeyID), gcm(in.KeyID).Seal(nonce, nonce, in.Plaintext, bound)...)
		_ = json.NewEncoder(w).Encode(map[string]any{"KeyId": in.KeyID, "CiphertextBlob": blob, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"})
	case "TrentService.Decrypt":
		if len(in.CiphertextBlob) < len(arn)+12 {
			refuse("InvalidCiphertextException", "")
			return
		}
		key, sealed := string(in.CiphertextBlob[:len(arn)]), in.CiphertextBlob[len(arn):]
		if (key == arn || key == otherARN) && key != in.KeyID {
			refuse("IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation.")
			return
		}
		plaintext, err := gcm(key).Open(nil, sealed[:12], sealed[12:], bound)
		if err != nil {
			refuse("com.amazonaws.kms#InvalidCiphertextException", "")
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"KeyId": in.KeyID, "Plaintext": plaintext})
	default:
		refuse("UnknownOperationException", "")
	}
}

func gcm(key string) cipher.AEAD {
	secret := sha256.Sum256([]byte(key))
	block, err := aes.NewCipher(secret[:])
	if err != nil {
		panic(err)
	}
	a, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return a
}

// isSigned signs what was sent in the same way.
func isSigned(r *http.Request, body []byte) bool {
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		return false
	}
	c, _ := credentials(r.Context())
	again := r.Clone(r.Context())
	again.Header = http.Header{}
	_, list, _ := strings.Cut(r.Header.Get("Authorization"), "SignedHeaders=")
	list, _, _ = strings.Cut(list, ",")
	for name := range strings.SplitSeq(list, ";") {
		if value := r.Header.Get(name); value != "" {
			again.Header.Set(name, value)
		}
	}
	c.Region, c.Service = "eu-central-1", "kms"
	c.Sign(again, sigv4.Hash(body), at)
	return again.Header.Get("Authorization") == r.Header.Get("Authorization") && strings.Contains(list, "x-amz-target")
}

func open(t *testing.T, c awskms.Config) *awskms.Keeper {
	t.Helper()
	if c.Credentials == nil {
		c.Credentials = credentials
	}
	k, err := awskms.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func serve(t *testing.T) awskms.Config {
	t.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(kms))
	t.Cleanup(s.Close)
	return awskms.Config{Key: arn, Endpoint: s.URL, Client: s.Client()}
}

func TestKeeper(t *testing.T) {
	t.Parallel()
	c := serve(t)
	other := c
	other.Key = otherARN
	keepertest.Run(t, keepertest.Keepers{
		New:     func(t *testing.T) vault.Keeper { t.Helper(); return open(t, c) },
		Other:   func(t *testing.T) vault.Keeper { t.Helper(); return open(t, other) },
		Secrets: []string{"wJalrXUtnFEMI", "a session"},
	})
}

func TestElsewhere(t *testing.T) {
	t.Parallel()
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, body, status) }
	}
	keepertest.RunElsewhere(t, keepertest.Elsewhere{
		Handler:   http.HandlerFunc(kms),
		Denied:    answer(400, `{"__type":"AccessDeniedException","message":"User: arn:aws:iam::111122223333:user/a is not authorized to perform: kms:Decrypt"}`),
		Throttled: answer(400, `{"__type":"ThrottlingException","message":"Rate exceeded"}`),
		New: func(t *testing.T, s keepertest.Server) vault.Keeper {
			t.Helper()
			return open(t, awskms.Config{Key: arn, Endpoint: s.URL, Client: s.Client, Timeout: s.Timeout, After: s.After})
		},
		Secrets: []string{"wJalrXUtnFEMI", "a session"},
	})
}

func TestRefusalsAreTold(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"DisabledException", "KMSInvalidStateException", "NotFoundException", "InvalidKeyUsageException", "UnrecognizedClientException",
		"ExpiredTokenException", "InvalidGrantTokenException",
	} {
		s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `{"__type":"com.amazonaws.kms#`+name+`:http://a","message":"why"}`, http.StatusBadRequest)
		}))
		k := open(t, awskms.Config{Key: arn, Endpoint: s.URL, Client: s.Client()})
		_, err := k.Unwrap(t.Context(), "ten_a", []byte("wrapped"))
		if f := fault.From(err); f == nil || f.Code != fault.CodeKeeperRefused || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "why") {
			t.Errorf("%s: got %v", name, err)
		}
		s.Close()
	}
}

func TestAnswersOfAnotherKeyAreRefused(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"KeyId": otherARN, "Plaintext": []byte("somebody else's")})
	}))
	t.Cleanup(s.Close)
	k := open(t, awskms.Config{Key: arn, Endpoint: s.URL, Client: s.Client()})
	got, err := k.Unwrap(t.Context(), "ten_a", []byte("wrapped"))
	if f := fault.From(err); got != nil || f == nil || f.Code != fault.CodeKeeperRefused {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestCredentialsThatAreNotThere(t *testing.T) {
	t.Parallel()
	c := serve(t)
	none := errors.New("there are none")
	c.Credentials = func(context.Context) (sigv4.Signer, error) { return sigv4.Signer{}, none }
	_, err := open(t, c).Wrap(t.Context(), "ten_a", []byte("key"))
	if f := fault.From(err); !errors.Is(err, none) || f.Code != fault.CodeKeeperRefused {
		t.Errorf("got %v", err)
	}
	c.Credentials = func(context.Context) (sigv4.Signer, error) {
		return sigv4.Signer{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "wrong"}, nil
	}
	_, err = open(t, c).Wrap(t.Context(), "ten_a", []byte("key"))
	if f := fault.From(err); f == nil || f.Code != fault.CodeKeeperRefused || !strings.Contains(err.Error(), "InvalidSignature") {
		t.Errorf("got %v", err)
	}
}

func TestWrapTakesWhatKMSTakes(t *testing.T) {
	t.Parallel()
	k := open(t, serve(t))
	if _, err := k.Wrap(t.Context(), "ten_a", make([]byte, 4096)); err != nil {
		t.Error(err)
	}
	if _, err := k.Wrap(t.Context(), "ten_a", make([]byte, 4097)); err == nil || !strings.Contains(err.Error(), "4096") {
		t.Errorf("got %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]awskms.Config{
		"no key":              {Credentials: credentials},
		"an id":               {Key: "1234abcd-12ab-34cd-56ef-1234567890ab", Credentials: credentials},
		"an alias":            {Key: "arn:aws:kms:eu-central-1:111122223333:alias/cofferdam", Credentials: credentials},
		"another service":     {Key: strings.Replace(arn, ":kms:", ":s3:", 1), Credentials: credentials},
		"a region with a dot": {Key: strings.Replace(arn, "eu-central-1", "evil.example.com/", 1), Credentials: credentials},
		"no credentials":      {Key: arn},
		"plain http":          {Key: arn, Credentials: credentials, Endpoint: "http://kms.example.com"},
	} {
		if _, err := awskms.New(c); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
	for _, key := range []string{arn, strings.Replace(arn, "arn:aws:", "arn:aws-cn:", 1), strings.Replace(arn, "key/1234", "key/mrk-1234", 1)} {
		if k, err := awskms.New(awskms.Config{Key: key, Credentials: credentials}); err != nil || k.KeyID() != key {
			t.Errorf("%s: %v", key, err)
		}
	}
}
