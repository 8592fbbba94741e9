package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/postgres"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/telemetry/otlp"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/registry"
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
	// certificates are shown by the listener; none is plain http.
	certificates *certificates
	// spans sends them; nil where nobody wants any.
	spans *otlp.Provider
	// headerBytes is how much the headers of a request may have.
	headerBytes int
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
	way, err := a.egress()
	if err != nil {
		return nil, err
	}
	within, err := a.bounds()
	if err != nil {
		return nil, err
	}
	s := &server{headerBytes: within.header}
	if s.logger, err = a.logger(); err != nil {
		return nil, err
	}
	if s.certificates, err = a.openCertificates(s.logger); err != nil {
		return nil, err
	}
	if why := a.exposed(); why != "" {
		s.logger.WarnContext(ctx, "the database can be listened to", slog.String("why", why))
	}
	if s.store, err = a.openStore(ctx, s.logger); err != nil {
		return nil, err
	}
	if err := s.build(ctx, a, way, within); err != nil {
		return nil, errors.Join(err, s.store.Close())
	}
	return s, nil
}

func (s *server) build(ctx context.Context, a *app, way egress.Config, within serverBounds) error {
	if err := a.prepareSchema(ctx, s.store); err != nil {
		return err
	}
	keys, err := a.openKeepers(ctx, s.store)
	if err != nil {
		return err
	}
	s.madeKey = keys.made
	log, err := a.openAudit(ctx, s.store)
	if err != nil {
		return err
	}
	cache, err := a.cachePath()
	if err != nil {
		return err
	}
	compiler, err := a.compiler()
	if err != nil {
		return err
	}
	signing, err := signingPublishers(a.Signatures)
	if err != nil {
		return err
	}
	options, err := a.apiOptions(s.logger)
	if err != nil {
		return err
	}
	known, err := providers("--providers", a.Providers)
	if err != nil {
		return err
	}
	notify, err := a.notify(way)
	if err != nil {
		return err
	}
	if s.spans, err = a.tracing(ctx, s.logger); err != nil {
		return err
	}
	s.host, err = host.New(ctx, host.Config{
		Tracing:           a.tracingOf(s.spans),
		PublicURL:         a.publicURL(),
		Providers:         known,
		RequireSignatures: signing,

		Store:     s.store,
		Audit:     log,
		Keeper:    keys.first,
		Keepers:   keys.others,
		Egress:    way,
		Notify:    notify,
		KeyFresh:  a.KeyFresh,
		Slots:     a.Slots,
		Lease:     a.Lease,
		Ingest:    within.ingest,
		Pace:      within.pace,
		Retention: tenant.Retention{Days: a.KeepDays, Bytes: int64(a.KeepBytes)},
		// None is negative there: zero is the default.
		DeletionGrace: cmp.Or(time.Duration(a.Grace), -1),

		CacheDir: cache,
		Compiler: compiler,
		Logger:   s.logger,
	})
	if err != nil {
		return errors.Join(err, closeTracing(ctx, s.spans))
	}
	if s.firstToken, err = s.host.Tokens.Bootstrap(ctx); err != nil {
		return errors.Join(err, s.host.Close(ctx), closeTracing(ctx, s.spans))
	}
	s.api = alsoBelow(a.publicURL(), api.Handler(s.host, options))
	return nil
}

// close releases what openServer opened.
func (s *server) close(ctx context.Context) error {
	return errors.Join(s.host.Close(ctx), s.store.Close(), closeTracing(ctx, s.spans))
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
		MaxHeaderBytes:    s.headerBytes,
		BaseContext:       func(net.Listener) context.Context { return requests },
		ErrorLog:          slog.NewLogLogger(s.logger.Handler(), slog.LevelWarn),
	}
	worked := make(chan error, 1)
	go func() { worked <- s.host.Run(working) }()
	served := make(chan error, 1)
	go func() { served <- s.listen(web, l) }()
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

// listen serves requests over TLS where there are certificates.
func (s *server) listen(web *http.Server, l net.Listener) error {
	if s.certificates == nil {
		return web.Serve(l)
	}
	web.TLSConfig = s.certificates.config()
	return web.ServeTLS(l, "", "")
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

// alsoBelow answers what browsers ask for below the path of the public URL too. A proxy
// may take the path off before it passes a request on, or not: both work.
func alsoBelow(public string, h http.Handler) http.Handler {
	u, err := url.Parse(public)
	if err != nil || strings.Trim(u.Path, "/") == "" {
		return h
	}
	base := strings.TrimSuffix(u.Path, "/")
	stripped := http.StripPrefix(base, h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rest, below := strings.CutPrefix(r.URL.Path, base)
		if below && (strings.HasPrefix(rest, "/connect/") || strings.HasPrefix(rest, "/oauth/")) {
			stripped.ServeHTTP(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// publicURL is where browsers reach the server: in development where it listens.
func (a *app) publicURL() string {
	name, port, err := net.SplitHostPort(a.Addr)
	addr, unnamed := netip.ParseAddr(name)
	if a.PublicURL != "" || err != nil || port == "0" || name != "localhost" && (unnamed != nil || !addr.IsLoopback()) {
		return a.PublicURL
	}
	scheme := "http"
	if a.TLSCert != "" {
		scheme = "https"
	}
	return scheme + "://" + a.Addr
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

// signingPublishers reads whose plugins must be signed.
func signingPublishers(texts []string) ([]registry.PublisherKind, error) {
	var kinds []registry.PublisherKind
	for _, text := range texts {
		switch kind := registry.PublisherKind(text); {
		case text == "all":
			kinds = append(kinds, registry.Operator, registry.Vendor, registry.TenantOwned)
		case kind == registry.Operator || kind == registry.Vendor || kind == registry.TenantOwned:
			kinds = append(kinds, kind)
		default:
			return nil, usagef("--require-signatures %q: it is operator, vendor, tenant, or all", text)
		}
	}
	return kinds, nil
}
