import { Answer, Client, authority, isTarget, type Manners, type WireResponse } from "./client.js";
import { Content } from "./body.js";
import type { Context, Delivery, Doubt, HttpDoubt, Log } from "./context.js";
import { ConnectorError } from "./error.js";
import { HeaderMap, type WireHeaders } from "./headers.js";
import { ask, askChecked, type Host } from "./host.js";
import { DateOf, ErrorOf, hasOwn, isObject, keys, stringify, tagOf, toText } from "./intrinsics.js";
import { encode } from "./json.js";
import type { Core } from "./core.js";
import { SignClient } from "./sign.js";

/** The input of every export but describe. */
export interface Envelope {
  execution?: string;
  attempt?: number;
  config?: unknown;
  connections?: Record<string, Record<string, unknown>>;
  checkpoint?: unknown;
  action?: string;
  input?: unknown;
  webhook?: string;
  verify?: string;
  time?: string;
  request?: unknown;
  poll?: string;
  cursor?: unknown;
  function?: string;
  asked_at?: string;
}

type Until = { until?: Date | string; ms?: number; checkpoint?: unknown };

/** One call of a connector. */
export class Call implements Context {
  readonly execution: string;
  readonly attempt: number;
  readonly config: any;
  readonly connections: any;
  readonly checkpoint: any;
  readonly http: Client;
  readonly log: Log;
  readonly state: StateClient;
  readonly sign: SignClient;
  readonly host: { call<T>(name: string, request?: unknown): Promise<T> };
  /** The connection whose credential goes to a URL. */
  readonly connectionFor: (url: string) => string | undefined;
  readonly #core: Core;
  readonly #host: Host;

  constructor(core: Core, host: Host, envelope: Envelope, config: unknown) {
    this.#core = core;
    this.#host = host;
    this.execution = envelope.execution ?? "";
    this.attempt = envelope.attempt ?? 1;
    this.config = config;
    this.connections = envelope.connections ?? {};
    this.checkpoint = envelope.checkpoint ?? undefined;
    const manners = mannersOf(core, this.config, this.execution, this.connections);
    this.http = new Client(host, manners);
    this.connectionFor = manners.connectionFor;
    this.log = new Logger(host);
    this.state = new StateClient(host);
    this.sign = new SignClient(host, core.signs());
    this.host = { call: async (name, request) => askChecked(host, name, request ?? {}) };
  }

  get connection(): any {
    const names = this.#core.accountNames();
    if (names.length === 0) {
      return {};
    }
    const name = names.find((n) => hasOwn(this.connections, n));
    if (name === undefined) {
      throw new ConnectorError("no_connection", `the installation has no connection ${names.map((n) => stringify(n)).join(" or ")}`);
    }
    return this.connections[name];
  }

  emit(name: string, data: unknown, options?: { key?: string | undefined }): void {
    askChecked(this.#host, "emit", { name, key: options?.key, data: data ?? null });
  }

  tag(name: string, value: string | number | boolean): void {
    ask(this.#host, "tag", { name, value: toText(value) });
  }

  async sleep(wait: number | Until): Promise<never> {
    const request = sleepRequest(wait);
    askChecked(this.#host, "sleep", request);
    if (request.checkpoint !== undefined) {
      throw new ConnectorError("internal", "the host did not end the call, as a checkpoint asks for");
    }
    return undefined as never;
  }

  idempotencyKey(name: string): string {
    if (!/^[!-~]{1,128}$/.test(name) || name.startsWith("h-")) {
      throw new ConnectorError("plugin_bug", `the idempotency key ${stringify(name)} must be 1 to 128 visible ASCII characters, and not begin with "h-"`);
    }
    return `${this.execution}/${name}`;
  }
}

function sleepRequest(wait: number | Until): { ms?: number; until?: string; checkpoint?: unknown } {
  const { ms, until, ...rest } = typeof wait === "number" ? { ms: wait } : wait;
  if ("checkpoint" in rest && (rest.checkpoint === undefined || rest.checkpoint === null)) {
    throw new ConnectorError("plugin_bug", "the checkpoint is null: give the call something by which it knows that it is not the first");
  }
  if (until !== undefined) {
    return { until: until instanceof DateOf ? until.toISOString() : until, ...rest };
  }
  if (typeof ms !== "number" || !(ms >= 0)) {
    throw new ConnectorError("plugin_bug", `sleep takes milliseconds, or { until }: ${toText(ms)} is neither`);
  }
  return { ms, ...rest };
}

/** What the connector says about its requests, for one installation. */
function mannersOf(core: Core, config: any, execution: string, granted: object): Manners {
  const { baseUrl, headers, checkResponse } = core.definition;
  return {
    baseUrl: typeof baseUrl === "function" ? baseUrl(config) : baseUrl,
    headers: typeof headers === "function" ? headers(config) : headers,
    check: checkResponse,
    keyPrefix: `${execution}/`,
    connectionFor(url) {
      const target = authority(url);
      const found = core.senders().filter((c) => c.hosts.some((host) => isTarget(host, target, config)));
      if (found.length > 1) {
        return theOneOf(core, found.map((c) => c.name), granted, url);
      }
      return found[0]?.name;
    },
  };
}

/** The connection for a URL that several are for: ways to connect one account can do without a choice, accounts cannot. */
function theOneOf(core: Core, names: string[], granted: object, url: string): string {
  if (!core.isOneAccount()) {
    throw new ConnectorError("plugin_bug", `http: the connections ${names.join(" and ")} are both for ${url}: say which with { connection: ... }`);
  }
  const name = names.find((n) => hasOwn(granted, n));
  if (name === undefined) {
    throw new ConnectorError("no_connection", `http: the installation has no connection for ${url}: grant it ${names.join(" or ")}`);
  }
  return name;
}

/** The `state` of a context, whatever its keys are. */
class StateClient {
  readonly #host: Host;

  constructor(host: Host) {
    this.#host = host;
  }
  async get(key: string): Promise<any> {
    const { found, value } = ask(this.#host, "state_get", { key });
    return found ? value : undefined;
  }
  async set(key: string, value: unknown): Promise<void> {
    askChecked(this.#host, "state_set", { key, value: value ?? null });
  }
  async delete(key: string): Promise<void> {
    ask(this.#host, "state_delete", { key });
  }
  async cas(key: string, old: unknown, updated: unknown): Promise<boolean> {
    return askChecked(this.#host, "state_cas", { key, old, new: updated ?? null }).swapped;
  }
  async add(key: string, delta = 1): Promise<number> {
    return ask(this.#host, "state_add", { key, delta }).value;
  }
  async list(prefix: string, options: { after?: string | undefined; limit?: number | undefined } = {}): Promise<any> {
    const { entries, more } = ask(this.#host, "state_list", { prefix, after: options.after, limit: options.limit });
    return { entries, more };
  }
}

type Level = "debug" | "info" | "warn" | "error";

/** The `log` of a context. It never fails: a line that cannot be written is no reason to. */
export class Logger implements Log {
  readonly #host: Host;

  constructor(host: Host) {
    this.#host = host;
  }
  debug(message: string, fields?: object): void {
    this.#write("debug", message, fields);
  }
  info(message: string, fields?: object): void {
    this.#write("info", message, fields);
  }
  warn(message: string, fields?: object): void {
    this.#write("warn", message, fields);
  }
  error(message: string, fields?: object): void {
    this.#write("error", message, fields);
  }

  #write(level: Level, message: string, fields: object | undefined): void {
    const line = { level, message: toText(message), fields: fields === undefined ? undefined : printed(fields) };
    try {
      ask(this.#host, "log", line);
    } catch {
      // The host has turned it down, such as the line after the last that it takes.
    }
  }
}

function printed(fields: object): object {
  const out: Record<string, unknown> = {};
  for (const name of keys(fields)) {
    out[name] = printable((fields as Record<string, unknown>)[name]);
  }
  return out;
}

/** A value that has a JSON form: v itself, or its text. */
export function printable(v: unknown): unknown {
  if (typeof v === "string" || typeof v === "boolean" || v === null) {
    return v;
  }
  try {
    if (v instanceof ErrorOf) {
      return v instanceof ConnectorError ? `${v.code}: ${v.message}` : `${v.name}: ${v.message}`;
    }
    if (typeof v === "bigint" || typeof v === "function" || typeof v === "symbol" || (typeof v === "number" && !isFinite(v))) {
      return toText(v);
    }
    encode(v, "it");
    return v;
  } catch {
    return tagOf(v);
  }
}

/** A delivery that came from the host. */
export class Delivered implements Delivery {
  readonly id: string;
  readonly receivedAt: Date;
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: HeaderMap;
  readonly #content: Content;

  constructor(request: unknown) {
    const wire = (isObject(request) ? request : {}) as Record<string, any>;
    this.id = wire["id"] ?? "";
    this.receivedAt = new DateOf(wire["received_at"] ?? 0);
    this.method = wire["method"] ?? "";
    this.path = wire["path"] ?? "";
    this.query = wire["query"] ?? "";
    this.headers = new HeaderMap(wire["headers"] as WireHeaders);
    this.#content = new Content(wire);
  }
  json<T>(): T {
    return this.#content.json((why) => new ConnectorError("invalid_input", `decode the body of delivery ${stringify(this.id)}: ${why}`)) as T;
  }
  text(): string {
    return this.#content.text();
  }
  bytes(): Uint8Array {
    return this.#content.bytes();
  }
}

/** What confirm is asked about. */
export function doubtOf(envelope: Envelope): Doubt {
  const wire = (isObject(envelope.request) ? envelope.request : {}) as Record<string, any>;
  const content = new Content(wire);
  const request: HttpDoubt = {
    method: wire["method"] ?? "",
    url: wire["url"] ?? "",
    headers: new HeaderMap(wire["headers"] as WireHeaders),
    connection: wire["connection"],
    idempotencyKey: wire["idempotency_key"],
    json: <T>() => content.json((why) => new ConnectorError("plugin_bug", `decode the body of the request that is in doubt: ${why}`)) as T,
    text: () => content.text(),
    bytes: () => content.bytes(),
  };
  return { function: envelope.function ?? "", request, raw: envelope.request, askedAt: new DateOf(envelope.asked_at ?? 0) };
}

/** A response as the host goes on with it. */
export function wireResponse(response: unknown, asked: string): unknown {
  if (response instanceof Answer) {
    return response.wire();
  }
  if (asked !== "http" || !isObject(response)) {
    return response;
  }
  const { status, headers, json, body } = response as { status?: number; headers?: Record<string, string>; json?: unknown; body?: string };
  if (typeof status !== "number") {
    throw new ConnectorError("plugin_bug", "confirm says that the request happened, and its response has no status");
  }
  const wire: WireResponse = { status, headers: {} };
  for (const name of keys(headers ?? {})) {
    wire.headers![name.toLowerCase()] = [toText(headers![name])];
  }
  if (json !== undefined) {
    wire.body = encode(json, "the response that confirm returns");
    wire.headers!["content-type"] ??= ["application/json"];
  } else if (body !== undefined) {
    wire.body = body;
  }
  return wire;
}
