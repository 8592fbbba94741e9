package egress

import (
	"bufio"
	"errors"
	"io"
	"net"
	"slices"
	"time"
)

// wireConn is a connection to a server.
type wireConn struct {
	net.Conn
	raw    net.Conn
	origin string
	in     *bufio.Reader
	out    *bufio.Writer
	// left is how many bytes may be read.
	left int64
	// swept says that it was idle when the others were looked at.
	swept bool
}

// Read implements io.Reader.
func (c *wireConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errHeaders
	}
	if int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.Conn.Read(p)
	c.left -= int64(n)
	return n, err
}

// wireBody is the body of an answer. At its end the connection is free for the next
// request; where it is closed before, so is the connection.
type wireBody struct {
	from io.Reader
	wire *wire
	conn *wireConn
	// stop has nobody close the connection any more who gives the request up, and says
	// whether that was in time. cause says why it was given up.
	stop            func() bool
	cause           func() error
	reusable, ended bool
}

// Read implements io.Reader.
func (b *wireBody) Read(p []byte) (int, error) {
	if b.ended {
		return 0, io.EOF
	}
	n, err := b.from.Read(p)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF):
		b.end(true)
	default:
		cause := b.cause()
		b.end(false)
		if cause != nil {
			err = cause
		}
	}
	return n, err
}

// Close implements io.Closer.
func (b *wireBody) Close() error {
	if !b.ended {
		b.end(false)
	}
	return nil
}

func (b *wireBody) end(whole bool) {
	b.ended = true
	// What comes without being asked for is no answer to what is asked next.
	if b.stop() && whole && b.reusable && b.conn.in.Buffered() == 0 {
		b.wire.keep(b.conn)
		return
	}
	_ = b.conn.raw.Close() // Everything that is wanted of it is there.
}

// take takes the connection to an origin that was used last, or none.
func (w *wire) take(origin string) *wireConn {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, c := range slices.Backward(w.idle) {
		if c.origin == origin {
			w.idle = slices.Delete(w.idle, i, i+1)
			return c
		}
	}
	return nil
}

// keep keeps a connection for the next request, and closes the one that was used
// longest ago of those that are too many.
func (w *wire) keep(c *wireConn) {
	w.mu.Lock()
	c.swept = false
	w.idle = append(w.idle, c)
	var over *wireConn
	if i := w.excess(c.origin); i >= 0 {
		over = w.idle[i]
		w.idle = slices.Delete(w.idle, i, i+1)
	}
	if !w.sweeping {
		w.sweeping = true
		time.AfterFunc(wireIdle/2, w.sweep)
	}
	w.mu.Unlock()
	if over != nil {
		_ = over.raw.Close() // There is nobody to tell.
	}
}

// excess is which connection is one too many, or -1.
func (w *wire) excess(origin string) int {
	same, first := 0, -1
	for i, c := range w.idle {
		if c.origin == origin {
			same++
			if first < 0 {
				first = i
			}
		}
	}
	switch {
	case same > wireIdlePerHost:
		return first
	case len(w.idle) > wireIdleAll:
		return 0
	default:
		return -1
	}
}

// sweep closes the connections that it finds for the second time.
func (w *wire) sweep() {
	w.mu.Lock()
	var over []*wireConn
	w.idle = slices.DeleteFunc(w.idle, func(c *wireConn) bool {
		if c.swept {
			over = append(over, c)
		}
		found := c.swept
		c.swept = true
		return found
	})
	if w.sweeping = len(w.idle) > 0; w.sweeping {
		time.AfterFunc(wireIdle/2, w.sweep)
	}
	w.mu.Unlock()
	closeConns(over)
}

// CloseIdleConnections closes the connections that have no request.
func (w *wire) CloseIdleConnections() {
	w.mu.Lock()
	over := w.idle
	w.idle = nil
	w.mu.Unlock()
	closeConns(over)
	w.large.CloseIdleConnections()
}

func closeConns(over []*wireConn) {
	for _, c := range over {
		_ = c.Close() // There is nobody to tell.
	}
}
