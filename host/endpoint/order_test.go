package endpoint_test

import (
	"net/http"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/event"
)

func TestOrderKeyIsOfTheValueThatIsThere(t *testing.T) {
	t.Parallel()
	header := http.Header{"X-Customer": {"cus_7"}}
	const body = `{"data":{"customer":"cus_7","n":12345678901234567890,"on":true,"list":["a","b"],"none":null,"empty":"","a/b":"slash"}}`
	for by, value := range map[string]string{
		"":                  "",
		"/data/customer":    "cus_7",
		"/data/n":           "12345678901234567890",
		"/data/on":          "true",
		"/data/list/1":      "b",
		"/data/a~1b":        "slash",
		"/data/list":        "",
		"/data/none":        "",
		"/data/empty":       "",
		"/data/gone":        "",
		"/data":             "",
		"header:X-Customer": "cus_7",
		"header:x-customer": "cus_7",
		"header:X-Other":    "",
	} {
		e := endpoint.Endpoint{ID: "end_1", OrderBy: by}
		want := ""
		if value != "" {
			want = event.KeyOf("end_1", value)
		}
		if got := e.OrderKey(header, []byte(body)); got != want {
			t.Errorf("by %q: got the key %q, want that of %q", by, got, value)
		}
	}
	other := endpoint.Endpoint{ID: "end_2", OrderBy: "/data/customer"}
	if other.OrderKey(header, []byte(body)) == event.KeyOf("end_1", "cus_7") {
		t.Error("two endpoints share a key")
	}
}

func FuzzOrderKey(f *testing.F) {
	f.Add("/a/0", `{"a":["b"]}`)
	f.Add("header:X", `{`)
	f.Fuzz(func(t *testing.T, by, body string) {
		key := endpoint.Endpoint{ID: "end_1", OrderBy: by}.OrderKey(http.Header{"X": {body}}, []byte(body))
		if key != "" && !event.IsOrderKey(key) {
			t.Errorf("%q of %q has the key %q", by, body, key)
		}
	})
}
