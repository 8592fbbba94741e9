package retention_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/tenant"
)

func TestADeletionBeginsWhenItIsDue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := func(d time.Duration) time.Time { return b.clock().Add(d) }
	b.store.tenants = []tenant.Tenant{
		{ID: "a", State: tenant.Paused, DeleteAt: in(time.Minute)},
		{ID: "b", State: tenant.Paused, DeleteAt: in(30 * time.Second)},
		{ID: "c", State: tenant.Paused, DeleteAt: in(24 * time.Hour)},
		{ID: "d", State: tenant.Paused},
	}
	b.store.rows["b"] = 4
	b.run(t)
	again := <-b.waits
	look := func(want time.Duration, destroyed ...string) {
		t.Helper()
		if again.d != want {
			t.Errorf("it looks again in %v, want %v", again.d, want)
		}
		b.store.mu.Lock()
		got := slices.Clone(b.store.destroyed)
		b.store.mu.Unlock()
		if !slices.Equal(got, destroyed) {
			t.Errorf("destroyed %v, want %v", got, destroyed)
		}
		b.advance(again.d)
		again.fire <- b.clock()
		again = <-b.waits
	}
	look(30 * time.Second)
	// The key of b goes, and its rows; a is due in 30 s.
	look(15*time.Second, "b")
	b.store.waits["a"] = "others"
	look(15*time.Second, "b")
	// What waits for others keeps its key.
	look(15*time.Second, "b")
	b.store.mu.Lock()
	delete(b.store.waits, "a")
	b.store.mu.Unlock()
	look(15*time.Second, "b")
	look(15*time.Second, "b", "a")
	if b.store.rows["b"] != 0 {
		t.Errorf("%d rows are left", b.store.rows["b"])
	}
}

func TestADeletionWaitsForWhoIsToBeTold(t *testing.T) {
	t.Parallel()
	for name, told := range map[string]struct {
		after time.Duration
		fail  error
		want  time.Duration
	}{
		"until they are":            {after: 10 * time.Minute, want: 10 * time.Minute},
		"for an hour at most":       {after: 24 * time.Hour, want: time.Hour},
		"though nobody can say who": {after: 24 * time.Hour, fail: errors.New("sealed"), want: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			began := b.clock()
			b.leave = func() (int, error) {
				if b.clock().Sub(began) < told.after {
					return 2, told.fail
				}
				return 0, nil
			}
			b.store.tenants = []tenant.Tenant{{ID: "a", State: tenant.Paused, DeleteAt: began}}
			b.run(t)
			for again := range b.waits {
				b.store.mu.Lock()
				destroyed, noted := len(b.store.destroyed), strings.Join(b.store.noted, "\n")
				b.store.mu.Unlock()
				if destroyed > 0 {
					if !strings.Contains(noted, "a waits for tokens") {
						t.Errorf("it was noted: %s", noted)
					}
					break
				}
				b.advance(again.d)
				again.fire <- b.clock()
			}
			if took := b.clock().Sub(began); took != told.want {
				t.Errorf("the key was destroyed after %s, want %s", took, told.want)
			}
			if warned := strings.Contains(b.logged(), "left=2"); warned != (told.want == time.Hour) {
				t.Errorf("warned %t: %s", warned, b.logged())
			}
		})
	}
}

func TestNobodyIsToldOfADeletionThatMayBeCalledOff(t *testing.T) {
	t.Parallel()
	b := setup(t)
	asked := 0
	b.leave = func() (int, error) { asked++; return 0, nil }
	b.store.tenants = []tenant.Tenant{{ID: "a", State: tenant.Paused, DeleteAt: b.clock()}}
	b.store.waits["a"] = "others"
	b.run(t)
	again := <-b.waits
	if asked != 0 {
		t.Errorf("%d times it was told while others need the tenant's plugins", asked)
	}
	b.store.mu.Lock()
	delete(b.store.waits, "a")
	b.store.mu.Unlock()
	b.advance(again.d)
	again.fire <- b.clock()
	<-b.waits
	if asked != 1 {
		t.Errorf("%d times it was told of what is certain, want once", asked)
	}
}
