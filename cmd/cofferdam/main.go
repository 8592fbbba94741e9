// Command cofferdam runs integration connectors for many tenants, each call in
// a WebAssembly sandbox of its own.
//
//	cofferdam serve                                   # API, webhooks and workers on one port
//	cofferdam plugin publish connector.wasm
//	cofferdam tenant create acme
//	cofferdam install hello-go --tenant acme
//
// It is configured by flags and by the environment: each flag that names a
// server has a COFFERDAM_ variable behind it, which the flag overrides.
//
// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 not allowed,
// 5 conflict, 6 the server or its database cannot be reached.
package main

import (
	"context"
	"fmt"
	"io"
	"log" //nolint:depguard // To silence it.
	"os"
	"os/signal"
	"syscall"
	// Schedules name time zones, and images without a system know none.
	_ "time/tzdata"
)

func main() {
	// What net/http says by itself may quote what a vendor has sent, secrets included.
	log.SetOutput(io.Discard)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], terminal{in: os.Stdin, out: os.Stdout, err: os.Stderr})
	stop()
	os.Exit(code)
}

// run is main without the process around it.
func run(ctx context.Context, args []string, t terminal) int {
	settings, err := loadSettings()
	if err != nil {
		fmt.Fprintln(t.err, "cofferdam:", err)
		return exitUsage
	}
	root := newRoot(&settings, t) //nolint:contextcheck // The verbs get theirs from ExecuteContext.
	root.SetArgs(args)
	if err := root.ExecuteContext(ctx); err != nil {
		return t.fail(err)
	}
	return exitDone
}
