package diff

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/registry/manifest"
)

// comparison gathers the changes between two manifests.
type comparison struct {
	before, after manifest.Manifest
	changes       []Change
}

func (c *comparison) add(verb Verb, part, name string, needs Needs, format string, args ...any) {
	c.changes = append(c.changes, Change{Verb: verb, Part: part, Name: name, Needs: needs, Text: fmt.Sprintf(format, args...)})
}

// egress looks for requests that were not asked for before, whichever way they are
// spelt: *.example.com had asked for a.example.com.
func (c *comparison) egress() {
	for _, e := range c.after.Egress {
		methods, known := beyond(e, c.before.Egress)
		if len(methods) == 0 {
			continue
		}
		verb := Added
		if known {
			verb = Changed
		}
		c.add(verb, Egress, e.Host, Consent, "may send %s there", strings.Join(methods, ", "))
		c.changes[len(c.changes)-1].Methods = methods
	}
	for _, e := range c.before.Egress {
		if methods, _ := beyond(e, c.after.Egress); len(methods) > 0 {
			c.add(Removed, Egress, e.Host, "", "sends no %s there any more", strings.Join(methods, ", "))
		}
	}
}

// beyond lists the methods of a wish that none of others covers, and says whether
// any other covers its host.
func beyond(e manifest.Egress, others []manifest.Egress) (methods []string, known bool) {
	covered := map[string]bool{}
	for _, o := range others {
		if covers(o.Host, e.Host) {
			known = true
			for _, m := range o.Methods {
				covered[m] = true
			}
		}
	}
	methods = slices.DeleteFunc(slices.Clone(e.Methods), func(m string) bool { return covered[m] })
	slices.Sort(methods)
	return slices.Compact(methods), known
}

// covers says whether all that b allows is allowed by a.
func covers(a, b string) bool {
	x, err := manifest.ParseHost(a)
	if err != nil {
		return false
	}
	y, err := manifest.ParseHost(b)
	return err == nil && x.Covers(y)
}

func (c *comparison) connections() {
	before := byName(c.before.Connections, func(x manifest.Connection) string { return x.Name })
	after := byName(c.after.Connections, func(x manifest.Connection) string { return x.Name })
	for _, x := range c.after.Connections {
		was, known := before[x.Name]
		if !known {
			c.add(Added, Connection, x.Name, Consent, "uses %s, at %s%s%s%s", credential(x), places(x), scoped(x), signing(x), writing(x))
			continue
		}
		if x.Type != was.Type || x.Provider != was.Provider || x.Header != was.Header || x.Query != was.Query {
			c.add(Changed, Connection, x.Name, Consent, "is %s, not %s", form(x), form(was))
		}
		c.reach(was, x)
		c.schemas(Connection, x.Name+" fields", was.Fields, x.Fields)
	}
	for _, x := range c.before.Connections {
		if _, stays := after[x.Name]; !stays {
			c.add(Removed, Connection, x.Name, "", "is not used any more")
		}
	}
}

// reach looks for what a connection may do beyond what it could before.
func (c *comparison) reach(was, x manifest.Connection) {
	further := slices.DeleteFunc(slices.Clone(x.Hosts), func(h string) bool {
		return len(was.Hosts) == 0 || slices.ContainsFunc(was.Hosts, func(o string) bool { return covers(o, h) })
	})
	if len(x.Hosts) == 0 && len(was.Hosts) > 0 {
		further = []string{places(x)}
	}
	if len(further) > 0 {
		c.add(Changed, Connection, x.Name, Consent, "its credential goes to %s, too", strings.Join(further, ", "))
	}
	wider := without(x.Scopes, was.Scopes)
	if len(wider) > 0 {
		c.add(Changed, Connection, x.Name, Consent, "wants the scopes %s, too", strings.Join(wider, ", "))
	}
	more := without(x.Sign, was.Sign)
	if len(more) > 0 {
		c.add(Changed, Connection, x.Name, Consent, "may have things signed with it by %s, too", strings.Join(more, ", "))
	}
	slots := without(x.Slots.Names(), was.Slots.Names())
	if len(slots) > 0 {
		c.add(Changed, Connection, x.Name, Consent, "may write its credential into %s, too", strings.Join(slots, ", "))
	}
}

// signing is what a plugin may have signed with a credential.
func signing(x manifest.Connection) string {
	if len(x.Sign) == 0 {
		return ""
	}
	return ", and may have things signed with it by " + strings.Join(x.Sign, ", ")
}

// writing is where a plugin may write a credential.
func writing(x manifest.Connection) string {
	if x.Slots.IsZero() {
		return ""
	}
	return ", and may write it into " + strings.Join(x.Slots.Names(), ", ")
}

// kind is the type of a credential, and whose it is if one provider alone gives it.
func kind(x manifest.Connection) string {
	if x.Provider == "" {
		return x.Type
	}
	return x.Type + " of " + x.Provider
}

func credential(x manifest.Connection) string {
	if x.Provider == "" {
		return "a " + x.Type + " credential"
	}
	return "an " + x.Type + " credential of " + x.Provider
}

// places are where a credential goes.
func places(x manifest.Connection) string {
	if len(x.Hosts) == 0 {
		return "the hosts of its provider"
	}
	return strings.Join(x.Hosts, ", ")
}

// scoped is what a plugin wants users to agree to.
func scoped(x manifest.Connection) string {
	if len(x.Scopes) == 0 {
		return ""
	}
	return ", with the scopes " + strings.Join(x.Scopes, ", ")
}

// form is how a credential is presented.
func form(x manifest.Connection) string {
	switch {
	case x.Header != "":
		return x.Type + " in the header " + x.Header
	case x.Query != "":
		return x.Type + " in the query parameter " + x.Query
	default:
		return kind(x)
	}
}

// providers compares those that the plugin describes itself. Apps keep the descriptor that
// they were made with; those that are made from now on follow this one. Of a new one nothing
// comes but by a connection, which is asked for itself.
func (c *comparison) providers() {
	name := func(p manifest.Provider) string { return p.Name }
	was, now := byName(c.before.ProvidersOf(), name), byName(c.after.ProvidersOf(), name)
	for _, p := range c.after.ProvidersOf() {
		old, known := was[p.Name]
		if !known {
			c.add(Added, Provider, p.Name, "", "secrets of its apps go to %s, and tokens to %s", strings.Join(p.Places, ", "), strings.Join(p.Hosts, ", "))
			continue
		}
		before, _ := c.before.Descriptor(p.Name)
		after, _ := c.after.Descriptor(p.Name)
		if sameDocument(before, after) {
			continue
		}
		secrets, tokens := without(p.Places, old.Places), without(p.Hosts, old.Hosts)
		if len(secrets) > 0 {
			c.add(Changed, Provider, p.Name, Consent, "secrets of new apps go to %s, too", strings.Join(secrets, ", "))
		}
		if len(tokens) > 0 {
			c.add(Changed, Provider, p.Name, Consent, "tokens of new apps go to %s, too", strings.Join(tokens, ", "))
		}
		if len(secrets)+len(tokens) == 0 {
			c.add(Changed, Provider, p.Name, "", "is described otherwise, for new apps")
		}
	}
	for _, p := range c.before.ProvidersOf() {
		if _, stays := now[p.Name]; !stays {
			c.add(Removed, Provider, p.Name, "", "is not described any more: apps that there are go on")
		}
	}
}

func without(all, others []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(others, s) })
}

// sameDocument compares JSON by what it says.
func sameDocument(a, b json.RawMessage) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

func (c *comparison) functions() {
	for _, f := range c.after.Functions {
		if !slices.Contains(c.before.Functions, f) {
			c.add(Added, Function, f, Consent, "may call this function of the host app")
		}
	}
	for _, f := range c.before.Functions {
		if !slices.Contains(c.after.Functions, f) {
			c.add(Removed, Function, f, "", "is not called any more")
		}
	}
}

// limits compares wishes. None is the operator's default, and as such the most.
func (c *comparison) limits() {
	was, now := c.before.Limits, c.after.Limits
	c.limit("memory_mib", int64(was.MemoryMiB), int64(now.MemoryMiB))
	c.limit("timeout_ms", int64(was.TimeoutMS), int64(now.TimeoutMS))
	c.limit("stream_mib", int64(was.StreamMiB), int64(now.StreamMiB))
	c.limit("fuel", was.Fuel, now.Fuel)
}

func (c *comparison) limit(name string, was, now int64) {
	text := func(n int64) string {
		if n == 0 {
			return "the operator's default"
		}
		return fmt.Sprint(n)
	}
	switch {
	case was == now:
	case was > 0 && (now == 0 || now > was):
		c.add(Changed, Limit, name, Consent, "up to %s, not %s", text(now), text(was))
	default:
		c.add(Changed, Limit, name, "", "up to %s, not %s", text(now), text(was))
	}
}

func (c *comparison) actions() {
	name := func(a manifest.Action) string { return a.Name }
	both(c, "action", c.before.Actions, c.after.Actions, name, func(was, now manifest.Action) {
		c.schemas("action", now.Name+" input", was.Input, now.Input)
		if was.Idempotent != now.Idempotent {
			c.add(Changed, "action", now.Name, "", "idempotent is %t, not %t", now.Idempotent, was.Idempotent)
		}
	})
}

func (c *comparison) webhooks() {
	name := func(w manifest.Webhook) string { return w.Name }
	both(c, "webhook", c.before.Webhooks, c.after.Webhooks, name, func(was, now manifest.Webhook) {
		if was.Verify != now.Verify {
			c.add(Changed, "webhook", now.Name, Care, "is %s, not %s: endpoints must be made anew", now.Signed(), was.Signed())
		} else if was.Scheme != now.Scheme {
			c.add(Changed, "webhook", now.Name, Care, "is signed as %s, not as %s: endpoints must be made anew", cmp.Or(now.Scheme, "its descriptor says"), cmp.Or(was.Scheme, "its descriptor said"))
		} else if !bytes.Equal(was.Descriptor, now.Descriptor) {
			c.add(Changed, "webhook", now.Name, Care, "is signed as another descriptor says: endpoints must be made anew")
		}
	})
}

func (c *comparison) polls() {
	name := func(p manifest.Poll) string { return p.Name }
	both(c, "poll", c.before.Polls, c.after.Polls, name, func(was, now manifest.Poll) {
		if was.Every != now.Every {
			c.add(Changed, "poll", now.Name, "", "is due every %q, not every %q", now.Every, was.Every)
		}
	})
}

// both compares what is there twice by name, and tells of what is there once. What
// goes away breaks whoever uses it.
func both[T any](c *comparison, part string, before, after []T, name func(T) string, compare func(was, now T)) {
	was, now := byName(before, name), byName(after, name)
	for _, x := range after {
		if w, known := was[name(x)]; known {
			compare(w, x)
		} else {
			c.add(Added, part, name(x), "", "is new")
		}
	}
	for _, x := range before {
		if _, stays := now[name(x)]; !stays {
			c.add(Removed, part, name(x), Care, "is gone")
		}
	}
}

func byName[T any](all []T, name func(T) string) map[string]T {
	m := make(map[string]T, len(all))
	for _, x := range all {
		m[name(x)] = x
	}
	return m
}

// effects compares what is said of requests that may be sent again.
func (c *comparison) effects() {
	was, now := map[string]string{}, map[string]string{}
	for _, x := range c.before.Idempotency {
		was[x.Host] = fmt.Sprintf("knows requests by %s for %s", x.Header, x.TTL)
	}
	for _, x := range c.after.Idempotency {
		now[x.Host] = fmt.Sprintf("knows requests by %s for %s", x.Header, x.TTL)
	}
	c.texts("idempotency", was, now)
	was, now = map[string]string{}, map[string]string{}
	for _, x := range c.before.NotDone {
		was[x.Host] += fmt.Sprintf("did nothing when it answers %v", x.Status)
	}
	for _, x := range c.after.NotDone {
		now[x.Host] += fmt.Sprintf("did nothing when it answers %v", x.Status)
	}
	c.texts("not_done", was, now)
}

// texts compares sentences by name.
func (c *comparison) texts(part string, was, now map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(now)) {
		switch text := now[name]; was[name] {
		case text:
		case "":
			c.add(Added, part, name, "", "it %s", text)
		default:
			c.add(Changed, part, name, "", "it %s", text)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(was)) {
		if now[name] == "" {
			c.add(Removed, part, name, "", "nothing is said of it any more")
		}
	}
}

// abilities compares which optional exports there are, and what kind of plugin it is.
func (c *comparison) abilities() {
	if c.before.Level != c.after.Level {
		c.add(Changed, "level", "", Care, "is %d, not %d: what goes in and comes out has another form", c.after.Level, c.before.Level)
	}
	for _, x := range []struct {
		part, text string
		was, now   bool
	}{
		{"test", "an installation can be checked", c.before.Test, c.after.Test},
		{"confirm", "the plugin can find out what became of a request", c.before.Confirm, c.after.Confirm},
	} {
		switch {
		case x.now && !x.was:
			c.add(Added, x.part, "", "", "%s", x.text)
		case x.was && !x.now:
			c.add(Removed, x.part, "", "", "no longer: %s", x.text)
		}
	}
}
