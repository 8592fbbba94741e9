package build

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// failed says what is wrong with a module that was built but cannot be used.
func (b *Builder) failed(err error, m made) error {
	if b.scripts != nil {
		return b.scripts.failed(err, m)
	}
	return judged(err)
}

// judged puts the refusals of the runtime and the registry into problems, and leaves
// errors alone that nobody's sources are to blame for.
func judged(err error) error {
	if invalid, ok := errors.AsType[*runtime.InvalidModule](err); ok {
		return wrong(invalid.Hint, "the sandbox refuses what was built: %s [%s]", plain(invalid.Message), invalid.Code)
	}
	if refused, ok := errors.AsType[*registry.Error](err); ok {
		e := &Error{}
		for _, p := range refused.Problems {
			problem := Problem{Text: "manifest" + p.Where + ": " + plain(p.Message)}
			if strings.HasPrefix(p.Where, "/functions/") {
				problem.Hint = "name the functions of your host app: --function NAME"
			}
			e.Problems = append(e.Problems, problem)
		}
		if len(e.Problems) == 0 {
			e = wrong("", "%s [%s]", plain(refused.Message), refused.Code)
		}
		if last := &e.Problems[len(e.Problems)-1]; last.Hint == "" {
			last.Hint = refused.Hint
		}
		return e
	}
	if failure, ok := errors.AsType[*runtime.Failure](err); ok {
		return wrong("", "%s [%s]", plain(failure.Message), failure.Code)
	}
	return err
}

// stackOf is the stack trace that a script's failure came with.
func stackOf(f *runtime.Failure) string {
	var details struct {
		Stack string `json:"stack"`
	}
	if json.Unmarshal(f.Details, &details) != nil {
		return ""
	}
	return details.Stack
}
