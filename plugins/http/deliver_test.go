package main

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/connectortest"
)

func TestEventsAreSignedOverIDTimeAndBody(t *testing.T) {
	t.Parallel()
	host, there := setup(t, map[string]answer{"/v1/hooks": {status: http.StatusAccepted}}, "", secret, "bearer")
	var out DeliverOutput
	if err := host.Action("deliver", DeliverInput{Path: "/hooks", Type: "order.paid", Data: raw(`{"order":1001}`)}, &out); err != nil {
		t.Fatal(err)
	}
	signed := host.Signed()
	if len(signed) != 1 || signed[0].Connection != secret || signed[0].Algorithm != "hmac-sha256" {
		t.Fatalf("got %+v", signed)
	}
	body, found := strings.CutPrefix(string(signed[0].Payload), out.ID+"."+there.header.Get("webhook-timestamp")+".")
	if !found || len(there.requests) != 1 || there.requests[0] != "POST "+base+"/hooks "+body || !strings.HasSuffix(body, `"data":{"order":1001}}`) {
		t.Errorf("what was signed is %q, and what was sent %q", signed[0].Payload, there.requests)
	}
	want := "v1," + base64.StdEncoding.EncodeToString([]byte(connectortest.Signature(secret)))
	if got := there.header.Get("webhook-signature"); got != want || there.header.Get(headerID) != out.ID || out.Status != http.StatusAccepted {
		t.Errorf("got the signature %q of %+v, want %q", got, out, want)
	}
	if got := there.header.Get("Authorization"); got != "Bearer "+connectortest.Credential("bearer") {
		t.Errorf("the account's credential: got %q", got)
	}
}

func TestWhatIsNotSignedIsNotSent(t *testing.T) {
	t.Parallel()
	host, there := setup(t, nil, "", "bearer")
	err := host.Action("deliver", DeliverInput{Path: "/hooks", Type: "a", Data: raw(`{}`)}, nil)
	if got := codeOf(t, err); got.Code != code.NoConnection || len(there.requests) > 0 {
		t.Errorf("got %v, and %v", got, there.requests)
	}
}

func TestAReceiversRefusalIsAnError(t *testing.T) {
	t.Parallel()
	host, _ := setup(t, map[string]answer{"/v1/hooks": {status: http.StatusGone}}, "", secret)
	err := host.Action("deliver", DeliverInput{Path: "/hooks", Type: "a", Data: raw(`{}`)}, nil)
	if got := codeOf(t, err); got.Code != code.InvalidInput {
		t.Errorf("got %v", got)
	}
}

func TestWhatWasDeliveredMayBeDeliveredAgain(t *testing.T) {
	t.Parallel()
	host, _ := setup(t, nil, "", secret)
	got, err := host.Confirm(connector.Request{Method: "POST", URL: base + "/hooks", Header: connector.Header{headerID: {"exe_1"}}}, time.Now())
	if err != nil || got.Happened == nil || *got.Happened {
		t.Errorf("got %v, %v, want that it is sent again", got.Happened, err)
	}
}
