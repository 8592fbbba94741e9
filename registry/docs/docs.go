// Package docs writes a connector's page of documentation from its manifest.
//
//	page, err := docs.Markdown(m)
//
// What a manifest says comes from strangers: it is shown as Markdown without HTML.
// The same manifest gives the same page, so that a page that was checked in can be
// compared with what the connector says today.
package docs

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/registry/manifest"
)

// page is a page that is being written.
type page struct {
	strings.Builder
	m manifest.Manifest
	// headings are those so far, for the anchors of the next.
	headings []string
}

// Markdown gives the page of a manifest that has been checked, see package registry.
// The error is about a schema that is none.
func Markdown(m manifest.Manifest) (string, error) {
	p := &page{m: m}
	p.head()
	for _, section := range []func() error{p.install, p.configuration, p.actions} {
		if err := section(); err != nil {
			return "", err
		}
	}
	p.webhooks()
	p.polls()
	p.hosts()
	p.effects()
	p.limits()
	return strings.TrimRight(p.String(), "\n") + "\n", nil
}

func (p *page) printf(format string, args ...any) { fmt.Fprintf(p, format, args...) }

func (p *page) heading(level int, text string) {
	p.headings = append(p.headings, text)
	p.printf("%s %s\n\n", strings.Repeat("#", level), text)
}

func (p *page) paragraph(text string) {
	if text = prose(text); text != "" {
		p.printf("%s\n\n", text)
	}
}

// table writes nothing without rows.
func (p *page) table(columns []string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	p.printf("| %s |\n|%s\n", strings.Join(columns, " | "), strings.Repeat(" --- |", len(columns)))
	for _, cells := range rows {
		for i := range cells {
			cells[i] = cell(cells[i])
		}
		p.printf("| %s |\n", strings.Join(cells, " | "))
	}
	p.printf("\n")
}

func (p *page) head() {
	p.heading(1, prose(orElse(p.m.Title, p.m.Name)))
	p.printf("<!-- Written by `cofferdam plugin docs` from the connector's manifest: change that. -->\n\n")
	p.paragraph(p.m.Description)
	p.printf("`%s` %s\n\n", p.m.Name, p.m.Version)
}

// install shows how a tenant gets it, and which credentials it needs.
func (p *page) install() error {
	if len(p.m.Connections) > 0 {
		p.heading(2, "Connections")
		if len(p.m.Connections) > 1 {
			p.paragraph("A tenant connects those that it needs. The connector never sees what is in them.")
		} else {
			p.paragraph("The connector never sees the credential: the host adds it to requests.")
		}
	}
	for _, c := range p.m.Connections {
		if err := p.connection(c); err != nil {
			return fmt.Errorf("connection %q: %w", c.Name, err)
		}
	}
	for _, own := range p.m.ProvidersOf() {
		p.provider(own)
	}
	p.heading(2, "Installation")
	command := "cofferdam install " + p.m.Name + " --tenant acme"
	if config := example(p.m.Config); string(config) != "{}" && config != nil {
		command += " --config " + shellQuote(indented(config))
	}
	p.printf("```sh\n%s\n```\n\n", command)
	if p.m.Test {
		p.printf("`cofferdam installation test %s --tenant acme` checks it.\n\n", p.m.Name)
	}
	return nil
}

func (p *page) connection(c manifest.Connection) error {
	p.heading(3, fence(c.Name)+titled(c.Title))
	p.paragraph(c.Description)
	if c.Type == "oauth2" {
		return p.agreed(c)
	}
	how := "A key, sent in the " + place(c)
	switch c.Type {
	case "bearer":
		how = "A token, sent as `Authorization: Bearer`"
	case "basic":
		how = "A user name and a password"
	case "hmac":
		how = "A shared secret, which signs and is not sent itself"
	case "private_key":
		how = "A private key, which signs tokens and is not sent itself"
	case "aws_sigv4":
		how = "An AWS access key, which signs requests and is not sent itself"
	case "client_certificate":
		how = "A certificate and its private key, shown when a connection is made"
	}
	p.printf("%s, to %s alone.\n\n", how, codes(c.Hosts))
	if len(c.Sign) > 0 {
		p.printf("The connector has things signed with it, by %s.\n\n", codes(c.Sign))
	}
	if !c.Slots.IsZero() {
		p.printf("Requests may carry it in other places, too: %s.\n\n", strings.ReplaceAll(strings.Join(c.Slots.Names(), ", "), `"`, "`"))
	}
	flags := map[string]string{"bearer": "", "basic": " --type basic", "api_key": " --type api_key --header " + c.Header}[c.Type]
	if _, simple := map[string]bool{"bearer": true, "basic": true, "api_key": true}[c.Type]; !simple {
		flags = " --type " + c.Type
	}
	if c.Type == "hmac" && c.Header != "" {
		flags += " --header " + c.Header
	}
	if c.Query != "" {
		flags = " --type api_key --query " + c.Query
	}
	var hosts []string
	for _, h := range c.Hosts {
		if host := p.hostOf(h); !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	flags += " --host " + strings.Join(hosts, " --host ")
	secret := map[string]string{"bearer": "$TOKEN", "basic": "$USER:$PASSWORD", "api_key": "$KEY", "hmac": "$KEY", "private_key": "$PEM", "client_certificate": "$PEM"}[c.Type]
	if secret == "" {
		secret = "$JSON"
	}
	p.printf("```sh\necho \"%s\" | cofferdam connection create %s%s --tenant acme\n```\n\n", secret, c.Name, flags)
	return p.accountFields(c)
}

// agreed is a connection whose user agrees to it at a provider.
func (p *page) agreed(c manifest.Connection) error {
	to := "the hosts of " + fence(c.Provider)
	if len(c.Hosts) > 0 {
		to = codes(c.Hosts)
	}
	p.printf("An account at the provider %s, whose user agrees by OAuth: a connect session makes it. Its token is renewed by itself, and sent to %s alone.\n\n", fence(c.Provider), to)
	if len(c.Scopes) > 0 {
		p.printf("The connector needs these scopes: %s.\n\n", codes(c.Scopes))
	}
	return p.accountFields(c)
}

// provider is one that the connector describes itself: whoever keeps an app with it reads
// here whom it trusts with what.
func (p *page) provider(own manifest.Provider) {
	p.heading(3, "Provider "+fence(own.Name)+titled(own.Title))
	p.paragraph("The connector describes this authorization server itself. An app that is registered there keeps the description as it was, whatever later versions say.")
	p.table([]string{"What", "Goes to"}, [][]string{{"The app's secret, codes and refresh tokens", codes(own.Places)}, {"Access tokens", codes(own.Hosts)}})
	p.printf("```sh\necho \"$SECRET\" | cofferdam oauth-app create %s --plugin %s --provider %[1]s --client-id ID --tenant acme\n```\n\n", own.Name, p.m.Name)
	if len(own.Docs) > 0 {
		p.printf("Its facts are from %s.\n\n", codes(own.Docs))
	}
}

func (p *page) accountFields(c manifest.Connection) error {
	fields, err := readShape(c.Fields)
	if err != nil {
		return err
	}
	p.table([]string{"Field", "Type", "Required", "Meaning"}, fieldRows(fields, true))
	return nil
}

func place(c manifest.Connection) string {
	if c.Query != "" {
		return "query parameter " + fence(c.Query)
	}
	return "header " + fence(c.Header)
}

// hostOf is an example of a host, where the configuration says which.
func (p *page) hostOf(host string) string {
	parsed, err := manifest.ParseHost(host)
	if err != nil || parsed.Property == "" {
		return host
	}
	var config map[string]any
	root, err := readShape(p.m.Config)
	if err != nil || json.Unmarshal(root.withDefaults(), &config) != nil {
		return "HOST"
	}
	value, _ := config[parsed.Property].(string)
	if u, err := url.Parse(value); err == nil && u.Host != "" {
		return u.Host
	}
	return orElse(value, "HOST")
}

func (p *page) configuration() error {
	root, err := readShape(p.m.Config)
	if err != nil {
		return fmt.Errorf("the configuration: %w", err)
	}
	if len(root.Properties) == 0 {
		return nil
	}
	p.heading(2, "Configuration")
	p.table([]string{"Setting", "Type", "Required", "Meaning"}, fieldRows(root, true))
	return nil
}

func (p *page) actions() error {
	if len(p.m.Actions) == 0 {
		return nil
	}
	p.heading(2, "Actions")
	p.table([]string{"Action", "What it does"}, p.index())
	for _, a := range p.m.Actions {
		if err := p.action(a); err != nil {
			return fmt.Errorf("action %q: %w", a.Name, err)
		}
	}
	return nil
}

// index links to the actions, by the anchors that Markdown renderers give headings.
func (p *page) index() [][]string {
	seen := map[string]int{}
	for _, h := range p.headings {
		seen[anchor(h)]++
	}
	var rows [][]string
	for _, a := range p.m.Actions {
		at := anchor(a.Name)
		link := at
		if n := seen[at]; n > 0 {
			link = fmt.Sprintf("%s-%d", at, n)
		}
		seen[at]++
		rows = append(rows, []string{fmt.Sprintf("[%s](#%s)", fence(a.Name), link), orElse(a.Title, firstSentence(a.Description))})
	}
	return rows
}

var notInAnchors = regexp.MustCompile(`[^a-z0-9 _-]`)

func anchor(heading string) string {
	return strings.ReplaceAll(notInAnchors.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}

func (p *page) action(a manifest.Action) error {
	p.heading(3, fence(a.Name))
	p.paragraph(a.Title + stop(a.Title))
	p.paragraph(a.Description)
	if a.Idempotent {
		p.paragraph("Calling it twice does what calling it once does.")
	}
	for _, side := range []struct {
		name  string
		raw   json.RawMessage
		input bool
	}{{"Input", a.Input, true}, {"Output", a.Output, false}} {
		root, err := readShape(side.raw)
		if err != nil {
			return err
		}
		p.fields(side.name, root, side.input)
	}
	input := example(a.Input)
	if input == nil {
		return nil
	}
	command := fmt.Sprintf("cofferdam installation call %s %s --tenant acme", p.m.Name, a.Name)
	if string(input) != "{}" {
		command += " --input " + shellQuote(indented(input))
	}
	p.printf("```sh\n%s\n```\n\n", command)
	return nil
}

func (p *page) fields(name string, root *shape, input bool) {
	rows := fieldRows(root, input)
	if len(rows) == 0 {
		if kind := root.kind(root); kind != "object" && kind != "anything" {
			p.printf("%s: %s\n\n", name, kind+stop(kind))
		}
		return
	}
	columns := []string{name, "Type", "Meaning"}
	if input {
		columns = []string{name, "Type", "Required", "Meaning"}
	}
	if list := root.resolve(root); len(list.Type) == 1 && list.Type[0] == "array" {
		p.printf("%s is a list.\n\n", name)
	}
	p.table(columns, rows)
}

// fieldRows describes the fields of an object: those of an input may be required.
func fieldRows(root *shape, input bool) [][]string {
	var rows [][]string
	for _, r := range root.rows() {
		kind := r.shape.kind(root)
		required := ""
		switch {
		case input && r.required:
			required = "yes"
		case !input && !r.required:
			kind += ", optional"
		}
		cells := []string{fence(r.path), kind, required, r.shape.meaning()}
		if !input {
			cells = []string{fence(r.path), kind, r.shape.meaning()}
		}
		rows = append(rows, cells)
	}
	return rows
}

// meaning is what is said of a field, and its default.
func (s *shape) meaning() string {
	var parts []string
	if s.Title != "" {
		parts = append(parts, "**"+s.Title+stop(s.Title)+"**")
	}
	if s.Description != "" {
		parts = append(parts, s.Description+stop(s.Description))
	}
	if len(s.Default) > 0 {
		parts = append(parts, "Defaults to "+code(s.Default)+".")
	}
	return strings.Join(parts, " ")
}

func (p *page) webhooks() {
	if len(p.m.Webhooks) == 0 {
		return
	}
	p.heading(2, "Webhooks")
	p.printf("`cofferdam endpoint create %s WEBHOOK --tenant acme` makes the address that the vendor delivers to.\n\n", p.m.Name)
	var rows [][]string
	for _, w := range p.m.Webhooks {
		rows = append(rows, []string{fence(w.Name), about(w.Title, w.Description), signedAs(w)})
	}
	p.table([]string{"Webhook", "What it does", "Signed as"}, rows)
}

func signedAs(w manifest.Webhook) string {
	if w.Verify {
		return "the plugin verifies it"
	}
	if w.Scheme == "" {
		return "its own descriptor says"
	}
	return fence(w.Scheme)
}

func (p *page) polls() {
	if len(p.m.Polls) == 0 {
		return
	}
	p.heading(2, "Polls")
	var rows [][]string
	for _, x := range p.m.Polls {
		rows = append(rows, []string{fence(x.Name), about(x.Title, x.Description), orElse(x.Every, "as the tenant says")})
	}
	p.table([]string{"Poll", "What it finds", "Every"}, rows)
}

func (p *page) hosts() {
	p.heading(2, "Hosts")
	if len(p.m.Egress) == 0 {
		p.paragraph("It talks to nobody.")
		return
	}
	p.paragraph("It can talk to these, as far as the tenant allows it, and to no others.")
	var rows [][]string
	for _, e := range p.m.Egress {
		rows = append(rows, []string{fence(e.Host), strings.Join(e.Methods, ", ")})
	}
	p.table([]string{"Host", "Methods"}, rows)
}

// effects says what happens to a request of which no answer came.
func (p *page) effects() {
	p.heading(2, "When an answer is lost")
	var safe []string
	for _, method := range []string{"PUT", "DELETE"} {
		if p.uses(method) {
			safe = append(safe, fence(method)+", which does the same twice as once.")
		}
	}
	for _, i := range p.m.Idempotency {
		safe = append(safe, fmt.Sprintf("Requests to %s, which recognises for %s one that comes again, by its `%s`.", fence(i.Host), hours(i.TTL), i.Header))
	}
	for _, n := range p.m.NotDone {
		safe = append(safe, fmt.Sprintf("What %s turned down with %s: it was not done.", fence(n.Host), statuses(n.Status)))
	}
	if p.m.Confirm {
		safe = append(safe, "Others, after the connector has looked whether they happened, and found that they did not.")
	}
	switch {
	case len(safe) == 0 && !p.uses("POST", "PATCH"):
		p.paragraph("Every request only reads, and is made again.")
	case len(safe) == 0:
		p.paragraph("A request that only reads is made again. Of any other, a person decides.")
	default:
		p.paragraph("A request that only reads is made again. So is one that changes something, where that is known to be safe:")
		p.printf("- %s\n\n", strings.Join(safe, "\n- "))
		p.paragraph("Of any other, a person decides.")
	}
}

// uses says whether it makes requests by any of the methods.
func (p *page) uses(methods ...string) bool {
	return slices.ContainsFunc(p.m.Egress, func(e manifest.Egress) bool {
		return slices.ContainsFunc(methods, func(m string) bool { return slices.Contains(e.Methods, m) })
	})
}

func (p *page) limits() {
	l := p.m.Limits
	var wishes []string
	if l.MemoryMiB > 0 {
		wishes = append(wishes, fmt.Sprintf("%d MiB of memory", l.MemoryMiB))
	}
	if l.TimeoutMS > 0 {
		wishes = append(wishes, fmt.Sprintf("%g seconds", (time.Duration(l.TimeoutMS)*time.Millisecond).Seconds()))
	}
	if l.StreamMiB > 0 {
		wishes = append(wishes, fmt.Sprintf("bodies of up to %d MiB in chunks", l.StreamMiB))
	}
	if l.Fuel > 0 {
		wishes = append(wishes, fmt.Sprintf("%g billion units of fuel", float64(l.Fuel)/1e9))
	}
	p.heading(2, "Limits")
	if len(wishes) == 0 {
		p.paragraph("A call keeps to the operator's defaults.")
		return
	}
	p.printf("A call asks for %s; the operator can give less.\n\n", listed(wishes, "and"))
}
