/** What went wrong, in one word; it decides what follows. Words of your own are welcome: people group failures by them. */
export type Code =
  /** The third party asks for patience: tried again after a back-off, or after `retryAfterMs`. */
  | "rate_limited"
  /** The third party is down or overloaded: tried again. */
  | "upstream_unavailable"
  /** Another try may do, for a reason that has no code. */
  | "retry"
  /** The third party could not be reached: tried again. */
  | "network"
  /** An answer did not come in time: tried again. */
  | "timeout"
  /** The third party refuses the tenant's credential: waits for a new one. */
  | "auth"
  /** The same input can never succeed. */
  | "invalid_input"
  /** The third party's API is not what it was. */
  | "contract_changed"
  /** The connector is wrong. It is also the code of whatever else is thrown. */
  | "plugin_bug"
  // What the host says when it turns a request down.
  | "denied"
  | "no_connection"
  | "invalid_request"
  | "limit_exceeded"
  | "response_too_large"
  | "address_refused"
  | "not_a_number"
  | "internal"
  | (string & {});

export interface ConnectorErrorOptions {
  /** How long to wait before the next try, in milliseconds. Left out, the host decides. */
  retryAfterMs?: number | undefined;
  /** Kept with the failure. It must have a JSON form, and hold nothing secret. */
  details?: unknown;
  /** The error behind this one. */
  cause?: unknown;
}

/**
 * A failure with a code, which decides what follows.
 *
 *     throw new ConnectorError("invalid_input", `there is no repository ${name}`);
 */
export class ConnectorError extends Error {
  readonly code: Code;
  readonly retryAfterMs: number | undefined;
  readonly details: unknown;

  constructor(code: Code, message: string, options: ConnectorErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryAfterMs = options.retryAfterMs;
    this.details = options.details;
  }

  override get name(): string {
    return "ConnectorError";
  }
}
