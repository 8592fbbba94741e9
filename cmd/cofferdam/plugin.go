package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/signature"
)

func (a *app) pluginCommand() *cobra.Command {
	return group("plugin", "Publish connectors and look into them",
		a.pluginPublish(), a.pluginList(), a.pluginShow(), a.pluginDiff(), a.pluginPromote(), a.pluginDeprecate(), a.pluginPause(), a.pluginResume(), a.pluginYank(), a.pluginShare(),
		a.pluginKeygen(), a.pluginSign(), a.pluginPush(), a.pluginPull(),
		a.pluginInspect(), a.pluginCheck(), a.pluginDocs(), a.pluginProfile(), a.pluginShadow())
}

// publishing is an upload by this program.
type publishing struct {
	*app
	name, version, publisher, channel string
	share, hosts                      []string
	signer                            signer
}

func (a *app) pluginPublish() *cobra.Command {
	p := publishing{app: a}
	c := &cobra.Command{
		Use:   "publish FILE",
		Short: "Upload a version of a plugin",
		Long: "Upload a version of a plugin, and say what it asks for beyond the one before. A typed connector says\n" +
			"its own name and version; for any other Extism plugin --name and --version say them, and --allow-host\n" +
			"what it may reach. FILE is the module, or an Extism manifest (.json) in the folder of its module: its\n" +
			"allowed_hosts are asked for too, and how to install it with its configuration and limits is printed.\n\n" +
			"It is signed with --key, or with FILE.sig, which cofferdam plugin sign has written.",
		Example: "  cofferdam plugin publish build/hello-go.wasm --key author.key\n" +
			"  cofferdam plugin publish build/hello-go.wasm --channel beta\n" +
			"  cofferdam plugin publish count_vowels.wasm --name count-vowels --version 1.0.0\n" +
			"  cofferdam plugin publish manifest.json --name count-vowels --version 1.0.0",
		Args: exactly("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			f, err := openUpload(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			wasm, err := io.ReadAll(f)
			if err != nil {
				return fmt.Errorf("read %s: %w", args[0], err)
			}
			p.hosts = append(p.hosts, f.hosts...)
			sig, err := p.signer.signature(c.Context(), p, args[0], wasm)
			if err != nil {
				return err
			}
			return p.publish(c.Context(), wasm, sig, f.advice)
		},
	}
	p.flags(c)
	p.signer.flags(c)
	return c
}

func (p *publishing) flags(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&p.name, "name", "", "the name, for a plugin without describe")
	flags.StringVar(&p.version, "version", "", "the semantic version, for a plugin without describe")
	flags.StringVar(&p.publisher, "publisher", "", "publish as this publisher (operators only)")
	flags.StringVar(&p.channel, "channel", "", "where it is offered: stable or beta; beta by default for a pre-release, else stable")
	flags.StringSliceVar(&p.share, "share", nil, "tenants that see a new plugin; * is everyone")
	flags.StringSliceVar(&p.hosts, "allow-host", nil, "hosts that a plugin without describe may reach")
}

// publish uploads a module. A signature of nil is none.
func (p *publishing) publish(ctx context.Context, wasm []byte, sig *signature.Signature, advice func(registry.Version) string) error {
	q := url.Values{}
	for k, v := range map[string]string{
		"name": p.name, "version": p.version, "publisher": p.publisher, "channel": p.channel, "share": strings.Join(p.share, ","),
	} {
		if v != "" {
			q.Set(k, v)
		}
	}
	if len(p.hosts) > 0 {
		q.Set("egress", egressOf(p.hosts))
	}
	client := p.client()
	if sig != nil {
		document, err := json.Marshal(sig)
		if err != nil {
			return fmt.Errorf("encode the signature: %w", err)
		}
		client.header = http.Header{"Plugin-Signature": {base64.StdEncoding.EncodeToString(document)}}
	}
	var v versionDetail
	if err := client.send(ctx, http.MethodPost, "/v1/plugins?"+q.Encode(), "application/wasm", bytes.NewReader(wasm), &v); err != nil {
		return err
	}
	p.warn(v.Warnings)
	if text := advice(v.Version); text != "" {
		fmt.Fprintln(p.err, text)
	}
	return p.show(v, func(w io.Writer) {
		fmt.Fprintf(w, "published %s@%s  %s  %s  %s%s\n", v.Name, v.Version.Version, v.ID, v.Digest, v.Channel, signedBy(v.Version))
		if v.Changes != nil {
			fmt.Fprint(w, v.Changes)
		}
	})
}

// warn tells people, on standard error, what they should know of a plugin.
func (a *app) warn(warnings []string) {
	for _, text := range warnings {
		fmt.Fprintln(a.err, "warning:", text)
	}
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
					note := ""
					if !pl.DeprecatedAt.IsZero() {
						note = "deprecated: " + pl.DeprecatedWhy
					}
					rows = append(rows, []string{pl.Name, pl.ID, pl.Publisher, strings.Join(pl.Shared, ","), pl.Title, note})
				}
				notedTable(w, []string{"NAME", "ID", "PUBLISHER", "SHARED", "TITLE"}, rows)
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
	if !p.DeprecatedAt.IsZero() {
		fmt.Fprintf(w, "  deprecated: %s\n", p.DeprecatedWhy)
	}
	if !p.PausedAt.IsZero() {
		fmt.Fprintf(w, "  paused since %s: nothing of it runs\n", p.PausedAt.Local().Format(time.DateTime))
	}
	for _, v := range p.Versions {
		note := signedBy(v)
		if !v.DeprecatedAt.IsZero() {
			note += "  deprecated: " + v.DeprecatedWhy
		}
		if !v.YankedAt.IsZero() {
			note += "  yanked: " + v.YankedWhy
		}
		fmt.Fprintf(w, "  %s  %s  %s  %s  %s%s\n", v.Version, v.Channel, v.ID, byteCount(v.Size), v.Digest, note)
		if v.Build != nil {
			fmt.Fprintf(w, "    built from %s\n", v.Build)
		}
	}
	if len(p.Versions) == 0 {
		return
	}
	m := p.Versions[0].Manifest
	for _, x := range m.Actions {
		fmt.Fprintf(w, "  action      %s  %s\n", x.Name, x.Title)
	}
	for _, x := range m.Webhooks {
		fmt.Fprintf(w, "  webhook     %s  %s\n", x.Name, x.Signed())
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
