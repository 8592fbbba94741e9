package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/internal/fixture"
	"github.com/cofferdam-run/cofferdam/cmd/cofferdam/internal/trial"
	"github.com/cofferdam-run/cofferdam/host/event"
	"github.com/cofferdam-run/cofferdam/host/fault"
	"github.com/cofferdam-run/cofferdam/hostfns"
	"github.com/cofferdam-run/cofferdam/hostfns/egress"
	"github.com/cofferdam-run/cofferdam/hostfns/guestlog"
	"github.com/cofferdam-run/cofferdam/hostfns/replay"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/registry/schema"
	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/extism"
)

// prepare makes a run of the command line. What it returns beside it is to be called
// once all is run.
func (v *calling) prepare(b *trial.Bench, p extism.Plugin, args []string) (_ trial.Config, done func(), err error) {
	allow, err := prefixes(v.EgressAllow)
	if err != nil {
		return trial.Config{}, nil, err
	}
	payload, err := v.payload()
	if err != nil {
		return trial.Config{}, nil, err
	}
	c := trial.Config{Export: args[0], Input: payload, Limits: b.Wishes(), Line: v.line, Now: time.Now}
	if v.trace {
		c.Step = func(s hostfns.Step) { printStep(v.err, s) }
	}
	if c.Settings, err = v.settingsOf(b, p.Config); err != nil {
		return c, nil, err
	}
	if c.State, err = v.stored(); err != nil {
		return c, nil, err
	}
	c.Permissions, c.Signs = trial.Permit(b.Manifest, c.Settings), b.Manifest.Signs()
	for _, host := range slices.Concat(v.hosts, p.Hosts) {
		rule := egress.Rule{Host: host, Methods: []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}}
		if err := rule.Validate(); err != nil {
			return c, nil, usagef("--allow-host: %v", err)
		}
		c.Permissions.Rules = append(c.Permissions.Rules, rule)
	}
	accounts, err := v.accounts(b.Manifest, accountWishes{config: c.Settings, flags: v.connections})
	if err != nil {
		return c, nil, err
	}
	if c.Permissions.Credentials, err = accounts.credentials(); err != nil {
		return c, nil, err
	}
	if b.Typed() {
		if c.Input, err = v.envelope(b.Manifest, args, payload, c.Settings, accounts.fields()); err != nil {
			return c, nil, err
		}
	} else if len(args) == 2 {
		return c, nil, usagef("%q has no names: this is a plain plugin, whose exports are called as they are: %s", args[0], strings.Join(b.Exports(), ", "))
	}
	if !slices.Contains(b.Exports(), args[0]) {
		f := fault.New(fault.InvalidInput, string(runtime.CodeNoExport), "there is no export %q that can be called", args[0])
		return c, nil, f.WithHint("There is %s.", strings.Join(b.Exports(), ", "))
	}
	c.Egress = egress.New(egress.Config{AllowAddrs: allow, ResponseBytes: int(v.responseMax)})
	return c, c.Egress.Close, nil
}

// settingsOf is the configuration. What its schema gives defaults to has them.
func (v *calling) settingsOf(b *trial.Bench, own map[string]string) (json.RawMessage, error) {
	first, err := json.Marshal(own)
	if err != nil || own == nil {
		first = nil
	}
	doc, err := v.configured([]string{string(first), v.setConfig}, v.config, b.Manifest.Config)
	if err != nil || !b.Typed() {
		return doc, err
	}
	return fitting(b.Manifest, doc)
}

// configured is a configuration of JSON objects and, on top of them, flags: KEY=VALUE,
// or @ and a file with a JSON object. Values of a typed connector are of the types that
// its schema says.
func (a *app) configured(objects, flags []string, schema json.RawMessage) (json.RawMessage, error) {
	all := map[string]json.RawMessage{}
	merge := func(object string) error {
		doc, err := a.document("--config", object)
		if err == nil && doc != nil && json.Unmarshal(doc, &all) != nil {
			err = usagef("--config: it is a JSON object such as {\"shop\":\"acme\"}, or KEY=VALUE")
		}
		return err
	}
	for _, o := range objects {
		if err := merge(o); err != nil {
			return nil, err
		}
	}
	for _, f := range flags {
		if strings.HasPrefix(f, "@") {
			if err := merge(f); err != nil {
				return nil, err
			}
			continue
		}
		name, value, _ := strings.Cut(f, "=")
		all[name] = typedValue(schema, name, value)
	}
	return json.Marshal(all)
}

// fitting completes a configuration with its defaults, and holds it to the schema.
func fitting(m manifest.Manifest, config json.RawMessage) (json.RawMessage, error) {
	compiled, err := schema.Compile(m.Config)
	if err != nil {
		return nil, err
	}
	whole, err := compiled.Defaults(config)
	if err != nil {
		return nil, fmt.Errorf("complete the configuration: %w", err)
	}
	problems := compiled.Validate(whole)
	if len(problems) == 0 {
		return whole, nil
	}
	f := fault.New(fault.InvalidInput, "config_invalid", "the configuration does not fit %s %s", m.Name, m.Version)
	for _, p := range problems {
		f.Problems = append(f.Problems, fault.Problem{Where: "/config" + p.Where, Message: p.Message})
	}
	return nil, f
}

// typedValue reads a value of a flag: text where the schema says that it is text, and
// else JSON if it is some.
func typedValue(config json.RawMessage, name, value string) json.RawMessage {
	var s struct {
		Properties map[string]struct {
			Type json.RawMessage `json:"type"`
		} `json:"properties"`
	}
	_ = json.Unmarshal(config, &s) // What is no schema has no types.
	if string(s.Properties[name].Type) != `"string"` && config != nil && json.Valid([]byte(value)) {
		return json.RawMessage(value)
	}
	return textJSON(value)
}

func textJSON(s string) json.RawMessage {
	doc, _ := json.Marshal(s) // Strings always encode.
	return doc
}

// stored is what --set-state says.
func (v *calling) stored() (map[string]json.RawMessage, error) {
	all := map[string]json.RawMessage{}
	for _, s := range v.state {
		key, value, pair := strings.Cut(s, "=")
		if strings.HasPrefix(s, "@") {
			key, value, pair = "", s, true
		}
		doc, err := v.document("--set-state "+key, value)
		if err != nil {
			return nil, err
		}
		switch {
		case key == "" && pair:
			err = json.Unmarshal(doc, &all)
		case !pair || doc == nil:
			err = errors.New("no value")
		default:
			all[key] = doc
		}
		if err != nil {
			return nil, usagef("--set-state %q: it is KEY=JSON, or @file with a JSON object", s)
		}
	}
	return all, nil
}

// envelope is the input of a typed connector's export. One that is called without a
// name gets the input as it is.
func (v *calling) envelope(m manifest.Manifest, args []string, payload []byte, config json.RawMessage, connections map[string]json.RawMessage) ([]byte, error) {
	kind := event.Kind(args[0])
	names, named := namesOf(m)[kind]
	switch {
	case kind == event.Test && len(args) == 1:
		args = append(args, "")
	case !named && len(args) == 2:
		return nil, usagef("the export %q takes no name", args[0])
	case !named, len(args) == 1 && looksWhole(kind, payload):
		return payload, nil
	case len(args) == 1:
		return nil, usagef("name the %s: %s", kind, listed(names))
	case !slices.Contains(names, args[1]):
		return nil, usagef("%s %s has no %s %q: it has %s", m.Name, m.Version, kind, args[1], listed(names))
	}
	if kind != event.Webhook && len(payload) > 0 && !json.Valid(payload) {
		return nil, usagef("--input is not JSON, and %s %s takes that", kind, args[1])
	}
	headers, err := headersOf(v.headers)
	if err != nil {
		return nil, err
	}
	ask := trial.Ask{
		Kind: kind, Name: args[1], Payload: payload, Headers: headers, Received: time.Now(),
		Config: config, Connections: connections,
	}
	if ask.Checkpoint, err = v.document("--checkpoint", v.checkpoint); err != nil {
		return nil, err
	}
	return ask.Envelope()
}

// namesOf are a manifest's names by what is called.
func namesOf(m manifest.Manifest) map[event.Kind][]string {
	all := map[event.Kind][]string{event.Action: {}, event.Webhook: {}, event.Poll: {}}
	for _, a := range m.Actions {
		all[event.Action] = append(all[event.Action], a.Name)
	}
	for _, w := range m.Webhooks {
		all[event.Webhook] = append(all[event.Webhook], w.Name)
	}
	for _, p := range m.Polls {
		all[event.Poll] = append(all[event.Poll], p.Name)
	}
	return all
}

func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// looksWhole says whether an input is an export's whole input already.
func looksWhole(kind event.Kind, payload []byte) bool {
	var all map[string]json.RawMessage
	return json.Unmarshal(payload, &all) == nil && all[string(kind)] != nil
}

func headersOf(flags []string) (map[string][]string, error) {
	all := map[string][]string{}
	for _, h := range flags {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return nil, usagef("--header %q: write 'Name: value'", h)
		}
		name = strings.ToLower(strings.TrimSpace(name))
		all[name] = append(all[name], strings.TrimSpace(value))
	}
	return all, nil
}

// callReport is what --json shows.
type callReport struct {
	Output fixture.Body    `json:"output,omitzero"`
	Error  *callError      `json:"error,omitempty"`
	Waits  *trial.Wait     `json:"waits,omitempty"`
	Usage  runtime.Usage   `json:"usage"`
	Steps  []hostfns.Step  `json:"steps"`
	Logs   []guestlog.Line `json:"logs"`
	Left   *replay.Left    `json:"left,omitempty"`
}

type callError struct {
	Code         runtime.Code    `json:"code"`
	Message      string          `json:"message"`
	RetryAfterMS int64           `json:"retry_after_ms,omitempty"`
	Details      json.RawMessage `json:"details,omitempty"`
	Stack        string          `json:"stack,omitempty"`
}

// report shows what a run came to. A failure is the verb's error.
func (v *calling) report(args []string, r *trial.Report) error {
	if v.Output == "json" {
		if err := v.show(reportOf(r), nil); err != nil {
			return err
		}
	} else if err := v.output(r.Output); err != nil {
		return err
	}
	if v.usage {
		fmt.Fprintln(v.err, "usage ", usageText(r.Usage))
	}
	if r.Waits != nil {
		fmt.Fprintf(v.err, "waits  until %s, and goes on with --checkpoint '%s'\n", r.Waits.Until.UTC().Format(time.RFC3339), r.Waits.Checkpoint)
	}
	if r.Failure != nil {
		return &callFailedError{what: strings.Join(args, " "), failure: r.Failure}
	}
	return nil
}

// output writes an output as it is; a terminal gets the end of a line after it.
func (v *calling) output(output []byte) error {
	if (isTerminal(v.out) || v.loop > 1) && len(output) > 0 && output[len(output)-1] != '\n' {
		output = append(slices.Clone(output), '\n')
	}
	if _, err := v.out.Write(output); err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	return nil
}

func reportOf(r *trial.Report) callReport {
	shown := callReport{Output: fixture.Body(r.Output), Waits: r.Waits, Usage: r.Usage, Steps: append([]hostfns.Step{}, r.Steps...), Logs: append([]guestlog.Line{}, r.Lines...), Left: r.Left}
	if f := r.Failure; f != nil {
		shown.Left = nil // It is dropped.
		shown.Error = &callError{Code: f.Code, Message: f.Message, RetryAfterMS: f.RetryAfter.Milliseconds(), Details: f.Details, Stack: stackOf(f)}
	}
	return shown
}

// callFailedError is a plugin's failure, with its stack.
type callFailedError struct {
	what    string
	failure *runtime.Failure
}

// Error implements error.
func (e *callFailedError) Error() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s failed: %s: %s", e.what, e.failure.Code, e.failure.Message)
	if e.failure.RetryAfter > 0 {
		fmt.Fprintf(&text, " (again in %s)", e.failure.RetryAfter)
	}
	for line := range strings.Lines(stackOf(e.failure)) {
		text.WriteString("\n    " + strings.TrimSpace(line))
	}
	return text.String()
}

// stackOf is where a failure was raised: the guest's own words, or what its sandbox
// found.
func stackOf(f *runtime.Failure) string {
	var details struct {
		Stack string `json:"stack"`
	}
	if json.Unmarshal(f.Details, &details) == nil && details.Stack != "" {
		return strings.TrimSpace(details.Stack)
	}
	return strings.TrimSpace(f.Stack)
}

// usageText is what a call has used, on one line.
func usageText(u runtime.Usage) string {
	calls := fmt.Sprintf("%d host calls", u.HostCalls)
	if u.HostCalls == 1 {
		calls = "1 host call"
	}
	return fmt.Sprintf("%s, %s fuel, %s memory, %s", duration(u.Wall), fuelCount(u.Fuel), byteCount(u.MemoryBytes), calls)
}

// printStep prints a host call on one line.
func printStep(w io.Writer, s hostfns.Step) {
	code := ""
	if s.Code != "" {
		code = "  " + string(s.Code)
	}
	fmt.Fprintf(w, "%9s  %-10s %s%s\n", duration(s.Duration), s.Func, s.Summary, code)
}
