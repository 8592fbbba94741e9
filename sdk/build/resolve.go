package build

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

// instead says what a connector uses in place of a module of Node's. Those without
// an entry of their own have the one of "".
func instead(module string) string {
	const web = "use fetch, or ctx.http, which knows the connection's credential"
	switch module {
	case "crypto":
		return "use the global crypto: crypto.randomUUID(), crypto.getRandomValues() and crypto.subtle (digests and HMAC)"
	case "http", "https", "http2", "net", "tls", "dgram", "dns", "undici", "inspector":
		return web
	case "fs":
		return "import data as a module instead (import data from \"./data.json\"), and keep what lasts with ctx.state"
	case "buffer":
		return "use Uint8Array with TextEncoder, TextDecoder, atob and btoa"
	case "url", "querystring", "punycode":
		return "use the globals URL and URLSearchParams"
	case "util":
		return "use the globals TextEncoder, TextDecoder and structuredClone"
	case "timers":
		return "use ctx.sleep, which waits without holding memory"
	case "process", "os", "child_process", "cluster", "worker_threads", "async_hooks", "perf_hooks":
		return "a connector is configured through ctx.config, and has no process, threads or environment"
	case "events", "assert", "string_decoder", "path", "stream":
		return "install a package of that purpose from npm that runs in browsers, such as " + map[string]string{
			"events": "events", "assert": "assert", "string_decoder": "string_decoder", "path": "path-browserify", "stream": "readable-stream",
		}[module]
	case "zlib":
		return "use a package that runs in browsers, such as fflate"
	default:
		return "use what the web platform has, or a package that runs in browsers"
	}
}

// builtins are the modules that are part of Node
// (<https://nodejs.org/api/modules.html#built-in-modules>).
func builtins() []string {
	return []string{
		"assert", "async_hooks", "buffer", "child_process", "cluster", "console", "constants", "crypto", "dgram",
		"diagnostics_channel", "dns", "domain", "events", "fs", "http", "http2", "https", "inspector", "module", "net",
		"os", "path", "perf_hooks", "process", "punycode", "querystring", "readline", "repl", "stream", "string_decoder",
		"sys", "timers", "tls", "trace_events", "tty", "url", "util", "v8", "vm", "wasi", "worker_threads", "zlib",
	}
}

// again marks a question of this plugin's own.
type again struct{}

// builtinPlugin refuses modules of Node's, unless npm has put a package of the name
// in place, or the importing package does without in browsers.
func (b *bundler) builtinPlugin() api.Plugin {
	filter := "^(node:.*|(" + strings.Join(builtins(), "|") + ")(/.*)?)$"
	return api.Plugin{Name: "cofferdam-builtin", Setup: func(build api.PluginBuild) {
		build.OnResolve(api.OnResolveOptions{Filter: filter}, func(a api.OnResolveArgs) (api.OnResolveResult, error) {
			if _, asked := a.PluginData.(again); asked {
				return api.OnResolveResult{}, nil
			}
			if a.Kind == api.ResolveEntryPoint {
				return api.OnResolveResult{}, nil
			}
			found := build.Resolve(a.Path, api.ResolveOptions{
				Importer: a.Importer, Namespace: a.Namespace, ResolveDir: a.ResolveDir, Kind: a.Kind, PluginData: again{},
			})
			if len(found.Errors) == 0 && !found.External {
				return api.OnResolveResult{}, nil
			}
			return api.OnResolveResult{Errors: []api.Message{b.refuseBuiltin(a)}}, nil
		})
	}}
}

// refuseBuiltin says who imports a module of Node's and what to do about it.
func (b *bundler) refuseBuiltin(a api.OnResolveArgs) api.Message {
	module, _, _ := strings.Cut(strings.TrimPrefix(a.Path, "node:"), "/")
	importer := b.relative(a.Importer)
	text := fmt.Sprintf("%q is a part of Node.js, and a connector does not run in Node", a.Path)
	hint := instead(module)
	if name, _, _ := packageOf(importer); name != "" {
		text = fmt.Sprintf("the package %q imports %q, a part of Node.js, and a connector does not run in Node", name, a.Path)
		hint = fmt.Sprintf("choose a package that runs in browsers, or a build of %s for them; in place of %s: %s", name, a.Path, hint)
	}
	return api.Message{Text: text, Detail: hinted{hint: hint}}
}

// hinted is the Detail of a message that is this program's own.
type hinted struct{ hint string }

// relative is a path as a problem has it.
func (b *bundler) relative(file string) string { return relative(b.project.root, file) }

func relative(root, file string) string {
	if !filepath.IsAbs(file) {
		return filepath.ToSlash(file)
	}
	r, err := filepath.Rel(root, file)
	if err != nil {
		return filepath.ToSlash(file)
	}
	return filepath.ToSlash(r)
}

// problems puts the bundler's errors into this program's words, each once.
func (b *bundler) problems(messages []api.Message) []Problem {
	var problems []Problem
	for _, m := range messages {
		p := b.problem(m)
		if !slices.ContainsFunc(problems, func(q Problem) bool { return q.String() == p.String() }) {
			problems = append(problems, p)
		}
	}
	return problems
}

// warnings are those about the author's own files: nobody can mend a package's.
func (b *bundler) warnings(messages []api.Message) []Problem {
	var own []Problem
	for _, p := range b.problems(messages) {
		if name, _, _ := packageOf(p.File); name == "" {
			own = append(own, p)
		}
	}
	return own
}

func (b *bundler) problem(m api.Message) Problem {
	p := Problem{Text: plain(m.Text)}
	if l := m.Location; l != nil && !strings.HasPrefix(l.File, "cofferdam:") {
		p.File, p.Line = b.relative(l.File), l.Line
		p = p.marked(l.LineText, l.Column, l.Length)
	}
	if own, ok := m.Detail.(hinted); ok {
		p.Hint = own.hint
		return p
	}
	for _, n := range m.Notes {
		p.Notes = append(p.Notes, b.note(n))
	}
	b.explain(&p, m)
	return p
}

func (b *bundler) note(n api.Note) string {
	text := plain(n.Text)
	if n.Location != nil {
		text = fmt.Sprintf("%s:%d:%d: %s", b.relative(n.Location.File), n.Location.Line, n.Location.Column+1, text)
	}
	return text
}

// explain says what those errors mean that have a meaning of their own here.
func (b *bundler) explain(p *Problem, m api.Message) {
	switch text := m.Text; {
	case strings.HasPrefix(text, "Top-level await"):
		p.Text = "await outside of a function: a connector's files are evaluated once, when it is built, and nothing can be waited for then"
		p.Hint, p.Notes = "move it into the run of an action, a webhook or a poll; ctx.state keeps what is to be known later", nil
	case strings.HasPrefix(text, "No matching export") && strings.Contains(text, `import "default"`) && p.File == "":
		p.File, p.Text = b.project.entry, "the entry file exports no connector"
		p.Hint, p.Notes = `end it with: export default defineConnector({ ... })`, nil
	case strings.HasPrefix(text, "Could not resolve"):
		b.unresolved(p, text)
	case strings.HasPrefix(text, `No loader is configured for ".node"`):
		_, file, _ := strings.Cut(text, "files: ")
		p.Text, p.Notes = plain(file)+" is machine code for Node.js", nil
		p.Hint = "a connector is JavaScript only: choose a package without native code"
	}
}

// unresolved tells a package that was not installed from a mistyped one.
func (b *bundler) unresolved(p *Problem, text string) {
	_, quoted, _ := strings.Cut(text, `"`)
	specifier, _, _ := strings.Cut(quoted, `"`)
	if specifier == "" || strings.HasPrefix(specifier, ".") || strings.HasPrefix(specifier, "/") {
		return
	}
	name, _, _ := packageOf("node_modules/" + specifier + "/.")
	p.Notes = nil
	if _, installed := findUp(b.project.root, "node_modules/"+name); installed {
		p.Text = fmt.Sprintf("the package %q has no %q", name, specifier)
		p.Hint = "see \"exports\" in its package.json for what it has"
		return
	}
	p.Text = fmt.Sprintf("the package %q is not installed", name)
	pkg, err := readPackage(b.project.root)
	if err == nil && pkg.dependsOn(name) {
		p.Hint = "run: npm install"
		return
	}
	p.Hint = "run: npm install " + name
}
