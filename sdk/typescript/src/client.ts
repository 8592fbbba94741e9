import { Content, sent } from "./body.js";
import { ConnectorError, type Code } from "./error.js";
import { HeaderMap, lower, type WireHeaders } from "./headers.js";
import { ask, type Host } from "./host.js";
import type { Body, Http, HttpOptions, HttpRequest, HttpResponse, HttpStream, Query, RequestHeaders } from "./http.js";
import { Streamed, upload } from "./stream.js";
import { DateOf, ErrorOf, encodePart, floor, isArray, keys, max, min, stringify } from "./intrinsics.js";

/** What a connector says about its requests. */
export interface Manners {
  baseUrl: string | undefined;
  headers: RequestHeaders | undefined;
  check: ((response: HttpResponse<any>) => unknown) | undefined;
  /** The connection whose credential goes to a URL by itself. */
  connectionFor(url: string): string | undefined;
  /** What keys of this execution begin with. */
  keyPrefix: string;
}

/** An answer of the host function http. */
export interface WireResponse {
  status: number;
  headers?: WireHeaders;
  body?: string;
  body_base64?: string;
}

/** The `http` of a context. */
export class Client implements Http {
  readonly #host: Host;
  readonly #manners: Manners;

  constructor(host: Host, manners: Manners) {
    this.#host = host;
    this.#manners = manners;
  }

  get<T>(url: string, options?: HttpOptions): Promise<HttpResponse<T>> {
    return this.request<T>({ ...options, method: "GET", url });
  }
  post<T>(url: string, body?: Body, options?: HttpOptions): Promise<HttpResponse<T>> {
    return this.request<T>({ ...options, method: "POST", url, body });
  }
  put<T>(url: string, body?: Body, options?: HttpOptions): Promise<HttpResponse<T>> {
    return this.request<T>({ ...options, method: "PUT", url, body });
  }
  patch<T>(url: string, body?: Body, options?: HttpOptions): Promise<HttpResponse<T>> {
    return this.request<T>({ ...options, method: "PATCH", url, body });
  }
  delete<T>(url: string, options?: HttpOptions): Promise<HttpResponse<T>> {
    return this.request<T>({ ...options, method: "DELETE", url });
  }

  async request<T>(request: HttpRequest): Promise<HttpResponse<T>> {
    return this.#judged(request, this.exchange<T>(request));
  }

  #judged<T>(request: HttpRequest, response: Answer<T>): Answer<T> {
    const { allow } = request;
    if (!response.ok && (allow === "any" || allow?.includes(response.status))) {
      return response;
    }
    const wrong = this.#manners.check?.(response);
    if (wrong instanceof ErrorOf) {
      throw wrong;
    }
    const failed = response.error();
    if (failed !== undefined) {
      throw failed;
    }
    return response;
  }

  async stream(request: string | HttpRequest): Promise<HttpStream> {
    const asked = typeof request === "string" ? { url: request } : request;
    const streamed = new Streamed(this.#host, ask(this.#host, "http", { ...this.#wire(asked), stream: true }));
    const failed = streamed.error();
    if (failed !== undefined && asked.allow !== "any" && !asked.allow?.includes(streamed.status)) {
      streamed.close();
      throw failed;
    }
    return streamed;
  }

  async send<T>(request: HttpRequest, body: HttpStream | AsyncIterable<Uint8Array | string> | Iterable<Uint8Array | string>): Promise<HttpResponse<T>> {
    const wire = this.#wire({ ...request, body: undefined });
    const number = body instanceof Streamed ? body.handOver() : undefined;
    if (number !== undefined) {
      return this.#judged(request, new Answer<T>(ask(this.#host, "http", { ...wire, body_stream: number })));
    }
    return this.#judged(request, await upload<T>(this.#host, wire, body));
  }

  /** Sends a request, and takes whatever comes back. */
  exchange<T>(request: HttpRequest): Answer<T> {
    return new Answer<T>(ask(this.#host, "http", this.#wire(request)) as WireResponse);
  }

  #wire(request: HttpRequest): object {
    const url = withQuery(this.#absolute(request.url), request.query);
    const body = sent(request.body);
    const headers = lower(this.#manners.headers, body.type === undefined ? undefined : { "content-type": body.type }, request.headers);
    const { keyPrefix } = this.#manners;
    let key = request.idempotencyKey;
    if (key?.startsWith(keyPrefix)) {
      key = key.slice(keyPrefix.length);
    }
    return {
      connection: request.connection === false ? undefined : (request.connection ?? this.#manners.connectionFor(url)),
      method: request.method ?? "GET",
      url,
      headers: keys(headers).length > 0 ? headers : undefined,
      ...body.wire,
      timeout_ms: request.timeoutMs,
      idempotency_key: key,
      literal: request.literal,
    };
  }

  #absolute(url: string): string {
    if (url.includes("://") && /^[a-z][a-z0-9+.-]*:\/\//i.test(url)) {
      return url;
    }
    const { baseUrl } = this.#manners;
    if (baseUrl === undefined) {
      throw new ConnectorError("plugin_bug", `http: ${stringify(url)} is no absolute URL, and the connector has no baseUrl to put in front of it`);
    }
    const base = baseUrl.endsWith("/") ? baseUrl.replace(/\/+$/, "") : baseUrl;
    return url === "" || "/?#".includes(url[0]!) ? base + url : `${base}/${url}`;
  }
}

function withQuery(url: string, query: Query | undefined): string {
  if (query === undefined) {
    return url;
  }
  const parts: string[] = [];
  for (const name of keys(query)) {
    const value = query[name];
    for (const one of isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null) {
        parts.push(`${encodePart(name)}=${encodePart(one)}`);
      }
    }
  }
  if (parts.length === 0) {
    return url;
  }
  const [front, fragment] = url.split("#", 2);
  return `${front}${front!.includes("?") ? "&" : "?"}${parts.join("&")}${fragment === undefined ? "" : `#${fragment}`}`;
}

/** An answer to a request. */
export class Answer<T> implements HttpResponse<T> {
  readonly status: number;
  readonly headers: HeaderMap;
  readonly #content: Content;
  #data: { value: unknown } | undefined;

  constructor(wire: WireResponse) {
    this.status = wire.status;
    this.headers = new HeaderMap(wire.headers);
    this.#content = new Content(wire);
  }
  get ok(): boolean {
    return this.status < 400;
  }
  get data(): T {
    this.#data ??= { value: this.#decode() };
    return this.#data.value as T;
  }
  text(): string {
    return this.#content.text();
  }
  bytes(): Uint8Array {
    return this.#content.bytes();
  }
  link(rel: string): string | undefined {
    // https://www.rfc-editor.org/rfc/rfc8288#section-3
    for (const [, url, parameters] of this.headers.all("link").join(",").matchAll(/<([^>]*)>([^<]*)/g)) {
      const rels = /;\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,]+))/i.exec(parameters!);
      if ((rels?.[1] ?? rels?.[2] ?? "").toLowerCase().split(/\s+/).includes(rel.toLowerCase())) {
        return url;
      }
    }
    return undefined;
  }
  error(): ConnectorError | undefined {
    if (this.status < 400) {
      return undefined;
    }
    return new ConnectorError(codeOf(this.status), `the API answered with status ${this.status}: ${this.#excerpt()}`, {
      retryAfterMs: this.#retryAfterMs(),
      details: { status: this.status },
    });
  }
  wire(): WireResponse {
    return { status: this.status, headers: this.headers.wire(), ...this.#content.wire() } as WireResponse;
  }

  #decode(): unknown {
    if (this.#content.empty && (this.status === 204 || this.status === 205)) {
      return undefined;
    }
    return this.#content.json((why) => new ConnectorError("contract_changed", `decode the response (status ${this.status}): ${why}: ${this.#excerpt()}`));
  }
  /** Enough of the body to recognise an error message: most APIs' fit in 300 characters. */
  #excerpt(): string {
    const text = this.text().slice(0, 301);
    return text.length > 300 ? `${text.slice(0, 300).trim()}...` : text.trim();
  }
  /** Seconds, or a date, which counts from the response's own, so that clocks need not agree. */
  #retryAfterMs(): number | undefined {
    const value = this.headers.get("retry-after");
    if (value === undefined) {
      return undefined;
    }
    const year = 365 * 24 * 60 * 60;
    if (/^[+-]?\d+$/.test(value)) {
      return min(max(+value, 0), year) * 1000 || undefined;
    }
    const ms = DateOf.parse(value) - DateOf.parse(this.headers.get("date") ?? "");
    return ms > 0 ? floor(ms) : undefined;
  }
}

function codeOf(status: number): Code {
  if (status === 401 || status === 403) {
    return "auth";
  }
  if (status === 425 || status === 429) {
    return "rate_limited";
  }
  return status === 408 || status >= 500 ? "upstream_unavailable" : "invalid_input";
}

/** Whether a host of the manifest is the one that a URL goes to. */
export function isHostOf(pattern: string, url: string, config: Record<string, unknown>): boolean {
  return isTarget(pattern, authority(url), config);
}

/** The same, of the `authority` of a URL. */
export function isTarget(pattern: string, target: string | undefined, config: Record<string, unknown>): boolean {
  if (target === undefined) {
    return false;
  }
  if (pattern.startsWith("{config.")) {
    const value = config[pattern.slice(8, -1)];
    return typeof value === "string" && (authority(value) ?? authority(`https://${value}`)) === target;
  }
  const host = pattern.includes(":") ? pattern : `${pattern}:443`;
  return host.startsWith("*.") ? target.endsWith(host.slice(1)) : target === host;
}

/** The host and port of a URL, in lower case. */
export function authority(url: string): string | undefined {
  const colon = url.indexOf("://");
  const scheme = url.slice(0, colon).toLowerCase();
  if (colon < 0 || (scheme !== "https" && scheme !== "http")) {
    return undefined;
  }
  let end = colon + 3;
  while (end < url.length && !"/?#".includes(url[end]!)) {
    end++;
  }
  const host = url.slice(url.lastIndexOf("@", end - 1) + 1 || colon + 3, end).toLowerCase();
  if (host === "") {
    return undefined;
  }
  return host.lastIndexOf(":") > host.lastIndexOf("]") ? host : `${host}:${scheme === "http" ? "80" : "443"}`;
}
