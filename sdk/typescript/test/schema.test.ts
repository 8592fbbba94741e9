import assert from "node:assert/strict";
import { test } from "node:test";
import { defineConnector, s, type Schema } from "../src/index.js";
import { mock } from "../src/testing.js";

const plain = (schema: Schema<any, any, any>) => JSON.parse(JSON.stringify(schema.json));

test("each kind of schema has its JSON Schema", () => {
  const cases: [Schema<any, any, any>, object][] = [
    [s.string().min(1).max(9).pattern(/^a+$/).format("email"), { type: "string", minLength: 1, maxLength: 9, pattern: "^a+$", format: "email" }],
    [s.int().min(0).max(10), { type: "integer", minimum: 0, maximum: 10 }],
    [s.number(), { type: "number" }],
    [s.bool().default(false), { type: "boolean", default: false }],
    [s.enum("a", "b"), { type: "string", enum: ["a", "b"] }],
    [s.literal(7), { const: 7 }],
    [s.array(s.int()).min(1).max(2).unique(), { type: "array", items: { type: "integer" }, minItems: 1, maxItems: 2, uniqueItems: true }],
    [s.record(s.bool()), { type: "object", additionalProperties: { type: "boolean" } }],
    [s.union(s.string(), s.int()), { anyOf: [{ type: "string" }, { type: "integer" }] }],
    [s.any(), {}],
    [s.json({ type: "string", contentEncoding: "base64" }), { type: "string", contentEncoding: "base64" }],
    [s.object({ a: s.string(), b: s.int().optional() }), { type: "object", properties: { a: { type: "string" }, b: { type: "integer" } }, required: ["a"] }],
    [s.object({}).open(), { type: "object", properties: {}, additionalProperties: true }],
  ];
  for (const [schema, want] of cases) {
    assert.deepEqual(plain(schema), want);
  }
});

test("null is allowed in addition", () => {
  assert.deepEqual(plain(s.string().nullable()), { type: ["string", "null"] });
  assert.deepEqual(plain(s.enum("a", "b").nullable()), { type: ["string", "null"], enum: ["a", "b", null] });
  assert.deepEqual(plain(s.union(s.string(), s.int()).nullable()), { anyOf: [{ anyOf: [{ type: "string" }, { type: "integer" }] }, { type: "null" }] });
  assert.deepEqual(plain(s.any().nullable()), {});
});

test("title and help come first, wherever they are said", () => {
  assert.equal(JSON.stringify(s.string().format("uri").help("Where it is.").title("URL").json), '{"title":"URL","description":"Where it is.","type":"string","format":"uri"}');
});

test("a schema does not change when another is made of it", () => {
  const email = s.string();
  email.optional();
  email.min(3).title("Email");
  assert.deepEqual(plain(email), { type: "string" });
  assert.equal(email.presence, "required");
});

test("a property that is no schema is named", () => {
  assert.throws(() => s.object({ email: "string" as never }), /the property "email" is not a schema/);
});

test("inputs allow what they name, outputs may have more", () => {
  const connector = defineConnector({ name: "a", version: "1.0.0" }).action("a", {
    input: { deep: s.object({ list: s.array(s.object({ x: s.int() })) }), free: s.object({}).open() },
    output: { y: s.object({ z: s.int() }) },
    run: () => ({ y: { z: 1 } }),
  });
  const [action] = mock(connector).manifest["actions"];
  assert.deepEqual(action.input, {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    type: "object",
    properties: {
      deep: {
        type: "object",
        properties: { list: { type: "array", items: { type: "object", properties: { x: { type: "integer" } }, required: ["x"], additionalProperties: false } } },
        required: ["list"],
        additionalProperties: false,
      },
      free: { type: "object", properties: {}, additionalProperties: true },
    },
    required: ["deep", "free"],
    additionalProperties: false,
  });
  assert.equal(action.output.additionalProperties, undefined);
  assert.equal(action.output.properties.y.additionalProperties, undefined);
});
