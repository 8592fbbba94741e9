package connector

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/go/internal/schema"
)

// manifest is what describe returns, see sdk/ABI.md.
type manifest struct {
	Name        string            `json:"name"`
	Version     string            `json:"version"`
	Title       string            `json:"title,omitempty"`
	Description string            `json:"description,omitempty"`
	Config      json.RawMessage   `json:"config"`
	Actions     []wireAction      `json:"actions,omitempty"`
	Webhooks    []wireWebhook     `json:"webhooks,omitempty"`
	Polls       []wirePoll        `json:"polls,omitempty"`
	Connections []wireAccount     `json:"connections,omitempty"`
	Providers   []json.RawMessage `json:"providers,omitempty"`
	Egress      []Egress          `json:"egress,omitempty"`
	Idempotency []wireKey         `json:"idempotency,omitempty"`
	NotDone     []NotDone         `json:"not_done,omitempty"`
	Functions   []string          `json:"functions,omitempty"`
	Limits      wireLimits        `json:"limits,omitzero"`
	Test        bool              `json:"test,omitempty"`
	Confirm     bool              `json:"confirm,omitempty"`
}

type wireNames struct {
	Name        string `json:"name"`
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
}

type wireAction struct {
	wireNames
	Input      json.RawMessage `json:"input"`
	Output     json.RawMessage `json:"output"`
	Idempotent bool            `json:"idempotent,omitempty"`
}

type wireWebhook struct {
	wireNames
	Scheme string `json:"scheme,omitempty"`
	Verify bool   `json:"verify,omitempty"`
}

type wirePoll struct {
	wireNames
	Every string `json:"every,omitempty"`
}

type wireKey struct {
	Host   string `json:"host"`
	Header string `json:"header"`
	TTL    string `json:"ttl"`
}

type wireAccount struct {
	Connection
	Fields json.RawMessage `json:"fields,omitempty"`
}

type wireLimits struct {
	MemoryMiB int   `json:"memory_mib,omitempty"`
	TimeoutMS int64 `json:"timeout_ms,omitempty"`
	StreamMiB int   `json:"stream_mib,omitempty"`
	Fuel      int64 `json:"fuel,omitempty"`
}

// describe gives the manifest, or says all that is wrong with the connector.
func (c Connector) describe() ([]byte, error) {
	m := manifest{
		Name: c.Name, Version: c.Version, Title: c.Title, Description: c.Description,
		Egress: c.Egress, NotDone: c.NotDone, Functions: c.Functions,
		Limits: wireLimits{c.Limits.MemoryMiB, c.Limits.Timeout.Milliseconds(), c.Limits.StreamMiB, c.Limits.Fuel},
		Test:   c.Test != nil, Confirm: c.Confirm != nil,
	}
	problems := append(c.check(), checkProviders(c.Providers)...)
	m.Providers = c.Providers
	var err error
	if m.Config, err = c.configSchema(); err != nil {
		problems = append(problems, err)
	}
	for _, a := range c.Actions {
		w, err := a.wire()
		if err != nil {
			problems = append(problems, fmt.Errorf("action %q: %w", a.Name, err))
		}
		m.Actions = append(m.Actions, w)
	}
	for _, x := range c.Connections {
		w := wireAccount{Connection: x}
		if x.Fields != nil {
			if w.Fields, err = objectSchema("Fields", x.Fields); err != nil {
				problems = append(problems, fmt.Errorf("connection %q: %w", x.Name, err))
			}
		}
		m.Connections = append(m.Connections, w)
	}
	for _, w := range c.Webhooks {
		m.Webhooks = append(m.Webhooks, wireWebhook{wireNames{w.Name, w.Title, w.Description}, w.Scheme, w.Verify != nil})
	}
	for _, p := range c.Polls {
		m.Polls = append(m.Polls, wirePoll{wireNames{p.Name, p.Title, p.Description}, shortDuration(p.Every)})
	}
	for _, i := range c.Idempotency {
		m.Idempotency = append(m.Idempotency, wireKey{i.Host, i.Header, shortDuration(i.TTL)})
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("connector %q: %w", c.Name, err)
	}
	return json.Marshal(m)
}

func (c Connector) configSchema() (json.RawMessage, error) {
	if c.Config == nil {
		return objectSchema("Config", struct{}{})
	}
	return objectSchema("Config", c.Config)
}

// objectSchema is the schema of a value of a struct type; what says which it is.
func objectSchema(what string, value any) (json.RawMessage, error) {
	t := reflect.TypeOf(value)
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("the %s is a %s: make it a value of a struct type, such as %s{}", what, t, what)
	}
	s, err := schema.Of(t, schema.Input)
	if err != nil {
		return nil, fmt.Errorf("the %s: %w", what, err)
	}
	return s, nil
}

func (a Action) wire() (wireAction, error) {
	w := wireAction{wireNames: wireNames{a.Name, a.Title, a.Description}, Idempotent: a.Idempotent}
	if a.Run.call == nil {
		return w, errors.New("it has no Run: make one with connector.Func")
	}
	var err error
	if w.Input, err = schema.Of(a.Run.in, schema.Input); err != nil {
		return w, fmt.Errorf("its input: %w", err)
	}
	if w.Output, err = schema.Of(a.Run.out, schema.Output); err != nil {
		return w, fmt.Errorf("its output: %w", err)
	}
	return w, nil
}

// check finds what the host would refuse, so that a unit test finds it first.
func (c Connector) check() []error {
	var problems []error
	report := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if !isPluginName(c.Name) {
		report("the name %q must be 1 to 63 of a-z, 0-9 and -, and not begin with -", c.Name)
	}
	if !isSemver(c.Version) {
		report("the version %q must be a semantic version, such as 1.2.3 (https://semver.org)", c.Version)
	}
	problems = append(problems, checkNames("action", c.Actions, Action.name)...)
	problems = append(problems, checkNames("webhook", c.Webhooks, Webhook.name)...)
	problems = append(problems, checkNames("poll", c.Polls, Poll.name)...)
	problems = append(problems, checkNames("connection", c.Connections, func(c Connection) string { return c.Name })...)
	for _, w := range c.Webhooks {
		if w.Verify != nil && w.Scheme != "" {
			report("webhook %q: it has Verify and the scheme %q: keep one of them", w.Name, w.Scheme)
		} else if w.Verify == nil && w.Scheme != "github" && w.Scheme != "standard-webhooks" {
			report("webhook %q: the scheme is %q, not github or standard-webhooks", w.Name, w.Scheme)
		}
		if w.Run == nil {
			report("webhook %q: it has no Run", w.Name)
		}
	}
	for _, p := range c.Polls {
		if p.Run.call == nil {
			report("poll %q: it has no Run: make one with connector.PollFunc", p.Name)
		}
	}
	for _, conn := range c.Connections {
		if err := conn.check(); err != nil {
			report("connection %q: %w", conn.Name, err)
		}
	}
	for _, e := range c.Egress {
		if e.Host == "" || len(e.Methods) == 0 {
			report("egress %q needs a host and at least one method", e.Host)
		}
	}
	return append(problems, c.checkEffects()...)
}

// checkEffects looks at what decides about what is sent again.
func (c Connector) checkEffects() []error {
	const year = 366 * 24 * time.Hour
	var problems []error
	for _, i := range c.Idempotency {
		if i.Host == "" || i.Header == "" || i.TTL < 5*time.Minute || i.TTL > year {
			problems = append(problems, fmt.Errorf("idempotency %q needs a host, a header and a TTL from 5 minutes to 366 days", i.Host))
		}
	}
	for _, n := range c.NotDone {
		wrong := slices.ContainsFunc(n.Status, func(s int) bool { return s < 400 || s > 599 })
		if n.Host == "" || len(n.Status) == 0 || wrong {
			problems = append(problems, fmt.Errorf("not done %q needs a host and statuses from 400 to 599", n.Host))
		}
	}
	return problems
}

// checkProviders looks no further than at names: the host reads descriptors.
func checkProviders(all []json.RawMessage) []error {
	var problems []error
	seen := map[string]bool{}
	for i, raw := range all {
		var named struct {
			Name string `json:"name"`
		}
		switch err := json.Unmarshal(raw, &named); {
		case err != nil:
			problems = append(problems, fmt.Errorf("provider %d is no JSON object with a name: %w", i, err))
		case named.Name == "" || seen[named.Name]:
			problems = append(problems, fmt.Errorf("provider %d has the name %q: give each one of its own", i, named.Name))
		}
		seen[named.Name] = true
	}
	return problems
}

func (c Connection) check() error {
	switch c.Type {
	case Bearer, Basic:
		if c.Header != "" || c.Query != "" {
			return fmt.Errorf("header and query are for the type %s", APIKey)
		}
	case APIKey:
		if (c.Header == "") == (c.Query == "") {
			return errors.New("set either the header or the query parameter that the key goes to")
		}
	case HMAC:
		if c.Query != "" {
			return fmt.Errorf("an HMAC goes into a header: query is for the type %s", APIKey)
		}
	case OAuth2, PrivateKey, AWS, Certificate:
		if c.Header != "" || c.Query != "" {
			return fmt.Errorf("header and query are for the type %s", APIKey)
		}
	default:
		return fmt.Errorf("the type is %q, not %s, %s, %s or %s, nor %s, %s, %s or %s", c.Type, Bearer, Basic, APIKey, OAuth2, HMAC, PrivateKey, AWS, Certificate)
	}
	if (c.Type == OAuth2) != (c.Provider != "") || c.Type != OAuth2 && len(c.Scopes) > 0 {
		return fmt.Errorf("a provider, with scopes or without, is what the type %s has, and no other", OAuth2)
	}
	for _, algorithm := range c.Sign {
		if !slices.Contains(algorithms(c.Type), algorithm) {
			return fmt.Errorf("it cannot sign by %q: a connection of the type %s signs by %q", algorithm, c.Type, algorithms(c.Type))
		}
	}
	if len(c.Hosts) == 0 && c.Type != OAuth2 {
		return errors.New("it has no hosts, so its credential could go nowhere")
	}
	return c.Rate.check()
}

func (r Rate) check() error {
	const least, most = 1.0 / 86400, 100_000
	if r != (Rate{}) && !(r.PerSecond >= least && r.PerSecond <= most && r.Burst >= 0 && r.Burst <= most) {
		return fmt.Errorf("the rate is %g in a second with bursts of %d: it may be from 1 in a day to %d, and bursts up to that", r.PerSecond, r.Burst, most)
	}
	return nil
}

// algorithms are those of a type of connection, if its key signs.
func algorithms(kind string) []string {
	switch kind {
	case HMAC:
		return []string{"hmac-sha1", "hmac-sha256", "hmac-sha384", "hmac-sha512", "HS256", "HS384", "HS512"}
	case PrivateKey:
		return []string{"RS256", "RS384", "RS512", "ES256", "ES384", "EdDSA"}
	case AWS:
		return []string{"aws-sigv4"}
	default:
		return nil
	}
}

func checkNames[T any](kind string, all []T, nameOf func(T) string) []error {
	var problems []error
	for i, one := range all {
		name := nameOf(one)
		if !isPartName(name) {
			problems = append(problems, fmt.Errorf("the %s name %q must be a letter, then letters, digits, _, . or -, at most 63", kind, name))
		}
		if find(all, name, nameOf) != i {
			problems = append(problems, fmt.Errorf("there are two of %s %q", kind, name))
		}
	}
	return problems
}

const (
	lower  = "abcdefghijklmnopqrstuvwxyz"
	digits = "0123456789"
	letter = lower + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// These are spelled out, because package regexp would make each connector larger.

func isPluginName(s string) bool {
	return len(s) > 0 && len(s) <= 63 && only(s, lower+digits+"-") && s[0] != '-'
}

func isPartName(s string) bool {
	return len(s) > 0 && len(s) <= 63 && only(s, letter+digits+"_.-") && only(s[:1], letter)
}

func isSemver(s string) bool {
	s, build, hasBuild := strings.Cut(s, "+")
	s, pre, hasPre := strings.Cut(s, "-")
	core := strings.Split(s, ".")
	if len(core) != 3 || hasBuild && !areIdentifiers(build, false) || hasPre && !areIdentifiers(pre, true) {
		return false
	}
	for _, n := range core {
		if n == "" || !only(n, digits) || zeroPadded(n) {
			return false
		}
	}
	return true
}

func areIdentifiers(s string, strictNumbers bool) bool {
	for id := range strings.SplitSeq(s, ".") {
		if id == "" || !only(id, letter+digits+"-") || strictNumbers && zeroPadded(id) {
			return false
		}
	}
	return true
}

func zeroPadded(s string) bool { return len(s) > 1 && s[0] == '0' && only(s, digits) }

func only(s, allowed string) bool { return strings.TrimLeft(s, allowed) == "" }

// shortDuration is 5m where Duration.String says 5m0s.
func shortDuration(d time.Duration) string {
	switch {
	case d == 0:
		return ""
	case d%time.Hour == 0:
		return strconv.FormatInt(int64(d/time.Hour), 10) + "h"
	case d%time.Minute == 0:
		return strconv.FormatInt(int64(d/time.Minute), 10) + "m"
	default:
		return d.String()
	}
}
