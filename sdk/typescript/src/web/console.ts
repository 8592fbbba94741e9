import { Logger, printable } from "../call.js";
import { host } from "../door.js";
import { ErrorOf, stringify, toText } from "../intrinsics.js";
import { define } from "./define.js";

// The console writes to the execution's trace.

const log = new Logger(host);
const counts = new Map<string, number>();

function text(args: readonly unknown[]): string {
  return args.map((one) => (typeof one === "string" ? one : shown(one))).join(" ");
}

function shown(v: unknown): string {
  if (v instanceof ErrorOf) {
    return `${v.name}: ${v.message}\n${v.stack ?? ""}`;
  }
  const printed = printable(v);
  return typeof printed === "string" ? printed : (stringify(printed) ?? toText(printed));
}

const info = (...args: unknown[]): void => log.info(text(args));
const debug = (...args: unknown[]): void => log.debug(text(args));
const nothing = (): void => {};

define("console", {
  log: info,
  info,
  dir: (v: unknown) => info(v),
  table: (v: unknown) => info(v),
  group: info,
  groupCollapsed: info,
  groupEnd: nothing,
  debug,
  trace: (...args: unknown[]) => log.debug(`${text(args)}\n${new Error().stack ?? ""}`),
  warn: (...args: unknown[]) => log.warn(text(args)),
  error: (...args: unknown[]) => log.error(text(args)),
  assert: (ok: unknown, ...args: unknown[]) => ok || log.error(`assertion failed: ${text(args)}`),
  count: (label = "default") => {
    const n = (counts.get(label) ?? 0) + 1;
    counts.set(label, n);
    info(`${label}: ${n}`);
  },
  countReset: (label = "default") => void counts.delete(label),
  time: nothing,
  timeLog: nothing,
  timeEnd: nothing,
  clear: nothing,
});
