package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/postgres"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

// server is a host with its store and its API.
type server struct {
	store  store.Store
	host   *host.Host
	api    http.Handler
	logger *slog.Logger
	// firstToken is the operator's, on the first start ever.
	firstToken string
	// madeKey is the path of a key file that this start made.
	madeKey string
}

// drainTime is what requests in flight get at a shutdown. Executions get their
// own: see host.Host.Run.
const drainTime = 10 * time.Second

// requestTime is what they get before they are told of it: most are done in
// milliseconds, and a delivery that is cut off is one that GitHub does not repeat.
// What would go on, live tails and calls that are waited for, ends then.
const requestTime = 2 * time.Second

// openServer opens the store, the key and the host. The caller closes it.
func (a *app) openServer(ctx context.Context) (*server, error) {
	allow, err := prefixes(a.EgressAllow)
	if err != nil {
		return nil, err
	}
	s := &server{}
	if s.logger, err = a.logger(); err != nil {
		return nil, err
	}
	if s.store, err = a.openStore(ctx, s.logger); err != nil {
		return nil, err
	}
	if err := s.build(ctx, a, allow); err != nil {
		return nil, errors.Join(err, s.store.Close())
	}
	return s, nil
}

func (s *server) build(ctx context.Context, a *app, allow []netip.Prefix) error {
	if err := a.prepareSchema(ctx, s.store); err != nil {
		return err
	}
	keeper, made, err := a.openKey(ctx, s.store)
	if err != nil {
		return err
	}
	s.madeKey = made
	cache, err := a.cachePath()
	if err != nil {
		return err
	}
	compiler, err := a.compiler()
	if err != nil {
		return err
	}
	s.host, err = host.New(ctx, host.Config{
		Store:     s.store,
		Keeper:    keeper,
		Egress:    egress.Config{AllowAddrs: allow},
		Slots:     a.Slots,
		Lease:     a.Lease,
		Retention: tenant.Retention{Days: a.KeepDays, Bytes: int64(a.KeepBytes)},
		CacheDir:  cache,
		Compiler:  compiler,
		Logger:    s.logger,
	})
	if err != nil {
		return err
	}
	if s.firstToken, err = s.host.Tokens.Bootstrap(ctx); err != nil {
		return errors.Join(err, s.host.Close(ctx))
	}
	s.api = api.Handler(s.host, api.Options{Version: buildVersion().Version, Logger: s.logger})
	return nil
}

// close releases what openServer opened.
func (s *server) close(ctx context.Context) error {
	return errors.Join(s.host.Close(ctx), s.store.Close())
}

// serve answers requests and runs executions until ctx ends, then lets what is
// in flight come to its end: nothing that was accepted is lost, and what does
// not end in time is run again by another worker, or after the next start.
func (s *server) serve(ctx context.Context, l net.Listener) error {
	requests, endRequests := context.WithCancel(context.WithoutCancel(ctx))
	defer endRequests()
	working, endWork := context.WithCancel(ctx)
	defer endWork()
	web := &http.Server{
		Handler:           s.api,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return requests },
		ErrorLog:          slog.NewLogLogger(s.logger.Handler(), slog.LevelWarn),
	}
	worked := make(chan error, 1)
	go func() { worked <- s.host.Run(working) }()
	served := make(chan error, 1)
	go func() { served <- web.Serve(l) }()
	var err error
	select {
	case <-ctx.Done():
		s.logger.InfoContext(ctx, "shutting down: no new work is taken, what is in flight comes to its end")
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
		defer cancel()
		defer time.AfterFunc(requestTime, endRequests).Stop()
		err = web.Shutdown(drain)
		if errors.Is(err, context.DeadlineExceeded) {
			err = web.Close()
		}
		<-served
	case err = <-served:
		// Without a port nobody is served: let whoever watches start it anew.
		endWork()
	}
	return errors.Join(err, <-worked)
}

// openStore opens the database that --db names.
func (a *app) openStore(ctx context.Context, l *slog.Logger) (store.Store, error) {
	if isPostgres(a.DB) {
		return postgres.Open(ctx, a.DB, postgres.Options{Logger: l})
	}
	return sqlite.Open(ctx, a.DB, sqlite.Options{Logger: l})
}

// openShared opens the database beside a server that may have it open.
func (a *app) openShared(ctx context.Context) (store.Store, error) {
	l, err := a.logger()
	if err != nil || isPostgres(a.DB) {
		return a.openStore(ctx, l)
	}
	return sqlite.Open(ctx, a.DB, sqlite.Options{Logger: l, Shared: true})
}

func isPostgres(db string) bool {
	return strings.HasPrefix(db, "postgres://") || strings.HasPrefix(db, "postgresql://")
}

// prepareSchema migrates a database that belongs to this process alone, and
// others if --migrate asks for it.
func (a *app) prepareSchema(ctx context.Context, s store.Store) error {
	if isPostgres(a.DB) && !a.Migrate {
		return s.Ready(ctx)
	}
	_, _, err := s.Migrate(ctx)
	return err
}

// openKey opens the key file. It makes one only if the database holds nothing
// that another key has sealed.
func (a *app) openKey(ctx context.Context, keys vault.Store) (keeper vault.Keeper, made string, err error) {
	path := a.keyPath()
	if path == "" {
		return nil, "", usagef("name the key file: --key-file or COFFERDAM_KEY_FILE; every server of one database needs the same one")
	}
	opened, err := keyfile.Open(path)
	if err == nil {
		return opened, "", nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, "", err
	}
	_, stored := keys.AnyKey(ctx)
	if stored == nil {
		return nil, "", fmt.Errorf("%w\n  hint: the database holds credentials that only this file opens, and a new one cannot replace it", err)
	}
	if none, ok := errors.AsType[*fault.Error](stored); !ok || none.Code != fault.CodeNotFound {
		return nil, "", stored
	}
	created, err := keyfile.Create(path)
	if err != nil {
		return nil, "", err
	}
	return created, path, nil
}

// keyPath is the key file's: beside an embedded database unless it is said.
func (a *app) keyPath() string {
	if a.KeyFile != "" || isPostgres(a.DB) {
		return a.KeyFile
	}
	return filepath.Join(filepath.Dir(a.DB), "key.json")
}

// logger writes what operators should know to standard error.
func (a *app) logger() (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(a.LogLevel)); err != nil {
		return nil, usagef("--log-level is %q: it is debug, info, warn or error", a.LogLevel)
	}
	options := &slog.HandlerOptions{Level: level}
	switch a.LogFormat {
	case "json":
		return slog.New(slog.NewJSONHandler(a.err, options)), nil
	case "text":
		return slog.New(slog.NewTextHandler(a.err, options)), nil
	default:
		return nil, usagef("--log is %q: it is text or json", a.LogFormat)
	}
}

// prefixes reads addresses and networks that guests may reach although they are
// not public.
func prefixes(texts []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if addr, aerr := netip.ParseAddr(text); aerr == nil {
			p, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			return nil, usagef("--egress-allow %q is neither an address nor a network such as 127.0.0.0/8", text)
		}
		all = append(all, p)
	}
	return all, nil
}
