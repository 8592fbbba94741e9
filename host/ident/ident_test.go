package ident_test

import (
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/ident"
)

func TestNew(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	first, second, later := ident.New(ident.Tenant, at), ident.New(ident.Tenant, at), ident.New(ident.Tenant, at.Add(time.Millisecond))
	if !strings.HasPrefix(first, "ten_") || len(first) != 30 {
		t.Errorf("got %s, want ten_ and 26 characters", first)
	}
	if first == second {
		t.Errorf("got %s twice", first)
	}
	if later <= first || later <= second {
		t.Errorf("got %s after %s and %s: ids must sort by time", later, first, second)
	}
}

func TestDerive(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	old := at.AddDate(-1, 0, 0)
	first, beside, later := ident.New(ident.Event, old), ident.New(ident.Event, old), ident.New(ident.Event, old.Add(16*time.Millisecond))
	of := func(from string, parts ...string) string { return ident.Derive(ident.Execution, at, from, parts...) }
	if one, again := of(first, "job_1"), of(first, "job_1"); one != again {
		t.Errorf("it is %s and then %s", one, again)
	}
	for _, other := range []string{of(first, "job_2"), of(beside, "job_1"), of(first, "job_", "1"), of("job_1", first)} {
		if other == of(first, "job_1") {
			t.Errorf("%s is that of others, too", other)
		}
	}
	if a, b := of(beside, "job_1"), of(later, "job_1"); a >= b {
		t.Errorf("%s does not come before %s: they must sort as what they follow from", a, b)
	}
	for day := range 365 * 2 {
		before := ident.New(ident.Event, at.AddDate(0, 0, -day-1))
		if a, b := of(before), of(ident.New(ident.Event, at.AddDate(0, 0, -day))); a >= b {
			t.Fatalf("%d days before: %s does not come before %s", day, a, b)
		}
	}
	if made, ok := ident.Time(of(first)); !ok || !made.Equal(at) {
		t.Errorf("it is of %v, not of %v", made, at)
	}
}
