package egress_test

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

// counted is a server that counts the requests that come to it, and the bytes.
type counted struct {
	*httptest.Server
	requests, bytes atomic.Int64
}

// countingListener counts what its connections read.
type countingListener struct {
	net.Listener
	bytes *atomic.Int64
}

func (l countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return countingConn{conn, l.bytes}, err
}

type countingConn struct {
	net.Conn
	bytes *atomic.Int64
}

func (c countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.bytes.Add(int64(n))
	return n, err
}

func serve(t *testing.T, secure bool) *counted {
	t.Helper()
	c := &counted{}
	c.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.requests.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "answer")
	}))
	c.Listener = countingListener{c.Listener, &c.bytes}
	if secure {
		c.StartTLS()
	} else {
		c.Start()
	}
	t.Cleanup(c.Close)
	return c
}

// lease is held for so many more looks.
type lease struct{ looks atomic.Int64 }

func (l *lease) held() bool { return l.looks.Add(-1) >= 0 }

func TestNothingIsSentWithoutTheLease(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"http", "https"} {
		for _, body := range []string{"", strings.Repeat("x", 1<<20)} {
			for _, method := range []string{"GET", "POST"} {
				for _, kept := range []bool{false, true} {
					name := scheme + " " + method
					if body != "" {
						name += " with a body"
					}
					if kept {
						name += " on a connection that is open"
					}
					t.Run(name, func(t *testing.T) {
						t.Parallel()
						request := map[string]any{"method": method, "url": scheme + "://HOST/", "body": body}
						testLease(t, scheme == "https", kept, request)
					})
				}
			}
		}
	}
}

func testLease(t *testing.T, secure, kept bool, request map[string]any) {
	t.Helper()
	server := serve(t, secure)
	config := egress.Config{AllowAddrs: loopback()}
	if secure {
		config.RootCAs = rootsOf(server.Server)
	}
	out := egress.New(config)
	t.Cleanup(out.Close)
	host := server.Listener.Addr().String()
	request["url"] = strings.Replace(request["url"].(string), "HOST", host, 1)
	raw, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	l := &lease{}
	session := out.Session(egress.Permissions{Rules: []egress.Rule{rule(host)}, Pool: "tenant", Held: l.held})
	before := int64(0)
	if kept {
		l.looks.Store(2)
		must(t, session, request)
		before = 1
	}
	for _, looks := range []int64{0, 1} {
		l.looks.Store(looks)
		bytes := server.bytes.Load()
		_, told, err := doRaw(t.Context(), session, raw)
		if told != nil || !errors.Is(err, egress.ErrNotHeld) {
			t.Errorf("held for %d looks: got %v, %v, want %v", looks, told, err, egress.ErrNotHeld)
		}
		if l.looks.Load() != -1 {
			t.Errorf("held for %d looks: it was looked at %d times", looks, looks-l.looks.Load())
		}
		if !secure && server.bytes.Load() != bytes {
			t.Errorf("held for %d looks: %d bytes were sent", looks, server.bytes.Load()-bytes)
		}
	}
	if got := server.requests.Load(); got != before {
		t.Errorf("%d requests came to the server, want %d", got, before)
	}
	// The pool serves the next one that holds its lease.
	l.looks.Store(2)
	must(t, session, request)
	if got := server.requests.Load(); got != before+1 {
		t.Errorf("%d requests came to the server, want %d", got, before+1)
	}
}

func TestLostLeaseOutcomes(t *testing.T) {
	t.Parallel()
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/created" {
			http.Redirect(w, r, "/answer", http.StatusSeeOther)
		}
	}, nil)
	for name, test := range map[string]struct {
		path  string
		looks int64
		want  hostfns.Outcome
	}{
		"before the connection":            {"/", 0, hostfns.NotDone},
		"before the first byte":            {"/", 1, hostfns.NotDone},
		"before the answer is fetched":     {"/created", 2, hostfns.Done},
		"before the answer is fetched, on": {"/created", 3, hostfns.Done},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &lease{}
			l.looks.Store(test.looks)
			s := b.egress.Session(egress.Permissions{Rules: []egress.Rule{rule(b.host)}, Held: l.held})
			outcome, err := outcomeOf(t, s.Funcs(), map[string]any{"method": "POST", "url": "https://" + b.host + test.path})
			if outcome != test.want || !errors.Is(err, hostfns.ErrNotHeld) {
				t.Errorf("got %s, %v, want %s, %v", outcome, err, test.want, hostfns.ErrNotHeld)
			}
		})
	}
}
