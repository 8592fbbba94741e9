package egress_test

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

func TestHTTPBoundsTheRequestsOfAConnection(t *testing.T) {
	t.Parallel()
	const width, calls = 3, 12
	var now, most atomic.Int32
	b := setup(t, func(http.ResponseWriter, *http.Request) {
		most.Store(max(most.Load(), now.Add(1)))
		time.Sleep(5 * time.Millisecond)
		now.Add(-1)
	}, func(c *egress.Config) { c.PerConnection = width })
	var all sync.WaitGroup
	for range calls {
		all.Go(func() {
			s := b.egress.Session(egress.Permissions{Rules: []egress.Rule{rule(b.host)}, Credentials: credentials(token16), Pool: "t"})
			if _, told := do(t, s, using("c", "https://"+b.host)); told != nil {
				t.Error(told)
			}
		})
	}
	all.Wait()
	if got := most.Load(); got > width {
		t.Errorf("got %d at a time, want %d at most", got, width)
	}
}

func TestHTTPWaitsForAConnectionInVainNoLongerThanItsTime(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	b := setup(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/held" {
			close(arrived)
			<-release
		}
	}, func(c *egress.Config) { c.PerConnection = 1 })
	session := func(pool string) *egress.Session {
		return b.egress.Session(egress.Permissions{Rules: []egress.Rule{rule(b.host)}, Credentials: credentials(token16), Pool: pool})
	}
	var first sync.WaitGroup
	first.Go(func() { do(t, session("a"), using("c", "https://"+b.host+"/held")) })
	<-arrived
	short := using("c", "https://"+b.host)
	short["timeout_ms"] = 100
	wantError(t, session("a"), short, hostfns.CodeTimeout, `the connection "c" is in use`)
	if _, told := do(t, session("b"), using("c", "https://"+b.host)); told != nil {
		t.Errorf("another tenant: %v", told)
	}
	if _, told := do(t, session("a"), get("https://"+b.host)); told != nil {
		t.Errorf("without the connection: %v", told)
	}
	close(release)
	first.Wait()
	must(t, session("a"), using("c", "https://"+b.host))
}

func TestHTTPBoundsTheRateOfAConnection(t *testing.T) {
	t.Parallel()
	b := setup(t, func(http.ResponseWriter, *http.Request) {}, func(c *egress.Config) { c.PerConnection, c.PerConnectionRate = 2, 20 })
	s := b.egress.Session(egress.Permissions{Rules: []egress.Rule{rule(b.host)}, Credentials: credentials(token16), Pool: "t"})
	start := time.Now()
	for range 6 { // Two at once, and two more each 100 ms.
		must(t, s, using("c", "https://"+b.host))
	}
	if took := time.Since(start); took < 190*time.Millisecond {
		t.Errorf("6 requests took %s: they are more than 20 in a second", took)
	}
}
