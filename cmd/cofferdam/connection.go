package main

import (
	"bufio"
	"cmp"
	"encoding/json"
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
		a.connectionCreate(), a.connectionReplace(), a.connectionUpdate(), a.connectionHealth(),
		a.connectionPace(), a.connectionPause(), a.paceVerb("resume", "/resume", "Have what waits for a connection that was paused go on"),
		a.paceVerb("reset-breaker", "/reset-breaker", "Use a connection again whose breaker is open, because what went with it failed"),
		listVerb(a, "connection", "List a tenant's connections, without their secrets", "/connections", printConnections),
		a.removeVerb("delete", "deleted", "connection github", "Forget a connection and its credential", "/connections"))
}

func (a *app) connectionCreate() *cobra.Command {
	var spec connection.Spec
	var machine machineFlags
	var kind string
	var fields []string
	c := a.tenantFlag(&cobra.Command{
		Use:   "create NAME --host HOST",
		Short: "Keep a credential for some hosts; the secret is read from standard input",
		Long: "Keep a credential for some hosts. The secret comes from standard input, so that it stands in no shell\n" +
			"history and no process list: the token, the key, or, for basic, USER:PASSWORD; for private_key the PEM, for\n" +
			"client_certificate that of the chain and of the key; or an object of JSON with the parts of the credential,\n" +
			"which aws_sigv4 needs: access_key_id, secret_access_key, region, service, and session_token if there is one.\n" +
			"For oauth2, an OAuth app that needs no user gets the token; nothing is read. Users connect in connect sessions.",
		Example: "  echo $GITHUB_TOKEN | cofferdam connection create github --host api.github.com --tenant acme\n" +
			"  echo $KEY | cofferdam connection create shop --type api_key --header X-Api-Key --host api.shop.example -t acme\n" +
			"  cofferdam connection create app --type private_key --host api.github.com -t acme < app.pem\n" +
			"  cofferdam connection create crm --type oauth2 --app crm --grant client_credentials --var account=a-1 -t acme",
		Args: exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			spec.Name, spec.Type = args[0], connection.Type(kind)
			var err error
			if spec.Fields, err = fieldsOf(nil, fields); err != nil {
				return err
			}
			body, err := a.connectionBody(spec, machine)
			if err != nil {
				return err
			}
			var con connection.Connection
			if err := a.client().call(c.Context(), http.MethodPost, a.inTenant("/connections"), body, &con); err != nil {
				return err
			}
			return a.show(con, func(w io.Writer) { printConnections(w, con) })
		},
	})
	c.Flags().StringVar(&kind, "type", string(connection.Bearer), "bearer, basic or api_key; or one that signs: hmac, private_key, aws_sigv4 or client_certificate; or oauth2")
	machine.add(c)
	c.Flags().StringSliceVar(&spec.Hosts, "host", nil, "the only hosts that the credential is sent to")
	c.Flags().StringVar(&spec.Header, "header", "", "the header of an api_key, or of an hmac of requests' bodies")
	c.Flags().StringVar(&spec.Query, "query", "", "the query parameter of an api_key")
	fieldFlag(c, &fields)
	return c
}

// machineFlags are those of an account that needs no user.
type machineFlags struct {
	app, grant string
	variables  []string
}

func (m *machineFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&m.app, "app", "", "the OAuth app of an oauth2, which gets tokens for itself")
	c.Flags().StringVar(&m.grant, "grant", "", "how it gets them, client_credentials or jwt_bearer, if not as the app says")
	c.Flags().StringArrayVar(&m.variables, "var", nil, "a variable of an oauth2's provider that the app does not say, as NAME=VALUE")
}

// connectionBody is a new connection as it is sent, with its secret from standard input
// unless an app gets it.
func (a *app) connectionBody(spec connection.Spec, m machineFlags) (map[string]any, error) {
	if spec.Type != connection.OAuth2 {
		if m.app != "" || m.grant != "" || len(m.variables) > 0 {
			return nil, usagef("--app, --grant and --var are of --type oauth2")
		}
		var err error
		spec.Credential, err = a.readCredential(spec.Type)
		return specBody(spec), err
	}
	if m.app == "" {
		return nil, usagef("--type oauth2 needs --app, one that gets tokens for itself; users connect accounts in connect sessions")
	}
	body := specBody(spec)
	delete(body, "credential")
	if len(spec.Hosts) == 0 {
		delete(body, "hosts")
	}
	body["app"] = m.app
	if m.grant != "" {
		body["grant"] = m.grant
	}
	variables, err := pairsOf(m.variables)
	if len(variables) > 0 {
		body["variables"] = variables
	}
	return body, err
}

func fieldFlag(c *cobra.Command, fields *[]string) {
	c.Flags().StringArrayVar(fields, "field", nil, "what plugins may know of the account, as NAME=VALUE: a text, or JSON; nothing secret")
}

// fieldsOf adds fields to those that there are; an empty value takes one away. Without
// any they stay as they are.
func fieldsOf(there json.RawMessage, changes []string) (json.RawMessage, error) {
	if len(changes) == 0 {
		return there, nil
	}
	all := map[string]json.RawMessage{}
	if len(there) > 0 {
		if err := json.Unmarshal(there, &all); err != nil {
			return nil, fmt.Errorf("read the fields: %w", err)
		}
	}
	for _, change := range changes {
		name, value, ok := strings.Cut(change, "=")
		if !ok || name == "" {
			return nil, usagef("--field %q is not of the form NAME=VALUE", change)
		}
		switch {
		case value == "":
			delete(all, name)
		case json.Valid([]byte(value)):
			all[name] = json.RawMessage(value)
		default:
			all[name] = text(value)
		}
	}
	return json.Marshal(all)
}

// text is a string as JSON.
func text(s string) json.RawMessage {
	data, _ := json.Marshal(s) // Strings always encode.
	return data
}

func (a *app) connectionUpdate() *cobra.Command {
	var fields []string
	var rate rateFlags
	c := a.tenantFlag(&cobra.Command{
		Use:   "update NAME [--field NAME=VALUE] [--rate 10/s]",
		Short: "Change what plugins may know of an account, or how many requests are made with it",
		Long: "Change the fields of a connection: what plugins that are granted it may know of the account. Those that\n" +
			"are not named stay, and NAME= takes one away. Or change its rate, which all servers and all plugins share:\n" +
			"what does not get its turn soon waits for it.",
		Example: "  cofferdam connection update shop --field account_id=a-1 --field 'regions=[\"eu\"]' --tenant acme\n" +
			"  cofferdam connection update shop --rate 10/s --burst 10 --tenant acme",
		Args: exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			paced := rate != (rateFlags{})
			switch {
			case paced && len(fields) > 0:
				return usagef("change either the fields or the rate at a time")
			case paced:
				return a.setRate(c.Context(), args[0], rate)
			case len(fields) == 0:
				return usagef("say with --field NAME=VALUE or --rate what to change")
			}
			var con connection.Connection
			path := a.inTenant("/connections/%s", escape(args[0]))
			if err := a.client().call(c.Context(), http.MethodGet, path, nil, &con); err != nil {
				return err
			}
			changed, err := fieldsOf(con.Fields, fields)
			if err != nil {
				return err
			}
			if err := a.client().call(c.Context(), http.MethodPut, path+"/fields", changed, &con); err != nil {
				return err
			}
			return a.show(con, func(w io.Writer) { printConnections(w, con) })
		},
	})
	fieldFlag(c, &fields)
	rate.add(c)
	return c
}

// specBody spells the credential out: its type does not print its secrets.
func specBody(s connection.Spec) map[string]any {
	body := map[string]any{"name": s.Name, "type": s.Type, "hosts": s.Hosts, "credential": credentialBody(s.Credential)}
	if s.Fields != nil {
		body["fields"] = s.Fields
	}
	if s.Header != "" {
		body["header"] = s.Header
	}
	if s.Query != "" {
		body["query"] = s.Query
	}
	return body
}

// credentialBody is all of a credential. It is sent, and printed by nobody.
func credentialBody(c connection.Credential) json.RawMessage {
	doc, _ := json.Marshal(c) //nolint:gosec // It is what is to be sent. Texts always encode.
	return doc
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

// maxSecret is more than any credential has.
const maxSecret = 64 << 10

// readCredential reads the secret from standard input: its first line, or all of it where
// a credential has several.
func (a *app) readCredential(kind connection.Type) (connection.Credential, error) {
	in := bufio.NewReader(io.LimitReader(a.in, maxSecret))
	secret, err := in.ReadString('\n')
	lines := kind == connection.PrivateKey || kind == connection.AWS || kind == connection.Certificate
	if lines || kind == connection.HMAC && strings.HasPrefix(secret, "{") {
		rest, failed := io.ReadAll(in)
		secret, err = secret+string(rest), cmp.Or(failed, err)
	}
	if secret = strings.TrimRight(secret, "\r\n"); secret == "" {
		return connection.Credential{}, usagef("no secret on standard input (%v): pipe it in, as in 'echo $TOKEN | cofferdam connection ...'", err)
	}
	c, err := credentialOf(kind, secret)
	if err != nil {
		return c, usagef("the credential on standard input: %v", err)
	}
	return c, nil
}

func printConnections(w io.Writer, all ...connection.Connection) {
	var rows [][]string
	for _, c := range all {
		rows = append(rows, []string{c.Name, c.ID, string(c.Type), strings.Join(c.Hosts, ","), strconv.FormatInt(c.Version, 10), string(c.Fields)})
	}
	table(w, []string{"NAME", "ID", "TYPE", "HOSTS", "VERSION", "FIELDS"}, rows)
	if len(rows) == 0 {
		fmt.Fprintln(w, "no connections yet: cofferdam connection create NAME --host HOST --tenant NAME")
	}
}
