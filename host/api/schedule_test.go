package api_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

func TestSchedules(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{CallTimeout: 20 * time.Second})
	acme, secret := b.tenant(t, "acme")
	b.installed(t, "acme")
	in := map[string]any{"tenant": "acme"}
	one := map[string]any{"tenant": "acme", "schedule": "nightly"}

	made := b.do(t, 201, "createSchedule", in, map[string]any{
		"name": "nightly", "installation": "hello", "action": "greet", "input": map[string]any{"a": 1},
		"when": map[string]any{"cron": "30 3 * * mon-fri", "time_zone": "Europe/Berlin"}, "jitter_s": 60,
	})
	if made["state"] != "active" || made["overlap"] != "skip" || made["missed"] != "one" || made["next"] == nil {
		t.Errorf("got %v", made)
	}
	got := b.do(t, 200, "getSchedule", one, nil)
	if got["id"] != made["id"] || fmt.Sprint(got["input"]) != "map[a:1]" || got["delay_s"] != made["delay_s"] {
		t.Errorf("got %v, made %v", got, made)
	}
	// The interval that the plugin suggests.
	poll := b.do(t, 201, "createSchedule", in, map[string]any{"installation": "hello", "poll": "news", "paused": true})
	if when := poll["when"].(map[string]any); when["every"] != "5m" || poll["name"] != "news" || poll["state"] != "paused" {
		t.Errorf("got %v", poll)
	}
	items := b.do(t, 200, "listSchedules", map[string]any{"tenant": "acme", "installation": "hello", "limit": 1}, nil)
	if all := items["items"].([]any); len(all) != 1 || items["next_cursor"] == "" {
		t.Errorf("got %v", items)
	}

	times := b.do(t, 200, "previewSchedule", in, map[string]any{"when": map[string]any{"cron": "0 12 * * *", "time_zone": "America/New_York"}, "count": 2})["times"].([]any)
	if len(times) != 2 || !strings.Contains(times[0].(string), "T12:00:00-0") {
		t.Errorf("got %v", times)
	}
	if times := b.do(t, 200, "nextTicks", map[string]any{"tenant": "acme", "schedule": "nightly", "count": 3}, nil)["times"].([]any); len(times) != 3 {
		t.Errorf("got %v", times)
	}

	ran := b.do(t, 202, "runSchedule", one, nil)
	e := b.do(t, 200, "getEvent", map[string]any{"tenant": "acme", "event": ran["event"]}, nil)
	if e["kind"] != "schedule" || e["source"] != made["id"] || e["name"] != "nightly" {
		t.Errorf("got %v", e)
	}
	if x := b.do(t, 200, "getExecution", map[string]any{"tenant": "acme", "execution": ran["execution"]}, nil); !strings.Contains(fmt.Sprint(x), "action") {
		t.Errorf("got %v", x)
	}

	changed := b.do(t, 200, "updateSchedule", one, map[string]any{"when": map[string]any{"every": "15m"}, "overlap": "queue", "missed": "all", "jitter_s": 0})
	if changed["overlap"] != "queue" || changed["delay_s"] != nil || changed["last_execution"] != ran["execution"] {
		t.Errorf("got %v", changed)
	}
	if got := b.do(t, 200, "pauseSchedule", one, nil); got["state"] != "paused" {
		t.Errorf("got %v", got)
	}
	if got := b.do(t, 200, "resumeSchedule", one, nil); got["state"] != "active" {
		t.Errorf("got %v", got)
	}
	b.do(t, 204, "deleteSchedule", one, nil)
	b.do(t, 404, "getSchedule", one, nil)
	b.actsAre(t, secret, acme, "schedule.create", "schedule.run", "schedule.update", "schedule.pause", "schedule.resume", "schedule.delete")
}

// actsAre says that a tenant's part of the audit log has acts.
func (b *bundle) actsAre(t *testing.T, secret, tenant string, want ...string) {
	t.Helper()
	a := b.raw(t, "GET", "/v1/tenants/"+tenant+"/audit?limit=100", secret, "")
	if a.status != 200 {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	for _, action := range want {
		if !strings.Contains(string(a.body), `"`+action+`"`) {
			t.Errorf("%s is not in the audit log: %s", action, a.body)
		}
	}
}

func TestWhatIsNoSchedule(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	b.tenant(t, "acme")
	b.installed(t, "acme")
	hourly := map[string]any{"every": "1h"}
	b.do(t, 201, "createSchedule", map[string]any{"tenant": "acme"}, map[string]any{"installation": "hello", "poll": "news", "name": "taken"})
	for name, test := range map[string]struct {
		status      int
		body        map[string]any
		code, where string
	}{
		"nothing to call":     {422, map[string]any{"installation": "hello", "when": hourly}, "target_invalid", "/action"},
		"two things":          {422, map[string]any{"installation": "hello", "poll": "news", "action": "greet", "when": hourly}, "target_invalid", "/action"},
		"no such action":      {422, map[string]any{"installation": "hello", "action": "dance", "when": hourly}, "no_such_action", "/action"},
		"no such poll":        {422, map[string]any{"installation": "hello", "poll": "mail", "when": hourly}, "no_such_poll", "/poll"},
		"a poll with input":   {422, map[string]any{"installation": "hello", "poll": "news", "input": map[string]any{"a": 1}, "when": hourly}, "input_invalid", "/input"},
		"input of no kind":    {422, map[string]any{"installation": "hello", "action": "greet", "input": 1, "when": hourly}, "input_invalid", "/input"},
		"no installation":     {404, map[string]any{"installation": "bye", "action": "greet", "when": hourly}, "not_found", "/installation"},
		"an action, no time":  {422, map[string]any{"installation": "hello", "action": "greet"}, "when_invalid", "/when"},
		"31 February":         {422, map[string]any{"installation": "hello", "action": "greet", "when": map[string]any{"cron": "0 0 31 2 *"}}, "cron_never", "/when/cron"},
		"a zone in front":     {422, map[string]any{"installation": "hello", "action": "greet", "when": map[string]any{"cron": "TZ=UTC 0 0 1 2 *"}}, "cron_invalid", "/when/cron"},
		"a zone that is none": {422, map[string]any{"installation": "hello", "action": "greet", "when": map[string]any{"cron": "0 0 1 2 *", "time_zone": "Mars/Base"}}, "time_zone_unknown", "/when/time_zone"},
		"too often":           {422, map[string]any{"installation": "hello", "action": "greet", "when": map[string]any{"every": "1s"}}, "every_invalid", "/when/every"},
		"the past":            {422, map[string]any{"installation": "hello", "action": "greet", "when": map[string]any{"at": "2001-01-01T00:00:00Z"}}, "at_past", "/when/at"},
		"all that was missed": {422, map[string]any{"installation": "hello", "action": "greet", "when": hourly, "missed": "all"}, "missed_conflict", "/missed"},
		"a name of somebody":  {409, map[string]any{"installation": "hello", "action": "greet", "when": hourly, "name": "taken"}, "schedule_exists", "/name"},
	} {
		p := b.do(t, test.status, "createSchedule", map[string]any{"tenant": "acme"}, test.body)
		if p["code"] != test.code || !strings.Contains(fmt.Sprint(p), test.where) {
			t.Errorf("%s: got %v, want %s at %s", name, p, test.code, test.where)
		}
	}
}

// TestAPollGoesOnFromItsCursor has a real poll made by its schedule: each tick goes on
// where the one before ended, and what it found is there with the cursor.
func TestAPollGoesOnFromItsCursor(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	b := setupHost(t, api.Options{Now: now}, func(c *host.Config) {
		db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "ahead.db"), sqlite.Options{Now: now})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		if _, _, err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.Store, c.Now, c.Lease = db, now, 12*time.Hour
	})
	b.tenant(t, "acme")
	if a := b.publish(t, b.operator, runtimetest.BuildGo(t, filepath.Join("testdata", "poller")), nil); a.status != 201 {
		t.Fatalf("publish: %d %s", a.status, a.body)
	}
	in := map[string]any{"tenant": "acme"}
	b.do(t, 201, "createInstallation", in, map[string]any{"plugin": "poller"})
	made := b.do(t, 201, "createSchedule", in, map[string]any{"installation": "poller", "poll": "items"})
	tenant := made["tenant"].(string)
	for n := 1; n <= 3; n++ {
		ahead.Add(int64(time.Hour + time.Second))
		if _, err := b.h.Schedules.FireDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := b.do(t, 200, "getSchedule", map[string]any{"tenant": "acme", "schedule": "items"}, nil)
		x, err := b.h.Executions.Wait(t.Context(), tenant, s["last_execution"].(string))
		if err != nil || x.State != "succeeded" || s["fired"] != float64(n) {
			t.Fatalf("tick %d: it is %s with %v and %v; %v fired", n, x.State, x.Error, err, s["fired"])
		}
		cursor, err := b.h.Store.Cursor(t.Context(), tenant, x.Installation, "items")
		if want := fmt.Sprint(n); err != nil || string(cursor) != want {
			t.Errorf("after tick %d the cursor is %s, %v, want %s", n, cursor, err, want)
		}
		records := b.do(t, 200, "listEvents", map[string]any{"tenant": "acme", "kind": "record"}, nil)["items"].([]any)
		if len(records) != n+1 { // Of the two of each tick one was there before.
			t.Errorf("after tick %d there are %d records", n, len(records))
		}
	}
	ticks := b.do(t, 200, "listEvents", map[string]any{"tenant": "acme", "kind": "schedule"}, nil)["items"].([]any)
	if len(ticks) != 3 {
		t.Errorf("%d ticks", len(ticks))
	}
}
