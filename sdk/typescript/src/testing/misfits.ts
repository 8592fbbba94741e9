import { isObject } from "../intrinsics.js";
import type { JsonSchema } from "../schema.js";

// The keywords that `s` writes. What a library's schema has beyond them is not looked at here: the library itself does
// that for inputs, and the host for everything.

/** Says where a value does not fit a schema. */
export function misfits(schema: JsonSchema, value: unknown, at = ""): string[] {
  const where = at === "" ? "the value" : at;
  if (Array.isArray(schema["anyOf"])) {
    const fits = schema["anyOf"].some((one) => misfits(one as JsonSchema, value, at).length === 0);
    return fits ? [] : [`${where} fits none of the ${schema["anyOf"].length} forms that are allowed`];
  }
  if ("const" in schema && schema["const"] !== value) {
    return [`${where} must be ${JSON.stringify(schema["const"])}`];
  }
  const types = typeof schema["type"] === "string" ? [schema["type"]] : (schema["type"] as string[] | undefined);
  if (types && !types.some((type) => isOf(type, value))) {
    return [`${where} must be ${types.join(" or ")}, and is ${JSON.stringify(value) ?? "missing"}`];
  }
  if (Array.isArray(schema["enum"]) && !schema["enum"].includes(value)) {
    return [`${where} must be one of ${JSON.stringify(schema["enum"])}, and is ${JSON.stringify(value)}`];
  }
  return [...bounds(schema, value, where), ...members(schema, value, at)];
}

function isOf(type: string, value: unknown): boolean {
  switch (type) {
    case "null":
      return value === null;
    case "array":
      return Array.isArray(value);
    case "object":
      return isObject(value);
    case "integer":
      return Number.isInteger(value);
    default:
      return typeof value === type;
  }
}

function bounds(schema: JsonSchema, value: unknown, where: string): string[] {
  const wrong: string[] = [];
  const check = (keyword: string, size: number, fits: (limit: number) => boolean, unit: string) => {
    const limit = schema[keyword];
    if (typeof limit === "number" && !fits(limit)) {
      wrong.push(`${where} has ${keyword} ${limit}${unit}, and is ${size}`);
    }
  };
  if (typeof value === "number") {
    check("minimum", value, (limit) => value >= limit, "");
    check("maximum", value, (limit) => value <= limit, "");
  }
  if (typeof value === "string") {
    const length = [...value].length;
    check("minLength", length, (limit) => length >= limit, " characters");
    check("maxLength", length, (limit) => length <= limit, " characters");
    if (typeof schema["pattern"] === "string" && !new RegExp(schema["pattern"], "u").test(value)) {
      wrong.push(`${where} must match ${schema["pattern"]}, and is ${JSON.stringify(value)}`);
    }
  }
  if (Array.isArray(value)) {
    check("minItems", value.length, (limit) => value.length >= limit, " items");
    check("maxItems", value.length, (limit) => value.length <= limit, " items");
  }
  return wrong;
}

function members(schema: JsonSchema, value: unknown, at: string): string[] {
  if (Array.isArray(value)) {
    return isObject(schema["items"]) ? value.flatMap((one, i) => misfits(schema["items"] as JsonSchema, one, `${at}[${i}]`)) : [];
  }
  if (!isObject(value)) {
    return [];
  }
  const properties = (schema["properties"] ?? {}) as Record<string, JsonSchema>;
  const more = schema["additionalProperties"];
  const join = (name: string) => (at === "" ? name : `${at}.${name}`);
  const missing = ((schema["required"] ?? []) as string[]).filter((name) => value[name] === undefined).map((name) => `${join(name)} is missing`);
  const wrong = Object.keys(value).flatMap((name) => {
    if (value[name] === undefined) {
      return [];
    }
    const property = Object.hasOwn(properties, name) ? properties[name] : undefined;
    if (property !== undefined) {
      return misfits(property, value[name], join(name));
    }
    if (more === false) {
      return [`${join(name)} is no property: there are ${Object.keys(properties).join(", ") || "none"}`];
    }
    return isObject(more) ? misfits(more, value[name], join(name)) : [];
  });
  return [...missing, ...wrong];
}
