package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/tenant"
)

func (a *app) tenantDelete() *cobra.Command {
	var yes bool
	var grace period
	c := &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a tenant with all that it owns but what it has used, after a grace",
		Long: "Delete a tenant. It is paused at once, and nothing else happens until the grace is over: until then\n" +
			"'cofferdam tenant restore' calls it off. Then its key is destroyed, so that its credentials and all else\n" +
			"that it had sealed cannot be read any more, and its rows are erased. 'cofferdam tenant deletion' shows\n" +
			"how far that is, and at the end what was erased and what remains where. What it has used stays, for bills.\n\n" +
			"Export it first if anybody may want its data: cofferdam tenant export. Doing this again changes nothing but\n" +
			"the grace, which counts from when the deletion was asked for first.",
		Example: "  cofferdam tenant delete acme --yes\n  cofferdam tenant delete acme --grace 30d --yes\n  cofferdam tenant delete acme --grace 0s --yes   # at once: nothing brings it back",
		Args:    exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			path := "/v1/tenants/" + escape(args[0])
			given := c.Flags().Changed("grace")
			if !yes {
				return usagef("%s", whatDeletingDoes(args[0], given, time.Duration(grace)))
			}
			if given {
				path += "?grace=" + url.QueryEscape(time.Duration(grace).String())
			}
			var d tenant.Deletion
			if err := a.client().call(c.Context(), http.MethodDelete, path, nil, &d); err != nil {
				return err
			}
			return a.show(d, func(w io.Writer) { printDeletion(w, d) })
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "really delete it")
	c.Flags().Var(&grace, "grace", "how long it can be called off, from 0s to 90d; the server's default, which is 7d unless it is told otherwise")
	return c
}

// whatDeletingDoes is said to those who have not said --yes.
func whatDeletingDoes(name string, given bool, grace time.Duration) string {
	when := "when the server's grace is over, which is 7 days unless it is told otherwise"
	if given {
		when = grace.String() + " after it was asked for"
		if grace == 0 {
			when = "at once, and nothing brings it back"
		}
	}
	return fmt.Sprintf("deleting %q pauses it now and destroys its key and all that it owns %s; say --yes if you mean it, and 'cofferdam tenant export %s' first if its data may be wanted",
		name, when, name)
}

func (a *app) tenantDeletion() *cobra.Command {
	return &cobra.Command{
		Use:     "deletion NAME",
		Short:   "Show how far the deletion of a tenant is, what it has erased, and what remains where",
		Long:    "Show the deletion of a tenant, by its id or the name that it has or had. The report stays when the tenant is gone.",
		Example: "  cofferdam tenant deletion acme\n  cofferdam tenant deletion ten_01J9ZK7V5Q8W3E6R1T0Y2U4I8O -o json > report.json",
		Args:    exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			var d tenant.Deletion
			if err := a.client().call(c.Context(), http.MethodGet, "/v1/tenants/"+escape(args[0])+"/deletion", nil, &d); err != nil {
				return err
			}
			return a.show(d, func(w io.Writer) { printDeletion(w, d) })
		},
	}
}

func (a *app) tenantDeletions() *cobra.Command {
	return &cobra.Command{
		Use:     "deletions",
		Short:   "List the deletions of tenants, done and to come",
		Example: "  cofferdam tenant deletions",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			all, err := everything[tenant.Deletion](c.Context(), a.client(), "/v1/deletions?limit=100")
			if err != nil {
				return err
			}
			return a.show(all, func(w io.Writer) {
				var rows [][]string
				for _, d := range all {
					rows = append(rows, []string{d.Name, d.Tenant, string(d.State), stamp(d.AskedAt), stamp(d.DueAt), stamp(d.FinishedAt)})
				}
				table(w, []string{"NAME", "ID", "STATE", "ASKED", "DUE", "DONE"}, rows)
				if len(rows) == 0 {
					fmt.Fprintln(w, "no tenant was deleted, or is to be")
				}
			})
		},
	}
}

// stamp writes a time for people, and a dash for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format(time.DateTime)
}

func printDeletion(w io.Writer, d tenant.Deletion) {
	by := d.AskedBy
	if by == "" {
		by = "nobody knows whom"
	}
	switch d.State {
	case tenant.DeletionAsked:
		fmt.Fprintf(w, "%s (%s) is paused, and is deleted at %s\n", d.Name, d.Tenant, stamp(d.DueAt))
		fmt.Fprintf(w, "  then its key is destroyed, which nothing undoes, and what it owns is erased\n")
		fmt.Fprintf(w, "  call it off before: cofferdam tenant restore %s\n", d.Name)
		fmt.Fprintf(w, "  keep its data:      cofferdam tenant export %s %[1]s.tar.gz\n", d.Name)
	case tenant.DeletionErasing:
		fmt.Fprintf(w, "%s (%s) is being deleted: its key and tokens are gone, the rest follows within minutes\n", d.Name, d.Tenant)
		fmt.Fprintf(w, "  see how far it is: cofferdam tenant deletion %s\n", d.Tenant)
	default:
		fmt.Fprintf(w, "%s (%s) is deleted since %s\n", d.Name, d.Tenant, stamp(d.FinishedAt))
	}
	fmt.Fprintf(w, "asked for by %s at %s\n", by, stamp(d.AskedAt))
	if d.Waits != "" {
		fmt.Fprintf(w, "waits for %s\n", d.Waits)
	}
	if !d.DestroyedAt.IsZero() {
		printDestroyed(w, d)
	}
	printErased(w, d.Report)
}

func printDestroyed(w io.Writer, d tenant.Deletion) {
	k := d.Report.Key
	if k == nil {
		fmt.Fprintf(w, "it had sealed nothing, and had no key, at %s\n", stamp(d.DestroyedAt))
		return
	}
	fmt.Fprintf(w, "key %s, generation %d, wrapped by %s, destroyed at %s\n", strings.Join(k.IDs, ", "), k.Generation, k.KEK, stamp(d.DestroyedAt))
	if !k.Payloads {
		fmt.Fprintln(w, "  payloads from before they were sealed were not sealed with it")
	}
	fmt.Fprintf(w, "  SHA-256 of it as it was stored, wrapped: %s\n", k.SHA256)
}

func printErased(w io.Writer, r tenant.Report) {
	var rows [][]string
	for _, name := range slices.Sorted(maps.Keys(r.Erased)) {
		rows = append(rows, []string{name, strconv.FormatInt(r.Erased[name], 10)})
	}
	if len(rows) > 0 {
		fmt.Fprintln(w, "\nerased:")
		table(w, []string{"TABLE", "ROWS"}, rows)
	}
	if len(r.Remains) > 0 {
		fmt.Fprintln(w, "\nremains:")
	}
	for _, left := range r.Remains {
		count := ""
		if left.Rows > 0 {
			count = fmt.Sprintf(" (%d)", left.Rows)
		}
		fmt.Fprintf(w, "  %s%s: %s\n    until %s\n", left.Where, count, left.What, left.Until)
	}
}
