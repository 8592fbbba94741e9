package fositetest_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/authorization"
	"github.com/cofferdam-run/cofferdam/host/authorization/authorizationtest"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/vault/vaulttest"
)

// rows is an authorization.Store of one, in memory: databases have their own tests.
type rows struct {
	authorization.Store

	mu  sync.Mutex
	now func() time.Time
	row *authorization.Row
}

func (s *rows) Authorization(_ context.Context, _, connection string) (authorization.Row, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.row == nil {
		return authorization.Row{}, fault.NotFound("authorization", connection)
	}
	r := *s.row
	r.Held = r.HeldUntil.After(s.now())
	return r, nil
}

func (s *rows) AuthorizationVersion(ctx context.Context, tenant, connection string) (int64, authorization.State, error) {
	r, err := s.Authorization(ctx, tenant, connection)
	return r.Version, r.State, err
}

func (s *rows) InsertAuthorization(_ context.Context, r authorization.Row) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.row = &r
	return nil
}

func (s *rows) NoteWorked(context.Context, authorization.Row, time.Time, bool) error { return nil }

func (s *rows) SwapAuthorization(_ context.Context, was, now authorization.Row, lease time.Duration) (authorization.Row, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	is := s.row
	if is.Version != was.Version || is.State != was.State || is.Owner != was.Owner || !is.HeldUntil.Equal(was.HeldUntil) ||
		!is.RefreshingSince.Equal(was.RefreshingSince) || !bytes.Equal(is.RefreshingHash, was.RefreshingHash) {
		return now, false, nil
	}
	now.Held, now.HeldUntil = lease > 0, time.Time{}
	if now.Held {
		now.HeldUntil = s.now().Add(lease)
	} else {
		now.Owner = ""
	}
	s.row = &now
	return now, true, nil
}

// TestCallersOfThreeProcessesRefreshOnce has 300 callers want each token, at a server that
// ends all that came of a consent when a refresh token is used twice.
func TestCallersOfThreeProcessesRefreshOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.registration(t)
	token := b.connect(t, r)
	now := func() time.Time { return time.Now().Add(b.ahead) } // As the client's.
	registered := authorizationtest.At("http://unused.example", authorizationtest.Rules{})
	registered.Registration = r
	db, v := &rows{now: now}, vaulttest.New(t)
	var processes []*authorization.Authorizations
	for _, owner := range []string{"wrk_1", "wrk_2", "wrk_3"} {
		a, err := authorization.New(authorization.Config{
			Store: db, Source: authorizationtest.Source{Registered: registered}, Client: b.client, Vault: v, Owner: owner,
			Logger: slog.New(slog.DiscardHandler), Now: now, After: time.After,
		})
		if err != nil {
			t.Fatal(err)
		}
		processes = append(processes, a)
	}
	if _, err := processes[0].Put(t.Context(), authorization.Obtained{
		Tenant: "ten_a", Connection: "con_1", App: authorizationtest.App, Provider: "fosite", Token: token,
	}); err != nil {
		t.Fatal(err)
	}
	before := b.asked()
	const expiries, callers = 10, 300
	for n := range expiries {
		b.ahead += 2 * time.Hour
		got := make([]string, callers)
		var wait sync.WaitGroup
		for i := range got {
			wait.Go(func() {
				access, err := processes[i%len(processes)].Token(t.Context(), "ten_a", "con_1")
				if err != nil {
					t.Error(err)
				}
				got[i] = access.Token
			})
		}
		wait.Wait()
		slices.Sort(got)
		if got = slices.Compact(got); len(got) != 1 || b.asked()-before != n+1 {
			t.Fatalf("after expiry %d there are %d tokens, and the server was asked %d times", n+1, len(got), b.asked()-before)
		}
		said, err := b.client.Introspect(t.Context(), r, got[0], "access_token")
		if err != nil || !said.Active {
			t.Fatalf("after expiry %d the token is active: %t, %v", n+1, said.Active, err)
		}
	}
}
