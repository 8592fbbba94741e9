package wasm

import "fmt"

// FormatError says that bytes are not a WebAssembly module.
type FormatError struct {
	// Offset is the byte where it shows.
	Offset int
	// Section is the section's name, and Function the function's index and, when
	// the module has it, its name. Both may be empty.
	Section, Function string
	// Problem says what is wrong.
	Problem string
}

// Error says what is wrong, and where.
func (e *FormatError) Error() string {
	return fmt.Sprintf("%s: %s", place(e.Offset, e.Section, e.Function), e.Problem)
}

// FeatureError says that a module uses a part of WebAssembly that is not offered.
type FeatureError struct {
	// Feature is what people call it, as in "threads (atomics)".
	Feature string
	// Hint says how to do without.
	Hint string
	// Offset, Section and Function are FormatError's.
	Offset            int
	Section, Function string
}

// Error says what is used, where, and how to do without.
func (e *FeatureError) Error() string {
	return fmt.Sprintf("%s: %s is not supported: %s", place(e.Offset, e.Section, e.Function), e.Feature, e.Hint)
}

// LimitError says that a module is larger than a limit.
type LimitError struct {
	// Limit is the name of a field of Limits.
	Limit string
	// Max is the limit, Value what the module has, or what it had when it went
	// over.
	Max, Value uint64
	// Function is FormatError's. It is empty when the limit is the module's.
	Function string
	// Hint says what to do.
	Hint string

	what string
}

// Error says the limit, the value, the function, and what to do.
func (e *LimitError) Error() string {
	who := "the module"
	if e.Function != "" {
		who = "function " + e.Function
	}
	return fmt.Sprintf("%s has %d %s; the limit %s is %d: %s", who, e.Value, e.what, e.Limit, e.Max, e.Hint)
}

func place(offset int, section, function string) string {
	s := fmt.Sprintf("byte %d", offset)
	if section != "" {
		s += " in the " + section + " section"
	}
	if function != "" {
		s += ", function " + function
	}
	return s
}

// located is an error that wants to know where it happened.
type located interface {
	locate(section, function string)
}

func (e *FormatError) locate(section, function string) { e.Section, e.Function = section, function }

func (e *FeatureError) locate(section, function string) { e.Section, e.Function = section, function }
func (e *LimitError) locate(_, function string)         { e.Function = function }

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = &FormatError{Offset: r.base + r.at, Problem: fmt.Sprintf(format, args...)}
	}
}

func (r *reader) failEnd() {
	if r.err == nil {
		r.err = &FormatError{Offset: r.base + r.at, Problem: "unexpected end"}
	}
}

func (r *reader) refuse(f feature) {
	if r.err == nil {
		r.err = &FeatureError{Feature: string(f), Hint: f.hint(), Offset: r.base + r.at}
	}
}

// atMost holds a value against a limit, which a field of Limits is the name of.
func (r *reader) atMost(limit string, value uint64, most int) {
	if r.err == nil && value > uint64(most) {
		what, hint := describe(limit)
		r.err = &LimitError{Limit: limit, Max: uint64(most), Value: value, Hint: hint, what: what}
	}
}
