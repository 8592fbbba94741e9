import { random } from "../door.js";

// The engine's draws from WASI's random stream, too, but fails with less to say.

/** What one request for random bytes may ask for: https://w3c.github.io/webcrypto/#Crypto-method-getRandomValues. */
const MOST = 65536;

function put(name: string, value: unknown): void {
  Object.defineProperty(Object.getPrototypeOf(crypto), name, { value, writable: true, configurable: true, enumerable: true });
}

put("getRandomValues", (array: ArrayBufferView): ArrayBufferView => {
  if (!ArrayBuffer.isView(array)) {
    throw new TypeError("crypto.getRandomValues takes a typed array, such as new Uint8Array(16)");
  }
  if (array.byteLength > MOST) {
    throw new RangeError(`crypto.getRandomValues gives at most ${MOST} bytes at once`);
  }
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength).set(random(array.byteLength));
  return array;
});

// https://www.rfc-editor.org/rfc/rfc9562#name-uuid-version-4
put("randomUUID", (): string => {
  const bytes = random(16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
});
