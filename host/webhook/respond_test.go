package webhook_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/webhook"
)

func TestResponses(t *testing.T) {
	t.Parallel()
	text := http.Header{"Content-Type": {"text/plain; charset=utf-8"}}
	asJSON := http.Header{"Content-Type": {"application/json"}}
	for output, want := range map[string]webhook.Response{
		``:                     {Status: 204, Header: http.Header{}},
		`{"seen":true}`:        {Status: 200, Header: asJSON, Body: []byte(`{"seen":true}`)},
		`"x"`:                  {Status: 200, Header: asJSON, Body: []byte(`"x"`)},
		`{"respond":{}}`:       {Status: 200, Header: http.Header{}},
		`{"respond":{},"a":1}`: {Status: 200, Header: asJSON, Body: []byte(`{"respond":{},"a":1}`)},
		`{"respond":{"status":422,"body":{"text":"hello"}}}`: {Status: 422, Header: asJSON, Body: []byte(`{"text":"hello"}`)},
		`{"respond":{"body":"pong"}}`:                        {Status: 200, Header: text, Body: []byte("pong")},
		`{"respond":{"body_base64":"/wA="}}`:                 {Status: 200, Header: text, Body: []byte{0xff, 0}},
		`{"respond":{"status":503,"headers":{"retry-after":"7","set-cookie":"a=b","location":"/x","content-language":"de\r\nX: y"}}}`: {
			Status: 503, Header: http.Header{"Retry-After": {"7"}},
		},
		`{"respond":{"headers":{"content-type":"text/xml"},"body":"<Response/>"}}`: {
			Status: 200, Header: http.Header{"Content-Type": {"text/xml"}}, Body: []byte("<Response/>"),
		},
		`{"respond":{"headers":{"content-type":"text/html"},"body":"<script>"}}`: {Status: 200, Header: text, Body: []byte("<script>")},
		`{"respond":{"status":302}}`:  {Status: 200, Header: asJSON, Body: []byte(`{"respond":{"status":302}}`)},
		`{"respond":{"status":199}}`:  {Status: 200, Header: asJSON, Body: []byte(`{"respond":{"status":199}}`)},
		`{"respond":{"statuss":200}}`: {Status: 200, Header: asJSON, Body: []byte(`{"respond":{"statuss":200}}`)},
		`{"respond":7}`:               {Status: 200, Header: asJSON, Body: []byte(`{"respond":7}`)},
		`{"respond":{"body":"a","body_base64":"YQ=="}}`: {
			Status: 200, Header: asJSON, Body: []byte(`{"respond":{"body":"a","body_base64":"YQ=="}}`),
		},
		`{"respond":{"body_base64":"%"}}`: {Status: 200, Header: asJSON, Body: []byte(`{"respond":{"body_base64":"%"}}`)},
	} {
		if diff := cmp.Diff(want, webhook.ResponseOf(json.RawMessage(output))); diff != "" {
			t.Errorf("%s: -want +got:\n%s", output, diff)
		}
	}
}

func FuzzResponseOf(f *testing.F) {
	for _, seed := range []string{`{"respond":{"status":200,"headers":{"content-type":"text/xml"},"body":"x"}}`, `{"respond":{"body_base64":"YQ=="}}`, `[]`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, output []byte) {
		r := webhook.ResponseOf(output)
		if r.Status < 200 || r.Status > 599 || r.Status/100 == 3 {
			t.Errorf("it answers with %d", r.Status)
		}
		for name := range r.Header {
			if name != "Content-Type" && name != "Content-Language" && name != "Retry-After" {
				t.Errorf("it answers with the header %s", name)
			}
		}
	})
}
