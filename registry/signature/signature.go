// Package signature is an author's word for a plugin version: an Ed25519 signature
// (RFC 8032) over the name, the version and the hash of the module.
//
//	sig, err := signature.Sign(private, signature.Statement{Name: "hello", Version: "1.0.0", Digest: "sha256:...", SignedAt: now})
//	err = sig.Verify(public)
//
// What is signed is this text, in ASCII, each line with a line feed at its end:
//
//	cofferdam plugin signature v1
//	name: hello
//	version: 1.0.0
//	digest: sha256:0a1b...
//	signed-at: 2026-11-22T10:00:00Z
//
// The first line keeps a signature from being taken for one of another protocol. No
// value can hold a line feed. The digest is that of the file as it is published, in
// lower-case hex; the time is in UTC, in whole seconds.
//
// A key's id is "key_" and the first 32 hex digits of the SHA-256 of its 32 bytes:
// it names the key and cannot be chosen. Keys are PEM: PKCS #8 for the private one
// and SPKI for the public one, as openssl genpkey -algorithm ed25519 makes them.
//
// A signature travels as a JSON document, in a file beside the module (.sig), in a
// header of the upload, and as an OCI referrer.
package signature

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
)

// Statement is what is signed.
type Statement struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// Digest is "sha256:" and the lower-case hex of the module's bytes.
	Digest   string    `json:"digest"`
	SignedAt time.Time `json:"signed_at"`
}

// Signature is a statement and who signed it.
type Signature struct {
	Statement

	// Key is the id of the key.
	Key   string `json:"key"`
	Value []byte `json:"signature"`
}

// Key is a publisher's public key.
type Key struct {
	ID        string `json:"id"`
	Publisher string `json:"publisher"`
	// Title says whose or where it is, such as "CI".
	Title string `json:"title,omitempty"`
	// Public is the key as PEM.
	Public    string    `json:"public_key"`
	CreatedAt time.Time `json:"created_at"`
	// RevokedAt is when it was taken back: what it signed stays, and nothing is
	// accepted with it any more.
	RevokedAt time.Time `json:"revoked_at,omitzero"`
}

// MaxBytes of a signature as a document: it has some 400.
const MaxBytes = 4 << 10

const heading = "cofferdam plugin signature v1"

var (
	digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	keyForm    = regexp.MustCompile(`^key_[0-9a-f]{32}$`)
)

// KeyID is the id of a public key.
func KeyID(public ed25519.PublicKey) string {
	sum := sha256.Sum256(public)
	return "key_" + hex.EncodeToString(sum[:16])
}

// Sign signs a statement, whose time is cut to seconds.
func Sign(private ed25519.PrivateKey, s Statement) (Signature, error) {
	s.SignedAt = s.SignedAt.UTC().Truncate(time.Second)
	if err := s.check(); err != nil {
		return Signature{}, fmt.Errorf("sign plugin: %w", err)
	}
	public, ok := private.Public().(ed25519.PublicKey)
	if !ok || len(private) != ed25519.PrivateKeySize {
		return Signature{}, errors.New("sign plugin: the key is not an Ed25519 key")
	}
	return Signature{Statement: s, Key: KeyID(public), Value: ed25519.Sign(private, s.text())}, nil
}

// Verify says whether the holder of a key has signed exactly this statement.
func (s Signature) Verify(public ed25519.PublicKey) error {
	if err := s.check(); err != nil {
		return err
	}
	if len(public) != ed25519.PublicKeySize || KeyID(public) != s.Key {
		return fmt.Errorf("it was made with %s, which is another key", clip(s.Key))
	}
	if !ed25519.Verify(public, s.text(), s.Value) {
		return fmt.Errorf("it does not verify with %s: the name, version, digest or time is not what was signed", s.Key)
	}
	return nil
}

// Parse reads a signature's document.
func Parse(document []byte) (Signature, error) {
	if len(document) > MaxBytes {
		return Signature{}, fmt.Errorf("it has %d bytes: at most %d are allowed", len(document), MaxBytes)
	}
	d := json.NewDecoder(bytes.NewReader(document))
	d.DisallowUnknownFields()
	var s Signature
	if err := d.Decode(&s); err != nil {
		return Signature{}, errors.New("it is not a signature as cofferdam plugin sign writes it: a JSON object with name, version, digest, signed_at, key and signature")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Signature{}, errors.New("it goes on after its end")
	}
	s.SignedAt = s.SignedAt.UTC()
	if err := s.check(); err != nil {
		return Signature{}, err
	}
	if !keyForm.MatchString(s.Key) {
		return Signature{}, fmt.Errorf("its key %q is not the id of a key", clip(s.Key))
	}
	if len(s.Value) != ed25519.SignatureSize {
		return Signature{}, fmt.Errorf("its signature has %d bytes: an Ed25519 signature has %d", len(s.Value), ed25519.SignatureSize)
	}
	return s, nil
}

func (s Statement) check() error {
	for _, f := range []struct{ name, value string }{{"name", s.Name}, {"version", s.Version}} {
		if f.value == "" || len(f.value) > 128 || strings.ContainsFunc(f.value, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return fmt.Errorf("its %s is %q, which no plugin has", f.name, clip(f.value))
		}
	}
	switch {
	case !digestForm.MatchString(s.Digest):
		return fmt.Errorf("its digest is %q: it must be sha256: and 64 lower-case hex digits", clip(s.Digest))
	case s.SignedAt.IsZero() || s.SignedAt.Nanosecond() != 0 || s.SignedAt.Year() > 9999:
		return errors.New("its signed_at must be a time in whole seconds")
	default:
		return nil
	}
}

// text is what is signed.
func (s Statement) text() []byte {
	return fmt.Appendf(nil, "%s\nname: %s\nversion: %s\ndigest: %s\nsigned-at: %s\n",
		heading, s.Name, s.Version, s.Digest, s.SignedAt.UTC().Format(time.RFC3339))
}

// clip shortens what a message quotes.
func clip(s string) string {
	if r := []rune(s); len(r) > 80 {
		return string(r[:80]) + "…"
	}
	return s
}
