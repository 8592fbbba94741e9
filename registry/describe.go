package registry

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/registry/schema"
	"github.com/cofferdam-run/cofferdam/runtime"
)

// Describe is the export that makes a module a typed connector: it returns the
// manifest.
const Describe = "describe"

// World is that in which describe is called: a constant of the module's bytes,
// whose hash is sum.
func World(sum [sha256.Size]byte) runtime.World {
	return runtime.World{Seed: sum, Start: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)}
}

// describeDeadline bounds describe, which returns a constant. A Go guest needs
// some 50 ms to start where the compiler is slow.
const describeDeadline = 5 * time.Second

func (r *Registry) describeLimits() runtime.Limits {
	l := r.c.Limits
	l.OutputBytes = min(l.OutputBytes, manifest.MaxBytes)
	l.Deadline = min(l.Deadline, describeDeadline)
	return l
}

// describe asks a typed connector what it is. Its world is a constant of its
// bytes, and nobody answers its questions: the same module always gives the same
// manifest.
func (r *Registry) describe(ctx context.Context, module *runtime.Module, sum [sha256.Size]byte) (manifest.Manifest, error) {
	result, err := module.Call(ctx, runtime.Call{
		Export: Describe,
		World:  World(sum),
		Limits: r.describeLimits(),
	})
	if err != nil {
		return manifest.Manifest{}, r.describeError(err)
	}
	var anything json.RawMessage
	if err := json.Unmarshal(result.Output, &anything); err != nil {
		return manifest.Manifest{}, describeFailed("its output is not JSON: "+jsonError(err), "It must return the manifest, a JSON object; see sdk/ABI.md.")
	}
	m, err := manifest.Parse(result.Output)
	if problems, ok := errors.AsType[manifest.Errors](err); ok {
		return m, invalidManifest(problems)
	}
	return m, err
}

// describeError says how describe ended.
func (r *Registry) describeError(err error) error {
	var f *runtime.Failure
	if !errors.As(err, &f) {
		return fmt.Errorf("describe module: %w", err)
	}
	const constant = "It is called once, at upload, and must return a constant without asking the host for anything."
	switch f.Code {
	case runtime.CodeDeadlineExceeded:
		return describeFailed(fmt.Sprintf("it did not return within %s", r.describeLimits().Deadline), constant)
	case runtime.CodeFuelExhausted:
		return describeFailed(clip(f.Message), constant)
	case runtime.CodeOutputTooLarge:
		return describeFailed(fmt.Sprintf("its output is larger than the %d bytes that are allowed", r.describeLimits().OutputBytes), "Shorten descriptions and schemas.")
	case runtime.CodeDenied:
		return describeFailed("it asked the host for something: "+clip(f.Message), constant)
	default:
		return describeFailed(fmt.Sprintf("it ended with %s: %s", clip(string(f.Code)), clipLong(f.Message)), "Call describe in a test of the plugin to see why.")
	}
}

func describeFailed(what, hint string) *Error {
	return &Error{Code: CodeDescribeFailed, Where: "describe", Message: "describe failed: " + what, Hint: hint}
}

func jsonError(err error) string {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf("at byte %d: %s", syntax.Offset, syntax.Error())
	}
	return err.Error()
}

// callable are the exports of a plain plugin that are its actions. Compilers add
// others, such as _initialize and __wasm_call_ctors.
var callable = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_.-]{0,62}$`)

// plain makes a manifest for a plain Extism plugin.
func (r *Registry) plain(module *runtime.Module, u Upload) (manifest.Manifest, error) {
	if u.Name == "" || u.Version == "" {
		return manifest.Manifest{}, &Error{
			Code: CodeInvalidManifest, Where: "name",
			Message: "the module does not export describe, so it is a plain plugin, and the upload must give its name and version",
			Hint:    "Give a name and a version, or build it with one of the SDKs, so that it describes itself.",
		}
	}
	m := manifest.Manifest{Name: u.Name, Version: u.Version, Egress: slices.Clone(u.Egress)}
	for _, export := range module.Exports() {
		if callable.MatchString(export) && len(m.Actions) < maxPlainActions {
			m.Actions = append(m.Actions, manifest.Action{Name: export})
		}
	}
	if len(m.Actions) == 0 {
		return m, &Error{
			Code: CodeInvalidManifest, Where: "wasm",
			Message: "the module exports nothing that can be called: neither describe nor any function without parameters",
			Hint:    "Export functions of the type () -> i32, as the Extism PDKs do.",
		}
	}
	for _, name := range module.Imports() {
		if slices.Contains(r.c.Functions, name) {
			m.Functions = append(m.Functions, name)
		}
	}
	var problems manifest.Errors
	if err := m.Validate(); errors.As(err, &problems) {
		return m, invalidUpload(problems)
	}
	return m, nil
}

// maxPlainActions is what a manifest may have.
const maxPlainActions = 256

// check holds a manifest against the host and the module.
func (r *Registry) check(m manifest.Manifest, exports []string) error {
	var problems manifest.Errors
	report := func(where, format string, args ...any) {
		problems = append(problems, manifest.Problem{Where: where, Message: fmt.Sprintf(format, args...)})
	}
	if m.Level > 0 {
		checkExports(m, exports, report)
	}
	for i, w := range m.Webhooks {
		r.checkWebhook(fmt.Sprintf("/webhooks/%d", i), w, report)
	}
	for i, f := range m.Functions {
		if !slices.Contains(r.c.Functions, f) {
			report(fmt.Sprintf("/functions/%d", i), "%q is not a function that this host offers beyond the built-in ones: %s", clip(f), oneOf(r.c.Functions))
		}
	}
	for i, descriptor := range m.Providers {
		for _, p := range r.c.Provider(descriptor) {
			report(fmt.Sprintf("/providers/%d", i)+p.Where, "%s", clipLong(p.Message))
		}
	}
	secrets := checkSchemas(m, report)
	if len(problems) > 0 {
		return invalidManifest(problems)
	}
	if len(secrets) > 0 {
		return secretInConfig(secrets)
	}
	return nil
}

// checkWebhook holds that a webhook is signed in a way that this host knows, or is told, or
// that the plugin verifies it.
func (r *Registry) checkWebhook(where string, w manifest.Webhook, report func(where, format string, args ...any)) {
	switch {
	case len(w.Descriptor) > 0 && w.Scheme != "":
		report(where, "has a scheme and a descriptor: keep one of them")
	case w.Verify && (len(w.Descriptor) > 0 || w.Scheme != ""):
		report(where, "has verify beside a scheme or a descriptor: keep one of them")
	case w.Verify: // checkExports looks for the export.
	case len(w.Descriptor) > 0:
		for _, p := range r.c.Descriptor(w.Descriptor) {
			report(where+"/descriptor"+p.Where, "%s", clipLong(p.Message))
		}
	case !slices.Contains(r.c.Schemes, w.Scheme):
		report(where+"/scheme", "%q is not a scheme that this host knows: %s", clip(w.Scheme), oneOf(r.c.Schemes))
	}
}

func oneOf(names []string) string {
	if len(names) == 0 {
		return "it has none"
	}
	return "it has " + strings.Join(names, ", ")
}

// checkExports refuses promises that the module cannot keep.
func checkExports(m manifest.Manifest, exports []string, report func(where, format string, args ...any)) {
	for _, promise := range []struct {
		where, export string
		made          bool
	}{
		{"/actions", "action", len(m.Actions) > 0},
		{"/webhooks", "webhook", len(m.Webhooks) > 0},
		{"/webhooks", "verify", m.Verifies()},
		{"/polls", "poll", len(m.Polls) > 0},
		{"/test", "test", m.Test},
		{"/confirm", "confirm", m.Confirm},
	} {
		if promise.made && !slices.Contains(exports, promise.export) {
			report(promise.where, "the module does not export %q, which this needs", promise.export)
		}
	}
}

// checkSchemas compiles every schema, and lists the places that are marked secret.
func checkSchemas(m manifest.Manifest, report func(where, format string, args ...any)) []string {
	var secrets []string
	check := func(where string, raw json.RawMessage) {
		_, err := schema.Compile(raw)
		if invalid, ok := errors.AsType[schema.Errors](err); ok {
			for _, p := range invalid {
				report(where+p.Where, "%s", p.Message)
			}
			return
		}
		for _, secret := range schema.Secrets(raw) {
			secrets = append(secrets, where+secret)
		}
	}
	check("/config", m.Config)
	if !isObject(m.Config) {
		report("/config/type", "must be \"object\": a configuration is one")
	}
	for i, a := range m.Actions {
		check(fmt.Sprintf("/actions/%d/input", i), a.Input)
		check(fmt.Sprintf("/actions/%d/output", i), a.Output)
	}
	for i, c := range m.Connections {
		where := fmt.Sprintf("/connections/%d/fields", i)
		check(where, c.Fields)
		if !isObject(c.Fields) {
			report(where+"/type", "must be \"object\": the fields of a connection are one")
		}
	}
	return secrets
}

// isObject says whether a schema is of objects, or of anything.
func isObject(raw json.RawMessage) bool {
	var of struct {
		Type json.RawMessage `json:"type"`
	}
	return json.Unmarshal(raw, &of) != nil || of.Type == nil || string(of.Type) == `"object"`
}

func invalidManifest(problems manifest.Errors) *Error {
	e := &Error{
		Code: CodeInvalidManifest, Where: "manifest", Problems: problems,
		Message: "the manifest is not valid: " + clipLong(problems.Error()),
		Hint:    "sdk/ABI.md says what each field may be.",
	}
	if len(problems) == 1 {
		e.Where, e.Message = "manifest"+problems[0].Where, clipLong(problems[0].Message)
	}
	return e
}

// invalidUpload is about a manifest that was made from the upload's own fields.
func invalidUpload(problems manifest.Errors) *Error {
	return &Error{
		Code: CodeInvalidManifest, Where: strings.TrimPrefix(problems[0].Where, "/"), Problems: problems,
		Message: clipLong(problems.Error()),
	}
}

func secretInConfig(where []string) *Error {
	e := &Error{
		Code: CodeSecretInConfig, Where: "manifest" + where[0],
		Message: "the schema marks a property as secret: " + clipLong(strings.Join(where, ", ")),
		Hint:    "Secrets belong in a connection, where the plugin cannot read them: declare one in the manifest's connections.",
	}
	for _, w := range where {
		e.Problems = append(e.Problems, manifest.Problem{Where: w, Message: "is marked as secret"})
	}
	return e
}

// clipLong bounds a message that a plugin had a hand in.
func clipLong(s string) string {
	const most = 2000
	if r := []rune(strings.ToValidUTF8(s, "\uFFFD")); len(r) > most {
		return string(r[:most]) + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
