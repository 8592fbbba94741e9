package trial

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
)

// Throwaway is a credential for a connection that is no secret, the same each time: for
// tests, where nothing is behind it. It is "credential-of-" and the connection's name,
// of an HMAC filled up with dots to the 64 bytes that any algorithm is content with; a
// private key is that of TestKey for the first algorithm that the connection signs by,
// and AWS has the one that its documentation has.
func Throwaway(c manifest.Connection) (connection.Credential, error) {
	secret := "credential-of-" + c.Name
	switch connection.Type(c.Type) {
	case connection.Basic:
		return connection.Credential{Username: "user", Password: secret}, nil
	case connection.APIKey:
		return connection.Credential{Key: secret}, nil
	case connection.HMAC:
		return connection.Credential{Key: secret + strings.Repeat(".", max(0, 64-len(secret)))}, nil
	case connection.PrivateKey:
		algorithm := "ES256"
		if len(c.Sign) > 0 {
			algorithm = c.Sign[0]
		}
		key, err := testKeyPEM(algorithm)
		return connection.Credential{PrivateKey: key}, err
	case connection.AWS:
		return connection.Credential{ //nolint:gosec // AWS has published it.
			AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", Region: "us-east-1", Service: "s3",
		}, nil
	case connection.Certificate:
		return throwawayCertificate(c.Name)
	default:
		return connection.Credential{Token: secret}, nil
	}
}

// TestKey is a private key that anybody has, for an algorithm of tokens: of RSA that of
// RFC 9500 (section 2.1), of ECDSA those of RFC 6979 (sections A.2.5 and A.2.6), of
// Ed25519 the first of RFC 8032 (section 7.1).
func TestKey(algorithm string) (crypto.Signer, error) {
	switch algorithm {
	case "ES256":
		return ecdsa.ParseRawPrivateKey(elliptic.P256(), unhex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"))
	case "ES384":
		return ecdsa.ParseRawPrivateKey(elliptic.P384(), unhex("6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d896d5724e4c70a825f872c9ea60d2edf5"))
	case "EdDSA":
		return ed25519.NewKeyFromSeed(unhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")), nil
	case "RS256", "RS384", "RS512":
		block, _ := pem.Decode([]byte(testRSA))
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("find a test key: %q is no algorithm of a private key", algorithm)
	}
}

// unhex reads a constant.
func unhex(digits string) []byte {
	b, _ := hex.DecodeString(digits)
	return b
}

// testRSA does not call itself a private key: it is none, for everybody has it.
const testRSA = `-----BEGIN RSA TESTING KEY-----
MIIEowIBAAKCAQEAsPnoGUOnrpiSqt4XynxA+HRP7S+BSObI6qJ7fQAVSPtRkqso
tWxQYLEYzNEx5ZSHTGypibVsJylvCfuToDTfMul8b/CZjP2Ob0LdpYrNH6l5hvFE
89FU1nZQF15oVLOpUgA7wGiHuEVawrGfey92UE68mOyUVXGweJIVDdxqdMoPvNNU
l86BU02vlBiESxOuox+dWmuVV7vfYZ79Toh/LUK43YvJh+rhv4nKuF7iHjVjBd9s
B6iDjj70HFldzOQ9r8SRI+9NirupPTkF5AKNe6kUhKJ1luB7S27ZkvB3tSTT3P59
3VVJvnzOjaA1z6Cz+4+eRvcysqhrRgFlwI9TEwIDAQABAoIBAEEYiyDP29vCzx/+
dS3LqnI5BjUuJhXUnc6AWX/PCgVAO+8A+gZRgvct7PtZb0sM6P9ZcLrweomlGezI
FrL0/6xQaa8bBr/ve/a8155OgcjFo6fZEw3Dz7ra5fbSiPmu4/b/kvrg+Br1l77J
aun6uUAs1f5B9wW+vbR7tzbT/mxaUeDiBzKpe15GwcvbJtdIVMa2YErtRjc1/5B2
BGVXyvlJv0SIlcIEMsHgnAFOp1ZgQ08aDzvilLq8XVMOahAhP1O2A3X8hKdXPyrx
IVWE9bS9ptTo+eF6eNl+d7htpKGEZHUxinoQpWEBTv+iOoHsVunkEJ3vjLP3lyI/
fY0NQ1ECgYEA3RBXAjgvIys2gfU3keImF8e/TprLge1I2vbWmV2j6rZCg5r/AS0u
pii5CvJ5/T5vfJPNgPBy8B/yRDs+6PJO1GmnlhOkG9JAIPkv0RBZvR0PMBtbp6nT
Y3yo1lwamBVBfY6rc0sLTzosZh2aGoLzrHNMQFMGaauORzBFpY5lU50CgYEAzPHl
u5DI6Xgep1vr8QvCUuEesCOgJg8Yh1UqVoY/SmQh6MYAv1I9bLGwrb3WW/7kqIoD
fj0aQV5buVZI2loMomtU9KY5SFIsPV+JuUpy7/+VE01ZQM5FdY8wiYCQiVZYju9X
Wz5LxMNoz+gT7pwlLCsC4N+R8aoBk404aF1gum8CgYAJ7VTq7Zj4TFV7Soa/T1eE
k9y8a+kdoYk3BASpCHJ29M5R2KEA7YV9wrBklHTz8VzSTFTbKHEQ5W5csAhoL5Fo
qoHzFFi3Qx7MHESQb9qHyolHEMNx6QdsHUn7rlEnaTTyrXh3ifQtD6C0yTmFXUIS
CW9wKApOrnyKJ9nI0HcuZQKBgQCMtoV6e9VGX4AEfpuHvAAnMYQFgeBiYTkBKltQ
XwozhH63uMMomUmtSG87Sz1TmrXadjAhy8gsG6I0pWaN7QgBuFnzQ/HOkwTm+qKw
AsrZt4zeXNwsH7QXHEJCFnCmqw9QzEoZTrNtHJHpNboBuVnYcoueZEJrP8OnUG3r
UjmopwKBgAqB2KYYMUqAOvYcBnEfLDmyZv9BTVNHbR2lKkMYqv5LlvDaBxVfilE0
2riO4p6BaAdvzXjKeRrGNEKoHNBpOSfYCOM16NjL8hIZB1CaV3WbT5oY+jp7Mzd5
7d56RZOE+ERK2uz/7JX9VSsM/LbH9pJibd4e8mikDS9ntciqOH/3
-----END RSA TESTING KEY-----
`

func testKeyPEM(algorithm string) (string, error) {
	key, err := TestKey(algorithm)
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", fmt.Errorf("encode a test key: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), nil
}

// throwawayCertificate is signed by itself, and shown to nobody.
func throwawayCertificate(name string) (connection.Credential, error) {
	key, err := TestKey("EdDSA") // Whose signatures have nothing random.
	if err != nil {
		return connection.Credential{}, err
	}
	text, err := testKeyPEM("EdDSA")
	if err != nil {
		return connection.Credential{}, err
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Unix(1<<33, 0)}
	about.Subject.CommonName = name
	der, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		return connection.Credential{}, fmt.Errorf("make a test certificate: %w", err)
	}
	chain := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return connection.Credential{Certificate: chain, PrivateKey: text}, nil
}
