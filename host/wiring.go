package host

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/job"
	"github.com/cofferdam-run/cofferdam/host/redrive"
	"github.com/cofferdam-run/cofferdam/host/retention"
	"github.com/cofferdam-run/cofferdam/host/shadow"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/token"
	"github.com/cofferdam-run/cofferdam/host/usage"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/webhook"
	"github.com/cofferdam-run/cofferdam/host/worker"
	"github.com/cofferdam-run/cofferdam/registry"
)

// wiring is what the parts of a Host are connected by. The functions that it
// hands out are called only once New has returned.
type wiring struct {
	c     Config
	h     *Host
	vault *vault.Vault
	bell  *execution.Bell
	seeds *seeds
}

// nouns makes what a Host is made of.
func (w *wiring) nouns() {
	c, h := w.c, w.h
	h.Tenants = tenant.New(tenant.Config{
		Store: c.Store, Now: c.Now,
		Release: func(ctx context.Context, tenant string) error {
			return w.release(ctx, tenant, "", execution.ReasonPaused)
		},
		Deleted: w.deleted,
	})
	h.purger = retention.New(retention.Config{
		Store: c.Store, Default: c.Retention, Holder: w.newID(ident.Worker),
		Registerer: c.Metrics, Logger: c.Logger, Now: c.Now, After: c.After,
	})
	h.Plugins = registry.New(registry.Config{
		Store: c.Store, Publishers: c.Store, Blobs: c.Store,
		Runtime: h.runtime, Limits: c.Limits, Functions: w.functions(), Schemes: webhook.Schemes(),
		NewID: w.newID, Now: c.Now,
	})
	h.Connections = connection.New(connection.Config{
		Store: c.Store, Vault: w.vault, Now: c.Now,
		Renewed: func(ctx context.Context, tenant string) error {
			return w.release(ctx, tenant, "", execution.ReasonReconnect)
		},
	})
	h.Installations = installation.New(installation.Config{
		Store: c.Store, Registry: h.Plugins, Connection: w.connection, Now: c.Now,
		Release: func(ctx context.Context, tenant, id string) error {
			return w.release(ctx, tenant, id, execution.ReasonPaused)
		},
	})
	h.Endpoints = endpoint.New(endpoint.Config{
		Store: c.Store, Vault: w.vault, Webhook: w.webhook,
		NewSecret: webhook.NewSecret, CheckSecret: webhook.CheckSecret, Now: c.Now,
	})
	h.Webhooks = webhook.New(webhook.Config{Endpoints: h.Endpoints, Events: c.Store, Wake: w.wake, Now: c.Now})
	h.Executions = execution.New(execution.Config{
		Store: c.Store, Events: c.Store, Callable: w.callable,
		Wake: w.wake, Stop: func(id string) { h.worker.Stop(id) }, Bell: w.bell, Now: c.Now, After: c.After,
	})
	w.jobs()
	h.Tokens = token.New(token.Config{Store: c.Store, Now: c.Now})
	h.Usage = usage.New(usage.Config{Store: c.Store, Now: c.Now})
}

// jobs makes what does the long work.
func (w *wiring) jobs() {
	c, h := w.c, w.h
	h.Jobs = job.New(job.Config{Store: c.Store, Wake: func() { h.runner.Wake() }, Now: c.Now})
	h.Redrives = redrive.New(redrive.Config{Store: c.Store, Jobs: h.Jobs, Executions: h.Executions, Now: c.Now})
	h.Shadows = shadow.New(shadow.Config{
		Store: c.Store, Jobs: h.Jobs, Plugins: h.Plugins, Read: w.recordings, Installation: c.Store.Installation,
		Runtime: h.runtime, Functions: c.Functions, Limits: c.Limits, Now: c.Now,
	})
	h.runner = job.NewRunner(job.RunnerConfig{
		Store: c.Store, Handlers: map[string]job.Handler{redrive.Kind: h.Redrives, shadow.Kind: h.Shadows},
		Owner: w.newID(ident.Worker), Now: c.Now, After: c.After, Logger: c.Logger,
	})
}

// work makes what runs executions.
func (w *wiring) work() {
	c, h := w.c, w.h
	w.seeds = &seeds{store: c.Store, vault: w.vault, secrets: map[string][]byte{}}
	h.sandbox = worker.NewSandbox(worker.SandboxConfig{
		Records: c.Store, Plugins: h.Plugins, Runtime: h.runtime,
		Tenant: c.Store.Tenant, Installation: c.Store.Installation, Credentials: h.Connections.For,
		Egress: h.egress, Functions: c.Functions, Limits: c.Limits, Seed: w.seeds.of, Unjournaled: c.Unjournaled,
		Now: c.Now, After: c.After,
	})
	h.worker = worker.New(worker.Config{
		Store: c.Store, Runner: h.sandbox, Name: func() string { return w.newID(ident.Worker) },
		Slots: c.Slots, Lease: c.Lease, Drain: c.Drain, Attempts: c.Attempts,
		Changed: w.bell.Ring, Registerer: c.Metrics, Logger: c.Logger, Now: c.Now, After: c.After,
	})
}

func (w *wiring) newID(prefix string) string { return ident.New(prefix, w.c.Now()) }

// functions names the host app's functions.
func (w *wiring) functions() []string {
	names := make([]string, len(w.c.Functions))
	for i, f := range w.c.Functions {
		names[i] = f.Name
	}
	return names
}

// wake tells this process and the others that a tenant has work.
func (w *wiring) wake(ctx context.Context, tenant string) {
	w.h.worker.Wake(tenant)
	w.c.Store.Wake(ctx, tenant)
}

// deleted drops what this process holds of a tenant's key, and has the rest taken
// away. Other processes hold it until they need the room, or end.
func (w *wiring) deleted(tenant string) {
	w.vault.Forget(tenant)
	w.seeds.forget(tenant)
	w.h.purger.Nudge()
}

// release queues what waited for something that has come.
func (w *wiring) release(ctx context.Context, tenant, installation, reason string) error {
	n, err := w.c.Store.Release(ctx, tenant, installation, reason)
	if err != nil {
		return fmt.Errorf("queue what waited: %w", err)
	}
	if n > 0 {
		w.wake(ctx, tenant)
		w.bell.Ring(tenant)
	}
	return nil
}

func (w *wiring) connection(ctx context.Context, tenant, idOrName string) (string, error) {
	c, err := w.h.Connections.Get(ctx, tenant, idOrName)
	return c.ID, err
}

func (w *wiring) callable(ctx context.Context, tenant, id string, kind event.Kind, name string, input json.RawMessage) (string, error) {
	i, err := w.h.Installations.Callable(ctx, tenant, id, kind, name, input)
	return i.ID, err
}

// webhook finds the scheme of an installation's webhook.
func (w *wiring) webhook(ctx context.Context, tenant, idOrName, name string) (id, scheme string, err error) {
	i, err := w.h.Installations.Get(ctx, tenant, idOrName)
	if err != nil {
		return "", "", err
	}
	// The version was the tenant's to install: whether it may still see it does not matter.
	v, err := w.h.Plugins.Resolve(ctx, registry.Viewer{Operator: true}, i.VersionID)
	if err != nil {
		return "", "", err
	}
	for _, hook := range v.Manifest.Webhooks {
		if hook.Name == name {
			return i.ID, hook.Scheme, nil
		}
	}
	return "", "", fault.NotFound("webhook", name).At("webhook").
		WithHint("The webhooks of %s %s are in its manifest: see `cofferdam plugin show %s`.", v.Name, v.Version, v.Name)
}
