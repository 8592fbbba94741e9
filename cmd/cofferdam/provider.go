package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
)

func (a *app) providerCommand() *cobra.Command {
	return group("provider", "Show the OAuth providers that are known, and what is odd about each",
		a.providerList(), a.providerShow(), a.providerTest())
}

// providersFlag adds --dir, of descriptors beside those that come with the program.
func providersFlag(c *cobra.Command, dir *string) *cobra.Command {
	c.Flags().StringVar(dir, "dir", "", "a folder of further descriptors, one NAME.json each")
	return c
}

// providers loads what comes with the program and what is in dir, which flag names, if
// there is one.
func providers(flag, dir string) (provider.Set, error) {
	set, err := provider.Load()
	if err != nil || dir == "" {
		return set, err
	}
	if _, err := os.Stat(dir); err != nil {
		return provider.Set{}, fmt.Errorf("read %s: %w", flag, err)
	}
	return set.With(dir, os.DirFS(dir))
}

func (a *app) providerList() *cobra.Command {
	var dir string
	return providersFlag(&cobra.Command{
		Use:   "list",
		Short: "List the providers",
		Long: "List the providers: how tokens are got, what a person has to enter, and in how many\n" +
			"ways each is other than the standards' defaults. It needs no server.",
		Example: "  cofferdam provider list\n  cofferdam provider list --dir ./providers -o json",
		Args:    exactly(),
		RunE: func(*cobra.Command, []string) error {
			set, err := providers("--dir", dir)
			if err != nil {
				return err
			}
			return a.show(set.All(), func(w io.Writer) {
				var rows [][]string
				for _, p := range set.All() {
					rows = append(rows, []string{p.Name, p.Title, strings.Join(p.Grant, ","), cmp.Or(strings.Join(variablesFrom(p, true), ","), "-"), strconv.Itoa(len(p.Quirks()))})
				}
				table(w, []string{"NAME", "TITLE", "GRANTS", "ASKS FOR", "QUIRKS"}, rows)
			})
		},
	}, &dir)
}

func (a *app) providerShow() *cobra.Command {
	var dir string
	return providersFlag(&cobra.Command{
		Use:   "show PROVIDER",
		Short: "Show a provider: its endpoints, what it asks for, its quirks, and where that is from",
		Long: "Show a provider: its endpoints, what a person has to enter, what is odd about it, and the\n" +
			"pages of the vendor's that this is from. With -o json it is the descriptor, defaults filled in.",
		Example: "  cofferdam provider show salesforce\n  cofferdam provider show acme --dir ./providers",
		Args:    exactly("PROVIDER"),
		RunE: func(_ *cobra.Command, args []string) error {
			set, err := providers("--dir", dir)
			if err != nil {
				return err
			}
			p, err := set.Provider(args[0])
			if err != nil {
				return err
			}
			return a.show(p, func(w io.Writer) { printProvider(w, p) })
		},
	}, &dir)
}

func printProvider(w io.Writer, p provider.Provider) {
	fmt.Fprintf(w, "%s  %s\n", p.Name, p.Title)
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(tw, "  %s\t%s\n", name, value)
		}
	}
	line("grants", strings.Join(p.Grant, ", "))
	line("issuer", p.Issuer)
	line("authorize", p.AuthorizationEndpoint)
	line("token", p.TokenEndpoint)
	if p.RefreshEndpoint != p.TokenEndpoint {
		line("refresh", p.RefreshEndpoint)
	}
	line("revoke", p.RevocationEndpoint)
	line("introspect", p.IntrospectionEndpoint)
	line("device", p.DeviceAuthorizationEndpoint)
	line("token goes to", strings.Join(p.Hosts, ", "))
	tw.Flush()
	printVariables(w, p, "asks for", true)
	printVariables(w, p, "learns", false)
	printLines(w, "quirks", p.Quirks())
	printLines(w, "from", p.Docs)
}

// variablesFrom lists the variables that a person enters, or all others.
func variablesFrom(p provider.Provider, input bool) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(p.Variables)) {
		if (p.Variables[name].From == "input") == input {
			names = append(names, name)
		}
	}
	return names
}

func printVariables(w io.Writer, p provider.Provider, heading string, input bool) {
	names := variablesFrom(p, input)
	if len(names) == 0 {
		return
	}
	fmt.Fprintln(w, heading)
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, name := range names {
		v := p.Variables[name]
		about := "such as " + v.Example
		switch {
		case !input:
			about = strings.NewReplacer("callback:", "from the callback, ", "token:", "from the token response, ", "lookup", "looked up with the token").Replace(v.From)
		case v.Default != "":
			about += "; " + v.Default + " if it is not given"
		}
		fmt.Fprintf(tw, "  %s\t%s\t%s\n", name, v.Title, about)
		if v.Help != "" {
			fmt.Fprintf(tw, "  \t\t%s\n", v.Help)
		}
	}
	tw.Flush()
}

func printLines(w io.Writer, heading string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintln(w, heading)
	for _, l := range lines {
		fmt.Fprintln(w, "  "+l)
	}
}
