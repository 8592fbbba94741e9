import { TypeErrorOf } from "../intrinsics.js";
import { define } from "./define.js";

// There is nothing to wait for in a sandbox: what asks the host gets its answer at once. A timer of 0 is a job for
// later in the call; any other would never come.

type Job = { live: boolean };
const jobs = new Map<number, Job>();
const later = queueMicrotask;
let last = 0;

function setTimeout(f: unknown, ms: unknown = 0, ...args: unknown[]): number {
  if (typeof f !== "function") {
    throw new TypeErrorOf("setTimeout takes a function");
  }
  if (Number(ms) > 0) {
    throw new TypeErrorOf(`setTimeout with a delay of ${String(ms)} ms would never fire: wait with await ctx.sleep(ms); for requests there is timeoutMs of ctx.http, and AbortSignal.timeout for fetch`);
  }
  const id = ++last;
  const job = { live: true };
  jobs.set(id, job);
  later(() => {
    jobs.delete(id);
    if (job.live) {
      f(...args);
    }
  });
  return id;
}

function clearTimeout(id: unknown): void {
  const job = jobs.get(id as number);
  if (job !== undefined) {
    job.live = false;
  }
}

define("setTimeout", setTimeout);
define("clearTimeout", clearTimeout);
define("setImmediate", (f: unknown, ...args: unknown[]) => setTimeout(f, 0, ...args));
define("clearImmediate", clearTimeout);
define("setInterval", () => {
  throw new TypeErrorOf("setInterval would never fire: a call ends when its function does. For what comes again and again, define a poll, or wait with ctx.sleep");
});
define("clearInterval", clearTimeout);
