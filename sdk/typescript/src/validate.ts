import { ConnectorError } from "./error.js";
import { create, isArray, isObject, keys, parse, stringify, toText } from "./intrinsics.js";
import { Schema, objectJson, type AnySchema, type JsonSchema, type Shape } from "./schema.js";
import type { StandardIssue, StandardSchema } from "./standard.js";

/** The dialect, as https://json-schema.org/specification names it. */
const DRAFT = "https://json-schema.org/draft/2020-12/schema";

export function isStandard(schema: AnySchema): schema is StandardSchema {
  return typeof (schema as Partial<StandardSchema>)["~standard"]?.validate === "function";
}

/**
 * The JSON Schema of what an author gives. Of an input, objects have no other properties than those named; what a
 * library of Standard Schema does not tell is anything.
 */
export function jsonSchemaOf(schema: AnySchema, way: "input" | "output"): JsonSchema {
  if (isStandard(schema)) {
    return ofLibrary(schema, way);
  }
  const json = schema instanceof Schema ? schema.json : objectJson(schema as Shape);
  return { $schema: DRAFT, ...(way === "input" ? close(json) : json) };
}

function ofLibrary(schema: StandardSchema, way: "input" | "output"): JsonSchema {
  try {
    return portable({ $schema: DRAFT, ...schema["~standard"].jsonSchema?.[way]({ target: "draft-2020-12" }) }) as JsonSchema;
  } catch {
    return { $schema: DRAFT }; // It has something that JSON Schema cannot say; validate will.
  }
}

/**
 * A library's schema without the patterns that the host cannot run: it has RE2, without look-around and back references.
 * The library checks them in the sandbox.
 */
function portable(json: unknown): unknown {
  if (isArray(json)) {
    return json.map(portable);
  }
  if (!isObject(json)) {
    return json;
  }
  const out: JsonSchema = {};
  for (const keyword of keys(json)) {
    const value = json[keyword];
    if (keyword !== "pattern" || typeof value !== "string" || !/\(\?<?[=!]|\\[1-9k]|\\u/.test(value)) {
      out[keyword] = portable(value);
    }
  }
  return out;
}

/** The schema with objects that allow only the properties that they name. */
function close(json: JsonSchema): JsonSchema {
  const out: JsonSchema = { ...json };
  if (isObject(json["properties"])) {
    const properties: JsonSchema = create(null);
    for (const name of keys(json["properties"])) {
      properties[name] = close(json["properties"][name] as JsonSchema);
    }
    out["properties"] = properties;
    out["additionalProperties"] ??= false;
  }
  for (const keyword of ["items", "additionalProperties"]) {
    if (isObject(out[keyword])) {
      out[keyword] = close(out[keyword]);
    }
  }
  if (isArray(json["anyOf"])) {
    out["anyOf"] = json["anyOf"].map((one) => close(one as JsonSchema));
  }
  return out;
}

/** Makes of a value what a function of the connector gets. */
export type Acceptor = (value: unknown) => unknown;

/**
 * Gives the function that adds defaults, or has the author's own library check the value if it is its schema. It is made
 * when the connector is loaded, so that calls need not look through the schema.
 */
export function acceptor(schema: AnySchema, what: string): Acceptor {
  if (isStandard(schema)) {
    return (value) => validated(schema, value, what);
  }
  const defaults = defaultsOf(schema instanceof Schema ? schema.json : objectJson(schema as Shape));
  return (value) => fill(defaults, value ?? {});
}

async function validated(schema: StandardSchema, value: unknown, what: string): Promise<unknown> {
  const result = await schema["~standard"].validate(value);
  if (result.issues) {
    const issues = result.issues.map((issue) => ({ path: pathOf(issue), message: issue.message }));
    const text = issues.map((issue) => (issue.path === "" ? issue.message : `${issue.path}: ${issue.message}`)).join("; ");
    throw new ConnectorError("invalid_input", `${what} does not fit: ${text}`, { details: { issues } });
  }
  return result.value;
}

/** Adds the defaults of a schema to a value, in place. */
export function addDefaults(json: JsonSchema, value: unknown): void {
  fill(defaultsOf(json), value);
}

function pathOf(issue: StandardIssue): string {
  return (issue.path ?? []).map((part) => toText(typeof part === "object" ? part.key : part)).join(".");
}

/** What of a schema has defaults. */
interface Defaults {
  /** The JSON of the value's own. */
  own?: string;
  items?: Defaults;
  properties: (readonly [string, Defaults])[];
}

/** The defaults of a schema, or undefined where it has none: then a list of thousands is not walked through. */
function defaultsOf(json: JsonSchema): Defaults | undefined {
  const found: Defaults = { properties: [] };
  if (json["default"] !== undefined) {
    found.own = stringify(json["default"]);
  }
  const items = isObject(json["items"]) ? defaultsOf(json["items"]) : undefined;
  if (items !== undefined) {
    found.items = items;
  }
  if (isObject(json["properties"])) {
    for (const name of keys(json["properties"])) {
      const property = defaultsOf(json["properties"][name] as JsonSchema);
      if (property !== undefined) {
        found.properties.push([name, property]);
      }
    }
  }
  return found.own === undefined && found.items === undefined && found.properties.length === 0 ? undefined : found;
}

/** Adds defaults to a value, in place. */
function fill(defaults: Defaults | undefined, value: unknown): unknown {
  if (defaults === undefined) {
    return value;
  }
  if (isArray(value)) {
    value.forEach((one) => fill(defaults.items, one));
  }
  if (!isObject(value)) {
    return value;
  }
  for (const [name, property] of defaults.properties) {
    if (value[name] === undefined && property.own !== undefined) {
      value[name] = parse(property.own);
    }
    fill(property, value[name]);
  }
  return value;
}
