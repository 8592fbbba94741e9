package main

import (
	"cmp"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/pace"
	"github.com/cofferdam-run/cofferdam/host/webhook/admission"
)

// boundSettings say what a process takes at once, and how it goes with connections. A zero is
// the default, which the flags name.
type boundSettings struct {
	IngestDeliveries int      `env:"COFFERDAM_INGEST_DELIVERIES"`
	IngestBytes      byteSize `env:"COFFERDAM_INGEST_BYTES"`
	HeaderBytes      byteSize `env:"COFFERDAM_HEADER_BYTES"`

	PaceWait    time.Duration `env:"COFFERDAM_PACE_WAIT"`
	PaceWaiters int           `env:"COFFERDAM_PACE_WAITERS"`

	BreakerShare    float64       `env:"COFFERDAM_BREAKER_SHARE"`
	BreakerRequests int           `env:"COFFERDAM_BREAKER_REQUESTS"`
	BreakerWindow   time.Duration `env:"COFFERDAM_BREAKER_WINDOW"`
	BreakerFirst    time.Duration `env:"COFFERDAM_BREAKER_FIRST"`
	BreakerMost     time.Duration `env:"COFFERDAM_BREAKER_MOST"`
	BreakerPatience time.Duration `env:"COFFERDAM_BREAKER_PATIENCE"`
}

func (a *app) boundFlags(c *cobra.Command) {
	flags := c.Flags()
	flags.IntVar(&a.IngestDeliveries, "ingest-deliveries", a.IngestDeliveries, "how many webhooks are verified and stored at once; those beyond are answered 503; 0 is 1024 (COFFERDAM_INGEST_DELIVERIES)")
	flags.Var(&a.IngestBytes, "ingest-bytes", "how much of webhooks' bodies is held at once, at least as much as an endpoint's max body, and each about four times while it is stored; 0 is 32MiB (COFFERDAM_INGEST_BYTES)")
	flags.Var(&a.HeaderBytes, "header-bytes", "how much the headers of a request may have, others are answered 431; 0 is 64KiB (COFFERDAM_HEADER_BYTES)")
	flags.DurationVar(&a.PaceWait, "pace-wait", a.PaceWait, "how long a request waits in its sandbox for its turn with a connection, before its run is put off; 0 is 1s (COFFERDAM_PACE_WAIT)")
	flags.IntVar(&a.PaceWaiters, "pace-waiters", a.PaceWaiters, "how many requests of a connection wait so at a time; 0 is 8 (COFFERDAM_PACE_WAITERS)")
	flags.Float64Var(&a.BreakerShare, "breaker-share", a.BreakerShare, "which share of a connection's requests has to fail for its breaker to open; 0 is 0.5, and -1 has none open (COFFERDAM_BREAKER_SHARE)")
	flags.IntVar(&a.BreakerRequests, "breaker-requests", a.BreakerRequests, "of how many requests at least; 0 is 10 (COFFERDAM_BREAKER_REQUESTS)")
	flags.DurationVar(&a.BreakerWindow, "breaker-window", a.BreakerWindow, "within which time; 0 is 30s (COFFERDAM_BREAKER_WINDOW)")
	flags.DurationVar(&a.BreakerFirst, "breaker-first", a.BreakerFirst, "for how long a breaker is open before a request tries it; each that fails doubles it; 0 is 5s (COFFERDAM_BREAKER_FIRST)")
	flags.DurationVar(&a.BreakerMost, "breaker-most", a.BreakerMost, "and for how long at most, and up to a quarter more; 0 is 5m (COFFERDAM_BREAKER_MOST)")
	flags.DurationVar(&a.BreakerPatience, "breaker-patience", a.BreakerPatience, "how long the request that tries may take before another does; 0 is 1m (COFFERDAM_BREAKER_PATIENCE)")
}

const (
	// leastBytes is the largest body that an endpoint takes unless it says otherwise: with
	// less room it would never be taken. One that is to take more needs as much.
	leastBytes = 5 << 20
	// The headers of vendors have a few KiB, and each connection may hold as much as it may
	// send.
	leastHeader, header, mostHeader = 4 << 10, 64 << 10, 1 << 20
)

// serverBounds are what the settings say.
type serverBounds struct {
	ingest admission.Bounds
	pace   host.Pace
	header int
}

func (a *app) bounds() (b serverBounds, err error) {
	switch {
	case a.IngestDeliveries < 0:
		return b, usagef("--ingest-deliveries is %d: write how many, or 0 for 1024", a.IngestDeliveries)
	case a.IngestBytes != 0 && a.IngestBytes < leastBytes:
		return b, usagef("--ingest-bytes is %s: a body alone may have %s; write more, or 0 for 32MiB", byteCount(int64(a.IngestBytes)), byteCount(leastBytes))
	case a.HeaderBytes != 0 && (a.HeaderBytes < leastHeader || a.HeaderBytes > mostHeader):
		return b, usagef("--header-bytes is %s: write from %s to %s, or 0 for 64KiB", byteCount(int64(a.HeaderBytes)), byteCount(leastHeader), byteCount(mostHeader))
	}
	b.ingest = admission.Bounds{Deliveries: a.IngestDeliveries, Bytes: int64(a.IngestBytes)}
	b.header = cmp.Or(int(a.HeaderBytes), header)
	b.pace, err = a.pace()
	return b, err
}

// pace is how this process goes with connections.
func (a *app) pace() (host.Pace, error) {
	for _, of := range []struct {
		flag string
		time time.Duration
	}{
		{"--pace-wait", a.PaceWait},
		{"--breaker-window", a.BreakerWindow},
		{"--breaker-first", a.BreakerFirst},
		{"--breaker-most", a.BreakerMost},
		{"--breaker-patience", a.BreakerPatience},
	} {
		if of.time < 0 {
			return host.Pace{}, usagef("%s is %s: write a time such as 2s, or 0 for the default", of.flag, of.time)
		}
	}
	breaker := pace.BreakerConfig{
		Window: a.BreakerWindow, Requests: a.BreakerRequests, Share: a.BreakerShare, First: a.BreakerFirst, Most: a.BreakerMost, Patience: a.BreakerPatience,
	}
	used := breaker.WithDefaults()
	switch {
	case a.PaceWaiters < 0:
		return host.Pace{}, usagef("--pace-waiters is %d: write how many, or 0 for 8", a.PaceWaiters)
	case a.BreakerRequests < 0:
		return host.Pace{}, usagef("--breaker-requests is %d: write how many, or 0 for 10", a.BreakerRequests)
	case a.BreakerShare != -1 && !(a.BreakerShare >= 0 && a.BreakerShare <= 1): // NaN is none of them.
		return host.Pace{}, usagef("--breaker-share is %g: write a share from 0 to 1, such as 0.5, or -1 to have no breaker open", a.BreakerShare)
	case used.First > used.Most:
		return host.Pace{}, usagef("--breaker-first is %s and --breaker-most is %s: the first time that a breaker is open is not longer than the longest", used.First, used.Most)
	}
	return host.Pace{Wait: a.PaceWait, Waiters: a.PaceWaiters, Breaker: breaker}, nil
}
