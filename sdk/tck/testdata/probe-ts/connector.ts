// Probe asks each function of the host by way of the SDK: what its input says, and nothing else.
import { ConnectorError, defineConnector, isSignature, s, type Context, type Delivery, type SecretName } from "@cofferdam/connector";

const about = { input: s.any() };

/** A time of whole seconds. */
const rfc3339 = (time: Date) => time.toISOString().replace(".000", "");

const shown = (d: Delivery) => ({
  id: d.id,
  method: d.method,
  path: d.path,
  query: d.query,
  header: d.headers.get("X-Test") ?? "",
  none: d.headers.get("none") ?? "",
  bytes: [...d.bytes()],
});

/** What `verify` should not do, and what its context has no words for. */
async function misbehave(ctx: Context, what: string): Promise<never> {
  switch (what) {
    case "http":
      await ctx.http.get("https://api.example.com/", { connection: false });
      break;
    case "state":
      await ctx.state.set("a", 1);
      break;
    case "token":
      await ctx.sign.jwt("secret", "HS256", { a: 1 });
      break;
    case "spin":
      for (;;);
  }
  throw new RangeError("no error of ours");
}

export default defineConnector({
  name: "probe-ts",
  version: "0.1.0",
  config: { word: s.string().default("Hello"), n: s.int().optional() },
  hosts: [{ host: "api.example.com", methods: ["GET", "POST", "PUT", "PATCH"] }],
  connections: {
    account: { auth: { type: "bearer" }, rate: { perSecond: 9.5, burst: 20 } },
    shared: { auth: { type: "hmac", sign: ["hmac-sha1", "hmac-sha256", "HS256"] }, hosts: ["api.example.com"] },
    app: { auth: { type: "private_key", sign: ["EdDSA", "ES256", "RS256"] }, hosts: ["api.example.com"] },
    aws: { auth: { type: "aws_sigv4", sign: ["aws-sigv4"] }, hosts: ["examplebucket.s3.amazonaws.com"] },
  },
  idempotency: [{ host: "api.example.com", header: "Idempotency-Key", ttl: "1h" }],
  async confirm(ctx, { request }) {
    await ctx.http.get(request.url, { connection: false });
    if (request.url.endsWith("/yes")) {
      return { happened: true, response: { status: 201, headers: { "X-A": request.headers.get("x-a") ?? "" }, body: "made" } };
    }
    return request.url.endsWith("/no") ? { happened: false } : {};
  },
})
  .action("get", {
    ...about,
    async run(ctx, { key }) {
      const value = await ctx.state.get(key);
      return { found: value !== undefined, value: value ?? null };
    },
  })
  .action("set", {
    ...about,
    async run(ctx, { key, value }) {
      await ctx.state.set(key, value);
      return {};
    },
  })
  .action("delete", {
    ...about,
    async run(ctx, { key }) {
      await ctx.state.delete(key);
      return {};
    },
  })
  .action("swap", { ...about, run: async (ctx, input) => ({ swapped: await ctx.state.cas(input.key, input.old, input.new) }) })
  .action("add", { ...about, run: async (ctx, { key, delta }) => ({ sum: await ctx.state.add(key, delta) }) })
  .action("list", {
    ...about,
    async run(ctx, { prefix, after, limit }) {
      const { entries, more } = await ctx.state.list(prefix, { after: after || undefined, limit: limit || undefined });
      return { keys: entries.map((e) => e.key), values: entries.map((e) => e.value), more };
    },
  })
  .action("http", {
    ...about,
    async run(ctx, input) {
      const response = await ctx.http.request({
        method: input.method,
        url: input.url,
        connection: input.connection ?? false,
        headers: input.headers,
        body: input.json ?? input.text ?? (input.bytes && Uint8Array.from(input.bytes)),
        timeoutMs: input.timeout_ms,
        idempotencyKey: input.key,
        allow: "any",
      });
      const bytes = response.bytes();
      const text = bytes.length < 1000 && !bytes.some((b) => b >= 0xf0) ? response.text() : null;
      return { status: response.status, retry: response.headers.get("Retry-After") ?? "", text, size: bytes.length };
    },
  })
  .action("context", {
    ...about,
    run: ({ execution, attempt, config: { word, n }, connections }) => ({ execution, attempt, word, n: n ?? null, connections, now: Date.now() }),
  })
  .action("echo", { ...about, run: (_, input) => input })
  .action("log", {
    ...about,
    run(ctx, { level, message, fields }) {
      ctx.log[level as "debug"](message, fields);
      return {};
    },
  })
  .action("emit", {
    ...about,
    run(ctx, { name, key, data }) {
      ctx.emit(name, data, { key: key || undefined });
      return {};
    },
  })
  .action("tag", {
    ...about,
    run(ctx, { name, value }) {
      ctx.tag(name, value);
      return {};
    },
  })
  .action("sleep", {
    ...about,
    async run(ctx, { ms, until }) {
      await (until ? ctx.sleep({ until }) : ctx.sleep(ms));
      return {};
    },
  })
  .action("again", {
    ...about,
    async run(ctx, { until, checkpoint }) {
      if (ctx.checkpoint !== undefined) {
        return { checkpoint: ctx.checkpoint };
      }
      return ctx.sleep({ until, checkpoint });
    },
  })
  .action("hmac", { ...about, run: (ctx, { connection, algorithm, text, bytes }) => ctx.sign.hmac(connection, algorithm, text ?? Uint8Array.from(bytes)) })
  .action("jwt", {
    ...about,
    async run(ctx, { connection, algorithm, claims, lifetime_s }) {
      const { token, expiresAt } = await ctx.sign.jwt(connection, algorithm, claims, { lifetimeS: lifetime_s });
      return { token, expires_at: rfc3339(expiresAt) };
    },
  })
  .action("sigv4", {
    ...about,
    async run(ctx, { connection, method, url, lifetime_s }) {
      const signed = await ctx.sign.sigv4(connection, method, url, { lifetimeS: lifetime_s });
      return { url: signed.url, expires_at: rfc3339(signed.expiresAt) };
    },
  })
  .action("fail", {
    ...about,
    run(_, { code, message, retry_after_ms, details }): never {
      throw new ConnectorError(code, message, { retryAfterMs: retry_after_ms || undefined, details: details ?? undefined });
    },
  })
  .action("bug", {
    ...about,
    run(): never {
      throw new RangeError("no error of ours");
    },
  })
  .webhook("any", { scheme: "github", run: (_, d) => shown(d) })
  .webhook("signed", {
    async verify(ctx, d) {
      const what = d.headers.get("X-Do");
      if (what !== undefined) {
        return misbehave(ctx as unknown as Context, what);
      }
      if (d.method === "GET") {
        return { accept: true, respond: { status: 200, text: d.query } };
      }
      if (d.method === "PUT") {
        return { accept: true, respond: { status: 201, json: { challenge: d.json<{ challenge: unknown }>().challenge } } };
      }
      const given = d.headers.get("X-Signature");
      if (!given) {
        return { accept: false, code: "signature_missing", message: "there is no x-signature" };
      }
      const head = new TextEncoder().encode([ctx.config.word, d.method, d.url, d.query, ""].join("|"));
      const secret = (d.headers.get("X-Secret") ?? "secret") as SecretName;
      const want = await ctx.sign.hmac(secret, "hmac-sha256", Uint8Array.from([...head, ...d.bytes()]));
      if (!isSignature(want, given)) {
        return { accept: false, code: "signature_invalid", message: `it is another, at ${rfc3339(d.receivedAt)}` };
      }
      const at = d.headers.get("X-Time");
      return { accept: true, id: d.headers.get("X-Id"), timestamp: at === undefined ? undefined : Number(at) };
    },
    run: (_, d) => shown(d),
  })
  .poll("count", {
    every: "1m",
    cursor: s.any(),
    key: (record: { n: number }) => record.n,
    run(_, cursor) {
      const n = cursor?.n ?? 0;
      return n >= 3 ? { records: [], cursor } : { records: [{ n: n + 1 }], cursor: { n: n + 1 }, more: true };
    },
  });
