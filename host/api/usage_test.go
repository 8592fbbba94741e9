package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/usage"
)

// totals reads an answer's.
func totals(t *testing.T, a answer) (items []usage.Total, next string) {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	var p struct {
		Items []usage.Total `json:"items"`
		Next  string        `json:"next_cursor"`
	}
	decode(t, a.body, &p)
	return p.Items, p.Next
}

func TestUsageIsWhatTheTracesShow(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{CallTimeout: 20 * time.Second})
	acme, secret := b.tenant(t, "acme")
	globex, _ := b.tenant(t, "globex")
	installed := b.installed(t, acme)
	began := usage.DateOf(time.Now())
	var want usage.Total
	for range 3 {
		call := b.do(t, 200, "callAction", map[string]any{"tenant": acme, "installation": installed, "action": "greet"}, map[string]any{})
		a := b.raw(t, http.MethodGet, "/v1/tenants/acme/executions/"+call["execution"].(string)+"/trace", b.operator, "")
		var trace execution.Trace
		decode(t, a.body, &trace)
		for _, at := range trace.Attempts {
			u := at.Usage
			want = want.Plus(usage.Total{
				Executions: 1, Attempts: 1, Fuel: u.Fuel, CPU: u.CPU, Wall: u.Wall, HostCalls: int64(u.HostCalls),
				InputBytes: int64(u.InputBytes), OutputBytes: int64(u.OutputBytes), MemoryBytes: u.MemoryBytes,
			})
		}
	}
	if want.Wall == 0 || want.Fuel == 0 || want.Attempts != 3 {
		t.Fatalf("the traces show no usage: %+v", want)
	}
	want.Tenant = acme
	of := func(day usage.Date, installation string) usage.Total {
		w := want
		w.Day, w.Installation = day, installation
		return w
	}
	if usage.DateOf(time.Now()) != began {
		t.Skip("midnight has passed meanwhile: there are two days")
	}
	nothing := usage.Total{Tenant: globex}
	for name, tt := range map[string]struct {
		path, secret string
		want         []usage.Total
	}{
		"by day":                      {"/v1/tenants/acme/usage", b.operator, []usage.Total{of(began, "")}},
		"to the tenant itself":        {"/v1/tenants/me/usage?by=day", secret, []usage.Total{of(began, "")}},
		"of an installation":          {"/v1/tenants/me/usage?installation=hello", secret, []usage.Total{of(began, "")}},
		"by installation":             {"/v1/tenants/me/usage?by=installation", secret, []usage.Total{of("", installed)}},
		"of one by installation":      {"/v1/tenants/me/usage?by=installation&installation=" + installed, secret, []usage.Total{of("", installed)}},
		"of days that are over":       {"/v1/tenants/me/usage?from=2020-01-01&to=2020-12-31", secret, []usage.Total{}},
		"of another's installation":   {"/v1/tenants/globex/usage?installation=" + installed, b.operator, []usage.Total{}},
		"of a tenant that is idle":    {"/v1/tenants/globex/usage?by=installation", b.operator, []usage.Total{}},
		"to the operator, by tenant":  {"/v1/usage", b.operator, []usage.Total{of("", ""), nothing}},
		"to the operator, of a while": {"/v1/usage?from=2020-01-01&to=2020-12-31", b.operator, []usage.Total{{Tenant: acme}, nothing}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, _ := totals(t, b.raw(t, http.MethodGet, tt.path, tt.secret, ""))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	t.Run("as the document says", func(t *testing.T) {
		t.Parallel()
		b.do(t, 200, "showUsage", map[string]any{"tenant": "acme", "by": "installation", "from": string(began), "to": string(began)}, nil)
		b.do(t, 200, "listUsage", map[string]any{"limit": 1}, nil)
	})
	t.Run("in the metrics", func(t *testing.T) {
		t.Parallel()
		a := b.raw(t, http.MethodGet, "/metrics", "", "")
		for _, name := range []string{"\ncofferdam_guest_fuel_total ", "\ncofferdam_guest_cpu_seconds_total "} {
			if !strings.Contains(string(a.body), name) {
				t.Errorf("%q is not in\n%s", name, a.body)
			}
		}
	})
}

func TestUsageOfTenantsIsPaged(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	want := map[string]bool{}
	for _, name := range []string{"one", "two", "three"} {
		id, _ := b.tenant(t, name)
		want[id] = true
	}
	got := map[string]bool{}
	for cursor, pages := "", 0; ; pages++ {
		items, next := totals(t, b.raw(t, http.MethodGet, "/v1/usage?limit=1&cursor="+cursor, b.operator, ""))
		for _, u := range items {
			got[u.Tenant] = true
		}
		if cursor = next; cursor == "" || pages > 3 {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tenants (-want +got):\n%s", diff)
	}
}

func TestBadQuestionsAboutUsage(t *testing.T) {
	t.Parallel()
	b := setupHost(t, api.Options{}, func(c *host.Config) {
		c.Now = func() time.Time { return time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC) }
	})
	_, acme := b.tenant(t, "acme")
	for _, tt := range []struct {
		query string
		bad
	}{
		{"from=yesterday", bad{"a word for a date", 422, "date_invalid", "from", `"yesterday"`, "2026-11-20"}},
		{"to=2026-02-30", bad{"a day that is not", 422, "date_invalid", "to", `"2026-02-30"`, "calendar"}},
		{"to=20261120", bad{"a date in another form", 422, "date_invalid", "to", `"20261120"`, "2026-11-20"}},
		{"from=2026-11-20&to=2026-11-19", bad{"an end before the beginning", 422, "range_invalid", "from", "2026-11-19", "must not be after"}},
		{"from=2026-11-21", bad{"a beginning after today", 422, "range_invalid", "from", "2026-11-20", "today"}},
		{"from=2025-11-19&to=2026-11-20", bad{"more than a year", 422, "range_too_long", "from", "366 days", "one year after the other"}},
		{"installation=nobody", bad{"an installation that is not there", 404, "not_found", "", `"nobody"`, "Check the id or name"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.check(t, b.raw(t, http.MethodGet, "/v1/tenants/me/usage?"+tt.query, acme, ""))
			if tt.status == 422 {
				tt.check(t, b.raw(t, http.MethodGet, "/v1/usage?"+tt.query, b.operator, ""))
			}
		})
	}
	for path, secret := range map[string]string{
		"/v1/tenants/me/usage?by=month": acme, "/v1/tenants/me/usage?since=2026-11-20": acme,
		"/v1/usage?by=day": b.operator, "/v1/usage?limit=0": b.operator, "/v1/usage?cursor=x": b.operator,
	} {
		if a := b.raw(t, http.MethodGet, path, secret, ""); a.status != 422 {
			t.Errorf("%s: status %d, want 422: %s", path, a.status, a.body)
		}
	}
}
