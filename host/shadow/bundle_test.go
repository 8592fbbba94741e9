package shadow_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/job"
	"github.com/cofferdam-run/cofferdam/host/shadow"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
	"github.com/cofferdam-run/cofferdam/host/worker"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/hostfns/replay"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// bundle is a Host that runs, with tenants that have version 1.0.0 of the guest, of
// which 1.1.0 is published too, and a third party.
type bundle struct {
	h  *host.Host
	db store.Store
	// asked counts the requests that have come to the third party.
	asked atomic.Int64
	url   string
}

func setup(t *testing.T) *bundle {
	t.Helper()
	first := runtimetest.BuildGo(t, filepath.Join("testdata", "guest"))
	return setupGuests(t, first, bytes.ReplaceAll(first, []byte("guest version 1.0.0"), []byte("guest version 1.1.0")))
}

// setupPlain has versions that do nothing but give one output: they compile in no time.
func setupPlain(t *testing.T) *bundle {
	t.Helper()
	var guests [][]byte
	for _, version := range []string{"1.0.0", "1.1.0"} {
		guests = append(guests, runtimetest.Outputs(map[string]string{
			"describe": `{"name":"guest","version":"` + version + `","actions":[{"name":"go"}],"config":{"type":"object","properties":{"url":{"type":"string"}}}}`,
			"action":   `{"ok":true}`,
		}))
	}
	return setupGuests(t, guests...)
}

func setupGuests(t *testing.T, guests ...[]byte) *bundle {
	t.Helper()
	b := &bundle{}
	party := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		b.asked.Add(1)
		_, _ = io.WriteString(w, `{"answer":42}`)
	}))
	t.Cleanup(party.Close)
	b.url = party.URL
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), sqlite.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	_, _, err = db.Migrate(t.Context())
	must(t, err)
	b.db = db
	key, err := keyfile.Ephemeral()
	must(t, err)
	b.h, err = host.New(t.Context(), host.Config{
		Store: db, Keeper: key, Logger: slog.New(slog.DiscardHandler), CacheDir: runtimetest.CacheDir(t),
		Egress: egress.Config{AllowAddrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	})
	must(t, err)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ran := make(chan error, 1)
	go func() { ran <- b.h.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		must(t, errors.Join(<-ran, b.h.Close(context.WithoutCancel(ctx))))
	})
	publisher, err := b.h.Plugins.PublisherOf(t.Context(), registry.Viewer{Operator: true})
	must(t, err)
	for _, wasm := range guests {
		_, err := b.h.Plugins.Publish(t.Context(), publisher.ID, registry.Upload{Wasm: bytes.NewReader(wasm)})
		must(t, err)
	}
	return b
}

// add adds a tenant that has the first version.
func (b *bundle) add(t *testing.T, name string) (owner, in string) {
	t.Helper()
	added, err := b.h.Tenants.Create(t.Context(), name, "", tenant.Limits{})
	must(t, err)
	i, err := b.h.Installations.Create(t.Context(), added.ID, installation.Spec{
		Plugin: "guest@1.0.0", Config: fmt.Appendf(nil, `{"url":%q}`, b.url),
	})
	must(t, err)
	return added.ID, i.ID
}

// do runs n executions, of which the second version does something otherwise.
func (b *bundle) do(t *testing.T, owner, in, otherwise string, n int) []string {
	t.Helper()
	var ids []string
	for i := range n {
		start := execution.Start{Installation: in, Kind: event.Action, Name: "go", Input: fmt.Appendf(nil, `{"n":%d,"new":%q}`, 100+i, otherwise)}
		accepted, err := b.h.Executions.Start(t.Context(), owner, start)
		must(t, err)
		ids = append(ids, accepted.Execution)
	}
	for _, id := range ids {
		x, err := b.h.Executions.Wait(t.Context(), owner, id)
		must(t, err)
		if want := otherwise != "mends"; (x.State == execution.Succeeded) != want {
			t.Fatalf("it is %s with %v, want a success to be %t", x.State, x.Error, want)
		}
	}
	return ids
}

// runs are shadow runs beside the Host's own, which may be changed.
func (b *bundle) runs(t *testing.T, change func(*shadow.Config)) *shadow.Runs {
	t.Helper()
	rt, err := runtime.New(t.Context(), runtime.Config{Functions: worker.Functions(nil), CacheDir: runtimetest.CacheDir(t), Now: time.Now})
	must(t, err)
	sandbox := worker.NewSandbox(worker.SandboxConfig{Records: b.db, Plugins: b.h.Plugins, Installation: b.db.Installation, Now: time.Now})
	c := shadow.Config{
		Store: b.db, Plugins: b.h.Plugins, Runtime: rt, Installation: b.db.Installation, Now: time.Now,
		Jobs: job.New(job.Config{Store: b.db, Now: time.Now}),
		Read: func(context.Context, string, []string) (shadow.Recorder, error) { return sandbox, nil },
	}
	change(&c)
	r := shadow.New(c)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		must(t, errors.Join(r.Close(ctx), sandbox.Close(ctx), rt.Close(ctx)))
	})
	return r
}

// against is the usual question.
func against() shadow.Spec {
	return shadow.Spec{Plugin: "guest", Version: "1.1.0", Against: "1.0.0"}
}

// await waits for the end of a run of the Host's.
func (b *bundle) await(t *testing.T, r shadow.Run) shadow.Run {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		var err error
		r, err = b.h.Shadows.Get(t.Context(), r.Tenant, r.ID)
		must(t, err)
		if r.State.Ended() {
			return r
		}
	}
	t.Fatalf("the run is %s after a minute: %+v", r.State, r.Report)
	return r
}

// stepped takes the steps of a run that nobody else takes, each of them as often as
// again says, and returns its report and the steps that were kept.
func stepped(t *testing.T, runs *shadow.Runs, j job.Job, again int) (shadow.Report, int) {
	t.Helper()
	for n := 1; ; n++ {
		var s job.Step
		for range again {
			var err error
			s, err = runs.Step(t.Context(), j)
			must(t, err)
		}
		j.Progress, j.Cursor = s.Progress, s.Cursor
		if s.Done {
			var r shadow.Report
			must(t, json.Unmarshal(j.Progress, &r))
			return r, n
		}
		if n > 1000 {
			t.Fatalf("it does not come to an end: %s at %s", j.Progress, j.Cursor)
		}
	}
}

// queued is the job of a run that no Runner sees, and what takes its steps.
func (b *bundle) queued(t *testing.T, s shadow.Spec, change func(*shadow.Config)) (*shadow.Runs, job.Job) {
	t.Helper()
	var kept aside
	r := b.runs(t, func(c *shadow.Config) {
		c.Jobs = job.New(job.Config{Store: &kept, Now: time.Now})
		if change != nil {
			change(c)
		}
	})
	_, err := r.Start(t.Context(), s)
	must(t, err)
	return r, kept.j
}

// aside keeps one job.
type aside struct {
	job.Store

	j job.Job
}

func (a *aside) InsertJob(_ context.Context, j job.Job, _ int) error {
	a.j = j
	return nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// handler is a job.Handler.
type handler func(ctx context.Context, j job.Job) (job.Step, error)

func (h handler) Step(ctx context.Context, j job.Job) (job.Step, error) { return h(ctx, j) }

// recorder is a shadow.Recorder.
type recorder func(id string) (replay.Recording, error)

func (r recorder) Recording(_ context.Context, _, id string, _ bool) (replay.Recording, error) {
	return r(id)
}

// runner is a process that takes the steps of one kind of jobs.
func (b *bundle) runner(kind string, h job.Handler) *job.Runner {
	return job.NewRunner(job.RunnerConfig{
		Store: b.db, Handlers: map[string]job.Handler{kind: h}, Owner: "one", Lease: time.Minute,
		Now: time.Now, After: time.After, Logger: slog.New(slog.DiscardHandler),
	})
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	doc, err := json.Marshal(v)
	must(t, err)
	return string(doc)
}
