package connector_test

import (
	"fmt"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
	"github.com/cofferdam-run/cofferdam/sdk/go/connector/code"
)

// Order is what the action takes.
type Order struct {
	SKU   string `json:"sku" doc:"What is ordered."`
	Count int    `json:"count" doc:"How many." default:"1"`
}

// A connector is one value; in a program of its own the line would be
// "var _ = connector.Define(shop)" in package main.
func ExampleDefine() {
	order := func(_ *connector.Context, in Order) (string, error) {
		if in.Count < 1 {
			return "", connector.Errorf(code.InvalidInput, "cannot order %d of %s", in.Count, in.SKU)
		}
		return fmt.Sprintf("ordered %d of %s", in.Count, in.SKU), nil
	}
	shop := connector.Define(connector.Connector{
		Name:    "shop",
		Version: "0.1.0",
		Actions: []connector.Action{{Name: "order", Title: "Order", Run: connector.Func(order)}},
	})

	// What the host does with it:
	host := &script{}
	output, err := shop.Call(host, "action", []byte(`{"action":"order","input":{"sku":"lamp"}}`))
	fmt.Println(string(output), err)
	_, err = shop.Call(host, "action", []byte(`{"action":"order","input":{"sku":"lamp","count":0}}`))
	fmt.Println(err)
	// Output:
	// "ordered 1 of lamp" <nil>
	// invalid_input: cannot order 0 of lamp
}
