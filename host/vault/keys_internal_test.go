package vault

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const fresh = time.Minute

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func generation(n int64) *ring { return &ring{generation: n} }

func TestKeysForgetTheLeastRecentlyUsed(t *testing.T) {
	t.Parallel()
	k := newKeys(2)
	a := generation(1)
	k.put("a", a, noon)
	k.put("b", generation(1), noon)
	if got, _ := k.get("a", noon, fresh); got != a {
		t.Errorf("got %v, want a's", got)
	}
	k.put("c", generation(1), noon)
	for tenant, want := range map[string]bool{"a": true, "b": false, "c": true} {
		if got, _ := k.peek(tenant); (got != nil) != want {
			t.Errorf("%s is held: got %t, want %t", tenant, got != nil, want)
		}
	}
	if k.used.Len() != 2 || len(k.byTenant) != 2 {
		t.Errorf("holds %d and %d keys, want 2", k.used.Len(), len(k.byTenant))
	}
}

func TestKeysThatNobodyUsesAreForgotten(t *testing.T) {
	t.Parallel()
	k := newKeys(10)
	k.put("a", generation(1), noon)
	k.put("b", generation(1), noon)
	k.get("a", noon.Add(idle/2), fresh)
	k.put("c", generation(1), noon.Add(idle))
	if b, _ := k.peek("b"); b != nil || k.used.Len() != 2 {
		t.Errorf("b is held %t, with %d others", b != nil, k.used.Len())
	}
}

func TestKeysAreDropped(t *testing.T) {
	t.Parallel()
	k := newKeys(2)
	k.put("a", generation(1), noon)
	k.put("b", generation(1), noon)
	k.drop("a")
	k.drop("nobody")
	if a, _ := k.peek("a"); a != nil || k.used.Len() != 1 {
		t.Errorf("holds %d keys, want b's", k.used.Len())
	}
}

func TestOlderKeysTakeNoPlace(t *testing.T) {
	t.Parallel()
	k := newKeys(2)
	newer := generation(2)
	k.put("a", newer, noon)
	k.put("a", generation(1), noon.Add(time.Second))
	if got, at := k.peek("a"); got != newer || !at.Equal(noon) {
		t.Errorf("holds generation %d of %v", got.generation, at)
	}
}

func TestKeysAreComparedByOneFirst(t *testing.T) {
	t.Parallel()
	k := newKeys(2)
	k.put("a", generation(1), noon)
	due := func(after time.Duration) bool {
		_, due := k.get("a", noon.Add(after), fresh)
		return due
	}
	for _, tt := range []struct {
		what  string
		after time.Duration
		want  bool
	}{
		{"young", fresh/2 - 1, false},
		{"half of it is over", fresh / 2, true},
		{"somebody does it", fresh / 2, false},
		{"too old", fresh, true},
		{"too old, for all", fresh, true},
		{"a clock that went back", -time.Second, true},
	} {
		if got := due(tt.after); got != tt.want {
			t.Errorf("%s: due %t, want %t", tt.what, got, tt.want)
		}
	}
	k.unchecked("a")
	if !due(fresh / 2) {
		t.Error("nobody compares it, and it is not due")
	}
}

func TestTurnstileLetsOneThrough(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := turnstile{busy: map[string]chan struct{}{}}
		var inside, most atomic.Int32
		for range 20 {
			go func() {
				leave, err := s.enter(t.Context(), "a")
				if err != nil {
					t.Error(err)
					return
				}
				defer leave()
				most.Store(max(most.Load(), inside.Add(1)))
				time.Sleep(time.Second)
				inside.Add(-1)
			}()
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		if _, err := s.enter(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		leave, err := s.enter(ctx, "b")
		if err == nil {
			leave()
		}
		time.Sleep(time.Minute)
		if most.Load() != 1 || inside.Load() != 0 || len(s.busy) != 0 {
			t.Errorf("%d at once, %d still", most.Load(), inside.Load())
		}
	})
}
