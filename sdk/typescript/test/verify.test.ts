import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";

import { defineConnector, isSignature, s } from "../src/index.js";
import { mock } from "../src/testing.js";

const acme = defineConnector({ name: "acme", version: "1.0.0", config: { region: s.string().default("eu") } }).webhook("orders", {
  async verify(ctx, delivery) {
    const given = delivery.headers.get("X-Signature");
    if (delivery.method === "GET") {
      return { accept: true, respond: { status: 200, text: delivery.query } };
    }
    if (given === undefined) {
      return { accept: false, code: "signature_missing" };
    }
    const want = await ctx.sign.hmac("secret", "hmac-sha256", ctx.config.region + delivery.url + delivery.text());
    if (!isSignature(want, given)) {
      return { accept: false, code: "signature_invalid", message: "it is another" };
    }
    return { accept: true, id: delivery.json<{ id: string }>().id, timestamp: delivery.receivedAt.getTime() / 1000 };
  },
  run: (_ctx, delivery) => delivery.id,
});

test("verify decides of a delivery", async () => {
  const on = mock(acme);
  assert.deepEqual(on.manifest["webhooks"], [{ name: "orders", verify: true }]);
  const url = "https://hooks.example/hooks/end_1";
  const body = '{"id":"o-1"}';
  const at = new Date(1_700_000_000_000);
  const signature = (secret: string, text = body) => createHmac("sha256", secret).update("eu" + url + text).digest();
  const signed = { "X-Signature": signature("s3cret").toString("base64") };
  assert.deepEqual(await on.verify("orders", "s3cret", { url, body, at, headers: signed }), { accept: true, id: "o-1", timestamp: 1_700_000_000 });
  assert.equal((await on.verify("orders", "another", { url, body, headers: signed })).accept, false);
  assert.equal((await on.verify("orders", "s3cret", { url, body: '{"id":"o-2"}', headers: signed })).accept, false);
  assert.deepEqual(await on.verify("orders", "s3cret", { url, body }), { accept: false, code: "signature_missing" });
  assert.deepEqual(await on.verify("orders", "s3cret", { method: "GET", query: "c=1" }), { accept: true, respond: { status: 200, text: "c=1" } });
  const broken = { "X-Signature": signature("s3cret", "{").toString("hex") };
  await assert.rejects(on.verify("orders", "s3cret", { url, body: "{", headers: broken }), { code: "invalid_input" });
  assert.equal(await on.webhook("orders", { id: "o-1" }), "o-1");
});

test("a webhook is verified in one way", () => {
  const run = () => undefined;
  assert.throws(() => defineConnector({ name: "a", version: "1.0.0" }).webhook("w", { run } as never), /neither a scheme nor verify/);
  assert.throws(() => defineConnector({ name: "a", version: "1.0.0" }).webhook("w", { scheme: "github", verify: () => ({ accept: true }), run } as never), /leave one out/);
});

test("what verify returns is a verdict", async () => {
  const none = defineConnector({ name: "a", version: "1.0.0" }).webhook("w", { verify: () => undefined as never, run: () => undefined });
  await assert.rejects(mock(none).verify("w", "secret"), { code: "plugin_bug" });
});
