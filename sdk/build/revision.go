package build

import (
	"context"
	"os/exec"
	"strings"
)

// revision is the commit of the git checkout that the project is in, and whether
// something in the project's folder is not as in that. Both are empty where there is
// no checkout, or no git.
//
// Files that git ignores do not count, nor do plugins that lie about: what one build
// writes would change the next.
func (p project) revision(ctx context.Context) (revision string, modified bool) {
	head, err := p.git(ctx, "rev-parse", "--verify", "HEAD")
	if err != nil {
		return "", false
	}
	changes, err := p.git(ctx, "status", "--porcelain", "--no-renames", "-z", "--", ".")
	if err != nil {
		return "", false
	}
	for change := range strings.SplitSeq(changes, "\x00") {
		if change != "" && (!strings.HasPrefix(change, "?? ") || !strings.HasSuffix(change, ".wasm")) {
			modified = true
		}
	}
	return strings.TrimSpace(head), modified
}

func (p project) git(ctx context.Context, args ...string) (string, error) {
	program, ok := p.find("git")
	if !ok {
		return "", exec.ErrNotFound
	}
	c := exec.CommandContext(ctx, program, args...) //nolint:gosec // The arguments are those of revision.
	c.Dir = p.root
	out, err := c.Output()
	return string(out), err
}
