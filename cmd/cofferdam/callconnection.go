package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/internal/trial"
	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
)

const aboutConnections = "A connection's credential comes from the environment: from the variable that --connection NAME=VARIABLE says, or\n" +
	"else from COFFERDAM_CONNECTION_NAME, with NAME in capitals. It is a bearer's token, an api_key's or hmac's key,\n" +
	"user:password of a basic one, the PEM of a private_key, or of a client_certificate with its key; or of any type an\n" +
	"object of JSON with its parts, which an aws_sigv4 needs: access_key_id, secret_access_key, region and service.\n" +
	"On a terminal, --connection NAME asks for it. It is never read from a file, and never written."

// accountWishes say where the accounts of a plugin come from.
type accountWishes struct {
	config json.RawMessage
	// flags are NAME or NAME=VARIABLE.
	flags []string
	// declared is what a project says of its connections, none of it secret.
	declared map[string]accountOptions
}

// accountOptions are what a project may say of a connection.
type accountOptions struct {
	// Env is the variable of the environment with the credential.
	Env string `json:"env"`
	// Hosts are more that the credential may be sent to: a stand-in's, say.
	Hosts []string `json:"hosts"`
	// Fields are those of the connection that are not secret.
	Fields json.RawMessage `json:"fields"`
}

// accounts are a plugin's connections on the author's machine, by name.
type accounts map[string]account

type account struct {
	spec connection.Spec
	// from is the variable of the environment, for people; it is empty for one that
	// was typed.
	from   string
	fields json.RawMessage
	// missing says that there is no credential.
	missing bool
}

// accounts finds the credential of each connection that a manifest has.
func (a *app) accounts(m manifest.Manifest, w accountWishes) (accounts, error) {
	variables := map[string]string{}
	for _, f := range w.flags {
		name, variable, _ := strings.Cut(f, "=")
		if !slices.ContainsFunc(m.Connections, func(c manifest.Connection) bool { return c.Name == name }) {
			return nil, usagef("--connection %s: the plugin has no connection of that name: it has %s", name, connectionNames(m))
		}
		variables[name] = variable
	}
	all := accounts{}
	for _, c := range m.Connections {
		variable, asked := variables[c.Name]
		one, err := a.account(m, c, variable, asked, w)
		if err != nil {
			return nil, err
		}
		all[c.Name] = one
	}
	return all, nil
}

func (a *app) account(m manifest.Manifest, c manifest.Connection, variable string, asked bool, w accountWishes) (account, error) {
	own := w.declared[c.Name]
	if variable == "" {
		variable = own.Env
	}
	if variable == "" {
		variable = usualVariable(c.Name)
	}
	one := account{from: variable, fields: own.Fields, spec: trial.Account(m, c, w.config)}
	one.spec.Hosts = append(one.spec.Hosts, own.Hosts...)
	secret := os.Getenv(variable)
	if secret == "" && asked {
		var err error
		if secret, err = a.askFor(c, variable); err != nil {
			return account{}, err
		}
		one.from = ""
	}
	if secret == "" {
		one.missing = true
		return one, nil
	}
	var err error
	if one.spec.Credential, err = credentialOf(one.spec.Type, secret); err != nil {
		return account{}, usagef("the credential of the connection %s, %s: %v", c.Name, cmp.Or(one.from, "which was typed"), err)
	}
	return one, nil
}

func connectionNames(m manifest.Manifest) string {
	names := make([]string, len(m.Connections))
	for i, c := range m.Connections {
		names[i] = c.Name
	}
	return listed(names)
}

// usualVariable is where a credential is looked for unless it is said.
func usualVariable(connection string) string {
	return "COFFERDAM_CONNECTION_" + strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		default:
			return '_'
		}
	}, connection)
}

// askFor has the person type a credential, which is not shown.
func (a *app) askFor(c manifest.Connection, variable string) (string, error) {
	f, ok := a.in.(*os.File)
	if !ok || !isKeyboard(f) {
		return "", usagef("the connection %s has no credential: set %s, or name another variable: --connection %s=VARIABLE", c.Name, variable, c.Name)
	}
	form := map[string]string{
		"basic": "user:password", "api_key": "key", "hmac": "key", "private_key": "JSON with the private_key",
		"aws_sigv4": "JSON with the access_key_id, secret_access_key, region and service", "client_certificate": "JSON with the certificate and private_key",
	}[c.Type]
	if form == "" {
		form = "token"
	}
	fmt.Fprintf(a.err, "%s for the connection %s, which is not shown: ", form, c.Name)
	secret, err := readSecret(f)
	fmt.Fprintln(a.err)
	if err != nil {
		return "", fmt.Errorf("read the credential: %w", err)
	}
	return strings.TrimSpace(secret), nil
}

// readSecret reads a line that the terminal does not show.
func readSecret(f *os.File) (string, error) {
	restore, err := rawTerminal(f)
	if err != nil {
		return "", err
	}
	defer restore()
	var line []byte
	for b := make([]byte, 1); ; {
		n, err := f.Read(b)
		switch {
		case err == io.EOF || n == 1 && (b[0] == '\n' || b[0] == '\r'):
			return string(line), nil
		case err != nil:
			return "", err
		case n == 1 && (b[0] == 0x7f || b[0] == '\b'):
			line = line[:max(0, len(line)-1)]
		case n == 1:
			line = append(line, b[0])
		}
	}
}

// credentials are those that are there.
func (a accounts) credentials() (egress.Credentials, error) {
	specs := map[string]connection.Spec{}
	for name, one := range a {
		if !one.missing {
			specs[name] = one.spec
		}
	}
	return connection.Held(specs, time.Now)
}

// fields are those of the accounts that have a credential.
func (a accounts) fields() map[string]json.RawMessage {
	all := map[string]json.RawMessage{}
	for name, one := range a {
		if !one.missing {
			all[name] = one.fields
		}
	}
	return all
}

// names are sorted.
func (a accounts) names() []string { return slices.Sorted(maps.Keys(a)) }
