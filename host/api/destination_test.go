package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// inbox is a host app that gets messages.
type inbox struct {
	*httptest.Server
	got chan map[string]any
}

func newInbox(t *testing.T, secret func() string) *inbox {
	t.Helper()
	in := &inbox{got: make(chan map[string]any, 100)}
	in.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var raw json.RawMessage
		if err := json.NewDecoder(r.Body).Decode(&raw); err != nil {
			t.Error(err)
		}
		theirs, err := standardwebhooks.NewWebhook(secret())
		if err != nil {
			t.Error(err)
			return
		}
		if err := theirs.Verify(raw, r.Header); err != nil {
			t.Errorf("what arrived does not verify: %v", err)
		}
		var m map[string]any
		if err := json.Unmarshal(raw, &m); err != nil {
			t.Error(err)
		}
		in.got <- m
	}))
	t.Cleanup(in.Close)
	return in
}

// next is the next message of a type.
func (in *inbox) next(t *testing.T, kind string) map[string]any {
	t.Helper()
	for late := time.After(20 * time.Second); ; {
		select {
		case m := <-in.got:
			if m["type"] == kind {
				return m["data"].(map[string]any)
			}
		case <-late:
			t.Fatalf("no %s has arrived", kind)
		}
	}
}

// TestWhatAPollFindsArrivesAtTheApp has a record go all the way: from a connector through
// the sandbox, the commit and the outbox to a host app that verifies it.
func TestWhatAPollFindsArrivesAtTheApp(t *testing.T) {
	t.Parallel()
	b := setupHost(t, api.Options{}, func(c *host.Config) {
		c.Egress.AllowAddrs = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	b.tenant(t, "acme")
	if a := b.publish(t, b.operator, runtimetest.BuildGo(t, filepath.Join("testdata", "poller")), nil); a.status != 201 {
		t.Fatalf("publish: %d %s", a.status, a.body)
	}
	in := map[string]any{"tenant": "acme"}
	b.do(t, 201, "createInstallation", in, map[string]any{"plugin": "poller"})
	secret := "whsec_" + strings.Repeat("AAAA", 8)
	app := newInbox(t, func() string { return secret })
	made := b.do(t, 201, "createOperatorDestination", nil, map[string]any{"url": app.URL, "kinds": []string{"*"}, "name": "app", "secret": secret})
	if made["secret"] != secret || made["tenant"] != nil {
		t.Errorf("got %v", made)
	}
	if got := b.do(t, 200, "testOperatorDestination", map[string]any{"destination": "app"}, nil); got["state"] != "delivered" {
		t.Errorf("the test came to %v", got)
	}
	app.next(t, "test")
	b.do(t, 200, "callPoll", map[string]any{"tenant": "acme", "installation": "poller", "poll": "items"}, nil)
	for _, key := range []string{"k0", "k1"} {
		if m := app.next(t, "record.items"); m["key"] != key && m["key"] != "k0" && m["key"] != "k1" || m["name"] != "items" {
			t.Errorf("got %v", m)
		}
	}
	// What has arrived is settled a moment later.
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		sent := b.do(t, 200, "listOperatorDeliveries", map[string]any{"destination": "app", "state": "delivered"}, nil)["items"].([]any)
		if len(sent) == 3 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("delivered are %v", sent)
		}
	}
}
