package oauth

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// request is one to an endpoint that the client has to prove itself to.
type request struct {
	endpoint *url.URL
	params   url.Values
	// secrets are what no text of the server's may repeat.
	secrets []string
	// skew is added to the clock that signatures are made by.
	skew time.Duration
	// asToken says that the registration's way of token requests counts: its method and
	// body. Others are a POST of a form, as their specifications have it, or of JSON to a
	// server that takes that for tokens.
	asToken bool
}

// send proves the client and asks, once: what was sent may have been used, and only
// the caller knows whether it may be sent again.
func (c *Client) send(ctx context.Context, r Registration, q request) (*answer, error) {
	params := maps.Clone(q.params)
	header := http.Header{"Accept": {"application/json"}}
	secrets := append(slices.Clip(q.secrets), r.Secret.ClientSecret)
	signed, err := c.authenticate(r, q, params, header)
	if err != nil {
		return nil, err
	}
	secrets = append(secrets, signed)
	method, style := http.MethodPost, "form"
	switch {
	case q.asToken:
		method, style = or(r.Wire.Method, method), or(r.Wire.Body, style)
	case r.Wire.Body == "json":
		style = "json"
	}
	params = r.Wire.renamed(params)
	for name, value := range r.Wire.Headers {
		header.Set(name, value)
	}
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	built, err := build(ctx, method, style, q.endpoint, params)
	if err != nil {
		return nil, err
	}
	maps.Copy(built.Header, header)
	through, err := c.transport(r)
	if err != nil {
		return nil, err
	}
	return c.do(built, through, secrets)
}

// authenticate adds what proves the client, by RFC 6749 section 2.3, RFC 7523 section
// 2.2 or RFC 8705 section 2, and returns the assertion that it made, if it did.
func (c *Client) authenticate(r Registration, q request, params url.Values, header http.Header) (string, error) {
	how := or(r.Wire.TokenAuth, "client_secret_basic")
	if strings.HasPrefix(how, "client_secret") && r.Secret.ClientSecret == "" {
		return "", newError(codeRegistration, "the registration with %.64q has no client secret, and %s needs one", r.Provider, how)
	}
	basic := func(id, secret string) {
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(id+":"+secret)))
	}
	switch how {
	case "client_secret_basic":
		basic(url.QueryEscape(r.ClientID), url.QueryEscape(r.Secret.ClientSecret))
	case "client_secret_basic_raw":
		basic(r.ClientID, r.Secret.ClientSecret)
	case "client_secret_post":
		params.Set("client_id", r.ClientID)
		params.Set("client_secret", r.Secret.ClientSecret)
	case "private_key_jwt":
		signed, err := c.clientAssertion(r, q.endpoint.String(), c.config.Now().Add(q.skew))
		if err != nil {
			return "", err
		}
		params.Set("client_id", r.ClientID)
		params.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		params.Set("client_assertion", signed)
		return signed, nil
	default: // tls_client_auth and none
		params.Set("client_id", r.ClientID)
		if how == "tls_client_auth" && r.Secret.Certificate == "" {
			return "", newError(codeRegistration, "the registration with %.64q has no certificate, and %s needs one", r.Provider, how)
		}
	}
	return "", nil
}

func build(ctx context.Context, method, style string, endpoint *url.URL, params url.Values) (*http.Request, error) {
	to := *endpoint
	var body []byte
	kind := ""
	switch {
	case method == http.MethodGet || style == "query":
		query := to.Query()
		maps.Copy(query, params)
		to.RawQuery = query.Encode()
	case style == "json":
		object := make(map[string]any, len(params))
		for name, values := range params {
			object[name] = values[0]
			if len(values) > 1 {
				object[name] = values
			}
		}
		body, _ = json.Marshal(object) // Of texts, it does not fail.
		kind = "application/json"
	default:
		body, kind = []byte(params.Encode()), "application/x-www-form-urlencoded"
	}
	built, err := http.NewRequestWithContext(ctx, method, to.String(), bytes.NewReader(body))
	if err != nil {
		return nil, newError(codeRegistration, "%.200q is no endpoint", endpoint.Host)
	}
	if method == http.MethodGet {
		// net/http makes a GET again by itself if a connection breaks, unless it has a
		// body that cannot be had again: a grant is sent once.
		built.Body, built.GetBody = io.NopCloser(bytes.NewReader(body)), nil
	}
	if kind != "" {
		built.Header.Set("Content-Type", kind)
	}
	return built, nil
}

// transport is what makes r's requests.
func (c *Client) transport(r Registration) (http.RoundTripper, error) {
	if r.Secret.Certificate == "" {
		return c.config.Transport, nil
	}
	shown, err := r.Secret.certificate()
	if err != nil {
		return nil, err
	}
	t, ok := c.config.Transport.(interface {
		Showing(shown tls.Certificate) http.RoundTripper
	})
	if !ok {
		return nil, newError(codeRegistration, "this program's transport shows no certificates, and the registration with %.64q has one", r.Provider)
	}
	return t.Showing(shown), nil
}

// do makes a request and reads its answer. A redirect is not followed: it would carry
// the client's secret to where nobody said.
func (c *Client) do(r *http.Request, through http.RoundTripper, secrets []string) (*answer, error) {
	host := r.URL.Host
	client := http.Client{
		Transport:     through,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	sent := c.config.Now()
	response, err := client.Do(r)
	if err != nil {
		return nil, unreachable(host, err)
	}
	defer func() { _ = response.Body.Close() }() // What matters was read.
	body, err := io.ReadAll(io.LimitReader(response.Body, answerMost+1))
	if err != nil {
		return nil, unreachable(host, err)
	}
	received := c.config.Now()
	a := &answer{host: host, status: response.StatusCode, header: response.Header, body: body, sent: sent, secrets: secrets}
	a.skew = skewOf(response.Header, sent, received)
	if c.skews.Remove(host); a.skew.Abs() >= skewMost {
		c.skews.Add(host, a.skew)
	}
	return a, a.fits(received)
}

// skewLeast is what the Date header tells from nothing: it has whole seconds, and was
// written before the answer travelled.
const skewLeast = 2 * time.Second

// skewOf is by how much the server's clock is ahead of ours.
func skewOf(h http.Header, sent, received time.Time) time.Duration {
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0
	}
	// It was between sent and received, in the middle of its second.
	skew := date.Add(time.Second / 2).Sub(sent.Add(received.Sub(sent) / 2))
	if skew.Abs() < skewLeast+received.Sub(sent)/2 {
		return 0
	}
	return skew
}
