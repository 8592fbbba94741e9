package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
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
	cmd   *exec.Cmd
	input io.Closer
	addr  string
	// gone is closed when the process has ended and all of its lines were heard.
	gone chan struct{}
}

// start starts a server and waits until it is ready. Hear is told each line.
func start(ctx context.Context, p place, hear func(line)) (*victim, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	v := &victim{gone: make(chan struct{})}
	// Not bound to ctx: it ends with its input, or is killed.
	v.cmd = exec.CommandContext(context.WithoutCancel(ctx), self, append([]string{childCommand}, p.args()...)...)
	v.cmd.Stderr = os.Stderr
	if v.input, err = v.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("hold a server: %w", err)
	}
	output, err := v.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("listen to a server: %w", err)
	}
	if err := v.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a server: %w", err)
	}
	ready := make(chan string, 1)
	go v.listen(output, hear, ready)
	select {
	case v.addr = <-ready:
		return v, nil
	case <-v.gone:
		return nil, errors.New("a server ended before it was ready")
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(readyWithin):
		err = fmt.Errorf("a server was not ready within %s", readyWithin)
	}
	_ = v.cmd.Process.Kill()
	<-v.gone
	return nil, err
}

// listen hears what the server says, until it has ended. A line that the kill has
// cut is none.
func (v *victim) listen(output io.Reader, hear func(line), ready chan<- string) {
	defer close(v.gone)
	r := bufio.NewReader(output)
	for {
		text, err := r.ReadString('\n')
		if err != nil {
			break
		}
		words := strings.Fields(text)
		ns, err := strconv.ParseInt(words[0], 10, 64)
		if err != nil || len(words) < 2 {
			fmt.Fprintf(os.Stderr, "a server said %q\n", text)
			continue
		}
		if words[1] == "ready" {
			ready <- words[2]
			continue
		}
		hear(line{at: time.Unix(0, ns), words: words[1:]})
	}
	_ = v.cmd.Wait() // How it ended is known: it was killed, or stop looks.
}

// stop lets the server come to its end.
func (v *victim) stop() error {
	_ = v.input.Close()
	select {
	case <-v.gone:
	case <-time.After(readyWithin):
		_ = v.cmd.Process.Kill()
		<-v.gone
		return fmt.Errorf("a server did not end within %s", readyWithin)
	}
	if !v.cmd.ProcessState.Success() {
		return fmt.Errorf("a server ended with %s", v.cmd.ProcessState)
	}
	return nil
}
