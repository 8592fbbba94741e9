package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/connector"
)

// secret is the connection that signs what is delivered. It is no account: nothing of it
// goes with a request.
const secret = "webhook_secret"

// headerID is by what a receiver knows a message that comes again.
const headerID = "webhook-id"

// DeliverInput is an event for others.
type DeliverInput struct {
	Path string          `json:"path" doc:"Where it is delivered: below the base URL, beginning with a slash." example:"/hooks/acme"`
	Type string          `json:"type" doc:"What has happened." example:"order.paid"`
	Data json.RawMessage `json:"data" doc:"The event." example:"{\"order\": 1001}"`
}

// DeliverOutput is what became of it.
type DeliverOutput struct {
	ID     string `json:"id" doc:"The message's id: the execution's."`
	Status int    `json:"status" doc:"The status of the answer."`
}

// message is the body, as
// <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md> has it.
type message struct {
	Type      string          `json:"type"`
	Timestamp string          `json:"timestamp"`
	Data      json.RawMessage `json:"data"`
}

// deliver sends an event that its receiver can tell from anybody else's. The secret stays
// outside: the host makes the signature.
func deliver(ctx *connector.Context, in DeliverInput) (DeliverOutput, error) {
	var config Config
	if err := ctx.Config(&config); err != nil {
		return DeliverOutput{}, err
	}
	now := time.Now().UTC() //nolint:forbidigo // The sandbox's clock is the execution's.
	body, err := json.Marshal(message{Type: in.Type, Timestamp: now.Format(time.RFC3339), Data: in.Data})
	if err != nil {
		return DeliverOutput{}, fmt.Errorf("encode the message: %w", err)
	}
	id, at := ctx.Execution, strconv.FormatInt(now.Unix(), 10)
	signature, err := ctx.Sign.HMAC(secret, "hmac-sha256", []byte(strings.Join([]string{id, at, string(body)}, ".")))
	if err != nil {
		return DeliverOutput{}, err
	}
	response, err := send(ctx, config, call{
		method: "POST", path: in.Path, body: body, contentType: "application/json",
		headers: map[string]string{headerID: id, "webhook-timestamp": at, "webhook-signature": "v1," + signature.Base64},
	})
	if err != nil {
		return DeliverOutput{}, err
	}
	return DeliverOutput{ID: id, Status: response.Status}, response.Err()
}
