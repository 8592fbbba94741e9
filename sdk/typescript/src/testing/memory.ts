import { toBase64 } from "../base64.js";
import { isHostOf } from "../client.js";
import { ConnectorError } from "../error.js";
import type { Host } from "../host.js";
import { encodeText, strictText } from "../intrinsics.js";
import { decode } from "../json.js";
import type { JsonSchema } from "../schema.js";
import { addDefaults } from "../validate.js";
import { misfits } from "./misfits.js";
import { Streams } from "./streams.js";
import { sign, signatureOf, type Signed } from "./sign.js";
import { Router, mockRequest, type MockRequest, type Reply, type Routes, type WireRequest } from "./routes.js";

export type StateValues = Record<string, any>;

/** A record that was emitted. */
export interface RecordMade {
  name: string;
  key?: string;
  data: any;
}

export interface LogLine {
  level: "debug" | "info" | "warn" | "error";
  message: string;
  fields?: Record<string, any>;
}

/** What a call is ended with by `ctx.sleep` with a checkpoint. What it did is kept, and the next call has the checkpoint. */
export class StartsAgain extends Error {
  readonly at: Date;
  readonly checkpoint: any;

  constructor(at: Date, checkpoint: unknown) {
    super(`the call starts again at ${at.toISOString()} with ${JSON.stringify(checkpoint)}`);
    this.at = at;
    this.checkpoint = checkpoint;
  }
  override get name(): string {
    return "StartsAgain";
  }
}

export interface MemoryOptions {
  connections?: Record<string, object>;
  state?: StateValues;
  http?: Routes;
  functions?: Record<string, (request: any) => unknown>;
}

interface Manifest {
  connections?: { name: string; type: string; header?: string; query?: string; hosts: string[]; sign?: string[]; fields?: JsonSchema }[];
  egress?: { host: string; methods: string[] }[];
  idempotency?: { host: string; header: string }[];
  functions?: string[];
}

/** How many entries a list has when the connector does not say. */
const PAGE = 100;

/** What outlives the calls of a mock. */
export class Memory {
  readonly manifest: Manifest;
  readonly config: Record<string, unknown>;
  readonly options: MemoryOptions;
  readonly router: Router;
  readonly connections: Record<string, object>;
  readonly requests: MockRequest[] = [];
  readonly signed: Signed[] = [];
  readonly logs: LogLine[] = [];
  readonly tags: Record<string, string> = {};
  records: RecordMade[] = [];
  state: StateValues;
  slept = 0;
  /** What the test did not expect. It stands, whatever the connector makes of it. */
  surprise: Error | undefined;

  constructor(manifest: Manifest & { config?: any }, config: Record<string, unknown>, options: MemoryOptions) {
    this.manifest = manifest;
    this.options = options;
    this.router = new Router(options.http);
    this.state = decode(JSON.stringify(options.state ?? {}));
    const all = Object.fromEntries((manifest.connections ?? []).map((c) => [c.name, {}]));
    this.connections = decode(JSON.stringify(options.connections ?? all));
    for (const [name, fields] of Object.entries(this.connections)) {
      const connection = manifest.connections?.find((c) => c.name === name);
      if (!connection) {
        throw new TypeError(`the mock grants a connection ${JSON.stringify(name)}, and the connector has ${JSON.stringify(Object.keys(all))}`);
      }
      addDefaults(connection.fields ?? {}, fields);
      const wrong = options.connections ? misfits(connection.fields ?? {}, fields) : [];
      if (wrong.length > 0) {
        throw new TypeError(`the fields of the connection ${JSON.stringify(name)} do not fit their schema: ${wrong.join("; ")}`);
      }
    }
    // Hosts such as {config.api_url} follow the default, too.
    this.config = { ...config };
    for (const [name, property] of Object.entries<any>(manifest.config?.properties ?? {})) {
      this.config[name] ??= property.default;
    }
  }

  begin(execution: string, readOnly: boolean): MemoryCall {
    this.surprise = undefined;
    return new MemoryCall(this, execution, readOnly);
  }
}

type Answers = Record<string, (request: any) => unknown>;

/** The host of one call: what it writes is kept when it succeeds. */
export class MemoryCall implements Host {
  connectionFor: (url: string) => string | undefined = () => undefined;
  startsAgain: StartsAgain | undefined;
  readonly #memory: Memory;
  readonly #execution: string;
  readonly #readOnly: boolean;
  readonly #state: StateValues;
  readonly #records: RecordMade[] = [];
  readonly #keys = new Map<string, string>();
  readonly #answers: Answers;
  readonly #streams = new Streams((wire) => this.#http(wire));

  constructor(memory: Memory, execution: string, readOnly: boolean) {
    this.#memory = memory;
    this.#execution = execution;
    this.#readOnly = readOnly;
    this.#state = { ...memory.state };
    this.#answers = this.#functions();
  }

  commit(): void {
    this.#memory.state = this.#state;
    this.#memory.records.push(...this.#records);
  }

  call(name: string, request: string): string {
    try {
      const [head = "", bytes = ""] = request.split("\n", 2);
      this.#streams.begin(bytes);
      return JSON.stringify({ result: this.#answer(name, decode(head)) ?? {} }) + this.#streams.rest();
    } catch (thrown) {
      if (thrown instanceof ConnectorError) {
        return JSON.stringify({ error: { code: thrown.code, message: thrown.message, retry_after_ms: thrown.retryAfterMs } });
      }
      throw thrown;
    }
  }

  #answer(name: string, request: any): unknown {
    if (this.#readOnly && name !== "log" && name !== "sleep" && name !== "sign" && !(name === "http" && isRead(request.method))) {
      throw refuse("denied", `confirm may only look: ${name} ${request.method ?? ""} would change something`);
    }
    const answer = this.#answers[name] ?? this.#own(name);
    return answer(request);
  }

  #own(name: string): (request: any) => unknown {
    if (!this.#memory.manifest.functions?.includes(name)) {
      throw refuse("denied", `there is no host function ${name}: the manifest does not ask for it`);
    }
    const own = this.#memory.options.functions?.[name];
    return own ?? (() => this.#surprised(`the connector called the host function ${name}, and the option functions has none of that name`));
  }

  #functions(): Answers {
    return {
      http: (r) => this.#streams.http(r),
      state_get: ({ key }) => ({ found: key in this.#state, value: this.#state[needed(key)] }),
      state_set: ({ key, value }) => void (this.#state[needed(key)] = value),
      state_delete: ({ key }) => void delete this.#state[needed(key)],
      state_cas: (r) => this.#swap(r),
      state_add: ({ key, delta }) => ({ value: (this.#state[key] = sum(this.#state[needed(key)], delta, key)) }),
      state_list: (r) => this.#list(r),
      log: (line) => void this.#memory.logs.push(line),
      emit: (record) => void this.#records.push({ ...record, name: named(record.name, "a record") }),
      tag: ({ name, value }) => void (this.#memory.tags[named(name, "a tag")] = value),
      sleep: (r) => this.#sleep(r),
      sign: (r) => sign(this.#memory, r),
      ...this.#streams.functions(),
    };
  }

  #swap({ key, old, new: updated }: { key: string; old?: unknown; new: unknown }): unknown {
    const found = needed(key) in this.#state;
    const swapped = found ? old !== undefined && same(this.#state[key], old) : old === undefined;
    if (swapped) {
      this.#state[key] = updated;
    }
    return { swapped };
  }

  #list({ prefix = "", after = "", limit = PAGE }: { prefix?: string; after?: string; limit?: number }): unknown {
    const all = Object.keys(this.#state).filter((key) => key.startsWith(prefix) && (after === "" || key > after)).sort();
    return { entries: all.slice(0, limit).map((key) => ({ key, value: this.#state[key] })), more: all.length > limit };
  }

  #sleep({ ms, until, checkpoint }: { ms?: number; until?: string; checkpoint?: unknown }): void {
    const wait = until === undefined ? ms! : Math.max(0, Date.parse(until) - Date.now());
    this.#memory.slept += wait;
    if (checkpoint !== undefined) {
      this.startsAgain = new StartsAgain(until === undefined ? new Date(Date.now() + wait) : new Date(until), checkpoint);
      throw this.startsAgain;
    }
  }

  #http(wire: WireRequest): unknown {
    const { manifest, config, router, requests } = this.#memory;
    const request = { ...wire, headers: { ...wire.headers } };
    if (!/^https?:\/\/[^/]/i.test(wire.url)) {
      throw refuse("invalid_request", `${JSON.stringify(wire.url)} is no absolute URL of http or https`);
    }
    const granted = manifest.egress?.some((e) => e.methods.includes(wire.method) && isHostOf(e.host, wire.url, config));
    if (!granted) {
      throw refuse("denied", `the manifest does not ask for ${wire.method} ${wire.url}`);
    }
    this.#putKey(request);
    this.#authorise(request);
    const asked = mockRequest(request);
    requests.push(asked);
    const reply = router.answer(asked);
    if ("unexpected" in reply) {
      return this.#surprised(reply.unexpected);
    }
    return wireReply(reply);
  }

  /** Adds the credential of a connection. */
  #authorise(request: WireRequest): void {
    const { manifest, config, connections } = this.#memory;
    const name = request.connection;
    if (name === undefined) {
      return;
    }
    const connection = manifest.connections?.find((c) => c.name === name);
    if (!connection) {
      throw refuse("denied", `the manifest has no connection ${JSON.stringify(name)}`);
    }
    if (!(name in connections)) {
      throw refuse("no_connection", `connection ${JSON.stringify(name)} is not granted`);
    }
    if (!connection.hosts.some((host) => isHostOf(host, request.url, config))) {
      throw refuse("denied", `the credential of connection ${JSON.stringify(name)} is not for ${request.url}`);
    }
    const credential = `credential-of-${name}`;
    const headers = request.headers!;
    if (connection.type === "private_key" || (connection.type === "hmac" && connection.header === undefined)) {
      throw refuse("denied", `the key of connection ${JSON.stringify(name)} signs, and goes with no request: ask ctx.sign for a signature with it`);
    }
    if (connection.type === "client_certificate") {
      return; // It is shown in a handshake, of which there is none.
    }
    if (connection.type === "hmac") {
      headers[connection.header!.toLowerCase()] = [signatureOf(name)];
    } else if (connection.type === "aws_sigv4") {
      headers["authorization"] = [`AWS4-HMAC-SHA256 ${signatureOf(name)}`];
    } else if (connection.query !== undefined) {
      request.url += `${request.url.includes("?") ? "&" : "?"}${connection.query}=${credential}`;
    } else if (connection.header !== undefined) {
      headers[connection.header.toLowerCase()] = [credential];
    } else {
      headers["authorization"] = [connection.type === "basic" ? `Basic ${toBase64(encodeText(`user:${credential}`))}` : `Bearer ${credential}`];
    }
  }

  /** Sets the idempotency key that the manifest asks for. */
  #putKey(request: WireRequest): void {
    const { manifest, config } = this.#memory;
    const { method, url, body, idempotency_key: key } = request;
    const rule = manifest.idempotency?.find((one) => isHostOf(one.host, url, config));
    if (key !== undefined && isRead(method)) {
      throw refuse("invalid_request", `an idempotency key is for requests that change something, and this is a ${method}`);
    }
    if (key !== undefined && !rule) {
      throw refuse("invalid_request", `the manifest names no idempotency for ${url}`);
    }
    if (!rule || isRead(method) || (key === undefined && (method === "PUT" || method === "DELETE"))) {
      return;
    }
    const header = rule.header.toLowerCase();
    if (request.headers![header]) {
      throw refuse("invalid_request", `the header ${rule.header} is set by the host: use idempotencyKey`);
    }
    const digest = `${method} ${url} ${body ?? ""}`;
    const name = key ?? `h-${this.#keys.size + 1}`;
    if ((this.#keys.get(name) ?? digest) !== digest) {
      throw refuse("invalid_request", `this call has used the idempotency key ${JSON.stringify(name)} with another request`);
    }
    this.#keys.set(name, digest);
    request.headers![header] = [`${this.#execution}/${name}`];
  }

  #surprised(what: string): never {
    this.#memory.surprise ??= new Error(what);
    throw this.#memory.surprise;
  }
}

function wireReply(reply: Reply): unknown {
  if (reply instanceof ConnectorError) {
    throw reply;
  }
  const headers: Record<string, string[]> = {};
  for (const name of Object.keys(reply.headers ?? {})) {
    headers[name.toLowerCase()] = [reply.headers![name]!];
  }
  const { status = 200, json, body } = reply;
  if (json !== undefined) {
    headers["content-type"] ??= ["application/json"];
    return { status, headers, body: JSON.stringify(json) };
  }
  const text = body instanceof Uint8Array ? strictText(body) : body;
  return text === undefined && body instanceof Uint8Array ? { status, headers, body_base64: toBase64(body) } : { status, headers, body: text };
}

function refuse(code: string, message: string): ConnectorError {
  return new ConnectorError(code, message);
}

function isRead(method: unknown): boolean {
  return method === "GET" || method === "HEAD" || method === "OPTIONS";
}

function needed(key: string): string {
  if (!key) {
    throw refuse("invalid_request", "state needs a key that is not empty");
  }
  return key;
}

function named(name: string, what: string): string {
  if (!name) {
    throw refuse("invalid_request", `${what} needs a name`);
  }
  return name;
}

function sum(before: unknown, delta: number, key: string): number {
  if (before !== undefined && !Number.isInteger(before)) {
    throw refuse("not_a_number", `the value of ${JSON.stringify(key)} is not an integer`);
  }
  return ((before as number | undefined) ?? 0) + delta;
}

/** Compares by what JSON means: the order of members does not count. */
function same(a: any, b: any): boolean {
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) {
    return a === b;
  }
  const names = Object.keys(a);
  return Array.isArray(a) === Array.isArray(b) && names.length === Object.keys(b).length && names.every((name) => name in b && same(a[name], b[name]));
}
