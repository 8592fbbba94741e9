package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/connection"
)

func (a *app) connectionCommand() *cobra.Command {
	return group("connection", "Keep tenants' accounts at third parties",
		a.connectionCreate(), a.connectionReplace(),
		listVerb(a, "connection", "List a tenant's connections, without their secrets", "/connections", printConnections),
		a.removeVerb("delete", "deleted", "connection github", "Forget a connection and its credential", "/connections"))
}

func (a *app) connectionCreate() *cobra.Command {
	var spec connection.Spec
	var kind string
	c := a.tenantFlag(&cobra.Command{
		Use:   "create NAME --host HOST",
		Short: "Keep a credential for some hosts; the secret is read from standard input",
		Long: "Keep a credential for some hosts. The secret comes from standard input, so that it stands in no shell\n" +
			"history and no process list: the token, the key, or, for basic, USER:PASSWORD.",
		Example: "  echo $GITHUB_TOKEN | cofferdam connection create github --host api.github.com --tenant acme\n" +
			"  echo $KEY | cofferdam connection create shop --type api_key --header X-Api-Key --host api.shop.example -t acme",
		Args: exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			spec.Name, spec.Type = args[0], connection.Type(kind)
			var err error
			if spec.Credential, err = a.readCredential(spec.Type); err != nil {
				return err
			}
			var con connection.Connection
			if err := a.client().call(c.Context(), http.MethodPost, a.inTenant("/connections"), specBody(spec), &con); err != nil {
				return err
			}
			return a.show(con, func(w io.Writer) { printConnections(w, con) })
		},
	})
	c.Flags().StringVar(&kind, "type", string(connection.Bearer), "bearer, basic or api_key")
	c.Flags().StringSliceVar(&spec.Hosts, "host", nil, "the only hosts that the credential is sent to")
	c.Flags().StringVar(&spec.Header, "header", "", "the header of an api_key")
	c.Flags().StringVar(&spec.Query, "query", "", "the query parameter of an api_key")
	return c
}

// specBody spells the credential out: its type does not print its secrets.
func specBody(s connection.Spec) map[string]any {
	body := map[string]any{"name": s.Name, "type": s.Type, "hosts": s.Hosts, "credential": credentialBody(s.Credential)}
	if s.Header != "" {
		body["header"] = s.Header
	}
	if s.Query != "" {
		body["query"] = s.Query
	}
	return body
}

func credentialBody(c connection.Credential) map[string]string {
	body := map[string]string{}
	for k, v := range map[string]string{"token": c.Token, "username": c.Username, "password": c.Password, "key": c.Key} {
		if v != "" {
			body[k] = v
		}
	}
	return body
}

func (a *app) connectionReplace() *cobra.Command {
	return a.tenantFlag(&cobra.Command{
		Use:     "replace NAME",
		Short:   "Put another credential in a connection's place; the secret is read from standard input",
		Example: "  echo $NEW_TOKEN | cofferdam connection replace github --tenant acme",
		Args:    exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			var con connection.Connection
			path := a.inTenant("/connections/%s", escape(args[0]))
			if err := a.client().call(c.Context(), http.MethodGet, path, nil, &con); err != nil {
				return err
			}
			credential, err := a.readCredential(con.Type)
			if err != nil {
				return err
			}
			if err := a.client().call(c.Context(), http.MethodPut, path+"/credential", credentialBody(credential), &con); err != nil {
				return err
			}
			return a.show(con, func(w io.Writer) { printConnections(w, con) })
		},
	})
}

// readCredential reads the secret from standard input: its first line.
func (a *app) readCredential(kind connection.Type) (connection.Credential, error) {
	line, err := bufio.NewReader(a.in).ReadString('\n')
	secret := strings.TrimRight(line, "\r\n")
	if secret == "" {
		return connection.Credential{}, usagef("no secret on standard input (%v): pipe it in, as in 'echo $TOKEN | cofferdam connection ...'", err)
	}
	switch kind {
	case connection.Basic:
		user, password, ok := strings.Cut(secret, ":")
		if !ok {
			return connection.Credential{}, usagef("a basic credential is USER:PASSWORD on standard input")
		}
		return connection.Credential{Username: user, Password: password}, nil
	case connection.APIKey:
		return connection.Credential{Key: secret}, nil
	default:
		return connection.Credential{Token: secret}, nil
	}
}

func printConnections(w io.Writer, all ...connection.Connection) {
	var rows [][]string
	for _, c := range all {
		rows = append(rows, []string{c.Name, c.ID, string(c.Type), strings.Join(c.Hosts, ","), strconv.FormatInt(c.Version, 10)})
	}
	table(w, []string{"NAME", "ID", "TYPE", "HOSTS", "VERSION"}, rows)
	if len(rows) == 0 {
		fmt.Fprintln(w, "no connections yet: cofferdam connection create NAME --host HOST --tenant NAME")
	}
}
