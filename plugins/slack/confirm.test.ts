import assert from "node:assert/strict";
import { test } from "node:test";
import { mock, type Routes } from "@cofferdam/connector/testing";
import slack from "./connector.ts";

const api = "https://slack.com/api";
const askedAt = new Date("2026-01-02T03:04:05Z");
const metadata = (key: string) => ({ event_type: "cofferdam_message", event_payload: { key } });
const post = (channel: string, more: object = {}) => ({ channel, text: "hello", metadata: metadata("exe_1/message"), ...more });

/** Asks what became of a request, of a Slack that answers in this way. */
const ask = (http: Routes, method: string, json: unknown) => mock(slack, { http }).confirm({ method: "POST", url: `${api}/${method}`, json }, askedAt);

test("a message is found by its metadata", async () => {
  const history = "GET /api/conversations.history?channel=C0123456789&oldest=1767322985&include_all_metadata=true&limit=200";
  const messages = [{ ts: "2.0", text: "hello", metadata: metadata("exe_2/message") }, { ts: "1.0", text: "hello", metadata: metadata("exe_1/message") }];
  const found = await ask({ [history]: { json: { ok: true, messages } } }, "chat.postMessage", post("C0123456789"));
  assert.equal(found.happened, true);
  assert.deepEqual(JSON.parse(found.response.body), { ok: true, channel: "C0123456789", ts: "1.0" });
});

test("a reply is looked for in its thread", async () => {
  const http = { "GET /api/conversations.replies?*&ts=1.0": { json: { ok: true, messages: [] } } };
  assert.equal((await ask(http, "chat.postMessage", post("C0123456789", { thread_ts: "1.0" }))).happened, false);
});

test("an app that may not look leaves it to a person", async () => {
  const http = { "GET /api/conversations.history?*": { json: { ok: false, error: "missing_scope" } } };
  assert.deepEqual(await ask(http, "chat.postMessage", post("C0123456789")), {});
});

test("a channel's name has no history", async () => {
  assert.deepEqual(await ask({}, "chat.postMessage", post("#general")), {});
});

test("what comes to the same is made again", async () => {
  for (const method of ["chat.update", "chat.delete", "reactions.add", "conversations.open"]) {
    assert.equal((await ask({}, method, {})).happened, false);
  }
  assert.deepEqual(await ask({}, "files.completeUploadExternal", {}), {});
});
