package rotation_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/job"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/postgres"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
	"github.com/cofferdam-run/cofferdam/host/vault/rotation"
)

const acme = "ten_acme"

// bundle is a database with a tenant.
type bundle struct {
	store  store.Store
	keeper vault.Keeper
	us     atomic.Int64
	// reads is held by those who read: a read takes none of the time that passes
	// between two steps, which is half a minute.
	reads sync.RWMutex
}

func TestMain(m *testing.M) { postgrestest.Main(m) }

// each runs a test on each database.
func each(t *testing.T, test func(*testing.T, *bundle)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, setup(t))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		b := newBundle()
		s, err := postgres.Open(t.Context(), postgrestest.DSN(t), postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		b.use(t, s)
		test(t, b)
	})
}

func newBundle() *bundle {
	b := &bundle{}
	b.us.Store(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC).UnixMicro())
	return b
}

// setup has the database be SQLite.
func setup(tb testing.TB) *bundle {
	tb.Helper()
	b := newBundle()
	s, err := sqlite.Open(tb.Context(), filepath.Join(tb.TempDir(), "cofferdam.db"), sqlite.Options{Now: b.now})
	if err != nil {
		tb.Fatal(err)
	}
	b.use(tb, s)
	return b
}

// use has a database be the bundle's, with a tenant.
func (b *bundle) use(tb testing.TB, s store.Store) {
	tb.Helper()
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	if _, _, err := s.Migrate(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	if err := s.InsertTenant(tb.Context(), tenant.Tenant{ID: acme, Name: "acme", State: tenant.Active, CreatedAt: b.now()}); err != nil {
		tb.Fatal(err)
	}
	var err error
	if b.keeper, err = keyfile.Ephemeral(); err != nil {
		tb.Fatal(err)
	}
	b.store = s
	s.SealWith(b.process().vault)
}

func (b *bundle) now() time.Time { return time.UnixMicro(b.us.Load()).UTC() }

func (b *bundle) advance(d time.Duration) {
	b.reads.Lock()
	defer b.reads.Unlock()
	b.us.Add(d.Microseconds())
}

// process is what one process has.
type process struct {
	vault     *vault.Vault
	jobs      *job.Jobs
	rotations *rotation.Rotations
}

func (b *bundle) process() process {
	v := vault.Configured(vault.Config{Store: b.store, Keeper: b.keeper, Auditor: silent{}, Now: b.now})
	jobs := job.New(job.Config{Store: b.store, Now: b.now})
	return process{
		vault: v, jobs: jobs,
		rotations: rotation.New(rotation.Config{
			Vault: v, Records: b.store, Jobs: jobs,
			Now: func(context.Context) (time.Time, error) { return b.now(), nil },
		}),
	}
}

type silent struct{}

func (silent) Opened(context.Context, vault.Opening) error { return nil }

// connect gives the tenant connections, and returns their ids.
func (b *bundle) connect(tb testing.TB, v *vault.Vault, n int) []string {
	tb.Helper()
	ids := make([]string, n)
	var wait sync.WaitGroup
	for w := range 16 { // The database commits those together that come together.
		wait.Go(func() {
			for i := w; i < n; i += 16 {
				ids[i] = ident.New(ident.Connection, b.now())
				if err := b.insert(tb, v, ids[i]); err != nil {
					tb.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	return ids
}

func (b *bundle) insert(tb testing.TB, v *vault.Vault, id string) error {
	tb.Helper()
	sealed, err := v.Seal(tb.Context(), vault.Field{Tenant: acme, Table: "connections", Record: id, Name: "credential", Version: 1}, secret(id))
	if err != nil {
		return err
	}
	c := connection.Connection{ID: id, Tenant: acme, Name: id, Type: connection.Bearer, Version: 1, CreatedAt: b.now(), UpdatedAt: b.now()}
	return b.store.InsertConnection(tb.Context(), c, sealed)
}

func secret(id string) []byte { return []byte(`{"token":"` + id + `"}`) }

// read opens a connection's credential.
func (b *bundle) read(tb testing.TB, v *vault.Vault, id string) error {
	tb.Helper()
	b.reads.RLock()
	defer b.reads.RUnlock()
	c, sealed, err := b.store.Sealed(tb.Context(), acme, id)
	if err != nil {
		return err
	}
	got, err := v.Open(tb.Context(), vault.Field{Tenant: acme, Table: "connections", Record: id, Name: "credential", Version: c.Version}, sealed)
	if err == nil && string(got) != string(secret(id)) {
		err = fmt.Errorf("got %d other bytes", len(got))
	}
	return err
}

// steps makes up to most steps of a rotation, as a runner does, and returns the job
// with what they have left.
func (b *bundle) steps(tb testing.TB, p process, j job.Job, most int) (job.Job, bool) {
	tb.Helper()
	for range most {
		s, err := p.rotations.Step(tb.Context(), j)
		if err != nil {
			tb.Fatal(err)
		}
		j.Progress, j.Cursor = s.Progress, s.Cursor
		if s.Done {
			return j, true
		}
		b.advance(s.Wait)
	}
	return j, false
}

func (b *bundle) start(tb testing.TB, p process) job.Job {
	tb.Helper()
	r, err := p.rotations.Start(tb.Context(), acme)
	if err != nil {
		tb.Fatal(err)
	}
	j, err := p.jobs.Get(tb.Context(), acme, r.ID)
	if err != nil {
		tb.Fatal(err)
	}
	return j
}

func TestRotationReplacesTheKey(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle) {
		t.Helper()
		p := b.process()
		ids := b.connect(t, p.vault, 500)
		_, stolen, err := b.store.Sealed(t.Context(), acme, ids[0])
		if err != nil {
			t.Fatal(err)
		}
		before, err := p.vault.Header(t.Context(), acme)
		if err != nil {
			t.Fatal(err)
		}
		j := b.start(t, p)
		j, done := b.steps(t, p, j, 1)
		if n, err := p.vault.Keys(t.Context(), acme); done || err != nil || n != 2 {
			t.Fatalf("after a step there are %d keys, %v", n, err)
		}
		if _, done = b.steps(t, p, j, 9); !done {
			t.Fatal("it does not end")
		}
		if n, err := p.vault.Keys(t.Context(), acme); err != nil || n != 1 {
			t.Errorf("at the end there are %d keys, %v", n, err)
		}
		after, err := p.vault.Header(t.Context(), acme)
		if err != nil || string(after) == string(before) {
			t.Errorf("the key is the same: %v", err)
		}
		for _, v := range []*vault.Vault{p.vault, b.process().vault} {
			for _, id := range ids {
				if err := b.read(t, v, id); err != nil {
					t.Errorf("%s: %v", id, err)
				}
			}
			// What was under the old key opens no more, wherever it comes from.
			f := vault.Field{Tenant: acme, Table: "connections", Record: ids[0], Name: "credential", Version: 1}
			if _, err := v.Open(t.Context(), f, stolen); !errors.Is(err, vault.ErrSealed) {
				t.Errorf("the old bytes: got %v, want ErrSealed", err)
			}
		}
	})
}

func TestProgressIsShown(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle) {
		t.Helper()
		p := b.process()
		b.connect(t, p.vault, 2500)
		j := b.start(t, p)
		var got []rotation.Progress
		for done := false; !done; {
			j, done = b.steps(t, p, j, 1)
			if _, err := b.store.SaveJob(t.Context(), j, job.Saved{Progress: j.Progress, Cursor: j.Cursor}); err != nil {
				t.Fatal(err)
			}
			r, err := p.rotations.Get(t.Context(), acme, j.ID)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, r.Progress)
		}
		want := []rotation.Progress{
			{Phase: rotation.Sealing, Total: 2500},
			{Phase: rotation.Sealing, Total: 2500, Done: 2000},
			{Phase: rotation.Settling, Total: 2500, Done: 2500},
			{Phase: rotation.Done, Total: 2500, Done: 2500},
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

func TestReadsGoOnInEveryProcess(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle) {
		t.Helper()
		p := b.process()
		ids := b.connect(t, p.vault, 2000)
		ctx, stop := context.WithCancel(t.Context())
		var readers sync.WaitGroup
		var reads atomic.Int64
		for i := range 3 {
			v := b.process().vault // Each holds the keys that it has met.
			readers.Go(func() {
				for n := i; ctx.Err() == nil; n += 7 {
					if err := b.read(t, v, ids[n%len(ids)]); err != nil {
						t.Errorf("read %s: %v", ids[n%len(ids)], err)
						return
					}
					reads.Add(1)
				}
			})
		}
		for range 2 {
			if _, done := b.steps(t, p, b.unsaved(), 50); !done {
				t.Error("it does not end")
			}
		}
		stop()
		readers.Wait()
		if reads.Load() == 0 {
			t.Error("nobody has read anything")
		}
	})
}

// unsaved is the job of a rotation that no store knows of, so that the last one need
// not have been saved as done.
func (b *bundle) unsaved() job.Job {
	return job.Job{ID: ident.New(ident.Job, b.now()), Tenant: acme, Kind: rotation.Kind}
}

func TestAnotherProcessGoesOn(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle) {
		t.Helper()
		first := b.process()
		ids := b.connect(t, first.vault, 5000)
		j := b.start(t, first)
		saved, _ := b.steps(t, first, j, 2)
		b.steps(t, first, saved, 1) // It dies before this one is saved.
		second := b.process()
		_, done := b.steps(t, second, saved, 20)
		if !done {
			t.Fatal("it does not end")
		}
		if n, err := second.vault.Keys(t.Context(), acme); err != nil || n != 1 {
			t.Errorf("there are %d keys, %v", n, err)
		}
		if err := b.read(t, first.vault, ids[4999]); err != nil {
			t.Error(err)
		}
	})
}

func TestAddingTwiceAddsOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle) {
		t.Helper()
		p, other := b.process(), b.process()
		b.connect(t, p.vault, 1)
		j := b.start(t, p)
		for _, p := range []process{p, other, p} {
			b.steps(t, p, j, 1)
		}
		if n, err := p.vault.Keys(t.Context(), acme); err != nil || n != 2 {
			t.Errorf("there are %d keys, %v", n, err)
		}
	})
}

func TestTwoProcessesRotateAtOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle) {
		t.Helper()
		p := b.process()
		ids := b.connect(t, p.vault, 1000)
		var wait sync.WaitGroup
		for range 2 {
			wait.Go(func() {
				p := b.process()
				if _, done := b.steps(t, p, b.unsaved(), 200); !done {
					t.Error("it does not end")
				}
			})
		}
		wait.Wait()
		fresh := b.process()
		if n, err := fresh.vault.Keys(t.Context(), acme); err != nil || n != 1 {
			t.Errorf("there are %d keys, %v", n, err)
		}
		for _, id := range ids {
			if err := b.read(t, fresh.vault, id); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestStragglersAreSealedAnew(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle) {
		t.Helper()
		p, slow := b.process(), b.process()
		b.connect(t, p.vault, 10)
		b.connect(t, slow.vault, 1) // It holds the key before from now on.
		j, _ := b.steps(t, p, b.start(t, p), 1)
		late := b.connect(t, slow.vault, 1)
		s, err := p.rotations.Step(t.Context(), j)
		if err != nil || s.Wait == 0 {
			t.Fatalf("got %+v, %v, want it to settle", s, err)
		}
		late = append(late, b.connect(t, slow.vault, 1)...)
		j.Progress, j.Cursor = s.Progress, s.Cursor
		b.advance(s.Wait)
		if _, done := b.steps(t, p, j, 9); !done {
			t.Fatal("it does not end")
		}
		for _, id := range late {
			if err := b.read(t, slow.vault, id); err != nil {
				t.Errorf("%s: %v", id, err)
			}
		}
	})
}

func TestSettlingTakesItsTime(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle) {
		t.Helper()
		p := b.process()
		b.connect(t, p.vault, 1)
		j := b.start(t, p)
		for range 4 { // The clock stands: it was paused and resumed again and again.
			s, err := p.rotations.Step(t.Context(), j)
			if err != nil || s.Done {
				t.Fatalf("got %+v, %v", s, err)
			}
			j.Progress, j.Cursor = s.Progress, s.Cursor
		}
		if n, err := p.vault.Keys(t.Context(), acme); err != nil || n != 2 {
			t.Errorf("there are %d keys, %v: the old one went too early", n, err)
		}
	})
}

func TestWhatDoesNotOpenKeepsTheKeys(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle) {
		t.Helper()
		p := b.process()
		ids := b.connect(t, p.vault, 10)
		c, sealed, err := b.store.Sealed(t.Context(), acme, ids[3])
		if err != nil {
			t.Fatal(err)
		}
		c.Version++
		sealed[len(sealed)-1]++
		if err := b.store.UpdateConnection(t.Context(), c, sealed); err != nil {
			t.Fatal(err)
		}
		j, _ := b.steps(t, p, b.start(t, p), 2)
		_, err = p.rotations.Step(t.Context(), j)
		if f := fault.From(err); err == nil || f.Code != "records_unreadable" || f.Hint == "" {
			t.Fatalf("got %v", err)
		}
		if n, err := p.vault.Keys(t.Context(), acme); err != nil || n != 2 {
			t.Errorf("there are %d keys, %v", n, err)
		}
		if err := b.store.DeleteConnection(t.Context(), acme, ids[3]); err != nil {
			t.Fatal(err)
		}
		if _, done := b.steps(t, p, j, 9); !done {
			t.Error("resumed, it does not end")
		}
	})
}

func TestOneRotationAtATime(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle) {
		t.Helper()
		p := b.process()
		r, err := p.rotations.Start(t.Context(), acme)
		if err != nil || r.Progress.Phase != rotation.Adding || r.State != job.Queued {
			t.Fatalf("got %+v, %v", r, err)
		}
		if _, err := p.rotations.Start(t.Context(), acme); err == nil || fault.From(err).Code != "rotation_under_way" {
			t.Errorf("got %v", err)
		}
		if got, err := p.rotations.Pause(t.Context(), acme, r.ID); err != nil || got.State != job.Paused {
			t.Errorf("got %+v, %v", got, err)
		}
		if got, err := p.rotations.Resume(t.Context(), acme, r.ID); err != nil || got.State != job.Queued {
			t.Errorf("got %+v, %v", got, err)
		}
		if got, err := p.rotations.Cancel(t.Context(), acme, r.ID); err != nil || got.State != job.Cancelled {
			t.Errorf("got %+v, %v", got, err)
		}
		if _, err := p.rotations.Start(t.Context(), acme); err != nil {
			t.Error(err)
		}
		if all, err := p.rotations.List(t.Context(), acme, "", 0); err != nil || len(all) != 2 {
			t.Errorf("got %d, %v", len(all), err)
		}
		for _, place := range [][2]string{{"ten_other", r.ID}, {acme, "job_none"}} {
			if _, err := p.rotations.Pause(t.Context(), place[0], place[1]); err == nil || fault.From(err).Code != fault.CodeNotFound {
				t.Errorf("%v: got %v", place, err)
			}
		}
		if _, err := p.rotations.Start(t.Context(), ""); err == nil {
			t.Error("a key of nobody is rotated")
		}
	})
}
