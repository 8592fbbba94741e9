package webhook

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// scheme says, as data, how a vendor signs its deliveries. A vendor that signs
// in a new way adds a value to one of the enumerations below, and no code
// anywhere else.
type scheme struct {
	name string
	// headers are the names under which the parts come. The first set of which any
	// is present is the one, and then it must be whole: parts of two sets never mix.
	headers []headers
	// parse says how signatures stand in their header, and prefix what each
	// begins with.
	parse  parse
	prefix string
	key    keyForm
	// signed is the text that the signature (HMAC-SHA256) covers: {id}, {ts} and
	// {body} stand for the parts, as they came.
	signed string
	enc    encoding
	// tolerance is how far the timestamp, in seconds, may be from now, either way;
	// zero for a scheme without one.
	tolerance time.Duration
	// pings are deliveries that the vendor makes to try the endpoint.
	pings []ping
}

// headers are names of headers; an empty one does not exist in the scheme.
type headers struct{ id, timestamp, signature string }

// ping is a delivery with a header of a value: it is verified, and not stored.
type ping struct{ header, value string }

type parse int

const (
	plain parse = iota // One signature.
	list               // Several, with spaces between; one that is right will do.
)

type keyForm int

const (
	utf8Key  keyForm = iota // The secret's own bytes.
	whsecKey                // "whsec_" and base64.
)

type encoding int

const (
	hexLower encoding = iota
	base64Std
)

// schemes are all that there are, by name.
func schemes() []scheme {
	return []scheme{
		{
			// https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries.
			// X-Hub-Signature, the one with SHA-1, is not looked at.
			name:    "github",
			headers: []headers{{id: "X-GitHub-Delivery", signature: "X-Hub-Signature-256"}},
			parse:   plain, prefix: "sha256=", key: utf8Key, signed: "{body}", enc: hexLower,
			pings: []ping{{"X-GitHub-Event", "ping"}},
		},
		{
			// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
			name: "standard-webhooks",
			headers: []headers{
				{id: "Webhook-Id", timestamp: "Webhook-Timestamp", signature: "Webhook-Signature"},
				{id: "Svix-Id", timestamp: "Svix-Timestamp", signature: "Svix-Signature"}, // From before the standard.
			},
			parse: list, prefix: "v1,", key: whsecKey, signed: "{id}.{ts}.{body}", enc: base64Std,
			tolerance: 5 * time.Minute,
		},
	}
}

// Schemes names the signature schemes, sorted.
func Schemes() []string {
	var names []string
	for _, s := range schemes() {
		names = append(names, s.name)
	}
	slices.Sort(names)
	return names
}

func schemeOf(name string) (scheme, error) {
	for _, s := range schemes() {
		if s.name == name {
			return s, nil
		}
	}
	return scheme{}, fault.New(fault.InvalidInput, "unknown_scheme", "there is no signature scheme %.64q: there are %s",
		name, strings.Join(Schemes(), " and "))
}

// whsec begins the secrets of Standard Webhooks.
const whsec = "whsec_"

// secretBytes is what both schemes recommend: as long as SHA-256's output.
const secretBytes = 32

// NewSecret makes a signing secret in the form that the scheme wants.
func NewSecret(name string) (string, error) {
	s, err := schemeOf(name)
	if err != nil {
		return "", err
	}
	random := make([]byte, secretBytes)
	rand.Read(random) // It never fails: <https://pkg.go.dev/crypto/rand#Read>.
	if s.key == whsecKey {
		return whsec + base64.StdEncoding.EncodeToString(random), nil
	}
	return hex.EncodeToString(random), nil
}

// CheckSecret refuses a secret that the scheme cannot use. It never quotes it.
func CheckSecret(name, secret string) error {
	s, err := schemeOf(name)
	if err != nil {
		return err
	}
	_, err = s.keyOf(secret)
	return err
}

// Lengths of secrets, in bytes. Standard Webhooks says 24 to 64; GitHub takes
// anything, and what is shorter than 8 can be guessed.
const (
	minKey, maxKey     = 24, 64
	minText, maxText   = 8, 256
	codeSecret         = "invalid_secret"
	whereSecretIsGiven = "/secret"
)

// keyOf decodes a secret.
func (s scheme) keyOf(secret string) ([]byte, error) {
	refuse := func(format string, args ...any) error {
		return fault.New(fault.InvalidInput, codeSecret, format, args...).At(whereSecretIsGiven).
			WithHint("Copy the signing secret from the vendor's page, whole, or leave it out to have one made.")
	}
	if strings.ContainsFunc(secret, func(r rune) bool { return r < ' ' || r == 0x7f }) || secret != strings.TrimSpace(secret) {
		return nil, refuse("the secret has a line break, a control character, or a space at an end")
	}
	if s.key == utf8Key {
		if n := len(secret); n < minText || n > maxText {
			return nil, refuse("the secret is %d bytes long: it must have %d to %d", n, minText, maxText)
		}
		return []byte(secret), nil
	}
	encoded, ok := strings.CutPrefix(secret, whsec)
	if !ok {
		return nil, refuse("a secret of %s begins with %s", s.name, whsec)
	}
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, refuse("what follows %s is not base64", whsec)
	}
	if n := len(key); n < minKey || n > maxKey {
		return nil, refuse("what follows %s decodes to %d bytes: it must be %d to %d", whsec, n, minKey, maxKey)
	}
	return key, nil
}
