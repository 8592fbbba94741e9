package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/webhook"
)

// sending is a delivery that plays the vendor.
type sending struct {
	scheme, secret, id string
	headers            []string
}

func (a *app) sendCommand() *cobra.Command {
	var s sending
	c := &cobra.Command{
		Use:   "send ENDPOINT BODY",
		Short: "Deliver a signed webhook to an endpoint, as the vendor would",
		Long: "Deliver a signed webhook to an endpoint, as the vendor would. BODY is @file, or - for standard input.\n" +
			"The signing secret comes from --secret or COFFERDAM_WEBHOOK_SECRET.",
		Example: "  cofferdam send end_01J9ZK7V5Q8W3E6R1T0Y2U4I8O @issues.opened.json --secret $SECRET -H 'X-GitHub-Event: issues'",
		Args:    exactly("ENDPOINT", "BODY"),
		RunE: func(c *cobra.Command, args []string) error {
			body, err := a.raw(args[1])
			if err != nil {
				return err
			}
			if s.secret == "" {
				s.secret = os.Getenv("COFFERDAM_WEBHOOK_SECRET")
			}
			if s.id == "" {
				s.id = rand.Text()
			}
			accepted, err := a.client().deliver(c.Context(), args[0], s, body)
			if err != nil {
				return err
			}
			return a.show(accepted, func(w io.Writer) { printAccepted(w, accepted) })
		},
	}
	flags := c.Flags()
	flags.StringVar(&s.scheme, "scheme", "github", strings.Join(webhook.Schemes(), " or "))
	flags.StringVar(&s.secret, "secret", "", "the endpoint's signing secret (COFFERDAM_WEBHOOK_SECRET)")
	flags.StringVar(&s.id, "id", "", "the delivery id; the same one twice is a duplicate")
	flags.StringArrayVarP(&s.headers, "header", "H", nil, "a header of the vendor's, 'Name: value'")
	return c
}

// raw reads a body: @file, - or the text itself.
func (a *app) raw(value string) ([]byte, error) {
	file, isFile := strings.CutPrefix(value, "@")
	var data []byte
	var err error
	switch {
	case value == "-":
		data, err = io.ReadAll(a.in)
	case isFile:
		data, err = os.ReadFile(file)
	default:
		data = []byte(value)
	}
	if err != nil {
		return nil, usagef("read the body: %v", err)
	}
	return data, nil
}

// deliver signs a body and delivers it.
func (c *client) deliver(ctx context.Context, endpoint string, s sending, body []byte) (event.Accepted, error) {
	header, err := webhook.Sign(s.scheme, s.secret, s.id, time.Now(), body)
	if err != nil {
		return event.Accepted{}, fmt.Errorf("sign the delivery: %w", err)
	}
	for _, h := range s.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return event.Accepted{}, usagef("--header %q: write 'Name: value'", h)
		}
		header.Add(name, strings.TrimSpace(value))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/hooks/"+escape(endpoint), bytes.NewReader(body))
	if err != nil {
		return event.Accepted{}, usagef("--url is %q: %v", c.base, err)
	}
	req.Header = header
	if header.Get("Content-Type") == "" {
		header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return event.Accepted{}, &unreachableError{base: c.base, err: plainURLError(err)}
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 {
		return event.Accepted{}, problemOf(resp)
	}
	var accepted event.Accepted
	if err := json.NewDecoder(resp.Body).Decode(&accepted); err != nil && !errors.Is(err, io.EOF) {
		return event.Accepted{}, fmt.Errorf("read the answer: %w", err)
	}
	return accepted, nil
}

func printAccepted(w io.Writer, a event.Accepted) {
	switch {
	case a.Duplicate:
		fmt.Fprintf(w, "duplicate of %s: nothing new runs\n", a.Event)
	case a.Event == "":
		fmt.Fprintln(w, "accepted; the delivery asks for nothing")
	default:
		fmt.Fprintf(w, "accepted as %s; it runs as %s\n", a.Event, a.Execution)
	}
}
