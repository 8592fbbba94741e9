package postgres_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/postgres"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/host/store/storetest/faults"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/hostfns/journal"
)

// running is a store in which executions run.
type running struct {
	store.Store

	dsn   string
	clock atomic.Int64
	runs  []execution.Claimed
}

// newRunning claims n executions on a fresh database.
func newRunning(t *testing.T, n int, at func(dsn string) (address string)) *running {
	t.Helper()
	r := &running{dsn: postgrestest.DSN(t)}
	r.clock.Store(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC).UnixMicro())
	r.Store = open(t, at(r.dsn), func() time.Time { return time.UnixMicro(r.clock.Load()) })
	ctx := t.Context()
	r.must(t, r.InsertTenant(ctx, tenant.Tenant{ID: acme, Name: "acme", State: tenant.Active, Limits: tenant.Limits{Running: n, Weight: 1}}))
	for i := range n {
		_, err := accept(ctx, r.Store, string(rune('a'+i)), "")
		r.must(t, err)
	}
	_, err := r.Heartbeat(ctx, "w1", time.Second)
	r.must(t, err)
	taken, err := r.Claim(ctx, "w1", []execution.Quota{{Tenant: acme, N: n, Running: n}}, 0)
	r.runs = taken.Claimed
	r.must(t, err)
	if len(r.runs) != n {
		t.Fatalf("claimed %d executions, want %d", len(r.runs), n)
	}
	return r
}

func (r *running) must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// adds is an Append of a run.
func (r *running) adds(run, seq int, data string) postgres.Write {
	return postgres.Write{Claimed: r.runs[run], Append: &journal.Segment{Seq: seq, Data: []byte(data)}}
}

// begins is a Begin of a run.
func (r *running) begins(run int, world string) postgres.Write {
	b := execution.Beginning{VersionID: "plv_1"}
	if world != "" {
		b.World = []byte(world)
	}
	return postgres.Write{Claimed: r.runs[run], Begin: &b}
}

// want checks what runs have recorded: their world, and their segments' data.
func (r *running) want(t *testing.T, run int, world string, segments ...string) {
	t.Helper()
	got, err := r.Journal(t.Context(), acme, r.runs[run].Execution)
	r.must(t, err)
	if string(got.World) != world || len(got.Segments) != len(segments) {
		t.Fatalf("run %d: got the world %q and %d segments, want %q and %q", run, got.World, len(got.Segments), world, segments)
	}
	for i, s := range got.Segments {
		if string(s.Data) != segments[i] {
			t.Errorf("run %d: segment %d is %q, want %q", run, i, s.Data, segments[i])
		}
	}
}

func direct(dsn string) string { return dsn }

func TestOneOfAGroupThatIsFencedOffDoesNotHinderTheOthers(t *testing.T) {
	t.Parallel()
	r := newRunning(t, 6, direct)
	for _, stale := range []int{1, 3} {
		r.runs[stale].Claim++
	}
	told := postgres.Together(t.Context(), r.Store,
		r.adds(0, 1, "a"), r.adds(1, 1, "stale"), r.begins(2, "w"), r.begins(3, "stale"), r.begins(4, ""), r.adds(0, 2, "b"))
	for i, want := range []error{nil, execution.ErrFenced, nil, execution.ErrFenced, nil, nil} {
		if !errors.Is(told[i], want) {
			t.Errorf("call %d: got %v, want %v", i, told[i], want)
		}
	}
	r.want(t, 0, "", "a", "b")
	r.want(t, 1, "")
	r.want(t, 2, "w")
	r.want(t, 3, "")
	for i, want := range map[int]string{1: "", 2: "plv_1", 3: "", 4: "plv_1", 5: ""} {
		e, err := r.Execution(t.Context(), acme, r.runs[i].Execution)
		r.must(t, err)
		if e.VersionID != want {
			t.Errorf("run %d is of version %q, want %q", i, e.VersionID, want)
		}
	}
}

func TestOneOfAGroupThatIsRefusedDoesNotHinderTheOthers(t *testing.T) {
	t.Parallel()
	r := newRunning(t, 3, direct)
	r.must(t, r.Append(t.Context(), r.runs[1], journal.Segment{Seq: 1, Data: []byte("first")}))
	told := postgres.Together(t.Context(), r.Store, r.adds(0, 1, "a"), r.adds(1, 1, "again"), r.begins(2, "w"))
	if told[0] != nil || told[1] == nil || told[2] != nil {
		t.Errorf("got %v, want an error for the second alone", told)
	}
	r.want(t, 0, "", "a")
	r.want(t, 1, "", "first")
	r.want(t, 2, "w")
}

// Who is told nothing of a commit must not send anything, whatever has become of it.
func TestWhoseGroupIsLostIsToldOfNoCommit(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		when faults.When
		want []string
	}{
		"before it reached the server": {faults.Before, nil},
		"after it was committed":       {faults.After, []string{"intent"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var plan faults.Plan
			r := newRunning(t, 3, func(dsn string) string {
				address, stop, err := faults.Postgres(t.Context(), dsn, &plan)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(stop)
				return address
			})
			// Statements are prepared now, so that the next round trip is the group itself.
			_ = postgres.Together(t.Context(), r.Store, r.adds(2, 1, "a"), r.begins(2, "w"))
			plan.Arm(1, tt.when)
			for i, err := range postgres.Together(t.Context(), r.Store, r.adds(0, 1, "intent"), r.adds(1, 1, "intent")) {
				if !store.Unavailable(store.Fault(postgres.Driver(r.Store), err, "add")) {
					t.Errorf("call %d: got %v, want a database that is unavailable", i, err)
				}
			}
			if !plan.Struck() {
				t.Error("nothing failed")
			}
			plan.Arm(0, tt.when)
			looks := open(t, r.dsn, time.Now)
			r.Store = looks
			r.want(t, 0, "", tt.want...)
			r.want(t, 1, "", tt.want...)
		})
	}
}

// A group is held up in its transaction. One of its callers gives up: it is told that it
// did, and what becomes of the write is not known. Others do not wait for it for long.
func TestAGroupThatIsStuckHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	r := newRunning(t, 2, direct)
	ctx, body := t.Context(), []byte("a large body")
	digest := journal.DigestOf(body)
	holder, err := pgx.Connect(ctx, r.dsn)
	r.must(t, err)
	defer func() { _ = holder.Close(context.WithoutCancel(ctx)) }()
	tx, err := holder.Begin(ctx)
	r.must(t, err)
	_, err = tx.Exec(ctx, `INSERT INTO journal_bodies (tenant, digest, bytes, used_at) VALUES ($1, $2, $3, 0)`, acme, digest[:], body)
	r.must(t, err)

	impatient, giveUp := context.WithCancel(ctx)
	stuck := make(chan error, 1)
	go func() {
		s := journal.Segment{Seq: 1, Data: []byte("intent"), Large: map[journal.Digest][]byte{digest: body}}
		stuck <- r.Append(impatient, r.runs[0], s)
	}()
	waiters(t, tx, 1)
	r.must(t, r.Append(ctx, r.runs[1], journal.Segment{Seq: 1, Data: []byte("other")}))
	giveUp()
	if err := <-stuck; !errors.Is(err, context.Canceled) {
		t.Errorf("who gave up got %v, want context.Canceled", err)
	}
	r.must(t, tx.Commit(ctx))
	r.must(t, r.Close()) // It waits for the group.
	r.Store = open(t, r.dsn, time.Now)
	r.want(t, 0, "", "intent")
	r.want(t, 1, "", "other")
}
