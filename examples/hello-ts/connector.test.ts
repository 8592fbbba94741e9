import assert from "node:assert/strict";
import { test } from "node:test";
import { mock, type Reply } from "@cofferdam/connector/testing";
import hello from "./connector";
import opened from "./fixtures/issues.opened.json" with { type: "json" };

/** GitHub, for one tenant. */
const github = (reply: Reply = { json: [{ name: "bug" }, { name: "triage" }] }, config = {}) =>
  mock(hello, { config, http: { "GET /user": { json: { login: "mona" } }, "POST *": reply } });

test("an opened issue is counted, labelled and told", async () => {
  const host = github();
  const done = { repo: "octo-org/lighthouse", issue: 42, label: "triage", count: 1 };
  assert.deepEqual(await host.webhook("issues", { body: opened }), done);
  const [request] = host.requests;
  assert.equal(request?.url, "https://api.github.com/repos/octo-org/lighthouse/issues/42/labels");
  assert.deepEqual(request.json(), { labels: ["triage"] });
  assert.equal(request.headers["authorization"], "Bearer credential-of-github");
  assert.deepEqual(host.records, [{ name: "issue.labelled", key: "octo-org/lighthouse#42", data: done }]);
  assert.deepEqual(host.state, { "issues/octo-org/lighthouse": 1 });
  assert.deepEqual(host.tags, { repo: "octo-org/lighthouse", issue: "42" });
  assert.deepEqual(host.logs, [{ level: "info", message: "labelled", fields: { repo: "octo-org/lighthouse", issue: 42, count: 1 } }]);
});

test("each repository has a counter of its own", async () => {
  const host = github();
  for (const full_name of ["a/b", "a/c", "a/b"]) {
    await host.webhook("issues", { body: { ...opened, repository: { full_name } } });
  }
  assert.deepEqual(host.state, { "issues/a/b": 2, "issues/a/c": 1 });
});

test("other deliveries are left alone", async () => {
  const host = github();
  assert.equal(await host.webhook("issues", { body: { ...opened, action: "closed" } }), null);
  assert.deepEqual([host.requests, host.state, host.records], [[], {}, []]);
});

test("the configuration chooses label and host", async () => {
  const host = github(undefined, { label: "new", api_url: "http://127.0.0.1:8099/api/" });
  await host.webhook("issues", { body: opened });
  assert.equal(host.requests[0]?.url, "http://127.0.0.1:8099/api/repos/octo-org/lighthouse/issues/42/labels");
  assert.deepEqual(host.requests[0]?.json(), { labels: ["new"] });
});

test("the action returns all labels", async () => {
  assert.deepEqual(await github().action("label", { repo: "o/r", number: 7, label: "triage" }), { labels: ["bug", "triage"] });
});

test("input that GitHub need not see is refused", async () => {
  for (const wrong of [{ repo: "lighthouse" }, { repo: "a/b/c" }, { repo: "/b" }, { number: 0 }]) {
    const host = github();
    await assert.rejects(host.action("label", { repo: "a/b", number: 1, label: "x", ...wrong }), { code: "invalid_input" });
    assert.deepEqual(host.requests, []);
  }
});

test("test asks who the token belongs to", async () => {
  const host = github();
  await host.test();
  assert.deepEqual(host.requests.map((r) => `${r.method} ${r.url}`), ["GET https://api.github.com/user"]);
});

test("GitHub's errors keep their meaning", async () => {
  const reset = `${Math.floor(Date.now() / 1000) + 3600}`;
  const cases: [Reply, code: string, seconds?: number][] = [
    [{ status: 401 }, "auth"],
    [{ status: 403, json: { message: "Resource not accessible" } }, "auth"],
    [{ status: 403, headers: { "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset } }, "rate_limited", 3600],
    [{ status: 403, headers: { "X-RateLimit-Remaining": "12", "X-RateLimit-Reset": reset } }, "auth"],
    [{ status: 403, headers: { "Retry-After": "17" } }, "rate_limited", 17],
    [{ status: 403, json: { message: "You have exceeded a secondary rate limit." } }, "rate_limited", 60],
    [{ status: 429 }, "rate_limited"],
    [{ status: 404 }, "invalid_input"],
    [{ status: 422 }, "invalid_input"],
    [{ status: 503 }, "upstream_unavailable"],
    [{ status: 200, body: "<html>" }, "contract_changed"],
  ];
  for (const [reply, code, seconds] of cases) {
    const host = github(reply);
    await assert.rejects(host.webhook("issues", { body: opened }), (e: any) => {
      assert.equal(e.code, code);
      assert.equal(e.retryAfterMs > 0 ? Math.ceil(e.retryAfterMs / 1000) : undefined, seconds);
      return true;
    });
    assert.deepEqual([host.state, host.records], [{}, []]);
  }
});

test("a delivery that is no JSON is invalid input", async () => {
  await assert.rejects(github().webhook("issues", { id: "d1", body: "payload=%7B" }), { code: "invalid_input", message: /"d1"/ });
});
