package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cofferdam-run/cofferdam/bench/internal/database"
	"github.com/cofferdam-run/cofferdam/bench/internal/rig"
	"github.com/cofferdam-run/cofferdam/bench/internal/stopwatch"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
)

// rewraps is how often all keys are wrapped anew.
const rewraps = 3

// together does n things, some at once: a database commits those together that come
// together.
func together(n int, do func(i int) error) error {
	var next atomic.Int64
	var all sync.WaitGroup
	const atOnce = 32
	errs := make(chan error, atOnce)
	for range atOnce {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(errs)
	return <-errs
}

// rewrap measures how long it takes until the keys of all tenants are wrapped by
// another key, each time by one more. Beside it is what the keeper alone takes, without
// a database.
func (s *suite) rewrap(ctx context.Context, d *database.Database) (err error) {
	v, err := newVaulted(ctx, d)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.store.Close()) }()
	err = together(s.tenants, func(i int) error { return v.enroll(ctx, fmt.Sprintf("ten_%05d", i)) })
	if err != nil {
		return err
	}
	var keeper vault.Keeper
	if keeper, err = rig.Keeper(); err != nil {
		return err
	}
	all, err := stopwatch.Turns(rewraps, 1,
		func() error {
			next, err := keyfile.Ephemeral()
			if err != nil {
				return err
			}
			w, err := vaultOn(v.store, next, keeper).Rewrap(ctx, false, func(vault.Rewrapped) {})
			if err == nil && w.Done != s.tenants {
				err = fmt.Errorf("of %d tenants' keys, %d were wrapped anew", s.tenants, w.Done)
			}
			keeper = next
			return err
		},
		func() error { return wrapAgain(ctx, keeper, s.tenants) })
	if err != nil {
		return err
	}
	s.on(d, rewrapSeconds, stopwatch.Middle(all[0], stopwatch.ByWall), "s", fmt.Sprintf("tenants=%d", s.tenants),
		peer("cpu", stopwatch.Middle(all[0], stopwatch.ByCPU)), peer("keeper", stopwatch.Middle(all[1], stopwatch.ByWall)))
	return nil
}

// wrapAgain unwraps and wraps what is as long as a keyset, n times.
func wrapAgain(ctx context.Context, k vault.Keeper, n int) error {
	const one = "ten_one"
	wrapped, err := k.Wrap(ctx, one, make([]byte, 110))
	for range n {
		if err != nil {
			return err
		}
		var opened []byte
		if opened, err = k.Unwrap(ctx, one, wrapped); err == nil {
			wrapped, err = k.Wrap(ctx, one, opened)
		}
	}
	return err
}
