package meter_test

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// threadTime is the CPU time of this thread, which others on the machine do not
// lengthen.
func threadTime(tb testing.TB) time.Duration {
	tb.Helper()
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(t.Nano())
}
