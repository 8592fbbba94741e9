package keyfile_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/host/vault"
	"github.com/cofferdam-run/cofferdam/host/vault/keyfile"
)

func create(t *testing.T) (*keyfile.Key, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data", "key.json")
	key, err := keyfile.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	return key, path
}

func TestOpenReadsWhatCreateMade(t *testing.T) {
	t.Parallel()
	made, path := create(t)
	wrapped, err := made.Wrap(t.Context(), "ten_a", []byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	opened, err := keyfile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if opened.KeyID() != made.KeyID() {
		t.Errorf("got id %s, want %s", opened.KeyID(), made.KeyID())
	}
	got, err := opened.Unwrap(t.Context(), "ten_a", wrapped)
	if err != nil || string(got) != "key" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestCreateKeepsOthersOut(t *testing.T) {
	t.Parallel()
	if goruntime.GOOS == "windows" {
		t.Skip("Windows has no such permissions.")
	}
	_, path := create(t)
	for name, want := range map[string]fs.FileMode{path: 0o600, filepath.Dir(path): fs.ModeDir | 0o700} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode(); got != want {
			t.Errorf("%s: got %v, want %v", filepath.Base(name), got, want)
		}
	}
}

func TestCreateReplacesNothing(t *testing.T) {
	t.Parallel()
	_, path := create(t)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = keyfile.Create(path)
	if !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want fs.ErrExist with the path", err)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file changed, or is gone: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	tests := []struct{ name, content, want string }{
		{"an empty file", "", "empty"},
		{"a file that was cut off", `{"version":1,"id":"kek_1","key":"BwcH`, "cut off"},
		{"text", "-----BEGIN PRIVATE KEY-----", "not the JSON document"},
		{"another document", `["` + key + `"]`, "not the JSON document"},
		{"bytes after the document", `{"version":1}` + key, "not the JSON document"},
		{"a newer version", `{"version":2,"key":"` + key + `"}`, "version 2"},
		{"no version", `{"key":"` + key + `"}`, "version 0"},
		{"a key that is not base64", `{"version":1,"key":"` + strings.Repeat("?", 44) + `"}`, "not base64"},
		{"a key that is too short", `{"version":1,"key":"` + key[:40] + `"}`, "30 bytes"},
		{"a key of zeros", `{"version":1,"key":"` + base64.StdEncoding.EncodeToString(make([]byte, 32)) + `"}`, "zero"},
		{"a key that is not the id's", `{"version":1,"id":"kek_0123456789abcdef","key":"` + key + `"}`, "changed"},
		{"a file that is too large", strings.Repeat(" ", 1<<20), "4096 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "key.json")
			if err := os.WriteFile(path, []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := keyfile.Open(path)
			refused, ok := errors.AsType[*keyfile.Error](err)
			if !ok || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Fatalf("got %v, want an *Error with %q and the path", err, tt.want)
			}
			if !strings.Contains(refused.Hint, "backup") {
				t.Errorf("got hint %q, want one that says what to do", refused.Hint)
			}
			if strings.Contains(err.Error(), key[:8]) {
				t.Errorf("the key is in the error: %v", err)
			}
			if after, err := os.ReadFile(path); err != nil || string(after) != tt.content {
				t.Errorf("the file was touched: %v", err)
			}
		})
	}
}

func TestOpenRefusesAMissingFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key.json")
	_, err := keyfile.Open(path)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "Restore it from your backup") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error("Open made a file")
	}
}

func TestOpenRefusesAFolder(t *testing.T) {
	t.Parallel()
	if _, err := keyfile.Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("got %v", err)
	}
}

func TestOpenRefusesWidePermissions(t *testing.T) {
	t.Parallel()
	if goruntime.GOOS == "windows" {
		t.Skip("Windows has no such permissions.")
	}
	_, path := create(t)
	tests := map[fs.FileMode]bool{0o600: true, 0o400: true, 0o640: false, 0o604: false, 0o644: false, 0o602: false, 0o610: false}
	for mode, want := range tests {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := keyfile.Open(path)
		if (err == nil) != want {
			t.Errorf("%#o: got %v, want success %t", mode, err, want)
		}
		if !want && !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("%#o: %v does not say what to run", mode, err)
		}
	}
}

func TestUnwrapRefusesAnotherTenant(t *testing.T) {
	t.Parallel()
	key, err := keyfile.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := key.Wrap(t.Context(), "ten_a", []byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := key.Unwrap(t.Context(), "ten_b", wrapped); !errors.Is(err, vault.ErrSealed) {
		t.Errorf("another tenant: got %v, want ErrSealed", err)
	}
	if _, err := key.Unwrap(t.Context(), "ten_a", wrapped[1:]); !errors.Is(err, vault.ErrSealed) {
		t.Errorf("cut: got %v, want ErrSealed", err)
	}
}

func TestFromKey(t *testing.T) {
	t.Parallel()
	secret := [32]byte{1, 2, 3}
	a, err := keyfile.FromKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	b, err := keyfile.FromKey(secret)
	if err != nil || a.KeyID() != b.KeyID() {
		t.Errorf("the id is not the key's: %s, %s, %v", a.KeyID(), b.KeyID(), err)
	}
	if c, err := keyfile.FromKey([32]byte{1}); err != nil || c.KeyID() == a.KeyID() {
		t.Errorf("two keys have one id, or: %v", err)
	}
	if _, err := keyfile.FromKey([32]byte{}); err == nil {
		t.Error("zeros were taken for a key")
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(format, a); got != a.KeyID() {
			t.Errorf("%s prints %q, want the id", format, got)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte(`{"version":1,"id":"kek_1","key":"BwcH"}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "key.json")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if key, err := keyfile.Open(path); (key == nil) == (err == nil) {
			t.Errorf("got %v and %v", key, err)
		}
	})
}
