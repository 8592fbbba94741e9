// Command verify is a connector whose deliveries only it can verify, and which can be told by
// a header to do so badly.
package main

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
)

var _ = connector.Define(connector.Connector{
	Name: "verify", Version: "1.0.0",
	Webhooks: []connector.Webhook{
		{Name: "acme", Verify: verify, Run: run},
		{Name: "signed", Scheme: "standard-webhooks", Run: run},
	},
	Egress: []connector.Egress{{Host: "example.com", Methods: []string{"GET"}}},
})

func run(_ *connector.Context, d connector.Delivery) (any, error) {
	return map[string]any{"id": d.ID, "bytes": len(d.Body)}, nil
}

// verify knows Acme's scheme, which no descriptor says: the SHA-256 of the lines of the body,
// the last first, after the time, the method and the URL.
func verify(ctx *connector.Context, d connector.Incoming) (connector.Verdict, error) {
	if d.Method == "GET" {
		return connector.Respond(connector.HandshakeResponse{Status: 200, Text: "acme " + d.Query}), nil
	}
	if v, err := misbehave(ctx, d.Header.Get("X-Do")); v != nil || err != nil {
		return connector.Verdict{}, err
	}
	given, id, at := d.Header.Get("X-Acme-Signature"), d.Header.Get("X-Acme-Id"), d.Header.Get("X-Acme-Time")
	if given == "" {
		return connector.Refuse(connector.SignatureMissing, "there is no X-Acme-Signature"), nil
	}
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return connector.Refuse("acme_time", "the time is no number"), nil
	}
	lines := strings.Split(string(d.Body), "\n")
	text := at + d.Method + d.URL
	for i := range lines {
		text += lines[len(lines)-1-i]
	}
	want, err := ctx.Sign.HMAC(connector.Secret, "hmac-sha256", []byte(text))
	if err != nil {
		return connector.Verdict{}, err
	}
	if !want.Is(given) {
		return connector.Refuse(connector.SignatureInvalid, "it is another"), nil
	}
	return connector.Accept(id, time.Unix(seconds, 0)), nil
}

// misbehave does what no plugin should.
func misbehave(ctx *connector.Context, what string) (*connector.Verdict, error) {
	var done connector.Verdict
	switch what {
	case "panic":
		panic("oh no")
	case "spin":
		for i := 0; ; i++ {
			if i < 0 {
				return &done, nil
			}
		}
	case "fail":
		return nil, connector.Errorf("rate_limited", "the plugin is tired")
	case "http":
		_, err := ctx.HTTP.Do(connector.Request{Method: "GET", URL: "https://example.com/"})
		return nil, errors.Join(errors.New("http"), err)
	case "state":
		return nil, errors.Join(errors.New("state"), ctx.State.Set("a", 1))
	case "emit":
		return nil, errors.Join(errors.New("emit"), ctx.Emit("a", "b", 1))
	case "token":
		_, _, err := ctx.Sign.JWT(connector.Secret, "HS256", map[string]string{"a": "b"}, 0)
		return nil, errors.Join(errors.New("token"), err)
	case "connection":
		_, err := ctx.Sign.HMAC("acme", "hmac-sha256", []byte("a"))
		return nil, errors.Join(errors.New("connection"), err)
	case "signs":
		for range 100 {
			if _, err := ctx.Sign.HMAC(connector.Secret, "hmac-sha256", []byte("a")); err != nil {
				return nil, err
			}
		}
	}
	return nil, nil
}

func main() {}
