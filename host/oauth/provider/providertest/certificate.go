package providertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"
)

// certificates are an authority's of the test, the server's for all documented hosts,
// and the app's.
type certificates struct {
	roots                        *x509.CertPool
	rootPEM                      string
	server                       tls.Certificate
	clientCertificate, clientKey string
}

func certify(hosts []string) (certificates, error) {
	root := template("providertest")
	root.IsCA, root.BasicConstraintsValid, root.KeyUsage = true, true, x509.KeyUsageCertSign
	rootKey, err := newKey()
	if err != nil {
		return certificates{}, err
	}
	rootCert, err := sign(root, root, rootKey, rootKey)
	if err != nil {
		return certificates{}, err
	}
	c := certificates{roots: x509.NewCertPool(), rootPEM: encode("CERTIFICATE", rootCert)}
	c.roots.AppendCertsFromPEM([]byte(c.rootPEM))

	server := template("provider")
	server.DNSNames, server.ExtKeyUsage = hosts, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	serverCert, serverKey, err := issue(server, root, rootKey)
	if err != nil {
		return certificates{}, err
	}
	c.server = tls.Certificate{Certificate: [][]byte{serverCert}, PrivateKey: serverKey}

	client := template("app")
	client.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	clientCert, clientKey, err := issue(client, root, rootKey)
	if err != nil {
		return certificates{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(clientKey)
	if err != nil {
		return certificates{}, fmt.Errorf("encode a key: %w", err)
	}
	c.clientCertificate, c.clientKey = encode("CERTIFICATE", clientCert), encode("PRIVATE KEY", der)
	return c, nil
}

// issue makes a certificate with a key of its own.
func issue(what, by *x509.Certificate, byKey *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey, error) {
	key, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	der, err := sign(what, by, key, byKey)
	return der, key, err
}

func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return key, nil
}

func sign(what, by *x509.Certificate, key, byKey *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.CreateCertificate(rand.Reader, what, by, &key.PublicKey, byKey)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate: %w", err)
	}
	return der, nil
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
