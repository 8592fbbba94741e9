package manifest

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
)

var (
	pluginName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	partName   = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_.-]{0,62}$`)
	funcName   = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)
	headerName = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)
	// providerName is as package provider has it, and scopeToken as RFC 6749 section 3.3
	// does, but for the comma, which some providers put between two.
	providerName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
	scopeToken   = regexp.MustCompile(`^[!#-+\--\[\]-~]{1,256}$`)
	queryName    = regexp.MustCompile(`^[A-Za-z0-9_.~-]{1,64}$`)
	// From <https://semver.org/#is-there-a-suggested-regular-expression-regex-to-check-a-semver-string>.
	semver = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$`)
)

// Caps of a manifest. They are far above what people write, and keep what a
// host looks through for each call small.
const (
	maxParts       = 256 // Actions, webhooks, polls, connections, egress, idempotency, not_done, functions: of each.
	maxTitle       = 200
	maxDescription = 10_000
	maxVersion     = 64
	maxMemoryMiB   = 4096 // A 32-bit memory has no more.
	maxTimeoutMS   = 3_600_000
	maxStreamMiB   = 1 << 20
	maxFuel        = 10_000_000_000_000 // An hour of a core is some 3.6 × 10^12.
	minEvery       = time.Second
	maxEvery       = 366 * 24 * time.Hour
)

// Validate checks what can be checked without a host. The error is Errors.
func (m Manifest) Validate() error {
	var problems list
	m.checkIdentity(&problems)
	checkSchema("/config", m.Config, &problems)
	checkParts("/actions", m.Actions, func(a Action) part { return part{a.Name, a.Title, a.Description} }, &problems)
	for i, a := range m.Actions {
		checkSchema(pointer("/actions", i)+"/input", a.Input, &problems)
		checkSchema(pointer("/actions", i)+"/output", a.Output, &problems)
	}
	checkParts("/webhooks", m.Webhooks, func(w Webhook) part { return part{w.Name, w.Title, w.Description} }, &problems)
	m.checkPolls(&problems)
	m.checkConnections(&problems)
	m.checkProviders(&problems)
	m.checkEgress(&problems)
	m.checkIdempotency(&problems)
	m.checkNotDone(&problems)
	m.checkFunctions(&problems)
	m.Limits.check("/limits", &problems)
	return problems.err()
}

func (m Manifest) checkIdentity(problems *list) {
	if !pluginName.MatchString(m.Name) {
		problems.add("/name", "%q must be 1 to 63 of a-z, 0-9 and -, and not begin with -", clip(m.Name))
	}
	if !semver.MatchString(m.Version) || len(m.Version) > maxVersion {
		problems.add("/version", "%q must be a semantic version of at most %d bytes, such as 1.2.3 (https://semver.org)", clip(m.Version), maxVersion)
	}
	checkText("", part{m.Name, m.Title, m.Description}, problems)
}

// part is what actions, webhooks, polls and connections have in common.
type part struct{ name, title, description string }

func checkParts[T any](where string, all []T, partOf func(T) part, problems *list) {
	checkCount(where, len(all), problems)
	seen := make(map[string]bool, len(all))
	for i, one := range all {
		p, at := partOf(one), pointer(where, i)
		if !partName.MatchString(p.name) {
			problems.add(at+"/name", "%q must be a letter, then letters, digits, _, . or -, at most 63 in all", clip(p.name))
		}
		if seen[p.name] {
			problems.add(at+"/name", "%q is taken: there is another one before it", clip(p.name))
		}
		seen[p.name] = true
		checkText(at, p, problems)
	}
}

func checkCount(where string, n int, problems *list) {
	if n > maxParts {
		problems.add(where, "there are %d: at most %d are allowed", n, maxParts)
	}
}

func checkText(where string, p part, problems *list) {
	if len(p.title) > maxTitle {
		problems.add(where+"/title", "has %d bytes: at most %d are allowed", len(p.title), maxTitle)
	}
	if strings.ContainsFunc(p.title, unicode.IsControl) {
		problems.add(where+"/title", "has a control character: a title is one line of text")
	}
	if len(p.description) > maxDescription {
		problems.add(where+"/description", "has %d bytes: at most %d are allowed", len(p.description), maxDescription)
	}
	if strings.ContainsRune(p.description, 0) {
		problems.add(where+"/description", "has a NUL character")
	}
}

// checkSchema leaves what is in a schema to those who compile it.
func checkSchema(where string, schema json.RawMessage, problems *list) {
	if schema != nil && !bytes.HasPrefix(bytes.TrimSpace(schema), []byte("{")) {
		problems.add(where, "must be a JSON Schema, which is an object")
	}
}

func (m Manifest) checkPolls(problems *list) {
	checkParts("/polls", m.Polls, func(p Poll) part { return part{p.Name, p.Title, p.Description} }, problems)
	for i, p := range m.Polls {
		if p.Every == "" {
			continue
		}
		every, err := time.ParseDuration(p.Every)
		if err != nil || every < minEvery || every > maxEvery {
			problems.add(pointer("/polls", i)+"/every", "%q must be a time such as 30s, 5m or 24h, from %s to %s", clip(p.Every), minEvery, maxEvery)
		}
	}
}

func (m Manifest) checkConnections(problems *list) {
	checkParts("/connections", m.Connections, func(c Connection) part { return part{c.Name, c.Title, c.Description} }, problems)
	for i, c := range m.Connections {
		c.check(pointer("/connections", i), problems)
	}
}

func (c Connection) check(where string, problems *list) {
	switch c.Type {
	case "bearer", "basic":
		if c.Header != "" || c.Query != "" {
			problems.add(where, "has a header or query, which are for the type api_key: its type is %s", c.Type)
		}
	case "api_key":
		c.checkPlace(where, problems)
	case "hmac":
		if c.Header != "" || c.Query != "" {
			c.checkPlace(where, problems)
		}
		if c.Query != "" {
			problems.add(where+"/query", "is for the type api_key: an hmac goes into a header")
		}
	case "oauth2", "private_key", "aws_sigv4", "client_certificate":
		if c.Header != "" || c.Query != "" {
			problems.add(where, "has a header or query, which are for the type api_key: its type is %s", c.Type)
		}
	default:
		problems.add(where+"/type", "%q must be bearer, basic, api_key or oauth2, or one that signs: hmac, private_key, aws_sigv4, client_certificate", clip(c.Type))
	}
	for i, algorithm := range c.Sign {
		if !slices.Contains(signers(c.Type), algorithm) {
			problems.add(pointer(where+"/sign", i), "%q must be one of %s, which a %s can sign with", clip(algorithm), listed(signers(c.Type)), clip(c.Type))
		}
	}
	c.checkProvider(where, problems)
	c.Slots.check(where+"/slots", c.Type, problems)
	c.Rate.check(where+"/rate", problems)
	checkSchema(where+"/fields", c.Fields, problems)
	checkCount(where+"/hosts", len(c.Hosts), problems)
	if len(c.Hosts) == 0 && c.Type != "oauth2" {
		problems.add(where+"/hosts", "names no host, so the credential could go nowhere")
	}
	for i, host := range c.Hosts {
		if _, err := ParseHost(host); err != nil {
			problems.add(pointer(where+"/hosts", i), "%v", err)
		}
	}
}

func (r Rate) check(where string, problems *list) {
	const most = 100_000
	if r == (Rate{}) {
		return
	}
	if !(r.PerSecond >= 1.0/86400 && r.PerSecond <= most) {
		problems.add(where+"/per_second", "%g must be from 1 in a day, 0.0000116, to %d", r.PerSecond, most)
	}
	if r.Burst < 0 || r.Burst > most {
		problems.add(where+"/burst", "%d must be from 0, for the default, to %d", r.Burst, most)
	}
}

// checkProvider checks what an oauth2 has, and no other type.
func (c Connection) checkProvider(where string, problems *list) {
	switch {
	case c.Type != "oauth2" && (c.Provider != "" || len(c.Scopes) > 0):
		problems.add(where, "has a provider or scopes, which are for the type oauth2: its type is %s", clip(c.Type))
	case c.Type == "oauth2" && !providerName.MatchString(c.Provider):
		problems.add(where+"/provider", "%q must be the name of a provider: lower-case letters, digits and -, beginning with a letter, such as github", clip(c.Provider))
	}
	checkCount(where+"/scopes", len(c.Scopes), problems)
	for i, scope := range c.Scopes {
		if !scopeToken.MatchString(scope) {
			problems.add(pointer(where+"/scopes", i), "%q is not one scope: write visible ASCII characters, without a space, a comma, \" and \\", clip(scope))
		}
	}
}

// signers are the algorithms that a type of connection signs with, if it does.
func signers(kind string) []string {
	switch kind {
	case "hmac":
		return []string{"hmac-sha1", "hmac-sha256", "hmac-sha384", "hmac-sha512", "HS256", "HS384", "HS512"}
	case "private_key":
		return []string{"RS256", "RS384", "RS512", "ES256", "ES384", "EdDSA"}
	case "aws_sigv4":
		return []string{"aws-sigv4"}
	default:
		return nil
	}
}

func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// checkPlace checks where an api_key goes.
func (c Connection) checkPlace(where string, problems *list) {
	switch {
	case (c.Header == "") == (c.Query == ""):
		problems.add(where, "an api_key needs either a header or a query, and not both")
	case c.Header != "" && !headerName.MatchString(c.Header):
		problems.add(where+"/header", "%q is not the name of a header", clip(c.Header))
	case c.Query != "" && !queryName.MatchString(c.Query):
		problems.add(where+"/query", "%q is not the name of a query parameter", clip(c.Query))
	}
}

func (m Manifest) checkEgress(problems *list) {
	checkCount("/egress", len(m.Egress), problems)
	for i, e := range m.Egress {
		at := pointer("/egress", i)
		m.checkHost(at+"/host", e.Host, problems)
		e.checkMethods(at+"/methods", problems)
	}
}

func (e Egress) checkMethods(where string, problems *list) {
	if len(e.Methods) == 0 {
		problems.add(where, "names no method, so no request would be allowed: name some of %s", strings.Join(Methods(), ", "))
	}
	for i, method := range e.Methods {
		if !slices.Contains(Methods(), method) {
			problems.add(pointer(where, i), "%q must be one of %s", clip(method), strings.Join(Methods(), ", "))
		}
	}
}

// Methods are those that a manifest may ask for.
func Methods() []string {
	return []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
}

// mayHave says whether the configuration may have a property. Without a schema,
// or where it is put together from others, it is taken to.
func (m Manifest) mayHave(name string) bool {
	if m.Config == nil {
		return true
	}
	var schema map[string]json.RawMessage
	if json.Unmarshal(m.Config, &schema) != nil {
		return false
	}
	for _, keyword := range []string{"$ref", "allOf", "anyOf", "oneOf"} {
		if schema[keyword] != nil {
			return true
		}
	}
	var properties map[string]json.RawMessage
	return json.Unmarshal(schema["properties"], &properties) == nil && properties[name] != nil
}

func (m Manifest) checkFunctions(problems *list) {
	checkCount("/functions", len(m.Functions), problems)
	for i, name := range m.Functions {
		if !funcName.MatchString(name) {
			problems.add(pointer("/functions", i), "%q must be a-z, then a-z, 0-9 and _, at most 63 in all", clip(name))
		}
	}
}

func (l Limits) check(where string, problems *list) {
	if l.MemoryMiB < 0 || l.MemoryMiB > maxMemoryMiB {
		problems.add(where+"/memory_mib", "%d must be from 1 to %d, or left out", l.MemoryMiB, maxMemoryMiB)
	}
	if l.TimeoutMS < 0 || l.TimeoutMS > maxTimeoutMS {
		problems.add(where+"/timeout_ms", "%d must be from 1 to %d, or left out", l.TimeoutMS, maxTimeoutMS)
	}
	if l.StreamMiB < 0 || l.StreamMiB > maxStreamMiB {
		problems.add(where+"/stream_mib", "%d must be from 1 to %d, or left out", l.StreamMiB, maxStreamMiB)
	}
	if l.Fuel < 0 || l.Fuel > maxFuel {
		problems.add(where+"/fuel", "%d must be from 1 to %d, or left out", l.Fuel, int64(maxFuel))
	}
}

// clip shortens what a message quotes.
func clip(s string) string {
	if r := []rune(s); len(r) > 64 {
		return string(r[:64]) + "…"
	}
	return s
}
