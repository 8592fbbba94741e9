// Command embed is a host app that mounts Cofferdam beside its own pages and
// lends its plugins a function of its own.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
	"github.com/cofferdam-run/cofferdam/hostfns"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:8090")
	if err == nil {
		err = run(ctx, "data", l)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "embed:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string, l net.Listener) error {
	db, err := sqlite.Open(ctx, filepath.Join(dir, "app.db"), sqlite.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	if _, _, err := db.Migrate(ctx); err != nil {
		return err
	}
	key, err := keyfile.Ephemeral() // A real app keeps its key: keyfile.Open.
	if err != nil {
		return err
	}
	h, err := host.New(ctx, host.Config{Store: db, Keeper: key, Functions: []hostfns.Func{planOf()}})
	if err != nil {
		return err
	}
	defer h.Close(context.WithoutCancel(ctx))

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "the app") })
	mux.Handle("/integrations/", http.StripPrefix("/integrations", api.Handler(h, api.Options{})))

	web := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = web.Close() })
	go func() { _ = web.Serve(l) }() // Closing it ends it, and that is no error.
	return h.Run(ctx)                // It returns once what is in flight has come to its end.
}

// planOf tells a plugin what the tenant that it runs for has paid for. A plugin
// may call it if its manifest asks for "plan_of" and the tenant grants it.
func planOf() hostfns.Func {
	return hostfns.Func{
		Name:    "plan_of",
		Granted: true,
		Answer: func(ctx context.Context, _ json.RawMessage) (any, error) {
			return map[string]string{"tenant": host.CallerOf(ctx).Tenant, "plan": "pro"}, nil
		},
	}
}
