import { fromBase64, toBase64 } from "../base64.js";
import { isHostOf } from "../client.js";
import { ConnectorError } from "../error.js";
import { encodeText, isObject } from "../intrinsics.js";

/** What a call had signed. */
export interface Signed {
  connection: string;
  algorithm: string;
  /** What an HMAC was made of. */
  payload?: string | Uint8Array;
  /** What a token was made of. */
  claims?: Record<string, any>;
  /** Of a URL. */
  method?: string;
  url?: string;
  lifetimeS?: number;
}

/** What the host of a test knows. */
interface World {
  manifest: { connections?: { name: string; hosts: string[]; sign?: string[] }[] };
  config: Record<string, unknown>;
  connections: Record<string, object>;
  signed: Signed[];
}

interface WireSign {
  connection: string;
  algorithm: string;
  payload?: string;
  payload_base64?: string;
  claims?: unknown;
  method?: string;
  url?: string;
  lifetime_s?: number;
}

/** What everything is signed with that goes through a connection. Nobody's key is needed for it, and nobody takes it for a real one. */
export function signatureOf(connection: string): string {
  return `signature-of-${connection}`;
}

/** Answers sign, as far as that goes without a key. */
export function sign(world: World, r: WireSign): unknown {
  const { connection, algorithm } = r;
  const about = world.manifest.connections?.find((c) => c.name === connection);
  if (!about?.sign?.includes(algorithm)) {
    throw new ConnectorError("denied", `the connection ${JSON.stringify(connection)} may not sign with ${algorithm}: name it under auth.sign of the connection`);
  }
  if (!(connection in world.connections)) {
    throw new ConnectorError("no_connection", `connection ${JSON.stringify(connection)} is not granted`);
  }
  const signature = encodeText(signatureOf(connection));
  if (algorithm.startsWith("hmac-")) {
    const payload = r.payload ?? fromBase64(r.payload_base64 ?? "")!;
    world.signed.push({ connection, algorithm, payload });
    return { hex: [...signature].map((b) => b.toString(16).padStart(2, "0")).join(""), base64: toBase64(signature) };
  }
  const lifetimeS = r.lifetime_s ?? 300;
  if (!Number.isInteger(lifetimeS) || lifetimeS < 1 || lifetimeS > 3600) {
    throw invalid(`"lifetime_s" is ${lifetimeS}: it must be from 1 to 3600`);
  }
  const iat = Math.floor(Date.now() / 1000);
  const exp = iat + lifetimeS;
  const expires_at = new Date(exp * 1000).toISOString();
  if (algorithm === "aws-sigv4") {
    const url = checkedUrl(r.url ?? "", about.hosts, world.config);
    world.signed.push({ connection, algorithm, method: r.method!, url: r.url!, lifetimeS });
    return { url: `${url}${url.includes("?") ? "&" : "?"}X-Amz-Signature=${signatureOf(connection)}`, expires_at };
  }
  const claims = checkedClaims(r.claims);
  world.signed.push({ connection, algorithm, claims, lifetimeS });
  return { token: `${segment({ alg: algorithm, typ: "JWT" })}.${segment({ ...claims, iat, exp })}.${forUrls(toBase64(signature))}`, expires_at };
}

function checkedClaims(claims: unknown): Record<string, unknown> {
  if (!isObject(claims)) {
    throw invalid(`"claims" must be a JSON object, such as {"iss":"123"}`);
  }
  for (const name of ["exp", "iat", "nbf"]) {
    if (name in claims) {
      throw invalid(`"claims" has "${name}", which the host sets: use lifetimeS`);
    }
  }
  return claims;
}

function checkedUrl(url: string, hosts: string[], config: Record<string, unknown>): string {
  if (!/^https:\/\/[^/@#]+(\/[^#]*)?$/i.test(url)) {
    throw invalid(`"url" must be an https URL, without a user name and a fragment`);
  }
  if (!hosts.some((host) => isHostOf(host, url, config))) {
    throw invalid(`"url" is not at one of the connection's hosts`);
  }
  return url;
}

/** A part of a token. */
function segment(v: object): string {
  return forUrls(toBase64(encodeText(JSON.stringify(v))));
}

function forUrls(base64: string): string {
  return base64.replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

function invalid(message: string): ConnectorError {
  return new ConnectorError("invalid_request", message);
}
