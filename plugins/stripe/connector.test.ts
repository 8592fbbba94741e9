import assert from "node:assert/strict";
import { test } from "node:test";
import { mock } from "@cofferdam/connector/testing";
import stripe from "./connector.ts";

const list = { json: { data: [] } };

test("each request that changes something has a key of its own", async () => {
  const invoice = { id: "in_1", status: "draft", customer: "cus_1", currency: "eur", amount_due: 0, amount_paid: 0, number: null, due_date: null };
  const bench = mock(stripe, { http: { "POST *": { json: invoice } } });
  await bench.action("createInvoice", { customer: "cus_1", items: [{ amount: 1, currency: "eur" }, { amount: 2, currency: "eur" }], send: true });
  const keys = bench.requests.map((r) => r.idempotencyKey);
  assert.deepEqual(keys, ["invoice", "item-0", "item-1", "finalize", "send"]);
});

test("what only reads has none", async () => {
  const bench = mock(stripe, { http: { "GET *": list } });
  await bench.test();
  await bench.action("search", { query: "name:'Ada'" });
  assert.deepEqual(bench.requests.map((r) => r.idempotencyKey), [undefined, undefined]);
});

test("without a connection nothing is asked", async () => {
  const bench = mock(stripe, { connections: {}, http: { "GET *": list } });
  await assert.rejects(bench.test(), { code: "no_connection" });
});

test("the poll goes on from where it was", async () => {
  const event = (id: string) => ({ id, type: "invoice.paid", created: 1767323045, livemode: false, data: { object: {} } });
  const bench = mock(stripe, {
    http: {
      "GET /v1/events?limit=1": { json: { data: [event("evt_1")], has_more: true } },
      "GET /v1/events?limit=100&ending_before=evt_1": { json: { data: [event("evt_3"), event("evt_2")], has_more: false } },
      "GET /v1/events?limit=100&ending_before=evt_3": { json: { data: [], has_more: false } },
    },
  });
  assert.deepEqual((await bench.poll("events")).records, []);
  assert.deepEqual((await bench.poll("events")).records.map((r) => r.key), ["evt_2", "evt_3"]);
  assert.equal((await bench.poll("events")).cursor, "evt_3");
});
