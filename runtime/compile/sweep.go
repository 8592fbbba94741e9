package compile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Size is what files take up.
type Size struct {
	Files int
	Bytes int64
}

func (s *Size) add(bytes int64) {
	s.Files++
	s.Bytes += bytes
}

// Inspect measures the machine code in a folder and changes nothing. Its error
// says what is wrong with the folder: one that others can write, for example. A
// folder that is not there is an fs.ErrNotExist.
func Inspect(dir string) (Size, error) {
	if _, err := os.Stat(dir); err != nil {
		return Size{}, fmt.Errorf("inspect the folder for compiled code: %w", err)
	}
	dir, err := OpenDir(dir)
	if err != nil {
		return Size{}, err
	}
	var total Size
	code, err := codeIn(dir)
	for _, f := range code {
		total.add(f.bytes)
	}
	return total, err
}

// Sweep removes the machine code that was not used for longest until the rest
// takes up no more than maxBytes, and what crashes have left behind. It removes
// nothing that was used at before or later, whatever the size: that may be on its
// way to the engine. What an engine has loaded it needs no file for. It returns what
// it has removed of machine code.
func Sweep(dir string, maxBytes int64, before time.Time) (Size, error) {
	code, err := codeIn(dir)
	freed, sweepErr := removeUnused(code, maxBytes, before)
	if err := errors.Join(err, sweepErr, sweepRest(dir, before)); err != nil {
		return freed, fmt.Errorf("sweep the folder for compiled code: %w", err)
	}
	return freed, nil
}

// SweepUnused removes the files of a folder that were not used at before or later,
// as their times of modification say. A folder that is not there has none.
func SweepUnused(dir string, before time.Time) (Size, error) {
	files, err := filesIn(dir, "*")
	freed, sweepErr := removeUnused(files, 0, before)
	if err := errors.Join(err, sweepErr); err != nil {
		return freed, fmt.Errorf("sweep %s: %w", dir, err)
	}
	return freed, nil
}

// removeUnused removes those that were not used for longest until the rest takes up
// no more than maxBytes, and none that was used at before or later.
func removeUnused(files []usedFile, maxBytes int64, before time.Time) (freed Size, err error) {
	var total int64
	for _, f := range files {
		total += f.bytes
	}
	slices.SortFunc(files, func(a, b usedFile) int { return a.used.Compare(b.used) })
	var problems []error
	for _, f := range files {
		// A file with another name than a key was never finished.
		if !f.used.Before(before) || total <= maxBytes && isKey(filepath.Base(f.path)) {
			continue
		}
		if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, err)
			continue
		}
		total -= f.bytes
		freed.add(f.bytes)
	}
	return freed, errors.Join(problems...)
}

// usedFile is a file with the time of its last use.
type usedFile struct {
	path  string
	bytes int64
	used  time.Time
}

// codeIn lists the machine code of all engines: those of releases that were
// replaced are never used again, and go first.
func codeIn(dir string) ([]usedFile, error) {
	files, err := filesIn(dir, enginePattern+"/*")
	if err != nil {
		return files, fmt.Errorf("list the compiled code: %w", err)
	}
	return files, nil
}

// filesIn lists the files of a folder that a pattern matches, with their last use.
func filesIn(dir, pattern string) ([]usedFile, error) {
	names, err := fs.Glob(os.DirFS(dir), pattern)
	if err != nil {
		return nil, err
	}
	var files []usedFile
	for _, name := range names {
		path := filepath.Join(dir, name)
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // Another process sweeps too.
		}
		if err != nil {
			return files, err
		}
		if info.Mode().IsRegular() {
			files = append(files, usedFile{path: path, bytes: info.Size(), used: info.ModTime()})
		}
	}
	return files, nil
}

// sweepRest removes the stages of processes that died, and what is written down
// about code that is gone.
func sweepRest(dir string, before time.Time) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var problems []error
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.ModTime().Before(before) || !e.IsDir() || !strings.HasPrefix(e.Name(), stagePrefix) {
			continue
		}
		problems = append(problems, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return errors.Join(append(problems, sweepEntries(dir, before))...)
}

func sweepEntries(dir string, before time.Time) error {
	folder := filepath.Join(dir, entriesFolder)
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var problems []error
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.ModTime().Before(before) || !isKey(e.Name()) {
			continue
		}
		path := filepath.Join(folder, e.Name())
		if leadsToCode(dir, path) {
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// leadsToCode says whether the code is there that an entry in compiled/ names. The
// entry says nothing of the engine: any that has the key will do.
func leadsToCode(dir, entry string) bool {
	text, err := os.ReadFile(entry) //nolint:gosec // A folder of ours.
	if err != nil {
		return false
	}
	f, ok := parseEntry(string(text))
	if !ok {
		return false
	}
	found, err := fs.Glob(os.DirFS(dir), enginePattern+"/"+f.key)
	return err == nil && len(found) > 0
}
