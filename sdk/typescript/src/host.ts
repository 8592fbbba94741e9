import { ConnectorError } from "./error.js";
import { isObject, stringify, toText } from "./intrinsics.js";
import { decode, encode } from "./json.js";

/** What a connector asks for everything that is not its own. The sandbox has the real one, `testing` one for unit tests. */
export interface Host {
  /** Asks a host function of sdk/ABI.md: JSON in, JSON out. */
  call(name: string, request: string): string;
}

/** Asks the host what the author has made up: it may have no JSON form. What the host turns down is thrown. */
export function askChecked(host: Host, name: string, request: unknown): any {
  return answerOf(name, host.call(name, encode(request, `the request of ${name}`)));
}

/** Asks the host. What it turns down is thrown. */
export function ask(host: Host, name: string, request: object): any {
  return answerOf(name, host.call(name, stringify(request)));
}

/** The result of an answer. What the host turns down is thrown. */
export function answerOf(name: string, text: string): any {
  const answer: unknown = decode(text);
  if (!isObject(answer)) {
    throw new ConnectorError("internal", `${name}: the host's answer is no object`);
  }
  const error = answer["error"];
  if (isObject(error)) {
    const wait = error["retry_after_ms"];
    throw new ConnectorError(toText(error["code"]), `${name}: ${toText(error["message"])}`, { retryAfterMs: typeof wait === "number" ? wait : undefined });
  }
  return answer["result"];
}
