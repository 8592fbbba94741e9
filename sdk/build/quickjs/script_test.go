package quickjs_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestScriptsHaveTheWebsAPIs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const hex = `.then(b => Array.from(new Uint8Array(b), x => x.toString(16).padStart(2, "0")).join(""))`
	const encode = `new TextEncoder().encode`
	for _, test := range []struct{ name, code, want string }{
		{"URL", `new URL("../c?x=1#h", "https://user:pa@ex.com:8080/a/b/").href`, `"https://user:pa@ex.com:8080/a/c?x=1#h"`},
		{"URL of an international name", `new URL("https://例え.jp/ü").href`, `"https://xn--r8jz45g.jp/%C3%BC"`},
		{"URL that is wrong", `try { new URL("nowhere") } catch (e) { e.name }`, `"TypeError"`},
		{"URL.canParse", `[URL.canParse("https://a"), URL.canParse("a")]`, `[true,false]`},
		{"URLSearchParams", `const p = new URLSearchParams("a=1&b=%C3%BC"); p.append("c", "1 2"); p.toString()`, `"a=1&b=%C3%BC&c=1+2"`},
		{"URLSearchParams of a URL's query", `[...new URLSearchParams(new URL("https://a/?x=1&x=2").search)]`, `[["x","1"],["x","2"]]`},
		{"TextEncoder", `Array.from(` + encode + `("ü€😀"))`, `[195,188,226,130,172,240,159,152,128]`},
		{"TextDecoder", `new TextDecoder().decode(new Uint8Array([97, 255, 226, 130, 172]))`, `"a` + "\ufffd" + `€"`},
		{"TextDecoder that is strict", `try { new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array([255])) } catch (e) { e.name }`, `"TypeError"`},
		{"Headers", `const h = new Headers({ "X-A": "1" }); h.append("x-a", "2"); [h.get("X-a"), [...h.keys()]]`, `["1, 2",["x-a"]]`},
		{"structuredClone", `const a = { d: new Date(0), m: new Map([[1, new Set([2])]]) }; a.self = a; const c = structuredClone(a); [c.d.getTime(), [...c.m.get(1)], c.self === c, c !== a]`, `[0,[2],true,true]`},
		{"structuredClone of a function", `try { structuredClone(() => 1) } catch (e) { e.name }`, `"DataCloneError"`},
		{"SHA-256", `crypto.subtle.digest("SHA-256", ` + encode + `("abc"))` + hex, `"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"`},
		{"SHA-1", `crypto.subtle.digest("SHA-1", ` + encode + `("abc"))` + hex, `"a9993e364706816aba3e25717850c26c9cd0d89d"`},
		{
			"HMAC", `crypto.subtle.importKey("raw", ` + encode + `("key"), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]).then(k => crypto.subtle.sign("HMAC", k, ` + encode + `("data")))` + hex,
			`"5031fe3d989c6d1537a013fa6e739da23463fdaec3b70137d828e36ace221bd0"`,
		},
		{
			"AES-GCM", `(async () => { const k = await crypto.subtle.importKey("raw", new Uint8Array(16), "AES-GCM", false, ["encrypt", "decrypt"]), a = { name: "AES-GCM", iv: new Uint8Array(12) };
			const sealed = await crypto.subtle.encrypt(a, k, ` + encode + `("secret")); return [sealed.byteLength, new TextDecoder().decode(await crypto.subtle.decrypt(a, k, sealed))] })()`,
			`[22,"secret"]`,
		},
		{
			"ECDSA", `(async () => { const k = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]), a = { name: "ECDSA", hash: "SHA-256" }, d = new Uint8Array(3);
			const s = await crypto.subtle.sign(a, k.privateKey, d); return [await crypto.subtle.verify(a, k.publicKey, s, d), await crypto.subtle.verify(a, k.publicKey, s, new Uint8Array(4))] })()`,
			`[true,false]`,
		},
		{"atob and btoa", `[atob("aGk="), btoa("hi")]`, `["hi","aGk="]`},
		{"queueMicrotask", `new Promise(r => queueMicrotask(() => r(1)))`, `1`},
		{"DOMException", `new DOMException("m", "AbortError").name`, `"AbortError"`},
		{"the time of the call", `[Date.now(), new Date().toISOString(), performance.now()]`, `[1700000000000,"2023-11-14T22:13:20.000Z",0]`},
		{"UTC", `[new Date(2024, 6, 1).toISOString(), new Date(0).getTimezoneOffset()]`, `["2024-07-01T00:00:00.000Z",0]`},
		{"code from text", `[new Function("a", "return a + 1")(2), eval("1 + 1")]`, `[3,2]`},
		{"the source of functions", `(function abc() { return 1 }).toString()`, `"function abc() { return 1 }"`},
		{"no door", `[typeof __cofferdam, typeof __cofferdam_dispatch]`, `["undefined","undefined"]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, b.value(t, test.code)); diff != "" {
				t.Errorf("%s: -want +got\n%s", test.code, diff)
			}
		})
	}
}

func TestScriptsCallTheHost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, test := range []struct{ name, code, want string }{
		{"by name", `JSON.parse(call("http", '{"url":"ü😀"}'))`, `{"result":{"function":"http","request":{"url":"ü😀"}}}`},
		{"another name", `JSON.parse(call("state_get", "[]")).result.function`, `"state_get"`},
		{"with nothing", `JSON.parse(call("log", ""))`, `{"result":{"function":"log","request":null}}`},
		{"that is not linked", `try { call("charge", "{}") } catch (e) { [e.name, e.message] }`, `["TypeError","the host function \"charge\" is not linked: list it under functions"]`},
		{"with a megabyte", `JSON.parse(call("http", JSON.stringify("é".repeat(1 << 19)))).result.request.length`, `524288`},
		{"and what its conversion throws is thrown", `try { call("http", { toString() { throw "mine" } }) } catch (e) { e }`, `"mine"`},
		{"with a symbol", `try { call("http", Symbol()) } catch (e) { e.name }`, `"TypeError"`},
		{"a thousand times", `let n = 0; for (let i = 0; i < 1000; i++) n += call("http", JSON.stringify("x".repeat(20000))).length; n`, `20043000`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := b.value(t, test.code); got != test.want {
				t.Errorf("%s: got %s, want %s", test.code, got, test.want)
			}
		})
	}
}

func TestTextCrossesAsUTF8(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, test := range []struct{ name, code, want string }{
		{"of one to four bytes", `"aü€😀"`, "aü€😀"},
		{"a NUL byte", `"a\u0000b"`, "a\x00b"},
		{"the last of Unicode", `"\u{10ffff}"`, "\U0010ffff"},
		{"half a pair, the first", `"x\ud83dy"`, "x\ufffdy"},
		{"half a pair, the second", `"x\ude00"`, "x\ufffd"},
		{"the wrong way round", `"\ude00\ud83d"`, "\ufffd\ufffd"},
		{"beside half a pair", `"\ud83d😀퟿ඞ"`, "\ufffd😀퟿ඞ"},
		{"none", `""`, ""},
		{"that is Latin-1", `"ÿ".repeat(9)`, strings.Repeat("ÿ", 9)},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			result, err := b.call(t, world(1), map[string]string{"raw": "({ output }) => output(" + test.code + ")"})
			if err != nil {
				t.Fatal(err)
			}
			if got := string(result.Output); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestLargeTextCrosses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	// Lengths around the eight bytes that are copied at once, and a megabyte.
	for _, n := range []int{0, 1, 7, 8, 9, 1 << 20} {
		text := strings.Repeat("ü", n)
		result, err := b.call(t, world(1), map[string]string{"code": "JSON.parse(input()).text", "text": text})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := string(result.Output), `"`+text+`"`; got != want {
			t.Errorf("of %d bytes, %d came back", len(want), len(got))
		}
	}
}

func TestInputThatIsNotUTF8IsReplaced(t *testing.T) {
	t.Parallel()
	b := setup(t)
	module := b.prepare(t, `const { input, output } = __cofferdam; __cofferdam_dispatch = () => output(escape(input()))`)
	for input, want := range map[string]string{
		"a\xffb":       "a%uFFFDb",
		"\xe2\x82":     "%uFFFD%uFFFD",
		"\xf0\x9f\x98": "%uFFFD%uFFFD%uFFFD",
		"\x00":         "%00",
	} {
		if got := string(module.action(t, input)); got != want {
			t.Errorf("%q: got %s, want %s", input, got, want)
		}
	}
}
