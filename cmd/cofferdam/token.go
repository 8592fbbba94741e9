package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/token"
)

func (a *app) tokenCommand() *cobra.Command {
	return group("token", "Decide who may use the API", a.tokenCreate(), a.tokenList(), a.tokenRevoke())
}

// tokenPath is where a tenant's tokens are, or the operator's.
func (a *app) tokenPath() string {
	if a.Tenant == "" {
		return "/v1/tokens"
	}
	return a.inTenant("/tokens")
}

func (a *app) tokenCreate() *cobra.Command {
	var scopes []string
	var valid time.Duration
	c := a.tenantFlag(&cobra.Command{
		Use:   "create NAME",
		Short: "Make a token, for a tenant or, without --tenant, for an operator",
		Example: "  cofferdam token create ci --tenant acme --scope read --expires 720h\n" +
			"  cofferdam token create second-operator",
		Args: exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			body := map[string]any{"name": args[0]}
			if len(scopes) > 0 {
				body["scopes"] = scopes
			}
			if valid > 0 {
				body["expires_at"] = time.Now().Add(valid).UTC()
			}
			var t struct {
				token.Token
				Secret string `json:"secret"`
			}
			if err := a.client().call(c.Context(), http.MethodPost, a.tokenPath(), body, &t); err != nil {
				return err
			}
			return a.show(t, func(w io.Writer) {
				fmt.Fprintf(w, "%s  %s   (shown this once)\n", t.ID, t.Secret)
			})
		},
	})
	c.Flags().StringSliceVar(&scopes, "scope", nil, "admin, read or publish; admin by default")
	c.Flags().DurationVar(&valid, "expires", 0, "how long it is valid; for ever by default")
	return c
}

func (a *app) tokenList() *cobra.Command {
	return a.tenantFlag(&cobra.Command{
		Use:     "list",
		Short:   "List a tenant's tokens or, without --tenant, the operators', without their secrets",
		Example: "  cofferdam token list --tenant acme",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			var p page[token.Token]
			if err := a.client().call(c.Context(), http.MethodGet, a.tokenPath(), nil, &p); err != nil {
				return err
			}
			return a.show(p, func(w io.Writer) {
				var rows [][]string
				for _, t := range p.Items {
					rows = append(rows, []string{t.ID, t.Name, scopeNames(t.Scopes), tokenState(t)})
				}
				table(w, []string{"ID", "NAME", "SCOPES", "STATE"}, rows)
			})
		},
	})
}

func scopeNames(scopes []token.Scope) string {
	var names []string
	for _, s := range scopes {
		names = append(names, string(s))
	}
	return strings.Join(names, ",")
}

func tokenState(t token.Token) string {
	switch {
	case !t.RevokedAt.IsZero():
		return "revoked"
	case t.ExpiresAt.IsZero():
		return "valid"
	case t.ExpiresAt.Before(time.Now()):
		return "expired"
	default:
		return "until " + t.ExpiresAt.Local().Format(time.DateTime)
	}
}

func (a *app) tokenRevoke() *cobra.Command {
	return a.tenantFlag(&cobra.Command{
		Use:     "revoke TOKEN",
		Short:   "End a token",
		Example: "  cofferdam token revoke tok_01J9ZK7V5Q8W3E6R1T0Y2U4I8O",
		Args:    exactly("TOKEN"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.client().call(c.Context(), http.MethodDelete, a.tokenPath()+"/"+escape(args[0]), nil, nil); err != nil {
				return err
			}
			return a.show(map[string]string{"revoked": args[0]}, func(w io.Writer) { fmt.Fprintln(w, "revoked", args[0]) })
		},
	})
}
