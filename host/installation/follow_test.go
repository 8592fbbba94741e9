package installation_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferdam-run/cofferdam/host/installation"
	"github.com/cofferdam-run/cofferdam/registry"
	"github.com/cofferdam-run/cofferdam/registry/channel"
	"github.com/cofferdam-run/cofferdam/registry/manifest"
)

// follow installs the plugin issues so that it follows a channel.
func (b *testBundle) follow(t *testing.T, name string, c channel.Channel) installation.Installation {
	t.Helper()
	i, err := b.Create(t.Context(), tenant, installation.Spec{Plugin: "issues", Channel: c, Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func (b *testBundle) advance(t *testing.T) {
	t.Helper()
	if err := b.Advance(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (b *testBundle) wantOn(t *testing.T, name, version string) installation.Installation {
	t.Helper()
	i, err := b.Get(t.Context(), tenant, name)
	if err != nil || i.Version != version {
		t.Errorf("%s is on %s, %v, want %s", name, i.Version, err, version)
	}
	return i
}

// setupChannels has 1.1.0 in stable and nothing above it.
func setupChannels(t *testing.T) *testBundle {
	t.Helper()
	b := setup(t)
	var kept []registry.Version
	for _, v := range b.versions.all {
		if v.Version != "2.0.0" {
			v.Channel = channel.Of(v.Version)
			kept = append(kept, v)
		}
	}
	b.versions.all = kept
	return b
}

func TestInstallationsFollowTheirChannels(t *testing.T) {
	t.Parallel()
	b := setupChannels(t)
	b.follow(t, "careful", channel.Stable)
	b.follow(t, "bold", channel.Beta)
	b.install(t, "issues@1.0.0", "")
	b.offer("1.2.0-rc.1", nil)
	b.advance(t)
	b.wantOn(t, "careful", "1.1.0")
	b.wantOn(t, "bold", "1.2.0-rc.1")
	b.offer("1.2.0", nil)
	b.advance(t)
	if i := b.wantOn(t, "careful", "1.2.0"); i.Previous != "plv_issues1.1.0" || i.Channel != channel.Stable {
		t.Errorf("got %+v", i)
	}
	b.wantOn(t, "bold", "1.2.0")
	b.wantOn(t, "issues", "1.0.0") // It is pinned.
	writes := b.store.writes
	b.advance(t)
	if b.store.writes != writes {
		t.Errorf("nothing is new, and %d were written", b.store.writes-writes)
	}
}

func TestAChannelLeadsForwardOnly(t *testing.T) {
	t.Parallel()
	b := setupChannels(t)
	b.offer("1.2.0", nil)
	b.follow(t, "one", channel.Stable)
	b.versions.all[0].YankedAt = b.now
	b.advance(t)
	b.wantOn(t, "one", "1.2.0")
	if late := b.follow(t, "late", channel.Stable); late.Version != "1.1.0" {
		t.Errorf("a newcomer is on %s, want what was not yanked", late.Version)
	}
	for i := range b.versions.all {
		b.versions.all[i].YankedAt = b.now
	}
	b.advance(t) // It offers nothing at all.
	b.wantOn(t, "one", "1.2.0")
}

func TestAChannelThatAsksForMoreWaits(t *testing.T) {
	t.Parallel()
	b := setupChannels(t)
	b.follow(t, "one", channel.Stable)
	b.offer("1.2.0", asksForMore)
	b.advance(t)
	i := b.wantOn(t, "one", "1.1.0")
	if i.Upgrade == nil || i.Upgrade.To != "1.2.0" || i.Upgrade.Channel != channel.Stable || len(i.Upgrade.Asks) != 5 {
		t.Fatalf("got %+v", i.Upgrade)
	}
	since, writes := i.Upgrade.Since, b.store.writes
	b.now = b.now.Add(time.Hour)
	b.advance(t)
	if i := b.wantOn(t, "one", "1.1.0"); b.store.writes != writes || !i.Upgrade.Since.Equal(since) {
		t.Errorf("it waits as before, and was written again")
	}
	// One that asks for less is in the channel next: that is gone to.
	b.offer("1.3.0", nil)
	b.advance(t)
	if i := b.wantOn(t, "one", "1.3.0"); i.Upgrade != nil {
		t.Errorf("it waits for %+v still", i.Upgrade)
	}
	b.offer("1.4.0", asksForMore)
	b.advance(t)
	waiting := b.wantOn(t, "one", "1.3.0")
	moved := b.upgrade(t, waiting.ID, installation.Move{Digest: waiting.Upgrade.Digest})
	if moved.Version != "1.4.0" || moved.Channel != channel.Stable {
		t.Errorf("got %s in %q, want it moved, and following still", moved.Version, moved.Channel)
	}
}

func TestAChannelWhoseConfigurationDoesNotFitWaits(t *testing.T) {
	t.Parallel()
	b := setupChannels(t)
	b.follow(t, "one", channel.Stable)
	b.offer("1.2.0", func(m *manifest.Manifest) { m.Config = []byte(`{"type":"object","required":["project"]}`) })
	b.advance(t)
	i := b.wantOn(t, "one", "1.1.0")
	if i.Upgrade == nil || !strings.Contains(i.Upgrade.Problem, "/config/project is required") || len(i.Upgrade.Asks) != 0 {
		t.Fatalf("got %+v", i.Upgrade)
	}
	_, err := b.Upgrade(t.Context(), tenant, i.ID, installation.Move{Consent: true})
	checkFault(t, err, "config_invalid", "/config/project")
	got := b.upgrade(t, i.ID, installation.Move{Config: []byte(`{"project":"p"}`)})
	if got.Version != "1.2.0" || got.Channel != channel.Stable {
		t.Errorf("got %s in %q, want it moved with its configuration", got.Version, got.Channel)
	}
}

func TestWhoGoesAnotherWayFollowsNoLonger(t *testing.T) {
	t.Parallel()
	b := setupChannels(t)
	b.offer("1.2.0", nil)
	one := b.follow(t, "one", channel.Stable)
	if got := b.upgrade(t, one.ID, installation.Move{Version: "1.2.0"}); got.Channel != channel.Stable {
		t.Errorf("to what the channel offers: it follows %q", got.Channel)
	}
	if got := b.upgrade(t, one.ID, installation.Move{Version: "1.1.0"}); got.Channel != "" {
		t.Errorf("to another version: it follows %q", got.Channel)
	}
	got, err := b.Follow(t.Context(), tenant, one.ID, channel.Stable)
	if err != nil || got.Version != "1.2.0" || got.Channel != channel.Stable {
		t.Errorf("got %s in %q, %v, want it back", got.Version, got.Channel, err)
	}
	if got, err = b.Rollback(t.Context(), tenant, one.ID); err != nil || got.Version != "1.1.0" || got.Channel != "" {
		t.Errorf("rolled back: got %s in %q, %v", got.Version, got.Channel, err)
	}
	_, err = b.Follow(t.Context(), tenant, one.ID, "nightly")
	checkFault(t, err, "channel_unknown")
	for _, plugin := range []string{"issues@1.0.0", "plv_issues1.0.0"} {
		_, err = b.Create(t.Context(), tenant, installation.Spec{Plugin: plugin, Channel: channel.Beta, Name: "x"})
		checkFault(t, err, "version_and_channel")
	}
	_, err = b.Create(t.Context(), tenant, installation.Spec{Plugin: "issues", Channel: "nightly"})
	checkFault(t, err, "channel_unknown")
}

func TestWhatATenantHasAskedForComesFirst(t *testing.T) {
	t.Parallel()
	b := setupChannels(t)
	one := b.follow(t, "one", channel.Stable)
	b.offer("1.2.0-rc.1", asksForMore)
	if got := b.upgrade(t, one.ID, installation.Move{Version: "1.2.0-rc.1"}); got.Upgrade == nil || got.Upgrade.Channel != "" {
		t.Fatalf("got %+v", got.Upgrade)
	}
	b.offer("1.2.0", nil)
	b.advance(t)
	if i := b.wantOn(t, "one", "1.1.0"); i.Upgrade == nil || i.Upgrade.To != "1.2.0-rc.1" {
		t.Errorf("got %+v", i.Upgrade)
	}
	// To pin it is to forget what it waits for; to follow again is to go on.
	if got, err := b.Follow(t.Context(), tenant, one.ID, ""); err != nil || got.Upgrade != nil || got.Channel != "" || got.Version != "1.1.0" {
		t.Errorf("got %+v, %v", got.Upgrade, err)
	}
	if got, err := b.Follow(t.Context(), tenant, one.ID, channel.Stable); err != nil || got.Version != "1.2.0" {
		t.Errorf("got %s, %v", got.Version, err)
	}
}

func TestOneThatFailsHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	b := setupChannels(t)
	for n := range 250 { // More than a page.
		b.follow(t, fmt.Sprintf("i%03d", n), channel.Stable)
	}
	b.offer("1.2.0", nil)
	// Its version is none that there is.
	b.store.all[7].VersionID = "plv_gone"
	if err := b.Advance(t.Context()); err == nil || !strings.Contains(err.Error(), b.store.all[7].ID) {
		t.Errorf("got %v, want to be told of %s", err, b.store.all[7].ID)
	}
	moved := 0
	for _, i := range b.store.all {
		if i.Version == "1.2.0" {
			moved++
		}
	}
	if moved != 249 {
		t.Errorf("%d were moved, want all but one of 250", moved)
	}
	b.store.fail = errors.New("disk full")
	if err := b.Advance(t.Context()); !errors.Is(err, b.store.fail) {
		t.Errorf("got %v, want %v", err, b.store.fail)
	}
}

func TestRunFollowsWhenItIsNudged(t *testing.T) {
	t.Parallel()
	b := setupChannels(t)
	looked := make(chan struct{}, 9)
	rounds := installation.New(installation.Config{
		Store: b.store, Across: signalling{b.store, looked}, Registry: b.versions, Now: func() time.Time { return b.now },
		After: func(time.Duration) <-chan time.Time { return nil }, Logger: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		rounds.Run(ctx)
	}()
	<-looked // At its start.
	rounds.Nudge()
	rounds.Nudge() // Never blocks.
	<-looked
	cancel()
	<-done
}

// signalling says when somebody looks.
type signalling struct {
	installation.Across

	looked chan<- struct{}
}

func (s signalling) Following(ctx context.Context, after installation.Place, limit int) ([]installation.Installation, error) {
	select {
	case s.looked <- struct{}{}:
	default:
	}
	return s.Across.Following(ctx, after, limit)
}

func TestFields(t *testing.T) {
	t.Parallel()
	b := setup(t)
	asks := func(schema string) func(*manifest.Manifest) {
		return func(m *manifest.Manifest) { m.Connections[0].Fields = []byte(schema) }
	}
	v := b.offer("1.2.0", asks(`{"type":"object","properties":{"login":{"type":"string"},"region":{"type":"string","default":"eu"}},"required":["login"]}`))
	_, err := b.Create(t.Context(), tenant, installation.Spec{Plugin: "issues@1.2.0"})
	checkFault(t, err, "connection_fields_invalid", "/connections/github/fields/login")
	b.fields = map[string]json.RawMessage{"con_1": json.RawMessage(`{"login":"octo"}`)}
	b.connections["slack"] = "con_1"
	i := b.install(t, "issues@1.2.0", "")
	got, err := b.Fields(t.Context(), i, v)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{"github": `{"login":"octo","region":"eu"}`, "slack": `{}`}, texts(got)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if err := b.Fitting(t.Context(), tenant, "con_1", json.RawMessage(`{"login":"cat"}`)); err != nil {
		t.Errorf("fields that fit: %v", err)
	}
	checkFault(t, b.Fitting(t.Context(), tenant, "con_1", json.RawMessage(`{"login":7}`)), "connection_fields_invalid", "/fields/login")
	if err := b.Fitting(t.Context(), tenant, "con_9", json.RawMessage(`{}`)); err != nil {
		t.Errorf("a connection that nobody was granted: %v", err)
	}
	// Another version wants what the account does not have.
	b.offer("1.3.0", asks(`{"type":"object","required":["team"]}`))
	_, err = b.Upgrade(t.Context(), tenant, i.ID, installation.Move{})
	checkFault(t, err, "connection_fields_invalid", "/connections/github/fields/team")
	// What was deleted is told without fields.
	b.connections = map[string]string{}
	if got, err := b.Fields(t.Context(), i, v); err != nil || string(got["github"]) != `{}` {
		t.Errorf("got %s, %v", got["github"], err)
	}
	b.broken = errors.New("disk full")
	if _, err := b.Fields(t.Context(), i, v); !errors.Is(err, b.broken) {
		t.Errorf("got %v, want %v", err, b.broken)
	}
}

func texts(all map[string]json.RawMessage) map[string]string {
	m := map[string]string{}
	for name, raw := range all {
		m[name] = string(raw)
	}
	return m
}
