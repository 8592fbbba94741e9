import assert from "node:assert/strict";
import { test } from "node:test";
import { mock } from "@cofferdam/connector/testing";
import shopify from "./connector.ts";

const url = "https://lighthouse.myshopify.com/admin/api/2026-04/graphql.json";

/** Asks what became of a query. */
const ask = (query: string, variables: unknown = {}) =>
  mock(shopify, { config: { shop: "lighthouse.myshopify.com" } }).confirm({ method: "POST", url, json: { query, variables } });

test("a query only reads, and is made again", async () => {
  assert.equal((await ask("query ($id: ID!) { order(id: $id) { id } }")).happened, false);
  assert.equal((await ask("{ shop { name } }")).happened, false);
});

test("what sets values, has a key, or is refused the second time is made again", async () => {
  for (const mutation of ["productUpdate", "customerUpdate", "tagsAdd", "inventoryAdjustQuantities", "fulfillmentCreate"]) {
    assert.equal((await ask(`mutation ($input: Input!) {\n  ${mutation}(input: $input) { userErrors { message } } }`)).happened, false, mutation);
  }
});

test("a customer is known by an e-mail address, and by nothing else", async () => {
  const mutation = "mutation ($input: CustomerInput!) { customerCreate(input: $input) { customer { id } } }";
  assert.equal((await ask(mutation, { input: { email: "ada@example.com" } })).happened, false);
  assert.deepEqual(await ask(mutation, { input: { firstName: "Ada" } }), {});
});

test("nobody can tell two products of one title apart", async () => {
  assert.deepEqual(await ask("mutation { productCreate(product: $product) { product { id } } }"), {});
});
