import type { Http, HttpRequest, HttpResponse, ResponseHeaders } from "./http.js";
import type { Shape } from "./schema.js";
import type { NameOf, Sign } from "./sign.js";
import type { StateOf } from "./state.js";

/** What is particular to one connector, for the compiler. */
export interface Env {
  config: unknown;
  connection: unknown;
  connections: unknown;
  state: Shape;
  functions: string;
}

type Fields = Readonly<Record<string, unknown>>;

/** Lines of the execution's trace. Fields are anything; what has no JSON form is written as text. */
export interface Log {
  debug(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
}

/** What every call knows, `confirm` included. */
export interface BaseContext<E extends Env = any> {
  /** The execution's id; it is the same when it is run again. */
  readonly execution: string;
  /** The installation's configuration, with the defaults of its schema. */
  readonly config: E["config"];
  /** The fields of the connection that are no secret. Its credential never gets here: the host adds it to requests. */
  readonly connection: E["connection"];
  /** The fields of each connection that the tenant has granted, by name. */
  readonly connections: E["connections"];
  readonly http: Http;
  /** Signatures of the connections' keys, which stay outside. */
  readonly sign: Sign<NameOf<E["connections"]>>;
  readonly log: Log;
  /** Waits, up to 400 days. More than a second ends the sandbox meanwhile: the call is made again then, gets the answers that it got before, and goes on here. */
  sleep(ms: number): Promise<void>;
  sleep(until: { until: Date | string }): Promise<void>;
}

/** One call of the connector: who it is for, and all that it can reach. */
export interface Context<E extends Env = any, Checkpoint = any> extends BaseContext<E> {
  /** Counts from 1. */
  readonly attempt: number;
  /** What the call was started again with, see `sleep`; undefined the first time. */
  readonly checkpoint: Checkpoint | undefined;
  readonly state: StateOf<E["state"]>;
  /** Makes a record, which becomes an event when the execution succeeds. Of records with one key an installation keeps the first. */
  emit(name: string, data: unknown, options?: { key?: string | undefined }): void;
  /** Marks the execution, so that people find it by name=value. */
  tag(name: string, value: string | number | boolean): void;
  sleep(ms: number): Promise<void>;
  sleep(until: { until: Date | string }): Promise<void>;
  /**
   * Ends the call: what it has done so far is kept, as if it had succeeded, and later it is made again from its start,
   * with the checkpoint. Nothing of what it asked before is remembered, so that work that goes on for ever does not grow.
   */
  sleep(until: { until: Date | string; checkpoint: Checkpoint } | { ms: number; checkpoint: Checkpoint }): Promise<never>;
  /** A key that is this execution's own, the same when it is run again: for `idempotencyKey` of a request, or for a field of its body. */
  idempotencyKey(name: string): string;
  /** The host app's own functions. */
  readonly host: {
    call<T = unknown>(name: E["functions"], request?: unknown): Promise<T>;
  };
}

/** A webhook's delivery. The host has verified it: a connector never sees one that is not authentic. */
export interface Delivery {
  /** The vendor's id of this delivery. */
  readonly id: string;
  readonly receivedAt: Date;
  readonly method: string;
  readonly path: string;
  /** What follows the question mark, undecoded. */
  readonly query: string;
  /** Without those that carry a signature or credential. */
  readonly headers: ResponseHeaders;
  /** The body as JSON. One that is none is the error invalid_input. `T` is what you say it is: nobody checks it. */
  json<T = unknown>(): T;
  text(): string;
  bytes(): Uint8Array;
}

/** A request of which nobody knows whether it had its effect: it was sent, and no final answer came. */
export interface Doubt {
  /** The host function that was asked: "http", or one of the host app's. */
  readonly function: string;
  /** What was asked of `http`, as the connector asked it, or what was asked of another function. */
  readonly request: HttpDoubt;
  /** What was asked, as it was sent to the host. */
  readonly raw: unknown;
  /** When it was sent first. */
  readonly askedAt: Date;
}

export interface HttpDoubt extends Required<Pick<HttpRequest, "url">> {
  readonly method: string;
  readonly headers: ResponseHeaders;
  readonly connection: string | undefined;
  readonly idempotencyKey: string | undefined;
  json<T = unknown>(): T;
  text(): string;
  bytes(): Uint8Array;
}

/**
 * What became of it: it happened, and the execution goes on with this response; it did not, and is made again; or, with
 * `{}`, nobody can know yet, and it is asked again later.
 */
export type Confirmation =
  | { happened: true; response: HttpResponse | { status: number; headers?: Record<string, string>; json?: unknown; body?: string } | Record<string, unknown> }
  | { happened: false }
  | { happened?: undefined };
