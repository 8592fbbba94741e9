package worker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cofferdam-run/cofferdam/host/execution"
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
	l.expect(in)
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
		alone, other := enter(t.Context(), &l, solo, nil), enter(t.Context(), &l, solo, nil)
		want(t, alone, false)
		a.leave()
		if alone.in == other.in {
			t.Errorf("both are let in: %t, want one", alone.in)
		}
		if other.in {
			alone, other = other, alone
		}
		b := enter(t.Context(), &l, common, nil)
		want(t, b, false)
		alone.leave()
		want(t, b, true)
		want(t, other, false)
		if !l.alone() {
			t.Error("nobody is to run alone, though one waits")
		}
		b.leave()
		want(t, other, true)
		other.leave()
		if l.alone() {
			t.Error("somebody is to run alone, though nobody is there")
		}
	})
}

func TestWhoMayKillGoesLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l lanes
		l.expect(common) // It was claimed with the others, and comes later.
		worst, bad := enter(t.Context(), &l, solo+2, nil), enter(t.Context(), &l, solo, nil)
		first, second := enter(t.Context(), &l, suspect, nil), enter(t.Context(), &l, suspect, nil)
		l.expect(solo + 1)
		want(t, bad, false)
		first.leave()
		want(t, second, true)
		second.leave()
		want(t, bad, false)
		leave := l.enter(t.Context(), common, nil)
		leave()
		synctest.Wait()
		want(t, bad, true)
		bad.leave()
		want(t, worst, false)
		leave = l.enter(t.Context(), solo+1, nil)
		leave()
		synctest.Wait()
		want(t, worst, true)
		worst.leave()
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
		want(t, next, true) // It was claimed with them.
		cancel()
		synctest.Wait()
		want(t, cancelled, true)
		cancelled.leave()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		want(t, patient, false) // Beside the endless one it would not be alone.
		if !patient.sent {
			t.Error("it waits still, and nobody is claimed")
		}
		if l.alone() {
			t.Error("somebody is to run alone still")
		}
		next.leave()
		endless.leave()
	})
}

func TestPatienceGrowsWithEachTimeInVain(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		claimed execution.Claimed
		want    time.Duration
	}{
		"the first time":              {execution.Claimed{Claim: 3, Crashes: 2, Attempt: 1}, time.Second},
		"one time in vain":            {execution.Claimed{Claim: 4, Crashes: 2, Attempt: 1}, 2 * time.Second},
		"four times":                  {execution.Claimed{Claim: 7, Crashes: 2, Attempt: 1}, 16 * time.Second},
		"a thousand times":            {execution.Claimed{Claim: 1003, Crashes: 2, Attempt: 1}, 32 * time.Second},
		"with attempts that ended so": {execution.Claimed{Claim: 9, Crashes: 2, Attempt: 7}, time.Second},
		"more attempts than claims":   {execution.Claimed{Claim: 1, Crashes: 2, Attempt: 7}, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := patience(time.Second, tt.claimed); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestWhoRunsAloneWaitsForAClaimThatIsUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l lanes
		l.expect(common)
		alone := enter(t.Context(), &l, solo, nil)
		want(t, alone, false)
		l.unexpect(common)
		synctest.Wait()
		want(t, alone, true)
		alone.leave()
	})
}
