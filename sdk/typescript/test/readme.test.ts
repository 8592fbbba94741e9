import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";

test("what the README shows compiles", () => {
  const folder = ".test/readme";
  mkdirSync(folder, { recursive: true });
  const blocks = [...readFileSync("README.md", "utf8").matchAll(/^```ts\n(.*?)^```/gms)];
  assert.ok(blocks.length > 1);
  blocks.forEach((block, i) => writeFileSync(`${folder}/example${i}.ts`, block[1]!));
  writeFileSync(`${folder}/tsconfig.json`, '{ "extends": "../../tsconfig.json", "include": ["."], "exclude": [] }');
  const { stdout, status } = spawnSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", folder, "--pretty", "false"], { encoding: "utf8" });
  assert.equal(status, 0, stdout);
});
