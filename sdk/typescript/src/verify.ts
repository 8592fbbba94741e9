import { Content } from "./body.js";
import type { Call, Envelope } from "./call.js";
import type { Env } from "./context.js";
import type { AnyVerifier } from "./define.js";
import { ConnectorError } from "./error.js";
import { HeaderMap, type WireHeaders } from "./headers.js";
import type { ResponseHeaders } from "./http.js";
import { DateOf, isObject, stringify } from "./intrinsics.js";
import type { HmacAlgorithm, Signature } from "./sign.js";

/** The endpoint's signing secret: as it is, or what its text is the base64 or the hexadecimal digits of. */
export type SecretName = "secret" | "secret.base64" | "secret.hex";

/** What `verify` can reach. */
export interface VerifyContext<E extends Env = any> {
  /** The installation's configuration, with the defaults of its schema. */
  readonly config: E["config"];
  /** Signatures with the endpoint's secret, which stays outside. */
  readonly sign: {
    hmac(secret: SecretName, algorithm: HmacAlgorithm, payload: string | Uint8Array | ArrayBuffer): Promise<Signature>;
  };
}

/** A request that claims to be a delivery. */
export interface Incoming {
  readonly receivedAt: Date;
  /** POST for a delivery; vendors' handshakes may have others. */
  readonly method: string;
  /** The URL that the vendor was given, without a query; empty if the host does not know it. */
  readonly url: string;
  /** What follows the question mark, undecoded. */
  readonly query: string;
  /** All that came. */
  readonly headers: ResponseHeaders;
  /** The body as JSON. One that is none refuses the delivery. */
  json<T = unknown>(): T;
  text(): string;
  bytes(): Uint8Array;
}

/** What `verify` decides. */
export type Verdict =
  | {
      accept: true;
      /** By what a second delivery of the same is known; without, by its body. */
      id?: string | undefined;
      /** When the vendor signed it, in seconds since 1970: more than five minutes from now, the host refuses it. */
      timestamp?: number | undefined;
    }
  /** A handshake, which is no delivery: nothing runs. The body has at most 2 KiB. */
  | { accept: true; respond: { status: number; text?: string; json?: unknown } }
  | {
      accept: false;
      code?: "signature_missing" | "signature_invalid" | "delivery_id_missing" | "delivery_refused" | undefined;
      /** For the operator's log. */
      message?: string | undefined;
    };

/** Compares a signature with one that came, in hexadecimal digits or in base64, in constant time. */
export function isSignature(signature: Signature, given: string | undefined): boolean {
  return given !== undefined && signature.hex !== "" && (same(signature.hex, given) || same(signature.base64, given));
}

function same(a: string, b: string): boolean {
  let different = a.length ^ b.length;
  for (let i = 0; i < a.length; i++) {
    different |= a.charCodeAt(i) ^ (i < b.length ? b.charCodeAt(i) : 0);
  }
  return different === 0;
}

/** Asks a webhook's `verify`. */
export async function verdictOf(webhook: AnyVerifier, call: Call, envelope: Envelope): Promise<unknown> {
  if (!webhook.verify) {
    throw new ConnectorError("invalid_input", `webhook ${stringify(envelope.verify ?? "")} has no verify`);
  }
  const wire = (isObject(envelope.request) ? envelope.request : {}) as Record<string, any>;
  const content = new Content(wire);
  const verdict: unknown = await webhook.verify(call, {
    receivedAt: new DateOf(envelope.time ?? 0),
    method: wire["method"] ?? "",
    url: wire["url"] ?? "",
    query: wire["query"] ?? "",
    headers: new HeaderMap(wire["headers"] as WireHeaders),
    json: <T>() => content.json((why) => new ConnectorError("invalid_input", `decode the body of the delivery: ${why}`)) as T,
    text: () => content.text(),
    bytes: () => content.bytes(),
  });
  if (!isObject(verdict) || typeof verdict["accept"] !== "boolean") {
    throw new ConnectorError("plugin_bug", "verify returned no verdict: return { accept: true, id } or { accept: false }");
  }
  return verdict;
}
