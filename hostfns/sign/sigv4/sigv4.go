// Package sigv4 signs requests to AWS, and to those who speak its protocols, with
// Signature Version 4:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.
//
//	s := sigv4.Signer{AccessKeyID: id, SecretAccessKey: secret, Region: "eu-west-1", Service: "s3"}
//	s.Sign(r, sigv4.Hash(body), now)
//
// A Signer knows no time and no files: both are its caller's.
package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Unsigned is the hash of a body that is not part of the signature, as S3 allows.
const Unsigned = "UNSIGNED-PAYLOAD"

const (
	algorithm = "AWS4-HMAC-SHA256"
	stamp     = "20060102T150405Z"
)

// Signer is a credential and what it signs for. It prints as [redacted].
type Signer struct {
	AccessKeyID     string
	SecretAccessKey string
	// SessionToken is that of a credential which was lent; empty for none.
	SessionToken string
	// Region and Service are what the signature is good for, such as "eu-west-1" and "s3".
	Region, Service string
}

// Format implements fmt.Formatter, so that no verb prints a secret.
func (Signer) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "[redacted]") // The writer is fmt's own buffer.
}

// LogValue implements slog.LogValuer.
func (Signer) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// Hash is the hash of a body, as Sign takes it.
func Hash(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// Sign sets the headers x-amz-date, x-amz-security-token, for S3 x-amz-content-sha256,
// and authorization. It signs the headers that are there, but for those that are
// changed on the way; whoever sets one later that is signed breaks the signature.
func (s Signer) Sign(r *http.Request, bodyHash string, now time.Time) {
	now = now.UTC()
	r.Header.Del("Authorization")
	r.Header.Set("X-Amz-Date", now.Format(stamp))
	if s.SessionToken != "" {
		r.Header.Set("X-Amz-Security-Token", s.SessionToken)
	}
	if s.Service == "s3" {
		r.Header.Set("X-Amz-Content-Sha256", bodyHash)
	}
	names, headers := canonicalHeaders(r)
	canonical := strings.Join([]string{r.Method, s.path(r.URL), canonicalQuery(r.URL.RawQuery), headers, names, bodyHash}, "\n")
	r.Header.Set("Authorization", fmt.Sprintf("%s Credential=%s/%s, SignedHeaders=%s, Signature=%s",
		algorithm, s.AccessKeyID, s.scope(now), names, s.signature(canonical, now)))
}

// Presign gives a URL that carries its signature, good for anyone who has it from now
// on for as long as lifetime says, at most a week.
func (s Signer) Presign(method string, u *url.URL, lifetime time.Duration, now time.Time) *url.URL {
	now = now.UTC()
	signed := *u
	query := []string{
		"X-Amz-Algorithm=" + algorithm,
		"X-Amz-Credential=" + escape(s.AccessKeyID+"/"+s.scope(now), true),
		"X-Amz-Date=" + now.Format(stamp),
		"X-Amz-Expires=" + strconv.FormatInt(int64(lifetime/time.Second), 10),
		"X-Amz-SignedHeaders=host",
	}
	if s.SessionToken != "" {
		query = append(query, "X-Amz-Security-Token="+escape(s.SessionToken, true))
	}
	if u.RawQuery != "" {
		query = append([]string{u.RawQuery}, query...)
	}
	signed.RawQuery = strings.Join(query, "&")
	hash := Hash(nil)
	if s.Service == "s3" {
		hash = Unsigned
	}
	canonical := strings.Join([]string{method, s.path(u), canonicalQuery(signed.RawQuery), "host:" + u.Host + "\n", "host", hash}, "\n")
	signed.RawQuery += "&X-Amz-Signature=" + s.signature(canonical, now)
	return &signed
}

func (s Signer) scope(now time.Time) string {
	return strings.Join([]string{now.Format("20060102"), s.Region, s.Service, "aws4_request"}, "/")
}

func (s Signer) signature(canonical string, now time.Time) string {
	toSign := strings.Join([]string{algorithm, now.Format(stamp), s.scope(now), Hash([]byte(canonical))}, "\n")
	return hex.EncodeToString(keyed(s.key(now), toSign))
}

// key is good for one day, region and service.
func (s Signer) key(now time.Time) []byte {
	key := keyed([]byte("AWS4"+s.SecretAccessKey), now.Format("20060102"))
	for _, part := range []string{s.Region, s.Service, "aws4_request"} {
		key = keyed(key, part)
	}
	return key
}

func keyed(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// path is the path as it is signed: for S3 escaped once, as its keys are what they
// are, and for all others cleaned and escaped twice.
func (s Signer) path(u *url.URL) string {
	p := u.EscapedPath()
	if p == "" {
		return "/"
	}
	if s.Service == "s3" {
		if plain, err := url.PathUnescape(p); err == nil {
			return escape(plain, false)
		}
		return p
	}
	cleaned := path.Clean(p)
	if strings.HasSuffix(p, "/") && cleaned != "/" {
		cleaned += "/"
	}
	return escape(cleaned, false)
}

// canonicalQuery sorts parameters by name, then by value.
func canonicalQuery(raw string) string {
	var pairs [][2]string
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		pairs = append(pairs, [2]string{again(name), again(value)})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int {
		if c := strings.Compare(a[0], b[0]); c != 0 {
			return c
		}
		return strings.Compare(a[1], b[1])
	})
	parts := make([]string, len(pairs))
	for i, p := range pairs {
		parts[i] = p[0] + "=" + p[1]
	}
	return strings.Join(parts, "&")
}

// again escapes in AWS's way what is escaped in any.
func again(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		s = plain
	}
	return escape(s, true)
}

// escape leaves the unreserved characters of RFC 3986, and slashes unless they are to
// be escaped, too.
func escape(s string, slashes bool) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("-_.~", c) >= 0 || c == '/' && !slashes {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// canonicalHeaders gives the names that are signed, and the lines.
func canonicalHeaders(r *http.Request) (names, lines string) {
	values := map[string][]string{"host": {r.Host}}
	if r.Host == "" {
		values["host"] = []string{r.URL.Host}
	}
	for name, given := range r.Header {
		name = strings.ToLower(name)
		switch name {
		// What proxies and our own transport set.
		case "host", "authorization", "user-agent", "accept-encoding", "content-length", "connection", "expect", "transfer-encoding", "x-amzn-trace-id":
			continue
		}
		for _, v := range given {
			values[name] = append(values[name], strings.Join(strings.Fields(v), " "))
		}
	}
	sorted := make([]string, 0, len(values))
	for name := range values {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	var b strings.Builder
	for _, name := range sorted {
		b.WriteString(name + ":" + strings.Join(values[name], ",") + "\n")
	}
	return strings.Join(sorted, ";"), b.String()
}
