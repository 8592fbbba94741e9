package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/registry/provenance"
	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/sdk/build/quickjs"
)

func printReview(w io.Writer, r *review) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-10s  %s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(w, "%s  %s\n", r.Source, r.Digest)
	if m := r.Manifest; m.Name != "" {
		line("connector", "%s@%s  %s", m.Name, m.Version, m.Title)
	}
	printOrigin(line, r.Build)
	if f := r.Facts; f.ModuleBytes > 0 {
		line("size", "%s, and %s of memory that every sandbox begins with", byteCount(int64(f.ModuleBytes)), byteCount(f.ImageBytes))
		line("start", "%s fuel in %s, once", fuelCount(f.StartFuel), duration(f.StartTime))
		line("describe", "%s fuel in %s", fuelCount(r.Describe.Fuel), duration(r.Describe.CPU))
		printImports(line, r)
	}
	printAsks(line, r.Manifest)
	if r.Diff != nil {
		fmt.Fprint(w, r.Diff)
	}
	for _, warning := range r.Warnings {
		fmt.Fprintf(w, "warning: %s\n", warning)
	}
	for _, p := range r.Problems {
		fmt.Fprintf(w, "problem: %s\n", strings.TrimPrefix(p.Where+": "+p.Message, ": "))
	}
	if len(r.Problems) == 0 {
		fmt.Fprintln(w, "a server would take it")
	}
}

func printOrigin(line func(name, format string, args ...any), b *provenance.Build) {
	if b == nil {
		return
	}
	language := b.Language
	if e := b.Engine; e != nil {
		language += ", run by " + e.Name + " " + e.Version
	}
	line("language", "%s", language)
	from := "sources of which it does not say the revision"
	if b.Revision != "" {
		from = "revision " + revisionText(b.Revision, b.Modified)
	}
	line("built", "by %s, from %s", b.Builder, from)
}

// printImports shows the imports by the module that they are from.
func printImports(line func(name, format string, args ...any), r *review) {
	names := map[string][]string{}
	var modules []string
	for _, f := range r.Facts.Imports {
		if !slices.Contains(modules, f.Module) {
			modules = append(modules, f.Module)
		}
		if !slices.Contains(names[f.Module], f.Name) {
			names[f.Module] = append(names[f.Module], f.Name)
		}
	}
	for _, module := range modules {
		line("imports", "%s: %s", module, strings.Join(names[module], ", "))
	}
}

// printAsks shows what the plugin asks for, and what it offers.
func printAsks(line func(name, format string, args ...any), m manifest.Manifest) {
	if m.Name == "" {
		return
	}
	for _, x := range m.Egress {
		line("reaches", "%s  %s", x.Host, strings.Join(x.Methods, ","))
	}
	if len(m.Egress) == 0 {
		line("reaches", "nothing")
	}
	for _, x := range m.Connections {
		line("connects", "%s  %s to %s%s", x.Name, x.Type, strings.Join(x.Hosts, ","), signsText(x))
	}
	for _, x := range m.Functions {
		line("calls", "%s, a function of the host app's", x)
	}
	line("limits", "%s", limitsText(m.Limits))
	for _, x := range m.Actions {
		line("action", "%s  %s", x.Name, x.Title)
	}
	for _, x := range m.Webhooks {
		line("webhook", "%s  %s", x.Name, x.Signed())
	}
	for _, x := range m.Polls {
		line("poll", "%s  every %s", x.Name, x.Every)
	}
}

// signsText is what a plugin may have signed with a connection.
func signsText(c manifest.Connection) string {
	if len(c.Sign) == 0 {
		return ""
	}
	return ", signs by " + strings.Join(c.Sign, ",")
}

// largeImage is an image that a reviewer looks at: each sandbox that is in use begins
// with it, and some 100 KB to 2 MiB are common.
const largeImage = 16 << 20

// warningsOf are what a reviewer would look at twice.
func warningsOf(r *review) []string {
	var warnings []string
	warn := func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) }
	switch b := r.Build; {
	case b == nil:
		warn("it does not say how it was built: 'cofferdam build' writes that into it")
	case b.Modified:
		warn("it was built from sources that are in no commit: commit them and build again, so that others can find what it was built from")
	case b.Engine != nil && b.Engine.Name == quickjs.Package && b.Engine.SHA256 != quickjs.Checksum:
		warn("it has another engine than this program builds with: %s %s", b.Engine.Name, b.Engine.Version)
	}
	if r.Facts.Fresh != "" {
		warn("its sandboxes cannot be reset, so that each call pays for a new one: %s", r.Facts.Fresh)
	}
	if r.Facts.ImageBytes > largeImage {
		warn("every sandbox begins with %s of memory", byteCount(r.Facts.ImageBytes))
	}
	warnings = append(warnings, signWarnings(r.Manifest, r.Facts.Imports)...)
	return append(warnings, manifestWarnings(r.Manifest)...)
}

// signWarnings are of plugins that have signed what nobody is asked to consent to, or the
// other way round.
func signWarnings(m manifest.Manifest, imports []runtime.Function) []string {
	signs := slices.ContainsFunc(imports, func(f runtime.Function) bool { return f.Module == "extism:host/user" && f.Name == "sign" })
	switch {
	case m.Name == "" || signs == (len(m.Signs()) > 0):
		return nil
	case signs:
		return []string{"it imports the function sign, and no connection of its manifest has algorithms under \"sign\": every signature would be denied"}
	default:
		return []string{"it asks tenants to have things signed, and does not import the function sign: leave \"sign\" of its connections out"}
	}
}

// onlySigns says whether a connection's credential is sent to nobody.
func onlySigns(c manifest.Connection) bool {
	return c.Type == "private_key" || c.Type == "hmac" && c.Header == ""
}

func manifestWarnings(m manifest.Manifest) []string {
	var warnings []string
	warn := func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) }
	for _, e := range m.Egress {
		if below, all := strings.CutPrefix(e.Host, "*."); all {
			warn("it asks for all hosts below %s", below)
		}
		if writes(e) && !m.Confirm && !keyed(m, e.Host) {
			warn("a request to %s that changes something and whose answer is lost stops until a person decides: declare idempotency for the host, or confirm", e.Host)
		}
	}
	for _, c := range m.Connections {
		for _, host := range c.Hosts {
			if !onlySigns(c) && !slices.ContainsFunc(m.Egress, func(e manifest.Egress) bool { return covers(e.Host, host) }) {
				warn("the credential of %s would be sent to %s, where it may not send requests", c.Name, host)
			}
		}
	}
	for _, a := range m.Actions {
		if len(a.Input) == 0 && m.Level > 0 {
			warn("the action %s takes any input: a schema would refuse what is wrong before it runs", a.Name)
		}
	}
	return warnings
}

// writes says whether a wish includes methods that must not be sent twice.
func writes(e manifest.Egress) bool {
	return slices.Contains(e.Methods, "POST") || slices.Contains(e.Methods, "PATCH")
}

// keyed says whether the manifest says how a host knows a request that comes again.
func keyed(m manifest.Manifest, host string) bool {
	return slices.ContainsFunc(m.Idempotency, func(i manifest.Idempotency) bool { return covers(i.Host, host) })
}

// covers says whether all of one host are of another, as manifests have them.
func covers(a, b string) bool {
	outer, err := manifest.ParseHost(a)
	if err != nil {
		return false
	}
	inner, err := manifest.ParseHost(b)
	return err == nil && outer.Covers(inner)
}
