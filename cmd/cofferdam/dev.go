package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// developing is a call of the verb.
type developing struct {
	*app
	addr                string
	config, connections []string
	functions           []string
	once, offline       bool

	project string
}

func (a *app) devCommand() *cobra.Command {
	v := developing{app: a}
	c := &cobra.Command{
		Use:   "dev [PROJECT]",
		Short: "Build and run a connector at each change, with sample payloads, and show what it does",
		Long: "Build a connector at each change of its files, swap it in on a server within this process, with the limits of\n" +
			"production, send it the sample payloads of fixtures/, and show each execution's trace as it happens.\n\n" +
			"  fixtures/action.NAME[.VARIANT].json     an action's input\n" +
			"  fixtures/webhook.NAME[.VARIANT].json    a delivery's body, which is signed as the vendor does\n" +
			"  fixtures/poll.NAME.json                 a poll, which goes on where the last one ended\n" +
			"  fixtures/test.json                      the connector's own test\n" +
			"  fixtures/http/*.json                    with --offline, what the world answers\n" +
			"  dev.json                                {\"config\": {...}, \"connections\": {\"acme\": {\"env\": \"ACME_TOKEN\"}}}\n\n" +
			"HTTP is real, and reaches what the manifest asks for. State lives as long as this command. What is built badly\n" +
			"is shown, and the last good version stays.\n\n" +
			aboutConnections,
		Example: "  cofferdam dev\n" +
			"  cofferdam dev shop --config shop=acme --connection acme=ACME_TOKEN\n" +
			"  cofferdam dev --once --offline",
		Args: atMostProject,
		RunE: func(c *cobra.Command, args []string) error {
			v.project = projectOf(args)
			return v.run(c.Context())
		},
	}
	a.compilerFlags(c)
	flags := c.Flags()
	flags.Lookup("cache-dir").Usage = authorCacheUsage
	flags.StringVar(&v.addr, "addr", "127.0.0.1:0", "where vendors' deliveries are taken; empty for nowhere")
	flags.StringArrayVar(&v.config, "config", nil, "configuration: KEY=VALUE, or @file with a JSON object, on top of dev.json's; may be repeated")
	flags.StringArrayVar(&v.connections, "connection", nil, "a connection's credential: NAME=VARIABLE of the environment, or NAME to be asked")
	flags.StringSliceVar(&a.EgressAllow, "egress-allow", a.EgressAllow, "addresses or networks that may be reached although they are private, over plain http too (COFFERDAM_EGRESS_ALLOW)")
	flags.StringSliceVar(&v.functions, "function", nil, "a function that the plugin may ask for beyond the built-in ones, such as your own app's")
	flags.BoolVar(&v.once, "once", false, "build and run the fixtures once; the exit code is 1 if anything fails")
	flags.BoolVar(&v.offline, "offline", false, "answer requests from fixtures/http, and reach nothing")
	return c
}

// devFile is what a project says in dev.json. Nothing in it is secret.
type devFile struct {
	Config      map[string]json.RawMessage `json:"config"`
	Connections map[string]accountOptions  `json:"connections"`
	EgressAllow []string                   `json:"egress_allow"`
}

const devFileName = "dev.json"

// readDevFile reads dev.json; a project without one has said nothing.
func readDevFile(project string) (devFile, error) {
	var d devFile
	content, err := os.ReadFile(filepath.Join(project, devFileName))
	if errors.Is(err, fs.ErrNotExist) {
		return d, nil
	}
	if err != nil {
		return d, fmt.Errorf("read dev.json: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil {
		return d, fmt.Errorf("read dev.json: %w\n  hint: it has config, connections and egress_allow, and no secrets", err)
	}
	return d, nil
}

// configOf is dev.json's configuration with that of the flags on top.
func (v *developing) configOf(d devFile, schema json.RawMessage) (json.RawMessage, error) {
	own, err := json.Marshal(d.Config)
	if err != nil {
		return nil, fmt.Errorf("read dev.json: %w", err)
	}
	if d.Config == nil {
		own = nil
	}
	return v.configured([]string{string(own)}, v.config, schema)
}

func (v *developing) run(ctx context.Context) (err error) {
	if info, err := os.Stat(v.project); err != nil || !info.IsDir() {
		return usagef("%s is not a project's folder", v.project)
	}
	s, err := v.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close(context.WithoutCancel(ctx))) }()
	if v.once {
		return s.once(ctx)
	}
	return s.loop(ctx)
}
