package signature

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

const (
	publicBlock  = "PUBLIC KEY"
	privateBlock = "PRIVATE KEY"
)

// maxPEM is ten times what an Ed25519 key has.
const maxPEM = 4 << 10

// EncodePublic writes a public key as PEM.
func EncodePublic(public ed25519.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("encode public key: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: publicBlock, Bytes: der})), nil
}

// EncodePrivate writes a private key as PEM. Whoever has it can sign.
func EncodePrivate(private ed25519.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("encode private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: privateBlock, Bytes: der}), nil
}

// ParsePublic reads EncodePublic back. Its errors never repeat the text: people do
// mistake one key for the other.
func ParsePublic(text string) (ed25519.PublicKey, error) {
	der, err := block([]byte(text), publicBlock)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKIXPublicKey(der)
	public, ok := key.(ed25519.PublicKey)
	if err != nil || !ok {
		return nil, errors.New("it is not the public half of an Ed25519 key")
	}
	return public, nil
}

// ParsePrivate reads EncodePrivate back.
func ParsePrivate(text []byte) (ed25519.PrivateKey, error) {
	der, err := block(text, privateBlock)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	private, ok := key.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, errors.New("it is not an Ed25519 key")
	}
	return private, nil
}

func block(text []byte, wanted string) ([]byte, error) {
	if len(text) > maxPEM {
		return nil, fmt.Errorf("it has %d bytes, and a key in PEM has at most %d", len(text), maxPEM)
	}
	b, _ := pem.Decode(text)
	switch {
	case b == nil:
		return nil, fmt.Errorf("it is not PEM: it must have a line -----BEGIN %s-----", wanted)
	case b.Type == privateBlock && wanted == publicBlock:
		return nil, errors.New("it is a private key, which nobody else must see: give the public one")
	case b.Type != wanted:
		return nil, fmt.Errorf("it is a %s, not a %s", clip(b.Type), wanted)
	default:
		return b.Bytes, nil
	}
}
