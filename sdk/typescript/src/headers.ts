import type { RequestHeaders, ResponseHeaders } from "./http.js";
import { create, hasOwn, isArray, keys, toText } from "./intrinsics.js";

/** Headers as sdk/ABI.md has them: names in lower case to lists of values. */
export type WireHeaders = Record<string, string[]>;

/** Headers that came from the host, whose names are in lower case. */
export class HeaderMap implements ResponseHeaders {
  readonly #all: WireHeaders;

  constructor(all: WireHeaders | undefined) {
    this.#all = all ?? {};
  }
  get(name: string): string | undefined {
    return this.all(name)[0];
  }
  has(name: string): boolean {
    return this.all(name).length > 0;
  }
  all(name: string): string[] {
    const key = name.toLowerCase();
    return hasOwn(this.#all, key) ? this.#all[key]! : [];
  }
  wire(): WireHeaders {
    return this.#all;
  }
  *[Symbol.iterator](): Iterator<[string, string]> {
    for (const name of keys(this.#all)) {
      for (const value of this.all(name)) {
        yield [name, value];
      }
    }
  }
}

/** Headers with names in lower case; of equal ones the later win. */
export function lower(...some: (RequestHeaders | undefined)[]): WireHeaders {
  const out = create(null) as WireHeaders;
  for (const headers of some) {
    for (const name of keys(headers ?? {})) {
      const value = headers![name];
      if (value !== undefined) {
        out[name.toLowerCase()] = isArray(value) ? (value as readonly string[]).map(toText) : [toText(value)];
      }
    }
  }
  return out;
}
