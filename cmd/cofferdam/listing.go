package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// everything follows a listing's cursors to its end. The path may have a query.
func everything[T any](ctx context.Context, c *client, path string) ([]T, error) {
	all := []T{}
	for cursor := ""; ; {
		at := path
		if cursor != "" {
			sep := "?"
			if strings.Contains(path, "?") {
				sep = "&"
			}
			at += sep + "cursor=" + url.QueryEscape(cursor)
		}
		var p page[T]
		if err := c.call(ctx, http.MethodGet, at, nil, &p); err != nil {
			return nil, err
		}
		all = append(all, p.Items...)
		if p.Next == "" {
			return all, nil
		}
		cursor = p.Next
	}
}

// listVerb lists the things of one kind that a tenant has.
func listVerb[T any](a *app, things, short, path string, text func(w io.Writer, all ...T)) *cobra.Command {
	return a.tenantFlag(listAt(a, things, short, func() string { return a.inTenant("%s", path) }, text))
}

// listAt lists the things of one kind that are at a path.
func listAt[T any](a *app, things, short string, path func() string, text func(w io.Writer, all ...T)) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   short,
		Example: "  cofferdam " + things + " list --tenant acme",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			var p page[T]
			if err := a.client().call(c.Context(), http.MethodGet, path(), nil, &p); err != nil {
				return err
			}
			return a.show(p, func(w io.Writer) { text(w, p.Items...) })
		},
	}
}

// removeVerb ends one of a tenant's things; done is what became of it, such as
// "deleted".
func (a *app) removeVerb(verb, done, example, short, path string) *cobra.Command {
	return a.tenantFlag(a.removeAt(verb, done, example, short, func() string { return a.inTenant("%s", path) }))
}

// removeAt is removeVerb of what is at a path.
func (a *app) removeAt(verb, done, example, short string, path func() string) *cobra.Command {
	thing, name, _ := strings.Cut(example, " ")
	return &cobra.Command{
		Use:     verb + " " + strings.ToUpper(thing),
		Short:   short,
		Example: "  cofferdam " + thing + " " + verb + " " + name + " --tenant acme",
		Args:    exactly(strings.ToUpper(thing)),
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.client().call(c.Context(), http.MethodDelete, path()+"/"+escape(args[0]), nil, nil); err != nil {
				return err
			}
			return a.show(map[string]string{done: args[0]}, func(w io.Writer) { fmt.Fprintln(w, done, args[0]) })
		},
	}
}

// notedTable is a table whose rows have a note at their end, which most have not; the
// column is there only if one has.
func notedTable(w io.Writer, heading []string, rows [][]string) {
	n := len(heading)
	if slices.ContainsFunc(rows, func(row []string) bool { return row[n] != "" }) {
		table(w, append(slices.Clone(heading), "NOTE"), rows)
		return
	}
	plain := make([][]string, len(rows))
	for i, row := range rows {
		plain[i] = row[:n]
	}
	table(w, heading, plain)
}
