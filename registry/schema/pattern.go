package schema

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const (
	// maxPatternBytes is far more than a person reads.
	maxPatternBytes = 1024
	// maxPatternSteps bounds a pattern's program, and maxAllSteps those of a schema,
	// which looks at each pattern twice. A step is 40 bytes: "(a{1000}){1000}" in 4 KiB
	// of variations would be 100 MB, and a schema has room for 60 of them.
	maxPatternSteps = 10_000
	maxAllSteps     = 400_000
	// runesPerStep is how many bounds of ranges take a step's room.
	runesPerStep = 10
)

var errPattern = errors.New("the pattern is too large")

// patterns compiles what a stranger has written for one compiled schema.
type patterns struct {
	// left is what remains of maxAllSteps.
	left int
	// compiled says that the schema is done, and what comes is in documents: it is
	// looked at and forgotten.
	compiled bool
}

// compile is a jsonschema.RegexpEngine.
func (p *patterns) compile(text string) (jsonschema.Regexp, error) {
	if len(text) > maxPatternBytes {
		return nil, fmt.Errorf("%w: it has %d bytes, and %d are allowed", errPattern, len(text), maxPatternBytes)
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	n := steps(parsed)
	if n > maxPatternSteps {
		return nil, fmt.Errorf("%w: it comes to %d steps, and %d are allowed", errPattern, n, maxPatternSteps)
	}
	if !p.compiled {
		if p.left -= n; p.left < 0 {
			return nil, fmt.Errorf("%w: with those before it, it comes to more than the %d steps that are allowed", errPattern, maxAllSteps)
		}
	}
	return regexp.Compile(text)
}

// steps is about how much an expression compiles to, in instructions: a repetition
// is one node here, and its parts are written out there. The ranges of a class are
// kept once. The parser allows 1000 levels, and 1000 times at most.
func steps(re *syntax.Regexp) int {
	n, ranges := written(re)
	return n + ranges/runesPerStep
}

func written(re *syntax.Regexp) (instructions, ranges int) {
	n := 1
	switch re.Op {
	case syntax.OpLiteral:
		n = len(re.Rune)
	case syntax.OpCharClass:
		ranges = len(re.Rune)
	default: // One instruction, and its parts.
	}
	for _, sub := range re.Sub {
		more, wide := written(sub)
		n, ranges = n+more, ranges+wide
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Max, re.Min, 1)
	}
	return min(n, maxPatternSteps+1), ranges
}
