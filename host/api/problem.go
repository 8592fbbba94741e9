package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// Rules of this file:
//
//   - A problem says what was wrong, where, and what to do. It never repeats a
//     value that was sent and never shows a cause.
//   - A cause is logged where the problem is made, once, if the status is over 499.

const (
	problemType = "application/problem+json"
	// retryAfter is what is told to whoever met a platform that is down and knows
	// no better: long enough for a restart, short enough for a vendor's next try.
	retryAfter = 5 * time.Second
)

// problem is an RFC 9457 problem: <https://www.rfc-editor.org/rfc/rfc9457>.
type problem struct {
	Type   string `json:"type" doc:"Always about:blank: the code says which problem it is." example:"about:blank"`
	Title  string `json:"title" doc:"The status in words." example:"Not Found"`
	Status int    `json:"status" doc:"The HTTP status." example:"404"`
	Detail string `json:"detail" doc:"What was wrong, for a person." example:"there is no tenant \"acme\""`
	Code   string `json:"code" doc:"What was wrong, for a program. Codes do not change." example:"not_found"`
	Class  string `json:"class" doc:"Whose problem it is." enum:"auth,rate_limited,upstream,contract_changed,network,invalid_input,plugin_bug,limit_exceeded,conflict,denied,ambiguous_effect,platform"`
	Hint   string `json:"hint,omitempty" doc:"What to do about it."`
	Where  string `json:"where,omitempty" doc:"A JSON pointer into the body, or the name of a parameter." example:"/config/repository"`
	// Errors are further faults of the same request.
	Errors  []problemItem   `json:"errors,omitempty" nullable:"false" doc:"Each fault of the request, if there are several."`
	Details json.RawMessage `json:"details,omitempty" doc:"More about it, for a program. Its shape depends on the code."`

	retryAfter time.Duration
}

// problemItem is one of several faults of a request.
type problemItem struct {
	Where   string `json:"where" doc:"A JSON pointer into the body, or the name of a parameter."`
	Message string `json:"message" doc:"What was wrong there."`
}

// Error implements error, and huma.StatusError with GetStatus.
func (p *problem) Error() string { return p.Code + ": " + p.Detail }

// GetStatus implements huma.StatusError.
func (p *problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *problem) ContentType(string) string { return problemType }

// GetHeaders implements huma.HeadersError.
func (p *problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="cofferdam"`)
	}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.retryAfter.Seconds()))))
	}
	return h
}

// problemOf translates an error. The error's own text is not in it.
func problemOf(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	f := fault.From(err)
	p := newProblem(fault.Status(f), f.Class, f.Code, f.Message)
	p.Hint, p.Where, p.Details, p.retryAfter = f.Hint, f.Where, f.Details, f.RetryAfter
	for _, other := range f.Problems {
		p.Errors = append(p.Errors, problemItem(other))
	}
	if p.retryAfter == 0 && p.Status == http.StatusServiceUnavailable {
		p.retryAfter = retryAfter
	}
	return p
}

func newProblem(status int, class fault.Class, code, detail string) *problem {
	return &problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status,
		Class: string(class), Code: code, Detail: detail,
	}
}

// refuse makes the problem of an error and reports it.
func (s *server) refuse(ctx context.Context, err error) *problem {
	s.report(ctx, err)
	return problemOf(err)
}

// report logs the cause of an error that is ours.
func (s *server) report(ctx context.Context, err error) {
	p := problemOf(err)
	if p.Status < http.StatusInternalServerError {
		return
	}
	if p.Code == fault.CodeOverloaded || p.Code == fault.CodeQueueFull {
		return // Thousands a second: whoever turned them away says so now and then.
	}
	level := slog.LevelError
	if ctx.Err() != nil {
		// The client went away in the middle: that is no failure of ours.
		level = slog.LevelDebug
	}
	s.o.Logger.LogAttrs(ctx, level, "request failed",
		slog.String("route", chi.RouteContext(ctx).RoutePattern()),
		slog.Int("status", p.Status), slog.String("code", p.Code), slog.String("cause", err.Error()))
}

// fail answers a request with the problem of an error.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := s.refuse(r.Context(), err)
	maps.Copy(w.Header(), p.GetHeaders())
	writeJSON(w, p.Status, problemType, p)
}

// writeJSON answers with v. That the client has gone is nobody's fault.
func writeJSON(w http.ResponseWriter, status int, contentType string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		// Only types of this package and documents that were decoded come here.
		panic(fmt.Sprintf("encode an answer: %v", err))
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}

func (s *server) notFound(w http.ResponseWriter, r *http.Request) {
	p := newProblem(http.StatusNotFound, fault.InvalidInput, fault.CodeNotFound, "there is nothing at this path")
	p.Hint = "GET /openapi.json describes all that there is"
	s.fail(w, r, p)
}

func (s *server) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		if s.router.Match(chi.NewRouteContext(), method, r.URL.EscapedPath()) {
			allowed = append(allowed, method)
		}
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	p := newProblem(http.StatusMethodNotAllowed, fault.InvalidInput, "method_not_allowed", "this path does not take this method")
	p.Hint = "it takes " + strings.Join(allowed, ", ")
	s.fail(w, r, p)
}

// explain is a huma.Transformer: it gives huma's own refusals the shape and the
// discretion of ours.
func explain(ctx huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	p := newProblem(m.Status, fault.InvalidInput, "invalid_request", "the request does not fit the operation")
	p.Hint = "GET /openapi.json describes what " + ctx.Operation().OperationID + " takes"
	switch m.Status {
	case http.StatusUnsupportedMediaType:
		p.Code, p.Detail = "content_type_unsupported", "the body must be application/json"
		return p, nil
	case http.StatusBadRequest:
		p.Code = fault.CodeMalformed
		if len(m.Errors) == 0 {
			p.Detail = "the operation takes a body, and there is none"
			return p, nil
		}
	}
	for _, d := range m.Errors {
		if d != nil {
			p.Errors = append(p.Errors, problemItem{Where: pointer(d.Location), Message: d.Message})
		}
	}
	if len(p.Errors) == 1 {
		p.Where, p.Detail, p.Errors = p.Errors[0].Where, p.Errors[0].Message, nil
	}
	return p, nil
}

// pointer makes a JSON pointer of a place in a body, such as body.items[3].tags,
// and a plain name of a parameter, such as query.limit.
func pointer(location string) string {
	in, rest, _ := strings.Cut(location, ".")
	if in != "body" {
		if array, ok := strings.CutPrefix(location, "body["); ok {
			return "/" + strings.NewReplacer("[", "/", "]", "", ".", "/").Replace(array)
		}
		return rest
	}
	if rest == "" {
		return ""
	}
	rest = strings.NewReplacer("~", "~0", "/", "~1").Replace(rest)
	return "/" + strings.NewReplacer(".", "/", "[", "/", "]", "").Replace(rest)
}

// unmarshal is json.Unmarshal whose errors do not repeat the input or name our types.
func unmarshal(data []byte, v any) error {
	err := json.Unmarshal(data, v)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("the body is not JSON from byte %d on", syntax.Offset)
	}
	if kind, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("the property %q has a value of another type, at byte %d", kind.Field, kind.Offset)
	}
	if err != nil {
		return errors.New("a value in the body cannot be read")
	}
	return nil
}
