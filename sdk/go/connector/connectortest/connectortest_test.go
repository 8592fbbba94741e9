package connectortest_test

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/connectortest"
)

type config struct {
	URL string `json:"url" default:"https://api.example.com/v1"`
}

type getInput struct {
	Connection string `json:"connection,omitempty"`
	Method     string `json:"method,omitempty"`
	URL        string `json:"url"`
	Body       []byte `json:"body,omitempty"`
}

// sample is a connector whose one action does f, and whose other parts are
// there to be called.
func sample(f func(ctx *connector.Context) error) connector.Connector {
	hosts := []string{"api.example.com", "*.example.org", "local.example:8443", "{config.url}"}
	return connector.Connector{
		Name: "sample", Version: "0.1.0", Config: config{},
		Connections: []connector.Connection{
			{Name: "bearer", Type: connector.Bearer, Hosts: hosts},
			{Name: "basic", Type: connector.Basic, Hosts: hosts},
			{Name: "header", Type: connector.APIKey, Header: "X-Api-Key", Hosts: hosts},
			{Name: "query", Type: connector.APIKey, Query: "key", Hosts: hosts},
			{Name: "agreed", Type: connector.OAuth2, Provider: "acme"},
			{Name: "narrow", Type: connector.Bearer, Hosts: []string{"a.example.org"}},
		},
		Egress: []connector.Egress{
			{Host: "api.example.com", Methods: []string{"GET", "POST"}},
			{Host: "*.example.org", Methods: []string{"GET"}},
			{Host: "local.example:8443", Methods: []string{"GET"}},
			{Host: "{config.url}", Methods: []string{"GET"}},
		},
		Actions: []connector.Action{
			{Name: "do", Run: connector.Func(func(ctx *connector.Context, _ struct{}) (struct{}, error) { return struct{}{}, f(ctx) })},
			{Name: "get", Run: connector.Func(func(ctx *connector.Context, in getInput) (string, error) {
				r, err := ctx.HTTP.Do(connector.Request{Connection: in.Connection, Method: in.Method, URL: in.URL, Body: in.Body})
				if err != nil {
					return "", err
				}
				return string(r.Body), nil
			})},
		},
		Webhooks: []connector.Webhook{{Name: "hook", Scheme: "github", Run: func(_ *connector.Context, d connector.Delivery) (any, error) {
			return d.ID + " " + d.Header.Get("x-kind") + " " + string(d.Body), nil
		}}},
		Polls: []connector.Poll{{Name: "poll", Run: connector.PollFunc(func(_ *connector.Context, since int) (connector.Page[int], error) {
			return connector.Page[int]{Cursor: since + 1, Records: []connector.Record{{Key: "k", Data: since}}}, nil
		})}},
		Test: f,
	}
}

func setup(t *testing.T, options connectortest.Options, f func(ctx *connector.Context) error) *connectortest.Host {
	t.Helper()
	return connectortest.New(t, sample(f), options)
}

// echo answers with what it was asked.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	auth := r.Header.Get("Authorization") + r.Header.Get("X-Api-Key")
	io.WriteString(w, strings.TrimSpace(r.Method+" "+r.URL.String()+" "+auth+" "+string(body)))
})

func codeOf(t *testing.T, err error) code.Code {
	t.Helper()
	var e *connector.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want a *connector.Error", err)
	}
	return e.Code
}

func TestConnectionsHaveTheFieldsThatTheTestGivesThem(t *testing.T) {
	t.Parallel()
	var got struct {
		ID string `json:"id"`
	}
	fields := map[string]any{"crm": map[string]string{"id": "a-1"}}
	host := setup(t, connectortest.Options{Fields: fields, Connections: []string{"crm"}}, func(ctx *connector.Context) error {
		return ctx.Connection("crm", &got)
	})
	if err := host.Test(); err != nil || got.ID != "a-1" {
		t.Errorf("got %q, %v", got.ID, err)
	}
	host = setup(t, connectortest.Options{Connections: []string{}, Fields: fields}, func(ctx *connector.Context) error {
		return ctx.Connection("crm", &got)
	})
	if err := host.Test(); codeOf(t, err) != code.NoConnection {
		t.Errorf("one that is not granted: got %v", err)
	}
}

func TestEveryExportCanBeCalled(t *testing.T) {
	t.Parallel()
	host := setup(t, connectortest.Options{HTTP: echo, Attempt: 3}, func(ctx *connector.Context) error {
		if ctx.Attempt != 3 || ctx.Execution == "" {
			return connector.Errorf("odd", "attempt %d of %q", ctx.Attempt, ctx.Execution)
		}
		return nil
	})
	if err := host.Test(); err != nil {
		t.Error(err)
	}
	var got string
	if err := host.Action("get", getInput{URL: "https://api.example.com/x", Method: "POST", Body: []byte("b")}, &got); err != nil || got != "POST https://api.example.com/x  b" {
		t.Errorf("action: got %q, %v", got, err)
	}
	output, err := host.Webhook("hook", connector.Delivery{ID: "d1", Header: connector.Header{"X-Kind": {"k"}}, Body: []byte("text")})
	if err != nil || string(output) != `"d1 k text"` {
		t.Errorf("webhook: got %s, %v", output, err)
	}
	page, err := host.Poll("poll", nil)
	if err != nil || string(page.Cursor) != "1" || len(page.Records) != 1 {
		t.Errorf("poll: got %+v, %v", page, err)
	}
	if page, err = host.Poll("poll", page.Cursor); err != nil || string(page.Cursor) != "2" {
		t.Errorf("poll: got %+v, %v", page, err)
	}
	if !json.Valid(host.Describe()) || !strings.HasPrefix(string(host.Describe()), "{\n  \"name\": \"sample\"") {
		t.Errorf("describe: got %s", host.Describe())
	}
}

func TestErrorsArriveAsTheHostWouldSeeThem(t *testing.T) {
	t.Parallel()
	host := setup(t, connectortest.Options{}, func(*connector.Context) error {
		return &connector.Error{Code: code.Retry, Message: "m", RetryAfter: 90 * time.Second, Details: map[string]int{"n": 1}}
	})
	var got *connector.Error
	if err := host.Test(); !errors.As(err, &got) || got.RetryAfter != 90*time.Second {
		t.Fatalf("got %v", err)
	}
	if details, ok := got.Details.(json.RawMessage); !ok || string(details) != `{"n":1}` {
		t.Errorf("details: got %v", got.Details)
	}
}

func TestOnlyWhatTheManifestAsksForIsReached(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		in   getInput
		want code.Code
	}{
		"a host":                    {getInput{URL: "https://api.example.com/x"}, ""},
		"in capitals":               {getInput{URL: "https://API.example.com/x"}, ""},
		"with its port":             {getInput{URL: "https://api.example.com:443/x"}, ""},
		"below a wildcard":          {getInput{URL: "https://a.b.example.org/x"}, ""},
		"a port of its own":         {getInput{URL: "https://local.example:8443/x"}, ""},
		"the configured host":       {getInput{URL: "http://127.0.0.1:9000/x"}, ""},
		"the wildcard's own root":   {getInput{URL: "https://example.org/x"}, code.Denied},
		"a look-alike":              {getInput{URL: "https://api.example.com.evil.net/x"}, code.Denied},
		"a look-alike of wildcards": {getInput{URL: "https://evilexample.org/x"}, code.Denied},
		"another port":              {getInput{URL: "https://api.example.com:8443/x"}, code.Denied},
		"without TLS":               {getInput{URL: "http://api.example.com/x"}, code.Denied},
		"another configured port":   {getInput{URL: "http://127.0.0.1:9001/x"}, code.Denied},
		"another method":            {getInput{URL: "https://a.example.org/x", Method: "DELETE"}, code.Denied},
		"a relative URL":            {getInput{URL: "/x"}, code.InvalidRequest},
		"another scheme":            {getInput{URL: "ftp://api.example.com/x"}, code.InvalidRequest},
		"a method with a blank":     {getInput{URL: "https://api.example.com/x", Method: "GE T"}, code.InvalidRequest},
		"nonsense":                  {getInput{URL: "https://[::1/"}, code.InvalidRequest},
		"a credential elsewhere":    {getInput{URL: "https://api.example.com/x", Connection: "narrow"}, code.Denied},
		"an unknown connection":     {getInput{URL: "https://api.example.com/x", Connection: "other"}, code.Denied},
		"a connection not granted":  {getInput{URL: "https://api.example.com/x", Connection: "basic"}, code.NoConnection},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host := setup(t, connectortest.Options{
				HTTP: echo, Config: config{URL: "http://127.0.0.1:9000/base"}, Connections: []string{"narrow", "bearer"},
			}, nil)
			err := host.Action("get", tt.in, nil)
			if tt.want == "" && err != nil || tt.want != "" && codeOf(t, err) != tt.want {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestADefaultOfTheConfigurationCountsAsConfigured(t *testing.T) {
	t.Parallel()
	c := sample(nil)
	c.Egress = []connector.Egress{{Host: "{config.url}", Methods: []string{"GET"}}}
	host := connectortest.New(t, c, connectortest.Options{HTTP: echo})
	if err := host.Action("get", getInput{URL: "https://api.example.com/x"}, nil); err != nil {
		t.Error(err)
	}
	bare := connectortest.New(t, c, connectortest.Options{HTTP: echo, Config: config{URL: "other.example"}})
	if err := bare.Action("get", getInput{URL: "https://other.example/x"}, nil); err != nil {
		t.Error(err)
	}
}

func TestCredentialsAreAddedOutsideOfTheConnector(t *testing.T) {
	t.Parallel()
	host := setup(t, connectortest.Options{HTTP: echo}, nil)
	for connection, want := range map[string]string{
		"bearer": "GET https://api.example.com/x Bearer credential-of-bearer",
		"basic":  "GET https://api.example.com/x Basic dXNlcjpjcmVkZW50aWFsLW9mLWJhc2lj",
		"agreed": "GET https://api.example.com/x Bearer credential-of-agreed",
		"header": "GET https://api.example.com/x credential-of-header",
		"query":  "GET https://api.example.com/x?key=credential-of-query",
		"":       "GET https://api.example.com/x",
	} {
		var got string
		if err := host.Action("get", getInput{Connection: connection, URL: "https://api.example.com/x"}, &got); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", connection, got, err, want)
		}
	}
}

func TestWithoutHTTPNothingAnswers(t *testing.T) {
	t.Parallel()
	host := setup(t, connectortest.Options{}, nil)
	if got := codeOf(t, host.Action("get", getInput{URL: "https://api.example.com/x"}, nil)); got != code.Network {
		t.Errorf("got %s", got)
	}
}

func TestBinaryResponsesSurvive(t *testing.T) {
	t.Parallel()
	binary := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte{0xff, 0x00}) })
	host := setup(t, connectortest.Options{HTTP: binary}, func(ctx *connector.Context) error {
		r, err := ctx.HTTP.Do(connector.Request{URL: "https://api.example.com/"})
		if err == nil && string(r.Body) != "\xff\x00" {
			t.Errorf("got %q", r.Body)
		}
		return err
	})
	if err := host.Test(); err != nil {
		t.Error(err)
	}
}

func TestStateBehavesAsTheContractSays(t *testing.T) {
	t.Parallel()
	host := setup(t, connectortest.Options{}, func(ctx *connector.Context) error {
		s := ctx.State
		var n int
		if found, err := s.Get("seeded", &n); !found || n != 5 || err != nil {
			t.Errorf("a seeded value: %v, %d, %v", found, n, err)
		}
		if sum, err := s.Add("seeded", 2); sum != 7 || err != nil {
			t.Errorf("add: %d, %v", sum, err)
		}
		if sum, err := s.Add("fresh", -1); sum != -1 || err != nil {
			t.Errorf("add to nothing: %d, %v", sum, err)
		}
		for _, step := range []struct {
			old, updated any
			want         bool
		}{{1, 2, false}, {nil, map[string]int{"a": 1, "b": 2}, true}, {nil, 3, false}, {json.RawMessage(`{"b":2, "a":1}`), 3, true}} {
			if swapped, err := s.CompareAndSet("cas", step.old, step.updated); swapped != step.want || err != nil {
				t.Errorf("cas %v: %v, %v", step.old, swapped, err)
			}
		}
		if err := errors.Join(s.Set("gone", "x"), s.Delete("gone"), s.Delete("never"), s.Set("text", "x")); err != nil {
			t.Error(err)
		}
		_, err := s.Add("text", 1)
		if codeOf(t, err) != code.NotANumber {
			t.Errorf("add to text: %v", err)
		}
		if err := s.Set("", 1); codeOf(t, err) != code.InvalidRequest {
			t.Errorf("an empty key: %v", err)
		}
		return nil
	})
	host.SetState("seeded", 5)
	if err := host.Test(); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for key, value := range host.State() {
		got[key] = string(value)
	}
	if want := map[string]string{"seeded": "7", "fresh": "-1", "cas": "3", "text": `"x"`}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAddRefusesToOverflow(t *testing.T) {
	t.Parallel()
	host := setup(t, connectortest.Options{}, func(ctx *connector.Context) error {
		_, err := ctx.State.Add("n", 1)
		return err
	})
	host.SetState("n", int64(1<<63-1))
	if got := codeOf(t, host.Test()); got != code.NotANumber {
		t.Errorf("got %s", got)
	}
}

func TestListComesInPages(t *testing.T) {
	t.Parallel()
	var keys []string
	host := setup(t, connectortest.Options{}, func(ctx *connector.Context) error {
		after := ""
		for {
			entries, more, err := ctx.State.List("a/", after, 2)
			if err != nil {
				return err
			}
			for _, e := range entries {
				keys = append(keys, e.Key)
			}
			if !more {
				return nil
			}
			after = keys[len(keys)-1]
		}
	})
	for _, key := range []string{"a/3", "a/1", "b/1", "a/2", "a/4", "a"} {
		host.SetState(key, key)
	}
	if err := host.Test(); err != nil {
		t.Fatal(err)
	}
	if want := []string{"a/1", "a/2", "a/3", "a/4"}; !slices.Equal(keys, want) {
		t.Errorf("got %v, want %v", keys, want)
	}
}

func TestAFailedCallLeavesOnlyItsTraceBehind(t *testing.T) {
	t.Parallel()
	fail := true
	host := setup(t, connectortest.Options{}, func(ctx *connector.Context) error {
		ctx.Log.Info("trying", slog.Bool("fail", fail))
		if err := errors.Join(ctx.Tag("order", "1001"), ctx.Sleep(time.Hour), ctx.Emit("made", "k", 1), ctx.State.Set("a", 1)); err != nil {
			return err
		}
		if fail {
			return io.EOF
		}
		return ctx.Emit("made", "", 2)
	})
	if got := codeOf(t, host.Test()); got != code.PluginBug {
		t.Errorf("got %s", got)
	}
	if len(host.State())+len(host.Emitted()) > 0 {
		t.Errorf("kept %v, %v", host.State(), host.Emitted())
	}
	if host.Tags()["order"] != "1001" || host.Slept() != time.Hour || len(host.Logs()) != 1 || host.Logs()[0].Fields["fail"] != true {
		t.Errorf("the trace is %v, %v, %v", host.Tags(), host.Slept(), host.Logs())
	}
	fail = false
	for range 2 {
		if err := host.Test(); err != nil {
			t.Fatal(err)
		}
	}
	var data []string
	for _, e := range host.Emitted() {
		data = append(data, e.Key+string(e.Data))
	}
	if want := []string{"k1", "2", "2"}; !slices.Equal(data, want) {
		t.Errorf("emitted: got %v, want %v: the first of each key, and all without one", data, want)
	}
}

func TestNamelessRecordsAndTagsAreRefused(t *testing.T) {
	t.Parallel()
	host := setup(t, connectortest.Options{}, func(ctx *connector.Context) error {
		if err := ctx.Emit("", "", 1); codeOf(t, err) != code.InvalidRequest {
			t.Errorf("emit: %v", err)
		}
		return ctx.Tag("", "x")
	})
	if got := codeOf(t, host.Test()); got != code.InvalidRequest {
		t.Errorf("got %s", got)
	}
}

func TestRandomIsTheSameInEachRunAndAnotherInEachCall(t *testing.T) {
	t.Parallel()
	var drawn []uint64
	draw := func(ctx *connector.Context) error {
		drawn = append(drawn, ctx.Rand().Uint64())
		return nil
	}
	for range 2 {
		host := setup(t, connectortest.Options{}, draw)
		if err := errors.Join(host.Test(), host.Test()); err != nil {
			t.Fatal(err)
		}
	}
	if drawn[0] != drawn[2] || drawn[1] != drawn[3] || drawn[0] == drawn[1] {
		t.Errorf("got %v", drawn)
	}
}
