package main

import (
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
)

func TestARestartedDatabaseLosesNothing(t *testing.T) {
	t.Parallel()
	postgrestest.Needed(t)
	// Whether the work is back as soon as promised is not this test's: the machine is busy.
	last, all, _ := chaos(t, "-database", "postgres", "-trouble", "restart", "-during", "3s", "-around", "4s", "-rate", "10")
	if want := "chaos lost=0 duplicated=0 cycles=1"; last != want {
		t.Errorf("the last line is %q, want %q; all of it:\n%s", last, want, all)
	}
	if !strings.Contains(all, "chaos postgres trouble=restart accepted_per_s before=") || strings.Contains(all, "accepted_per_s before=0.0") {
		t.Errorf("the report does not say what was accepted before:\n%s", all)
	}
}

func TestTroublesThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	if _, _, err := chaos(t, "-trouble", "rain"); err == nil || !strings.Contains(err.Error(), "freeze") {
		t.Errorf("got %v, want an error that names the troubles", err)
	}
	if _, _, err := chaos(t, "-trouble", "freeze", "-database", "sqlite"); err == nil || !strings.Contains(err.Error(), "Postgres") {
		t.Errorf("got %v, want an error that says whose trouble it is", err)
	}
}

func TestAMeterSaysWhenTheWorkIsBack(t *testing.T) {
	t.Parallel()
	epoch := time.Unix(1000, 0)
	at := func(s float64) time.Time { return epoch.Add(time.Duration(s * float64(time.Second))) }
	m := &meter{}
	for i := range 100 { // Ten a second, with a hole from 10 to 15.
		if s := float64(i) / 5; s < 10 || s >= 15 {
			m.count(at(s))
			m.count(at(s))
		}
	}
	if got := m.rate(at(2), at(7)); got < 9.9 || got > 10.1 {
		t.Errorf("the rate is %g, want 10", got)
	}
	if back, ok := m.back(at(12), at(20), 9.5); !ok || back < 4700*time.Millisecond || back > 5200*time.Millisecond {
		t.Errorf("it is back after %s (%v), want about 5s", back, ok)
	}
	if back, ok := m.back(at(12), at(16), 9.5); ok {
		t.Errorf("it is back after %s, before it was", back)
	}
}
