package runtime

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	goruntime "runtime"
	"slices"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/runtime/abi"
	"github.com/cofferdam-run/cofferdam/runtime/meter"
)

// engineError is a panic of the engine's own: a bug there, or here.
type engineError struct {
	reason any
	stack  []byte
}

// Error implements error.
func (e *engineError) Error() string { return fmt.Sprintf("run guest: %v\n%s", e.reason, e.stack) }

// judge turns how the guest ended into the call's error: a *Failure when the
// guest is to blame.
func (r *run) judge(code uint32, trap error) error {
	if ended := r.sandbox.account.Ended(); ended != nil {
		return r.judgeFuel(ended)
	}
	if ended := r.sandbox.guest.Ended(); ended != nil {
		return r.judgeEnd(ended)
	}
	if trap != nil {
		return r.judgeTrap(trap)
	}
	return r.guestError(code)
}

// judgeFuel is about calls that were ended while their guest ran.
func (r *run) judgeFuel(ended error) error {
	switch {
	case errors.Is(ended, meter.ErrExhausted):
		return &Failure{Code: CodeFuelExhausted, Message: fmt.Sprintf(
			"the call used up its %d units of fuel: %s", r.limits.Fuel, raise("fuel")), Stack: r.sandbox.guest.Stderr()}
	case errors.Is(ended, meter.ErrStack):
		return r.tooDeep()
	default:
		return r.hostError(ended)
	}
}

// tooDeep is the end of a guest that holds too much stack.
func (r *run) tooDeep() *Failure {
	r.broken = true
	return stackFailure(r.sandbox.guest.Stderr())
}

func stackFailure(stack string) *Failure {
	return &Failure{Code: CodeStackExhausted, Stack: stack, Message: fmt.Sprintf(
		"the guest recursed too deep: a call has %d bytes of stack, whoever makes it: "+
			"look for a recursion that does not end, or keep a list of what is left to do instead", stackBytes)}
}

// raise says what to do about a limit that a manifest names.
func raise(limit string) string {
	return fmt.Sprintf("give it less to do at once, or raise %s in the limits of the plugin's manifest, of the tenant's grant or of the operator, "+
		"of which the lowest holds", limit)
}

// judgeEnd is about calls that a host function ended.
func (r *run) judgeEnd(ended error) error {
	var exit *abi.ExitError
	var misuse *abi.MisuseError
	switch {
	case errors.As(ended, &exit):
		return r.judgeExit(exit)
	case errors.Is(ended, abi.ErrBudget):
		return &Failure{Code: CodeMemoryExceeded, Message: fmt.Sprintf(
			"input, output, variables, requests and answers need more than the %d bytes of Extism memory: "+
				"free blocks that were read, or pass less at once", r.limits.KernelBytes)}
	case errors.As(ended, &misuse):
		return &Failure{Code: CodePluginBug, Message: misuse.Message}
	default:
		return r.hostError(ended)
	}
}

// hostError is about a question that failed. One that was cut off by the call's
// own deadline is the guest's time running out; by the caller's, the caller's.
func (r *run) hostError(err error) error {
	if !isTime(err) {
		return err
	}
	if r.ctx.Err() != nil {
		return r.ctx.Err()
	}
	if r.late() {
		return &Failure{Code: CodeDeadlineExceeded, Message: fmt.Sprintf(
			"the call took longer than %s: %s", r.limits.Deadline, raise("timeout_ms"))}
	}
	return err
}

// isTime says whether an error is the end of a context.
func isTime(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// late says whether the call's own time is up.
func (r *run) late() bool {
	return r.overdue || r.bounded != nil && r.bounded.Err() != nil
}

func (r *run) judgeExit(exit *abi.ExitError) error {
	switch {
	case exit.Code == 0 && r.entered:
		return r.guestError(0)
	case r.sandbox.memory.Refused():
		return r.outOfMemory(r.sandbox.guest.Stderr())
	case r.sandbox.guest.Error() != nil:
		return r.guestError(exit.Code)
	case !r.entered:
		return &Failure{
			Code: CodePluginBug, Stack: r.sandbox.guest.Stderr(),
			Message: fmt.Sprintf("the guest exited with code %d while it was starting", exit.Code),
		}
	default:
		return &Failure{Code: CodePluginBug, Message: exit.Error(), Stack: r.sandbox.guest.Stderr()}
	}
}

func (r *run) outOfMemory(stack string) error {
	return &Failure{
		Code:    CodeMemoryExceeded,
		Message: fmt.Sprintf("the guest asked for more memory than its limit of %d bytes: %s", r.limits.MemoryBytes, raise("memory_mib")),
		Stack:   stack,
	}
}

// maxStackBytes is how much of a stack trace is kept.
const maxStackBytes = 32 << 10

// judgeTrap is about calls that wazero ended.
func (r *run) judgeTrap(trap error) error {
	var fault *engineError
	var goFault goruntime.Error
	if errors.As(trap, &fault) || errors.As(trap, &goFault) {
		return trap
	}
	// wazero's traps have no type that is public, and their text is stable:
	// "wasm error: <reason>\nwasm stack trace:\n\t<frames>".
	message, stack, _ := strings.Cut(trap.Error(), "\nwasm stack trace:\n\t")
	message = strings.TrimPrefix(message, "wasm error: ")
	// Its 30 frames have names, and types, of the module's choice.
	stack = strings.ToValidUTF8(stack[:min(len(stack), maxStackBytes)], "")
	switch {
	case strings.HasSuffix(message, "stack overflow"):
		return stackFailure(stack)
	case r.sandbox.memory.Refused():
		return r.outOfMemory(r.sandbox.guest.Stderr() + stack)
	default:
		said := r.sandbox.guest.Stderr()
		if words := lastWords(said); words != "" {
			message += ": " + words
		}
		return &Failure{Code: CodeTrapped, Message: "the guest crashed: " + message, Stack: said + stack}
	}
}

// lastWords finds the line in which Go or Rust say why they gave up.
func lastWords(stderr string) string {
	for line := range strings.Lines(stderr) {
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") || strings.Contains(line, " panicked at ") {
			return strings.ToValidUTF8(strings.TrimSpace(line), "\uFFFD")
		}
	}
	return ""
}

// reserved says whether a code is for the host alone to give.
func (c Code) reserved() bool {
	switch c {
	case CodeFuelExhausted, CodeMemoryExceeded, CodeDeadlineExceeded, CodeStackExhausted, CodeTrapped,
		CodeDenied, CodeKilled, CodeOutputTooLarge, CodeInputTooLarge, CodeNoExport:
		return true
	default: // CodePluginBug is the guest's to admit.
		return false
	}
}

// maxRetryAfter bounds a guest's wish: what is longer is a mistake in units.
const maxRetryAfter = 366 * 24 * time.Hour

// guestError is the guest's own word on how the call went.
func (r *run) guestError(code uint32) error {
	text := r.sandbox.guest.Error()
	if code == 0 && text == nil {
		return nil
	}
	if limit := r.limits.OutputBytes; len(text) > limit {
		return &Failure{Code: CodeOutputTooLarge, Message: fmt.Sprintf(
			"the guest's error has %d bytes; the limit is %d: say less in it", len(text), limit)}
	}
	if text == nil {
		return &Failure{Code: CodePluginBug, Message: fmt.Sprintf("the export returned %d and set no error", int32(code))}
	}
	f := parseFailure(text)
	if f.Code.reserved() && (f.Code != CodeDenied || !r.denied) {
		f.Message = fmt.Sprintf("the guest raised %q, which only the host gives: %s", f.Code, f.Message)
		f.Code = CodePluginBug
	}
	return f
}

// parseFailure reads {"code","message","retry_after_ms","details"}.
func parseFailure(text []byte) *Failure {
	var e struct {
		Code         Code            `json:"code"`
		Message      string          `json:"message"`
		RetryAfterMS float64         `json:"retry_after_ms"`
		Details      json.RawMessage `json:"details"`
	}
	if err := json.Unmarshal(text, &e); err != nil || e.Code == "" {
		return &Failure{Code: CodePluginBug, Message: strings.ToValidUTF8(string(text), "\uFFFD")}
	}
	f := &Failure{Code: e.Code, Message: e.Message, Details: e.Details}
	if string(f.Details) == "null" || !hasRoom(f.Details) {
		f.Details = nil
	}
	if limit := float64(maxRetryAfter / time.Millisecond); e.RetryAfterMS > 0 {
		f.RetryAfter = time.Duration(min(e.RetryAfterMS, limit)) * time.Millisecond
	}
	return f
}

// hasRoom says whether a document can be kept inside of others: the standard
// library reads 10,000 levels, and a guest may have filled them.
func hasRoom(doc []byte) bool {
	const levels = 64
	return json.Valid(slices.Concat(bytes.Repeat([]byte("["), levels), doc, bytes.Repeat([]byte("]"), levels)))
}
