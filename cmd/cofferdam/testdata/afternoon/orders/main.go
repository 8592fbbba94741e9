// Orders is a connector that charges each order at the bank, mails a receipt, and
// says where the parcel goes.
package main

import (
	"log/slog"
	"net/url"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
)

var _ = connector.Define(connector.Connector{
	Name: "orders", Version: "1.0.0", Config: Config{},
	Egress: []connector.Egress{
		{Host: "{config.bank_url}", Methods: []string{"POST"}},
		{Host: "{config.shop_url}", Methods: []string{"GET", "POST"}},
	},
	Connections: []connector.Connection{{Name: "bank", Type: connector.Bearer, Hosts: []string{"{config.bank_url}"}}},
	Idempotency: []connector.Idempotency{{Host: "{config.bank_url}", Header: "Idempotency-Key", TTL: 24 * time.Hour}},
	Webhooks:    []connector.Webhook{{Name: "orders", Scheme: "standard-webhooks", Run: onOrder}},
})

func main() {} // Never runs: the host calls what Define defined.

// Config says where the others are.
type Config struct {
	BankURL string `json:"bank_url" doc:"The bank, which honours idempotency keys." format:"uri"`
	ShopURL string `json:"shop_url" doc:"The shop, which knows none." format:"uri"`
}

// Order is the body of a delivery.
type Order struct {
	ID       string `json:"id"`
	Customer string `json:"customer"`
	Cents    int    `json:"cents"`
}

// Customer is what the shop knows of one.
type Customer struct {
	Name    string   `json:"name"`
	Address *Address `json:"address"`
}

// Address is where a customer lives.
type Address struct {
	City string `json:"city"`
}

// Parcel is what comes of an order.
type Parcel struct {
	Order string `json:"order"`
	To    string `json:"to"`
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
	if err := ctx.Tag("order", order.ID); err != nil {
		return nil, err
	}
	if _, err := ctx.State.Add("orders", 1); err != nil {
		return nil, err
	}
	charge := connector.Request{Connection: "bank", Method: "POST", URL: config.BankURL + "/charges", JSON: order, IdempotencyKey: "charge"}
	if err := ctx.HTTP.Fetch(charge, nil); err != nil {
		return nil, err
	}
	receipt := connector.Request{Method: "POST", URL: config.ShopURL + "/receipts", JSON: order}
	if err := ctx.HTTP.Fetch(receipt, nil); err != nil {
		return nil, err
	}
	var customer Customer
	if err := ctx.HTTP.Fetch(connector.Request{URL: config.ShopURL + "/customers/" + url.PathEscape(order.Customer)}, &customer); err != nil {
		return nil, err
	}
	parcel := Parcel{Order: order.ID, To: customer.Address.City}
	ctx.Log.Info("packed", slog.String("order", order.ID), slog.String("to", parcel.To))
	return parcel, ctx.Emit("order.packed", order.ID, parcel)
}
