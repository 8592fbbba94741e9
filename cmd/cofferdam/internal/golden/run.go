package golden

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/internal/fixture"
	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/internal/trial"
	"github.com/cofferdam-run/cofferdam/host/connection"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/worker"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/registry/schema"
)

// Result is what a test came to.
type Result struct {
	// Problems are why it fails; none if it passes.
	Problems []Problem
	// Report is the run's, nil if the test could not be run.
	Report *trial.Report

	world *world
	test  *Test
}

// Passed says whether all is as the test wants it.
func (r *Result) Passed() bool { return len(r.Problems) == 0 }

// Run runs a test. What is wrong with the test or the plugin is in the Result; an error is the host's.
func Run(ctx context.Context, b *trial.Bench, s Subject) (*Result, error) {
	return run(ctx, b, s, false)
}

// Subject is a test of a project.
type Subject struct {
	// Project is the folder that has its fixtures, and Name is the test's.
	Project, Name string
	Test          Test
}

// run runs a test, which may be lenient about what is asked.
func run(ctx context.Context, b *trial.Bench, s Subject, lenient bool) (*Result, error) {
	t := s.Test
	w := &world{exchanges: t.HTTP, answers: t.Functions, signatures: t.Sign, lenient: lenient}
	r := &Result{world: w, test: &t}
	prepare := s.execution
	if t.Verify != "" {
		prepare = s.verification
	}
	made, err := prepare(ctx, b, w)
	if err != nil {
		r.Problems = []Problem{{What: err.Error()}}
		return r, nil //nolint:nilerr // It is what the test came to.
	}
	if r.Report, err = made(); err != nil {
		return r, err
	}
	if len(w.problems) == 0 { // Else the rest may follow from that.
		w.unasked()
		w.problems = append(w.problems, compare(t.Expect, actual(r.Report, t.State))...)
	}
	r.Problems = w.problems
	return r, nil
}

// call is what a test does.
type call func() (*trial.Report, error)

// execution makes a run of a test; its error says why it cannot be one.
func (s Subject) execution(ctx context.Context, b *trial.Bench, w *world) (call, error) {
	c, err := s.Test.prepare(b, s.Project, w)
	if err != nil {
		return nil, err
	}
	c.Seed = sha256.Sum256([]byte(s.Name))
	return func() (*trial.Report, error) {
		c.Egress = egress.New(egress.Config{Instead: w, CallsPerRun: len(s.Test.HTTP) + 100})
		defer c.Egress.Close()
		return trial.Run(ctx, b.Module, c)
	}, nil
}

// now is what the clock shows.
func (t *Test) now() time.Time {
	if t.Now.IsZero() {
		return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	}
	return t.Now
}

// prepare makes a run of a test; its error says why it cannot be one.
func (t *Test) prepare(b *trial.Bench, project string, w *world) (trial.Config, error) {
	config, err := completed(b.Manifest, t.Config)
	if err != nil {
		return trial.Config{}, err
	}
	now := t.now()
	c := trial.Config{Settings: config, State: t.State, Limits: b.Wishes(), Now: t.now}
	c.Permissions, c.Signs, c.Signer = trial.Permit(b.Manifest, config), b.Manifest.Signs(), w.sign
	fields, held, err := t.grant(b.Manifest, config, c.Now)
	if err != nil {
		return c, err
	}
	given := map[string]bool{}
	for name := range t.Credentials {
		given[name] = true
	}
	c.Permissions.Credentials = credentials{Credentials: held, world: w, given: given}
	builtin := worker.Functions(nil)
	for _, name := range b.Imports() {
		if !slices.Contains(builtin, name) {
			c.Functions = append(c.Functions, w.function(name))
		}
	}
	ask := trial.Ask{Config: config, Connections: fields, Checkpoint: t.Checkpoint, Attempt: t.Attempt, Received: now, Query: t.Query}
	if err := t.ask(b, project, &ask); err != nil {
		return c, err
	}
	if ask.Kind == "" {
		c.Export, c.Input = ask.Name, ask.Payload
		return c, nil
	}
	c.Export = string(ask.Kind)
	c.Input, err = ask.Envelope()
	return c, err
}

// ask says what the plugin is asked for.
func (t *Test) ask(b *trial.Bench, project string, ask *trial.Ask) error {
	ask.Kind, ask.Name = t.kind()
	names := Names(b.Manifest)
	if t.Export != "" {
		if !slices.Contains(b.Exports(), t.Export) {
			return fmt.Errorf("the plugin has no export %q: it has %s", t.Export, strings.Join(b.Exports(), ", "))
		}
		names = fixture.Names{event.Action: b.Exports()}
	} else if there, ok := names[ask.Kind]; !ok || ask.Kind != event.Test && !slices.Contains(there, ask.Name) {
		return fmt.Errorf("the plugin has no %s %q: it has %s", ask.Kind, ask.Name, strings.Join(append(there, "no other"), ", "))
	}
	headers := t.Headers
	switch {
	case t.Fixture != "":
		f, err := fixture.Read(project, t.Fixture, names)
		if err != nil {
			return err
		}
		ask.Payload = f.Payload
		if ask.Query == "" {
			ask.Query = f.Query
		}
		if headers == nil {
			headers = f.Headers
		}
	case t.Body != nil:
		ask.Payload = t.Body
	case t.Cursor != nil:
		ask.Payload = t.Cursor
	default:
		ask.Payload = t.Input
	}
	ask.Headers = map[string][]string{}
	for name, value := range headers {
		ask.Headers[strings.ToLower(name)] = []string{value}
	}
	return t.checkInput(b.Manifest, ask)
}

// checkInput holds an action's input to its schema, as a server does before it runs.
func (t *Test) checkInput(m manifest.Manifest, ask *trial.Ask) error {
	i := slices.IndexFunc(m.Actions, func(a manifest.Action) bool { return a.Name == t.Action })
	if ask.Kind != event.Action || i < 0 {
		return nil
	}
	s, err := schema.Compile(m.Actions[i].Input)
	if err != nil {
		return err
	}
	input := json.RawMessage(ask.Payload)
	if len(input) == 0 {
		input = json.RawMessage(`{}`)
	}
	return problemsError("the input does not fit the action's schema, so that a server would not run it", s.Validate(input))
}

func problemsError(what string, problems []schema.Problem) error {
	if len(problems) == 0 {
		return nil
	}
	errs := []error{errors.New(what)}
	for _, p := range problems {
		errs = append(errs, fmt.Errorf("  at %s: %s", p.Where, p.Message))
	}
	return errors.Join(errs...)
}

// completed is a configuration with its defaults, which fits the schema.
func completed(m manifest.Manifest, config json.RawMessage) (json.RawMessage, error) {
	s, err := schema.Compile(m.Config)
	if err != nil {
		return nil, err
	}
	whole, err := s.Defaults(config)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	return whole, problemsError("the config does not fit the plugin's schema", s.Validate(whole))
}

// grant gives the connections of a test their credentials, and returns their fields.
func (t *Test) grant(m manifest.Manifest, config json.RawMessage, now func() time.Time) (map[string]json.RawMessage, egress.Credentials, error) {
	specs, fields := map[string]connection.Spec{}, map[string]json.RawMessage{}
	for name := range t.Connections {
		if !slices.ContainsFunc(m.Connections, func(c manifest.Connection) bool { return c.Name == name }) {
			return nil, nil, fmt.Errorf("the plugin has no connection %q", name)
		}
	}
	for _, c := range m.Connections {
		own, granted := t.Connections[c.Name]
		if !granted && t.Connections != nil {
			continue
		}
		credential, ok := t.Credentials[c.Name]
		if !ok {
			var err error
			if credential, err = trial.Throwaway(c); err != nil {
				return nil, nil, err
			}
		}
		fields[c.Name] = own
		spec := trial.Account(m, c, config)
		spec.Credential = credential
		specs[c.Name] = spec
	}
	for name := range t.Credentials {
		if _, granted := specs[name]; !granted {
			return nil, nil, fmt.Errorf("credentials: the plugin has no connection %q, or the test does not grant it", name)
		}
	}
	held, err := connection.Held(specs, now)
	return fields, held, err
}

// Names are those of a manifest, for its fixtures.
func Names(m manifest.Manifest) fixture.Names {
	names := fixture.Names{}
	for _, a := range m.Actions {
		names[event.Action] = append(names[event.Action], a.Name)
	}
	for _, w := range m.Webhooks {
		names[event.Webhook] = append(names[event.Webhook], w.Name)
	}
	for _, p := range m.Polls {
		names[event.Poll] = append(names[event.Poll], p.Name)
	}
	if m.Test {
		names[event.Test] = nil
	}
	return names
}
