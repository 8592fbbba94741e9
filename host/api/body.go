package api

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/cofferdam-run/cofferdam/host/fault"
)

// uploadTimes is how many times the BodyTimeout an upload has: the largest takes
// 5 minutes at 1 Mbit/s.
const uploadTimes = 10

// hurried bounds how long a body may take to come, so that nobody holds a
// connection for ever by sending slowly. It is around every route, for the server
// reads also what is left of a body that no handler wanted.
func (s *server) hurried(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody {
			s.readWithin(w, s.o.BodyTimeout)
			r.Body = &timedBody{ReadCloser: r.Body, w: w}
		}
		next.ServeHTTP(w, r)
	})
}

// readWithin sets the time by which the body must be there. A writer without a
// connection has no time to keep, and one whose connection is gone reads no more.
func (s *server) readWithin(w http.ResponseWriter, d time.Duration) {
	_ = http.NewResponseController(w).SetReadDeadline(s.o.Now().Add(d))
}

// timedBody is a body with a deadline.
type timedBody struct {
	io.ReadCloser
	w http.ResponseWriter
}

// Read lifts the deadline once all is there, for the handler may take its time.
// After an error it stays, so that the server does not wait for the rest either.
func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		_ = http.NewResponseController(b.w).SetReadDeadline(time.Time{})
	case errors.Is(err, os.ErrDeadlineExceeded):
		slow := newProblem(http.StatusRequestTimeout, fault.Network, "request_timeout", "the body did not arrive in time")
		slow.Hint = "send it without pauses, or less at once; nothing was stored"
		err = slow
	}
	return n, err //nolint:wrapcheck // Readers compare io.EOF.
}
