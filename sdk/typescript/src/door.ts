import "./version.js";
import type { Host } from "./host.js";
import { Bytes, TypeErrorOf } from "./intrinsics.js";

/** What the engine's glue offers. It is taken, and removed from the global, before the connector's own code runs. */
interface Door {
  input(): string;
  output(text: string): void;
  error(text: string): void;
  call(name: string, request: string): string;
  random(n: number): ArrayBuffer;
}

const global = globalThis as { __cofferdam?: Door };

function take(): Door {
  const door = global.__cofferdam;
  if (door === undefined) {
    throw new Error("@cofferdam/connector/prelude is for the sandbox: 'cofferdam build' puts it in; unit tests use @cofferdam/connector/testing");
  }
  delete global.__cofferdam;
  return door;
}

export const door: Door = take();

/** What the call that runs now is like; a sandbox has one at a time. */
export const current = {
  /** The bundle is being evaluated; what it has then, every call begins with. */
  loading: true,
  /** The connection whose credential goes to a URL. */
  connectionFor: (_url: string): string | undefined => undefined,
};

/** Asks the host, unless the bundle is being evaluated. */
export const host: Host = {
  call(name, request) {
    if (current.loading && name !== "log") {
      throw tooEarly(name === "http" ? "a request is made" : `the host function ${name} is called`);
    }
    return door.call(name, request);
  },
};

/** Random bytes of the execution: the same when it is run again, and nobody else's. */
export function random(n: number): Uint8Array {
  if (current.loading) {
    throw tooEarly("random bytes are asked for");
  }
  return new Bytes(door.random(n));
}

export function tooEarly(what: string): Error {
  return new TypeErrorOf(`${what} while the connector is loaded, which happens once, when it is built, for everybody: do it inside of run of an action, a webhook or a poll`);
}
