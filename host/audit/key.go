package audit

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// Key signs checkpoints (Ed25519). It is a file that only its owner can read, beside
// that of the key that seals credentials, and kept apart from the database: who has the
// one can write a log, who has the other can sign it. The file has two lines for a key:
// the private one, and the public. While a key is replaced it has two keys, the new one
// first, and both sign.
type Key struct {
	note.Signer

	public public
	before []*Key
}

// public is a verifier that knows its text.
type public struct {
	note.Verifier

	text string
}

// String is the key as verifiers are given it.
func (p public) String() string { return p.text }

// Public verifies what the key signs. It prints as the text that ParsePublic reads.
func (k *Key) Public() note.Verifier { return k.public }

// Before are the keys that this one replaces, which sign along with it.
func (k *Key) Before() []*Key { return slices.Clone(k.before) }

// String is the name, without the key.
func (k *Key) String() string { return k.Name() }

// GoString is the name, without the key.
func (k *Key) GoString() string { return k.Name() }

// ParsePublic reads a public key, as name+hash+key.
func ParsePublic(text string) (note.Verifier, error) {
	text = strings.TrimSpace(text)
	v, err := note.NewVerifier(text)
	if err != nil {
		return nil, fmt.Errorf("read the audit log's public key, which is name+hash+key: %w", err)
	}
	return public{v, text}, nil
}

// OpenKey reads a key file.
func OpenKey(path string) (*Key, error) {
	data, err := os.ReadFile(path) //nolint:gosec // The operator names it.
	if err != nil {
		return nil, fmt.Errorf("read the audit key: %w", err)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	if len(lines)%2 != 0 || len(lines) > 2*maxKeys {
		return nil, fmt.Errorf("read the audit key %s: it has %d lines, and a key has two", path, len(lines))
	}
	var keys []*Key
	for i := 0; i < len(lines); i += 2 {
		k, err := parseKey(lines[i], lines[i+1])
		if err != nil {
			return nil, err
		}
		if i > 0 && (k.Name() != keys[0].Name() || k.KeyHash() == keys[0].KeyHash()) {
			return nil, fmt.Errorf("read the audit key %s: its keys are not two of one log", path)
		}
		keys = append(keys, k)
	}
	keys[0].before = keys[1:]
	return keys[0], nil
}

// maxKeys is how many keys a file has while one is replaced.
const maxKeys = 2

// CreateKey makes a key file. One that is there already is an error.
func CreateKey(path string) (*Key, error) {
	// A name that no other log has: it is in every checkpoint, and tells them apart.
	var id [6]byte
	rand.Read(id[:]) // It never fails: <https://pkg.go.dev/crypto/rand#Read>.
	secret, text, err := note.GenerateKey(rand.Reader, "cofferdam-audit-"+hex.EncodeToString(id[:]))
	if err != nil {
		return nil, fmt.Errorf("make an audit key: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make an audit key: %w", err)
	}
	if err := create(path, secret+"\n"+text+"\n"); err != nil {
		return nil, fmt.Errorf("make an audit key: %w", err)
	}
	return parseKey(secret, text)
}

// ReplaceKey puts a new key of the same log before the one of a file, which signs along
// from then on. It is an error while another one is being replaced.
func ReplaceKey(path string) (*Key, error) {
	was, err := OpenKey(path)
	if err != nil {
		return nil, err
	}
	if len(was.before) > 0 {
		return nil, fault.New(fault.Conflict, "audit_key_replaced", "the audit key %s is being replaced already", was.public.text)
	}
	old, err := os.ReadFile(path) //nolint:gosec // The operator names it.
	if err != nil {
		return nil, fmt.Errorf("read the audit key: %w", err)
	}
	secret, text, err := note.GenerateKey(rand.Reader, was.Name())
	if err != nil {
		return nil, fmt.Errorf("make an audit key: %w", err)
	}
	if err := replace(path, secret+"\n"+text+"\n"+string(old)); err != nil {
		return nil, fmt.Errorf("replace the audit key: %w", err)
	}
	return OpenKey(path)
}

// RetireKeys takes all keys but the first one from a file, and returns it.
func RetireKeys(path string) (*Key, error) {
	if _, err := OpenKey(path); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path) //nolint:gosec // The operator names it.
	if err != nil {
		return nil, fmt.Errorf("read the audit key: %w", err)
	}
	lines := strings.SplitAfterN(string(data), "\n", 3)
	if err := replace(path, strings.Join(lines[:2], "")); err != nil {
		return nil, fmt.Errorf("replace the audit key: %w", err)
	}
	return OpenKey(path)
}

// replace makes a file another one at once: a crash leaves the one or the other.
func replace(path, text string) error {
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := create(fresh, text); err != nil {
		return err
	}
	if err := os.Rename(fresh, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// create makes a file that is durable.
func create(path, text string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // The operator names it.
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}

func parseKey(secret, text string) (*Key, error) {
	s, err := note.NewSigner(secret)
	if err != nil {
		// Without err: it must not show what it was made of.
		return nil, fmt.Errorf("read the audit key: its first line is no private key of a signed note")
	}
	v, err := ParsePublic(text)
	if err != nil {
		return nil, err
	}
	if v.Name() != s.Name() || v.KeyHash() != s.KeyHash() {
		return nil, fmt.Errorf("read the audit key: its lines are of two keys")
	}
	return &Key{Signer: s, public: v.(public)}, nil //nolint:forcetypeassert // ParsePublic returns no other.
}
