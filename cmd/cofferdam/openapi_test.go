package main

import (
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/demo"
	"github.com/cofferdam-run/cofferdam/host/api/apitest"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/webhook"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	"github.com/cofferdam-run/cofferdam/test/processtest"
)

// generated is a client made from nothing but the document that the server
// serves. It refuses requests and answers that the document does not declare.
type generated struct {
	*apitest.Client
	t *testing.T
}

func generate(t *testing.T, p *processtest.Server) generated {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL()+"/openapi.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Timeout: 3 * time.Minute}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	document, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	c, err := apitest.New(document, p.URL(), clientOf(t, p, p).token)
	if err != nil {
		t.Fatal(err)
	}
	return generated{Client: c, t: t}
}

func (g generated) do(call apitest.Call, out any) {
	g.t.Helper()
	a, err := g.Send(g.t.Context(), call)
	if err != nil {
		g.t.Fatal(err)
	}
	if a.Status >= http.StatusMultipleChoices {
		g.t.Fatalf("%s: %d: %s", call.Operation, a.Status, a.Body)
	}
	if out == nil {
		return
	}
	if err := json.Unmarshal(a.Body, out); err != nil {
		g.t.Fatalf("%s: %v: %s", call.Operation, err, a.Body)
	}
}

// The OpenAPI document is complete: what is generated from it plays the demo.
func TestGeneratedClientPlaysTheDemo(t *testing.T) {
	t.Parallel()
	github := demo.NewGitHub(map[string]string{"token-of-acme": "acme", "token-of-globex": "globex"})
	standIn := httptest.NewServer(github)
	t.Cleanup(standIn.Close)
	server := startServer(t, t.TempDir())
	c := generate(t, server)
	c.do(apitest.Call{Operation: "publishPlugin", Body: runtimetest.BuildGoFresh(t, "../../examples/hello-go")}, nil)
	for _, name := range []string{"acme", "globex"} {
		in := map[string]any{"tenant": name}
		c.do(apitest.Call{Operation: "createTenant", Body: map[string]any{"name": name}}, nil)
		c.do(apitest.Call{Operation: "createConnection", Params: in, Body: map[string]any{
			"name": "github", "type": "bearer", "hosts": []string{strings.TrimPrefix(standIn.URL, "http://")},
			"credential": map[string]string{"token": "token-of-" + name},
		}}, nil)
		c.do(apitest.Call{Operation: "createInstallation", Params: in, Body: map[string]any{
			"plugin": "hello-go", "config": map[string]string{"api_url": standIn.URL},
		}}, nil)
		var e endpointSecret
		c.do(apitest.Call{Operation: "createEndpoint", Params: in, Body: map[string]any{
			"installation": "hello-go", "webhook": "issues",
		}}, &e)
		accepted := c.deliver(e, name)
		again := c.deliver(e, name)
		if again.Duplicate || again.Event == accepted.Event {
			t.Errorf("two delivery ids of tenant %s became one event", name)
		}
		got := c.finished(name, accepted.Execution)
		if got.Execution.State != execution.Succeeded {
			t.Errorf("tenant %s: the execution is %s: %v", name, got.Execution.State, got.Execution.Error)
		}
		if labels := github.Labels(name + "/site#7"); len(labels) == 0 {
			t.Errorf("tenant %s: the issue has no label", name)
		}
		var found page[execution.Execution]
		c.do(apitest.Call{Operation: "listExecutions", Params: map[string]any{"tenant": name, "tag": "issue=7"}}, &found)
		if len(found.Items) == 0 {
			t.Errorf("tenant %s: no execution is found by its tag", name)
		}
	}
}

func (g generated) deliver(e endpointSecret, owner string) event.Accepted {
	g.t.Helper()
	body, err := demo.Opened(owner, "site", 7)
	if err != nil {
		g.t.Fatal(err)
	}
	header, err := webhook.Sign("github", e.Secret, rand.Text(), time.Now(), body)
	if err != nil {
		g.t.Fatal(err)
	}
	header.Set("X-GitHub-Event", "issues")
	var a event.Accepted
	g.do(apitest.Call{Operation: "deliverWebhook", Params: map[string]any{"endpoint": e.ID}, Header: header, Body: body}, &a)
	return a
}

func (g generated) finished(tenant, id string) execution.Trace {
	g.t.Helper()
	var tr execution.Trace
	processtest.Eventually(g.t, "execution "+id, func() bool {
		g.do(apitest.Call{Operation: "traceExecution", Params: map[string]any{"tenant": tenant, "execution": id}}, &tr)
		return tr.Execution.State.Done()
	})
	return tr
}
