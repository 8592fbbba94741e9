package api_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/store"
)

// halfSent sends a request whose body never ends, and returns the answer once the
// server has closed the connection.
func (b *bundle) halfSent(t *testing.T, head, secret, body string) answer {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", b.srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if secret != "" {
		head += "\r\nAuthorization: Bearer " + secret
	}
	fmt.Fprintf(conn, "%s\r\nHost: test\r\n\r\n%s", head, body)
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Errorf("after the answer: %q, %v, want the end", rest, err)
	}
	return a
}

func TestBodiesThatDoNotCome(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{BodyTimeout: 250 * time.Millisecond})
	hook, _ := b.hooked(t)
	const wasm = " HTTP/1.1\r\nContent-Type: application/wasm\r\nContent-Length: 100"
	const json = " HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 100"
	t.Run("are answered", func(t *testing.T) {
		for _, tt := range []struct{ name, head, secret, body string }{
			{"a delivery", "POST " + hook + json, "", `{"half":`},
			{"a delivery in chunks", "POST " + hook + " HTTP/1.1\r\nTransfer-Encoding: chunked", "", "4\r\nhalf\r\n"},
			{"a request", "POST /v1/tenants" + json, b.operator, `{"name":"slow"`},
			{"an upload", "POST /v1/plugins" + wasm, b.operator, "\x00asm"},
			{"an upload with a key", "POST /v1/plugins" + wasm + "\r\nIdempotency-Key: k", b.operator, "\x00asm"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				want := bad{tt.name, 408, "request_timeout", "", "in time", "nothing was stored"}
				want.check(t, b.halfSent(t, tt.head, tt.secret, tt.body))
			})
		}
		t.Run("a body that nobody reads", func(t *testing.T) {
			t.Parallel()
			for _, head := range []string{"POST /v1/tenants" + json, "POST /nowhere" + json, "POST /hooks/end_1" + json, "DELETE /v1/tenants/acme" + json} {
				if a := b.halfSent(t, head, "", "{"); a.status != 401 && a.status != 404 && a.status != 405 {
					t.Errorf("%.30s: %d, want a refusal", head, a.status)
				}
			}
		})
	})
	for operation, want := range map[string]int{"listTenants": 1, "listPlugins": 1} {
		if got := b.do(t, 200, operation, nil, nil)["items"].([]any); len(got) != want {
			t.Errorf("%s: %d, want %d: %v", operation, len(got), want, got)
		}
	}
}

func TestSlowAnswersToBodiesThatCame(t *testing.T) {
	t.Parallel()
	const timeout = 250 * time.Millisecond
	last := make(chan struct{})
	b := setup(t, api.Options{BodyTimeout: timeout}, func(to store.Store) store.Store { return &stalled{Store: to, last: last} })
	path, secret := b.hooked(t)
	done := make(chan answer, 1)
	go func() { done <- b.deliver(t, path, secret, "d-1", strings.Repeat("x", 100)) }()
	timer := time.AfterFunc(3*timeout, func() { close(last) })
	defer timer.Stop()
	if a := <-done; a.status != 202 {
		t.Errorf("%d %s, want 202: the deadline is the body's alone", a.status, a.body)
	}
}

// stalled is a store that takes its time, and minds when it is told to stop.
type stalled struct {
	store.Store
	last chan struct{}
}

func (s *stalled) Accept(ctx context.Context, e event.Event, w *event.Work) (event.Accepted, error) {
	select {
	case <-s.last:
		return s.Store.Accept(ctx, e, w)
	case <-ctx.Done():
		return event.Accepted{}, ctx.Err()
	}
}
