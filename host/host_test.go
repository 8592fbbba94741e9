package host_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/runtime/compile"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

func TestMain(m *testing.M) { postgrestest.Main(tight{m}) }

// tight is tests that may leave no goroutine behind.
type tight struct{ *testing.M }

// Run implements postgrestest's runner.
func (m tight) Run() int {
	code := m.M.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func openStore(t *testing.T) store.Store {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Options{})
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	if _, _, err := db.Migrate(t.Context()); err != nil {
		t.Fatalf("migrate store: %v", err)
	}
	return db
}

func newKey(t *testing.T) vault.Keeper {
	t.Helper()
	key, err := keyfile.Ephemeral()
	if err != nil {
		t.Fatalf("make key: %v", err)
	}
	return key
}

// bundle is a Host that runs, with a tenant that has a plugin.
type bundle struct {
	h      *host.Host
	tenant tenant.Tenant
}

func setup(t *testing.T, wasm []byte) *bundle {
	t.Helper()
	b := runHost(t, host.Config{Store: openStore(t)})
	b.tenant = b.addTenant(t, "acme", tenant.Limits{})
	b.install(t, b.tenant.ID, "plugin", wasm, nil)
	return b
}

// runHost runs a Host, which has no tenants yet, until the test ends.
func runHost(t *testing.T, c host.Config) *bundle {
	t.Helper()
	if c.Keeper == nil {
		c.Keeper = newKey(t)
	}
	c.Logger, c.CacheDir = slog.New(slog.DiscardHandler), runtimetest.CacheDir(t)
	h, err := host.New(t.Context(), c)
	if err != nil {
		t.Fatalf("new host: %v", err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ran := make(chan error, 1)
	go func() { ran <- h.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-ran, h.Close(context.WithoutCancel(ctx))); err != nil {
			t.Errorf("end host: %v", err)
		}
	})
	return &bundle{h: h}
}

func (b *bundle) addTenant(t *testing.T, name string, limits tenant.Limits) tenant.Tenant {
	t.Helper()
	added, err := b.h.Tenants.Create(t.Context(), name, "", limits)
	if err != nil {
		t.Fatalf("create tenant: %v", err)
	}
	return added
}

// install publishes a plain plugin and installs it for a tenant; nil grants are
// all that it asks for.
func (b *bundle) install(t *testing.T, tenant, name string, wasm []byte, grants *installation.Grants) installation.Installation {
	t.Helper()
	publisher, err := b.h.Plugins.PublisherOf(t.Context(), registry.Viewer{Operator: true})
	if err != nil {
		t.Fatalf("find publisher: %v", err)
	}
	upload := registry.Upload{Wasm: bytes.NewReader(wasm), Name: name, Version: "1.0.0"}
	if _, err := b.h.Plugins.Publish(t.Context(), publisher.ID, upload); err != nil {
		t.Fatalf("publish: %v", err)
	}
	i, err := b.h.Installations.Create(t.Context(), tenant, installation.Spec{Plugin: name, Grants: grants})
	if err != nil {
		t.Fatalf("install: %v", err)
	}
	return i
}

func (b *bundle) start(t *testing.T, input string) string {
	t.Helper()
	start := execution.Start{Installation: "plugin", Kind: event.Action, Name: "go", Input: json.RawMessage(input)}
	accepted, err := b.h.Executions.Start(t.Context(), b.tenant.ID, start)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	return accepted.Execution
}

// await waits for a state that is not the end, too.
func (b *bundle) await(t *testing.T, id string, want execution.State) execution.Execution {
	t.Helper()
	var last execution.Execution
	errFound := errors.New("found")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := b.h.Executions.Tail(ctx, b.tenant.ID, func(e execution.Execution) error {
		if last = e; e.ID == id && e.State == want {
			return errFound
		}
		return nil
	})
	if !errors.Is(err, errFound) {
		t.Fatalf("execution is %s after %v, want %s", last.State, err, want)
	}
	return last
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	answer := func(context.Context, json.RawMessage) (any, error) { return nil, nil }
	good := func(*testing.T, *host.Config) {}
	tests := map[string]struct {
		change func(t *testing.T, c *host.Config)
		want   string
	}{
		"no store":  {func(_ *testing.T, c *host.Config) { c.Store = nil }, "Store is not set"},
		"no keeper": {func(_ *testing.T, c *host.Config) { c.Keeper = nil }, "Keeper is not set"},
		"a function that is built in": {func(_ *testing.T, c *host.Config) {
			c.Functions = []hostfns.Func{{Name: "http", Answer: answer}}
		}, `"http", which is built in`},
		"two functions of one name": {func(_ *testing.T, c *host.Config) {
			c.Functions = []hostfns.Func{{Name: "plan", Answer: answer}, {Name: "plan", Answer: answer}}
		}, `"plan", which is the name of Functions[0]`},
		"a function without a name":    {func(_ *testing.T, c *host.Config) { c.Functions = []hostfns.Func{{Answer: answer}} }, `named ""`},
		"a function without an answer": {func(_ *testing.T, c *host.Config) { c.Functions = []hostfns.Func{{Name: "plan"}} }, "has no Answer"},
		"a store that is not migrated": {func(t *testing.T, c *host.Config) {
			t.Helper()
			db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "empty.db"), sqlite.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			c.Store = db
		}, "check the database"},
		"another key than the stored one": {func(t *testing.T, c *host.Config) {
			t.Helper()
			owner := tenant.Tenant{ID: "ten_1", Name: "acme", State: tenant.Active, Limits: tenant.Limits{Running: 1, Weight: 1}}
			if err := c.Store.InsertTenant(t.Context(), owner); err != nil {
				t.Fatal(err)
			}
			sealer := vault.New(c.Store, newKey(t))
			if _, err := sealer.Seal(t.Context(), vault.Field{Tenant: "ten_1", Table: "t", Record: "r", Name: "n"}, []byte("x")); err != nil {
				t.Fatal(err)
			}
		}, "check the key"},
		"nothing that is right": {good, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := host.Config{Store: openStore(t), Keeper: newKey(t)}
			test.change(t, &c)
			h, err := host.New(t.Context(), c)
			if test.want == "" {
				if err != nil {
					t.Fatalf("new host: %v", err)
				}
				if err := h.Close(t.Context()); err != nil {
					t.Errorf("close host: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}

func TestActionRuns(t *testing.T) {
	t.Parallel()
	b := setup(t, runtimetest.Echo("go"))
	got, err := b.h.Executions.Wait(t.Context(), b.tenant.ID, b.start(t, `{"n":1}`))
	if err != nil || got.State != execution.Succeeded || string(got.Output) != `{"n":1}` {
		t.Errorf("it is %s with %s and %v, want succeeded with its input", got.State, got.Output, err)
	}
	// It is counted once its end is stored, which is what was waited for.
	eventually(t, "the metrics have cofferdam_runs_total", func() bool {
		families, err := b.h.Metrics.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "cofferdam_runs_total" {
				return true
			}
		}
		return false
	})
}

func TestPauseKeepsAndResumeRuns(t *testing.T) {
	t.Parallel()
	b := setup(t, runtimetest.Echo("go"))
	if _, err := b.h.Installations.Pause(t.Context(), b.tenant.ID, "plugin"); err != nil {
		t.Fatal(err)
	}
	id := b.start(t, `1`)
	if got := b.await(t, id, execution.Waiting); got.Reason != execution.ReasonPaused {
		t.Errorf("it waits for %q, want paused", got.Reason)
	}
	if _, err := b.h.Installations.Resume(t.Context(), b.tenant.ID, "plugin"); err != nil {
		t.Fatal(err)
	}
	if got, err := b.h.Executions.Wait(t.Context(), b.tenant.ID, id); err != nil || got.State != execution.Succeeded {
		t.Errorf("it is %s and %v, want succeeded", got.State, err)
	}
}

// resuming resumes the installation when a run is about to be stored as waiting.
type resuming struct {
	store.Store
	resume atomic.Pointer[func() error]
}

func (s *resuming) Complete(ctx context.Context, c execution.Completion) error {
	if do := s.resume.Load(); do != nil && c.Reason == execution.ReasonPaused && s.resume.CompareAndSwap(do, nil) {
		if err := (*do)(); err != nil {
			return err
		}
	}
	return s.Store.Complete(ctx, c)
}

func TestWhatIsParkedWhileItIsResumedRuns(t *testing.T) {
	t.Parallel()
	s := &resuming{Store: openStore(t)}
	b := runHost(t, host.Config{Store: s})
	b.tenant = b.addTenant(t, "acme", tenant.Limits{})
	b.install(t, b.tenant.ID, "plugin", runtimetest.Echo("go"), nil)
	resume := func() error {
		_, err := b.h.Installations.Resume(t.Context(), b.tenant.ID, "plugin")
		return err
	}
	s.resume.Store(&resume)
	if _, err := b.h.Installations.Pause(t.Context(), b.tenant.ID, "plugin"); err != nil {
		t.Fatal(err)
	}
	b.await(t, b.start(t, `"x"`), execution.Succeeded)
}

func TestTenantsPauseKeepsAndResumeRuns(t *testing.T) {
	t.Parallel()
	b := setup(t, runtimetest.Echo("go"))
	if _, err := b.h.Tenants.Pause(t.Context(), b.tenant.ID); err != nil {
		t.Fatal(err)
	}
	id := b.start(t, `1`)
	if _, err := b.h.Tenants.Resume(t.Context(), b.tenant.ID); err != nil {
		t.Fatal(err)
	}
	if got, err := b.h.Executions.Wait(t.Context(), b.tenant.ID, id); err != nil || got.State != execution.Succeeded {
		t.Errorf("it is %s and %v, want succeeded", got.State, err)
	}
}

func TestCancelEndsARun(t *testing.T) {
	t.Parallel()
	b := setup(t, runtimetest.Loop("go"))
	id := b.start(t, ``)
	b.await(t, id, execution.Running)
	if _, err := b.h.Executions.Cancel(t.Context(), b.tenant.ID, id); err != nil {
		t.Fatal(err)
	}
	if got, err := b.h.Executions.Wait(t.Context(), b.tenant.ID, id); err != nil || got.State != execution.Cancelled {
		t.Errorf("it is %s and %v, want cancelled", got.State, err)
	}
}

func TestUninstallCancelsWhatWouldRunAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, runtimetest.Fail("go", `{"code":"retry","message":"not yet","retry_after_ms":500}`, 1))
	id := b.start(t, `1`)
	b.await(t, id, execution.Waiting)
	i, err := b.h.Installations.Get(t.Context(), b.tenant.ID, "plugin")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.h.Installations.Uninstall(t.Context(), b.tenant.ID, i.ID); err != nil {
		t.Fatal(err)
	}
	if got, err := b.h.Executions.Wait(t.Context(), b.tenant.ID, id); err != nil || got.State != execution.Cancelled {
		t.Errorf("it is %s and %v, want cancelled", got.State, err)
	}
}

func TestAnotherTenantsExecutionIsNotFound(t *testing.T) {
	t.Parallel()
	b := setup(t, runtimetest.Echo("go"))
	id := b.start(t, `1`)
	other, err := b.h.Tenants.Create(t.Context(), "other", "", tenant.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.h.Executions.Wait(t.Context(), other.ID, id); fault.From(err).Code != fault.CodeNotFound {
		t.Errorf("got %v, want not_found", err)
	}
}

func TestACompilerThatCannotBeUsedIsNoticedAtTheStart(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		compiler compile.Config
		cache    string
		want     string
	}{
		"no folder": {compile.Config{Path: "cofferdam"}, "", "CacheDir is not"},
		"no binary": {compile.Config{Path: filepath.Join(t.TempDir(), "nothing")}, t.TempDir(), "cannot be used"},
		"no sense":  {compile.Config{Path: "cofferdam", CPU: -1}, t.TempDir(), "CPU is -1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := host.New(t.Context(), host.Config{Store: openStore(t), Keeper: newKey(t), CacheDir: tt.cache, Compiler: tt.compiler})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error that says %q", err, tt.want)
			}
		})
	}
}

func TestRunRunsOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, runtimetest.Echo("go"))
	// The one of setup has begun once it has run something.
	if _, err := b.h.Executions.Wait(t.Context(), b.tenant.ID, b.start(t, `1`)); err != nil {
		t.Fatal(err)
	}
	if err := b.h.Run(t.Context()); err == nil {
		t.Error("a second Run ran")
	}
}
