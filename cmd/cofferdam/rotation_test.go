package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/job"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
	"github.com/cofferdam-run/cofferdam/host/vault/rotation"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	"github.com/cofferdam-run/cofferdam/test/processtest"
)

var (
	rotationRecords    = flag.Int("rotation.records", 1500, "credentials of the tenant whose key is replaced")
	rotationExecutions = flag.Int("rotation.executions", 250, "executions that run meanwhile")
	rewrapTenants      = flag.Int("rewrap.tenants", 600, "tenants whose keys are wrapped anew")
)

// changing is a database whose keys are replaced while servers use it.
type changing struct {
	canaries

	store  store.Store
	keeper vault.Keeper
	tenant tenant.Tenant
}

// setupChanging starts a server, whose tenant has the connector that signs.
func setupChanging(t *testing.T, db string) *changing {
	t.Helper()
	c := &changing{canaries: canaries{
		db: db, dir: t.TempDir(), party: newCanaryParty(t), credential: newMarker("cred"), payload: newMarker("payl"), open: newMarker("open"),
	}}
	c.env = []string{"COFFERDAM_KEY_FRESH=1s", "COFFERDAM_LEASE=1s", "COFFERDAM_KEY_FILE=data/key.json", "SSL_CERT_FILE=" + c.party.roots}
	if db == "postgres" {
		c.db = postgrestest.DSN(t)
		c.env = append(c.env, "COFFERDAM_DB="+c.db)
	}
	if err := os.Mkdir(filepath.Join(c.dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	c.run(t, "key", "new", "data/key.json")
	c.run(t, "key", "new", "data/key-2.json")
	c.server = startServer(t, c.dir, append(c.env, "COFFERDAM_KEEPERS=file:data/key-2.json")...)
	c.api = clientOf(t, c.server, c.server)
	wasm := runtimetest.BuildGo(t, "testdata/canary")
	if err := c.api.send(t.Context(), http.MethodPost, "/v1/plugins", "application/wasm", bytes.NewReader(wasm), nil); err != nil {
		t.Fatal(err)
	}
	c.post(t, "/v1/tenants", map[string]any{"name": canaryName(0)}, &c.tenant)
	for _, spec := range c.connections(t, 0) {
		c.post(t, c.path(0, "/connections"), spec, nil)
	}
	config := map[string]string{"url": c.party.URL + "/" + canaryName(0)}
	c.post(t, c.path(0, "/installations"), map[string]any{"plugin": "canary", "config": config}, nil)
	c.store = c.openStore(t)
	var err error
	if c.keeper, err = keyfile.Open(filepath.Join(c.dir, "data", "key.json")); err != nil {
		t.Fatal(err)
	}
	return c
}

// at once does something for each number below n.
func atOnce(n int, do func(i int) error) error {
	var wait sync.WaitGroup
	var failed atomic.Pointer[error]
	for w := range 16 { // The database commits those together that come together.
		wait.Go(func() {
			for i := w; i < n && failed.Load() == nil; i += 16 {
				if err := do(i); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	wait.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// fill gives the tenant connections that nobody uses.
func (c *changing) fill(t *testing.T, n int) {
	t.Helper()
	v := c.vault(c.store, c.keeper)
	now := time.Now()
	err := atOnce(n, func(i int) error {
		id := ident.New(ident.Connection, now)
		sealed, err := v.Seal(t.Context(), vault.Field{Tenant: c.tenant.ID, Table: "connections", Record: id, Name: "credential", Version: 1}, []byte(`{"token":"t"}`))
		if err != nil {
			return err
		}
		kept := connection.Connection{
			ID: id, Tenant: c.tenant.ID, Name: fmt.Sprintf("c%d", i), Type: connection.Bearer, Hosts: []string{"a.example"}, Version: 1, CreatedAt: now, UpdatedAt: now,
		}
		return c.store.InsertConnection(t.Context(), kept, sealed)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// begin starts executions, each of which opens a credential and changes state.
func (c *changing) begin(t *testing.T, n int) []string {
	t.Helper()
	ids := make([]string, n)
	err := atOnce(n, func(i int) error {
		s := script{Steps: []scriptStep{
			{"sign", map[string]any{"connection": "hmac", "algorithm": "hmac-sha256", "payload": c.payload.of(i, "signed")}},
			{"state_set", map[string]any{"key": fmt.Sprintf("k%d", i%50), "value": i}},
		}}
		var view struct {
			Execution string `json:"execution"`
		}
		err := c.api.call(t.Context(), http.MethodPost, c.path(0, "/installations/canary/actions/go?mode=async"), s, &view)
		ids[i] = view.Execution
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// succeeded wants all executions to come to a good end.
func (c *changing) succeeded(t *testing.T, ids []string) {
	t.Helper()
	for _, id := range ids {
		processtest.Eventually(t, "execution "+id, func() bool {
			var x execution.Execution
			if err := json.Unmarshal(c.get(t, c.path(0, "/executions/"+id)), &x); err != nil {
				t.Fatal(err)
			}
			if x.State.Done() && x.State != execution.Succeeded {
				t.Fatalf("execution %s is %s: %+v", id, x.State, x.Error)
			}
			return x.State.Done()
		})
	}
}

// next starts another server, and speaks with that from now on.
func (c *changing) next(t *testing.T, env ...string) *processtest.Server {
	t.Helper()
	token := c.api.token
	p := startServer(t, c.dir, append(c.env, env...)...)
	c.api = &client{base: p.URL(), token: token, http: &http.Client{Timeout: time.Minute}}
	return p
}

// reading has a server show traces, with all that is sealed in them, until it is told to
// stop; it returns how many.
func (c *changing) reading(t *testing.T, ids []string) (stop func() int64) {
	t.Helper()
	done := make(chan struct{})
	var n atomic.Int64
	var wait sync.WaitGroup
	api := c.api
	wait.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			path := c.path(0, "/executions/"+ids[i%len(ids)]+"/trace")
			if err := api.call(t.Context(), http.MethodGet, path, nil, &execution.Trace{}); err != nil {
				t.Errorf("GET %s: %v", path, err)
				return
			}
			n.Add(1)
		}
	})
	return func() int64 {
		close(done)
		wait.Wait()
		return n.Load()
	}
}

// TestRotationOutlivesItsServer kills a server with SIGKILL in the middle of the
// rotation of a tenant's key, while executions use what it seals: another one finishes
// it, no execution fails, and no read.
func TestRotationOutlivesItsServer(t *testing.T) {
	t.Parallel()
	for _, db := range []string{"sqlite", "postgres"} {
		t.Run(db, func(t *testing.T) {
			t.Parallel()
			c := setupChanging(t, db)
			c.fill(t, *rotationRecords)
			early := c.begin(t, 20)
			c.succeeded(t, early)
			first, other := c.server, c.api
			if db == "postgres" {
				c.next(t)
				other, c.api = c.api, other
			}
			c.post(t, c.path(0, "/installations/canary/pause"), nil, nil)
			ids := c.begin(t, *rotationExecutions)
			c.post(t, c.path(0, "/installations/canary/resume"), nil, nil) // They all run from now on.
			var r rotation.Rotation
			c.post(t, c.path(0, "/key-rotations"), nil, &r)
			processtest.Eventually(t, "the rotation to be under way", func() bool { return c.rotated(t, &r).Progress.Done > 0 })
			first.Kill()
			if r.State.Ended() {
				t.Errorf("it was killed when the rotation was %+v, and not in the middle of it", r)
			}
			t.Logf("killed at %+v", r.Progress)
			if c.api = other; db == "sqlite" {
				c.next(t)
			}
			stop := c.reading(t, early)
			c.succeeded(t, ids)
			processtest.Eventually(t, "the rotation", func() bool { return c.rotated(t, &r).State.Ended() })
			t.Logf("%d executions, and %d reads of the other server, while %d of %d records were sealed anew", len(ids), stop(), r.Progress.Done, r.Progress.Total)
			if r.State != job.Done || r.Progress.Unreadable > 0 || r.Progress.Total < *rotationRecords {
				t.Errorf("the rotation is %+v", r)
			}
			c.sealedAnew(t)
			c.succeeded(t, c.begin(t, 20))
		})
	}
}

func (c *changing) rotated(t *testing.T, r *rotation.Rotation) rotation.Rotation {
	t.Helper()
	if err := json.Unmarshal(c.get(t, c.path(0, "/key-rotations/"+r.ID)), r); err != nil {
		t.Fatal(err)
	}
	return *r
}

// sealedAnew wants the tenant to have one key, and all to open with it.
func (c *changing) sealedAnew(t *testing.T) {
	t.Helper()
	v := c.vault(c.store, c.keeper)
	if n, err := v.Keys(t.Context(), c.tenant.ID); err != nil || n != 1 {
		t.Errorf("the tenant has %d keys, %v", n, err)
	}
	header := must2(v.Header(t.Context(), c.tenant.ID))
	if n, err := c.store.CountStale(t.Context(), c.tenant.ID, header); err != nil || n != 0 {
		t.Errorf("%d records are under other keys, %v", n, err)
	}
	opened := 0
	for place, rows := range copySealed(t, c.store, c.tenant.ID) {
		for i, b := range must2(v.Reseal(t.Context(), place, rows)) {
			if opened++; b == nil {
				t.Errorf("%s.%s of %s does not open", place.Table, place.Name, rows[i].Record)
			}
		}
	}
	if opened < *rotationRecords {
		t.Errorf("%d records open, of %d", opened, *rotationRecords)
	}
}

// TestRewrapOutlivesItsProcess kills `key rewrap` with SIGKILL in the middle, while a
// server runs executions: two others at once do the rest, and in the end nobody needs
// the key before.
func TestRewrapOutlivesItsProcess(t *testing.T) {
	t.Parallel()
	for _, db := range []string{"sqlite", "postgres"} {
		t.Run(db, func(t *testing.T) {
			t.Parallel()
			c := setupChanging(t, db)
			c.tenants(t, *rewrapTenants)
			ids := c.begin(t, *rotationExecutions/5)
			stop := c.reading(t, ids)
			c.killedRewrap(t)
			left := c.wrappedBy(t, c.keeper.KeyID())
			if left == 0 || left > *rewrapTenants {
				t.Errorf("it was killed when %d keys were left of %d, and not in the middle", left, *rewrapTenants)
			}
			c.succeeded(t, c.begin(t, 10)) // Some keys are wrapped by one, and some by the other.
			var wait sync.WaitGroup
			for range 2 {
				wait.Go(func() { c.run(t, c.rewrap()...) })
			}
			wait.Wait()
			if n := c.wrappedBy(t, c.keeper.KeyID()); n != 0 {
				t.Errorf("%d keys are wrapped by the key before", n)
			}
			c.succeeded(t, ids)
			t.Logf("killed with %d of %d left; %d reads meanwhile", left, *rewrapTenants, stop())
			if err := c.server.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			if err := c.server.Wait(); err != nil {
				t.Errorf("the server ends with %v", err)
			}
			if err := os.Remove(filepath.Join(c.dir, "data", "key.json")); err != nil {
				t.Fatal(err)
			}
			c.next(t, "COFFERDAM_KEY_FILE=data/key-2.json")
			c.succeeded(t, c.begin(t, 10))
			c.get(t, c.path(0, "/executions/"+ids[0]+"/trace"))
		})
	}
}

// tenants makes some that have a key.
func (c *changing) tenants(t *testing.T, n int) {
	t.Helper()
	v := c.vault(c.store, c.keeper)
	now := time.Now()
	err := atOnce(n, func(int) error {
		id := ident.New(ident.Tenant, now)
		made := tenant.Tenant{ID: id, Name: strings.ToLower(id), State: tenant.Active, Limits: tenant.Limits{Running: 1, Weight: 1}, CreatedAt: now}
		if err := c.store.InsertTenant(t.Context(), made); err != nil {
			return err
		}
		_, err := v.Seal(t.Context(), vault.Field{Tenant: id, Table: "t"}, nil)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (c *changing) rewrap() []string {
	return []string{"key", "rewrap", "--keeper", "file:data/key-2.json", "--keepers", "file:data/key.json", "--key-file", ""}
}

func (c *changing) wrappedBy(t *testing.T, id string) int {
	t.Helper()
	for _, n := range must2(c.store.KeyCounts(t.Context())) {
		if n.KeyID == id {
			return n.Tenants
		}
	}
	return 0
}

// killedRewrap kills a rewrap as soon as it says that it has done something.
func (c *changing) killedRewrap(t *testing.T) {
	t.Helper()
	p := processtest.Run(t, processtest.Config{Program: "cofferdam", Args: c.rewrap(), Dir: c.dir, Env: c.env})
	processtest.Eventually(t, "the rewrap to be under way", func() bool { return strings.Contains(p.Said(), "wrapped anew") })
	p.Kill()
	if p.Wait() == nil {
		t.Error("it has come to its end")
	}
}
