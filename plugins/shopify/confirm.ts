// What became of a request that was sent and not answered. All requests are a POST, those that only read, too, so the
// host cannot know which of them may be made again: that is said here.

import type { BaseContext, Confirmation, Doubt } from "@cofferdam/connector";

/** Mutations that come to the same when they are made again: they set values, or carry a key. */
const same = ["productUpdate", "productVariantsBulkUpdate", "customerUpdate", "tagsAdd", "inventoryAdjustQuantities"];

/** Mutations that Shopify refuses the second time: what is fulfilled is closed. */
const refused = ["fulfillmentCreate"];

export function confirm(_: BaseContext, doubt: Doubt): Confirmation {
  const { query, variables } = doubt.request.json<{ query: string; variables: Record<string, any> }>();
  const mutation = /^\s*mutation[^{]*\{\s*(\w+)/.exec(query)?.[1];
  if (mutation === undefined || same.includes(mutation) || refused.includes(mutation)) {
    return { happened: false };
  }
  if (mutation === "customerCreate" && variables["input"].email) {
    return { happened: false }; // A shop has one customer of an e-mail address, and says so.
  }
  return {}; // Two products may have the same title, and two customers the same name.
}
