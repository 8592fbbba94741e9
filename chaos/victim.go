package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/test/processtest"
)

// readyWithin is far longer than a server takes to be ready.
const readyWithin = time.Minute

// line is something that a server has said.
type line struct {
	at    time.Time
	words []string
}

// victim is a server in a process of its own.
type victim struct {
	*processtest.Process

	addr string
}

// start starts a server and waits until it is ready. Hear is told each line.
func start(ctx context.Context, p place, hear func(line)) (*victim, error) {
	ready := make(chan string, 1)
	process, err := processtest.Start(processtest.Config{ //nolint:contextcheck // It ends with its input, or is killed.
		Args: append([]string{childCommand}, p.args()...), Stderr: os.Stderr,
		Hear: func(text string) { listen(text, hear, ready) },
	})
	if err != nil {
		return nil, err
	}
	v := &victim{Process: process}
	select {
	case v.addr = <-ready:
		return v, nil
	case <-v.Gone():
		return nil, errors.New("a server ended before it was ready")
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(readyWithin):
		err = fmt.Errorf("a server was not ready within %s", readyWithin)
	}
	v.Kill()
	return nil, err
}

// listen hears a line that the server has said.
func listen(text string, hear func(line), ready chan<- string) {
	words := strings.Fields(text)
	if len(words) < 2 {
		words = []string{"", ""}
	}
	ns, err := strconv.ParseInt(words[0], 10, 64)
	switch {
	case err != nil:
		fmt.Fprintf(os.Stderr, "a server said %q\n", text)
	case words[1] == "ready":
		ready <- words[2]
	default:
		hear(line{at: time.Unix(0, ns), words: words[1:]})
	}
}

// stop lets the server come to its end.
func (v *victim) stop() error {
	_ = v.In.Close()
	select {
	case <-v.Gone():
	case <-time.After(readyWithin):
		v.Kill()
		return fmt.Errorf("a server did not end within %s", readyWithin)
	}
	if err := v.Wait(); err != nil {
		return fmt.Errorf("a server ended with %w", err)
	}
	return nil
}
