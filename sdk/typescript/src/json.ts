import { ConnectorError } from "./error.js";
import { ErrorOf, SetOf, getPrototypeOf, isArray, isFinite, keys, objectPrototype, parse, stringify, tagOf, toText } from "./intrinsics.js";

/** Half of a surrogate pair, as JSON may escape it. */
const lone = /\\u[dD][89abAB][\da-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][\da-fA-F]{2})\\u[dD][c-fC-F]/;

/** The value of a JSON document. Half of a surrogate pair, for which UTF-8 has no form, becomes U+FFFD. */
export function decode(text: string): any {
  if ((text.includes("\\ud") || text.includes("\\uD")) && lone.test(text)) {
    return parse(text, (_, v: unknown) => (typeof v === "string" ? wellFormed(v) : v));
  }
  return parse(text);
}

function wellFormed(text: string): string {
  return text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd");
}

/**
 * How many values are looked at for what JSON would drop or change without a word: enough for what is wrong with the
 * first records of a list, and few enough to cost nothing.
 */
const LOOKED_AT = 256;

/** The JSON of a value. What has none is the error plugin_bug, which says where it is; nothing at all is `null`. */
export function encode(value: unknown, what: string): string {
  left = LOOKED_AT;
  if (isOdd(value)) {
    refuse(value, what, undefined);
  }
  try {
    return stringify(value) ?? "null";
  } catch (thrown) {
    return refuse(value, what, thrown);
  }
}

function refuse(value: unknown, what: string, thrown: unknown): never {
  const why = problem(value) ?? (thrown instanceof ErrorOf ? thrown.message : toText(thrown));
  throw new ConnectorError("plugin_bug", `${what} has no JSON form: ${why}`, { cause: thrown });
}

let left = 0;

/** Whether a value has something without a JSON form among its first parts: quick, because each output is asked. */
function isOdd(v: unknown): boolean {
  if (typeof v !== "object" || v === null) {
    return typeof v !== "string" && scalarProblem(v, "") !== undefined;
  }
  if (isArray(v)) {
    for (let i = 0; i < v.length && left-- > 0; i++) {
      if (isOdd(v[i])) {
        return true;
      }
    }
    return false;
  }
  if (typeof (v as { toJSON?: unknown }).toJSON === "function") {
    return false;
  }
  const prototype = getPrototypeOf(v);
  if (prototype !== objectPrototype && prototype !== null && oddObject(v, "") !== undefined) {
    return true;
  }
  for (const key of keys(v)) {
    if (left-- <= 0) {
      return false;
    }
    if (isOdd((v as Record<string, unknown>)[key])) {
      return true;
    }
  }
  return false;
}

/** Says where in a value is something without a JSON form. */
function problem(value: unknown): string | undefined {
  const above: unknown[] = [];
  const paths: string[] = [];
  const seen = new SetOf<unknown>();
  const visit = (v: unknown, path: string): string | undefined => {
    const at = path === "" ? "it" : path;
    if (typeof v !== "object" || v === null) {
      return scalarProblem(v, at);
    }
    const cycle = above.indexOf(v);
    if (cycle >= 0) {
      return `${at} is ${paths[cycle] === "" ? "the whole" : paths[cycle]} again, which is a cycle`;
    }
    if (seen.has(v) || typeof (v as { toJSON?: unknown }).toJSON === "function") {
      return undefined;
    }
    seen.add(v);
    above.push(v);
    paths.push(path);
    const found = oddObject(v, at) ?? visitMembers(v, path);
    above.pop();
    paths.pop();
    return found;
  };
  const visitMembers = (v: object, path: string): string | undefined => {
    for (const key of isArray(v) ? v.keys() : keys(v)) {
      const found = visit((v as Record<PropertyKey, unknown>)[key], join(path, key));
      if (found !== undefined) {
        return found;
      }
    }
    return undefined;
  };
  return visit(value, "");
}

function scalarProblem(v: unknown, at: string): string | undefined {
  switch (typeof v) {
    case "bigint":
      return `${at} is a BigInt: make it a number or a text`;
    case "function":
      return `${at} is a function`;
    case "symbol":
      return `${at} is a symbol`;
    case "number":
      return isFinite(v) ? undefined : `${at} is ${v}`;
    default:
      return undefined;
  }
}

/** What JSON.stringify makes an empty object of. */
function oddObject(v: object, at: string): string | undefined {
  if (isArray(v)) {
    return undefined;
  }
  const prototype = getPrototypeOf(v);
  if (prototype === null || prototype === objectPrototype) {
    return undefined;
  }
  switch (tagOf(v)) {
    case "[object Promise]":
      return `${at} is a Promise: await it`;
    case "[object Map]":
      return `${at} is a Map: make it an object with Object.fromEntries`;
    case "[object Set]":
      return `${at} is a Set: make it a list with [...set]`;
    default:
      return v instanceof ErrorOf ? `${at} is an Error: throw it, or return its message` : undefined;
  }
}

function join(path: string, key: string | number): string {
  if (typeof key === "number") {
    return `${path}[${key}]`;
  }
  if (!/^[A-Za-z_$][\w$]*$/.test(key)) {
    return `${path}[${stringify(key)}]`;
  }
  return path === "" ? key : `${path}.${key}`;
}
