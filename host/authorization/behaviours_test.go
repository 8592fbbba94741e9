package authorization_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/authorization"
	"github.com/cofferdam-run/cofferdam/host/authorization/authorizationtest"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/oauth/oauthtest"
	"github.com/cofferdam-run/cofferdam/host/store"
)

func TestBehaviours(t *testing.T) {
	t.Parallel()
	oauthtest.Run(t, oauthtest.Authorizations, map[string]func(*testing.T){
		"RFC 6819: an alarm when a refresh token was stolen": stolen,
		"concurrency: 100 callers":                           hundredCallers,
		"concurrency: 3 processes":                           threeProcesses,
		"concurrency: kills in mid-refresh":                  killed,
		"concurrency: the holder of a lease dies":            holderDies,
		"concurrency: a clock that jumps":                    clockJumps,
		"concurrency: a provider that answers 429":           limited,
		"concurrency: a rotation while it is revoked":        revokedMeanwhile,
		"concurrency: the grace window":                      graceWindow,
		"concurrency: two apps of one user":                  twoApps,
		"concurrency: a deletion during a refresh":           deletedMeanwhile,
	})
}

// inReal has authorizations wait in real time, while the clock stands still.
func inReal(c *authorization.Config) { c.After = time.After }

func wantFault(t *testing.T, err error, class fault.Class) *fault.Error {
	t.Helper()
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Class != class {
		t.Fatalf("got %v, want a fault of the class %s", err, class)
	}
	return f
}

func (b *testBundle) wantCounts(t *testing.T, refreshes, reused, revoked int) {
	t.Helper()
	if got := b.server.Counts(); got.Refreshes != refreshes || got.Reused != reused || got.Revoked != revoked {
		t.Errorf("got %+v, want %d refreshes, %d families reused and %d revoked", got, refreshes, reused, revoked)
	}
}

func (b *testBundle) state(t *testing.T, connection string, want authorization.State) authorization.Authorization {
	t.Helper()
	got, err := b.Get(t.Context(), b.tenant, connection)
	if err != nil || got.State != want {
		t.Fatalf("it is %s, %v, want %s", got.State, err, want)
	}
	return got
}

// all has many callers want a token at once.
func (b *testBundle) all(t *testing.T, n int, of ...*authorization.Authorizations) {
	t.Helper()
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() {
			got, err := of[i%len(of)].Token(t.Context(), b.tenant, "con_1")
			if err != nil || !b.server.Good(got.Token) {
				t.Errorf("got %v", err)
			}
		})
	}
	wait.Wait()
}

func hundredCallers(t *testing.T) {
	databases(t, func(t *testing.T, open func(now func() time.Time) store.Store) {
		c := newClock()
		b := over(t, open(c.Now), c, authorizationtest.Rules{}, inReal)
		b.connect(t, "con_1")
		for n := range 10 {
			c.advance(time.Hour)
			b.all(t, 100, b.Authorizations)
			b.wantCounts(t, n+1, 0, 0)
		}
		// Whoever leaves takes nothing with him.
		c.advance(time.Hour)
		held := authorizationtest.Fault{Arrived: make(chan struct{}), Go: make(chan struct{})}
		b.server.Fail(held)
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan error)
		go func() {
			_, err := b.Token(ctx, b.tenant, "con_1")
			left <- err
		}()
		<-held.Arrived
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		close(held.Go)
		b.all(t, 100, b.Authorizations)
		b.wantCounts(t, 11, 0, 0)
	})
}

func holderDies(t *testing.T) {
	databases(t, func(t *testing.T, open func(now func() time.Time) store.Store) {
		c := newClock()
		b := over(t, open(c.Now), c, authorizationtest.Rules{Lifetime: 20 * time.Minute})
		b.connect(t, "con_1")
		c.advance(20 * time.Minute)
		died := make(chan struct{})
		b.OnStep(func(step string) {
			if step == "asking" {
				close(died)
				select {} // For good: as a process that is killed.
			}
		})
		go func() { _, _ = b.Token(t.Context(), b.tenant, "con_1") }()
		<-died
		b.state(t, "con_1", authorization.Refreshing)
		next := b.another(t)
		before := c.Now()
		got, err := next.Token(t.Context(), b.tenant, "con_1") // Its waiting moves the clock on.
		if waited := c.Now().Sub(before); err != nil || !b.server.Good(got.Token) || waited < 30*time.Second || waited > time.Minute {
			t.Errorf("after %s got %v", waited, err)
		}
		b.wantCounts(t, 1, 0, 0)
		if got := b.metric(t, "cofferdam_oauth_refreshes_total", "outcome", "recovered"); got != 1 {
			t.Errorf("%v are counted as recovered", got)
		}
	})
}

func clockJumps(t *testing.T) {
	b := setup(t, authorizationtest.Rules{}, inReal)
	b.connect(t, "con_1")
	// Forth: what has ended by then is refreshed, once.
	b.clock.advance(48 * time.Hour)
	b.all(t, 100, b.Authorizations)
	b.wantCounts(t, 1, 0, 0)
	// Back: what came in the future is used, until the API refuses it.
	b.clock.advance(-47 * time.Hour)
	first := b.token(t, "con_1")
	b.wantCounts(t, 1, 0, 0)
	renewed, err := b.Refused(t.Context(), b.tenant, "con_1", first.ID)
	if err != nil || renewed {
		t.Errorf("one that came less than 10 s ago, by this clock, is refreshed: %t, %v", renewed, err)
	}
	b.clock.advance(48 * time.Hour)
	renewed, err = b.Refused(t.Context(), b.tenant, "con_1", first.ID)
	if err != nil || !renewed {
		t.Errorf("got %t, %v", renewed, err)
	}
	b.token(t, "con_1")
	b.wantCounts(t, 2, 0, 0)
}

func limited(t *testing.T) {
	b := setup(t, authorizationtest.Rules{})
	b.connect(t, "con_1")
	b.connect(t, "con_2")
	b.clock.advance(time.Hour)
	b.server.Fail(authorizationtest.Fault{Status: http.StatusTooManyRequests, RetryAfter: 2 * time.Minute})
	for range 5 { // Whoever asks meanwhile asks us, and not the provider; nor for another connection.
		for _, connection := range []string{"con_1", "con_2"} {
			_, err := b.Token(t.Context(), b.tenant, connection)
			f := wantFault(t, err, fault.RateLimited)
			if f.RetryAfter < 100*time.Second || f.RetryAfter > 2*time.Minute {
				t.Errorf("it is to be tried after %s", f.RetryAfter)
			}
			b.clock.advance(time.Second)
		}
	}
	if got := b.server.Counts(); got.Requests != 1 {
		t.Errorf("the provider was asked %d times", got.Requests)
	}
	if got := b.state(t, "con_1", authorization.Expiring); got.Failures != 1 || got.Error == nil || got.Error.Class != fault.RateLimited {
		t.Errorf("got %+v", got)
	}
	b.clock.advance(2 * time.Minute)
	b.Sweep(t.Context())
	b.token(t, "con_1")
	b.token(t, "con_2")
	b.wantCounts(t, 2, 0, 0)
	if got := b.state(t, "con_1", authorization.Active); got.Failures != 0 || got.Error != nil {
		t.Errorf("got %+v", got)
	}
}

func revokedMeanwhile(t *testing.T) {
	b := setup(t, authorizationtest.Rules{}, inReal)
	token := b.connect(t, "con_1")
	b.clock.advance(time.Hour)
	held := authorizationtest.Fault{Arrived: make(chan struct{}), Go: make(chan struct{})}
	b.server.Fail(held)
	got := make(chan error, 100)
	for range cap(got) {
		go func() {
			_, err := b.Token(t.Context(), b.tenant, "con_1")
			got <- err
		}()
	}
	<-held.Arrived
	b.server.End(token.Refresh) // The user takes it back at the provider.
	close(held.Go)
	for range cap(got) {
		if f := wantFault(t, <-got, fault.Auth); f.Code != fault.CodeUpstreamAuth || !strings.HasPrefix(f.Hint, "Reconnect") {
			t.Errorf("got %+v", f)
		}
	}
	if broken, _ := b.told.counts(); broken != 1 {
		t.Errorf("it was told %d times", broken)
	}
	b.state(t, "con_1", authorization.Broken)
	if n := b.server.Counts().Requests; n != 1 {
		t.Errorf("the provider was asked %d times", n)
	}
	// Who connects again has it working, and that is told once, too.
	b.connect(t, "con_1")
	b.token(t, "con_1")
	b.Sweep(t.Context())
	if broken, mended := b.told.counts(); broken != 1 || mended != 1 {
		t.Errorf("told %d and %d times", broken, mended)
	}
}

func graceWindow(t *testing.T) {
	b := setup(t, authorizationtest.Rules{Grace: 30 * time.Second})
	b.connect(t, "con_1")
	b.clock.advance(time.Hour)
	b.server.Fail(authorizationtest.Fault{Lost: true})
	b.token(t, "con_1") // The same token once more, by the same flight.
	b.wantCounts(t, 2, 0, 0)
	if got := b.server.Counts(); got.AtOnce != 1 {
		t.Errorf("%d were sent at a time", got.AtOnce)
	}
	// Without a grace, the answer that was lost costs the family, and that is known.
	b = setup(t, authorizationtest.Rules{})
	b.connect(t, "con_1")
	b.clock.advance(time.Hour)
	b.server.Fail(authorizationtest.Fault{Lost: true})
	_, err := b.Token(t.Context(), b.tenant, "con_1")
	wantFault(t, err, fault.Auth)
	b.wantCounts(t, 1, 1, 0)
	if got := b.state(t, "con_1", authorization.Broken); got.Reason() != authorization.PossiblyLost {
		t.Errorf("the reason is %q", got.Reason())
	}
	if got := b.metric(t, "cofferdam_oauth_broken_total", "reason", authorization.PossiblyLost); got != 1 {
		t.Errorf("%v are counted as lost", got)
	}
	// A 500 that did nothing costs nothing.
	b.connect(t, "con_2")
	b.clock.advance(time.Hour)
	b.server.Fail(authorizationtest.Fault{Status: http.StatusInternalServerError}, authorizationtest.Fault{Status: http.StatusBadGateway})
	b.token(t, "con_2")
	b.wantCounts(t, 2, 1, 0)
}

func twoApps(t *testing.T) {
	b := setup(t, authorizationtest.Rules{}, inReal)
	first := b.connect(t, "con_1")
	second := b.connect(t, "con_2")
	// Both at once, each on its own.
	b.clock.advance(time.Hour)
	var wait sync.WaitGroup
	for i := range 100 {
		wait.Go(func() {
			if _, err := b.Token(t.Context(), b.tenant, []string{"con_1", "con_2"}[i%2]); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	b.wantCounts(t, 2, 0, 0)
	// Another app for a connection: what the first one had is revoked, and nothing else.
	if _, err := b.Put(t.Context(), authorization.Obtained{
		Tenant: b.tenant, Connection: "con_1", App: "app_other", Provider: "test", Token: b.server.Connect(),
	}); err != nil {
		t.Fatal(err)
	}
	b.Sweep(t.Context())
	if b.server.Alive(first.Refresh) || !b.server.Alive(second.Refresh) {
		t.Error("of the wrong one the tokens were revoked")
	}
	b.token(t, "con_1")
	b.wantCounts(t, 2, 0, 1)
	// The same app again: many servers would end the new tokens with the old.
	kept := b.connect(t, "con_2")
	b.Sweep(t.Context())
	if !b.server.Alive(second.Refresh) || !b.server.Alive(kept.Refresh) {
		t.Error("tokens of the same app and account were revoked")
	}
}

func deletedMeanwhile(t *testing.T) {
	databases(t, func(t *testing.T, open func(now func() time.Time) store.Store) {
		c := newClock()
		b := over(t, open(c.Now), c, authorizationtest.Rules{}, inReal)
		b.connect(t, "con_1")
		c.advance(time.Hour)
		held := authorizationtest.Fault{Arrived: make(chan struct{}), Answering: make(chan struct{})}
		b.server.Fail(held)
		got := make(chan error)
		go func() {
			_, err := b.Token(t.Context(), b.tenant, "con_1")
			got <- err
		}()
		<-held.Arrived
		if err := b.Revoke(t.Context(), b.tenant, "con_1"); err != nil {
			t.Fatal(err)
		}
		if _, err := b.another(t).Token(t.Context(), b.tenant, "con_1"); err == nil {
			t.Error("what is deleted has a token")
		}
		close(held.Answering)
		if f := wantFault(t, <-got, fault.InvalidInput); f.Code != fault.CodeNotFound {
			t.Errorf("got %v", f)
		}
		c.advance(time.Minute)
		b.Sweep(t.Context())
		b.wantCounts(t, 1, 0, 1)
		all, err := b.List(t.Context(), b.tenant)
		if err != nil || len(all) != 0 {
			t.Errorf("what is left: %+v, %v", all, err)
		}
	})
}

func stolen(t *testing.T) {
	// What the server does not say is not known: it may as well be its user's doing.
	for explains, reason := range map[bool]string{true: authorization.PossiblyStolen, false: authorization.Ended} {
		isStolen(t, explains, reason)
	}
}

func isStolen(t *testing.T, explains bool, reason string) {
	t.Helper()
	b := setup(t, authorizationtest.Rules{Explains: explains})
	token := b.connect(t, "con_1")
	b.clock.advance(10 * time.Minute)
	thief := b.another(t)
	theirs := authorization.Obtained{Tenant: b.tenant, Connection: "con_thief", App: authorizationtest.App, Provider: "test", Token: token}
	if _, err := thief.Put(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	b.clock.advance(50 * time.Minute)
	if _, err := thief.Token(t.Context(), b.tenant, "con_thief"); err != nil {
		t.Fatal(err)
	}
	_, err := b.Token(t.Context(), b.tenant, "con_1")
	wantFault(t, err, fault.Auth)
	got := b.state(t, "con_1", authorization.Broken)
	if got.Reason() != reason {
		t.Errorf("the reason is %q", got.Reason())
	}
	if broken, _ := b.told.counts(); broken != 1 {
		t.Errorf("it was told %d times", broken)
	}
	b.wantCounts(t, 1, 1, 0)
	if strings.Contains(b.logs.String(), token.Refresh) {
		t.Error("the log has a token")
	}
}
