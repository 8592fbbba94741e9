package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	oauthapp "github.com/cofferdam-run/cofferdam/host/app"
	"github.com/cofferdam-run/cofferdam/host/app/trial"
	"github.com/cofferdam-run/cofferdam/host/oauth"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider"
	"github.com/cofferdam-run/cofferdam/host/oauth/provider/providertest"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
)

// trialFlags are those of provider test.
type trialFlags struct {
	dir, clientID, secretFile, listen string
	scopes, variables                 []string
	emulated                          bool
}

func (a *app) providerTest() *cobra.Command {
	var f trialFlags
	c := providersFlag(&cobra.Command{
		Use:   "test PROVIDER",
		Short: "Check a provider's descriptor against its server, and say what differs",
		Long: "Check a provider's descriptor against its server: the issuer's metadata, whether endpoints answer over TLS\n" +
			"and redirect nowhere, the server's clock, and how the token endpoint refuses a code that is none.\n" +
			"With --client-id and --secret-file it also goes through a whole authorization: it prints an address to open,\n" +
			"waits on --listen for the callback, compares each field of the token's answer with the descriptor, refreshes\n" +
			"once, and revokes what was agreed to. The app needs the redirect URI http://LISTEN/oauth/callback/PROVIDER.\n" +
			"--emulated asks an emulation of the provider in this process instead, and needs neither.\n" +
			"It exits with 1 if something differs.",
		Example: "  cofferdam provider test github\n" +
			"  cofferdam provider test shopify --client-id ID --secret-file secret.txt --var shop=north --scope read_orders\n" +
			"  cofferdam provider test xero --emulated -o json",
		Args: exactly("PROVIDER"),
		RunE: func(c *cobra.Command, args []string) error {
			set, err := providers("--dir", f.dir)
			if err != nil {
				return err
			}
			p, err := set.Provider(args[0])
			if err != nil {
				return err
			}
			checks, err := a.try(c.Context(), p, f)
			if err != nil {
				return err
			}
			if err := a.show(checks, func(w io.Writer) { printTrial(w, checks) }); err != nil {
				return err
			}
			return differing(checks)
		},
	}, &f.dir)
	flags := c.Flags()
	flags.StringVar(&f.clientID, "client-id", "", "the id of a client that is registered with the provider")
	flags.StringVar(&f.secretFile, "secret-file", "", "the file with its secret; a hyphen is standard input")
	flags.StringArrayVar(&f.scopes, "scope", nil, "a scope to ask for; once for each")
	flags.StringArrayVar(&f.variables, "var", nil, "a variable of the provider's, as NAME=VALUE")
	flags.StringVar(&f.listen, "listen", "127.0.0.1:8765", "where to wait for the callback")
	flags.BoolVar(&f.emulated, "emulated", false, "ask an emulation of the provider, instead of its server")
	return c
}

// try runs the checks.
func (a *app) try(ctx context.Context, p provider.Provider, f trialFlags) ([]trial.Check, error) {
	variables, err := pairsOf(f.variables)
	if err != nil {
		return nil, err
	}
	c := trial.Config{Provider: p, Now: time.Now, RedirectURI: "http://" + f.listen + "/oauth/callback/" + p.Name}
	c.App.ClientID, c.App.Scopes = f.clientID, f.scopes
	if f.emulated {
		server, err := providertest.Start(p.Name)
		if err != nil {
			return nil, err
		}
		defer server.Close()
		if len(variables) == 0 {
			variables = server.Input
		}
		emulate(&c, server)
	} else if err := a.live(ctx, &c, f); err != nil {
		return nil, err
	}
	c.Variables, c.App.Variables = map[string]string{}, map[string]string{}
	for name, value := range variables {
		if p.Variables[name].Of == "app" {
			c.App.Variables[name] = value
		} else {
			c.Variables[name] = value
		}
	}
	return trial.Run(ctx, c)
}

// live prepares for the provider's own server.
func (a *app) live(ctx context.Context, c *trial.Config, f trialFlags) error {
	way, err := a.egress()
	if err != nil {
		return err
	}
	c.Transport = egress.NewTransport(way)
	if f.clientID == "" {
		return nil
	}
	if f.secretFile != "" {
		if c.Secret, err = a.readSecret(f.secretFile); err != nil {
			return err
		}
	}
	c.Agree = func(_ context.Context, address string) (url.Values, error) {
		return a.awaitCallback(ctx, f.listen, c.RedirectURI, address)
	}
	return nil
}

// callbackTime is what somebody has to log in and agree.
const callbackTime = 10 * time.Minute

// awaitCallback has somebody open an address, and waits for the callback.
func (a *app) awaitCallback(ctx context.Context, listen, redirectURI, address string) (url.Values, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("wait for the callback: %w", err)
	}
	came := make(chan url.Values, 1)
	web := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(redirectURI, r.URL.Path) || r.Method != http.MethodGet {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Referrer-Policy", "no-referrer")
		fmt.Fprintln(w, "Thank you. Go back to the terminal: this page can be closed.")
		select {
		case came <- r.URL.Query():
		default: // One is enough.
		}
	})}
	go func() { _ = web.Serve(l) }() // It ends when it is closed.
	defer func() { _ = web.Close() }()
	fmt.Fprintf(a.err, "open this address, and agree:\n  %s\n", address)
	timeout := time.NewTimer(callbackTime)
	defer timeout.Stop()
	select {
	case callback := <-came:
		return callback, nil
	case <-timeout.C:
		return nil, errors.New("nobody came back in 10 minutes")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// emulate prepares for an emulated server.
func emulate(c *trial.Config, server *providertest.Server) {
	c.Transport, c.RedirectURI, c.Agree, c.Leave = emulatedWay{server.Transport(), server}, server.RedirectURI, server.Agree, server.Unplayed()
	c.App = oauthapp.App{ClientID: server.ClientID, Grant: server.Grant, Scopes: server.Scopes}
	c.Secret = oauth.Secret{ClientSecret: server.ClientSecret}
	if c.Provider.ClientCertificate {
		c.Secret.Certificate, c.Secret.PrivateKey = server.ClientCertificate()
	}
}

// emulatedWay leads to an emulated server, with a certificate if one is shown.
type emulatedWay struct {
	*http.Transport

	server *providertest.Server
}

// Showing is what package oauth asks for.
func (w emulatedWay) Showing(shown tls.Certificate) http.RoundTripper {
	t := w.server.Transport()
	t.TLSClientConfig.Certificates = []tls.Certificate{shown}
	return t
}

func printTrial(w io.Writer, checks []trial.Check) {
	rows := make([][]string, len(checks))
	for i, c := range checks {
		rows[i] = []string{string(c.Verdict), c.Name, c.Why}
	}
	table(w, []string{"VERDICT", "CHECK", "WHY"}, rows)
}

// differing is an error if something differs.
func differing(checks []trial.Check) error {
	n := 0
	for _, c := range checks {
		if c.Verdict == trial.Differs {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d checks differ", n, len(checks))
}
