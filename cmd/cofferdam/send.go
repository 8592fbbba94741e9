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
	"github.com/cofferdam-run/cofferdam/host/webhook/signature"
)

// sending is a delivery that plays the vendor.
type sending struct {
	scheme, secret, id string
	signs              string
	descriptor         json.RawMessage
	parameters         map[string]string
	headers            []string
}

func (a *app) sendCommand() *cobra.Command {
	var s sending
	var descriptor string
	c := &cobra.Command{
		Use:   "send ENDPOINT BODY",
		Short: "Deliver a signed webhook to an endpoint, as the vendor would",
		Long: "Deliver a signed webhook to an endpoint, as the vendor would. BODY is @file, or - for standard input.\n" +
			"The signing secret comes from --secret or COFFERDAM_WEBHOOK_SECRET. Of a vendor that signs with a private key it is\n" +
			"that key: of a pair of your own, whose public half the endpoint has.",
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
			if descriptor != "" {
				if s.descriptor, err = a.raw("@" + descriptor); err != nil {
					return err
				}
			}
			accepted, err := a.client().deliver(c.Context(), args[0], s, body)
			if err != nil {
				return err
			}
			return a.show(accepted, func(w io.Writer) { printAccepted(w, accepted) })
		},
	}
	flags := c.Flags()
	flags.StringVar(&s.scheme, "scheme", "github", "how it is signed; see `endpoint schemes`")
	flags.StringVar(&descriptor, "descriptor", "", "a file that says how it is signed, instead of a scheme")
	flags.StringToStringVar(&s.parameters, "parameter", nil, "what the scheme must be told, name=value")
	flags.StringVar(&s.signs, "signed-url", "", "the URL that is signed, where the scheme signs it; the one that it is sent to by default")
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

// play makes a delivery as the vendor would.
func (c *client) play(endpoint string, s sending, body []byte) (signature.Request, error) {
	o := signature.Outgoing{
		Request: signature.Request{Method: http.MethodPost, URL: s.signs, Header: http.Header{}, Body: body},
		Secret:  s.secret, ID: s.id, At: time.Now(), Parameters: s.parameters,
	}
	if o.URL == "" {
		o.URL = c.base + "/hooks/" + escape(endpoint)
	}
	if err := addHeaders(o.Header, s.headers); err != nil {
		return signature.Request{}, err
	}
	if o.Header.Get("Content-Type") == "" {
		o.Header.Set("Content-Type", "application/json")
	}
	return webhook.NewCatalog().Sign(s.scheme, s.descriptor, o)
}

// addHeaders reads what --header was given.
func addHeaders(h http.Header, lines []string) error {
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return usagef("--header %q: write 'Name: value'", line)
		}
		h.Add(name, strings.TrimSpace(value))
	}
	return nil
}

// deliver signs a body and delivers it.
func (c *client) deliver(ctx context.Context, endpoint string, s sending, body []byte) (event.Accepted, error) {
	r, err := c.play(endpoint, s, body)
	if err != nil {
		return event.Accepted{}, err
	}
	address := c.base + "/hooks/" + escape(endpoint)
	if r.Query != "" {
		address += "?" + r.Query
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(r.Body))
	if err != nil {
		return event.Accepted{}, usagef("--url is %q: %v", c.base, err)
	}
	req.Header = r.Header
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
