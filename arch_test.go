package cofferdam_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/cofferdam-run/cofferdam"

// nouns are the domain packages of host.
var nouns = []string{
	"host/tenant", "host/token", "host/vault", "host/connection", "host/endpoint", "host/webhook", "host/webhook/admission", "host/webhook/descriptor", "host/webhook/signature",
	"host/installation", "host/event", "host/execution", "host/queue", "host/fault", "host/ident",
	"host/usage", "host/job", "host/redeliver", "host/redrive", "host/retention", "host/shadow", "host/vault/rotation",
	"host/audit", "host/audit/transcript", "host/archive", "host/connect", "host/app", "host/oauth", "host/oauth/provider", "host/authorization", "host/notice", "host/health", "host/schedule", "host/pace",
	"host/alert", "host/destination", "host/outbound", "host/telemetry",
}

// mayImport is the map of the house: a folder to the folders of ours that it
// may import. "x/..." is x and all below it; the most specific row counts, and a
// folder without a row may import nothing of ours.
var mayImport = map[string][]string{
	"runtime/wasm":           {},
	"runtime/meter":          {"runtime/wasm"},
	"runtime/meter/spectest": {"runtime/meter", "runtime/wasm"},
	"runtime/image":          {"runtime/wasm"},
	"runtime/abi":            {"runtime/wasm"},
	"runtime/fairshare":      {},
	"runtime/sourcemap":      {},
	"runtime/compile":        {},
	"runtime/extism":         {"runtime"},
	"runtime":                {"runtime/abi", "runtime/compile", "runtime/fairshare", "runtime/image", "runtime/meter", "runtime/sourcemap", "runtime/wasm"},
	"runtime/runtimetest":    {"runtime/..."},

	"hostfns":            {"runtime"},
	"hostfns/...":        {"hostfns", "runtime"},
	"hostfns/replay":     {"hostfns/...", "runtime", "runtime/wasm"},
	"hostfns/sign":       {"hostfns", "hostfns/sign/sigv4", "runtime"},
	"hostfns/sign/sigv4": {},
	// A journal's own: what of its entries a conflict of state makes stale.
	"hostfns/journal": {"hostfns", "hostfns/state", "runtime"},

	"registry/manifest":   {},
	"registry/schema":     {"registry/manifest"},
	"registry/docs":       {"registry/manifest", "registry/schema"},
	"registry/diff":       {"registry/manifest"},
	"registry/channel":    {},
	"registry/signature":  {},
	"registry/provenance": {},
	"registry/oci":        {"registry/signature"},
	"registry":            {"registry/...", "runtime"},

	"host/ident":              {},
	"host/fault":              {"registry", "runtime"},
	"host/document":           {"host/fault"},
	"host/tenant":             {"host/fault", "host/ident"},
	"host/token":              {"host/fault", "host/ident"},
	"host/vault":              {"host/fault"},
	"host/vault/keyfile":      {"host/vault"},
	"host/vault/vaulttest":    {"host/fault", "host/vault", "host/vault/keyfile"},
	"host/connection":         {"host/authorization", "host/fault", "host/ident", "host/vault", "hostfns", "hostfns/egress", "hostfns/sign/..."},
	"host/endpoint":           {"host/document", "host/event", "host/fault", "host/ident", "host/vault"},
	"host/event":              {"host/fault", "host/ident"},
	"host/installation":       {"host/event", "host/fault", "host/ident", "hostfns/egress", "registry/...", "runtime"},
	"host/execution":          {"host/event", "host/fault", "host/ident", "hostfns/...", "runtime"},
	"host/webhook":            {"host/endpoint", "host/event", "host/fault", "host/ident", "host/telemetry", "host/webhook/admission", "host/webhook/descriptor", "host/webhook/signature", "registry/manifest"},
	"host/webhook/admission":  {"host/fault"},
	"host/webhook/descriptor": {"host/document", "host/fault"},
	"host/webhook/signature":  {"host/document", "host/fault", "host/webhook/descriptor"},
	"host/schedule/crontest":  {"host/fault", "host/schedule"}, // A fuzz test alone.
	"host/webhook/peertest":   {"host/webhook/signature"},      // Its tests: a module of its own.
	"host/queue":              {"host/execution"},
	"host/usage":              {"host/fault"},
	"host/job":                {"host/fault", "host/ident"},
	"host/retention":          {"host/tenant"},
	"host/audit/transcript":   {},
	"host/audit":              {"host/audit/transcript", "host/fault", "host/ident", "host/retention"},
	"host/archive": {
		"host/alert", "host/destination", "host/app", "host/audit", "host/audit/transcript", "host/connection", "host/endpoint", "host/event", "host/execution", "host/fault", "host/ident",
		"host/installation", "host/job", "host/notice", "host/pace", "host/schedule", "host/tenant", "host/token", "host/usage", "hostfns/state", "registry", "registry/signature",
	},
	"host/telemetry":               {},
	"host/telemetry/otlp":          {"host/telemetry"},
	"host/telemetry/collectortest": {},
	"host/health":                  {"host/authorization", "host/connection", "host/execution", "host/fault", "host/installation", "host/pace"},
	"host/pace":                    {"host/connection", "host/event", "host/execution", "host/fault", "host/skew", "hostfns", "hostfns/egress"},
	"host/skew":                    {},
	"host/pace/pacetest":           {},
	"host/notice":                  {"host/fault", "host/ident", "host/retention", "host/webhook"},
	"host/destination":             {"host/app", "host/fault", "host/ident", "host/vault", "host/webhook"},
	"host/outbound":                {"host/audit", "host/destination", "host/event", "host/fault", "host/ident", "host/notice", "host/retention", "host/telemetry", "host/webhook"},
	"host/alert":                   {"host/destination", "host/execution", "host/fault", "host/ident", "host/notice", "host/redrive", "host/retention"},
	"host/schedule":                {"host/audit", "host/event", "host/execution", "host/fault", "host/ident", "host/telemetry"},
	"host/redrive":                 {"host/event", "host/execution", "host/fault", "host/job", "hostfns/emit"},
	"host/redeliver":               {"host/event", "host/execution", "host/fault", "host/ident", "host/job"},
	"host/login":                   {"host/fault", "host/token"},
	"host/login/logintest":         {},
	"host/shadow":                  {"host/execution", "host/fault", "host/installation", "host/job", "hostfns/...", "registry/...", "runtime"},
	"host/worker":                  append([]string{"hostfns/...", "registry/...", "runtime"}, nouns...),

	"host/vault/rotation":   {"host/fault", "host/job", "host/vault"},
	"host/vault/keyenv":     {"host/vault/keyfile"},
	"host/vault/transit":    {"host/vault", "host/vault/remote"},
	"host/vault/awskms":     {"host/vault", "host/vault/remote", "hostfns/sign/sigv4"},
	"host/vault/remote":     {"host/vault"},
	"host/vault/keepertest": {"host/fault", "host/vault"},

	"host/app/trial": {"host/app", "host/authorization", "host/oauth", "host/oauth/provider"},

	"host/app": {"host/authorization", "host/fault", "host/ident", "host/oauth", "host/oauth/provider", "host/vault"},

	"host/connect":                     {"host/audit", "host/connection", "host/fault", "host/ident", "host/oauth", "host/oauth/provider", "host/vault", "registry/schema"},
	"host/oauth":                       {"host/fault"},
	"host/oauth/oauthtest":             {"host/oauth"},
	"host/oauth/fositetest":            {"host/oauth", "host/authorization"},                 // Its tests: a module of its own.
	"host/oauth/provider":              {"host/document", "host/fault", "registry/manifest"}, // What it says of a plugin's descriptors.
	"host/authorization":               {"host/fault", "host/oauth", "host/oauth/provider", "host/vault"},
	"host/oauth/provider/providertest": {},

	"host/authorization/authorizationtest": {"host/authorization", "host/oauth", "host/oauth/provider"},

	"host/store":                       append([]string{"hostfns/...", "registry/...", "runtime"}, nouns...),
	"host/store/storetest":             append([]string{"host/store", "host/store/storetest/faults", "host/vault/keyfile", "hostfns/...", "registry/...", "runtime"}, nouns...),
	"host/store/storetest/faults":      {},
	"host/store/sqlite":                append([]string{"host/skew", "host/store", "hostfns/journal"}, nouns...),
	"host/store/postgres":              append([]string{"host/skew", "host/store", "hostfns/journal"}, nouns...),
	"host/store/postgres/postgrestest": {"host/store/postgres"},

	"host":             append([]string{"host/store", "host/worker", "hostfns/...", "registry/...", "runtime", "runtime/compile"}, nouns...),
	"host/api":         append([]string{"host", "host/store", "hostfns/...", "registry/...", "runtime"}, nouns...),
	"host/api/apitest": {},

	"test/browser/browsertest": {"sdk/build/buildtest"},
	"test/processtest":         {"runtime/runtimetest"},

	"sdk":      {},
	"sdk/c":    {},
	"sdk/rust": {},
	"sdk/tck":  {"hostfns/...", "registry", "registry/manifest", "registry/schema", "runtime", "runtime/runtimetest", "runtime/wasm", "sdk", "sdk/build", "sdk/c", "sdk/rust"},

	"cmd/...":      {"..."},
	"examples/...": {"..."},
	"plugins/...":  {"sdk/go/..."},
	"bench/...":    {"..."},
	"chaos/...":    {"..."},
	"sdk/go/...":   {"sdk/go/..."},

	"sdk/build":           {"registry/...", "registry", "runtime", "runtime/sourcemap", "sdk/build/quickjs", "sdk/c", "sdk/rust"},
	"sdk/typescript":      {"runtime", "sdk/build"}, // Its tests: they run in the sandbox.
	"sdk/build/buildtest": {"sdk/typescript"},
	"sdk/build/template":  {"sdk/c", "sdk/rust", "sdk/typescript"},
}

// ownedBy names who alone may import a third party's package, or a delicate
// one of the standard library, with all below it.
var ownedBy = map[string][]string{
	"github.com/tetratelabs/wazero":         {"runtime/...", "bench/..."},
	"github.com/jackc/pgx/v5":               {"host/store/postgres/...", "bench/...", "chaos"},
	"modernc.org/sqlite":                    {"host/store/sqlite", "bench/..."},
	"database/sql":                          {"host/store/...", "bench/..."},
	"github.com/pressly/goose/v3":           {"host/store/..."},
	"github.com/go-chi/chi/v5":              {"host/api/..."},
	"github.com/danielgtaylor/huma/v2":      {"host/api/..."},
	"github.com/tink-crypto/tink-go/v2":     {"host/vault/..."},
	"crypto/cipher":                         {"host/vault/...", "bench/..."},
	"code.dny.dev/ssrf":                     {"hostfns/egress"},
	"github.com/santhosh-tekuri/jsonschema": {"registry/...", "host/api/apitest"},
	"oras.land/oras-go/v2":                  {"registry/oci", "cmd/..."},
	"github.com/spf13/cobra":                {"cmd/..."},
	"github.com/caarlos0/env":               {"cmd/..."},
	"github.com/fsnotify/fsnotify":          {"cmd/..."},
	"github.com/google/pprof":               {"cmd/..."},
	"github.com/prometheus/client_golang":   {"host", "host/worker", "host/retention", "host/api", "host/audit", "host/authorization", "host/outbound", "host/pace", "host/schedule", "host/telemetry/otlp", "host/webhook"},
	"go.opentelemetry.io/otel":              {"host/telemetry", "host/telemetry/otlp"},
	"github.com/netresearch/go-cron":        {"host/schedule"},
	"github.com/go-sourcemap/sourcemap":     {"runtime/sourcemap"},
	"github.com/extism/go-sdk":              {"runtime/extism", "bench/..."},
	"github.com/evanw/esbuild":              {"sdk/build", "sdk/typescript", "bench/...", "cmd/..."},
	"golang.org/x/oauth2":                   {"host/oauth", "cmd/...", "bench/..."},
	"github.com/go-jose/go-jose":            {"host/oauth", "host/webhook/signature"},
	"github.com/coreos/go-oidc":             {"host/login", "cmd/..."},
	"cel.dev/cel-go":                        {"host/redeliver"},
	"golang.org/x/mod/sumdb":                {"host", "host/audit/...", "host/store/...", "host/api", "cmd/..."},
	"github.com/golangci/golangci-lint":     {},
}

// file is one Go source file of the module.
type file struct {
	path    string
	folder  string
	pkg     string
	comment string
	imports []string
	test    bool
}

func TestImportDirections(t *testing.T) {
	t.Parallel()
	for _, f := range sources(t) {
		row, allowed := rowOf(f.folder)
		for _, imp := range f.imports {
			target, ours := strings.CutPrefix(imp, module+"/")
			if !ours || target == f.folder || isOwnInternal(f.folder, target) || f.test && hasRealPeers(f.folder, target) {
				continue
			}
			if !matchesAny(allowed, target) {
				t.Errorf("%s imports %s: %q may not import %q", f.path, target, row, target)
			}
		}
	}
}

// isOwnInternal says whether target is an internal folder at or above folder;
// who may see it, the compiler holds. It follows the row of the folder that it
// is internal to.
func isOwnInternal(folder, target string) bool {
	owner, _, found := strings.Cut(target, "/internal/")
	return found && (folder == owner || strings.HasPrefix(folder, owner+"/"))
}

// hasRealPeers says whether a test in folder may import target, which the code
// there may not: helpers for tests, and, above the sandbox, the real things on the
// other side of an interface.
func hasRealPeers(folder, target string) bool {
	low := folder == "runtime" || strings.HasPrefix(folder, "runtime/") || strings.HasPrefix(folder, "sdk/") && !strings.HasPrefix(folder, "sdk/build")
	return strings.HasSuffix(path.Base(target), "test") || !low
}

func TestThirdPartiesHaveOneOwner(t *testing.T) {
	t.Parallel()
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		for _, imp := range f.imports {
			for owned, owners := range ownedBy {
				if (imp == owned || strings.HasPrefix(imp, owned+"/")) && !matchesAny(owners, f.folder) {
					t.Errorf("%s imports %s, which only %v may", f.path, imp, owners)
				}
			}
		}
	}
}

func TestPackagesAreNamedAndDocumented(t *testing.T) {
	t.Parallel()
	vague := []string{"util", "utils", "common", "base", "models", "types", "helpers", "misc", "internal"}
	comments := map[string][]string{}
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		if name := path.Base(f.folder); f.pkg != name && f.pkg != "main" && f.folder != "." {
			t.Errorf("%s: package %s stands in folder %s: they have one name", f.path, f.pkg, f.folder)
		}
		if slices.Contains(vague, f.pkg) {
			t.Errorf("%s: package %s: a package is one noun or one capability", f.path, f.pkg)
		}
		comments[f.folder] = append(comments[f.folder], f.comment)
	}
	for folder, all := range comments {
		written := slices.DeleteFunc(slices.Clone(all), func(c string) bool { return c == "" })
		if len(written) != 1 {
			t.Errorf("%s has %d package comments: write one", folder, len(written))
		}
	}
}

// notOfTheProject is what would name the place where the code was written.
var notOfTheProject = regexp.MustCompile(`(^|[^a-z./])/(work|root|home)/[a-z]`)

func TestTheProjectNamesNoMachine(t *testing.T) {
	t.Parallel()
	for _, f := range sources(t) {
		if f.folder == "." {
			continue
		}
		text, err := os.ReadFile(f.path)
		if err != nil {
			t.Fatal(err)
		}
		if at := notOfTheProject.Find(text); at != nil {
			t.Errorf("%s holds an absolute path: %q", f.path, at)
		}
	}
}

// sources reads every Go file with go/parser rather than go list: a test that
// shells out would be served from the test cache after the code has changed.
func sources(t *testing.T) []file {
	t.Helper()
	var all []file
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && p != "." && (strings.HasPrefix(name, ".") || slices.Contains([]string{"testdata", "node_modules", "build", "data", "bin"}, name)) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		f, err := parse(p)
		all = append(all, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("found %d Go files: the walk is broken", len(all))
	}
	return all
}

func parse(p string) (file, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ImportsOnly|parser.ParseComments)
	if err != nil {
		return file{}, fmt.Errorf("parse %s: %w", p, err)
	}
	f := file{
		path:   filepath.ToSlash(p),
		folder: filepath.ToSlash(filepath.Dir(p)),
		pkg:    parsed.Name.Name,
		test:   strings.HasSuffix(p, "_test.go"),
	}
	if parsed.Doc != nil && !isDirective(parsed.Doc) {
		f.comment = parsed.Doc.Text()
	}
	for _, imp := range parsed.Imports {
		f.imports = append(f.imports, strings.Trim(imp.Path.Value, `"`))
	}
	return f, nil
}

func isDirective(c *ast.CommentGroup) bool { return c.Text() == "" }

// rowOf finds the most specific row for a folder.
func rowOf(folder string) (row string, allowed []string) {
	folder, _, _ = strings.Cut(folder, "/internal/")
	if allowed, ok := mayImport[folder]; ok {
		return folder, allowed
	}
	for at := folder; at != "." && at != "/"; at = path.Dir(at) {
		if allowed, ok := mayImport[at+"/..."]; ok {
			return at + "/...", allowed
		}
	}
	return folder, nil
}

func matchesAny(patterns []string, folder string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		if p == "..." {
			return true
		}
		prefix, wild := strings.CutSuffix(p, "/...")
		return folder == prefix || wild && strings.HasPrefix(folder, prefix+"/")
	})
}
