package connection_test

import (
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/fault"
)

func apiKey(change func(*connection.Spec)) func(*connection.Spec) {
	return func(s *connection.Spec) {
		s.Type, s.Header, s.Credential = connection.APIKey, "X-Api-Key", connection.Credential{Key: "k"}
		change(s)
	}
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	hosts := func(hosts ...string) func(*connection.Spec) {
		return func(s *connection.Spec) { s.Hosts = hosts }
	}
	credential := func(typ connection.Type, c connection.Credential) func(*connection.Spec) {
		return func(s *connection.Spec) {
			s.Type, s.Credential = typ, c
			if typ == connection.APIKey {
				s.Header = "X-Api-Key"
			}
		}
	}
	header := func(name string) func(*connection.Spec) {
		return apiKey(func(s *connection.Spec) { s.Header = name })
	}
	query := func(name string) func(*connection.Spec) {
		return apiKey(func(s *connection.Spec) { s.Header, s.Query = "", name })
	}
	tests := []struct {
		name        string
		change      func(*connection.Spec)
		where, want string
	}{
		{"no name", func(s *connection.Spec) { s.Name = "" }, "/name", "begin with a letter"},
		{"a name with a space", func(s *connection.Spec) { s.Name = "git hub" }, "/name", "git hub"},
		{"a long name", func(s *connection.Spec) { s.Name = strings.Repeat("a", 64) }, "/name", "63"},
		{"a name with a line break", func(s *connection.Spec) { s.Name = "github\n" }, "/name", `\n`},
		{"a name like an id", func(s *connection.Spec) { s.Name = "con_github" }, "/name", "must not begin with con_, for that is how ids begin"},
		{"no type", func(s *connection.Spec) { s.Type = "" }, "/type", "bearer, basic, api_key, hmac"},
		{"an unknown type", func(s *connection.Spec) { s.Type = "oauth3" }, "/type", "oauth3"},

		{"no hosts", hosts(), "/hosts", "api.example.com"},
		{"33 hosts", hosts(make([]string, 33)...), "/hosts", "33"},
		{"an empty host", hosts("a.com", ""), "/hosts/1", "no host"},
		{"a URL for a host", hosts("https://api.github.com"), "/hosts/0", "https://api.github.com"},
		{"a host with a path", hosts("api.github.com/repos"), "/hosts/0", "github.com/repos"},
		{"a host with a user", hosts("a@b.com"), "/hosts/0", "a@b.com"},
		{"every host", hosts("*"), "/hosts/0", "*"},
		{"every host of a top-level domain", hosts("*.com"), "/hosts/0", "*.com"},
		{"a star inside", hosts("api.*.com"), "/hosts/0", "*"},
		{"port 0", hosts("a.com:0"), "/hosts/0", "65535"},
		{"port 65536", hosts("a.com:65536"), "/hosts/0", "65535"},
		{"letters outside of ASCII", hosts("bücher.example"), "/hosts/0", "punycode"},

		{"a bearer without a token", credential(connection.Bearer, connection.Credential{}), "/credential/token", "needs a token"},
		{"a bearer with a password", credential(connection.Bearer, connection.Credential{Token: "t", Password: "p"}), "/credential/password", "has no password"},
		{"a basic without a username", credential(connection.Basic, connection.Credential{Password: "p"}), "/credential/username", "needs a username"},
		{"a basic with a token", credential(connection.Basic, connection.Credential{Username: "u", Token: "t"}), "/credential/token", "has no token"},
		{"a username with a colon", credential(connection.Basic, connection.Credential{Username: "a:b"}), "/credential/username", "colon"},
		{"an api_key without a key", credential(connection.APIKey, connection.Credential{}), "/credential/key", "needs a key"},
		{"a token with a line break", credential(connection.Bearer, connection.Credential{Token: "t\r\nHost: evil"}), "/credential/token", "line break"},
		{"a token with a space at its end", credential(connection.Bearer, connection.Credential{Token: "t "}), "/credential/token", "space"},
		{"a token outside of ASCII", credential(connection.Bearer, connection.Credential{Token: "tökén"}), "/credential/token", "ASCII"},
		{"a password with NUL", credential(connection.Basic, connection.Credential{Username: "u", Password: "p\x00"}), "/credential/password", "control"},
		{"a long key", credential(connection.APIKey, connection.Credential{Key: strings.Repeat("k", 8193)}), "/credential/key", "8192"},

		{"a header for a bearer", func(s *connection.Spec) { s.Header = "X-Token" }, "/header", "authorization"},
		{"a query for a bearer", func(s *connection.Spec) { s.Query = "token" }, "/query", "authorization"},
		{"an api_key without a place", header(""), "/header", "needs a header or a query"},
		{"an api_key with two places", apiKey(func(s *connection.Spec) { s.Query = "key" }), "/header", "not both"},
		{"a header with a space", header("X Api"), "/header", "X Api"},
		{"a header with a line break", header("X-A\r\nX-B"), "/header", "name of a header"},
		{"the header host", header("Host"), "/header", "travels"},
		{"the header cookie", header("cookie"), "/header", "travels"},
		{"a hop-by-hop header", header("Transfer-Encoding"), "/header", "travels"},
		{"a proxy's header", header("Proxy-Authorization"), "/header", "travels"},
		{"a forwarding header", header("X-Forwarded-For"), "/header", "travels"},
		{"a query parameter with &", query("a&b"), "/query", "a&b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b, spec := setup(t), bearer()
			tt.change(&spec)
			_, err := b.connections.Create(t.Context(), tenant, spec)
			got := fault.From(err)
			if got == nil || got.Class != fault.InvalidInput || got.Code != "invalid_connection" {
				t.Fatalf("got %v, want invalid_connection", err)
			}
			if got.Where != tt.where || !strings.Contains(got.Message, tt.want) {
				t.Errorf("got %s: %s\nwant %s: ... %s ...", got.Where, got.Message, tt.where, tt.want)
			}
			if len(b.store.rows) != 0 {
				t.Error("it was stored")
			}
		})
	}
}

func TestCreateTakes(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*connection.Spec){
		"a host with a port":       func(s *connection.Spec) { s.Hosts = []string{"127.0.0.1:8081"} },
		"an IPv6 host with a port": func(s *connection.Spec) { s.Hosts = []string{"[::1]:8081"} },
		"a wildcard":               func(s *connection.Spec) { s.Hosts = []string{"*.example.com", "example.com"} },
		"a key without a password": func(s *connection.Spec) {
			s.Type, s.Credential = connection.Basic, connection.Credential{Username: "sk_live_1"}
		},
		"a key in authorization": apiKey(func(s *connection.Spec) { s.Header = "Authorization" }),
		"a key in a query":       apiKey(func(s *connection.Spec) { s.Header, s.Query = "", "api_key" }),
		"a password with spaces": func(s *connection.Spec) {
			s.Type, s.Credential = connection.Basic, connection.Credential{Username: "u", Password: " päss wörd "}
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := bearer()
			change(&spec)
			setup(t).create(t, spec)
		})
	}
}

func TestCreateNamesEverythingThatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := setup(t).connections.Create(t.Context(), tenant, connection.Spec{Type: connection.Basic, Header: "X", Credential: connection.Credential{Token: "s3cr3t\n"}})
	got := fault.From(err)
	if got == nil || len(got.Problems) != 5 || !strings.Contains(got.Message, "4 more") {
		t.Fatalf("got %+v, want 5 problems", got)
	}
	if strings.Contains(got.Error(), "s3cr3t") {
		t.Errorf("the credential is in the error: %v", got)
	}
}
