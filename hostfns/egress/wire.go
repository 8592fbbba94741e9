package egress

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"time"
)

const (
	// wireWrites is the longest body that is written in one go: it fits into the buffers
	// of a socket, so that a server which answers early and reads no more holds nothing
	// up.
	wireWrites = 32 << 10
	// wireIdle is how long a connection without requests is kept at most, and half of
	// that at least.
	wireIdle = 30 * time.Second
	// wireIdlePerHost and wireIdleAll are how many such connections there are.
	wireIdlePerHost, wireIdleAll = 2, 4
)

var (
	// errHeaders says that the headers of an answer are over Config.HeaderBytes.
	errHeaders = errors.New("the headers are over the limit")
	// errMalformed says that a request cannot be written.
	errMalformed = errors.New("a header cannot be written")
)

// slowHandshakeError says that a server took too long for TLS.
type slowHandshakeError struct{}

// Error implements error.
func (slowHandshakeError) Error() string { return "no TLS in time" }

// Timeout tells it apart as net.Error does.
func (slowHandshakeError) Timeout() bool { return true }

// wire is an http.RoundTripper for HTTP/1.1. What it writes and reads is net/http's own
// ([http.Request.Write], [http.ReadResponse]); it does so in the goroutine that asks,
// where [http.Transport] has two of its own for each connection: to pass a small request
// on to them and its answer back takes as long as all that this package adds to it. What
// is no small request is left to an http.Transport.
type wire struct {
	dial        func(ctx context.Context, network, address string) (net.Conn, error)
	tls         *tls.Config
	large       *http.Transport
	headerBytes int64
	keepAlive   bool

	mu sync.Mutex
	// idle are the connections without a request, the last used last.
	idle     []*wireConn
	sweeping bool
}

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if !canProbe || r.ContentLength < 0 || r.ContentLength > wireWrites || r.ContentLength == 0 && r.Body != nil && r.Body != http.NoBody {
		return w.large.RoundTrip(r)
	}
	if err := writable(r); err != nil {
		return nil, err
	}
	if !w.keepAlive {
		alone := *r
		alone.Close = true
		r = &alone
	}
	for {
		c, reused, err := w.connect(r)
		if err != nil {
			return nil, err
		}
		response, begun, err := w.exchange(c, r, reused)
		if err == nil || !reused || begun || !repeatable(r) {
			return response, err
		}
		// A server may end a connection at the very moment at which it is used again:
		// what only reads is sent on another one.
	}
}

// writable refuses what would be two headers when it is written.
func writable(r *http.Request) error {
	for name, values := range r.Header {
		if !isToken(name) {
			return errMalformed
		}
		for _, v := range values {
			for i := range len(v) {
				if v[i] < ' ' && v[i] != '\t' || v[i] == 0x7f {
					return errMalformed
				}
			}
		}
	}
	return nil
}

func repeatable(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions) &&
		r.ContentLength == 0 && r.Context().Err() == nil
}

// connect gives a connection to the origin of a request: one that was used before, if
// it is open still and nothing has come on it that was not asked for.
func (w *wire) connect(r *http.Request) (c *wireConn, reused bool, err error) {
	origin := r.URL.Host
	for {
		if c = w.take(origin); c == nil {
			break
		}
		if quietly(c.raw) {
			return c, true, nil
		}
		_ = c.Close() // It is over already.
	}
	c, err = w.open(r.Context(), r.URL)
	return c, false, err
}

func (w *wire) open(ctx context.Context, u *url.URL) (*wireConn, error) {
	port := u.Port()
	if port == "" {
		port = defaultPort(u.Scheme)
	}
	raw, err := w.dial(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, err
	}
	c := &wireConn{Conn: raw, raw: raw, origin: u.Host}
	if w.tls != nil {
		if c.Conn, err = w.secure(ctx, raw, u.Hostname()); err != nil {
			_ = raw.Close() // The handshake says why.
			return nil, err
		}
	}
	c.in, c.out = bufio.NewReader(c), bufio.NewWriter(c.Conn)
	return c, nil
}

func (w *wire) secure(ctx context.Context, raw net.Conn, name string) (net.Conn, error) {
	config := w.tls.Clone()
	config.ServerName = name
	conn := tls.Client(raw, config)
	bounded, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if err := conn.HandshakeContext(bounded); err != nil {
		if ctx.Err() == nil && bounded.Err() != nil {
			return nil, slowHandshakeError{}
		}
		return nil, err
	}
	return conn, nil
}

// exchange writes a request and reads the answer's head. begun says that something of
// an answer came.
func (w *wire) exchange(c *wireConn, r *http.Request, reused bool) (response *http.Response, begun bool, err error) {
	ctx := r.Context()
	// Whoever gives up closes the connection, which ends what is read and written.
	stop := context.AfterFunc(ctx, func() { _ = c.raw.Close() })
	fail := func(err error) (*http.Response, bool, error) {
		stop()
		_ = c.raw.Close() // Without TLS's farewell, which could be waited for.
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		} else if c.left <= 0 {
			err = errHeaders // A line that is cut off reads as a broken one.
		}
		return nil, begun, err
	}
	if trace := httptrace.ContextClientTrace(ctx); trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{Conn: c, Reused: reused})
	}
	c.left = w.headerBytes
	if ctx.Err() != nil {
		return fail(ctx.Err())
	}
	if err := errors.Join(r.Write(c.out), c.out.Flush()); err != nil {
		return fail(err)
	}
	if _, err := c.in.Peek(1); err != nil {
		return fail(err)
	}
	begun = true
	for response == nil || response.StatusCode < 200 && response.StatusCode != http.StatusSwitchingProtocols {
		// What comes before the answer that counts is headers, too.
		if response, err = http.ReadResponse(c.in, r); err != nil {
			return fail(err)
		}
	}
	c.left = math.MaxInt64
	b := &wireBody{from: response.Body, wire: w, conn: c, stop: stop, cause: func() error { return context.Cause(ctx) }}
	b.reusable = w.keepAlive && !response.Close && response.StatusCode != http.StatusSwitchingProtocols
	if response.Body == http.NoBody {
		b.end(true)
	} else {
		response.Body = b
	}
	return response, true, nil
}
