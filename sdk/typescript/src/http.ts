import type { ConnectorError } from "./error.js";

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "HEAD" | "OPTIONS";

type QueryValue = string | number | boolean | null | undefined;

/** Parameters of a URL. `undefined` and `null` are left out; a list gives one parameter for each item. */
export type Query = { readonly [name: string]: QueryValue | readonly QueryValue[] };

/** Headers of a request, in whatever case. */
export type RequestHeaders = { readonly [name: string]: string | readonly string[] | undefined };

export interface HttpOptions {
  /**
   * The connection whose credential the host adds. Left out, it is the one whose `hosts` the request goes to, of ways to
   * connect one account the first that is granted; `false` sends no credential.
   */
  connection?: string | false | undefined;
  query?: Query | undefined;
  headers?: RequestHeaders | undefined;
  /** Can only shorten the host's own. */
  timeoutMs?: number | undefined;
  /**
   * Names the request among all of this execution, so that the host it goes to knows it if it has to be sent again.
   * Make it with `ctx.idempotencyKey(name)`. It needs `idempotency` of the connector for that host.
   */
  idempotencyKey?: string | undefined;
  /** What looks like a placeholder of the connection's `slots` is text: say so where the text is somebody else's. */
  literal?: boolean | undefined;
  /** Statuses of 400 and above that are an answer, not an error. */
  allow?: readonly number[] | "any" | undefined;
}

/** What is sent: a text, bytes or a `form(...)` as it is, anything else as JSON. */
export type Body = unknown;

export interface HttpRequest extends HttpOptions {
  /** Defaults to GET. */
  method?: Method | undefined;
  /** Absolute, or what follows the connector's `baseUrl`. */
  url: string;
  body?: Body;
}

export interface ResponseHeaders extends Iterable<[name: string, value: string]> {
  /** The first value of a name, in whatever case. */
  get(name: string): string | undefined;
  has(name: string): boolean;
  all(name: string): string[];
}

/** What came back. `T` is what you say it is: nobody checks it. */
export interface HttpResponse<T = unknown> {
  readonly status: number;
  /** The status is below 400. */
  readonly ok: boolean;
  readonly headers: ResponseHeaders;
  /** The body as JSON; `undefined` for 204. A body that is no JSON is the error contract_changed. */
  readonly data: T;
  /** The body as text. */
  text(): string;
  bytes(): Uint8Array;
  /** The URL of a relation in the header Link, such as `link("next")`. */
  link(rel: string): string | undefined;
  /** The error that most APIs mean by the status, or `undefined` below 400. */
  error(): ConnectorError | undefined;
}

/**
 * HTTP through the host, which checks requests against the manifest and the tenant's grant, and adds the credential.
 * A status of 400 and above is thrown as the ConnectorError that most APIs mean by it:
 *
 *     401, 403             auth
 *     408, 500 and above   upstream_unavailable
 *     425, 429             rate_limited, after what Retry-After says
 *     any other            invalid_input
 *
 * Where an API means something else, say so in the connector's `checkResponse`, or take the status with `allow`, which comes first.
 */
export interface Http {
  get<T = unknown>(url: string, options?: HttpOptions): Promise<HttpResponse<T>>;
  post<T = unknown>(url: string, body?: Body, options?: HttpOptions): Promise<HttpResponse<T>>;
  put<T = unknown>(url: string, body?: Body, options?: HttpOptions): Promise<HttpResponse<T>>;
  patch<T = unknown>(url: string, body?: Body, options?: HttpOptions): Promise<HttpResponse<T>>;
  delete<T = unknown>(url: string, options?: HttpOptions): Promise<HttpResponse<T>>;
  request<T = unknown>(request: HttpRequest): Promise<HttpResponse<T>>;
  /**
   * Gets a body in chunks, of which one is in memory at a time. The connector says in `limits.streamMiB` how long such
   * bodies may be. A run that is made again makes the request again, if it is one that only reads; where the other side
   * gives something else by then, the run ends.
   */
  stream(request: string | HttpRequest): Promise<HttpStream>;
  /**
   * Makes a request whose body is sent in chunks. The body of a stream goes from server to server, and never through the
   * connector. Meanwhile no other request may change anything. One that is cut off is made again if its method may be;
   * else somebody has to say what became of it: see `confirm`.
   */
  send<T = unknown>(request: HttpRequest, body: HttpStream | AsyncIterable<Uint8Array | string> | Iterable<Uint8Array | string>): Promise<HttpResponse<T>>;
}

/** A response whose body passes in chunks: `for await (const chunk of stream)`. */
export interface HttpStream extends AsyncIterable<Uint8Array> {
  readonly status: number;
  readonly ok: boolean;
  readonly headers: ResponseHeaders;
  /** The next bytes, up to 1 MiB or as many as are asked for; `undefined` at the end. */
  read(max?: number): Promise<Uint8Array | undefined>;
  /** Gives up what was not read. The end of the loop over it does so, too. */
  close(): void;
}
