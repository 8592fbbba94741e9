package param

import (
	"strconv"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// Grace is how long a deletion can be called off.
type Grace struct {
	Text string `query:"grace" maxLength:"20" doc:"How long after it was asked for the tenant is deleted, as 7d, 12h or 0s; at most 90d. Until then it can be restored. Defaults to what the server is told, which is 7d unless it is told otherwise." example:"7d"`
}

// Duration is the grace, or nil if none is given.
func (g Grace) Duration() (*time.Duration, error) {
	if g.Text == "" {
		return nil, nil //nolint:nilnil // Nothing is said.
	}
	d, err := time.ParseDuration(g.Text)
	if days, ok := strings.CutSuffix(g.Text, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		d = time.Duration(n) * 24 * time.Hour
	}
	if err != nil {
		return nil, fault.New(fault.InvalidInput, "grace_invalid", "%q is not a time", g.Text).
			At("grace").WithHint("write it like 7d, 12h or 0s")
	}
	return &d, nil
}
