package usage_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/usage"
)

// fake answers with what it was asked for.
type fake struct {
	limit int
	err   error
}

func (f *fake) UsageByDay(_ context.Context, tenant, installation string, r usage.Range) ([]usage.Total, error) {
	return []usage.Total{{Tenant: tenant, Installation: installation, Day: r.From}}, f.err
}

func (f *fake) UsageByInstallation(_ context.Context, tenant, installation string, _ usage.Range) ([]usage.Total, error) {
	return []usage.Total{{Tenant: tenant, Installation: installation}}, f.err
}

func (f *fake) UsageByTenant(_ context.Context, _ usage.Range, after string, limit int) ([]usage.Total, error) {
	f.limit = limit
	return []usage.Total{{Tenant: after}}, f.err
}

// at is a ledger at a moment.
func at(t *testing.T, now string) (*usage.Ledger, *fake) {
	t.Helper()
	moment, err := time.Parse(time.RFC3339, now)
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{}
	return usage.New(usage.Config{Store: f, Now: func() time.Time { return moment }}), f
}

func TestRange(t *testing.T) {
	t.Parallel()
	// In UTC it is the day after.
	l, _ := at(t, "2026-11-19T23:30:00-05:00")
	for name, tt := range map[string]struct {
		from, to string
		want     usage.Range
	}{
		"the last thirty days":        {"", "", usage.Range{From: "2026-10-22", To: "2026-11-20"}},
		"until today":                 {"2026-11-01", "", usage.Range{From: "2026-11-01", To: "2026-11-20"}},
		"thirty days up to one":       {"", "2026-03-01", usage.Range{From: "2026-01-31", To: "2026-03-01"}},
		"one day":                     {"2026-11-20", "2026-11-20", usage.Range{From: "2026-11-20", To: "2026-11-20"}},
		"a leap year":                 {"2024-01-01", "2024-12-31", usage.Range{From: "2024-01-01", To: "2024-12-31"}},
		"days that are still to come": {"2027-01-01", "2027-01-31", usage.Range{From: "2027-01-01", To: "2027-01-31"}},
		"the last day that there is":  {"9999-12-31", "9999-12-31", usage.Range{From: "9999-12-31", To: "9999-12-31"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := l.Range(tt.from, tt.to)
			if err != nil || got != tt.want {
				t.Errorf("got %v and %v, want %v", got, err, tt.want)
			}
		})
	}
}

func TestRangeSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	l, _ := at(t, "2026-11-20T12:00:00Z")
	for name, tt := range map[string]struct{ from, to, code, where, says string }{
		"a word":                      {"yesterday", "", "date_invalid", "from", `"yesterday" is not a date`},
		"a day that is not":           {"", "2026-02-30", "date_invalid", "to", `"2026-02-30"`},
		"a time":                      {"2026-11-20T00:00:00Z", "", "date_invalid", "from", "is not a date"},
		"a book":                      {strings.Repeat("ä", 5000), "", "date_invalid", "from", strings.Repeat("ä", 32) + "…"},
		"an end before the beginning": {"2026-11-20", "2026-11-19", "range_invalid", "from", "begins on 2026-11-20, after its end on 2026-11-19"},
		"a beginning after today":     {"2026-11-21", "", "range_invalid", "from", "its end on 2026-11-20"},
		"a day more than a year":      {"2025-11-19", "", "range_too_long", "from", "more than the 366 days"},
		"all time":                    {"0000-01-01", "9999-12-31", "range_too_long", "from", "366"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := l.Range(tt.from, tt.to)
			f, ok := errors.AsType[*fault.Error](err)
			if !ok || f.Class != fault.InvalidInput || f.Code != tt.code || f.Where != tt.where || f.Hint == "" {
				t.Fatalf("got %+v, want %s at %q with a hint", err, tt.code, tt.where)
			}
			if !strings.Contains(f.Message, tt.says) || len(f.Message) > 200 {
				t.Errorf("got %q, want %q in it", f.Message, tt.says)
			}
		})
	}
}

func TestPlusAddsUpAndKeepsThePeak(t *testing.T) {
	t.Parallel()
	a := usage.Total{
		Tenant: "ten_a", Day: "2026-11-20", Executions: 1, Attempts: 2, Fuel: 3, CPU: 4, Wall: 5, HostCalls: 6,
		InputBytes: 7, OutputBytes: 8, MemoryBytes: 9,
	}
	b := usage.Total{Tenant: "ten_b", Executions: 10, Attempts: 20, Fuel: 30, CPU: 40, Wall: 50, HostCalls: 60, InputBytes: 70, OutputBytes: 80, MemoryBytes: 8}
	want := usage.Total{
		Tenant: "ten_a", Day: "2026-11-20", Executions: 11, Attempts: 22, Fuel: 33, CPU: 44, Wall: 55, HostCalls: 66,
		InputBytes: 77, OutputBytes: 88, MemoryBytes: 9,
	}
	if diff := cmp.Diff(want, a.Plus(b)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want.MemoryBytes, b.Plus(a).MemoryBytes); diff != "" {
		t.Errorf("the peak, the other way round (-want +got):\n%s", diff)
	}
}

func TestLedgerAsksTheStore(t *testing.T) {
	t.Parallel()
	l, f := at(t, "2026-11-20T12:00:00Z")
	r := usage.Range{From: "2026-11-01", To: "2026-11-20"}
	days, err := l.Days(t.Context(), "ten_a", "ins_a", r)
	if diff := cmp.Diff([]usage.Total{{Tenant: "ten_a", Installation: "ins_a", Day: "2026-11-01"}}, days); err != nil || diff != "" {
		t.Errorf("days: %v (-want +got):\n%s", err, diff)
	}
	installations, err := l.Installations(t.Context(), "ten_a", "", r)
	if diff := cmp.Diff([]usage.Total{{Tenant: "ten_a"}}, installations); err != nil || diff != "" {
		t.Errorf("installations: %v (-want +got):\n%s", err, diff)
	}
	for asked, want := range map[int]int{0: 200, 7: 7, 201: 200, -1: 200} {
		if _, err := l.Tenants(t.Context(), r, "ten_a", asked); err != nil || f.limit != want {
			t.Errorf("a limit of %d: asked for %d with %v, want %d", asked, f.limit, err, want)
		}
	}
	f.err = fault.New(fault.Platform, "schema_too_old", "old")
	for name, ask := range map[string]func() error{
		"Days":          func() error { _, err := l.Days(t.Context(), "", "", r); return err },
		"Installations": func() error { _, err := l.Installations(t.Context(), "", "", r); return err },
		"Tenants":       func() error { _, err := l.Tenants(t.Context(), r, "", 1); return err },
	} {
		if err := ask(); !errors.Is(err, f.err) {
			t.Errorf("%s: got %v, want the store's error", name, err)
		}
	}
}
