package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settle is how long files must be left alone before they are read: an editor
	// writes a file in several steps, and git many files.
	settle = 25 * time.Millisecond
	// settleMost is how long a stream of changes is waited for at the most.
	settleMost = 500 * time.Millisecond
)

// changes are paths that changed, relative to the project, with slashes.
type changes []string

// only says whether all changes are in a folder of the project.
func (c changes) only(folder string) bool {
	return !slices.ContainsFunc(c, func(path string) bool { return !strings.HasPrefix(path, folder+"/") })
}

// text names some of what changed. What is gone again is left out: editors write
// beside a file first.
func (c changes) text(project string) string {
	const most = 3
	there := slices.DeleteFunc(slices.Clone(c), func(path string) bool {
		_, err := os.Stat(filepath.Join(project, path))
		return err != nil
	})
	if len(there) == 0 {
		there = slices.Clone(c)
	}
	if more := len(there) - most; more > 0 {
		there = append(there[:most], fmt.Sprintf("%d more", more))
	}
	return strings.Join(there, ", ") + " changed"
}

// watchProject sends what changes in a project, once it has settled, until ctx ends.
func watchProject(ctx context.Context, project string) (<-chan changes, func() error, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, nil, fmt.Errorf("watch the project: %w", err)
	}
	if err := watchFolders(w, project, project); err != nil {
		return nil, nil, errors.Join(err, w.Close())
	}
	out := make(chan changes)
	done := make(chan struct{})
	watching, stop := context.WithCancel(ctx)
	go func() {
		defer close(done)
		gather(watching, w, project, out)
	}()
	return out, func() error {
		stop()
		<-done
		return w.Close()
	}, nil
}

// watchFolders watches a folder and those in it. What disappears meanwhile is left out.
func watchFolders(w *fsnotify.Watcher, project, folder string) error {
	return filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && path != project:
			return nil // It is gone again.
		case err != nil:
			return fmt.Errorf("watch the project: %w", err)
		case !d.IsDir():
			return nil
		case path != project && ignored(relative(project, path)):
			return filepath.SkipDir
		}
		if err := w.Add(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("watch %s: %w\n  hint: Linux allows so many watched folders: fs.inotify.max_user_watches", path, err)
		}
		return nil
	})
}

func relative(project, path string) string {
	name, err := filepath.Rel(project, path)
	if err != nil {
		return filepath.ToSlash(path)
	}
	return filepath.ToSlash(name)
}

// ignored tells paths of a project that are no sources: packages, what was built, tests,
// what editors leave.
func ignored(path string) bool {
	parts := strings.Split(path, "/")
	if slices.Contains([]string{"tests", "node_modules", "dist", "build", "target", "vendor"}, parts[0]) {
		return true
	}
	name := parts[len(parts)-1]
	if slices.ContainsFunc(parts, func(p string) bool { return p == "node_modules" || strings.HasPrefix(p, ".") }) {
		return true
	}
	return strings.HasSuffix(name, "~") || strings.HasSuffix(name, ".wasm") || strings.HasSuffix(name, ".md") ||
		strings.HasPrefix(name, "#") || strings.Contains(name, ".test.") || strings.HasSuffix(name, "_test.go") || name == "4913" // What vim tries.
}

// gather collects changes until they have settled.
func gather(ctx context.Context, w *fsnotify.Watcher, project string, out chan<- changes) {
	var pending changes
	var first time.Time
	settled := time.NewTimer(time.Hour)
	settled.Stop()
	for {
		var ready chan<- changes
		if len(pending) > 0 && first.IsZero() {
			ready = out
		}
		select {
		case <-ctx.Done():
			return
		case ready <- pending:
			pending = nil
		case <-settled.C:
			first = time.Time{}
		case <-w.Errors:
			// What was lost may be anything.
			pending = append(pending, ".")
			first = time.Time{}
		case e := <-w.Events:
			path := relative(project, e.Name)
			if e.Op == fsnotify.Chmod || ignored(path) {
				continue
			}
			if info, err := os.Stat(e.Name); err == nil && info.IsDir() {
				_ = watchFolders(w, project, e.Name) // What cannot be watched does not change anything yet.
			}
			if !slices.Contains(pending, path) {
				pending = append(pending, path)
			}
			if first.IsZero() {
				first = time.Now()
			}
			settled.Reset(max(0, min(settle, settleMost-time.Since(first))))
		}
	}
}
