package template_test

import (
	"archive/zip"
	"bytes"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write sdk-go.zip anew")

// TestGoSDKIsCurrent compares the copy of the Go SDK with the SDK: its sources but
// for tests.
func TestGoSDKIsCurrent(t *testing.T) {
	t.Parallel()
	want := map[string]string{}
	root := os.DirFS("../../go")
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(name, "_test.go") || name != "go.mod" && filepath.Ext(name) != ".go" {
			return err
		}
		content, err := fs.ReadFile(root, name)
		want[name] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		writeZip(t, want)
	}
	archive, err := zip.OpenReader("sdk-go.zip")
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	got := map[string]string{}
	for _, f := range archive.File {
		content, err := fs.ReadFile(archive, f.Name)
		if err != nil {
			t.Fatal(err)
		}
		got[f.Name] = string(content)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("sdk-go.zip is not the SDK as it is: run go test ./sdk/build/template -run GoSDK -update (-want +got):\n%s", diff)
	}
}

// writeZip writes the copy, without times, so that equal sources give equal bytes.
func writeZip(t *testing.T, files map[string]string) {
	t.Helper()
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		w, err := archive.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[name])); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("sdk-go.zip", out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}
