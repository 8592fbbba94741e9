import { Core, type Export } from "./core.js";
import type { Env } from "./context.js";
import type { Connector, Parts } from "./define.js";
import { ConnectorError } from "./error.js";
import { failureOf } from "./failure.js";
import { decode } from "./json.js";
import { Memory, StartsAgain, type LogLine, type MemoryOptions, type RecordMade, type StateValues } from "./testing/memory.js";
import { withFetch } from "./testing/fetch.js";
import { toRequest, type MockRequest, type Routes } from "./testing/routes.js";
import type { Signed } from "./testing/sign.js";
import { Verifying } from "./testing/verifying.js";
import type { Verdict } from "./verify.js";
import { misfits } from "./testing/misfits.js";

export { StartsAgain } from "./testing/memory.js";
export type { Signed } from "./testing/sign.js";
export type { LogLine, RecordMade, StateValues } from "./testing/memory.js";
export type { MockRequest, Reply, Route, Routes } from "./testing/routes.js";

/** What a test wants its host to be like. */
export interface MockOptions<Config = unknown> {
  /** The installation's configuration. What is left out has the schema's default. */
  config?: Partial<Config>;
  /** The fields of each granted connection. Defaults to all of the connector's, without fields; `{}` grants none. */
  connections?: { readonly [name: string]: object };
  /** What is stored beforehand. */
  state?: StateValues;
  /**
   * What answers in place of the third party, by method and URL or path: `{ "GET /user": { json: { login: "mona" } } }`.
   * A `*` stands for any text, a list answers one after the other. Or a function that answers everything.
   */
  http?: Routes;
  /** The host app's own functions. */
  functions?: { readonly [name: string]: (request: any) => unknown };
}

/** A delivery, as far as a test cares. */
export interface MockDelivery {
  id?: string;
  method?: string;
  path?: string;
  query?: string;
  headers?: { readonly [name: string]: string };
  /** The body: a text as it is, anything else as JSON. */
  body?: unknown;
}

/** A request that claims to be a delivery, as far as a test cares. */
export interface MockIncoming {
  method?: string;
  url?: string;
  query?: string;
  headers?: { readonly [name: string]: string };
  /** The body: a text as it is, anything else as JSON. */
  body?: unknown;
  at?: Date;
}

/** A connector with a host in memory: no sandbox, no server, no network. */
export interface Mock<T extends Parts = any> {
  /** Runs an action. What it throws is a ConnectorError, as the host has it. */
  action<N extends keyof T["actions"] & string>(name: N, ...input: {} extends T["actions"][N]["input"] ? [input?: T["actions"][N]["input"]] : [input: T["actions"][N]["input"]]): Promise<T["actions"][N]["output"]>;
  /** Runs a poll with the cursor that it returned last, or with one of yours, and keeps the one that it returns. */
  poll<N extends keyof T["polls"] & string>(name: N, cursor?: T["polls"][N]["cursor"] | null): Promise<{ records: { key: string; data: T["polls"][N]["record"] }[]; cursor: T["polls"][N]["cursor"] | null; more: boolean }>;
  webhook<N extends keyof T["webhooks"] & string>(name: N, delivery?: MockDelivery): Promise<T["webhooks"][N]["output"]>;
  /**
   * Asks a webhook's `verify` of a request, for an endpoint with a signing secret. Unlike what connections sign here, its
   * signatures are real: a vendor's examples can be tried.
   */
  verify<N extends keyof T["webhooks"] & string>(name: N, secret: string, request?: MockIncoming): Promise<Verdict>;
  test(): Promise<void>;
  /** Asks what became of a request that was sent and not answered. */
  confirm(request: { method: string; url: string; headers?: { readonly [name: string]: string }; json?: unknown; body?: string; idempotencyKey?: string }, askedAt?: Date): Promise<{ happened?: boolean; response?: any }>;
  /** What describe returns. */
  readonly manifest: Record<string, any>;
  /** All requests so far, in order. */
  readonly requests: readonly MockRequest[];
  /** All that `ctx.sign` has signed so far, in order: with `signature-of-` and the connection's name. */
  readonly signed: readonly Signed[];
  /** What was emitted by calls that succeeded. */
  readonly records: readonly RecordMade[];
  readonly logs: readonly LogLine[];
  readonly tags: Readonly<Record<string, string>>;
  /** What is stored; a call that fails changes nothing. */
  readonly state: Readonly<StateValues>;
  /** For how long the connector has slept, in milliseconds. Nobody waits for it. */
  readonly slept: number;
}

/**
 * Puts a connector into a host in memory. Everything crosses in JSON, as it does in production, and the manifest
 * counts: a request to a host that it does not ask for is denied, state and records are kept only when a call
 * succeeds, and what does not fit a schema is refused.
 */
export function mock<E extends Env, T extends Parts>(connector: Connector<E, T>, options: MockOptions<E["config"]> = {}): Mock<T> {
  if (!((connector as unknown) instanceof Core)) {
    throw new TypeError("mock takes what defineConnector has made: is the connector the default export?");
  }
  return new Bench(connector as unknown as Core, options) as unknown as Mock<T>;
}

/** A connector on the bench. */
class Bench {
  readonly manifest: Record<string, any>;
  readonly #core: Core;
  readonly #config: Record<string, unknown>;
  readonly #memory: Memory;
  readonly #cursors: Record<string, unknown> = {};
  #checkpoint: unknown = undefined;
  #executions = 0;

  constructor(core: Core, options: MockOptions) {
    this.#core = core;
    this.manifest = decode(JSON.stringify(core.manifest()));
    this.#config = decode(JSON.stringify(options.config ?? {}));
    const wrong = misfits(this.manifest["config"], this.#config);
    if (wrong.length > 0) {
      throw new TypeError(`the config of the mock does not fit its schema: ${wrong.join("; ")}`);
    }
    this.#memory = new Memory(this.manifest, this.#config, options as MemoryOptions);
  }

  get requests(): readonly MockRequest[] {
    return this.#memory.requests;
  }
  get signed(): readonly Signed[] {
    return this.#memory.signed;
  }
  get records(): readonly RecordMade[] {
    return this.#memory.records;
  }
  get logs(): readonly LogLine[] {
    return this.#memory.logs;
  }
  get tags(): Record<string, string> {
    return this.#memory.tags;
  }
  get state(): StateValues {
    return this.#memory.state;
  }
  get slept(): number {
    return this.#memory.slept;
  }

  async action(action: string, input: unknown = {}): Promise<unknown> {
    const about = this.manifest["actions"]?.find((a: any) => a.name === action);
    const wrong = misfits(about?.input ?? {}, input);
    if (wrong.length > 0) {
      throw new ConnectorError("invalid_input", `the input of ${action} does not fit its schema: ${wrong.join("; ")}`);
    }
    const output = await this.#run("action", { action, input });
    const unlike = misfits(about?.output ?? {}, output);
    if (unlike.length > 0) {
      throw new ConnectorError("plugin_bug", `what ${action} returns does not fit its schema: ${unlike.join("; ")}`);
    }
    return output;
  }

  async poll(poll: string, cursor: unknown = this.#cursors[poll] ?? null): Promise<any> {
    const page: any = await this.#run("poll", { poll, cursor });
    this.#cursors[poll] = page.cursor;
    return page;
  }

  webhook(webhook: string, delivery: MockDelivery = {}): Promise<unknown> {
    const headers: Record<string, string[]> = {};
    for (const name of Object.keys(delivery.headers ?? {})) {
      headers[name.toLowerCase()] = [delivery.headers![name]!];
    }
    const { id = `delivery-${this.#executions + 1}`, method = "POST", path = "/", query = "", body } = delivery;
    const text = typeof body === "string" ? body : body === undefined ? undefined : JSON.stringify(body);
    return this.#run("webhook", { webhook, request: { id, received_at: new Date().toISOString(), method, path, query, headers, body: text } });
  }

  async verify(webhook: string, secret: string, request: MockIncoming = {}): Promise<Verdict> {
    const headers: Record<string, string[]> = {};
    for (const name of Object.keys(request.headers ?? {})) {
      headers[name.toLowerCase()] = [request.headers![name]!];
    }
    const { method = "POST", url = "", query = "", body, at = new Date() } = request;
    const text = typeof body === "string" ? body : body === undefined ? undefined : JSON.stringify(body);
    const envelope = JSON.stringify({ verify: webhook, time: at.toISOString(), request: { method, url, query, headers, body: text }, config: this.#config });
    try {
      return decode(await this.#core.run(new Verifying(secret), "webhook", envelope));
    } catch (thrown) {
      throw asConnectorError(thrown);
    }
  }

  async test(): Promise<void> {
    await this.#run("test", {});
  }

  confirm(asked: any, askedAt = new Date()): Promise<any> {
    const request = toRequest(asked);
    return this.#run("confirm", { function: "http", request, asked_at: askedAt.toISOString() }, true);
  }

  async #run(name: Export, input: object, readOnly = false): Promise<unknown> {
    const execution = `exe_${++this.#executions}`;
    const { connections } = this.#memory;
    const envelope = JSON.stringify({ execution, attempt: 1, config: this.#config, connections, checkpoint: this.#checkpoint, ...input });
    const call = this.#memory.begin(execution, readOnly);
    let output: string;
    try {
      output = await withFetch(call, () => this.#core.run(call, name, envelope, (begun) => (call.connectionFor = begun.connectionFor)));
    } catch (thrown) {
      throw this.#memory.surprise ?? call.startsAgain ?? asConnectorError(thrown);
    } finally {
      this.#checkpoint = call.startsAgain?.checkpoint;
      if (call.startsAgain) {
        call.commit();
      }
    }
    if (this.#memory.surprise) {
      throw this.#memory.surprise;
    }
    call.commit();
    return decode(output);
  }
}

/** What production makes of what is thrown, with the thing itself as its cause. */
function asConnectorError(thrown: unknown): Error {
  if (thrown instanceof ConnectorError || thrown instanceof StartsAgain) {
    return thrown;
  }
  const { code, message, details } = failureOf(thrown);
  return new ConnectorError(code, message, { details, cause: thrown });
}
