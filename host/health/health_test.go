package health_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/authorization"
	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/health"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/pace"
)

// records are those of one tenant, ten_a.
type records struct {
	connections   []connection.Connection
	installations []installation.Installation
	awaited       []execution.Awaited
	ailing        []health.Key
	paces         []pace.Pace
	err           error
}

func (r *records) Connections(context.Context, string) ([]connection.Connection, error) {
	return r.connections, nil
}

func (r *records) Installations(context.Context, string) ([]installation.Installation, error) {
	return r.installations, nil
}

func (r *records) Awaited(context.Context, string) ([]execution.Awaited, error) {
	return r.awaited, r.err
}

func (r *records) Paces(context.Context, string) ([]pace.Pace, error) { return r.paces, r.err }

func (r *records) Ailing(context.Context) ([]health.Key, error) { return r.ailing, r.err }

func of(r *records, agreed ...authorization.Authorization) *health.Healths {
	return health.New(health.Config{Store: r, Authorizations: func(context.Context, string) ([]authorization.Authorization, error) {
		return agreed, nil
	}})
}

func TestStates(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	waiting := []execution.Awaited{{Tenant: "ten_a", Connection: "con_a", Waiting: 3, Oldest: "exe_1", Since: since}}
	for name, tt := range map[string]struct {
		kind    connection.Type
		agreed  authorization.State
		awaited []execution.Awaited
		want    health.State
		broken  bool
	}{
		"of a credential nothing is known":           {connection.Bearer, "", nil, health.Unknown, false},
		"a credential that the other side refuses":   {connection.Bearer, "", waiting, health.Broken, true},
		"a token that works":                         {connection.OAuth2, authorization.Active, nil, health.Healthy, false},
		"a token that is being refreshed":            {connection.OAuth2, authorization.Refreshing, nil, health.Refreshing, false},
		"a token that ends":                          {connection.OAuth2, authorization.Expiring, nil, health.Expiring, false},
		"what a user has taken back":                 {connection.OAuth2, authorization.Broken, waiting, health.Broken, true},
		"a token that its API does not take":         {connection.OAuth2, authorization.Active, waiting, health.Broken, true},
		"an account that nobody has agreed to":       {connection.OAuth2, "", nil, health.Broken, true},
		"tokens that are on their way to be revoked": {connection.OAuth2, authorization.Revoking, nil, health.Broken, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &records{connections: []connection.Connection{{ID: "con_a", Tenant: "ten_a", Name: "crm", Type: tt.kind, CreatedAt: since}}, awaited: tt.awaited}
			var agreed []authorization.Authorization
			if tt.agreed != "" {
				agreed = append(agreed, authorization.Authorization{Connection: "con_a", State: tt.agreed, BrokenSince: since})
			}
			got, err := of(r, agreed...).Get(t.Context(), "ten_a", "crm")
			if err != nil || got.State != tt.want {
				t.Fatalf("it is %s and %v, want %s", got.State, err, tt.want)
			}
			if got.BrokenSince.Equal(since) != tt.broken || got.Waiting != len(tt.awaited)*3 {
				t.Errorf("it is broken since %v, and %d wait", got.BrokenSince, got.Waiting)
			}
		})
	}
}

func TestBrokenPages(t *testing.T) {
	t.Parallel()
	r := &records{}
	for _, id := range []string{"con_c", "con_a", "con_b"} {
		r.connections = append(r.connections, connection.Connection{ID: id, Tenant: "ten_a", Type: connection.OAuth2})
		r.ailing = append(r.ailing, health.Key{Tenant: "ten_a", Connection: id})
	}
	s := of(r, authorization.Authorization{Connection: "con_b", State: authorization.Active}) // It was mended meanwhile.
	var got []string
	for after := ""; ; after = got[len(got)-1] {
		page, err := s.Broken(t.Context(), after, 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		got = append(got, page[0].Connection)
	}
	if diff := cmp.Diff([]string{"con_a", "con_c"}, got); diff != "" {
		t.Errorf("broken are (-want +got):\n%s", diff)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	_, err := of(&records{}).Get(t.Context(), "ten_a", "nobody")
	if f := fault.From(err); f.Code != fault.CodeNotFound {
		t.Errorf("got %v, want not found", err)
	}
	lost := errors.New("the database is gone")
	s := of(&records{err: lost})
	if _, err := s.List(t.Context(), "ten_a"); !errors.Is(err, lost) {
		t.Errorf("got %v, want %v", err, lost)
	}
	if _, err := s.Broken(t.Context(), "", 10); !errors.Is(err, lost) {
		t.Errorf("got %v, want %v", err, lost)
	}
}

func TestHowRequestsGoIsTold(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	open := pace.Breaker{State: pace.Open, Since: at, RetryAt: at.Add(5 * time.Second), Opens: 1, Why: "6 of 10 requests within 30s failed"}
	r := &records{
		connections: []connection.Connection{{ID: "con_a", Name: "a"}, {ID: "con_b", Name: "b"}, {ID: "con_c", Name: "c"}},
		paces:       []pace.Pace{{Connection: "con_b", Breaker: open}, {Connection: "con_c", Breaker: pace.Breaker{State: pace.Closed}, PausedAt: at}},
	}
	got, err := of(r).List(t.Context(), "ten_a")
	if err != nil {
		t.Fatal(err)
	}
	closed := pace.Breaker{State: pace.Closed}
	for i, want := range []health.Health{{Breaker: closed}, {Breaker: open}, {Breaker: closed, PausedAt: at}} {
		if got[i].Breaker != want.Breaker || !got[i].PausedAt.Equal(want.PausedAt) {
			t.Errorf("%s has %+v, paused at %s, want %+v and %s", got[i].Name, got[i].Breaker, got[i].PausedAt, want.Breaker, want.PausedAt)
		}
	}
}
