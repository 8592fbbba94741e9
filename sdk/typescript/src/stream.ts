import { fromBase64, toBase64 } from "./base64.js";
import { Answer, type WireResponse } from "./client.js";
import { ConnectorError } from "./error.js";
import { HeaderMap, type WireHeaders } from "./headers.js";
import { answerOf, ask, type Host } from "./host.js";
import type { HttpStream } from "./http.js";
import { ArrayBufferOf, Bytes, encodeText, isView, stringify } from "./intrinsics.js";

/** What passes at once: the most that the host allows, because each chunk is a question. */
const CHUNK = 1 << 20;

/** Asks about a stream. Bytes follow the request and the answer, in Base64: what crosses is text. */
function about(host: Host, name: string, request: object, bytes?: Uint8Array): { result: any; bytes: Uint8Array } {
  const head = stringify(bytes === undefined ? request : { ...request, encoding: "base64" });
  const text = host.call(name, bytes === undefined ? head : `${head}\n${toBase64(bytes)}`);
  const end = text.indexOf("\n");
  const result = answerOf(name, end < 0 ? text : text.slice(0, end));
  return { result, bytes: end < 0 ? new Bytes(0) : (fromBase64(text.slice(end + 1)) ?? new Bytes(0)) };
}

/** A response whose body passes in chunks. */
export class Streamed implements HttpStream {
  readonly status: number;
  readonly headers: HeaderMap;
  readonly #host: Host;
  readonly #number: number | undefined;
  /** What is given before the end: of an answer that somebody has found out, the whole body. */
  #whole: Uint8Array | undefined;
  #over: string | undefined;

  constructor(host: Host, wire: WireResponse & { stream?: number }) {
    this.#host = host;
    this.status = wire.status;
    this.headers = new HeaderMap(wire.headers as WireHeaders);
    this.#number = wire.stream;
    this.#whole = wire.stream === undefined ? new Answer(wire).bytes() : undefined;
  }
  get ok(): boolean {
    return this.status < 400;
  }
  error(): ConnectorError | undefined {
    return new Answer({ status: this.status, headers: this.headers.wire() }).error();
  }
  async read(max: number = CHUNK): Promise<Uint8Array | undefined> {
    if (this.#over === "end") {
      return undefined;
    }
    if (this.#over !== undefined) {
      throw new ConnectorError("plugin_bug", `the body of the response ${this.#over}`);
    }
    if (this.#whole !== undefined) {
      this.#over = "end";
      return this.#whole.length > 0 ? this.#whole : undefined;
    }
    let got;
    try {
      got = about(this.#host, "stream_read", { stream: this.#number, max, encoding: "base64" });
    } catch (thrown) {
      this.#over = "broke off";
      throw thrown;
    }
    if (got.result.end === true) {
      this.#over = "end";
    }
    return got.bytes.length > 0 ? got.bytes : undefined;
  }
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      for (let chunk = await this.read(); chunk !== undefined; chunk = await this.read()) {
        yield chunk;
      }
    } finally {
      this.close();
    }
  }
  close(): void {
    if (this.#over === undefined) {
      this.#over = "was closed";
      if (this.#number !== undefined) {
        about(this.#host, "stream_close", { stream: this.#number });
      }
    }
  }
  /** The number of a stream of which nothing was read, or whole chunks, to be sent as a body. */
  handOver(): number | undefined {
    if (this.#over !== undefined || this.#number === undefined) {
      return undefined;
    }
    this.#over = "was sent as a body";
    return this.#number;
  }
}

/** Sends the body of a request in chunks. */
export async function upload<T>(host: Host, request: object, body: AsyncIterable<Uint8Array | string> | Iterable<Uint8Array | string>): Promise<Answer<T>> {
  const { upload: number } = ask(host, "http", { ...request, upload: true });
  let ended = false;
  try {
    for await (const piece of body) {
      const bytes = typeof piece === "string" ? encodeText(piece) : bytesOf(piece);
      for (let from = 0; from < bytes.length && !ended; from += CHUNK) {
        ended = about(host, "stream_write", { upload: number }, bytes.subarray(from, from + CHUNK)).result.ended === true;
      }
      if (ended) {
        break; // It was answered before it was complete, or has failed.
      }
    }
  } catch (thrown) {
    about(host, "stream_close", { upload: number });
    throw thrown;
  }
  return new Answer<T>(about(host, "stream_finish", { upload: number }).result);
}

function bytesOf(piece: unknown): Uint8Array {
  if (piece instanceof ArrayBufferOf) {
    return new Bytes(piece);
  }
  if (isView(piece)) {
    return new Bytes(piece.buffer, piece.byteOffset, piece.byteLength);
  }
  throw new ConnectorError("plugin_bug", "a body that is sent in chunks gives something that is neither text nor bytes");
}
