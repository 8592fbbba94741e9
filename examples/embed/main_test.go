package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host"
)

func TestAppServesItsOwnPagesAndCofferdams(t *testing.T) {
	t.Parallel()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx, t.TempDir(), l) }()
	base := "http://" + l.Addr().String()
	if got := get(t, base+"/"); got != "the app\n" {
		t.Errorf("the app's page: got %q", got)
	}
	if got := get(t, base+"/integrations/openapi.json"); !strings.Contains(got, `"openapi"`) {
		t.Errorf("the API's document: got %q", got)
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("run: got %v, want a clean end", err)
	}
}

func TestPlanOfNamesTheCallersTenant(t *testing.T) {
	t.Parallel()
	f := planOf()
	if !f.Granted {
		t.Error("plan_of is open to every plugin; it tells what a tenant pays")
	}
	got, err := f.Answer(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"plan":"pro","tenant":"` + host.CallerOf(t.Context()).Tenant + `"}`
	if string(text) != want {
		t.Errorf("got %s, want %s", text, want)
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	client := &http.Client{Timeout: time.Minute}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
