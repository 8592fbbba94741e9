package meter_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"

	"github.com/cofferdam-run/cofferdam/runtime/meter"
)

// caller is a module that does nothing but what rewritten ones do to the host:
//
//	(import "\00fuel" "refuel" (func $refuel (param i64) (result i64)))
//	(import "\00fuel" "charge" (func $charge (param i64 i64) (result i64)))
//	(func (export "r") (param i64) (result i64) local.get 0  call $refuel)
//	(func (export "c") (param i64 i64) (result i64) local.get 0  local.get 1  call $charge)
const caller = "\x00asm\x01\x00\x00\x00" +
	"\x01\x0c\x02\x60\x01\x7e\x01\x7e\x60\x02\x7e\x7e\x01\x7e" +
	"\x02\x1f\x02\x05\x00fuel\x06refuel\x00\x00\x05\x00fuel\x06charge\x00\x01" +
	"\x03\x03\x02\x00\x01" +
	"\x07\x09\x02\x01r\x00\x02\x01c\x00\x03" +
	"\x0a\x11\x02\x06\x00\x20\x00\x10\x00\x0b\x08\x00\x20\x00\x20\x01\x10\x01\x0b"

func instantiateCaller(tb testing.TB) api.Module {
	tb.Helper()
	rt := wazero.NewRuntimeWithConfig(tb.Context(), wazero.NewRuntimeConfigCompiler())
	tb.Cleanup(func() { _ = rt.Close(context.WithoutCancel(tb.Context())) })
	if err := meter.Instantiate(tb.Context(), rt); err != nil {
		tb.Fatal(err)
	}
	module, err := rt.Instantiate(tb.Context(), []byte(caller))
	if err != nil {
		tb.Fatal(err)
	}
	return module
}

// callContext is a context of one call, as the runtime has one.
type callContext struct {
	context.Context //nolint:containedctx // It is one.

	account *meter.Account
}

func (c *callContext) FuelAccount() *meter.Account { return c.account }

func TestHostModuleReachesTheAccountOfTheCall(t *testing.T) {
	t.Parallel()
	contexts := map[string]func(context.Context, *meter.Account) context.Context{
		"by a carrier": func(ctx context.Context, a *meter.Account) context.Context { return &callContext{ctx, a} },
		"by a value":   meter.With,
		"by a value further up": func(ctx context.Context, a *meter.Account) context.Context {
			ctx, cancel := context.WithCancel(meter.With(ctx, a))
			t.Cleanup(cancel)
			return ctx
		},
	}
	module := instantiateCaller(t)
	for name, bind := range contexts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAccount()
			ctx := bind(t.Context(), a)
			g := a.Open(1_000_000, 3)
			got, err := module.ExportedFunction("r").Call(ctx, g-300_000)
			if err != nil || fuelOf(got[0]) <= 0 || got[0]>>32 != 3 {
				t.Fatalf("refuel gave %#x, %v, want a healthy count at depth 3", got, err)
			}
			got, err = module.ExportedFunction("c").Call(ctx, got[0], 50_000)
			if err != nil {
				t.Fatal(err)
			}
			if used, err := a.Settle(got[0]); used != 350_000 || err != nil {
				t.Errorf("Settle() = %d, %v, want 350000, nil", used, err)
			}
		})
	}
}

func TestHostModuleEndsTheCallAndLeavesTheModuleOpen(t *testing.T) {
	t.Parallel()
	module := instantiateCaller(t)
	tests := map[string]struct {
		export string
		args   []uint64
		want   error
	}{
		"no fuel":            {"r", []uint64{uint64(5<<32) - 1_000_001}, meter.ErrExhausted},
		"no stack":           {"r", []uint64{1<<64 - 1<<32}, meter.ErrStack},
		"a charge too large": {"c", []uint64{0, 1 << 40}, meter.ErrExhausted},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAccount()
			a.Open(1_000_000, 0)
			_, err := module.ExportedFunction(test.export).Call(meter.With(t.Context(), a), test.args...)
			if exit := (*sys.ExitError)(nil); !errors.As(err, &exit) || !errors.Is(a.Ended(), test.want) {
				t.Errorf("the call gave %v and ended by %v, want an exit and %v", err, a.Ended(), test.want)
			}
			g := a.Open(1_000_000, 0)
			if _, err := module.ExportedFunction("r").Call(meter.With(t.Context(), a), g); err != nil {
				t.Errorf("the next call: %v", err)
			}
		})
	}
}

func TestHostModuleNeedsAnAccount(t *testing.T) {
	t.Parallel()
	_, err := instantiateCaller(t).ExportedFunction("r").Call(t.Context(), 0)
	if err == nil || !strings.Contains(err.Error(), "no fuel account") {
		t.Errorf("a call without an account gave %v, want an error that says so", err)
	}
}

func BenchmarkRefuelFromGuest(b *testing.B) {
	a := newAccount()
	ctx := &callContext{b.Context(), a}
	refuel := instantiateCaller(b).ExportedFunction("r")
	g := a.Open(1<<60, 100)
	stack := make([]uint64, 1)
	b.ReportAllocs()
	for b.Loop() {
		stack[0] = g
		if err := refuel.CallWithStack(ctx, stack); err != nil {
			b.Fatal(err)
		}
	}
}
