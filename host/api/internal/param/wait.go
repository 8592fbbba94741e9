package param

import (
	"strconv"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// Wait is how long a call waits for its execution.
type Wait struct {
	Timeout string `query:"timeout" doc:"How long to wait, such as 10s. Defaults to the longest that the server waits, 30s." example:"10s"`
	Mode    string `query:"mode" enum:"sync,async" default:"sync" doc:"async answers at once."`
	Prefer  string `header:"Prefer" doc:"RFC 7240: wait=10 waits 10 seconds, respond-async answers at once. The query parameters go first." example:"wait=10"`
}

// Patience returns how long the caller waits, at most longest; 0 is not at all.
func (w Wait) Patience(longest time.Duration) (time.Duration, error) {
	if w.Mode == "async" {
		return 0, nil
	}
	if w.Timeout == "" {
		return w.preferred(longest), nil
	}
	d, err := time.ParseDuration(w.Timeout)
	if err != nil || d <= 0 || d > longest {
		return 0, fault.New(fault.InvalidInput, "timeout_invalid", "the timeout must be a duration over 0s and at most %s", longest).
			At("timeout").WithHint("write it like 10s, or use mode=async")
	}
	return d, nil
}

// preferred is what Prefer asks for. A preference that cannot be kept is not an
// error (RFC 7240, section 2).
func (w Wait) preferred(longest time.Duration) time.Duration {
	for part := range strings.SplitSeq(w.Prefer, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if strings.EqualFold(name, "respond-async") {
			return 0
		}
		n, err := strconv.Atoi(value)
		if strings.EqualFold(name, "wait") && err == nil && n > 0 && n < int(longest/time.Second) {
			return time.Duration(n) * time.Second
		}
	}
	return longest
}

// Drain is how long to wait for what runs.
type Drain struct {
	Wait string `query:"wait" maxLength:"20" doc:"How long to wait until nothing runs, such as 10s; at most as long as a call waits, 30s unless the server is told otherwise. Defaults to not at all." example:"10s"`
}

// Patience returns how long the caller waits, at most longest.
func (d Drain) Patience(longest time.Duration) (time.Duration, error) {
	if d.Wait == "" {
		return 0, nil
	}
	wait, err := time.ParseDuration(d.Wait)
	if err != nil || wait < 0 || wait > longest {
		return 0, fault.New(fault.InvalidInput, "wait_invalid", "%q is no time from 0s to %s", d.Wait, longest).
			At("wait").WithHint("write it like 10s, and ask again for longer")
	}
	return wait, nil
}
