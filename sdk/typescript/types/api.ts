// Nothing here is run: tsc checks that what is right compiles, and that what follows "@ts-expect-error" does not.
import { z } from "zod";
import { defineConnector, s, type ContextOf, type Infer } from "../src/index.js";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function is<_ extends true>(): void {}

interface Customer { id: string; email: string }

const shop = defineConnector({
  name: "acme-shop",
  version: "1.2.0",
  async test(ctx) {
    is<Same<typeof ctx.config.shop, string>>();
    await ctx.http.get("/me");
  },
  async confirm(ctx, doubt) {
    const { data } = await ctx.http.get<{ done: boolean }>("/requests", { query: { at: doubt.request.url } });
    return data.done ? { happened: true, response: { status: 200, json: {} } } : { happened: false };
  },
  hosts: ["*.acme.example", { host: "{config.api_url}", methods: ["GET", "POST"] }],
  config: { shop: s.string().title("Shop").help("subdomain"), pageSize: s.int().default(100), region: s.enum("eu", "us").optional() },
  connection: { name: "acme", title: "Acme", auth: { type: "bearer" }, fields: { accountId: s.string() } },
  state: { "seen/*": s.int(), last: s.object({ at: s.string(), id: s.string().optional() }) },
  baseUrl: (config) => `https://${config.shop}.acme.example/api`,
  idempotency: [{ host: "api.acme.example", header: "Idempotency-Key", ttl: "24h" }],
  notDone: [{ host: "api.acme.example", status: [409] }],
  functions: ["crm_lookup"],
  limits: { memoryMiB: 64, timeoutMs: 30_000, fuel: 1e10 },
})
  .action("createCustomer", {
    title: "Create customer",
    idempotent: true,
    input: { email: s.string().format("email"), name: s.string(), tags: s.array(s.string()).optional(), plan: s.enum("free", "paid").default("free") },
    output: { id: s.string(), plan: s.enum("free", "paid") },
    async run(ctx, input) {
      is<Same<typeof input, { email: string; name: string; plan: "free" | "paid"; tags?: string[] | undefined }>>();
      is<Same<typeof ctx.config.region, "eu" | "us" | undefined>>();
      is<Same<typeof ctx.config.pageSize, number>>();
      is<Same<typeof ctx.connection.accountId, string>>();
      const { data } = await ctx.http.post<{ id: number }>("/customers", input, { idempotencyKey: ctx.idempotencyKey("create") });
      const n = await ctx.state.add("seen/all");
      is<Same<typeof n, number>>();
      const last = await ctx.state.get("last");
      is<Same<typeof last, { at: string; id?: string | undefined } | undefined>>();
      await ctx.state.set("seen/me", 1);
      await ctx.host.call("crm_lookup", { email: input.email });
      // @ts-expect-error: there is no such key.
      await ctx.state.get("lasst");
      // @ts-expect-error: it is no number.
      await ctx.state.add("last");
      // @ts-expect-error: it is a number.
      await ctx.state.set("seen/me", "1");
      // @ts-expect-error: there is no such property.
      void ctx.config.pagesize;
      // @ts-expect-error: there is no such field.
      void ctx.connection.acountId;
      // @ts-expect-error: there is no such property of the input.
      void input.mail;
      // @ts-expect-error: the connector does not name it.
      await ctx.host.call("crm_look");
      return { id: `cust_${data.id}`, plan: "paid" };
    },
  })
  .action("wrong", {
    output: { id: s.string() },
    // @ts-expect-error: the output has an id.
    async run() {
      return { ids: "1" };
    },
  })
  .action("withoutSchemas", {
    async run(ctx, input) {
      is<Same<typeof input, {}>>();
      ctx.log.info("x", { a: 1 });
      return { n: 1 };
    },
  })
  .action("withZod", {
    input: z.object({ email: z.string(), age: z.number().default(1) }),
    run(_ctx, input) {
      is<Same<typeof input, { email: string; age: number }>>();
    },
  })
  .action("sleeps", {
    checkpoint: { round: s.int() },
    async run(ctx) {
      is<Same<typeof ctx.checkpoint, { round: number } | undefined>>();
      await ctx.sleep(1000);
      await ctx.sleep({ until: new Date(), checkpoint: { round: 2 } });
      // @ts-expect-error: the checkpoint has another form.
      await ctx.sleep({ until: new Date(), checkpoint: { rounds: 2 } });
    },
  })
  .poll("customers", {
    every: "5m",
    async run(ctx, cursor) {
      is<Same<typeof cursor, string | null>>();
      const { data } = await ctx.http.get<{ customers: Customer[]; next: string }>("/customers", { query: { since: cursor ?? "1970-01-01" } });
      return { records: data.customers, cursor: data.next, more: data.customers.length === ctx.config.pageSize };
    },
    key: (c) => c.id,
  })
  .poll("keyFirst", {
    key: (c: Customer) => c.id,
    cursor: s.object({ page: s.int() }),
    run(_ctx, cursor) {
      is<Same<typeof cursor, { page: number } | null>>();
      return { records: [] as Customer[], cursor: { page: (cursor?.page ?? 0) + 1 } };
    },
  })
  .poll("annotated", {
    run(_ctx, cursor: number | null) {
      return { records: [{ id: 1 }], cursor: (cursor ?? 0) + 1 };
    },
    // @ts-expect-error: a record has no such property.
    key: (c) => c.ID,
  })
  .webhook("orderPaid", {
    scheme: "standard-webhooks",
    run(ctx, delivery) {
      const { order } = delivery.json<{ order?: { id: string } }>();
      ctx.emit("order", order, { key: order?.id });
      return order;
    },
  });

type Ctx = ContextOf<typeof shop>;
export function helper(ctx: Ctx): string {
  return ctx.config.shop;
}

const two = defineConnector({
  name: "two",
  version: "1.0.0",
  connections: { from: { auth: { type: "basic" }, fields: { site: s.string() } }, to: { auth: { type: "api_key", header: "X-Key" } } },
}).action("copy", {
  async run(ctx) {
    is<Same<typeof ctx.connections.from, Readonly<{ site: string }> | undefined>>();
    // @ts-expect-error: there is no such connection.
    void ctx.connections.form;
    await ctx.state.set("anything", [1]);
    const list = await ctx.state.list<number[]>("any");
    is<Same<typeof list.entries, { key: string; value: number[] }[]>>();
  },
});
void two;

const signer = defineConnector({
  name: "signer",
  version: "1.0.0",
  connections: {
    app: { auth: { type: "private_key", sign: ["RS256", "EdDSA"] } },
    shared: { auth: { type: "hmac", header: "X-Signature", sign: ["hmac-sha256", "HS256"] } },
    bucket: { auth: { type: "aws_sigv4", sign: ["aws-sigv4"] } },
    // @ts-expect-error: it signs by another key's algorithm.
    wrong: { auth: { type: "hmac", sign: ["RS256"] } },
    // @ts-expect-error: a token is sent, and signs nothing.
    sent: { auth: { type: "bearer", sign: ["HS256"] } },
  },
}).action("sign", {
  async run(ctx) {
    const { token, expiresAt } = await ctx.sign.jwt("app", "RS256", { iss: "123" }, { lifetimeS: 60 });
    is<Same<typeof token, string>>();
    is<Same<typeof expiresAt, Date>>();
    const { hex } = await ctx.sign.hmac("shared", "hmac-sha256", new Uint8Array(1));
    await ctx.sign.sigv4("bucket", "PUT", "https://bucket.s3.amazonaws.com/a");
    // @ts-expect-error: there is no such connection.
    await ctx.sign.hmac("shard", "hmac-sha256", "");
    // @ts-expect-error: there is no such algorithm.
    await ctx.sign.hmac("shared", "sha256", "");
    // @ts-expect-error: what is signed is text or bytes.
    await ctx.sign.hmac("shared", "hmac-sha256", { a: 1 });
    // @ts-expect-error: the host sets it.
    await ctx.sign.jwt("app", "RS256", { exp: 1 });
    return hex;
  },
});
void signer;

// The name of a single connection is any text.
const single = defineConnector({ name: "single", version: "1.0.0", connection: { auth: { type: "private_key", sign: ["ES256"] } } });
export const signed = (ctx: ContextOf<typeof single>) => ctx.sign.jwt("single", "ES256", {});

const customer = s.object({ id: s.string(), parent: s.union(s.string(), s.int()).nullable(), meta: s.record(s.bool()), kind: s.literal("x"), any: s.any() });
is<Same<Infer<typeof customer>, { id: string; parent: string | number | null; meta: Record<string, boolean>; kind: "x"; any: any }>>();

// @ts-expect-error: it is "hosts".
defineConnector({ name: "a", version: "1.0.0", host: ["a.test"] });
// @ts-expect-error: it is "title".
defineConnector({ name: "a", version: "1.0.0", connection: { auth: { type: "bearer" }, tittle: "A" } });
// @ts-expect-error: an api_key goes somewhere.
defineConnector({ name: "a", version: "1.0.0", connection: { auth: { type: "api_key" } } });
// @ts-expect-error: there is no such method.
defineConnector({ name: "a", version: "1.0.0", hosts: [{ host: "a.test", methods: ["GTE"] }] });
// @ts-expect-error: it is "timeoutMs".
defineConnector({ name: "a", version: "1.0.0", limits: { timeoutMS: 1 } });
// @ts-expect-error: it is "idempotent".
defineConnector({ name: "a", version: "1.0.0" }).action("a", { idempotentt: true, run() {} });
// @ts-expect-error: a webhook is signed.
defineConnector({ name: "a", version: "1.0.0" }).webhook("a", { run() {} });
// @ts-expect-error: it is "github".
defineConnector({ name: "a", version: "1.0.0" }).webhook("a", { scheme: "gitub", run() {} });
// @ts-expect-error: it is "every".
defineConnector({ name: "a", version: "1.0.0" }).poll("a", { evry: "5m", run: () => ({ records: [], cursor: "" }), key: () => "" });
// @ts-expect-error: a boolean has no least one.
s.bool().min(1);
// @ts-expect-error: it is none of the values.
s.enum("a", "b").default("c");
// @ts-expect-error: it is a number.
s.int().default("1");
