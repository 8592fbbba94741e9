// Package keyenv keeps the key encryption key in an environment variable, where a
// platform that keeps secrets puts it. Whoever reads the variable gives its bytes to
// Parse, and had better take it out of the environment then: child processes and
// crash reports see it there.
//
//	key, err := keyenv.Parse([]byte(os.Getenv("COFFERDAM_KEY")))
//	os.Unsetenv("COFFERDAM_KEY")
//
// The key is 32 random bytes in base64 or hex, such as `openssl rand -base64 32`
// prints. It is the same key as one of package keyfile with these bytes, with the same
// id, so that it can move from one to the other.
package keyenv

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"

	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
)

// size is that of a key in bytes.
const size = 32

// distinctLeast is how many different bytes a key has at least. 32 random ones have
// about 30 of them; a word that is repeated, or zeros, has fewer.
const distinctLeast = 16

// Error is a value that is no key. It never quotes the value.
type Error struct{ Problem string }

// Error implements error.
func (e *Error) Error() string {
	return "read the key: " + e.Problem + ". Make one with `openssl rand -base64 32`, and only for a Cofferdam without data: nothing else opens what was sealed"
}

// Parse returns the Key that a variable's value says. The value is not kept.
func Parse(value []byte) (*keyfile.Key, error) {
	value = bytes.TrimSpace(value)
	if len(value) == 0 {
		return nil, &Error{"it is empty"}
	}
	secret, err := decode(value)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	distinct := map[byte]bool{}
	for _, b := range secret {
		distinct[b] = true
	}
	if len(distinct) < distinctLeast {
		return nil, &Error{fmt.Sprintf("it has %d different bytes among its %d, so it is not random", len(distinct), size)}
	}
	return keyfile.FromKey([size]byte(secret))
}

func decode(value []byte) ([]byte, error) {
	if len(value) == hex.EncodedLen(size) {
		secret := make([]byte, size)
		if _, err := hex.Decode(secret, value); err != nil {
			return nil, &Error{fmt.Sprintf("it has %d characters and is not hex", len(value))}
		}
		return secret, nil
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		secret := make([]byte, encoding.DecodedLen(len(value)))
		n, err := encoding.Strict().Decode(secret, value)
		if err != nil {
			continue
		}
		if n != size {
			return nil, &Error{fmt.Sprintf("it has %d bytes, and must have %d", n, size)}
		}
		return secret[:n], nil
	}
	return nil, &Error{fmt.Sprintf("it is neither base64 nor hex of %d bytes", size)}
}
