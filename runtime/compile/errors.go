package compile

import (
	"errors"
	"fmt"
)

// ErrBinary says that the binary that should compile cannot: it does not start,
// it is no cofferdam, or one with another engine. It is the operator's to mend.
var ErrBinary = errors.New("the binary that compiles plugins cannot be used")

// Limit names what a module had too much of.
type Limit string

// The limits of a compilation.
const (
	LimitCPU    Limit = "cpu"
	LimitMemory Limit = "memory"
	LimitTime   Limit = "time"
	LimitCode   Limit = "code"
)

// CostError says that a module costs more to compile than is allowed.
type CostError struct {
	Limit Limit
	// Allowed is the limit with its unit.
	Allowed string
}

func (e *CostError) Error() string {
	switch e.Limit {
	case LimitCPU:
		return fmt.Sprintf("compiling the module takes more than %s of CPU time", e.Allowed)
	case LimitMemory:
		return fmt.Sprintf("compiling the module takes more than %s of memory", e.Allowed)
	case LimitCode:
		return fmt.Sprintf("the module compiles to more than %s of machine code", e.Allowed)
	default:
		return fmt.Sprintf("compiling the module takes longer than %s", e.Allowed)
	}
}

// Hint says what its author can do.
func (e *CostError) Hint() string {
	if e.Limit == LimitTime {
		return "The server may be busy: try again. If that does not help, the module has functions that are too large; see the limits on compilation."
	}
	return "Split the largest functions, above all generated ones with thousands of branches or local variables: the cost grows with the square of a function. " +
		"Build with optimisation for size, or ask the operator for higher limits."
}

// ModuleError says that a module cannot be compiled, whatever it may cost.
type ModuleError struct {
	// Message is the compiler's.
	Message string
}

func (e *ModuleError) Error() string { return e.Message }
