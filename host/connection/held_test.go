package connection_test

import (
	"errors"
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

func TestHeldCredentialsAreSentAsStoredOnesAre(t *testing.T) {
	t.Parallel()
	h, err := connection.Held(map[string]connection.Spec{"crm": {
		Name: "crm", Type: connection.Bearer, Hosts: []string{"api.example.com"}, Credential: connection.Credential{Token: "sekret-token"},
	}}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		connection, url string
		want            error
	}{
		"its host":           {"crm", "https://api.example.com/x", nil},
		"another host":       {"crm", "https://example.com/x", egress.ErrHostNotAllowed},
		"no such connection": {"erp", "https://api.example.com/x", egress.ErrNoConnection},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, tt.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			secrets, err := h.Apply(t.Context(), tt.connection, r)
			if !errors.Is(err, tt.want) || tt.want == nil && err != nil {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if sent := r.Header.Get("Authorization"); (tt.want == nil) != (sent == "Bearer sekret-token") || (tt.want == nil) != (len(secrets) == 1) {
				t.Errorf("sent %q with %d secrets", sent, len(secrets))
			}
		})
	}
}

func TestHeldRefusesWhatCreateDoes(t *testing.T) {
	t.Parallel()
	_, err := connection.Held(map[string]connection.Spec{"crm": {Name: "crm", Type: connection.Bearer, Hosts: []string{"api.example.com"}}}, time.Now)
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Code != "invalid_connection" {
		t.Errorf("got %v, want invalid_connection for a missing token", err)
	}
}

func TestPartsOfACredentialGoWhereItMay(t *testing.T) {
	t.Parallel()
	hosts := []string{"api.example.com"}
	h, err := connection.Held(map[string]connection.Spec{
		"bearer": {Name: "bearer", Type: connection.Bearer, Hosts: hosts, Credential: connection.Credential{Token: "sekret-token"}},
		"basic":  {Name: "basic", Type: connection.Basic, Hosts: hosts, Credential: connection.Credential{Username: "u", Password: "p"}},
		"key":    {Name: "key", Type: connection.APIKey, Header: "X-Key", Hosts: hosts, Credential: connection.Credential{Key: "k"}},
		"hmac":   {Name: "hmac", Type: connection.HMAC, Hosts: hosts, Credential: connection.Credential{Key: "0123456789abcdef0123456789abcdef"}},
	}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		connection, url string
		want            map[string]string
		err             error
	}{
		"a bearer":           {"bearer", "https://api.example.com/x", map[string]string{"token": "sekret-token"}, nil},
		"a basic":            {"basic", "https://api.example.com/x", map[string]string{"username": "u", "password": "p"}, nil},
		"a key":              {"key", "https://api.example.com/x", map[string]string{"key": "k"}, nil},
		"a key that stays":   {"hmac", "https://api.example.com/x", nil, egress.ErrHostNotAllowed},
		"another host":       {"bearer", "https://example.com/x", nil, egress.ErrHostNotAllowed},
		"no such connection": {"erp", "https://api.example.com/x", nil, egress.ErrNoConnection},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, tt.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := h.(egress.Placeable).Parts(t.Context(), tt.connection, r)
			if !errors.Is(err, tt.err) || tt.err == nil && err != nil {
				t.Fatalf("got %v, want %v", err, tt.err)
			}
			if !maps.Equal(got, tt.want) {
				t.Errorf("got %d parts, want %d", len(got), len(tt.want))
			}
			if len(r.Header) > 0 {
				t.Error("the request was changed")
			}
		})
	}
}
