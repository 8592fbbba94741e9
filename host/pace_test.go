package host_test

import (
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/pace"
	"github.com/cofferdam-run/cofferdam/host/pace/pacetest"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/store/postgres"
	"github.com/cofferdam-run/cofferdam/host/store/postgres/postgrestest"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

var (
	paceRate   = flag.Int("pace.rate", 50, "how many requests in a second the vendor takes")
	paceWork   = flag.Int("pace.executions", 100, "how many executions make one each")
	paceWindow = flag.Bool("pace.window", false, "whether the vendor counts in windows of a second, not by a bucket: then the connection's rate is 0.9 of its")
	paceUsed   = flag.Float64("pace.used", 0, "which share of the vendor's rate has to be used: a busy machine uses less, so by default none")
)

// throttling is a vendor at an address.
type throttling struct {
	*pacetest.Vendor
	url string
}

func newThrottling(t *testing.T, rate float64, window bool) *throttling {
	t.Helper()
	v := pacetest.New(rate, window)
	srv := httptest.NewServer(v)
	t.Cleanup(srv.Close)
	return &throttling{Vendor: v, url: srv.URL}
}

// paced are Hosts of one database, whose tenant has a plugin that makes one request with
// its connection.
type paced struct {
	*bundle
	hosts  []*bundle
	vendor *throttling
}

func setupPaced(t *testing.T, v *throttling, stores []store.Store, change func(*host.Config)) *paced {
	t.Helper()
	p := &paced{vendor: v}
	key := newKey(t)
	for _, db := range stores {
		c := host.Config{Store: db, Keeper: key, Egress: egress.Config{AllowAddrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}}
		change(&c)
		p.hosts = append(p.hosts, runHost(t, c))
	}
	p.bundle = p.hosts[0]
	p.tenant = p.addTenant(t, "acme", tenant.Limits{Running: 200})
	address := strings.TrimPrefix(v.url, "http://")
	_, err := p.h.Connections.Create(t.Context(), p.tenant.ID, connection.Spec{
		Name: "vendor", Type: connection.Bearer, Hosts: []string{address}, Credential: connection.Credential{Token: "token-of-the-vendor"},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.install(t, p.tenant.ID, "plugin", runtimetest.Insisting(
		fmt.Sprintf(`{"name":"plugin","version":"1.0.0","actions":[{"name":"go"}],
			"connections":[{"name":"vendor","type":"bearer","hosts":[%[1]q],"rate":{"per_second":5000,"burst":5000}}],"egress":[{"host":%[1]q,"methods":["GET"]}]}`, address),
		fmt.Sprintf(`{"method":"GET","url":"%s/","connection":"vendor"}`, v.url),
		`{"code":"upstream_unavailable","message":"the vendor does not answer"}`), nil)
	return p
}

func (p *paced) setRate(t *testing.T, r pace.Rate) {
	t.Helper()
	if _, err := p.h.Paces.SetRate(t.Context(), p.tenant.ID, "vendor", r); err != nil {
		t.Fatal(err)
	}
}

func (p *paced) standing(t *testing.T) pace.Standing {
	t.Helper()
	at, err := p.h.Paces.Get(t.Context(), p.tenant.ID, "vendor")
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// databases are the ways in which hosts share one.
func databases() map[string]func(*testing.T) []store.Store {
	return map[string]func(*testing.T) []store.Store{
		"sqlite": func(t *testing.T) []store.Store {
			t.Helper()
			return []store.Store{openStore(t)}
		},
		"postgres with three hosts": func(t *testing.T) []store.Store {
			t.Helper()
			dsn := postgrestest.DSN(t)
			var all []store.Store
			for range 3 {
				db, err := postgres.Open(t.Context(), dsn, postgres.Options{})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = db.Close() })
				all = append(all, db)
			}
			return all
		},
	}
}

// TestARateIsSharedByAllHosts has many executions want a vendor at once who takes only so
// many requests in a second: it is never asked too often, and how much of its rate is used is said.
//
// In full: -run ARateIsShared -pace.rate 10 -pace.window -pace.used 0.8.
func TestARateIsSharedByAllHosts(t *testing.T) { //nolint:paralleltest // It measures times.
	for name, open := range databases() { //nolint:paralleltest // As above.
		t.Run(name, func(t *testing.T) {
			v := newThrottling(t, float64(*paceRate), *paceWindow)
			p := setupPaced(t, v, open(t), func(*host.Config) {})
			rate := pace.Rate{PerSecond: v.Rate, Burst: *paceRate / 2}
			if v.Window {
				rate = pace.Rate{PerSecond: 0.9 * v.Rate, Burst: 1}
			}
			p.setRate(t, rate)
			ids := make([]string, *paceWork)
			for i := range ids {
				ids[i] = p.start(t, `{}`)
			}
			claims := int64(0)
			for _, id := range ids {
				x := p.end(t, p.tenant.ID, id, execution.Succeeded)
				if x.Attempt != 1 {
					t.Errorf("%s took %d attempts, want 1: to wait is none", id, x.Attempt)
				}
				claims += x.Claim
			}
			if taken, refused := v.Counts(); taken != *paceWork || refused != 0 {
				t.Errorf("the vendor took %d and refused %d, want %d and none", taken, refused, *paceWork)
			}
			took, used := v.Used() // The bucket was empty when the rate was set.
			t.Logf("%d executions in %.2f s and %d claims: %.0f %% of the vendor's rate", *paceWork, took.Seconds(), claims, 100*used)
			if used < *paceUsed {
				t.Errorf("%.0f %% of the vendor's rate were used, want %.0f %%", 100*used, 100**paceUsed)
			}
		})
	}
}

// eventually waits for something that other goroutines do.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 600 {
		if is() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("it never came to be that %s", what)
}

// waiting is how many executions wait for the vendor's connection, for a reason.
func (p *paced) waiting(t *testing.T, reason string) func() bool {
	t.Helper()
	return func() bool { return p.standing(t).Waiting[reason] > 0 }
}

// TestAPausedConnectionIsLeftAlone pauses a connection on one of several hosts: nothing is
// sent by any, and what waits goes on when it is resumed, as if nothing had been.
func TestAPausedConnectionIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, open := range databases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newThrottling(t, 1000, false)
			p := setupPaced(t, v, open(t), func(*host.Config) {})
			p.end(t, p.tenant.ID, p.start(t, `{}`), execution.Succeeded)
			if _, err := p.hosts[len(p.hosts)-1].h.Paces.Pause(t.Context(), p.tenant.ID, "vendor"); err != nil {
				t.Fatal(err)
			}
			eventually(t, "all have said that nothing is in flight", func() bool {
				d := p.standing(t).Drain
				return d != nil && d.Done
			})
			var ids []string
			for range 10 {
				ids = append(ids, p.start(t, `{}`))
			}
			for _, id := range ids {
				x := p.await(t, id, execution.Waiting)
				if x.Reason != execution.ReasonConnectionPaused || x.WaitsFor == "" || x.Attempt != 0 {
					t.Errorf("it waits for %q of %q after %d attempts", x.Reason, x.WaitsFor, x.Attempt)
				}
			}
			if taken, _ := v.Counts(); taken != 1 {
				t.Errorf("the vendor was asked %d times, want once, before", taken)
			}
			if _, err := p.h.Paces.Resume(t.Context(), p.tenant.ID, "vendor"); err != nil {
				t.Fatal(err)
			}
			for _, id := range ids {
				if x := p.end(t, p.tenant.ID, id, execution.Succeeded); x.Attempt != 1 {
					t.Errorf("it took %d attempts, want 1", x.Attempt)
				}
			}
		})
	}
}

// TestABreakerSparesAVendorThatFails has a vendor fail: it is asked a few times, then left
// alone by all hosts, and asked by one of them whether it works again.
func TestABreakerSparesAVendorThatFails(t *testing.T) {
	t.Parallel()
	for name, open := range databases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newThrottling(t, 1000, false)
			v.Answer(http.StatusBadGateway)
			p := setupPaced(t, v, open(t), func(c *host.Config) {
				c.Pace.Breaker = pace.BreakerConfig{Requests: 3, First: time.Second}
			})
			ids := []string{p.start(t, `{}`)}
			eventually(t, "the breaker is open", func() bool {
				if p.standing(t).Breaker.State != pace.Closed {
					return true
				}
				ids = append(ids, p.start(t, `{}`))
				return false
			})
			eventually(t, "executions wait for it", p.waiting(t, execution.ReasonCircuitOpen))
			v.Answer(http.StatusOK)
			before, _ := v.Counts()
			eventually(t, "it closes by itself", func() bool { return p.standing(t).Breaker.State == pace.Closed })
			for _, id := range ids {
				p.end(t, p.tenant.ID, id, execution.Succeeded)
			}
			if after, _ := v.Counts(); after > before+len(ids)+3 {
				t.Errorf("%d executions took %d requests once it worked", len(ids), after-before)
			}
		})
	}
}
