package outbound_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/destination"
	"github.com/cofferdam-run/cofferdam/host/outbound"
)

func TestRedirectsAreFailures(t *testing.T) {
	t.Parallel()
	b := setup(t, openSQLite)
	r, elsewhere := b.receiver(t), b.receiver(t)
	d := r.listens(t, acme, false, "*")
	for _, status := range []int{301, 302, 303, 307, 308} {
		r.answers(status, "Location", elsewhere.URL)
		got, err := b.Test(t.Context(), acme, d.ID)
		must(t, err)
		if got.State != outbound.Failed || got.Attempts[0].Status != status || !strings.Contains(got.Attempts[0].Error, "redirect") {
			t.Errorf("%d: got %+v", status, got)
		}
	}
	if len(elsewhere.all()) > 0 {
		t.Error("a redirect was followed")
	}
}

func TestATestIsSentAtOnceAndOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bundle) {
		t.Helper()
		r := b.receiver(t)
		d := r.listens(t, destination.Operator, true, "record.*")
		off := true
		_, err := b.destinations.Update(t.Context(), destination.Operator, d.ID, destination.Change{Disabled: &off})
		must(t, err)
		got, err := b.Test(t.Context(), destination.Operator, d.Name)
		must(t, err)
		if got.State != outbound.Delivered || got.Type != outbound.TypeTest || got.Attempts[0].Status != http.StatusNoContent || got.Tenant != "" {
			t.Errorf("got %+v", got)
		}
		r.answers(http.StatusGone)
		got, err = b.Test(t.Context(), destination.Operator, d.Name)
		must(t, err)
		if got.State != outbound.Failed || got.Attempts[0].Status != http.StatusGone {
			t.Errorf("got %+v", got)
		}
		if _, err := b.Retry(t.Context(), destination.Operator, d.ID, got.ID); err == nil {
			t.Error("a test was sent again")
		}
		b.advance(24 * time.Hour)
		b.due(t)
		if n := len(r.all()); n != 2 {
			t.Errorf("%d arrived", n)
		}
	})
}

func TestAFailedDeliveryIsSentAgainWhenAsked(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bundle) {
		t.Helper()
		r := b.receiver(t)
		d := r.listens(t, acme, false, "*")
		r.answers(http.StatusInternalServerError)
		id := b.record(t, acme, "order", `{}`)
		b.due(t)
		x := b.only(t, acme, d)
		r.answers(http.StatusOK)
		x, err := b.Retry(t.Context(), acme, d.ID, x.ID)
		must(t, err)
		if x.State != outbound.Waiting || x.Tries != 0 || len(x.Attempts) != 1 {
			t.Errorf("got %+v", x)
		}
		b.due(t)
		if x = b.only(t, acme, d); x.State != outbound.Delivered || len(x.Attempts) != 2 || x.Message != id {
			t.Errorf("got %+v", x)
		}
		if _, err := b.Retry(t.Context(), acme, d.ID, x.ID); err == nil {
			t.Error("what was delivered was sent again")
		}
		for _, owner := range []string{other, destination.Operator} {
			if _, err := b.Get(t.Context(), owner, d.ID, x.ID); err == nil {
				t.Errorf("%s sees it", owner)
			}
		}
	})
}

func TestBothSecretsSignWhileOneIsReplaced(t *testing.T) {
	t.Parallel()
	b := setup(t, openSQLite)
	r := b.receiver(t)
	d := r.listens(t, acme, false, "*")
	_, renewed, err := b.destinations.Rotate(t.Context(), acme, d.ID, "", time.Hour)
	must(t, err)
	b.record(t, acme, "order", `{}`)
	b.due(t) // The receiver verifies with the one before.
	r.secrets = []string{renewed}
	b.record(t, acme, "order", `{}`)
	b.due(t) // And with the new one.
	b.advance(time.Hour)
	b.record(t, acme, "order", `{}`)
	b.due(t)
	var signatures []int
	for _, a := range r.all() {
		signatures = append(signatures, len(strings.Fields(a.Header.Get("Webhook-Signature"))))
	}
	if diff := cmp.Diff([]int{2, 2, 1}, signatures); diff != "" {
		t.Errorf("how many signatures (-want +got):\n%s", diff)
	}
}

func TestAnswersAreKeptShortAndWithoutSecrets(t *testing.T) {
	t.Parallel()
	b := setup(t, openSQLite)
	r := b.receiver(t)
	d := r.listens(t, acme, false, "*")
	url := r.URL + "/hooks/T0K3N-IN-PATH?key=s3cr3t-in-query"
	_, err := b.destinations.Update(t.Context(), acme, d.ID, destination.Change{URL: &url})
	must(t, err)
	r.answersWith(func(w http.ResponseWriter, q *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, "no\x00: %s %s %s %s ", q.URL, q.Header.Get("Webhook-Signature"), r.secrets[0], strings.Repeat("ü", 5000))
	})
	got, err := b.Test(t.Context(), acme, d.ID)
	must(t, err)
	text := got.Attempts[0].Answer
	if len(text) > 1024 || len(text) < 1000 || strings.ContainsAny(text, "\x00\uFFFD") {
		t.Errorf("got %d bytes: %q", len(text), text)
	}
	told := b.spans.GetSpans()
	if len(told) != 1 || told[0].Name != "outbound" || told[0].Status.Description != "not_taken" {
		t.Errorf("told %+v", told)
	}
	for _, secret := range []string{"T0K3N-IN-PATH", "s3cr3t-in-query", strings.TrimPrefix(r.secrets[0], "whsec_"), "v1,A"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in %q", secret, text[:200])
		}
		if strings.Contains(fmt.Sprint(told), secret) {
			t.Errorf("%q is told: %+v", secret, told)
		}
	}
}

func TestWhatIsNotKeptAnyMoreFails(t *testing.T) {
	t.Parallel()
	b := setup(t, openSQLite)
	r := b.receiver(t)
	d := r.listens(t, acme, false, "*")
	r.answers(http.StatusInternalServerError)
	b.record(t, acme, "order", `{}`)
	b.due(t)
	_, err := b.Store.Forget(t.Context(), acme, b.now().Add(time.Hour), b.now().Add(time.Hour))
	must(t, err)
	b.advance(time.Minute)
	b.due(t)
	if x := b.only(t, acme, d); x.State != outbound.Failed || !strings.Contains(x.Attempts[1].Error, "not kept") || len(r.all()) != 1 {
		t.Errorf("got %+v", x)
	}
	must(t, b.Sender.Forget(t.Context(), acme, b.now().Add(time.Hour)))
	if all, err := b.List(t.Context(), acme, d.ID, outbound.Filter{}); err != nil || len(all) > 0 {
		t.Errorf("got %v, %v", all, err)
	}
}

func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	b := setup(t, openSQLite)
	r := b.receiver(t)
	d := r.listens(t, acme, false, "*")
	r.Close()
	got, err := b.Test(t.Context(), acme, d.ID)
	must(t, err)
	if a := got.Attempts[0]; got.State != outbound.Failed || a.Status != 0 || a.Error == "" || strings.Contains(a.Error, "127.0.0.1") {
		t.Errorf("got %+v", got)
	}
}
