package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// Outer is for hostfns.GateConfig.Journal: it answers what is recorded, and keeps
// what is not.
func (j *Journal) Outer(next hostfns.Handler) hostfns.Handler {
	return func(ctx context.Context, c runtime.Crossing) (json.RawMessage, error) {
		effect := hostfns.EffectOf(ctx, c.Request)
		if effect == hostfns.Computed {
			return next(ctx, c)
		}
		var live json.RawMessage // What a question that is asked now is answered, if that is no error.
		heard := func(ctx context.Context, c runtime.Crossing) (json.RawMessage, error) {
			result, err := next(ctx, c)
			if err == nil {
				live = result
			}
			return result, err
		}
		reply, err := j.Ask(ctx, Question{Func: c.Func, Request: c.Request, Kept: hostfns.KeptOf(ctx, c.Request), Effect: effect, Fuel: hostfns.FuelOf(ctx)},
			func(ctx context.Context) (json.RawMessage, hostfns.Outcome, error) { return outside(ctx, c, heard) })
		if err != nil {
			return nil, err
		}
		hostfns.Answered(ctx, reply.At, reply.Recorded)
		if json.Valid(live) {
			return bytes.TrimSpace(live), nil // As Open finds it in what is recorded, which takes longer.
		}
		result, err := hostfns.Open(reply.Answer)
		if err != nil || !reply.Recorded {
			return result, err
		}
		return hostfns.Recalled(ctx, c.Request, result)
	}
}

// outside asks, and says what became of it. What was not announced has not come to
// the function, whatever the guest was told.
func outside(ctx context.Context, c runtime.Crossing, next hostfns.Handler) (json.RawMessage, hostfns.Outcome, error) {
	announced := false
	result, err := next(context.WithValue(ctx, announcedKey{}, &announced), c)
	outcome, reported := hostfns.Reported(ctx)
	var told *hostfns.Error
	switch {
	case !announced:
		outcome = hostfns.NotDone
	case reported:
	case err == nil, errors.As(err, &told):
		outcome = hostfns.Done
	default:
		outcome = hostfns.Unknown
	}
	answer, err := hostfns.Envelope(result, err)
	return answer, outcome, err
}

type announcedKey struct{}

// Inner is the last of hostfns.GateConfig.Layers: what is allowed and counted is
// announced before it is done.
func (j *Journal) Inner(next hostfns.Handler) hostfns.Handler {
	return func(ctx context.Context, c runtime.Crossing) (json.RawMessage, error) {
		announced, ok := ctx.Value(announcedKey{}).(*bool)
		if !ok {
			return next(ctx, c)
		}
		if err := j.ready(ctx, c.Request); err != nil {
			return nil, err
		}
		*announced = true
		return next(ctx, c)
	}
}

// ready does what has to be done before an effect. The lease is looked at twice: the
// intent may have taken its time.
func (j *Journal) ready(ctx context.Context, request []byte) error {
	if !j.held() {
		return hostfns.ErrNotHeld
	}
	if err := j.alone(ctx, request); err != nil {
		return err
	}
	if err := j.mark(ctx, request); err != nil {
		return err
	}
	if err := j.Announce(ctx); err != nil {
		return err
	}
	if !j.held() {
		return hostfns.ErrNotHeld
	}
	return nil
}

func (j *Journal) held() bool { return j.c.Held == nil || j.c.Held() }

// StateFunc is the Func of a read of state.
const StateFunc = "state"

// Read keeps a read of state: it is for state.Kept.
func (j *Journal) Read(ctx context.Context, request []byte, do func(context.Context) (json.RawMessage, error)) (json.RawMessage, error) {
	reply, err := j.Ask(ctx, Question{Func: StateFunc, Request: request, Effect: hostfns.Read, Fuel: hostfns.FuelOf(ctx)},
		func(ctx context.Context) (json.RawMessage, hostfns.Outcome, error) {
			answer, err := do(ctx)
			return answer, hostfns.Done, err
		})
	if err != nil {
		return nil, err
	}
	hostfns.Answered(ctx, reply.At, reply.Recorded)
	return reply.Answer, nil
}
