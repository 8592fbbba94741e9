package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/cofferdam-run/cofferdam/bench/internal/database"
	"github.com/cofferdam-run/cofferdam/bench/internal/guest"
	"github.com/cofferdam-run/cofferdam/bench/internal/rig"
	"github.com/cofferdam-run/cofferdam/bench/internal/stopwatch"
	"github.com/cofferdam-run/cofferdam/bench/internal/vendor"
)

// slots is how many executions run at once, and of how many tenants.
const slots = 64

// throughput compares how many executions a second are done, 64 at a time, with their
// payloads sealed and stored as they are: of a connector with a GET and two POSTs of
// 5 ms, where input, requests, answers and output are 1 KiB each.
func (s *suite) throughput(ctx context.Context, d *database.Database) (err error) {
	v, err := vendor.Start(ctx, vendor.Large)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	orders, err := guest.BuildOrders(ctx, s.source, "1.0.0")
	if err != nil {
		return err
	}
	c := rig.Config{
		Plugins: [][]byte{orders, guest.BuildBare(v.URL, vendor.Note())}, Installed: []string{guest.Orders, guest.Bare},
		Vendor: v.URL, Tenants: slots,
	}
	if c.Cache, err = os.MkdirTemp("", "cofferdam-bench-cache"); err != nil {
		return fmt.Errorf("make a folder for compiled code: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(c.Cache)) }()
	c.Name = "on"
	on, err := rig.New(ctx, d, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, on.Close()) }()
	c.Name, c.Unsealed = "off", true
	off, err := rig.New(ctx, d, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, off.Close()) }()
	sealed, plain, err := rig.Versus(ctx, s.turns, on, off, s.flood(guest.Orders), s.flood(guest.Bare))
	if err != nil {
		return err
	}
	s.compare(d, sealed, plain)
	return errors.Join(isSealed(ctx, on, true), isSealed(ctx, off, false))
}

func (s *suite) flood(plugin string) rig.Load {
	return rig.Load{Plugin: plugin, N: s.executions, Warm: s.executions / 8, Slots: slots, Note: vendor.Note()}
}

// compare prints what an execution costs on both sides, of the Go guest and of the one
// written by hand.
func (s *suite) compare(d *database.Database, on, off [][]rig.Cost) {
	value := stopwatch.Over(off[0], on[0], rig.ByWall)
	spread := stopwatch.Each(off[0], on[0], rig.ByWall, stopwatch.Divided)
	s.on(d, throughputRatio, value, "ratio",
		peer("worst", stopwatch.Quantile(spread, 0)), peer("best", stopwatch.Quantile(spread, 1)),
		peer("on_per_s", 1/stopwatch.Middle(on[0], rig.ByWall)), peer("off_per_s", 1/stopwatch.Middle(off[0], rig.ByWall)),
		peer("cpu", stopwatch.Over(off[0], on[0], rig.ByCPU)), peer("accept", stopwatch.Over(off[0], on[0], byAccept)),
		peer("with_accept", stopwatch.Over(off[0], on[0], byWhole)),
		peer("handmade", stopwatch.Over(off[1], on[1], rig.ByWall)), peer("handmade_cpu", stopwatch.Over(off[1], on[1], rig.ByCPU)))
	s.print("sealed_execution_cpu_us_"+d.Name, 1e6*stopwatch.Apart(on[0], off[0], rig.ByCPU), "us",
		peer("on", 1e6*stopwatch.Middle(on[0], rig.ByCPU)), peer("off", 1e6*stopwatch.Middle(off[0], rig.ByCPU)),
		peer("handmade", 1e6*stopwatch.Apart(on[1], off[1], rig.ByCPU)))
}

func byAccept(c rig.Cost) float64 { return c.Accepted.Wall }
func byWhole(c rig.Cost) float64  { return c.Accepted.Wall + c.Wall }

// isSealed says whether a rig has stored payloads as it should have.
func isSealed(ctx context.Context, r *rig.Rig, want bool) error {
	var body []byte
	if err := r.Look.QueryRowContext(ctx, `SELECT body FROM events LIMIT 1`).Scan(&body); err != nil {
		return fmt.Errorf("look at an event: %w", err)
	}
	if sealed := len(body) == 0 || body[0] != '{'; sealed != want {
		return fmt.Errorf("that an event is sealed is %t, where it should be %t", sealed, want)
	}
	return nil
}
