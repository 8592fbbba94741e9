package egress_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

// transport answers in place of the network.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestATransportInPlaceOfTheNetworkIsHeldToTheRules(t *testing.T) {
	t.Parallel()
	var asked []string
	out := egress.New(egress.Config{Instead: transport(func(r *http.Request) (*http.Response, error) {
		asked = append(asked, r.Method+" "+r.URL.String())
		if r.URL.Path == "/down" {
			return nil, errors.New("no route")
		}
		header := http.Header{"Content-Type": {"text/plain"}}
		if r.URL.Path == "/moved" {
			header.Set("Location", "https://elsewhere.example/")
			return &http.Response{StatusCode: http.StatusFound, Header: header, Body: http.NoBody, Request: r}, nil
		}
		return &http.Response{StatusCode: http.StatusOK, Header: header, Body: io.NopCloser(strings.NewReader("declared")), Request: r}, nil
	})})
	t.Cleanup(out.Close)
	s := out.Session(egress.Permissions{Rules: []egress.Rule{rule("api.example")}})
	got, told := do(t, s, get("https://api.example/a"))
	if told != nil || got.Status != http.StatusOK || got.text() != "declared" {
		t.Errorf("got %d %q, %v", got.Status, got.text(), told)
	}
	for url, code := range map[string]hostfns.Code{
		"https://elsewhere.example/": hostfns.CodeDenied, // Not granted: nobody is asked.
		"https://api.example/moved":  hostfns.CodeDenied, // Nor is where it leads to.
		"https://api.example/down":   hostfns.CodeNetwork,
	} {
		if _, told := do(t, s, get(url)); told == nil || told.Code != code {
			t.Errorf("%s: got %v, want %s", url, told, code)
		}
	}
	for _, url := range asked {
		if strings.Contains(url, "elsewhere") {
			t.Errorf("%s was asked, which is not granted", url)
		}
	}
}
