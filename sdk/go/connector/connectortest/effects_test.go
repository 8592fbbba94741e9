package connectortest_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/connectortest"
)

// shop is a connector whose one action does f.
func shop(f func(ctx *connector.Context) error) connector.Connector {
	c := sample(f)
	c.Egress = []connector.Egress{{Host: "api.example.com", Methods: []string{"GET", "POST", "PUT"}}, {Host: "a.example.org", Methods: []string{"POST"}}}
	c.Idempotency = []connector.Idempotency{{Host: "api.example.com", Header: "Idempotency-Key", TTL: 24 * time.Hour}}
	return c
}

func TestIdempotencyKeysAreSet(t *testing.T) {
	t.Parallel()
	const url = "https://api.example.com/orders"
	var keys []string
	api := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		keys = append(keys, r.Method+" "+r.Header.Get("Idempotency-Key"))
	})
	refusals := map[string]connector.Request{
		"of a read":            {URL: url, IdempotencyKey: "a"},
		"of another host":      {Method: "POST", URL: "https://a.example.org/", IdempotencyKey: "a"},
		"in the header itself": {Method: "POST", URL: url, Header: connector.Header{"Idempotency-Key": {"mine"}}},
		"of another request":   {Method: "POST", URL: url, Body: []byte("another"), IdempotencyKey: "named"},
	}
	host := connectortest.New(t, shop(func(ctx *connector.Context) error {
		for _, r := range []connector.Request{
			{Method: "POST", URL: url, Body: []byte("1")},
			{Method: "POST", URL: url, Body: []byte("1")},
			{Method: "POST", URL: url, Body: []byte("2"), IdempotencyKey: "named"},
			{Method: "PUT", URL: url, IdempotencyKey: "put"},
			{Method: "PUT", URL: url},
			{URL: url},
			{Method: "POST", URL: "https://a.example.org/"},
		} {
			if _, err := ctx.HTTP.Do(r); err != nil {
				t.Error(err)
			}
		}
		for name, r := range refusals {
			var refused *connector.Error
			if _, err := ctx.HTTP.Do(r); !errors.As(err, &refused) || refused.Code != code.InvalidRequest {
				t.Errorf("%s: got %v, want invalid_request", name, err)
			}
		}
		return nil
	}), connectortest.Options{HTTP: api})
	if err := host.Action("do", struct{}{}, nil); err != nil {
		t.Fatal(err)
	}
	execution := "exe_" + strings.Repeat("0", 25) + "1"
	first, second := keys[0], keys[1]
	if !strings.HasPrefix(first, "POST "+execution+"/h-") || strings.TrimSuffix(first, "1")+"2" != second {
		t.Errorf("got %q and %q of identical requests", first, second)
	}
	want := []string{"POST " + execution + "/named", "PUT " + execution + "/put", "PUT ", "GET ", "POST "}
	if !slices.Equal(keys[2:], want) {
		t.Errorf("got %q, want %q", keys[2:], want)
	}
}

func TestStartAgainKeepsWhatWasDone(t *testing.T) {
	t.Parallel()
	at := time.Now().Add(time.Hour)
	var pages []int
	host := connectortest.New(t, sample(func(ctx *connector.Context) error {
		page := 0
		if _, err := ctx.Checkpoint(&page); err != nil {
			return err
		}
		pages = append(pages, page)
		if page == 2 {
			return nil
		}
		if err := ctx.State.Set("page", page); err != nil {
			return err
		}
		if err := ctx.Emit("page", "", page); err != nil {
			return err
		}
		return ctx.StartAgainAt(at, page+1)
	}), connectortest.Options{})
	for range 2 {
		var again *connectortest.StartsAgain
		if err := host.Action("do", struct{}{}, nil); !errors.As(err, &again) || !again.At.Equal(at) {
			t.Fatalf("got %v, want it to start again", err)
		}
	}
	if err := host.Action("do", struct{}{}, nil); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(pages, []int{0, 1, 2}) || string(host.State()["page"]) != "1" || len(host.Emitted()) != 2 {
		t.Errorf("got pages %v, state %s, %d records", pages, host.State(), len(host.Emitted()))
	}
	if host.Slept() < 119*time.Minute {
		t.Errorf("it slept for %v", host.Slept())
	}
	if err := host.Action("do", struct{}{}, nil); err == nil || pages[3] != 0 {
		t.Errorf("the checkpoint is still there: %v, %v", err, pages)
	}
}

func TestConfirmLooksAndChangesNothing(t *testing.T) {
	t.Parallel()
	c := shop(nil)
	c.Confirm = func(ctx *connector.Context, d connector.Doubt) (connector.Confirmation, error) {
		var found struct{ ID string }
		if err := ctx.HTTP.Fetch(connector.Request{Connection: d.Request.Connection, URL: d.Request.URL}, &found); err != nil {
			return connector.Unsure(), err
		}
		for name, err := range map[string]error{
			"a POST":  func() error { _, err := ctx.HTTP.Do(d.Request); return err }(),
			"a write": ctx.State.Set("a", 1),
			"a tag":   ctx.Tag("a", "b"),
		} {
			var refused *connector.Error
			if !errors.As(err, &refused) || refused.Code != code.Denied {
				t.Errorf("%s: got %v, want denied", name, err)
			}
		}
		ctx.Log.Info("looked")
		if found.ID == "" {
			return connector.NotHappened(), nil
		}
		return connector.Happened(connector.Response{Status: 201, Body: []byte(found.ID)}), nil
	}
	answer := `{"id":"o1"}`
	host := connectortest.New(t, c, connectortest.Options{HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.Header.Get("Authorization") == "" {
			t.Errorf("got %s, authorized by %q", r.Method, r.Header.Get("Authorization"))
		}
		_, _ = w.Write([]byte(answer))
	})})
	doubt := connector.Request{Connection: "bearer", Method: "POST", URL: "https://api.example.com/orders/1", JSON: map[string]int{"n": 1}}
	got, err := host.Confirm(doubt, time.Now())
	if err != nil || got.Happened == nil || !*got.Happened || string(got.Response) != `{"status":201,"headers":{},"body":"o1"}` {
		t.Errorf("got %+v, %v, want that it has happened", got, err)
	}
	answer = `{}`
	if got, err = host.Confirm(doubt, time.Now()); err != nil || got.Happened == nil || *got.Happened {
		t.Errorf("got %+v, %v, want that it has not", got, err)
	}
}
