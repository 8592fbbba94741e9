import assert from "node:assert/strict";
import { test } from "node:test";
import { failureOf } from "../src/failure.js";
import { ConnectorError } from "../src/index.js";
import { decode, encode } from "../src/json.js";

test("a ConnectorError is told as it is", () => {
  const failure = failureOf(new ConnectorError("rate_limited", "slow down", { retryAfterMs: 0.5, details: { status: 429 }, cause: new Error("behind") }));
  assert.deepEqual([failure.code, failure.message, failure.retry_after_ms, failure.details?.["status"]], ["rate_limited", "slow down", 1, 429]);
  assert.match(String(failure.details?.["stack"]), /failure\.test/);
  assert.deepEqual((failure.details?.["causes"] as any[]).map((c) => c.message), ["Error: behind"]);
});

test("whatever else is thrown is the connector's bug", () => {
  const cyclic: Record<string, unknown> = { a: 1 };
  cyclic["self"] = cyclic;
  const hostile = new Proxy({}, { getPrototypeOf() { throw new Error("no"); } });
  const cases: [unknown, RegExp][] = [
    [new TypeError("x is not a function"), /^TypeError: x is not a function$/],
    [new Error(""), /^Error$/],
    ["boom", /^the text "boom" was thrown: throw an Error/],
    [undefined, /^undefined was thrown/],
    [null, /^null was thrown/],
    [42, /^42 was thrown/],
    [10n, /^10 was thrown/],
    [Symbol("s"), /^Symbol\(s\) was thrown/],
    [() => 1, /^a function was thrown/],
    [{ code: 1 }, /^{"code":1} was thrown/],
    [cyclic, /^"\[object Object\]" was thrown/],
    [{ a: "x".repeat(1000) }, /^{"a":"x{100,300}\.\.\. was thrown/],
    [hostile, /^something was thrown that throws/],
  ];
  for (const [thrown, message] of cases) {
    const failure = failureOf(thrown);
    assert.equal(failure.code, "plugin_bug");
    assert.match(failure.message, message);
    assert.doesNotThrow(() => JSON.stringify(failure));
  }
});

test("the chain of causes is kept, and ends", () => {
  const a = new Error("a");
  const b = new ConnectorError("network", "b", { cause: a });
  const c = new Error("c", { cause: b });
  a.cause = c; // A circle.
  const causes = failureOf(c).details?.["causes"] as { message: string }[];
  assert.deepEqual(causes.slice(0, 3).map((one) => one.message), ["network: b", "Error: a", "Error: c"]);
  assert.equal(causes.length, 8);
  assert.deepEqual(failureOf(new Error("x", { cause: "text" })).details?.["causes"], [{ message: 'the text "text"' }]);
  assert.equal((failureOf(new AggregateError([new Error("1"), 2], "many")).details?.["errors"] as unknown[]).length, 2);
});

test("what is not there is explained", () => {
  const cases: [Error, RegExp][] = [
    [new ReferenceError("Buffer is not defined"), /use Uint8Array/],
    [new ReferenceError("process is not defined"), /ctx\.config/],
    [new ReferenceError("Intl is not defined"), /no locale data/],
    [new ReferenceError("XMLHttpRequest is not defined"), /ctx\.http/],
    [new Error('Dynamic require of "fs" is not supported'), /use import/],
  ];
  for (const [thrown, hint] of cases) {
    assert.match(failureOf(thrown).message, hint);
  }
  assert.equal(failureOf(new ReferenceError("toString is not defined")).message, "ReferenceError: toString is not defined");
});

test("details without a JSON form do not hide the failure", () => {
  const details: Record<string, unknown> = {};
  details["self"] = details;
  assert.equal(failureOf(new ConnectorError("x", "m", { details })).details?.["details"], "[object Object]");
  assert.equal(failureOf(new ConnectorError("x", "m", { details: "text" })).details?.["details"], "text");
});

test("an output without a JSON form is named by its place", () => {
  const cyclic: any = { list: [{ a: 1 }] };
  cyclic.list[0].parent = cyclic.list;
  const whole: any = {};
  whole.self = whole;
  const deep = { rows: Array.from({ length: 1000 }, (_, i) => ({ i })) } as any;
  deep.rows[999].big = 1n;
  const cases: [unknown, RegExp][] = [
    [cyclic, /list\[0\]\.parent is list again, which is a cycle$/],
    [whole, /self is the whole again/],
    [deep, /rows\[999\]\.big is a BigInt/],
    [{ "a b": { c: () => 1 } }, /\["a b"\]\.c is a function/],
    [{ n: NaN }, /n is NaN/],
    [{ p: Promise.resolve(1) }, /p is a Promise: await it/],
    [{ m: new Map() }, /m is a Map: make it an object/],
    [[new Set()], /\[0\] is a Set/],
    [{ e: new Error("x") }, /e is an Error/],
    [Symbol("x"), /it is a symbol/],
    [{ toJSON() { throw new Error("mine"); } }, /mine/],
  ];
  for (const [value, message] of cases) {
    assert.throws(() => encode(value, "the output"), (e: any) => e.code === "plugin_bug" && message.test(e.message) && e.message.startsWith("the output has no JSON form: "));
  }
});

test("what has a JSON form is written as JSON.stringify does", () => {
  const shared = { a: 1 };
  class Point { x = 1; }
  for (const value of [null, 1, "é", [1, undefined], { a: undefined, b: new Date(0) }, [shared, shared], new Point(), Object.create(null), { toJSON: () => 5 }]) {
    assert.equal(encode(value, "it"), JSON.stringify(value));
  }
  assert.equal(encode(undefined, "it"), "null");
});

test("half of a surrogate pair is read as U+FFFD", () => {
  assert.deepEqual(decode('["\\ud83d\\ude00", "\\ud83c", "\\uDE00x", "\\\\ud83c"]'), ["\u{1f600}", "\ufffd", "\ufffdx", "\\ud83c"]);
});
