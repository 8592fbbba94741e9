package connection_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/hostfns/sign"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// pemOf writes a private key as people have it.
func pemOf(t *testing.T, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func ecKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// selfSigned is a certificate for a client, and its key, in PEM.
func selfSigned(t *testing.T, name string) (certificate, key string) {
	t.Helper()
	private := ecKey(t, elliptic.P256())
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), pemOf(t, private)
}

func held(t *testing.T, specs map[string]connection.Spec) egress.Credentials {
	t.Helper()
	for name, s := range specs {
		s.Name, s.Hosts = name, append(s.Hosts, "api.example.com")
		specs[name] = s
	}
	h, err := connection.Held(specs, func() time.Time { return time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC) })
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func aws(service string) connection.Spec {
	return connection.Spec{Type: connection.AWS, Credential: connection.Credential{
		AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", Region: "us-east-1", Service: service,
	}}
}

func TestApplySignsRequestsForAWS(t *testing.T) {
	t.Parallel()
	spec := aws("service")
	spec.Hosts = []string{"example.amazonaws.com"}
	h := held(t, map[string]connection.Spec{"aws": spec})
	r := request(t, "https://example.amazonaws.com/")
	r.Header = http.Header{"Authorization": {"mine"}, "X-Amz-Date": {"19700101T000000Z"}, "X_amz_date": {"x"}}
	secrets, err := h.Apply(t.Context(), "aws", r)
	if err != nil {
		t.Fatal(err)
	}
	// get-vanilla of AWS's test suite.
	const want = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, " +
		"Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
	if got := r.Header.Get("Authorization"); got != want || len(r.Header) != 2 {
		t.Errorf("got %v, want %s", r.Header, want)
	}
	if len(secrets) != 2 || secrets[0] != spec.Credential.SecretAccessKey {
		t.Errorf("%d secrets are told", len(secrets))
	}
}

func TestApplySignsTheBodyOfWhatIsSent(t *testing.T) {
	t.Parallel()
	const key = "0123456789abcdef0123456789abcdef"
	for encoding, written := range map[string]string{"": key, "hex": hex.EncodeToString([]byte(key)), "base64": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"} {
		h := held(t, map[string]connection.Spec{"c": {
			Type: connection.HMAC, Header: "X-Signature", Credential: connection.Credential{Key: written, KeyEncoding: encoding},
		}})
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://api.example.com/", strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header["x_signature"] = []string{"the guest's own"}
		if _, err := h.Apply(t.Context(), "c", r); err != nil {
			t.Fatal(err)
		}
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte("hello"))
		if got, want := r.Header.Get("X-Signature"), hex.EncodeToString(mac.Sum(nil)); got != want || len(r.Header) != 1 {
			t.Errorf("%q: got %v, want %s", encoding, r.Header, want)
		}
		if body, err := io.ReadAll(r.Body); err != nil || string(body) != "hello" {
			t.Errorf("the body is %q, %v", body, err)
		}
	}
}

func TestApplySendsNoKeyThatOnlySigns(t *testing.T) {
	t.Parallel()
	h := held(t, map[string]connection.Spec{
		"hmac": {Type: connection.HMAC, Credential: connection.Credential{Key: "0123456789abcdef"}},
		"app":  {Type: connection.PrivateKey, Credential: connection.Credential{PrivateKey: pemOf(t, ecKey(t, elliptic.P256()))}},
	})
	for _, name := range []string{"hmac", "app"} {
		r := request(t, "https://api.example.com/")
		if _, err := h.Apply(t.Context(), name, r); !errors.Is(err, egress.ErrHostNotAllowed) || len(r.Header) != 0 {
			t.Errorf("%s: got %v with %v", name, err, r.Header)
		}
	}
}

func TestKeySigns(t *testing.T) {
	t.Parallel()
	weak := aws("s3")
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys, ok := held(t, map[string]connection.Spec{
		"hmac":   {Type: connection.HMAC, Credential: connection.Credential{Key: "0123456789abcdef", KeyID: "1"}},
		"app":    {Type: connection.PrivateKey, Credential: connection.Credential{PrivateKey: pemOf(t, ed), KeyID: "2"}},
		"aws":    weak,
		"bearer": {Type: connection.Bearer, Credential: connection.Credential{Token: "t0ken"}},
	}).(sign.Keys)
	if !ok {
		t.Fatal("they are no keys")
	}
	if k, err := keys.Key(t.Context(), "hmac"); err != nil || string(k.Secret) != "0123456789abcdef" || k.ID != "1" {
		t.Errorf("hmac: got %v, %v", k.ID, err)
	}
	if k, err := keys.Key(t.Context(), "app"); err != nil || k.Private == nil || k.ID != "2" {
		t.Errorf("app: got %v, %v", k.ID, err)
	}
	k, err := keys.Key(t.Context(), "aws")
	if err != nil || k.AWS == nil {
		t.Fatalf("aws: got %v", err)
	}
	for raw, want := range map[string]bool{"https://api.example.com/x": true, "https://example.com/": false, "https://api.example.com:1/": false} {
		u, err := url.Parse(raw)
		if err != nil || k.Covers(u) != want {
			t.Errorf("%s: got %v, want %v", raw, !want, want)
		}
	}
	if _, err := keys.Key(t.Context(), "bearer"); !errors.Is(err, sign.ErrNoKey) {
		t.Errorf("bearer: got %v", err)
	}
	if _, err := keys.Key(t.Context(), "gone"); !errors.Is(err, sign.ErrNoConnection) {
		t.Errorf("gone: got %v", err)
	}
}

func TestSpecsOfKeysAreChecked(t *testing.T) {
	t.Parallel()
	certificate, key := selfSigned(t, "one")
	_, other := selfSigned(t, "other")
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	type credential = connection.Credential
	for name, tt := range map[string]struct {
		spec connection.Spec
		want string
	}{
		"a short secret":              {connection.Spec{Type: connection.HMAC, Credential: credential{Key: "short-secret"}}, "has 12 bytes, and an HMAC's has at least 16"},
		"a secret short when decoded": {connection.Spec{Type: connection.HMAC, Credential: credential{Key: "c2hvcnQtc2VjcmV0", KeyEncoding: "base64"}}, "has 12 bytes"},
		"a secret that is no base64":  {connection.Spec{Type: connection.HMAC, Credential: credential{Key: "******** ********", KeyEncoding: "base64"}}, "not in base64"},
		"a secret that is no hex":     {connection.Spec{Type: connection.HMAC, Credential: credential{Key: "zz", KeyEncoding: "hex"}}, "not in hexadecimal"},
		"an unknown encoding":         {connection.Spec{Type: connection.HMAC, Credential: credential{Key: "0123456789abcdef", KeyEncoding: "rot13"}}, "must be base64 or hex"},
		"a secret for a query":        {connection.Spec{Type: connection.HMAC, Query: "q", Credential: credential{Key: "0123456789abcdef"}}, "has a place of its own"},
		"a secret for Host":           {connection.Spec{Type: connection.HMAC, Header: "Host", Credential: credential{Key: "0123456789abcdef"}}, "says how a request travels"},
		"no PEM":                      {connection.Spec{Type: connection.PrivateKey, Credential: credential{PrivateKey: "hunter2-is-no-key"}}, "must be one block of PEM"},
		"a public key":                {connection.Spec{Type: connection.PrivateKey, Credential: credential{PrivateKey: certificate}}, "must be a PRIVATE KEY"},
		"half a key":                  {connection.Spec{Type: connection.PrivateKey, Credential: credential{PrivateKey: "-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----\n"}}, "was it copied whole"},
		"two keys":                    {connection.Spec{Type: connection.PrivateKey, Credential: credential{PrivateKey: key + other}}, "must be one block"},
		"a weak key":                  {connection.Spec{Type: connection.PrivateKey, Credential: credential{PrivateKey: pemOf(t, small)}}, "less than 2048 bits"},
		"another curve":               {connection.Spec{Type: connection.PrivateKey, Credential: credential{PrivateKey: pemOf(t, ecKey(t, elliptic.P521()))}}, "a curve other than"},
		"a place that is no region":   {connection.Spec{Type: connection.AWS, Credential: credential{AccessKeyID: "a", SecretAccessKey: "b", Region: "EU/x", Service: "s3"}}, "as AWS writes them"},
		"no service":                  {connection.Spec{Type: connection.AWS, Credential: credential{AccessKeyID: "a", SecretAccessKey: "b", Region: "eu-west-1"}}, "needs a service"},
		"a key of another":            {connection.Spec{Type: connection.Certificate, Credential: credential{Certificate: certificate, PrivateKey: other}}, "do not belong together"},
		"no certificate":              {connection.Spec{Type: connection.Certificate, Credential: credential{PrivateKey: key}}, "needs a certificate"},
		"a part of another type":      {connection.Spec{Type: connection.Bearer, Credential: credential{Token: "t0ken", Region: "eu-west-1"}}, "has no region: it has token"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.spec.Name, tt.spec.Hosts = "c", []string{"api.example.com"}
			_, err := connection.Held(map[string]connection.Spec{"c": tt.spec}, time.Now)
			f, ok := errors.AsType[*fault.Error](err)
			if !ok || !strings.Contains(f.Message, tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			doc, err := json.Marshal(f)
			if err != nil || strings.Contains(string(doc), "hunter2") || strings.Contains(string(doc), "MIGH") {
				t.Errorf("it quotes the credential: %s", doc)
			}
		})
	}
	good := connection.Spec{Name: "c", Type: connection.Certificate, Hosts: []string{"api.example.com"}, Credential: credential{Certificate: certificate, PrivateKey: key}}
	if _, err := connection.Held(map[string]connection.Spec{"c": good}, time.Now); err != nil {
		t.Errorf("a certificate and its key: %v", err)
	}
	if got := fmt.Sprintf("%+v %#v", good.Credential, good); strings.Contains(got, "BEGIN") {
		t.Errorf("it prints: %s", got)
	}
}

// TestCertificatesAreShownToTheirHostsAlone, over TLS, and on no connection that serves
// requests without them.
func TestCertificatesAreShownToTheirHostsAlone(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := "nobody"
		if len(r.TLS.PeerCertificates) > 0 {
			name = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		fmt.Fprint(w, name)
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	host := server.Listener.Addr().String()
	specs := map[string]connection.Spec{}
	for _, name := range []string{"one", "two"} {
		certificate, key := selfSigned(t, name)
		specs[name] = connection.Spec{Type: connection.Certificate, Hosts: []string{host}, Credential: connection.Credential{Certificate: certificate, PrivateKey: key}}
	}
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	out := egress.New(egress.Config{AllowAddrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, RootCAs: roots})
	t.Cleanup(out.Close)
	for _, pool := range []string{"ten_a", ""} {
		session := out.Session(egress.Permissions{
			Rules: []egress.Rule{{Host: host, Methods: []string{"GET"}}}, Credentials: held(t, specs), Pool: pool,
		})
		for _, name := range []string{"one", "", "two", "one", ""} {
			result, err := session.Funcs()[0].Answer(t.Context(), fmt.Appendf(nil, `{"connection":%q,"method":"GET","url":"https://%s/"}`, name, host))
			doc, _ := json.Marshal(result)
			want := name
			if want == "" {
				want = "nobody"
			}
			if err != nil || !strings.Contains(string(doc), `"body":"`+want+`"`) {
				t.Errorf("pool %q: got %s, %v, want %s", pool, doc, err, want)
			}
		}
		_, err := session.Funcs()[0].Answer(t.Context(), fmt.Appendf(nil, `{"connection":"one","method":"GET","url":"http://%s/"}`, host))
		if err == nil || !strings.Contains(err.Error(), "plain http") {
			t.Errorf("plain http: got %v", err)
		}
	}
}

// TestBodiesThatAreStreamedAreNotSigned: S3 takes them without, and nobody else does.
func TestBodiesThatAreStreamedAreNotSigned(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s, %s", body, r.Header.Get("X-Amz-Content-Sha256"))
	}))
	t.Cleanup(server.Close)
	host := server.Listener.Addr().String()
	aws := func(service string) connection.Spec {
		return connection.Spec{Type: connection.AWS, Hosts: []string{host}, Credential: connection.Credential{
			AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", Region: "eu-west-1", Service: service,
		}}
	}
	specs := map[string]connection.Spec{
		"s3": aws("s3"), "sqs": aws("sqs"),
		"hook": {Type: connection.HMAC, Header: "X-Signature", Hosts: []string{host}, Credential: connection.Credential{Key: "0123456789abcdef0123456789abcdef"}},
	}
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	out := egress.New(egress.Config{AllowAddrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, RootCAs: roots})
	t.Cleanup(out.Close)
	for name, want := range map[string]string{"s3": `"body":"chunk, UNSIGNED-PAYLOAD"`, "sqs": "signs the body", "hook": "signs the body"} {
		session := out.Session(egress.Permissions{Rules: []egress.Rule{{Host: host, Methods: []string{"PUT"}}}, Credentials: held(t, specs)})
		defer session.Close()
		gate := hostfns.NewGate(hostfns.GateConfig{Funcs: session.Funcs(), Now: time.Now})
		said := ""
		for _, call := range []runtime.Crossing{
			{Func: "http", Request: fmt.Appendf(nil, `{"connection":%q,"method":"PUT","url":"https://%s/","upload":true}`, name, host)},
			{Func: "stream_write", Request: []byte("{\"upload\":1}\nchunk")},
			{Func: "stream_finish", Request: []byte(`{"upload":1}`)},
		} {
			answer, err := gate.Call(t.Context(), call)
			if err != nil {
				t.Fatal(err)
			}
			said += string(answer.Response)
		}
		if !strings.Contains(said, want) {
			t.Errorf("%s: got %s, want %s", name, said, want)
		}
	}
}
