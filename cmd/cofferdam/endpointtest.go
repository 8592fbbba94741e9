package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/webhook"
)

// endpointState is an endpoint with how it fares.
type endpointState struct {
	endpoint.Endpoint
	Refused []webhook.Refusal `json:"refused"`
}

func (a *app) endpointShow() *cobra.Command {
	return a.tenantFlag(&cobra.Command{
		Use:     "show ENDPOINT",
		Short:   "Show an endpoint, and why deliveries to it were refused within the last hour",
		Example: "  cofferdam endpoint show end_01J9ZK7V5Q8W3E6R1T0Y2U4I8O --tenant acme",
		Args:    exactly("ENDPOINT"),
		RunE: func(c *cobra.Command, args []string) error {
			var e endpointState
			if err := a.client().call(c.Context(), http.MethodGet, a.inTenant("/endpoints/%s", escape(args[0])), nil, &e); err != nil {
				return err
			}
			return a.show(e, func(w io.Writer) {
				printEndpoints(w, e.Endpoint)
				printRefused(w, e.Refused)
			})
		},
	})
}

func printRefused(w io.Writer, all []webhook.Refusal) {
	for _, r := range all {
		fmt.Fprintf(w, "  refused %dx since %s, last at %s: %s: %s\n", r.Count, r.First.Local().Format(time.TimeOnly), r.Last.Local().Format(time.TimeOnly), r.Code, r.Reason)
	}
}

// sampleDelivery is a delivery as the server signs it.
type sampleDelivery struct {
	Method   string              `json:"method"`
	URL      string              `json:"url"`
	Query    string              `json:"query"`
	Headers  map[string][]string `json:"headers"`
	Body     string              `json:"body"`
	Encoding string              `json:"encoding"`
}

// sampleResult is what came of a sample delivery.
type sampleResult struct {
	URL       string               `json:"url"`
	Status    int                  `json:"status"`
	Seconds   float64              `json:"seconds"`
	Accepted  event.Accepted       `json:"accepted,omitzero"`
	Execution *execution.Execution `json:"execution,omitempty"`
	Refused   []webhook.Refusal    `json:"refused,omitempty"`
}

func (a *app) endpointTest() *cobra.Command {
	var headers []string
	var id string
	var wait time.Duration
	c := a.tenantFlag(&cobra.Command{
		Use:   "test ENDPOINT [BODY]",
		Short: "Deliver a signed sample to an endpoint's real address, and say what came of it",
		Long: "Deliver a signed sample to an endpoint's real address, as the vendor would, and say what came of it, step by step. The\n" +
			"server signs it with the endpoint's secret. BODY is @file, - for standard input, or the text itself, and {} by default.\n" +
			"The exit code is 1 unless its execution succeeds.",
		Example: "  cofferdam endpoint test end_01J9ZK7V5Q8W3E6R1T0Y2U4I8O @issues.opened.json -H 'X-GitHub-Event: issues' --tenant acme",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return usagef("'%s' takes an endpoint, and perhaps a body; for example:\n%s", c.CommandPath(), c.Example)
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			body := []byte("{}")
			if len(args) == 2 {
				var err error
				if body, err = a.raw(args[1]); err != nil {
					return err
				}
			}
			sample, err := a.signedSample(c.Context(), args[0], id, headers, body)
			if err != nil {
				return err
			}
			return a.testEndpoint(c.Context(), args[0], sample, wait)
		},
	})
	c.Flags().StringArrayVarP(&headers, "header", "H", nil, "a header of the vendor's, 'Name: value'")
	c.Flags().StringVar(&id, "id", "", "the delivery id; the same one twice is a duplicate")
	c.Flags().DurationVar(&wait, "wait", 30*time.Second, "how long to wait for the execution's end")
	return c
}

// signedSample has the server sign a delivery.
func (a *app) signedSample(ctx context.Context, endpoint, id string, headers []string, body []byte) (sampleDelivery, error) {
	given := map[string]any{"body": string(body), "encoding": "utf8"}
	if !utf8.Valid(body) {
		given["body"], given["encoding"] = base64.StdEncoding.EncodeToString(body), "base64"
	}
	if id != "" {
		given["id"] = id
	}
	extra := http.Header{}
	if err := addHeaders(extra, headers); err != nil {
		return sampleDelivery{}, err
	}
	if len(extra) > 0 {
		given["headers"] = extra
	}
	var s sampleDelivery
	err := a.client().call(ctx, http.MethodPost, a.inTenant("/endpoints/%s/sample", escape(endpoint)), given, &s)
	if s.URL == "" {
		s.URL = a.client().base + "/hooks/" + escape(endpoint)
	}
	if s.Query != "" {
		s.URL += "?" + s.Query
	}
	return s, err
}

// testEndpoint delivers a sample and follows it.
func (a *app) testEndpoint(ctx context.Context, endpoint string, s sampleDelivery, wait time.Duration) error {
	t := sampleResult{URL: s.URL}
	err := a.knock(ctx, s, &t)
	switch {
	case err == nil && t.Accepted.Execution != "":
		err = a.awaited(ctx, &t, wait)
	case t.Status >= http.StatusBadRequest:
		var e endpointState // Why, whoever delivers is not told.
		if a.client().call(ctx, http.MethodGet, a.inTenant("/endpoints/%s", escape(endpoint)), nil, &e) == nil {
			t.Refused = e.Refused[:min(1, len(e.Refused))]
		}
	}
	if shown := a.show(t, func(w io.Writer) { printSampleResult(w, t) }); shown != nil {
		return shown
	}
	return err
}

// knock makes the request.
func (a *app) knock(ctx context.Context, s sampleDelivery, t *sampleResult) error {
	body := []byte(s.Body)
	if s.Encoding == "base64" {
		var err error
		if body, err = base64.StdEncoding.DecodeString(s.Body); err != nil {
			return fmt.Errorf("read the sample: %w", err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, s.Method, s.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	req.Header = s.Headers
	start := time.Now()
	resp, err := a.client().http.Do(req)
	if err != nil {
		return fault.New(fault.Network, "no_answer", "no answer from %s: %v", s.URL, plainURLError(err)).
			WithHint("It is the address that the vendor was given: its name, its certificate and what is in front of the server have to lead there.")
	}
	defer resp.Body.Close()
	t.Status, t.Seconds = resp.StatusCode, time.Since(start).Seconds()
	if resp.StatusCode >= http.StatusBadRequest {
		return problemOf(resp)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	// A vendor that wants another answer gets that, which says nothing of the event.
	if json.Unmarshal(answer, &t.Accepted) != nil || t.Accepted.Event == "" {
		return a.newest(ctx, s, t)
	}
	return nil
}

// newest finds what a delivery became whose answer does not say.
func (a *app) newest(ctx context.Context, s sampleDelivery, t *sampleResult) error {
	u, err := url.Parse(s.URL)
	if err != nil {
		return fmt.Errorf("read the URL of the sample: %w", err)
	}
	endpoint := u.Path[len(u.Path)-min(len(u.Path), len("end_")+26):]
	found, err := a.deliveries(ctx, endpoint, 1)
	if err != nil || len(found) == 0 || time.Since(found[0].At) > time.Minute {
		return err
	}
	t.Accepted = event.Accepted{Event: found[0].Event, Execution: found[0].Execution}
	return nil
}

// awaited waits for the end of the execution.
func (a *app) awaited(ctx context.Context, t *sampleResult, wait time.Duration) error {
	for end := time.Now().Add(wait); ; {
		var x execution.Execution
		if err := a.client().call(ctx, http.MethodGet, a.inTenant("/executions/%s", escape(t.Accepted.Execution)), nil, &x); err != nil {
			return err
		}
		t.Execution = &x
		switch {
		case x.State == execution.Succeeded:
			return nil
		case x.State.Done():
			return fmt.Errorf("the execution is %s: 'cofferdam execution show %s' shows why", x.State, x.ID)
		case time.Now().After(end):
			return fmt.Errorf("the execution is %s after %s: 'cofferdam queue top' shows what it waits behind", x.State, wait)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func printSampleResult(w io.Writer, t sampleResult) {
	fmt.Fprintf(w, "delivered  to %s\n", t.URL)
	if t.Status == 0 {
		return
	}
	fmt.Fprintf(w, "answered   %d %s in %s\n", t.Status, http.StatusText(t.Status), duration(time.Duration(t.Seconds*float64(time.Second))))
	printRefused(w, t.Refused)
	if t.Accepted.Event != "" {
		again := ""
		if t.Accepted.Duplicate {
			again = ", which had come before: nothing new runs"
		}
		fmt.Fprintf(w, "stored     as %s%s\n", t.Accepted.Event, again)
	}
	if x := t.Execution; x != nil {
		fmt.Fprintf(w, "ran        as %s: %s%s\n", x.ID, x.State, outcome(*x))
	}
}

// delivery is one that was taken, and what came of it.
type delivery struct {
	At        time.Time `json:"at"`
	ID        string    `json:"id"`
	Event     string    `json:"event"`
	Execution string    `json:"execution,omitempty"`
	State     string    `json:"state,omitempty"`
	Seconds   float64   `json:"seconds,omitempty"`
	done      bool
}

func (a *app) endpointDeliveries() *cobra.Command {
	var limit int
	var follow bool
	c := a.tenantFlag(&cobra.Command{
		Use:   "deliveries ENDPOINT",
		Short: "List what an endpoint has taken, the newest first, with what came of it",
		Long: "List what an endpoint has taken, the newest first, with what came of it. Why others were refused, 'cofferdam endpoint\n" +
			"show' knows. With --follow further ones are shown as they come, until Ctrl-C, the oldest first.",
		Example: "  cofferdam endpoint deliveries end_01J9ZK7V5Q8W3E6R1T0Y2U4I8O --follow --tenant acme",
		Args:    exactly("ENDPOINT"),
		RunE: func(c *cobra.Command, args []string) error {
			if follow {
				return a.followDeliveries(c.Context(), args[0], limit)
			}
			all, err := a.deliveries(c.Context(), args[0], limit)
			if err != nil {
				return err
			}
			return a.show(map[string]any{"items": all}, func(w io.Writer) {
				var rows [][]string
				for _, d := range all {
					rows = append(rows, d.cells())
				}
				table(w, []string{"TIME", "ID", "EVENT", "EXECUTION", "STATE", "TOOK"}, rows)
			})
		},
	})
	c.Flags().IntVar(&limit, "limit", 20, "how many at the most, 1 to 100")
	c.Flags().BoolVarP(&follow, "follow", "f", false, "show further ones as they come")
	return c
}

func (d delivery) cells() []string {
	took := "-"
	if d.done {
		took = duration(time.Duration(d.Seconds * float64(time.Second)))
	}
	return []string{d.At.Local().Format(time.DateTime), d.ID, d.Event, d.Execution, d.State, took}
}

// deliveries are the newest of an endpoint.
func (a *app) deliveries(ctx context.Context, endpoint string, limit int) ([]delivery, error) {
	var events page[event.Event]
	if err := a.client().call(ctx, http.MethodGet, a.inTenant("/events?kind=webhook&endpoint=%s&limit=%d", escape(endpoint), limit), nil, &events); err != nil {
		return nil, err
	}
	all := make([]delivery, len(events.Items))
	for i, e := range events.Items {
		all[i] = delivery{At: e.ReceivedAt, ID: e.DedupeKey, Event: e.ID}
		if err := a.became(ctx, &all[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// became finds a delivery's execution.
func (a *app) became(ctx context.Context, d *delivery) error {
	var p page[execution.Execution]
	if err := a.client().call(ctx, http.MethodGet, a.inTenant("/executions?limit=1&event=%s", escape(d.Event)), nil, &p); err != nil {
		return err
	}
	for _, x := range p.Items {
		d.Execution, d.State, d.done = x.ID, string(x.State), x.State.Done()
		if d.done {
			d.Seconds = x.FinishedAt.Sub(x.CreatedAt).Seconds()
		}
	}
	return nil
}

// followDeliveries shows deliveries as they come, and again once they are done.
func (a *app) followDeliveries(ctx context.Context, endpoint string, limit int) error {
	shown := map[string]string{} // The state that was shown, by event.
	for {
		all, err := a.deliveries(ctx, endpoint, limit)
		if ctx.Err() != nil {
			return nil // Whoever watches has seen enough.
		}
		if err != nil {
			return err
		}
		now := map[string]string{}
		for _, d := range slices.Backward(all) {
			now[d.Event] = d.State
			if shown[d.Event] == d.State {
				continue
			}
			if a.Output == "json" {
				if err := json.NewEncoder(a.out).Encode(d); err != nil {
					return fmt.Errorf("write a delivery: %w", err)
				}
				continue
			}
			cells := d.cells()
			fmt.Fprintf(a.out, "%s  %-36s  %s  %s  %-9s  %s\n", cells[0], cells[1], cells[2], cells[3], cells[4], cells[5])
		}
		shown = now
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}
