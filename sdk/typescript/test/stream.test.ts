import assert from "node:assert/strict";
import { test } from "node:test";
import { defineConnector, s } from "../src/index.js";
import { mock } from "../src/testing.js";

const content = new Uint8Array((1 << 20) + 5).map((_, i) => i % 251);

const streaming = defineConnector({
  name: "streaming",
  version: "0.1.0",
  hosts: [{ host: "files.example.com", methods: ["GET", "PUT", "POST"] }],
  limits: { streamMiB: 10 },
})
  .action("down", {
    input: s.any(),
    async run(ctx) {
      const stream = await ctx.http.stream("https://files.example.com/a");
      const sizes: number[] = [];
      for await (const chunk of stream) {
        sizes.push(chunk.length);
      }
      return { sizes, after: (await stream.read()) === undefined, status: stream.status };
    },
  })
  .action("some", {
    input: s.any(),
    async run(ctx) {
      const stream = await ctx.http.stream({ url: "https://files.example.com/a" });
      const first = await stream.read(10);
      stream.close();
      stream.close();
      const after = await stream.read().catch((e: Error) => e.message);
      return { first: first!.length, after };
    },
  })
  .action("missing", {
    input: s.any(),
    async run(ctx) {
      const allowed = await ctx.http.stream({ url: "https://files.example.com/missing", allow: [404] });
      allowed.close();
      return (await ctx.http.stream("https://files.example.com/missing")).status;
    },
  })
  .action("across", {
    input: s.any(),
    async run(ctx) {
      const response = await ctx.http.send({ method: "PUT", url: "https://files.example.com/to" }, await ctx.http.stream("https://files.example.com/a"));
      return response.text();
    },
  })
  .action("up", {
    input: s.any(),
    async run(ctx) {
      const response = await ctx.http.send({ method: "POST", url: "https://files.example.com/to" }, ["one ", new Uint8Array([116, 119, 111]), content]);
      return response.text();
    },
  })
  .action("broken", {
    input: s.any(),
    async run(ctx) {
      const body = function* () {
        yield "half";
        throw new Error("broken");
      };
      await ctx.http.send({ method: "PUT", url: "https://files.example.com/to" }, body());
    },
  });

function host() {
  return mock(streaming, {
    http: {
      "GET https://files.example.com/a": { body: content },
      "GET https://files.example.com/missing": { status: 404, body: "no such file" },
      "PUT https://files.example.com/to": (r) => ({ body: `${r.bytes.length}` }),
      "POST https://files.example.com/to": (r) => ({ body: `${r.bytes.length}` }),
    },
  });
}

test("a body comes in chunks", async () => {
  assert.deepEqual(await host().action("down", {}), { sizes: [1 << 20, 5], after: true, status: 200 });
});

test("a body can be given up", async () => {
  assert.deepEqual(await host().action("some", {}), { first: 10, after: "the body of the response was closed" });
});

test("a status of 400 and above is thrown, unless it is allowed", async () => {
  await assert.rejects(host().action("missing", {}), /invalid_input|status 404/);
});

test("a body goes from server to server", async () => {
  assert.equal(await host().action("across", {}), `${content.length}`);
});

test("a body is sent in chunks of text and bytes", async () => {
  assert.equal(await host().action("up", {}), `${content.length + 7}`);
});

test("a body that fails half-way is not sent as a whole", async () => {
  const h = host();
  await assert.rejects(h.action("broken", {}), /broken/);
  assert.equal(h.requests.filter((r) => r.method === "PUT").length, 0);
});
