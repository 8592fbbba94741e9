package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// byteSize is a flag and a setting in bytes, written as 500MiB, 1GiB or 1024.
type byteSize int64

// Set implements pflag.Value.
func (b *byteSize) Set(s string) error {
	number, unit := s, int64(1)
	for shift, suffix := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if cut, ok := strings.CutSuffix(s, suffix); ok {
			number, unit = strings.TrimSpace(cut), 1<<(10*(shift+1))
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return fmt.Errorf("%q is no size: write a whole number of bytes, or of KiB, MiB, GiB or TiB, as 500MiB", s)
	}
	*b = byteSize(n * unit)
	return nil
}

// String implements pflag.Value.
func (b *byteSize) String() string { return strconv.FormatInt(int64(*b), 10) }

// Type implements pflag.Value.
func (b *byteSize) Type() string { return "size" }

// UnmarshalText implements encoding.TextUnmarshaler, for the environment.
func (b *byteSize) UnmarshalText(text []byte) error { return b.Set(string(text)) }

// period is a flag and a setting of a time in days or less, written as 7d, 12h or 0s.
type period time.Duration

// graceMost is the longest that the server takes.
const graceMost = 90 * 24 * time.Hour

// Set implements pflag.Value.
func (p *period) Set(s string) error {
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 8)
		d = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || d < 0 || d > graceMost {
		return fmt.Errorf("%q is no time from 0s to 90d: write it like 7d, 12h or 0s", s)
	}
	*p = period(d)
	return nil
}

// String implements pflag.Value.
func (p *period) String() string {
	d := time.Duration(*p)
	if d%(24*time.Hour) == 0 && d > 0 {
		return strconv.Itoa(int(d/(24*time.Hour))) + "d"
	}
	return d.String()
}

// Type implements pflag.Value.
func (p *period) Type() string { return "time" }

// UnmarshalText implements encoding.TextUnmarshaler, for the environment.
func (p *period) UnmarshalText(text []byte) error { return p.Set(string(text)) }

// scale is what amounts from a size on are written in.
type scale struct {
	size   int64
	format string
}

// scaled writes an amount in the first scale that it reaches, or as it is.
func scaled(n int64, asIs string, scales ...scale) string {
	for _, s := range scales {
		if n >= s.size {
			return fmt.Sprintf(s.format, float64(n)/float64(s.size))
		}
	}
	return fmt.Sprintf(asIs, n)
}

// byteCount writes a size for people.
func byteCount(n int64) string {
	return scaled(n, "%d B", scale{1 << 30, "%.1f GiB"}, scale{1 << 20, "%.1f MiB"}, scale{1 << 10, "%.1f KiB"})
}

// fuelCount writes units of fuel for people: a core burns 2 to 5 G in a second.
func fuelCount(n int64) string {
	return scaled(n, "%d", scale{1e12, "%.2f T"}, scale{1e9, "%.2f G"}, scale{1e6, "%.1f M"}, scale{1e3, "%.1f k"})
}

// duration rounds to what is worth reading.
func duration(d time.Duration) string {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	default:
		return d.Round(time.Microsecond).String()
	}
}
