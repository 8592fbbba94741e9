// Package hostfns is what a guest may ask of its host: the [Gate], which every
// crossing passes, and the functions behind it.
//
// A [Func] does its job and nothing else. What holds for all of them is a
// [Layer] on the gate: is it granted, is the quota left, what does the trace
// show, what must be redacted. The capabilities live in packages of their own
// (egress, state, guestlog, emit), each over a small interface that the host
// implements; none knows tenants.
//
//	session := state.NewSession(reader, state.Limits{})
//	gate := hostfns.NewGate(hostfns.GateConfig{
//		Funcs: slices.Concat(session.Funcs(), log.Funcs()),
//		Now:   time.Now,
//	})
//	result, err := module.Call(ctx, runtime.Call{Export: "action", Host: gate})
//	steps := gate.Steps()
//
// A Gate and the sessions behind it serve one run of one execution.
package hostfns

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// A Func answers one kind of crossing.
type Func struct {
	// Name is what the guest imports from extism:host/user.
	Name string
	// Granted functions must be asked for by the manifest and granted by the
	// tenant; the others are open to every guest.
	Granted bool
	// Answer gives the result, which is encoded as JSON. An *Error is told to
	// the guest; a *Suspended ends its run, which is made again later; any other
	// error ends the guest's call as the host's fault.
	Answer func(ctx context.Context, request json.RawMessage) (result any, err error)
	// Summarize gives the line that the trace shows of a request, such as
	// "POST https://api.example.com/orders". Defaults to none.
	Summarize func(request json.RawMessage) string
	// SummarizeResult gives what the trace appends to that line once there is a
	// result, such as " -> 201". Defaults to none.
	SummarizeResult func(result json.RawMessage) string
	// Effect says what a request does to the world outside. Defaults to Unsafe for
	// every request, which is right for whoever does not know.
	Effect func(request json.RawMessage) Effect
	// Keeps says that what is asked for becomes part of what is committed when the run
	// succeeds, such as a write of state.
	Keeps bool
	// Mark says of a request that changes something how it is to be known again.
	// Defaults to not at all. Its error ends the guest's call, or is told to the guest
	// if it is an *Error.
	Mark func(ctx context.Context, request json.RawMessage) (Mark, error)
	// Keep gives what of a request a journal keeps, where that is not all of it: the
	// digest is of all. Defaults to all.
	Keep func(request json.RawMessage) []byte
	// Recall takes Answer's place where a journal has the result. It brings back what
	// the result stands for and no journal keeps, such as the bytes that were Attached,
	// and gives the result that the guest is told. Its error ends the guest's call.
	// Defaults to the result as it was.
	Recall func(ctx context.Context, request, result json.RawMessage) (json.RawMessage, error)
	// Private crossings leave a Step without request and answer, and what they answered
	// is hidden where it turns up in later ones: it is a guest's to use, and nobody's to
	// read.
	Private bool
	// Quiet crossings leave no Step, because what they carry is kept elsewhere,
	// and count against Quota.QuietCalls: a chatty guest neither floods its
	// trace nor loses its real calls.
	Quiet bool
}

// Names gives the sorted names of funcs: what runtime.Config.Functions takes.
func Names(funcs []Func) []string {
	names := make([]string, len(funcs))
	for i, f := range funcs {
		names[i] = f.Name
	}
	slices.Sort(names)
	return names
}

// Code is an error code of sdk/ABI.md's list of host functions' errors.
type Code string

// The codes that a guest is told.
const (
	CodeDenied           Code = "denied"
	CodeNoConnection     Code = "no_connection"
	CodeInvalidRequest   Code = "invalid_request"
	CodeLimitExceeded    Code = "limit_exceeded"
	CodeTimeout          Code = "timeout"
	CodeNetwork          Code = "network"
	CodeResponseTooLarge Code = "response_too_large"
	CodeAddressRefused   Code = "address_refused"
	CodeNotANumber       Code = "not_a_number"
	CodeInternal         Code = "internal"
	// These are of what stands before an answer of the third party: an authorization
	// server that gives no token.
	CodeAuth                Code = "auth"
	CodeRateLimited         Code = "rate_limited"
	CodeUpstreamUnavailable Code = "upstream_unavailable"
)

// Error is a failure that the guest is told.
type Error struct {
	Code    Code
	Message string
	// RetryAfter is when it is worth asking again, or zero.
	RetryAfter time.Duration
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Message) }

// Errorf returns an *Error.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Step is one crossing, as the trace shows it.
type Step struct {
	// Ordinal counts the run's crossings from 1, Quiet ones included, so that
	// what those left behind can be placed between two steps.
	Ordinal int    `json:"ordinal"`
	Func    string `json:"func"`
	Summary string `json:"summary,omitempty"`
	// At is when the guest asked.
	At       time.Time     `json:"at"`
	Duration time.Duration `json:"duration_ns"`
	// Recorded says that the answer is one of an earlier run, and nothing was asked.
	Recorded bool `json:"recorded,omitempty"`
	// Code is the error's, or empty for a result; "suspended" if the run ended here to
	// wait.
	Code Code `json:"code,omitempty"`
	// Request and Response are redacted, and cut at GateConfig.ExcerptBytes.
	Request       string `json:"request,omitempty"`
	Response      string `json:"response,omitempty"`
	RequestBytes  int    `json:"request_bytes"`
	ResponseBytes int    `json:"response_bytes"`
	// StreamedBytes are of bodies that passed in chunks, in this call and in those about
	// its streams.
	StreamedBytes int64 `json:"streamed_bytes,omitempty"`
}
