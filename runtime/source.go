package runtime

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// source is where a module's bytes are while it is unloaded: in a file when
// there is a folder for it, else in memory.
type source struct {
	sum    [sha256.Size]byte
	path   string
	binary []byte
}

// keep puts the binary where it can be read again.
func keep(dir string, binary []byte) (source, error) {
	s := source{sum: sha256.Sum256(binary)}
	if dir == "" {
		s.binary = bytes.Clone(binary)
		return s, nil
	}
	s.path = filepath.Join(dir, hex.EncodeToString(s.sum[:])+".wasm")
	if info, err := os.Stat(s.path); err == nil && info.Size() == int64(len(binary)) {
		return s, nil
	}
	if err := writeWhole(s.path, binary); err != nil {
		return s, fmt.Errorf("keep module: %w", err)
	}
	return s, nil
}

func (s source) read() ([]byte, error) {
	if s.path == "" {
		return s.binary, nil
	}
	binary, err := os.ReadFile(s.path)
	if err != nil {
		return nil, err
	}
	if sha256.Sum256(binary) != s.sum {
		return nil, fmt.Errorf("%s was changed by others: remove it, and prepare the module again", s.path)
	}
	return binary, nil
}

// writeWhole writes a file whole or not at all: servers share the folder.
func writeWhole(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}
