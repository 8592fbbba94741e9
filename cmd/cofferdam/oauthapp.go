package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	oauthapp "github.com/cofferdam-run/cofferdam/host/app"
	"github.com/cofferdam-run/cofferdam/host/oauth"
)

func (a *app) oauthAppCommand() *cobra.Command {
	return group("oauth-app", "Keep the OAuth clients that accounts are connected with",
		a.oauthAppCreate(), a.oauthAppUpdate(), a.oauthAppShow(),
		a.sharedFlag(listAt(a, "oauth-app", "List the operator's apps, or with --tenant those that a tenant may connect with", a.appsPath, printApps)),
		a.sharedFlag(a.removeAt("delete", "deleted", "oauth-app github", "Forget an app and its secret", a.appsPath)))
}

// sharedFlag adds --tenant to a verb that without it is of the operator's own.
func (a *app) sharedFlag(c *cobra.Command) *cobra.Command {
	c.Flags().StringVarP(&a.Tenant, "tenant", "t", a.Tenant, "the tenant whose own app it is (COFFERDAM_TENANT), or me; without it, the operator's, for all tenants")
	return c
}

// appsPath is where the apps are that are meant.
func (a *app) appsPath() string {
	if a.Tenant == "" {
		return "/v1/oauth-apps"
	}
	return a.inTenant("/oauth-apps")
}

// appFlags are what an app is made of, and changed in.
type appFlags struct {
	title, clientID, secretFile string
	scopes, variables           []string
}

func (f *appFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.title, "title", "", "what users read")
	flags.StringVar(&f.clientID, "client-id", "", "the client's id, as the provider shows it")
	flags.StringVar(&f.secretFile, "secret-file", "", "the file with the secret; a hyphen is standard input")
	flags.StringArrayVar(&f.scopes, "scope", nil, "a scope to ask for; once for each")
	flags.StringArrayVar(&f.variables, "var", nil, "a variable of the provider's that is the same for all who connect, as NAME=VALUE")
}

// pairsOf reads the NAME=VALUE of --var.
func pairsOf(texts []string) (map[string]string, error) {
	all := map[string]string{}
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, usagef("--var %q is not of the form NAME=VALUE", text)
		}
		all[name] = value
	}
	return all, nil
}

// readSecret reads a client's secret: a line of text, PEM with a key and perhaps a chain of
// certificates, or an object of JSON with its parts. Its errors never quote it.
func (a *app) readSecret(file string) (oauth.Secret, error) {
	in := a.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return oauth.Secret{}, fmt.Errorf("read --secret-file: %w", err)
		}
		defer func() { _ = f.Close() }() // It was read.
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxSecret+1))
	if err != nil {
		return oauth.Secret{}, fmt.Errorf("read the secret: %w", err)
	}
	trimmed := strings.TrimRight(string(text), "\r\n")
	var s oauth.Secret
	switch {
	case len(text) > maxSecret: // A part of it would be sealed, and be refused by the provider much later.
		return s, usagef("the secret in %s has more than %d bytes, which none has: is it the right file?", file, maxSecret)
	case strings.TrimSpace(trimmed) == "":
		return s, usagef("no secret in %s: pipe it in, as in 'echo $SECRET | cofferdam oauth-app ...', or name a file with --secret-file", file)
	case strings.HasPrefix(trimmed, "{"):
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if d.Decode(&s) != nil { // Without the error, which may quote what it met.
			return s, usagef(`the secret begins as JSON, and is no object of client_secret, private_key, key_id and certificate`)
		}
	case strings.Contains(trimmed, "-----BEGIN "):
		s.Certificate, s.PrivateKey = splitPEM(string(text))
	default:
		s.ClientSecret = trimmed
	}
	return s, nil
}

// secretBody spells a secret out: its type does not print itself.
func secretBody(s oauth.Secret) json.RawMessage {
	doc, _ := json.Marshal(s) //nolint:gosec // It is what is to be sent. Texts always encode.
	return doc
}

func (a *app) oauthAppCreate() *cobra.Command {
	var f appFlags
	var provider, plugin, descriptor, grant string
	c := a.sharedFlag(&cobra.Command{
		Use:   "create NAME --provider PROVIDER --client-id ID",
		Short: "Keep an OAuth client; its secret is read from a file or standard input",
		Long: "Keep an OAuth client that is registered with a provider: the operator's, for all tenants, or with --tenant\n" +
			"a tenant's own. The secret comes from standard input or --secret-file, so that it stands in no shell history\n" +
			"and no process list: the client secret, PEM of a key and its certificates, or an object of JSON with\n" +
			"client_secret, private_key, key_id and certificate. 'cofferdam provider show' says what a provider wants.\n" +
			"Look at where the secret goes, which is shown: with --plugin, the plugin's author has said it.",
		Example: "  echo $SECRET | cofferdam oauth-app create github --provider github --client-id Iv1.0 --scope repo\n" +
			"  cofferdam oauth-app create logins --provider keycloak --client-id c --var host=id.acme.example --secret-file s.txt -t acme\n" +
			"  echo $SECRET | cofferdam oauth-app create acme --plugin acme-crm --client-id c -t acme",
		Args: exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			body, err := f.created(args[0], descriptor)
			if err != nil {
				return err
			}
			for name, value := range map[string]string{"title": f.title, "provider": provider, "plugin": plugin, "grant": grant} {
				if value != "" {
					body[name] = value
				}
			}
			secret, err := a.readSecret(orHyphen(f.secretFile))
			if err != nil {
				return err
			}
			body["secret"] = secretBody(secret)
			return a.sendApp(c, http.MethodPost, a.appsPath(), body)
		},
	})
	f.add(c)
	c.Flags().StringVar(&provider, "provider", "", "the provider that it is registered with; see 'cofferdam provider list'")
	c.Flags().StringVar(&plugin, "plugin", "", "the plugin that describes the provider, as NAME or NAME@VERSION; the app keeps a copy, and is for this plugin alone")
	c.Flags().StringVar(&descriptor, "descriptor", "", "the file with the descriptor of a provider that the server does not have; the app keeps a copy")
	c.Flags().StringVar(&grant, "grant", "", "how tokens are got, if not by the provider's first grant type")
	return c
}

// created is a new app as it is sent, without its secret.
func (f *appFlags) created(name, descriptor string) (map[string]any, error) {
	body := map[string]any{"name": name, "client_id": f.clientID}
	if descriptor != "" {
		raw, err := os.ReadFile(descriptor)
		if err != nil {
			return nil, fmt.Errorf("read --descriptor: %w", err)
		}
		if !json.Valid(raw) {
			return nil, usagef("--descriptor %s is not JSON", descriptor)
		}
		body["descriptor"] = json.RawMessage(raw)
	}
	if len(f.scopes) > 0 {
		body["scopes"] = f.scopes
	}
	variables, err := pairsOf(f.variables)
	if len(variables) > 0 {
		body["variables"] = variables
	}
	return body, err
}

func orHyphen(file string) string {
	if file == "" {
		return "-"
	}
	return file
}

// sendApp sends an app, or a change of one, and shows what has come of it.
func (a *app) sendApp(c *cobra.Command, method, path string, body any) error {
	var is oauthapp.Shown
	if err := a.client().call(c.Context(), method, path, body, &is); err != nil {
		return err
	}
	return a.show(is, func(w io.Writer) {
		printApps(w, is)
		for _, line := range []struct{ what, is string }{
			{"redirect URI to register", is.RedirectURI},
			{"its secret goes to", strings.Join(is.SecretGoesTo, ", ")},
			{"tokens go to", strings.Join(is.TokensGoTo, ", ")},
		} {
			if line.is != "" {
				fmt.Fprintf(w, "%s: %s\n", line.what, line.is)
			}
		}
		if is.Plugin != nil {
			fmt.Fprintf(w, "as the plugin %s %s describes %s: later versions change nothing here\n", is.Plugin.Name, is.Plugin.Version, is.Provider)
		}
	})
}

func (a *app) oauthAppUpdate() *cobra.Command {
	var f appFlags
	c := a.sharedFlag(&cobra.Command{
		Use:   "update NAME",
		Short: "Change an app, or its secret",
		Long: "Change what is named of an app; the rest stays. Scopes and variables replace those that there are. A new\n" +
			"client id or variables want the secret again: they say where it goes. --secret-file - is standard input.",
		Example: "  cofferdam oauth-app update github --scope repo --scope read:org\n" +
			"  echo $NEW | cofferdam oauth-app update github --secret-file -",
		Args: exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			body := map[string]any{}
			if c.Flags().Changed("title") {
				body["title"] = f.title
			}
			if c.Flags().Changed("client-id") {
				body["client_id"] = f.clientID
			}
			if c.Flags().Changed("scope") {
				body["scopes"] = f.scopes
			}
			if c.Flags().Changed("var") {
				variables, err := pairsOf(f.variables)
				if err != nil {
					return err
				}
				body["variables"] = variables
			}
			if f.secretFile != "" {
				secret, err := a.readSecret(f.secretFile)
				if err != nil {
					return err
				}
				body["secret"] = secretBody(secret)
			}
			if len(body) == 0 {
				return usagef("say what to change: --title, --client-id, --scope, --var or --secret-file")
			}
			return a.sendApp(c, http.MethodPatch, a.appsPath()+"/"+escape(args[0]), body)
		},
	})
	f.add(c)
	return c
}

func (a *app) oauthAppShow() *cobra.Command {
	return a.sharedFlag(&cobra.Command{
		Use:     "show NAME",
		Short:   "Show an app, without its secret",
		Example: "  cofferdam oauth-app show github -o json",
		Args:    exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.sendApp(c, http.MethodGet, a.appsPath()+"/"+escape(args[0]), nil)
		},
	})
}

func printApps(w io.Writer, all ...oauthapp.Shown) {
	var rows [][]string
	for _, is := range all {
		whose := "own"
		if is.Shared {
			whose = "operator"
		}
		rows = append(rows, []string{is.Name, is.ID, is.Provider, whose, is.ClientID, strings.Join(is.Scopes, " "), strconv.FormatInt(is.Version, 10)})
	}
	table(w, []string{"NAME", "ID", "PROVIDER", "WHOSE", "CLIENT ID", "SCOPES", "VERSION"}, rows)
	if len(rows) == 0 {
		fmt.Fprintln(w, "no apps yet: cofferdam oauth-app create NAME --provider PROVIDER --client-id ID")
	}
}
