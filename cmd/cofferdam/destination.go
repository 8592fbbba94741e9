package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/destination"
	"github.com/cofferdam-run/cofferdam/host/outbound"
)

func (a *app) destinationCommand() *cobra.Command {
	return group("destination", "Have records and notices sent to URLs, as signed webhooks",
		a.destinationCreate(),
		a.ownerFlag(listAt(a, "destination", "List the operator's destinations, or a tenant's with --tenant", a.destinationsPath, printDestinations)),
		a.destinationVerb("show", "Show a destination", http.MethodGet, nil),
		a.destinationUpdate(),
		a.destinationVerb("enable", "Have what waits for a destination sent, and go on", http.MethodPatch, map[string]any{"disabled": false}),
		a.destinationVerb("disable", "Have nothing sent to a destination until it is enabled", http.MethodPatch, map[string]any{"disabled": true}),
		a.destinationRotate(), a.destinationTest(), a.destinationDeliveries(), a.destinationRetry(),
		a.ownerFlag(a.removeAt("delete", "deleted", "destination app", "Forget a destination, with what waits for it", a.destinationsPath)))
}

// ownerFlag adds --tenant to a verb that without it is of the operator's own.
func (a *app) ownerFlag(c *cobra.Command) *cobra.Command {
	c.Flags().StringVarP(&a.Tenant, "tenant", "t", a.Tenant, "the tenant whose destination it is (COFFERDAM_TENANT), or me; without it, the operator's, which gets what happens at all tenants")
	return c
}

// destinationsPath is where the operator's destinations are, or those of --tenant.
func (a *app) destinationsPath() string {
	if a.Tenant == "" {
		return "/v1/destinations"
	}
	return a.inTenant("/destinations")
}

// newDestination is a destination as it is shown once, with its secret.
type newDestination struct {
	destination.Destination
	Secret string `json:"secret,omitempty"`
}

// destinationFlags are what is said of one.
type destinationFlags struct {
	name, url string
	kinds     []string
	ordered   bool
}

func (f *destinationFlags) add(c *cobra.Command) {
	c.Flags().StringSliceVar(&f.kinds, "kinds", nil, "what is sent: record.order, execution.dead, all of a noun such as record.*, or * for everything")
	c.Flags().StringVar(&f.name, "name", "", "its name; the URL's host by default")
	c.Flags().BoolVar(&f.ordered, "ordered", false, "send one message after the other: one that is not taken holds up those behind it")
}

// body is what the flags that are given say.
func (f *destinationFlags) body(c *cobra.Command) map[string]any {
	body := map[string]any{}
	for name, value := range map[string]any{"name": f.name, "url": f.url, "kinds": f.kinds, "ordered": f.ordered} {
		if c.Flags().Changed(name) {
			body[name] = value
		}
	}
	return body
}

func (a *app) destinationCreate() *cobra.Command {
	var f destinationFlags
	var secret string
	c := a.ownerFlag(&cobra.Command{
		Use:   "create URL",
		Short: "Have messages sent to a URL; its signing secret goes to whoever receives them",
		Example: "  cofferdam destination create https://app.example.com/hooks --kinds '*'\n" +
			"  cofferdam destination create https://acme.example/hooks --kinds 'record.*,execution.dead' --tenant acme",
		Args: exactly("URL"),
		RunE: func(c *cobra.Command, args []string) error {
			body := f.body(c)
			body["url"] = args[0]
			if len(f.kinds) == 0 {
				return usagef("say what is to be sent: --kinds 'record.*', or '*' for everything")
			}
			if secret != "" {
				given, err := a.raw("@" + secret)
				if err != nil {
					return err
				}
				body["secret"] = strings.TrimSpace(string(given))
			}
			return a.destinationOnce(c, a.destinationsPath(), body)
		},
	})
	f.add(c)
	c.Flags().StringVar(&secret, "secret-file", "", "a file with the signing secret, whsec_ and base64; one is made by default")
	return c
}

func (a *app) destinationUpdate() *cobra.Command {
	var f destinationFlags
	c := a.ownerFlag(&cobra.Command{
		Use:     "update DESTINATION",
		Short:   "Change a destination",
		Example: "  cofferdam destination update app --kinds 'record.order,connection.*'",
		Args:    exactly("DESTINATION"),
		RunE: func(c *cobra.Command, args []string) error {
			body := f.body(c)
			if len(body) == 0 {
				return usagef("say what is to change: --url, --kinds, --name or --ordered")
			}
			return a.changeDestination(c, http.MethodPatch, args[0], body)
		},
	})
	f.add(c)
	c.Flags().StringVar(&f.url, "url", "", "another URL, also for what waits")
	return c
}

func (a *app) destinationVerb(verb, short, method string, body any) *cobra.Command {
	return a.ownerFlag(&cobra.Command{
		Use:     verb + " DESTINATION",
		Short:   short,
		Example: "  cofferdam destination " + verb + " app",
		Args:    exactly("DESTINATION"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.changeDestination(c, method, args[0], body)
		},
	})
}

// changeDestination makes a request whose answer is a destination, and shows it.
func (a *app) changeDestination(c *cobra.Command, method, name string, body any) error {
	var d destination.Destination
	if err := a.client().call(c.Context(), method, a.destinationsPath()+"/"+escape(name), body, &d); err != nil {
		return err
	}
	return a.show(d, func(w io.Writer) { printDestinations(w, d) })
}

func (a *app) destinationRotate() *cobra.Command {
	var keep time.Duration
	c := a.ownerFlag(&cobra.Command{
		Use:     "rotate DESTINATION",
		Short:   "Replace a destination's signing secret",
		Example: "  cofferdam destination rotate app --keep 24h",
		Args:    exactly("DESTINATION"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.destinationOnce(c, a.destinationsPath()+"/"+escape(args[0])+"/rotate", map[string]any{"keep_seconds": int(keep / time.Second)})
		},
	})
	c.Flags().DurationVar(&keep, "keep", 24*time.Hour, "for how long the old secret signs along; 30 days at most")
	return c
}

func (a *app) destinationOnce(c *cobra.Command, path string, body any) error {
	var d newDestination
	if err := a.client().call(c.Context(), http.MethodPost, path, body, &d); err != nil {
		return err
	}
	return a.show(d, func(w io.Writer) {
		fmt.Fprintf(w, "destination  %s\nname         %s\nurl          %s\nkinds        %s\nsecret       %s   (shown this once)\n",
			d.ID, d.Name, d.URL, strings.Join(d.Kinds, ","), d.Secret)
	})
}

func (a *app) destinationTest() *cobra.Command {
	return a.ownerFlag(&cobra.Command{
		Use:     "test DESTINATION",
		Short:   "Send a test to a destination, and show what came of it",
		Example: "  cofferdam destination test app",
		Args:    exactly("DESTINATION"),
		RunE: func(c *cobra.Command, args []string) error {
			var d outbound.Delivery
			if err := a.client().call(c.Context(), http.MethodPost, a.destinationsPath()+"/"+escape(args[0])+"/test", nil, &d); err != nil {
				return err
			}
			return a.show(d, func(w io.Writer) { printDeliveries(w, d) })
		},
	})
}

func (a *app) destinationDeliveries() *cobra.Command {
	var state, kind string
	var limit int
	c := a.ownerFlag(&cobra.Command{
		Use:   "deliveries DESTINATION",
		Short: "List what was and is to be sent to a destination, the newest first",
		Example: "  cofferdam destination deliveries app\n" +
			"  cofferdam destination deliveries app --state failed --output json",
		Args: exactly("DESTINATION"),
		RunE: func(c *cobra.Command, args []string) error {
			query := url.Values{"limit": {strconv.Itoa(limit)}}
			for name, value := range map[string]string{"state": state, "type": kind} {
				if value != "" {
					query.Set(name, value)
				}
			}
			var p page[outbound.Delivery]
			if err := a.client().call(c.Context(), http.MethodGet, a.destinationsPath()+"/"+escape(args[0])+"/deliveries?"+query.Encode(), nil, &p); err != nil {
				return err
			}
			return a.show(p, func(w io.Writer) { printDeliveries(w, p.Items...) })
		},
	})
	c.Flags().StringVar(&state, "state", "", "only those that are waiting, delivered or failed")
	c.Flags().StringVar(&kind, "type", "", "only messages of a type, such as record.order")
	c.Flags().IntVar(&limit, "limit", 50, "how many to show, up to 200")
	return c
}

func (a *app) destinationRetry() *cobra.Command {
	return a.ownerFlag(&cobra.Command{
		Use:     "retry DESTINATION DELIVERY",
		Short:   "Send a message again that has failed, or waits, now",
		Example: "  cofferdam destination retry app dlv_01J9ZK7V5Q8W3E6R1T0Y2U4I8O",
		Args:    exactly("DESTINATION", "DELIVERY"),
		RunE: func(c *cobra.Command, args []string) error {
			var d outbound.Delivery
			path := a.destinationsPath() + "/" + escape(args[0]) + "/deliveries/" + escape(args[1]) + "/retry"
			if err := a.client().call(c.Context(), http.MethodPost, path, nil, &d); err != nil {
				return err
			}
			return a.show(d, func(w io.Writer) { printDeliveries(w, d) })
		},
	})
}

func printDestinations(w io.Writer, all ...destination.Destination) {
	var rows [][]string
	for _, d := range all {
		state := string(d.State)
		if d.Reason != "" {
			state += " (" + string(d.Reason) + ")"
		}
		failing := "-"
		if !d.FailingSince.IsZero() {
			failing = d.FailingSince.Format(time.RFC3339)
		}
		rows = append(rows, []string{d.Name, d.ID, d.URL, strings.Join(d.Kinds, ","), state, failing})
	}
	table(w, []string{"NAME", "ID", "URL", "KINDS", "STATE", "FAILING SINCE"}, rows)
	if len(rows) == 0 {
		fmt.Fprintln(w, "no destinations: 'cofferdam destination create' makes one")
	}
}

func printDeliveries(w io.Writer, all ...outbound.Delivery) {
	var rows [][]string
	for _, d := range all {
		row := []string{d.ID, d.CreatedAt.Format(time.RFC3339), d.Type, d.Message, string(d.State), strconv.Itoa(d.Tries), "-", ""}
		if n := len(d.Attempts); n > 0 {
			last := d.Attempts[n-1]
			if last.Status > 0 {
				row[6] = strconv.Itoa(last.Status)
			}
			row[7] = last.Error
		}
		rows = append(rows, row)
	}
	table(w, []string{"ID", "AT", "TYPE", "MESSAGE", "STATE", "TRIES", "STATUS", "WHY"}, rows)
	if len(rows) == 0 {
		fmt.Fprintln(w, "nothing was sent, and nothing is to be")
	}
}
