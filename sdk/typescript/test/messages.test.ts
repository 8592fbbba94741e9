import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";

test("what is misspelt is an error with a suggestion", () => {
  const file = "types/wrong/misspelt.ts";
  const { stdout } = spawnSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "types/wrong", "--pretty", "false"], { encoding: "utf8" });
  const messages = new Map<number, string>();
  let line = 0;
  for (const text of stdout.split("\n")) {
    line = Number(/misspelt\.ts\((\d+),/.exec(text)?.[1] ?? line);
    messages.set(line, `${messages.get(line) ?? ""}${text}\n`);
  }
  const source = readFileSync(file, "utf8").split("\n");
  source.forEach((text, i) => {
    const want = / \/\/ want: (.*)$/.exec(text)?.[1];
    const got = messages.get(i + 1);
    if (want === undefined) {
      assert.equal(got, undefined, `${file}:${i + 1} is an error`);
    } else {
      assert.ok(got?.includes(want), `${file}:${i + 1}: got ${got}, want ${want}`);
    }
  });
});
