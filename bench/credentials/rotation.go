package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cofferdam-run/cofferdam/bench/internal/database"
	"github.com/cofferdam-run/cofferdam/bench/internal/guest"
	"github.com/cofferdam-run/cofferdam/bench/internal/rig"
	"github.com/cofferdam-run/cofferdam/bench/internal/vendor"
	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/job"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/vault/rotation"
)

const (
	// readers is how many read credentials while they are sealed anew.
	readers = 2
	// busy is how many executions run at once: as on a server that has something to do,
	// and not as much as it can do.
	busy = 8
	// keyFresh is short, so that old keys are destroyed soon.
	keyFresh = 500 * time.Millisecond
	// look is how often what goes on is looked at, and readEvery how long a reader waits
	// after each read: it is to meet what goes on, not to take the processor from it.
	look      = 10 * time.Millisecond
	readEvery = time.Millisecond
)

// rotating is a tenant whose key is replaced.
type rotating struct {
	*rig.Rig
	tenant string
	// ids are those of its connections.
	ids []string
	// reads are what the readers have done, and failed those that did not open.
	reads, failed atomic.Int64
}

// rotation measures how long it takes until all records of a tenant are sealed under
// another key, by a host that does nothing else, and by one that runs the tenant's
// executions. Readers that are other processes read credentials meanwhile.
func (s *suite) rotation(ctx context.Context, d *database.Database) (err error) {
	v, err := vendor.Start(ctx, vendor.Large)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	c := rig.Config{
		Name: "rotation", Plugins: [][]byte{guest.BuildBare(v.URL, vendor.Note())}, Installed: []string{guest.Bare},
		Vendor: v.URL, Tenants: 1, KeyFresh: keyFresh,
	}
	if c.Cache, err = os.MkdirTemp("", "cofferdam-bench-cache"); err != nil {
		return fmt.Errorf("make a folder for compiled code: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(c.Cache)) }()
	r := &rotating{}
	if r.Rig, err = rig.New(ctx, d, c); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	r.tenant = r.Tenants[0]
	if err := r.connect(ctx, s.records); err != nil {
		return err
	}
	alone, err := r.rotate(ctx, 0)
	if err != nil {
		return err
	}
	beside, err := r.rotate(ctx, min(s.executions, 1000))
	if err != nil {
		return err
	}
	s.on(d, rotationSeconds, beside.sealing.Seconds(), "s", fmt.Sprintf("records=%d", beside.records), fmt.Sprintf("executions=%d", beside.executions),
		fmt.Sprintf("failed_executions=%d", beside.failed), fmt.Sprintf("reads=%d", r.reads.Load()), fmt.Sprintf("failed_reads=%d", r.failed.Load()),
		peer("without_executions", alone.sealing.Seconds()), peer("until_retired", beside.whole.Seconds()))
	return nil
}

// vault is that of another process.
func (r *rotating) vault() (*vault.Vault, error) {
	keeper, err := rig.Keeper()
	if err != nil {
		return nil, err
	}
	return vault.Configured(vault.Config{Store: r.Store, Keeper: keeper, Auditor: quiet{}, Fresh: keyFresh}), nil
}

// connect gives the tenant connections.
func (r *rotating) connect(ctx context.Context, n int) error {
	v, err := r.vault()
	if err != nil {
		return err
	}
	r.ids = make([]string, n)
	return together(n, func(i int) error {
		now := time.Now()
		id := ident.New(ident.Connection, now)
		r.ids[i] = id
		sealed, err := v.Seal(ctx, r.field(id, 1), secretOf(id))
		if err != nil {
			return err
		}
		c := connection.Connection{ID: id, Tenant: r.tenant, Name: id, Type: connection.Bearer, Version: 1, CreatedAt: now, UpdatedAt: now}
		return r.Store.InsertConnection(ctx, c, sealed)
	})
}

func (r *rotating) field(id string, version int64) vault.Field {
	return vault.Field{Tenant: r.tenant, Table: "connections", Record: id, Name: "credential", Version: version}
}

func secretOf(id string) []byte { return []byte(`{"token":"` + id + `"}`) }

// read reads credentials until ctx ends.
func (r *rotating) read(ctx context.Context, v *vault.Vault, first int) {
	for i := first; pause(ctx, readEvery) == nil; i += 7 {
		id := r.ids[i%len(r.ids)]
		c, sealed, err := r.Store.Sealed(ctx, r.tenant, id)
		var opened []byte
		if err == nil {
			opened, err = v.Open(ctx, r.field(id, c.Version), sealed)
		}
		if ctx.Err() != nil {
			return // What was under way then has not failed.
		}
		r.reads.Add(1)
		if err != nil || string(opened) != string(secretOf(id)) {
			r.failed.Add(1)
		}
	}
}

// rotated is how a rotation went.
type rotated struct {
	// sealing is until all were sealed anew, and whole until the old key was destroyed.
	sealing, whole time.Duration
	records        int
	executions     int
	failed         int
}

// rotate replaces the key, while the tenant's executions run, if there are to be any:
// so many, and more for as long as records are sealed anew.
func (r *rotating) rotate(ctx context.Context, executions int) (t rotated, err error) {
	h, err := r.Host(ctx, r.Store, busy)
	if err != nil {
		return t, err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	var beside sync.WaitGroup
	for i := range readers {
		v, err := r.vault()
		if err != nil {
			return t, errors.Join(err, h.Close(ctx))
		}
		beside.Go(func() { r.read(running, v, i) })
	}
	ran := make(chan error, 1)
	go func() { ran <- h.Run(running) }()
	t, err = r.replace(ctx, h, executions)
	stop()
	beside.Wait()
	return t, errors.Join(err, <-ran, h.Close(ctx))
}

// replace has a host that runs do it.
func (r *rotating) replace(ctx context.Context, h *host.Host, executions int) (t rotated, err error) {
	sealed, fed := make(chan struct{}), make(chan error, 1)
	go func() { fed <- r.feed(ctx, h, executions, sealed) }()
	began := time.Now()
	at, err := h.Rotations.Start(ctx, r.tenant)
	for err == nil && !at.State.Ended() {
		if t.sealing == 0 && (at.Progress.Phase == rotation.Settling || at.Progress.Phase == rotation.Done) {
			t.sealing = time.Since(began)
			close(sealed)
		}
		if err = pause(ctx, look); err == nil {
			at, err = h.Rotations.Get(ctx, r.tenant, at.ID)
		}
	}
	t.whole, t.records = time.Since(began), at.Progress.Done
	if err == nil && (at.State != job.Done || t.sealing == 0) {
		err = fmt.Errorf("the rotation is %s after %v: %w", at.State, t.whole, at.Error)
	}
	if t.sealing == 0 {
		close(sealed)
	}
	if err := errors.Join(err, <-fed); err != nil {
		return t, err
	}
	t.executions, err = r.count(ctx, "state >= 3")
	if err == nil {
		t.failed, err = r.count(ctx, "state > 3")
	}
	return t, err
}

// feed keeps some executions queued until there were n, and until sealed is closed; then
// it waits for the last.
func (r *rotating) feed(ctx context.Context, h *host.Host, n int, sealed <-chan struct{}) error {
	const some = 2 * busy
	for queued := 0; n > 0; {
		left, err := r.count(ctx, "state < 3")
		if err != nil {
			return err
		}
		more := queued < n
		select {
		case <-sealed:
		default:
			more = true
		}
		switch {
		case more && left < some:
			if err := r.Queue(ctx, h, rig.Load{Plugin: guest.Bare, N: some, Note: vendor.Note()}); err != nil {
				return err
			}
			queued += some
		case !more && left == 0:
			return nil
		default:
			if err := pause(ctx, look); err != nil {
				return err
			}
		}
	}
	return nil
}

// count counts executions by their state, which is a number in rows: 3 is that of those
// that succeeded, the lower ones are before it, the higher ones other ends.
func (r *rotating) count(ctx context.Context, where string) (n int, err error) {
	if err = r.Look.QueryRowContext(ctx, `SELECT COUNT(*) FROM executions WHERE `+where).Scan(&n); err != nil {
		err = fmt.Errorf("count executions: %w", err)
	}
	return n, err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
