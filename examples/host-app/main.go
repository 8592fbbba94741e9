// Command host-app is Harbor Desk, a help desk for small firms that there is not, and the
// reference for apps that embed Cofferdam: its two customers connect their accounts at a
// vendor, Tidebook, on a page of Harbor Desk's own, and see what ran with them.
//
//	go run ./examples/host-app
//
// Read it in this order:
//
//   - cofferdam.go: Cofferdam is opened, and gets its plugin, its OAuth app, its tenants.
//   - connect.go: a customer connects, reconnects and disconnects an account.
//   - integrations.go: the page that shows connections and what ran.
//   - execution.go: one run, step by step.
//   - desk.go: the app around it: sign-in, sessions, pages.
//   - plugin: the connector, built from its source at each start.
//   - tidebook: the vendor. It needs no account anywhere, and no network.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/cofferdam-run/cofferdam/examples/host-app/tidebook"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8090", "where Harbor Desk listens")
	vendorAddr := flag.String("vendor-addr", "127.0.0.1:8091", "where Tidebook listens")
	data := flag.String("data", "", "the folder that everything is kept in; by default a new one that is removed at the end")
	plugin := flag.String("plugin", "examples/host-app/plugin", "the source of the connector")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := start(ctx, *addr, *vendorAddr, options{Data: *data, Plugin: *plugin, Out: os.Stdout}); err != nil {
		fmt.Fprintln(os.Stderr, "host-app:", err)
		os.Exit(1)
	}
}

// options are what a run needs.
type options struct {
	// Desk and Vendor are listened on. They come first of all, for each of the two
	// has to know where browsers reach the other.
	Desk, Vendor net.Listener
	// Data is the folder of the database and the key, Plugin that of the connector's source.
	Data, Plugin string
	Out          io.Writer
}

func start(ctx context.Context, addr, vendorAddr string, o options) error {
	var err error
	if o.Desk, err = new(net.ListenConfig).Listen(ctx, "tcp", addr); err != nil {
		return err
	}
	if o.Vendor, err = new(net.ListenConfig).Listen(ctx, "tcp", vendorAddr); err != nil {
		return errors.Join(err, o.Desk.Close())
	}
	if o.Data == "" {
		if o.Data, err = os.MkdirTemp("", "host-app-"); err != nil {
			return err
		}
		defer os.RemoveAll(o.Data)
	}
	return run(ctx, o)
}

// run serves the vendor and the app until ctx ends.
func run(ctx context.Context, o options) error {
	deskURL, vendorURL := "http://"+o.Desk.Addr().String(), "http://"+o.Vendor.Addr().String()
	app := registration{ClientID: "harbor-desk", ClientSecret: "the vendor gives it to whoever registers an app"}
	vendor := tidebook.New(tidebook.Config{
		URL: vendorURL, App: "Harbor Desk", ClientID: app.ClientID, ClientSecret: app.ClientSecret,
		RedirectURI: deskURL + below + "/oauth/callback/tidebook", Now: time.Now,
	})
	fmt.Fprintln(o.Out, "building the connector ...")
	wasm, err := buildPlugin(ctx, o.Plugin)
	if err != nil {
		return err
	}
	app.Descriptor = vendor.Descriptor()
	cofferdam, err := openCofferdam(ctx, o.Data, deskURL+below, app)
	if err != nil {
		return err
	}
	defer cofferdam.close(context.WithoutCancel(ctx))
	customers, err := cofferdam.setUp(ctx, wasm, app, vendorURL)
	if err != nil {
		return err
	}
	var serving sync.WaitGroup
	defer serving.Wait()
	serve(ctx, &serving, o.Vendor, vendor)
	serve(ctx, &serving, o.Desk, newDesk(cofferdam.Host, customers, deskURL, vendorURL))
	say(o.Out, deskURL, vendorURL)
	return cofferdam.Run(ctx) // It returns once what is in flight has come to its end.
}

func serve(ctx context.Context, serving *sync.WaitGroup, l net.Listener, h http.Handler) {
	const patience = 10 * time.Second
	web := &http.Server{Handler: h, ReadHeaderTimeout: patience}
	context.AfterFunc(ctx, func() { _ = web.Close() })
	serving.Go(func() { _ = web.Serve(l) }) // Closing it ends it, and that is no error.
}

func say(w io.Writer, deskURL, vendorURL string) {
	fmt.Fprintf(w, `Harbor Desk is at %s
1. Sign in as Ada or as Ben, and connect Tidebook: choose any account there, and allow it.
2. Choose a ticket, and press "Run now": whoever wrote it is in the address book at %[2]s/admin.
3. Take Harbor Desk's access away there, and run again: the run waits, and the connection is broken.
4. Press "Reconnect", with the same account: the run goes on by itself, and adds its contact once.
5. Sign in as the other of the two in a private window: neither sees anything of the other's.
`, deskURL, vendorURL)
}
