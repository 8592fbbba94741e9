package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"maps"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/connectortest"
)

var update = flag.Bool("update", false, "write testdata/manifest.json anew")

// github stands in for GitHub: it checks the token, and remembers what came.
type github struct {
	requests []string
	// answer, if set, answers instead.
	answer http.HandlerFunc
}

func (g *github) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	g.requests = append(g.requests, strings.TrimSpace(r.Method+" "+r.URL.String()+" "+string(body)))
	switch {
	case g.answer != nil:
		g.answer(w, r)
	case r.Header.Get("Authorization") != "Bearer "+connectortest.Credential("github"):
		http.Error(w, `{"message":"Bad credentials"}`, http.StatusUnauthorized)
	case r.URL.Path == "/user":
		io.WriteString(w, `{"login":"mona"}`)
	default:
		io.WriteString(w, `[{"name":"bug"},{"name":"triage"}]`)
	}
}

func setup(t *testing.T, config any) (*connectortest.Host, *github) {
	t.Helper()
	api := &github{}
	return connectortest.New(t, hello(), connectortest.Options{Config: config, HTTP: api}), api
}

func delivery(t *testing.T, edit ...string) connector.Delivery {
	t.Helper()
	body, err := os.ReadFile("fixtures/issues.opened.json")
	if err != nil {
		t.Fatal(err)
	}
	return connector.Delivery{
		ID:     "72d3162e-cc78-11e3-81ab-4c9367dc0958",
		Method: http.MethodPost,
		Header: connector.Header{"X-GitHub-Event": {"issues"}},
		Body:   []byte(strings.NewReplacer(edit...).Replace(string(body))),
	}
}

func TestManifestIsTheGoldenOne(t *testing.T) {
	t.Parallel()
	const golden = "testdata/manifest.json"
	host, _ := setup(t, nil)
	got := host.Describe()
	if *update {
		if err := os.WriteFile(golden, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the manifest has changed; if that is meant, run go test -update\ngot:\n%s", got)
	}
}

func TestAnOpenedIssueIsCountedLabelledAndTold(t *testing.T) {
	t.Parallel()
	host, api := setup(t, nil)
	output, err := host.Webhook("issues", delivery(t))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"repo":"octo-org/lighthouse","issue":42,"label":"triage","count":1}`
	if got := string(output); got != want {
		t.Errorf("output: got %s, want %s", got, want)
	}
	wantRequest := `POST https://api.github.com/repos/octo-org/lighthouse/issues/42/labels {"labels":["triage"]}`
	if len(api.requests) != 1 || api.requests[0] != wantRequest {
		t.Errorf("requests: got %q, want %q", api.requests, wantRequest)
	}
	if got := string(host.State()["issues/octo-org/lighthouse"]); got != "1" {
		t.Errorf("counter: got %s, want 1", got)
	}
	if got := host.Tags(); got["repo"] != "octo-org/lighthouse" || got["issue"] != "42" {
		t.Errorf("tags: got %v", got)
	}
	emitted := host.Emitted()
	if len(emitted) != 1 || emitted[0].Name != "issue.labelled" || emitted[0].Key != "octo-org/lighthouse#42" || string(emitted[0].Data) != want {
		t.Errorf("emitted: got %s", emitted)
	}
	if logs := host.Logs(); len(logs) != 1 || logs[0].Message != "labelled" || logs[0].Level != "info" {
		t.Errorf("logs: got %v", logs)
	}
}

func TestEachRepositoryHasACounterOfItsOwn(t *testing.T) {
	t.Parallel()
	host, _ := setup(t, nil)
	for _, repo := range []string{"octo-org/lighthouse", "octo-org/foghorn", "octo-org/lighthouse"} {
		if _, err := host.Webhook("issues", delivery(t, "octo-org/lighthouse", repo)); err != nil {
			t.Fatal(err)
		}
	}
	state := host.State()
	if lighthouse, foghorn := string(state["issues/octo-org/lighthouse"]), string(state["issues/octo-org/foghorn"]); lighthouse != "2" || foghorn != "1" {
		t.Errorf("got %s and %s, want 2 and 1", lighthouse, foghorn)
	}
}

func TestOtherDeliveriesAreLeftAlone(t *testing.T) {
	t.Parallel()
	host, api := setup(t, nil)
	output, err := host.Webhook("issues", delivery(t, `"opened"`, `"closed"`))
	if err != nil || string(output) != "null" {
		t.Errorf("got %s, %v", output, err)
	}
	if len(api.requests)+len(host.State())+len(host.Emitted()) > 0 {
		t.Errorf("something was done: %v %v %v", api.requests, host.State(), host.Emitted())
	}
}

func TestConfigurationChoosesLabelAndHost(t *testing.T) {
	t.Parallel()
	host, api := setup(t, map[string]any{"label": "new", "api_url": "http://127.0.0.1:8099/"})
	if _, err := host.Webhook("issues", delivery(t)); err != nil {
		t.Fatal(err)
	}
	want := `POST http://127.0.0.1:8099/repos/octo-org/lighthouse/issues/42/labels {"labels":["new"]}`
	if api.requests[0] != want {
		t.Errorf("got %s, want %s", api.requests[0], want)
	}
}

func TestLabelActionReturnsAllLabels(t *testing.T) {
	t.Parallel()
	host, _ := setup(t, nil)
	var out LabelOutput
	if err := host.Action("label", LabelInput{Repo: "o/r", Number: 7, Label: "triage"}, &out); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(out.Labels, " "); got != "bug triage" {
		t.Errorf("got %q", got)
	}
}

func TestInputThatGitHubNeedNotSeeIsRefused(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]LabelInput{
		"no owner":       {Repo: "lighthouse", Number: 1},
		"too many parts": {Repo: "a/b/c", Number: 1},
		"no number":      {Repo: "a/b"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host, api := setup(t, nil)
			if got := codeOf(t, host.Action("label", in, nil)); got.Code != code.InvalidInput {
				t.Errorf("got %v", got)
			}
			if len(api.requests) > 0 {
				t.Errorf("GitHub was asked: %v", api.requests)
			}
		})
	}
}

func TestTestAsksWhoTheTokenBelongsTo(t *testing.T) {
	t.Parallel()
	host, api := setup(t, nil)
	if err := host.Test(); err != nil {
		t.Fatal(err)
	}
	if api.requests[0] != "GET https://api.github.com/user" {
		t.Errorf("got %v", api.requests)
	}
}

func TestWithoutAConnectionNothingIsSent(t *testing.T) {
	t.Parallel()
	host := connectortest.New(t, hello(), connectortest.Options{Connections: []string{}})
	if got := codeOf(t, host.Test()); got.Code != code.NoConnection {
		t.Errorf("got %v", got)
	}
}

func TestGitHubsErrorsKeepTheirMeaning(t *testing.T) {
	t.Parallel()
	reset := strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)
	tests := map[string]struct {
		status   int
		header   http.Header
		body     string
		want     code.Code
		min, max time.Duration
	}{
		"the token is wrong":      {status: 401, want: code.Auth},
		"the token may not":       {status: 403, body: `{"message":"Resource not accessible"}`, want: code.Auth},
		"the hour's quota is out": {status: 403, header: http.Header{"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {reset}}, want: code.RateLimited, min: 55 * time.Minute, max: time.Hour},
		"a secondary limit":       {status: 403, header: http.Header{"Retry-After": {"17"}}, want: code.RateLimited, min: 17 * time.Second, max: 17 * time.Second},
		"one without a time":      {status: 403, body: `{"message":"You have exceeded a secondary rate limit."}`, want: code.RateLimited, min: time.Minute, max: time.Minute},
		"too many requests":       {status: 429, want: code.RateLimited},
		"a quota that is left":    {status: 403, header: http.Header{"X-Ratelimit-Remaining": {"12"}, "X-Ratelimit-Reset": {reset}}, want: code.Auth},
		"no such issue":           {status: 404, want: code.InvalidInput},
		"the issue is gone":       {status: 410, want: code.InvalidInput},
		"the label is wrong":      {status: 422, want: code.InvalidInput},
		"GitHub is down":          {status: 503, want: code.UpstreamUnavailable},
		"an answer of no use":     {status: 200, body: `<html>`, want: code.ContractChanged},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host, api := setup(t, nil)
			api.answer = func(w http.ResponseWriter, _ *http.Request) {
				maps.Copy(w.Header(), tt.header)
				w.WriteHeader(tt.status)
				io.WriteString(w, tt.body)
			}
			_, err := host.Webhook("issues", delivery(t))
			got := codeOf(t, err)
			if got.Code != tt.want || got.RetryAfter < tt.min || got.RetryAfter > tt.max {
				t.Errorf("got %v after %v, want %s after %v to %v", got, got.RetryAfter, tt.want, tt.min, tt.max)
			}
			if len(host.State()) > 0 || len(host.Emitted()) > 0 {
				t.Errorf("a failed run left something behind: %v %v", host.State(), host.Emitted())
			}
		})
	}
}

func TestADeliveryThatIsNotJSONIsInvalidInput(t *testing.T) {
	t.Parallel()
	host, _ := setup(t, nil)
	_, err := host.Webhook("issues", connector.Delivery{ID: "d1", Body: []byte("payload=%7B")})
	if got := codeOf(t, err); got.Code != code.InvalidInput || !strings.Contains(got.Message, `"d1"`) {
		t.Errorf("got %v", got)
	}
}

func TestFixtureHasTheShapeThatIsRead(t *testing.T) {
	t.Parallel()
	var event IssuesEvent
	if err := json.Unmarshal(delivery(t).Body, &event); err != nil {
		t.Fatal(err)
	}
	if event.Action != "opened" || event.Issue.Number != 42 || event.Issue.Title == "" || event.Repository.FullName != "octo-org/lighthouse" {
		t.Errorf("got %+v", event)
	}
}

func codeOf(t *testing.T, err error) *connector.Error {
	t.Helper()
	var e *connector.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want a *connector.Error", err)
	}
	return e
}
