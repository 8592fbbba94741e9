import { Call, Delivered, doubtOf, wireResponse, type Envelope } from "./call.js";
import type { Action, Account, Definition, Poll, Way, Webhook } from "./define.js";
import { ConnectorError } from "./error.js";
import type { Host } from "./host.js";
import { MapOf, TypeErrorOf, isArray, isObject, keys, stringify } from "./intrinsics.js";
import { decode, encode } from "./json.js";
import type { JsonSchema, Shape } from "./schema.js";
import { acceptor, jsonSchemaOf, type Acceptor } from "./validate.js";
import { verdictOf } from "./verify.js";

type AnyDefinition = Definition<any, any, any, any, any, any>;
type AnyAction = Action<any, any, any, any, any>;
type AnyPoll = Poll<any, any, any, any>;
type AnyWebhook = Webhook<any, any, any>;

/** A connection as it goes into the manifest. */
interface WireConnection {
  name: string;
  title?: string | undefined;
  description?: string | undefined;
  type: string;
  header?: string;
  query?: string;
  hosts: readonly string[];
  sign?: readonly string[];
  fields?: JsonSchema;
  rate?: { per_second: number; burst?: number | undefined };
}

/** What each export does: the names of sdk/ABI.md. `verify` is `webhook` by another name: their inputs tell them apart. */
export type Export = "describe" | "action" | "webhook" | "poll" | "test" | "confirm";

/** What a bare host name stands for. */
const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/** A connector, as it runs. */
export class Core {
  readonly definition: AnyDefinition;
  readonly actions = new MapOf<string, AnyAction>();
  readonly polls = new MapOf<string, AnyPoll>();
  readonly webhooks = new MapOf<string, AnyWebhook>();
  readonly #config: Acceptor;
  readonly #inputs = new MapOf<string, Acceptor>();
  #connections: WireConnection[] | undefined;

  constructor(definition: AnyDefinition) {
    if (!isObject(definition)) {
      throw new TypeErrorOf("defineConnector takes an object: { name, version, ... }");
    }
    if (definition.connection && definition.connections) {
      throw new TypeErrorOf(`connector ${stringify(definition.name)}: it has connection and connections: leave one out`);
    }
    this.definition = definition;
    this.#config = acceptor(definition.config ?? {}, "the configuration");
  }

  action(name: string, action: AnyAction): this {
    this.#inputs.set(name, acceptor(action?.input ?? {}, "the input"));
    return this.#add("action", this.actions, name, action);
  }
  poll(name: string, poll: AnyPoll): this {
    if (typeof poll?.key !== "function") {
      throw new TypeErrorOf(`poll ${stringify(name)} has no key: give it a function that tells its records apart`);
    }
    return this.#add("poll", this.polls, name, poll);
  }
  webhook(name: string, webhook: AnyWebhook): this {
    if (typeof webhook?.run === "function" && (webhook.scheme === undefined) === (webhook.verify === undefined)) {
      throw new TypeErrorOf(`webhook ${stringify(name)} has ${webhook.verify ? "a scheme and verify: leave one out" : "neither a scheme nor verify: say how deliveries are signed"}`);
    }
    return this.#add("webhook", this.webhooks, name, webhook);
  }

  #add<T extends { run: unknown }>(kind: string, all: Map<string, T>, name: string, part: T): this {
    if (all.has(name)) {
      throw new TypeErrorOf(`there are two of ${kind} ${stringify(name)}: rename one`);
    }
    if (typeof part?.run !== "function") {
      throw new TypeErrorOf(`${kind} ${stringify(name)} has no run: give it a function`);
    }
    all.set(name, part);
    return this;
  }

  /** Says that the connections are ways to connect one account. */
  isOneAccount(): boolean {
    return this.definition.connection !== undefined;
  }

  /** The connections of the one account; of several accounts, that of the first. */
  accountNames(): string[] {
    const names = this.connections().map((c) => c.name);
    return this.isOneAccount() ? names : names.slice(0, 1);
  }

  /** The connections whose credentials go with requests. Others are keys, which only sign. */
  senders(): WireConnection[] {
    return this.connections().filter((c) => c.type !== "private_key" && (c.type !== "hmac" || c.header !== undefined));
  }

  /** Says that something is signed by the host. */
  signs(): boolean {
    return this.connections().some((c) => c.sign !== undefined && c.sign.length > 0) || [...this.webhooks.values()].some((w) => w.verify !== undefined);
  }

  /** The connections as the manifest has them. */
  connections(): WireConnection[] {
    return (this.#connections ??= this.#readConnections());
  }

  #readConnections(): WireConnection[] {
    const { name, connection, connections, hosts = [] } = this.definition;
    const all = hosts.map((h) => (typeof h === "string" ? h : h.host));
    const wire = (name: string, { title, description, auth, hosts, fields, rate }: Account): WireConnection => ({
      name,
      title,
      description,
      ...auth,
      hosts: hosts ?? all,
      ...(fields ? { fields: jsonSchemaOf(fields as Shape, "input") } : {}),
      ...(rate ? { rate: { per_second: rate.perSecond, burst: rate.burst } } : {}),
    });
    if (connection) {
      const ways: Way[] = [connection, ...(connection.or ?? [])];
      return ways.map((way) => wire(way.name ?? name, way));
    }
    return keys(connections ?? {}).map((name) => wire(name, connections![name] as Account));
  }

  /** What describe returns, see sdk/ABI.md. */
  manifest(): Record<string, unknown> {
    const d = this.definition;
    const names = (name: string, { title, description }: { title?: string; description?: string }) => ({ name, title, description });
    return {
      name: d.name,
      version: d.version,
      title: d.title,
      description: d.description,
      config: jsonSchemaOf(d.config ?? {}, "input"),
      actions: some([...this.actions].map(([name, a]) => ({
        ...names(name, a),
        input: jsonSchemaOf(a.input ?? {}, "input"),
        output: a.output ? jsonSchemaOf(a.output, "output") : {},
        idempotent: a.idempotent || undefined,
      }))),
      webhooks: some([...this.webhooks].map(([name, w]) => ({ ...names(name, w), scheme: w.scheme, verify: w.verify ? true : undefined }))),
      polls: some([...this.polls].map(([name, p]) => ({ ...names(name, p), every: p.every }))),
      connections: some(this.connections()),
      providers: some(d.providers),
      egress: some((d.hosts ?? []).map((h) => (typeof h === "string" ? { host: h, methods: METHODS } : { host: h.host, methods: h.methods }))),
      idempotency: some(d.idempotency),
      not_done: some(d.notDone),
      functions: some(d.functions),
      limits: d.limits && { memory_mib: d.limits.memoryMiB, timeout_ms: d.limits.timeoutMs, stream_mib: d.limits.streamMiB, fuel: d.limits.fuel },
      test: d.test ? true : undefined,
      confirm: d.confirm ? true : undefined,
    };
  }

  /** Runs an export: JSON in, JSON out. What goes wrong is thrown. `begun` gets the call before the connector's function does. */
  async run(host: Host, name: Export, input: string, begun?: (call: Call) => void): Promise<string> {
    if (name === "describe") {
      return encode(this.manifest(), "the manifest");
    }
    const envelope = read(name, input);
    const config = await this.#config(envelope.config ?? {});
    const call = new Call(this, host, envelope, config);
    begun?.(call);
    return encode(await this.#dispatch(name, call, envelope), `what ${titleOf(name, envelope)} returns`);
  }

  async #dispatch(name: Export, call: Call, envelope: Envelope): Promise<unknown> {
    switch (name) {
      case "action": {
        const action = this.#find("action", this.actions, envelope.action);
        return action.run(call, await this.#inputs.get(envelope.action!)!(envelope.input));
      }
      case "webhook":
        if (envelope.verify !== undefined) {
          return verdictOf(this.#find("webhook", this.webhooks, envelope.verify), call, envelope);
        }
        return this.#find("webhook", this.webhooks, envelope.webhook).run(call, new Delivered(envelope.request));
      case "poll": {
        const poll = this.#find("poll", this.polls, envelope.poll);
        return pageOf(poll, envelope.poll!, await poll.run(call, envelope.cursor ?? null));
      }
      case "test":
        if (!this.definition.test) {
          throw new ConnectorError("invalid_input", `connector ${stringify(this.definition.name)} has no test`);
        }
        await this.definition.test(call as never);
        return {};
      case "confirm":
        return this.#confirm(call, envelope);
      default:
        throw new ConnectorError("invalid_input", `there is no export ${stringify(name)}`);
    }
  }

  async #confirm(call: Call, envelope: Envelope): Promise<unknown> {
    if (!this.definition.confirm) {
      throw new ConnectorError("invalid_input", `connector ${stringify(this.definition.name)} has no confirm`);
    }
    const found: unknown = await this.definition.confirm(call as never, doubtOf(envelope));
    if (!isObject(found)) {
      throw new ConnectorError("plugin_bug", "confirm returned nothing: return { happened: true, response }, { happened: false }, or {} if nobody can know yet");
    }
    return found["happened"] === true ? { happened: true, response: wireResponse(found["response"], envelope.function ?? "") } : { happened: found["happened"] };
  }

  #find<T>(kind: string, all: Map<string, T>, name: string | undefined): T {
    const found = all.get(name ?? "");
    if (found === undefined) {
      throw new ConnectorError("invalid_input", `there is no ${kind} ${stringify(name ?? "")}; this connector has ${stringify([...all.keys()])}`);
    }
    return found;
  }
}

function read(name: Export, input: string): Envelope {
  try {
    const envelope: unknown = decode(input);
    if (isObject(envelope)) {
      return envelope as Envelope;
    }
  } catch (thrown) {
    throw new ConnectorError("invalid_input", `read the input of ${name}: ${(thrown as Error).message}`);
  }
  throw new ConnectorError("invalid_input", `read the input of ${name}: it is no object`);
}

function titleOf(name: Export, e: Envelope): string {
  const part = e.action ?? e.webhook ?? e.poll;
  return part === undefined ? name : `${name} ${stringify(part)}`;
}

/** A list, unless it is empty: then the manifest does without. */
function some<T>(all: readonly T[] | undefined): readonly T[] | undefined {
  return all && all.length > 0 ? all : undefined;
}

/** What a poll found, with each record's key. */
function pageOf(poll: AnyPoll, name: string, page: unknown): unknown {
  const wrong = (text: string) => new ConnectorError("plugin_bug", `poll ${stringify(name)} ${text}`);
  if (!isObject(page) || !isArray(page["records"])) {
    throw wrong("returned no list of records: return { records, cursor }");
  }
  if (page["cursor"] === undefined) {
    throw wrong("returned no cursor: return the one that it was given to stay where it is, or null to begin anew");
  }
  const records = page["records"].map((data: unknown, i) => {
    const key = poll.key(data);
    if ((typeof key !== "string" && typeof key !== "number") || key === "") {
      throw wrong(`has no key for records[${i}]: its key function gives ${stringify(key) ?? "undefined"}, where a text or a number is needed`);
    }
    return { key: `${key}`, data };
  });
  return { records, cursor: page["cursor"], more: page["more"] === true };
}
