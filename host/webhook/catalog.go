package webhook

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/webhook/descriptor"
	"github.com/cofferdam-run/cofferdam/host/webhook/signature"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
)

// maxSchemes bounds the schemes that are kept ready, of some 20 KiB each.
const maxSchemes = 1024

// Catalog has the schemes ready that are in use: those that come with the program, and those
// of users and plugins. The zero value is not usable; it is safe for concurrent use.
type Catalog struct {
	mu    sync.Mutex
	ready map[[sha256.Size]byte]*signature.Scheme
}

// NewCatalog returns an empty Catalog.
func NewCatalog() *Catalog { return &Catalog{ready: map[[sha256.Size]byte]*signature.Scheme{}} }

// Scheme is find, as package endpoint needs it.
func (c *Catalog) Scheme(name string, d json.RawMessage) (endpoint.Scheme, error) {
	if name == ByPlugin && len(d) == 0 {
		return pluginScheme{}, nil
	}
	return c.find(name, d)
}

// Sign returns a request as the vendor would make it of a scheme, or of a descriptor where
// there is one: with another query or body where the signature stands there.
func (c *Catalog) Sign(name string, d json.RawMessage, o signature.Outgoing) (signature.Request, error) {
	if name == ByPlugin && len(d) == 0 {
		return signature.Request{}, fault.New(fault.InvalidInput, "cannot_sign", "only the plugin knows how the deliveries of the endpoint are signed").
			WithHint("Give the vendor's headers yourself, of a delivery that it has made.")
	}
	s, err := c.find(name, d)
	if err != nil {
		return signature.Request{}, err
	}
	signed, err := s.Sign(o)
	if err != nil {
		return signature.Request{}, fmt.Errorf("sign the delivery: %w", err)
	}
	return signed, nil
}

// find returns the scheme of a descriptor, or where there is none the one of a name that
// comes with the program.
func (c *Catalog) find(name string, d json.RawMessage) (*signature.Scheme, error) {
	key := sha256.Sum256(append([]byte(name+"\x00"), d...))
	c.mu.Lock()
	s := c.ready[key]
	c.mu.Unlock()
	if s != nil {
		return s, nil
	}
	s, err := compile(name, d)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.ready) >= maxSchemes {
		clear(c.ready)
	}
	c.ready[key] = s
	return s, nil
}

func compile(name string, d json.RawMessage) (*signature.Scheme, error) {
	if len(d) == 0 {
		return signature.Find(name) //nolint:wrapcheck // It is a fault with words for users.
	}
	parsed, err := descriptor.Parse("the descriptor", d)
	if err != nil {
		return nil, err //nolint:wrapcheck // As above.
	}
	return signature.Compile(parsed) //nolint:wrapcheck // As above.
}

// Schemes names the signature schemes that come with the program, sorted.
func Schemes() []string { return descriptor.Names() }

// CheckDescriptor says what is wrong with a descriptor of a plugin's, with pointers into it.
func CheckDescriptor(d json.RawMessage) []manifest.Problem {
	_, err := compile("", d)
	if err == nil {
		return nil
	}
	f := fault.From(err)
	found := []manifest.Problem{{Where: f.Where, Message: f.Message}}
	if len(f.Problems) > 0 {
		found = found[:0]
	}
	for _, p := range f.Problems {
		found = append(found, manifest.Problem(p))
	}
	return found
}

// NewSecret makes a signing secret in the form that a scheme wants.
func NewSecret(name string) (string, error) {
	s, err := signature.Find(name)
	if err != nil {
		return "", err //nolint:wrapcheck // It is a fault with words for users.
	}
	return s.NewSecret() //nolint:wrapcheck // As above.
}

// CheckSecret refuses a secret that a scheme cannot use. It never quotes it.
func CheckSecret(name, secret string) error {
	s, err := signature.Find(name)
	if err != nil {
		return err //nolint:wrapcheck // It is a fault with words for users.
	}
	return s.CheckSecret(secret) //nolint:wrapcheck // As above.
}

// Sign returns the headers that a vendor of a scheme would send with a body. It is for schemes
// whose signature is in headers and covers no more than id, time and body; for any other there
// is Catalog.Sign, which also keeps the scheme for the next delivery.
func Sign(name, secret, id string, at time.Time, body []byte) (http.Header, error) {
	signed, err := NewCatalog().Sign(name, nil, signature.Outgoing{
		Request: signature.Request{Method: http.MethodPost, Body: body}, Secret: secret, ID: id, At: at,
	})
	if err != nil {
		return nil, err
	}
	return signed.Header, nil
}
