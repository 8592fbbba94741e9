import { createHmac } from "node:crypto";

import { fromBase64 } from "../base64.js";
import { encodeText } from "../intrinsics.js";
import type { Host } from "../host.js";

interface WireSign {
  connection: string;
  algorithm: string;
  payload?: string;
  payload_base64?: string;
}

/** The host of a call of `verify`: it signs with an endpoint's secret, and does nothing else. */
export class Verifying implements Host {
  readonly #secret: string;

  constructor(secret: string) {
    this.#secret = secret;
  }

  call(name: string, request: string): string {
    if (name !== "sign") {
      return refused("denied", `verify can ask for sign, and for nothing else: ${JSON.stringify(name)} is denied`);
    }
    const { connection, algorithm, payload, payload_base64 } = JSON.parse(request) as WireSign;
    const key = this.#key(connection);
    if (key === undefined) {
      return refused("no_connection", `connection ${JSON.stringify(connection)}: the endpoint's secret has no such form`);
    }
    if (!/^hmac-sha(1|256|384|512)$/.test(algorithm)) {
      return refused("denied", "verify signs by hmac-sha1, hmac-sha256, hmac-sha384 or hmac-sha512");
    }
    const sum = createHmac(algorithm.slice("hmac-".length), key).update(payload ?? fromBase64(payload_base64 ?? "")!).digest();
    return JSON.stringify({ result: { hex: sum.toString("hex"), base64: sum.toString("base64") } });
  }

  #key(name: string): Uint8Array | undefined {
    switch (name) {
      case "secret":
        return encodeText(this.#secret);
      case "secret.base64":
        return fromBase64(this.#secret.replace(/^whsec_/, ""));
      case "secret.hex":
        return /^([0-9a-f]{2})*$/i.test(this.#secret) ? new Uint8Array(this.#secret.match(/../g)!.map((b) => parseInt(b, 16))) : undefined;
      default:
        return undefined;
    }
  }
}

function refused(code: string, message: string): string {
  return JSON.stringify({ error: { code, message } });
}
