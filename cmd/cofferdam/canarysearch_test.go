package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/job"
	"github.com/cofferdam-run/cofferdam/host/vault/rotation"
	"github.com/cofferdam-run/cofferdam/test/processtest"
)

// traces reads all that the API shows of what was done, and the metrics.
func (c *canaries) traces(t *testing.T) {
	t.Helper()
	for _, x := range c.executions {
		trace := c.get(t, c.path(x.tenant, "/executions/"+x.id+"/trace"))
		c.payload.some(t, "a trace", trace)
		c.get(t, c.path(x.tenant, "/executions/"+x.id+"/recording?module=false"))
	}
	exported := c.run(t, "execution", "export", c.executions[0].id, "--tenant", canaryName(0))
	c.credential.none(t, "an export", exported)
	if !bytes.Contains(exported, []byte(c.payload.word)) && len(c.payload.in(exported)) == 0 {
		t.Error("an export has nothing of what was done")
	}
	for i := range canaryTenants {
		for _, path := range []string{
			"/executions", "/events", "/dead-letters", "/connections", "/connections/bearer", "/endpoints", "/installations", "/installations/canary",
			"/tokens", "/usage", "/key-rotations", "/redrives", "/audit", "/audit/export",
		} {
			c.get(t, c.path(i, path))
		}
	}
	for _, path := range []string{"/v1/audit", "/v1/audit/export", "/v1/usage", "/v1/tenants", "/openapi.json"} {
		c.get(t, path)
	}
	if metrics := c.get(t, "/metrics"); !bytes.Contains(metrics, []byte("cofferdam_runs_total")) {
		t.Errorf("the metrics are %.200q", metrics)
	}
}

// keys has all keys replaced: one tenant's, and that which wraps all of them.
func (c *canaries) keys(t *testing.T) {
	t.Helper()
	var r rotation.Rotation
	c.post(t, c.path(3, "/key-rotations"), nil, &r)
	processtest.Eventually(t, "the rotation", func() bool {
		if err := json.Unmarshal(c.get(t, c.path(3, "/key-rotations/"+r.ID)), &r); err != nil {
			t.Fatal(err)
		}
		return r.State.Ended()
	})
	if r.State != job.Done || r.Progress.Done == 0 {
		t.Errorf("the rotation is %+v", r)
	}
	said := c.run(t, "key", "rewrap", "--keeper", "file:data/key-2.json", "--keepers", "file:data/key.json", "--key-file", "")
	c.credential.none(t, "a rewrap", said)
	c.act(t, 3, script{Steps: []scriptStep{c.put(3, "bearer")}}, execution.Succeeded)
}

// logs searches what the server has said, at all levels.
func (c *canaries) logs(t *testing.T) {
	t.Helper()
	said := []byte(c.server.Said())
	c.credential.none(t, "the log", said)
	c.payload.none(t, "the log", said)
	if !bytes.Contains(said, []byte(`"level":"DEBUG"`)) || !bytes.Contains(said, []byte("/actions/{action}")) {
		t.Errorf("the log has %d bytes, and nothing of what was done", len(said))
	}
}

// heap searches dumps of the server's heap, once nobody speaks with it, until what it
// holds for a while is given up: connections that are idle are closed within half a
// minute.
func (c *canaries) heap(t *testing.T) {
	t.Helper()
	for i := range canaryTenants {
		var all struct{ Items []struct{ ID string } }
		if err := json.Unmarshal(c.get(t, c.path(i, "/endpoints")), &all); err != nil || len(all.Items) == 0 {
			t.Fatalf("list endpoints: %v, %v", all, err)
		}
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	c.party.CloseClientConnections()
	var hits []string
	from, n, size := time.Now(), 0, 0
	deadline := from.Add(2 * time.Minute)
	for ; n == 0 || len(hits) > 0 && time.Now().Before(deadline); n++ {
		if n > 0 {
			time.Sleep(2 * time.Second) // There is no signal that crosses to another process.
		}
		path := filepath.Join(t.TempDir(), "heap")
		if _, err := io.WriteString(c.server.In, path+"\n"); err != nil {
			t.Fatal(err)
		}
		processtest.Eventually(t, "the heap", func() bool { _, err := os.Stat(path); return err == nil })
		dump, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		c.open.some(t, "the heap", dump)
		hits, size = c.credential.in(dump), len(dump)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	for _, hit := range hits {
		t.Errorf("the heap shows a canary: %s", hit)
	}
	if len(hits) == 0 {
		t.Logf("the heap has no canary %s after the last request, in dump %d, of %d KiB", time.Since(from).Round(time.Second), n, size>>10)
	}
}
