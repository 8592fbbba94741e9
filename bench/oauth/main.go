// Command oauth measures what it costs to keep the tokens of many connections fresh, and
// prints a line per figure:
//
//	bench oauth/<name> <value> <unit> [<peer>=<value>]
//
// The storm is 10,000 connections whose tokens end within one minute, at one provider
// that takes 50 ms for each answer. Its clock is the real one: it takes seven minutes on each
// database. The authorization server is in this process, and its CPU in the figures.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/command"
	"github.com/cofferdam-run/cofferdam/bench/internal/database"
	"github.com/cofferdam-run/cofferdam/bench/internal/rig"
	"github.com/cofferdam-run/cofferdam/host/app"
	"github.com/cofferdam-run/cofferdam/host/authorization"
	"github.com/cofferdam-run/cofferdam/host/authorization/authorizationtest"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/vault"
)

// suite is what a run measures with.
type suite struct {
	out io.Writer
	// connections is how many end within one window, and calls how many callers a second
	// want one of their tokens then.
	connections, calls int
	window             time.Duration
	// lifetime is how long there is from the connecting until the first token ends: of
	// that a fifth is the margin, and another fifth before it what refreshes are spread
	// over. Tokens of an hour, as most are, have twelve times as much as the default.
	lifetime time.Duration
	// rounds is how many turns each side of a comparison has, and windows how often the
	// time from an answer to its commit is measured.
	rounds, windows int
}

func main() { command.Main(run) }

func run(ctx context.Context, args []string, out io.Writer) error {
	s := &suite{out: out}
	flags := flag.NewFlagSet("bench/oauth", flag.ContinueOnError)
	flags.IntVar(&s.connections, "connections", 10_000, "how many tokens end within one window")
	flags.IntVar(&s.calls, "calls", 500, "how many callers a second want a token in the window")
	flags.DurationVar(&s.window, "window", time.Minute, "the time in which all of them end")
	flags.DurationVar(&s.lifetime, "lifetime", 5*time.Minute, "how long there is from the connecting until the first of them ends")
	flags.IntVar(&s.rounds, "rounds", 31, "how many turns each side has")
	flags.IntVar(&s.windows, "windows", 500, "how often the time from an answer to its commit is measured")
	var only database.Only
	flags.StringVar(&only.Database, "db", "", "sqlite or postgres; both by default")
	flags.StringVar(&only.Figure, "figure", "", "warm, window or storm; all by default")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if least := min(s.connections, s.calls, s.rounds, s.windows); least < 1 || s.window <= 0 || s.lifetime <= 0 {
		return errors.New("the numbers of -connections, -calls, -rounds, -windows, -window and -lifetime must be 1 at least")
	}
	return database.Measure(ctx, out, only,
		database.Figure{Name: "warm", Measure: s.warm},
		database.Figure{Name: "window", Measure: s.lost},
		database.Figure{Name: "storm", Measure: s.storm})
}

func (s *suite) print(name string, value float64, unit string, peers ...string) {
	command.Print(s.out, "oauth/"+name, value, unit, peers...)
}

// peer is a value to print beside a figure.
func peer(name string, value float64) string { return name + "=" + command.Number(value) }

// bed is a database with a tenant, and an authorization server.
type bed struct {
	store  store.Store
	vault  *vault.Vault
	server *authorizationtest.Server
	tenant string
	closes []func()
}

func newBed(ctx context.Context, d *database.Database, rules authorizationtest.Rules) (b *bed, err error) {
	address, err := d.Create(ctx)
	if err != nil {
		return nil, err
	}
	b = &bed{tenant: ident.New(ident.Tenant, time.Now())}
	if b.store, err = d.Store(ctx, address); err != nil {
		return nil, err
	}
	_, _, err = b.store.Migrate(ctx)
	keeper, err1 := rig.Keeper()
	if err := errors.Join(err, err1); err != nil {
		return nil, errors.Join(err, b.store.Close())
	}
	b.vault = vault.Configured(vault.Config{Store: b.store, Keeper: keeper, Logger: slog.New(slog.DiscardHandler)})
	err = b.store.InsertTenant(ctx, tenant.Tenant{
		ID: b.tenant, Name: "acme", Limits: tenant.Limits{Running: 16, Weight: 1}, State: tenant.Active, CreatedAt: time.Now(),
	})
	if err == nil {
		err = b.store.InsertApp(ctx, app.App{ID: authorizationtest.App, Tenant: b.tenant, Name: "test", Version: 1}, []byte("sealed"))
	}
	if err != nil {
		return nil, errors.Join(err, b.store.Close())
	}
	b.server = authorizationtest.Serve(func(f func()) { b.closes = append(b.closes, f) }, time.Now, rules)
	return b, nil
}

func (b *bed) close() error {
	for _, f := range b.closes {
		f()
	}
	return b.store.Close()
}

// authorizations are some over a store and a transport, which may be looked at.
func (b *bed) authorizations(over authorization.Store, transport http.RoundTripper, fresh time.Duration) (*authorization.Authorizations, error) {
	client, err := oauth.New(oauth.Config{Transport: transport, Now: time.Now, Loopback: true})
	if err != nil {
		return nil, err
	}
	return authorization.New(authorization.Config{
		Store: over, Source: authorizationtest.Source{Registered: b.server.Registered()}, Client: client, Vault: b.vault,
		Owner: ident.New(ident.Worker, time.Now()), Fresh: fresh, Logger: slog.New(slog.DiscardHandler), Now: time.Now, After: time.After,
	})
}

// put connects a connection whose token ends in a while.
func (b *bed) put(ctx context.Context, a *authorization.Authorizations, connection string, lifetime time.Duration) error {
	t := b.server.Connect()
	t.ObtainedAt = time.Now()
	t.ExpiresAt = t.ObtainedAt.Add(lifetime)
	_, err := a.Put(ctx, authorization.Obtained{Tenant: b.tenant, Connection: connection, App: authorizationtest.App, Provider: "test", Token: t})
	if err != nil {
		return fmt.Errorf("connect %s: %w", connection, err)
	}
	return nil
}
