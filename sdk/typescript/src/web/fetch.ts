import { Content, sent, type WireBody } from "../body.js";
import { current, host } from "../door.js";
import { ask } from "../host.js";
import { TypeErrorOf } from "../intrinsics.js";
import type { WireResponse } from "../client.js";
import type { AbortSignal } from "./abort.js";
import { define } from "./define.js";

// The part of https://fetch.spec.whatwg.org that connectors and their libraries use. Bodies are there as a whole.

type HeadersInit = ConstructorParameters<typeof Headers>[0];

interface RequestInit {
  method?: string;
  headers?: HeadersInit | undefined;
  body?: unknown;
  signal?: AbortSignal | null;
  /** Of the sandbox: the connection whose credential the host adds; false for none. */
  connection?: string | false;
  idempotencyKey?: string;
  timeoutMs?: number;
}

class Body {
  #content: Content;
  #used = false;

  constructor(wire: WireBody) {
    this.#content = new Content(wire);
  }
  get bodyUsed(): boolean {
    return this.#used;
  }
  get body(): null {
    return null;
  }
  async text(): Promise<string> {
    return this.#use().text();
  }
  async json(): Promise<unknown> {
    return JSON.parse(this.#use().text());
  }
  async bytes(): Promise<Uint8Array> {
    return this.#use().bytes();
  }
  async arrayBuffer(): Promise<ArrayBuffer> {
    return this.#use().bytes().buffer as ArrayBuffer;
  }
  async blob(): Promise<never> {
    throw new TypeErrorOf("there are no blobs in a connector: use bytes(), arrayBuffer() or text()");
  }
  async formData(): Promise<never> {
    throw new TypeErrorOf("there is no FormData in a connector: use text() and URLSearchParams");
  }
  protected wire(): WireBody {
    if (this.#used) {
      throw new TypeErrorOf("the body has been read already: clone() before");
    }
    return this.#content.wire();
  }
  #use(): Content {
    this.wire();
    this.#used = true;
    return this.#content;
  }
}

class Request extends Body {
  readonly url: string;
  readonly method: string;
  readonly headers: Headers;
  readonly signal: AbortSignal | null;
  readonly init: RequestInit;

  constructor(input: string | URL | Request, init: RequestInit = {}) {
    const from = input instanceof Request ? input : undefined;
    const body = sent(init.body === null || typeof init.body === "object" || typeof init.body === "undefined" ? plain(init.body) : String(init.body));
    super(init.body === undefined && from ? from.wire() : body.wire);
    this.url = from ? from.url : new URL(String(input)).href;
    this.method = (init.method ?? from?.method ?? "GET").toUpperCase();
    this.headers = new Headers(init.headers ?? from?.headers);
    if (body.type !== undefined && !this.headers.has("content-type")) {
      this.headers.set("content-type", body.type);
    }
    this.signal = init.signal ?? from?.signal ?? null;
    this.init = { ...from?.init, ...init };
  }
  clone(): Request {
    return new Request(this);
  }
  /** What is sent. */
  question(): Record<string, unknown> {
    const headers: Record<string, string[]> = {};
    this.headers.forEach((value, name) => (headers[name] = [value]));
    const { connection, idempotencyKey, timeoutMs } = this.init;
    return {
      connection: connection === false ? undefined : (connection ?? current.connectionFor(this.url)),
      method: this.method,
      url: this.url,
      headers,
      ...this.wire(),
      timeout_ms: timeoutMs ?? this.signal?.timeoutMs,
      idempotency_key: idempotencyKey,
    };
  }
}

/** fetch sends no objects but these: others are a mistake, such as a missing JSON.stringify. */
function plain(body: unknown): unknown {
  if (body === null || body === undefined) {
    return undefined;
  }
  if (body instanceof ArrayBuffer || ArrayBuffer.isView(body) || body instanceof URLSearchParams) {
    return body;
  }
  throw new TypeErrorOf("the body of fetch is a text, bytes or URLSearchParams: JSON.stringify an object, or use ctx.http.post, which does");
}

class Response extends Body {
  readonly status: number;
  readonly statusText: string;
  readonly headers: Headers;
  readonly url: string;
  readonly redirected = false;
  readonly type = "basic";

  constructor(body?: unknown, init: { status?: number; statusText?: string; headers?: HeadersInit | undefined; url?: string } = {}) {
    super(body instanceof Wire ? body.wire : sent(typeof body === "string" ? body : plain(body)).wire);
    this.status = init.status ?? 200;
    this.statusText = init.statusText ?? "";
    this.headers = new Headers(init.headers);
    this.url = init.url ?? "";
  }
  get ok(): boolean {
    return this.status >= 200 && this.status < 300;
  }
  clone(): Response {
    return new Response(new Wire(this.wire()), this);
  }
  static json(data: unknown, init: { status?: number; headers?: HeadersInit } = {}): Response {
    const response = new Response(JSON.stringify(data), init);
    if (!response.headers.has("content-type")) {
      response.headers.set("content-type", "application/json");
    }
    return response;
  }
}

/** A body as it came. */
class Wire {
  readonly wire: WireBody;
  constructor(wire: WireBody) {
    this.wire = wire;
  }
}

async function fetch(input: string | URL | Request, init?: RequestInit): Promise<Response> {
  const request = new Request(input, init);
  request.signal?.throwIfAborted();
  const answer: WireResponse = ask(host, "http", request.question());
  const headers: [string, string][] = [];
  for (const [name, values] of Object.entries(answer.headers ?? {})) {
    values.forEach((value) => headers.push([name, value]));
  }
  return new Response(new Wire(answer), { status: answer.status, headers, url: request.url });
}

define("Request", Request);
define("Response", Response);
define("fetch", fetch);
