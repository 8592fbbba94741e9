package worker

import "context"

// Caller is the execution that a host function is called for.
type Caller struct{ Tenant, Installation, Execution string }

type callerKey struct{}

// CallerOf returns the execution that a host function is called for, from the
// context that it is given; the zero Caller outside of a run.
func CallerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

func withCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}
