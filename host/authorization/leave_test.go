package authorization_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/authorization"
	"github.com/cofferdam-run/cofferdam/host/authorization/authorizationtest"
	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/host/store"
)

func down(n int) []authorizationtest.Fault {
	all := make([]authorizationtest.Fault, n)
	for i := range all {
		all[i].Status = http.StatusServiceUnavailable
	}
	return all
}

func TestATenantThatLeavesHasItsTokensRevoked(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, open func(now func() time.Time) store.Store) {
		c := newClock()
		b := over(t, open(c.Now), c, authorizationtest.Rules{})
		leave := func(want int) {
			t.Helper()
			if got, err := b.RevokeAll(t.Context(), b.tenant); err != nil || got != want {
				t.Errorf("%d are left, %v, want %d", got, err, want)
			}
		}
		leave(0)
		for i := range 3 {
			b.connect(t, fmt.Sprintf("con_%d", i))
		}
		b.server.Fail(down(1)...)
		leave(3)
		if _, err := b.Token(t.Context(), b.tenant, "con_1"); err == nil {
			t.Error("there is a token still")
		}
		b.Sweep(t.Context())
		b.wantCounts(t, 0, 0, 2)
		leave(1)
		// Whoever calls the deletion off can connect again.
		b.connect(t, "con_1")
		b.token(t, "con_1")
		b.clock.advance(2 * time.Minute)
		b.Sweep(t.Context())
		b.wantCounts(t, 0, 0, 3)
		leave(1)
		b.Sweep(t.Context())
		leave(0)
		b.wantCounts(t, 0, 0, 4)
	})
}

func TestATenantThatLeavesNowWaitsForOneTry(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, open func(now func() time.Time) store.Store) {
		c := newClock()
		b := over(t, open(c.Now), c, authorizationtest.Rules{})
		for i := range 40 {
			b.connect(t, fmt.Sprintf("con_%02d", i))
		}
		b.server.Fail(down(2)...)
		if left, err := b.RevokeNow(t.Context(), b.tenant); err != nil || left != 2 {
			t.Errorf("%d are left, %v, want those that were refused", left, err)
		}
		b.wantCounts(t, 0, 0, 38)
		if left, err := b.RevokeNow(t.Context(), b.tenant); err != nil || left != 2 {
			t.Errorf("%d are left, %v: it is not their time", left, err)
		}
		b.clock.advance(2 * time.Minute)
		if left, err := b.RevokeNow(t.Context(), b.tenant); err != nil || left != 0 {
			t.Errorf("%d are left, %v", left, err)
		}
		b.wantCounts(t, 0, 0, 40)
	})
}

func TestARefreshThatATenantLeavesIsRevokedToo(t *testing.T) {
	t.Parallel()
	b := setup(t, authorizationtest.Rules{}, inReal)
	b.connect(t, "con_1")
	b.clock.advance(time.Hour)
	held := authorizationtest.Fault{Arrived: make(chan struct{}), Answering: make(chan struct{})}
	b.server.Fail(held)
	got := make(chan error)
	go func() {
		_, err := b.Token(t.Context(), b.tenant, "con_1")
		got <- err
	}()
	<-held.Arrived
	if left, err := b.RevokeAll(t.Context(), b.tenant); err != nil || left != 1 {
		t.Errorf("%d are left, %v", left, err)
	}
	close(held.Answering)
	if err := <-got; err == nil {
		t.Error("there is a token of a tenant that leaves")
	}
	if left, err := b.RevokeNow(t.Context(), b.tenant); err != nil || left != 0 {
		t.Errorf("%d are left, %v", left, err)
	}
	b.wantCounts(t, 1, 0, 1)
}

// idToken says whose a token is.
func idToken(sub string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"iss":"https://acme.example","sub":%q}`, sub)) + ".c2ln"
}

func TestTokensOfNoConnectionAreRevoked(t *testing.T) {
	t.Parallel()
	of := func(b *testBundle, name, sub string) authorization.Obtained {
		token := b.server.Connect()
		if sub != "" {
			token.IDToken = idToken(sub)
		}
		return authorization.Obtained{Tenant: b.tenant, Connection: name, App: authorizationtest.App, Provider: "test", Token: token}
	}
	for name, test := range map[string]struct {
		// has is whose there is a connection of: "-" is of nobody knows whom, and empty is none.
		has, dropped string
		want         bool
	}{
		"there is no other":          {"", "", true},
		"the other may be the same":  {"-", "ada", false},
		"the other is the same":      {"ada", "ada", false},
		"the other is another":       {"ada", "grace", true},
		"nobody knows whose it is":   {"ada", "", false},
		"a second time is no matter": {"", "ada", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, authorizationtest.Rules{})
			var other oauth.Token
			if test.has != "" {
				o := of(b, "con_1", map[bool]string{false: test.has}[test.has == "-"])
				if _, err := b.Put(t.Context(), o); err != nil {
					t.Fatal(err)
				}
				other = o.Token
			}
			o := of(b, "cse_1", test.dropped)
			for range 2 {
				if err := b.Discard(t.Context(), o); err != nil {
					t.Fatal(err)
				}
			}
			b.Sweep(t.Context())
			if got := !b.server.Alive(o.Token.Refresh); got != test.want {
				t.Errorf("revoked: %t, want %t", got, test.want)
			}
			if other.Refresh != "" && !b.server.Alive(other.Refresh) {
				t.Error("the connection has lost its own")
			}
		})
	}
}
