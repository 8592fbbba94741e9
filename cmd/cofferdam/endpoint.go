package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
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
	var bytes byteSize
	var deadline time.Duration
	c := a.tenantFlag(&cobra.Command{
		Use:     "create INSTALLATION WEBHOOK",
		Short:   "Make an endpoint; its address and its signing secret go to the vendor",
		Example: "  cofferdam endpoint create hello-go issues --tenant acme",
		Args:    exactly("INSTALLATION", "WEBHOOK"),
		RunE: func(c *cobra.Command, args []string) error {
			spec.Installation, spec.Webhook = args[0], args[1]
			spec.Limits.MaxBytes, spec.Deadline = int64(bytes), int(deadline/time.Millisecond)
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
	endpointLimitFlags(c, &spec.Limits, &bytes)
	c.Flags().StringVar((*string)(&spec.Respond), "respond", "", "what a delivery is answered with: execution has the plugin say it; by default, that it was stored")
	c.Flags().DurationVar(&deadline, "deadline", 0, "for how long the execution is waited for then, 30s at most; 0 for 10s")
	return c
}

func endpointLimitFlags(c *cobra.Command, l *endpoint.Limits, bytes *byteSize) {
	c.Flags().IntVar(&l.Rate, "rate", 0, "how many deliveries a second are taken, in the cluster; 0 for no cap")
	c.Flags().IntVar(&l.Burst, "burst", 0, "how many may come at once though the rate is lower; 0 for ten seconds' worth")
	c.Flags().IntVar(&l.Queued, "queued", 0, "how many executions of its webhook may be due or parked before deliveries are refused; 0 for no cap")
	c.Flags().Var(bytes, "max-bytes", "how large a delivery may be, as 10MiB, 25MiB at most; 0 for the server's cap")
}

func (a *app) endpointUpdate() *cobra.Command {
	var disabled bool
	var respond, orderBy string
	var deadline time.Duration
	var given endpoint.Limits
	var bytes byteSize
	c := a.tenantFlag(&cobra.Command{
		Use:     "update ENDPOINT",
		Short:   "Change what bounds an endpoint's deliveries and what they are in order by, or have it take none",
		Example: "  cofferdam endpoint update end_01J9ZK7V5Q8W3E6R1T0Y2U4I8O --rate 50 --burst 200 --tenant acme\n  cofferdam endpoint update end_01J9ZK7V5Q8W3E6R1T0Y2U4I8O --disabled --tenant acme",
		Args:    exactly("ENDPOINT"),
		RunE: func(c *cobra.Command, args []string) error {
			path := a.inTenant("/endpoints/%s", escape(args[0]))
			var e endpoint.Endpoint
			if err := a.client().call(c.Context(), http.MethodGet, path, nil, &e); err != nil {
				return err
			}
			given.MaxBytes = int64(bytes)
			body := map[string]any{}
			if l := e.Limits; changeLimits(c, &l, given) {
				body["limits"] = l
			}
			if c.Flags().Changed("disabled") {
				body["disabled"] = disabled
			}
			if c.Flags().Changed("respond") {
				body["respond"] = respond
			}
			if c.Flags().Changed("order-by") {
				body["order_by"] = orderBy
			}
			if c.Flags().Changed("deadline") {
				body["deadline_ms"] = int(deadline / time.Millisecond)
			}
			if len(body) == 0 {
				return errors.New("nothing was said that is to change\n  hint: see the flags of `cofferdam endpoint update --help`")
			}
			e = endpoint.Endpoint{} // What the answer leaves out is empty now.
			if err := a.client().call(c.Context(), http.MethodPatch, path, body, &e); err != nil {
				return err
			}
			return a.show(e, func(w io.Writer) { printEndpoints(w, e) })
		},
	})
	c.Flags().StringVar(&orderBy, "order-by", "", "run deliveries one after another that have one value there: a JSON pointer such as /data/customer, or header:Name; empty for no order. What was accepted before keeps its place")
	c.Flags().BoolVar(&disabled, "disabled", false, "have it take none: --disabled=false has it take them again")
	endpointLimitFlags(c, &given, &bytes)
	c.Flags().StringVar(&respond, "respond", "", "what a delivery is answered with: execution has the plugin say it; an empty one, that it was stored")
	c.Flags().DurationVar(&deadline, "deadline", 0, "for how long the execution is waited for then, 30s at most; 0 for 10s")
	return c
}

// changeLimits takes the limits over that were given, and says whether any was.
func changeLimits(c *cobra.Command, l *endpoint.Limits, given endpoint.Limits) bool {
	changed := false
	for name, take := range map[string]func(){
		"rate": func() { l.Rate = given.Rate }, "burst": func() { l.Burst = given.Burst },
		"queued": func() { l.Queued = given.Queued }, "max-bytes": func() { l.MaxBytes = given.MaxBytes },
	} {
		if c.Flags().Changed(name) {
			take()
			changed = true
		}
	}
	return changed
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
		rows = append(rows, []string{e.ID, e.Installation, e.Webhook, e.Scheme, state, bounds(e.Limits)})
	}
	table(w, []string{"ID", "INSTALLATION", "WEBHOOK", "SCHEME", "STATE", "LIMITS"}, rows)
}

// bounds says what bounds an endpoint's deliveries.
func bounds(l endpoint.Limits) string {
	var parts []string
	if l.Rate > 0 {
		parts = append(parts, strconv.Itoa(l.Rate)+"/s")
	}
	if l.Burst > 0 {
		parts = append(parts, strconv.Itoa(l.Burst)+" at once")
	}
	if l.Queued > 0 {
		parts = append(parts, strconv.Itoa(l.Queued)+" queued")
	}
	if l.MaxBytes > 0 {
		parts = append(parts, byteCount(l.MaxBytes))
	}
	return cmp.Or(strings.Join(parts, ", "), "none of its own")
}
