import { strictText } from "../intrinsics.js";
import { toBase64 } from "../base64.js";
import { ask } from "../host.js";
import type { MemoryCall } from "./memory.js";

/** The globals of Node that are needed here. */
const global = globalThis as any;

/** Runs f with a fetch that goes to the mock, not to the network. */
export async function withFetch<T>(call: MemoryCall, f: () => Promise<T>): Promise<T> {
  const before = global.fetch;
  global.fetch = (input: unknown, init?: any) => fetchFrom(call, input, init);
  try {
    return await f();
  } finally {
    global.fetch = before;
  }
}

async function fetchFrom(call: MemoryCall, input: unknown, init: any = {}): Promise<unknown> {
  const request = new global.Request(input, init);
  const bytes = new Uint8Array(await request.arrayBuffer());
  const headers: Record<string, string[]> = {};
  request.headers.forEach((value: string, name: string) => (headers[name] = [value]));
  const body = strictText(bytes);
  const answer = ask(call, "http", {
    connection: init.connection === false ? undefined : (init.connection ?? call.connectionFor(request.url)),
    method: request.method,
    url: request.url,
    headers,
    ...(body === undefined ? { body_base64: toBase64(bytes) } : { body: body === "" ? undefined : body }),
    idempotency_key: init.idempotencyKey,
  });
  const empty = answer.status === 204 || answer.status === 205 || answer.status === 304;
  const content = answer.body_base64 === undefined ? answer.body : Uint8Array.from(global.atob(answer.body_base64), (c: string) => c.charCodeAt(0));
  const pairs = Object.entries<string[]>(answer.headers ?? {}).flatMap(([name, values]) => values.map((value) => [name, value]));
  return new global.Response(empty ? null : content, { status: answer.status, headers: pairs });
}
