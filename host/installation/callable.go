package installation

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
)

// Callable checks that an installation can be asked for something, and that
// the input fits the schema. It returns the installation. A paused installation
// can be asked: what it is asked for waits.
//
// No input is taken for an empty object. A plain plugin (level 0) takes any
// bytes.
func (s *Installations) Callable(ctx context.Context, tenant, id string, kind event.Kind, name string, input json.RawMessage) (Installation, error) {
	i, v, err := s.running(ctx, tenant, id)
	if err != nil {
		return Installation{}, err
	}
	switch kind {
	case event.Action:
		err = s.checkAction(v, name, input)
	case event.Poll:
		if err = named(v, "poll", name, namesOf(v.Manifest.Polls, func(p manifest.Poll) string { return p.Name })); err == nil {
			err = noInput(kind, input)
		}
	case event.Webhook:
		err = named(v, "webhook", name, namesOf(v.Manifest.Webhooks, webhookName))
	case event.Test:
		if err = testable(v); err == nil {
			err = noInput(kind, input)
		}
	case event.Record, event.Schedule:
		err = fault.New(fault.InvalidInput, "kind_invalid", "an event of the kind %q cannot be asked for", kind).
			WithHint("Ask for an action, a poll or a test.")
	default:
		err = fault.New(fault.InvalidInput, "kind_invalid", "there is no kind of event %q", clip(string(kind))).
			WithHint("Ask for an action, a poll or a test.")
	}
	if err != nil {
		return Installation{}, err
	}
	return i, nil
}

// Webhook returns the installation's id and the scheme of a webhook of it.
func (s *Installations) Webhook(ctx context.Context, tenant, id, webhook string) (installation, scheme string, err error) {
	i, v, err := s.running(ctx, tenant, id)
	if err != nil {
		return "", "", err
	}
	if err := named(v, "webhook", webhook, namesOf(v.Manifest.Webhooks, webhookName)); err != nil {
		return "", "", err
	}
	at := slices.IndexFunc(v.Manifest.Webhooks, func(w manifest.Webhook) bool { return w.Name == webhook })
	return i.ID, v.Manifest.Webhooks[at].Scheme, nil
}

// running finds an installation that is there, and its version.
func (s *Installations) running(ctx context.Context, tenant, id string) (Installation, registry.Version, error) {
	i, err := s.present(ctx, tenant, id)
	if err != nil {
		return i, registry.Version{}, err
	}
	v, err := s.pinned(ctx, i.VersionID)
	return i, v, err
}

func (s *Installations) checkAction(v registry.Version, name string, input json.RawMessage) error {
	if err := named(v, "action", name, namesOf(v.Manifest.Actions, func(a manifest.Action) string { return a.Name })); err != nil {
		return err
	}
	if v.Manifest.Level == 0 {
		return nil
	}
	at := slices.IndexFunc(v.Manifest.Actions, func(a manifest.Action) bool { return a.Name == name })
	compiled, err := s.cache.compiled(v, name, v.Manifest.Actions[at].Input)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(input)) == 0 {
		input = json.RawMessage("{}")
	}
	if problems := under("", compiled.Validate(input)); len(problems) > 0 {
		e := fault.New(fault.InvalidInput, "input_invalid", "the input does not fit the action %q of %s %s", name, v.Name, v.Version).
			WithHint("Its schema is in the plugin's manifest: see `cofferdam plugin show %s -o json`.", v.Name)
		e.Problems = problems
		return e
	}
	return nil
}

func webhookName(w manifest.Webhook) string { return w.Name }

func namesOf[T any](all []T, nameOf func(T) string) []string {
	names := make([]string, len(all))
	for i, one := range all {
		names[i] = nameOf(one)
	}
	return names
}

// named refuses a name that is not among what there is.
func named(v registry.Version, kind, name string, there []string) error {
	if slices.Contains(there, name) {
		return nil
	}
	e := fault.New(fault.InvalidInput, "no_such_"+kind, "%s %s has no %s %q", v.Name, v.Version, kind, clip(name))
	if len(there) == 0 {
		return e.WithHint("It has none.")
	}
	const most = 20
	if len(there) > most {
		there = append(slices.Clone(there[:most]), "and others")
	}
	return e.WithHint("It has %s.", strings.Join(there, ", "))
}

func testable(v registry.Version) error {
	if v.Manifest.Test {
		return nil
	}
	return fault.New(fault.InvalidInput, "no_test", "%s %s has no test", v.Name, v.Version).
		WithHint("Its author can add one: an export \"test\", and \"test\": true in the manifest.")
}

// noInput refuses an input that nobody would read.
func noInput(kind event.Kind, input json.RawMessage) error {
	var compact bytes.Buffer
	if json.Compact(&compact, input) != nil {
		compact.Write(input)
	}
	switch compact.String() {
	case "", "null", "{}":
		return nil
	default:
		return fault.New(fault.InvalidInput, "input_invalid", "a %s takes no input", kind).WithHint("Leave the input out.")
	}
}
