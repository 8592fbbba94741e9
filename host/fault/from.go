package fault

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// What a guest may fill a fault with. A fault is stored with its execution and
// shown in lists, so it stays small; what is longer belongs in the log.
const (
	maxMessage = 4 << 10
	maxDetails = 16 << 10
)

// From returns the fault in err. Failures of guests, refusals of the runtime and
// the registry, and ended contexts are translated; an error that nobody gave
// words for becomes CodeInternal with a message that gives nothing away, and err
// as its cause. A nil err gives nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if f, ok := errors.AsType[*runtime.Failure](err); ok {
		return fromFailure(f)
	}
	if m, ok := errors.AsType[*runtime.InvalidModule](err); ok {
		return fromModule(m)
	}
	if r, ok := errors.AsType[*registry.Error](err); ok {
		return fromRegistry(r)
	}
	return fromHost(err)
}

// classOfFailure is the class of each code that a guest's call can end with. A
// code that is not here is the guest's own word, which nobody can act on but its
// author: PluginBug.
func classOfFailure(c runtime.Code) Class {
	switch c {
	case runtime.CodeFuelExhausted, runtime.CodeMemoryExceeded, runtime.CodeDeadlineExceeded,
		runtime.CodeStackExhausted, runtime.CodeOutputTooLarge, runtime.CodeInputTooLarge:
		return LimitExceeded
	case runtime.CodeDenied:
		return Denied
	case runtime.CodeKilled:
		return Platform
	case CodeUpstreamAuth:
		return Auth
	case "rate_limited":
		return RateLimited
	case "upstream_unavailable", "retry":
		return Upstream
	case "network", "timeout":
		return Network
	case "invalid_input":
		return InvalidInput
	case "contract_changed":
		return ContractChanged
	case "conflict":
		return Conflict
	default:
		return PluginBug
	}
}

// Retryable says whether a guest that fails with code asks to be run again, by
// the table in sdk/ABI.md.
func Retryable(code runtime.Code) bool {
	switch code {
	case "rate_limited", "upstream_unavailable", "retry", "network", "timeout":
		return true
	default:
		return false
	}
}

func fromFailure(f *runtime.Failure) *Error {
	e := &Error{
		Class:      classOfFailure(f.Code),
		Code:       string(f.Code),
		Message:    shorten(f.Message),
		Hint:       hintOfFailure(f.Code),
		RetryAfter: max(0, f.RetryAfter),
		Err:        f,
	}
	if e.Message == "" {
		e.Message = "the plugin gave no message"
	}
	// Details that are not JSON would make the whole fault impossible to store.
	if len(f.Details) <= maxDetails && json.Valid(f.Details) {
		e.Details = f.Details
	}
	return e
}

// shorten cuts a guest's text to what a fault carries, and to valid UTF-8
// without NUL, which Postgres does not store.
func shorten(s string) string {
	const cut = " ... (cut)"
	if len(s) > maxMessage {
		s = s[:maxMessage-len(cut)] + cut
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

func hintOfFailure(c runtime.Code) string {
	switch c {
	case runtime.CodeMemoryExceeded:
		return "Raise limits.memory_mib in the plugin's manifest, as far as the grant and the operator allow, or work on less at once."
	case runtime.CodeDeadlineExceeded:
		return "Raise limits.timeout_ms in the plugin's manifest, as far as the grant and the operator allow, or do less in one execution."
	case runtime.CodeFuelExhausted:
		return "Raise limits.fuel in the plugin's manifest, as far as the grant and the operator allow, do less in one execution, or look for a loop that does not end."
	case runtime.CodeStackExhausted:
		return "The plugin recurses too deep. Look for a recursion that does not end."
	case runtime.CodeOutputTooLarge:
		return "Return less; emit records, or write state, for what is large."
	case runtime.CodeInputTooLarge:
		return "Send less in one event."
	case runtime.CodeNoExport:
		return "The plugin does not do this. Look at its manifest for what it does."
	case runtime.CodeTrapped:
		return "The plugin crashed. Its log and stack trace are in the execution's trace."
	case runtime.CodeDenied:
		return "Ask for it in the plugin's manifest, and grant it to the installation."
	case CodeUpstreamAuth:
		return "The third party refused the credential. Replace the connection's credential."
	default:
		return ""
	}
}

func fromModule(m *runtime.InvalidModule) *Error {
	class := InvalidInput
	if m.Code == codeModuleTooLarge || m.Code == codeMemoryTooLarge {
		class = LimitExceeded
	}
	return &Error{Class: class, Code: m.Code, Message: m.Message, Hint: m.Hint, Err: m}
}

func fromRegistry(r *registry.Error) *Error {
	e := &Error{Class: InvalidInput, Code: r.Code, Message: r.Message, Hint: r.Hint, Where: r.Where, Err: r}
	for _, p := range r.Problems {
		e.Problems = append(e.Problems, Problem{Where: "manifest" + p.Where, Message: p.Message})
	}
	switch r.Code {
	case registry.CodeNotFound:
		if e.Hint == "" {
			e.Hint = hintNotFound
		}
	case registry.CodeVersionExists, registry.CodeVersionInUse, registry.CodeYanked:
		e.Class = Conflict
	case registry.CodeDenied:
		e.Class = Denied
	case codeModuleTooLarge, codeMemoryTooLarge:
		e.Class = LimitExceeded
	}
	return e
}

// fromHost gives words to errors of the host itself. Their own text is for
// operators: it may name tables, addresses and files.
func fromHost(err error) *Error {
	e := &Error{Class: Platform, Err: err}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		e.Code, e.Message = codeTimedOut, "it took too long"
		e.Hint = "Try again later."
	case errors.Is(err, context.Canceled):
		e.Code, e.Message = codeCancelled, "it was cancelled before it was done"
	default:
		e.Code, e.Message = CodeInternal, "something went wrong on our side"
		e.Hint = "Try again later. The operator's log says what it was."
	}
	return e
}
