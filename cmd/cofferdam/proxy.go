package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

// proxySettings say what plugins' requests go through. No environment does: a variable
// that was set for another program would change where credentials go.
type proxySettings struct {
	ProxyURL, ProxyCredentials string
	ProxyByName                bool
}

func (a *app) proxyFlags(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&a.ProxyURL, "egress-proxy", a.ProxyURL, "the proxy that all of plugins' requests go through, http://host:port or https://host:port; HTTP_PROXY and its like change nothing")
	flags.StringVar(&a.ProxyCredentials, "egress-proxy-credentials", a.ProxyCredentials, "the file with the proxy's user:password, which may be in the URL instead")
	flags.BoolVar(&a.ProxyByName, "egress-proxy-by-name", a.ProxyByName, "have the proxy resolve names once more, instead of connecting to the addresses that were checked")
}

// proxy is what --egress-proxy says; nil for none.
func (a *app) proxy() (*egress.Proxy, error) {
	if a.ProxyURL == "" {
		if a.ProxyCredentials != "" || a.ProxyByName {
			return nil, usagef("--egress-proxy-credentials and --egress-proxy-by-name go with --egress-proxy")
		}
		return nil, nil //nolint:nilnil // There is none.
	}
	var credentials string
	if a.ProxyCredentials != "" {
		text, err := os.ReadFile(a.ProxyCredentials)
		if err != nil {
			return nil, fmt.Errorf("read the proxy's credentials: %w", err)
		}
		credentials = string(bytes.TrimSpace(text))
		if credentials == "" || strings.ContainsAny(credentials, "\r\n") {
			return nil, usagef("--egress-proxy-credentials %s must have one line, user:password", a.ProxyCredentials)
		}
	}
	p, err := egress.ParseProxy(a.ProxyURL, credentials, a.ProxyByName)
	if err != nil {
		return nil, usagef("--egress-proxy: %v", err)
	}
	return p, nil
}

// egress is plugins' way out.
func (a *app) egress() (egress.Config, error) {
	allow, err := prefixes(a.EgressAllow)
	if err != nil {
		return egress.Config{}, err
	}
	p, err := a.proxy()
	return egress.Config{AllowAddrs: allow, Proxy: p}, err
}

// examineProxy says whether the operator's proxy is there; and that the environment names
// one, where nothing reads that.
func (a *app) examineProxy(ctx context.Context) []check {
	p, err := a.proxy()
	switch {
	case err != nil:
		return []check{{Name: "proxy", Said: message(err)}}
	case p == nil && os.Getenv("HTTPS_PROXY")+os.Getenv("https_proxy") != "":
		return []check{{Name: "proxy", OK: true, Warn: true, Said: "HTTPS_PROXY is set, and plugins' requests do not go through it: see --egress-proxy"}}
	case p == nil:
		return nil
	}
	if err := p.Reach(ctx, nil); err != nil {
		return []check{{Name: "proxy", Said: p.String() + ": " + message(err)}}
	}
	return []check{{Name: "proxy", OK: true, Said: "plugins' requests go through " + p.String()}}
}
