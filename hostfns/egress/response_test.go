package egress_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

func gzipped(t *testing.T, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// raw answers with bytes as they are.
func raw(t *testing.T, answer string) http.HandlerFunc {
	t.Helper()
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, answer)
	}
}

func TestHTTPBoundsAnswers(t *testing.T) {
	t.Parallel()
	const limit = 64 << 10
	bomb := gzipped(t, make([]byte, 4<<20))
	packed := func(body []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(body)
		}
	}
	endless := func(chunk []byte, encoding string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if encoding != "" {
				w.Header().Set("Content-Encoding", encoding)
			}
			for {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}
	}
	tests := map[string]struct {
		handler http.HandlerFunc
		code    hostfns.Code
		want    string
	}{
		"a bomb of 4 MiB in 4 KiB":     {packed(bomb), hostfns.CodeResponseTooLarge, "over the limit of 65536 bytes"},
		"a body without an end":        {endless(make([]byte, 1<<10), ""), hostfns.CodeResponseTooLarge, "over the limit of 65536 bytes"},
		"gzip of nothing, without end": {endless(gzipped(t, nil), "gzip"), hostfns.CodeResponseTooLarge, "over the limit of 65536 bytes"},
		"a length over the limit":      {raw(t, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"), hostfns.CodeResponseTooLarge, "over the limit"},
		"one byte over the limit":      {func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, limit+1)) }, hostfns.CodeResponseTooLarge, ""},
		"headers over the limit":       {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", limit)) }, hostfns.CodeResponseTooLarge, "the headers"},
		"broken gzip":                  {packed([]byte("this is no gzip at all")), hostfns.CodeNetwork, "broken gzip"},
		"broken deflate":               {packed(append(gzipped(t, nil)[:10], 0xff, 0xff)), hostfns.CodeNetwork, ""},
		"half of gzip":                 {packed(gzipped(t, []byte("hello, hello"))[:20]), hostfns.CodeNetwork, "ended the connection before"},
		"half of a body":               {raw(t, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), hostfns.CodeNetwork, "ended the connection before"},
		"nothing":                      {raw(t, ""), hostfns.CodeNetwork, "ended the connection before"},
		"no HTTP":                      {raw(t, "SSH-2.0-OpenSSH_9.6\r\n\r\n"), hostfns.CodeNetwork, "no valid answer in HTTP"},
		"two lengths":                  {raw(t, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy"), hostfns.CodeNetwork, "no valid answer in HTTP"},
		"another protocol":             {raw(t, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"), hostfns.CodeNetwork, "switches protocols"},
		"informational, without end":   {raw(t, strings.Repeat("HTTP/1.1 103 Early Hints\r\nX: "+strings.Repeat("x", 100)+"\r\n\r\n", 1000)), hostfns.CodeNetwork, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, tt.handler, func(c *egress.Config) { c.ResponseBytes, c.HeaderBytes = limit, limit/2 })
			if name == "informational, without end" {
				// net/http has a limit of its own for them, with an error of its own.
				if a, told := do(t, b.session(), get("https://"+b.host)); told == nil {
					t.Errorf("got %v", a)
				}
				return
			}
			wantError(t, b.session(), get("https://"+b.host), tt.code, tt.want)
		})
	}
	t.Run("an answer that just fits", func(t *testing.T) {
		t.Parallel()
		b := setup(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(bytes.Repeat([]byte("x"), limit)) }, func(c *egress.Config) { c.ResponseBytes = limit })
		if got := len(must(t, b.session(), get("https://"+b.host)).text()); got != limit {
			t.Errorf("got %d bytes, want %d", got, limit)
		}
	})
}

func TestHTTPUnpacksWhatTheHostAskedFor(t *testing.T) {
	t.Parallel()
	body := gzipped(t, []byte("hello"))
	b := setup(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Trailer", "X-Trailer")
		if r.URL.Path == "/empty" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Write(body)
		w.Header().Set("X-Trailer", "dropped")
	}, nil)
	url := "https://" + b.host
	a := must(t, b.session(), get(url))
	if a.text() != "hello" || a.Headers["content-encoding"] != nil || a.Headers["content-length"] != nil {
		t.Errorf("got %q with %v", a.text(), a.Headers)
	}
	if a.Headers["x-trailer"] != nil || a.Headers["trailer"] != nil {
		t.Errorf("a trailer came through: %v", a.Headers)
	}
	asked := get(url)
	asked["headers"] = map[string][]string{"Accept-Encoding": {"gzip"}}
	if a := must(t, b.session(), asked); a.BodyBase64 == nil || a.Headers["content-encoding"][0] != "gzip" {
		t.Errorf("a guest that asked for gzip got %v", a)
	}
	for _, method := range []string{"GET", "HEAD"} {
		empty := get(url + "/empty")
		empty["method"] = method
		if a := must(t, b.session(), empty); a.text() != "" {
			t.Errorf("%s: got %q", method, a.text())
		}
	}
}

func ExampleEgress() {
	out := egress.New(egress.Config{})
	defer out.Close()
	session := out.Session(egress.Permissions{
		Rules: []egress.Rule{{Host: "*.example.com", Methods: []string{"GET"}}},
		Pool:  "ten_1",
	})
	defer session.Close()
	http := session.Funcs()[0]
	fmt.Println(http.Name, http.Summarize([]byte(`{"method":"get","url":"https://api.example.com/orders?token=1"}`)))
	// Output: http GET https://api.example.com/orders?...
}
