package peertest_test

import (
	"bufio"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/host/webhook/signature"
)

// node runs test/peers, where npm has installed the vendors' libraries.
type node struct {
	mu  sync.Mutex
	in  io.Writer
	out *bufio.Scanner
}

// question is a line that test/peers/peers.mjs reads, and told what it writes.
type question struct {
	Peer    string            `json:"peer"`
	Do      string            `json:"do"`
	Secret  string            `json:"secret"`
	URL     string            `json:"url,omitempty"`
	Query   string            `json:"query,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    string            `json:"body"`
	Form    bool              `json:"form,omitempty"`
	At      int64             `json:"at,omitempty"`
}

type told struct {
	Accepted bool              `json:"accepted"`
	Headers  map[string]string `json:"headers"`
	Error    string            `json:"error"`
}

// allPeers are those of Go, and those of npm where they are installed.
func allPeers(t *testing.T) map[string]peer {
	t.Helper()
	all := peers()
	dir := filepath.Join("..", "..", "..", "test", "peers")
	path, err := exec.LookPath("node")
	if err != nil {
		t.Log("the libraries of npm are not compared with: there is no node")
		return all
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
		t.Log("the libraries of npm are not compared with: make node_modules installs them")
		return all
	}
	maps.Copy(all, start(t, path, dir).peers())
	return all
}

func start(t *testing.T, path, dir string) *node {
	t.Helper()
	c := exec.CommandContext(t.Context(), path, "peers.mjs")
	c.Dir, c.Stderr = dir, os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = c.Wait() // The context has ended it, or its input's end has.
	})
	n := &node{in: in, out: bufio.NewScanner(out)}
	n.out.Buffer(nil, 1<<20)
	return n
}

func (n *node) ask(q question) (told, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	line, err := json.Marshal(q)
	if err != nil {
		return told{}, err
	}
	if _, err := fmt.Fprintf(n.in, "%s\n", line); err != nil {
		return told{}, err
	}
	if !n.out.Scan() {
		return told{}, fmt.Errorf("node has ended: %w", n.out.Err())
	}
	var answer told
	return answer, json.Unmarshal(n.out.Bytes(), &answer)
}

func (n *node) peers() map[string]peer {
	return map[string]peer{
		"npm @octokit/webhooks-methods": n.peer("octokit", "github", rand.Text, true),
		"npm stripe":                    n.peer("stripe", "stripe", random("whsec_"), true),
		"npm @slack/bolt":               n.peer("bolt", "slack", rand.Text, false),
		"npm twilio, JSON":              n.peer("twilio", "twilio", rand.Text, false),
		"npm twilio":                    form(n.peer("twilio", "twilio", rand.Text, true)),
	}
}

func form(p peer) peer {
	p.contentType = "application/x-www-form-urlencoded"
	return p
}

func (n *node) peer(name, scheme string, secret func() string, signs bool) peer {
	p := peer{scheme: scheme, secret: secret}
	p.accepts = func(r signature.Request, secret string) error {
		q := question{Peer: name, Do: "verify", Secret: secret, URL: r.URL, Query: r.Query, Headers: map[string]string{}, Body: string(r.Body)}
		for name := range r.Header {
			q.Headers[name] = r.Header.Get(name)
		}
		q.Form = strings.Contains(r.Header.Get("Content-Type"), "form")
		answer, err := n.ask(q)
		if err == nil && !answer.Accepted {
			err = fmt.Errorf("%w: %s", errRefused, answer.Error)
		}
		return err
	}
	if !signs {
		return p
	}
	p.signs = func(body []byte, secret string, at time.Time) (http.Header, error) {
		answer, err := n.ask(question{Peer: name, Do: "sign", Secret: secret, URL: address, Body: string(body), At: at.Unix()})
		header := http.Header{}
		for name, value := range answer.Headers {
			header.Set(name, value)
		}
		return header, err
	}
	return p
}
