package runtime_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

var killpointsFull = flag.Bool("killpoints.full", false, "end the tiny guest at every fuel from 1 to 100,000, and the Go guest at 10,000")

// clean is what calls give in a sandbox that nobody has used before.
type clean struct {
	call   runtime.Call
	output []byte
	usage  runtime.Usage
}

// undisturbed makes each call in a new sandbox.
func undisturbed(t *testing.T, module *runtime.Module, calls ...runtime.Call) []clean {
	t.Helper()
	var all []clean
	for _, c := range calls {
		result, err := module.Call(t.Context(), c)
		if err != nil {
			t.Fatalf("call %s: %v", c.Export, err)
		}
		if err := runtime.DropIdle(t.Context(), module); err != nil {
			t.Fatal(err)
		}
		all = append(all, clean{c, result.Output, result.Usage})
	}
	return all
}

// differs says how a call differs from that of a clean sandbox.
func (c clean) differs(ctx context.Context, module *runtime.Module) error {
	result, err := module.Call(ctx, c.call)
	if err != nil {
		return fmt.Errorf("a clean call of %s: %w", c.call.Export, err)
	}
	if !bytes.Equal(result.Output, c.output) {
		return fmt.Errorf("output of %s differs: got %q, want %q", c.call.Export, result.Output, c.output)
	}
	if got, want := result.Usage, c.usage; got.Fuel != want.Fuel || got.MemoryBytes != want.MemoryBytes || got.HostCalls != want.HostCalls {
		return fmt.Errorf("usage of %s differs: got %+v, want %+v", c.call.Export, got, want)
	}
	return nil
}

// killAt ends a call when it has used so much fuel, and says what is wrong.
func (c clean) killAt(ctx context.Context, module *runtime.Module, fuel int64) error {
	killed := c.call
	killed.Limits.Fuel = fuel
	result, err := module.Call(ctx, killed)
	if fuel >= c.usage.Fuel {
		if err != nil || !bytes.Equal(result.Output, c.output) || result.Usage.Fuel != c.usage.Fuel {
			return fmt.Errorf("with %d units of fuel, of which it needs %d: got %q, %d units, %w",
				fuel, c.usage.Fuel, result.Output, result.Usage.Fuel, err)
		}
		return nil
	}
	failure, ok := errors.AsType[*runtime.Failure](err)
	if !ok || failure.Code != runtime.CodeFuelExhausted || result.Usage.Fuel != fuel {
		return fmt.Errorf("with %d units of fuel, of which it needs %d: used %d, %w", fuel, c.usage.Fuel, result.Usage.Fuel, err)
	}
	return nil
}

// sameSandbox fails the test when the module's one sandbox was thrown away: then
// a clean call would say nothing of resets.
func sameSandbox(t *testing.T, module *runtime.Module, first any) any {
	t.Helper()
	idle := runtime.Idle(module)
	if len(idle) != 1 || first != nil && idle[0] != first {
		t.Fatalf("got %d idle sandboxes, the first of them another than before: %t", len(idle), len(idle) > 0)
	}
	return idle[0]
}

func TestEveryKillPointOfTheTinyGuestLeavesACleanSandbox(t *testing.T) {
	t.Parallel()
	module := prepare(t, probe(false), probeLimits())
	known := undisturbed(t, module,
		runtime.Call{Export: "work", Host: answering("12345678")}, runtime.Call{Export: "digest", Input: []byte("d")})
	work, digest := known[0], known[1]
	if work.usage.Fuel < 100_000 {
		t.Fatalf("the work takes %d units of fuel; there are to be 100,000 kill points", work.usage.Fuel)
	}
	step := int64(47) // A prime, so that no instruction of a loop is always missed.
	if *killpointsFull {
		step = 1
	}
	var first any
	points := 0
	for fuel := int64(1); fuel <= 100_000; fuel += step {
		if err := work.killAt(t.Context(), module, fuel); err != nil {
			t.Fatal(err)
		}
		first = sameSandbox(t, module, first)
		after := digest
		if points++; points%16 == 0 {
			after = work
		}
		if err := after.differs(t.Context(), module); err != nil {
			t.Fatalf("after a kill at %d: %v", fuel, err)
		}
		first = sameSandbox(t, module, first)
	}
	for _, fuel := range []int64{work.usage.Fuel - 1, work.usage.Fuel, work.usage.Fuel + 1} {
		if err := work.killAt(t.Context(), module, fuel); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d kill points", points)
}

func TestKillPointsOfTheGoGuestLeaveACleanSandbox(t *testing.T) {
	t.Parallel()
	module := prepare(t, runtimetest.Guest(t), runtime.Limits{MemoryBytes: 16 << 20, KernelBytes: 1 << 20})
	world := runtime.World{Seed: [32]byte{7}, Config: map[string]string{"a": "b"}}
	known := undisturbed(t, module,
		runtime.Call{Export: "echo", Input: bytes.Repeat([]byte("ab"), 2000), World: world},
		runtime.Call{Export: "random", World: world},
		runtime.Call{Export: "count", World: world},
		runtime.Call{Export: "clock", World: world, Host: answering(`{"result":{}}`)},
		runtime.Call{Export: "sleep", World: world, Host: answering(`{"result":{}}`)},
		runtime.Call{Export: "print", Input: []byte("one\ntwo"), World: world, Host: answering(`{"result":{}}`)},
		runtime.Call{Export: "http", World: world, Host: answering(`{"result":{"status":200,"headers":{"A":["b"]},"body":"hi"}}`)},
		runtime.Call{Export: "plant", Input: bytes.Repeat([]byte("x"), 32), World: world, Host: answering(`{"result":{}}`)},
		runtime.Call{Export: "search", Input: make([]byte, 32), World: world},
	)
	points := 300
	if *killpointsFull {
		points = 10_000
	}
	random := rand.New(rand.NewPCG(1, 2))
	var first any
	for i := range points {
		victim, after := known[i%8], known[1+i/8%2] // The state of memory: random and count.
		if i%100 == 99 {
			after = known[8] // All of memory, which takes long.
		}
		fuel := 1 + random.Int64N(victim.usage.Fuel)
		if err := victim.killAt(t.Context(), module, fuel); err != nil {
			t.Fatalf("%s: %v", victim.call.Export, err)
		}
		first = sameSandbox(t, module, first)
		if err := after.differs(t.Context(), module); err != nil {
			t.Fatalf("after a kill of %s at %d: %v", victim.call.Export, fuel, err)
		}
		first = sameSandbox(t, module, first)
	}
	t.Logf("%d kill points", points)
}

var errNoAnswer = errors.New("no answer")

// httpAnswer is what every function may answer.
const httpAnswer = `{"result":{"status":200,"headers":{"A":["b"]},"body":"hi"}}`

// endings are how a Host ends a call, each in its own way.
func endings(cancel context.CancelFunc) map[string]func(ctx context.Context) (runtime.Answer, error) {
	answer := runtime.Answer{Response: []byte(httpAnswer)}
	return map[string]func(ctx context.Context) (runtime.Answer, error){
		"an error": func(context.Context) (runtime.Answer, error) { return answer, errNoAnswer },
		"a panic":  func(context.Context) (runtime.Answer, error) { panic("in a host function") },
		"a runtime panic": func(context.Context) (runtime.Answer, error) {
			return runtime.Answer{Response: answer.Response[:1<<20]}, nil
		},
		"a cancellation": func(ctx context.Context) (runtime.Answer, error) {
			cancel()
			<-ctx.Done()
			return answer, ctx.Err()
		},
		"a cancellation that it ignores": func(context.Context) (runtime.Answer, error) {
			cancel()
			return answer, nil
		},
		"the deadline": func(ctx context.Context) (runtime.Answer, error) {
			<-ctx.Done()
			return answer, ctx.Err()
		},
		"the deadline that it ignores": func(ctx context.Context) (runtime.Answer, error) {
			<-ctx.Done()
			return answer, nil
		},
	}
}

// TestEveryHostCallMayEndTheGuest ends a call in each of its host calls in each
// way that there is.
func TestEveryHostCallMayEndTheGuest(t *testing.T) {
	t.Parallel()
	for name, g := range map[string]struct {
		wasm    []byte
		limits  runtime.Limits
		victims []runtime.Call
		after   runtime.Call
	}{
		"tiny": {probe(false), probeLimits(), []runtime.Call{{Export: "work"}, {Export: "plant"}}, runtime.Call{Export: "digest"}},
		"Go": {
			runtimetest.Guest(t),
			runtime.Limits{MemoryBytes: 16 << 20, KernelBytes: 1 << 20},
			[]runtime.Call{{Export: "print", Input: []byte("one\ntwo\nthree")}, {Export: "http"}, {Export: "sleep"}, {Export: "clock"}},
			runtime.Call{Export: "count"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			module := prepare(t, g.wasm, g.limits)
			for _, victim := range g.victims {
				victim.Host = answering(httpAnswer)
				known := undisturbed(t, module, victim, g.after)
				for ending := range endings(nil) {
					for at := 1; at <= known[0].usage.HostCalls; at++ {
						if err := known[0].endIn(t, module, at, ending); err != nil {
							t.Errorf("%s: %s in host call %d: %v", victim.Export, ending, at, err)
						}
						first := sameSandbox(t, module, nil)
						if err := known[1].differs(t.Context(), module); err != nil {
							t.Fatalf("%s: after %s in host call %d: %v", victim.Export, ending, at, err)
						}
						sameSandbox(t, module, first)
					}
				}
				if err := runtime.DropIdle(t.Context(), module); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// endIn ends a call in one of its host calls, and says what is wrong.
func (c clean) endIn(t *testing.T, module *runtime.Module, at int, ending string) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	victim, asked := c.call, 0
	if strings.HasPrefix(ending, "the deadline") {
		victim.Limits.Deadline = 2 * time.Millisecond
	}
	victim.Host = &host{answer: func(ctx context.Context, _ runtime.Crossing) (runtime.Answer, error) {
		if asked++; asked < at {
			return runtime.Answer{Response: []byte(httpAnswer)}, nil
		}
		return endings(cancel)[ending](ctx)
	}}
	result, err := module.Call(ctx, victim)
	// A Host that ignores that the time is up may have the last word, and one that does
	// not have time for a guest's last words does not change what it has done.
	if ignored := strings.HasSuffix(ending, "it ignores"); err == nil && (!ignored && result.LostLines == 0 || !bytes.Equal(result.Output, c.output)) {
		return fmt.Errorf("got no error, and output %q", result.Output)
	}
	return nil
}

// TestKilledByTimeLeavesACleanSandbox ends calls at moments that nobody chose.
func TestKilledByTimeLeavesACleanSandbox(t *testing.T) {
	t.Parallel()
	module := prepare(t, probe(false), probeLimits())
	known := undisturbed(t, module, runtime.Call{Export: "digest"})
	var first any
	for i := range 20 {
		c := planting(newSecret(t), endLoop)
		c.Limits = runtime.Limits{Deadline: time.Duration(1+i*100) * time.Microsecond}
		ctx, cancel := context.WithCancel(t.Context())
		if i%2 == 1 {
			c.Limits.Deadline = 0
			timer := time.AfterFunc(time.Duration(i*100)*time.Microsecond, cancel)
			defer timer.Stop()
		}
		_, err := module.Call(ctx, c)
		cancel()
		if failure, ok := errors.AsType[*runtime.Failure](err); i%2 == 0 && (!ok || failure.Code != runtime.CodeDeadlineExceeded) {
			t.Errorf("got %v, want the deadline's failure", err)
		}
		if i%2 == 1 && !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the caller's cancellation", err)
		}
		if idle := runtime.Idle(module); len(idle) == 0 && i == 1 {
			continue // It was over before it took a sandbox.
		}
		first = sameSandbox(t, module, first)
		if err := known[0].differs(t.Context(), module); err != nil {
			t.Fatalf("after %v: %v", err, err)
		}
	}
}
