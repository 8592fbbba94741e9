package schedule_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/schedule"
)

// BenchmarkIdle looks for what is due among 10,000 schedules of which nothing is, as each
// process does every ten seconds.
func BenchmarkIdle(b *testing.B) {
	bundle := setup(b)
	const n = 10_000
	for i := range n {
		s := schedule.Schedule{
			ID: fmt.Sprintf("sch_%026d", i), Tenant: tenantID, Installation: installationID, Name: fmt.Sprintf("s%d", i), Action: "sync",
			Input: []byte(`{}`), When: schedule.When{Every: "24h"}, State: schedule.Active, Version: 1,
			Next: noon.Add(24 * time.Hour), CreatedAt: noon, UpdatedAt: noon,
		}
		must(b, bundle.InsertSchedule(b.Context(), s, n))
	}
	for b.Loop() {
		pause, err := bundle.FireDue(b.Context())
		must(b, err)
		if pause < 5*time.Second {
			b.Fatalf("it looks again after %s", pause)
		}
	}
}
