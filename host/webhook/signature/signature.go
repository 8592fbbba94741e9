// Package signature verifies and signs webhooks by their descriptors: the same data in both
// directions.
//
//	scheme, err := signature.Compile(descriptor)
//	verified, err := scheme.Verify(ctx, signature.Case{
//		Request: signature.Request{Method: r.Method, Header: r.Header, Body: raw},
//		Secrets: []string{secret}, Now: now,
//	})
//
// The rules of this package:
//
//   - What is signed is bytes as they came, and never a value printed anew.
//   - The signature that should have come is compared as text with the one that came, in
//     constant time. Where a public key verifies, what came is decoded and has to be what it
//     would be encoded as. So neither padding nor case nor white space makes a second form
//     of a right signature.
//   - A header that is there twice with different values is refused: a proxy and this
//     program might each read another one.
//   - A refusal quotes nothing that came and nothing that is secret.
package signature

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/webhook/descriptor"
)

// Codes of refusals.
const (
	codeMissing = "signature_missing"
	codeInvalid = "signature_invalid"
	codeTime    = "timestamp_out_of_range"
	codeNoID    = "delivery_id_missing"
	codeBadID   = "delivery_id_invalid"
	codeRefused = "delivery_refused"
	codeVendor  = "vendor_keys_unavailable"
	codeSetup   = "endpoint_incomplete"
)

// Request is one that a vendor makes.
type Request struct {
	Method string
	// URL is what the vendor was told, without a query. It is never made of the request's own
	// headers, which whoever sends it chooses.
	URL string
	// Query is as it came, without its question mark.
	Query string
	// Header has canonical names, as net/http gives them.
	Header http.Header
	// Body is the raw bytes.
	Body []byte
}

// Case is a request and what is known for judging it.
type Case struct {
	Request
	// Secrets are those that count now: more than one while they are being replaced.
	Secrets    []string
	Parameters map[string]string
	Now        time.Time
	// Vendors are asked for certificates and keys. Defaults to nobody: what needs one is
	// refused.
	Vendors *Vendors
}

// Verified is what there is to know of a request that was.
type Verified struct {
	// ID is by what a second delivery of the same is known; it is empty if each counts.
	ID string
	// Handshake is the answer to one, which is no delivery, or nil.
	Handshake *Reply
}

// Scheme is a descriptor that is ready for use. It is safe for concurrent use.
type Scheme struct {
	descriptor.Descriptor
	ways       []way
	handshakes []handshake
	require    []match
}

// way is a way of signing.
type way struct {
	descriptor.Signature
	signed template
	when   []match
	at     *address
	jwt    *token
}

// Compile readies a descriptor that Parse returned.
func Compile(d descriptor.Descriptor) (*Scheme, error) {
	s := &Scheme{Descriptor: d}
	for _, one := range d.Signatures {
		w, err := compileWay(one)
		if err != nil {
			return nil, fmt.Errorf("ready the descriptor %s: %w", d.Name, err)
		}
		s.ways = append(s.ways, w)
	}
	for _, one := range d.Handshakes {
		h, err := compileHandshake(one)
		if err != nil {
			return nil, fmt.Errorf("ready the descriptor %s: %w", d.Name, err)
		}
		s.handshakes = append(s.handshakes, h)
	}
	var err error
	if s.require, err = compileMatches(d.Require); err != nil {
		return nil, fmt.Errorf("ready the descriptor %s: %w", d.Name, err)
	}
	return s, nil
}

// Find returns the scheme of this name that comes with the program.
func Find(name string) (*Scheme, error) {
	d, err := descriptor.Find(name)
	if err != nil {
		return nil, err //nolint:wrapcheck // It is a fault with words for users.
	}
	return Compile(d)
}

func compileWay(s descriptor.Signature) (way, error) {
	w := way{Signature: s}
	var err error
	if w.signed, err = compileTemplate(s.Signed); err != nil {
		return way{}, err
	}
	if w.when, err = compileMatches(s.When); err != nil {
		return way{}, err
	}
	if s.Key == "x509" {
		if w.at, err = compileAddress(s.Certificate); err != nil {
			return way{}, err
		}
	}
	if s.Alg == "jwt" {
		w.jwt, err = compileToken(s.JWT)
	}
	return w, err
}

// SignsURL says that the public URL is part of what is signed, so that an endpoint has to
// know it.
func (s *Scheme) SignsURL() bool {
	return slices.ContainsFunc(s.ways, func(w way) bool {
		return slices.ContainsFunc(w.signed, func(p descriptor.Piece) bool { return len(p.Name) >= 3 && p.Name[:3] == "url" })
	})
}

func invalid(format string, args ...any) *fault.Error {
	return fault.New(fault.Auth, codeInvalid, format, args...).
		WithHint("Compare the signing secret at the vendor with this endpoint's, and see that nothing between them changes the body.")
}

func setup(format string, args ...any) *fault.Error {
	return fault.New(fault.Platform, codeSetup, format, args...)
}
