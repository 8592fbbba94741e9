package egress

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/cofferdam-run/cofferdam/hostfns"
)

// effectOf reads the method: https://www.rfc-editor.org/rfc/rfc9110#section-9.2.
func effectOf(raw json.RawMessage) hostfns.Effect {
	if f, ok := glance(raw); ok {
		return effectOfMethod(strings.ToUpper(text(f.method)))
	}
	var r struct{ Method string }
	if err := json.Unmarshal(raw, &r); err != nil {
		return hostfns.Read // It is refused.
	}
	return effectOfMethod(strings.ToUpper(r.Method))
}

func effectOfMethod(method string) hostfns.Effect {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return hostfns.Read
	case http.MethodPut, http.MethodDelete:
		return hostfns.Idempotent
	default:
		return hostfns.Unsafe
	}
}

// outcomeOf says what an answer's status tells. A 429 says that the request was
// not accepted. A server that failed may have done before what it was asked for,
// which matters where to ask again would do it twice.
func outcomeOf(method string, status int) hostfns.Outcome {
	switch {
	case status == http.StatusTooManyRequests:
		return hostfns.NotDone
	case status >= http.StatusInternalServerError && effectOfMethod(method) == hostfns.Unsafe:
		return hostfns.Unknown
	default:
		return hostfns.Done
	}
}

// isTooLarge says that an answer came, whole for all that is known.
func isTooLarge(err error) bool {
	told, ok := errors.AsType[*hostfns.Error](err)
	return ok && told.Code == hostfns.CodeResponseTooLarge
}
