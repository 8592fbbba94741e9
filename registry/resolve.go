package registry

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/semver"

	"github.com/cofferdam-run/cofferdam/registry/channel"
)

// maxRef is longer than publisher/name@version can be.
const maxRef = 256

// Resolve finds a version by id, or by name, name@version, name@channel,
// publisher/name or publisher/name@version; a plugin's id stands for its name.
// Without a version it is the newest in the channel stable that is not yanked, and
// one in beta only where there is nothing else; a yanked version is found by its
// exact name only.
func (r *Registry) Resolve(ctx context.Context, v Viewer, ref string) (Version, error) {
	if err := checkRef(ref); err != nil {
		return Version{}, err
	}
	if strings.HasPrefix(ref, versionPrefix) {
		found, err := r.c.Store.Version(ctx, v, ref)
		if err != nil {
			return Version{}, fmt.Errorf("find version: %w", err)
		}
		return found, nil
	}
	name, exact, hasExact := strings.Cut(ref, "@")
	_, versions, err := r.Plugin(ctx, v, name)
	if err != nil {
		return Version{}, err
	}
	if c, err := channel.Parse(exact); hasExact && err == nil {
		return newest(name, versions, c)
	}
	if hasExact {
		return exactly(name, exact, versions)
	}
	return newest(name, versions, "")
}

// checkRef refuses what no store need look for.
func checkRef(ref string) error {
	for _, r := range ref {
		if r <= ' ' || r > '~' {
			return invalidRef(ref)
		}
	}
	name, _, _ := strings.Cut(ref, "@")
	publisher, plugin, qualified := strings.Cut(name, "/")
	if len(ref) > maxRef || publisher == "" || qualified && (plugin == "" || strings.Contains(plugin, "/")) {
		return invalidRef(ref)
	}
	return nil
}

func invalidRef(ref string) error {
	return &Error{
		Code: CodeInvalidRequest, Where: "plugin", Message: fmt.Sprintf("%q does not name a plugin", clip(ref)),
		Hint: "Write name, name@1.2.3, name@beta, publisher/name, publisher/name@1.2.3, or a version's id.",
	}
}

func exactly(name, wanted string, versions []Version) (Version, error) {
	for _, v := range versions {
		if v.Version == wanted || v.ID == wanted {
			return v, nil
		}
	}
	return Version{}, &Error{
		Code: CodeNotFound, Message: fmt.Sprintf("the plugin %q has no version %q", name, clip(wanted)), Hint: versionsHint(versions),
	}
}

func versionsHint(versions []Version) string {
	const most = 10
	if len(versions) == 0 {
		return "It has no versions."
	}
	var names []string
	for _, v := range versions[:min(len(versions), most)] {
		name := v.Version
		switch {
		case !v.YankedAt.IsZero():
			name += " (yanked)"
		case v.Channel == channel.Beta:
			name += " (beta)"
		}
		names = append(names, name)
	}
	if len(versions) > most {
		names = append(names, "and older ones")
	}
	return "It has " + strings.Join(names, ", ") + "."
}

// newest is what a channel offers; without one, stable, or else beta. It expects the
// newest first.
func newest(name string, versions []Version, c channel.Channel) (Version, error) {
	offered := slices.DeleteFunc(slices.Clone(versions), func(v Version) bool { return !v.YankedAt.IsZero() })
	if len(offered) == 0 {
		return Version{}, &Error{
			Code: CodeYanked, Message: fmt.Sprintf("every version of the plugin %q was yanked", name), Hint: versionsHint(versions),
		}
	}
	wanted := c
	if c == "" {
		wanted = channel.Stable
	}
	if i := slices.IndexFunc(offered, func(v Version) bool { return wanted.Gives(v.Channel) }); i >= 0 {
		return offered[i], nil
	}
	if c == "" {
		return offered[0], nil
	}
	return Version{}, &Error{
		Code: CodeNotFound, Message: fmt.Sprintf("the plugin %q has nothing in the channel %s", name, c), Hint: versionsHint(versions),
	}
}

// sortVersions puts the newest first, by the order of <https://semver.org/#spec-item-11>;
// of versions that differ in build metadata alone, the later upload.
func sortVersions(versions []Version) []Version {
	sorted := slices.Clone(versions)
	slices.SortStableFunc(sorted, func(a, b Version) int {
		if c := semver.Compare("v"+b.Version, "v"+a.Version); c != 0 {
			return c
		}
		return b.CreatedAt.Compare(a.CreatedAt)
	})
	return sorted
}

// Plugins lists what the viewer may see.
func (r *Registry) Plugins(ctx context.Context, v Viewer) ([]Plugin, error) {
	plugins, err := r.c.Store.Plugins(ctx, v)
	if err != nil {
		return nil, fmt.Errorf("list plugins: %w", err)
	}
	return plugins, nil
}

// Plugin finds a plugin by id, name or publisher/name, with its versions, newest first.
func (r *Registry) Plugin(ctx context.Context, v Viewer, ref string) (Plugin, []Version, error) {
	if err := checkRef(ref); err != nil {
		return Plugin{}, nil, err
	}
	plugin, versions, err := r.c.Store.Versions(ctx, v, ref)
	if err != nil {
		return Plugin{}, nil, fmt.Errorf("find plugin: %w", err)
	}
	return plugin, sortVersions(versions), nil
}

// Wasm returns the bytes of a version.
func (r *Registry) Wasm(ctx context.Context, v Version) ([]byte, error) {
	wasm, err := r.c.Blobs.Blob(ctx, v.Digest)
	if err != nil {
		return nil, fmt.Errorf("read module %s: %w", v.Digest, err)
	}
	return wasm, nil
}
