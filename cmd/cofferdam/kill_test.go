package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/demo"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	"github.com/cofferdam-run/cofferdam/test/processtest"
)

func startServer(t *testing.T, dir string, env ...string) *processtest.Server {
	t.Helper()
	return processtest.Serve(t, processtest.ServerConfig{Dir: dir, Env: env})
}

// clientOf speaks to a server with the token that the first start of its database printed.
func clientOf(t *testing.T, s, first *processtest.Server) *client {
	t.Helper()
	return &client{base: s.URL(), token: first.Token(t), http: &http.Client{Timeout: 3 * time.Minute}}
}

// gatedGitHub is a stand-in for the GitHub API whose labels wait at a gate.
type gatedGitHub struct {
	*httptest.Server
	api *demo.GitHub
	// arrived receives for each request that reaches the gate.
	arrived chan struct{}
	gate    chan struct{}
}

func newGatedGitHub(t *testing.T) *gatedGitHub {
	t.Helper()
	g := &gatedGitHub{
		api:     demo.NewGitHub(map[string]string{"token": "acme"}),
		arrived: make(chan struct{}, 1000),
		gate:    make(chan struct{}),
	}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.arrived <- struct{}{}
		select {
		case <-g.gate:
			g.api.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(g.Close)
	return g
}

// prepare makes a tenant with the example connector and returns its endpoint.
func prepare(t *testing.T, c *client, github string) (endpoint, secret string) {
	t.Helper()
	wasm := runtimetest.BuildGoFresh(t, "../../examples/hello-go")
	if err := c.send(t.Context(), http.MethodPost, "/v1/plugins", "application/wasm", bytes.NewReader(wasm), nil); err != nil {
		t.Fatal(err)
	}
	var e endpointSecret
	for _, step := range []struct {
		path string
		body any
		out  any
	}{
		{"/v1/tenants", map[string]any{"name": "acme"}, nil},
		{"/v1/tenants/acme/connections", map[string]any{
			"name": "github", "type": "bearer", "hosts": []string{strings.TrimPrefix(github, "http://")},
			"credential": map[string]string{"token": "token"},
		}, nil},
		{"/v1/tenants/acme/installations", map[string]any{"plugin": "hello-go", "config": map[string]string{"api_url": github}}, nil},
		{"/v1/tenants/acme/endpoints", map[string]any{"installation": "hello-go", "webhook": "issues"}, &e},
	} {
		if err := c.call(t.Context(), http.MethodPost, step.path, step.body, step.out); err != nil {
			t.Fatalf("POST %s: %v", step.path, err)
		}
	}
	return e.ID, e.Secret
}

// deliverIssues delivers n issues and returns their executions.
func deliverIssues(t *testing.T, c *client, endpoint, secret string, n int) []string {
	t.Helper()
	var ids []string
	for i := range n {
		body, err := demo.Opened("acme", "widgets", i+1)
		if err != nil {
			t.Fatal(err)
		}
		s := sending{scheme: "github", secret: secret, id: rand.Text(), headers: []string{"X-GitHub-Event: issues"}}
		a, err := c.deliver(t.Context(), endpoint, s, body)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, a.Execution)
	}
	return ids
}

// finished waits until executions have succeeded, and returns their traces. Whose
// POST was under way when its server died is dead until somebody says whether it has
// happened: here it has not, since the vendor has answered nobody.
func finished(t *testing.T, c *client, ids []string) []execution.Trace {
	t.Helper()
	traces := make([]execution.Trace, len(ids))
	for i, id := range ids {
		processtest.Eventually(t, "execution "+id, func() bool {
			if err := c.call(t.Context(), http.MethodGet, "/v1/tenants/acme/executions/"+id+"/trace", nil, &traces[i]); err != nil {
				t.Fatal(err)
			}
			x := traces[i].Execution
			if x.State == execution.Dead && x.Error != nil && x.Error.Code == execution.CodeAmbiguousEffect {
				again := map[string]string{"choice": "send_again"}
				if err := c.call(t.Context(), http.MethodPost, "/v1/tenants/acme/executions/"+id+"/resolve", again, nil); err != nil {
					t.Fatal(err)
				}
				return false
			}
			return x.State.Done()
		})
		if got := traces[i].Execution; got.State != execution.Succeeded {
			text, _ := json.Marshal(got)
			t.Errorf("execution %s ended as %s: %s", id, got.State, text)
		}
	}
	return traces
}

// Two servers share a Postgres and nothing else. One is killed while both have
// calls in flight: the other finishes all of it.
func TestKilledServerLosesNothing(t *testing.T) {
	t.Parallel()
	dir, key := t.TempDir(), filepath.Join(t.TempDir(), "key.json")
	env := []string{"COFFERDAM_DB=" + postgrestest.DSN(t), "COFFERDAM_KEY_FILE=" + key, "COFFERDAM_MIGRATE=true"}
	github := newGatedGitHub(t)
	one := startServer(t, dir, env...)
	two := startServer(t, dir, env...)
	c := clientOf(t, two, one)
	endpoint, secret := prepare(t, c, github.URL)
	const n = 12
	ids := deliverIssues(t, c, endpoint, secret, n)
	for range n {
		<-github.arrived // All calls are in flight, on both servers.
	}
	workers := map[string]int{}
	for _, id := range ids {
		var x execution.Execution
		if err := c.call(t.Context(), http.MethodGet, "/v1/tenants/acme/executions/"+id, nil, &x); err != nil {
			t.Fatal(err)
		}
		workers[x.Worker]++
	}
	if len(workers) != 2 {
		t.Logf("one server took all %d executions; what it holds when it is killed is what counts", n)
	}
	killed := time.Now()
	one.Kill()
	close(github.gate)
	traces := finished(t, c, ids)
	again, last := 0, killed
	for _, tr := range traces {
		if tr.Execution.Claim > 1 {
			again++
		}
		if tr.Execution.FinishedAt.After(last) {
			last = tr.Execution.FinishedAt
		}
	}
	t.Logf("%d of %d executions were claimed again; all were done %s after the kill", again, n, last.Sub(killed).Round(time.Millisecond))
	if len(workers) == 2 && again == 0 {
		t.Error("no execution was claimed again, though the killed server had some in flight")
	}
	// The counter is committed with each execution's success, exactly once.
	var counted int
	for _, tr := range traces {
		for _, a := range tr.Attempts {
			if a.Outcome == execution.Succeeded {
				counted += len(a.State)
			}
		}
	}
	if counted != n {
		t.Errorf("the counter was committed %d times for %d executions", counted, n)
	}
}

// SIGTERM in the middle of a call: the call comes to its end and is committed
// before the process ends.
func TestTerminatedServerDrains(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	github := newGatedGitHub(t)
	one := startServer(t, dir)
	c := clientOf(t, one, one)
	endpoint, secret := prepare(t, c, github.URL)
	ids := deliverIssues(t, c, endpoint, secret, 1)
	<-github.arrived
	if err := one.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	processtest.Eventually(t, "the server to take no more requests", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return c.call(ctx, http.MethodGet, "/healthz", nil, nil) != nil
	})
	close(github.gate)
	if err := one.Wait(); err != nil {
		t.Fatalf("the server ended with %v:\n%s", err, one.Said())
	}
	two := startServer(t, dir)
	traces := finished(t, clientOf(t, two, one), ids)
	if got := traces[0].Execution.Claim; got != 1 {
		t.Errorf("the execution was claimed %d times; the first server should have finished it", got)
	}
}

// kill -9 in the middle of a call, on SQLite: the next start finishes it.
func TestKilledEmbeddedServerResumesAtTheNextStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	github := newGatedGitHub(t)
	one := startServer(t, dir, "COFFERDAM_LEASE=1s")
	c := clientOf(t, one, one)
	endpoint, secret := prepare(t, c, github.URL)
	ids := deliverIssues(t, c, endpoint, secret, 3)
	<-github.arrived
	one.Kill()
	close(github.gate)
	two := startServer(t, dir, "COFFERDAM_LEASE=1s")
	finished(t, clientOf(t, two, one), ids)
}
