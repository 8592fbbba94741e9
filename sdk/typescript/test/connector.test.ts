import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { z } from "zod";
import * as mini from "zod/mini";
import { ConnectorError, VERSION, defineConnector, form, s, type StandardSchema } from "../src/index.js";
import { StartsAgain, mock, type Routes } from "../src/testing.js";

const base = { name: "shop", version: "1.0.0" } as const;

function shop() {
  return defineConnector({
    ...base,
    title: "Shop",
    hosts: ["*.shop.test", { host: "{config.files}", methods: ["GET"] }],
    config: { shop: s.string(), page: s.int().default(2), files: s.string().default("https://files.test") },
    connection: { auth: { type: "bearer" }, hosts: ["*.shop.test"], fields: { account: s.string() }, rate: { perSecond: 9.5, burst: 20 } },
    state: { "seen/*": s.int(), last: s.object({ id: s.string() }) },
    baseUrl: (config) => `https://${config.shop}.shop.test/api/`,
    headers: { "User-Agent": "shop" },
    idempotency: [{ host: "*.shop.test", header: "Idempotency-Key", ttl: "24h" }],
    notDone: [{ host: "*.shop.test", status: [409] }],
    providers: [{ name: "shop-id", title: "Shop", docs: ["https://shop.test/oauth"], token_endpoint: "https://id.shop.test/token", hosts: ["api.shop.test"], pkce: "none" }],
    functions: ["lookup"],
    limits: { memoryMiB: 32, timeoutMs: 5000, fuel: 1e9 },
    async test(ctx) {
      await ctx.http.get("/me");
    },
    async confirm(ctx, doubt) {
      const { data } = await ctx.http.get<{ found?: object }>("/requests", { query: { email: doubt.request.json<{ email: string }>().email } });
      return data.found ? { happened: true, response: { status: 201, json: data.found } } : { happened: false };
    },
  })
    .action("create", {
      idempotent: true,
      input: { email: s.string(), plan: s.enum("free", "paid").default("free") },
      output: { id: s.string() },
      async run(ctx, input) {
        ctx.tag("email", input.email);
        const seen = await ctx.state.add("seen/create");
        const { data } = await ctx.http.post<{ id: number }>("customers", input, { idempotencyKey: ctx.idempotencyKey("create") });
        await ctx.state.set("last", { id: `${data.id}` });
        ctx.emit("created", { id: data.id, seen }, { key: `${data.id}` });
        ctx.log.info("created", { id: data.id, error: new Error("x"), when: 10n });
        return { id: `${data.id}` };
      },
    })
    .poll("orders", {
      every: "5m",
      async run(ctx, cursor) {
        const { data } = await ctx.http.get<{ orders: { id: number }[]; next: string }>("/orders", { query: { since: cursor, limit: ctx.config.page, tags: ["a", "b"] } });
        return { records: data.orders, cursor: data.next, more: data.orders.length === ctx.config.page };
      },
      key: (order) => order.id,
    })
    .webhook("paid", {
      scheme: "standard-webhooks",
      run(ctx, delivery) {
        const { order } = delivery.json<{ order: string }>();
        ctx.emit("paid", { order, topic: delivery.headers.get("X-Topic") });
        return { order };
      },
    });
}

const config = { shop: "acme" };

test("the manifest says all of it", () => {
  const { manifest } = mock(shop(), { config });
  assert.deepEqual({ ...manifest, config: undefined, actions: undefined }, {
    ...base,
    title: "Shop",
    config: undefined,
    actions: undefined,
    webhooks: [{ name: "paid", scheme: "standard-webhooks" }],
    polls: [{ name: "orders", every: "5m" }],
    connections: [
      {
        name: "shop",
        type: "bearer",
        hosts: ["*.shop.test"],
        fields: { $schema: "https://json-schema.org/draft/2020-12/schema", type: "object", properties: { account: { type: "string" } }, required: ["account"], additionalProperties: false },
        rate: { per_second: 9.5, burst: 20 },
      },
    ],
    egress: [
      { host: "*.shop.test", methods: ["GET", "POST", "PUT", "PATCH", "DELETE"] },
      { host: "{config.files}", methods: ["GET"] },
    ],
    idempotency: [{ host: "*.shop.test", header: "Idempotency-Key", ttl: "24h" }],
    not_done: [{ host: "*.shop.test", status: [409] }],
    providers: [{ name: "shop-id", title: "Shop", docs: ["https://shop.test/oauth"], token_endpoint: "https://id.shop.test/token", hosts: ["api.shop.test"], pkce: "none" }],
    functions: ["lookup"],
    limits: { memory_mib: 32, timeout_ms: 5000, fuel: 1e9 },
    test: true,
    confirm: true,
  });
  assert.deepEqual(manifest["config"].required, ["shop"]);
});

test("an action does what it says, and leaves it behind", async () => {
  const host = mock(shop(), { config, state: { "seen/create": 41 }, http: { "POST /api/customers": { status: 201, json: { id: 7 } } } });
  assert.deepEqual(await host.action("create", { email: "a@b.test" }), { id: "7" });
  const [request] = host.requests;
  assert.equal(request!.url, "https://acme.shop.test/api/customers");
  assert.deepEqual(request!.json(), { email: "a@b.test", plan: "free" });
  assert.deepEqual({ ...request!.headers }, { "user-agent": "shop", "content-type": "application/json", "idempotency-key": "exe_1/create", authorization: "Bearer credential-of-shop" });
  assert.deepEqual(host.records, [{ name: "created", key: "7", data: { id: 7, seen: 42 } }]);
  assert.deepEqual(host.state, { "seen/create": 42, last: { id: "7" } });
  assert.deepEqual(host.tags, { email: "a@b.test" });
  assert.deepEqual(host.logs, [{ level: "info", message: "created", fields: { id: 7, error: "Error: x", when: "10" } }]);
});

test("a call that fails leaves nothing behind but its log and tags", async () => {
  const host = mock(shop(), { config, http: { "POST /api/customers": { status: 503, headers: { "Retry-After": "5" }, body: "down" } } });
  await assert.rejects(host.action("create", { email: "a" }), { code: "upstream_unavailable", retryAfterMs: 5000, message: "the API answered with status 503: down" });
  assert.deepEqual([host.state, host.records, host.tags], [{}, [], { email: "a" }]);
});

test("a poll goes on where it was", async () => {
  const host = mock(shop(), { config, http: { "GET /api/orders": [{ json: { orders: [{ id: 1 }, { id: 2 }], next: "n1" } }, { json: { orders: [], next: "n1" } }] } });
  assert.deepEqual(await host.poll("orders"), { records: [{ key: "1", data: { id: 1 } }, { key: "2", data: { id: 2 } }], cursor: "n1", more: true });
  assert.deepEqual(await host.poll("orders"), { records: [], cursor: "n1", more: false });
  assert.deepEqual(host.requests.map((r) => r.url.split("?")[1]), ["limit=2&tags=a&tags=b", "since=n1&limit=2&tags=a&tags=b"]);
});

test("a webhook's delivery is read", async () => {
  const host = mock(shop(), { config });
  assert.deepEqual(await host.webhook("paid", { headers: { "x-topic": "t" }, body: { order: "o1" } }), { order: "o1" });
  assert.deepEqual(host.records, [{ name: "paid", data: { order: "o1", topic: "t" } }]);
  await assert.rejects(host.webhook("paid", { id: "d1", body: "payload=" }), { code: "invalid_input", message: /decode the body of delivery "d1"/ });
});

test("test and confirm ask", async () => {
  const http: Routes = (r) => (r.path === "/api/me" ? { json: {} } : { json: r.query["email"] === "a" ? { found: { id: 1 } } : {} });
  const host = mock(shop(), { config, http });
  await host.test();
  const asked = { method: "POST", url: "https://acme.shop.test/api/customers" };
  assert.deepEqual(await host.confirm({ ...asked, json: { email: "a" } }), { happened: true, response: { status: 201, headers: { "content-type": ["application/json"] }, body: '{"id":1}' } });
  assert.deepEqual(await host.confirm({ ...asked, json: { email: "b" } }), { happened: false });
});

test("what a test does not expect is said, whatever the connector makes of it", async () => {
  const host = mock(defineConnector({ ...base, hosts: ["a.test"] }).action("quiet", { run: (ctx) => ctx.http.post("https://a.test/x", { a: 1 }).catch(() => "fine") }), { http: { "GET /x": {} } });
  await assert.rejects(host.action("quiet"), { message: 'the connector asked for POST https://a.test/x with {"a":1}, and no route answers: there are GET /x' });
});

test("what does not fit is refused before it runs", async () => {
  assert.throws(() => mock(shop(), { config: {} }), /the config of the mock does not fit its schema: shop is missing/);
  assert.throws(() => mock(shop(), { config, connections: { other: {} } }), /grants a connection "other", and the connector has \["shop"\]/);
  assert.throws(() => mock(shop(), { config, connections: { shop: { acount: "1" } } }), /the fields of the connection "shop" do not fit their schema: account is missing; acount is no property/);
  assert.throws(() => mock({} as never), /defineConnector/);
  const host = mock(shop(), { config });
  await assert.rejects(host.action("create", { email: 1, mail: "a" } as never), { code: "invalid_input", message: /email must be string, and is 1; mail is no property: there are email, plan/ });
});

test("hosts, connections and functions are granted or denied", async () => {
  const connector = defineConnector({ ...base, hosts: ["a.test", "b.test"], connections: { a: { auth: { type: "api_key", query: "key" }, hosts: ["a.test"] }, b: { auth: { type: "basic" }, hosts: ["b.test"] } }, functions: ["lookup"] })
    .action("get", { input: { url: s.string(), connection: s.string().optional(), bare: s.bool().optional() }, run: async (ctx, i) => (await ctx.http.get(i.url, { connection: i.bare ? false : i.connection })).status })
    .action("lookup", { run: (ctx) => ctx.host.call("lookup", { a: 1 }) })
    .action("other", { run: (ctx) => ctx.host.call("other" as "lookup") });
  const host = mock(connector, { connections: { a: {} }, http: { "* *": {} }, functions: { lookup: (r) => r.a + 1 } });
  assert.equal(await host.action("get", { url: "https://a.test/x?y=1" }), 200);
  assert.equal(await host.action("get", { url: "https://b.test/", bare: true }), 200);
  assert.deepEqual(host.requests.map((r) => [r.url, r.headers["authorization"]]), [["https://a.test/x?y=1&key=credential-of-a", undefined], ["https://b.test/", undefined]]);
  await assert.rejects(host.action("get", { url: "https://b.test/" }), { code: "no_connection" });
  await assert.rejects(host.action("get", { url: "https://b.test/", connection: "a" }), { code: "denied", message: /not for https:\/\/b.test/ });
  await assert.rejects(host.action("get", { url: "https://c.test/" }), { code: "denied" });
  await assert.rejects(host.action("get", { url: "/x" }), { code: "plugin_bug", message: /no absolute URL, and the connector has no baseUrl/ });
  assert.equal(await host.action("lookup"), 2);
  await assert.rejects(host.action("other"), { code: "denied" });
});

test("state is typed by key, compared by meaning, and listed in order", async () => {
  const connector = defineConnector(base).action("run", {
    async run(ctx) {
      const swaps = [await ctx.state.cas("a", undefined, { x: 1, y: 2 }), await ctx.state.cas("a", { y: 2, x: 1 }, 2), await ctx.state.cas("a", undefined, 3)];
      await ctx.state.set("b/2", [1]);
      await ctx.state.set("b/1", null);
      await ctx.state.set("c", 1);
      await ctx.state.delete("c");
      const { entries, more } = await ctx.state.list("b/", { limit: 1 });
      return { swaps, entries, more, next: (await ctx.state.list("b/", { after: "b/1" })).entries, none: (await ctx.state.get("c")) ?? "none", sum: await ctx.state.add("n", 5) };
    },
  });
  const host = mock(connector);
  assert.deepEqual(await host.action("run"), { swaps: [true, true, false], entries: [{ key: "b/1", value: null }], more: true, next: [{ key: "b/2", value: [1] }], none: "none", sum: 5 });
  await assert.rejects(mock(defineConnector(base).action("a", { run: (ctx) => ctx.state.add("n") }), { state: { n: "x" } }).action("a"), { code: "not_a_number" });
});

test("sleep counts, and a checkpoint starts the call again", async () => {
  const connector = defineConnector(base).action("watch", {
    checkpoint: { round: s.int() },
    async run(ctx) {
      const round = ctx.checkpoint?.round ?? 1;
      await ctx.state.set("round", round);
      if (round === 3) {
        return { round };
      }
      await ctx.sleep(500);
      return ctx.sleep({ ms: 60_000, checkpoint: { round: round + 1 } });
    },
  });
  const host = mock(connector);
  await assert.rejects(host.action("watch"), (e) => e instanceof StartsAgain && e.checkpoint.round === 2 && e.at.getTime() > Date.now());
  await assert.rejects(host.action("watch"), StartsAgain);
  assert.deepEqual(await host.action("watch"), { round: 3 });
  assert.deepEqual(host.state, { round: 3 });
  assert.equal(host.slept, 121_000);
  const wrong = (wait: never) => mock(defineConnector(base).action("a", { run: (ctx) => ctx.sleep(wait) })).action("a");
  await assert.rejects(wrong({ ms: 1, checkpoint: null } as never), { code: "plugin_bug", message: /the checkpoint is null/ });
  await assert.rejects(wrong("1" as never), { code: "plugin_bug", message: /sleep takes milliseconds/ });
});

test("schemas of libraries validate, and tell their JSON Schema if they can", async () => {
  const hand: StandardSchema<{ a: string }, { a: number }> = {
    "~standard": { version: 1, vendor: "hand", validate: async (v: any) => (isNaN(Number(v?.a)) ? { issues: [{ message: "no number", path: ["a", { key: 0 }] }] } : { value: { a: Number(v.a) } }) },
  };
  const connector = defineConnector(base)
    .action("zod", { input: z.object({ email: z.email(), age: z.number().default(7), nick: z.string().regex(/^(?!x)/).optional() }), run: (_, input) => input })
    .action("mini", { input: mini.object({ n: mini.number() }), run: (_, input) => input.n })
    .action("hand", { input: hand, run: (_, input) => input.a + 1 });
  const host = mock(connector);
  assert.deepEqual(await host.action("zod", { email: "a@b.test" }), { email: "a@b.test", age: 7 });
  await assert.rejects(host.action("zod", { email: "a@b.test", age: "x" as never }), { code: "invalid_input", message: /age/ });
  assert.equal(await host.action("mini", { n: 3 }), 3);
  assert.equal(await host.action("hand", { a: "41" }), 42);
  await assert.rejects(host.action("hand", { a: "x" }), { code: "invalid_input", message: "the input does not fit: a.0: no number" });
  const inputs = host.manifest["actions"].map((a: any) => a.input);
  assert.deepEqual(inputs[0].required, ["email"]);
  assert.deepEqual(inputs[0].properties.nick, { type: "string" }, "a pattern with look-around is not for the host");
  assert.deepEqual(inputs[2], { $schema: "https://json-schema.org/draft/2020-12/schema" });
});

test("fields of a connection are read, with their defaults", async () => {
  const connector = defineConnector({ ...base, connection: { name: "a", auth: { type: "bearer" }, hosts: ["a.test"], fields: { id: s.string(), region: s.enum("eu", "us").default("eu") } } }).action("a", { run: (ctx) => ctx.connection });
  assert.deepEqual(await mock(connector, { connections: { a: { id: "7" } } }).action("a"), { id: "7", region: "eu" });
  await assert.rejects(mock(connector, { connections: {} }).action("a"), { code: "no_connection", message: /no connection "a"/ });
});

test("of the ways to connect an account, the first that is granted is used", async () => {
  const token = { auth: { type: "bearer" }, fields: { region: s.string().default("eu") } } as const;
  const account = { ...token, name: "account", auth: { type: "oauth2", provider: "acme", scopes: ["read"] }, hosts: ["a.test"] } as const;
  const connector = defineConnector({ ...base, hosts: ["a.test", "b.test"], connection: { ...account, or: [token] } })
    .action("get", { input: { url: s.string().default("https://a.test/") }, run: async (ctx, { url }) => void (await ctx.http.get(url)) })
    .action("region", { run: (ctx) => ctx.connection.region });
  assert.deepEqual((mock(connector).manifest as any).connections.map((c: any) => [c.name, c.type, c.hosts]), [["account", "oauth2", ["a.test"]], ["shop", "bearer", ["a.test", "b.test"]]]);
  const granting = (...names: string[]) => mock(connector, { connections: Object.fromEntries(names.map((name) => [name, { region: name }])), http: { "GET *": {} } });
  for (const [granted, want] of [[["shop"], "shop"], [["account"], "account"], [["shop", "account"], "account"]] as const) {
    const host = granting(...granted);
    await host.action("get", {});
    assert.equal(host.requests[0]!.headers["authorization"], `Bearer credential-of-${want}`);
    assert.equal(await host.action("region"), want);
  }
  await assert.rejects(granting().action("get", {}), { code: "no_connection", message: "http: the installation has no connection for https://a.test/: grant it account or shop" });
  await assert.rejects(granting().action("region"), { code: "no_connection", message: 'the installation has no connection "account" or "shop"' });
  await assert.rejects(granting("account").action("get", { url: "https://b.test/" }), { code: "no_connection" });
});

test("several accounts for one host are not guessed", async () => {
  const connector = defineConnector({ ...base, hosts: ["a.test"], connections: { from: { auth: { type: "bearer" } }, to: { auth: { type: "bearer" } } } }).action("get", {
    input: { connection: s.string().optional() },
    run: async (ctx, { connection }) => void (await ctx.http.get("https://a.test/", { connection })),
  });
  const host = mock(connector, { connections: { from: {}, to: {} }, http: { "GET *": {} } });
  await assert.rejects(host.action("get", {}), { code: "plugin_bug", message: /the connections from and to are both for https:\/\/a.test\/: say which/ });
  await host.action("get", { connection: "to" });
  assert.equal(host.requests[0]!.headers["authorization"], "Bearer credential-of-to");
});

test("fetch goes to the mock, with the connection's credential", async () => {
  const before = globalThis.fetch;
  const connector = defineConnector({ ...base, hosts: ["a.test"], connection: { auth: { type: "bearer" } } }).action("go", {
    run: async () => (await fetch("https://a.test/x", { method: "POST", body: new Uint8Array([0xff]) })).json() as Promise<{ ok: boolean }>,
  });
  const host = mock(connector, { http: { "POST https://a.test/x": { json: { ok: true } } } });
  assert.deepEqual(await host.action("go"), { ok: true });
  assert.equal(host.requests[0]!.headers["authorization"], "Bearer credential-of-shop");
  assert.deepEqual([...host.requests[0]!.bytes], [0xff]);
  assert.equal(globalThis.fetch, before);
});

test("mistakes in a definition are said where they are made", () => {
  const c = () => defineConnector(base) as any;
  assert.throws(() => c().action("a", {}), /action "a" has no run/);
  assert.throws(() => c().action("a", { run() {} }).action("a", { run() {} }), /there are two of action "a"/);
  assert.throws(() => c().poll("p", { run() {} }), /poll "p" has no key/);
  assert.throws(() => defineConnector({ ...base, connection: { auth: { type: "bearer" } }, connections: {} }), /leave one out/);
  assert.throws(() => (defineConnector as any)(), /takes an object/);
});

test("what a poll returns is held to its form", async () => {
  const poll = (page: any, key: any = (r: any) => r.id) => mock(defineConnector(base).poll("p", { run: () => page, key })).poll("p");
  await assert.rejects(poll(undefined), { code: "plugin_bug", message: /poll "p" returned no list of records/ });
  await assert.rejects(poll({ records: [] }), { message: /returned no cursor/ });
  await assert.rejects(poll({ records: [{ id: 1 }, {}], cursor: null }), { message: /no key for records\[1\]: its key function gives undefined/ });
});

test("a form is written as servers of forms read it", () => {
  assert.equal(decodeURIComponent(form({ amount: 100, metadata: { order: "a b" }, expand: ["customer", { x: true }], none: undefined, empty: null, at: new Date(0) }).text), "amount=100&metadata[order]=a b&expand[0]=customer&expand[1][x]=true&empty=&at=1970-01-01T00:00:00.000Z");
});

test("an error that the connector throws arrives as it is", async () => {
  const details = { field: "email" };
  const host = mock(defineConnector(base).action("a", { run: () => { throw new ConnectorError("invalid_input", "no", { details }); } }));
  await assert.rejects(host.action("a"), { name: "ConnectorError", code: "invalid_input", message: "no", details });
});

test("the version is that of the package", () => {
  assert.equal(VERSION, JSON.parse(readFileSync("package.json", "utf8")).version);
});
