package archive

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cofferdam-run/cofferdam/host/tenant"
)

// kind is a sort of objects, in a folder of its own.
type kind struct {
	name string
	// is says what an object is.
	is string
	// tables are those that it is made of.
	tables []string
	// each calls yield with each object after a position, and the object's position: in
	// the same order each time.
	each func(r *reading, ctx context.Context, after string, yield func(v any, pos string) error) error
}

// kinds are all there are, in the order of an archive.
func kinds() []kind {
	return []kind{
		{"tenant", "The tenant: its name, limits and retention.", []string{"tenants"}, (*reading).tenants},
		{
			"installations", "Plugins that it has enabled, the removed ones too, with their configuration and grants.",
			[]string{"installations"},
			(*reading).installations,
		},
		{"connections", "Its accounts at third parties, without their credentials.", []string{"connections"}, (*reading).connections},
		{"paces", "How requests go with its connections: rates, pauses, and breakers that are open.", []string{"paces"}, (*reading).paces},
		{"apps", "Its OAuth clients at authorization servers, without their secrets.", []string{"oauth_apps"}, (*reading).apps},
		{"notices", "What it was told.", []string{"notices"}, (*reading).notices},
		{"endpoints", "Where vendors deliver webhooks, without the secrets that they sign with.", []string{"endpoints"}, (*reading).endpoints},
		{"schedules", "What it has done at times, with the input.", []string{"schedules"}, (*reading).schedules},
		{"destinations", "Where records and notices leave for, without the secrets that they are signed with.", []string{"destinations"}, (*reading).destinations},
		{"watches", "What it is told of when it is silent or late.", []string{"watches"}, (*reading).watches},
		{"events", "What arrived or was emitted, with its body.", []string{"events", "event_bodies"}, (*reading).events},
		{
			"executions", "The work that events caused: output, error and tags, each attempt with its steps, logs and usage, and the ids of emitted events.",
			[]string{"executions", "attempts", "execution_tags"},
			(*reading).executions,
		},
		{
			"journals", "What the runs of an execution have recorded, in base64, in the format of `cofferdam execution export` and `cofferdam replay`: every answer that came from outside.",
			[]string{"journal", "journal_bodies", "journal_refs"},
			(*reading).journals,
		},
		{"state", "What plugins have kept for an installation.", []string{"state_values"}, (*reading).state},
		{"checkpoints", "How far the polls of an installation have come.", []string{"checkpoints"}, (*reading).checkpoints},
		{"usage", "What the runs of an installation have cost, by UTC day.", []string{"usage_days"}, (*reading).usage},
		{"jobs", "Long work that was asked for: redrives, replays, rotations of its key.", []string{"jobs"}, (*reading).jobs},
		{"tokens", "Tokens of the API, without the hashes of their secrets.", []string{"tokens"}, (*reading).tokens},
		{"audit", "Its part of the audit log. `cofferdam audit export` has it with proofs.", nil, (*reading).audit},
		{"publishers", "What it publishes plugins as, with the public keys that it signs with.", []string{"publishers"}, (*reading).publishers},
		{
			"plugins", "Plugins that it may use besides those of everyone: its own with all versions, manifests and digests, and the names of those that are shared with it.",
			[]string{"plugin_shares"},
			(*reading).plugins,
		},
	}
}

// leftOut are the tables of which nothing is in an archive, and why.
func leftOut() map[string]string {
	return map[string]string{ //nolint:gosec // Those are names of tables, and reasons.
		"tenant_keys":      "The key that seals what is private. It is of no use elsewhere, and whoever had it could read backups.",
		"token_keys":       "The key that signs tokens of its users. Whoever had it could make some.",
		"outbox":           "What is about to be sent: the events and notices that it is made of are here.",
		"deliveries":       "What was sent, and what came of it: the events and notices that it was made of are here.",
		"failings":         "Sums of executions that die, which are here.",
		"idempotency_keys": "Answers that were given already, kept for two days: what they are of is here.",
		"retained":         "Sums of how much is kept, which can be added up again.",
		"deletions":        "The account of its deletion: `cofferdam tenant deletion` shows it.",
		"authorizations":   "Tokens that were given to this installation of Cofferdam, and are of no use elsewhere.",
		"pace_flights":     "What was in flight with connections while they were paused: it is over.",
		"oauth_flows":      "Users who are agreeing right now: they end within minutes.",
		"connect_sessions": "Visits of users who connect an account: they end within the hour.",
	}
}

// Tables says what becomes of each table of the store that has something of a tenant's:
// the kind that it is in, or why it is left out.
func Tables() (in, out map[string]string) {
	in = map[string]string{}
	for _, k := range kinds() {
		for _, t := range k.tables {
			in[t] = k.name
		}
	}
	return in, leftOut()
}

// readme is the first file.
func readme(t tenant.Tenant, at time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Everything of the tenant %s\n\n", t.Name)
	fmt.Fprintf(&b, "Of %s, in the format %s. Its id is %s.\n\n", at.Format(time.RFC3339Nano), Format, t.ID)
	b.WriteString("Each folder has one kind of objects, in files of lines of JSON, the newest first where there are many. " +
		"Bytes that are not Cofferdam's own stand in `body` or `value` if they are JSON, in `body_text` or `value_text` if they are text, and else in `body_base64` or `value_base64`.\n\n")
	b.WriteString("`manifest.json` is the last file; without it this is not all. It has the counts, and the SHA-256 of what `sha256sum` prints for the other files in their order here.\n\n")
	b.WriteString("What was made later is not in it. What has changed since is as it was when it was read.\n\n")
	b.WriteString("**No credentials are in it**: not those of connections, not the secrets of apps and endpoints, no tokens and no hashes of them.\n\n")
	b.WriteString("| folder | each line is |\n|---|---|\n")
	for _, k := range kinds() {
		fmt.Fprintf(&b, "| %s | %s |\n", k.name, k.is)
	}
	b.WriteString("\n| left out | why |\n|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(leftOut())) {
		fmt.Fprintf(&b, "| %s | %s |\n", name, leftOut()[name])
	}
	b.WriteString("| events of which only the key is left | What was purged has no request and no body any more. |\n")
	b.WriteString("| the bytes of modules | `cofferdam plugin pull` and the digests find them. |\n")
	return b.String()
}

// anything is bytes that are not ours, as they can be read best and without a loss.
func anything(name string, b []byte) map[string]any {
	if len(b) == 0 {
		return map[string]any{}
	}
	if !utf8.Valid(b) {
		return map[string]any{name + "_base64": b}
	}
	var compact bytes.Buffer
	if json.Compact(&compact, b) == nil && bytes.Equal(compact.Bytes(), b) {
		return map[string]any{name: json.RawMessage(b)}
	}
	return map[string]any{name + "_text": string(b)}
}

// with adds members to an object.
func with(v any, more map[string]any) (json.RawMessage, error) {
	var doc, rest bytes.Buffer
	if err := encode(&doc, v); err != nil {
		return nil, err
	}
	object := bytes.TrimSpace(doc.Bytes())
	if len(more) == 0 {
		return object, nil
	}
	if err := encode(&rest, more); err != nil {
		return nil, err
	}
	joined := append(object[:len(object)-1:len(object)-1], ',')
	return append(joined, bytes.TrimSpace(rest.Bytes())[1:]...), nil
}

func encode(to *bytes.Buffer, v any) error {
	e := json.NewEncoder(to)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
