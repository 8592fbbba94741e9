package authorization_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/authorization"
	"github.com/cofferdam-run/cofferdam/host/authorization/authorizationtest"
	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
)

// away is a store that stores no tokens for a while.
type away struct {
	authorization.Store

	left atomic.Int64
}

func (s *away) SwapAuthorization(ctx context.Context, was, now authorization.Row, lease time.Duration) (authorization.Row, bool, error) {
	if now.Version != was.Version && s.left.Add(-1) >= 0 {
		return now, false, errors.New("the database is away")
	}
	return s.Store.SwapAuthorization(ctx, was, now, lease)
}

func TestAnAnswerIsStoredOnceTheDatabaseIsBack(t *testing.T) {
	t.Parallel()
	var s *away
	b := setup(t, authorizationtest.Rules{}, func(c *authorization.Config) {
		s = &away{Store: c.Store}
		c.Store = s
	})
	b.connect(t, "con_1")
	b.clock.advance(time.Hour)
	s.left.Store(10)
	got := b.token(t, "con_1")
	b.wantCounts(t, 1, 0, 0) // It was asked for once, and kept until it was stored.
	if left := s.left.Load(); left > 0 {
		t.Errorf("it was not tried: %d are left", left)
	}
	if stored, err := b.another(t).Token(t.Context(), b.tenant, "con_1"); err != nil || stored.Token != got.Token {
		t.Errorf("stored is %v", err)
	}
}

func TestTheAnswerOfOneThatWasConnectedAnewIsNotStored(t *testing.T) {
	t.Parallel()
	b := setup(t, authorizationtest.Rules{}, inReal)
	first := b.server.Connect()
	first.IDToken = idToken("ada")
	b.put(t, first)
	b.clock.advance(time.Hour)
	held := authorizationtest.Fault{Arrived: make(chan struct{}), Answering: make(chan struct{})}
	b.server.Fail(held)
	got := make(chan authorization.Access, 1)
	go func() {
		access, err := b.Token(t.Context(), b.tenant, "con_1")
		if err != nil {
			t.Error(err)
		}
		got <- access
	}()
	<-held.Arrived
	second := b.server.Connect()
	second.IDToken = idToken("grace")
	b.put(t, second)
	close(held.Answering)
	if access := <-got; access.Token != second.Access {
		t.Error("who waited got tokens of the account before")
	}
	if n := b.metric(t, "cofferdam_oauth_refreshes_total", "outcome", "fenced"); n != 1 {
		t.Errorf("%v are counted as fenced", n)
	}
	b.Sweep(t.Context())
	if b.server.Alive(first.Refresh) || !b.server.Alive(second.Refresh) {
		t.Error("what was replaced is not revoked, or what replaced it is")
	}
}

func TestWhatIsLookedUpAfterARefresh(t *testing.T) {
	t.Parallel()
	var asked, fail atomic.Int64
	b := setup(t, authorizationtest.Rules{}, func(c *authorization.Config) {
		source := c.Source.(authorizationtest.Source)
		source.Provider.Lookups = []provider.Lookup{{Each: true}}
		c.Source = source
		c.Lookup = func(_ context.Context, _ authorization.Registered, token oauth.Token, variables map[string]string) (oauth.Token, map[string]string, error) {
			asked.Add(1)
			if fail.Add(-1) >= 0 {
				return token, nil, &oauth.Error{Code: "unreachable", Retryable: true}
			}
			if asked.Load() > 2 && variables["site"] == "" {
				t.Error("what the lookup before has found is not there")
			}
			variables["site"] = "north"
			return token, variables, nil
		}
	})
	b.connect(t, "con_1")
	b.token(t, "con_1")
	if n := asked.Load(); n != 0 {
		t.Errorf("it was looked up %d times without a refresh", n)
	}
	// The token is stored before anything is asked with it: a lookup that fails loses none.
	b.clock.advance(time.Hour)
	fail.Store(1)
	if _, err := b.Token(t.Context(), b.tenant, "con_1"); err == nil {
		t.Error("a token is used before it was looked up where")
	}
	b.clock.advance(time.Minute)
	b.token(t, "con_1")
	b.wantCounts(t, 1, 0, 0)
	if n := asked.Load(); n != 2 {
		t.Errorf("it was looked up %d times, want until it went well", n)
	}
	b.clock.advance(time.Hour)
	b.token(t, "con_1")
	b.wantCounts(t, 2, 0, 0)
	if n := asked.Load(); n != 3 {
		t.Errorf("it was looked up %d times, want once for each refresh", n)
	}
}
