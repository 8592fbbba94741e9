package host

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cofferdam-run/cofferdam/host/alert"
	"github.com/cofferdam-run/cofferdam/host/app"
	"github.com/cofferdam-run/cofferdam/host/archive"
	"github.com/cofferdam-run/cofferdam/host/audit"
	"github.com/cofferdam-run/cofferdam/host/authorization"
	"github.com/cofferdam-run/cofferdam/host/connect"
	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/destination"
	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/health"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/job"
	"github.com/cofferdam-run/cofferdam/host/notice"
	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/host/outbound"
	"github.com/cofferdam-run/cofferdam/host/pace"
	"github.com/cofferdam-run/cofferdam/host/redeliver"
	"github.com/cofferdam-run/cofferdam/host/redrive"
	"github.com/cofferdam-run/cofferdam/host/retention"
	"github.com/cofferdam-run/cofferdam/host/schedule"
	"github.com/cofferdam-run/cofferdam/host/shadow"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/token"
	"github.com/cofferdam-run/cofferdam/host/usage"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/vault/rotation"
	"github.com/cofferdam-run/cofferdam/host/webhook"
	"github.com/cofferdam-run/cofferdam/host/webhook/admission"
	"github.com/cofferdam-run/cofferdam/host/webhook/signature"
	"github.com/cofferdam-run/cofferdam/host/worker"
	"github.com/cofferdam-run/cofferdam/hostfns"
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
	// ailing knows what to do about connections that do not work.
	ailing *ailing
	// oauth speaks with authorization servers.
	oauth *oauth.Client
	// worker is the name that this process runs executions by.
	worker atomic.Pointer[string]
}

// connects makes what speaks with authorization servers: through the guard that guests'
// requests pass, for tenants name addresses.
func (w *wiring) connects() error {
	client, err := oauth.New(oauth.Config{
		Transport: w.h.asks, Flows: connect.NewFlows(w.c.Store, w.vault), Now: w.c.Now,
		// The address of this host itself may be one, for development.
		Loopback: strings.HasPrefix(w.c.PublicURL, "http://"),
	})
	if err != nil {
		return fmt.Errorf("configure host: %w", err)
	}
	w.oauth = client
	return nil
}

// nouns makes what a Host is made of.
func (w *wiring) nouns() {
	c, h := w.c, w.h
	h.Tenants = tenant.New(tenant.Config{
		Store: c.Store, Now: c.Now,
		Release: func(ctx context.Context, tenant string) error {
			return w.release(ctx, tenant, "", execution.ReasonPaused)
		},
		Grace: c.DeletionGrace, Leave: w.leave, Deleted: w.deleted,
	})
	h.purger = retention.New(retention.Config{
		Store: c.Store, Default: c.Retention, Fresh: w.vault.Fresh(), Leave: w.leaving, Destroyed: w.forget, Forget: w.forgetSent, Holder: w.newID(ident.Worker),
		Registerer: c.Metrics, Logger: c.Logger, Now: c.Now, After: c.After,
	})
	h.Plugins = registry.New(registry.Config{
		Store: c.Store, Publishers: c.Store, Blobs: c.Store,
		Runtime: h.runtime, Limits: c.Limits, Functions: w.functions(), Schemes: webhook.Schemes(), Provider: c.Providers.Check, Descriptor: webhook.CheckDescriptor,
		RequireSignatures: c.RequireSignatures, NewID: w.newID, Now: c.Now,
	})
	h.Installations = installation.New(installation.Config{
		Store: c.Store, Across: c.Store, Registry: h.Plugins, Connection: w.connection, Now: c.Now, After: c.After, Logger: c.Logger,
		Release: func(ctx context.Context, tenant, id string) error {
			return w.release(ctx, tenant, id, execution.ReasonPaused)
		},
	})
	w.webhooks()
	h.Executions = execution.New(execution.Config{
		Store: c.Store, Events: c.Store, Callable: w.callable,
		Wake: w.wake, Stop: func(id string) { h.worker.Stop(id) }, Clock: c.Store.Now, Bell: w.bell, Now: c.Now, After: c.After,
	})
	h.Schedules = schedule.New(schedule.Config{
		Store: c.Store, Callable: w.callable, Every: w.every, Execution: h.Executions.Get, Cancel: h.Executions.Cancel,
		Wake: func(ctx context.Context, tenant string) {
			w.wake(ctx, tenant)
			w.bell.Ring(tenant)
		},
		Clock: c.Store.Now, Tracer: h.Tracer, Registerer: c.Metrics, Logger: c.Logger, After: c.After,
	})
	w.jobs()
	h.Tokens = token.New(token.Config{
		Store: c.Store, Seal: w.sealTokenKey, Open: w.openTokenKey, Logger: c.Logger, Now: c.Now, After: c.After,
	})
	h.Usage = usage.New(usage.Config{Store: c.Store, Now: c.Now})
	h.Notices = notice.New(notice.Config{
		Store: c.Store, Notify: c.Notify, Holder: w.newID(ident.Worker), Logger: c.Logger, Now: c.Now, After: c.After,
	})
	w.leaves()
	h.Archive = archive.New(archive.Config{Source: c.Store, Now: c.Now})
}

// leaves makes what tells others: destinations, what sends to them, and what looks for what
// is to be told.
func (w *wiring) leaves() {
	c, h := w.c, w.h
	h.Destinations = destination.New(destination.Config{
		Store: c.Store, Vault: w.vault, Check: w.reachable, Wake: func() { h.Outbound.Wake() }, Now: c.Now,
	})
	h.Outbound = outbound.New(outbound.Config{
		Store: c.Store, Destinations: h.Destinations, Transport: h.asks, Explain: w.explain, Holder: w.newID(ident.Worker),
		Off: func(d destination.Destination, _ string) { // The notice is durable.
			h.Audit.Later(audit.Entry{Who: audit.Host, Tenant: d.Seen().Tenant, Action: "destination.disabled", Object: d.ID, Result: audit.Done})
		},
		Tracer: h.Tracer, Registerer: c.Metrics, Logger: c.Logger, Now: c.Now, After: c.After,
	})
	h.forgetOwn = func(ctx context.Context) error {
		return w.forgetSent(ctx, destination.Operator, c.Now().Add(-c.Retention.Age()))
	}
	h.Alerts = alert.New(alert.Config{
		Store: c.Store, Tell: h.Notices.Tell, Find: w.watched, Holder: w.newID(ident.Worker), Logger: c.Logger, Now: c.Now, After: c.After,
	})
}

// reachable refuses a destination's URL to which the guard lets nothing through.
func (w *wiring) reachable(ctx context.Context, text string) error {
	u, err := url.Parse(text)
	if err == nil {
		err = w.h.asks.Reachable(ctx, u)
	}
	if err == nil {
		return nil
	}
	return fault.New(fault.Denied, "url_refused", "nothing is sent there: %s", plainly(err)).At("/url").
		WithHint("Use an https URL at a public address. The operator can allow others: see --egress-allow of `cofferdam serve`.")
}

// explain says why there was no answer, in words for whoever named the address.
func (w *wiring) explain(r *http.Request, err error) error {
	return errors.New(plainly(w.h.asks.Explain(r, err)))
}

// plainly is what an error of egress says to people.
func plainly(err error) string {
	if told, ok := errors.AsType[*hostfns.Error](err); ok {
		return told.Message
	}
	return err.Error()
}

// watched finds what may be silent, or may fail.
func (w *wiring) watched(ctx context.Context, tenant, object string) (alert.Subject, error) {
	switch {
	case strings.HasPrefix(object, ident.Endpoint):
		e, err := w.h.Endpoints.Get(ctx, tenant, object)
		return alert.Subject{ID: e.ID, Name: e.Webhook, Installation: e.Installation, Idle: e.Disabled}, err
	case strings.HasPrefix(object, ident.Installation):
		i, err := w.c.Store.Installation(ctx, tenant, object)
		return alert.Subject{ID: i.ID, Name: i.Name, Installation: i.ID}, err
	}
	s, err := w.h.Schedules.Get(ctx, tenant, object)
	return alert.Subject{ID: s.ID, Name: s.Name, Installation: s.Installation, Idle: s.State != schedule.Active}, err
}

// forgetSent deletes what was sent longer ago than a tenant keeps things.
func (w *wiring) forgetSent(ctx context.Context, tenant string, before time.Time) error {
	err := w.h.Outbound.Forget(ctx, tenant, before)
	if err != nil && fault.From(err).Code == fault.CodeSchemaTooOld {
		return nil // There is nothing yet.
	}
	return err
}

// webhooks makes what takes vendors' deliveries. Vendors are asked for certificates and keys
// through the guard that guests' requests pass, for deliveries name addresses.
func (w *wiring) webhooks() {
	c, h := w.c, w.h
	catalog := webhook.NewCatalog()
	h.Endpoints = endpoint.New(endpoint.Config{Store: c.Store, Vault: w.vault, Webhook: w.webhook, Scheme: catalog.Scheme, Now: c.Now})
	h.Webhooks = webhook.New(webhook.Config{
		Endpoints: h.Endpoints, Events: c.Store, Catalog: catalog, PublicURL: c.PublicURL, Wake: w.wake,
		Gate: admission.New(admission.Config{Bounds: c.Ingest, Queue: c.Store, Now: c.Now}), Limits: w.limits,
		Verify:  func(ctx context.Context, q webhook.Question) ([]byte, error) { return h.sandbox.Verify(ctx, q) },
		Vendors: signature.NewVendors(signature.VendorsConfig{Transport: h.asks, Now: c.Now}),
		Tracer:  h.Tracer, Registerer: c.Metrics, Logger: c.Logger, Now: c.Now,
	})
}

// limits finds what bounds a tenant's webhooks.
func (w *wiring) limits(ctx context.Context, id string) (admission.Limits, error) {
	t, err := w.h.Tenants.Get(ctx, id)
	return admission.Limits{Rate: t.Limits.Rate, Burst: t.Limits.Burst, Queued: cmp.Or(t.Limits.Queued, tenant.DefaultQueued)}, err
}

// accounts makes what tenants' accounts at third parties are made of: apps, what users
// have agreed to with them, and connections.
func (w *wiring) accounts() (err error) {
	c, h := w.c, w.h
	w.ailing = newAiling(w)
	h.Apps = app.New(app.Config{
		Store: c.Store, Vault: w.vault, Client: w.oauth, Providers: c.Providers, PublicURL: c.PublicURL, Now: c.Now,
		Described: w.described,
	})
	h.Authorizations, err = authorization.New(authorization.Config{
		Store: c.Store, Source: h.Apps, Client: w.oauth, Vault: w.vault, Lookup: h.Apps.Again, Owner: w.newID(ident.Worker),
		Broken: w.ailing.broke, Mended: w.ailing.mended, Ending: w.ailing.ends,
		Registerer: c.Metrics, Logger: c.Logger, Now: c.Now, After: c.After,
	})
	if err != nil {
		return fmt.Errorf("configure host: %w", err)
	}
	h.Connections = connection.New(connection.Config{
		Store: c.Store, Vault: w.vault, Auditor: c.Auditor, Tokens: h.Authorizations, Machines: machines{h.Apps, h.Authorizations}, Now: c.Now,
		Renewed: w.ailing.renewed,
		Fitting: func(ctx context.Context, tenant, connection string, fields json.RawMessage) error {
			return h.Installations.Fitting(ctx, tenant, connection, fields)
		},
	})
	h.Healths = health.New(health.Config{Store: c.Store, Authorizations: h.Authorizations.List})
	h.Paces = pace.New(pace.Config{Store: c.Store, Connection: h.Connections.Get, Released: w.released})
	h.pacer = pace.NewPacer(pace.PacerConfig{
		Store: c.Store, Holder: w.newID(ident.Worker), Worker: w.workerName, Wait: c.Pace.Wait, Waiters: c.Pace.Waiters, Breaker: c.Pace.Breaker,
		Registerer: c.Metrics, Logger: c.Logger, Now: c.Now, After: c.After,
	})
	return nil
}

// workerName is what leases know this process by now.
func (w *wiring) workerName() string {
	if name := w.worker.Load(); name != nil {
		return *name
	}
	return ""
}

// newWorker is a name for it.
func (w *wiring) newWorker() string {
	name := w.newID(ident.Worker)
	w.worker.Store(&name)
	return name
}

// machines get tokens for themselves, and keep them.
type machines struct {
	*app.Apps
	*authorization.Authorizations
}

// jobs makes what does the long work.
func (w *wiring) jobs() {
	c, h := w.c, w.h
	h.Jobs = job.New(job.Config{Store: c.Store, Wake: func() { h.runner.Wake() }, Now: c.Now})
	h.Redrives = redrive.New(redrive.Config{Store: c.Store, Jobs: h.Jobs, Executions: h.Executions, Now: c.Now})
	h.Redeliveries = redeliver.New(redeliver.Config{Store: c.Store, Jobs: h.Jobs, Wake: w.wake, Made: w.counter("cofferdam_redelivered_total", "Executions that redeliveries have made."), Now: c.Now, After: c.After})
	h.Shadows = shadow.New(shadow.Config{
		Store: c.Store, Jobs: h.Jobs, Plugins: h.Plugins, Read: w.recordings, Installation: c.Store.Installation,
		Runtime: h.runtime, Functions: c.Functions, Limits: c.Limits, Now: c.Now,
	})
	h.Rotations = rotation.New(rotation.Config{Vault: w.vault, Records: c.Store, Jobs: h.Jobs, Now: c.Store.Now})
	handlers := map[string]job.Handler{redrive.Kind: h.Redrives, redeliver.Kind: h.Redeliveries, shadow.Kind: h.Shadows, rotation.Kind: h.Rotations}
	h.runner = job.NewRunner(job.RunnerConfig{
		Store: c.Store, Handlers: handlers, Lease: jobLeases * c.Lease,
		Owner: w.newID(ident.Worker), Now: c.Now, After: c.After, Logger: c.Logger,
	})
}

// work makes what runs executions.
func (w *wiring) work() {
	c, h := w.c, w.h
	w.seeds = &seeds{store: c.Store, vault: w.vault, secrets: map[string][]byte{}}
	var accounts worker.Accounts
	if a, ok := c.Auditor.(auditor); ok { // Others are told of each opening.
		accounts = accountant(a)
	}
	h.sandbox = worker.NewSandbox(worker.SandboxConfig{
		Records: c.Store, Plugins: h.Plugins, Runtime: h.runtime,
		Tenant: c.Store.Tenant, Installation: c.Store.Installation, Credentials: h.Connections.For, Accounts: accounts,
		Fields: h.Installations.Fields, Pace: h.pacer.For,
		Egress: h.egress, Functions: c.Functions, Limits: c.Limits, Seed: w.seeds.of, Unjournaled: c.Unjournaled,
		Watch: c.Watch, Now: c.Now, After: c.After,
	})
	h.worker = worker.New(worker.Config{
		Store: c.Store, Runner: h.sandbox, Name: w.newWorker,
		Slots: c.Slots, Lease: c.Lease, Drain: c.Drain, Attempts: c.Attempts,
		Parked: w.parked, Broken: w.ailing.isBroken, Changed: w.bell.Ring, Tracer: h.Tracer, Registerer: c.Metrics, Logger: c.Logger, Now: c.Now, After: c.After,
	})
}

// counter registers a counter, and returns what adds to it.
func (w *wiring) counter(name, help string) func(n int) {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	w.c.Metrics.MustRegister(c)
	return func(n int) { c.Add(float64(n)) }
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

// deleted has a tenant taken away whose deletion was asked for, once that is due.
func (w *wiring) deleted(tenant string) {
	w.forget(tenant)
	w.h.purger.Nudge()
}

// leaveWithin is how long who deletes a tenant at once waits for tokens to be revoked.
const leaveWithin = 10 * time.Second

// leave has the tokens of a tenant revoked whose key is destroyed next.
func (w *wiring) leave(ctx context.Context, tenant string) {
	asked, cancel := context.WithTimeout(ctx, leaveWithin)
	defer cancel()
	if left, err := w.h.Authorizations.RevokeNow(asked, tenant); left > 0 || err != nil {
		w.c.Logger.WarnContext(ctx, "a tenant is deleted whose tokens are not all revoked: they end by themselves, or its users end them at the providers",
			slog.String("tenant", tenant), slog.Int("left", left), slog.Any("error", err))
	}
}

// leaving has the tokens of a tenant revoked whose key will be destroyed.
func (w *wiring) leaving(ctx context.Context, tenant string) (left int, err error) {
	return w.h.Authorizations.RevokeAll(ctx, tenant)
}

// forget drops what this process holds of a tenant's key. Other processes drop it when
// they next look, within Config.KeyFresh of its next use, or when it was idle for long.
func (w *wiring) forget(tenant string) {
	w.vault.Forget(tenant)
	w.seeds.forget(tenant)
	w.h.Tokens.Forget(tenant)
	w.h.Authorizations.Forget(tenant)
}

// tokenKey is where the key that signs a tenant's tokens is stored.
func tokenKey(tenant string, version int64) vault.Field {
	return vault.Field{Tenant: tenant, Table: "token_keys", Record: tenant, Name: "secret", Version: version}
}

func (w *wiring) sealTokenKey(ctx context.Context, tenant string, version int64, b []byte) ([]byte, error) {
	return w.vault.Seal(ctx, tokenKey(tenant, version), b)
}

func (w *wiring) openTokenKey(ctx context.Context, tenant string, version int64, b []byte) ([]byte, error) {
	return w.vault.Open(vault.Using(ctx, vault.Use{Who: "host", Purpose: "signed tokens"}), tokenKey(tenant, version), b)
}

// release queues what waited for something that has come.
func (w *wiring) release(ctx context.Context, tenant, installation, reason string) error {
	n, err := w.c.Store.Release(ctx, tenant, installation, reason)
	if err != nil {
		return fmt.Errorf("queue what waited: %w", err)
	}
	w.released(ctx, tenant, n)
	return nil
}

// released has executions run that were queued.
func (w *wiring) released(ctx context.Context, tenant string, n int) {
	if n > 0 {
		w.wake(ctx, tenant)
		w.bell.Ring(tenant)
	}
}

// parked queues an execution again whose installation was resumed, or whose connection was
// mended, after the worker had looked, and before it was stored that it waits.
func (w *wiring) parked(ctx context.Context, tenantID, id string) error {
	x, err := w.c.Store.Execution(ctx, tenantID, id)
	if err != nil {
		return err
	}
	switch {
	case x.Reason == execution.ReasonConnectionPaused:
		return w.h.Paces.Crossed(ctx, tenantID, x.WaitsFor)
	case x.WaitsFor != "":
		return w.ailing.waits(ctx, x)
	}
	i, err := w.c.Store.Installation(ctx, tenantID, x.Installation)
	if err != nil {
		return err
	}
	owner, err := w.c.Store.Tenant(ctx, tenantID)
	if err != nil || !i.Runs() || owner.State != tenant.Active {
		return err
	}
	return w.release(ctx, tenantID, i.ID, execution.ReasonPaused)
}

func (w *wiring) connection(ctx context.Context, tenant, idOrName string) (installation.Account, error) {
	c, err := w.h.Connections.Get(ctx, tenant, idOrName)
	return installation.Account{ID: c.ID, Fields: c.Fields}, err
}

func (w *wiring) callable(ctx context.Context, tenant, id string, kind event.Kind, name string, input json.RawMessage) (string, error) {
	i, err := w.h.Installations.Callable(ctx, tenant, id, kind, name, input)
	return i.ID, err
}

// every is the interval that a plugin suggests for a poll, or empty.
func (w *wiring) every(ctx context.Context, tenant, id, poll string) (string, error) {
	i, err := w.h.Installations.Get(ctx, tenant, id)
	if err != nil {
		return "", err
	}
	v, err := w.h.Plugins.Resolve(ctx, registry.Viewer{Operator: true}, i.VersionID)
	if err != nil {
		return "", err
	}
	for _, p := range v.Manifest.Polls {
		if p.Name == poll {
			return p.Every, nil
		}
	}
	return "", nil
}

// webhook finds the scheme of an installation's webhook.
func (w *wiring) webhook(ctx context.Context, tenant, idOrName, name string) (endpoint.Webhook, error) {
	i, err := w.h.Installations.Get(ctx, tenant, idOrName)
	if err != nil {
		return endpoint.Webhook{}, err
	}
	// The version was the tenant's to install: whether it may still see it does not matter.
	v, err := w.h.Plugins.Resolve(ctx, registry.Viewer{Operator: true}, i.VersionID)
	if err != nil {
		return endpoint.Webhook{}, err
	}
	for _, hook := range v.Manifest.Webhooks {
		if hook.Name == name {
			if hook.Verify {
				return endpoint.Webhook{Installation: i.ID, Scheme: webhook.ByPlugin}, nil
			}
			return endpoint.Webhook{Installation: i.ID, Scheme: hook.Scheme, Descriptor: hook.Descriptor}, nil
		}
	}
	return endpoint.Webhook{}, fault.NotFound("webhook", name).At("webhook").
		WithHint("The webhooks of %s %s are in its manifest: see `cofferdam plugin show %s`.", v.Name, v.Version, v.Name)
}
