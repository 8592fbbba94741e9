package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestPagesAreBelowThePublicURLToo(t *testing.T) {
	t.Parallel()
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) })
	for _, c := range []struct{ public, path, want string }{
		{"", "/connect/x", "/connect/x"},
		{"https://acme.example", "/cofferdam/connect/x", "/cofferdam/connect/x"},
		{"https://acme.example/a/b", "/a/b/connect/x", "/connect/x"}, // The proxy leaves the path as it is.
		{"https://acme.example/a/b/", "/a/b/oauth/callback/x", "/oauth/callback/x"},
		{"https://acme.example/a/b", "/connect/x", "/connect/x"}, // The proxy takes it off.
		{"https://acme.example/a/b", "/a/b/v1/tenants", "/a/b/v1/tenants"},
		{"https://acme.example/a/b", "/a/bb/connect/x", "/a/bb/connect/x"},
		{"https://acme.example/connect", "/connect/connect/x", "/connect/x"},
		{"https://acme.example/connect", "/connect/x", "/connect/x"},
		{"https://acme.example/connect", "/connect/x/status", "/connect/x/status"},
	} {
		rec := httptest.NewRecorder()
		alsoBelow(c.public, echo).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, c.path, nil))
		if got := rec.Body.String(); got != c.want {
			t.Errorf("%s at %s is answered as %s, want %s", c.path, c.public, got, c.want)
		}
	}
}
