import { define } from "./define.js";

// The engine's URLSearchParams takes texts only.

type Init = string | Iterable<readonly [string, string]> | Readonly<Record<string, string>>;

class Params extends URLSearchParams {
  constructor(init: Init = "") {
    const object = typeof init === "object" && init !== null;
    super(object ? "" : String(init));
    if (object) {
      const pairs = Symbol.iterator in init ? (init as Iterable<readonly [string, string]>) : Object.entries(init);
      for (const [name, value] of pairs) {
        this.append(String(name), String(value));
      }
    }
  }
  get [Symbol.toStringTag](): string {
    return "URLSearchParams";
  }
}
Object.defineProperty(Params, "name", { value: "URLSearchParams" });
define("URLSearchParams", Params);

// The engine's URL has no searchParams. These are live in both directions, as
// https://url.spec.whatwg.org/#dom-url-searchparams wants them.

const prototype = URL.prototype;
const { append, delete: remove, set, sort } = URLSearchParams.prototype;
const linked = new WeakMap<URL, URLSearchParams>();
const refilling = new WeakSet<URLSearchParams>();

/** Parameters that write what changes them into their URL. */
function link(url: URL): URLSearchParams {
  const params = new URLSearchParams(url.search);
  const changes = { append, delete: remove, set, sort };
  for (const [name, change] of Object.entries(changes)) {
    const value = (...args: [string, string]): void => {
      (change as (...args: unknown[]) => void).apply(params, args);
      if (!refilling.has(params)) {
        setSearch.call(url, params.toString());
      }
    };
    Object.defineProperty(params, name, { value, writable: true, configurable: true, enumerable: false });
  }
  linked.set(url, params);
  return params;
}

/** Makes the parameters what the URL has now. */
function refill(url: URL): void {
  const params = linked.get(url);
  if (params === undefined) {
    return;
  }
  refilling.add(params);
  for (const name of [...params.keys()]) {
    params.delete(name);
  }
  for (const [name, value] of new URLSearchParams(url.search)) {
    params.append(name, value);
  }
  refilling.delete(params);
}

function setter(name: "search" | "href"): (this: URL, value: string) => void {
  const property = Object.getOwnPropertyDescriptor(prototype, name)!;
  Object.defineProperty(prototype, name, {
    ...property,
    set(this: URL, value: string) {
      property.set!.call(this, value);
      refill(this);
    },
  });
  return property.set!;
}

const setSearch = setter("search");
setter("href");

Object.defineProperty(prototype, "searchParams", {
  get(this: URL): URLSearchParams {
    return linked.get(this) ?? link(this);
  },
  configurable: true,
  enumerable: true,
});

Object.defineProperty(URL, "parse", {
  value: (url: string, base?: string): URL | null => (URL.canParse(url, base) ? new URL(url, base) : null),
  writable: true,
  configurable: true,
});
