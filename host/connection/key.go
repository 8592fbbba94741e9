package connection

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/hostfns/sign"
	"github.com/cofferdam-run/cofferdam/hostfns/sign/sigv4"
)

// minKey is the least that an HMAC's key may have: what is shorter can be guessed from
// one signature.
const minKey = 16

// validScope is what AWS's regions and services are like.
var validScope = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// keyProblems says why the parts, which are all there, are no key. It never quotes them,
// nor the errors of who read them.
func (c Credential) keyProblems(t Type) []fault.Problem {
	problem := func(part, message string) []fault.Problem {
		return []fault.Problem{{Where: "/credential/" + part, Message: message}}
	}
	switch t {
	case HMAC:
		key, err := c.secret()
		switch {
		case err != nil:
			return problem("key_encoding", err.Error())
		case len(key) < minKey:
			return problem("key", fmt.Sprintf("the key has %d bytes, and an HMAC's has at least %d", len(key), minKey))
		}
	case PrivateKey:
		if _, err := parsePrivate(c.PrivateKey); err != nil {
			return problem("private_key", err.Error())
		}
	case AWS:
		if !validScope.MatchString(c.Region) || !validScope.MatchString(c.Service) {
			return problem("region", "the region and the service must be as AWS writes them, such as eu-west-1 and s3")
		}
	case Certificate:
		if _, err := c.certificate(); err != nil {
			return problem("certificate", err.Error())
		}
	default:
	}
	return nil
}

// secret is the key of an HMAC as bytes.
func (c Credential) secret() ([]byte, error) {
	switch c.KeyEncoding {
	case "":
		return []byte(c.Key), nil
	case "base64":
		for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
			if key, err := e.DecodeString(c.Key); err == nil {
				return key, nil
			}
		}
		return nil, errors.New("the key is not in base64")
	case "hex":
		key, err := hex.DecodeString(c.Key)
		if err != nil {
			return nil, errors.New("the key is not in hexadecimal digits")
		}
		return key, nil
	default:
		return nil, errors.New("the key_encoding must be base64 or hex, or be left out")
	}
}

// parsePrivate reads a private key that is good enough to sign with.
func parsePrivate(text string) (crypto.Signer, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("the private_key must be one block of PEM, which begins with -----BEGIN")
	}
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		return nil, errors.New("the private_key must be a PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY, and not encrypted")
	}
	if err != nil {
		return nil, errors.New("the private_key cannot be read: was it copied whole?") // Without the error, which may quote what it met.
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		if key.N.BitLen() < 2048 {
			return nil, errors.New("the private_key is of RSA with less than 2048 bits, which is too weak")
		}
		return key, nil
	case *ecdsa.PrivateKey:
		if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() {
			return nil, errors.New("the private_key is on a curve other than P-256 and P-384")
		}
		return key, nil
	case ed25519.PrivateKey:
		return key, nil
	default:
		return nil, errors.New("the private_key is not of RSA, ECDSA or Ed25519")
	}
}

// certificate is what a Certificate shows.
func (c Credential) certificate() (tls.Certificate, error) {
	if _, err := parsePrivate(c.PrivateKey); err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair([]byte(c.Certificate), []byte(c.PrivateKey))
	if err != nil {
		return tls.Certificate{}, errors.New("the certificate and the private_key do not belong together, or the certificate is no PEM")
	}
	return pair, nil
}

// signer is that of an AWS credential.
func (c Credential) signer() sigv4.Signer {
	return sigv4.Signer{
		AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken, Region: c.Region, Service: c.Service,
	}
}

// key is what package sign signs with.
func (c Credential) key(conn Connection) (sign.Key, error) {
	switch conn.Type {
	case HMAC:
		secret, err := c.secret()
		return sign.Key{Secret: secret, ID: c.KeyID}, err
	case PrivateKey:
		private, err := parsePrivate(c.PrivateKey)
		return sign.Key{Private: private, ID: c.KeyID}, err
	case AWS:
		signer := c.signer()
		return sign.Key{AWS: &signer, Covers: func(u *url.URL) bool { return conn.allows(&http.Request{URL: u}) }}, nil
	default:
		return sign.Key{}, fmt.Errorf("%w: it is of type %s, and those that sign are %s, %s and %s", sign.ErrNoKey, conn.Type, HMAC, PrivateKey, AWS)
	}
}

func (c Credential) applyHMAC(conn Connection, r *http.Request) ([]string, error) {
	key, err := c.secret()
	if err != nil {
		return nil, err
	}
	body, err := bodyOf(r)
	if err != nil {
		return nil, err
	}
	h := hmac.New(sha256.New, key)
	h.Write(body)
	setHeader(r.Header, conn.Header, hex.EncodeToString(h.Sum(nil)))
	return []string{c.Key}, nil
}

func (c Credential) applyAWS(r *http.Request, now time.Time) ([]string, error) {
	hash := sigv4.Unsigned
	switch body, err := bodyOf(r); {
	case errors.Is(err, egress.ErrStreamed) && c.Service == "s3" && r.URL.Scheme == "https":
		// TLS alone keeps it as it is.
	case err != nil:
		return nil, err
	default:
		hash = sigv4.Hash(body)
	}
	for _, name := range []string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-Sha256"} {
		setHeader(r.Header, name, "")
		r.Header.Del(name)
	}
	c.signer().Sign(r, hash, now)
	secrets := []string{c.SecretAccessKey, r.Header.Get("Authorization")}
	if c.SessionToken != "" {
		secrets = append(secrets, c.SessionToken)
	}
	return secrets, nil
}

func (c Credential) applyCertificate(r *http.Request) ([]string, error) {
	pair, err := c.certificate()
	if err != nil {
		return nil, err
	}
	egress.Present(r, pair)
	return nil, nil
}

// bodyOf reads the body that a request is going to send, and leaves it there.
func bodyOf(r *http.Request) ([]byte, error) {
	if r.GetBody == nil {
		return nil, nil
	}
	body, err := r.GetBody()
	if err != nil {
		return nil, fmt.Errorf("read the request's body: %w", err)
	}
	defer func() { _ = body.Close() }() // It is in memory.
	return io.ReadAll(body)
}
