import { fromBase64, toBase64 } from "./base64.js";
import { ConnectorError } from "./error.js";
import { ArrayBufferOf, Bytes, DateOf, ErrorOf, decodeText, encodePart, encodeText, isArray, isObject, isView, keys, strictText, tagOf, toText } from "./intrinsics.js";
import { decode, encode } from "./json.js";

/** A body on its way through JSON: text where it can be. */
export interface WireBody {
  body?: string | undefined;
  body_base64?: string | undefined;
}

/** A body that came from the host. */
export class Content {
  readonly #wire: WireBody;

  constructor(wire: WireBody) {
    this.#wire = wire;
  }
  get empty(): boolean {
    return !this.#wire.body && !this.#wire.body_base64;
  }
  bytes(): Uint8Array {
    return this.#wire.body_base64 === undefined ? encodeText(this.#wire.body ?? "") : (fromBase64(this.#wire.body_base64) ?? new Bytes(0));
  }
  text(): string {
    return this.#wire.body ?? decodeText(this.bytes());
  }
  /** The body as JSON; `failed` makes the error if it is none. */
  json(failed: (why: string) => ConnectorError): unknown {
    try {
      return decode(this.text());
    } catch (thrown) {
      throw failed(thrown instanceof ErrorOf ? thrown.message : toText(thrown));
    }
  }
  wire(): WireBody {
    return this.#wire;
  }
}

/** A body of the type application/x-www-form-urlencoded. Make it with `form`. */
export class FormBody {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/**
 * A form to send: `form({ amount: 100, metadata: { order: "1001" }, expand: ["customer"] })` is
 * `amount=100&metadata[order]=1001&expand[0]=customer`, encoded. `undefined` is left out, `null` is empty.
 */
export function form(values: { readonly [name: string]: unknown }): FormBody {
  const parts: string[] = [];
  const add = (name: string, value: unknown): void => {
    if (isArray(value)) {
      value.forEach((one, i) => add(`${name}[${i}]`, one));
    } else if (isObject(value) && !(value instanceof DateOf)) {
      keys(value).forEach((key) => add(`${name}[${key}]`, value[key]));
    } else if (value !== undefined) {
      parts.push(`${encodePart(name)}=${encodePart(value === null ? "" : value instanceof DateOf ? value.toISOString() : toText(value))}`);
    }
  };
  keys(values).forEach((name) => add(name, values[name]));
  return new FormBody(parts.join("&"));
}

/** What is sent of a body, and the type that it has by itself. */
export function sent(body: unknown): { wire: WireBody; type?: string } {
  if (body === undefined) {
    return { wire: {} };
  }
  if (typeof body === "string") {
    return { wire: { body } };
  }
  if (body instanceof FormBody) {
    return { wire: { body: body.text }, type: "application/x-www-form-urlencoded" };
  }
  if (body instanceof ArrayBufferOf) {
    return { wire: ofBytes(new Bytes(body)) };
  }
  if (isView(body)) {
    return { wire: ofBytes(new Bytes(body.buffer, body.byteOffset, body.byteLength)) };
  }
  if (tagOf(body) === "[object URLSearchParams]") {
    return { wire: { body: toText(body) }, type: "application/x-www-form-urlencoded" };
  }
  return { wire: { body: encode(body, "http: the body") }, type: "application/json" };
}

function ofBytes(bytes: Uint8Array): WireBody {
  const body = strictText(bytes);
  return body === undefined ? { body_base64: toBase64(bytes) } : { body };
}
