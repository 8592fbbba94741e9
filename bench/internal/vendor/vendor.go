// Package vendor is the server that benchmarks call: a process of its own, so that none
// of its CPU is counted with the host's.
//
//	if vendor.Asked(os.Args) { // The first thing in main.
//		command.Main(vendor.Serve)
//		return
//	}
//	v, err := vendor.Start(ctx, vendor.Plain)
package vendor

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
)

// Kind is what a vendor speaks, and how it answers.
type Kind string

const (
	// Plain speaks HTTP and answers little.
	Plain Kind = "plain"
	// Large is Plain with answers of PayloadBytes, as an object with a note.
	Large Kind = "large"
	// TLS speaks HTTPS and answers with Payload.
	TLS Kind = "tls"
)

// SlowPath begins the paths that are answered after a while by a vendor without TLS, as
// one far away does; all others are answered at once.
const SlowPath = "/slow"

// name is the first argument of the process that is called.
const name = "vendor"

// Vendor is a server that runs.
type Vendor struct {
	URL string
	// Roots is what its certificate is checked with, if it has one.
	Roots *x509.CertPool
	hold  io.Closer
	cmd   *exec.Cmd
}

// Asked says that this process was started to be a vendor, and is to Serve.
func Asked(args []string) bool { return len(args) > 1 && args[1] == name }

// Start runs this program again, to Serve. It ends with this process, however that ends.
func Start(ctx context.Context, k Kind) (*Vendor, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, name, string(k))
	cmd.Stderr = os.Stderr
	hold, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		return nil, fmt.Errorf("start the vendor: %w", err)
	}
	v := &Vendor{hold: hold, cmd: cmd}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		err = v.said(strings.Fields(line))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the vendor's address: %w", err), v.Close())
	}
	return v, nil
}

// Close ends the server.
func (v *Vendor) Close() error { return errors.Join(v.hold.Close(), v.cmd.Wait()) }

// said takes what the process says of itself: its address, and its certificate if it
// has one.
func (v *Vendor) said(words []string) error {
	if len(words) == 1 {
		v.URL = "http://" + words[0]
		return nil
	}
	if len(words) != 2 {
		return fmt.Errorf("it says %q", words)
	}
	der, err1 := base64.StdEncoding.DecodeString(words[1])
	certificate, err2 := x509.ParseCertificate(der)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	v.URL, v.Roots = "https://"+words[0], x509.NewCertPool()
	v.Roots.AddCert(certificate)
	return nil
}

// Serve is a command.Run: it answers until the input of this process ends.
func Serve(ctx context.Context, args []string, out io.Writer) error {
	if len(args) != 2 {
		return fmt.Errorf("the vendor is asked for with %q", args)
	}
	return serve(ctx, Kind(args[1]), os.Stdin, out)
}

func serve(ctx context.Context, k Kind, input io.Reader, out io.Writer) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if k == TLS {
		return encrypted(l, input, out)
	}
	if _, err := fmt.Fprintln(out, l.Addr()); err != nil {
		return fmt.Errorf("say the address: %w", err)
	}
	body := `{"ok":true}`
	if k == Large {
		body = `{"ok":true,"note":"` + Note() + `"}`
	}
	go accept(l, body)
	_, err = io.Copy(io.Discard, input)
	return errors.Join(err, l.Close())
}
