package main

import (
	"net/http"
	"regexp"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// await waits until the server of the script answers: await [PATH].
func await(ts *testscript.TestScript, _ bool, args []string) {
	path := "/readyz"
	if len(args) == 1 {
		path = args[0]
	}
	client := &http.Client{Timeout: time.Second}
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		resp, err := client.Get(ts.Getenv("COFFERDAM_URL") + path)
		if err != nil {
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return
		}
	}
	ts.Fatalf("the server did not become ready within three minutes")
}

// capture puts what a pattern's group finds in a file into a variable:
// capture NAME FILE PATTERN. FILE may be stdout.
func capture(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: capture NAME FILE PATTERN")
	}
	found := regexp.MustCompile(args[2]).FindStringSubmatch(ts.ReadFile(args[1]))
	if found == nil {
		ts.Fatalf("%s does not match %s:\n%s", args[1], args[2], ts.ReadFile(args[1]))
	}
	ts.Setenv(args[0], found[1])
}
