import { Core, type Export } from "./core.js";
import { current, door, host } from "./door.js";
import { failureOf } from "./failure.js";
import { TypeErrorOf, isObject, stringify } from "./intrinsics.js";

/** The exports, in the order in which the engine's glue numbers them. */
const exports: readonly Export[] = ["describe", "action", "webhook", "poll", "test", "confirm"];

/** Makes what the entry file exports the connector of this sandbox. */
export function mount(connector: unknown): void {
  const core = coreOf(connector);
  core.connections(); // What it finds out now, no call has to.
  (globalThis as { __cofferdam_dispatch?: unknown }).__cofferdam_dispatch = async (index: number): Promise<void> => {
    current.loading = false;
    try {
      const name = exports[index]!;
      door.output(await core.run(host, name, name === "describe" ? "" : door.input(), (call) => (current.connectionFor = call.connectionFor)));
    } catch (thrown) {
      door.error(stringify(failureOf(thrown)));
    }
  };
}

function coreOf(connector: unknown): Core {
  if (connector instanceof Core) {
    return connector;
  }
  throw new TypeErrorOf(`the entry file exports no connector as default, but ${kindOf(connector)}: write export default defineConnector({ ... })`);
}

function kindOf(v: unknown): string {
  if (v === undefined || v === null) {
    return "nothing";
  }
  if (isObject(v) && typeof v["then"] === "function") {
    return "a promise";
  }
  return typeof v === "object" ? "an object that defineConnector has not made" : `a ${typeof v}`;
}
