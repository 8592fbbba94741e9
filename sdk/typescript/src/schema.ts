import { isArray, keys, stringify } from "./intrinsics.js";
import type { StandardSchema } from "./standard.js";

/** A JSON Schema, draft 2020-12. */
export type JsonSchema = Record<string, unknown>;

/** Whether a property must be there, may be left out, or is filled in when it is. */
export type Presence = "required" | "optional" | "default";

/** What a value of `s` is: a JSON Schema, and the TypeScript type that goes with it. */
export class Schema<Out = unknown, P extends Presence = "required", In = Out> {
  /** Only for the compiler; there is nothing in it. */
  declare readonly "~types": { readonly out: Out; readonly in: In; readonly presence: P };
  readonly json: JsonSchema;
  readonly presence: Presence;

  constructor(json: JsonSchema, presence: Presence = "required") {
    this.json = json;
    this.presence = presence;
  }

  /** A short label for forms. */
  title(title: string): this {
    return this.with({ title });
  }

  /** What people need to know to fill it in. */
  help(description: string): this {
    return this.with({ description });
  }

  examples(...examples: In[]): this {
    return this.with({ examples });
  }

  /** The property may be left out. */
  optional(): Schema<Out, "optional", In> {
    return new Schema<Out, "optional", In>(this.json, "optional");
  }

  /** The property may be left out, and has this value then. */
  default(value: In): Schema<Out, "default", In> {
    return new Schema<Out, "default", In>({ ...this.json, default: value }, "default");
  }

  /** `null` is allowed, too. */
  nullable(): Schema<Out | null, P, In | null> {
    return new Schema<Out | null, P, In | null>(nullable(this.json), this.presence);
  }

  protected with(more: JsonSchema): this {
    const again = Object.create(Object.getPrototypeOf(this)) as { json: JsonSchema; presence: Presence };
    // Title and description come first wherever they were said: it is what people read.
    again.json = { title: undefined, description: undefined, ...this.json, ...more };
    again.presence = this.presence;
    return again as unknown as this;
  }
}

export class StringSchema extends Schema<string> {
  /** The least number of characters. */
  min(minLength: number): this {
    return this.with({ minLength });
  }
  /** The largest number of characters. */
  max(maxLength: number): this {
    return this.with({ maxLength });
  }
  /** A regular expression that some part of the text must match; the host runs it as RE2, without look-around and back references. */
  pattern(pattern: RegExp | string): this {
    return this.with({ pattern: typeof pattern === "string" ? pattern : pattern.source });
  }
  format(format: "date-time" | "date" | "time" | "duration" | "email" | "hostname" | "ipv4" | "ipv6" | "uri" | "uri-reference" | "uuid" | (string & {})): this {
    return this.with({ format });
  }
}

export class NumberSchema extends Schema<number> {
  min(minimum: number): this {
    return this.with({ minimum });
  }
  max(maximum: number): this {
    return this.with({ maximum });
  }
}

export class ArraySchema<Out, In> extends Schema<Out[], "required", In[]> {
  /** The least number of items. */
  min(minItems: number): this {
    return this.with({ minItems });
  }
  /** The largest number of items. */
  max(maxItems: number): this {
    return this.with({ maxItems });
  }
  /** No two items are equal. */
  unique(): this {
    return this.with({ uniqueItems: true });
  }
}

export class ObjectSchema<S extends Shape> extends Schema<InferShape<S>, "required", InferShapeIn<S>> {
  /** Properties that are not named are allowed, too. */
  open(): this {
    return this.with({ additionalProperties: true });
  }
}

/** Properties by name. */
export type Shape = { readonly [name: string]: Schema<any, Presence, any> };

/** What describes an input: properties, a schema of `s`, or one of zod and other libraries of Standard Schema. */
export type AnySchema = Shape | Schema<any, Presence, any> | StandardSchema<any, any>;

type Flat<T> = { [K in keyof T]: T[K] } & {};

export type InferShape<S extends Shape> = Flat<
  { -readonly [K in keyof S as IsOptional<S[K]> extends true ? never : K]: OutOf<S[K]> } & {
    -readonly [K in keyof S as IsOptional<S[K]> extends true ? K : never]?: OutOf<S[K]> | undefined;
  }
>;

export type InferShapeIn<S extends Shape> = Flat<
  { -readonly [K in keyof S as IsRequired<S[K]> extends true ? K : never]: InOf<S[K]> } & {
    -readonly [K in keyof S as IsRequired<S[K]> extends true ? never : K]?: InOf<S[K]> | undefined;
  }
>;

type IsOptional<T> = T extends Schema<any, infer P, any> ? ([P] extends ["optional"] ? true : false) : false;
type IsRequired<T> = T extends Schema<any, infer P, any> ? ([P] extends ["required"] ? true : false) : false;
type OutOf<T> = T extends Schema<infer Out, any, any> ? Out : never;
type InOf<T> = T extends Schema<any, any, infer In> ? In : never;

/** The TypeScript type of a schema: `type Customer = Infer<typeof customer>`. */
export type Infer<S> =
  S extends Schema<infer Out, any, any> ? Out : S extends StandardSchema<any, infer Out> ? Out : S extends Shape ? InferShape<S> : unknown;

/** What may be given for a schema: properties with a default may be left out. */
export type InferIn<S> =
  S extends Schema<any, any, infer In> ? In : S extends StandardSchema<infer In, any> ? In : S extends Shape ? InferShapeIn<S> : unknown;

/** Builds JSON Schemas, draft 2020-12, and the TypeScript types that go with them. */
export const s = {
  string: (): StringSchema => new StringSchema({ type: "string" }),
  /** An integer. */
  int: (): NumberSchema => new NumberSchema({ type: "integer" }),
  number: (): NumberSchema => new NumberSchema({ type: "number" }),
  bool: (): Schema<boolean> => new Schema<boolean>({ type: "boolean" }),
  /** One of these texts. */
  enum: <const T extends readonly [string, ...string[]]>(...values: T): Schema<T[number]> => new Schema<T[number]>({ type: "string", enum: values }),
  /** Just this value. */
  literal: <const T extends string | number | boolean | null>(value: T): Schema<T> => new Schema<T>({ const: value }),
  array: <Out, In>(item: Schema<Out, Presence, In>): ArraySchema<Out, In> => new ArraySchema<Out, In>({ type: "array", items: item.json }),
  object: <const S extends Shape>(shape: S): ObjectSchema<S> => new ObjectSchema<S>(objectJson(shape)),
  /** An object with names that nobody knows beforehand. */
  record: <Out, In>(value: Schema<Out, Presence, In>): Schema<Record<string, Out>, "required", Record<string, In>> =>
    new Schema<Record<string, Out>, "required", Record<string, In>>({ type: "object", additionalProperties: value.json }),
  /** Any one of these. */
  union: <const T extends readonly [Schema<any>, Schema<any>, ...Schema<any>[]]>(...any: T): Schema<OutOf<T[number]>, "required", InOf<T[number]>> =>
    new Schema<OutOf<T[number]>, "required", InOf<T[number]>>({ anyOf: any.map((one) => one.json) }),
  /** Anything that has a JSON form. */
  any: (): Schema<any> => new Schema<any>({}),
  /** A JSON Schema of your own, and the type that goes with it. */
  json: <T = unknown>(schema: JsonSchema): Schema<T> => new Schema<T>(schema),
};

/** The JSON Schema of an object with these properties. */
export function objectJson(shape: Shape): JsonSchema {
  const properties: Record<string, JsonSchema> = {};
  const required: string[] = [];
  for (const name of keys(shape)) {
    const property = shape[name];
    if (!(property instanceof Schema)) {
      throw new TypeError(`the property ${stringify(name)} is not a schema: make one with s, such as s.string(), or give all of the input as one schema of your library`);
    }
    properties[name] = property.json;
    if (property.presence === "required") {
      required.push(name);
    }
  }
  return required.length > 0 ? { type: "object", properties, required } : { type: "object", properties };
}

function nullable(json: JsonSchema): JsonSchema {
  const { type, enum: values } = json;
  if (typeof type !== "string") {
    return keys(json).length === 0 ? json : { anyOf: [json, { type: "null" }] };
  }
  return { ...json, type: [type, "null"], ...(isArray(values) ? { enum: [...values, null] } : {}) };
}
