// Package storetest says what a store.Store has to do, as one suite that the
// stores of all databases run:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t testing.TB, now func() time.Time) store.Store { ... })
//	}
package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/ident"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
)

// Open returns a store of its own with the schema, which is closed when the
// test ends. A nil now leaves the clock to the store.
type Open func(t testing.TB, now func() time.Time) store.Store

// Run runs the suite.
func Run(t *testing.T, open Open) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Open){
		"tenants":        testTenants,
		"installations":  testInstallations,
		"following":      testFollowing,
		"connections":    testConnections,
		"paces":          testPaces,
		"visits":         testVisits,
		"flows":          testFlows,
		"authorizations": testAuthorizations,
		"endpoints":      testEndpoints,
		"apps":           testApps,
		"the operator":   testOperator,
		"tokens":         testTokens,
		"token secrets":  testTokenSecrets,
		"token keys":     testTokenKeys,
		"audit":          testAudit,
		"keys":           testKeys,
		"keysets":        testKeysets,
		"what is sealed": testSealed,
		"registry":       testRegistry,
		"idempotency":    testIdempotency,
		"events":         testEvents,
		"executions":     testExecutions,
		"notices":        testNotices,
		"claims":         testClaims,
		"admissions":     testAdmissions,
		"leases":         testLeases,
		"caps":           testCaps,
		"order":          testOrder,
		"depths":         testDepths,
		"pausing":        testPausing,
		"contexts":       testContexts,
		"completions":    testCompletions,
		"journals":       testJournals,
		"redrives":       testRedrives,
		"redeliveries":   testRedeliveries,
		"state":          testState,
		"usage":          testUsage,
		"jobs":           testJobs,
		"schedules":      testSchedules,
		"outbound":       testOutbound,
		"the buried":     testBuried,
		"shadow runs":    testShadows,
		"isolation":      testIsolation,
		"payloads":       testPayloads,
		"lifecycle":      testLifecycle,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if strings.Contains(name, "key") || strings.Contains(name, "sealed") {
				test(t, open) // With keys that open nothing.
				return
			}
			test(t, sealed(open))
		})
	}
}

// sealed opens stores that seal payloads.
func sealed(open Open) Open {
	return func(t testing.TB, now func() time.Time) store.Store {
		t.Helper()
		s := open(t, now)
		s.SealWith(vault.New(s, ephemeral(t)))
		return s
	}
}

func ephemeral(t testing.TB) vault.Keeper {
	t.Helper()
	k, err := keyfile.Ephemeral()
	must(t, err)
	return k
}

// each runs tests side by side, each on a store of its own.
func each(t *testing.T, open Open, tests map[string]func(*testing.T, *bundle)) {
	t.Helper()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, setup(t, open))
		})
	}
}

// clock is a time that tests set.
type clock struct{ us atomic.Int64 }

func (c *clock) now() time.Time          { return time.UnixMicro(c.us.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.us.Add(d.Microseconds()) }

// bundle is a store with two tenants, each with an installation.
type bundle struct {
	store.Store

	clock *clock
	acme  place
	other place
}

// place is a tenant's installation.
type place struct {
	tenant, installation string
}

// setup opens a store at noon.
func setup(t *testing.T, open Open) *bundle {
	t.Helper()
	c := &clock{}
	c.us.Store(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC).UnixMicro())
	b := &bundle{Store: open(t, c.now), clock: c}
	b.acme, b.other = b.newPlace(t, "acme"), b.newPlace(t, "other")
	return b
}

func (b *bundle) newPlace(t testing.TB, name string) place {
	t.Helper()
	ten := tenant.Tenant{
		ID: ident.New(ident.Tenant, b.clock.now()), Name: name, Limits: tenant.Limits{Running: 16, Weight: 1},
		State: tenant.Active, CreatedAt: b.clock.now(),
	}
	must(t, b.InsertTenant(t.Context(), ten))
	ins := b.installation(ten.ID, "hello")
	must(t, b.InsertInstallation(t.Context(), ins))
	return place{ten.ID, ins.ID}
}

func (b *bundle) installation(tenantID, name string) installation.Installation {
	now := b.clock.now()
	return installation.Installation{
		ID: ident.New(ident.Installation, now), Tenant: tenantID, Name: name,
		Plugin: "plg_1", VersionID: "plv_1", PluginName: "hello", Version: "0.1.0",
		Config: []byte(`{"a":1}`), State: installation.Active, CreatedAt: now, UpdatedAt: now,
	}
}

func (b *bundle) endpoint(p place) endpoint.Endpoint {
	return endpoint.Endpoint{
		ID: ident.New(ident.Endpoint, b.clock.now()), Tenant: p.tenant, Installation: p.installation,
		Webhook: "issues", Scheme: "github", Version: 1, CreatedAt: b.clock.now(),
	}
}

// event is a new event without a key.
func (b *bundle) event(p place) event.Event {
	return event.Event{
		ID: ident.New(ident.Event, b.clock.now()), Tenant: p.tenant, Installation: p.installation,
		Kind: event.Webhook, Name: "issues", Source: "end_1", Body: []byte(`{"n":1}`), ReceivedAt: b.clock.now(),
	}
}

// work accepts an event with its execution, and returns the execution's id.
func (b *bundle) work(t testing.TB, p place, lane event.Lane) string {
	t.Helper()
	id := ident.New(ident.Execution, b.clock.now())
	_, err := b.Accept(t.Context(), b.event(p), &event.Work{Execution: id, Lane: lane})
	must(t, err)
	return id
}

// claim claims up to n executions for a worker with a fresh lease.
func (b *bundle) claim(t testing.TB, worker string, p place, n int) []execution.Claimed {
	t.Helper()
	_, err := b.Heartbeat(t.Context(), worker, 8*time.Second)
	must(t, err)
	taken, err := Claim(t.Context(), b, worker, []execution.Quota{{Tenant: p.tenant, N: n, Running: 1 << 20}}, n)
	must(t, err)
	return taken.Claimed
}

// Claim claims of all lanes: backfill behind the others.
func Claim(ctx context.Context, s execution.Claims, worker string, quotas []execution.Quota, backfill int) (execution.Taken, error) {
	taken, err := s.Claim(ctx, worker, quotas, backfill)
	if err != nil || len(taken.Behind) == 0 {
		return taken, err
	}
	behind, err := s.ClaimBackfill(ctx, worker, taken.Behind)
	taken.Claimed = append(taken.Claimed, behind.Claimed...)
	taken.Full = append(taken.Full, behind.Full...)
	return taken, err
}

// running returns a new execution that worker w1 has claimed.
func (b *bundle) running(t testing.TB, p place) execution.Claimed {
	t.Helper()
	id := b.work(t, p, event.Live)
	for _, c := range b.claim(t, "w1", p, 100) {
		if c.Execution == id {
			return c
		}
	}
	t.Fatalf("the execution %s was not claimed", id)
	return execution.Claimed{}
}

// begins is the beginning of a run that records nothing.
func begins(versionID string) execution.Beginning { return execution.Beginning{VersionID: versionID} }

// success is a claim's completion.
func success(c execution.Claimed) execution.Completion {
	return execution.Completion{Tenant: c.Tenant, Execution: c.Execution, Claim: c.Claim, Outcome: execution.Succeeded, Counted: true}
}

func (b *bundle) execution(t testing.TB, p place, id string) execution.Execution {
	t.Helper()
	e, err := b.Execution(t.Context(), p.tenant, id)
	must(t, err)
	return e
}

func (b *bundle) wantState(t testing.TB, p place, id string, want execution.State) {
	t.Helper()
	if got := b.execution(t, p, id).State; got != want {
		t.Errorf("execution %s: got state %s, want %s", id, got, want)
	}
}

// must ends the test unless err is nil.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// equal compares what is stored with what was meant.
func equal[T any](t testing.TB, want, got T) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got) %s", d)
	}
}

// wantFault checks an error's class and code.
func wantFault(t testing.TB, err error, class fault.Class, code string) {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Class != class || f.Code != code {
		t.Errorf("got error %v, want a fault %s/%s", err, class, code)
	}
}

func wantNotFound(t testing.TB, what string, err error) {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Code != fault.CodeNotFound {
		t.Errorf("%s: got error %v, want not_found", what, err)
	}
}

func wantIs(t testing.TB, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("got error %v, want %v", err, target)
	}
}

// wantConflict checks that an error says that a key has changed.
func wantConflict(t testing.TB, err error, key string) {
	t.Helper()
	conflict, ok := errors.AsType[*execution.StateConflictError](err)
	if !ok || conflict.Key != key {
		t.Errorf("got error %v, want a conflict of the state %q", err, key)
	}
}

// together runs n calls at once.
func together(n int, call func(i int)) {
	var ready, done sync.WaitGroup
	begin := make(chan struct{})
	ready.Add(n)
	for i := range n {
		done.Go(func() {
			ready.Done()
			<-begin
			call(i)
		})
	}
	ready.Wait()
	close(begin)
	done.Wait()
}

func names(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s%d", prefix, i)
	}
	return out
}
