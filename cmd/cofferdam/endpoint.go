package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/endpoint"
)

func (a *app) endpointCommand() *cobra.Command {
	return group("endpoint", "Make the addresses that vendors deliver webhooks to",
		a.endpointCreate(), a.endpointUpdate(), a.endpointRotate(), a.endpointHandshake(), a.endpointSchemes(), a.endpointVerifySample(),
		a.endpointShow(), a.endpointTest(), a.endpointDeliveries(),
		listVerb(a, "endpoint", "List a tenant's endpoints", "/endpoints", printEndpoints),
		a.removeVerb("delete", "deleted", "endpoint end_01J9ZK7V5Q8W3E6R1T0Y2U4I8O",
			"Forget an endpoint; deliveries to it are refused from then on", "/endpoints"))
}

// endpointSecret is an endpoint as it is shown once, with its secret.
type endpointSecret struct {
	endpoint.Endpoint
	URL    string `json:"url"`
	Secret string `json:"secret,omitempty"`
}

func (a *app) endpointCreate() *cobra.Command {
	var spec endpoint.Spec
	var descriptor string
	c := a.tenantFlag(&cobra.Command{
		Use:     "create INSTALLATION WEBHOOK",
		Short:   "Make an endpoint; its address and its signing secret go to the vendor",
		Example: "  cofferdam endpoint create hello-go issues --tenant acme",
		Args:    exactly("INSTALLATION", "WEBHOOK"),
		RunE: func(c *cobra.Command, args []string) error {
			spec.Installation, spec.Webhook = args[0], args[1]
			if descriptor != "" {
				data, err := a.raw("@" + descriptor)
				if err != nil {
					return err
				}
				spec.Descriptor = data
			}
			return a.changeEndpoint(c, a.inTenant("/endpoints"), spec)
		},
	})
	c.Flags().StringVar(&spec.Secret, "secret", "", "the vendor's signing secret; one is made if it is not given")
	c.Flags().StringVar(&descriptor, "descriptor", "", "a file that says how deliveries are signed, if it is not as the plugin says")
	c.Flags().StringToStringVar(&spec.Parameters, "parameter", nil, "what the scheme must be told, name=value; see `endpoint schemes`")
	c.Flags().StringVar(&spec.OrderBy, "order-by", "", "run deliveries one after another that have one value there: a JSON pointer such as /data/customer, or header:Name")
	c.Flags().BoolVar(&spec.AllowWeak, "allow-weak", false, "take a scheme though it is weak")
	return c
}

func (a *app) endpointUpdate() *cobra.Command {
	var orderBy string
	c := a.tenantFlag(&cobra.Command{
		Use:   "update ENDPOINT",
		Short: "Change what an endpoint's deliveries are in order by",
		Long: "Change what an endpoint's deliveries are in order by: those that have one value there run one after another,\n" +
			"in the order in which they were accepted. What was accepted before keeps its place.",
		Example: "  cofferdam endpoint update end_01J9ZK7V5Q8W3E6R1T0Y2U4I8O --order-by /data/customer --tenant acme\n" +
			"  cofferdam endpoint update end_01J9ZK7V5Q8W3E6R1T0Y2U4I8O --order-by '' --tenant acme",
		Args: exactly("ENDPOINT"),
		RunE: func(c *cobra.Command, args []string) error {
			if !c.Flags().Changed("order-by") {
				return usagef("nothing to change: say --order-by PLACE, or --order-by '' for no order")
			}
			var e endpoint.Endpoint
			path := a.inTenant("/endpoints/%s", escape(args[0]))
			if err := a.client().call(c.Context(), http.MethodPatch, path, map[string]string{"order_by": orderBy}, &e); err != nil {
				return err
			}
			return a.show(e, func(w io.Writer) { printEndpoints(w, e) })
		},
	})
	c.Flags().StringVar(&orderBy, "order-by", "", "a JSON pointer such as /data/customer, or header:Name; empty for no order")
	return c
}

func (a *app) endpointRotate() *cobra.Command {
	var secret string
	var keep time.Duration
	c := a.tenantFlag(&cobra.Command{
		Use:     "rotate ENDPOINT",
		Short:   "Replace an endpoint's signing secret",
		Example: "  cofferdam endpoint rotate end_01J9ZK7V5Q8W3E6R1T0Y2U4I8O --tenant acme",
		Args:    exactly("ENDPOINT"),
		RunE: func(c *cobra.Command, args []string) error {
			body := map[string]any{"keep_seconds": int(keep / time.Second)}
			if secret != "" {
				body["secret"] = secret
			}
			return a.changeEndpoint(c, a.inTenant("/endpoints/%s/rotate", escape(args[0])), body)
		},
	})
	c.Flags().StringVar(&secret, "secret", "", "the vendor's new signing secret; one is made if it is not given")
	c.Flags().DurationVar(&keep, "keep", 0, "for how long the old secret counts still, such as 24h; 30 days at most")
	return c
}

func (a *app) changeEndpoint(c *cobra.Command, path string, body any) error {
	var e endpointSecret
	if err := a.client().call(c.Context(), http.MethodPost, path, body, &e); err != nil {
		return err
	}
	e.URL = strings.TrimSuffix(a.URL, "/") + "/hooks/" + e.ID
	return a.show(e, func(w io.Writer) {
		fmt.Fprintf(w, "endpoint  %s\nurl       %s\nscheme    %s\n", e.ID, e.URL, e.Scheme)
		if e.Secret != "" { // Some vendors bring it, and some have none.
			fmt.Fprintf(w, "secret    %s   (shown this once)\n", e.Secret)
		}
	})
}

func printEndpoints(w io.Writer, all ...endpoint.Endpoint) {
	var rows [][]string
	for _, e := range all {
		state := "open"
		if e.Disabled {
			state = "disabled"
		}
		if e.OrderBy != "" {
			state += ", in order by " + e.OrderBy
		}
		rows = append(rows, []string{e.ID, e.Installation, e.Webhook, e.Scheme, state})
	}
	table(w, []string{"ID", "INSTALLATION", "WEBHOOK", "SCHEME", "STATE"}, rows)
}
