package egress

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

// Permissions are what one run may reach, and as whom.
type Permissions struct {
	// Rules that allow. Defaults to none: nothing is reached.
	Rules []Rule
	// Credentials of the installation's connections. Defaults to none.
	Credentials Credentials
	// Secrets learns the credentials that were used. It is the Gate's, so that
	// they are taken out of the trace too. Defaults to one of its own.
	Secrets *hostfns.Redactor
	// Pool names whose connections to servers may be used again: the tenant.
	// Defaults to nobody's: each request has a connection of its own.
	Pool string
	// Idempotency says which hosts take idempotency keys; the first that fits a
	// request counts. The key is the crossing's (hostfns.KeyOf). Defaults to none.
	Idempotency []IdempotencyRule
	// NotDone says which answers mean that a request was not accepted. Defaults to
	// 429, and to 401 where a connection's credential was sent.
	NotDone []NotDoneRule
	// Held says whether the run holds its lease still, long enough for a request to
	// arrive. It is asked twice for each, the second time right before the first byte
	// is written, and ends the run with ErrNotHeld. Defaults to always.
	Held func() bool
}

// Session is the HTTP of one run. It is used by one goroutine at a time.
type Session struct {
	egress      *Egress
	permissions Permissions
	rules       []matcher
	idempotency []idempotent
	notDone     []notDone
	calls       int
	// credentialed is set once a secret is on the wire: from then on it may
	// come back in any answer.
	credentialed bool
}

// Session returns a Session. Rules that are not valid allow nothing.
func (e *Egress) Session(p Permissions) *Session {
	s := &Session{egress: e, permissions: p}
	if s.permissions.Secrets == nil {
		s.permissions.Secrets = hostfns.NewRedactor()
	}
	for _, r := range p.Rules {
		if m, err := r.compile(); err == nil {
			s.rules = append(s.rules, m)
		}
	}
	for _, r := range p.Idempotency {
		if m, ok := matchHost(r.Host); ok && isToken(r.Header) {
			s.idempotency = append(s.idempotency, idempotent{host: m, header: r.Header, ttl: r.TTL})
		}
	}
	for _, r := range p.NotDone {
		if m, ok := matchHost(r.Host); ok {
			s.notDone = append(s.notDone, notDone{host: m, status: slices.Clone(r.Status)})
		}
	}
	return s
}

// Funcs gives http.
func (s *Session) Funcs() []hostfns.Func {
	return []hostfns.Func{{
		Name: "http", Answer: s.answer, Effect: effectOf, Mark: s.mark,
		Summarize: summarizeRequest, SummarizeResult: summarizeResult,
	}}
}

func (s *Session) answer(ctx context.Context, raw json.RawMessage) (any, error) {
	if limit := s.egress.config.CallsPerRun; s.calls >= limit {
		return nil, hostfns.Errorf(hostfns.CodeLimitExceeded,
			"this run has made the %d HTTP calls that it may: spread the work over several executions", limit)
	}
	s.calls++
	hostfns.Report(ctx, hostfns.NotDone) // Until something is sent.
	out, err := s.egress.parse(raw)
	if err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, out.timeout)
	defer cancel()
	result, err := s.exchange(bounded, out)
	if err == nil {
		// A server that is hung up on may end its answer in good order, which
		// would pass half of one for the whole.
		err = bounded.Err()
	}
	switch {
	case err == nil:
		return result, nil
	case ctx.Err() != nil:
		// The guest's call is over, and nobody is left to be told more.
		return nil, ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		return nil, hostfns.Errorf(hostfns.CodeTimeout, "%s did not answer in time: %d ms are the limit of this call", out.origin, out.timeout.Milliseconds())
	}
	return nil, err
}

// exchange sends a request and follows where it is redirected to.
func (s *Session) exchange(ctx context.Context, out *outgoing) (*result, error) {
	for followed := 0; ; followed++ {
		response, err := s.send(ctx, out)
		if err != nil {
			return nil, err
		}
		location := locationOf(response)
		if location == "" || s.egress.config.Redirects == 0 {
			result, err := s.read(response, out)
			if err != nil && !out.settled && !isTooLarge(err) {
				hostfns.Report(ctx, hostfns.Unknown) // The answer was cut off.
			}
			return result, err
		}
		if !out.settled && !becomesGet(response.StatusCode, out.method) {
			hostfns.Report(ctx, hostfns.NotDone) // It is to be sent elsewhere.
		}
		if err := response.Body.Close(); err != nil {
			return nil, explain(out, err)
		}
		if limit := s.egress.config.Redirects; followed == limit {
			return nil, hostfns.Errorf(hostfns.CodeLimitExceeded, "%s redirects more than %d times: call the final address", out.origin, limit)
		}
		if out, err = s.redirected(out, response.StatusCode, location); err != nil {
			return nil, err
		}
	}
}

// send makes one request of a chain. The caller closes the response's body.
func (s *Session) send(ctx context.Context, out *outgoing) (*http.Response, error) {
	if err := s.permit(out); err != nil {
		return nil, err
	}
	if err := s.checkKey(out); err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, out.method, out.url.String(), bytes.NewReader(out.body))
	if err != nil {
		return nil, invalid("the request cannot be built: check \"method\" and \"url\"")
	}
	r.Header = out.header.Clone()
	if r.Header.Get("User-Agent") == "" {
		r.Header.Set("User-Agent", "Cofferdam")
	}
	s.putKey(ctx, out, r.Header)
	sendOnce(r.Header)
	if err := s.authenticate(ctx, out, r); err != nil {
		return nil, err
	}
	// With a credential under way, answers must be readable, or it could come
	// back in a shape in which nobody finds it.
	if s.credentialed || r.Header.Get("Accept-Encoding") == "" {
		r.Header.Set("Accept-Encoding", "gzip")
	}
	p := s.egress.pools.get(s.permissions.Pool)
	transport := p.secure
	if out.origin.scheme == "http" {
		transport = p.plain
	}
	if !s.held() {
		return nil, ErrNotHeld
	}
	sending, lost := s.guarded(ctx, out)
	response, err := transport.RoundTrip(r.WithContext(sending))
	switch {
	case lost.Load():
		return nil, ErrNotHeld
	case err != nil:
		return nil, explain(out, err)
	case !out.settled:
		hostfns.Report(ctx, s.outcome(out, response.StatusCode))
	}
	return response, nil
}

// permit checks a request against the rules.
func (s *Session) permit(out *outgoing) error {
	allowed := slices.ContainsFunc(s.rules, func(m matcher) bool { return m.allows(out.method, out.origin) })
	if !allowed {
		return hostfns.Errorf(hostfns.CodeDenied,
			"the installation is not granted %s %s%s: granted %s; name it under \"egress\" in the manifest, and ask the tenant to grant egress to %s",
			out.method, out.origin, out.via, s.granted(), out.origin.authority())
	}
	if out.origin.scheme == "http" && len(s.egress.config.AllowAddrs) == 0 {
		return hostfns.Errorf(hostfns.CodeDenied, "%s is plain http, which reads and changes on the way: use https", out.origin)
	}
	return nil
}

func (s *Session) granted() string {
	const shown = 10
	if len(s.rules) == 0 {
		return "is nothing"
	}
	var lines []string
	for _, m := range s.rules[:min(len(s.rules), shown)] {
		lines = append(lines, m.String())
	}
	if more := len(s.rules) - shown; more > 0 {
		lines = append(lines, fmt.Sprintf("%d more", more))
	}
	return "are " + strings.Join(lines, "; ")
}

// authenticate adds the credential of the connection, if one is named.
func (s *Session) authenticate(ctx context.Context, out *outgoing, r *http.Request) error {
	if out.connection == "" {
		return nil
	}
	if s.permissions.Credentials == nil {
		return hostfns.Errorf(hostfns.CodeNoConnection, "the installation has no connections, and so none named %.64q", out.connection)
	}
	target := *r.URL
	secrets, err := s.permissions.Credentials.Apply(ctx, out.connection, r)
	switch {
	case errors.Is(err, ErrNoConnection):
		return hostfns.Errorf(hostfns.CodeNoConnection, "connection %.64q: %s", out.connection, err)
	case errors.Is(err, ErrHostNotAllowed):
		return hostfns.Errorf(hostfns.CodeDenied, "connection %.64q at %s: %s", out.connection, out.origin, err)
	case err != nil:
		return fmt.Errorf("apply credential: %w", err)
	case r.URL.Scheme != target.Scheme || r.URL.Host != target.Host || r.Host != target.Host:
		return errors.New("apply credential: it changed where the request goes")
	}
	s.permissions.Secrets.Add(secrets...)
	s.credentialed = true
	return nil
}

// summarizeRequest shows a request without the values of its query, which
// people put keys into.
func summarizeRequest(raw json.RawMessage) string {
	var r struct{ Method, URL string }
	if err := json.Unmarshal(raw, &r); err != nil {
		return ""
	}
	u, err := url.Parse(r.URL)
	if err != nil {
		return strings.ToUpper(r.Method)
	}
	clean := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	line := strings.ToUpper(r.Method) + " " + clean.String()
	if u.RawQuery != "" {
		line += "?..."
	}
	return line
}

// summarizeResult reads no further than the status: an answer can be long.
func summarizeResult(raw json.RawMessage) string {
	d := json.NewDecoder(bytes.NewReader(raw))
	if _, err := d.Token(); err != nil {
		return ""
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return ""
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return ""
		}
		if name == "status" {
			return " -> " + string(value)
		}
	}
	return ""
}
