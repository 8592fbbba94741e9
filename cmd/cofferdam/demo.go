package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/demo"
	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/endpoint"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/execution"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/host/token"
	"github.com/cofferdam-run/cofferdam/registry"
)

func (a *app) demoCommand() *cobra.Command {
	var p play
	c := &cobra.Command{
		Use:   "demo",
		Short: "Serve, and play the main job: two tenants, a webhook each, an API call with each one's token",
		Long: "Serve, and play the main job against this server: publish a connector, connect two tenants to a\n" +
			"stand-in for the GitHub API on this machine, deliver a signed webhook to each, and show what ran.",
		Example: "  cofferdam demo --plugin build/hello-go.wasm\n  cofferdam demo --plugin build/hello-go.wasm --keep",
		Args:    exactly(),
		RunE: func(c *cobra.Command, _ []string) error {
			// Guests may not reach this machine unless the operator allows it; the
			// stand-in listens here.
			a.EgressAllow = append(a.EgressAllow, "127.0.0.1")
			p.app = a
			if !c.Flags().Changed("log-level") {
				a.LogLevel = "warn" // The demo speaks for itself.
			}
			return a.serve(c.Context(), p.run)
		},
	}
	a.serverFlags(c)
	c.Flags().StringVar(&p.plugin, "plugin", "build/hello-go.wasm", "the connector to publish, built from examples/hello-go")
	c.Flags().StringVar(&p.github, "github-addr", "127.0.0.1:8081", "where the stand-in for the GitHub API listens")
	c.Flags().BoolVar(&p.keep, "keep", false, "go on serving after the demo")
	return c
}

// play is one performance of the demo.
type play struct {
	*app
	plugin, github string
	// keep goes on serving, the stand-in included, until Ctrl-C.
	keep    bool
	api     *client
	standIn *demo.GitHub
}

// actor is a tenant of the demo.
type actor struct {
	name, token, repo string
	// deliveries is how often its webhook is delivered, with one delivery id.
	deliveries int

	endpoint, secret string
}

// patience is generous: a slow machine compiles the connector for a while.
const patience = 3 * time.Minute

func (p *play) run(ctx context.Context, s *server) error {
	_, secret, err := s.host.Tokens.Mint(ctx, token.Spec{Name: "demo", ExpiresAt: time.Now().Add(time.Hour)})
	if err != nil {
		return err
	}
	p.api = &client{base: "http://" + p.Addr, token: secret, http: &http.Client{Timeout: patience}}
	actors := []*actor{
		{name: "acme", token: "acme-" + rand.Text(), repo: "widgets", deliveries: 1},
		{name: "globex", token: "globex-" + rand.Text(), repo: "rockets", deliveries: 2},
	}
	stop, err := p.startGitHub(ctx, actors)
	if err != nil {
		return err
	}
	defer stop()
	if err := p.publish(ctx); err != nil {
		return err
	}
	for _, x := range actors {
		if err := p.enroll(ctx, x); err != nil {
			return fmt.Errorf("set up tenant %s: %w", x.name, err)
		}
	}
	for _, x := range actors {
		if err := p.deliver(ctx, x); err != nil {
			return fmt.Errorf("deliver to tenant %s: %w", x.name, err)
		}
	}
	if !p.keep {
		p.say("\nThat was the demo. 'make run' plays it and goes on serving, for you to look around.")
		return nil
	}
	p.suggest(actors[0])
	<-ctx.Done()
	return nil
}

func (p *play) say(format string, args ...any) { fmt.Fprintf(p.out, format+"\n", args...) }

// startGitHub serves the stand-in until the function that it returns is called.
func (p *play) startGitHub(ctx context.Context, actors []*actor) (stop func(), err error) {
	owners := map[string]string{}
	for _, x := range actors {
		owners[x.token] = x.name
	}
	p.standIn = demo.NewGitHub(owners)
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", p.github)
	if err != nil {
		return nil, fmt.Errorf("listen on %s for the stand-in of the GitHub API: %w\n  hint: --github-addr moves it", p.github, err)
	}
	web := &http.Server{Handler: p.standIn, ReadHeaderTimeout: patience}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = web.Serve(l) // It ends by Close below, and that is not an error.
	}()
	p.say("\n1. A stand-in for the GitHub API listens on http://%s and checks tokens.", p.github)
	return func() {
		_ = web.Close()
		<-done
	}, nil
}

func (p *play) publish(ctx context.Context) error {
	wasm, err := os.ReadFile(p.plugin)
	if err != nil {
		return fmt.Errorf("read the connector: %w\n  hint: 'make build/hello-go.wasm' builds it", err)
	}
	var v registry.Version
	err = p.api.send(ctx, http.MethodPost, "/v1/plugins", "application/wasm", bytes.NewReader(wasm), &v)
	if err != nil {
		return fmt.Errorf("publish the connector: %w", err)
	}
	p.say("2. Published %s@%s, %s, %s: checked, compiled and described in the sandbox.", v.Name, v.Version, byteCount(v.Size), v.Digest[:19])
	return nil
}

// enroll makes what a tenant needs, or takes up what an earlier demo has made.
func (p *play) enroll(ctx context.Context, x *actor) error {
	root := "/v1/tenants/" + x.name
	if err := p.ensure(ctx, "/v1/tenants", map[string]any{"name": x.name}, nil); err != nil {
		return err
	}
	credential := map[string]string{"token": x.token}
	con := map[string]any{"name": "github", "type": connection.Bearer, "hosts": []string{p.github}, "credential": credential}
	err := p.ensure(ctx, root+"/connections", con, func() error {
		return p.api.call(ctx, http.MethodPut, root+"/connections/github/credential", credential, nil)
	})
	if err != nil {
		return err
	}
	config := map[string]string{"api_url": "http://" + p.github, "label": "triage"}
	spec := map[string]any{"plugin": "hello-go", "config": config}
	err = p.ensure(ctx, root+"/installations", spec, func() error {
		return p.api.call(ctx, http.MethodPut, root+"/installations/hello-go/config", config, nil)
	})
	if err != nil {
		return err
	}
	if err := p.openEndpoint(ctx, x); err != nil {
		return err
	}
	p.say("3. Tenant %s: a connection with its own token, sealed; hello-go installed; deliveries go to /hooks/%s.", x.name, x.endpoint)
	return nil
}

// ensure creates something; if it exists already, again brings it up to date.
func (p *play) ensure(ctx context.Context, path string, body any, again func() error) error {
	err := p.api.call(ctx, http.MethodPost, path, body, nil)
	var f *fault.Error
	if !errors.As(err, &f) || f.Class != fault.Conflict {
		return err
	}
	if again == nil {
		return nil
	}
	return again()
}

func (p *play) openEndpoint(ctx context.Context, x *actor) error {
	root := "/v1/tenants/" + x.name
	var in installation.Installation
	if err := p.api.call(ctx, http.MethodGet, root+"/installations/hello-go", nil, &in); err != nil {
		return err
	}
	var all page[endpoint.Endpoint]
	if err := p.api.call(ctx, http.MethodGet, root+"/endpoints", nil, &all); err != nil {
		return err
	}
	path, body := root+"/endpoints", map[string]string{"installation": in.ID, "webhook": "issues"}
	for _, e := range all.Items {
		if e.Installation == in.ID {
			path, body = root+"/endpoints/"+e.ID+"/rotate", map[string]string{}
		}
	}
	var e endpointSecret
	if err := p.api.call(ctx, http.MethodPost, path, body, &e); err != nil {
		return err
	}
	x.endpoint, x.secret = e.ID, e.Secret
	return nil
}

// deliver plays GitHub's part: a signed delivery, as often as the actor has it.
func (p *play) deliver(ctx context.Context, x *actor) error {
	body, err := demo.Opened(x.name, x.repo, 7)
	if err != nil {
		return err
	}
	s := sending{scheme: "github", secret: x.secret, id: rand.Text(), headers: []string{"X-GitHub-Event: issues"}}
	first, err := p.api.deliver(ctx, x.endpoint, s, body)
	if err != nil {
		return err
	}
	p.say("\n4. Delivered a signed issues.opened of %s/%s to tenant %s: stored as %s before it was answered.", x.name, x.repo, x.name, first.Event)
	for range x.deliveries - 1 {
		again, err := p.api.deliver(ctx, x.endpoint, s, body)
		if err != nil {
			return err
		}
		if !again.Duplicate || again.Event != first.Event {
			return fmt.Errorf("the same delivery again was taken as new: %+v", again)
		}
		p.say("   Delivered it again with the same delivery id: answered 2xx as a duplicate, and nothing runs.")
	}
	return p.watch(ctx, x, first)
}

// watch waits for an execution and prints its trace.
func (p *play) watch(ctx context.Context, x *actor, a event.Accepted) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	path := "/v1/tenants/" + x.name + "/executions/" + a.Execution
	var t execution.Trace
	for !t.Execution.State.Done() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("execution %s is %s after %s: %w", a.Execution, t.Execution.State, patience, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
		if err := p.api.call(ctx, http.MethodGet, path+"/trace", nil, &t); err != nil {
			return err
		}
	}
	var trace bytes.Buffer
	printTrace(&trace, t)
	for line := range bytes.Lines(trace.Bytes()) {
		fmt.Fprintf(p.out, "   %s", line)
	}
	if t.Execution.State != execution.Succeeded {
		return fmt.Errorf("execution %s of tenant %s is %s, not succeeded", a.Execution, x.name, t.Execution.State)
	}
	labels := p.standIn.Labels(x.name + "/" + x.repo + "#7")
	if len(labels) != 1 || labels[0] != "triage" {
		return fmt.Errorf("the issue at the stand-in has the labels %v, not just triage", labels)
	}
	p.say("   The stand-in saw tenant %s's own token, and the issue has the label %q.", x.name, labels[0])
	return nil
}

func (p *play) suggest(x *actor) {
	p.say(`
Still serving, the stand-in too; Ctrl-C ends it. What to try next, in another terminal:
  export COFFERDAM_URL=http://%[1]s COFFERDAM_TENANT=%[2]s COFFERDAM_TOKEN=%[3]s   # valid for an hour
  bin/cofferdam execution list
  bin/cofferdam execution list --tag repo=%[2]s/%[4]s
  bin/cofferdam installation test hello-go
  bin/cofferdam installation call hello-go label --input '{"repo":"%[2]s/%[4]s","number":7,"label":"bug"}'
  bin/cofferdam installation call hello-go label --input '{"repo":"globex/rockets","number":7,"label":"bug"}'   # not with %[2]s's token
  bin/cofferdam dead-letter list
  bin/cofferdam plugin show hello-go
  curl -H "Authorization: Bearer $COFFERDAM_TOKEN" $COFFERDAM_URL/v1/tenants/%[2]s/executions
The API is described at http://%[1]s/openapi.json.`, p.Addr, x.name, p.api.token, x.repo)
}
