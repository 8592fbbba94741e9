package webhook_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/vault/vaulttest"
	"github.com/cofferdam-run/cofferdam/host/webhook"
)

const tenant = "ten_a"

// endpoints keeps endpoints in memory; what a delivery does not need is left out.
type endpoints struct {
	endpoint.Store
	kept   map[string]endpoint.Endpoint
	sealed map[string][]byte
}

func (s *endpoints) InsertEndpoint(_ context.Context, e endpoint.Endpoint, sealed []byte) error {
	s.kept[e.ID], s.sealed[e.ID] = e, bytes.Clone(sealed)
	return nil
}

func (s *endpoints) Endpoint(_ context.Context, _, id string) (endpoint.Endpoint, error) {
	return s.kept[id], nil
}

func (s *endpoints) UpdateEndpoint(ctx context.Context, e endpoint.Endpoint, sealed []byte) error {
	return s.InsertEndpoint(ctx, e, sealed)
}

func (s *endpoints) Delivery(_ context.Context, id string) (endpoint.Endpoint, []byte, error) {
	if e, ok := s.kept[id]; ok {
		return e, s.sealed[id], nil
	}
	return endpoint.Endpoint{}, nil, fault.NotFound("endpoint", id)
}

// events keeps events in memory, by the contract of event.Store.
type events struct {
	event.Store
	byKey map[string]string
	kept  []event.Event
	works []event.Work
	err   error
}

func (s *events) Accept(_ context.Context, e event.Event, w *event.Work) (event.Accepted, error) {
	if s.err != nil {
		return event.Accepted{}, s.err
	}
	key := e.Tenant + "\x00" + e.Source + "\x00" + e.DedupeKey
	if first, ok := s.byKey[key]; ok {
		return event.Accepted{Event: first, Duplicate: true}, nil
	}
	s.byKey[key] = e.ID
	s.kept, s.works = append(s.kept, e), append(s.works, *w)
	return event.Accepted{Event: e.ID, Execution: w.Execution}, nil
}

type bundle struct {
	scheme    string
	secret    string
	endpoint  endpoint.Endpoint
	store     *endpoints
	endpoints *endpoint.Endpoints
	events    *events
	woken     []string
	intake    *webhook.Intake
	now       time.Time
}

func setup(tb testing.TB, scheme, secret string) *bundle {
	tb.Helper()
	b := &bundle{
		scheme: scheme,
		store:  &endpoints{kept: map[string]endpoint.Endpoint{}, sealed: map[string][]byte{}},
		events: &events{byKey: map[string]string{}},
		now:    time.Date(2026, 1, 2, 3, 4, 5, 999e6, time.UTC),
	}
	clock := func() time.Time { return b.now }
	b.endpoints = endpoint.New(endpoint.Config{
		Store: b.store,
		Vault: vaulttest.New(tb),
		Webhook: func(context.Context, string, string, string) (endpoint.Webhook, error) {
			return endpoint.Webhook{Installation: "ins_1", Scheme: b.scheme}, nil
		},
		Scheme: webhook.NewCatalog().Scheme, Now: clock,
	})
	b.intake = webhook.New(webhook.Config{
		Endpoints: b.endpoints, Events: b.events, Now: clock,
		Wake: func(_ context.Context, tenant string) { b.woken = append(b.woken, tenant) },
	})
	var err error
	b.endpoint, b.secret, err = b.endpoints.Create(tb.Context(), tenant, endpoint.Spec{Installation: "ins_1", Webhook: "issues", Secret: secret})
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// signed returns a delivery as the vendor would make it.
func (b *bundle) signed(tb testing.TB, id string, body []byte) webhook.Delivery {
	tb.Helper()
	h, err := webhook.Sign(b.scheme, b.secret, id, b.now, body)
	if err != nil {
		tb.Fatal(err)
	}
	return webhook.Delivery{Endpoint: b.endpoint.ID, Method: "POST", Path: "/hooks/" + b.endpoint.ID, Header: h, Body: body}
}

// refused checks that a delivery is refused with a code and status, and leaves nothing.
func (b *bundle) refused(t *testing.T, d webhook.Delivery, code string, status int) {
	t.Helper()
	accepted, err := b.intake.Receive(t.Context(), d)
	got := fault.From(err)
	if got == nil || got.Code != code || fault.Status(got) != status {
		t.Errorf("got %v, want %s with %d", err, code, status)
	}
	if accepted.Accepted != (event.Accepted{}) || len(b.events.kept) != 0 || len(b.woken) != 0 {
		t.Errorf("it left %v, %d events, %d wakes", accepted, len(b.events.kept), len(b.woken))
	}
	if err != nil && strings.Contains(err.Error(), b.secret) {
		t.Errorf("the secret is in the error: %v", err)
	}
}

func TestReceiveStoresADelivery(t *testing.T) {
	t.Parallel()
	b := setup(t, "github", "")
	d := b.signed(t, "72d3162e", []byte(`{"action":"opened"}`))
	d.Query = "a=\xff"
	for name, value := range map[string]string{
		"X-GitHub-Event": "issues", "Content-Type": "application/json", "User-Agent": "caf\xe9",
		"Authorization": "Bearer x", "Cookie": "x", "Proxy-Authorization": "x", "Proxy-Foo": "x", "X-Hub-Signature": "sha1=x",
		"Webhook-Signature": "x", "X-Gitlab-Token": "x", "X-Shopify-Hmac-Sha256": "x", "X-Api-Key": "x", "X-Client-Secret": "x",
	} {
		d.Header.Set(name, value)
	}
	d.Header.Add("X-Twice", "1")
	d.Header.Add("X-Twice", "2")
	accepted, err := b.intake.Receive(t.Context(), d)
	if err != nil || len(b.events.kept) != 1 {
		t.Fatalf("got %v, %v", accepted, err)
	}
	got, work := b.events.kept[0], b.events.works[0]
	want := event.Event{
		ID: accepted.Event, Tenant: tenant, Installation: "ins_1", Kind: event.Webhook, Name: "issues",
		Source: b.endpoint.ID, DedupeKey: "72d3162e",
		Request: &event.Request{
			Method: "POST", Path: "/hooks/" + b.endpoint.ID, Query: "a=\uFFFD",
			Headers: map[string][]string{
				"x-github-delivery": {"72d3162e"}, "x-github-event": {"issues"}, "content-type": {"application/json"},
				"user-agent": {"caf\uFFFD"}, "x-twice": {"1", "2"},
			},
		},
		Body: []byte(`{"action":"opened"}`), ReceivedAt: b.now,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if want := (event.Work{Execution: accepted.Execution, Lane: event.Live}); work != want || !strings.HasPrefix(work.Execution, "exe_") {
		t.Errorf("got %v, want %v", work, want)
	}
	if diff := cmp.Diff([]string{tenant}, b.woken); diff != "" {
		t.Errorf("woken: -want +got:\n%s", diff)
	}
}

func TestReceiveKnowsDuplicates(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"github", "standard-webhooks"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			b := setup(t, scheme, "")
			first, err := b.intake.Receive(t.Context(), b.signed(t, "one", []byte("{}")))
			if err != nil || first.Duplicate {
				t.Fatalf("got %v, %v", first, err)
			}
			b.now = b.now.Add(time.Minute) // A vendor that tries again signs again.
			again, err := b.intake.Receive(t.Context(), b.signed(t, "one", []byte("{}")))
			if err != nil || !again.Duplicate || again.Event != first.Event || again.Execution != "" {
				t.Errorf("got %v, %v, want a duplicate of %s", again, err, first.Event)
			}
			if _, err := b.intake.Receive(t.Context(), b.signed(t, "two", []byte("{}"))); err != nil {
				t.Error(err)
			}
			if len(b.events.kept) != 2 || len(b.woken) != 2 {
				t.Errorf("got %d events and %d wakes, want 2", len(b.events.kept), len(b.woken))
			}
		})
	}
}

func TestReceiveRefuses(t *testing.T) {
	t.Parallel()
	t.Run("an unknown endpoint", func(t *testing.T) {
		t.Parallel()
		b := setup(t, "github", "")
		d := b.signed(t, "one", nil)
		d.Endpoint = "end_00000000000000000000000000"
		b.refused(t, d, fault.CodeNotFound, 404)
	})
	t.Run("a disabled endpoint", func(t *testing.T) {
		t.Parallel()
		b := setup(t, "github", "")
		if _, err := b.endpoints.Disable(t.Context(), tenant, b.endpoint.ID, true); err != nil {
			t.Fatal(err)
		}
		b.refused(t, b.signed(t, "one", nil), fault.CodeEndpointDisabled, 410)
	})
	t.Run("a rotated secret", func(t *testing.T) {
		t.Parallel()
		b := setup(t, "github", "")
		d := b.signed(t, "one", nil)
		if _, _, err := b.endpoints.Rotate(t.Context(), tenant, b.endpoint.ID, "", 0); err != nil {
			t.Fatal(err)
		}
		b.refused(t, d, "signature_invalid", 401)
	})
	t.Run("an endpoint whose scheme is of a newer program", func(t *testing.T) {
		t.Parallel()
		b := setup(t, "github", "")
		d := b.signed(t, "one", nil)
		e := b.store.kept[b.endpoint.ID]
		e.Scheme = "of-tomorrow"
		b.store.kept[e.ID] = e
		b.refused(t, d, fault.CodeInternal, 500)
	})
}

func TestReceivePassesOnWhatTheStoreSays(t *testing.T) {
	t.Parallel()
	b := setup(t, "github", "")
	b.events.err = errors.New("disk full")
	if _, err := b.intake.Receive(t.Context(), b.signed(t, "one", nil)); !errors.Is(err, b.events.err) || len(b.woken) != 0 {
		t.Errorf("got %v and %d wakes", err, len(b.woken))
	}
}

func TestPing(t *testing.T) {
	t.Parallel()
	b := setup(t, "github", "")
	d := b.signed(t, "one", []byte(`{"zen":"Design for failure."}`))
	d.Header.Set("X-GitHub-Event", "ping")
	accepted, err := b.intake.Receive(t.Context(), d)
	if err != nil || accepted.Accepted != (event.Accepted{}) || len(b.events.kept) != 0 || len(b.woken) != 0 {
		t.Errorf("got %v, %v, %d events", accepted, err, len(b.events.kept))
	}
	d.Body = []byte("{}")
	b.refused(t, d, "signature_invalid", 401)
	t.Run("is GitHub's alone", func(t *testing.T) {
		t.Parallel()
		b := setup(t, "standard-webhooks", "")
		d := b.signed(t, "one", nil)
		d.Header.Set("X-GitHub-Event", "ping")
		if accepted, err := b.intake.Receive(t.Context(), d); err != nil || accepted.Event == "" {
			t.Errorf("got %v, %v", accepted, err)
		}
	})
}

func TestWakeMayBeNil(t *testing.T) {
	t.Parallel()
	b := setup(t, "github", "")
	b.intake = webhook.New(webhook.Config{Endpoints: b.endpoints, Events: b.events, Now: func() time.Time { return b.now }})
	if _, err := b.intake.Receive(t.Context(), b.signed(t, "one", nil)); err != nil {
		t.Error(err)
	}
}

func FuzzReceive(f *testing.F) {
	f.Add("github", "one", "", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17", []byte("Hello, World!"))
	f.Add("standard-webhooks", "msg_1", "1767323045", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= v1a,x", []byte("{}"))
	f.Add("standard-webhooks", "msg.1", "+1", "v1,", []byte{0xff})
	bundles := map[string]*bundle{}
	for _, scheme := range []string{"github", "standard-webhooks"} {
		bundles[scheme] = setup(f, scheme, "") // A new secret, which no input can have been signed with.
	}
	f.Fuzz(func(t *testing.T, scheme, id, timestamp, signature string, body []byte) {
		b, ok := bundles[scheme]
		if !ok {
			t.Skip("no such scheme")
		}
		h := http.Header{}
		for _, name := range []string{"X-Github-Delivery", "Webhook-Id", "Svix-Id"} {
			h.Set(name, id)
		}
		for _, name := range []string{"X-Hub-Signature-256", "Webhook-Signature"} {
			h[name] = strings.Split(signature, "\n")
		}
		h.Set("Webhook-Timestamp", timestamp)
		if _, err := b.intake.Receive(t.Context(), webhook.Delivery{Endpoint: b.endpoint.ID, Method: "POST", Header: h, Body: body}); err == nil {
			t.Error("accepted what nobody signed")
		}
	})
}
