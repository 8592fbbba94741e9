import assert from "node:assert/strict";
import { test } from "node:test";
import { fromBase64, toBase64 } from "../src/base64.js";
import { Answer, isHostOf, type WireResponse } from "../src/client.js";
import { ConnectorError, defineConnector, form, type HttpResponse } from "../src/index.js";
import { mock, type MockRequest, type Reply } from "../src/testing.js";

/** Runs one function of a connector against one answer. */
async function ask<T>(f: (http: import("../src/index.js").Http) => Promise<T>, reply: Reply = {}, more: object = {}): Promise<{ result: T; request: MockRequest }> {
  const host = mock(defineConnector({ name: "a", version: "1.0.0", hosts: ["a.test"], baseUrl: "https://a.test/v1", ...more }).action("a", { run: async (ctx) => void (kept = await f(ctx.http)) }), { http: () => reply });
  let kept: T | undefined;
  await host.action("a");
  return { result: kept as T, request: host.requests[0]! };
}

const answer = (wire: WireResponse) => new Answer<any>(wire);

test("statuses are errors that say what most APIs mean by them", () => {
  const want: Record<number, string | undefined> = { 200: undefined, 304: undefined, 400: "invalid_input", 401: "auth", 403: "auth", 404: "invalid_input", 408: "upstream_unavailable", 409: "invalid_input", 425: "rate_limited", 429: "rate_limited", 500: "upstream_unavailable", 503: "upstream_unavailable" };
  for (const [status, code] of Object.entries(want)) {
    assert.equal(answer({ status: Number(status) }).error()?.code, code, status);
  }
});

test("Retry-After is seconds, or a date that counts from the answer's own", () => {
  const cases: [Record<string, string[]>, number | undefined][] = [
    [{ "retry-after": ["17"] }, 17_000],
    [{ "retry-after": ["0"] }, undefined],
    [{ "retry-after": ["-1"] }, undefined],
    [{ "retry-after": ["99999999999"] }, 31_536_000_000],
    [{ "retry-after": ["soon"] }, undefined],
    [{ "retry-after": ["Mon, 02 Mar 2026 08:00:00 GMT"], date: ["Mon, 02 Mar 2026 07:59:50 GMT"] }, 10_000],
    [{ "retry-after": ["Mon, 02 Mar 2026 08:00:00 GMT"] }, undefined],
    [{}, undefined],
  ];
  for (const [headers, want] of cases) {
    assert.equal(answer({ status: 503, headers }).error()?.retryAfterMs, want, JSON.stringify(headers));
  }
});

test("the message has the beginning of the body", () => {
  assert.equal(answer({ status: 400, body: ` ${"x".repeat(400)}` }).error()?.message, `the API answered with status 400: ${"x".repeat(299)}...`);
  assert.equal(answer({ status: 400, body_base64: "//4=" }).error()?.message, "the API answered with status 400: \ufffd\ufffd");
});

test("a body is JSON, text and bytes; what is no JSON has changed", () => {
  const good = answer({ status: 200, body: '{"a":"\\ud83c"}' });
  assert.deepEqual(good.data, { a: "\ufffd" });
  assert.equal(good.data, good.data);
  assert.equal(good.text(), '{"a":"\\ud83c"}');
  assert.deepEqual([...answer({ status: 200, body: "é" }).bytes()], [0xc3, 0xa9]);
  assert.deepEqual([...answer({ status: 200, body_base64: "//4A" }).bytes()], [255, 254, 0]);
  assert.equal(answer({ status: 204 }).data, undefined);
  for (const body of ["", "<html>", '{"a":']) {
    assert.throws(() => answer({ status: 200, body }).data, { code: "contract_changed", message: /status 200/ });
  }
});

test("headers are read in whatever case, and links by their relation", () => {
  const a = answer({ status: 200, headers: { link: ['<https://a.test/?page=2,3>; rel="next", <https://a.test/?page=9>; title=x; rel=last'], "x-a": ["1", "2"] } });
  assert.deepEqual([a.headers.get("X-A"), a.headers.all("x-a"), a.headers.has("none"), [...a.headers].length], ["1", ["1", "2"], false, 3]);
  assert.deepEqual([a.link("next"), a.link("LAST"), a.link("prev")], ["https://a.test/?page=2,3", "https://a.test/?page=9", undefined]);
});

test("bodies are sent as what they are", async () => {
  const cases: [unknown, string, string | undefined][] = [
    [{ a: 1 }, '{"a":1}', "application/json"],
    [[1], "[1]", "application/json"],
    [null, "null", "application/json"],
    ["text", "text", undefined],
    [form({ a: "b c" }), "a=b%20c", "application/x-www-form-urlencoded"],
    [new URLSearchParams({ a: "b c" }), "a=b+c", "application/x-www-form-urlencoded"],
    [new TextEncoder().encode("é"), "é", undefined],
    [new TextEncoder().encode("é").buffer, "é", undefined],
    [undefined, "", undefined],
  ];
  for (const [body, text, type] of cases) {
    const { request } = await ask((http) => http.post("/x", body));
    assert.deepEqual([request.body, request.headers["content-type"]], [text, type]);
  }
  const { request } = await ask((http) => http.put("/x", new Uint8Array([255, 0])));
  assert.deepEqual([...request.bytes], [255, 0]);
  const own = await ask((http) => http.patch("/x", { a: 1 }, { headers: { "Content-Type": "application/merge-patch+json" } }));
  assert.deepEqual([own.request.method, own.request.headers["content-type"]], ["PATCH", "application/merge-patch+json"]);
  await assert.rejects(ask((http) => http.post("/x", { a: { b: 1n } })), { code: "plugin_bug", message: "http: the body has no JSON form: a.b is a BigInt: make it a number or a text" });
});

test("URLs are absolute, or follow the base", async () => {
  const cases: [string, string][] = [
    ["/x", "https://a.test/v1/x"],
    ["x", "https://a.test/v1/x"],
    ["", "https://a.test/v1"],
    ["?a=1", "https://a.test/v1?a=1&q=%C3%A9&n=1"],
    ["/x#f", "https://a.test/v1/x?q=%C3%A9&n=1#f"],
    ["https://a.test/y", "https://a.test/y"],
  ];
  for (const [url, want] of cases) {
    const { request } = await ask((http) => http.get(url, want.includes("q=") ? { query: { q: "é", n: 1, none: undefined, nil: null } } : {}));
    assert.equal(request.url, want);
  }
});

test("statuses can be allowed, and responses looked at first", async () => {
  const notFound = { status: 404, body: "no" };
  assert.equal((await ask((http) => http.get("/x", { allow: [404] }), notFound)).result.status, 404);
  assert.equal((await ask((http) => http.delete("/x", { allow: "any" }), { status: 500 })).result.ok, false);
  await assert.rejects(ask((http) => http.get("/x", { allow: [409] }), notFound), { code: "invalid_input", details: { status: 404 } });
  const refuse = () => new ConnectorError("auth", "no");
  assert.equal((await ask((http) => http.get("/x", { allow: [404] }), notFound, { checkResponse: refuse })).result.status, 404);
  const checkResponse = (r: HttpResponse<any>) => (r.data.ok ? undefined : new ConnectorError(r.data.error === "ratelimited" ? "rate_limited" : "invalid_input", r.data.error));
  await assert.rejects(ask((http) => http.get("/x"), { json: { ok: false, error: "ratelimited" } }, { checkResponse }), { code: "rate_limited", message: "ratelimited" });
  assert.equal((await ask((http) => http.get("/x"), { json: { ok: true } }, { checkResponse })).result.ok, true);
});

test("what the host turns down keeps its code, and when to ask again", async () => {
  await assert.rejects(ask((http) => http.get("/x"), new ConnectorError("network", "connection refused")), { code: "network", message: "http: connection refused", retryAfterMs: undefined });
  await assert.rejects(ask((http) => http.get("/x"), new ConnectorError("rate_limited", "later", { retryAfterMs: 42000 })), { code: "rate_limited", retryAfterMs: 42000 });
});

test("hosts of the manifest are found in URLs", () => {
  const config = { api: "https://Git.test:8443/api", host: "h.test" };
  const cases: [string, string, boolean][] = [
    ["a.test", "https://a.test/x", true],
    ["a.test", "https://A.test:443?x", true],
    ["a.test", "http://a.test/", false],
    ["a.test:80", "http://a.test", true],
    ["a.test", "https://b.test/", false],
    ["a.test", "https://a.test@b.test/", false],
    ["*.a.test", "https://b.a.test/", true],
    ["*.a.test", "https://a.test/", false],
    ["*.a.test", "https://ba.test/", false],
    ["{config.api}", "https://git.test:8443/x", true],
    ["{config.api}", "https://git.test/x", false],
    ["{config.host}", "https://h.test/x", true],
    ["{config.none}", "https://h.test/x", false],
    ["a.test", "mailto:x@a.test", false],
  ];
  for (const [pattern, url, want] of cases) {
    assert.equal(isHostOf(pattern, url, config), want, `${pattern} ${url}`);
  }
});

test("Base64 goes both ways", () => {
  for (let n = 0; n < 70; n++) {
    const bytes = Uint8Array.from({ length: n }, (_, i) => (i * 37 + n) & 255);
    const text = Buffer.from(bytes).toString("base64");
    assert.equal(toBase64(bytes), text);
    assert.deepEqual([...fromBase64(text)!], [...bytes]);
    assert.deepEqual([...fromBase64(` ${text.replace(/=+$/, "")}\n`)!], [...bytes]);
  }
  for (const bad of ["a", "a===", "ab_-", "====", "ab=c"]) {
    assert.equal(fromBase64(bad), undefined, bad);
  }
});
