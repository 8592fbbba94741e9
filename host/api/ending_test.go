package api_test

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/notice"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
)

// TestAConnectionThatEndsIsToldBefore: health says when a user has to agree once more, and
// who runs it is told once, some days before.
func TestAConnectionThatEndsIsToldBefore(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	told := make(chan notice.Notice, 10)
	c, p := setupOAuth(t, "authorization_code", func(c *host.Config) {
		db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "ending.db"), sqlite.Options{Now: now})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		if _, _, err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.Store, c.Now = db, now
		c.Notify = func(_ context.Context, n notice.Notice) error {
			told <- n
			return nil
		}
	})
	p.set(func(p *idp) { p.ends = 8 * 24 * time.Hour })
	c.asking(t, oauthSlot, `{"ok":true}`)
	_, b := c.asked(t, nil)
	b.agrees(t)
	in := map[string]any{"tenant": c.tenant}
	health := c.do(t, 200, "listTenantConnectionHealth", in, nil)["items"].([]any)[0].(map[string]any)
	at, err := time.Parse(time.RFC3339, health["ends_at"].(string))
	if left := at.Sub(now()); err != nil || left > 8*24*time.Hour || left < 8*24*time.Hour-time.Minute {
		t.Errorf("it ends in %s, %v", left, err)
	}
	p.set(func(p *idp) { p.ends = 24 * time.Hour }) // A refresh makes none live longer.
	ahead.Store(int64(7 * 24 * time.Hour))
	select {
	case n := <-told:
		if n.Kind != notice.ConnectionExpiring || n.Connection != health["connection"] || n.EndsAt.Sub(at).Abs() > time.Hour || n.Error == nil {
			t.Errorf("it was told %+v", n)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nobody is told")
	}
	listed := c.do(t, 200, "listTenantNotices", in, nil)["items"].([]any)
	if len(listed) != 1 || listed[0].(map[string]any)["kind"] != "connection_expiring" {
		t.Errorf("listed is %v", listed)
	}
}
