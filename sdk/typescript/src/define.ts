import type { BaseContext, Confirmation, Context, Delivery, Doubt, Env } from "./context.js";
import type { Incoming, Verdict, VerifyContext } from "./verify.js";
import { Core } from "./core.js";
import type { ConnectorError } from "./error.js";
import type { HttpResponse, Method, RequestHeaders } from "./http.js";
import type { AnySchema, Infer, InferIn, Schema, Shape } from "./schema.js";
import type { HmacAlgorithm, KeyJwtAlgorithm, SharedJwtAlgorithm } from "./sign.js";

/** A host name, "*." and a host name, or "{config.name}": the host of the URL in that property of the configuration. */
export type Host = string;

/** A host that the connector wants to reach. A bare name means GET, POST, PUT, PATCH and DELETE. */
export type HostAccess = Host | { host: Host; methods: readonly Method[] };

/**
 * Where requests may have a placeholder such as `{{connection.token}}`, which the host fills. With a placeholder in it, a
 * request has its credential nowhere else.
 */
export interface Slots {
  headers?: readonly string[];
  /** Parameters of the URL. */
  query?: readonly string[];
  /** Pointers (RFC 6901) to strings in a body of JSON, such as /auth/token. */
  json?: readonly string[];
  /** Fields of a form. */
  form?: readonly string[];
}

/** What a vendor allows with one account. */
export interface Rate {
  /** From 1 in a day, 1 / 86400, to 100,000. */
  perSecond: number;
  /** How many requests that were not made can be made up for at once. Defaults to those of a tenth of a second, and one at least. */
  burst?: number;
}

/** How the host uses a credential. What `sign` lists, `ctx.sign` can be asked for. */
export type Auth =
  /** Authorization: Bearer. `slots` take `{{connection.token}}`. */
  | { type: "bearer"; slots?: Slots }
  /** A user name and a password. `slots` take `{{connection.username}}` and `{{connection.password}}`. */
  | { type: "basic"; slots?: Slots }
  /** A key in a header. `slots` take `{{connection.key}}`. */
  | { type: "api_key"; header: string; slots?: Slots }
  /** A key in the URL. */
  | { type: "api_key"; query: string; slots?: Slots }
  /**
   * An account at a provider that the host knows by this name, or that is one of `providers`, whose user agrees: the host
   * keeps and renews its tokens. The scopes are what the connector cannot do without. `slots` take `{{connection.access_token}}`.
   */
  | { type: "oauth2"; provider: string; scopes?: readonly string[]; slots?: Slots }
  /** A shared secret, which signs and is never sent. With a header, requests carry there the HMAC-SHA256 of their body. */
  | { type: "hmac"; header?: string; sign?: readonly (HmacAlgorithm | SharedJwtAlgorithm)[] }
  /** A key of RSA, ECDSA or Ed25519, which signs and is never sent. */
  | { type: "private_key"; sign: readonly KeyJwtAlgorithm[] }
  /** Signature Version 4 of AWS, on each request. */
  | { type: "aws_sigv4"; sign?: readonly "aws-sigv4"[] }
  /** A certificate, which is shown in the TLS handshake. */
  | { type: "client_certificate" };

/** A kind of account at a third party. A tenant connects one; what is secret in it never gets here. */
export interface Account<F extends Shape = Shape> {
  title?: string;
  /** How a tenant comes by the credential. */
  description?: string;
  auth: Auth;
  /** The only ones that the credential is sent to. Defaults to all of the connector's. */
  hosts?: readonly Host[];
  /** What there is to know of an account besides its secret, such as a subdomain. */
  fields?: F;
  /**
   * What the vendor allows. The host keeps to it over all its processes and all connectors, unless the tenant gives the
   * connection a rate of its own; a request whose turn is not soon ends the run, which is made again then.
   */
  rate?: Rate;
}

/** A way to connect the one account that a connector works with. */
export interface Way<F extends Shape = Shape> extends Account<F> {
  /** Defaults to the connector's name. */
  name?: string;
}

/** The one account that a connector works with. */
export interface ConnectionDefinition<F extends Shape = Shape> extends Way<F> {
  /** Other ways to connect it, such as a key beside an `oauth2`. Of those that a tenant has granted, the first is used. */
  or?: readonly Way<F>[];
}

/** A host that does not do twice what comes twice with one key. */
export interface Idempotency {
  host: Host;
  /** Where the key goes, such as Idempotency-Key. */
  header: string;
  /** How long the host knows a key: "24h"; from 5m to 8784h. */
  ttl: string;
}

/** Answers by which a host says that it did not accept a request, so that it may be sent again. */
export interface NotDone {
  host: Host;
  /** From 400 to 599. */
  status: readonly number[];
}

/**
 * The descriptor of an authorization server, as the host reads it. What it leaves out is as the specifications have it.
 * Texts with `{name}` in them have the value of one of `variables` there.
 */
export interface ProviderDescriptor {
  /** Lower-case letters, digits and hyphens, and the name of none that hosts have, such as github. */
  name: string;
  title: string;
  /** The vendor's own pages that the facts are from. */
  docs: readonly string[];
  /** With metadata (RFC 8414), it has the endpoints that are left out. */
  issuer?: string;
  authorization_endpoint?: string;
  token_endpoint?: string;
  /** Where the token may be sent. */
  hosts: readonly string[];
  /** What else there is, by the fields of the host's descriptors. */
  [field: string]: unknown;
}

/** Wishes, which a tenant's grant and the operator can only narrow. */
export interface Limits {
  memoryMiB?: number;
  timeoutMs?: number;
  /** The most of one body that is streamed, in either direction. Without it, the connector streams nothing. */
  streamMiB?: number;
  /** The CPU of a call, in units of which a core burns two to five billion in a second. */
  fuel?: number;
}

type MaybePromise<T> = T | Promise<T>;

/** What a connector is and asks for. */
export interface Definition<
  C extends AnySchema,
  F extends Shape,
  N extends Record<string, unknown>,
  S extends Shape,
  H extends string,
  E extends Env,
> {
  /** Lower-case letters, digits and hyphens, at most 63. */
  name: string;
  /** A semantic version, https://semver.org. */
  version: string;
  title?: string;
  description?: string;
  /** The hosts that the connector wants to reach. */
  hosts?: readonly HostAccess[];
  /** What a tenant can configure. Secrets belong in connections. */
  config?: C;
  /** The account that the connector works with, if it is one. */
  connection?: ConnectionDefinition<F>;
  /** Several accounts, by name. */
  connections?: { [K in keyof N]: Account<N[K] & Shape> };
  /** Authorization servers that hosts need not know: an account of the type oauth2 names one by its name. */
  providers?: readonly ProviderDescriptor[];
  /** What the connector keeps in ctx.state, by key; a `*` in a key stands for any text. Left out, it can be anything. */
  state?: S;
  /** What ctx.http puts in front of a path. */
  baseUrl?: string | ((config: Infer<C>) => string);
  /** Headers of each request of ctx.http. */
  headers?: RequestHeaders | ((config: Infer<C>) => RequestHeaders);
  /** Looks at each response of ctx.http first, but for statuses that a request allows: an error that it returns is thrown. For APIs that do not mean what most mean by a status. */
  checkResponse?: (response: HttpResponse<any>) => ConnectorError | undefined | void;
  idempotency?: readonly Idempotency[];
  notDone?: readonly NotDone[];
  /** Host functions that the host app offers beyond the built-in ones. */
  functions?: readonly H[];
  limits?: Limits;
  /** Checks an installation: credentials, reachability. It should change nothing. */
  test?(ctx: Context<E>): unknown;
  /**
   * Finds out whether a request had its effect that was sent and not answered, and that must not be made twice. It may
   * look, and change nothing.
   */
  confirm?(ctx: BaseContext<E>, doubt: Doubt): MaybePromise<Confirmation>;
}

/** Something that a tenant can have done. */
export interface Action<E extends Env, I extends AnySchema, O extends AnySchema, R, P extends AnySchema, L = never> {
  title?: string;
  description?: string;
  /** Doing it twice is doing it once. */
  idempotent?: boolean;
  /** The input: properties, or a schema. Left out, there is none. */
  input?: I;
  /** The output. Left out, it is anything that has a JSON form. */
  output?: O;
  /** What `ctx.sleep` may start the call again with. */
  checkpoint?: P;
  run(ctx: Context<E, Infer<P>>, input: Infer<I>): MaybePromise<R | Literal<L>>;
}

/** Fetches what is new, every so often. */
export interface Poll<E extends Env, C, R, P extends AnySchema> {
  title?: string;
  description?: string;
  /** How often, unless the tenant says otherwise: "30s", "5m", "24h". */
  every?: string;
  /** What a cursor is. Left out, it is a string, or what the parameter of `run` says. */
  cursor?: Schema<C, any, any>;
  checkpoint?: P;
  /** Fetches. The cursor is what the last run returned, and null at first; records and cursor are committed together. */
  run(ctx: Context<E, Infer<P>>, cursor: C | null): MaybePromise<Page<C, R>>;
  /** Tells records apart: an installation keeps the first of each key. */
  key: (record: R) => string | number;
}

/** What a poll found. */
export interface Page<C, R> {
  records: readonly R[];
  /** Where to go on the next time. */
  cursor: C | null;
  /** Asks to be called again at once. */
  more?: boolean | undefined;
}

/** A kind of delivery that the connector takes. */
export type Webhook<E extends Env, R, P extends AnySchema> = Taken<E, R, P> & (Signed | Verified<E>);

interface Taken<E extends Env, R, P extends AnySchema> {
  title?: string;
  description?: string;
  checkpoint?: P;
  /** Takes a delivery. What it returns is kept as the execution's output; nothing is fine. */
  run(ctx: Context<E, Infer<P>>, delivery: Delivery): MaybePromise<R>;
}

interface Signed {
  /** How deliveries are signed. */
  scheme: "github" | "standard-webhooks";
  verify?: undefined;
}

interface Verified<E extends Env> {
  scheme?: undefined;
  /**
   * Decides whether a delivery is authentic, in place of a scheme, where none says how the vendor signs. It is asked before
   * anything is stored. It can have things signed with the endpoint's secret and read the configuration, and nothing else; it
   * has 50 ms of a core. What it throws refuses.
   */
  verify(ctx: VerifyContext<E>, delivery: Incoming): MaybePromise<Verdict>;
}

/** A webhook, as far as its verification goes. */
export interface AnyVerifier {
  verify?: ((ctx: VerifyContext, delivery: Incoming) => MaybePromise<Verdict>) | undefined;
}

/** The actions, polls and webhooks of a connector, for the compiler. */
export interface Parts {
  actions: Record<string, { input: unknown; output: unknown }>;
  polls: Record<string, { cursor: unknown; record: unknown }>;
  webhooks: Record<string, { output: unknown }>;
}

/** Anything; but the compiler keeps "paid" as "paid" where it would make it a string, so that it fits an enum. */
type Literal<L> = L | object | undefined | null | void | { [name: string]: Literal<L> };

/** What a declared output is, or else what `run` returns. */
type Output<O extends AnySchema, R> = string extends keyof O ? R : InferIn<O>;

/** Says what `run` must return, if it returns something else. */
type MustFit<O extends AnySchema, R> = [R] extends [Output<O, R>] ? unknown : { run: (...args: never) => MaybePromise<Output<O, R>> };

/** A connector: make it with `defineConnector`, give it actions, polls and webhooks, and export it as default. */
export interface Connector<E extends Env = any, T extends Parts = any> {
  action<
    const N extends string,
    const I extends AnySchema = {},
    const O extends AnySchema = Shape,
    R = undefined,
    P extends AnySchema = Schema<unknown>,
    L extends string | number | boolean = never,
  >(
    name: N,
    action: Action<E, I, O, R, P, L> & MustFit<O, R>,
  ): Connector<E, { actions: T["actions"] & { [K in N]: { input: InferIn<I>; output: Output<O, R> } }; polls: T["polls"]; webhooks: T["webhooks"] }>;

  poll<const N extends string, C = string, R = unknown, P extends AnySchema = Schema<unknown>>(
    name: N,
    poll: Poll<E, C, R, P>,
  ): Connector<E, { actions: T["actions"]; polls: T["polls"] & { [K in N]: { cursor: C; record: R } }; webhooks: T["webhooks"] }>;

  webhook<const N extends string, R, P extends AnySchema = Schema<unknown>>(
    name: N,
    webhook: Webhook<E, R, P>,
  ): Connector<E, { actions: T["actions"]; polls: T["polls"]; webhooks: T["webhooks"] & { [K in N]: { output: R } } }>;
}

/** The context of a connector's calls, for functions of your own: `type Ctx = ContextOf<typeof github>`. */
export type ContextOf<T> = T extends Connector<infer E, any> ? Context<E> : never;

/** What a definition says about the context. */
export interface EnvOf<C extends AnySchema, F extends Shape, N extends Record<string, unknown>, S extends Shape, H extends string> {
  config: Readonly<Infer<C>>;
  connection: Readonly<Infer<F>>;
  connections: { readonly [K in keyof N]?: N[K] extends Shape ? Readonly<Infer<N[K]>> : {} };
  state: S;
  functions: H;
}

/**
 * Says what a connector is:
 *
 *     export default defineConnector({ name: "acme", version: "1.0.0", hosts: ["api.acme.example"] })
 *       .action("ping", { title: "Ping", async run(ctx) { ... } });
 */
export function defineConnector<
  const C extends AnySchema = {},
  const F extends Shape = {},
  N extends Record<string, unknown> = {},
  const S extends Shape = {},
  const H extends string = never,
>(definition: Definition<C, F, N, S, H, EnvOf<C, F, N, S, H>>): Connector<EnvOf<C, F, N, S, H>, { actions: {}; polls: {}; webhooks: {} }> {
  return new Core(definition) as never;
}
