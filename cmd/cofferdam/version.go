package main

import (
	"fmt"
	"io"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print what this binary is",
		Example: "  cofferdam version -o json",
		Args:    exactly(),
		RunE: func(*cobra.Command, []string) error {
			v := buildVersion()
			return a.show(v, func(w io.Writer) {
				fmt.Fprintf(w, "cofferdam %s (%s)\n", v.Version, v.Go)
			})
		},
	}
}

// build says what a binary was built from.
type build struct {
	Version string `json:"version"`
	Go      string `json:"go"`
}

func buildVersion() build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return build{Version: "unknown", Go: "unknown"}
	}
	version := info.Main.Version
	if version == "" || version == "(devel)" {
		version = "devel"
	}
	return build{Version: version, Go: info.GoVersion}
}
