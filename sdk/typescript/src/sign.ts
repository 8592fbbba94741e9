import { sent } from "./body.js";
import { ConnectorError } from "./error.js";
import { askChecked, type Host } from "./host.js";
import { DateOf, stringify } from "./intrinsics.js";

/** HMACs, by a connection of the type hmac. */
export type HmacAlgorithm = "hmac-sha1" | "hmac-sha256" | "hmac-sha384" | "hmac-sha512";

/** Tokens, by a connection of the type hmac: its secret is as long as the hash. */
export type SharedJwtAlgorithm = "HS256" | "HS384" | "HS512";

/** Tokens, by a connection of the type private_key. */
export type KeyJwtAlgorithm = "RS256" | "RS384" | "RS512" | "ES256" | "ES384" | "EdDSA";

export interface SignOptions {
  /** How long it is good for, in seconds: 300 if it is left out, and 3600 at most. */
  lifetimeS?: number | undefined;
}

/** An HMAC, written in two ways. */
export interface Signature {
  hex: string;
  base64: string;
}

/** A token's claims, but for those that the host sets. */
export type Claims = { readonly [name: string]: unknown; iat?: never; exp?: never; nbf?: never };

export interface SignedToken {
  token: string;
  expiresAt: Date;
}

export interface SignedUrl {
  url: string;
  expiresAt: Date;
}

/**
 * Has the host sign with the key of a connection, which the connector never sees. The algorithm is one that the connection
 * has under `auth.sign`. A connection that is not granted, or has no such key, is the error no_connection; an algorithm
 * that the connector does not declare is denied.
 */
export interface Sign<Connection extends string = string> {
  /** Signs a payload with a shared secret. */
  hmac(connection: Connection, algorithm: HmacAlgorithm, payload: string | Uint8Array | ArrayBuffer): Promise<Signature>;
  /** Makes a JSON web token. The host adds `iat` and `exp`. */
  jwt(connection: Connection, algorithm: SharedJwtAlgorithm | KeyJwtAlgorithm, claims: Claims, options?: SignOptions): Promise<SignedToken>;
  /** Makes a URL that AWS takes as signed, for whoever has it. It is at one of the connection's hosts. Requests of `http` need none of this: the host signs them. */
  sigv4(connection: Connection, method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE", url: string, options?: SignOptions): Promise<SignedUrl>;
}

/** The names of a connector's connections, where the compiler knows them. */
export type NameOf<Connections> = [keyof Connections] extends [never] ? string : keyof Connections & string;

/** The `sign` of a context. */
export class SignClient implements Sign {
  readonly #host: Host;
  readonly #declared: boolean;

  /** `declared` says whether any connection has something to sign with: without, the function is not linked. */
  constructor(host: Host, declared: boolean) {
    this.#host = host;
    this.#declared = declared;
  }

  #ask(request: { connection: string; algorithm: string; [name: string]: unknown }): any {
    if (!this.#declared) {
      throw new ConnectorError("denied", `sign: the connection ${stringify(request.connection)} may not sign with ${request.algorithm}: name it under auth.sign of the connection`);
    }
    return askChecked(this.#host, "sign", request);
  }

  async hmac(connection: string, algorithm: HmacAlgorithm, payload: string | Uint8Array | ArrayBuffer): Promise<Signature> {
    const { body, body_base64 } = sent(payload).wire;
    const { hex, base64 } = this.#ask({ connection, algorithm, payload: body, payload_base64: body_base64 });
    return { hex, base64 };
  }

  async jwt(connection: string, algorithm: SharedJwtAlgorithm | KeyJwtAlgorithm, claims: Claims, options: SignOptions = {}): Promise<SignedToken> {
    const { token, expires_at } = this.#ask({ connection, algorithm, claims, lifetime_s: options.lifetimeS });
    return { token, expiresAt: new DateOf(expires_at) };
  }

  async sigv4(connection: string, method: string, url: string, options: SignOptions = {}): Promise<SignedUrl> {
    const answer = this.#ask({ connection, algorithm: "aws-sigv4", method, url, lifetime_s: options.lifetimeS });
    return { url: answer.url, expiresAt: new DateOf(answer.expires_at) };
  }
}
