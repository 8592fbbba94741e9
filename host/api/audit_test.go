package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/audit/transcript"
)

// auditKey signs a test's audit log.
func auditKey(t *testing.T) host.Audit {
	t.Helper()
	k, err := audit.CreateKey(filepath.Join(t.TempDir(), "audit-key"))
	if err != nil {
		t.Fatal(err)
	}
	return host.Audit{Signer: k, Public: k.Public()}
}

// TestEveryRouteThatChangesSomethingIsAnAct: a route that is new needs a line in acts.
func TestEveryRouteThatChangesSomethingIsAnAct(t *testing.T) {
	t.Parallel()
	raw, err := api.Document("test")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]struct {
			ID  string  `json:"operationId"`
			Act *string `json:"x-act"`
		}
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	acts := 0
	for path, item := range doc.Paths {
		for method, op := range item {
			switch {
			case method == "get":
				// Who has taken everything along has done something.
				if op.Act != nil && op.ID != "exportTenant" {
					t.Errorf("%s %s only looks, and is the act %s", method, path, *op.Act)
				}
				continue
			case op.Act == nil || *op.Act == op.ID || *op.Act == "":
				t.Errorf("%s %s, %s, has no line in acts", method, path, op.ID)
				continue
			}
			acts++
			if work := strings.HasPrefix(path, "/hooks/") || strings.Contains(path, "/actions/") || strings.Contains(path, "/polls/") || strings.HasSuffix(path, "/test") || strings.HasSuffix(path, "/verify-sample") || strings.HasSuffix(path, "/preview") || !strings.HasPrefix(path, "/v1/"); work != (*op.Act == "-") {
				t.Errorf("%s %s is the act %s", method, path, *op.Act)
			}
		}
	}
	if acts < 45 {
		t.Errorf("found %d acts, of more", acts)
	}
}

// trail is what the audit log says of an action.
func (b *bundle) trail(t *testing.T, action string) []map[string]any {
	t.Helper()
	var found []map[string]any
	for cursor := ""; ; {
		p := b.do(t, 200, "listAudit", map[string]any{"action": action, "cursor": cursor, "limit": 100}, nil)
		for _, i := range p["items"].([]any) {
			found = append(found, i.(map[string]any))
		}
		if cursor = p["next_cursor"].(string); cursor == "" {
			return found
		}
	}
}

func TestActsAreInTheLog(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	in := map[string]any{"tenant": f.ids["tenant"]}
	for action, object := range map[string]string{
		"plugin.publish": "", "publisher.key.add": "", "connection.create": "", "installation.create": "", "endpoint.create": "", "redrive.start": "", "redelivery.start": "", "token.create": "",
	} {
		got := f.trail(t, action)
		if len(got) == 0 {
			t.Errorf("%s is not in the log", action)
			continue
		}
		for _, l := range got {
			if who, _ := l["who"].(string); who == "" || l["request"] == "" || l["result"] != "done" || l["from"] != "127.0.0.1" {
				t.Errorf("%s%s: got %v", action, object, l)
			}
		}
	}
	if got := f.trail(t, "connection.create"); got[0]["tenant"] != f.ids["tenant"] || strings.Contains(fmt.Sprint(got), "t0k3n") {
		t.Errorf("got %v", got)
	}
	// What changes nothing is said, too, and under whose request.
	f.do(t, 200, "pauseInstallation", map[string]any{"tenant": f.ids["tenant"], "installation": f.ids["installation"]}, nil)
	a := f.raw(t, http.MethodPost, "/v1/tenants/me/installations/nobody/pause", f.thief, "")
	if a.status != 404 || !strings.HasPrefix(a.header.Get("Cofferdam-Request"), "req_") {
		t.Errorf("got %d, %v", a.status, a.header)
	}
	// From where is what a proxy says that is trusted, and no other.
	a = f.raw(t, http.MethodPost, "/v1/tenants/"+f.ids["tenant"]+"/pause", f.operator, "", "X-Forwarded-For", "203.0.113.9, 198.51.100.7")
	if got := f.trail(t, "tenant.pause"); a.status != 200 || len(got) != 1 || got[0]["from"] != "198.51.100.7" {
		t.Errorf("got %d %s, and in the log %v", a.status, a.body, got)
	}
	got := f.trail(t, "installation.pause")
	if len(got) != 1 || got[0]["object"] != f.ids["installation"] || got[0]["request"] == "" {
		t.Errorf("got %v, want one that was done", got)
	}
	// Nothing of an action's call is an act.
	if got := f.trail(t, "-"); len(got) != 0 {
		t.Errorf("got %v", got)
	}
	list := f.do(t, 200, "listTenantAudit", in, nil)["items"].([]any)
	for _, i := range list {
		if i.(map[string]any)["tenant"] != f.ids["tenant"] {
			t.Errorf("a tenant's part has %v", i)
		}
	}
	if len(list) < 4 {
		t.Errorf("a tenant's part has %d leaves, want more", len(list))
	}
}

func TestTranscriptsVerify(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	signed := f.do(t, 200, "signAuditLog", nil, map[string]any{})
	key, err := audit.ParsePublic(signed["key"].(string))
	if err != nil {
		t.Fatal(err)
	}
	for path, who := range map[string]string{"/v1/audit/export": f.operator, "/v1/tenants/me/audit/export": f.thief, "/v1/tenants/" + f.ids["tenant"] + "/audit/export": f.operator} {
		a := f.raw(t, http.MethodGet, path, who, "")
		if a.status != 200 || a.header.Get("Content-Type") != "application/x-ndjson" {
			t.Fatalf("%s: %d %s", path, a.status, a.body)
		}
		got, err := transcript.Verify(strings.NewReader(string(a.body)), transcript.Options{Keys: []note.Verifier{key}, Earlier: [][]byte{[]byte(signed["note"].(string))}})
		if err != nil || !got.Sound() {
			t.Errorf("%s: %+v, %v", path, got, err)
		}
	}
	size := int64(signed["size"].(float64))
	c, err := transcript.Open([]byte(signed["note"].(string)), key)
	if err != nil || c.Size != size {
		t.Fatalf("got %+v, %v", c, err)
	}
	first := f.do(t, 200, "listAudit", map[string]any{"limit": 1}, nil)["items"].([]any)[0].(map[string]any)
	var p tlog.RecordProof
	for _, h := range f.do(t, 200, "proveLeaf", map[string]any{"leaf": 0, "size": size}, nil)["hashes"].([]any) {
		hash, err := tlog.ParseHash(h.(string))
		if err != nil {
			t.Fatal(err)
		}
		p = append(p, hash)
	}
	if err := tlog.CheckRecord(p, size, c.Root, 0, tlog.RecordHash([]byte(first["leaf"].(string)))); err != nil {
		t.Error(err)
	}
	a := f.raw(t, http.MethodGet, fmt.Sprintf("/v1/audit/inclusion?leaf=%d&size=%d", size, size), f.operator, "")
	if a.status != 422 || a.problem(t)["code"] != "proof_range" {
		t.Errorf("a proof of what is not there: %d %s", a.status, a.body)
	}
}

// A flood of wrong tokens is a few leaves.
func TestRefusalsAreCounted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	before := len(f.trail(t, ""))
	for i := range 300 {
		f.raw(t, http.MethodGet, "/v1/tenants", fmt.Sprintf("cfd_%043d", i), "")
		f.raw(t, http.MethodDelete, "/v1/tenants/"+f.ids["tenant"], f.thief, "")
	}
	if got := len(f.trail(t, "")); got > before+40 {
		t.Errorf("600 refusals made %d leaves", got-before)
	}
}
