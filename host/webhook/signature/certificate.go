package signature

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"time"
)

// certified is the public key in the certificate that a delivery points to.
func (v *Vendors) certified(ctx context.Context, a *address, r *reading) (any, error) {
	u, err := a.url(r)
	if err != nil {
		return nil, err
	}
	u.RawQuery = ""
	value, err := v.answer(ctx, "certificate "+u.String(), get(u), func(body []byte) (any, time.Time, error) {
		return v.certificate(a, u.Host, body)
	})
	if err != nil {
		return nil, err
	}
	return value, nil
}

// certificate reads the leaf of a PEM file, and holds its dates and, where the descriptor
// wants it, its chain and its name.
func (v *Vendors) certificate(a *address, host string, body []byte) (any, time.Time, error) {
	var chain [][]byte
	for rest := body; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			chain = append(chain, block.Bytes)
		}
	}
	if len(chain) == 0 {
		return nil, time.Time{}, unavailable("the answer of %s has no certificate", host).Because(errNoCertificate)
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, time.Time{}, unavailable("the certificate of %s cannot be read", host).Because(err)
	}
	now := v.c.Now()
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return nil, time.Time{}, unavailable("the certificate of %s is not of today", host)
	}
	if a.names != nil {
		if !a.names.MatchString(leaf.Subject.CommonName) && !slices.ContainsFunc(leaf.DNSNames, a.names.MatchString) {
			return nil, time.Time{}, unavailable("the certificate of %s is for another name", host)
		}
		if err := v.c.Check(chain, now); err != nil {
			return nil, time.Time{}, unavailable("no public authority vouches for the certificate of %s", host).Because(err)
		}
	}
	if err := checkPublic("rsa-pkcs1-sha256", leaf.PublicKey); err != nil {
		return nil, time.Time{}, unavailable("the certificate of %s is of no use: %v", host, err)
	}
	return leaf.PublicKey, leaf.NotAfter, nil
}

// checkChain verifies a chain by the system's authorities.
func checkChain(chain [][]byte, now time.Time) error {
	between := x509.NewCertPool()
	var leaf *x509.Certificate
	for i, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("parse a certificate: %w", err)
		}
		if i == 0 {
			leaf = c
			continue
		}
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return fmt.Errorf("verify the chain: %w", err)
	}
	return nil
}
