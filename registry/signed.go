package registry

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/cofferdam-run/cofferdam/registry/provenance"
	"github.com/cofferdam-run/cofferdam/registry/signature"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// codeSignatureRequired is that of an upload without a signature, where one is asked for.
const codeSignatureRequired = "signature_required"

// clockSkew is how far an author's clock may be ahead.
const clockSkew = 5 * time.Minute

// required refuses an upload without the signature that its publisher's kind needs.
func (r *Registry) required(p Publisher, u Upload) error {
	if u.Signature != nil || !slices.Contains(r.c.RequireSignatures, p.Kind) {
		return nil
	}
	return &Error{
		Code: codeSignatureRequired, Where: "signature",
		Message: fmt.Sprintf("plugins of the publisher %q must be signed here, and this upload is not", p.Name),
		Hint:    "Sign it with `cofferdam plugin sign`, with a key that `cofferdam publisher key add` has made known.",
	}
}

// signed checks a signature of a version that is about to be stored.
func (r *Registry) signed(ctx context.Context, p Publisher, v Version, s *signature.Signature) (*signature.Signature, error) {
	if s == nil {
		return nil, nil //nolint:nilnil // A version need not be signed.
	}
	for _, f := range []struct{ what, signed, own string }{
		{"name", s.Name, v.Name}, {"version", s.Version, v.Version}, {"digest", s.Digest, v.Digest},
	} {
		if f.signed != f.own {
			return nil, badSignature("it is for the %s %s, and the upload's is %s", f.what, clipDigest(f.signed), clipDigest(f.own)).
				hint("Sign the file that you upload: any change to it, and a build anew, needs another signature.")
		}
	}
	if limit := r.c.Now().Add(clockSkew); s.SignedAt.After(limit) {
		return nil, badSignature("it was made at %s, which is yet to come", s.SignedAt.Format(time.RFC3339)).hint("Set the clock of the machine that signs.")
	}
	key, err := r.signer(ctx, p, s.Key)
	if err != nil {
		return nil, err
	}
	public, err := signature.ParsePublic(key.Public)
	if err != nil {
		return nil, fmt.Errorf("read the key %s: %w", key.ID, err)
	}
	if err := s.Verify(public); err != nil {
		return nil, badSignature("%v", err).hint("Sign the file anew.")
	}
	return s, nil
}

// signer finds the key of a publisher's that has signed.
func (r *Registry) signer(ctx context.Context, p Publisher, id string) (signature.Key, error) {
	keys, err := r.c.Publishers.PublisherKeys(ctx, p.ID)
	if err != nil {
		return signature.Key{}, fmt.Errorf("find the publisher's keys: %w", err)
	}
	i := slices.IndexFunc(keys, func(k signature.Key) bool { return k.ID == id })
	if i < 0 {
		return signature.Key{}, badSignature("it was made with %s, which is no key of the publisher %q", clip(id), p.Name).
			hint("Add the public key with `cofferdam publisher key add`, or sign with another.")
	}
	if !keys[i].RevokedAt.IsZero() {
		return signature.Key{}, badSignature("it was made with %s, which was revoked at %s", id, keys[i].RevokedAt.UTC().Format(time.RFC3339)).
			hint("Sign with another key.")
	}
	return keys[i], nil
}

func badSignature(format string, args ...any) *Error {
	return &Error{Code: CodeInvalidSignature, Where: "signature", Message: "the signature is not valid: " + fmt.Sprintf(format, args...)}
}

func (e *Error) hint(text string) *Error {
	e.Hint = text
	return e
}

// clipDigest shows enough of a digest to tell it from another.
func clipDigest(s string) string {
	if strings.HasPrefix(s, "sha256:") && len(s) > 23 {
		return s[:23] + "…"
	}
	return clip(s)
}

// buildOf is what a module says of how it was made.
func buildOf(wasm []byte) (*provenance.Build, error) {
	section, ok := runtime.Section(wasm, provenance.Section)
	if !ok {
		return nil, nil //nolint:nilnil // Most tools say nothing.
	}
	b, err := provenance.Parse(section)
	if err != nil {
		return nil, &Error{
			Code: CodeInvalidManifest, Where: "wasm", Message: fmt.Sprintf("its custom section %s cannot be read: %v", provenance.Section, err),
			Hint: "Build it with cofferdam build, or without that section.",
		}
	}
	return b, nil
}

// maxKeys of a publisher that are not revoked, and maxTitle of one.
const (
	maxKeys     = 50
	maxKeyTitle = 200
)

// AddKey makes a publisher's public key known, as PEM: what it signs is accepted from
// now on. A tenant adds keys of its own publisher only.
func (r *Registry) AddKey(ctx context.Context, v Viewer, publisher, public, title string) (signature.Key, error) {
	p, err := r.ownPublisher(ctx, v, publisher)
	if err != nil {
		return signature.Key{}, err
	}
	if len(title) > maxKeyTitle || strings.ContainsFunc(title, func(c rune) bool { return c == unicode.ReplacementChar || unicode.IsControl(c) }) {
		return signature.Key{}, &Error{Code: CodeInvalidRequest, Where: "title", Message: fmt.Sprintf("the title must be a line of at most %d bytes", maxKeyTitle)}
	}
	parsed, err := signature.ParsePublic(public)
	if err != nil {
		return signature.Key{}, &Error{
			Code: CodeInvalidRequest, Where: "public_key", Message: "the public key cannot be read: " + err.Error(),
			Hint: "Give the file NAME.pub that `cofferdam plugin keygen NAME` has written.",
		}
	}
	keys, err := r.c.Publishers.PublisherKeys(ctx, p.ID)
	if err != nil {
		return signature.Key{}, fmt.Errorf("find the publisher's keys: %w", err)
	}
	if n := len(slices.DeleteFunc(keys, func(k signature.Key) bool { return !k.RevokedAt.IsZero() })); n >= maxKeys {
		return signature.Key{}, &Error{Code: CodeInvalidRequest, Where: "publisher", Message: fmt.Sprintf("the publisher %q has %d keys: at most %d are allowed", p.Name, n, maxKeys), Hint: "Revoke those that are not used."}
	}
	text, err := signature.EncodePublic(parsed)
	if err != nil {
		return signature.Key{}, fmt.Errorf("add key: %w", err)
	}
	k := signature.Key{ID: signature.KeyID(parsed), Publisher: p.ID, Title: title, Public: text, CreatedAt: r.c.Now()}
	if err := r.c.Publishers.InsertPublisherKey(ctx, k); err != nil {
		return signature.Key{}, fmt.Errorf("add key: %w", err)
	}
	return k, nil
}

// Keys lists a publisher's keys, for whoever wants to verify by himself: they are no
// secret, but whose publishers there are is the operator's to know.
func (r *Registry) Keys(ctx context.Context, v Viewer, publisher string) ([]signature.Key, error) {
	p, err := r.ownPublisher(ctx, v, publisher)
	if err != nil {
		return nil, err
	}
	keys, err := r.c.Publishers.PublisherKeys(ctx, p.ID)
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	return keys, nil
}

// RevokeKey accepts nothing any more that a key signs. What it has signed stays
// published, and says that the key was revoked.
func (r *Registry) RevokeKey(ctx context.Context, v Viewer, publisher, key string) error {
	p, err := r.ownPublisher(ctx, v, publisher)
	if err != nil {
		return err
	}
	if err := r.c.Publishers.RevokePublisherKey(ctx, p.ID, key, r.c.Now()); err != nil {
		return fmt.Errorf("revoke key: %w", err)
	}
	return nil
}

// ownPublisher finds a publisher that the viewer speaks for; an empty name is the
// viewer's own. Of others a tenant is not told whether they exist.
func (r *Registry) ownPublisher(ctx context.Context, v Viewer, idOrName string) (Publisher, error) {
	if idOrName == "" {
		return r.PublisherOf(ctx, v)
	}
	p, err := r.c.Publishers.Publisher(ctx, idOrName)
	if err != nil {
		return Publisher{}, fmt.Errorf("find publisher: %w", err)
	}
	if !v.Operator && (v.Tenant == "" || p.Tenant != v.Tenant) {
		return Publisher{}, &Error{Code: CodeNotFound, Message: fmt.Sprintf("there is no publisher %q", clip(idOrName))}
	}
	return p, nil
}
