package cluster_test

import (
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

var held = flag.Int("cluster.held", 30, "how many executions of each of two installations there are under the caps")

// holding is a vendor that answers when the test says so.
type holding struct {
	c *cluster

	mu sync.Mutex
	// open are the requests that were not answered, the oldest first.
	open []*request
	// most is how many were open at a time: all, and by path.
	most, at map[string]int
	// kept is how long each that was answered was held, and cut how many never were, because
	// whoever asked has gone.
	kept []time.Duration
	cut  int
}

// request is one that is held.
type request struct {
	path   string
	from   *member
	since  time.Time
	answer chan struct{}
	// released says that its answer is on its way.
	released bool
}

// ServeHTTP implements http.Handler.
func (v *holding) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	asked := &request{path: r.URL.Path, from: v.c.sender(r), since: time.Now(), answer: make(chan struct{})}
	v.mu.Lock()
	v.open = append(v.open, asked)
	for _, of := range []string{"", asked.path} {
		v.at[of]++
		v.most[of] = max(v.most[of], v.at[of])
	}
	v.mu.Unlock()
	select {
	case <-asked.answer:
	case <-r.Context().Done():
		v.mu.Lock()
		v.cut++
		v.mu.Unlock()
	}
	v.close(asked)
}

// close is called before the answer goes out: whoever gets it is not running here.
func (v *holding) close(asked *request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.open = slices.DeleteFunc(v.open, func(other *request) bool { return other == asked })
	v.at[""]--
	v.at[asked.path]--
}

// held are the requests that wait for their answer, the oldest first.
func (v *holding) held() []*request {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(v.open), func(asked *request) bool { return asked.released })
}

// release answers one.
func (v *holding) release(asked *request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	asked.released = true
	v.kept = append(v.kept, time.Since(asked.since))
	close(asked.answer)
}

// sample is what the database says at an instant.
type sample struct{ running, capped, left, leftCapped int }

// full says that no more may run, or that there is no more.
func (s sample) full(tenantMost, cappedMost int) bool {
	return s.running >= min(tenantMost, s.left-s.leftCapped+min(cappedMost, s.leftCapped))
}

// TestCapsHoldForAllServers has a tenant with a cap, of which an installation has a lower one,
// and requests that the vendor answers only when as many run as may. The database is asked all
// the while how many do. When half of it is done, a server is killed that has some.
func TestCapsHoldForAllServers(t *testing.T) {
	t.Parallel()
	const tenantMost, cappedMost = 3, 2
	v := &holding{most: map[string]int{}, at: map[string]int{}}
	srv := httptest.NewServer(v)
	t.Cleanup(srv.Close)
	c := launch(t, "COFFERDAM_LEASE=2s")
	v.c = c
	c.tenant(t, tenantMost)
	installations := map[string]string{}
	for name, most := range map[string]int{"capped": cappedMost, "free": 0} {
		address := srv.URL + "/" + name
		installations[name] = c.install(t, name, runtimetest.Asking(asking(name, address, ""), "http", fmt.Sprintf(`{"method":"GET","url":%q}`, address)), most)
	}
	c.atOnce(t, func() {
		for i := range *held {
			for name := range installations {
				c.members[i%processes].call(t, name)
			}
		}
	})
	conn := c.look(t)
	query := fmt.Sprintf(`SELECT count(*) FILTER (WHERE state = 1), count(*) FILTER (WHERE state = 1 AND installation = '%[1]s'),
		count(*) FILTER (WHERE state < 3), count(*) FILTER (WHERE state < 3 AND installation = '%[1]s') FROM executions`, installations["capped"])
	var most sample
	killed := false
	samples, late := 0, time.NewTimer(3*time.Minute)
	defer late.Stop()
	for {
		var s sample
		one(t, conn, query, &s.running, &s.capped, &s.left, &s.leftCapped)
		samples++
		most.running, most.capped = max(most.running, s.running), max(most.capped, s.capped)
		if s.left == 0 {
			break
		}
		// Of what a dead server has nothing comes to the vendor any more.
		open := v.held()
		switch {
		case len(open) == 0 || len(open) < s.running && !killed || !s.full(tenantMost, cappedMost):
		case s.left <= *held && !killed:
			killed = true
			open[0].from.Kill()
		default:
			v.release(open[0])
		}
		select {
		case <-late.C:
			t.Fatalf("it does not come to its end: %+v", s)
		default:
		}
	}
	for what, got := range map[string][2]int{
		"in the database, of the tenant": {most.running, tenantMost}, "in the database, of the installation": {most.capped, cappedMost},
		"at the vendor, of the tenant": {v.most[""], tenantMost}, "at the vendor, of the installation": {v.most["/capped"], cappedMost},
	} {
		if got[0] != got[1] {
			t.Errorf("%d ran at once %s, want %d: never more, and as many where there is work", got[0], what, got[1])
		}
	}
	var succeeded int
	one(t, conn, `SELECT count(*) FROM executions WHERE state = 3`, &succeeded)
	if succeeded != 2**held || v.cut == 0 || v.cut > tenantMost {
		t.Errorf("%d executions succeeded, want %d; the server that was killed had %d", succeeded, 2**held, v.cut)
	}
	slices.Sort(v.kept)
	t.Logf("%d executions, looked at %d times: %d and %d at most of caps of %d and %d; held for %s in the median; the killed server had %d",
		succeeded, samples, most.running, most.capped, tenantMost, cappedMost, v.kept[len(v.kept)/2].Round(time.Millisecond), v.cut)
}
