// Base64 as of RFC 4648, section 4: https://www.rfc-editor.org/rfc/rfc4648#section-4.
import { Bytes } from "./intrinsics.js";

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** The engine's own, where it has them: https://tc39.es/proposal-arraybuffer-base64. */
const native = {
  to: (Bytes.prototype as { toBase64?: () => string }).toBase64,
  from: (Bytes as { fromBase64?: (text: string) => Uint8Array }).fromBase64,
};

export function toBase64(bytes: Uint8Array): string {
  if (native.to !== undefined) {
    return native.to.call(bytes);
  }
  let text = "";
  for (let i = 0; i < bytes.length; i += 3) {
    const left = bytes.length - i;
    const group = (bytes[i]! << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    text += alphabet[group >> 18]! + alphabet[(group >> 12) & 63]!;
    text += left > 1 ? alphabet[(group >> 6) & 63]! : "=";
    text += left > 2 ? alphabet[group & 63]! : "=";
  }
  return text;
}

/** Gives undefined for a text that is no Base64. White space and missing padding are fine. */
export function fromBase64(text: string): Uint8Array | undefined {
  if (native.from !== undefined && text.length > 1024) {
    try {
      return native.from.call(Bytes, text);
    } catch {
      // It is none, or lacks its padding.
    }
  }
  let data = text.replace(/[\t\n\f\r ]+/g, "");
  if (data.length % 4 === 0) {
    data = data.replace(/==?$/, "");
  }
  if (data.length % 4 === 1 || /[^A-Za-z0-9+/]/.test(data)) {
    return undefined;
  }
  const bytes = new Bytes((data.length * 3) >> 2);
  let group = 0;
  let bits = 0;
  let at = 0;
  for (let i = 0; i < data.length; i++) {
    group = ((group << 6) | value(data.charCodeAt(i))) & 0xffffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes[at++] = (group >> bits) & 255;
    }
  }
  return bytes;
}

function value(code: number): number {
  if (code >= 97) {
    return code - 71;
  }
  if (code >= 65) {
    return code - 65;
  }
  if (code >= 48) {
    return code + 4;
  }
  return code === 43 ? 62 : 63;
}
