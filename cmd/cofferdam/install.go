package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/registry/channel"
)

func (a *app) installCommand() *cobra.Command {
	var spec installation.Spec
	var config, grants, follows string
	var polls bool
	c := &cobra.Command{
		Use:   "install PLUGIN[@VERSION]",
		Short: "Enable a plugin for a tenant",
		Long: "Enable a plugin for a tenant. Without --grants the tenant allows what the plugin asks for today,\n" +
			"and connections by the plugin's own names where the tenant has one of that name. The version is pinned,\n" +
			"unless --channel says what to follow.",
		Example: "  cofferdam install hello-go --tenant acme --config '{\"label\":\"triage\"}'\n" +
			"  cofferdam install hello-go --channel stable --tenant acme\n" +
			"  cofferdam install hello-go --schedule-polls --tenant acme\n" +
			"  cofferdam install hello-go@0.1.0 -t acme --config @config.json --grants @grants.json",
		Args: exactly("PLUGIN"),
		RunE: func(c *cobra.Command, args []string) error {
			spec.Plugin = args[0]
			var err error
			if spec.Config, err = a.document("--config", config); err != nil {
				return err
			}
			if spec.Grants, err = a.grants(grants); err != nil {
				return err
			}
			spec.Channel = channel.Channel(follows)
			var i installationDetail
			if err := a.client().call(c.Context(), http.MethodPost, a.inTenant("/installations"), spec, &i); err != nil {
				return err
			}
			a.warn(i.Warnings)
			if err := a.show(i, func(w io.Writer) { printInstallations(w, i) }); err != nil || !polls {
				return err
			}
			return a.schedulePolls(c, i.Installation)
		},
	}
	c.Flags().StringVar(&spec.Name, "name", "", "the installation's name; the plugin's own by default")
	c.Flags().StringVar(&follows, "channel", "", "follow a channel: stable or beta")
	c.Flags().StringVar(&config, "config", "", "the configuration: JSON, @file, or - for standard input")
	c.Flags().StringVar(&grants, "grants", "", "what the tenant allows: JSON, @file, or -")
	c.Flags().IntVar(&spec.MaxRunning, "max-running", 0, "how many of its executions run at once, in the cluster; 0 is as many as the tenant's")
	c.Flags().BoolVar(&polls, "schedule-polls", false, "have its polls done as often as the plugin suggests: see 'cofferdam schedule'")
	return a.tenantFlag(c)
}

func (a *app) installationCommand() *cobra.Command {
	return group("installation", "Look at what a tenant has installed, and change it",
		listVerb(a, "installation", "List a tenant's installations", "/installations", printInstallations),
		a.installationVerb("show", "Show an installation", http.MethodGet, ""),
		a.installationConfigure(), a.installationUpdate(),
		a.installationUpgrade(), a.installationFollow(), a.installationPin(),
		a.installationVerb("rollback", "Go back to the version before the last upgrade", http.MethodPost, "/rollback"),
		a.draining(a.installationVerb("pause", "Keep events without running them", http.MethodPost, "/pause"),
			func(name string) (string, url.Values) {
				return a.inTenant("/in-flight"), url.Values{"installation": {name}}
			}),
		a.installationVerb("resume", "Run what has gathered", http.MethodPost, "/resume"),
		a.removeVerb("remove", "removed", "installation hello-go", "Uninstall; what it has run stays visible", "/installations"),
		a.installationCall(),
		a.installationTest())
}

// installationVerb is a verb that takes an installation and nothing else.
func (a *app) installationVerb(verb, short, method, suffix string) *cobra.Command {
	return a.tenantFlag(&cobra.Command{
		Use:     verb + " INSTALLATION",
		Short:   short,
		Example: "  cofferdam installation " + verb + " hello-go --tenant acme",
		Args:    exactly("INSTALLATION"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.changeInstallation(c, method, args[0], suffix, nil)
		},
	})
}

func (a *app) changeInstallation(c *cobra.Command, method, name, suffix string, body any) error {
	var i installationDetail
	if err := a.client().call(c.Context(), method, a.inTenant("/installations/%s%s", escape(name), suffix), body, &i); err != nil {
		return err
	}
	a.warn(i.Warnings)
	return a.show(i, func(w io.Writer) {
		printInstallations(w, i)
		printUpgrade(w, i)
	})
}

// installationDetail is what the API shows of an installation.
type installationDetail struct {
	installation.Installation
	Warnings []string `json:"warnings,omitempty"`
}

func (a *app) installationConfigure() *cobra.Command {
	return a.tenantFlag(&cobra.Command{
		Use:     "configure INSTALLATION CONFIG",
		Short:   "Replace an installation's configuration",
		Example: "  cofferdam installation configure hello-go '{\"label\":\"bug\"}' --tenant acme",
		Args:    exactly("INSTALLATION", "CONFIG"),
		RunE: func(c *cobra.Command, args []string) error {
			config, err := a.document("CONFIG", args[1])
			if err != nil {
				return err
			}
			return a.changeInstallation(c, http.MethodPut, args[0], "/config", config)
		},
	})
}

func (a *app) installationUpdate() *cobra.Command {
	var running int
	c := a.tenantFlag(&cobra.Command{
		Use:   "update INSTALLATION",
		Short: "Change how many of an installation's executions run at once",
		Long: "Change how many of an installation's executions run at once, in the cluster. What it cannot run holds up\n" +
			"no other installation of the tenant; 0 leaves it at the tenant's cap.",
		Example: "  cofferdam installation update hello-go --max-running 4 --tenant acme",
		Args:    exactly("INSTALLATION"),
		RunE: func(c *cobra.Command, args []string) error {
			if !c.Flags().Changed("max-running") {
				return usagef("nothing to change: say --max-running N")
			}
			return a.changeInstallation(c, http.MethodPatch, args[0], "", map[string]int{"max_running": running})
		},
	})
	c.Flags().IntVar(&running, "max-running", 0, "how many run at once; 0 is as many as the tenant's")
	return c
}

// called is what the API says of a call.
type called struct {
	Execution string          `json:"execution"`
	Event     string          `json:"event"`
	State     execution.State `json:"state"`
	Output    json.RawMessage `json:"output,omitempty"`
	Error     *fault.Error    `json:"error,omitempty"`
}

func (a *app) installationCall() *cobra.Command {
	var input string
	var raw bool
	c := a.tenantFlag(&cobra.Command{
		Use:   "call INSTALLATION ACTION",
		Short: "Call an action, wait for it, and print what it returns",
		Long: "Call an action, wait for it, and print what it returns. A plain Extism plugin's actions are its exports, which\n" +
			"take any bytes with --raw; what they return is shown as base64 in a JSON string unless it is JSON.",
		Example: "  cofferdam installation call hello-go label --input '{\"repo\":\"acme/site\",\"number\":7,\"label\":\"bug\"}' -t acme\n" +
			"  cofferdam installation call count-vowels count_vowels --raw --input 'Hello, World!' -t acme",
		Args: exactly("INSTALLATION", "ACTION"),
		RunE: func(c *cobra.Command, args []string) error {
			read, kind := a.document, "application/json"
			if raw {
				read, kind = func(_, value string) (json.RawMessage, error) { return a.raw(value) }, "application/octet-stream"
			}
			body, err := read("--input", input)
			if err != nil {
				return err
			}
			return a.callInstallation(c, a.inTenant("/installations/%s/actions/%s", escape(args[0]), escape(args[1])), kind, body)
		},
	})
	c.Flags().StringVar(&input, "input", "{}", "the input: JSON, @file, or - for standard input")
	c.Flags().BoolVar(&raw, "raw", false, "the input is no JSON")
	return c
}

func (a *app) installationTest() *cobra.Command {
	return a.tenantFlag(&cobra.Command{
		Use:     "test INSTALLATION",
		Short:   "Have the plugin check itself: its credentials, whether its API answers",
		Example: "  cofferdam installation test hello-go --tenant acme",
		Args:    exactly("INSTALLATION"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.callInstallation(c, a.inTenant("/installations/%s/test", escape(args[0])), "application/json", nil)
		},
	})
}

// callInstallation prints what a call came to; a call that is dead or cancelled
// is the verb's error.
func (a *app) callInstallation(c *cobra.Command, path, contentType string, body []byte) error {
	var got called
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	if err := a.client().send(c.Context(), http.MethodPost, path, contentType, reader, &got); err != nil {
		return err
	}
	err := a.show(got, func(w io.Writer) {
		fmt.Fprintf(w, "%s  %s\n", got.Execution, got.State)
		if len(got.Output) > 0 {
			fmt.Fprintln(w, string(got.Output))
		}
	})
	if err == nil && got.Error != nil && got.State.Done() {
		return got.Error
	}
	return err
}

// document reads a JSON document from a flag: literal, @file or - .
func (a *app) document(flag, value string) (json.RawMessage, error) {
	var data []byte
	var err error
	switch file, isFile := strings.CutPrefix(value, "@"); {
	case value == "":
		return nil, nil
	case value == "-":
		data, err = io.ReadAll(a.in)
	case isFile:
		data, err = os.ReadFile(file)
	default:
		data = []byte(value)
	}
	if err != nil {
		return nil, usagef("read %s: %v", flag, err)
	}
	var document json.RawMessage
	if err := json.Unmarshal(data, &document); err != nil {
		return nil, usagef("%s is not JSON: %v", flag, err)
	}
	return document, nil
}

func (a *app) grants(value string) (*installation.Grants, error) {
	data, err := a.document("--grants", value)
	if err != nil || data == nil {
		return nil, err
	}
	g := &installation.Grants{}
	if err := json.Unmarshal(data, g); err != nil {
		return nil, usagef("--grants: %v; it looks like {\"egress\":[{\"host\":\"api.example.com\",\"methods\":[\"GET\"]}],\"connections\":{\"github\":\"con_...\"}}", err)
	}
	return g, nil
}

func printInstallations(w io.Writer, all ...installationDetail) {
	var rows [][]string
	for _, i := range all {
		state := string(i.State)
		if i.Reason != "" {
			state += ": " + i.Reason
		}
		if i.PluginPaused {
			state += ", its plugin is paused"
		}
		if i.MaxRunning > 0 {
			state += fmt.Sprintf(", at most %d run", i.MaxRunning)
		}
		rows = append(rows, []string{i.Name, i.ID, i.PluginName + "@" + i.Version, state, string(i.Config), noteOf(i)})
	}
	notedTable(w, []string{"NAME", "ID", "PLUGIN", "STATE", "CONFIG"}, rows)
	if len(rows) == 0 {
		fmt.Fprintln(w, "nothing installed yet: cofferdam install PLUGIN --tenant NAME")
	}
}
