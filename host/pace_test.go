package host_test

import (
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/pace"
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
)

// throttling is a vendor that answers 429 to what is more than its rate.
type throttling struct {
	srv    *httptest.Server
	rate   float64
	window bool

	mu sync.Mutex
	// left is what its bucket has, or times are the last requests.
	left  float64
	last  time.Time
	times []time.Time
	// status is what it answers, if not 200.
	status          int
	taken, refused  int
	first, finished time.Time
}

func newThrottling(t *testing.T, rate float64, window bool) *throttling {
	t.Helper()
	v := &throttling{rate: rate, window: window, left: rate, status: http.StatusOK}
	v.srv = httptest.NewServer(http.HandlerFunc(v.serve))
	t.Cleanup(v.srv.Close)
	return v
}

func (v *throttling) serve(w http.ResponseWriter, _ *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	if v.first.IsZero() {
		v.first, v.last = now, now
	}
	v.finished = now
	if !v.takes(now) {
		v.refused++
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	v.taken++
	w.WriteHeader(v.status)
}

func (v *throttling) takes(now time.Time) bool {
	if v.window {
		for len(v.times) > 0 && now.Sub(v.times[0]) > time.Second {
			v.times = v.times[1:]
		}
		if float64(len(v.times)) >= v.rate {
			return false
		}
		v.times = append(v.times, now)
		return true
	}
	v.left = min(v.rate, v.left+now.Sub(v.last).Seconds()*v.rate)
	v.last = now
	if v.left < 1 {
		return false
	}
	v.left--
	return true
}

func (v *throttling) answer(status int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.status = status
}

func (v *throttling) counts() (taken, refused int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.taken, v.refused
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
	address := strings.TrimPrefix(v.srv.URL, "http://")
	_, err := p.h.Connections.Create(t.Context(), p.tenant.ID, connection.Spec{
		Name: "vendor", Type: connection.Bearer, Hosts: []string{address}, Credential: connection.Credential{Token: "token-of-the-vendor"},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.install(t, p.tenant.ID, "plugin", runtimetest.Insisting(
		fmt.Sprintf(`{"name":"plugin","version":"1.0.0","actions":[{"name":"go"}],
			"connections":[{"name":"vendor","type":"bearer","hosts":[%[1]q],"rate":{"per_second":5000,"burst":5000}}],"egress":[{"host":%[1]q,"methods":["GET"]}]}`, address),
		fmt.Sprintf(`{"method":"GET","url":"%s/","connection":"vendor"}`, v.srv.URL),
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
// many requests in a second: it is never asked too often, and its rate is used.
//
// In full: -run ARateIsShared -pace.rate 10 -pace.window
func TestARateIsSharedByAllHosts(t *testing.T) {
	for name, open := range databases() {
		t.Run(name, func(t *testing.T) {
			v := newThrottling(t, float64(*paceRate), *paceWindow)
			p := setupPaced(t, v, open(t), func(*host.Config) {})
			rate := pace.Rate{PerSecond: v.rate, Burst: *paceRate / 2}
			if v.window {
				rate = pace.Rate{PerSecond: 0.9 * v.rate, Burst: 1}
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
			if taken, refused := v.counts(); taken != *paceWork || refused != 0 {
				t.Errorf("the vendor took %d and refused %d, want %d and none", taken, refused, *paceWork)
			}
			took := v.finished.Sub(v.first).Seconds()
			used := float64(*paceWork-1) / took / v.rate // The bucket was empty when the rate was set.
			t.Logf("%d executions in %.2f s and %d claims: %.0f %% of the vendor's rate", *paceWork, took, claims, 100*used)
			if used < 0.8 {
				t.Errorf("%.0f %% of the vendor's rate were used, want 80 %%", 100*used)
			}
		})
	}
}
