package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

const (
	// vendorCommand is the first argument of the process that the connectors call.
	vendorCommand = "vendor"
	// slowPath begins the paths that are answered after vendorDelay, as a vendor far
	// away does; all others are answered at once.
	slowPath    = "/slow"
	vendorDelay = 5 * time.Millisecond
)

// vendorAnswer is written as it is: what the vendor costs, both sides pay.
const vendorAnswer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n" + `{"ok":true}`

// startVendor runs the vendor in a process of its own, so that none of its CPU is
// counted with the host's. It ends with this process, however that ends.
func startVendor(ctx context.Context) (url string, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, vendorCommand)
	cmd.Stderr = os.Stderr
	hold, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		return "", nil, fmt.Errorf("start the vendor: %w", err)
	}
	stop = func() { _ = hold.Close(); _ = cmd.Wait() }
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("read the vendor's address: %w", err)
	}
	return "http://" + strings.TrimSpace(address), stop, nil
}

// vend answers until its input ends.
func vend(ctx context.Context, input io.Reader, out io.Writer) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if _, err := fmt.Fprintln(out, l.Addr()); err != nil {
		return fmt.Errorf("say the address: %w", err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go answer(c)
		}
	}()
	_, err = io.Copy(io.Discard, input)
	return errors.Join(err, l.Close())
}

// answer answers a connection's requests, one after another.
func answer(c net.Conn) {
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
		if strings.HasPrefix(r.URL.Path, slowPath) {
			time.Sleep(vendorDelay)
		}
		if _, err := io.WriteString(c, vendorAnswer); err != nil {
			return
		}
	}
}
