package main

import (
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"
)

func (a *app) executionExport() *cobra.Command {
	var withModule bool
	c := a.tenantFlag(&cobra.Command{
		Use:   "export EXECUTION",
		Short: "Write an execution as a file that `cofferdam replay` runs offline",
		Long: "Write an execution to standard output as a file that `cofferdam replay` runs offline, byte for byte.\n\n" +
			"It holds the execution's input and the answers that it got from outside, without the secrets of its connections. " +
			"What is in them is the tenant's data all the same: keep the file as you would keep that.",
		Example: "  cofferdam execution export exe_01J9ZK7V5Q8W3E6R1T0Y2U4I8O --tenant acme > run.bhx\n" +
			"  cofferdam execution export exe_01J9ZK7V5Q8W3E6R1T0Y2U4I8O --tenant acme --with-module > run.bhx",
		Args: exactly("EXECUTION"),
		RunE: func(c *cobra.Command, args []string) error {
			path := a.inTenant("/executions/%s/recording?module=%t", escape(args[0]), withModule)
			resp, err := a.client().open(c.Context(), http.MethodGet, path, "", nil)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if _, err := io.Copy(a.out, resp.Body); err != nil {
				return fmt.Errorf("read the recording: %w", err)
			}
			return nil
		},
	})
	c.Flags().BoolVar(&withModule, "with-module", false, "put the plugin itself into the file")
	return c
}
