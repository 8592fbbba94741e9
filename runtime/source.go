package runtime

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	goruntime "runtime"
	"time"

	"github.com/cofferdam-run/cofferdam/runtime/compile"
)

const (
	// sourceAge is for how long a file is kept that no server uses. Servers that
	// share the folder know nothing of each other's modules, but that whoever has one
	// open touches its file each sourceRound. It is long, since a server that was
	// stopped comes back and finds its modules, and a process may never call Trim.
	sourceAge   = 7 * 24 * time.Hour
	sourceRound = time.Hour
)

// source is where a module's bytes are while it is unloaded: in a file when
// there is a folder for it, else in memory.
type source struct {
	sum    [sha256.Size]byte
	path   string
	binary []byte
}

// keep puts the binary where it can be read again. A file that stands there is
// taken for it only if it is: one that was torn by a crash is written anew.
func keep(dir string, binary []byte, now time.Time) (source, error) {
	s := source{sum: sha256.Sum256(binary)}
	if dir == "" {
		s.binary = bytes.Clone(binary)
		return s, nil
	}
	s.path = filepath.Join(dir, hex.EncodeToString(s.sum[:])+".wasm")
	// Touched first, so that nobody sweeps what was found to be good.
	if s.touch(now) == nil {
		if stands, err := os.ReadFile(s.path); err == nil && bytes.Equal(stands, binary) {
			return s, nil
		}
	}
	if err := writeWhole(s.path, binary, now); err != nil {
		return s, fmt.Errorf("keep module: %w", err)
	}
	return s, nil
}

func (s source) read(now time.Time) ([]byte, error) {
	if s.path == "" {
		return s.binary, nil
	}
	// Whether it could be touched is told by reading it.
	_ = s.touch(now)
	binary, err := os.ReadFile(s.path)
	if err != nil {
		return nil, err
	}
	if sha256.Sum256(binary) != s.sum {
		return nil, fmt.Errorf("%s was changed by others: remove it, and prepare the module again", s.path)
	}
	return binary, nil
}

// touch keeps the file from being swept, by this process or another.
func (s source) touch(now time.Time) error {
	if s.path == "" {
		return nil
	}
	return os.Chtimes(s.path, now, now)
}

// sweepSources removes the files of modules that nobody has open any more.
func (r *Runtime) sweepSources() error {
	now := r.now()
	r.mu.Lock()
	due := r.cacheDir != "" && now.Sub(r.swept) >= sourceRound
	if due {
		r.swept = now
	}
	r.mu.Unlock()
	if !due {
		return nil
	}
	var errs []error
	for _, m := range r.all() {
		// One that is gone is an error of whoever needs it.
		if err := m.source.touch(now); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 { // What could not be touched must not be swept.
		return fmt.Errorf("keep modules: %w", errors.Join(errs...))
	}
	_, err := compile.SweepUnused(r.sources(), now.Add(-sourceAge))
	return err
}

// writeWhole writes a file whole or not at all, also when the machine stops:
// servers share the folder, and the next start trusts it.
func writeWhole(path string, content []byte, now time.Time) error {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(folder, ".*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Chtimes(f.Name(), now, now)
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncFolder(folder)
}

// syncFolder makes a new name in a folder last.
func syncFolder(path string) error {
	if goruntime.GOOS == "windows" {
		return nil // Folders cannot be synced there.
	}
	folder, err := os.Open(path) //nolint:gosec // A folder of ours.
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
