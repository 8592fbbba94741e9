package faults

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
)

// Codes of the first message of a connection, from
// https://www.postgresql.org/docs/15/protocol-message-formats.html.
const (
	askTLS    = 80877103
	askGSS    = 80877104
	askCancel = 80877102
)

// maxMessage is far more than what tests send.
const maxMessage = 1 << 30

var errMessage = errors.New("that is no message of the protocol")

// Postgres starts a proxy to the server of dsn, which must be a URL, and returns
// the URL to use in its place. Stop ends it, with all connections.
func Postgres(ctx context.Context, dsn string, p *Plan) (address string, stop func(), err error) {
	u, err := url.Parse(dsn)
	if err != nil || u.Scheme == "" {
		return "", nil, errors.New("the address of the server must be a URL, as postgres://user:password@host/database")
	}
	s := &proxy{plan: p, network: "tcp", address: u.Host, open: make(map[net.Conn]struct{})}
	if u.Port() == "" {
		s.address = net.JoinHostPort(u.Hostname(), "5432")
	}
	query := u.Query()
	if host := query.Get("host"); strings.HasPrefix(host, "/") {
		s.network, s.address = "unix", filepath.Join(host, ".s.PGSQL.5432")
	}
	// It serves until it is stopped, whatever ctx is.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		cancel()
		return "", nil, fmt.Errorf("listen for the database's clients: %w", err)
	}
	s.running.Go(func() { s.accept(ctx, l) })
	query.Del("host")
	query.Set("sslmode", "disable")
	u.Host, u.RawQuery = l.Addr().String(), query.Encode()
	return u.String(), func() {
		cancel()
		_ = l.Close()
		s.close()
		s.running.Wait()
	}, nil
}

type proxy struct {
	plan             *Plan
	network, address string
	running          sync.WaitGroup

	mu     sync.Mutex
	open   map[net.Conn]struct{}
	closed bool
}

// keep notes connections, and closes them at once if the proxy is closed.
func (s *proxy) keep(conns ...net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range conns {
		if s.open[c] = struct{}{}; s.closed {
			_ = c.Close()
		}
	}
}

func (s *proxy) drop(conns ...net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range conns {
		delete(s.open, c)
		_ = c.Close()
	}
}

func (s *proxy) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.open {
		_ = c.Close()
	}
}

func (s *proxy) accept(ctx context.Context, l net.Listener) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		s.running.Go(func() { s.serve(ctx, client) })
	}
}

func (s *proxy) serve(ctx context.Context, client net.Conn) {
	server, err := (&net.Dialer{}).DialContext(ctx, s.network, s.address)
	if err != nil {
		_ = client.Close()
		return
	}
	s.keep(client, server)
	defer s.drop(client, server)
	p := &pair{plan: s.plan, client: client, server: server}
	var answers sync.WaitGroup
	answers.Go(func() {
		p.answers()
		s.drop(client, server)
	})
	p.questions()
	if p.struck.Load() == 0 {
		s.drop(client, server)
	}
	// The answer to what was executed is waited for, so that it was.
	answers.Wait()
}

// pair is a client's connection and the one made for it.
type pair struct {
	plan           *Plan
	client, server net.Conn
	// struck is the number of the round trip whose answer is lost, 0 for none.
	struck atomic.Int64
}

// questions passes round trips on, whole or not at all.
func (p *pair) questions() {
	r := bufio.NewReader(p.client)
	if err := p.greeting(r); err != nil {
		return
	}
	var unit []byte
	for trips := int64(0); ; {
		kind, m, err := message(r)
		if err != nil {
			return
		}
		unit = append(unit, m...)
		lost := false
		switch kind {
		case 'Q', 'S': // A simple query, and the end of an extended one.
			trips++
			fails, when := p.plan.next()
			if fails && when == Before {
				return
			}
			if lost = fails; lost {
				p.struck.Store(trips)
			}
		case 'P', 'B', 'D', 'E', 'C':
			// Parts of an extended query: the rest comes.
			continue
		}
		if _, err := p.server.Write(unit); err != nil || lost {
			return
		}
		unit = unit[:0]
	}
}

// greeting passes on how a connection begins.
func (p *pair) greeting(r *bufio.Reader) error {
	for {
		head, err := r.Peek(8)
		if err != nil {
			return err
		}
		size, code := binary.BigEndian.Uint32(head), binary.BigEndian.Uint32(head[4:])
		if size < 8 || size > maxMessage {
			return errMessage
		}
		m := make([]byte, size)
		if _, err := io.ReadFull(r, m); err != nil {
			return err
		}
		switch code {
		case askTLS, askGSS:
			if _, err := p.client.Write([]byte{'N'}); err != nil {
				return err
			}
		case askCancel:
			_, err := p.server.Write(m)
			return errors.Join(err, io.EOF)
		default:
			_, err := p.server.Write(m)
			return err
		}
	}
}

// answers passes answers on, up to one that is lost. The server is ready once
// before the first round trip, and once after each.
func (p *pair) answers() {
	r := bufio.NewReader(p.server)
	for ready := int64(0); ; {
		kind, m, err := message(r)
		if err != nil {
			return
		}
		lost := ready > 0 && ready == p.struck.Load()
		if kind == 'Z' {
			ready++
		}
		if lost && kind == 'Z' {
			return
		}
		if lost {
			continue
		}
		if _, err := p.client.Write(m); err != nil {
			return
		}
	}
}

// message reads a message with its kind and length.
func message(r *bufio.Reader) (kind byte, m []byte, err error) {
	head, err := r.Peek(5)
	if err != nil {
		return 0, nil, err
	}
	kind = head[0]
	size := binary.BigEndian.Uint32(head[1:])
	if size < 4 || size > maxMessage {
		return 0, nil, errMessage
	}
	m = make([]byte, 1+size)
	_, err = io.ReadFull(r, m)
	return kind, m, err
}
