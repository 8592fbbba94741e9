package egress_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

// A credential that is replaced between two requests is looked for as what it is now,
// and as what it was to the run that has used both.
func TestReplacedCredentialsAreScrubbed(t *testing.T) {
	t.Parallel()
	var nth atomic.Int32
	tokens := []string{"tok_of_yesterday_0123", "tok_of_today_45678901"}
	b := setup(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Join(tokens, " ")) }, nil)
	replaced := credentials(func(_ string, r *http.Request) ([]string, error) {
		token := tokens[min(int(nth.Add(1)), len(tokens))-1]
		r.Header.Set("Authorization", "Bearer "+token)
		return []string{token}, nil
	})
	open := func() *egress.Session {
		return b.egress.Session(egress.Permissions{Rules: []egress.Rule{rule(b.host)}, Credentials: replaced, Pool: "ten_a"})
	}
	first := open()
	for _, want := range []string{"[redacted] " + tokens[1], "[redacted] [redacted]"} {
		if got := must(t, first, using("c", "https://"+b.host)).text(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got, want := must(t, open(), using("c", "https://"+b.host)).text(), tokens[0]+" [redacted]"; got != want {
		t.Errorf("got %q, want %q: a run that never had a secret has nothing to hide", got, want)
	}
}

// What secrets look like is kept while requests come, and not longer.
func TestFormsOfSecretsAreForgotten(t *testing.T) {
	t.Parallel()
	b := setup(t, mirror, nil)
	ask := func(pool string) {
		s := b.egress.Session(egress.Permissions{Rules: []egress.Rule{rule(b.host)}, Credentials: credentials(token16), Pool: pool})
		must(t, s, using("c", "https://"+b.host))
	}
	ask("ten_a")
	ask("ten_b")
	if got := egress.Prepared(b.egress); got != 2 {
		t.Errorf("got the forms of %d connections, want one of each tenant", got)
	}
	egress.Tick(b.egress, egress.Quiet)
	if got := egress.Prepared(b.egress); got != 0 {
		t.Errorf("got the forms of %d connections after a second without requests", got)
	}
	ask("ten_a")
	b.egress.Close()
	if got := egress.Prepared(b.egress); got != 0 {
		t.Errorf("got the forms of %d connections after it was closed", got)
	}
	ask("") // Nobody's.
	if got := egress.Prepared(b.egress); got != 0 {
		t.Errorf("got the forms of %d connections of no tenant", got)
	}
}

// Many runs at once, of several tenants, in few places.
// However short an exchange is, and whenever it begins: what it leaves behind is swept.
func TestTicksOutlastEachExchange(t *testing.T) {
	t.Parallel()
	for before := range egress.Quiet + 1 {
		if after := egress.Watching(before); after < egress.Quiet {
			t.Errorf("an exchange after %d quiet ticks is followed by %d, want %d", before, after, egress.Quiet)
		}
	}
}

// Pools hold client certificates, and connections.
func TestPoolsThatNobodyUsesAreDropped(t *testing.T) {
	t.Parallel()
	b := setup(t, mirror, nil)
	ask := func(pool string) {
		s := b.egress.Session(egress.Permissions{Rules: []egress.Rule{rule(b.host)}, Pool: pool})
		must(t, s, get("https://"+b.host))
	}
	ask("ten_a")
	ask("ten_b")
	b.egress.Trim()
	b.egress.Trim()
	ask("ten_b")
	b.egress.Trim()
	if got := egress.Pools(b.egress); got != 1 {
		t.Errorf("got %d pools, want that which was used since", got)
	}
	ask("ten_a")
	if got := egress.Pools(b.egress); got != 2 {
		t.Errorf("got %d pools, want 2", got)
	}
}

func TestRequestsAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, mirror, func(c *egress.Config) { c.PerConnection = 3 })
	var runs sync.WaitGroup
	for run := range 24 {
		runs.Go(func() {
			token := fmt.Sprintf("tok_of_tenant_%d_0123456789", run%3)
			s := b.egress.Session(egress.Permissions{
				Rules: []egress.Rule{rule(b.host)}, Pool: fmt.Sprint("ten_", run%3), Secrets: hostfns.NewRedactor(),
				Credentials: credentials(func(_ string, r *http.Request) ([]string, error) {
					r.Header.Set("Authorization", "Bearer "+token)
					return []string{token}, nil
				}),
			})
			for i := range 10 {
				body := fmt.Sprint(run, "/", i)
				raw := fmt.Sprintf(`{"connection":"c","method":"POST","url":"https://%s","body":%q}`, b.host, body)
				a, told, err := doRaw(t.Context(), s, []byte(raw))
				if told != nil || err != nil || a.text() != body || a.Headers["x-got-authorization"][0] != "Bearer [redacted]" {
					t.Errorf("got %+v, %v, %v", a, told, err)
				}
			}
		})
	}
	runs.Wait()
}
