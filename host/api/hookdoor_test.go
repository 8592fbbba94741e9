package api_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/webhook"
)

// sent writes bytes to a server and returns all that it answers until it hangs up.
func sent(t *testing.T, addr net.Addr, text string, hangUp bool) string {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, text) // It may hang up before it has all.
	if hangUp {
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	all, err := io.ReadAll(conn)
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		t.Fatalf("it did not hang up within a minute: %q", all)
	}
	return string(all)
}

// signedHead is a delivery's head as it goes over the wire, for a body of a length.
func signedHead(t *testing.T, path, secret, id string, body []byte, length int) string {
	t.Helper()
	header, err := webhook.Sign("github", secret, id, time.Now(), body)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: %d\r\n", path, length)
	_ = header.Write(&b)
	return b.String() + "\r\n"
}

func TestSendersThatLieAboutTheirBodies(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	path, secret := b.hooked(t)
	body := []byte(`{"a":1}`)
	short := sent(t, b.srv.Listener.Addr(), signedHead(t, path, secret, "short", body, 100)+string(body), true)
	if !strings.HasPrefix(short, "HTTP/1.1 400 ") || !strings.Contains(short, "ended before all of it") {
		t.Errorf("less came than was announced: %.200q", short)
	}
	if long := sent(t, b.srv.Listener.Addr(), signedHead(t, path, secret, "long", body, 3)+string(body), false); !strings.HasPrefix(long, "HTTP/1.1 401 ") {
		t.Errorf("more came than was announced: %.200q", long)
	}
	both := strings.Replace(signedHead(t, path, secret, "both", body, 7), "\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n", 1)
	if got := sent(t, b.srv.Listener.Addr(), both+"7\r\n"+string(body)+"\r\n0\r\n\r\n", false); strings.Contains(got, "HTTP/1.1 5") {
		t.Errorf("a length and chunks: %.200q", got)
	}
	if n := b.events(t); n > 1 {
		t.Errorf("%d events, want one at most", n)
	}
}

func TestHeadersThatAreTooManyOrTooSlow(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	path, _ := b.hooked(t)
	srv := httptest.NewUnstartedServer(api.Handler(b.h, api.Options{}))
	srv.Config.ReadHeaderTimeout, srv.Config.MaxHeaderBytes = 250*time.Millisecond, 64<<10
	srv.Start()
	t.Cleanup(srv.Close)
	var large strings.Builder
	fmt.Fprintf(&large, "POST %s HTTP/1.1\r\nHost: test\r\n", path)
	for large.Len() < 10<<20 {
		fmt.Fprintf(&large, "X-%d: %s\r\n", large.Len(), strings.Repeat("x", 4000))
	}
	if got := sent(t, srv.Listener.Addr(), large.String(), false); got != "" && !strings.HasPrefix(got, "HTTP/1.1 431 ") {
		t.Errorf("10 MiB of headers: %.100q", got)
	}
	if got := sent(t, srv.Listener.Addr(), "POST "+path+" HTTP/1.1\r\nHost: te", false); got != "" && !strings.HasPrefix(got, "HTTP/1.1 408 ") {
		t.Errorf("headers that do not come: %.100q", got)
	}
	if n := b.events(t); n != 0 {
		t.Errorf("%d events, want none", n)
	}
}

func TestBodiesAreStoredAsTheyCame(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{})
	path, secret := b.hooked(t)
	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	if _, err := w.Write(make([]byte, 50<<20)); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("0123456789abcdef", 20_000)
	for name, body := range map[string]string{
		"nothing": "", "no UTF-8": "\xff\x00\xfe", "a large one": large, "lines": "a\r\nb\r\n", "fifty megabytes compressed": bomb.String(),
	} {
		header, err := webhook.Sign("github", secret, strings.ReplaceAll(name, " ", "-"), time.Now(), []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+path+"?q=%ff%00", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = header
		req.Header.Set("X-Odd", "caf\xe9")
		if strings.Contains(name, "compressed") {
			req.Header.Set("Content-Encoding", "gzip")
		}
		a := send(t, req)
		var taken event.Accepted
		decode(t, a.body, &taken)
		if a.status != 202 {
			t.Errorf("%s: %d %s, want 202", name, a.status, a.body)
			continue
		}
		tenant, err := b.h.Tenants.Get(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		e, err := b.h.Store.Event(t.Context(), tenant.ID, taken.Event)
		if err != nil || string(e.Body) != body {
			t.Errorf("%s: %d bytes are stored, %v, want the %d that came", name, len(e.Body), err, len(body))
		}
	}
}

// TestChangesWhileDeliveriesCome holds that each delivery is taken and stored, or refused.
func TestChangesWhileDeliveriesCome(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		operation string
		body      any
		refused   int
	}{
		"the endpoint is deleted":  {"deleteEndpoint", nil, 404},
		"the secret is replaced":   {"rotateEndpoint", map[string]any{}, 401},
		"the endpoint is disabled": {"disableEndpoint", map[string]any{"disabled": true}, 410},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, api.Options{})
			path, secret := b.hooked(t)
			var taken, refused atomic.Int64
			changed := make(chan struct{})
			var wg sync.WaitGroup
			for i := range 4 {
				wg.Go(func() {
					for n := 0; ; n++ {
						a := b.deliver(t, path, secret, fmt.Sprint(i, "-", n), `{}`)
						switch a.status {
						case 202:
							taken.Add(1)
						case tt.refused:
							refused.Add(1)
						default:
							t.Errorf("got %d %s", a.status, a.body)
						}
						select {
						case <-changed:
							if a.status != 202 || t.Failed() {
								return
							}
						default:
						}
					}
				})
			}
			for taken.Load() < 20 && !t.Failed() {
				time.Sleep(time.Millisecond)
			}
			status := 200
			if tt.operation == "deleteEndpoint" {
				status = 204
			}
			b.do(t, status, tt.operation, map[string]any{"tenant": "acme", "endpoint": endpointOf(path)}, tt.body)
			close(changed)
			wg.Wait()
			if got := b.stored(t); got != int(taken.Load()) || refused.Load() < 4 {
				t.Errorf("%d events are stored, %d were taken, %d refused", got, taken.Load(), refused.Load())
			}
		})
	}
}

// stored counts all events of deliveries.
func (b *bundle) stored(t *testing.T) int {
	t.Helper()
	tenant, err := b.h.Tenants.Get(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for f := (event.Filter{Kind: event.Webhook, WithoutBodies: true, Limit: 200}); ; {
		some, err := b.h.Store.Events(t.Context(), tenant.ID, f)
		if err != nil {
			t.Fatal(err)
		}
		if n += len(some); len(some) < 200 {
			return n
		}
		f.Before = some[len(some)-1].ID
	}
}

func TestASenderThatComesAgainBeforeItIsAnswered(t *testing.T) {
	t.Parallel()
	last := make(chan struct{})
	var waiting atomic.Int64
	b := setup(t, api.Options{}, func(to store.Store) store.Store {
		return &counted{stalled: stalled{Store: to, last: last}, waiting: &waiting}
	})
	path, secret := b.hooked(t)
	const copies = 30
	statuses := make(chan int, copies)
	for range copies {
		go func() { statuses <- b.deliver(t, path, secret, "d-1", `{}`).status }()
	}
	for waiting.Load() < copies {
		time.Sleep(time.Millisecond)
	}
	close(last)
	got := map[int]int{}
	for range copies {
		got[<-statuses]++
	}
	if got[202] != 1 || got[200] != copies-1 || b.stored(t) != 1 {
		t.Errorf("answers %v and %d events, want one 202, the rest 200, and one event", got, b.stored(t))
	}
}

// counted is a stalled store that says how many wait.
type counted struct {
	stalled
	waiting *atomic.Int64
}

func (c *counted) Accept(ctx context.Context, e event.Event, w *event.Work) (event.Accepted, error) {
	c.waiting.Add(1)
	return c.stalled.Accept(ctx, e, w)
}
