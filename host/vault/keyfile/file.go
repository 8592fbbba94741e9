package keyfile

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	goruntime "runtime"
)

// maxFile bounds what is read: a key file has about 120 bytes.
const maxFile = 4 << 10

// document is the file's content.
type document struct {
	// Version is 1.
	Version int `json:"version"`
	// ID is derived from Key; it is there to be read by people, and checked.
	ID  string `json:"id"`
	Key string `json:"key"`
}

// Error is a key file that cannot be used. Its text says why, and what to do.
type Error struct {
	Path    string
	Problem string
	// Hint says what to do.
	Hint string
	// Err is the cause, such as fs.ErrNotExist, or nil.
	Err error
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("key file %s: %s. %s", e.Path, e.Problem, e.Hint) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

const restore = "Restore it from your backup: without it nothing that was sealed under it can be opened"

// Create makes a key and keeps it in a new file at path, readable by its owner
// only, in a folder that it makes if need be. It returns once both are durable.
// A path that exists is an error.
func Create(path string) (*Key, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of key file %s: %w", path, err)
	}
	secret := random()
	key, err := FromKey(secret)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // The operator names the file.
	if errors.Is(err, fs.ErrExist) {
		return nil, &Error{
			Path: path, Err: err, Problem: "it exists already, and is not replaced",
			Hint: "Use it as it is. If it is truly of no use any more, move it away yourself.",
		}
	}
	if err != nil {
		return nil, fmt.Errorf("create key file %s: %w", path, err)
	}
	content, err := json.MarshalIndent(document{Version: 1, ID: key.id, Key: base64.StdEncoding.EncodeToString(secret[:])}, "", "  ")
	if err == nil {
		err = fill(f, append(content, '\n'))
	}
	if err != nil {
		// This call made the file, so it holds no key that anyone has used.
		return nil, errors.Join(fmt.Errorf("write key file %s: %w", path, err), os.Remove(path))
	}
	return key, nil
}

// fill writes a new file and makes it and its name durable: a key that a power
// cut takes back would take with it what was sealed under it meanwhile.
func fill(f *os.File, content []byte) error {
	_, err := f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil || goruntime.GOOS == "windows" { // Windows cannot sync a folder.
		return err
	}
	folder, err := os.Open(filepath.Dir(f.Name()))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// Open reads the key in the file at path. What is wrong with the file is an
// *Error; a file that is not there is also fs.ErrNotExist.
func Open(path string) (*Key, error) {
	content, err := read(path)
	if err != nil {
		return nil, err
	}
	secret, id, err := parse(content)
	if err != nil {
		return nil, &Error{Path: path, Err: err, Problem: err.Error(), Hint: restore + "."}
	}
	key, err := FromKey(secret)
	if err != nil {
		return nil, &Error{Path: path, Err: err, Problem: err.Error(), Hint: restore + "."}
	}
	if key.id != id {
		return nil, &Error{
			Path: path, Hint: restore + ".",
			Problem: fmt.Sprintf("it says that it holds the key %s, and holds %s, so it was changed", id, key.id),
		}
	}
	return key, nil
}

// read checks who may read the file before it reads it, on one open file, so
// that nobody swaps it in between.
func read(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // The operator names the file.
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{
			Path: path, Err: err, Problem: "there is none",
			Hint: restore + ". Only a Cofferdam that has no data yet may start with a new one.",
		}
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, &Error{
			Path: path, Err: err, Problem: "this user may not read it",
			Hint: "Run as the user that owns it, or give it to this user with chown.",
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open key file %s: %w", path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at key file %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, &Error{Path: path, Problem: "it is not a regular file but " + info.Mode().Type().String(), Hint: "Name the key file itself."}
	}
	// Windows has no such permissions: every file there looks like 0666.
	if mode := info.Mode().Perm(); mode&0o077 != 0 && goruntime.GOOS != "windows" {
		return nil, &Error{
			Path: path, Problem: fmt.Sprintf("others than its owner may use it (its mode is %#o, and must be at most 0600)", mode),
			Hint: "Run: chmod 600 " + path,
		}
	}
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read key file %s: %w", path, err)
	}
	return content, nil
}

// parse decodes a file. Its errors never quote the file, for what is in it may
// be a key.
func parse(content []byte) (key [keySize]byte, id string, err error) {
	if len(content) == 0 {
		return key, "", errors.New("it is empty")
	}
	if len(content) > maxFile {
		return key, "", fmt.Errorf("it has more than %d bytes, so it is something else", maxFile)
	}
	var d document
	if err := json.Unmarshal(content, &d); err != nil {
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok && syntax.Offset >= int64(len(content)) {
			return key, "", fmt.Errorf("it ends after %d bytes in the middle, so it was cut off", len(content))
		}
		return key, "", errors.New("it is not the JSON document that a key file is")
	}
	if d.Version != 1 {
		return key, "", fmt.Errorf("it is of version %d, and this program knows version 1", d.Version)
	}
	secret, err := base64.StdEncoding.Strict().DecodeString(d.Key)
	if err != nil {
		return key, "", errors.New("its key is not base64")
	}
	if len(secret) != keySize {
		return key, "", fmt.Errorf("its key has %d bytes, and must have %d", len(secret), keySize)
	}
	return [keySize]byte(secret), d.ID, nil
}
