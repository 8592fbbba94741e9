import { current, random } from "../door.js";

// The engine seeds Math.random once, which would be when the connector is built: the same numbers for everybody. Here
// it is seeded by the execution, at its first use in each call.

/** Before any call there is only this: a library that numbers itself while it is loaded shall not fail. */
let state = new Uint32Array([0x9e3779b9, 0x243f6a88, 0xb7e15162, 1]);
let seeded = false;

/** sfc32 of PractRand, https://pracrand.sourceforge.net. */
function next(): number {
  const [a, b, c, counter] = state as unknown as [number, number, number, number];
  const sum = (a + b + counter) >>> 0;
  state[0] = b ^ (b >>> 9);
  state[1] = c + (c << 3);
  state[2] = ((c << 21) | (c >>> 11)) + sum;
  state[3] = counter + 1;
  return sum;
}

Math.random = (): number => {
  if (!seeded && !current.loading) {
    state = new Uint32Array(random(16).buffer as ArrayBuffer);
    seeded = true;
    for (let i = 0; i < 12; i++) {
      next();
    }
  }
  return ((next() >>> 5) * 67108864 + (next() >>> 6)) / 9007199254740992;
};
