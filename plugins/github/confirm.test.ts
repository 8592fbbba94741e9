import assert from "node:assert/strict";
import { test } from "node:test";
import { mock, type Routes } from "@cofferdam/connector/testing";
import github from "./connector.ts";

const api = "https://api.github.com/repos/octo-org/lighthouse";
const askedAt = new Date("2026-01-02T03:04:05Z");
const mark = "<!-- exe_00000000000000000000000001/issue -->";

/** Asks what became of a request, of a GitHub that answers in this way. */
const ask = (http: Routes, path: string, json: unknown, method = "POST") => mock(github, { http }).confirm({ method, url: api + path, json }, askedAt);

test("an issue is found by its mark", async () => {
  const issues = [{ number: 8, body: "Since midnight." }, { number: 7, body: `Since midnight.\n\n${mark}` }];
  const found = await ask({ "GET /repos/octo-org/lighthouse/issues?*": { json: issues } }, "/issues", { title: "Out", body: `Since midnight.\n\n${mark}` });
  assert.equal(found.happened, true);
  assert.deepEqual(JSON.parse(found.response.body), issues[1]);
});

test("it is looked for from a minute before it was sent", async () => {
  const bench = mock(github, { http: { "GET *": { json: [] } } });
  const found = await bench.confirm({ method: "POST", url: `${api}/issues/7/comments`, json: { body: `Hello.\n\n${mark}` } }, askedAt);
  assert.equal(found.happened, false);
  assert.match(bench.requests[0]!.url, /\/issues\/7\/comments\?since=2026-01-02T03%3A03%3A05.000Z&per_page=100$/);
});

test("what has no mark is left to a person", async () => {
  assert.deepEqual(await ask({}, "/issues", { title: "Out", body: "Since midnight. <!-- a note of the author's -->" }), {});
});

test("a branch has one pull request", async () => {
  const route = "GET /repos/octo-org/lighthouse/pulls?state=open&head=octo-org%3Amend-light&base=main";
  const asked = { title: "Mend the light", head: "mend-light", base: "main" };
  assert.equal((await ask({ [route]: { json: [{ number: 12 }] } }, "/pulls", asked)).happened, true);
  assert.equal((await ask({ [route]: { json: [] } }, "/pulls", asked)).happened, false);
});

test("what sets values is made again", async () => {
  assert.equal((await ask({}, "/issues/7", { state: "closed" }, "PATCH")).happened, false);
  assert.equal((await ask({}, "/issues/7/labels", { labels: ["bug"] })).happened, false);
});

test("nobody can tell whose run of a workflow it is", async () => {
  assert.deepEqual(await ask({}, "/actions/workflows/deploy.yml/dispatches", { ref: "main" }), {});
});
