package meter

import (
	"context"
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"
)

// Global is the name under which a rewritten module exports G, the global that
// Account describes. Its names have a NUL, which no guest may use.
const Global = "\x00fuel"

// What rewritten modules import.
const (
	hostModule = "\x00fuel"
	hostRefuel = "refuel"
	hostCharge = "charge"
)

// Carrier is a context that carries the account of the call it belongs to. A
// context of one's own is found quicker than a value in one.
type Carrier interface {
	FuelAccount() *Account
}

// accountKey finds the Account in a context that is no Carrier.
type accountKey struct{}

// With returns a context that carries a, for calls whose context is no Carrier.
func With(ctx context.Context, a *Account) context.Context {
	return context.WithValue(ctx, accountKey{}, a)
}

// Instantiate defines the module that rewritten modules import. Their functions
// must then be called with a context that carries an Account, opened for the call.
func Instantiate(ctx context.Context, rt wazero.Runtime) error {
	i64 := []api.ValueType{api.ValueTypeI64}
	_, err := rt.NewHostModuleBuilder(hostModule).
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(refuel), i64, i64).Export(hostRefuel).
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(charge), []api.ValueType{api.ValueTypeI64, api.ValueTypeI64}, i64).Export(hostCharge).
		Instantiate(ctx)
	if err != nil {
		return fmt.Errorf("instantiate the fuel module: %w", err)
	}
	return nil
}

func refuel(ctx context.Context, _ api.Module, stack []uint64) {
	f, err := accountOf(ctx).Refuel(ctx, stack[0])
	if err != nil {
		unwind()
	}
	stack[0] = f
}

func charge(ctx context.Context, _ api.Module, stack []uint64) {
	g, err := accountOf(ctx).Charge(ctx, stack[0], stack[1])
	if err != nil {
		unwind()
	}
	stack[0] = g
}

// accountOf panics when there is no account: a mistake of ours that wazero
// recovers, and returns as the call's error.
func accountOf(ctx context.Context) *Account {
	if c, ok := ctx.(Carrier); ok {
		return c.FuelAccount()
	}
	if a, ok := ctx.Value(accountKey{}).(*Account); ok {
		return a
	}
	panic(errors.New("call of a metered function: its context carries no fuel account"))
}

// unwind ends the guest. wazero recovers the panic and returns it from the
// export's call, leaving the module open; Account.Ended has the reason.
func unwind() {
	panic(sys.NewExitError(1))
}
