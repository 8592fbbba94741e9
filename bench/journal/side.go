package main

import (
	"context"

	"github.com/cofferdam-run/cofferdam/bench/internal/database"
	"github.com/cofferdam-run/cofferdam/bench/internal/guest"
	"github.com/cofferdam-run/cofferdam/bench/internal/rig"
)

// The plugins besides guest.Orders, which is that of the goals, and guest.Bare. All but
// the former are written by hand.
const (
	orders, bare = guest.Orders, guest.Bare
	// silent asks for nothing, gets makes calls GETs, and posts as many POSTs.
	silent, gets, posts = "silent", "gets", "posts"
	// sleeper makes recorded GETs, and then sleeps for more than a second.
	sleeper = "sleeper"

	calls, recorded = 10, 100
)

// handmade are the plugins that are written by hand, which call a vendor at a URL.
func handmade(url string) [][]byte {
	return [][]byte{
		guest.BuildBare(url, ""),
		guest.Assemble(silent),
		guest.Assemble(gets, guest.Get(url+"/now", calls)),
		guest.Assemble(posts, guest.Post(url+"/now", "", calls)),
		guest.Assemble(sleeper, guest.Get(url+"/now", recorded), guest.Asked{Function: "sleep", Request: `{"ms":1100}`, Times: 1}),
	}
}

// side is one of the two that are compared: a database whose executions are run
// with the journal, or without.
type side struct {
	*rig.Rig
	database string
	// before is what the database held before anything ran.
	before lies
}

// newSide makes a database with the plugins installed at each tenant.
func (s *suite) newSide(ctx context.Context, d *database.Database, journals bool, tenants int, plugins ...string) (x *side, err error) {
	c := rig.Config{
		Name: "on", Unjournaled: !journals, Cache: s.cache,
		Plugins: s.wasm, Installed: plugins, Vendor: s.vendor, Tenants: tenants,
	}
	if !journals {
		c.Name = "off"
	}
	x = &side{database: d.Name}
	if x.Rig, err = rig.New(ctx, d, c); err != nil {
		return nil, err
	}
	x.before, err = x.measure(ctx)
	return x, err
}
