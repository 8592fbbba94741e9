package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/health"
	"github.com/cofferdam-run/cofferdam/host/notice"
	"github.com/cofferdam-run/cofferdam/host/pace"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

// notifySettings say who is told what happened.
type notifySettings struct {
	NotifyURL    string `env:"COFFERDAM_NOTIFY_URL"`
	NotifySecret string `env:"COFFERDAM_NOTIFY_SECRET_FILE"`
}

func (a *app) notifyFlags(c *cobra.Command) {
	c.Flags().StringVar(&a.NotifyURL, "notify-url", a.NotifyURL, "POST notices there, such as that a connection is broken, signed as Standard Webhooks are; --egress-allow goes for it, too (COFFERDAM_NOTIFY_URL)")
	c.Flags().StringVar(&a.NotifySecret, "notify-secret-file", a.NotifySecret, "the file with the secret that signs them, whsec_ and base64 (COFFERDAM_NOTIFY_SECRET_FILE)")
}

// notify is who is told; nil for nobody.
func (a *app) notify(way egress.Config) (func(context.Context, notice.Notice) error, error) {
	const hint = "\n  hint: make one: (umask 077; echo whsec_$(head -c 32 /dev/urandom | base64) > notices.secret)"
	switch {
	case a.NotifyURL == "" && a.NotifySecret == "":
		return nil, nil //nolint:nilnil // Nobody is told.
	case a.NotifyURL == "":
		return nil, usagef("--notify-secret-file goes with --notify-url")
	case a.NotifySecret == "":
		return nil, usagef("--notify-url needs --notify-secret-file, so that whoever gets a notice can tell that it is ours%s", hint)
	}
	secret, err := os.ReadFile(a.NotifySecret)
	if err != nil {
		return nil, fmt.Errorf("read the secret that signs notices: %w%s", err, hint)
	}
	hook, err := notice.Hook(notice.HookConfig{
		URL: a.NotifyURL, Secret: string(bytes.TrimSpace(secret)), Transport: egress.NewTransport(way), Now: time.Now,
	})
	if err != nil {
		return nil, usagef("--notify-url: %v", err)
	}
	return hook, nil
}

func (a *app) noticeCommand() *cobra.Command {
	return group("notice", "Read what tenants and operators are told", a.noticeList())
}

func (a *app) noticeList() *cobra.Command {
	var all bool
	c := a.tenantFlag(&cobra.Command{
		Use:   "list",
		Short: "List what a tenant was told of its connections, the newest first",
		Example: "  cofferdam notice list --tenant acme\n" +
			"  cofferdam notice list --all",
		Args: exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			path := "/v1/notices"
			if !all {
				path = a.inTenant("/notices")
			}
			notices, err := everything[notice.Notice](c.Context(), a.client(), path)
			if err != nil {
				return err
			}
			return a.show(page[notice.Notice]{Items: notices}, func(w io.Writer) { printNotices(w, notices) })
		},
	})
	c.Flags().BoolVar(&all, "all", false, "those of all tenants; for operators")
	return c
}

func printNotices(w io.Writer, notices []notice.Notice) {
	var rows [][]string
	for _, n := range notices {
		row := []string{n.At.Format(time.RFC3339), n.Tenant, string(n.Kind), n.Name, "", ""}
		if row[3] == "" {
			row[3] = n.Connection
		}
		if n.Error != nil {
			row[4], row[5] = n.Error.Message, n.Error.Hint
		}
		rows = append(rows, row)
	}
	table(w, []string{"AT", "TENANT", "WHAT", "CONNECTION", "WHY", "HINT"}, rows)
	if len(rows) == 0 {
		fmt.Fprintln(w, "nothing has happened that anybody should know")
	}
}

func (a *app) connectionHealth() *cobra.Command {
	var all bool
	c := a.tenantFlag(&cobra.Command{
		Use:   "health [NAME]",
		Short: "Show which connections work, why not, since when, and what waits for them",
		Example: "  cofferdam connection health --tenant acme\n" +
			"  cofferdam connection health github --tenant acme\n" +
			"  cofferdam connection health --all",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var found []health.Health
			var err error
			switch {
			case len(args) == 1:
				found = make([]health.Health, 1)
				err = a.client().call(c.Context(), http.MethodGet, a.inTenant("/connections/%s/health", escape(args[0])), nil, &found[0])
			case all:
				found, err = everything[health.Health](c.Context(), a.client(), "/v1/connection-health")
			default:
				found, err = everything[health.Health](c.Context(), a.client(), a.inTenant("/connection-health"))
			}
			if err != nil {
				return err
			}
			return a.show(page[health.Health]{Items: found}, func(w io.Writer) { printHealth(w, found) })
		},
	})
	c.Flags().BoolVar(&all, "all", false, "the broken ones of all tenants; for operators")
	return c
}

func printHealth(w io.Writer, found []health.Health) {
	var rows [][]string
	for _, h := range found {
		row := []string{h.Name, h.Connection, string(h.Type), string(h.State), "", strconv.Itoa(h.Waiting), sendingLine(h), "", ""}
		if !h.BrokenSince.IsZero() {
			row[4] = h.BrokenSince.Format(time.RFC3339)
		}
		if h.LastError != nil {
			row[7], row[8] = h.LastError.Message, h.LastError.Hint
		}
		rows = append(rows, row)
	}
	table(w, []string{"NAME", "ID", "TYPE", "STATE", "BROKEN SINCE", "WAITING", "SENDING", "WHY", "HINT"}, rows)
	if len(rows) == 0 {
		fmt.Fprintln(w, "no connections")
	}
}

// sendingLine says whether requests are sent with a connection, and why not.
func sendingLine(h health.Health) string {
	switch {
	case !h.PausedAt.IsZero():
		return "paused since " + stamp(h.PausedAt)
	case h.Breaker.State != pace.Closed:
		return "breaker " + breakerLine(h.Breaker)
	default:
		return "yes"
	}
}
