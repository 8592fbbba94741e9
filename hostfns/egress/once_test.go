package egress_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

// What gets no answer on a connection that was used before is sent once all the same,
// whatever its headers seem to promise: whether it is sent again, the journal decides.
func TestAnEffectIsSentOnce(t *testing.T) {
	t.Parallel()
	for _, header := range []string{"X-Other", "Idempotency-Key", "X-Idempotency-Key"} {
		for _, body := range []string{"", "one"} {
			t.Run(header+" "+body, func(t *testing.T) {
				t.Parallel()
				var mu sync.Mutex
				var got []string
				b := setup(t, func(_ http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodGet {
						return
					}
					_, _ = io.Copy(io.Discard, r.Body)
					mu.Lock()
					got = append(got, r.Header.Get(header))
					mu.Unlock()
					panic(http.ErrAbortHandler) // It is done, and no answer comes.
				}, nil)
				s := b.egress.Session(egress.Permissions{Rules: []egress.Rule{rule(b.host)}, Pool: "ten_a"})
				must(t, s, get("https://"+b.host)) // The connection that is used again.
				answer := keyed(t, s, "", map[string]any{
					"method": "POST", "url": "https://" + b.host, "body": body, "headers": map[string]any{header: []string{"k"}},
				})
				if !strings.Contains(answer, string(hostfns.CodeNetwork)) {
					t.Errorf("the guest is told %s", answer)
				}
				mu.Lock()
				defer mu.Unlock()
				if len(got) != 1 || got[0] != "k" {
					t.Errorf("the server got it %d times, with the header %q, want once", len(got), got)
				}
			})
		}
	}
}
