package connectortest

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
)

// Signed is what a call had signed.
type Signed struct {
	Connection, Algorithm string
	// Payload is what an HMAC was made of, and Claims what a token was.
	Payload []byte
	Claims  json.RawMessage
	// Method and URL are those of a URL.
	Method, URL string
	Lifetime    time.Duration
}

// Signature is what everything is signed with that goes through a connection: the bytes
// of an HMAC, the last part of a token, and X-Amz-Signature of a URL. Nobody's key is
// needed for it, and nobody takes it for a real one.
func Signature(connection string) string { return "signature-of-" + connection }

// Signed is what all calls had signed, in order.
func (h *Host) Signed() []Signed { return slices.Clone(h.signed) }

type signRequest struct {
	Connection    string          `json:"connection"`
	Algorithm     string          `json:"algorithm"`
	Payload       *string         `json:"payload"`
	PayloadBase64 []byte          `json:"payload_base64"`
	Claims        json.RawMessage `json:"claims"`
	Method        string          `json:"method"`
	URL           string          `json:"url"`
	LifetimeS     *int64          `json:"lifetime_s"`
}

func (c *call) sign(r signRequest) (any, *failure) {
	connection, refused := c.host.mayBeSigned(r)
	if refused != nil {
		return nil, refused
	}
	lifetime := 5 * time.Minute
	if s := r.LifetimeS; s != nil {
		if *s < 1 || *s > 3600 {
			return nil, refuse(code.InvalidRequest, "\"lifetime_s\" is %d: it must be from 1 to 3600", *s)
		}
		lifetime = time.Duration(*s) * time.Second
	}
	signed := Signed{
		Connection: r.Connection, Algorithm: r.Algorithm, Payload: r.PayloadBase64, Claims: r.Claims,
		Method: r.Method, URL: r.URL, Lifetime: lifetime,
	}
	var answer any
	switch {
	case strings.HasPrefix(r.Algorithm, "hmac-"):
		signed.Lifetime = 0
		if r.Payload != nil {
			signed.Payload = []byte(*r.Payload)
		}
		signature := []byte(Signature(r.Connection))
		answer = connector.Signature{Hex: hex.EncodeToString(signature), Base64: base64.StdEncoding.EncodeToString(signature)}
	case r.Algorithm == "aws-sigv4":
		answer, refused = c.host.signURL(connection, signed)
	default:
		answer, refused = signToken(signed)
	}
	if refused == nil {
		c.host.signed = append(c.host.signed, signed)
	}
	return answer, refused
}

// mayBeSigned finds the connection, if the manifest asks for the algorithm and the
// test grants it.
func (h *Host) mayBeSigned(r signRequest) (connector.Connection, *failure) {
	i := slices.IndexFunc(h.manifest.Connections, func(c connector.Connection) bool {
		return c.Name == r.Connection && slices.Contains(c.Sign, r.Algorithm)
	})
	if i < 0 {
		return connector.Connection{}, refuse(code.Denied, "the connection %q may not sign with %s: name it under \"sign\" of the connection in the manifest", r.Connection, r.Algorithm)
	}
	if !slices.Contains(h.options.Connections, r.Connection) {
		return connector.Connection{}, refuse(code.NoConnection, "connection %q is not granted", r.Connection)
	}
	return h.manifest.Connections[i], nil
}

func signToken(s Signed) (any, *failure) {
	var claims map[string]json.RawMessage
	if json.Unmarshal(s.Claims, &claims) != nil || claims == nil {
		return nil, refuse(code.InvalidRequest, "\"claims\" must be a JSON object, such as {\"iss\":\"123\"}")
	}
	for _, name := range []string{"exp", "iat", "nbf"} {
		if claims[name] != nil {
			return nil, refuse(code.InvalidRequest, "\"claims\" has %q, which the host sets: use \"lifetime_s\"", name)
		}
	}
	now := time.Now().UTC().Truncate(time.Second)
	end := now.Add(s.Lifetime)
	all := map[string]any{"iat": now.Unix(), "exp": end.Unix()}
	for name, value := range claims {
		all[name] = value
	}
	token := segment(map[string]string{"alg": s.Algorithm, "typ": "JWT"}) + "." + segment(all) + "." +
		base64.RawURLEncoding.EncodeToString([]byte(Signature(s.Connection)))
	return map[string]any{"token": token, "expires_at": end}, nil
}

// segment is a part of a token.
func segment(v any) string {
	doc, _ := json.Marshal(v) // What has come from JSON goes into JSON.
	return base64.RawURLEncoding.EncodeToString(doc)
}

func (h *Host) signURL(c connector.Connection, s Signed) (any, *failure) {
	u, err := url.Parse(s.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, refuse(code.InvalidRequest, "\"url\" must be an https URL, without a user name and a fragment")
	}
	if !slices.ContainsFunc(c.Hosts, func(host string) bool { return h.matches(host, u) }) {
		return nil, refuse(code.InvalidRequest, "\"url\" is not at one of the connection's hosts")
	}
	query := u.Query()
	query.Set("X-Amz-Signature", Signature(s.Connection))
	u.RawQuery = query.Encode()
	return map[string]any{"url": u.String(), "expires_at": time.Now().UTC().Truncate(time.Second).Add(s.Lifetime)}, nil
}
