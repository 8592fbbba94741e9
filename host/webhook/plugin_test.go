package webhook_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/vault/vaulttest"
	"github.com/cofferdam-run/cofferdam/host/webhook"
)

// asked is a bundle whose plugin answers.
func asked(tb testing.TB, answer func(q webhook.Question) ([]byte, error)) *bundle {
	tb.Helper()
	b := setup(tb, "github", "")
	clock := func() time.Time { return b.now }
	b.endpoints = endpoint.New(endpoint.Config{
		Store: b.store, Vault: vaulttest.New(tb), Now: clock, Scheme: webhook.NewCatalog().Scheme,
		Webhook: func(context.Context, string, string, string) (endpoint.Webhook, error) {
			return endpoint.Webhook{Installation: "ins_1", Scheme: webhook.ByPlugin}, nil
		},
	})
	b.intake = webhook.New(webhook.Config{
		Endpoints: b.endpoints, Events: b.events, Now: clock, PublicURL: "https://hooks.example/",
		Wake:   func(_ context.Context, tenant string) { b.woken = append(b.woken, tenant) },
		Verify: func(_ context.Context, q webhook.Question) ([]byte, error) { return answer(q) },
	})
	var err error
	b.endpoint, b.secret, err = b.endpoints.Create(tb.Context(), tenant, endpoint.Spec{Installation: "ins_1", Webhook: "issues"})
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func (b *bundle) plain() webhook.Delivery {
	return webhook.Delivery{Endpoint: b.endpoint.ID, Method: http.MethodPost, Path: "/hooks/" + b.endpoint.ID, Query: "a=1", Header: http.Header{"X": {"y"}}, Body: []byte("body")}
}

func TestAPluginIsAskedOfADelivery(t *testing.T) {
	t.Parallel()
	var got webhook.Question
	b := asked(t, func(q webhook.Question) ([]byte, error) {
		got = q
		return []byte(`{"accept":true,"id":"d-1","timestamp":1767323045,"more":1}`), nil
	})
	taken, err := b.intake.Receive(t.Context(), b.plain())
	if err != nil || taken.Status != http.StatusAccepted || len(b.events.kept) != 1 || b.events.kept[0].DedupeKey != "d-1" || len(b.woken) != 1 {
		t.Fatalf("got %+v, %v, stored %+v", taken, err, b.events.kept)
	}
	if got.Tenant != tenant || got.Installation != "ins_1" || got.Webhook != "issues" || got.Secret != b.secret || !got.Now.Equal(b.now) ||
		got.Method != http.MethodPost || got.URL != "https://hooks.example/hooks/"+b.endpoint.ID || got.Query != "a=1" || got.Header.Get("X") != "y" || string(got.Body) != "body" {
		t.Errorf("it was asked %+v", got)
	}
}

func TestVerdictsThatAreNone(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 2049)
	tests := map[string]struct {
		answer string
		err    error
		code   string
		status int
	}{
		"nothing":                {"", nil, "verify_failed", 401},
		"no JSON":                {"accept", nil, "verify_failed", 401},
		"a list":                 {`[true]`, nil, "verify_failed", 401},
		"an empty object":        {`{}`, nil, "verify_failed", 401},
		"accept is null":         {`{"accept":null}`, nil, "verify_failed", 401},
		"accept is a text":       {`{"accept":"true"}`, nil, "verify_failed", 401},
		"accept is a number":     {`{"accept":1}`, nil, "verify_failed", 401},
		"something behind it":    {`{"accept":true} {}`, nil, "verify_failed", 401},
		"the id is a number":     {`{"accept":true,"id":7}`, nil, "verify_failed", 401},
		"the id has a space":     {`{"accept":true,"id":"a b"}`, nil, "delivery_id_invalid", 400},
		"the id is too long":     {`{"accept":true,"id":"` + long[:257] + `"}`, nil, "delivery_id_invalid", 400},
		"it is too long":         {`{"accept":true,"message":"` + strings.Repeat(long, 8) + `"}`, nil, "verify_failed", 401},
		"a time before":          {`{"accept":true,"timestamp":1767322744}`, nil, "timestamp_out_of_range", 401},
		"a time after":           {`{"accept":true,"timestamp":1767323346}`, nil, "timestamp_out_of_range", 401},
		"a time in milliseconds": {`{"accept":true,"timestamp":1767323045000}`, nil, "timestamp_out_of_range", 401},
		"a time that is huge":    {`{"accept":true,"timestamp":1e308}`, nil, "timestamp_out_of_range", 401},
		"refused":                {`{"accept":false}`, nil, "delivery_refused", 401},
		"refused with a code":    {`{"accept":false,"code":"signature_missing"}`, nil, "signature_missing", 401},
		"refused with another":   {`{"accept":false,"code":"not_found","id":"x"}`, nil, "delivery_refused", 401},
		"a status of 500":        {`{"accept":true,"respond":{"status":500}}`, nil, "verify_failed", 401},
		"a redirect":             {`{"accept":true,"respond":{"status":302}}`, nil, "verify_failed", 401},
		"two bodies":             {`{"accept":true,"respond":{"status":200,"text":"a","json":1}}`, nil, "verify_failed", 401},
		"a long answer":          {`{"accept":true,"respond":{"status":200,"text":"` + long + `"}}`, nil, "verify_failed", 401},
		"its own fault":          {"", fault.New(fault.PluginBug, "verify_failed", "it trapped"), "verify_failed", 401},
		"too many at once":       {"", fault.New(fault.RateLimited, "verify_busy", "wait"), "verify_busy", 429},
		"ours":                   {"", errors.New("no database"), "verify_unavailable", 503},
		"no such version":        {"", fault.NotFound("version", "x"), "verify_unavailable", 503},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := asked(t, func(webhook.Question) ([]byte, error) { return []byte(tt.answer), tt.err })
			b.refused(t, b.plain(), tt.code, tt.status)
		})
	}
}

func TestWithoutAPlugin(t *testing.T) {
	t.Parallel()
	b := asked(t, func(webhook.Question) ([]byte, error) { return []byte(`{"accept":true}`), nil })
	alone := webhook.New(webhook.Config{Endpoints: b.endpoints, Events: b.events, Now: func() time.Time { return b.now }})
	if _, err := alone.Receive(t.Context(), b.plain()); fault.Status(fault.From(err)) != 503 {
		t.Errorf("got %v", err)
	}
	get := b.plain()
	get.Method = http.MethodGet
	b.refused(t, get, "handshake_refused", 401)
	for _, secret := range []string{"short", "with\x00zero-in-it", strings.Repeat("x", 4097)} {
		if _, _, err := b.endpoints.Rotate(t.Context(), tenant, b.endpoint.ID, secret, 0); fault.From(err) == nil {
			t.Errorf("the secret %.20q was taken", secret)
		}
	}
	if _, err := b.endpoints.Update(t.Context(), tenant, b.endpoint.ID, endpoint.Change{Parameters: map[string]string{"a": "b"}}); fault.From(err) == nil {
		t.Error("parameters were taken")
	}
}

func TestRefusalsAreRemembered(t *testing.T) {
	t.Parallel()
	b := asked(t, func(q webhook.Question) ([]byte, error) { return append([]byte(nil), q.Body...), nil })
	send := func(body string) {
		d := b.plain()
		d.Body = []byte(body)
		_, _ = b.intake.Receive(t.Context(), d)
	}
	if all := b.intake.Refused(b.endpoint.ID); all == nil || len(all) != 0 {
		t.Errorf("before any: %v", all)
	}
	send(`{"accept":false}`)
	b.now = b.now.Add(time.Minute)
	send(`{"accept":false,"message":"second"}`)
	send(`{"accept":false,"code":"signature_invalid"}`)
	send(`{"accept":true}`)
	all := b.intake.Refused(b.endpoint.ID)
	if len(all) != 2 || all[0].Code != "delivery_refused" || all[0].Count != 2 || all[0].Last.Sub(all[0].First) != time.Minute || !strings.Contains(all[0].Reason, "second") || all[1].Count != 1 {
		t.Errorf("got %+v", all)
	}
	b.now = b.now.Add(time.Hour)
	if all := b.intake.Refused(b.endpoint.ID); len(all) != 0 {
		t.Errorf("an hour later: %+v", all)
	}
	send(`{"accept":false}`)
	if all := b.intake.Refused(b.endpoint.ID); len(all) != 1 || all[0].Count != 1 {
		t.Errorf("after that: %+v", all)
	}
}

func TestAnswersAreMeasuredByWhatTheyAre(t *testing.T) {
	t.Parallel()
	b := asked(t, nil)
	metrics := prometheus.NewRegistry()
	b.intake = webhook.New(webhook.Config{
		Endpoints: b.endpoints, Events: b.events, Now: func() time.Time { return b.now }, Registerer: metrics,
		Verify: func(_ context.Context, q webhook.Question) ([]byte, error) {
			if string(q.Body) == "ours" {
				return nil, errors.New("no database")
			}
			return q.Body, nil
		},
	})
	for _, body := range []string{`{"accept":true,"id":"1"}`, `{"accept":true,"id":"1"}`, `{"accept":false}`, `{"accept":true,"respond":{"status":200}}`, "ours", `{"accept":true,"id":"2"}`} {
		d := b.plain()
		d.Body = []byte(body)
		_, _ = b.intake.Receive(t.Context(), d)
	}
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]uint64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "cofferdam_webhook_seconds" {
				got[m.GetLabel()[0].GetValue()] = m.GetHistogram().GetSampleCount()
			}
		}
	}
	want := map[string]uint64{"accepted": 2, "duplicate": 1, "refused": 1, "handshake": 1, "failed": 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func FuzzVerdict(f *testing.F) {
	for _, seed := range []string{`{"accept":true,"id":"d"}`, `{"accept":false,"code":"x"}`, `{"accept":true,"respond":{"status":200,"json":{"a":1}}}`, `{"accept":true,"timestamp":1}`} {
		f.Add([]byte(seed))
	}
	b := asked(f, func(q webhook.Question) ([]byte, error) { return q.Body, nil })
	f.Fuzz(func(t *testing.T, answer []byte) {
		d := b.plain()
		d.Body = answer
		before := len(b.events.kept)
		taken, err := b.intake.Receive(t.Context(), d)
		stored := len(b.events.kept) - before
		switch {
		case err != nil && (stored != 0 || fault.From(err).Code == fault.CodeInternal):
			t.Errorf("%q: %v, %d stored", answer, err, stored)
		case taken.Handshake != nil && (stored != 0 || taken.Status/100 != 2):
			t.Errorf("%q: answered %+v, %d stored", answer, taken, stored)
		}
	})
}
