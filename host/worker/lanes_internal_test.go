package worker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// enterer enters a lane in a goroutine of its own, and is let out by out.
type enterer struct {
	in  bool
	out chan struct{}
	// sent says that it was sent away.
	sent bool
}

func enter(ctx context.Context, l *lanes, in lane, patience <-chan time.Time) *enterer {
	e := &enterer{out: make(chan struct{})}
	go func() {
		leave := l.enter(ctx, in, patience)
		if leave == nil {
			e.sent = true
			return
		}
		e.in = true
		<-e.out
		leave()
	}()
	synctest.Wait()
	return e
}

func (e *enterer) leave() {
	close(e.out)
	synctest.Wait()
}

func want(t *testing.T, e *enterer, in bool) {
	t.Helper()
	if e.in != in {
		t.Errorf("it is let in: %t, want %t", e.in, in)
	}
}

func TestSuspectsRunOneAtATimeBesideTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l lanes
		a, first, second, b := enter(t.Context(), &l, common, nil), enter(t.Context(), &l, suspect, nil),
			enter(t.Context(), &l, suspect, nil), enter(t.Context(), &l, common, nil)
		want(t, a, true)
		want(t, first, true)
		want(t, second, false)
		want(t, b, true)
		first.leave()
		want(t, second, true)
		second.leave()
		a.leave()
		b.leave()
	})
}

func TestSoloRunsWithNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l lanes
		a := enter(t.Context(), &l, common, nil)
		alone := enter(t.Context(), &l, solo, nil)
		other, b := enter(t.Context(), &l, solo, nil), enter(t.Context(), &l, common, nil)
		want(t, alone, false)
		want(t, b, false)
		a.leave()
		if alone.in == other.in {
			t.Errorf("both are let in: %t, want one", alone.in)
		}
		if other.in {
			alone, other = other, alone
		}
		want(t, b, false)
		alone.leave()
		want(t, other, true)
		other.leave()
		want(t, b, true)
		b.leave()
	})
}

func TestNobodyWaitsForEverBehindARunThatDoesNotEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l lanes
		endless := enter(t.Context(), &l, common, nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancelled := enter(ctx, &l, solo, nil)
		patient := enter(t.Context(), &l, solo, time.After(time.Second))
		next := enter(t.Context(), &l, common, nil)
		want(t, next, false)
		cancel()
		synctest.Wait()
		want(t, cancelled, true)
		cancelled.leave()
		want(t, next, false)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		want(t, patient, false) // Beside the endless one it would not be alone.
		if !patient.sent {
			t.Error("it waits still, and everybody with it")
		}
		want(t, next, true)
		next.leave()
		endless.leave()
	})
}
