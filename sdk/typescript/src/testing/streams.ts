import { fromBase64, toBase64 } from "../base64.js";
import { ConnectorError } from "../error.js";
import { encodeText } from "../intrinsics.js";
import type { WireRequest } from "./routes.js";

interface WireReply {
  status: number;
  headers: Record<string, string[]>;
  body?: string;
  body_base64?: string;
}

interface About {
  stream?: number;
  upload?: number;
  max?: number;
}

/** The bodies of a call that pass in chunks. */
export class Streams {
  readonly #send: (wire: WireRequest) => unknown;
  readonly #downloads = new Map<number, Uint8Array>();
  readonly #uploads = new Map<number, { wire: WireRequest; chunks: Uint8Array[] }>();
  #last = 0;
  #given: Uint8Array = new Uint8Array(0);
  #rest = "";

  constructor(send: (wire: WireRequest) => unknown) {
    this.#send = send;
  }

  /** Begins a question that is followed by bytes. */
  begin(bytes: string): void {
    this.#given = fromBase64(bytes) ?? new Uint8Array(0);
    this.#rest = "";
  }

  /** What follows the answer. */
  rest(): string {
    return this.#rest === "" ? "" : `\n${this.#rest}`;
  }

  functions(): Record<string, (request: any) => unknown> {
    return {
      stream_read: (r) => this.#read(r),
      stream_write: (r) => this.#write(r),
      stream_finish: (r) => this.#finish(r),
      stream_close: (r) => this.#close(r),
    };
  }

  http(wire: WireRequest): unknown {
    const { stream, upload, body_stream: source, ...request } = wire;
    if ((upload || source !== undefined) && (wire.method === "GET" || wire.method === "HEAD" || wire.method === "OPTIONS")) {
      throw new ConnectorError("invalid_request", `a ${wire.method} has no body that could be streamed`);
    }
    if (upload) {
      this.#uploads.set(++this.#last, { wire: request, chunks: [] });
      return { upload: this.#last };
    }
    if (source !== undefined) {
      request.body_base64 = toBase64(found(this.#downloads, source));
      this.#downloads.delete(source);
    }
    const reply = this.#send(request) as WireReply;
    if (!stream) {
      return reply;
    }
    const { body, body_base64: base64, ...head } = reply;
    this.#downloads.set(++this.#last, base64 === undefined ? encodeText(body ?? "") : fromBase64(base64)!);
    return { ...head, stream: this.#last };
  }

  #read({ stream = 0, max = 1 << 20 }: About): unknown {
    const left = found(this.#downloads, stream);
    const chunk = left.subarray(0, max);
    const end = chunk.length < max;
    if (end) {
      this.#downloads.delete(stream);
    } else {
      this.#downloads.set(stream, left.subarray(max));
    }
    this.#rest = toBase64(chunk);
    return { bytes: chunk.length, end };
  }

  #write({ upload = 0 }: About): unknown {
    found(this.#uploads, upload).chunks.push(this.#given);
    return { ended: false };
  }

  #finish({ upload = 0 }: About): unknown {
    const { wire, chunks } = found(this.#uploads, upload);
    this.#uploads.delete(upload);
    const body = new Uint8Array(chunks.reduce((n, chunk) => n + chunk.length, 0));
    let at = 0;
    for (const chunk of chunks) {
      body.set(chunk, at);
      at += chunk.length;
    }
    return this.#send({ ...wire, body_base64: toBase64(body) });
  }

  #close({ stream, upload = 0 }: About): unknown {
    if (stream !== undefined) {
      found(this.#downloads, stream);
      this.#downloads.delete(stream);
    } else {
      found(this.#uploads, upload);
      this.#uploads.delete(upload);
    }
    return {};
  }
}

function found<T>(all: Map<number, T>, n: number): T {
  const one = all.get(n);
  if (one === undefined) {
    throw new ConnectorError("invalid_request", `there is no stream ${n} in this call, or it is over`);
  }
  return one;
}
