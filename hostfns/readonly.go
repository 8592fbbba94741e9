package hostfns

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/cofferdam-run/cofferdam/runtime"
)

// ReadOnly is a Layer for a run that may look and change nothing, neither outside nor
// in what is kept with its success: such as one that has to find out what became of
// another. It cannot wait for long either.
func ReadOnly(next Handler) Handler {
	return func(ctx context.Context, c runtime.Crossing) (json.RawMessage, error) {
		f := crossingOf(ctx).f
		if f.Keeps || EffectOf(ctx, c.Request) > Read {
			return nil, Errorf(CodeDenied, "this call may only look: %s would change something", describe(f, c.Request))
		}
		result, err := next(ctx, c)
		if _, waits := errors.AsType[*Suspended](err); waits {
			return nil, Errorf(CodeDenied, "this call cannot wait for so long: find out now, or say that you do not know")
		}
		return result, err
	}
}

func describe(f Func, request json.RawMessage) string {
	if line := guarded(f.Summarize, request); line != "" {
		return clip(f.Name, 64) + " " + clip(line, 256)
	}
	return clip(f.Name, 64)
}
