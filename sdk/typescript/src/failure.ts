import { ConnectorError } from "./error.js";
import { ErrorOf, floor, hasOwn, isArray, isFinite, isObject, max, stringify, tagOf, toText } from "./intrinsics.js";

/** An error as sdk/ABI.md has it. */
export interface Failure {
  code: string;
  message: string;
  retry_after_ms?: number;
  details?: Record<string, unknown>;
}

/** How many causes of causes are kept. */
const CAUSES = 8;

/** What is told to the host of whatever was thrown. It never throws. */
export function failureOf(thrown: unknown): Failure {
  try {
    return thrown instanceof ConnectorError ? ofConnectorError(thrown) : bug(thrown);
  } catch {
    return { code: "plugin_bug", message: "something was thrown that throws when it is looked at" };
  }
}

function ofConnectorError(e: ConnectorError): Failure {
  const failure: Failure = { code: toText(e.code), message: toText(e.message) };
  if (typeof e.retryAfterMs === "number" && isFinite(e.retryAfterMs) && e.retryAfterMs > 0) {
    failure.retry_after_ms = max(1, floor(e.retryAfterMs));
  }
  const details = harmless(e.details);
  failure.details = { ...(isObject(details) ? details : details === undefined ? {} : { details }), ...trace(e) };
  return failure;
}

function bug(thrown: unknown): Failure {
  if (!(thrown instanceof ErrorOf)) {
    return { code: "plugin_bug", message: `${describe(thrown)} was thrown: throw an Error, so that there is a message and a stack` };
  }
  return { code: "plugin_bug", message: messageOf(thrown), details: trace(thrown) };
}

/** The stack, and where it comes from. */
function trace(e: Error): Record<string, unknown> {
  const details: Record<string, unknown> = {};
  if (typeof e.stack === "string") {
    details["stack"] = e.stack;
  }
  const causes: unknown[] = [];
  for (let cause = e.cause; cause !== undefined && causes.length < CAUSES; cause = cause instanceof ErrorOf ? cause.cause : undefined) {
    causes.push(cause instanceof ErrorOf ? { message: messageOf(cause), stack: cause.stack } : { message: describe(cause) });
  }
  if (causes.length > 0) {
    details["causes"] = causes;
  }
  const all = (e as { errors?: unknown }).errors;
  if (isArray(all)) {
    details["errors"] = all.slice(0, CAUSES).map((one) => (one instanceof ErrorOf ? { message: messageOf(one), stack: one.stack } : { message: describe(one) }));
  }
  return details;
}

function messageOf(e: Error): string {
  const name = toText(e.name);
  const message = toText(e.message);
  if (e instanceof ConnectorError) {
    return `${e.code}: ${message}`;
  }
  const text = message === "" ? name : `${name}: ${message}`;
  const hint = hintFor(name, message);
  return hint === undefined ? text : `${text} (${hint})`;
}

function describe(v: unknown): string {
  if (typeof v === "string") {
    return `the text ${stringify(v.slice(0, 1000))}`;
  }
  if (typeof v !== "object" || v === null) {
    return typeof v === "function" ? "a function" : toText(v);
  }
  const json = stringify(harmless(v));
  return json.length > 300 ? `${json.slice(0, 300)}...` : json;
}

/** A value that has a JSON form: v itself, or what can be said of it. A failure must not hide another. */
function harmless(v: unknown): unknown {
  try {
    return stringify(v) === undefined ? undefined : v;
  } catch {
    return tagOf(v);
  }
}

const web = "a connector has fetch, and ctx.http, which knows the connection's credential";
const bytes = "use Uint8Array with TextEncoder, TextDecoder, atob and btoa";
const none = "a connector is configured through ctx.config, and has no process, threads, files or environment";

/** What there is instead of what other places have. */
const instead: Record<string, string> = {
  process: none,
  Deno: none,
  Bun: none,
  __dirname: none,
  __filename: none,
  Buffer: bytes,
  FileReader: bytes,
  Blob: bytes,
  File: bytes,
  FormData: "send a form with form({...}) of @cofferdam/connector",
  require: "what a connector imports must be known when it is built: use import",
  module: "use export default",
  exports: "use export default",
  XMLHttpRequest: web,
  WebSocket: web,
  EventSource: web,
  Intl: "the sandbox has no locale data: format with code of your own, or a package that brings its data",
  Worker: "a connector is one thread",
  SharedArrayBuffer: "a connector is one thread",
  WebAssembly: "a connector runs JavaScript only",
  window: "a connector is no web page: use globalThis",
  document: "a connector is no web page",
  self: "use globalThis",
  navigator: "a connector is no web page",
  localStorage: "what lasts belongs in ctx.state",
  sessionStorage: "what lasts belongs in ctx.state",
  indexedDB: "what lasts belongs in ctx.state",
  ReadableStream: "a body is there as a whole: use text() or bytes()",
};

function hintFor(name: string, message: string): string | undefined {
  if (name === "ReferenceError") {
    const missing = /^'?([\w$]+)'? is not defined/.exec(message)?.[1];
    return missing !== undefined && hasOwn(instead, missing) ? instead[missing] : undefined;
  }
  return message.startsWith("Dynamic require of") ? instead["require"] : undefined;
}
