package cluster_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
	"github.com/cofferdam-run/cofferdam/test/processtest"
)

// strike is a server's death: of what it ran, so many others had requests open.
type strike struct {
	of      *member
	at      time.Time
	besides int
}

// killing is a vendor that kills, with SIGKILL, whichever process asks for its poison. All
// else it does once for each idempotency key; the first of it is held.
type killing struct {
	c       *cluster
	release chan struct{}
	struck  chan strike

	mu sync.Mutex
	// open are the requests of each process that were not answered.
	open map[*member]int
	// arrived is how many requests there were, by key, and done those whose effect was had.
	arrived map[string]int
	done    map[string]bool
	hold    bool
}

// ServeHTTP implements http.Handler.
func (v *killing) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	from := v.c.sender(r)
	if r.URL.Path == "/poison" {
		v.mu.Lock()
		besides := v.open[from]
		v.mu.Unlock()
		at := time.Now()
		from.Kill()
		v.struck <- strike{from, at, besides}
		return
	}
	key := r.Header.Get("Idempotency-Key")
	v.mu.Lock()
	v.arrived[key]++
	v.open[from]++
	hold := v.hold && v.arrived[key] == 1
	v.mu.Unlock()
	died := false
	if hold {
		select {
		case <-v.release:
		case <-r.Context().Done():
			died = true
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.open[from]--
	if !died {
		v.done[key] = true
	}
}

// works is how many requests are open.
func (v *killing) works() (n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, of := range v.open {
		n += of
	}
	return n
}

// TestWhoKillsServersIsQuarantined has an execution whose every run ends its server, while
// others are in flight on it, and more are queued behind it.
func TestWhoKillsServersIsQuarantined(t *testing.T) {
	t.Parallel()
	const beside, behind, slots = 12, 3, 5
	v := &killing{
		release: make(chan struct{}), struck: make(chan strike, 100),
		open: map[*member]int{}, arrived: map[string]int{}, done: map[string]bool{}, hold: true,
	}
	srv := httptest.NewServer(v)
	t.Cleanup(srv.Close)
	// So many slots that each server has two of the others at least beside the poison.
	c := launch(t, "COFFERDAM_LEASE=2s", fmt.Sprint("COFFERDAM_SLOTS=", slots))
	v.c = c
	c.tenant(t, 100)
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	keys := fmt.Sprintf(`,"idempotency":[{"host":%q,"header":"Idempotency-Key","ttl":"24h"}]`, u.Host)
	for name, request := range map[string]string{"poison": `{"method":"GET","url":%q}`, "work": `{"method":"POST","url":%q,"body":"{}"}`} {
		address := srv.URL + "/" + name
		c.install(t, name, runtimetest.Insisting(asking(name, address, keys), fmt.Sprintf(request, address),
			`{"code":"upstream_unavailable","message":"the vendor does not answer"}`), 0)
	}
	for i := range beside {
		c.members[i%processes].call(t, "work")
	}
	processtest.Eventually(t, "all others to be in flight", func() bool { return v.works() == beside })
	poison := c.members[0].call(t, "poison")
	conn := c.look(t)
	var strikes []strike
	tick, late := time.NewTicker(50*time.Millisecond), time.NewTimer(3*time.Minute)
	defer tick.Stop()
	defer late.Stop()
	for state := 0; state < 3; {
		select {
		case s := <-v.struck:
			strikes = append(strikes, s)
			c.replace(t, s.of)
			if len(strikes) == 2 { // Until then there is something to blame.
				close(v.release)
			}
			for range behind {
				c.callAny(t, "work")
			}
		case <-tick.C:
			one(t, conn, `SELECT state FROM executions WHERE id = '`+poison+`'`, &state)
		case <-late.C:
			t.Fatalf("after %d strikes it is not quarantined", len(strikes))
		}
	}
	var x execution.Execution
	c.members[0].must(t, http.MethodGet, "/v1/tenants/acme/executions/"+poison, nil, &x)
	if x.State != execution.Dead || x.Error == nil || x.Error.Code != "quarantined" || !strings.Contains(x.Error.Message, "5 workers in a row died") {
		t.Errorf("it is %s with %v, want dead as quarantined", x.State, x.Error)
	}
	var besides []int
	for _, s := range strikes {
		besides = append(besides, s.besides)
	}
	if len(strikes) != 5 || besides[0] < 2 || slices.ContainsFunc(besides[2:], func(n int) bool { return n > 0 }) {
		t.Errorf("%d servers died, beside %v others: want 5, the first beside 2 at least, and the last three alone", len(strikes), besides)
	}
	v.wantOthers(t, conn, x, strikes)
	t.Logf("%d servers died, beside %v others; quarantined after %.1f s: %q", len(strikes), besides, x.FinishedAt.Sub(x.CreatedAt).Seconds(), x.Error.Message)
}

// wantOthers says that nobody else was blamed, and that nothing waited for the poison.
func (v *killing) wantOthers(t *testing.T, conn *pgx.Conn, poison execution.Execution, strikes []strike) {
	t.Helper()
	processtest.Eventually(t, "the others to be done", func() bool {
		var left int
		one(t, conn, `SELECT count(*) FROM executions WHERE state < 3`, &left)
		return left == 0
	})
	var all, succeeded, late, claims, behind, longest int
	one(t, conn, fmt.Sprintf(`SELECT count(*), count(*) FILTER (WHERE state = 3), count(*) FILTER (WHERE created_at < %d AND finished_at > %d), max(claim),
		count(*) FILTER (WHERE created_at > %[3]d), coalesce(max(finished_at - created_at) FILTER (WHERE created_at > %[3]d), 0)
		FROM executions WHERE id <> '%[4]s'`, strikes[min(3, len(strikes)-1)].at.UnixMicro(), poison.FinishedAt.UnixMicro(), poison.CreatedAt.UnixMicro(), poison.ID),
		&all, &succeeded, &late, &claims, &behind, &longest)
	if succeeded != all {
		t.Errorf("%d of %d others succeeded: who was in flight was blamed", succeeded, all)
	}
	if late > 0 {
		t.Errorf("%d others that were queued before the fourth server died were done after the poison was: they waited for it", late)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.done) != all || len(v.arrived) != all {
		t.Errorf("%d effects were had with %d keys, want one for each of %d others", len(v.done), len(v.arrived), all)
	}
	t.Logf("%d others, done once each, in %d claims at most; %d of them were queued behind it, and done within %s",
		all, claims, behind, (time.Duration(longest) * time.Microsecond).Round(time.Millisecond))
}

// callAny queues an execution through a member that lives. One that dies just then may have
// queued it, too.
func (c *cluster) callAny(t *testing.T, installation string) {
	t.Helper()
	var err error
	for _, m := range c.members {
		path := "/v1/tenants/acme/installations/" + installation + "/actions/go?mode=async"
		if err = m.api.Call(t.Context(), http.MethodPost, path, map[string]any{}, nil); err == nil {
			return
		}
	}
	t.Fatal(err)
}
