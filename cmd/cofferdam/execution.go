package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/hostfns/guestlog"
)

func (a *app) executionCommand() *cobra.Command {
	return group("execution", "See what ran, and have it run again",
		a.executionList(), a.executionShow(), a.executionTail(), a.executionExport(),
		a.executionCancel(),
		a.executionRedrive(), a.executionResolve())
}

func (a *app) executionList() *cobra.Command {
	var installation, state, kind, name, tag, fingerprint string
	var limit int
	c := a.tenantFlag(&cobra.Command{
		Use:   "list",
		Short: "List a tenant's executions, the newest first",
		Example: "  cofferdam execution list --tenant acme --state dead\n" +
			"  cofferdam execution list -t acme --tag order=1001",
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			q := url.Values{"limit": {strconv.Itoa(limit)}}
			for k, v := range map[string]string{"installation": installation, "state": state, "kind": kind, "name": name, "tag": tag, "fingerprint": fingerprint} {
				if v != "" {
					q.Set(k, v)
				}
			}
			var p page[execution.Execution]
			if err := a.client().call(c.Context(), http.MethodGet, a.inTenant("/executions?%s", q.Encode()), nil, &p); err != nil {
				return err
			}
			return a.show(p, func(w io.Writer) { printExecutions(w, p.Items) })
		},
	})
	flags := c.Flags()
	flags.StringVar(&installation, "installation", "", "only this installation's")
	flags.StringVar(&state, "state", "", "queued, running, waiting, succeeded, dead or cancelled")
	flags.StringVar(&kind, "kind", "", "webhook, action, poll or test")
	flags.StringVar(&name, "name", "", "only this webhook, action or poll")
	flags.StringVar(&tag, "tag", "", "only those tagged name=value")
	flags.StringVar(&fingerprint, "fingerprint", "", "only a group of 'cofferdam dead-letter list'")
	flags.IntVar(&limit, "limit", 50, "how many at the most, 1 to 200")
	return c
}

func (a *app) executionShow() *cobra.Command {
	return a.tenantFlag(&cobra.Command{
		Use:     "show EXECUTION",
		Short:   "Show an execution's whole trace",
		Example: "  cofferdam execution show exe_01J9ZK7V5Q8W3E6R1T0Y2U4I8O --tenant acme",
		Args:    exactly("EXECUTION"),
		RunE: func(c *cobra.Command, args []string) error {
			var t execution.Trace
			if err := a.client().call(c.Context(), http.MethodGet, a.inTenant("/executions/%s/trace", escape(args[0])), nil, &t); err != nil {
				return err
			}
			return a.show(t, func(w io.Writer) { printTrace(w, t) })
		},
	})
}

func (a *app) executionCancel() *cobra.Command {
	return a.tenantFlag(&cobra.Command{
		Use:     "cancel EXECUTION",
		Short:   "End an execution that is not done",
		Example: "  cofferdam execution cancel exe_01J9ZK7V5Q8W3E6R1T0Y2U4I8O --tenant acme",
		Args:    exactly("EXECUTION"),
		RunE:    func(c *cobra.Command, args []string) error { return a.steerExecution(c, args[0], "cancel", nil) },
	})
}

func (a *app) executionRedrive() *cobra.Command {
	var mode string
	c := a.tenantFlag(&cobra.Command{
		Use:     "redrive EXECUTION",
		Short:   "Give a dead or cancelled execution another chance",
		Long:    "Give a dead or cancelled execution another chance. 'cofferdam dead-letter redrive' does so with many.\n\n" + aboutModes,
		Example: "  cofferdam execution redrive exe_01J9ZK7V5Q8W3E6R1T0Y2U4I8O --mode restart --tenant acme",
		Args:    exactly("EXECUTION"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.steerExecution(c, args[0], "redrive", map[string]any{"mode": mode})
		},
	})
	c.Flags().StringVar(&mode, "mode", string(execution.Resume), "resume, restart or force")
	return c
}

func (a *app) executionResolve() *cobra.Command {
	var again bool
	var file string
	c := a.tenantFlag(&cobra.Command{
		Use:   "resolve EXECUTION (--send-again | --answer FILE)",
		Short: "Say whether a request has happened of which nobody knows, so that its execution goes on",
		Long: "Say whether a request has happened of which nobody knows, so that its execution goes on: look at the other side\n" +
			"first. With --send-again the request is sent again, byte for byte; with --answer the plugin is told that it has\n" +
			"happened, and what was answered. FILE, or - for standard input, is JSON; for http it is\n" +
			`{"status": 201, "headers": {"content-type": ["application/json"]}, "body": "..."}, or body_base64.`,
		Example: "  cofferdam execution resolve exe_01J9ZK7V5Q8W3E6R1T0Y2U4I8O --send-again --tenant acme\n" +
			"  cofferdam execution resolve exe_01J9ZK7V5Q8W3E6R1T0Y2U4I8O --answer created.json -t acme",
		Args: exactly("EXECUTION"),
		RunE: func(c *cobra.Command, args []string) error {
			if again == (file != "") {
				return usagef("give either --send-again or --answer FILE")
			}
			if again {
				return a.steerExecution(c, args[0], "resolve", map[string]any{"choice": "send_again"})
			}
			if file != "-" {
				file = "@" + file
			}
			answer, err := a.raw(file)
			if err != nil {
				return err
			}
			if !json.Valid(answer) {
				return usagef("--answer is not JSON")
			}
			return a.steerExecution(c, args[0], "resolve", map[string]any{"choice": "answer", "answer": json.RawMessage(answer)})
		},
	})
	c.Flags().BoolVar(&again, "send-again", false, "it has not happened: send it again")
	c.Flags().StringVar(&file, "answer", "", "it has happened, and this was answered")
	return c
}

// steerExecution asks for something to be done with an execution, and shows it.
func (a *app) steerExecution(c *cobra.Command, id, verb string, body any) error {
	var x execution.Execution
	if err := a.client().call(c.Context(), http.MethodPost, a.inTenant("/executions/%s/%s", escape(id), verb), body, &x); err != nil {
		return err
	}
	return a.show(x, func(w io.Writer) { printExecutions(w, []execution.Execution{x}) })
}

func (a *app) executionTail() *cobra.Command {
	return a.tenantFlag(&cobra.Command{
		Use:     "tail",
		Short:   "Watch a tenant's executions and their logs as they happen, until Ctrl-C",
		Example: "  cofferdam execution tail --tenant acme",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			resp, err := a.client().open(c.Context(), http.MethodGet, a.inTenant("/executions/tail"), "", nil)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if err := a.follow(resp.Body); err != nil && !errors.Is(err, context.Canceled) {
				return fmt.Errorf("read the tail: %w", err)
			}
			return nil
		},
	})
}

// follow prints server-sent events
// (https://html.spec.whatwg.org/multipage/server-sent-events.html).
func (a *app) follow(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	kind := ""
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			kind = value
		case "data":
			if err := a.tailed(kind, []byte(value)); err != nil {
				return err
			}
		}
	}
	return lines.Err()
}

func (a *app) tailed(kind string, data []byte) error {
	if a.Output == "json" {
		_, err := fmt.Fprintf(a.out, "{\"event\":%q,\"data\":%s}\n", kind, data)
		return err
	}
	switch kind {
	case "execution":
		var x execution.Execution
		if err := json.Unmarshal(data, &x); err != nil {
			return fmt.Errorf("decode an execution: %w", err)
		}
		fmt.Fprintf(a.out, "%s  %-9s %s/%s%s\n", x.ID, x.State, x.Kind, x.Name, outcome(x))
	case "log":
		var l struct {
			Execution string `json:"execution"`
			guestlog.Line
		}
		if err := json.Unmarshal(data, &l); err != nil {
			return fmt.Errorf("decode a log line: %w", err)
		}
		fmt.Fprintf(a.out, "%s  log       %-5s %s %s\n", l.Execution, l.Level, l.Message, l.Fields)
	}
	return nil
}
