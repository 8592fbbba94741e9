package processtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// compileCPU is the CPU time that compiling a plugin may take: with the race detector it
// takes twenty times as long.
const compileCPU = "5m"

// ServerConfig says what is served, and by what.
type ServerConfig struct {
	// Program is a cofferdam. Defaults to the one on the PATH.
	Program string
	// Args are added to those of serve.
	Args []string
	// Dir is where it runs, and where it keeps what it is not told to keep elsewhere.
	// Defaults to a temporary folder.
	Dir string
	// Env is added to this program's environment.
	Env []string
}

// Server is a process of `cofferdam serve`, on a port of its own.
type Server struct {
	*Process

	// Addr is its host and port.
	Addr string
}

var (
	greeting     = regexp.MustCompile(`(?m)^cofferdam serves http://(\S+), with `)
	printedToken = regexp.MustCompile(`shown this once: (\S+)`)
)

// Serve starts a server and waits until it is ready. Guests may reach this machine.
func Serve(tb testing.TB, c ServerConfig) *Server {
	tb.Helper()
	if c.Program == "" {
		c.Program = "cofferdam"
	}
	if c.Dir == "" {
		c.Dir = tb.TempDir()
	}
	s := &Server{Process: Run(tb, Config{
		Program: c.Program, Dir: c.Dir,
		Args: append([]string{"serve", "--addr", "127.0.0.1:0", "--egress-allow", "127.0.0.1", "--log", "json"}, c.Args...),
		Env:  append([]string{"COFFERDAM_CACHE_DIR=" + runtimetest.CacheDir(tb), "COFFERDAM_COMPILE_CPU=" + compileCPU}, c.Env...),
	})}
	s.Addr = s.find(tb, greeting)
	ready := &Client{URL: s.URL(), HTTP: &http.Client{Timeout: time.Second}}
	Eventually(tb, "a server to be ready", func() bool {
		s.lives(tb)
		return ready.Call(tb.Context(), http.MethodGet, "/readyz", nil, nil) == nil
	})
	return s
}

// URL is where it is.
func (s *Server) URL() string { return "http://" + s.Addr }

// Token is the operator's, of which the first start of a database prints one.
func (s *Server) Token(tb testing.TB) string {
	tb.Helper()
	return s.find(tb, printedToken)
}

// Client speaks to a server with the token that another printed, or it itself.
func (s *Server) Client(tb testing.TB, first *Server) *Client {
	tb.Helper()
	return &Client{URL: s.URL(), Token: first.Token(tb), HTTP: &http.Client{Timeout: time.Minute}}
}

// find waits until the server has said something.
func (s *Server) find(tb testing.TB, what *regexp.Regexp) string {
	tb.Helper()
	var found []string // It serves before all that it has said has come through the pipe.
	Eventually(tb, "a server to say "+what.String(), func() bool {
		if found = what.FindStringSubmatch(s.Said()); found == nil {
			s.lives(tb)
		}
		return found != nil
	})
	return found[1]
}

func (s *Server) lives(tb testing.TB) {
	tb.Helper()
	select {
	case <-s.Gone():
		tb.Fatal("a server has ended that was to serve")
	default:
	}
}

// Client speaks to an API.
type Client struct {
	URL, Token string
	HTTP       *http.Client
}

// Call sends in as JSON, or as a plugin if it is []byte, and reads the answer into out, unless
// they are nil.
func (c *Client) Call(ctx context.Context, method, path string, in, out any) error {
	kind, body := "application/wasm", []byte(nil)
	switch in := in.(type) {
	case nil:
	case []byte:
		body = in
	default:
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("encode a request: %w", err)
		}
		kind = "application/json"
	}
	r, err := http.NewRequestWithContext(ctx, method, c.URL+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", kind)
	if c.Token != "" {
		r.Header.Set("Authorization", "Bearer "+c.Token)
	}
	answer, err := c.HTTP.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return fmt.Errorf("read the answer of %s %s: %w", method, path, err)
	}
	if answer.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s %s: %s: %s", method, path, answer.Status, text)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

// Build builds cofferdam, of this module, into a folder, and returns its path.
func Build(dir string) (string, error) {
	path := filepath.Join(dir, "cofferdam")
	build := exec.Command("go", "build", "-o", path, "github.com/cofferdam-run/cofferdam/cmd/cofferdam") //nolint:noctx // It ends by itself.
	if said, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build cofferdam: %w\n%s", err, said)
	}
	return path, nil
}
