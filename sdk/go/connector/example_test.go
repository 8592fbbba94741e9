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

// What goes to whoever checks the signature is made with a key that stays outside: the
// connector names the connection, and one of the algorithms that it has under Sign.
func ExampleSign_HMAC() {
	deliver := func(ctx *connector.Context, _ struct{}) (string, error) {
		signature, err := ctx.Sign.HMAC("shop", "hmac-sha256", []byte(`{"order":1001}`))
		return "sha256=" + signature.Hex, err
	}
	shop := connector.Define(connector.Connector{
		Name:        "shop",
		Version:     "0.1.0",
		Connections: []connector.Connection{{Name: "shop", Type: connector.HMAC, Hosts: []string{"shop.example"}, Sign: []string{"hmac-sha256"}}},
		Actions:     []connector.Action{{Name: "deliver", Run: connector.Func(deliver)}},
	})

	// What the host does with it:
	host := &script{answers: map[string]string{"sign": `{"result":{"hex":"0a1b","base64":"Chs="}}`}}
	output, err := shop.Call(host, "action", []byte(`{"action":"deliver","input":{}}`))
	fmt.Println(string(output), err)
	fmt.Println(host.asked[0])
	// Output:
	// "sha256=0a1b" <nil>
	// sign {"connection":"shop","algorithm":"hmac-sha256","payload":"{\"order\":1001}"}
}
