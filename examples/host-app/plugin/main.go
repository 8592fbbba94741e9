// Plugin is a connector for Tidebook: it adds who writes to a help desk to the customer's
// address book. It never sees a token. It names its connection, and the host adds what the
// customer has agreed to, renews it when it has ended, and waits while it is broken.
package main

import (
	"log/slog"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
)

var _ = connector.Define(tidebook())

func main() {} // Never runs: the host calls what Define defined.

// Config is what the host app configures: for a real vendor, nothing of this kind.
type Config struct {
	APIURL string `json:"api_url" title:"API URL" doc:"Where Tidebook's API is." format:"uri"`
}

func tidebook() connector.Connector {
	const configured = "{config.api_url}"
	return connector.Connector{
		Name:        "tidebook",
		Version:     "1.0.0",
		Title:       "Tickets to contacts",
		Description: "Adds who writes to you to your address book at Tidebook.",
		Config:      Config{},
		Connections: []connector.Connection{{
			Name: "tidebook", Title: "Tidebook", Type: connector.OAuth2, Provider: "tidebook", Scopes: []string{"contacts"},
		}},
		Egress: []connector.Egress{{Host: configured, Methods: []string{"GET", "POST"}}},
		// Tidebook knows a request that comes again by this header, so that a run that is made
		// again, after a crash or a wait, adds nobody twice.
		Idempotency: []connector.Idempotency{{Host: configured, Header: "Idempotency-Key", TTL: 24 * time.Hour}},
		Actions:     []connector.Action{{Name: "add_contact", Title: "Add a contact", Run: connector.Func(addContact)}},
		Test:        test,
	}
}

// ContactInput is whom to add.
type ContactInput struct {
	Name   string `json:"name" doc:"The person's name."`
	Email  string `json:"email" doc:"Where the person writes from."`
	Ticket string `json:"ticket" doc:"What the person wrote about: the number of a ticket."`
}

// ContactOutput is who was added.
type ContactOutput struct {
	ID string `json:"id" doc:"The contact's id in Tidebook."`
}

func addContact(ctx *connector.Context, in ContactInput) (ContactOutput, error) {
	if err := ctx.Tag("ticket", in.Ticket); err != nil {
		return ContactOutput{}, err
	}
	var out ContactOutput
	body := map[string]string{"name": in.Name, "email": in.Email, "note": "Ticket " + in.Ticket}
	if err := call(ctx, "POST", "/api/contacts", body, &out); err != nil {
		return ContactOutput{}, err
	}
	ctx.Log.Info("added", slog.String("contact", out.ID))
	return out, nil
}

// test asks whose account it is. The connect flow runs it before it says that all is well.
func test(ctx *connector.Context) error {
	var who struct {
		Email string `json:"email"`
	}
	return call(ctx, "GET", "/api/me", nil, &who)
}

// call makes a request to Tidebook with the customer's connection.
func call(ctx *connector.Context, method, path string, body, out any) error {
	var config Config
	if err := ctx.Config(&config); err != nil {
		return err
	}
	response, err := ctx.HTTP.Do(connector.Request{
		Connection: "tidebook", Method: method, URL: strings.TrimSuffix(config.APIURL, "/") + path, JSON: body,
	})
	if err != nil {
		return err
	}
	if err := response.Err(); err != nil {
		return err
	}
	return response.Decode(out)
}
