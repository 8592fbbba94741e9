package connector

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
)

// Error is a failure with a code, which decides what follows: see package code.
// Host functions fail with an *Error, and Run may return one.
type Error struct {
	Code code.Code
	// Message is for people. It must hold nothing secret.
	Message string
	// RetryAfter is how long to wait before the next try. Zero leaves it to the host.
	RetryAfter time.Duration
	// Details is kept with the failure. It must be encodable as JSON.
	Details any

	cause error
}

// Errorf makes an *Error. The verb %w keeps the wrapped error for errors.Is and
// errors.As; the code is the new one.
func Errorf(c code.Code, format string, args ...any) *Error {
	cause := fmt.Errorf(format, args...)
	return &Error{Code: c, Message: cause.Error(), cause: cause}
}

// Error implements error.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Unwrap gives what Errorf wrapped.
func (e *Error) Unwrap() error { return e.cause }

// wireError is an error as sdk/ABI.md has it.
type wireError struct {
	Code         code.Code       `json:"code"`
	Message      string          `json:"message"`
	RetryAfterMS int64           `json:"retry_after_ms,omitempty"`
	Details      json.RawMessage `json:"details,omitempty"`
}

// MarshalJSON gives the form that goes to the host. Details that have no JSON
// form are left out, since a failure must not hide another.
func (e *Error) MarshalJSON() ([]byte, error) {
	w := wireError{Code: e.Code, Message: e.Message}
	if e.RetryAfter > 0 {
		w.RetryAfterMS = max(1, e.RetryAfter.Milliseconds())
	}
	if e.Details != nil {
		if details, err := json.Marshal(e.Details); err == nil {
			w.Details = details
		}
	}
	return json.Marshal(w)
}

// UnmarshalJSON reads the form that goes to the host. Details become a json.RawMessage.
func (e *Error) UnmarshalJSON(data []byte) error {
	var w wireError
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	*e = Error{Code: w.Code, Message: w.Message, RetryAfter: time.Duration(w.RetryAfterMS) * time.Millisecond}
	if w.Details != nil {
		e.Details = w.Details
	}
	return nil
}
