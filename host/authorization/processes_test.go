package authorization_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/authorization"
	"github.com/cofferdam-run/cofferdam/host/authorization/authorizationtest"
	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/postgres"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
	"github.com/cofferdam-run/cofferdam/test/processtest"
)

var (
	expiries = flag.Int("authorization.expiries", 20, "how often a token ends of which 3 processes with 100 callers each want the next one")
	kills    = flag.Int("authorization.kills", 1, "how often a process is killed after each step of a refresh")
)

const (
	processes = 3
	callers   = 100
	childEnv  = "COFFERDAM_AUTHORIZATION_CHILD"
)

func TestMain(m *testing.M) {
	if settings := os.Getenv(childEnv); settings != "" {
		if err := serveChild(settings); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	postgrestest.Main(m)
}

// settings are what a process works with.
type settings struct {
	Database, Address, Key, URL, Tenant, Name string
	Rules                                     authorizationtest.Rules
}

// order is what a process is told: what time it is, and, if there is a connection, how
// many callers want its token, and after which step it kills itself.
type order struct {
	Now              time.Time
	Connection, Dies string
	Callers          int
}

// report is what it says then.
type report struct {
	Tokens []string
	Errors []string
}

// opened opens a database beside other processes.
func opened(ctx context.Context, database, address string, now func() time.Time) (store.Store, error) {
	if database == "sqlite" {
		return sqlite.Open(ctx, address, sqlite.Options{Now: now, Shared: true})
	}
	return postgres.Open(ctx, address, postgres.Options{Now: now})
}

// member are authorizations of a process, whose waiting is in real time.
func member(ctx context.Context, s settings, c *clock) (*authorization.Authorizations, store.Store, error) {
	var key [32]byte
	if _, err := hex.Decode(key[:], []byte(s.Key)); err != nil {
		return nil, nil, err
	}
	k, err := keyfile.FromKey(key)
	if err != nil {
		return nil, nil, err
	}
	db, err := opened(ctx, s.Database, s.Address, c.Now)
	if err != nil {
		return nil, nil, err
	}
	client, err := oauth.New(oauth.Config{Transport: http.DefaultTransport, Now: c.Now, Loopback: true})
	if err != nil {
		return nil, nil, err
	}
	quiet := slog.New(slog.DiscardHandler)
	a, err := authorization.New(authorization.Config{
		Store: db, Source: authorizationtest.Source{Registered: authorizationtest.At(s.URL, s.Rules)}, Client: client,
		Vault: vault.Configured(vault.Config{Store: db, Keeper: k, Now: c.Now, Logger: quiet}),
		Owner: s.Name, Logger: quiet, Now: c.Now, After: time.After,
	})
	return a, db, err
}

// serveChild does what it is told, line by line.
func serveChild(text string) error {
	ctx := context.Background()
	var s settings
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	c := newClock()
	a, db, err := member(ctx, s, c)
	if err != nil {
		return err
	}
	defer db.Close()
	var dies struct {
		sync.Mutex
		after string
	}
	a.OnStep(func(step string) {
		dies.Lock()
		defer dies.Unlock()
		if step == dies.after {
			if self, err := os.FindProcess(os.Getpid()); err == nil {
				_ = self.Kill() // As kill -9 does.
			}
			select {} // Nothing is done any more.
		}
	})
	orders, reports := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var o order
		if err := orders.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		c.set(o.Now)
		if o.Connection == "" {
			continue
		}
		dies.Lock()
		dies.after = o.Dies
		dies.Unlock()
		go func() {
			_ = reports.Encode(crowd(ctx, a, s.Tenant, o)) // Nobody listens if the parent is gone.
		}()
	}
}

// crowd are callers who all want a token at once.
func crowd(ctx context.Context, a *authorization.Authorizations, tenant string, o order) report {
	var mu sync.Mutex
	var r report
	var all sync.WaitGroup
	for range o.Callers {
		all.Go(func() {
			got, err := a.Token(ctx, tenant, o.Connection)
			if err == nil {
				err = a.Worked(ctx, tenant, o.Connection, got.ID)
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				if !slices.Contains(r.Errors, err.Error()) {
					r.Errors = append(r.Errors, err.Error())
				}
			} else if !slices.Contains(r.Tokens, got.Token) {
				r.Tokens = append(r.Tokens, got.Token)
			}
		})
	}
	all.Wait()
	return r
}

// child is a process.
type child struct {
	*processtest.Process

	orders  *json.Encoder
	reports chan report
}

func (b *fleet) start(t *testing.T, i int) *child {
	t.Helper()
	b.started++
	s := b.settings
	s.Name = fmt.Sprintf("wrk_%d_%d", i, b.started)
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	c := &child{reports: make(chan report, 8)}
	c.Process = processtest.Run(t, processtest.Config{Env: []string{childEnv + "=" + string(text)}, Stderr: os.Stderr, Hear: func(line string) {
		var r report
		if json.Unmarshal([]byte(line), &r) == nil {
			c.reports <- r
		}
	}})
	c.orders = json.NewEncoder(c.In)
	return c
}

func (c *child) tell(t *testing.T, o order) {
	t.Helper()
	if err := c.orders.Encode(o); err != nil {
		t.Fatal(err)
	}
}

// fleet is a server and processes that share a database.
type fleet struct {
	settings settings
	server   *authorizationtest.Server
	clock    *clock
	// here are the parent's own.
	here     *authorization.Authorizations
	children []*child
	started  int
}

func launch(t *testing.T, database string, rules authorizationtest.Rules) *fleet {
	t.Helper()
	c := newClock()
	address := filepath.Join(t.TempDir(), "cofferdam.db")
	if database == "postgres" {
		address = postgrestest.DSN(t)
	}
	s, err := opened(t.Context(), database, address, c.Now)
	server := over(t, migrated(t, s, err), c, rules)
	f := &fleet{server: server.server, clock: c, settings: settings{
		Database: database, Address: address, Key: hex.EncodeToString([]byte("a key of thirty-two bytes, always")[:32]), URL: server.server.URL,
		Tenant: server.tenant, Name: "wrk_parent", Rules: rules,
	}}
	here, db, err := member(t.Context(), f.settings, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	f.here = here
	for i := range processes {
		f.children = append(f.children, f.start(t, i))
	}
	return f
}

func (b *fleet) connect(t *testing.T, connection string) {
	t.Helper()
	if _, err := b.here.Put(t.Context(), authorization.Obtained{
		Tenant: b.settings.Tenant, Connection: connection, App: authorizationtest.App, Provider: "test", Token: b.server.Connect(),
	}); err != nil {
		t.Fatal(err)
	}
}

// want has some processes' callers want a token, and returns what they got.
func (b *fleet) want(t *testing.T, connection string, of ...*child) (tokens, errs []string) {
	t.Helper()
	for _, c := range of {
		c.tell(t, order{Now: b.clock.Now(), Connection: connection, Callers: callers})
	}
	for _, c := range of {
		select {
		case r := <-c.reports:
			tokens, errs = append(tokens, r.Tokens...), append(errs, r.Errors...)
		case <-c.Gone():
			t.Fatal("a process has died that nobody killed")
		}
	}
	slices.Sort(tokens)
	return slices.Compact(tokens), errs
}

func onEach(t *testing.T, test func(t *testing.T, database string)) {
	t.Helper()
	for _, database := range []string{"sqlite", "postgres"} {
		t.Run(database, func(t *testing.T) {
			t.Parallel()
			test(t, database)
		})
	}
}

// threeProcesses: however many want it, each token is refreshed once.
func threeProcesses(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		f := launch(t, database, authorizationtest.Rules{})
		f.connect(t, "con_1")
		began := time.Now()
		for n := range *expiries {
			f.clock.advance(time.Hour)
			tokens, errs := f.want(t, "con_1", f.children...)
			if len(tokens) != 1 || len(errs) > 0 || !f.server.Good(tokens[0]) {
				t.Fatalf("after expiry %d they got %v, %v", n+1, tokens, errs)
			}
		}
		got := f.server.Counts()
		if got.Refreshes != *expiries || got.Requests != *expiries || got.Reused != 0 || got.AtOnce != 1 {
			t.Errorf("got %+v, want %d refreshes, one at a time, and no family revoked", got, *expiries)
		}
		t.Logf("%s: %d processes with %d callers each, %d expiries: %d refreshes, %d families revoked, in %s",
			database, processes, callers, *expiries, got.Refreshes, got.Reused, time.Since(began).Round(time.Millisecond))
	})
}

// killed: a process that dies leaves what the next one goes on with, or, in the one window
// that nobody can close, one family that is lost, and known to be.
func killed(t *testing.T) {
	const lease = 30 * time.Second
	onEach(t, func(t *testing.T, database string) {
		f := launch(t, database, authorizationtest.Rules{})
		lost, flaggedWithin := 0, time.Duration(0)
		for n := range *kills {
			for _, step := range authorization.Steps() {
				connection := fmt.Sprintf("con_%s_%d", step, n)
				f.connect(t, connection)
				f.clock.advance(time.Hour)
				victim, others := f.children[n%processes], slices.Delete(slices.Clone(f.children), n%processes, n%processes+1)
				before, died := f.server.Counts(), f.clock.Now()
				victim.tell(t, order{Now: died, Connection: connection, Callers: callers, Dies: step})
				<-victim.Gone()
				f.children[n%processes] = f.start(t, n%processes)
				f.clock.advance(lease + 5*time.Second)
				tokens, errs := f.want(t, connection, others...)
				after, inWindow := f.server.Counts(), step == "answered" || step == "sealed"
				if !inWindow {
					if len(tokens) != 1 || len(errs) > 0 || !f.server.Good(tokens[0]) || after.Refreshes-before.Refreshes != 1 || after.Reused != before.Reused {
						t.Errorf("killed after %s, they got %v, %v by %+v, after %+v", step, tokens, errs, after, before)
					}
					continue
				}
				lost += after.Reused - before.Reused
				a, err := f.here.Get(t.Context(), f.settings.Tenant, connection)
				if err != nil || a.State != authorization.Broken || a.Reason() != authorization.PossiblyLost || len(tokens) > 0 {
					t.Errorf("killed after %s, it is %s for %q: %v; they got %v, %v", step, a.State, a.Reason(), err, tokens, errs)
				}
				flaggedWithin = max(flaggedWithin, a.BrokenSince.Sub(died))
				f.connect(t, connection)
				if tokens, errs := f.want(t, connection, f.children...); len(tokens) != 1 || len(errs) > 0 {
					t.Errorf("connected again, they got %v, %v", tokens, errs)
				}
			}
		}
		if lost > 2**kills || flaggedWithin > time.Minute {
			t.Errorf("%d families are lost, and known to be after %s", lost, flaggedWithin)
		}
		t.Logf("%s: %d kills, %d of them between the answer and its commit: %d families lost, known after %s",
			database, len(authorization.Steps())**kills, 2**kills, lost, flaggedWithin)
	})
}
