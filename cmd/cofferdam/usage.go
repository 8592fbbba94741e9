package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/tenant"
	"github.com/cofferdam-run/cofferdam/host/usage"
)

// usageFlags say what is to be summed up.
type usageFlags struct {
	from, to, by, installation string
	all                        bool
}

func (a *app) usageCommand() *cobra.Command {
	var f usageFlags
	c := a.tenantFlag(&cobra.Command{
		Use:   "usage",
		Short: "Show what a tenant's runs have cost, by day, or what each tenant's have",
		Long: "Show what runs have cost. Each counts on the UTC day that it ended, whether it succeeded or not.\n" +
			"Without dates it is the last 30 days; at most 366 days can be asked for at once.",
		Example: "  cofferdam usage --tenant acme\n" +
			"  cofferdam usage --tenant acme --from 2026-11-01 --to 2026-11-30 --by installation\n" +
			"  cofferdam usage --all -o json",
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			if f.all {
				return a.usageOfAll(c, f)
			}
			return a.usageOfOne(c, f)
		},
	})
	flags := c.Flags()
	flags.StringVar(&f.from, "from", "", "the first day, as 2026-11-01")
	flags.StringVar(&f.to, "to", "", "the last day; today by default")
	flags.StringVar(&f.by, "by", "day", "day or installation")
	flags.StringVar(&f.installation, "installation", "", "only this installation's")
	flags.BoolVar(&f.all, "all", false, "a line for each tenant; for operators")
	return c
}

// query is the flags as the API reads them.
func (f usageFlags) query() url.Values {
	q := url.Values{}
	for k, v := range map[string]string{"from": f.from, "to": f.to, "installation": f.installation} {
		if v != "" {
			q.Set(k, v)
		}
	}
	return q
}

func (a *app) usageOfOne(c *cobra.Command, f usageFlags) error {
	q := f.query()
	q.Set("by", f.by)
	var p page[usage.Total]
	if err := a.client().call(c.Context(), http.MethodGet, a.inTenant("/usage?%s", q.Encode()), nil, &p); err != nil {
		return err
	}
	return a.show(p, func(w io.Writer) {
		if f.by == "installation" {
			printUsage(w, "INSTALLATION", p.Items, func(t usage.Total) string { return t.Installation })
			return
		}
		printUsage(w, "DAY", p.Items, func(t usage.Total) string { return string(t.Day) })
	})
}

func (a *app) usageOfAll(c *cobra.Command, f usageFlags) error {
	for _, other := range []string{"tenant", "by", "installation"} {
		if c.Flags().Changed(other) {
			return usagef("--all is a line for each tenant, so it does not go with --%s", other)
		}
	}
	q := f.query()
	q.Set("limit", "100")
	all, err := everything[usage.Total](c.Context(), a.client(), "/v1/usage?"+q.Encode())
	if err != nil {
		return err
	}
	if a.Output == "json" {
		return a.show(all, nil)
	}
	tenants, err := everything[tenant.Tenant](c.Context(), a.client(), "/v1/tenants?limit=100")
	if err != nil {
		return err
	}
	names := map[string]string{}
	for _, t := range tenants {
		names[t.ID] = t.Name
	}
	printUsage(a.out, "TENANT", all, func(t usage.Total) string {
		if name := names[t.Tenant]; name != "" {
			return name
		}
		return t.Tenant // It was added a moment ago.
	})
	return nil
}

// printUsage prints a line for each total, and one for all of them.
func printUsage(w io.Writer, heading string, all []usage.Total, name func(usage.Total) string) {
	if len(all) == 0 {
		fmt.Fprintln(w, "nothing ran in these days")
		return
	}
	var rows [][]string
	var sum usage.Total
	for _, t := range all {
		rows = append(rows, usageRow(name(t), t))
		sum = sum.Plus(t)
	}
	if len(all) > 1 {
		rows = append(rows, usageRow("total", sum))
	}
	table(w, []string{heading, "EXECUTIONS", "ATTEMPTS", "FUEL", "CPU", "WALL", "HOST CALLS", "IN", "OUT", "PEAK MEMORY"}, rows)
}

func usageRow(name string, t usage.Total) []string {
	return []string{
		name, strconv.FormatInt(t.Executions, 10), strconv.FormatInt(t.Attempts, 10), fuelCount(t.Fuel),
		duration(t.CPU), duration(t.Wall), strconv.FormatInt(t.HostCalls, 10),
		byteCount(t.InputBytes), byteCount(t.OutputBytes), byteCount(t.MemoryBytes),
	}
}
