// What the sandbox has, tried in the sandbox: each action is a test, which throws if something is not as it should be.
// The actions of failing.ts throw always; sandbox_test.go knows what must come of them.
import { ConnectorError, defineConnector, s } from "@cofferdam/connector";
import { failing } from "./failing";

function same(got: unknown, want: unknown): void {
  const [a, b] = [JSON.stringify(got), JSON.stringify(want)];
  if (a !== b) {
    throw new Error(`got ${a}, want ${b}`);
  }
}

async function fails(f: () => unknown, message: RegExp): Promise<void> {
  try {
    await f();
  } catch (thrown) {
    if (!message.test(String(thrown))) {
      throw new Error(`got ${thrown}, want ${message}`);
    }
    return;
  }
  throw new Error(`it did not fail, want ${message}`);
}

const hex = (bytes: ArrayBuffer | Uint8Array) => Array.from(new Uint8Array(bytes as ArrayBuffer), (b) => b.toString(16).padStart(2, "0")).join("");
const utf8 = (text: string) => new TextEncoder().encode(text);

// Before any call: all calls begin with these.
const early = Math.random();
const loadedAt = Date.now();
let calls = 0;

const connector = defineConnector({
  name: "sandbox",
  version: "1.0.0",
  hosts: ["a.test", "b.test"],
  baseUrl: "https://a.test/v1",
  connection: { name: "a", auth: { type: "bearer" }, hosts: ["a.test"], fields: { site: s.string() } },
  config: { page: s.int().default(7) },
})
  .action("context", {
    input: { n: s.int().default(1) },
    run(ctx, input) {
      same([ctx.config.page, input.n, ctx.connection.site, ctx.attempt, ctx.idempotencyKey("x"), ++calls], [7, 1, "s", 1, "exe_1/x", 1]);
    },
  })
  .action("text", {
    run() {
      same(hex(utf8("é✨")), "c3a9e29ca8");
      same(new TextDecoder().decode(new Uint8Array([0xff, 65])), "\ufffdA");
      same(btoa("\xff\x00a"), "/wBh");
      same([...atob("/wBh")].map((c) => c.charCodeAt(0)), [255, 0, 97]);
      same(["é".normalize("NFD").length, "ǆ".toUpperCase(), /\p{L}/u.test("é")], [2, "Ǆ", true]);
    },
  })
  .action("textRefused", {
    async run() {
      await fails(() => btoa("✨"), /InvalidCharacterError/);
      await fails(() => atob("a"), /InvalidCharacterError/);
      await fails(() => new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array([0xff])), /TypeError/);
    },
  })
  .action("urls", {
    async run() {
      const url = new URL("../a?b=c d#e", "https://User@x.test:8080/q/r/s");
      same([url.href, url.host, url.searchParams.get("b")], ["https://User@x.test:8080/q/a?b=c%20d#e", "x.test:8080", "c d"]);
      url.searchParams.append("z", "é&");
      same(url.search, "?b=c+d&z=%C3%A9%26");
      same(String(new URLSearchParams({ a: "1 2", b: "é" })), "a=1+2&b=%C3%A9");
      same([...new URLSearchParams([["a", "1"], ["a", "2"]])], [["a", "1"], ["a", "2"]]);
      const params = url.searchParams;
      url.search = "?n=1";
      same([params.get("n"), [...params], url.searchParams === params], ["1", [["n", "1"]], true]);
      params.set("n", "2");
      url.href = "https://y.test/?n=2&m=3";
      same([url.search, params.get("m"), url.host], ["?n=2&m=3", "3", "y.test"]);
      same([URL.parse("nope"), URL.parse("/x", "https://a.test")?.pathname, URL.canParse("nope")], [null, "/x", false]);
      await fails(() => new URL("nope"), /TypeError/);
    },
  })
  .action("headers", {
    run() {
      const headers = new Headers({ "X-A": "1" });
      headers.append("x-a", "2");
      same([headers.get("X-A"), headers.has("x-b"), [...headers]], ["1, 2", false, [["x-a", "1, 2"]]]);
    },
  })
  .action("clones", {
    run() {
      const source = { at: new Date(0), map: new Map([[1, { a: 1 }]]), bytes: new Uint8Array([1]) };
      const copy = structuredClone(source);
      copy.map.get(1)!.a = 2;
      same([source.map.get(1)!.a, copy.at.getTime(), hex(copy.bytes)], [1, 0, "01"]);
    },
  })
  .action("digests", {
    async run() {
      const want = { "SHA-1": "a9993e364706816aba3e25717850c26c9cd0d89d", "SHA-256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" };
      for (const [name, digest] of Object.entries(want)) {
        same(hex(await crypto.subtle.digest(name, utf8("abc"))), digest);
      }
      same(hex(await crypto.subtle.digest("SHA-512", utf8("abc"))).slice(0, 16), "ddaf35a193617aba");
      same(hex(await crypto.subtle.digest({ name: "SHA-384" }, utf8("abc"))).slice(0, 16), "cb00753f45a35e8b");
    },
  })
  .action("hmac", {
    async run() {
      // RFC 4231, test case 2.
      const key = await crypto.subtle.importKey("raw", utf8("Jefe"), { name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]);
      const data = utf8("what do ya want for nothing?");
      const signature = await crypto.subtle.sign("HMAC", key, data);
      same(hex(signature), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
      same([await crypto.subtle.verify("HMAC", key, signature, data), await crypto.subtle.verify("HMAC", key, signature, utf8("x"))], [true, false]);
    },
  })
  .action("randomness", {
    async run() {
      const id = crypto.randomUUID();
      same(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id), true);
      same(crypto.randomUUID() === id, false);
      const words = crypto.getRandomValues(new Uint32Array(4));
      same(new Set(words).size > 1, true);
      await fails(() => crypto.getRandomValues(new Uint8Array(65537)), /at most 65536/);
      const draws = Array.from({ length: 1000 }, () => Math.random());
      same(draws.every((x) => x >= 0 && x < 1), true);
      const mean = draws.reduce((a, b) => a + b) / draws.length;
      same(mean > 0.45 && mean < 0.55, true);
    },
  })
  .action("draw", { run: () => [early, Math.random(), crypto.randomUUID(), Date.now() >= loadedAt] })
  .action("timers", {
    async run() {
      const order: unknown[] = [];
      await new Promise<void>((done) => {
        setTimeout((x: number) => order.push(x), 0, 1);
        clearTimeout(setTimeout(() => order.push("cleared")));
        setImmediate(() => order.push(2));
        queueMicrotask(() => order.push(3));
        setTimeout(done, 0);
      });
      same(order, [1, 2, 3]);
      await fails(() => setTimeout(() => {}, 50), /would never fire: wait with await ctx\.sleep/);
      await fails(() => setInterval(() => {}, 50), /define a poll/);
      same(typeof performance.now(), "number");
    },
  })
  .action("aborts", {
    async run() {
      const controller = new AbortController();
      const seen: string[] = [];
      controller.signal.addEventListener("abort", (e) => seen.push(e.type));
      const any = AbortSignal.any([controller.signal, AbortSignal.timeout(50)]);
      controller.abort();
      controller.abort("again");
      same([seen, controller.signal.aborted, any.aborted, (any.reason as Error).name], [["abort"], true, true, "AbortError"]);
      await fails(() => fetch("https://a.test/", { signal: any }), /AbortError/);
    },
  })
  .action("fetches", {
    async run() {
      const response = await fetch("https://a.test/echo?x=1", { method: "post", headers: { "X-A": "1" }, body: JSON.stringify({ a: 1 }), signal: AbortSignal.timeout(900) });
      const asked = (await response.clone().json()) as any;
      same([asked.connection, asked.method, asked.url, asked.headers, asked.body, asked.timeout_ms], ["a", "POST", "https://a.test/echo?x=1", { "x-a": ["1"] }, '{"a":1}', 900]);
      same([response.ok, response.status, response.headers.get("Content-Type"), response.url], [true, 200, "application/json", "https://a.test/echo?x=1"]);
      await response.text();
      await fails(() => response.text(), /read already/);
      const bytes = (await (await fetch(new Request("https://b.test/echo", { method: "PUT", body: new Uint8Array([255]) }))).json()) as any;
      same([bytes.connection ?? null, bytes.body_base64], [null, "/w=="]);
      const form = (await (await fetch("https://b.test/echo", { method: "POST", body: new URLSearchParams({ a: "b" }) })).json()) as any;
      same([form.headers["content-type"], form.body], [["application/x-www-form-urlencoded"], "a=b"]);
      same((await fetch("https://b.test/gone")).status, 404);
      same(hex(await (await fetch("https://b.test/bytes")).arrayBuffer()), "fffe00");
      await fails(() => fetch("https://b.test/x", { method: "POST", body: {} as never }), /JSON\.stringify/);
      await fails(() => fetch("https://c.test/"), /denied|http/);
      same([await new Response("x").text(), await Response.json({ a: 1 }).json(), new Response(null, { status: 204 }).ok], ["x", { a: 1 }, true]);
    },
  })
  .action("asks", {
    async run(ctx) {
      const { data } = await ctx.http.post<any>("/echo", { a: "é" }, { query: { q: [1, 2] } });
      same([data.connection, data.url, data.headers, data.body], ["a", "https://a.test/v1/echo?q=1&q=2", { "content-type": ["application/json"] }, '{"a":"é"}']);
      const [one, two] = await Promise.all([ctx.http.get<any>("/echo"), ctx.http.get<any>("https://b.test/echo")]);
      same([one.data.connection, two.data.connection ?? null], ["a", null]);
      await fails(() => ctx.http.get("https://b.test/gone"), /status 404/);
    },
  })
  .action("logs", {
    run(ctx) {
      const cyclic: any = {};
      cyclic.self = cyclic;
      console.log("a", { b: 1 }, [2], null, undefined, cyclic);
      console.error(new TypeError("x"));
      ctx.log.warn("w", { cyclic, big: 1n, f() {} });
    },
  })
  .action("language", {
    async run() {
      // What bundles of today count on.
      same([Object.groupBy([1, 2, 3], (n) => (n % 2 ? "odd" : "even")).odd, [3, 1].toSorted(), [1, 2].at(-1), "a-b".replaceAll("-", "+")], [[1, 3], [1, 3], 2, "a+b"]);
      same([new Set([1]).union(new Set([2])).size, Object.hasOwn({ a: 1 }, "a"), 10n ** 20n + "", "x".padStart(2)], [2, true, "100000000000000000000", " x"]);
      const all = await Promise.allSettled([Promise.resolve(1), Promise.reject(new Error("no"))]);
      same(all.map((one) => one.status), ["fulfilled", "rejected"]);
      async function* count() {
        yield 1;
        yield 2;
      }
      const seen: number[] = [];
      for await (const n of count()) {
        seen.push(n);
      }
      same([seen, new Function("a", "return a + 1")(1), new Date(0).toISOString(), new Date(0).getTimezoneOffset()], [[1, 2], 2, "1970-01-01T00:00:00.000Z", 0]);
    },
  })
  .action("deepErrors", {
    async run() {
      function down(n: number): number {
        return down(n + 1) + 1;
      }
      await fails(() => down(0), /stack|call/i);
      const many: unknown[] = [];
      await fails(() => {
        for (;;) {
          many.push(new Array(100_000).fill("x"));
        }
      }, /memory/);
      many.length = 0;
      same(new ConnectorError("retry", "m") instanceof Error, true);
    },
  });

export default failing(connector);
