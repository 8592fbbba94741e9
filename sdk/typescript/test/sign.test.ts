import assert from "node:assert/strict";
import { test } from "node:test";
import { ConnectorError, defineConnector, s } from "../src/index.js";
import { Core } from "../src/core.js";
import { mock, type MockOptions } from "../src/testing.js";

const base = { name: "shop", version: "1.0.0", hosts: ["api.shop.test", "files.shop.test"] } as const;

function shop() {
  return defineConnector({
    ...base,
    connections: {
      api: { auth: { type: "bearer" }, hosts: ["api.shop.test"] },
      hook: { auth: { type: "hmac", header: "X-Signature" }, hosts: ["files.shop.test"] },
      shared: { auth: { type: "hmac", sign: ["hmac-sha256", "HS256"] } },
      app: { auth: { type: "private_key", sign: ["RS256"] } },
      aws: { auth: { type: "aws_sigv4", sign: ["aws-sigv4"] }, hosts: ["bucket.s3.amazonaws.com"] },
    },
  })
    .action("hmac", { run: (ctx) => ctx.sign.hmac("shared", "hmac-sha256", "a=1") })
    .action("bytes", { run: (ctx) => ctx.sign.hmac("shared", "hmac-sha256", Uint8Array.of(0xff, 0)) })
    .action("jwt", { run: (ctx) => ctx.sign.jwt("app", "RS256", { iss: "123" }, { lifetimeS: 60 }) })
    .action("url", { run: (ctx) => ctx.sign.sigv4("aws", "GET", "https://bucket.s3.amazonaws.com/a?b=1") })
    .action("ask", {
      input: { connection: s.string(), algorithm: s.string(), claims: s.any().optional(), url: s.string().optional(), lifetimeS: s.number().optional() },
      async run(ctx, { connection, algorithm, claims, url, lifetimeS }) {
        const sign: any = ctx.sign;
        return url === undefined ? sign.jwt(connection, algorithm, claims, { lifetimeS }) : sign.sigv4(connection, "GET", url, { lifetimeS });
      },
    })
    .action("get", { input: { url: s.string(), connection: s.string().optional() }, run: async (ctx, { url, connection }) => (await ctx.http.get(url, { connection })).status });
}

/** What a host is asked that answers with result. */
async function asked(action: string, result: unknown): Promise<{ request: any; output: any }> {
  let request: any;
  const host = {
    call(name: string, text: string): string {
      assert.equal(name, "sign");
      request = JSON.parse(text);
      return JSON.stringify({ result });
    },
  };
  const output = await (shop() as unknown as Core).run(host, "action", JSON.stringify({ action, input: {}, config: {}, connections: {} }));
  return { request, output: JSON.parse(output) };
}

test("signatures are asked for as the contract says", async () => {
  const expires_at = "2026-01-02T03:09:05.000Z";
  const signature = { hex: "0a", base64: "Cg==" };
  assert.deepEqual(await asked("hmac", signature), { request: { connection: "shared", algorithm: "hmac-sha256", payload: "a=1" }, output: signature });
  assert.deepEqual((await asked("bytes", signature)).request, { connection: "shared", algorithm: "hmac-sha256", payload_base64: "/wA=" });
  assert.deepEqual(await asked("jwt", { token: "a.b.c", expires_at: "2026-01-02T03:09:05Z" }), {
    request: { connection: "app", algorithm: "RS256", claims: { iss: "123" }, lifetime_s: 60 },
    output: { token: "a.b.c", expiresAt: expires_at },
  });
  assert.deepEqual(await asked("url", { url: "https://bucket.s3.amazonaws.com/a?b=1&X=2", expires_at: "2026-01-02T03:09:05Z" }), {
    request: { connection: "aws", algorithm: "aws-sigv4", method: "GET", url: "https://bucket.s3.amazonaws.com/a?b=1" },
    output: { url: "https://bucket.s3.amazonaws.com/a?b=1&X=2", expiresAt: expires_at },
  });
});

test("the mock signs without keys, and keeps what it has signed", async () => {
  const host = mock(shop());
  assert.deepEqual(await host.action("hmac"), { hex: Buffer.from("signature-of-shared").toString("hex"), base64: Buffer.from("signature-of-shared").toString("base64") });
  await host.action("bytes");
  const { token, expiresAt } = (await host.action("jwt")) as any;
  const [header, claims, signature] = token.split(".").map((part: string) => Buffer.from(part, "base64url").toString());
  assert.deepEqual(JSON.parse(header), { alg: "RS256", typ: "JWT" });
  const { iss, iat, exp } = JSON.parse(claims);
  assert.deepEqual([iss, exp - iat, Date.parse(expiresAt)], ["123", 60, exp * 1000]);
  assert.equal(signature, "signature-of-app");
  assert.equal(((await host.action("url")) as any).url, "https://bucket.s3.amazonaws.com/a?b=1&X-Amz-Signature=signature-of-aws");
  assert.deepEqual(host.signed, [
    { connection: "shared", algorithm: "hmac-sha256", payload: "a=1" },
    { connection: "shared", algorithm: "hmac-sha256", payload: Uint8Array.of(0xff, 0) },
    { connection: "app", algorithm: "RS256", claims: { iss: "123" }, lifetimeS: 60 },
    { connection: "aws", algorithm: "aws-sigv4", method: "GET", url: "https://bucket.s3.amazonaws.com/a?b=1", lifetimeS: 300 },
  ]);
});

const url = "https://bucket.s3.amazonaws.com/";
const refusals: [string, any, string, MockOptions?][] = [
  ["another algorithm", { connection: "app", algorithm: "RS512", claims: {} }, "denied"],
  ["another connection", { connection: "none", algorithm: "RS256", claims: {} }, "denied"],
  ["what is not granted", { connection: "app", algorithm: "RS256", claims: {} }, "no_connection", { connections: {} }],
  ["claims that the host sets", { connection: "shared", algorithm: "HS256", claims: { exp: 1 } }, "invalid_request"],
  ["claims that are none", { connection: "shared", algorithm: "HS256", claims: [1] }, "invalid_request"],
  ["a day", { connection: "shared", algorithm: "HS256", claims: {}, lifetimeS: 86_400 }, "invalid_request"],
  ["a URL elsewhere", { connection: "aws", algorithm: "aws-sigv4", url: "https://files.shop.test/" }, "invalid_request"],
  ["a URL in the clear", { connection: "aws", algorithm: "aws-sigv4", url: url.replace("https", "http") }, "invalid_request"],
  ["a URL with a user", { connection: "aws", algorithm: "aws-sigv4", url: url.replace("//", "//u@") }, "invalid_request"],
];
for (const [name, input, code, options] of refusals) {
  test(`the mock does not sign ${name}`, async () => {
    const host = mock(shop(), options ?? {});
    await assert.rejects(host.action("ask", input), (thrown: ConnectorError) => thrown.code === code && thrown.message.startsWith("sign: "));
    assert.deepEqual(host.signed, []);
  });
}

test("keys that only sign are no request's connection", async () => {
  const host = mock(shop(), { http: { "GET *": {} } });
  await host.action("get", { url: "https://api.shop.test/" });
  await host.action("get", { url: "https://files.shop.test/" });
  assert.deepEqual(host.requests.map((r) => r.headers), [{ authorization: "Bearer credential-of-api" }, { "x-signature": "signature-of-hook" }]);
  await assert.rejects(host.action("get", { url: "https://api.shop.test/", connection: "app" }), /signs, and goes with no request: ask ctx\.sign/);
});

test("what nothing is declared for, nobody is asked for", async () => {
  const plain = defineConnector({ ...base, connection: { auth: { type: "bearer" } } }).action("sign", { run: (ctx) => ctx.sign.hmac("shop", "hmac-sha256", "") });
  const host = { call: () => assert.fail("the host was asked") };
  await assert.rejects((plain as unknown as Core).run(host, "action", `{"action":"sign"}`), { code: "denied", message: /^sign: .* name it under auth\.sign/ });
});

test("the manifest says what is signed", () => {
  assert.deepEqual(mock(shop()).manifest["connections"][2], { name: "shared", type: "hmac", sign: ["hmac-sha256", "HS256"], hosts: ["api.shop.test", "files.shop.test"] });
});
