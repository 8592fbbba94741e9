package compile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	goruntime "runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	// maxOutputBytes bounds what is kept of what a child writes: its answer takes
	// 3 KB, and the first lines of a crash say what it was.
	maxOutputBytes = 16 << 10
	// waitDelay is for how long a stream may stay open that the child has handed on
	// to somebody else.
	waitDelay = time.Second
)

// process is one child, for one module.
type process struct {
	path  string
	order order
	time  time.Duration
}

// errTime is the cause of a context that ended because the child took too long.
var errTime = errors.New("the child took too long")

// run starts the child, waits for its end and says what came of it.
func (p process) run(ctx context.Context, wasm []byte) error {
	argument, err := json.Marshal(p.order)
	if err != nil {
		return fmt.Errorf("write the order: %w", err)
	}
	limited, cancel := context.WithTimeoutCause(ctx, p.time, errTime)
	defer cancel()
	var stdout, stderr capped
	cmd := exec.CommandContext(limited, p.path, Verb, string(argument)) //nolint:gosec // The operator names the binary.
	// What the program is called by, for binaries that are several programs.
	cmd.Args[0] = "cofferdam"
	cmd.Env = []string{}
	cmd.Dir = p.order.Dir
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(wasm), &stdout, &stderr
	cmd.SysProcAttr = processAttributes()
	cmd.Cancel = func() error { return killGroup(cmd.Process) }
	cmd.WaitDelay = waitDelay
	ended := runOnThread(cmd)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("compile module: %w", context.Cause(ctx))
	case cmd.Process == nil:
		return unstarted(ended)
	case errors.Is(context.Cause(limited), errTime) && ended != nil:
		return &CostError{Limit: LimitTime, Allowed: p.time.String()}
	}
	var r result
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil || r.Outcome == "" {
		return p.unanswered(cmd.ProcessState, stderr.String())
	}
	return p.answered(r)
}

// runOnThread runs the command on a thread that stays until the command's end:
// where a child dies with its parent, that is the thread.
func runOnThread(cmd *exec.Cmd) error {
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	return cmd.Run()
}

// unstarted is what it means that a child did not start.
func unstarted(err error) error {
	for _, ofBinary := range []error{fs.ErrNotExist, fs.ErrPermission, syscall.ENOEXEC} {
		if errors.Is(err, ofBinary) {
			return fmt.Errorf("%w: %w: name a cofferdam binary of this release", ErrBinary, err)
		}
	}
	return fmt.Errorf("start a process to compile in: %w", err)
}

// answered is what an answer means to the caller.
func (p process) answered(r result) error {
	if r.Outcome == outcomeOther || r.Protocol != protocol || r.Engine != p.order.Engine {
		return fmt.Errorf("%w: %s is cofferdam %s with protocol %d and engine %q; this process is cofferdam %s with protocol %d and engine %q: use the binary of the same release",
			ErrBinary, p.path, r.Version, r.Protocol, r.Engine, version(), protocol, p.order.Engine)
	}
	switch r.Outcome {
	case outcomeDone:
		return nil
	case outcomeCost:
		return &CostError{Limit: r.Limit, Allowed: p.allowed(r.Limit)}
	case outcomeModule:
		return &ModuleError{Message: r.Message}
	default:
		return fmt.Errorf("compile in a process of its own: %s", r.Message)
	}
}

// unanswered is what the end of a child means that gave no answer.
func (p process) unanswered(state *os.ProcessState, stderr string) error {
	first, _, _ := strings.Cut(strings.TrimSpace(stderr), "\n")
	status, _ := state.Sys().(syscall.WaitStatus)
	switch {
	case outOfMemory(stderr):
		return &CostError{Limit: LimitMemory, Allowed: p.allowed(LimitMemory)}
	case status.Signaled() && state.UserTime()+state.SystemTime() >= p.order.CPU:
		return &CostError{Limit: LimitCPU, Allowed: p.allowed(LimitCPU)}
	case strings.HasPrefix(first, "fatal error: "), strings.HasPrefix(first, "panic: "), strings.HasPrefix(first, "SIG"):
		return &ModuleError{Message: "the compiler gave up: " + first}
	case status.Signaled():
		return fmt.Errorf("compile in a process of its own: %s: it was ended from outside, perhaps because the system ran out of memory", state)
	default:
		return fmt.Errorf("%w: %s is no cofferdam of this release: it ended with %s and said %.200q", ErrBinary, p.path, state, first)
	}
}

// outOfMemory recognises how Go's runtime dies when it gets no memory, and when a
// stack has grown past its limit; the last is a binary's with the race detector.
func outOfMemory(stderr string) bool {
	signs := []string{"runtime: out of memory", "runtime: cannot allocate", "fatal error: out of memory", "fatal error: stack overflow", "ThreadSanitizer failed to allocate"}
	return slices.ContainsFunc(signs, func(sign string) bool { return strings.Contains(stderr, sign) })
}

// allowed is a limit with its unit.
func (p process) allowed(l Limit) string {
	switch l {
	case LimitCPU:
		return p.order.CPU.Round(time.Millisecond).String()
	case LimitMemory:
		return size(p.order.Memory)
	case LimitCode:
		return size(p.order.Code)
	default:
		return p.time.String()
	}
}

func size(n int64) string {
	if n%mib == 0 {
		return fmt.Sprintf("%d MiB", n/mib)
	}
	return fmt.Sprintf("%d bytes", n)
}

// capped keeps the beginning of what is written to it.
type capped struct{ bytes.Buffer }

func (c *capped) Write(p []byte) (int, error) {
	c.Buffer.Write(p[:min(len(p), maxOutputBytes-c.Len())])
	return len(p), nil
}
