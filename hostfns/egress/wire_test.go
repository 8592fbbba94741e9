package egress_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

// script plays a server's part on one connection, the nth.
type script func(n int, in *bufio.Reader, c net.Conn)

// scripted serves a script on each connection.
func scripted(t *testing.T, play script) (b testBundle, connections *atomic.Int32) {
	t.Helper()
	lends := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(lends.Close)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: lends.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	out := egress.New(egress.Config{AllowAddrs: loopback(), RootCAs: rootsOf(lends)})
	connections = &atomic.Int32{}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				defer c.Close()
				play(int(connections.Add(1)), bufio.NewReader(c), c)
			})
		}
	})
	t.Cleanup(func() { out.Close(); l.Close(); served.Wait() })
	return testBundle{egress: out, host: l.Addr().String()}, connections
}

// receive reads a request with its body, or says that there is none.
func receive(in *bufio.Reader) (*http.Request, bool) {
	r, err := http.ReadRequest(in)
	if err != nil {
		return nil, false
	}
	_, err = io.Copy(io.Discard, r.Body)
	return r, err == nil
}

func reply(c net.Conn, body string) {
	fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// What comes after an answer decides whether the connection is used again. Whatever it
// is, the next request gets its own answer, and what changes something is sent once.
func TestConnectionsAreUsedAgainWhileTheyAreSound(t *testing.T) {
	t.Parallel()
	const ok = "HTTP/1.1 200 OK\r\n"
	tests := []struct {
		name, answer string
		method       string
		want         int32
	}{
		{"an answer of a known length", ok + "Content-Length: 2\r\n\r\nhi", "POST", 1},
		{"an answer in chunks, with a trailer", ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-T: 1\r\n\r\n", "POST", 1},
		{"an interim answer before it", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok + "Content-Length: 2\r\n\r\nhi", "POST", 1},
		{"no content", "HTTP/1.1 204 No Content\r\n\r\n", "POST", 1},
		{"not modified, with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", "GET", 1},
		{"a HEAD with a length", ok + "Content-Length: 10\r\n\r\n", "HEAD", 1},
		{"an answer that says it is the last", ok + "Connection: close\r\nContent-Length: 2\r\n\r\nhi", "POST", 2},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", "POST", 2},
		{"bytes after the answer", ok + "Content-Length: 2\r\n\r\nhi" + ok + "Content-Length: 6\r\n\r\nforged", "POST", 2},
		{"a line too much", ok + "Content-Length: 2\r\n\r\nhi\r\n", "POST", 2},
		{"a redirect whose body is not read", "HTTP/1.1 303 See Other\r\nLocation: /next\r\nContent-Length: 100000\r\n\r\n", "POST", 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			b, connections := scripted(t, func(_ int, in *bufio.Reader, c net.Conn) {
				for {
					r, ok := receive(in)
					if !ok {
						return
					}
					if asked.Add(1) == 1 {
						io.WriteString(c, tt.answer)
						continue
					}
					reply(c, r.Method+" "+r.URL.Path)
				}
			})
			s := b.egress.Session(egress.Permissions{Rules: []egress.Rule{rule(b.host)}, Pool: "ten_a"})
			must(t, s, map[string]any{"method": tt.method, "url": "https://" + b.host})
			for _, path := range []string{"/a", "/b"} {
				a := must(t, s, map[string]any{"method": "POST", "url": "https://" + b.host + path, "body": "x"})
				if a.text() != "POST "+path {
					t.Errorf("got %q, want the answer to POST %s", a.text(), path)
				}
			}
			if got := connections.Load(); got != tt.want {
				t.Errorf("got %d connections, want %d", got, tt.want)
			}
		})
	}
}

// A connection that has said something unasked, or has ended, is found out before the
// next request is written: even one that must not be sent twice is sent.
func TestConnectionsAreLookedAtBeforeTheyAreUsedAgain(t *testing.T) {
	t.Parallel()
	for name, then := range map[string]func(c net.Conn){
		"an answer that nobody asked for": func(c net.Conn) { reply(c, "forged") },
		"the end of TLS":                  func(c net.Conn) { c.(*tls.Conn).CloseWrite() },
		"the end of the connection":       func(c net.Conn) { c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			goOn, done := make(chan struct{}), make(chan struct{})
			b, connections := scripted(t, func(n int, in *bufio.Reader, c net.Conn) {
				for {
					if _, ok := receive(in); !ok {
						return
					}
					reply(c, fmt.Sprint("of connection ", n))
					if n == 1 {
						<-goOn
						then(c)
						close(done)
						io.Copy(io.Discard, in)
						return
					}
				}
			})
			s := b.egress.Session(egress.Permissions{Rules: []egress.Rule{rule(b.host)}, Pool: "ten_a"})
			must(t, s, get("https://"+b.host))
			close(goOn)
			<-done
			a := must(t, s, map[string]any{"method": "POST", "url": "https://" + b.host, "body": "x"})
			if a.text() != "of connection 2" || connections.Load() != 2 {
				t.Errorf("got %q on %d connections", a.text(), connections.Load())
			}
		})
	}
}

// What only reads is sent again where a connection that was used before ends without an
// answer, once; what gets no answer on a new one is not.
func TestReadsAreSentAgainOnANewConnection(t *testing.T) {
	t.Parallel()
	for _, healed := range []bool{true, false} {
		t.Run(fmt.Sprint("the next one answers: ", healed), func(t *testing.T) {
			t.Parallel()
			b, connections := scripted(t, func(n int, in *bufio.Reader, c net.Conn) {
				for i := 0; ; i++ {
					if _, ok := receive(in); !ok || n == 1 && i == 1 || n > 1 && !healed {
						return
					}
					reply(c, "hi")
				}
			})
			s := b.egress.Session(egress.Permissions{Rules: []egress.Rule{rule(b.host)}, Pool: "ten_a"})
			must(t, s, get("https://"+b.host))
			if healed {
				must(t, s, get("https://"+b.host))
			} else {
				wantError(t, s, get("https://"+b.host), "network", "ended the connection")
			}
			if got := connections.Load(); got != 2 {
				t.Errorf("got %d connections, want 2", got)
			}
		})
	}
}

// Bodies of all sizes arrive, whichever way they take, and what a server answers before
// it has read all is an answer.
func TestBodiesOfAllSizesArrive(t *testing.T) {
	t.Parallel()
	b := setup(t, mirror, nil)
	s := b.egress.Session(egress.Permissions{Rules: []egress.Rule{rule(b.host)}, Pool: "ten_a"})
	for _, size := range []int{0, 1, 4095, 4096, 32 << 10, 32<<10 + 1, 1 << 20} {
		body := strings.Repeat("x", size)
		if a := must(t, s, map[string]any{"method": "POST", "url": "https://" + b.host, "body": body}); a.text() != body {
			t.Errorf("of %d bytes %d came back", size, len(a.text()))
		}
	}
	early, _ := scripted(t, func(_ int, in *bufio.Reader, c net.Conn) {
		if _, err := http.ReadRequest(in); err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
		io.Copy(io.Discard, in)
	})
	for _, size := range []int{32 << 10, 4 << 20} {
		a := must(t, early.session(), map[string]any{"method": "POST", "url": "https://" + early.host, "body": strings.Repeat("x", size)})
		if a.Status != http.StatusRequestEntityTooLarge || a.text() != "big" {
			t.Errorf("got %d %q", a.Status, a.text())
		}
	}
}

// Of the connections that were open at a time a few are kept.
func TestIdleConnectionsAreFew(t *testing.T) {
	t.Parallel()
	const parallel = 6
	var together sync.WaitGroup
	together.Add(parallel)
	closed := make(chan struct{}, parallel)
	b, _ := scripted(t, func(_ int, in *bufio.Reader, c net.Conn) {
		defer func() { closed <- struct{}{} }()
		for {
			if _, ok := receive(in); !ok {
				return
			}
			together.Done()
			together.Wait()
			reply(c, "hi")
		}
	})
	var asked sync.WaitGroup
	for range parallel {
		asked.Go(func() {
			s := b.egress.Session(egress.Permissions{Rules: []egress.Rule{rule(b.host)}, Pool: "ten_a"})
			if _, told := do(t, s, get("https://"+b.host)); told != nil {
				t.Error(told)
			}
		})
	}
	asked.Wait()
	for range parallel - 2 {
		<-closed
	}
	select {
	case <-closed:
		t.Error("a fifth connection was closed, and two may be kept")
	default:
	}
}
