// Package diff says what changes from one version of a plugin to another, as far
// as their manifests tell: what it asks for beyond what was asked before, which a
// tenant must consent to, what breaks those who use it, and the rest.
//
//	d := diff.Between(before.Manifest, after.Manifest)
//	fmt.Print(d) // "needs consent  + egress api.example.com: may send GET there"
//	for _, ask := range d.Asks() { ... }
//
// What only decides whether a request may be sent twice, such as idempotency, is
// shown and needs no consent: a guest can send a request twice by itself.
package diff

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/cofferdam-run/cofferdam/registry/manifest"
)

// Verb is what became of something.
type Verb string

// The verbs.
const (
	Added   Verb = "added"
	Removed Verb = "removed"
	Changed Verb = "changed"
)

// Needs is what a change needs of those who use the plugin.
type Needs string

// What a change may need; most need nothing.
const (
	// Consent is the tenant's: the version may do more than the one before.
	Consent Needs = "consent"
	// Care is for what breaks, or may break, what a tenant or a host app has set up.
	Care Needs = "care"
)

// The parts of a manifest that a Change is about.
const (
	Egress     = "egress"
	Connection = "connection"
	Provider   = "provider"
	Function   = "function"
	Limit      = "limit"
	Config     = "config"
)

// Change is one thing that differs.
type Change struct {
	Verb Verb `json:"verb"`
	// Part is egress, connection, provider, function, limit, config, action, webhook, poll,
	// idempotency, not_done, test or confirm.
	Part string `json:"part"`
	// Name is the host, the name, or the property that it is about; empty where there
	// is only one.
	Name string `json:"name,omitempty"`
	// Methods are those that are asked for at a host beyond the ones before.
	Methods []string `json:"methods,omitempty"`
	// Text says it to people.
	Text  string `json:"text"`
	Needs Needs  `json:"needs,omitempty"`
}

// Diff is what changes between two versions.
type Diff struct {
	// From and To are the versions.
	From string `json:"from"`
	To   string `json:"to"`
	// Changes has what needs consent first, then what needs care, then the rest.
	Changes []Change `json:"changes"`
}

// maxRest is how many changes are listed that need no consent: those that do are
// all listed, and a manifest has at most some 800.
const maxRest = 500

// Between compares two manifests.
func Between(before, after manifest.Manifest) Diff {
	c := &comparison{before: before, after: after}
	c.egress()
	c.connections()
	c.providers()
	c.functions()
	c.limits()
	c.config()
	c.actions()
	c.webhooks()
	c.polls()
	c.effects()
	c.abilities()
	slices.SortStableFunc(c.changes, func(a, b Change) int { return cmp.Compare(weight(a.Needs), weight(b.Needs)) })
	d := Diff{From: before.Version, To: after.Version, Changes: c.changes}
	if d.Changes == nil {
		d.Changes = []Change{}
	}
	most := len(d.Asks()) + maxRest
	if more := len(d.Changes) - most; more > 0 {
		d.Changes = append(d.Changes[:most:most], Change{Verb: Changed, Part: "manifest", Text: fmt.Sprintf("and %d more", more)})
	}
	return d
}

func weight(n Needs) int {
	switch n {
	case Consent:
		return 0
	case Care:
		return 1
	default:
		return 2
	}
}

// Asks are the changes that need consent.
func (d Diff) Asks() []Change {
	asks := []Change{}
	for _, c := range d.Changes {
		if c.Needs == Consent {
			asks = append(asks, c)
		}
	}
	return asks
}

// String is d in lines, for people.
func (d Diff) String() string {
	if len(d.Changes) == 0 {
		return fmt.Sprintf("from %s to %s: asks for nothing more, and offers the same\n", d.From, d.To)
	}
	return fmt.Sprintf("from %s to %s:\n%s", d.From, d.To, Lines(d.Changes))
}

// Lines is a line for each change.
func Lines(changes []Change) string {
	signs := map[Verb]string{Added: "+", Removed: "-", Changed: "~"}
	notes := map[Needs]string{Consent: "needs consent", Care: "breaking"}
	var b strings.Builder
	for _, c := range changes {
		what := strings.TrimSpace(c.Part + " " + c.Name)
		fmt.Fprintf(&b, "  %-13s  %s %s: %s\n", notes[c.Needs], signs[c.Verb], what, c.Text)
	}
	return b.String()
}

// Digest names exactly these asks of a version, so that a tenant consents to what
// it was shown and to nothing else. The version is named by its id.
func Digest(version string, asks []Change) string {
	doc, err := json.Marshal(struct {
		Version string   `json:"version"`
		Asks    []Change `json:"asks"`
	}{version, asks})
	if err != nil {
		panic(err) // Strings always encode.
	}
	sum := sha256.Sum256(doc)
	return "sha256:" + hex.EncodeToString(sum[:])
}
