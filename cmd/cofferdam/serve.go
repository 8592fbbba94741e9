package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/spf13/cobra"
)

func (a *app) serveCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve the API and webhooks, and run executions, on one port",
		Long: "Serve the API and webhooks, and run executions, until SIGTERM or Ctrl-C; then what is in flight comes\n" +
			"to its end. The first start makes the database and the key file, and prints the operator's token once.\n" +
			"Any number of servers can share one Postgres database and nothing else.",
		Example: "  cofferdam serve\n" +
			"  cofferdam serve --addr :443 --tls-cert /etc/tls/tls.crt --tls-key /etc/tls/tls.key\n" +
			"  COFFERDAM_DB=postgres://cofferdam@db/cofferdam COFFERDAM_KEY_FILE=/etc/cofferdam/key.json cofferdam serve --addr :8080",
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.serve(c.Context(), nil)
		},
	}
	a.serverFlags(c)
	return c
}

// serve opens a server and serves until ctx ends, or until the function that
// may go along with it fails.
func (a *app) serve(ctx context.Context, along func(ctx context.Context, s *server) error) (err error) {
	s, err := a.openServer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close(context.WithoutCancel(ctx))) }()
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", a.Addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w\n  hint: another server may be running there; --addr or COFFERDAM_ADDR moves this one", a.Addr, err)
	}
	s.greet(a.out, l.Addr().String(), a.DB)
	if along == nil {
		return s.serve(ctx, l)
	}
	serving, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- s.serve(serving, l) }()
	failed := along(ctx, s)
	stop()
	return errors.Join(failed, <-done)
}

// greet says what a first start has made and where the server is.
func (s *server) greet(w io.Writer, addr, db string) {
	if s.madeKey != "" {
		fmt.Fprintf(w, "made the key file %s: back it up, nothing opens the stored credentials without it\n", s.madeKey)
	}
	if s.firstToken != "" {
		fmt.Fprintf(w, "operator token, shown this once: %s\n", s.firstToken)
	}
	if isPostgres(db) {
		db = "Postgres"
	}
	scheme := "http"
	if s.certificates != nil {
		scheme = "https"
	}
	fmt.Fprintf(w, "cofferdam serves %s://%s, with %s\n", scheme, addr, db)
}

// serverFlags are those of every verb that opens the database.
func (a *app) serverFlags(c *cobra.Command) {
	a.databaseFlags(c)
	a.compilerFlags(c)
	flags := c.Flags()
	flags.StringVar(&a.Addr, "addr", a.Addr, "where to listen (COFFERDAM_ADDR)")
	a.accessFlags(c)
	flags.IntVar(&a.Slots, "slots", a.Slots, "how many executions run at once (COFFERDAM_SLOTS)")
	flags.IntVar(&a.KeepDays, "retention-days", a.KeepDays, "how long tenants keep what has finished unless they say so themselves; 0 is 30 (COFFERDAM_RETENTION_DAYS)")
	flags.Var(&a.KeepBytes, "retention-bytes", "and how much of it, as 500MiB; 0 is 10GiB (COFFERDAM_RETENTION_BYTES)")
	flags.Var(&a.Grace, "deletion-grace", "how long after it was asked for a tenant is deleted, unless whoever asks says so, as 7d or 0s (COFFERDAM_DELETION_GRACE)")
	flags.IntVar(&a.AuditDays, "audit-retention-days", a.AuditDays, "how long the audit log keeps what its leaves say, whose hashes it keeps for ever; 0 is 400 (COFFERDAM_AUDIT_RETENTION_DAYS)")
	flags.StringSliceVar(&a.Checkpoints, "audit-checkpoints", a.Checkpoints, "send the audit log's signed checkpoints there, too: to the end of a file, or by POST to an https:// address (COFFERDAM_AUDIT_CHECKPOINTS)")
	flags.DurationVar(&a.Lease, "lease", a.Lease, "how long a dead server keeps its executions (COFFERDAM_LEASE)")
	flags.StringSliceVar(&a.EgressAllow, "egress-allow", a.EgressAllow, "addresses or networks that plugins may reach although they are private, over plain http too; for development (COFFERDAM_EGRESS_ALLOW)")
	a.boundFlags(c)
	a.proxyFlags(c)
	a.notifyFlags(c)
	a.tracingFlags(c)
	flags.StringSliceVar(&a.Signatures, "require-signatures", a.Signatures, "refuse unsigned plugins of these publishers: operator, vendor, tenant, or all (COFFERDAM_REQUIRE_SIGNATURES)")
	flags.StringVar(&a.PublicURL, "public-url", a.PublicURL, "where users' browsers reach this server, as https://acme.example, or https://acme.example/cofferdam behind a proxy that has it below a path: OAuth providers send them back there; by default --addr, if that is a loopback address (COFFERDAM_PUBLIC_URL)")
	flags.StringVar(&a.Providers, "providers", a.Providers, "a folder of OAuth providers besides those that come with the program, one NAME.json each (COFFERDAM_PROVIDERS)")
	flags.BoolVar(&a.Migrate, "migrate", a.Migrate, "migrate a Postgres database first (COFFERDAM_MIGRATE); an embedded one always is")
	flags.StringVar(&a.LogFormat, "log", a.LogFormat, "text or json, on standard error (COFFERDAM_LOG)")
	flags.StringVar(&a.LogLevel, "log-level", a.LogLevel, "debug, info, warn or error (COFFERDAM_LOG_LEVEL)")
}

// databaseFlags say which database and key are meant.
func (a *app) databaseFlags(c *cobra.Command) {
	c.Flags().StringVar(&a.DB, "db", a.DB, "a SQLite file, or a postgres:// URL (COFFERDAM_DB)")
	c.Flags().StringVar(&a.KeyFile, "key-file", a.KeyFile, "the file with the key that seals credentials; beside a SQLite file by default (COFFERDAM_KEY_FILE)")
	c.Flags().StringVar(&a.Keeper, "keeper", a.Keeper, "what keeps the key, instead of a file: "+keepersHelp+" (COFFERDAM_KEEPER)")
	c.Flags().StringSliceVar(&a.Keepers, "keepers", a.Keepers, "further ones, which open what they have wrapped, while a key is replaced (COFFERDAM_KEEPERS)")
}

// compilerFlags say who compiles plugins, and into which folder.
func (a *app) compilerFlags(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&a.CacheDir, "cache-dir", a.CacheDir, "a private folder for compiled plugins; beside a SQLite file by default, and else in the user's cache (COFFERDAM_CACHE_DIR)")
	flags.StringVar(&a.Compiler, "compiler", a.Compiler, "the cofferdam binary that compiles plugins in processes of its own; this one by default (COFFERDAM_COMPILER)")
	flags.DurationVar(&a.CompileCPU, "compile-cpu", a.CompileCPU, "the CPU time that compiling a plugin may take; by default 1s and 2s more for each MiB of it (COFFERDAM_COMPILE_CPU)")
	flags.Int64Var(&a.CompileMiB, "compile-mib", a.CompileMiB, "the memory that it may take, in MiB; 512 by default (COFFERDAM_COMPILE_MIB)")
}
