package cluster_test

import (
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/pace/pacetest"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	"github.com/cofferdam-run/cofferdam/test/processtest"
)

var (
	window = flag.Bool("cluster.window", false, "whether the slow vendor counts in windows of a second, not by a bucket: then the connection's rate is 0.9 of its, and a request that is late by a tenth of a second may be refused")
	used   = flag.Float64("cluster.used", 0, "which share of the vendors' rates has to be used: a busy machine uses less, so by default none")
)

// paced is a vendor with a rate, and a connection to it.
type paced struct {
	*pacetest.Vendor

	name string
	// perSecond and burst are the connection's.
	perSecond float64
	burst     int

	mu sync.Mutex
	// sent is how many requests each process has sent.
	sent map[*member]int
}

// TestARateIsSharedByAllServers has executions on all servers want two vendors at once which
// take only so many requests in a second: neither is ever asked too often, and how much of
// their rates is used is said.
func TestARateIsSharedByAllServers(t *testing.T) { //nolint:paralleltest // It measures times.
	const work = 100
	vendors := []*paced{
		{name: "slow", Vendor: pacetest.New(10, *window), perSecond: 10, burst: 5},
		{name: "fast", Vendor: pacetest.New(50, false), perSecond: 50, burst: 25},
	}
	if *window {
		vendors[0].perSecond, vendors[0].burst = 9, 1
	}
	var c *cluster
	urls := map[string]string{}
	for _, v := range vendors {
		v.sent = map[*member]int{}
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			v.mu.Lock()
			v.sent[c.sender(r)]++
			v.mu.Unlock()
			v.ServeHTTP(w, r)
		}))
		t.Cleanup(srv.Close)
		urls[v.name] = srv.URL
	}
	c = launch(t)
	c.tenant(t, 2*work)
	for _, v := range vendors {
		c.connect(t, v, urls[v.name])
	}
	c.atOnce(t, func() {
		for i := range work {
			for _, v := range vendors {
				c.members[i%processes].call(t, v.name)
			}
		}
	})
	conn := c.look(t)
	processtest.Eventually(t, "all executions to be done", func() bool {
		var left int
		one(t, conn, `SELECT count(*) FROM executions WHERE state < 3`, &left)
		return left == 0
	})
	var once int
	if one(t, conn, `SELECT count(*) FROM executions WHERE state = 3 AND attempt = 1`, &once); once != 2*work {
		t.Errorf("%d executions succeeded at the first attempt, want %d: to wait is none", once, 2*work)
	}
	for _, v := range vendors {
		taken, refused := v.Counts()
		if taken != work || refused != 0 {
			t.Errorf("the %s vendor took %d and refused %d, want %d and none", v.name, taken, refused, work)
		}
		var by []int
		for _, m := range c.members {
			by = append(by, v.sent[m])
		}
		if len(v.sent) < 2 { // Which of them has a fast vendor's work is who claims first.
			t.Errorf("the %s vendor was asked by one process only: %v", v.name, by)
		}
		took, share := v.Used()
		t.Logf("%g in a second: %d executions of %d processes, which sent %v, in %.2f s: %d answers of 429, %.0f %% of the rate used, with what the bucket had before",
			v.Rate, work, processes, by, took.Seconds(), refused, 100*share)
		if share < *used {
			t.Errorf("%.0f %% of the rate of the %s vendor were used, want %.0f %%", 100*share, v.name, 100**used)
		}
	}
}

// connect gives acme a connection to a vendor, with its rate, and a plugin that uses it.
func (c *cluster) connect(t *testing.T, v *paced, address string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	m := c.members[0]
	m.must(t, http.MethodPost, "/v1/tenants/acme/connections", map[string]any{
		"name": v.name, "type": "bearer", "hosts": []string{u.Host}, "credential": map[string]string{"token": "token-of-the-vendor"},
	}, nil)
	m.must(t, http.MethodPut, "/v1/tenants/acme/connections/"+v.name+"/rate", map[string]any{"per_second": v.perSecond, "burst": v.burst}, nil)
	c.install(t, v.name, runtimetest.Insisting(
		asking(v.name, address, fmt.Sprintf(`,"connections":[{"name":%q,"type":"bearer","hosts":[%q]}]`, v.name, u.Host)),
		fmt.Sprintf(`{"method":"GET","url":%q,"connection":%q}`, address, v.name),
		`{"code":"upstream_unavailable","message":"the vendor does not answer"}`), 0)
}
