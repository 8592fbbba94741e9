package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/registry/diff"
)

func (a *app) installationUpgrade() *cobra.Command {
	var version, config, digest string
	var consent bool
	c := a.tenantFlag(&cobra.Command{
		Use:   "upgrade INSTALLATION",
		Short: "Go to another version of the same plugin, the newest by default",
		Long: "Go to another version of the same plugin: by default the one that is waited for if there is consent,\n" +
			"else what the channel offers, else the newest. A version that asks for more than is granted waits, and\n" +
			"what it asks for is shown with a digest: --digest consents to exactly that, --consent to whatever it is.",
		Example: "  cofferdam installation upgrade hello-go --to 0.2.0 --tenant acme\n" +
			"  cofferdam installation upgrade hello-go --digest sha256:3f0a... --tenant acme\n" +
			"  cofferdam installation upgrade hello-go --to 1.0.0 --config @config.json --consent -t acme",
		Args: exactly("INSTALLATION"),
		RunE: func(c *cobra.Command, args []string) error {
			body := map[string]any{}
			document, err := a.document("--config", config)
			if err != nil {
				return err
			}
			if document != nil {
				body["config"] = document
			}
			for name, value := range map[string]string{"version": version, "digest": digest} {
				if value != "" {
					body[name] = value
				}
			}
			if consent {
				body["consent"] = true
			}
			return a.changeInstallation(c, http.MethodPost, args[0], "/upgrade", body)
		},
	})
	flags := c.Flags()
	flags.StringVar(&version, "to", "", "the version")
	flags.StringVar(&config, "config", "", "the configuration to go with it: JSON, @file, or -")
	flags.StringVar(&digest, "digest", "", "consent to what was shown with this digest")
	flags.BoolVar(&consent, "consent", false, "consent to all that it asks for")
	return c
}

func (a *app) installationFollow() *cobra.Command {
	return a.tenantFlag(&cobra.Command{
		Use:     "follow INSTALLATION CHANNEL",
		Short:   "Go to what a channel offers, now and later on, forward only",
		Example: "  cofferdam installation follow hello-go stable --tenant acme",
		Args:    exactly("INSTALLATION", "CHANNEL"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.changeInstallation(c, http.MethodPut, args[0], "/channel", map[string]string{"channel": args[1]})
		},
	})
}

func (a *app) installationPin() *cobra.Command {
	return a.tenantFlag(&cobra.Command{
		Use:     "pin INSTALLATION",
		Short:   "Stay on the version that runs, and follow no channel",
		Example: "  cofferdam installation pin hello-go --tenant acme",
		Args:    exactly("INSTALLATION"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.changeInstallation(c, http.MethodPut, args[0], "/channel", map[string]string{"channel": ""})
		},
	})
}

// noteOf is what a list says of an installation besides.
func noteOf(i installationDetail) string {
	var notes []string
	if i.Channel != "" {
		notes = append(notes, "follows "+string(i.Channel))
	}
	if i.Upgrade != nil {
		notes = append(notes, "waits to go to "+i.Upgrade.To)
	}
	return strings.Join(append(notes, i.Warnings...), "; ")
}

// printUpgrade says what an installation waits for.
func printUpgrade(w io.Writer, i installationDetail) {
	u := i.Upgrade
	if u == nil {
		return
	}
	fmt.Fprintf(w, "it stays on %s, and waits to go to %s\n", i.Version, u.To)
	if u.Problem != "" {
		fmt.Fprintf(w, "  cannot go there: %s\n", u.Problem)
	}
	if len(u.Asks) > 0 {
		fmt.Fprint(w, diff.Lines(u.Asks))
		fmt.Fprintf(w, "to allow exactly that:\n  cofferdam installation upgrade %s --digest %s\n", i.Name, u.Digest)
	}
}
