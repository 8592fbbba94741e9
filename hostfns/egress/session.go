package egress

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	// Slots are where placeholders are filled, by the name of a connection. Defaults to
	// nowhere.
	Slots map[string]Slots
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
	// StreamBytes narrows Config.StreamBytes. Defaults to that.
	StreamBytes int64
	// Pace says when requests go with connections. Defaults to at once.
	Pace Pace
	// Held says whether the run holds its lease still, long enough for a request to
	// arrive. It is asked twice for each, the second time right before the first byte
	// is written, and ends the run with ErrNotHeld. Defaults to always.
	Held func() bool
}

// Session is the HTTP of one run. It is used by one goroutine at a time, and whoever has
// it closes it.
type Session struct {
	egress      *Egress
	permissions Permissions
	rules       []matcher
	idempotency []idempotent
	notDone     []notDone
	marked      marked
	calls       int
	// credentialed is set once a secret is on the wire: from then on it may
	// come back in any answer.
	credentialed bool
	streams      streams
	ahead        ahead
}

// httpFunc is the name of the Func that makes requests.
const httpFunc = "http"

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

// Funcs gives http, and the functions about its streams.
func (s *Session) Funcs() []hostfns.Func {
	return append([]hostfns.Func{{
		Name: httpFunc, Answer: s.answer, Recall: s.recallHTTP, Effect: effectOf, Mark: s.mark,
		Summarize: summarizeRequest, SummarizeResult: summarizeResult,
	}}, s.streamFuncs()...)
}

// Close ends the streams that are open, and waits for what sends them.
func (s *Session) Close() { s.streams.close() }

func (s *Session) answer(ctx context.Context, raw json.RawMessage) (any, error) {
	if limit := s.egress.config.CallsPerRun; s.calls >= limit {
		return nil, hostfns.Errorf(hostfns.CodeLimitExceeded,
			"this run has made the %d HTTP calls that it may: spread the work over several executions", limit)
	}
	s.calls++
	hostfns.Report(ctx, hostfns.NotDone) // Until something is sent.
	out, err := s.parse(raw)
	if err != nil {
		return nil, err
	}
	if out.stream || out.streamed() {
		return s.answerStreamed(ctx, raw, out)
	}
	bounded, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	limit := s.egress.watch.begin(out.timeout, stop)
	defer limit.end()
	result, err := s.exchange(bounded, out, limit)
	if err == nil {
		// A server that is hung up on may end its answer in good order, which
		// would pass half of one for the whole.
		err = context.Cause(bounded)
	}
	if err != nil {
		return nil, s.untold(ctx, out, err)
	}
	return result, nil
}

// untold is the error of a request as the guest is told it.
func (s *Session) untold(ctx context.Context, out *outgoing, err error) error {
	switch {
	case ctx.Err() != nil:
		// The guest's call is over, and nobody is left to be told more.
		return ctx.Err()
	case errors.Is(err, errIdle):
		return s.stalled(out)
	case errors.Is(err, context.DeadlineExceeded):
		return hostfns.Errorf(hostfns.CodeTimeout, "%s did not answer in time: %d ms are the limit of this call", out.origin, out.timeout.Milliseconds())
	}
	return err
}

// exchange sends a request and follows where it is redirected to.
func (s *Session) exchange(ctx context.Context, out *outgoing, limit *patience) (*result, error) {
	leave, err := s.enter(ctx, out)
	if err != nil {
		return nil, err
	}
	defer leave()
	response, err := s.send(ctx, out, limit)
	if err != nil {
		return nil, err
	}
	response, out, err = s.follow(ctx, out, response, limit)
	if err != nil {
		return nil, err
	}
	result, err := s.read(response, out, limit)
	return result, s.cutOff(ctx, out, err)
}

// follow goes where a response redirects to, and gives the one that does not, with the
// request that it answers.
func (s *Session) follow(ctx context.Context, out *outgoing, response *http.Response, limit *patience) (*http.Response, *outgoing, error) {
	for followed := 0; ; followed++ {
		location := locationOf(response)
		if location == "" || s.egress.config.Redirects == 0 {
			return response, out, nil
		}
		if !out.settled && !becomesGet(response.StatusCode, out.method) {
			hostfns.Report(ctx, hostfns.NotDone) // It is to be sent elsewhere.
		}
		if err := response.Body.Close(); err != nil {
			return nil, out, explain(out, err)
		}
		if limit := s.egress.config.Redirects; followed == limit {
			return nil, out, hostfns.Errorf(hostfns.CodeLimitExceeded, "%s redirects more than %d times: call the final address", out.origin, limit)
		}
		next, err := s.redirected(out, response.StatusCode, location)
		if err != nil {
			return nil, out, err
		}
		out = next
		if response, err = s.send(ctx, out, limit); err != nil {
			return nil, out, err
		}
	}
}

// cutOff says what became of a request whose answer was not read to its end.
func (s *Session) cutOff(ctx context.Context, out *outgoing, err error) error {
	if err == nil {
		return nil
	}
	if !out.settled && !isTooLarge(err) {
		hostfns.Report(ctx, hostfns.Unknown)
	}
	if errors.Is(context.Cause(ctx), errIdle) {
		return s.stalled(out)
	}
	return err
}

func (s *Session) stalled(out *outgoing) error {
	return hostfns.Errorf(hostfns.CodeTimeout, "%s began an answer, and did not go on with it for %s", out.origin, s.egress.config.Idle)
}

// send makes one request of a chain, and once more where its credential was refused and
// there is another. The caller closes the response's body.
func (s *Session) send(ctx context.Context, out *outgoing, limit *patience) (*http.Response, error) {
	response, r, err := s.try(ctx, out, limit)
	if err != nil {
		return nil, err
	}
	renewed, err := s.renew(ctx, out, r, response)
	if !renewed && err == nil {
		return response, nil
	}
	s.discard(response, limit)
	if err != nil {
		return nil, err
	}
	if response, r, err = s.try(ctx, out, limit); err == nil {
		_, err = s.renew(ctx, out, r, response) // It is renewed once: this tells whether that has worked.
	}
	return response, err
}

// try sends a request, and gives it as it was sent with its answer.
func (s *Session) try(ctx context.Context, out *outgoing, limit *patience) (*http.Response, *http.Request, error) {
	pass, err := s.admit(ctx, out)
	if err != nil {
		return nil, nil, err
	}
	guarded := s.guarded(ctx, out, limit, func() { hostfns.Report(ctx, hostfns.Unknown) })
	r, transport, err := s.prepare(guarded, out, nil)
	if err != nil {
		pass.Leave(ctx, Ending{})
		return nil, nil, err
	}
	response, err := transport.RoundTrip(r)
	out.begun = true
	pass.Leave(ctx, endingOf(ctx, response, err))
	switch {
	case errors.Is(context.Cause(ctx), ErrNotHeld):
		return nil, nil, ErrNotHeld
	case err != nil:
		return nil, nil, explain(out, err)
	case !out.settled:
		hostfns.Report(ctx, s.outcome(out, response.StatusCode))
	}
	return response, r, nil
}

// prepare makes a request that can be sent, of out's body or of what comes from body,
// and finds what carries it.
func (s *Session) prepare(ctx context.Context, out *outgoing, body io.ReadCloser) (*http.Request, http.RoundTripper, error) {
	if err := s.permit(out); err != nil {
		return nil, nil, err
	}
	if err := s.checkKey(out); err != nil {
		return nil, nil, err
	}
	r, err := requestOf(ctx, out, body)
	if err != nil {
		return nil, nil, err
	}
	u := *out.url // What was checked, and a copy for a credential to be added to.
	r.URL, r.Host, r.Header = &u, u.Host, out.header.Clone()
	if r.Header.Get("User-Agent") == "" {
		r.Header.Set("User-Agent", "Cofferdam")
	}
	s.putKey(ctx, out, r.Header)
	sendOnce(r.Header)
	if err := s.authenticate(ctx, out, r); err != nil {
		return nil, nil, err
	}
	// With a credential under way, answers must be readable, or it could come
	// back in a shape in which nobody finds it.
	if coding := r.Header.Get("Accept-Encoding"); coding == "" || s.credentialed && coding != "identity" {
		r.Header.Set("Accept-Encoding", "gzip")
	}
	transport, err := s.transport(out, presented(r))
	if err != nil {
		return nil, nil, err
	}
	if body != nil {
		r.GetBody = nil // It goes out once.
	}
	if !s.held() {
		return nil, nil, ErrNotHeld
	}
	return r, transport, nil
}

// requestOf is a request with a body, and nothing else yet.
func requestOf(ctx context.Context, out *outgoing, body io.ReadCloser) (*http.Request, error) {
	var content io.Reader = bytes.NewReader(out.body)
	if body != nil {
		content = body
	}
	r, err := http.NewRequestWithContext(ctx, out.method, "", content)
	if err != nil {
		return nil, invalid("the request cannot be built: check \"method\" and \"url\"")
	}
	if body != nil {
		r.ContentLength, r.GetBody = out.length, func() (io.ReadCloser, error) { return nil, ErrStreamed }
	}
	return r, nil
}

// transport is what carries a request.
func (s *Session) transport(out *outgoing, shown *tls.Certificate) (http.RoundTripper, error) {
	plain := out.origin.scheme == "http"
	if plain && shown != nil {
		return nil, hostfns.Errorf(hostfns.CodeDenied, "%s is plain http, where no certificate can be shown: use https", out.origin)
	}
	if instead := s.egress.config.Instead; instead != nil {
		return instead, nil
	}
	pool := s.permissions.Pool
	if out.streamed() {
		// On a connection that has been used, the server may have hung up meanwhile, and
		// what was streamed cannot be sent again.
		pool = ""
	}
	p := s.egress.pools.get(pool, shown)
	if plain {
		return p.plain, nil
	}
	return p.secure, nil
}

// permit checks a request against the rules.
func (s *Session) permit(out *outgoing) error {
	for i := -1; i < len(out.stands); i++ {
		method := out.method
		if i >= 0 {
			method = out.stands[i]
		}
		if !slices.ContainsFunc(s.rules, func(m matcher) bool { return m.allows(method, out.origin) }) {
			return hostfns.Errorf(hostfns.CodeDenied,
				"the installation is not granted %s %s%s: granted %s; name it under \"egress\" in the manifest, and ask the tenant to grant egress to %s",
				method, out.origin, out.via, s.granted(), out.origin.authority())
		}
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
	switch {
	case out.placeholder:
		return s.place(ctx, out, r)
	case out.connection == "":
		return nil
	case s.permissions.Credentials == nil:
		return s.noConnections(out)
	}
	scheme, host := r.URL.Scheme, r.URL.Host
	secrets, err := s.permissions.Credentials.Apply(ctx, out.connection, r)
	switch {
	case err != nil:
		return refusalOf(out, err)
	case r.URL.Scheme != scheme || r.URL.Host != host || r.Host != host:
		return errors.New("apply credential: it changed where the request goes")
	}
	s.know(out, secrets)
	return nil
}

func (s *Session) noConnections(out *outgoing) error {
	return hostfns.Errorf(hostfns.CodeNoConnection, "the installation has no connections, and so none named %.64q", out.connection)
}

// summarizeRequest shows a request without the values of its query, which
// people put keys into.
func summarizeRequest(raw json.RawMessage) string {
	var r struct{ Method, URL string }
	if f, ok := glance(raw); ok {
		r.Method, r.URL = text(f.method), text(f.url)
	} else if err := json.Unmarshal(raw, &r); err != nil {
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
	const head = `{"status":`
	if len(raw) > len(head)+3 && string(raw[:len(head)]) == head && raw[len(head)+3] == ',' {
		if status := raw[len(head) : len(head)+3]; status[0] >= '1' && status[0] <= '9' && isDigits(status[1:]) {
			return " -> " + string(status)
		}
	}
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

func isDigits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
