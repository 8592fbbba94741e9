package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// refusingProxy is the URL of a proxy that makes no tunnel.
func refusingProxy(t *testing.T) string {
	t.Helper()
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	t.Cleanup(p.Close)
	return p.URL
}
