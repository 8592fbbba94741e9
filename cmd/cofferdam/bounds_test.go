package main

import (
	"bytes"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/pace"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

func TestAServerTakesNoMoreThanItIsTold(t *testing.T) {
	t.Parallel()
	p := startServer(t, t.TempDir(), "COFFERDAM_INGEST_BYTES=5MiB", "COFFERDAM_HEADER_BYTES=8KiB")
	c := clientOf(t, p, p)
	wasm := runtimetest.Outputs(map[string]string{
		"describe": `{"name":"tiny","version":"1.0.0","webhooks":[{"name":"issues","scheme":"github"}]}`, "webhook": `{}`,
	})
	if err := c.send(t.Context(), http.MethodPost, "/v1/plugins", "application/wasm", bytes.NewReader(wasm), nil); err != nil {
		t.Fatal(err)
	}
	var e endpointSecret
	for _, step := range []struct {
		path string
		body any
		out  any
	}{
		{"/v1/tenants", map[string]any{"name": "acme"}, nil},
		{"/v1/tenants/acme/installations", map[string]any{"plugin": "tiny"}, nil},
		{"/v1/tenants/acme/endpoints", map[string]any{"installation": "tiny", "webhook": "issues", "limits": map[string]int{"max_bytes": 10 << 20}}, &e},
	} {
		if err := c.call(t.Context(), http.MethodPost, step.path, step.body, step.out); err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct{ header, body, want int }{
		"a delivery that fits":     {1 << 10, 4 << 20, http.StatusUnauthorized}, // Nobody has signed it.
		"a body that does not fit": {1 << 10, 6 << 20, http.StatusServiceUnavailable},
		"headers that do not fit":  {16 << 10, 1, http.StatusRequestHeaderFieldsTooLarge},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.URL()+"/hooks/"+e.ID, bytes.NewReader(make([]byte, tt.body)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Long", strings.Repeat("x", tt.header))
		answer, err := c.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != tt.want {
			t.Errorf("%s is answered %s, want %d", name, answer.Status, tt.want)
		}
	}
}

func TestPaceIsAsTheSettingsSay(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		says boundSettings
		want host.Pace
		ok   bool
	}{
		"nothing": {ok: true},
		"all": {
			says: boundSettings{
				PaceWait: 2 * time.Second, PaceWaiters: 3, BreakerShare: 0.25, BreakerRequests: 4, BreakerWindow: time.Minute,
				BreakerFirst: time.Second, BreakerMost: time.Minute, BreakerPatience: 5 * time.Second,
			},
			want: host.Pace{Wait: 2 * time.Second, Waiters: 3, Breaker: pace.BreakerConfig{
				Share: 0.25, Requests: 4, Window: time.Minute, First: time.Second, Most: time.Minute, Patience: 5 * time.Second,
			}},
			ok: true,
		},
		"no breaker":                     {says: boundSettings{BreakerShare: -1}, want: host.Pace{Breaker: pace.BreakerConfig{Share: -1}}, ok: true},
		"a share that is none":           {says: boundSettings{BreakerShare: math.NaN()}},
		"shorter at most than at first":  {says: boundSettings{BreakerMost: time.Second}},
		"a time before the first":        {says: boundSettings{BreakerWindow: -1}},
		"fewer than no requests at once": {says: boundSettings{PaceWaiters: -1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := (&app{settings: &settings{boundSettings: tt.says}}).pace()
			if got != tt.want || (err == nil) != tt.ok {
				t.Errorf("got %+v and %v, want %+v, and an error: %t", got, err, tt.want, !tt.ok)
			}
		})
	}
}
