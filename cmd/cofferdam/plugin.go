package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/registry"
)

func (a *app) pluginCommand() *cobra.Command {
	return group("plugin", "Publish connectors and look into them",
		a.pluginPublish(), a.pluginList(), a.pluginShow(), a.pluginYank(), a.pluginShare(),
		a.pluginInspect(), a.pluginProfile(), a.pluginShadow())
}

func (a *app) pluginPublish() *cobra.Command {
	var name, version, publisher string
	var share, hosts []string
	c := &cobra.Command{
		Use:   "publish FILE",
		Short: "Upload a version of a plugin",
		Long: "Upload a version of a plugin. A typed connector says its own name and version; for any other\n" +
			"Extism plugin --name and --version say them, and --allow-host what it may reach. FILE is the\n" +
			"module, or an Extism manifest (.json) in the folder of its module: its allowed_hosts are asked for\n" +
			"too, and how to install it with its configuration and limits is printed.",
		Example: "  cofferdam plugin publish build/hello-go.wasm\n" +
			"  cofferdam plugin publish count_vowels.wasm --name count-vowels --version 1.0.0\n" +
			"  cofferdam plugin publish manifest.json --name count-vowels --version 1.0.0",
		Args: exactly("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			f, err := openUpload(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			q := url.Values{}
			for k, v := range map[string]string{"name": name, "version": version, "publisher": publisher, "share": strings.Join(share, ",")} {
				if v != "" {
					q.Set(k, v)
				}
			}
			if hosts = append(hosts, f.hosts...); len(hosts) > 0 {
				q.Set("egress", egressOf(hosts))
			}
			var v registry.Version
			if err := a.client().send(c.Context(), http.MethodPost, "/v1/plugins?"+q.Encode(), "application/wasm", f, &v); err != nil {
				return err
			}
			if advice := f.advice(v); advice != "" {
				fmt.Fprintln(a.err, advice)
			}
			return a.show(v, func(w io.Writer) {
				fmt.Fprintf(w, "published %s@%s  %s  %s\n", v.Name, v.Version, v.ID, v.Digest)
			})
		},
	}
	flags := c.Flags()
	flags.StringVar(&name, "name", "", "the name, for a plugin without describe")
	flags.StringVar(&version, "version", "", "the semantic version, for a plugin without describe")
	flags.StringVar(&publisher, "publisher", "", "publish as this publisher (operators only)")
	flags.StringSliceVar(&share, "share", nil, "tenants that see a new plugin; * is everyone")
	flags.StringSliceVar(&hosts, "allow-host", nil, "hosts that a plugin without describe may reach")
	return c
}

// egressOf asks for the usual methods at hosts.
func egressOf(hosts []string) string {
	type wish struct {
		Host    string   `json:"host"`
		Methods []string `json:"methods"`
	}
	var wishes []wish
	for _, h := range hosts {
		wishes = append(wishes, wish{Host: h, Methods: []string{"GET", "POST", "PUT", "PATCH", "DELETE"}})
	}
	data, _ := json.Marshal(wishes) // Strings always encode.
	return string(data)
}

func (a *app) pluginList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the plugins that you may see",
		Example: "  cofferdam plugin list",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			var p page[registry.Plugin]
			if err := a.client().call(c.Context(), http.MethodGet, "/v1/plugins", nil, &p); err != nil {
				return err
			}
			return a.show(p, func(w io.Writer) {
				var rows [][]string
				for _, pl := range p.Items {
					rows = append(rows, []string{pl.Name, pl.ID, pl.Publisher, strings.Join(pl.Shared, ","), pl.Title})
				}
				table(w, []string{"NAME", "ID", "PUBLISHER", "SHARED", "TITLE"}, rows)
			})
		},
	}
}

// pluginDetail is what the API shows of one plugin.
type pluginDetail struct {
	registry.Plugin
	Versions []registry.Version `json:"versions"`
}

func (a *app) pluginShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show NAME",
		Short:   "Show a plugin, its versions and what the newest asks for",
		Example: "  cofferdam plugin show hello-go",
		Args:    exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			var p pluginDetail
			if err := a.client().call(c.Context(), http.MethodGet, "/v1/plugins/"+escape(args[0]), nil, &p); err != nil {
				return err
			}
			return a.show(p, func(w io.Writer) { printPlugin(w, p) })
		},
	}
}

func printPlugin(w io.Writer, p pluginDetail) {
	fmt.Fprintf(w, "%s  %s  publisher %s  shared with %s\n", p.Name, p.ID, p.Publisher, strings.Join(p.Shared, ","))
	for _, v := range p.Versions {
		note := ""
		if !v.YankedAt.IsZero() {
			note = "  yanked: " + v.YankedWhy
		}
		fmt.Fprintf(w, "  %s  %s  %s  %s%s\n", v.Version, v.ID, byteCount(v.Size), v.Digest, note)
	}
	if len(p.Versions) == 0 {
		return
	}
	m := p.Versions[0].Manifest
	for _, x := range m.Actions {
		fmt.Fprintf(w, "  action      %s  %s\n", x.Name, x.Title)
	}
	for _, x := range m.Webhooks {
		fmt.Fprintf(w, "  webhook     %s  signed as %s\n", x.Name, x.Scheme)
	}
	for _, x := range m.Polls {
		fmt.Fprintf(w, "  poll        %s  every %s\n", x.Name, x.Every)
	}
	for _, x := range m.Connections {
		fmt.Fprintf(w, "  connection  %s  %s to %s\n", x.Name, x.Type, strings.Join(x.Hosts, ","))
	}
	for _, x := range m.Egress {
		fmt.Fprintf(w, "  egress      %s  %s\n", x.Host, strings.Join(x.Methods, ","))
	}
}

func (a *app) pluginYank() *cobra.Command {
	var why string
	c := &cobra.Command{
		Use:     "yank NAME@VERSION",
		Short:   "Hide a version from new installations; what runs it goes on",
		Example: "  cofferdam plugin yank hello-go@0.1.0 --reason 'labels the wrong issue'",
		Args:    exactly("NAME@VERSION"),
		RunE: func(c *cobra.Command, args []string) error {
			name, version, ok := strings.Cut(args[0], "@")
			if !ok {
				return usagef("%q names no version: write NAME@VERSION", args[0])
			}
			var v registry.Version
			path := "/v1/plugins/" + escape(name) + "/versions/" + escape(version) + "/yank"
			if err := a.client().call(c.Context(), http.MethodPost, path, map[string]string{"reason": why}, &v); err != nil {
				return err
			}
			return a.show(v, func(w io.Writer) { fmt.Fprintf(w, "yanked %s@%s: %s\n", v.Name, v.Version, v.YankedWhy) })
		},
	}
	c.Flags().StringVar(&why, "reason", "", "why, for those who look at it later")
	return c
}

func (a *app) pluginShare() *cobra.Command {
	return &cobra.Command{
		Use:     "share NAME TENANT[,TENANT]",
		Short:   "Set which tenants see a plugin; * is everyone",
		Example: "  cofferdam plugin share hello-go acme,globex",
		Args:    exactly("NAME", "TENANTS"),
		RunE: func(c *cobra.Command, args []string) error {
			var p registry.Plugin
			body := map[string][]string{"tenants": strings.Split(args[1], ",")}
			if err := a.client().call(c.Context(), http.MethodPut, "/v1/plugins/"+escape(args[0])+"/share", body, &p); err != nil {
				return err
			}
			return a.show(p, func(w io.Writer) {
				fmt.Fprintf(w, "%s is shared with %s\n", p.Name, strings.Join(p.Shared, ","))
			})
		},
	}
}
