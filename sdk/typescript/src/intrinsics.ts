// What this package needs of the language's globals, taken before the connector's own code runs: a connector that puts
// something else in their places has that for itself.

export const { parse, stringify } = JSON;
export const { keys, entries, create, defineProperty, getPrototypeOf } = Object;
export const { isArray } = Array;
export const { isInteger, isFinite } = Number;
export const { floor, max, min } = Math;
export const now = Date.now;
export const toText = String;
export const DateOf = Date;
export const ErrorOf = Error;
export const MapOf = Map;
export const SetOf = Set;
export const PromiseOf = Promise;
export const TypeErrorOf = TypeError;
export const Bytes = Uint8Array;
export const ArrayBufferOf = ArrayBuffer;
export const { isView } = ArrayBuffer;
export const encodePart = encodeURIComponent;
export const objectPrototype = Object.prototype;

const { toString, hasOwnProperty } = Object.prototype;

/** What kind of object v is, such as "[object Map]", whichever realm or polyfill has made it. */
export const tagOf = (v: unknown): string => toString.call(v);

export const hasOwn = (v: object, key: PropertyKey): boolean => hasOwnProperty.call(v, key);

interface Encoder {
  encode(text: string): Uint8Array;
}
interface Decoder {
  decode(bytes: Uint8Array): string;
}
const { TextEncoder: TextEncoderOf, TextDecoder: TextDecoderOf } = globalThis as unknown as {
  TextEncoder: new () => Encoder;
  TextDecoder: new (label: string, options?: { fatal?: boolean; ignoreBOM?: boolean }) => Decoder;
};

/** The UTF-8 of a text. */
export function encodeText(text: string): Uint8Array {
  return new TextEncoderOf().encode(text);
}

/** The text of UTF-8; what is none becomes U+FFFD. */
export function decodeText(bytes: Uint8Array): string {
  return new TextDecoderOf("utf-8", { ignoreBOM: true }).decode(bytes);
}

/** The text of UTF-8, or undefined if it is none. */
export function strictText(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoderOf("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** Whether v is an object that is no list. */
export function isObject(v: unknown): v is Record<string, unknown> {
  return typeof v === "object" && v !== null && !isArray(v);
}
