package notice_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/notice"
	"github.com/cofferdam-run/cofferdam/host/webhook"
)

// got is what was delivered.
type got struct {
	header http.Header
	body   []byte
}

func hooked(t *testing.T, status int) (chan got, notice.HookConfig) {
	t.Helper()
	arrived := make(chan got, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		arrived <- got{r.Header, body}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
	}))
	t.Cleanup(server.Close)
	secret, err := webhook.NewSecret("standard-webhooks")
	if err != nil {
		t.Fatal(err)
	}
	return arrived, notice.HookConfig{URL: server.URL + "/notices", Secret: secret, Transport: server.Client().Transport, Now: time.Now}
}

func broken() notice.Notice {
	return notice.Notice{
		ID: "not_1", Tenant: "ten_a", Kind: notice.ConnectionBroken, Subject: "con_1 broken", Connection: "con_1", Name: "hubspot",
		Error: fault.New(fault.Auth, "auth", "the user took it back"), At: time.Unix(1, 0).UTC(), CreatedAt: time.Unix(2, 0).UTC(),
	}
}

func TestAHookGetsWhatItCanVerify(t *testing.T) {
	t.Parallel()
	arrived, c := hooked(t, http.StatusNoContent)
	notify, err := notice.Hook(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := notify(t.Context(), broken()); err != nil {
		t.Fatal(err)
	}
	a := <-arrived
	// What the other side computes of what it got is what was sent.
	want, err := webhook.Sign("standard-webhooks", c.Secret, a.header.Get("Webhook-Id"), unix(t, a.header.Get("Webhook-Timestamp")), a.body)
	if err != nil || a.header.Get("Webhook-Id") != "not_1" || a.header.Get("Webhook-Signature") != want.Get("Webhook-Signature") || a.header.Get("Content-Type") != "application/json" {
		t.Errorf("got %v, %v, want the signature %q", a.header, err, want.Get("Webhook-Signature"))
	}
	var said struct {
		Type      string        `json:"type"`
		Timestamp time.Time     `json:"timestamp"`
		Data      notice.Notice `json:"data"`
	}
	if err := json.Unmarshal(a.body, &said); err != nil || said.Type != "connection_broken" || !said.Timestamp.Equal(time.Unix(2, 0)) {
		t.Errorf("got %s, %v", a.body, err)
	}
	if diff := cmp.Diff(broken(), said.Data); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func unix(t *testing.T, seconds string) time.Time {
	t.Helper()
	var n json.Number
	if err := json.Unmarshal([]byte(seconds), &n); err != nil {
		t.Fatalf("%q: %v", seconds, err)
	}
	s, err := n.Int64()
	if err != nil {
		t.Fatal(err)
	}
	return time.Unix(s, 0)
}

func TestAHookThatDoesNotTakeItIsAskedAgain(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusFound, http.StatusTemporaryRedirect, http.StatusBadRequest, http.StatusInternalServerError} {
		arrived, c := hooked(t, status)
		notify, err := notice.Hook(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := notify(t.Context(), broken()); err == nil || !strings.Contains(err.Error(), http.StatusText(status)) || len(arrived) != 1 {
			t.Errorf("%d: got %v after %d requests, want an error after one", status, err, len(arrived))
		}
	}
	_, c := hooked(t, 200)
	c.URL = "http://127.0.0.1:1/notices?key=s3cret"
	notify, err := notice.Hook(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := notify(t.Context(), broken()); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %v, want an error without what is in the URL", err)
	}
}

func TestHooksThatAreNone(t *testing.T) {
	t.Parallel()
	_, good := hooked(t, 200)
	for name, change := range map[string]func(*notice.HookConfig){
		"no URL":                 func(c *notice.HookConfig) { c.URL = "" },
		"no scheme":              func(c *notice.HookConfig) { c.URL = "app.example.com/notices" },
		"another scheme":         func(c *notice.HookConfig) { c.URL = "ftp://app.example.com" },
		"a user name":            func(c *notice.HookConfig) { c.URL = "https://me:pw@app.example.com" },
		"no secret":              func(c *notice.HookConfig) { c.Secret = "" },
		"a secret without whsec": func(c *notice.HookConfig) { c.Secret = c.Secret[6:] },
	} {
		c := good
		change(&c)
		if _, err := notice.Hook(c); err == nil || strings.Contains(err.Error(), good.Secret[6:]) {
			t.Errorf("%s: got %v, want to be told what is wrong", name, err)
		}
	}
}
