package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// The rules of this file:
//
//   - What is compared is text: the signature that should have come, against
//     the one that came. There is nothing to decode, so that neither padding nor
//     case nor white space makes a second form of a right signature.
//   - What is signed is bytes as they came, and never a value printed anew.
//   - A refusal does not say which of several checks of one part failed, and
//     quotes nothing that came.

const (
	codeMissing = "signature_missing"
	codeInvalid = "signature_invalid"
	codeTime    = "timestamp_out_of_range"
	codeNoID    = "delivery_id_missing"
	codeBadID   = "delivery_id_invalid"
)

const (
	// maxID bounds what is kept for ever as the key of duplicates. GitHub's ids
	// have 36 characters, Svix's 31.
	maxID = 256
	// maxSignatures bounds the signatures that are compared: a vendor sends one
	// for each of its live keys.
	maxSignatures = 16
)

// verify returns the delivery's id if the delivery was signed with secret.
func (s scheme) verify(secret string, now time.Time, h http.Header, body []byte) (id string, err error) {
	names := s.present(h)
	signature, err := single(h, names.signature)
	if err != nil {
		return "", err
	}
	if signature == "" {
		return "", fault.New(fault.Auth, codeMissing, "the delivery has no header %s", names.signature).
			WithHint("Give the vendor this endpoint's signing secret, and let it sign its deliveries.")
	}
	if id, err = s.idOf(h, names); err != nil {
		return "", err
	}
	timestamp, err := s.timestampOf(h, names, now)
	if err != nil {
		return "", err
	}
	key, err := s.keyOf(secret)
	if err != nil {
		return "", fmt.Errorf("use the signing secret: %w", fault.New(fault.Platform, fault.CodeInternal, "the endpoint's signing secret cannot be used").Because(err))
	}
	if !s.matches(signature, s.sign(key, id, timestamp, body)) {
		return "", invalid("the signature in %s is not that of this body under this endpoint's secret", names.signature)
	}
	return id, nil
}

// present returns the set of names that the delivery uses: the first of which
// any is there, or else the first.
func (s scheme) present(h http.Header) headers {
	for _, names := range s.headers {
		for _, name := range []string{names.id, names.timestamp, names.signature} {
			if name != "" && len(h.Values(name)) > 0 {
				return names
			}
		}
	}
	return s.headers[0]
}

// single returns a header's value, or "" if it is not there. Several values that
// differ are refused: a proxy and this program might each read another one.
func single(h http.Header, name string) (string, error) {
	values := h.Values(name)
	if len(values) == 0 {
		return "", nil
	}
	for _, v := range values[1:] {
		if v != values[0] {
			return "", invalid("the header %s is there %d times with different values", name, len(values))
		}
	}
	return values[0], nil
}

// idOf returns the id by which duplicates are known.
func (s scheme) idOf(h http.Header, names headers) (string, error) {
	id, err := single(h, names.id)
	if err != nil {
		return "", err
	}
	if id == "" {
		return "", fault.New(fault.InvalidInput, codeNoID, "the delivery has no header %s, by which a second delivery of it would be known", names.id)
	}
	if len(id) > maxID || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fault.New(fault.InvalidInput, codeBadID, "the header %s must have 1 to %d printable ASCII characters, and has %d bytes", names.id, maxID, len(id))
	}
	// "a.1.b" could be id a, time 1 and body b, or id a.1 and so on: whoever gets
	// to write a body could move its front into the id and keep the signature.
	if strings.Contains(s.signed, "{id}.") && strings.Contains(id, ".") {
		return "", fault.New(fault.InvalidInput, codeBadID, "the header %s has a full stop, which separates the signed parts", names.id)
	}
	return id, nil
}

// timestampOf returns the timestamp as it came, if it is near now.
func (s scheme) timestampOf(h http.Header, names headers, now time.Time) (string, error) {
	if names.timestamp == "" {
		return "", nil
	}
	timestamp, err := single(h, names.timestamp)
	if err != nil {
		return "", err
	}
	if timestamp == "" {
		return "", fault.New(fault.Auth, codeMissing, "the delivery has no header %s", names.timestamp)
	}
	seconds, ok := parseSeconds(timestamp)
	if !ok {
		return "", invalid("the header %s is not a time in seconds since 1970, in digits alone", names.timestamp)
	}
	off := seconds - now.Unix() // No overflow: parseSeconds gives at most 12 digits.
	if limit := int64(s.tolerance / time.Second); off < -limit || off > limit {
		return "", fault.New(fault.Auth, codeTime, "the delivery was signed %d s from now, and %d s is the limit", off, limit).
			WithHint("A redelivery must be signed anew. If all deliveries are refused, compare the clocks.")
	}
	return timestamp, nil
}

// parseSeconds reads digits without a sign or leading zeros. What has more than
// 12 is no time in seconds of the next 30,000 years.
func parseSeconds(s string) (int64, bool) {
	if s == "" || len(s) > 12 || s[0] == '0' && s != "0" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// sign returns the signature as it stands in the header.
func (s scheme) sign(key []byte, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	s.write(mac, id, timestamp, body)
	sum := mac.Sum(nil)
	if s.enc == base64Std {
		return s.prefix + base64.StdEncoding.EncodeToString(sum)
	}
	return s.prefix + hex.EncodeToString(sum)
}

// write writes the signed text part by part, so that the body is not copied.
func (s scheme) write(to hash.Hash, id, timestamp string, body []byte) {
	for text := s.signed; text != ""; {
		literal, rest, found := strings.Cut(text, "{")
		to.Write([]byte(literal))
		if !found {
			return
		}
		var part string
		part, text, _ = strings.Cut(rest, "}")
		switch part {
		case "id":
			to.Write([]byte(id))
		case "ts":
			to.Write([]byte(timestamp))
		case "body":
			to.Write(body)
		}
	}
}

// matches compares in constant time.
func (s scheme) matches(given, want string) bool {
	if s.parse == plain {
		return hmac.Equal([]byte(given), []byte(want))
	}
	compared := 0
	for one := range strings.SplitSeq(given, " ") {
		if compared++; compared > maxSignatures {
			return false
		}
		if hmac.Equal([]byte(one), []byte(want)) {
			return true
		}
	}
	return false
}

func invalid(format string, args ...any) error {
	return fault.New(fault.Auth, codeInvalid, format, args...).
		WithHint("Compare the signing secret at the vendor with this endpoint's, and see that nothing between them changes the body.")
}

// Sign returns the headers that a vendor of the scheme would send.
func Sign(name, secret, id string, at time.Time, body []byte) (http.Header, error) {
	s, err := schemeOf(name)
	if err != nil {
		return nil, err
	}
	key, err := s.keyOf(secret)
	if err != nil {
		return nil, err
	}
	names, timestamp := s.headers[0], ""
	h := http.Header{}
	h.Set(names.id, id)
	if names.timestamp != "" {
		timestamp = strconv.FormatInt(at.Unix(), 10)
		h.Set(names.timestamp, timestamp)
	}
	h.Set(names.signature, s.sign(key, id, timestamp, body))
	return h, nil
}
