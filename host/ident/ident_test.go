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
