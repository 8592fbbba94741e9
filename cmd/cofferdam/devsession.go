package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/internal/trial"
	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
	"github.com/cofferdam-run/cofferdam/host/webhook"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
	sdk "github.com/cofferdam-run/cofferdam/sdk/build"
)

// devSession is a server within this process, on which one connector is swapped.
type devSession struct {
	*developing
	builder *sdk.Builder
	store   store.Store
	host    *host.Host
	show    *devTrace
	offline *offlineWorld
	undo    []func(context.Context) error
	// base is where deliveries are taken, empty for nowhere.
	base   string
	tenant string

	builds int
	// installed is what runs: the last good version.
	installed installation.Installation
	manifest  manifest.Manifest
	accounts  accounts
	endpoints map[string]devEndpoint
	// known has what each connection was made of.
	known map[string]string
	seen  seenExecutions
}

type devEndpoint struct {
	endpoint.Endpoint

	secret string
	// fixtures is the secret that the last fixture was signed with, if it said so.
	fixtures string
}

// open starts the server, with nothing on it.
func (v *developing) open(ctx context.Context) (_ *devSession, err error) {
	s := &devSession{developing: v, endpoints: map[string]devEndpoint{}, known: map[string]string{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close(context.WithoutCancel(ctx)))
		}
	}()
	options, remove, err := v.buildOptions("", v.functions)
	if err != nil {
		return s, err
	}
	s.undo = append(s.undo, func(context.Context) error { return remove() })
	options.NoCheck, options.Stamp = true, false // It is checked while it runs.
	if s.builder, err = sdk.New(ctx, v.project, options); err != nil {
		return s, v.notBuilt(err)
	}
	s.undo = append(s.undo, s.builder.Close)
	s.show = newDevTrace(v.out, isTerminal(v.out) && os.Getenv("NO_COLOR") == "")
	if err := s.openHost(ctx, options.CacheDir); err != nil {
		return s, err
	}
	return s, s.listen(ctx)
}

// openHost opens a host on a database that is gone afterwards.
func (s *devSession) openHost(ctx context.Context, cache string) error {
	own, err := readDevFile(s.project)
	if err != nil {
		return err
	}
	allow, err := prefixes(append(own.EgressAllow, s.EgressAllow...))
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "cofferdam-dev-")
	if err != nil {
		return fmt.Errorf("make a folder for the database: %w", err)
	}
	s.undo = append(s.undo, func(context.Context) error { return os.RemoveAll(dir) })
	logger := slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelError}))
	if s.store, err = sqlite.Open(ctx, filepath.Join(dir, "dev.db"), sqlite.Options{Logger: logger}); err != nil {
		return err
	}
	s.undo = append(s.undo, func(context.Context) error { return s.store.Close() })
	if _, _, err := s.store.Migrate(ctx); err != nil {
		return err
	}
	key, err := keyfile.Ephemeral()
	if err != nil {
		return err
	}
	compiler, err := s.compiler()
	if err != nil {
		return err
	}
	out := egress.Config{AllowAddrs: allow}
	if s.developing.offline {
		s.offline = &offlineWorld{folder: filepath.Join(s.project, "fixtures", "http")}
		out.Instead = s.offline
	}
	s.host, err = host.New(ctx, host.Config{
		Store: s.store, Keeper: key, Egress: out, CacheDir: cache, Compiler: compiler, Logger: logger,
		Watch: host.Watcher{Step: s.show.step, Line: s.show.logLine},
	})
	if err != nil {
		return err
	}
	s.undo = append(s.undo, s.host.Close)
	s.start(ctx)
	owner, err := s.host.Tenants.Create(ctx, "dev", "", tenant.Limits{})
	s.tenant = owner.ID
	return err
}

// start has the host work until the session is closed.
func (s *devSession) start(ctx context.Context) {
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	ran := make(chan error, 1)
	go func() { ran <- s.host.Run(working) }()
	s.undo = append(s.undo, func(context.Context) error {
		stop()
		return <-ran
	})
}

// listen takes deliveries from outside.
func (s *devSession) listen(ctx context.Context) error {
	if s.addr == "" || s.developing.once {
		return nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", s.addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w\n  hint: --addr moves it, and --addr '' leaves it out", s.addr, err)
	}
	s.base = "http://" + l.Addr().String()
	web := &http.Server{
		Handler:           api.Handler(s.host, api.Options{Version: buildVersion().Version, Logger: slog.New(slog.DiscardHandler)}),
		ReadHeaderTimeout: 10 * time.Second,
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = web.Serve(l) // It ends by Close, and that is no error.
	}()
	s.undo = append(s.undo, func(context.Context) error {
		err := web.Close()
		<-served
		return err
	})
	return nil
}

// close undoes what was opened, the last first.
func (s *devSession) close(ctx context.Context) error {
	var errs []error
	for _, undo := range slices.Backward(s.undo) {
		errs = append(errs, undo(ctx))
	}
	s.undo = nil
	return errors.Join(errs...)
}

// swap puts a plugin in the place of the one before. Where it cannot, that one stays.
func (s *devSession) swap(ctx context.Context, p *sdk.Plugin) error {
	publisher, err := s.host.Plugins.PublisherOf(ctx, registry.Viewer{Operator: true})
	if err != nil {
		return err
	}
	s.builds++
	v, err := s.host.Plugins.Publish(ctx, publisher.ID, registry.Upload{
		Wasm: bytes.NewReader(p.Wasm), Prerelease: fmt.Sprintf("dev.%d", s.builds),
	})
	if err != nil {
		return blamed(err)
	}
	return s.install(ctx, v)
}

// install makes a version the one that runs, with what dev.json and the flags say.
func (s *devSession) install(ctx context.Context, v registry.Version) error {
	own, err := readDevFile(s.project)
	if err != nil {
		return err
	}
	config, err := s.configOf(own, v.Manifest.Config)
	if err != nil {
		return err
	}
	if s.accounts, err = s.connect(ctx, v.Manifest, config, own); err != nil {
		return err
	}
	spec := installation.Spec{Plugin: v.Plugin + "@" + v.Version, Config: config}
	if s.installed.ID != "" && s.installed.Plugin != v.Plugin {
		// It has another name: it is another plugin, with a state of its own.
		if err := s.host.Installations.Uninstall(ctx, s.tenant, s.installed.ID); err != nil {
			return err
		}
		s.installed, s.endpoints = installation.Installation{}, map[string]devEndpoint{}
	}
	var now installation.Installation
	if s.installed.ID == "" {
		now, err = s.host.Installations.Create(ctx, s.tenant, spec)
	} else {
		now, err = s.host.Installations.Repin(ctx, s.tenant, s.installed.ID, spec)
	}
	if err != nil {
		return err
	}
	s.installed, s.manifest = now, v.Manifest
	return s.openEndpoints(ctx)
}

// connect makes the connections for which there are credentials.
func (s *devSession) connect(ctx context.Context, m manifest.Manifest, config json.RawMessage, own devFile) (accounts, error) {
	// What the schema gives by itself may be where a credential goes to.
	whole := config
	if fit, err := fitting(m, config); err == nil {
		whole = fit
	}
	all, err := s.developing.accounts(m, accountWishes{config: whole, flags: s.connections, declared: own.Connections})
	if err != nil {
		return nil, err
	}
	for _, name := range all.names() {
		one := all[name]
		if one.missing && s.offline != nil {
			var err error
			if one.spec.Credential, err = throwaway(m, name); err != nil {
				return nil, err
			}
			one.missing = false
			all[name] = one
		}
		if one.missing {
			continue
		}
		one.spec.Fields = one.fields
		if err := s.connectOne(ctx, one.spec); err != nil {
			return nil, fmt.Errorf("connection %s: %w", name, err)
		}
	}
	return all, nil
}

// throwaway is a credential that is none, for a connection of the manifest.
func throwaway(m manifest.Manifest, name string) (connection.Credential, error) {
	i := slices.IndexFunc(m.Connections, func(c manifest.Connection) bool { return c.Name == name })
	if i < 0 {
		return connection.Credential{}, nil
	}
	return trial.Throwaway(m.Connections[i])
}

// connectOne makes a connection, in the place of one of other properties.
func (s *devSession) connectOne(ctx context.Context, spec connection.Spec) error {
	if spec.Type == connection.OAuth2 {
		spec.Type = connection.Bearer // The token is the author's to renew.
	}
	made, err := json.Marshal(spec)
	if err != nil {
		return fmt.Errorf("compare connections: %w", err)
	}
	switch s.known[spec.Name] {
	case string(made):
		return nil
	case "":
	default:
		if err := s.host.Connections.Delete(ctx, s.tenant, spec.Name); err != nil {
			return err
		}
	}
	if _, err := s.host.Connections.Create(ctx, s.tenant, spec); err != nil {
		return err
	}
	s.known[spec.Name] = string(made)
	return nil
}

// openEndpoints sees to it that each webhook has an endpoint.
func (s *devSession) openEndpoints(ctx context.Context) error {
	for _, w := range s.manifest.Webhooks {
		scheme := w.Scheme
		if w.Verify {
			scheme = webhook.ByPlugin
		}
		if there, ok := s.endpoints[w.Name]; ok && there.Scheme == scheme && bytes.Equal(there.Descriptor, w.Descriptor) {
			continue
		}
		e, secret, err := s.host.Endpoints.Create(ctx, s.tenant, endpoint.Spec{Installation: s.installed.ID, Webhook: w.Name})
		if err != nil {
			return err
		}
		s.endpoints[w.Name] = devEndpoint{Endpoint: e, secret: secret}
	}
	return nil
}
