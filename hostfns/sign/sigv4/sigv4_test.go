package sigv4_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns/sign/sigv4"
)

// suite is the credential of AWS's test suite, at the time of it.
func suite(service string) (s sigv4.Signer, now time.Time) {
	return sigv4.Signer{
		AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", Region: "us-east-1", Service: service,
	}, time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)
}

// s3 is the credential of the examples of S3's documentation.
func s3() (s sigv4.Signer, now time.Time) {
	return sigv4.Signer{
		AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", Region: "us-east-1", Service: "s3",
	}, time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)
}

func request(t *testing.T, method, url string, header http.Header) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		r.Header = header
	}
	return r
}

// TestSignGivesThePublishedSignatures: of the test suite at
// https://docs.aws.amazon.com/general/latest/gr/signature-v4-test-suite.html, and of
// https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html.
func TestSignGivesThePublishedSignatures(t *testing.T) {
	t.Parallel()
	const form = "application/x-www-form-urlencoded"
	tests := map[string]struct {
		service, method, url string
		header               http.Header
		body, want           string
	}{
		"get-vanilla":                     {"service", "GET", "https://example.amazonaws.com/", nil, "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		"get-slashes":                     {"service", "GET", "https://example.amazonaws.com//", nil, "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		"get-relative":                    {"service", "GET", "https://example.amazonaws.com/example/..", nil, "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		"get-unreserved":                  {"service", "GET", "https://example.amazonaws.com/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", nil, "", "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
		"get-vanilla-empty-query-key":     {"service", "GET", "https://example.amazonaws.com/?Param1=value1", nil, "", "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
		"get-vanilla-query-order-key":     {"service", "GET", "https://example.amazonaws.com/?Param2=value2&Param1=value1", nil, "", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
		"get-header-key-duplicate":        {"service", "GET", "https://example.amazonaws.com/", http.Header{"My-Header1": {"value2", "value2", "value1"}}, "", "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
		"get-header-value-trim":           {"service", "GET", "https://example.amazonaws.com/", http.Header{"My-Header1": {" value1"}, "My-Header2": {` "a   b   c"`}}, "", "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
		"post-vanilla":                    {"service", "POST", "https://example.amazonaws.com/", nil, "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
		"post-x-www-form-urlencoded":      {"service", "POST", "https://example.amazonaws.com/", http.Header{"Content-Type": {form}}, "Param1=value1", "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
		"IAM's ListUsers":                 {"iam", "GET", "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08", http.Header{"Content-Type": {form + "; charset=utf-8"}}, "", "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"},
		"S3's object":                     {"s3", "GET", "https://examplebucket.s3.amazonaws.com/test.txt", http.Header{"Range": {"bytes=0-9"}}, "", "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
		"S3's upload":                     {"s3", "PUT", "https://examplebucket.s3.amazonaws.com/test$file.text", http.Header{"Date": {"Fri, 24 May 2013 00:00:00 GMT"}, "X-Amz-Storage-Class": {"REDUCED_REDUNDANCY"}}, "Welcome to Amazon S3.", "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
		"S3's parameter without a value":  {"s3", "GET", "https://examplebucket.s3.amazonaws.com/?lifecycle", nil, "", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
		"S3's list":                       {"s3", "GET", "https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J", nil, "", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
		"headers that change, unsigned":   {"service", "GET", "https://example.amazonaws.com/", http.Header{"User-Agent": {"x"}, "Accept-Encoding": {"gzip"}, "Authorization": {"old"}}, "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		"a query in lower-case escapes":   {"service", "GET", "https://example.amazonaws.com/?Param1=value1&", nil, "", "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
		"a name of the query, unescaped":  {"s3", "GET", "https://examplebucket.s3.amazonaws.com/?max%2Dkeys=2&prefix=%4a", nil, "", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
		"a path that is escaped needless": {"s3", "PUT", "https://examplebucket.s3.amazonaws.com/test%24file.text", http.Header{"Date": {"Fri, 24 May 2013 00:00:00 GMT"}, "X-Amz-Storage-Class": {"REDUCED_REDUNDANCY"}}, "Welcome to Amazon S3.", "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, now := suite(tt.service)
			if tt.service == "s3" {
				s, now = s3()
			}
			r := request(t, tt.method, tt.url, tt.header)
			s.Sign(r, sigv4.Hash([]byte(tt.body)), now)
			got := r.Header.Get("Authorization")
			if !strings.HasSuffix(got, "Signature="+tt.want) {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if want := "AWS4-HMAC-SHA256 Credential=" + s.AccessKeyID + "/"; !strings.HasPrefix(got, want) {
				t.Errorf("got %s, want %s...", got, want)
			}
		})
	}
}

// TestPresignGivesThePublishedURL: of
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html.
func TestPresignGivesThePublishedURL(t *testing.T) {
	t.Parallel()
	s, now := s3()
	u, err := url.Parse("https://examplebucket.s3.amazonaws.com/test.txt")
	if err != nil {
		t.Fatal(err)
	}
	got := s.Presign("GET", u, 24*time.Hour, now).String()
	want := "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256" +
		"&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z" +
		"&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if u.RawQuery != "" {
		t.Errorf("the caller's URL has changed: %s", u)
	}
}

func TestSignSendsTheTokenOfALentCredential(t *testing.T) {
	t.Parallel()
	s, now := suite("service")
	s.SessionToken = "session+token"
	r := request(t, "GET", "https://example.amazonaws.com/", nil)
	s.Sign(r, sigv4.Hash(nil), now)
	if got := r.Header.Get("X-Amz-Security-Token"); got != s.SessionToken || !strings.Contains(r.Header.Get("Authorization"), "x-amz-security-token") {
		t.Errorf("got %q in %v", got, r.Header)
	}
	u, _ := url.Parse("https://example.amazonaws.com/?a=b")
	if got := s.Presign("GET", u, time.Minute, now).Query(); got.Get("X-Amz-Security-Token") != s.SessionToken || got.Get("a") != "b" {
		t.Errorf("got %v", got)
	}
}

func TestSignerPrintsNothing(t *testing.T) {
	t.Parallel()
	s, _ := suite("service")
	var logged strings.Builder
	slog.New(slog.NewTextHandler(&logged, nil)).Info("signer", slog.Any("signer", s))
	if got := fmt.Sprintf("%v %+v %#v %s %d", s, s, s, s, s) + logged.String(); strings.Contains(got, "wJalr") || strings.Contains(got, "AKID") {
		t.Errorf("got %s", got)
	}
}
