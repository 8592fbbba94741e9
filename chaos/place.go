package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/postgres"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/registry"
)

// slots is how many executions run at once: enough for what a crash has interrupted,
// which waits for its turn, and for what is new beside it.
const slots = 64

// place is where a server's things are, which outlive it.
type place struct {
	dir string
	// ground is what the database stands on. A server does not know it.
	ground ground
	// database is a file, or a URL of Postgres.
	database string
	lease    time.Duration
	// naive has a server keep no journal.
	naive bool
	// tenant is the one whose executions there are.
	tenant string
}

// args are the arguments that parsePlace reads.
func (p place) args() []string {
	return []string{"-dir", p.dir, "-database", p.database, "-lease", p.lease.String(), "-tenant", p.tenant, "-naive=" + strconv.FormatBool(p.naive)}
}

func parsePlace(args []string) (p place, err error) {
	flags := flag.NewFlagSet("chaos "+childCommand, flag.ContinueOnError)
	flags.StringVar(&p.dir, "dir", "", "the folder with the key and the compiled code")
	flags.StringVar(&p.database, "database", "", "a file, or a URL of Postgres")
	flags.DurationVar(&p.lease, "lease", time.Second, "how long a dead server keeps its executions")
	flags.BoolVar(&p.naive, "naive", false, "keep no journal")
	flags.StringVar(&p.tenant, "tenant", "", "whose executions are counted")
	return p, flags.Parse(args)
}

// newPlace makes a place with an empty database. Postgres without a server is
// postgrestest.ErrNoServer.
func newPlace(ctx context.Context, name string, lease time.Duration) (p place, remove func(), err error) {
	if name != "postgres" {
		return placeOn(ctx, ground{}, lease)
	}
	address, stop, err := postgrestest.Start() //nolint:contextcheck // A test server waits on its own clock.
	if err != nil {
		return place{}, nil, err
	}
	p, clean, err := placeOn(ctx, ground{address: address}, lease)
	if err != nil {
		stop()
		return place{}, nil, err
	}
	return p, func() { stop(); clean() }, nil
}

// placeOn makes a place with an empty database.
func placeOn(ctx context.Context, g ground, lease time.Duration) (p place, remove func(), err error) {
	dir, err := os.MkdirTemp("", "cofferdam-chaos")
	if err != nil {
		return p, nil, fmt.Errorf("make a folder: %w", err)
	}
	p = place{dir: dir, database: filepath.Join(cmp.Or(g.dir, dir), "chaos.db"), lease: lease, ground: g}
	remove = func() { _ = os.RemoveAll(dir) }
	if g.address != "" {
		if p.database, err = postgrestest.Create(ctx, g.address); err != nil {
			remove()
			return p, nil, err
		}
	}
	if _, err := keyfile.Create(p.keyPath()); err != nil {
		remove()
		return p, nil, fmt.Errorf("make a key: %w", err)
	}
	return p, remove, nil
}

func (p place) keyPath() string { return filepath.Join(p.dir, "key.json") }

func (p place) open(ctx context.Context) (store.Store, error) {
	if strings.Contains(p.database, "://") {
		return postgres.Open(ctx, p.database, postgres.Options{})
	}
	return sqlite.Open(ctx, p.database, sqlite.Options{})
}

// host makes a Host of what is there. Compiled code is kept, so that a server is
// ready in a moment.
func (p place) host(ctx context.Context, db store.Store, logger *slog.Logger) (*host.Host, error) {
	keeper, err := keyfile.Open(p.keyPath())
	if err != nil {
		return nil, err
	}
	return host.New(ctx, host.Config{
		Store: db, Keeper: keeper, Lease: p.lease, Slots: slots, CacheDir: filepath.Join(p.dir, "cache"), Logger: logger,
		Unjournaled: p.naive,
		Egress:      egress.Config{AllowAddrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	})
}

// hook is where the vendor delivers, and what for.
type hook struct {
	endpoint, secret     string
	tenant, installation string
}

// settle makes a tenant that has the guest installed, for a ledger at two URLs, of
// which the first honours idempotency keys.
func (p place) settle(ctx context.Context, wasm []byte, keyed, plain string) (to hook, err error) {
	db, err := p.open(ctx)
	if err != nil {
		return to, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, _, err := db.Migrate(ctx); err != nil {
		return to, err
	}
	h, err := p.host(ctx, db, slog.New(slog.DiscardHandler))
	if err != nil {
		return to, err
	}
	defer func() { err = errors.Join(err, h.Close(context.WithoutCancel(ctx))) }()
	operator, err := h.Plugins.PublisherOf(ctx, registry.Viewer{Operator: true})
	if err != nil {
		return to, err
	}
	if _, err := h.Plugins.Publish(ctx, operator.ID, registry.Upload{Wasm: bytes.NewReader(wasm)}); err != nil {
		return to, err
	}
	t, err := h.Tenants.Create(ctx, "acme", "", tenant.Limits{Running: slots})
	if err != nil {
		return to, err
	}
	config := fmt.Appendf(nil, `{"keyed_url":%q,"plain_url":%q}`, keyed, plain)
	in, err := h.Installations.Create(ctx, t.ID, installation.Spec{Plugin: "chaos", Config: config})
	if err != nil {
		return to, err
	}
	e, secret, err := h.Endpoints.Create(ctx, t.ID, endpoint.Spec{Installation: in.ID, Webhook: "orders"})
	return hook{endpoint: e.ID, secret: secret, tenant: t.ID, installation: in.ID}, err
}

// buildGuest compiles the guest, which is a module of its own.
func buildGuest(ctx context.Context) ([]byte, error) {
	found, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", "github.com/cofferdam-run/cofferdam/chaos").Output()
	if err != nil {
		return nil, fmt.Errorf("find the guest's source (run this inside the module): %w", err)
	}
	dir, err := os.MkdirTemp("", "cofferdam-chaos-guest")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	out := filepath.Join(dir, "guest.wasm")
	build := exec.CommandContext(ctx, "go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-trimpath", "-o", out, ".")
	build.Dir = filepath.Join(strings.TrimSpace(string(found)), "guest")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if said, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the guest: %w\n%s", err, said)
	}
	return os.ReadFile(out)
}
