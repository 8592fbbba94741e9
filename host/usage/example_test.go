package usage_test

import (
	"fmt"
	"time"

	"github.com/cofferdam-run/cofferdam/host/usage"
)

func ExampleLedger_Range() {
	l := usage.New(usage.Config{Now: func() time.Time { return time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC) }})
	for _, asked := range [][2]string{{"2026-11-01", ""}, {"", ""}, {"2026-11-31", ""}} {
		fmt.Println(l.Range(asked[0], asked[1]))
	}
	// Output:
	// {2026-11-01 2026-11-20} <nil>
	// {2026-10-22 2026-11-20} <nil>
	// { } date_invalid: "2026-11-31" is not a date
}
