package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// account is a world whose questions go to an account, and which has no token for it
// while one is missing.
type account struct {
	outside
	missing atomic.Bool
	told    *hostfns.Error
	parked  atomic.Int64
}

func newAccount(told *hostfns.Error) *account {
	a := &account{told: told}
	a.missing.Store(true)
	a.answer = func(ctx context.Context, name string, _ int) (any, error) {
		if name != "call" || !a.missing.Load() {
			return "fine", nil
		}
		hostfns.Report(ctx, hostfns.NotDone)
		return nil, a.told
	}
	return a
}

// serve starts a worker whose host knows whether the account is broken.
func (a *account) serve(t *testing.T, broken func() (bool, error)) *bundle {
	t.Helper()
	b := setup(t)
	b.guest("ten_a")
	f := a.probe()
	f.Mark = func(context.Context, json.RawMessage) (hostfns.Mark, error) {
		return hostfns.Mark{Host: "api.example.com", Account: "con_a"}, nil
	}
	c := b.config(b.sandbox(runtime.Limits{}, f))
	c.Broken = func(_ context.Context, tenant, connection string) (bool, error) {
		if tenant != "ten_a" || connection != "con_a" {
			t.Errorf("asked about %s of %s", connection, tenant)
		}
		return broken()
	}
	c.Parked = func(context.Context, string, string) error {
		a.parked.Add(1)
		return nil
	}
	b.runNow(c)
	return b
}

func is(broken bool) func() (bool, error) { return func() (bool, error) { return broken, nil } }

func (b *bundle) waits(id string) execution.Execution {
	b.t.Helper()
	return b.until(id, func(e execution.Execution) bool { return e.State == execution.Waiting || e.State.Done() })
}

func TestWhatMeetsABrokenConnectionWaitsForIt(t *testing.T) {
	t.Parallel()
	noToken := hostfns.Errorf(hostfns.CodeAuth, "the user took it back")
	for name, tt := range map[string]struct {
		code   string
		broken func() (bool, error)
		until  time.Duration // 0 for without end.
	}{
		"without end, where it is known to be broken": {"auth", is(true), 0},
		"for an hour, where nobody knows":             {"auth", is(false), time.Hour},
		"for an hour, where nobody can be asked":      {"auth", func() (bool, error) { return false, errors.New("the database is away") }, time.Hour},
		"though its guest passes on a plain error":    {"plugin_bug", is(true), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAccount(noToken)
			b := a.serve(t, tt.broken)
			began := time.Now()
			id := b.enqueue("ten_a", event.Action, "do", script(ask("before", ""), ask("call", "", "fine", tt.code)))
			got := b.waits(id)
			if got.State != execution.Waiting || got.Reason != execution.ReasonReconnect || got.WaitsFor != "con_a" || got.Attempt != 0 {
				t.Fatalf("it is %s (%s, for %q) after %d attempts, want it to wait for con_a after none: %v", got.State, got.Reason, got.WaitsFor, got.Attempt, got.Error)
			}
			if tt.until == 0 != got.Until.IsZero() || tt.until > 0 && got.Until.Sub(began) < tt.until {
				t.Errorf("it waits until %s, want %s", got.Until, tt.until)
			}
			a.missing.Store(false)
			if n, err := b.store.Reconnect(t.Context(), "ten_a", "con_a"); n != 1 || err != nil {
				t.Fatalf("queued %d, %v, want one", n, err)
			}
			if got = b.end(id); got.State != execution.Succeeded || got.Attempt != 1 {
				t.Errorf("it is %s after %d attempts, want it succeeded at the first", got.State, got.Attempt)
			}
			a.wantAsked(t, "before", "call", "call") // What was done is not done again.
			if n := a.parked.Load(); n != 1 {
				t.Errorf("it was said %d times that it waits, want once", n)
			}
		})
	}
}

func TestATokenThatMayComeLaterIsAskedForLater(t *testing.T) {
	t.Parallel()
	for code, tt := range map[hostfns.Code]struct {
		after  time.Duration
		reason string
	}{
		hostfns.CodeRateLimited:         {time.Hour, execution.ReasonRateLimited},
		hostfns.CodeUpstreamUnavailable: {time.Hour, execution.ReasonRateLimited},
		hostfns.CodeNetwork:             {0, execution.ReasonRetry},
	} {
		t.Run(string(code), func(t *testing.T) {
			t.Parallel()
			a := newAccount(&hostfns.Error{Code: code, Message: "not now", RetryAfter: tt.after})
			b := a.serve(t, is(false))
			began := time.Now()
			// The guest passes the code on, and leaves out when to come back.
			got := b.waits(b.enqueue("ten_a", event.Action, "do", script(ask("call", "", "fine", string(code)))))
			if got.State != execution.Waiting || got.Reason != tt.reason || got.WaitsFor != "" || got.Until.Sub(began) < tt.after {
				t.Errorf("it is %s (%s) until %s, want it to wait for %s", got.State, got.Reason, got.Until, tt.after)
			}
		})
	}
}

// A guest that fails for a reason of its own waits for nobody.
func TestAGuestsOwnMistakeIsNoReasonToReconnect(t *testing.T) {
	t.Parallel()
	a := newAccount(hostfns.Errorf(hostfns.CodeAuth, "the user took it back"))
	b := a.serve(t, is(true))
	for _, calls := range [][]string{
		{ask("call", ""), ask("other", "read", "nothing like it", "plugin_bug")}, // It has gone on.
		{ask("call", "", "fine", "invalid_input")},
	} {
		if got := b.done(script(calls...)); got.State != execution.Dead {
			t.Errorf("%v: it is %s, want dead", calls, got.State)
		}
	}
}
