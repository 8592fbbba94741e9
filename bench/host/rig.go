package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/database"
	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/demo"
	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
	"github.com/cofferdam-run/cofferdam/host/webhook/signature"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// rig is a host under measurement.
type rig struct {
	store   store.Store
	host    *host.Host
	handler http.Handler
	github  *httptest.Server
	stop    context.CancelFunc
	ran     chan error
	// scheme signs deliveries: finding it for each would cost more than taking them.
	scheme *signature.Scheme
}

// customer is a tenant with an endpoint.
type customer struct {
	tenant   string
	endpoint string
	secret   string
	body     []byte
}

const tinyManifest = `{"name":"tiny","version":"1.0.0","webhooks":[{"name":"issues","scheme":"github"}]}`

// newID is a delivery id that was never used.
func newID() string { return rand.Text() }

// tokenOf is the token that the stand-in of the GitHub API knows a tenant by.
func tokenOf(tenant string) string { return "token-of-" + tenant }

// newRig wires a host with both guests published. Its workers run if work is true.
func (s *suite) newRig(ctx context.Context, d *database.Database, work bool) (*rig, error) {
	address, err := d.Create(ctx)
	if err != nil {
		return nil, err
	}
	db, err := d.Store(ctx, address)
	if err != nil {
		return nil, err
	}
	owners := map[string]string{}
	for _, name := range []string{"acme", "flood", "victim"} {
		owners[tokenOf(name)] = name
	}
	r := &rig{store: db, github: httptest.NewServer(demo.NewGitHub(owners)), ran: make(chan error, 1)}
	if r.scheme, err = signature.Find("github"); err != nil {
		return nil, err
	}
	if _, _, err := db.Migrate(ctx); err != nil {
		return nil, err
	}
	keeper, err := keyfile.FromKey([32]byte{1})
	if err != nil {
		return nil, err
	}
	r.host, err = host.New(ctx, host.Config{
		Store: db, Keeper: keeper,
		Egress: egress.Config{AllowAddrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	r.handler = api.Handler(r.host, api.Options{Logger: slog.New(slog.DiscardHandler)})
	if err := r.publish(ctx, s.guest); err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(ctx)
	r.stop = stop
	if !work {
		r.ran <- nil
		return r, nil
	}
	go func() { r.ran <- r.host.Run(running) }()
	return r, nil
}

func (r *rig) publish(ctx context.Context, guest []byte) error {
	operator, err := r.host.Plugins.PublisherOf(ctx, registry.Viewer{Operator: true})
	if err != nil {
		return err
	}
	tiny := runtimetest.Outputs(map[string]string{"describe": tinyManifest, "webhook": `{}`})
	for _, wasm := range [][]byte{guest, tiny} {
		if _, err := r.host.Plugins.Publish(ctx, operator.ID, registry.Upload{Wasm: bytes.NewReader(wasm)}); err != nil {
			return err
		}
	}
	return nil
}

func (r *rig) close(ctx context.Context) error {
	r.stop()
	err := <-r.ran
	r.github.Close()
	return errors.Join(err, r.host.Close(ctx), r.store.Close())
}

// enroll makes a tenant that has one of the guests installed.
func (r *rig) enroll(ctx context.Context, name, plugin string) (customer, error) {
	t, err := r.host.Tenants.Create(ctx, name, "", tenant.Limits{})
	if err != nil {
		return customer{}, err
	}
	spec := installation.Spec{Plugin: plugin}
	if plugin == "hello-go" {
		spec.Config = fmt.Appendf(nil, `{"api_url":%q}`, r.github.URL)
		_, err := r.host.Connections.Create(ctx, t.ID, connection.Spec{
			Name: "github", Type: connection.Bearer,
			Hosts:      []string{strings.TrimPrefix(r.github.URL, "http://")},
			Credential: connection.Credential{Token: tokenOf(name)},
		})
		if err != nil {
			return customer{}, err
		}
	}
	in, err := r.host.Installations.Create(ctx, t.ID, spec)
	if err != nil {
		return customer{}, err
	}
	e, secret, err := r.host.Endpoints.Create(ctx, t.ID, endpoint.Spec{Installation: in.ID, Webhook: "issues"})
	if err != nil {
		return customer{}, err
	}
	body, err := demo.Opened(name, "widgets", 7)
	return customer{tenant: t.ID, endpoint: e.ID, secret: secret, body: body}, err
}

// deliver makes one new delivery through the HTTP handler, without a socket:
// what is measured is the server's side.
func (r *rig) deliver(ctx context.Context, c customer) error {
	signed, err := r.scheme.Sign(signature.Outgoing{
		Request: signature.Request{Method: http.MethodPost, Body: c.body}, Secret: c.secret, ID: newID(), At: time.Now(),
	})
	if err != nil {
		return err
	}
	req := httptest.NewRequestWithContext(ctx, http.MethodPost, "/hooks/"+c.endpoint, bytes.NewReader(c.body))
	req.Header = signed.Header
	req.Header.Set("X-GitHub-Event", "issues")
	req.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, req)
	if w.Code >= http.StatusMultipleChoices {
		text, _ := io.ReadAll(w.Body)
		return fmt.Errorf("deliver: %d: %s", w.Code, text)
	}
	return nil
}

// settled waits until n more runs have ended than before, and returns the newest
// n executions of a tenant that have succeeded.
func (r *rig) settled(ctx context.Context, c customer, before, n int) ([]execution.Execution, error) {
	for {
		ran, err := r.runs()
		if err != nil {
			return nil, err
		}
		if ran >= before+n {
			return r.succeeded(ctx, c, n)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// succeeded lists up to n executions that have succeeded, the newest first. One
// that will not is an error.
func (r *rig) succeeded(ctx context.Context, c customer, n int) ([]execution.Execution, error) {
	var done []execution.Execution
	for before := ""; ; {
		all, err := r.host.Executions.List(ctx, c.tenant, execution.Filter{Before: before, Limit: 200})
		if err != nil {
			return nil, err
		}
		for _, x := range all {
			switch {
			case x.State == execution.Succeeded && len(done) < n:
				done = append(done, x)
			case x.State.Done() && x.State != execution.Succeeded:
				return nil, fmt.Errorf("execution %s is %s: %w", x.ID, x.State, x.Error)
			}
		}
		if len(all) < 200 || len(done) == n {
			return done, nil
		}
		before = all[len(all)-1].ID
	}
}
