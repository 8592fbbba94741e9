package connector_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
)

func TestConfirmAnswersWhatIsInDoubt(t *testing.T) {
	t.Parallel()
	const asked = `"function":"http","request":{"connection":"bank","method":"POST","url":"https://a.test/","headers":{"X-A":["1"]},"body":"b","timeout_ms":5,"idempotency_key":"k"},"asked_at":"2026-03-01T12:00:00Z"`
	tests := map[string]struct {
		input  string
		answer connector.Confirmation
		want   string
	}{
		"it has":           {`{` + asked + `}`, connector.Happened(&connector.Response{Status: 201, Body: []byte("made")}), `{"happened":true,"response":{"status":201,"headers":{},"body":"made"}}`},
		"it has, by value": {`{` + asked + `}`, connector.Happened(connector.Response{Status: 200}), `{"happened":true,"response":{"status":200,"headers":{}}}`},
		"it has not":       {`{` + asked + `}`, connector.NotHappened(), `{"happened":false}`},
		"nobody knows":     {`{` + asked + `}`, connector.Unsure(), `{}`},
		"of a function":    {`{"function":"charge","request":{"cents":7},"asked_at":"2026-03-01T12:00:00Z"}`, connector.Happened(map[string]int{"id": 3}), `{"happened":true,"response":{"id":3}}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got connector.Doubt
			c := connector.Connector{Name: "a", Version: "1.0.0", Confirm: func(_ *connector.Context, d connector.Doubt) (connector.Confirmation, error) {
				got = d
				return test.answer, nil
			}}
			output, err := c.Call(&script{}, "confirm", []byte(test.input))
			if err != nil || string(output) != test.want {
				t.Errorf("got %s, %v, want %s", output, err, test.want)
			}
			if !got.AskedAt.Equal(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)) {
				t.Errorf("it was asked at %v", got.AskedAt)
			}
			r := got.Request
			switch {
			case got.Function == "http" && (r.Connection != "bank" || r.Method != http.MethodPost || r.URL != "https://a.test/" || r.Header.Get("x-a") != "1" ||
				string(r.Body) != "b" || r.Timeout != 5*time.Millisecond || r.IdempotencyKey != "k"):
				t.Errorf("got the request %+v", r)
			case got.Function == "charge" && (string(got.Raw) != `{"cents":7}` || r.Method != ""):
				t.Errorf("got %s", got.Raw)
			}
		})
	}
}

func TestConfirmRefuses(t *testing.T) {
	t.Parallel()
	without := connector.Connector{Name: "a", Version: "1.0.0"}
	with := without
	with.Confirm = func(*connector.Context, connector.Doubt) (connector.Confirmation, error) {
		return connector.Unsure(), nil
	}
	for name, test := range map[string]struct {
		c     connector.Connector
		input string
	}{
		"what it does not have":    {without, `{"function":"http","request":{}}`},
		"a time that is none":      {with, `{"function":"http","request":{},"asked_at":7}`},
		"a request that is none":   {with, `{"function":"http","request":[]}`},
		"an envelope that is none": {with, `[`},
	} {
		_, err := test.c.Call(&script{}, "confirm", []byte(test.input))
		if got := failureOf(t, err); got.Code != code.InvalidInput {
			t.Errorf("%s: got %v, want invalid_input", name, got)
		}
	}
}
