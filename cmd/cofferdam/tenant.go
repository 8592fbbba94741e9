package main

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/tenant"
)

func (a *app) tenantCommand() *cobra.Command {
	return group("tenant", "Add tenants and look at them",
		a.tenantCreate(), a.tenantList(), a.tenantVerb("show", "Show a tenant", http.MethodGet, ""),
		a.tenantUpdate(),
		a.draining(a.tenantVerb("pause", "Keep a tenant's events without running them", http.MethodPost, "/pause"),
			func(name string) (string, url.Values) {
				return "/v1/tenants/" + escape(name) + "/in-flight", url.Values{}
			}),
		a.tenantVerb("resume", "Run what has gathered while a tenant was paused", http.MethodPost, "/resume"),
		a.tenantExport(), a.tenantDelete(), a.tenantDeletion(), a.tenantDeletions(),
		a.tenantVerb("restore", "Call the deletion of a tenant off, before it is due", http.MethodPost, "/restore"))
}

func (a *app) tenantCreate() *cobra.Command {
	var title string
	var limits tenant.Limits
	c := &cobra.Command{
		Use:     "create NAME",
		Short:   "Add a tenant",
		Example: "  cofferdam tenant create acme --title 'Acme Ltd' --running 32",
		Args:    exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			body := map[string]any{"name": args[0]}
			if title != "" {
				body["title"] = title
			}
			if l := limitsOf(limits); len(l) > 0 {
				body["limits"] = l
			}
			var t tenant.Tenant
			if err := a.client().call(c.Context(), http.MethodPost, "/v1/tenants", body, &t); err != nil {
				return err
			}
			return a.show(t, func(w io.Writer) { printTenants(w, t) })
		},
	}
	c.Flags().StringVar(&title, "title", "", "a title for people")
	tenantLimitFlags(c, &limits)
	return c
}

func (a *app) tenantUpdate() *cobra.Command {
	var limits tenant.Limits
	var days int
	var size byteSize
	c := &cobra.Command{
		Use:     "update NAME",
		Aliases: []string{"limit"},
		Short:   "Change what a tenant may use at once, and how long it keeps what has finished",
		Example: "  cofferdam tenant update acme --running 64 --weight 2\n  cofferdam tenant update acme --retention-days 7 --retention-bytes 1GiB",
		Args:    exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			body, keep := map[string]any{}, map[string]any{}
			if l := limitsOf(limits); len(l) > 0 {
				body["limits"] = l
			}
			// A 0 says something: the server's default.
			if c.Flags().Changed("retention-days") {
				keep["days"] = days
			}
			if c.Flags().Changed("retention-bytes") {
				keep["bytes"] = int64(size)
			}
			if len(keep) > 0 {
				body["retention"] = keep
			}
			var t tenant.Tenant
			if err := a.client().call(c.Context(), http.MethodPatch, "/v1/tenants/"+escape(args[0]), body, &t); err != nil {
				return err
			}
			return a.show(t, func(w io.Writer) { printTenants(w, t) })
		},
	}
	tenantLimitFlags(c, &limits)
	c.Flags().IntVar(&days, "retention-days", 0, "how long executions are kept once they have finished; 0 for the server's default")
	c.Flags().Var(&size, "retention-bytes", "how much is kept of what has finished, as 500MiB or 1GiB; 0 for the server's default")
	return c
}

func tenantLimitFlags(c *cobra.Command, l *tenant.Limits) {
	c.Flags().IntVar(&l.Running, "running", 0, "how many executions may run at once, in the cluster")
	c.Flags().IntVar(&l.Weight, "weight", 0, "its share of the workers against other tenants'")
}

// limitsOf keeps the limits that were given.
func limitsOf(l tenant.Limits) map[string]int {
	given := map[string]int{}
	if l.Running != 0 {
		given["running"] = l.Running
	}
	if l.Weight != 0 {
		given["weight"] = l.Weight
	}
	return given
}

func (a *app) tenantList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the tenants",
		Example: "  cofferdam tenant list -o json",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			all, err := everything[tenant.Tenant](c.Context(), a.client(), "/v1/tenants?limit=100")
			if err != nil {
				return err
			}
			return a.show(all, func(w io.Writer) { printTenants(w, all...) })
		},
	}
}

// tenantVerb is a verb that takes a tenant's name and nothing else.
func (a *app) tenantVerb(verb, short, method, suffix string) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " NAME",
		Short:   short,
		Example: "  cofferdam tenant " + verb + " acme",
		Args:    exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			var t tenant.Tenant
			if err := a.client().call(c.Context(), method, "/v1/tenants/"+escape(args[0])+suffix, nil, &t); err != nil {
				return err
			}
			return a.show(t, func(w io.Writer) { printTenants(w, t) })
		},
	}
}

func printTenants(w io.Writer, tenants ...tenant.Tenant) {
	var rows [][]string
	for _, t := range tenants {
		state := string(t.State)
		if !t.DeleteAt.IsZero() && t.State != tenant.Deleting {
			state += ", to be deleted " + t.DeleteAt.Local().Format(time.DateTime)
		}
		rows = append(rows, []string{t.Name, t.ID, state, strconv.Itoa(t.Limits.Running), strconv.Itoa(t.Limits.Weight), keeps(t.Retention), t.Title})
	}
	table(w, []string{"NAME", "ID", "STATE", "RUNNING", "WEIGHT", "KEEPS", "TITLE"}, rows)
	if len(rows) == 0 {
		fmt.Fprintln(w, "no tenants yet: cofferdam tenant create NAME")
	}
}

// keeps says how long a tenant keeps what has finished.
func keeps(r tenant.Retention) string {
	var parts []string
	if r.Days != 0 {
		parts = append(parts, strconv.Itoa(r.Days)+"d")
	}
	if r.Bytes != 0 {
		parts = append(parts, byteCount(r.Bytes))
	}
	return cmp.Or(strings.Join(parts, ", "), "default")
}
