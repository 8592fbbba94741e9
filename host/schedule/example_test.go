package schedule_test

import (
	"context"
	"fmt"
	"time"

	"github.com/cofferdam-run/cofferdam/host/schedule"
)

// Half past two is left out on 8 March 2026 in New York: it comes at the first instant
// after the gap.
func ExampleSchedules_Upcoming() {
	s := schedule.New(schedule.Config{
		Clock: func(context.Context) (time.Time, error) { return time.Date(2026, 3, 7, 0, 0, 0, 0, time.UTC), nil },
	})
	times, err := s.Upcoming(context.Background(), schedule.When{Cron: "30 2 * * *", TimeZone: "America/New_York"}, 3)
	if err != nil {
		fmt.Println(err)
	}
	for _, at := range times {
		fmt.Println(at.Format(time.RFC3339))
	}
	// Output:
	// 2026-03-07T02:30:00-05:00
	// 2026-03-08T03:00:00-04:00
	// 2026-03-09T02:30:00-04:00
}
