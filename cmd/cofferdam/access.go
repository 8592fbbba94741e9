package main

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/host/api"
	"github.com/cofferdam-run/cofferdam/host/login"
	"github.com/cofferdam-run/cofferdam/host/store/postgres"
	"github.com/cofferdam-run/cofferdam/host/token"
)

// access are the settings of how people and programs come to the server.
type access struct {
	TLSCert  string   `env:"COFFERDAM_TLS_CERT"`
	TLSKey   string   `env:"COFFERDAM_TLS_KEY"`
	Proxies  []string `env:"COFFERDAM_TRUST_PROXY" envSeparator:","`
	Issuer   string   `env:"COFFERDAM_OIDC_ISSUER"`
	Audience string   `env:"COFFERDAM_OIDC_AUDIENCE"`
	Grants   []string `env:"COFFERDAM_OIDC_ROLE" envSeparator:","`
	// Client is of the verb login.
	Client string `env:"COFFERDAM_OIDC_CLIENT_ID"`
}

func (a *app) accessFlags(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&a.TLSCert, "tls-cert", a.TLSCert, "serve https with the certificates in this PEM file; read again when it changes (COFFERDAM_TLS_CERT)")
	flags.StringVar(&a.TLSKey, "tls-key", a.TLSKey, "and with the key in this one (COFFERDAM_TLS_KEY)")
	flags.StringSliceVar(&a.Proxies, "trust-proxy", a.Proxies, "addresses or networks of proxies whose X-Forwarded-For says who asks (COFFERDAM_TRUST_PROXY)")
	flags.StringVar(&a.Issuer, "oidc-issuer", a.Issuer, "take tokens of this OpenID provider from operators (COFFERDAM_OIDC_ISSUER)")
	flags.StringVar(&a.Audience, "oidc-audience", a.Audience, "whom they must be for, such as the client's id (COFFERDAM_OIDC_AUDIENCE)")
	flags.StringSliceVar(&a.Grants, "oidc-role", a.Grants, "the role that a claim's value gives, as groups=platform:operator; or operator_viewer, or publisher (COFFERDAM_OIDC_ROLE)")
}

// apiOptions are the API's, of what the settings say.
func (a *app) apiOptions(l *slog.Logger) (api.Options, error) {
	o := api.Options{Version: buildVersion().Version, Logger: l}
	var err error
	if o.TrustedProxies, err = networks("--trust-proxy", a.Proxies); err != nil {
		return o, err
	}
	if a.Issuer == "" {
		if a.Audience != "" || len(a.Grants) > 0 {
			return o, usagef("--oidc-audience and --oidc-role say nothing without --oidc-issuer")
		}
		return o, nil
	}
	grants, err := grantsOf(a.Grants)
	if err != nil {
		return o, err
	}
	known, err := login.New(login.Config{Issuer: a.Issuer, Audience: a.Audience, Grants: grants})
	if err != nil {
		return o, usagef("%v\n  hint: see --oidc-issuer, --oidc-audience and --oidc-role", err)
	}
	o.Login = known
	return o, nil
}

func grantsOf(texts []string) ([]login.Grant, error) {
	var all []login.Grant
	for _, text := range texts {
		// Claims may have : in their names, and values may have =.
		i := strings.LastIndexByte(text, ':')
		claim, value, ok := strings.Cut(text[:max(i, 0)], "=")
		if !ok || i < 0 {
			return nil, usagef("--oidc-role is %q: it is CLAIM=VALUE:ROLE, as groups=platform:operator", text)
		}
		all = append(all, login.Grant{Claim: claim, Value: value, Role: token.Role(text[i+1:])})
	}
	return all, nil
}

// prefixes reads what --egress-allow names: what guests may reach although it is not
// public.
func prefixes(texts []string) ([]netip.Prefix, error) { return networks("--egress-allow", texts) }

// networks reads addresses and networks.
func networks(flag string, texts []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if addr, aerr := netip.ParseAddr(text); aerr == nil {
			p, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			return nil, usagef("%s %q is neither an address nor a network such as 127.0.0.0/8", flag, text)
		}
		all = append(all, p)
	}
	return all, nil
}

// exposed says what is wrong with the way to the database, or nothing.
func (a *app) exposed() string {
	if !isPostgres(a.DB) {
		return ""
	}
	why := postgres.Exposed(a.DB)
	if why == "" {
		return ""
	}
	return fmt.Sprintf("%s; say sslmode=verify-full in --db, with sslrootcert=FILE if its authority is your own", why)
}
