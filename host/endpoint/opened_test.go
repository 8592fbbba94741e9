package endpoint_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/vault"
)

func (b *bundle) secrets(t *testing.T, id string) []string {
	t.Helper()
	o, err := b.endpoints.Open(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return o.Secrets(b.now)
}

func TestARotatedSecretCountsUntilItsEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := b.create(t)
	if _, _, err := b.endpoints.Rotate(t.Context(), tenant, e.ID, "second", time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.endpoints.Rotate(t.Context(), tenant, e.ID, "third", time.Minute); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		after time.Duration
		want  []string
	}{
		{0, []string{"third", "second", "s3cr3t"}},
		{time.Minute - 1, []string{"third", "second", "s3cr3t"}},
		{time.Minute, []string{"third"}}, // A later rotation shortens what an earlier one kept.
	} {
		b.now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(step.after)
		if diff := cmp.Diff(step.want, b.secrets(t, e.ID)); diff != "" {
			t.Errorf("after %s: -want +got:\n%s", step.after, diff)
		}
	}
	for _, keep := range []time.Duration{-1, endpoint.MaxKeep + 1} {
		if _, _, err := b.endpoints.Rotate(t.Context(), tenant, e.ID, "fourth", keep); err == nil {
			t.Errorf("the old secret may count for %s", keep)
		}
	}
}

func TestFourSecretsCountAtMost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := b.create(t)
	for _, secret := range []string{"2", "3", "4", "5", "6", "6"} {
		if _, _, err := b.endpoints.Rotate(t.Context(), tenant, e.ID, secret, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"6", "5", "4", "3"}, b.secrets(t, e.ID)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestWhatWasSealedAloneIsASecret(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := b.create(t)
	sealed, err := b.config.Vault.Seal(t.Context(), vault.Field{Tenant: tenant, Table: "endpoints", Record: e.ID, Name: "secret", Version: 1}, []byte("from before"))
	if err != nil {
		t.Fatal(err)
	}
	b.store.rows[e.ID] = row{e, sealed}
	b.wantOpen(t, b.endpoints, e.ID, "from before")
	if _, _, err := b.endpoints.Rotate(t.Context(), tenant, e.ID, "new", time.Hour); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"new", "from before"}, b.secrets(t, e.ID)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestParametersThatAreSecretAreSealed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	spec := endpoint.Spec{Installation: "hello", Webhook: "issues", Parameters: map[string]string{"token": "t0k3n"}}
	e, _, err := b.endpoints.Create(t.Context(), tenant, spec)
	if err != nil {
		t.Fatal(err)
	}
	shown, err := json.Marshal(b.store.rows[e.ID].Endpoint)
	if err != nil || strings.Contains(string(shown), "t0k3n") {
		t.Errorf("stored as %s, %v", shown, err)
	}
	o, err := b.endpoints.Open(t.Context(), e.ID)
	if err != nil || o.Told()["token"] != "t0k3n" {
		t.Errorf("got %v, %v", o.Told(), err)
	}
	e, err = b.endpoints.Update(t.Context(), tenant, e.ID, endpoint.Change{Parameters: map[string]string{"url": "https://example.com"}})
	if err != nil || e.Parameters["url"] != "https://example.com" || e.Version != 2 {
		t.Errorf("got %+v, %v", e, err)
	}
	if o, err := b.endpoints.Open(t.Context(), e.ID); err != nil || !cmp.Equal(o.Told(), map[string]string{"url": "https://example.com"}) || len(o.Secrets(b.now)) != 1 {
		t.Errorf("got %v, %v", o, err)
	}
	_, err = b.endpoints.Update(t.Context(), tenant, e.ID, endpoint.Change{Parameters: map[string]string{"x": "y"}})
	wantStatus(t, "an unknown parameter", err, 422)
	_, err = b.endpoints.Update(t.Context(), "ten_b", e.ID, endpoint.Change{Parameters: map[string]string{}})
	wantStatus(t, "another tenant", err, 404)
}

func TestADescriptorOfItsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	spec := endpoint.Spec{Installation: "hello", Webhook: "issues", Descriptor: json.RawMessage(`{"weak":1}`)}
	_, _, err := b.endpoints.Create(t.Context(), tenant, spec)
	if got := fault.From(err); got == nil || got.Code != "weak_scheme" || !strings.Contains(got.Message, "anybody can sign") {
		t.Errorf("got %v, want weak_scheme", err)
	}
	spec.AllowWeak = true
	e, secret, err := b.endpoints.Create(t.Context(), tenant, spec)
	if err != nil || e.Scheme != "own" || string(e.Descriptor) != `{"weak":1}` || secret != "own-made-1" {
		t.Errorf("got %+v, %q, %v", e, secret, err)
	}
}

func TestAHandshakeBringsTheSecretOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e, secret, err := b.endpoints.Create(t.Context(), tenant, endpoint.Spec{Installation: "hello", Webhook: "issues", Descriptor: json.RawMessage(`"adopts"`)})
	if err != nil || secret != "" {
		t.Fatalf("got %q, %v", secret, err)
	}
	_, _, err = b.endpoints.Adopted(t.Context(), tenant, e.ID)
	wantStatus(t, "before the handshake", err, 409)
	for range 2 { // A vendor that tries again brings the same.
		if err := b.endpoints.Adopt(t.Context(), tenant, e.ID, "brought"); err != nil {
			t.Fatal(err)
		}
	}
	b.wantOpen(t, b.endpoints, e.ID, "brought")
	if _, got, err := b.endpoints.Adopted(t.Context(), tenant, e.ID); err != nil || got != "brought" {
		t.Errorf("got %q, %v", got, err)
	}
	_, _, err = b.endpoints.Adopted(t.Context(), "ten_b", e.ID)
	wantStatus(t, "another tenant", err, 404)
	wantStatus(t, "another secret", b.endpoints.Adopt(t.Context(), tenant, e.ID, "forged"), 403)
	b.now = b.now.Add(time.Hour)
	_, _, err = b.endpoints.Adopted(t.Context(), tenant, e.ID)
	wantStatus(t, "an hour later", err, 409)

	if _, _, err := b.endpoints.Rotate(t.Context(), tenant, e.ID, "", 2*time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := b.endpoints.Adopt(t.Context(), tenant, e.ID, "again"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"again", "brought"}, b.secrets(t, e.ID)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if _, _, err := b.endpoints.Rotate(t.Context(), tenant, e.ID, "", 0); err != nil {
		t.Fatal(err)
	}
	b.now = b.now.Add(time.Hour)
	wantStatus(t, "too late", b.endpoints.Adopt(t.Context(), tenant, e.ID, "late"), 403)
}

func TestAnEndpointWithASecretAdoptsNone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := b.create(t)
	wantStatus(t, "adopt", b.endpoints.Adopt(t.Context(), tenant, e.ID, "forged"), 403)
	b.wantOpen(t, b.endpoints, e.ID, "s3cr3t")
}
