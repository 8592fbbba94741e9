// Guest is the connector whose server is killed: for each order it asks the ledger,
// has it make effects with and without an idempotency key, changes state, and emits
// a record.
package main

import (
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
)

var _ = connector.Define(connector.Connector{
	Name:    "chaos",
	Version: "1.0.0",
	Config:  Config{},
	Egress: []connector.Egress{
		{Host: "{config.keyed_url}", Methods: []string{"GET", "POST"}},
		{Host: "{config.plain_url}", Methods: []string{"GET", "POST"}},
	},
	Idempotency: []connector.Idempotency{{Host: "{config.keyed_url}", Header: "Idempotency-Key", TTL: 24 * time.Hour}},
	Webhooks:    []connector.Webhook{{Name: "orders", Scheme: "standard-webhooks", Run: onOrder}},
})

func main() {} // Never runs: the host calls what Define defined.

// Config says where the ledger is.
type Config struct {
	KeyedURL string `json:"keyed_url" doc:"The ledger, where it honours idempotency keys." format:"uri"`
	PlainURL string `json:"plain_url" doc:"The ledger, where it knows none." format:"uri"`
}

// Order is the body of a delivery.
type Order struct {
	ID      string `json:"id"`
	SleepMS int    `json:"sleep_ms"`
	Shared  bool   `json:"shared"`
}

func onOrder(ctx *connector.Context, d connector.Delivery) (any, error) {
	var order Order
	if err := d.Decode(&order); err != nil {
		return nil, err
	}
	var config Config
	if err := ctx.Config(&config); err != nil {
		return nil, err
	}
	ask := func(method, url, effect, key string) error {
		return ctx.HTTP.Fetch(connector.Request{Method: method, URL: url, JSON: map[string]string{"effect": effect}, IdempotencyKey: key}, nil)
	}
	if err := ask("GET", config.PlainURL+"/read", "", ""); err != nil {
		return nil, err
	}
	if err := ask("POST", config.KeyedURL+"/keyed", order.ID+"/charge", "charge"); err != nil {
		return nil, err
	}
	if err := count(ctx, order.ID); err != nil {
		return nil, err
	}
	if order.SleepMS > 0 {
		if err := ctx.Sleep(time.Duration(order.SleepMS) * time.Millisecond); err != nil {
			return nil, err
		}
	}
	// What it says is of no importance.
	_, _ = ctx.HTTP.Do(connector.Request{URL: config.KeyedURL + "/read"})
	if err := ask("POST", config.PlainURL+"/plain", order.ID+"/mail", ""); err != nil {
		return nil, err
	}
	// Its key is the host's to find.
	if err := ask("POST", config.KeyedURL+"/keyed", order.ID+"/ship", ""); err != nil {
		return nil, err
	}
	if order.Shared {
		if err := countShared(ctx); err != nil {
			return nil, err
		}
	}
	return order, ctx.Emit("order.done", order.ID, order)
}

// count counts the order, once.
func count(ctx *connector.Context, id string) error {
	if _, err := ctx.State.Add("count", 1); err != nil {
		return err
	}
	fresh, err := ctx.State.CompareAndSet("seen/"+id, nil, true)
	if err != nil {
		return err
	}
	if !fresh {
		return connector.Errorf(code.Code("seen_twice"), "order %q has been counted before", id)
	}
	return nil
}

// countShared counts where others count: those that run at once conflict.
func countShared(ctx *connector.Context) error {
	for range 100 {
		var n int
		found, err := ctx.State.Get("shared", &n)
		if err != nil {
			return err
		}
		var old any
		if found {
			old = n
		}
		swapped, err := ctx.State.CompareAndSet("shared", old, n+1)
		if err != nil || swapped {
			return err
		} // Another has counted between the two, so that this run conflicts.
	}
	return connector.Errorf(code.PluginBug, "others have counted a hundred times")
}
