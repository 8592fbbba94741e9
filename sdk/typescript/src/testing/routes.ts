import { fromBase64 } from "../base64.js";
import { ConnectorError } from "../error.js";
import { decodeText, encodeText } from "../intrinsics.js";

/** A request that the connector has made. */
export interface MockRequest {
  readonly method: string;
  readonly url: string;
  /** The URL's path. */
  readonly path: string;
  /** Parameters of the URL; of equal names the last. */
  readonly query: Readonly<Record<string, string>>;
  /** Headers with names in lower case, what the host adds among them. */
  readonly headers: Readonly<Record<string, string>>;
  /** The body as text. */
  readonly body: string;
  readonly bytes: Uint8Array;
  readonly connection: string | undefined;
  readonly idempotencyKey: string | undefined;
  /** The body as JSON. */
  json<T = any>(): T;
}

/** An answer of the third party. With neither, the body is empty. A ConnectorError is the host's own answer, such as network. */
export type Reply = { status?: number; headers?: { readonly [name: string]: string }; json?: unknown; body?: string | Uint8Array } | ConnectorError;

/** What answers: always the same, one after the other, or what a function says. */
export type Route = Reply | readonly Reply[] | ((request: MockRequest) => Reply);

export type Routes = { readonly [methodAndTarget: string]: Route } | ((request: MockRequest) => Reply | undefined);

/** A request as sdk/ABI.md has it. */
export interface WireRequest {
  method: string;
  url: string;
  headers?: Record<string, string[]>;
  body?: string;
  body_base64?: string;
  connection?: string;
  idempotency_key?: string;
  stream?: boolean;
  upload?: boolean;
  body_stream?: number;
}

export function mockRequest(wire: WireRequest): MockRequest {
  const { path, query } = partsOf(wire.url);
  const headers: Record<string, string> = {};
  for (const name of Object.keys(wire.headers ?? {})) {
    headers[name] = wire.headers![name]!.join(", ");
  }
  const bytes = wire.body_base64 === undefined ? encodeText(wire.body ?? "") : fromBase64(wire.body_base64)!;
  const body = wire.body ?? decodeText(bytes);
  return { method: wire.method, url: wire.url, path, query, headers, body, bytes, connection: wire.connection, idempotencyKey: wire.idempotency_key, json: () => JSON.parse(body) };
}

/** A request that a test writes, as sdk/ABI.md has it. */
export function toRequest(r: { method: string; url: string; headers?: Record<string, string>; json?: unknown; body?: string; idempotencyKey?: string }): WireRequest {
  const headers: Record<string, string[]> = {};
  for (const name of Object.keys(r.headers ?? {})) {
    headers[name.toLowerCase()] = [r.headers![name]!];
  }
  const body = r.json === undefined ? r.body : JSON.stringify(r.json);
  return { method: r.method, url: r.url, headers, ...(body === undefined ? {} : { body }), ...(r.idempotencyKey === undefined ? {} : { idempotency_key: r.idempotencyKey }) };
}

function partsOf(url: string): { path: string; query: Record<string, string> } {
  const found = /^[^:]+:\/\/[^/?#]*([^?#]*)(?:\?([^#]*))?/.exec(url);
  const query: Record<string, string> = {};
  for (const pair of (found?.[2] ?? "").split("&")) {
    const [name = "", ...value] = pair.split("=");
    if (name !== "") {
      query[plain(name)] = plain(value.join("="));
    }
  }
  return { path: found?.[1] || "/", query };
}

function plain(text: string): string {
  return decodeURIComponent(text.replaceAll("+", " "));
}

/** Finds what answers a request. */
export class Router {
  readonly #routes: Routes | undefined;
  readonly #used = new Map<string, number>();

  constructor(routes: Routes | undefined) {
    this.#routes = routes;
  }

  /** The answer, or why there is none. */
  answer(request: MockRequest): Reply | { unexpected: string } {
    const asked = `${request.method} ${request.url}`;
    if (typeof this.#routes === "function") {
      return this.#routes(request) ?? { unexpected: `the connector asked for ${asked}, and the function http gives no answer` };
    }
    const routes = this.#routes ?? {};
    const name = Object.keys(routes).find((one) => matches(one, request));
    if (name === undefined) {
      const all = Object.keys(routes);
      return { unexpected: `the connector asked for ${asked}${bodyOf(request)}, and no route answers: ${all.length > 0 ? `there are ${all.join(", ")}` : "the option http has none"}` };
    }
    const route = routes[name]!;
    if (typeof route === "function") {
      return route(request);
    }
    if (!Array.isArray(route)) {
      return route as Reply;
    }
    const n = this.#used.get(name) ?? 0;
    this.#used.set(name, n + 1);
    return (route as readonly Reply[])[n] ?? { unexpected: `the connector asked for ${asked} ${n + 1} times, and the route ${name} has ${route.length} answers` };
  }
}

function bodyOf(request: MockRequest): string {
  return request.body === "" ? "" : ` with ${request.body.slice(0, 300)}`;
}

/** Whether a route such as "GET /user", "POST https://a.test/*" or "* *" is for a request. */
function matches(route: string, request: MockRequest): boolean {
  const [method = "", target = ""] = route.trim().split(/\s+/, 2);
  if (method !== "*" && method.toUpperCase() !== request.method) {
    return false;
  }
  const [beforeQuery = "", query] = request.url.split("#")[0]!.split("?");
  const asked = target.startsWith("/") ? request.path : beforeQuery;
  const full = target.includes("?") ? `${asked}?${query ?? ""}` : asked;
  const pattern = target.split("*").map((text) => text.replace(/[\\^$.|?+()[\]{}]/g, "\\$&"));
  return new RegExp(`^${pattern.join(".*")}$`).test(full);
}
