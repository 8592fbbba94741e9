package main

import (
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/connectortest"
)

// vendor stands in for Tidebook: it checks the token, and remembers what came.
type vendor struct {
	requests []string
	status   int
}

func (v *vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	v.requests = append(v.requests, r.Method+" "+r.URL.Path+" "+string(body))
	if r.Header.Get("Authorization") != "Bearer "+connectortest.Credential("tidebook") {
		v.status = http.StatusUnauthorized
	}
	w.WriteHeader(v.status)
	io.WriteString(w, `{"id":"c1","email":"ada@lantern.example"}`)
}

func setup(t *testing.T, status int) (*connectortest.Host, *vendor) {
	t.Helper()
	v := &vendor{status: status}
	return connectortest.New(t, tidebook(), connectortest.Options{Config: Config{APIURL: "https://tidebook.example/"}, HTTP: v}), v
}

func TestAContactIsAddedWithItsTicket(t *testing.T) {
	t.Parallel()
	host, v := setup(t, http.StatusCreated)
	var out ContactOutput
	if err := host.Action("add_contact", ContactInput{Name: "Mia Holm", Email: "mia@holm.example", Ticket: "1041"}, &out); err != nil {
		t.Fatal(err)
	}
	want := `POST /api/contacts {"email":"mia@holm.example","name":"Mia Holm","note":"Ticket 1041"}`
	if out.ID != "c1" || len(v.requests) != 1 || v.requests[0] != want || host.Tags()["ticket"] != "1041" {
		t.Errorf("got %+v, %q, %v", out, v.requests, host.Tags())
	}
}

func TestARefusedTokenIsAnAuthError(t *testing.T) {
	t.Parallel()
	host, _ := setup(t, http.StatusUnauthorized)
	var failed *connector.Error
	if err := host.Test(); !errors.As(err, &failed) || failed.Code != code.Auth {
		t.Errorf("got %v, want one that the host waits for a reconnect after", err)
	}
}

func TestTheTestLooksAndChangesNothing(t *testing.T) {
	t.Parallel()
	host, v := setup(t, http.StatusOK)
	if err := host.Test(); err != nil || len(v.requests) != 1 || v.requests[0] != "GET /api/me " {
		t.Errorf("got %v, %q", err, v.requests)
	}
}
