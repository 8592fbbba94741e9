package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"
)

// Sink takes signed checkpoints to where those who can write to the database cannot
// take them back.
type Sink interface {
	Send(ctx context.Context, note []byte) error
}

// FileSink appends checkpoints to a file, which transcript.Split reads. It should be
// on another machine's disk, or one that can only be appended to.
type FileSink struct{ Path string }

// Send implements Sink. It returns when the disk has it.
func (s FileSink) Send(_ context.Context, note []byte) (err error) {
	f, err := os.OpenFile(s.Path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the file of checkpoints: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	// One write: two processes' checkpoints do not mix.
	if _, err := f.Write(append(bytes.Clone(note), '\n')); err != nil {
		return fmt.Errorf("append to the file of checkpoints: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("append to the file of checkpoints: %w", err)
	}
	return nil
}

// HTTPSink posts checkpoints, as text/plain, to an address that the operator has said.
type HTTPSink struct {
	URL string
	// Client follows no redirects, or those that the operator wants.
	Client *http.Client
}

// sinkTimeout is long for a few hundred bytes, and short for those that wait.
const sinkTimeout = 10 * time.Second

// Send implements Sink. Any status of success will do.
func (s HTTPSink) Send(ctx context.Context, note []byte) error {
	ctx, cancel := context.WithTimeout(ctx, sinkTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(note))
	if err != nil {
		return fmt.Errorf("post a checkpoint: %w", err)
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	resp, err := s.Client.Do(req)
	if err != nil {
		return fmt.Errorf("post a checkpoint: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // So that the connection can be used again.
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("post a checkpoint: the answer is %s", resp.Status)
	}
	return nil
}

const (
	// againFirst and againMost are when a sink is tried again that did not take a
	// checkpoint: after 1 s, 2 s, 4 s ... 5 min.
	againFirst = time.Second
	againMost  = 5 * time.Minute
)

// sender gives one sink the newest checkpoint, again and again until it takes it: what is
// in an older one, the newer one has, too. Nothing waits for it.
type sender struct {
	sink Sink
	ring chan struct{}

	mu   sync.Mutex
	owed []byte
}

func newSender(s Sink) *sender { return &sender{sink: s, ring: make(chan struct{}, 1)} }

// owe has a checkpoint sent, instead of one that was not taken yet.
func (s *sender) owe(signed []byte) {
	s.mu.Lock()
	s.owed = signed
	s.mu.Unlock()
	select {
	case s.ring <- struct{}{}:
	default: // It is awake.
	}
}

func (s *sender) newest() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.owed
}

// taken forgets a checkpoint, unless there is a newer one by now.
func (s *sender) taken(signed []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if bytes.Equal(s.owed, signed) {
		s.owed = nil
	}
}

// deliver sends what is owed to a sink until ctx ends.
func (l *Log) deliver(ctx context.Context, s *sender, name string) {
	behind := l.metrics.behind.WithLabelValues(name)
	for tries := 0; ; {
		signed := s.newest()
		if signed == nil {
			tries = 0
			behind.Set(0)
			select {
			case <-ctx.Done():
				return
			case <-s.ring:
			}
			continue
		}
		err := s.sink.Send(ctx, signed)
		if err == nil {
			s.taken(signed)
			continue
		}
		if ctx.Err() != nil {
			return
		}
		tries++
		behind.Set(1)
		l.metrics.unsent.Inc()
		wait := min(againFirst<<min(tries-1, 20), againMost)
		l.c.Logger.WarnContext(ctx, "a checkpoint of the audit log was not taken",
			slog.String("sink", name), slog.Int("tries", tries), slog.Duration("again_in", wait), slog.Any("error", err))
		select {
		case <-ctx.Done():
			return
		case <-l.c.After(wait):
		}
	}
}

// sendLast tries once to send what is owed.
func (l *Log) sendLast(ctx context.Context) error {
	var failed error
	for _, s := range l.senders {
		signed := s.newest()
		if signed == nil {
			continue
		}
		if err := s.sink.Send(ctx, signed); err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		s.taken(signed)
	}
	return failed
}
