package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/cofferdam-run/cofferdam/host/notice"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
	"github.com/cofferdam-run/cofferdam/host/pace"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/telemetry"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/webhook/admission"
	"github.com/cofferdam-run/cofferdam/host/worker"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/compile"
)

// Config configures a Host.
type Config struct {
	// Store keeps everything. Its schema must have been migrated.
	Store store.Store
	// Keeper holds the key encryption key.
	Keeper vault.Keeper
	// Keepers hold others, while one is replaced: what they have wrapped opens, too.
	// Defaults to none.
	Keepers []vault.Keeper
	// KeyFresh is how long a tenant's key is held before it is compared with the one that
	// is stored. Defaults to 30 s. All processes of a database need the same.
	KeyFresh time.Duration
	// Auditor is told of each opening of a credential. Defaults to the Logger.
	Auditor vault.Auditor
	// Audit says how the audit log is signed and kept. Defaults to one that is not signed.
	Audit Audit
	// Functions are the host app's own, offered to guests beside the built-in
	// ones. Their context carries the execution: see CallerOf. One that is marked
	// as Granted must be asked for by the plugin's manifest and granted by the
	// tenant; the others are open to every guest. Defaults to none.
	Functions []hostfns.Func
	// Limits are the most that a plugin gets, whatever it asks for. Defaults to runtime's.
	Limits runtime.Limits
	// Egress bounds guests' HTTP, and says which proxy it goes through. Defaults to
	// egress's, without a proxy.
	Egress egress.Config
	// Pace bounds how long requests wait for their turn with a connection, and says when
	// breakers open. Defaults to pace's.
	Pace Pace
	// PublicURL is where users' browsers reach this host, such as https://acme.example:
	// OAuth providers send them back to a path below it. Where the API's handler is mounted
	// below a prefix, the prefix is its path: https://acme.example/cofferdam. Defaults to
	// none: then no account is connected by OAuth.
	PublicURL string
	// Providers are the OAuth providers that apps may be registered with. Defaults to those
	// that come with the program.
	Providers provider.Set
	// Slots is how many executions run at once in this process. Defaults to 32.
	Slots int
	// Lease is how long a dead process keeps its executions; its jobs, such as a
	// rotation, it keeps four times as long. Defaults to 8 s.
	Lease time.Duration
	// Ingest bounds the webhooks that this process takes at once; those beyond are answered
	// 503. Defaults to 1024, with 32 MiB of bodies.
	Ingest admission.Bounds
	// Drain is how long executions in flight may go on once Run's context has
	// ended. Defaults to 30 s.
	Drain time.Duration
	// Attempts is how often an execution is tried before it is dead. Defaults to 8.
	Attempts int
	// RequireSignatures names the kinds of publishers whose plugins are refused unless
	// they are signed with one of their keys. Defaults to none.
	RequireSignatures []registry.PublisherKind
	// Retention is how long a tenant keeps what has finished, unless it says so
	// itself, and how much of it. Defaults to 30 days and 10 GiB.
	Retention tenant.Retention
	// DeletionGrace is how long after it was asked for a tenant is deleted, unless whoever
	// asks says so: until then it can be restored. Negative is none. Defaults to 7 days.
	DeletionGrace time.Duration
	// Unjournaled has runs keep no journal: one that is made again asks everything
	// again, effects included. It is for measuring only what the journal costs.
	Unjournaled bool
	// CacheDir is a private folder for compiled code. Defaults to none.
	CacheDir string
	// Compiler says which cofferdam binary, its Path, compiles what is uploaded, in
	// processes of its own and under which limits. Its folder, clock and logger are
	// those of this Config. Defaults to none: compiling is done in this process, and
	// what bounds it are the limits on a module's shape.
	Compiler compile.Config
	// Notify is told what tenants and operators should know, such as that a connection is
	// broken: see package notice. It is told at least once, by one of the processes of a
	// database, and again later where it returns an error. Defaults to nobody: notices can
	// be read all the same.
	Notify func(ctx context.Context, n notice.Notice) error
	// Watch is told what executions of this process do as they do it, for development.
	// Defaults to nobody.
	Watch Watcher
	// Tracing says who is told what happens, as spans of OpenTelemetry: a provider of the
	// embedder's, or host/telemetry/otlp's. Give it telemetry.IDs as its IDGenerator; one that
	// is a prometheus.Collector is registered, too. Defaults to nobody, at no cost.
	Tracing telemetry.Config
	// Metrics is where metrics are registered: one Host's to a registry. Defaults to
	// one of its own, which has those of the Go runtime and of the process too.
	Metrics *prometheus.Registry
	// Logger takes what operators should know. Defaults to slog.Default.
	Logger *slog.Logger
	// Now is the clock, and After what is waited on. Default to time.Now and time.After.
	Now   func() time.Time
	After func(d time.Duration) <-chan time.Time
}

// Pace is a part of Config: see pace.PacerConfig.
type Pace struct {
	// Wait is how long a request waits for its token, with its sandbox, before its run is
	// ended and made again when its turn is likely. Defaults to 1 s.
	Wait time.Duration
	// Waiters is how many requests of one connection wait so at a time. Defaults to 8.
	Waiters int
	Breaker pace.BreakerConfig
}

func (c Config) withDefaults() Config {
	c.Functions = slices.Clone(c.Functions)
	c.Limits = c.Limits.WithDefaults()
	c.Retention = c.Retention.Or(tenant.Retention{Days: 30, Bytes: 10 << 30})
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
		c.Metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // The default clock has to come from somewhere.
	}
	c.PublicURL = strings.TrimSuffix(c.PublicURL, "/")
	if c.After == nil {
		c.After = time.After //nolint:forbidigo // As above.
	}
	return c
}

func (c Config) validate() error {
	if err := checkPublicURL(c.PublicURL); err != nil {
		return fmt.Errorf("configure host: PublicURL, which is serve's --public-url: %w", err)
	}
	if c.Store == nil {
		return errors.New("configure host: Store is not set: open one with sqlite.Open or postgres.Open")
	}
	if c.Keeper == nil {
		return errors.New("configure host: Keeper is not set: open a key file with keyfile.Open")
	}
	if err := c.Retention.Check(); err != nil {
		return fmt.Errorf("configure host: Retention: %w", err)
	}
	if c.Compiler.Path != "" && c.CacheDir == "" {
		return errors.New("configure host: Compiler.Path is set and CacheDir is not: it is where compiled code comes from")
	}
	name := regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_.-]{0,62}$`)
	taken := map[string]string{}
	for _, builtin := range worker.Functions(nil) {
		taken[builtin] = "built in"
	}
	for i, f := range c.Functions {
		if !name.MatchString(f.Name) {
			return fmt.Errorf("configure host: Functions[%d] is named %q: a name is a letter, and up to 62 letters, digits, _, . and -", i, f.Name)
		}
		if f.Answer == nil {
			return fmt.Errorf("configure host: Functions[%d], %q, has no Answer", i, f.Name)
		}
		if by, ok := taken[f.Name]; ok {
			return fmt.Errorf("configure host: Functions[%d] is named %q, which is %s: choose another name", i, f.Name, by)
		}
		taken[f.Name] = fmt.Sprintf("the name of Functions[%d]", i)
	}
	return nil
}

// checkPublicURL says what keeps browsers from coming back to an address. Over plain http
// they come back on this machine only: a code that others read is a token of theirs.
func checkPublicURL(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.ContainsAny(text, "?#") {
		return fmt.Errorf("it is %.200q: write where browsers reach the host, such as https://cofferdam.example.com", text)
	}
	// It is in links, forms and redirect URIs, which proxies and providers compare letter
	// by letter: what can be written in two ways is not in it.
	if !regexp.MustCompile(`^(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*$`).MatchString(u.EscapedPath()) {
		return fmt.Errorf("it is %.200q, and its path is %.200q: a path has segments of letters, digits, -, _, . and ~, such as /cofferdam", text, u.EscapedPath())
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if local := u.Hostname() == "localhost" || err == nil && addr.IsLoopback(); u.Scheme != "https" && (u.Scheme != "http" || !local) {
		return fmt.Errorf("it is %.200q: it begins with https://, or with http:// and a loopback address for development", text)
	}
	return nil
}
