package registry

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/mod/semver"

	"github.com/cofferdam-run/cofferdam/registry/channel"
	"github.com/cofferdam-run/cofferdam/registry/diff"
)

// Standing is the part of a Store that says how plugins and versions stand.
type Standing interface {
	Yank(ctx context.Context, id, why string, at time.Time) error
	// SetChannel puts a version into a channel.
	SetChannel(ctx context.Context, id string, c channel.Channel) error
	// Deprecate says why not to use a plugin or a version, by id; an empty reason
	// takes it back.
	Deprecate(ctx context.Context, id, why string, at time.Time) error
	// PausePlugin says since when a plugin is paused, by id; a zero time resumes it. One
	// that is paused stays paused since the first time.
	PausePlugin(ctx context.Context, id string, at time.Time) error
}

// channelOf is where a version is published.
func channelOf(version string, wish channel.Channel) (channel.Channel, error) {
	if wish == "" {
		return channel.Of(version), nil
	}
	c, err := channel.Parse(string(wish))
	if err != nil {
		return "", &Error{Code: CodeInvalidRequest, Where: "channel", Message: err.Error()}
	}
	return c, stays(version, c)
}

// stays refuses a pre-release that is to be stable.
func stays(version string, c channel.Channel) error {
	if c != channel.Stable || !channel.IsPrerelease(version) {
		return nil
	}
	return &Error{
		Code: CodeInvalidRequest, Where: "channel", Message: fmt.Sprintf("%s is a pre-release, which is never in the channel %s", version, c),
		Hint: "Publish it as a version without the part after the hyphen.",
	}
}

// changes compares a version with the newest below it that is not yanked.
func (r *Registry) changes(ctx context.Context, p Publisher, v Version) (*diff.Diff, error) {
	_, versions, err := r.Plugin(ctx, Viewer{Operator: true}, p.ID+"/"+v.Name)
	if isNotFound(err) {
		return nil, nil //nolint:nilnil // A plugin's first version changes nothing.
	}
	if err != nil {
		return nil, err
	}
	before, found := below(v.Version, versions)
	if !found {
		return nil, nil //nolint:nilnil // As above.
	}
	d := diff.Between(before.Manifest, v.Manifest)
	return &d, nil
}

// below finds the newest version that is older than one and not yanked, or else
// yanked. It expects the newest first.
func below(version string, versions []Version) (found Version, ok bool) {
	for _, o := range versions {
		if semver.Compare("v"+o.Version, "v"+version) >= 0 {
			continue
		}
		if o.YankedAt.IsZero() {
			return o, true
		}
		if !ok {
			found, ok = o, true
		}
	}
	return found, ok
}

// Compare tells what a version asks for beyond another of its plugin. Without another
// it is the one that it was compared with when it was published, and nil if there was
// none.
func (r *Registry) Compare(ctx context.Context, v Viewer, ref, against string) (*diff.Diff, error) {
	version, err := r.Resolve(ctx, v, ref)
	if err != nil || against == "" {
		return version.Changes, err
	}
	other, err := r.Resolve(ctx, v, version.Plugin+"@"+against)
	if err != nil {
		return nil, err
	}
	d := diff.Between(other.Manifest, version.Manifest)
	return &d, nil
}

// Promote offers a version in a channel, too. It never takes one away: who follows a
// channel is not sent back.
func (r *Registry) Promote(ctx context.Context, v Viewer, ref string, to channel.Channel) (Version, error) {
	c, err := channel.Parse(string(to))
	if err != nil {
		return Version{}, &Error{Code: CodeInvalidRequest, Where: "channel", Message: err.Error()}
	}
	version, err := r.ownedVersion(ctx, v, ref)
	if err != nil {
		return Version{}, err
	}
	if err := stays(version.Version, c); err != nil {
		return Version{}, err
	}
	switch {
	case version.Channel == c:
		return version, nil
	case !version.YankedAt.IsZero():
		return Version{}, &Error{Code: CodeYanked, Message: fmt.Sprintf("%s %s was yanked, and is offered nowhere", version.Name, version.Version)}
	case c.Gives(version.Channel):
		return Version{}, &Error{
			Code: CodeInvalidRequest, Where: "channel",
			Message: fmt.Sprintf("%s %s is in the channel %s, and so in %s, too", version.Name, version.Version, version.Channel, c),
			Hint:    "To take it out of a channel, yank it.",
		}
	}
	if err := r.c.Store.SetChannel(ctx, version.ID, c); err != nil {
		return Version{}, fmt.Errorf("promote version: %w", err)
	}
	version.Channel = c
	return version, nil
}

// Pause has nothing of a plugin run, for anybody, until Resume: what comes for its
// installations waits. It is for the operator.
func (r *Registry) Pause(ctx context.Context, v Viewer, plugin string) (Plugin, error) {
	return r.pause(ctx, v, plugin, r.c.Now())
}

// Resume takes a Pause back. Whoever calls it has what waits queued.
func (r *Registry) Resume(ctx context.Context, v Viewer, plugin string) (Plugin, error) {
	return r.pause(ctx, v, plugin, time.Time{})
}

func (r *Registry) pause(ctx context.Context, v Viewer, plugin string, at time.Time) (Plugin, error) {
	p, _, err := r.Plugin(ctx, v, plugin)
	if err != nil {
		return Plugin{}, err
	}
	if err := r.c.Store.PausePlugin(ctx, p.ID, at); err != nil {
		return Plugin{}, fmt.Errorf("pause plugin: %w", err)
	}
	p, _, err = r.Plugin(ctx, v, p.ID)
	return p, err
}

// Deprecate says of a plugin, or of one version of it, why it should not be used any
// more. It is offered and runs all the same; whoever meets it is told. An empty
// reason takes it back.
func (r *Registry) Deprecate(ctx context.Context, v Viewer, ref, why string) error {
	if err := checkWhy(why); err != nil {
		return err
	}
	id, err := r.ownedID(ctx, v, ref)
	if err != nil {
		return err
	}
	if err := r.c.Store.Deprecate(ctx, id, why, r.c.Now()); err != nil {
		return fmt.Errorf("deprecate %s: %w", clip(ref), err)
	}
	return nil
}

// Warnings are what somebody should know who runs a version, or is about to: that it
// or its plugin is deprecated, or that it was yanked. The version is named by its id.
func (r *Registry) Warnings(ctx context.Context, id string) ([]string, error) {
	v, err := r.Resolve(ctx, Viewer{Operator: true}, id)
	if isNotFound(err) {
		return nil, nil // Nothing is known of it, and nothing can be said.
	}
	if err != nil {
		return nil, err
	}
	p, _, err := r.Plugin(ctx, Viewer{Operator: true}, v.Plugin)
	if err != nil {
		return nil, err
	}
	var said []string
	if !p.DeprecatedAt.IsZero() {
		said = append(said, fmt.Sprintf("%s is deprecated: %s", v.Name, p.DeprecatedWhy))
	}
	return append(said, v.warnings()...), nil
}

// warnings are those that a version alone gives rise to.
func (v Version) warnings() []string {
	var said []string
	if !v.DeprecatedAt.IsZero() {
		said = append(said, fmt.Sprintf("%s %s is deprecated: %s", v.Name, v.Version, v.DeprecatedWhy))
	}
	if !v.YankedAt.IsZero() {
		why := v.YankedWhy
		if why == "" {
			why = "its publisher gave no reason"
		}
		said = append(said, fmt.Sprintf("%s %s was yanked: %s", v.Name, v.Version, why))
	}
	if !v.SignerRevokedAt.IsZero() {
		said = append(said, fmt.Sprintf("the key that signed %s %s was revoked", v.Name, v.Version))
	}
	return said
}

// ownedID is the id of a version, or, where none is named, of a plugin.
func (r *Registry) ownedID(ctx context.Context, v Viewer, ref string) (string, error) {
	if namesVersion(ref) {
		version, err := r.ownedVersion(ctx, v, ref)
		return version.ID, err
	}
	p, err := r.owned(ctx, v, ref)
	return p.ID, err
}

func namesVersion(ref string) bool {
	return strings.HasPrefix(ref, versionPrefix) || strings.Contains(ref, "@")
}

// ownedVersion finds a version that the viewer may change, and that is named as such.
func (r *Registry) ownedVersion(ctx context.Context, v Viewer, ref string) (Version, error) {
	if !namesVersion(ref) {
		return Version{}, &Error{
			Code: CodeInvalidRequest, Where: "version", Message: fmt.Sprintf("%q does not say which version", clip(ref)),
			Hint: "Write name@1.2.3 or a version's id.",
		}
	}
	version, err := r.Resolve(ctx, v, ref)
	if err != nil {
		return Version{}, err
	}
	_, err = r.owned(ctx, v, version.Plugin)
	return version, err
}

// maxWhy is how long a reason may be.
const maxWhy = 1000

func checkWhy(why string) error {
	if len(why) > maxWhy || !utf8.ValidString(why) || strings.ContainsRune(why, 0) {
		return &Error{Code: CodeInvalidRequest, Where: "why", Message: fmt.Sprintf("the reason must be text of at most %d bytes", maxWhy)}
	}
	return nil
}
