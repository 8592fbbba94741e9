// Package browsertest plays scripts in a headless Chromium against a server of a test's.
//
//	browsertest.Play(t, "host-app.mjs", server.URL)
//
// The scripts are in test/browser, with the packages that they need from npm: see browser.mjs.
// Where Node, those packages or Chromium are missing, a test is skipped; with
// COFFERDAM_TEST_REQUIRE_BROWSER=1 in the environment, it fails.
package browsertest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/cofferdam-run/cofferdam/sdk/build/buildtest"
)

// Play runs a script with arguments, in the environment that says where Chromium is and
// where screenshots go: to COFFERDAM_TEST_SCREENSHOTS, or with the test. What the script
// says is logged, and if it fails, so does the test.
func Play(t *testing.T, script string, args ...string) {
	t.Helper()
	folder := filepath.Join(buildtest.Root(t), "test", "browser")
	node, chromium := find(t, "node"), find(t, "chromium", "chromium-browser", "google-chrome")
	if _, err := os.Stat(filepath.Join(folder, "node_modules", "playwright-core")); err != nil {
		missing(t, "its packages are not installed: run npm ci in test/browser")
	}
	shots := os.Getenv("COFFERDAM_TEST_SCREENSHOTS")
	if shots == "" {
		shots = t.TempDir()
	}
	const most = 5 * time.Minute
	ctx, stop := context.WithTimeout(t.Context(), most)
	defer stop()
	cmd := exec.CommandContext(ctx, node, append([]string{filepath.Join(folder, script)}, args...)...)
	cmd.Env = append(os.Environ(), "CHROMIUM="+chromium, "SCREENSHOTS="+shots)
	said, err := cmd.CombinedOutput()
	t.Logf("%s", said)
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
}

func find(t *testing.T, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	missing(t, names[0]+" is not here")
	return ""
}

func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("COFFERDAM_TEST_REQUIRE_BROWSER") == "1" {
		t.Fatalf("%s, and COFFERDAM_TEST_REQUIRE_BROWSER=1 says that it must be", what)
	}
	t.Skipf("SKIPPED: %s", what)
}
