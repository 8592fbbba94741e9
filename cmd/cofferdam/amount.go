package main

import (
	"fmt"
	"time"
)

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
