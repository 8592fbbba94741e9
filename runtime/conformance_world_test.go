package runtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/runtime"
)

// newWeb starts a server that is the Internet of both engines: whatever name and
// scheme a request is for, it goes there. The SDK has no setting for that, and uses
// the process's own client.
func newWeb(t *testing.T) *http.Client {
	t.Helper()
	server := httptest.NewServer(pages())
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}
	transport := &http.Transport{DialContext: dial, DialTLSContext: dial}
	http.DefaultClient.Transport = transport
	t.Cleanup(func() {
		http.DefaultClient.Transport = nil
		transport.CloseIdleConnections()
		server.Close()
	})
	return &http.Client{Transport: transport}
}

func pages() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("jsonplaceholder.typicode.com/todos/1", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"userId":1,"id":1,"title":"delectus aut autem","completed":false}`)
	})
	mux.HandleFunc("extism.org/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header()["X-Twice"] = []string{"1", "2"}
		fmt.Fprint(w, "<p>", r.Method)
	})
	mux.Handle("extism.org/away", http.RedirectHandler("https://evil.example/", http.StatusFound))
	mux.Handle("extism.org/missing", http.NotFoundHandler())
	mux.HandleFunc("evil.example/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Evil", "reached")
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = nil // Two calls are not in the same second.
		mux.ServeHTTP(w, r)
	})
}

// world is a Host with the functions of the SDK's tests, that lets a guest reach
// hosts.
type world struct {
	web   *http.Client
	hosts []string
	logs  []string
}

// Call implements runtime.Host.
func (w *world) Call(ctx context.Context, c runtime.Crossing) (runtime.Answer, error) {
	if color, ok := greetings()[c.Func]; ok {
		return runtime.Answer{Response: []byte(color + string(c.Request))}, nil
	}
	switch c.Func {
	case "log":
		var line struct{ Level, Message string }
		if err := json.Unmarshal(c.Request, &line); err != nil {
			return runtime.Answer{}, err
		}
		w.logs = append(w.logs, line.Level+" "+line.Message)
		return runtime.Answer{Response: []byte(`{"result":{}}`)}, nil
	case "http":
		response, err := w.http(ctx, c.Request)
		return runtime.Answer{Response: response}, err
	default:
		return runtime.Answer{}, fmt.Errorf("nobody answers %q", c.Func)
	}
}

func (w *world) http(ctx context.Context, request []byte) ([]byte, error) {
	var q struct {
		Method, URL, Body string
		Headers           http.Header
	}
	if err := json.Unmarshal(request, &q); err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, q.Method, q.URL, strings.NewReader(q.Body))
	if err != nil {
		return refusal("invalid_request", err.Error())
	}
	r.Header = q.Headers
	if !w.allowed(r.URL) {
		return refusal("denied", r.URL.Host+" is not allowed")
	}
	client := *w.web
	client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if !w.allowed(r.URL) {
			return errors.New("redirected to where it is not allowed")
		}
		return nil
	}
	response, err := client.Do(r)
	if err != nil {
		return refusal("denied", err.Error())
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"result": map[string]any{
		"status": response.StatusCode, "headers": response.Header, "body": string(body),
	}})
}

func (w *world) allowed(u *url.URL) bool {
	for _, pattern := range w.hosts {
		if ok, err := path.Match(pattern, u.Hostname()); err == nil && ok {
			return true
		}
	}
	return false
}

func refusal(code, message string) ([]byte, error) {
	return json.Marshal(map[string]any{"error": map[string]string{"code": code, "message": message}})
}
