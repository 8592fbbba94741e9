package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/database"
	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/demo"
	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
	"github.com/cofferdam-run/cofferdam/host/webhook/signature"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// rig is a host at whose door is measured.
type rig struct {
	store   store.Store
	host    *host.Host
	handler http.Handler
	// scheme signs deliveries: finding it for each would cost more than taking them.
	scheme *signature.Scheme
}

// vendor delivers to a tenant's endpoint.
type vendor struct {
	r        *rig
	tenant   string
	endpoint string
	secret   string
	body     []byte
}

const manifest = `{"name":"tiny","version":"1.0.0","webhooks":[{"name":"issues","scheme":"github"}]}`

// newRig wires a host on an empty database, with a guest published that does nothing.
func newRig(ctx context.Context, d *database.Database) (*rig, error) {
	address, err := d.Create(ctx)
	if err != nil {
		return nil, err
	}
	db, err := d.Store(ctx, address)
	if err != nil {
		return nil, err
	}
	r := &rig{store: db}
	if r.scheme, err = signature.Find("github"); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := r.wire(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return r, nil
}

func (r *rig) wire(ctx context.Context) error {
	if _, _, err := r.store.Migrate(ctx); err != nil {
		return err
	}
	keeper, err := keyfile.FromKey([32]byte{1})
	if err != nil {
		return err
	}
	r.host, err = host.New(ctx, host.Config{Store: r.store, Keeper: keeper, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	r.handler = api.Handler(r.host, api.Options{Logger: slog.New(slog.DiscardHandler)})
	operator, err := r.host.Plugins.PublisherOf(ctx, registry.Viewer{Operator: true})
	if err != nil {
		return err
	}
	tiny := runtimetest.Outputs(map[string]string{"describe": manifest, "webhook": `{}`})
	_, err = r.host.Plugins.Publish(ctx, operator.ID, registry.Upload{Wasm: bytes.NewReader(tiny)})
	return err
}

func (r *rig) close(ctx context.Context) error {
	return errors.Join(r.host.Close(ctx), r.store.Close())
}

// enroll makes a tenant with an endpoint.
func (r *rig) enroll(ctx context.Context, name string) (*vendor, error) {
	t, err := r.host.Tenants.Create(ctx, name, "", tenant.Limits{})
	if err != nil {
		return nil, err
	}
	in, err := r.host.Installations.Create(ctx, t.ID, installation.Spec{Plugin: "tiny"})
	if err != nil {
		return nil, err
	}
	e, secret, err := r.host.Endpoints.Create(ctx, t.ID, endpoint.Spec{Installation: in.ID, Webhook: "issues"})
	if err != nil {
		return nil, err
	}
	body, err := demo.Opened(name, "widgets", 7)
	return &vendor{r: r, tenant: t.ID, endpoint: e.ID, secret: secret, body: body}, err
}

// send makes one new delivery, and returns the answer.
func (v *vendor) send(ctx context.Context) (*httptest.ResponseRecorder, error) {
	signed, err := v.r.scheme.Sign(signature.Outgoing{
		Request: signature.Request{Method: http.MethodPost, Body: v.body}, Secret: v.secret, ID: rand.Text(), At: time.Now(),
	})
	if err != nil {
		return nil, err
	}
	req := httptest.NewRequestWithContext(ctx, http.MethodPost, "/hooks/"+v.endpoint, bytes.NewReader(v.body))
	req.Header = signed.Header
	req.Header.Set("X-GitHub-Event", "issues")
	req.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	v.r.handler.ServeHTTP(w, req)
	return w, nil
}

// deliver makes one new delivery that is accepted.
func (v *vendor) deliver(ctx context.Context) error {
	w, err := v.send(ctx)
	if err == nil && w.Code != http.StatusAccepted {
		return fmt.Errorf("deliver: %d: %s", w.Code, w.Body)
	}
	return err
}

// stored is how many executions the tenant has queued, which none takes away.
func (v *vendor) stored(ctx context.Context) (int, error) {
	return v.r.store.Queued(ctx, v.tenant, "", "", 1<<30)
}
