// Each copy of this package evaluates this file once. In a sandbox there must be one: an error of one copy is none of
// the other's.

export const VERSION = "0.1.0";

const mark = Symbol.for("@cofferdam/connector");
const global = globalThis as { __cofferdam?: unknown; [mark]?: string };

if (global[mark] !== undefined) {
  throw new Error(
    `there are two copies of @cofferdam/connector in the bundle, ${global[mark]} and ${VERSION}: ` +
      'see who asks for which with "npm ls @cofferdam/connector", and make it one, such as with "npm dedupe"',
  );
}
if (global.__cofferdam !== undefined) {
  Object.defineProperty(global, mark, { value: VERSION });
}
