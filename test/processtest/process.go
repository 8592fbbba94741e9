// Package processtest runs programs beside a test: servers, and tests' own binaries, which
// are killed as kill -9 does.
//
//	one := processtest.Serve(t, processtest.ServerConfig{Env: []string{"COFFERDAM_DB=" + dsn}})
//	c := one.Client(t, one)                // with the operator's token
//	one.Kill()                             // it is gone when this returns
//
// Start is what they stand on, for programs that are no tests.
package processtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// pipesWithin is how long what a process has started may hold its output once it has ended.
const pipesWithin = 5 * time.Second

// Config says what is run.
type Config struct {
	// Program is a path, or a name on the PATH. Defaults to the program that runs this.
	Program string
	Args    []string
	// Dir is where it runs. Defaults to where this program does.
	Dir string
	// Env is added to this program's environment.
	Env []string
	// Hear is told each whole line of its standard output, without the end. Defaults to
	// keeping the output for Said.
	Hear func(line string)
	// Stderr takes its standard error. Defaults to keeping it for Said.
	Stderr io.Writer
}

// Process is a program that runs, or ran. It is safe for concurrent use.
type Process struct {
	// In is its standard input, which ends with the program that started it, however that
	// ends.
	In io.WriteCloser

	cmd  *exec.Cmd
	said *said
	gone chan struct{}
	err  error
}

// Start starts a process. It is the caller's to end: nothing else does.
func Start(c Config) (*Process, error) {
	program := c.Program
	if program == "" {
		var err error
		if program, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("find this program: %w", err)
		}
	}
	p := &Process{said: &said{}, gone: make(chan struct{})}
	p.cmd = exec.CommandContext(context.Background(), program, c.Args...)
	p.cmd.Dir, p.cmd.Env, p.cmd.WaitDelay = c.Dir, append(os.Environ(), c.Env...), pipesWithin
	p.cmd.Stdout, p.cmd.Stderr = p.said, p.said
	if c.Hear != nil {
		p.cmd.Stdout = &lines{hear: c.Hear}
	}
	if c.Stderr != nil {
		p.cmd.Stderr = c.Stderr
	}
	var err error
	if p.In, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("hold %s: %w", program, err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	go func() {
		defer close(p.gone)
		p.err = p.cmd.Wait()
	}()
	return p, nil
}

// Run starts a process that is killed when the test ends, which shows what it said if it
// failed.
func Run(tb testing.TB, c Config) *Process {
	tb.Helper()
	p, err := Start(c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		p.Kill()
		if tb.Failed() {
			tb.Logf("process %d said:\n%s", p.ID(), p.Said())
		}
	})
	return p
}

// ID is what the operating system calls it.
func (p *Process) ID() int { return p.cmd.Process.Pid }

// Kill ends it as kill -9 does, unless it has ended, and returns when it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // It may be gone.
	<-p.gone
}

// Signal sends it a signal.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Gone is closed once it has ended, and all that it said was heard.
func (p *Process) Gone() <-chan struct{} { return p.gone }

// Wait waits for its end, and says how it ended: nil is with exit code 0.
func (p *Process) Wait() error {
	<-p.gone
	return p.err
}

// Said is what it has said so far.
func (p *Process) Said() string { return p.said.String() }

// Eventually waits for something that another process does: no signal comes from there.
func Eventually(tb testing.TB, what string, done func() bool) {
	tb.Helper()
	const most = 3 * time.Minute
	tick, late := time.NewTicker(20*time.Millisecond), time.NewTimer(most)
	defer tick.Stop()
	defer late.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-late.C:
			tb.Fatalf("waited %s for %s", most, what)
		}
	}
}

// said is what a process says on both outputs.
type said struct {
	mu  sync.Mutex
	all bytes.Buffer
}

// Write implements io.Writer.
func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.Write(b)
}

// String is all of it.
func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.String()
}

// lines passes on whole lines. One that a kill has cut is none.
type lines struct {
	hear func(line string)
	rest []byte
}

// Write implements io.Writer.
func (l *lines) Write(b []byte) (int, error) {
	l.rest = append(l.rest, b...)
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte{'\n'})
		if !whole {
			return len(b), nil
		}
		l.hear(string(line))
		l.rest = rest
	}
}
