package outbound_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/destination"
	"github.com/cofferdam-run/cofferdam/host/outbound"
)

func TestWhatHappensArrivesSigned(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bundle) {
		t.Helper()
		mine, app := b.receiver(t), b.receiver(t)
		mine.listens(t, acme, false, "record.order", "connection.*")
		app.listens(t, destination.Operator, false, "*")
		before := b.record(t, acme, "invoice", `{"n":0}`)
		record := b.record(t, acme, "order", `{"n":1}`)
		broken := b.notice(t, acme, "con_1 broken 1")
		foreign := b.record(t, other, "order", `{"n":2}`)
		b.due(t)
		if diff := cmp.Diff([]string{record, broken}, sorted(mine.ids())); diff != "" {
			t.Errorf("the tenant got (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(sorted([]string{before, record, broken, foreign}), sorted(app.ids())); diff != "" {
			t.Errorf("the host app got (-want +got):\n%s", diff)
		}
		for _, a := range mine.all() {
			if a.ID != record {
				continue
			}
			var got, want any
			must(t, json.Unmarshal(a.Body, &got))
			must(t, json.Unmarshal(fmt.Appendf(nil, `{"type":"record.order","timestamp":"2026-11-23T12:00:00Z","data":
			  {"id":%q,"tenant":%q,"installation":"ins_1","name":"order","key":%[1]q,"record":{"n":1}}}`, record, acme), &want))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if a.Header.Get("Content-Type") != "application/json" || a.Header.Get("Webhook-Timestamp") != "1795435200" {
				t.Errorf("got the headers %v", a.Header)
			}
		}
		b.advance(time.Hour)
		b.due(t)
		if got := len(mine.all()); got != 2 {
			t.Errorf("%d arrived, want each once", got)
		}
	})
}

func sorted(all []string) []string {
	m := map[string]bool{}
	for _, s := range all {
		m[s] = true
	}
	list := []string{}
	for _, want := range []string{"evt_", "not_"} {
		var some []string
		for s := range m {
			if strings.HasPrefix(s, want) {
				some = append(some, s)
			}
		}
		for len(some) > 0 {
			least := 0
			for i := range some {
				if some[i] < some[least] {
					least = i
				}
			}
			list = append(list, some[least])
			some = append(some[:least], some[least+1:]...)
		}
	}
	return list
}

// TestTheScheduleInVirtualTime fails a message for 75 hours and 35 minutes. Whoever keeps
// time sleeps as long as the sender says.
func TestTheScheduleInVirtualTime(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bundle) {
		t.Helper()
		r := b.receiver(t)
		d := r.listens(t, acme, false, "*")
		r.answers(http.StatusInternalServerError)
		id := b.record(t, acme, "order", `{}`)
		var want []time.Duration
		for _, s := range []string{"0s", "5s", "5m5s", "35m5s", "2h35m5s", "7h35m5s", "17h35m5s", "31h35m5s", "51h35m5s", "75h35m5s"} {
			after, err := time.ParseDuration(s)
			must(t, err)
			want = append(want, after)
		}
		for b.now().Before(noon.Add(200 * time.Hour)) {
			b.advance(max(time.Millisecond, b.due(t)))
			if b.only(t, acme, d).State == outbound.Failed {
				b.advance(10 * time.Hour)
			}
		}
		var got []time.Duration
		for _, a := range r.all() {
			got = append(got, a.At.Sub(noon).Truncate(time.Second))
			if a.ID != id || a.Type != "record.order" {
				t.Errorf("got %s, %s", a.ID, a.Type)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		x := b.only(t, acme, d)
		if x.Tries != 10 || len(x.Attempts) != 10 || x.Attempts[9].Status != 500 || x.Attempts[9].Answer != "answered 500" || x.FinishedAt.IsZero() {
			t.Errorf("got %+v", x)
		}
	})
}

// TestJitterIsBounded makes the tries of many messages within a tenth after their time.
func TestJitterIsBounded(t *testing.T) {
	t.Parallel()
	b := setup(t, openSQLite)
	_, b.Sender = b.process(b.Store, "wrk_1", func(c *outbound.Config) { c.Jitter = nil })
	r := b.receiver(t)
	r.listens(t, acme, false, "*")
	r.answers(http.StatusInternalServerError)
	for range 5 {
		b.record(t, acme, "order", `{}`)
	}
	for b.now().Before(noon.Add(90 * time.Hour)) {
		b.advance(max(time.Millisecond, b.due(t)))
	}
	last := map[string]time.Time{}
	tries := map[string]int{}
	spread := map[time.Duration]bool{}
	for _, a := range r.all() {
		if n := tries[a.ID]; n > 0 {
			least := outbound.Schedule()[n-1]
			got := a.At.Sub(last[a.ID])
			if got < least || got > least+least/10+time.Second {
				t.Errorf("try %d came after %s, want %s and a tenth more at most", n+1, got, least)
			}
			spread[got] = true
		}
		last[a.ID] = a.At
		tries[a.ID]++
	}
	if len(tries) != 5 || len(spread) < 20 {
		t.Errorf("of %d messages the waits were %v", len(tries), spread)
	}
	for id, n := range tries {
		if n != 10 {
			t.Errorf("%s was tried %d times", id, n)
		}
	}
}

func TestGoneDisablesAtOnceAndEnablingGoesOn(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bundle) {
		t.Helper()
		r, app := b.receiver(t), b.receiver(t)
		d := r.listens(t, acme, false, "record.*")
		app.listens(t, destination.Operator, false, "destination.disabled")
		r.answers(http.StatusGone)
		first := b.record(t, acme, "order", `{}`)
		b.due(t)
		got, err := b.destinations.Get(t.Context(), acme, d.ID)
		must(t, err)
		if got.State != destination.Disabled || got.Reason != destination.Gone {
			t.Errorf("got %+v", got)
		}
		if a := app.all(); len(a) != 1 || a[0].Type != "destination.disabled" || !strings.Contains(string(a[0].Body), d.ID) {
			t.Errorf("the host app got %+v", a)
		}
		r.answers(http.StatusOK)
		second := b.record(t, acme, "order", `{}`)
		b.advance(time.Hour)
		b.due(t)
		if n := len(r.all()); n != 1 {
			t.Errorf("%d arrived while it was disabled", n-1)
		}
		off := false
		_, err = b.destinations.Update(t.Context(), acme, d.ID, destination.Change{Disabled: &off})
		must(t, err)
		b.due(t)
		if diff := cmp.Diff(sorted([]string{first, second}), sorted(r.ids()[1:])); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestFiveDaysOfFailuresDisable(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bundle) {
		t.Helper()
		r, app := b.receiver(t), b.receiver(t)
		d := r.listens(t, acme, false, "record.*")
		app.listens(t, destination.Operator, false, "destination.*")
		r.answers(http.StatusBadGateway)
		state := func() destination.State {
			got, err := b.destinations.Get(t.Context(), acme, d.ID)
			must(t, err)
			return got.State
		}
		for day := range 5 {
			b.record(t, acme, "order", `{}`)
			b.due(t)
			if state() != destination.Active {
				t.Fatalf("disabled on day %d", day+1)
			}
			b.advance(24 * time.Hour)
		}
		b.due(t)
		if state() != destination.Disabled {
			t.Error("it is active after five days of failures")
		}
		if got := app.all(); len(got) != 1 {
			t.Errorf("%d notices", len(got))
		}
	})
}

// A failure long after another is the first again, and one success ends the count.
func TestFewFailuresDoNotDisable(t *testing.T) {
	t.Parallel()
	b := setup(t, openSQLite)
	r := b.receiver(t)
	d := r.listens(t, acme, false, "record.*")
	for day := range 20 {
		r.answers(http.StatusInternalServerError)
		if day%4 == 3 {
			r.answers(http.StatusOK)
		}
		b.record(t, acme, "order", `{}`)
		b.due(t)
		b.advance(24 * time.Hour)
	}
	got, err := b.destinations.Get(t.Context(), acme, d.ID)
	must(t, err)
	if got.State != destination.Active {
		t.Errorf("got %+v", got)
	}
}

func TestThrottling(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status int
		header []string
		want   time.Duration
	}{
		"seconds":               {429, []string{"Retry-After", "600"}, 10 * time.Minute},
		"a date":                {504, []string{"Retry-After", noon.Add(7 * time.Minute).Format(http.TimeFormat)}, 7 * time.Minute},
		"too long":              {502, []string{"Retry-After", "999999"}, time.Hour},
		"without a time":        {429, nil, 30 * time.Second},
		"with nonsense":         {429, []string{"Retry-After", "soon"}, 30 * time.Second},
		"unavailable, for long": {503, []string{"Retry-After", "60"}, time.Minute},
		"unavailable":           {503, nil, 0},
		"of another status":     {500, []string{"Retry-After", "600"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, openSQLite)
			r := b.receiver(t)
			d := r.listens(t, acme, false, "*")
			r.answers(tt.status, tt.header...)
			b.record(t, acme, "order", `{}`)
			b.due(t)
			r.answers(http.StatusOK)
			b.record(t, acme, "order", `{}`) // Another one waits with it.
			b.due(t)
			if n := len(r.all()); (n == 1) != (tt.want > 0) {
				t.Errorf("%d arrived", n)
			}
			if tt.want == 0 {
				return
			}
			b.advance(tt.want - time.Second)
			b.due(t)
			if n := len(r.all()); n != 1 {
				t.Errorf("%d arrived before the time was over", n)
			}
			b.advance(time.Second)
			b.due(t)
			if n := len(r.all()); n != 3 {
				t.Errorf("%d arrived, want 3 once the time is over", n)
			}
			if got, err := b.destinations.Get(t.Context(), acme, d.ID); err != nil || got.State != destination.Active {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestAnOrderedDestinationIsHeldUpByItsFirst(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bundle) {
		t.Helper()
		r := b.receiver(t)
		r.listens(t, acme, true, "*")
		r.answers(http.StatusInternalServerError)
		var want []string
		for range 20 {
			want = append(want, b.record(t, acme, "order", `{}`))
			b.advance(time.Millisecond)
		}
		b.due(t)
		b.advance(time.Minute)
		b.due(t)
		if diff := cmp.Diff([]string{want[0], want[0]}, r.ids()); diff != "" {
			t.Errorf("while the first fails (-want +got):\n%s", diff)
		}
		r.answers(http.StatusOK)
		b.advance(5 * time.Minute)
		b.due(t)
		if diff := cmp.Diff(want, r.ids()[2:]); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// A message that is given up does not hold up those behind it any longer.
func TestAnOrderedDestinationGoesOnAfterTheLastTry(t *testing.T) {
	t.Parallel()
	b := setup(t, openSQLite)
	r := b.receiver(t)
	d := r.listens(t, acme, true, "*")
	first, second := b.record(t, acme, "order", `{}`), b.record(t, acme, "order", `{}`)
	r.answersWith(func(w http.ResponseWriter, q *http.Request) {
		if q.Header.Get("Webhook-Id") == first {
			w.WriteHeader(http.StatusTeapot)
		}
	})
	for b.now().Before(noon.Add(80 * time.Hour)) {
		b.advance(max(time.Millisecond, b.due(t)))
	}
	got := r.ids()
	if len(got) != 11 || got[10] != second {
		t.Errorf("got %v", got)
	}
	if x, err := b.destinations.Get(t.Context(), acme, d.ID); err != nil || !x.FailingSince.IsZero() {
		t.Errorf("got %+v, %v", x, err)
	}
}
