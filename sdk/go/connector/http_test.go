package connector_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
)

func TestRequestsAreAskedAsTheContractSays(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		request connector.Request
		want    string
	}{
		"a plain get": {
			connector.Request{URL: "https://a.example/"},
			`http {"method":"GET","url":"https://a.example/"}`,
		},
		"json": {
			connector.Request{Connection: "crm", Method: "POST", URL: "https://a.example/", JSON: map[string]int{"n": 1}, Timeout: time.Second},
			`http {"connection":"crm","method":"POST","url":"https://a.example/","headers":{"content-type":["application/json"]},"body":"{\"n\":1}","timeout_ms":1000}`,
		},
		"json of another type": {
			connector.Request{Method: "PATCH", URL: "https://a.example/", Header: connector.Header{"Content-Type": {"application/merge-patch+json"}}, JSON: []int{}},
			`http {"method":"PATCH","url":"https://a.example/","headers":{"content-type":["application/merge-patch+json"]},"body":"[]"}`,
		},
		"text":   {connector.Request{Method: "PUT", URL: "https://a.example/", Body: []byte("é")}, `http {"method":"PUT","url":"https://a.example/","body":"é"}`},
		"binary": {connector.Request{Method: "PUT", URL: "https://a.example/", Body: []byte{0xff}}, `http {"method":"PUT","url":"https://a.example/","body_base64":"/w=="}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host := &script{answers: map[string]string{"http": `{"result":{"status":204,"headers":{}}}`}}
			mustDo(t, host, func(ctx *connector.Context) error { return ctx.HTTP.Fetch(tt.request, nil) })
			if !slices.Equal(host.asked, []string{tt.want}) {
				t.Errorf("got  %q\nwant %q", host.asked, tt.want)
			}
		})
	}
}

func TestResponsesAreDecoded(t *testing.T) {
	t.Parallel()
	host := &script{answers: map[string]string{"http": `{"result":{"status":201,"headers":{"x-id":["7","8"]},"body":"{\"n\":3}"}}`}}
	mustDo(t, host, func(ctx *connector.Context) error {
		response, err := ctx.HTTP.Do(connector.Request{URL: "https://a.example/"})
		if err != nil || response.Status != 201 || response.Header.Get("X-ID") != "7" || response.Header.Get("absent") != "" || response.Err() != nil {
			t.Errorf("got %+v, %v", response, err)
		}
		var out struct{ N int }
		if err := ctx.HTTP.Fetch(connector.Request{URL: "https://a.example/"}, &out); err != nil || out.N != 3 {
			t.Errorf("got %+v, %v", out, err)
		}
		if err := ctx.HTTP.Fetch(connector.Request{URL: "https://a.example/"}, new([]int)); failureOf(t, err).Code != code.ContractChanged {
			t.Errorf("got %v", err)
		}
		if _, err := ctx.HTTP.Do(connector.Request{JSON: func() {}}); failureOf(t, err).Code != code.PluginBug {
			t.Errorf("got %v", err)
		}
		return nil
	})
	binary := &script{answers: map[string]string{"http": `{"result":{"status":200,"headers":{},"body_base64":"/wA="}}`}}
	mustDo(t, binary, func(ctx *connector.Context) error {
		response, err := ctx.HTTP.Do(connector.Request{URL: "https://a.example/"})
		if err != nil || !slices.Equal(response.Body, []byte{0xff, 0}) {
			t.Errorf("got %+v, %v", response, err)
		}
		return nil
	})
}

func TestStatusBecomesTheErrorThatItMeans(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]code.Code{
		400: code.InvalidInput, 401: code.Auth, 403: code.Auth, 404: code.InvalidInput, 408: code.UpstreamUnavailable,
		422: code.InvalidInput, 425: code.RateLimited, 429: code.RateLimited, 500: code.UpstreamUnavailable, 503: code.UpstreamUnavailable,
	} {
		r := connector.Response{Status: status, Body: []byte(`{"message":"why"}`)}
		if got := failureOf(t, r.Err()); got.Code != want || !strings.Contains(got.Message, `{"message":"why"}`) {
			t.Errorf("%d: got %v, want %s", status, got, want)
		}
	}
	for _, status := range []int{200, 204, 304} {
		if err := (&connector.Response{Status: status}).Err(); err != nil {
			t.Errorf("%d: got %v", status, err)
		}
	}
}

func TestErrQuotesOnlyTheBeginning(t *testing.T) {
	t.Parallel()
	r := connector.Response{Status: 500, Body: []byte(strings.Repeat("é", 1<<20))}
	if got := failureOf(t, r.Err()).Message; len(got) > 400 || !strings.HasSuffix(got, "é...") {
		t.Errorf("got %d bytes: %.500q", len(got), got)
	}
}

func TestRetryAfterIsUnderstood(t *testing.T) {
	t.Parallel()
	const date = "Wed, 21 Oct 2026 07:28:00 GMT"
	tests := map[string]struct {
		header connector.Header
		want   time.Duration
	}{
		"absent":              {connector.Header{}, 0},
		"seconds":             {connector.Header{"retry-after": {"120"}}, 2 * time.Minute},
		"a negative number":   {connector.Header{"retry-after": {"-1"}}, 0},
		"a number too large":  {connector.Header{"retry-after": {"999999999999"}}, 365 * 24 * time.Hour},
		"a date":              {connector.Header{"retry-after": {"Wed, 21 Oct 2026 07:29:30 GMT"}, "date": {date}}, 90 * time.Second},
		"a date that is past": {connector.Header{"retry-after": {"Wed, 21 Oct 2026 07:00:00 GMT"}, "date": {date}}, 0},
		"a date from nowhere": {connector.Header{"retry-after": {date}}, 0},
		"nonsense":            {connector.Header{"retry-after": {"soon"}, "date": {date}}, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := connector.Response{Status: 429, Header: tt.header}
			if got := failureOf(t, r.Err()).RetryAfter; got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
