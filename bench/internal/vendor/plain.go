package vendor

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// delay is how long a slow path takes.
const delay = 5 * time.Millisecond

// accept answers everybody with a body until l is closed.
func accept(l net.Listener, body string) {
	// It is written as it is: what the vendor costs, both sides pay.
	whole := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go answer(c, whole)
	}
}

// answer answers a connection's requests, one after another.
func answer(c net.Conn, whole string) {
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		if strings.HasPrefix(r.URL.Path, SlowPath) {
			time.Sleep(delay)
		}
		if _, err := io.WriteString(c, whole); err != nil {
			return
		}
	}
}
