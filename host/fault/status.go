package fault

import (
	"net/http"

	"github.com/cofferdam-run/cofferdam/runtime"
)

// Codes that this package gives or tells apart, and others only print.
const (
	codeTimedOut       = "timed_out"
	codeCancelled      = "cancelled"
	codeModuleTooLarge = "module_too_large"
	codeMemoryTooLarge = "memory_too_large"
	// CodeUpstreamAuth is a guest's: a third party refused a credential.
	CodeUpstreamAuth = "auth"
)

// Status returns the HTTP status that says what e says: by its code where that
// has one of its own, else by its class. A nil e is 200 OK.
func Status(e *Error) int {
	if e == nil {
		return http.StatusOK
	}
	// A plugin's own codes may read like ours: "not_found" of a guest is no 404.
	if s := statusOfCode(e.Code); s != 0 && e.Class != PluginBug {
		return s
	}
	return statusOfClass(e.Class)
}

func statusOfCode(code string) int {
	switch code {
	case CodeNotFound:
		return http.StatusNotFound
	case CodeMalformed, "delivery_id_missing", "delivery_id_invalid":
		return http.StatusBadRequest
	case CodeForbidden:
		return http.StatusForbidden
	case CodeBodyTooLarge, codeModuleTooLarge, string(runtime.CodeInputTooLarge):
		return http.StatusRequestEntityTooLarge
	case CodeEndpointDisabled:
		return http.StatusGone
	case CodeDatabaseUnreachable, CodeDatabaseReadOnly, "database_full", "database_in_use", "database_not_durable",
		CodeSchemaTooNew, CodeSchemaTooOld, CodeKeeperUnavailable, CodeKeeperRefused, CodeLoginUnavailable, CodeOverloaded, CodeQueueFull, "vendor_keys_unavailable", "verify_unavailable", "endpoint_incomplete", codeCancelled, string(runtime.CodeKilled):
		return http.StatusServiceUnavailable
	case CodeUpstreamAuth: // Not 401: the caller's own credential was good.
		return http.StatusBadGateway
	case codeTimedOut, "timeout", string(runtime.CodeDeadlineExceeded):
		return http.StatusGatewayTimeout
	// Not 429: the same call again meets the same limit.
	case codeMemoryTooLarge, string(runtime.CodeFuelExhausted), string(runtime.CodeMemoryExceeded),
		string(runtime.CodeStackExhausted), string(runtime.CodeOutputTooLarge):
		return http.StatusUnprocessableEntity
	default:
		return 0
	}
}

func statusOfClass(c Class) int {
	switch c {
	case Auth:
		return http.StatusUnauthorized
	case Denied:
		return http.StatusForbidden
	case Conflict, AmbiguousEffect:
		return http.StatusConflict
	case InvalidInput:
		return http.StatusUnprocessableEntity
	case RateLimited, LimitExceeded:
		return http.StatusTooManyRequests
	case Upstream, Network, ContractChanged, PluginBug:
		return http.StatusBadGateway
	default: // Platform, and a class of a newer version of this program.
		return http.StatusInternalServerError
	}
}
