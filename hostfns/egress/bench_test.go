package egress_test

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

// BenchmarkHTTP compares a request of 1 KiB, answered with 1 KiB, with what a bare
// http.Client makes of it, over TLS on a connection that is kept.
func BenchmarkHTTP(b *testing.B) {
	payload := strings.Repeat("0123456789abcdef", 64)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, payload)
	}))
	defer server.Close()
	b.Run("client", func(b *testing.B) {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: rootsOf(server)}, DisableCompression: true}}
		defer client.CloseIdleConnections()
		b.ReportAllocs()
		for b.Loop() {
			r, _ := http.NewRequestWithContext(b.Context(), http.MethodPost, server.URL, strings.NewReader(payload))
			r.Header.Set("Authorization", "Bearer tok_0123456789abcdef")
			response, err := client.Do(r)
			if err != nil {
				b.Fatal(err)
			}
			io.ReadAll(response.Body)
			response.Body.Close()
		}
	})
	for _, redacted := range []bool{false, true} {
		b.Run(fmt.Sprintf("egress credential=%v", redacted), func(b *testing.B) {
			out := egress.New(egress.Config{AllowAddrs: loopback(), RootCAs: rootsOf(server)})
			defer out.Close()
			raw, _ := json.Marshal(map[string]any{"connection": "c", "method": "POST", "url": server.URL, "body": payload})
			if !redacted {
				raw, _ = json.Marshal(map[string]any{"method": "POST", "url": server.URL, "body": payload})
			}
			rules := []egress.Rule{rule(server.Listener.Addr().String())}
			b.ReportAllocs()
			for b.Loop() {
				// A run makes one request: what a Session costs is in it.
				secrets := hostfns.NewRedactor()
				s := out.Session(egress.Permissions{Rules: rules, Credentials: credentials(token16), Secrets: secrets, Pool: "t"})
				if _, err := s.Funcs()[0].Answer(b.Context(), raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func token16(_ string, r *http.Request) ([]string, error) {
	r.Header.Set("Authorization", "Bearer tok_0123456789abcdef")
	return []string{"tok_0123456789abcdef"}, nil
}
