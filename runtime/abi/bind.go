package abi

import (
	"context"

	"github.com/tetratelabs/wazero/api"
)

// guestKey finds the Guest in a context.
type guestKey struct{}

// guestContext carries a Guest to the host functions. It is a type of its own so
// that finding it, which every host function does, is a comparison and no walk.
type guestContext struct {
	context.Context //nolint:containedctx // It is one.

	guest *Guest
}

// Value implements context.Context.
func (c *guestContext) Value(key any) any {
	if key == (guestKey{}) {
		return c.guest
	}
	return c.Context.Value(key)
}

// Bind returns a context in which the host functions find g. Call the guest's
// functions with it, unwrapped: the lookup then takes one step. What is asked is
// asked under ctx itself.
func (g *Guest) Bind(ctx context.Context) context.Context {
	// Not a part of Guest, which is used again: someone who was asked may keep it.
	return &guestContext{ctx, g}
}

// bound finds the call's Guest.
func bound(f call) api.GoModuleFunc {
	return func(ctx context.Context, m api.Module, stack []uint64) {
		if c, ok := ctx.(*guestContext); ok {
			f(c.Context, c.guest, m, stack) //nolint:contextcheck // It is the context that was bound.
			return
		}
		g, ok := ctx.Value(guestKey{}).(*Guest)
		if !ok {
			panic("abi: the guest was called with a context that Bind did not make")
		}
		f(ctx, g, m, stack)
	}
}
