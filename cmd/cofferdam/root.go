package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// app is what every verb works with.
type app struct {
	*settings
	terminal
}

func newRoot(s *settings, t terminal) *cobra.Command {
	a := &app{settings: s, terminal: t}
	root := &cobra.Command{
		Use:           "cofferdam",
		Short:         "Run integration connectors for many tenants, each call in a sandbox of its own",
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if s.Output != "text" && s.Output != "json" {
				return usagef("--output is %q: it is text or json", s.Output)
			}
			return nil
		},
	}
	root.SetIn(t.in)
	root.SetOut(t.out)
	root.SetErr(t.err)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usagef("%v; see '%s --help'", err, c.CommandPath())
	})
	flags := root.PersistentFlags()
	flags.StringVar(&s.URL, "url", s.URL, "the server's address (COFFERDAM_URL)")
	flags.StringVar(&s.Token, "token", s.Token, "the API token (COFFERDAM_TOKEN); better in the environment, where other users cannot see it")
	flags.StringVarP(&s.Output, "output", "o", s.Output, "text or json (COFFERDAM_OUTPUT)")
	root.AddCommand(
		a.serveCommand(), a.migrateCommand(), a.demoCommand(), a.doctorCommand(),
		a.pluginCommand(), a.publisherCommand(), a.tenantCommand(), a.installCommand(), a.installationCommand(),
		a.connectionCommand(), a.noticeCommand(), a.oauthAppCommand(), a.providerCommand(), a.endpointCommand(), a.scheduleCommand(), a.queueCommand(), a.destinationCommand(), a.watchCommand(), a.sendCommand(), a.keyCommand(),
		a.executionCommand(), a.replayCommand(), a.deadLetterCommand(), a.redriveCommand(), a.redeliverCommand(),
		a.usageCommand(), a.tokenCommand(), a.auditCommand(), a.loginCommand(), a.logoutCommand(), a.versionCommand(), a.compileCommand(), a.callCommand(), a.testCommand(),
		a.newCommand(), a.buildCommand(), a.devCommand(),
	)
	return root
}

// group is a verb that has verbs of its own.
func group(use, short string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use:   use,
		Short: short,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("there is no '%s %s'; see '%s --help'", c.CommandPath(), args[0], c.CommandPath())
			}
			return c.Help()
		},
	}
	c.AddCommand(verbs...)
	return c
}

// exactly refuses any other number of arguments, naming those that are meant.
func exactly(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		return usagef("'%s' takes %d argument(s) %v, got %d; for example:\n%s", c.CommandPath(), len(names), names, len(args), c.Example)
	}
}

// tenantFlag adds --tenant to a verb that works inside one.
func (a *app) tenantFlag(c *cobra.Command) *cobra.Command {
	c.Flags().StringVarP(&a.Tenant, "tenant", "t", a.Tenant, "the tenant's name or id (COFFERDAM_TENANT); a tenant's own token needs none")
	return c
}

// inTenant returns the path of something of the tenant's.
func (a *app) inTenant(format string, args ...any) string {
	name := a.Tenant
	if name == "" {
		name = "self"
	}
	return "/v1/tenants/" + escape(name) + fmt.Sprintf(format, args...)
}
