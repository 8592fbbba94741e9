package vendor_test

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/bench/internal/command"
	"github.com/cofferdam-run/cofferdam/bench/internal/vendor"
)

// TestMain is the vendor's process, too.
func TestMain(m *testing.M) {
	if vendor.Asked(os.Args) {
		command.Main(vendor.Serve)
		return
	}
	os.Exit(m.Run())
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for kind, want := range map[vendor.Kind]string{
		vendor.Plain: `{"ok":true}`,
		vendor.Large: `{"ok":true,"note":"` + vendor.Note() + `"}`,
		vendor.TLS:   vendor.Payload(),
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			v, err := vendor.Start(t.Context(), kind)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := v.Close(); err != nil {
					t.Error(err)
				}
			}()
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: v.Roots, MinVersion: tls.VersionTLS12}}}
			defer client.CloseIdleConnections()
			for range 2 {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, v.URL+vendor.SlowPath, strings.NewReader(vendor.Payload()))
				if err != nil {
					t.Fatal(err)
				}
				response, err := client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(response.Body)
				response.Body.Close()
				if err != nil || string(got) != want {
					t.Errorf("got %s, %v, want %s", got, err, want)
				}
			}
		})
	}
}

func TestPayloadsAreJSONOfTheirLength(t *testing.T) {
	t.Parallel()
	if got := vendor.Payload(); len(got) != vendor.PayloadBytes || !json.Valid([]byte(got)) {
		t.Errorf("got %d bytes: %s", len(got), got)
	}
	if got := `{"id":"1001","note":"` + vendor.Note() + `"}`; len(got) < vendor.PayloadBytes-8 || len(got) > vendor.PayloadBytes+8 {
		t.Errorf("got %d bytes: %s", len(got), got)
	}
}
