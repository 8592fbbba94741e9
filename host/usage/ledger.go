package usage

import (
	"context"
	"fmt"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

const (
	// MaxDays is the most days of a Range: a year, and a leap year at that.
	MaxDays = 366
	// usualDays are those of a Range that does not say where it begins.
	usualDays = 30
	// maxPage is how many tenants Tenants returns.
	maxPage = 200
)

// Config configures a Ledger.
type Config struct {
	Store Store
	// Now says what today is.
	Now func() time.Time
}

// Ledger answers what has been used. It is safe for concurrent use.
type Ledger struct{ c Config }

// New returns a Ledger.
func New(c Config) *Ledger { return &Ledger{c: c} }

// Range reads two dates. An empty to is today, and an empty from is such that
// there are 30 days. What is wrong with them is an InvalidInput fault at "from"
// or "to".
func (l *Ledger) Range(from, to string) (Range, error) {
	last, err := parse("to", to, l.c.Now())
	if err != nil {
		return Range{}, err
	}
	first, err := parse("from", from, last.AddDate(0, 0, 1-usualDays))
	if err != nil {
		return Range{}, err
	}
	r := Range{From: DateOf(first), To: DateOf(last)}
	return r, r.check()
}

// Days returns a tenant's totals by day, or those of one installation's id; days
// without runs are left out.
func (l *Ledger) Days(ctx context.Context, tenant, installation string, r Range) ([]Total, error) {
	found, err := l.c.Store.UsageByDay(ctx, tenant, installation, r)
	if err != nil {
		return nil, fmt.Errorf("sum up usage by day: %w", err)
	}
	return found, nil
}

// Installations returns a tenant's totals by installation, removed ones too, or
// that of one installation's id; those without runs are left out.
func (l *Ledger) Installations(ctx context.Context, tenant, installation string, r Range) ([]Total, error) {
	found, err := l.c.Store.UsageByInstallation(ctx, tenant, installation, r)
	if err != nil {
		return nil, fmt.Errorf("sum up usage by installation: %w", err)
	}
	return found, nil
}

// Tenants returns the totals of up to limit tenants after an id, those without
// runs too; a limit of 0, or above 200, is 200.
func (l *Ledger) Tenants(ctx context.Context, r Range, after string, limit int) ([]Total, error) {
	if limit <= 0 || limit > maxPage {
		limit = maxPage
	}
	found, err := l.c.Store.UsageByTenant(ctx, r, after, limit)
	if err != nil {
		return nil, fmt.Errorf("sum up usage by tenant: %w", err)
	}
	return found, nil
}

// parse reads a date that a person wrote; where none is, it is the usual one.
func parse(where, text string, usual time.Time) (time.Time, error) {
	if text == "" {
		return usual.UTC(), nil
	}
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return t, fault.New(fault.InvalidInput, "date_invalid", "%q is not a date", clip(text)).
			At(where).WithHint("Write a day of the calendar as 2026-11-20. Days begin at midnight UTC.")
	}
	return t, nil
}

func (r Range) check() error {
	if r.From > r.To {
		return fault.New(fault.InvalidInput, "range_invalid", "it begins on %s, after its end on %s", r.From, r.To).
			At("from").WithHint("Both days are included; the first must not be after the last, which is today unless it is given.")
	}
	if r.days() > MaxDays {
		return fault.New(fault.InvalidInput, "range_too_long", "from %s to %s is more than the %d days that can be asked for at once", r.From, r.To, MaxDays).
			At("from").WithHint("Ask for one year after the other.")
	}
	return nil
}

// days counts the days of a range. One of centuries is longer than a Duration,
// which then is as long as it can be.
func (r Range) days() int {
	first, err := time.Parse(time.DateOnly, string(r.From))
	if err != nil {
		return 0
	}
	last, err := time.Parse(time.DateOnly, string(r.To))
	if err != nil {
		return 0
	}
	return int(last.Sub(first)/(24*time.Hour)) + 1
}

// clip shortens what a message quotes.
func clip(s string) string {
	if r := []rune(s); len(r) > 32 {
		return string(r[:32]) + "…"
	}
	return s
}
