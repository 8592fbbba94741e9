package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/login"
	"github.com/cofferdam-run/cofferdam/host/login/logintest"
	"github.com/cofferdam-run/cofferdam/host/token"
)

func openIDProvider(t *testing.T) string {
	t.Helper()
	p, err := logintest.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	p.Claims = map[string]any{"email": "ada@example.com", "groups": []string{"platform"}}
	return p.URL
}

// writeCertificate writes a certificate of a number, and its key, and returns it.
func writeCertificate(t *testing.T, dir string, number int64) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(number), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: secret}} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		// Two of the same length may be written within the clock's resolution.
		at := time.Unix(1_700_000_000+number, 0)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(cert)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestCertificateIsReadAgainWhenItChanges(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := &app{settings: &settings{access: access{TLSCert: filepath.Join(dir, "cert.pem"), TLSKey: filepath.Join(dir, "key.pem")}}}
	first := writeCertificate(t, dir, 1)
	c, err := a.openCertificates(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	shows := func(want *x509.Certificate) {
		t.Helper()
		now = now.Add(lookEvery)
		if got := c.current(now); !got.Leaf.Equal(want) {
			t.Errorf("it shows certificate %v, want %v", got.Leaf.SerialNumber, want.SerialNumber)
		}
	}
	shows(first)
	second := writeCertificate(t, dir, 2)
	shows(second)
	// Half-written, not fitting together, or gone: the one before is shown.
	if err := os.WriteFile(a.TLSCert, []byte("-----BEGIN"), 0o600); err != nil {
		t.Fatal(err)
	}
	shows(second)
	if err := os.Remove(a.TLSKey); err != nil {
		t.Fatal(err)
	}
	shows(second)
	shows(writeCertificate(t, dir, 3))
}

func TestListenerSpeaksTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert := writeCertificate(t, dir, 1)
	a := &app{settings: &settings{access: access{TLSCert: filepath.Join(dir, "cert.pem"), TLSKey: filepath.Join(dir, "key.pem")}}}
	c, err := a.openCertificates(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Minute}
	done := make(chan error, 1)
	go func() { done <- (&server{certificates: c}).listen(web, l) }()
	t.Cleanup(func() { _ = web.Close(); <-done })
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	for max, ok := range map[uint16]bool{tls.VersionTLS13: true, tls.VersionTLS12: true, tls.VersionTLS11: false} {
		conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{
			RootCAs: roots, MinVersion: tls.VersionTLS10, MaxVersion: max, NextProtos: []string{"h2"},
		})
		if (err == nil) != ok {
			t.Errorf("up to %s: %v", tls.VersionName(max), err)
			continue
		}
		if err == nil {
			if got := conn.ConnectionState().NegotiatedProtocol; got != "h2" {
				t.Errorf("it speaks %q, want h2", got)
			}
			_ = conn.Close()
		}
	}
}

func TestGrantsAreRead(t *testing.T) {
	t.Parallel()
	got, err := grantsOf([]string{"groups=platform:operator", "https://example.com/team=a=b:c:publisher"})
	want := []login.Grant{
		{Claim: "groups", Value: "platform", Role: token.Operator},
		{Claim: "https://example.com/team", Value: "a=b:c", Role: token.Publisher},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, text := range []string{"", "operator", "groups:operator", ":", "="} {
		if _, err := grantsOf([]string{text}); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
