package manifest_test

import (
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/registry/manifest"
)

func TestParseHost(t *testing.T) {
	t.Parallel()
	tests := []struct {
		give string
		want manifest.Host
	}{
		{"api.example.com", manifest.Host{Name: "api.example.com"}},
		{"api.example.com:443", manifest.Host{Name: "api.example.com"}},
		{"api.example.com:8443", manifest.Host{Name: "api.example.com", Port: "8443"}},
		{"*.example.com", manifest.Host{Wildcard: true, Name: "example.com"}},
		{"*.example.com:80", manifest.Host{Wildcard: true, Name: "example.com", Port: "80"}},
		{"localhost:9000", manifest.Host{Name: "localhost", Port: "9000"}},
		{"127.0.0.1:9000", manifest.Host{Name: "127.0.0.1", Port: "9000"}},
		{"xn--bcher-kva.example", manifest.Host{Name: "xn--bcher-kva.example"}},
		{"{config.api_url}", manifest.Host{Property: "api_url"}},
	}
	for _, tt := range tests {
		t.Run(tt.give, func(t *testing.T) {
			t.Parallel()
			got, err := manifest.ParseHost(tt.give)
			if err != nil || got != tt.want {
				t.Errorf("got %+v, %v, want %+v", got, err, tt.want)
			}
			if want := strings.TrimSuffix(tt.give, ":443"); got.String() != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestParseHostRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ give, want string }{
		{"", "is not a host name"},
		{"https://a.test", "not a URL"},
		{"a.test/path", "not a URL"},
		{"A.test", "in lower case"},
		{"*", "would allow every host"},
		{"*.com", "is too wide"},
		{"*.", "is not a host name"},
		{"*.1.2.3.4", "is too wide"},
		{"a.*.test", "only as its first label"},
		{"*.*.example.com", "only as its first label"},
		{"-a.test", "is not a host name"},
		{"a..test", "is not a host name"},
		{"a.test.", "is not a host name"},
		{"a_b.test", "is not a host name"},
		{"user@a.test", "is not a host name"},
		{"bücher.example", "xn-- labels"},
		{"a.test:", "must be a number from 1 to 65535"},
		{"a.test:0", "must be a number"},
		{"a.test:080", "must be a number"},
		{"a.test:65536", "must be a number"},
		{"a.test:80:80", "must be a number"},
		{"[::1]:80", "must be a number"},
		{"{config.}", "must be {config.name}"},
		{"{config.a.b}", "must be {config.name}"},
		{"{secret.a}", "must be {config.name}"},
		{"{config.a}:80", "must be {config.name}"},
		{strings.Repeat("a.", 127) + "test", "at most 253"},
	}
	for _, tt := range tests {
		t.Run(tt.give, func(t *testing.T) {
			t.Parallel()
			_, err := manifest.ParseHost(tt.give)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestHostMeet(t *testing.T) {
	t.Parallel()
	tests := []struct{ a, b, want string }{
		{"a.example.com", "a.example.com", "a.example.com"},
		{"a.example.com:443", "a.example.com", "a.example.com"},
		{"a.example.com:8080", "a.example.com", ""},
		{"*.example.com", "a.example.com", "a.example.com"},
		{"*.example.com", "a.b.example.com", "a.b.example.com"},
		{"*.example.com", "*.b.example.com", "*.b.example.com"},
		{"*.example.com", "example.com", ""},
		{"*.example.com", "badexample.com", ""},
		{"*.example.com", "a.example.com:8080", ""},
		{"*.example.com:8080", "a.example.com:8080", "a.example.com:8080"},
		{"a.example.com", "b.example.com", ""},
		{"{config.a}", "{config.a}", "{config.a}"},
		{"{config.a}", "{config.b}", ""},
		{"{config.a}", "*.example.com", ""},
		{"{config.a}", "a.example.com", ""},
	}
	for _, tt := range tests {
		t.Run(tt.a+" and "+tt.b, func(t *testing.T) {
			t.Parallel()
			a, err := manifest.ParseHost(tt.a)
			if err != nil {
				t.Fatal(err)
			}
			b, err := manifest.ParseHost(tt.b)
			if err != nil {
				t.Fatal(err)
			}
			for _, pair := range [][2]manifest.Host{{a, b}, {b, a}} {
				got, ok := pair[0].Meet(pair[1])
				if ok != (tt.want != "") || ok && got.String() != tt.want {
					t.Errorf("got %s, %v, want %q", got, ok, tt.want)
				}
			}
		})
	}
}
