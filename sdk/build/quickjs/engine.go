package quickjs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Package and Version name the npm package that is linked, and the only version
// of it whose files are known.
const (
	Package = "quickjs-wasi"
	Version = "3.6.2"
)

// Checksum is the SHA-256 of the engine itself, in hexadecimal digits.
const Checksum = "d4c9375f2b1ca4dc95f72c8aa2982a7a9951ac8011490d79c6582df732b4bbd9"

const hintInstall = "run npm install"

// pin is a file of the package.
type pin struct {
	path, sha256 string
}

// pins are the files that are linked, in this order: the engine first.
func pins() []pin {
	return []pin{
		{engineFile, Checksum},
		{"extensions/crypto/crypto.so", "fa26b6fafda251c3b1442dcc4c876b3ac73689639519f4ddfc2c410ebdb5b7c2"},
		{"extensions/encoding/encoding.so", "d501aa2a8410ee07c196103f0d169b226ec61c922883713510fd723fe14036c3"},
		{"extensions/headers/headers.so", "42c847104d6aa8d4666fa41bb74d324c2ee9a4d15c2492fca013b1631232b011"},
		{"extensions/structured-clone/structured-clone.so", "0ac5a36c0545c659ba6f9f8de5af11862df84546d151d0f15ec5184c95fd6cb3"},
		{"extensions/url/url.so", "af780a79f1fb131b5e6fa1d6fedc481e265420cf2f254fe966255230f4c1bc62"},
	}
}

// EngineError says that the engine is not there, or not the one that is known.
type EngineError struct {
	// File is where it should be.
	File string
	// Problem says what is wrong, and Hint what to do.
	Problem, Hint string
}

// Error implements error.
func (e *EngineError) Error() string {
	return fmt.Sprintf("engine file %s %s: %s", e.File, e.Problem, e.Hint)
}

// part is a file that is linked.
type part struct {
	name   string
	binary []byte
}

// readPackage reads the files that are pinned, and refuses any others.
func readPackage(dir string) ([]part, error) {
	if err := checkVersion(dir); err != nil {
		return nil, err
	}
	var parts []part
	for _, p := range pins() {
		binary, err := readPinned(dir, p)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part{name: p.path, binary: binary})
	}
	return parts, nil
}

// checkVersion comes before the checksums: another version is a commoner mistake
// than an altered file, and has another remedy.
func checkVersion(dir string) error {
	path := filepath.Join(dir, "package.json")
	text, err := read(path)
	if err != nil {
		return err
	}
	var manifest struct{ Name, Version string }
	if err := json.Unmarshal(text, &manifest); err != nil {
		return &EngineError{File: path, Problem: "is not JSON: " + err.Error(), Hint: "delete node_modules and " + hintInstall}
	}
	if manifest.Name != Package || manifest.Version != Version {
		return &EngineError{
			File:    path,
			Problem: fmt.Sprintf("is of %s %s instead of %s %s", manifest.Name, manifest.Version, Package, Version),
			Hint:    fmt.Sprintf("run npm install --save-exact %s@%s", Package, Version),
		}
	}
	return nil
}

func readPinned(dir string, p pin) ([]byte, error) {
	path := filepath.Join(dir, filepath.FromSlash(p.path))
	binary, err := read(path)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(binary)
	if got := hex.EncodeToString(sum[:]); got != p.sha256 {
		return nil, &EngineError{
			File:    path,
			Problem: fmt.Sprintf("was altered: its SHA-256 is %s instead of %s", got, p.sha256),
			Hint:    "delete node_modules and " + hintInstall,
		}
	}
	return binary, nil
}

func read(path string) ([]byte, error) {
	content, err := os.ReadFile(path) //nolint:gosec // The path is the author's own.
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &EngineError{File: path, Problem: "is missing", Hint: hintInstall}
	}
	if err != nil {
		return nil, fmt.Errorf("read the engine: %w", err)
	}
	return content, nil
}
