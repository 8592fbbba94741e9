package main

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/hostfns/replay"
)

func (a *app) executionExport() *cobra.Command {
	var withModule bool
	var testDir, name string
	c := a.tenantFlag(&cobra.Command{
		Use:   "export EXECUTION",
		Short: "Write an execution as a file that `cofferdam replay` runs offline",
		Long: "Write an execution to standard output as a file that `cofferdam replay` runs offline, byte for byte.\n\n" +
			"It holds the execution's input and the answers that it got from outside, without the secrets of its connections. " +
			"What is in them is the tenant's data all the same: keep the file as you would keep that.\n\n" +
			"Bodies that were streamed are not in it, as they are in no journal; the file says which ones it lacks, and a replay ends where it comes to one.\n\n" +
			"--as-test writes it among the tests of a plugin instead, in the folder of its sources: `cofferdam test` replays it from then on.",
		Example: "  cofferdam execution export exe_01J9ZK7V5Q8W3E6R1T0Y2U4I8O --tenant acme > run.bhx\n" +
			"  cofferdam execution export exe_01J9ZK7V5Q8W3E6R1T0Y2U4I8O --tenant acme --with-module > run.bhx\n" +
			"  cofferdam execution export exe_01J9ZK7V5Q8W3E6R1T0Y2U4I8O --tenant acme --as-test . --name refund",
		Args: exactly("EXECUTION"),
		RunE: func(c *cobra.Command, args []string) error {
			if name != "" && testDir == "" || withModule && testDir != "" {
				return usagef("--name goes with --as-test, and --with-module does not")
			}
			path := a.inTenant("/executions/%s/recording?module=%t", escape(args[0]), withModule)
			resp, err := a.client().open(c.Context(), http.MethodGet, path, "", nil)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if testDir != "" {
				return a.exportTest(resp.Body, testDir, cmp.Or(name, args[0]))
			}
			if _, err := io.Copy(a.out, resp.Body); err != nil {
				return fmt.Errorf("read the recording: %w", err)
			}
			return nil
		},
	})
	c.Flags().BoolVar(&withModule, "with-module", false, "put the plugin itself into the file")
	c.Flags().StringVar(&testDir, "as-test", "", "write it as a test into this folder, of the plugin's sources")
	c.Flags().StringVar(&name, "name", "", "what the test is called; the execution's id by default")
	return c
}

// exportTest writes a recording among the tests of a plugin.
func (a *app) exportTest(r io.Reader, dir, name string) error {
	recording, err := replay.Read(r)
	if err != nil {
		return err
	}
	written, err := writeRecordedTest(dir, name, recording)
	for _, path := range written {
		fmt.Fprintln(a.out, "wrote", path)
	}
	return err
}

// writeRecordedTest writes a recording among the tests of a plugin, and returns the
// sorted paths.
func writeRecordedTest(dir, name string, r replay.Recording) ([]string, error) {
	written, err := replay.WriteTest(dir, name, r)
	slices.Sort(written)
	return written, err
}
