// Stream passes bodies in chunks: down, across and up.
import { defineConnector, s } from "@cofferdam/connector";

const about = { input: s.object({ from: s.string(), to: s.string(), bytes: s.int() }) };

/** Zeros, as many as are asked for. */
function* zeros(bytes: number): Generator<Uint8Array> {
  const piece = new Uint8Array(1 << 20);
  for (let left = bytes; left > 0; left -= piece.length) {
    yield left < piece.length ? piece.subarray(0, left) : piece;
  }
}

export default defineConnector({
  name: "stream-ts",
  version: "0.1.0",
  hosts: [{ host: "files.example.com", methods: ["GET", "PUT"] }],
  limits: { memoryMiB: 64, timeoutMs: 600_000, streamMiB: 1024, fuel: 1e12 },
})
  .action("down", {
    ...about,
    async run(ctx, { from }) {
      const stream = await ctx.http.stream(from);
      let bytes = 0;
      for await (const chunk of stream) {
        bytes += chunk.length;
      }
      return { bytes, status: stream.status };
    },
  })
  .action("across", {
    ...about,
    async run(ctx, { from, to }) {
      const { status } = await ctx.http.send({ method: "PUT", url: to }, await ctx.http.stream(from));
      return { bytes: 0, status };
    },
  })
  .action("up", {
    ...about,
    async run(ctx, { to, bytes }) {
      const { status } = await ctx.http.send({ method: "PUT", url: to }, zeros(bytes));
      return { bytes, status };
    },
  })
  .action("through", {
    ...about,
    async run(ctx, { from, to }) {
      const stream = await ctx.http.stream(from);
      const look = async function* () {
        yield* stream;
      };
      const { status } = await ctx.http.send({ method: "PUT", url: to }, look());
      return { bytes: 0, status };
    },
  });
