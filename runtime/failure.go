package runtime

import (
	"encoding/json"
	"fmt"
	"time"
)

// Code says why a guest's call failed. Codes of the const block are the host's:
// a guest that raises one of them is reported as CodePluginBug. Any other code
// is the guest's own word.
type Code string

const (
	// CodeFuelExhausted says: the call used up its CPU budget.
	CodeFuelExhausted Code = "fuel_exhausted"
	// CodeMemoryExceeded says: the guest asked for more memory than its limit and did not survive the refusal.
	CodeMemoryExceeded Code = "memory_exceeded"
	// CodeDeadlineExceeded says: the call took longer than Limits.Deadline.
	CodeDeadlineExceeded Code = "deadline_exceeded"
	// CodeStackExhausted says: the guest recursed too deep.
	CodeStackExhausted Code = "stack_exhausted"
	// CodeTrapped says: the guest executed an illegal operation, such as unreachable.
	CodeTrapped Code = "trapped"
	// CodeDenied says: the guest did something that it has no right to.
	CodeDenied Code = "denied"
	// CodeKilled says: the call was ended from outside.
	CodeKilled Code = "killed"
	// CodeOutputTooLarge says: the output, or an error, is over its cap.
	CodeOutputTooLarge Code = "output_too_large"
	// CodeInputTooLarge says: the input is over its cap.
	CodeInputTooLarge Code = "input_too_large"
	// CodeNoExport says: the module has no such export, or one of another type.
	CodeNoExport Code = "no_export"
	// CodePluginBug says: the guest failed without a structured error.
	CodePluginBug Code = "plugin_bug"
)

// Failure is a guest's call that failed by the guest's doing. If the module carries a
// source map, positions in its bundle are positions in its sources: see package
// sourcemap.
//
//nolint:errname // It is told apart from errors, which are the host's.
type Failure struct {
	Code    Code
	Message string
	// RetryAfter is the guest's wish, zero when it has none.
	RetryAfter time.Duration
	// Details is a JSON document of the guest's, or nil.
	Details json.RawMessage
	// Stack is what the guest wrote to standard error last, and its stack trace at
	// a trap, or empty. For operators and authors.
	Stack string
}

// Error implements error.
func (f *Failure) Error() string { return fmt.Sprintf("%s: %s", f.Code, f.Message) }

// InvalidModule is bytes that Prepare refuses.
//
//nolint:errname // It reads as what it is where it is matched.
type InvalidModule struct {
	// Code is one of not_wasm, module_too_large, import_not_offered,
	// memory_too_large, limit_exceeded, feature_not_supported, compile_too_costly,
	// start_failed, invalid_module, cannot_freeze.
	Code    string
	Message string
	// Hint says what to do about it.
	Hint string
}

// Error implements error.
func (e *InvalidModule) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Message) }
