package connectortest

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
)

// manifest is the part of a manifest that decides about requests.
type manifest struct {
	Connections []connector.Connection `json:"connections"`
	Egress      []connector.Egress     `json:"egress"`
	Idempotency []idempotency          `json:"idempotency"`
}

type httpRequest struct {
	Connection     string              `json:"connection,omitempty"`
	Method         string              `json:"method"`
	URL            string              `json:"url"`
	Headers        map[string][]string `json:"headers,omitempty"`
	Body           *string             `json:"body,omitempty"`
	Base64         []byte              `json:"body_base64,omitempty"`
	IdempotencyKey string              `json:"idempotency_key,omitempty"`
	Stream         bool                `json:"stream,omitempty"`
	Upload         bool                `json:"upload,omitempty"`
	BodyStream     int                 `json:"body_stream,omitempty"`
}

func (r httpRequest) bytes() []byte {
	if r.Body != nil {
		return []byte(*r.Body)
	}
	return r.Base64
}

type httpResponse struct {
	Status  int                 `json:"status"`
	Headers map[string][]string `json:"headers"`
	Body    *string             `json:"body,omitempty"`
	Base64  []byte              `json:"body_base64,omitempty"`
	Stream  int                 `json:"stream,omitempty"`
}

func (c *call) http(r httpRequest) (any, *failure) {
	if refused := c.fill(&r); refused != nil {
		return nil, refused
	}
	request, refused := c.build(r)
	if refused != nil {
		return nil, refused
	}
	if !c.host.mayReach(request) {
		return nil, refuse(code.Denied, "the manifest does not ask for %s %s", r.Method, request.URL.Host)
	}
	if refused := c.putKey(r, request, r.bytes()); refused != nil {
		return nil, refused
	}
	if r.Connection != "" {
		if refused := c.host.authorise(request, r.Connection); refused != nil {
			return nil, refused
		}
	}
	if r.Upload {
		return c.begin(r)
	}
	if c.host.options.HTTP == nil {
		return nil, refuse(code.Network, "nothing answers for %s: set Options.HTTP", request.URL.Host)
	}
	recorder := httptest.NewRecorder()
	c.host.options.HTTP.ServeHTTP(recorder, request)
	return c.response(recorder, r.Stream), nil
}

func (c *call) build(r httpRequest) (*http.Request, *failure) {
	// The client's constructor checks what the server's one would panic at.
	checked, err := http.NewRequestWithContext(c.host.t.Context(), r.Method, r.URL, nil)
	if err != nil {
		return nil, refuse(code.InvalidRequest, "%v", err)
	}
	if checked.URL.Scheme != "https" && checked.URL.Scheme != "http" || checked.URL.Host == "" {
		return nil, refuse(code.InvalidRequest, "%q is not an absolute URL of http or https", r.URL)
	}
	request := httptest.NewRequestWithContext(c.host.t.Context(), r.Method, checked.URL.String(), bytes.NewReader(r.bytes()))
	for name, values := range r.Headers {
		for _, value := range values {
			request.Header.Add(name, value)
		}
	}
	return request, nil
}

func (c *call) response(recorder *httptest.ResponseRecorder, stream bool) httpResponse {
	answer := httpResponse{Status: recorder.Code, Headers: map[string][]string{}}
	for name, values := range recorder.Result().Header {
		answer.Headers[strings.ToLower(name)] = values
	}
	body := recorder.Body.Bytes()
	if stream {
		answer.Stream = c.streams.open(&streamed{body: body})
		return answer
	}
	if !utf8.Valid(body) {
		answer.Base64 = body
		return answer
	}
	text := string(body)
	answer.Body = &text
	return answer
}

func (h *Host) mayReach(r *http.Request) bool {
	return slices.ContainsFunc(h.manifest.Egress, func(e connector.Egress) bool {
		return slices.Contains(e.Methods, r.Method) && h.matches(e.Host, r.URL)
	})
}

// matches compares a host of the manifest with that of a URL.
func (h *Host) matches(pattern string, u *url.URL) bool {
	if name, ok := strings.CutPrefix(pattern, "{config."); ok {
		return h.configured(strings.TrimSuffix(name, "}")) == withPort(u)
	}
	if _, _, err := net.SplitHostPort(pattern); err != nil {
		pattern = net.JoinHostPort(pattern, "443")
	}
	if suffix, ok := strings.CutPrefix(pattern, "*"); ok {
		return strings.HasSuffix(withPort(u), suffix)
	}
	return withPort(u) == pattern
}

// configured is the host and port in a property of the configuration: a URL or
// a host. Where the test says nothing, it is the default in the schema.
func (h *Host) configured(name string) string {
	values := map[string]any{}
	if err := json.Unmarshal(h.config, &values); err != nil {
		return ""
	}
	text, _ := values[name].(string)
	if values[name] == nil {
		text = h.defaultOf(name)
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		u, err = url.Parse("https://" + text)
	}
	if err != nil {
		return ""
	}
	return withPort(u)
}

func (h *Host) defaultOf(name string) string {
	var described struct {
		Config struct {
			Properties map[string]struct {
				Default any `json:"default"`
			} `json:"properties"`
		} `json:"config"`
	}
	if err := json.Unmarshal(h.Describe(), &described); err != nil {
		return ""
	}
	text, _ := described.Config.Properties[name].Default.(string)
	return text
}

func withPort(u *url.URL) string {
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "http":
		port = "80"
	default:
		port = "443"
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// authorise adds the credential of a connection.
func (h *Host) authorise(r *http.Request, name string) *failure {
	i := slices.IndexFunc(h.manifest.Connections, func(c connector.Connection) bool { return c.Name == name })
	if i < 0 {
		return refuse(code.Denied, "the manifest has no connection %q", name)
	}
	if !slices.Contains(h.options.Connections, name) {
		return refuse(code.NoConnection, "connection %q is not granted", name)
	}
	conn := h.manifest.Connections[i]
	ofProvider := conn.Type == connector.OAuth2 && len(conn.Hosts) == 0 // Which are they? Nobody is asked.
	if !ofProvider && !slices.ContainsFunc(conn.Hosts, func(host string) bool { return h.matches(host, r.URL) }) {
		return refuse(code.Denied, "the credential of connection %q is not for %s", name, r.URL.Host)
	}
	credential := Credential(name)
	switch {
	case conn.Type == connector.Bearer, conn.Type == connector.OAuth2:
		r.Header.Set("Authorization", "Bearer "+credential)
	case conn.Type == connector.Basic:
		r.SetBasicAuth("user", credential)
	case conn.Type == connector.PrivateKey, conn.Type == connector.HMAC && conn.Header == "":
		return refuse(code.Denied, "the key of connection %q signs, and goes with no request; ask for a signature with it", name)
	case conn.Type == connector.HMAC:
		r.Header.Set(conn.Header, Signature(name))
	case conn.Type == connector.AWS:
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 "+Signature(name))
	case conn.Type == connector.Certificate: // It is shown in a handshake, of which there is none.
	case conn.Header != "":
		r.Header.Set(conn.Header, credential)
	default:
		query := r.URL.Query()
		query.Set(conn.Query, credential)
		r.URL.RawQuery = query.Encode()
	}
	return nil
}
