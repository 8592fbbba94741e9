package param

import (
	"strconv"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// OfTenant says whose runs are meant, where both the operator and tenants have some.
type OfTenant struct {
	Tenant string `query:"tenant" doc:"Those of one tenant's executions, by the tenant's id or name. Left out for those of all tenants'." example:"acme"`
}

// OneShadowRun is a shadow run.
type OneShadowRun struct {
	OfTenant
	Run string `path:"run" doc:"The shadow run's id."`
}

// periodMost is how far back anything may be asked for: ten years.
const periodMost = 10 * 366 * 24 * time.Hour

// Period reads how far back to look: a duration, or a number of days such as 7d.
func Period(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		d = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || d <= 0 || d > periodMost {
		return 0, fault.New(fault.InvalidInput, "period_invalid", "%.20q is not a period of at most ten years", text).
			WithHint("write it like 7d, 12h or 90m")
	}
	return d, nil
}
