package host_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/cofferdam-run/cofferdam/host"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/store/sqlite"
	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/runtime/runtimetest"
)

// A host app embeds Cofferdam, offers guests a function of its own, and runs an
// action of a plugin for a tenant.
func Example() {
	if err := embed(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// succeeded
	// {"result":{"plan":"the plan of acme"}}
}

func embed(ctx context.Context) error {
	folder, err := os.MkdirTemp("", "cofferdam-example-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)

	db, err := sqlite.Open(ctx, filepath.Join(folder, "cofferdam.db"), sqlite.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	if _, _, err := db.Migrate(ctx); err != nil {
		return err
	}
	key, err := keyfile.Create(filepath.Join(folder, "key.json"))
	if err != nil {
		return err
	}

	// The function is called for whichever tenant's execution asks.
	tenants := map[string]string{}
	plan := hostfns.Func{Name: "plan", Answer: func(ctx context.Context, _ json.RawMessage) (any, error) {
		return map[string]string{"plan": "the plan of " + tenants[host.CallerOf(ctx).Tenant]}, nil
	}}
	h, err := host.New(ctx, host.Config{Store: db, Keeper: key, Functions: []hostfns.Func{plan}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer h.Close(ctx)

	acme, err := h.Tenants.Create(ctx, "acme", "Acme Inc.", tenant.Limits{})
	if err != nil {
		return err
	}
	tenants[acme.ID] = acme.Name
	publisher, err := h.Plugins.PublisherOf(ctx, registry.Viewer{Operator: true})
	if err != nil {
		return err
	}
	// A plugin that asks for the plan, and outputs the answer.
	wasm := runtimetest.Ask("show", "plan", `{}`)
	if _, err := h.Plugins.Publish(ctx, publisher.ID, registry.Upload{Wasm: bytes.NewReader(wasm), Name: "planner", Version: "1.0.0"}); err != nil {
		return err
	}
	if _, err := h.Installations.Create(ctx, acme.ID, installation.Spec{Plugin: "planner"}); err != nil {
		return err
	}

	running, stop := context.WithCancel(ctx)
	ran := make(chan error, 1)
	go func() { ran <- h.Run(running) }()
	accepted, err := h.Executions.Start(ctx, acme.ID, execution.Start{Installation: "planner", Kind: event.Action, Name: "show"})
	if err == nil {
		var e execution.Execution
		e, err = h.Executions.Wait(ctx, acme.ID, accepted.Execution)
		fmt.Println(e.State)
		fmt.Println(string(e.Output))
	}
	stop()
	<-ran
	return err
}
