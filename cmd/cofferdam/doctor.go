package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	goruntime "runtime"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/store"
	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
	"github.com/cofferdam-run/cofferdam/runtime/image"
)

// check is one thing that doctor looked at.
type check struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Warn says that it works, and should be otherwise.
	Warn bool   `json:"warn,omitempty"`
	Said string `json:"said"`
}

func (a *app) doctorCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Look at the sandbox, the database, the key and the server, and say what is wrong",
		Long: "Look at the sandbox, the database, the key and the server, and say what is wrong. It changes nothing.\n" +
			"An embedded database that a server has open is looked at through that server.",
		Example: "  cofferdam doctor",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			checks := a.examine(c.Context())
			if err := a.show(checks, func(w io.Writer) { printChecks(w, checks) }); err != nil {
				return err
			}
			for _, ch := range checks {
				if !ch.OK {
					return errors.New("something is wrong: see the lines above that begin with FAIL")
				}
			}
			return nil
		},
	}
	a.databaseFlags(c)
	a.compilerFlags(c)
	a.proxyFlags(c)
	return c
}

func printChecks(w io.Writer, checks []check) {
	for _, c := range checks {
		mark := "ok  "
		switch {
		case !c.OK:
			mark = "FAIL"
		case c.Warn:
			mark = "warn"
		}
		fmt.Fprintf(w, "%s  %-8s  %s\n", mark, c.Name, c.Said)
	}
}

func (a *app) examine(ctx context.Context) []check {
	engine := "compiled"
	if goruntime.GOARCH != "amd64" && goruntime.GOARCH != "arm64" {
		engine = "not available on this processor"
	}
	checks := []check{{
		Name: "sandbox", OK: engine == "compiled",
		Said: fmt.Sprintf("plugins run %s, on %s/%s", engine, goruntime.GOOS, goruntime.GOARCH),
	}, examineReset()}
	served := a.examineServer(ctx)
	checks = append(checks, a.examineCache(), a.examineCompiler(ctx), served)
	checks = append(checks, a.examineProxy(ctx)...)
	if arrive, ok := a.examineAudit(ctx); ok {
		checks = append(checks, arrive)
	}
	if !isPostgres(a.DB) {
		if _, err := os.Stat(a.DB); errors.Is(err, os.ErrNotExist) {
			return append(checks, check{Name: "database", OK: true, Said: a.DB + " does not exist yet: 'cofferdam serve' makes it"})
		}
	}
	if why := a.exposed(); why != "" {
		checks = append(checks, check{Name: "link", OK: true, Warn: true, Said: why})
	}
	s, err := a.openShared(ctx)
	if err != nil {
		return append(checks, check{Name: "database", Said: message(err)})
	}
	defer s.Close()
	return append(checks, examineStore(ctx, s), a.examineKey(ctx, s))
}

// examineReset says how sandboxes are made clean again after a call, which is
// tried.
func examineReset() check {
	said := "sandboxes are reset by " + image.Probe().String()
	if image.Probe() == image.Copy && goruntime.GOOS == "linux" {
		said += ": the kernel refuses what is faster, as some containers' seccomp profiles have it"
	}
	return check{Name: "reset", OK: true, Said: said}
}

func (a *app) examineServer(ctx context.Context) check {
	err := a.client().call(ctx, http.MethodGet, "/readyz", nil, nil)
	var unreachable *unreachableError
	switch {
	case errors.As(err, &unreachable):
		return check{Name: "server", OK: true, Said: "none answers at " + a.URL}
	case err != nil:
		return check{Name: "server", Said: a.URL + " is not ready: " + message(err)}
	default:
		return check{Name: "server", OK: true, Said: a.URL + " is ready"}
	}
}

func examineStore(ctx context.Context, s store.Store) check {
	if err := s.Ready(ctx); err != nil {
		return check{Name: "database", Said: message(err)}
	}
	return check{Name: "database", OK: true, Said: s.Name() + " is reachable, writable and of the right schema"}
}

func (a *app) examineKey(ctx context.Context, s store.Store) check {
	name := a.Keeper
	if name == "" {
		name = a.keyPath()
	}
	if name == "" {
		return check{Name: "key", Said: "no key is named: --key-file or COFFERDAM_KEY_FILE, --keeper or COFFERDAM_KEEPER"}
	}
	if a.Keeper == "" { // To look makes no file.
		if _, err := keyfile.Open(name); err != nil {
			return check{Name: "key", Said: message(err)}
		}
	}
	keys, err := a.openKeepers(ctx, s)
	if err != nil {
		return check{Name: "key", Said: message(err)}
	}
	if err := vault.Configured(vault.Config{Store: s, Keeper: keys.first, Others: keys.others}).Check(ctx); err != nil {
		return check{Name: "key", Said: message(err)}
	}
	return check{Name: "key", OK: true, Said: name + " opens what is stored"}
}
