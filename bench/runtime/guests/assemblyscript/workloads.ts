// The workloads in AssemblyScript: each export takes how often to do its work and
// returns a sum of the results.

class Body {
  constructor(
    public x: f64, public y: f64, public z: f64,
    public vx: f64, public vy: f64, public vz: f64, public mass: f64) {}
}

export function nbody(n: i32): i64 {
  const bodies = [
    new Body(0, 0, 0, 0, 0, 0, 39.5),
    new Body(4.8, -1.2, -0.1, 0.6, 2.8, -0.02, 0.037),
    new Body(8.3, 4.1, -0.4, -1, 1.8, 0.008, 0.011),
    new Body(12.9, -15.1, -0.2, 1, 0.9, -0.01, 0.0017),
    new Body(15.4, -25.9, 0.2, 0.98, 0.6, -0.03, 0.002),
  ];
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < 200; j++) step(bodies, 0.001);
  }
  return reinterpret<i64>(bodies[1].x);
}

function step(bodies: Body[], dt: f64): void {
  for (let i = 0; i < bodies.length; i++) {
    const a = bodies[i];
    for (let j = i + 1; j < bodies.length; j++) {
      const b = bodies[j];
      const dx = a.x - b.x, dy = a.y - b.y, dz = a.z - b.z;
      const d2 = dx * dx + dy * dy + dz * dz + 0.01;
      const pull = dt / (d2 * Math.sqrt(d2));
      a.vx -= dx * b.mass * pull; a.vy -= dy * b.mass * pull; a.vz -= dz * b.mass * pull;
      b.vx += dx * a.mass * pull; b.vy += dy * a.mass * pull; b.vz += dz * a.mass * pull;
    }
  }
  for (let i = 0; i < bodies.length; i++) {
    const b = bodies[i];
    b.x += dt * b.vx; b.y += dt * b.vy; b.z += dt * b.vz;
  }
}

export function maps(n: i32): i64 {
  let sum: i64 = 0;
  for (let i = 0; i < n; i++) {
    const m = new Map<i32, i32>();
    let x: u32 = 1;
    for (let j = 0; j < 2000; j++) {
      x = x * 1664525 + 1013904223;
      m.set(x >> 20, j);
    }
    for (let k = 0; k < 4096; k++) {
      if (m.has(k) && (m.get(k) & 1) == 0) {
        sum += m.get(k);
        m.delete(k);
      }
    }
    sum += m.size;
  }
  return sum;
}

export function strings(n: i32): i64 {
  let sum: i64 = 0;
  for (let i = 0; i < n; i++) {
    const parts = new Array<string>();
    for (let j = 0; j < 500; j++) parts.push("order-" + (j * 7919).toString());
    const split = parts.join(";").toUpperCase().split(";");
    for (let j = 0; j < split.length; j++) {
      sum += split[j].length;
      if (split[j].includes("77")) sum++;
    }
  }
  return sum;
}

export function sort(n: i32): i64 {
  let sum: i64 = 0;
  let x: u32 = 1;
  const numbers = new Uint32Array(4096);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < numbers.length; j++) {
      x = x * 1664525 + 1013904223;
      numbers[j] = x;
    }
    numbers.sort((a, b) => (a > b ? 1 : a < b ? -1 : 0));
    sum += numbers[2048];
  }
  return sum;
}
