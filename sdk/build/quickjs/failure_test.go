package quickjs_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/cofferdam-run/cofferdam/runtime"
	"github.com/cofferdam-run/cofferdam/runtime/wasm"
)

// module is a prepared bundle.
type module struct{ *runtime.Module }

func (b bench) prepare(t *testing.T, script string) module {
	t.Helper()
	frozen, err := b.freeze(t.Context(), script)
	if err != nil {
		t.Fatal(err)
	}
	m, err := b.runtime.Prepare(t.Context(), frozen, runtime.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
	return module{m}
}

func (m module) action(t *testing.T, input string) []byte {
	t.Helper()
	result, err := m.Call(t.Context(), runtime.Call{Export: "action", Input: []byte(input), World: world(1), Host: host{}})
	if err != nil {
		t.Fatal(err)
	}
	return result.Output
}

func TestWhatADispatcherDoesNotCatchIsReported(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, test := range []struct {
		name, raw     string
		code, message string
		stack         string
	}{
		{"an error", `() => { null.x }`, "plugin_bug", "TypeError: cannot read property 'x' of null", "<input>:1:"},
		{"an error of a promise", `async () => { throw new RangeError("far") }`, "plugin_bug", "RangeError: far", "<input>:1:"},
		{"a string", `() => { throw "text" }`, "plugin_bug", "text", ""},
		{"nothing", `() => { throw undefined }`, "plugin_bug", "undefined", ""},
		{"half a pair", `() => { throw "\ud800\"\\\n" }`, "plugin_bug", "\ufffd\"\\\n", ""},
		{"a symbol", `() => { throw Symbol("s") }`, "plugin_bug", "something was thrown that has no text", ""},
		{"what throws when it is shown", `() => { throw { toString() { throw 1 } } }`, "plugin_bug", "something was thrown that has no text", ""},
		{"what throws when its stack is asked for", `() => { throw { toString: () => "t", get stack() { throw 1 } } }`, "plugin_bug", "t", ""},
		{"a stack that is cyclic", `() => { const o = { toString: () => "o" }; o.stack = o; throw o }`, "plugin_bug", "out of memory", ""},
		{"a promise that never settles", `() => new Promise(() => {})`, "plugin_bug", "deadlock: a promise never settles: nothing is left to run, and what the export returned is still pending", ""},
		{"a rejection that nobody handles", `() => { Promise.reject(new Error("floating")) }`, "plugin_bug", "Error: floating", "<input>:1:"},
		{"one error before another", `({ error }) => { error('{"code":"auth","message":"first"}'); throw 1 }`, "auth", "first", ""},
		{"an error and a deadlock", `({ error }) => { error('{"code":"auth","message":"first"}'); return new Promise(() => {}) }`, "auth", "first", ""},
		{"a cycle that is put out", `({ output }) => { const a = {}; a.a = a; output(JSON.stringify(a)) }`, "plugin_bug", "TypeError: circular reference", "<input>:1:"},
		{"too many random bytes", `({ random }) => random(65537)`, "plugin_bug", "RangeError: 65537 random bytes are not 0 to 65536", "random (native)"},
		{"memory", `() => { const a = []; for (;;) a.push(new Uint8Array(1e6)) }`, "plugin_bug", "InternalError: out of memory", ""},
		{"memory in small pieces", `() => { const a = []; for (;;) a.push({ a: [a.length] }) }`, "plugin_bug", "", ""},
		{"a recursion", `() => { function f() { return f() + 1 } f() }`, "plugin_bug", "RangeError: Maximum call stack size exceeded", "at f (<input>:1:"},
		{"a loop", `() => { for (;;); }`, "fuel_exhausted", "", ""},
		{"jobs without end", `() => { const f = () => queueMicrotask(f); f() }`, "fuel_exhausted", "", ""},
		{"a regular expression without end", `() => /(x+x+)+y/.test("x".repeat(64))`, "fuel_exhausted", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := b.probe
			if test.code == "fuel_exhausted" {
				m = b.short
			}
			_, err := callOf(t, m, world(1), map[string]string{"raw": test.raw})
			f := failure(t, err)
			if string(f.Code) != test.code || !strings.HasPrefix(f.Message, test.message) {
				t.Errorf("got %s: %q, want %s: %q", f.Code, f.Message, test.code, test.message)
			}
			if got := stackOf(t, f); !strings.Contains(got, test.stack) {
				t.Errorf("got the stack %q, want %q in it", got, test.stack)
			}
		})
	}
}

func TestRejectionsThatAreHandledAreNone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, code := range []string{
		`Promise.reject(1).catch(() => 2)`,
		`(async () => { const p = Promise.reject(1); await null; await null; try { await p } catch (e) { return 2 } })()`,
		`Promise.allSettled([Promise.reject(1), Promise.reject(2)]).then(a => a.length)`,
		`(async () => { try { await Promise.all([Promise.reject(1), (async () => { throw 2 })()]) } catch (e) { return 2 } })()`,
		`import("fs").catch(e => e instanceof TypeError && e.message.startsWith('cannot import "fs"') ? 2 : e.message)`,
	} {
		if got := b.value(t, code); got != "2" {
			t.Errorf("%s: got %s, want 2", code, got)
		}
	}
}

func TestDepthIsAnErrorThatCanBeCaught(t *testing.T) {
	t.Parallel()
	b := setup(t)
	nest := func(open, middle, end string) string {
		return fmt.Sprintf("new Function(%q.repeat(20000) + %q + %q.repeat(20000))()", open, middle, end)
	}
	for _, code := range []string{
		`(function f() { return f() + 1 })()`,
		`(function f() { [1].map(f) })()`,
		`(function f() { "a".replace(/a/, f) })()`,
		`(function f() { [2, 1].sort(f) })()`,
		`(function f() { JSON.stringify({ toJSON: f }) })()`,
		`(function f() { JSON.parse("[1]", f) })()`,
		`(function f() { Reflect.apply(f, null, []) })()`,
		`(function f() { f.bind(null)() })()`,
		`(function f() { new Map([[1, 1]]).forEach(f) })()`,
		`(function f() { structuredClone({ get a() { f() } }) })()`,
		`(function f() { new Headers({ a: "1" }).forEach(f) })()`,
		`(function f() { new URL({ toString: f }) })()`,
		`(function f() { call({ toString: f }, "") })()`,
		`(function f(...a) { f(...a, 1) })()`,
		`(async function f() { await f() })()`,
		`[...(function* f() { yield* f() })()]`,
		`const o = { get x() { return this.x } }; o.x`,
		`new (class A { constructor() { new A() } })`,
		`const p = new Proxy({}, { get: (t, k) => p[k] }); p.x`,
		`let p = {}; for (let i = 0; i < 20000; i++) p = new Proxy(p, {}); p.x`,
		`let a = []; for (let i = 0; i < 20000; i++) a = [a]; a.flat(Infinity)`,
		`let a = []; for (let i = 0; i < 20000; i++) a = [a]; String(a)`,
		`let C = Object; for (let i = 0; i < 3000; i++) C = class extends C {}; new C`,
		`JSON.parse("[".repeat(1e6))`,
		nest("(", "1", ")"), nest("[", "1", "]"), nest("!", "1", ""), nest("a=", "1", ""), nest("{", "", "}"), nest("a?b:", "1", ""),
	} {
		want := `["RangeError","Maximum call stack size exceeded"]`
		code := fmt.Sprintf("(async () => { try { return await eval(%q) } catch (e) { return [e.name, e.message] } })()", code)
		if got := b.value(t, code); got != want {
			t.Errorf("%s: got %s, want %s", code, got, want)
		}
	}
}

func TestMemoryIsAnErrorThatCanBeCaught(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, code := range []string{
		`let a = []; try { for (;;) a.push(new Uint8Array(1e6)) } catch (e) { a = null; String(e) }`,
		`let s = "x"; try { for (;;) s = [s, s].join(s) } catch (e) { s = null; String(e) }`,
		`let m = new Map(); try { for (let i = 0; ; i++) m.set(i, [i]) } catch (e) { m = null; String(e) }`,
	} {
		got := b.value(t, code)
		if got != `"InternalError: out of memory"` && got != `"InternalError: string too long"` {
			t.Errorf("%s: got %s, want it to be out of memory", code, got)
		}
	}
}

func TestLoadingFails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const mounted = `; __cofferdam_dispatch = () => {}`
	for _, test := range []struct{ name, script, message, stack string }{
		{"a syntax error", "let a = 1;\nlet b = ;", "SyntaxError: unexpected token in expression: ';'", "connector.js:2:"},
		{"an error", "\n\nfunction f() { null.x }\nf()", "TypeError: cannot read property 'x' of null", "at f (connector.js:3:"},
		{"a thrown string", `throw "text"`, "text", ""},
		{"no dispatcher", `1`, "the bundle does not set __cofferdam_dispatch to a function: is the connector mounted?", ""},
		{"a dispatcher that is none", `__cofferdam_dispatch = {}`, "the bundle does not set __cofferdam_dispatch to a function: is the connector mounted?", ""},
		{"nothing at all", ``, "the bundle does not set __cofferdam_dispatch to a function: is the connector mounted?", ""},
		{"waiting at the top level", `__cofferdam_dispatch = () => {}; (async () => { await new Promise(() => {}) })()`, "the connector is not loaded when its script ends: it waits for a promise at its top level", ""},
		{"a rejection at the top level", `__cofferdam_dispatch = () => {}; (async () => { throw new Error("late") })()`, "Error: late", "connector.js:1:"},
		{"a rejection that nobody handles", `Promise.reject(new Error("floating"))` + mounted, "Error: floating", "connector.js:1:"},
		{"a call of the host", `__cofferdam.call("http", "{}")` + mounted, `TypeError: the host function "http" was called while the connector was loaded: call it in an action, a webhook or a poll`, "connector.js:1:"},
		{"randomness", `__cofferdam.random(1)` + mounted, "TypeError: there is no randomness while the connector is loaded", "connector.js:1:"},
		{"randomness of crypto", `globalThis.id = crypto.randomUUID()` + mounted, "", ""},
		{"randomness that is caught", `try { crypto.getRandomValues(new Uint8Array(8)) } catch {}` + mounted, "the connector asks for random bytes while it is loaded, which would be the same in every call: ask inside of an action, a webhook or a poll", ""},
		{"recursion", `(function f() { f() })()`, "RangeError: Maximum call stack size exceeded", "connector.js:1:"},
		{"memory", `const a = []; for (;;) a.push(new Uint8Array(1e6))`, "InternalError: out of memory", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := b.freeze(t.Context(), test.script)
			f := failure(t, err)
			if f.Code != "plugin_bug" || !strings.HasPrefix(f.Message, test.message) {
				t.Errorf("got %s: %q, want plugin_bug: %q", f.Code, f.Message, test.message)
			}
			if got := stackOf(t, f); !strings.Contains(got, test.stack) {
				t.Errorf("got the stack %q, want %q in it", got, test.stack)
			}
		})
	}
}

func TestLogsWhileLoadingAreDropped(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := b.prepare(t, `const { call, output } = __cofferdam; call("log", '{"level":"info","message":"hello"}'); __cofferdam_dispatch = (i) => output(String(i))`)
	for index, export := range []string{"describe", "action", "webhook", "poll", "test", "confirm"} {
		result, err := m.Call(t.Context(), runtime.Call{Export: export, World: world(1), Host: host{}})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := string(result.Output), fmt.Sprint(index); got != want {
			t.Errorf("%s: got %s, want %s", export, got, want)
		}
	}
}

func TestCallsDoNotSeeEachOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const code = `kept.count++; Object.prototype.left = (Object.prototype.left || 0) + 1; Array.prototype.push = null; [kept.count, ({}).left]`
	for range 3 {
		if got, want := b.value(t, code), "[1,1]"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestRandomnessIsTheCalls(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const bytes = `.then(b => Array.from(new Uint8Array(b)))`
	for _, code := range []string{
		`crypto.randomUUID()`,
		`Array.from(crypto.getRandomValues(new Uint8Array(16)))`,
		`Array.from(new Uint8Array(random(16)))`,
		`crypto.subtle.generateKey({ name: "AES-GCM", length: 128 }, true, ["encrypt"]).then(k => crypto.subtle.exportKey("raw", k))` + bytes,
		`crypto.subtle.generateKey({ name: "HMAC", hash: "SHA-256" }, true, ["sign"]).then(k => crypto.subtle.exportKey("raw", k))` + bytes,
		`crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign"]).then(k => crypto.subtle.exportKey("pkcs8", k.privateKey))` + bytes,
	} {
		outputs := map[string]byte{}
		for seed := range byte(3) {
			for range 2 {
				result, err := b.call(t, world(seed), map[string]string{"code": code})
				if err != nil {
					t.Fatalf("%s: %v", code, err)
				}
				if before, ok := outputs[string(result.Output)]; ok && before != seed {
					t.Errorf("%s: seeds %d and %d give the same", code, before, seed)
				}
				outputs[string(result.Output)] = seed
			}
		}
		if len(outputs) != 3 {
			t.Errorf("%s: three seeds, twice each, gave %d outputs", code, len(outputs))
		}
	}
}

func TestEqualCallsAreEqual(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const code = `const m = new Map(); for (let i = 0; i < 500; i++) m.set({}, crypto.randomUUID()); JSON.parse(call("http", "1")); [...m.values()].sort()[0] + Date.now()`
	first, err := b.call(t, world(7), map[string]string{"code": code})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		again, err := b.call(t, world(7), map[string]string{"code": code})
		if err != nil {
			t.Fatal(err)
		}
		if string(first.Output) != string(again.Output) || first.Usage.Fuel != again.Usage.Fuel {
			t.Errorf("got %s for %d, and then %s for %d", first.Output, first.Usage.Fuel, again.Output, again.Usage.Fuel)
		}
	}
	if !json.Valid(first.Output) {
		t.Errorf("got %s, want JSON", first.Output)
	}
}

func TestMemoryMayRunOutAnywhereWhileLoading(t *testing.T) {
	t.Parallel()
	b := setup(t)
	low := int64(decode(t, b.engine).Memory.Min) * wasm.PageBytes
	loaded := false
	for pages := range int64(24) {
		limits := runtime.Limits{MemoryBytes: low + pages*wasm.PageBytes}
		_, err := b.runtime.Freeze(t.Context(), b.engine, limits, runtime.Freezing{Export: "load", Input: []byte(probe)})
		if err == nil {
			loaded = true
			continue
		}
		if loaded {
			t.Errorf("with %d pages more than it begins with it does not load, and did with less: %v", pages, err)
		}
		if f := failure(t, err); f.Code != "plugin_bug" && f.Code != "memory_exceeded" {
			t.Errorf("with %d pages more than it begins with: got %v, want it to say that there is no memory", pages, f)
		}
	}
	if !loaded {
		t.Error("24 pages are not enough to load")
	}
}

func TestMemoryMayRunOutAnywhereInACall(t *testing.T) {
	t.Parallel()
	b := setup(t)
	low := int64(decode(t, b.frozen).Memory.Min) * wasm.PageBytes
	for pages := range int64(6) {
		m, err := b.runtime.Prepare(t.Context(), b.frozen, runtime.Limits{MemoryBytes: low + pages*wasm.PageBytes})
		if err != nil {
			t.Fatal(err)
		}
		for _, raw := range []string{
			`() => { const a = []; for (;;) a.push({ a: [a.length] }) }`,
			`() => { let s = "x"; for (;;) s += s }`,
			`async () => { const a = []; for (;;) a.push(await { a }) }`,
			`({ error }) => { let s = "x"; try { for (;;) s += s } catch { error(s) } }`,
			`({ output }) => { let s = "ü"; try { for (;;) s += s } catch { output(s + "x") } throw new Error(s) }`,
		} {
			if _, err := callOf(t, m, world(1), map[string]string{"raw": raw}); failure(t, err).Code != "plugin_bug" {
				t.Errorf("with %d pages more, %s: got %v, want plugin_bug", pages, raw, err)
			}
		}
		if err := m.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
