package main

import (
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/registry/manifest"
	"github.com/cofferdam-run/cofferdam/runtime"
)

func TestWhatSignsIsInManifestAndImports(t *testing.T) {
	t.Parallel()
	signs := manifest.Manifest{Name: "a", Connections: []manifest.Connection{{Name: "c", Type: "hmac", Hosts: []string{"a.example"}, Sign: []string{"HS256"}}}}
	plain := manifest.Manifest{Name: "a"}
	imports := []runtime.Function{{Module: "extism:host/user", Name: "http"}, {Module: "extism:host/user", Name: "sign"}}
	for name, tt := range map[string]struct {
		m       manifest.Manifest
		imports []runtime.Function
		want    string
	}{
		"both":              {signs, imports, ""},
		"neither":           {plain, imports[:1], ""},
		"no algorithms":     {plain, imports, "every signature would be denied"},
		"no import":         {signs, imports[:1], "does not import the function sign"},
		"another's sign":    {signs, []runtime.Function{{Module: "env", Name: "sign"}}, "does not import the function sign"},
		"no manifest":       {manifest.Manifest{}, imports, ""},
		"one of the others": {signs, nil, "does not import the function sign"},
	} {
		got := strings.Join(signWarnings(tt.m, tt.imports), "\n")
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %q, want %q in it", name, got, tt.want)
		}
	}
}

// TestOnlyWhatIsSentNeedsEgress: keys that sign go nowhere.
func TestOnlyWhatIsSentNeedsEgress(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]bool{"bearer": true, "aws_sigv4": true, "client_certificate": true, "private_key": false, "hmac": false} {
		m := manifest.Manifest{Connections: []manifest.Connection{{Name: "c", Type: kind, Hosts: []string{"a.example"}}}}
		if got := strings.Contains(strings.Join(manifestWarnings(m), ""), "would be sent to a.example"); got != want {
			t.Errorf("%s: warned %t, want %t", kind, got, want)
		}
	}
	header := manifest.Manifest{Connections: []manifest.Connection{{Name: "c", Type: "hmac", Header: "X-Signature", Hosts: []string{"a.example"}}}}
	if len(manifestWarnings(header)) != 1 {
		t.Error("the signature of bodies is sent, and nobody is warned")
	}
}
