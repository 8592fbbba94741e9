import { define } from "./define.js";

type Listener = ((event: { type: "abort"; target: AbortSignal }) => void) | { handleEvent(event: unknown): void };
const key = Symbol("abort");

class AbortSignal {
  aborted = false;
  reason: unknown = undefined;
  onabort: Listener | null = null;
  /** For fetch: how long it may take. */
  timeoutMs: number | undefined = undefined;
  readonly #listeners = new Set<Listener>();

  constructor(by?: symbol) {
    if (by !== key) {
      throw new TypeError("make an AbortSignal with new AbortController().signal, or AbortSignal.timeout(ms)");
    }
  }
  static abort(reason?: unknown): AbortSignal {
    const signal = new AbortSignal(key);
    signal[key](reason);
    return signal;
  }
  /** Of requests only: nothing else takes time. */
  static timeout(ms: number): AbortSignal {
    const signal = new AbortSignal(key);
    signal.timeoutMs = ms;
    return signal;
  }
  static any(signals: Iterable<AbortSignal>): AbortSignal {
    const any = new AbortSignal(key);
    for (const signal of signals) {
      if (signal.timeoutMs !== undefined) {
        any.timeoutMs = Math.min(any.timeoutMs ?? Infinity, signal.timeoutMs);
      }
      if (signal.aborted) {
        any[key](signal.reason);
      } else {
        signal.addEventListener("abort", () => any[key](signal.reason));
      }
    }
    return any;
  }
  throwIfAborted(): void {
    if (this.aborted) {
      throw this.reason;
    }
  }
  addEventListener(type: string, listener: Listener | null): void {
    if (type === "abort" && listener) {
      this.#listeners.add(listener);
    }
  }
  removeEventListener(_type: string, listener: Listener): void {
    this.#listeners.delete(listener);
  }
  dispatchEvent(): boolean {
    return true;
  }
  [key](reason: unknown = aborted()): void {
    if (this.aborted) {
      return;
    }
    this.aborted = true;
    this.reason = reason;
    const event = { type: "abort" as const, target: this };
    for (const listener of [this.onabort, ...this.#listeners]) {
      if (typeof listener === "function") {
        listener.call(this, event);
      } else {
        listener?.handleEvent(event);
      }
    }
  }
}

function aborted(): Error {
  return new DOMException("this operation was aborted", "AbortError");
}

class AbortController {
  readonly signal = new AbortSignal(key);
  abort(reason?: unknown): void {
    this.signal[key](reason);
  }
}

define("AbortSignal", AbortSignal);
define("AbortController", AbortController);

export type { AbortSignal };
