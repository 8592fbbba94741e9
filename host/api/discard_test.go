package api_test

import (
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/authorization"
)

// selecting has a session with tokens, whose user selects.
func (c *connects) selecting(t *testing.T, p *idp) (id string) {
	t.Helper()
	p.set(func(p *idp) { p.items = `[{"id":"site-1","name":"North"},{"id":"site-2","name":"South"}]` })
	id, b := c.asked(t, nil)
	b.agrees(t)
	if got := c.get(t, id); got["state"] != "selecting" {
		t.Fatalf("the session is %v", got)
	}
	return id
}

// revokes wants a token to be revoked next, or none for an empty one.
func (c *connects) revokes(t *testing.T, p *idp, want string) {
	t.Helper()
	if want == "" {
		all, err := c.h.Authorizations.List(t.Context(), c.tenant)
		if err != nil || slices.ContainsFunc(all, func(a authorization.Authorization) bool { return a.State == authorization.Revoking }) {
			t.Errorf("something is going to be revoked: %+v, %v", all, err)
		}
		return
	}
	select {
	case got := <-p.revoked:
		if got != want {
			t.Errorf("revoked is %s, want %s", got, want)
		}
	case <-time.After(20 * time.Second):
		t.Error("nothing is revoked")
	}
}

func TestTokensThatNobodyGetsAreRevoked(t *testing.T) {
	t.Parallel()
	for name, play := range map[string]func(t *testing.T, c *connects, p *idp, ahead *atomic.Int64){
		"the user cancels while selecting": func(t *testing.T, c *connects, p *idp, _ *atomic.Int64) {
			t.Helper()
			id := c.selecting(t, p)
			c.revokes(t, p, "")
			c.do(t, 200, "cancelConnectSession", map[string]any{"tenant": c.tenant, "session": id}, nil)
			c.revokes(t, p, "refresh-1")
		},
		"the session expires": func(t *testing.T, c *connects, p *idp, ahead *atomic.Int64) {
			t.Helper()
			id := c.selecting(t, p)
			ahead.Store(int64(29 * time.Minute))
			if err := c.h.Connects.Tidy(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.revokes(t, p, "")
			ahead.Store(int64(31 * time.Minute))
			for range 2 {
				if err := c.h.Connects.Tidy(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			// By the database's clock it is not yet time to ask.
			all, err := c.h.Authorizations.List(t.Context(), c.tenant)
			if err != nil || len(all) != 1 || all[0].State != authorization.Revoking || all[0].Connection != id {
				t.Errorf("there is %+v, %v, want tokens that are revoked", all, err)
			}
			if got := c.get(t, id); got["state"] != "expired" {
				t.Errorf("the session is %v", got["state"])
			}
		},
		"nothing can be asked about the account": func(t *testing.T, c *connects, p *idp, _ *atomic.Int64) {
			t.Helper()
			p.set(func(p *idp) { p.items = `[]` })
			id, b := c.asked(t, nil)
			b.agrees(t)
			if got := c.get(t, id); got["state"] != "failed" {
				t.Fatalf("the session is %v", got)
			}
			c.revokes(t, p, "refresh-1")
		},
		"another connection may be of the same account": func(t *testing.T, c *connects, p *idp, _ *atomic.Int64) {
			t.Helper()
			_, b := c.asked(t, nil)
			b.agrees(t)
			id := c.selecting(t, p)
			c.do(t, 200, "cancelConnectSession", map[string]any{"tenant": c.tenant, "session": id}, nil)
			c.revokes(t, p, "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var ahead atomic.Int64
			c, p := setupOAuth(t, "authorization_code", func(c *host.Config) {
				c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
			})
			c.asking(t, oauthSlot, `{"ok":true}`)
			play(t, c, p, &ahead)
		})
	}
}

func TestADeletedTenantsTokensAreRevoked(t *testing.T) {
	t.Parallel()
	c, p := setupOAuth(t, "authorization_code")
	c.asking(t, oauthSlot, `{"ok":true}`)
	_, b := c.asked(t, nil)
	b.agrees(t)
	in := map[string]any{"tenant": c.tenant, "grace": "0s"}
	c.do(t, http.StatusAccepted, "deleteTenant", in, nil)
	if len(p.revoked) != 1 {
		t.Error("the key is destroyed, and nothing was revoked")
	}
}
