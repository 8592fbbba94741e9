package compile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// A folder holds
//
//	wazero-v1.12.0-amd64-linux/<key>   machine code; the name and the key are the engine's
//	compiled/<name>                    which file that is for a module: see index.nameOf
//	compile-*/                         folders that children are writing to
//
// and what others keep there, which is left alone.
//
// The key depends on the processor and cannot be asked for, so that the name of a
// module's file is learnt from the child and written down.
const (
	enginePattern = "wazero-*"
	entriesFolder = "compiled"
	stagePrefix   = "compile-"
)

// index is an opened folder.
type index struct {
	dir    string // Absolute.
	engine engine
}

// engine is what machine code is for.
type engine struct {
	// name is that of its folder: version, processor family and system.
	name string
	// key is that of the probe, in which the processor's abilities are hashed.
	key string
}

// OpenDir makes a folder for machine code, which only this user can read or write,
// or checks that an old one is safe from others. It returns its absolute path.
func OpenDir(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("open the folder for compiled code: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make the folder for compiled code: %w", err)
	}
	inside, err := fs.Glob(os.DirFS(dir), enginePattern)
	if err != nil {
		return "", fmt.Errorf("read the folder for compiled code: %w", err)
	}
	for _, name := range append([]string{"."}, inside...) {
		d := filepath.Join(dir, name)
		info, err := os.Stat(d)
		if err != nil {
			return "", fmt.Errorf("open the folder for compiled code: %w", err)
		}
		if !info.IsDir() {
			return "", fmt.Errorf("open the folder for compiled code: %s is a file", d)
		}
		if err := checkPrivate(d, info); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// openIndex opens the folder and finds out what this process's engine is.
func openIndex(ctx context.Context, dir string) (*index, error) {
	dir, err := OpenDir(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, entriesFolder), 0o700); err != nil {
		return nil, fmt.Errorf("make the folder for compiled code: %w", err)
	}
	x := &index{dir: dir}
	s, err := x.stage()
	if err != nil {
		return nil, err
	}
	defer s.remove()
	cache, name, err := openCache(s.dir)
	if err != nil {
		return nil, err
	}
	err = compileModule(ctx, probe(), cache)
	if err := errors.Join(err, cache.Close(ctx)); err != nil {
		return nil, fmt.Errorf("ask the engine for its name: %w", err)
	}
	s.engine = name
	f, err := s.file()
	if err != nil {
		return nil, err
	}
	x.engine = engine{name: name, key: f.key}
	return x, nil
}

// probe is a module with one function that does nothing.
func probe() []byte {
	return []byte("\x00asm\x01\x00\x00\x00" + "\x01\x04\x01\x60\x00\x00" + "\x03\x02\x01\x00" + "\x0a\x04\x01\x02\x00\x0b")
}

// nameOf is the name of a module in compiled/, for the engine of this process.
func (x *index) nameOf(wasm []byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d %s %s\n", protocol, x.engine.name, x.engine.key)
	h.Write(wasm)
	return hex.EncodeToString(h.Sum(nil))
}

// use says whether the machine code of the module of that name is there, whole,
// and keeps it from being swept.
func (x *index) use(name string, now time.Time) bool {
	text, err := os.ReadFile(filepath.Join(x.dir, entriesFolder, name)) //nolint:gosec // A folder of ours and a hash.
	if err != nil {
		return false
	}
	f, ok := parseEntry(string(text))
	if !ok {
		return false
	}
	path := filepath.Join(x.dir, x.engine.name, f.key)
	info, err := os.Stat(path)
	if err != nil || info.Size() != f.bytes {
		return false
	}
	// A file that is not there any more is not used.
	return os.Chtimes(path, now, now) == nil
}

// codeFile is a file of machine code.
type codeFile struct {
	path, key string
	bytes     int64
}

// parseEntry reads what is written down about a module.
func parseEntry(text string) (codeFile, bool) {
	var f codeFile
	n, err := fmt.Sscanf(text, "%s %d\n", &f.key, &f.bytes)
	return f, err == nil && n == 2 && isKey(f.key)
}

// isKey says whether a name is one of the engine's: a SHA-256 in hex.
func isKey(name string) bool { return regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(name) }

// stage is a folder that one child writes to. It is beside the others, so that
// what is written can be moved at once and whole.
type stage struct {
	dir, engine string
}

func (x *index) stage() (*stage, error) {
	dir, err := os.MkdirTemp(x.dir, stagePrefix)
	if err != nil {
		return nil, fmt.Errorf("make a folder to compile in: %w", err)
	}
	return &stage{dir: dir, engine: x.engine.name}, nil
}

// remove removes the stage with all that is left in it. What cannot be removed is
// swept later.
func (s *stage) remove() { os.RemoveAll(s.dir) }

// file finds what was made: one file, named by the engine.
func (s *stage) file() (codeFile, error) {
	dir := filepath.Join(s.dir, s.engine)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return codeFile{}, fmt.Errorf("find the compiled code: %w", err)
	}
	if len(entries) != 1 || !entries[0].Type().IsRegular() || !isKey(entries[0].Name()) {
		return codeFile{}, fmt.Errorf("find the compiled code: %s holds %d entries, not the engine's one file", dir, len(entries))
	}
	info, err := entries[0].Info()
	if err != nil {
		return codeFile{}, fmt.Errorf("find the compiled code: %w", err)
	}
	return codeFile{path: filepath.Join(dir, info.Name()), key: info.Name(), bytes: info.Size()}, nil
}

// keep moves what was made to where the engine looks for it, then writes down that
// it is there.
func (x *index) keep(name string, s *stage, now time.Time) error {
	f, err := s.file()
	if err != nil {
		return err
	}
	into := filepath.Join(x.dir, x.engine.name)
	if err := os.Mkdir(into, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("keep the compiled code: %w", err)
	}
	if err := os.Chtimes(f.path, now, now); err != nil {
		return fmt.Errorf("keep the compiled code: %w", err)
	}
	if err := os.Rename(f.path, filepath.Join(into, f.key)); err != nil {
		return fmt.Errorf("keep the compiled code: %w", err)
	}
	entry := filepath.Join(s.dir, "entry")
	if err := os.WriteFile(entry, fmt.Appendf(nil, "%s %d\n", f.key, f.bytes), 0o600); err != nil {
		return fmt.Errorf("keep the compiled code: %w", err)
	}
	if err := os.Rename(entry, filepath.Join(x.dir, entriesFolder, name)); err != nil {
		return fmt.Errorf("keep the compiled code: %w", err)
	}
	return nil
}
