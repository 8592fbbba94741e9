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
	return group("token", "Decide who may use the API", a.tokenCreate(), a.tokenList(), a.tokenRotate(), a.tokenRevoke(), a.tokenSign(), a.tokenRevokeSigned())
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
			var t secretToken
			if err := a.client().call(c.Context(), http.MethodPost, a.tokenPath(), body, &t); err != nil {
				return err
			}
			return a.showSecret(t)
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
					rows = append(rows, []string{t.ID, t.Name, roleNames(t.Roles()), tokenState(t), lastUse(t)})
				}
				table(w, []string{"ID", "NAME", "ROLES", "STATE", "USED"}, rows)
			})
		},
	})
}

// secretToken is a token as it is shown once.
type secretToken struct {
	token.Token
	Secret string `json:"secret"`
}

func (a *app) showSecret(t secretToken) error {
	return a.show(t, func(w io.Writer) { fmt.Fprintf(w, "%s  %s   (shown this once)\n", t.ID, t.Secret) })
}

func roleNames(roles []token.Role) string {
	var names []string
	for _, r := range roles {
		names = append(names, string(r))
	}
	return strings.Join(names, ",")
}

func lastUse(t token.Token) string {
	if t.UsedAt.IsZero() {
		return "never"
	}
	return t.UsedAt.Local().Format(time.DateTime)
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

func (a *app) tokenRotate() *cobra.Command {
	var overlap, valid time.Duration
	c := a.tenantFlag(&cobra.Command{
		Use:     "rotate TOKEN",
		Short:   "Give a token another secret; the one before opens, too, for as long as --overlap says",
		Example: "  cofferdam token rotate tok_01J9ZK7V5Q8W3E6R1T0Y2U4I8O --tenant acme --overlap 1h",
		Args:    exactly("TOKEN"),
		RunE: func(c *cobra.Command, args []string) error {
			body := map[string]any{"overlap_seconds": int64(overlap.Seconds())}
			if valid > 0 {
				body["expires_at"] = time.Now().Add(valid).UTC()
			}
			var t secretToken
			if err := a.client().call(c.Context(), http.MethodPost, a.tokenPath()+"/"+escape(args[0])+"/rotate", body, &t); err != nil {
				return err
			}
			return a.showSecret(t)
		},
	})
	c.Flags().DurationVar(&overlap, "overlap", 0, "how long the secret before goes on to open, 168h at most; not at all by default")
	c.Flags().DurationVar(&valid, "expires", 0, "how long the token is valid from now on; as it was by default")
	return c
}

func (a *app) tokenSign() *cobra.Command {
	var role string
	var life time.Duration
	c := a.tenantFlag(&cobra.Command{
		Use:     "sign SUBJECT",
		Short:   "Make a token for a user of a tenant's, which lives an hour at most and is not kept",
		Example: "  cofferdam token sign user-17 --tenant acme --role tenant_viewer --life 15m",
		Args:    exactly("SUBJECT"),
		RunE: func(c *cobra.Command, args []string) error {
			body := map[string]any{"subject": args[0], "role": role, "life_seconds": int64(life.Seconds())}
			var t secretToken
			if err := a.client().call(c.Context(), http.MethodPost, a.inTenant("/signed-tokens"), body, &t); err != nil {
				return err
			}
			return a.showSecret(t)
		},
	})
	c.Flags().StringVar(&role, "role", string(token.TenantViewer), "tenant_viewer, tenant_publisher or tenant_admin")
	c.Flags().DurationVar(&life, "life", 15*time.Minute, "how long it lives, 1h at most")
	return c
}

func (a *app) tokenRevokeSigned() *cobra.Command {
	return a.tenantFlag(&cobra.Command{
		Use:     "revoke-signed",
		Short:   "End all signed tokens of a tenant; other servers follow within 15 seconds",
		Example: "  cofferdam token revoke-signed --tenant acme",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.client().call(c.Context(), http.MethodDelete, a.inTenant("/signed-tokens"), nil, nil); err != nil {
				return err
			}
			return a.show(map[string]string{"revoked": "signed"}, func(w io.Writer) { fmt.Fprintln(w, "revoked all signed tokens") })
		},
	})
}
