package api_test

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/api/apitest"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// message is a server-sent event, or a comment.
type message struct{ event, data, comment string }

// messages reads a stream until it ends.
func messages(resp *http.Response) <-chan message {
	out := make(chan message, 100)
	go func() {
		defer close(out)
		var m message
		lines := bufio.NewScanner(resp.Body)
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "event":
				m.event = value
			case "data":
				m.data = value
			case "":
				if value != "" {
					m.comment = value
					continue
				}
				out <- m
				m = message{}
			}
		}
	}()
	return out
}

// next returns the next message that wanted says yes to.
func next(t *testing.T, from <-chan message, wanted func(message) bool) message {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		select {
		case m, ok := <-from:
			if !ok {
				t.Fatal("the stream has ended")
			}
			if wanted(m) {
				return m
			}
		case <-late:
			t.Fatal("it did not come")
		}
	}
}

// logging installs a plugin that logs, under a tenant.
func (b *bundle) logging(t *testing.T, tenant string) {
	t.Helper()
	wasm := runtimetest.Ask("run", "log", `{"level":"info","message":"hello from inside"}`)
	if a := b.publish(t, b.operator, wasm, map[string][]string{"name": {"logging"}, "version": {"1.0.0"}}); a.status != 201 && a.status != 200 {
		t.Fatalf("publish: %d %s", a.status, a.body)
	}
	b.do(t, 201, "createInstallation", map[string]any{"tenant": tenant}, map[string]any{"plugin": "logging"})
}

func TestTail(t *testing.T) {
	t.Parallel()
	b := setup(t, api.Options{KeepAlive: 50 * time.Millisecond})
	b.tenant(t, "acme")
	b.logging(t, "acme")
	resp, err := b.c.Stream(t.Context(), apitest.Call{Operation: "tailExecutions", Params: map[string]any{"tenant": "acme"}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("content type %q", got)
	}
	from := messages(resp)
	next(t, from, func(m message) bool { return m.comment == "alive" })
	call := b.do(t, 200, "callAction", map[string]any{"tenant": "acme", "installation": "logging", "action": "run"}, map[string]any{})
	var x execution.Execution
	m := next(t, from, func(m message) bool {
		return m.event == "execution" && strings.Contains(m.data, `"succeeded"`)
	})
	decode(t, []byte(m.data), &x)
	if x.ID != call["execution"] {
		t.Errorf("execution %s, want %v", x.ID, call["execution"])
	}
	var line struct{ Execution, Level, Message string }
	decode(t, []byte(next(t, from, func(m message) bool { return m.event == "log" }).data), &line)
	if line.Execution != x.ID || line.Message != "hello from inside" || line.Level != "info" {
		t.Errorf("log = %+v", line)
	}
}

// TestTailEndsWithItsClient runs alone, for it counts goroutines.
func TestTailEndsWithItsClient(t *testing.T) { //nolint:paralleltest // It counts goroutines.
	b := setup(t, api.Options{})
	b.tenant(t, "acme")
	before := goleak.IgnoreCurrent()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	resp, err := b.c.Stream(ctx, apitest.Call{Operation: "tailExecutions", Params: map[string]any{"tenant": "acme"}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	from := messages(resp)
	next(t, from, func(m message) bool { return m.comment == "tail" })
	cancel()
	for m := range from {
		t.Logf("after the end: %v", m)
	}
	// It waits for the handlers: a tail that does not end would hang here.
	b.srv.Close()
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}
