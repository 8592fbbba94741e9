package api_test

import (
	"testing"

	"github.com/cofferdam-run/cofferdam/host/api"
)

func TestKeyRotations(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	b.do(t, 201, "createTenant", nil, map[string]any{"name": "acme"})
	in := map[string]any{"tenant": "acme"}
	b.do(t, 201, "createConnection", in, map[string]any{
		"name": "github", "type": "bearer", "hosts": []string{"api.github.com"}, "credential": map[string]any{"token": "s3cret"},
	})
	started := b.do(t, 201, "startKeyRotation", in, nil)
	if p := started["progress"].(map[string]any); started["state"] != "queued" || p["phase"] != "adding" {
		t.Errorf("it began as %v", started)
	}
	one := map[string]any{"tenant": "acme", "rotation": started["id"]}
	if got := b.do(t, 409, "startKeyRotation", in, nil); got["code"] != "rotation_under_way" {
		t.Errorf("a second: got %v", got)
	}
	b.do(t, 200, "pauseKeyRotation", one, nil)
	b.do(t, 200, "resumeKeyRotation", one, nil)
	if got := b.do(t, 200, "cancelKeyRotation", one, nil); got["state"] != "cancelled" {
		t.Errorf("got %v", got)
	}
	b.do(t, 409, "resumeKeyRotation", one, nil)
	if items := b.do(t, 200, "listKeyRotations", in, nil)["items"].([]any); len(items) != 1 {
		t.Errorf("listed %v", items)
	}
	b.do(t, 200, "getKeyRotation", one, nil)
	b.do(t, 404, "getKeyRotation", map[string]any{"tenant": "acme", "rotation": "job_none"}, nil)
}
