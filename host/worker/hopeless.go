package worker

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// quarantineAfter is how many workers may die while an execution runs. The first
// death may be another's fault, so that what was in flight runs one at a time; from
// the second on it runs alone.
const quarantineAfter = 5

// QuarantinedError is an execution that is not run any more, because workers died
// while they ran it.
type QuarantinedError struct{ Crashes int }

// Error implements error.
func (e *QuarantinedError) Error() string {
	return fmt.Sprintf("%d workers in a row died while they ran it, and %d are enough", e.Crashes, quarantineAfter)
}

// endingOf says what a guest's failure means for its journal.
func endingOf(code runtime.Code) journal.Ending {
	switch code {
	case runtime.CodeFuelExhausted, runtime.CodeMemoryExceeded, runtime.CodeDeadlineExceeded, runtime.CodeStackExhausted,
		runtime.CodeOutputTooLarge, runtime.CodeInputTooLarge, runtime.CodeTrapped, runtime.CodeKilled, runtime.CodeDenied,
		runtime.CodeNoExport, runtime.CodePluginBug, "invalid_input":
		return journal.Hopeless
	}
	// A guest that passes on what a host function told it.
	refused := []hostfns.Code{
		hostfns.CodeNoConnection, hostfns.CodeInvalidRequest, hostfns.CodeLimitExceeded, hostfns.CodeResponseTooLarge,
		hostfns.CodeAddressRefused, hostfns.CodeNotANumber,
	}
	if slices.Contains(refused, hostfns.Code(code)) {
		return journal.Hopeless
	}
	if fault.Retryable(code) {
		return journal.Passing
	}
	return journal.Raised
}

// hopeless is the fault of an error that no retry could help; nil if one might.
// Last is the last entry of the run's journal.
func hopeless(err error, last journal.Entry) *fault.Error {
	doubtful := (*AmbiguousError)(nil)
	diverged := (*journal.DivergedError)(nil)
	full := (*journal.FullError)(nil)
	quarantined := (*QuarantinedError)(nil)
	switch {
	case errors.As(err, &quarantined):
		return fault.New(fault.Platform, "quarantined", "it is not run any more: %s", quarantined.Error()).
			WithHint("Redrive it if the workers died of something else, such as being killed for their memory.")
	case errors.Is(err, journal.ErrForgotten), errors.Is(err, journal.ErrUndecided):
		return ambiguous(last, err.Error())
	case errors.As(err, &doubtful):
		return ambiguous(doubtful.Effect, doubtful.Why)
	case errors.As(err, &diverged):
		f := fault.New(fault.ContractChanged, "journal_diverged", "the run asks for something else than the one before it did: %s", diverged.Error()).
			WithHint("Nothing was sent. Redrive it on the version that it began with, or from its start: `cofferdam execution redrive ID --mode restart`, which keeps its idempotency keys, or `--mode force`, which does again what had none.")
		f.Details = divergence(diverged)
		return f
	case errors.As(err, &full):
		return fault.New(fault.LimitExceeded, "journal_full", "%s", full.Error())
	default:
		return nil
	}
}

// divergence shows both calls.
func divergence(e *journal.DivergedError) json.RawMessage {
	return encode(map[string]any{
		"ordinal":  e.Expected.Ordinal,
		"expected": map[string]any{"function": e.Expected.Func, "request": excerpt(e.Expected.Request), "outcome": e.Expected.Outcome.String()},
		"actual":   map[string]any{"function": e.Func, "request": excerpt(e.Request)},
	})
}

// ambiguous says that a person has to decide.
func ambiguous(e journal.Entry, why string) *fault.Error {
	f := fault.New(fault.AmbiguousEffect, string(fault.AmbiguousEffect), "nobody knows whether %s has happened: %s", what(e), why).
		WithHint("Look at the other side. If it has not happened: `cofferdam execution resolve ID --send-again`. " +
			"If it has: `cofferdam execution resolve ID --answer FILE`, with what was answered. An idempotency key, or a confirm export, would have told.")
	f.Details = encode(map[string]any{
		"ordinal": e.Ordinal, "function": e.Func, "request": excerpt(e.Request), "asked_at": e.Asked.UTC(), "idempotency_key": e.Key,
	})
	return f
}

// excerptBytes of a request are shown in a fault.
const excerptBytes = 2 << 10

func excerpt(request []byte) string {
	return strings.ToValidUTF8(string(request[:min(len(request), excerptBytes)]), "")
}

// what names an effect for people, without the query of a URL, which people put keys into.
func what(e journal.Entry) string {
	var r struct{ Method, URL string }
	if json.Unmarshal(e.Request, &r) == nil && r.Method != "" {
		if u, err := url.Parse(r.URL); err == nil {
			return fmt.Sprintf("%s %s://%s%s (entry %d)", strings.ToUpper(r.Method), u.Scheme, u.Host, u.Path, e.Ordinal)
		}
	}
	return fmt.Sprintf("the call of %s (entry %d)", e.Func, e.Ordinal)
}

// sentences joins what is said.
func sentences(s ...string) string { return strings.TrimSpace(strings.Join(s, " ")) }
