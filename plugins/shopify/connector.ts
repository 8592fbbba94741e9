import { ConnectorError, defineConnector, s } from "@cofferdam/connector";
import { confirm } from "./confirm.ts";
import { customer, customerFields, readCustomer, type Customer } from "./customer.ts";
import { order, orderFields, readOrder, type Order } from "./order.ts";
import { product, productFields, readProduct, type Product } from "./product.ts";
import { ask, change, checkResponse, gid, idOf, money, nextOf, searching, tags, there, type Asking, type Connection } from "./shopify.ts";

const shopify = defineConnector({
  name: "shopify",
  version: "1.1.0",
  title: "Shopify",
  description:
    "Works with products, inventory, orders and customers of a shop, by the GraphQL Admin API. It waits where Shopify's limit of points asks for it. Shopify signs webhooks in a way of its own, so what has changed is polled.",
  config: {
    shop: s.string().pattern(/^[a-z0-9][a-z0-9-]*\.myshopify\.com$/).title("Shop").help("The shop's own domain.").examples("lighthouse.myshopify.com"),
    apiVersion: s.string().pattern(/^20\d\d-(01|04|07|10)$/).default("2026-04").title("API version").help("Shopify supports each for a year, and then answers by the oldest that it does support."),
  },
  connection: {
    name: "shopify_account",
    title: "Shopify shop",
    auth: { type: "oauth2", provider: "shopify" },
    description: "The shop that is configured. As far as they are used, the app needs the scopes of the token below.",
    or: [
      {
        title: "Shopify, with a token",
        auth: { type: "api_key", header: "X-Shopify-Access-Token" },
        description:
          "The Admin API access token of a custom app of the shop. It needs, as far as they are used, the scopes `read_products`, `write_products`, `read_orders`, `write_orders`, `read_customers`, `write_customers`, `read_inventory`, `write_inventory`, `read_locations`, and `read_merchant_managed_fulfillment_orders` with its `write_`.",
      },
    ],
  },
  hosts: [{ host: "{config.shop}", methods: ["POST"] }],
  baseUrl: (config) => `https://${config.shop}/admin/api/${config.apiVersion}`,
  checkResponse,
  confirm,
  async test(ctx) {
    const { shop } = await ask<{ shop: { name: string; plan: { publicDisplayName: string } } }>(ctx, `query { shop { name plan { publicDisplayName } } }`);
    ctx.log.info("the token works", { shop: shop.name, plan: shop.plan.publicDisplayName });
  },
});

/** What can be said of a product. */
const aboutProduct = {
  descriptionHtml: s.string().optional().help("The description, in HTML."),
  vendor: s.string().max(255).optional(),
  productType: s.string().max(255).optional(),
  status: s.enum("ACTIVE", "ARCHIVED", "DRAFT").optional(),
  tags: tags.optional().help("All that it is to have.").examples(["lamps"]),
};

/** What can be said of a customer. */
const aboutCustomer = {
  firstName: s.string().max(255).optional().examples("Ada"),
  lastName: s.string().max(255).optional().examples("Lovelace"),
  email: s.string().format("email").optional().examples("ada@example.com"),
  phone: s.string().optional().help("In the international form, such as +4930123456."),
  note: s.string().max(5000).optional(),
  tags: tags.optional(),
};

export default shopify
  .action("getProduct", {
    title: "Get a product",
    idempotent: true,
    input: { product: idOf("product").examples("8071234567890") },
    output: product,
    async run(ctx, { product }) {
      const id = gid("Product", product);
      const found = await ask<{ product: Product | null }>(ctx, `query ($id: ID!) { product(id: $id) {${productFields}} }`, { id });
      return readProduct(there(found.product, `product ${id}`));
    },
  })
  .action("searchProducts", {
    title: "Search products",
    idempotent: true,
    input: { ...searching, query: searching.query.examples("status:active tag:lamps") },
    output: { products: s.array(s.object(product)), next: s.string().nullable() },
    async run(ctx, { query, limit, after }) {
      const products = await search<Product>(ctx, "products", productFields, { query, limit, after });
      return { products: products.nodes.map(readProduct), next: nextOf(products) };
    },
  })
  .action("createProduct", {
    title: "Create a product",
    description: "With one variant. It is a draft unless its status says otherwise.",
    input: { title: s.string().min(1).max(255).examples("Lighthouse lamp"), ...aboutProduct, price: money.optional().examples("10.99"), sku: s.string().max(255).optional() },
    output: product,
    async run(ctx, { price, sku, ...input }) {
      const { product } = await change<{ product: Product }>(
        ctx,
        `mutation ($product: ProductCreateInput!) { productCreate(product: $product) { product {${productFields}} userErrors { field message } } }`,
        { product: { status: "DRAFT", ...input } },
      );
      ctx.tag("product", product.id);
      const variant = product.variants.nodes[0];
      if (variant === undefined || (price === undefined && sku === undefined)) {
        return readProduct(product);
      }
      const { product: priced } = await change<{ product: Product }>(
        ctx,
        `mutation ($id: ID!, $variants: [ProductVariantsBulkInput!]!) {
          productVariantsBulkUpdate(productId: $id, variants: $variants) { product {${productFields}} userErrors { field message } }
        }`,
        { id: product.id, variants: [{ id: variant.id, price, inventoryItem: sku === undefined ? undefined : { sku } }] },
      );
      return readProduct(priced);
    },
  })
  .action("updateProduct", {
    title: "Change a product",
    description: "Changes what is given, and leaves the rest.",
    idempotent: true,
    input: { product: idOf("product").examples("8071234567890"), title: s.string().min(1).max(255).optional(), ...aboutProduct },
    output: product,
    async run(ctx, { product, ...changes }) {
      const changed = await change<{ product: Product }>(
        ctx,
        `mutation ($product: ProductUpdateInput!) { productUpdate(product: $product) { product {${productFields}} userErrors { field message } } }`,
        { product: { id: gid("Product", product), ...changes } },
      );
      return readProduct(changed.product);
    },
  })
  .action("listLocations", {
    title: "List locations",
    description: "Where inventory is kept.",
    idempotent: true,
    input: {},
    output: { locations: s.array(s.object({ id: s.string(), name: s.string(), active: s.bool() })) },
    async run(ctx) {
      const { locations } = await ask<{ locations: { nodes: { id: string; name: string; isActive: boolean }[] } }>(
        ctx,
        `query { locations(first: 250) { nodes { id name isActive } } }`,
      );
      return { locations: locations.nodes.map((l) => ({ id: l.id, name: l.name, active: l.isActive })) };
    },
  })
  .action("adjustInventory", {
    title: "Adjust inventory",
    description: "Adds to what is available, or takes away from it, in one place. Shopify knows the request by a key, so that nothing is counted twice.",
    input: {
      inventoryItem: idOf("inventory item of a variant").examples("44912345678901"),
      location: idOf("location").examples("66812345678"),
      delta: s.int().min(-1_000_000).max(1_000_000).help("How many more, or, below zero, fewer.").examples(-2),
      reason: s.enum("correction", "cycle_count_available", "damaged", "movement_created", "other", "promotion", "quality_control", "received", "restock", "safety_stock", "shrinkage").default("correction"),
      reference: s.string().format("uri").optional().help("What it was for, as a URI of yours, such as `shop://orders/1001`."),
    },
    output: { changes: s.array(s.object({ name: s.string().help("Such as `available`."), delta: s.int() })) },
    async run(ctx, { inventoryItem, location, delta, reason, reference }) {
      const adjusted = await change<{ inventoryAdjustmentGroup: { changes: { name: string; delta: number }[] } | null }>(
        ctx,
        `mutation ($input: InventoryAdjustQuantitiesInput!, $key: String!) {
          inventoryAdjustQuantities(input: $input) @idempotent(key: $key) {
            inventoryAdjustmentGroup { changes { name delta } } userErrors { field message code }
          }
        }`,
        {
          key: ctx.idempotencyKey("adjust"),
          input: {
            name: "available", reason, referenceDocumentUri: reference,
            changes: [{ delta, inventoryItemId: gid("InventoryItem", inventoryItem), locationId: gid("Location", location), changeFromQuantity: null }],
          },
        },
      );
      return { changes: (adjusted.inventoryAdjustmentGroup?.changes ?? []).map(({ name, delta }) => ({ name, delta })) };
    },
  })
  .action("getOrder", {
    title: "Get an order",
    idempotent: true,
    input: { order: idOf("order").examples("5634567890123") },
    output: order,
    async run(ctx, { order }) {
      const id = gid("Order", order);
      const found = await ask<{ order: Order | null }>(ctx, `query ($id: ID!) { order(id: $id) {${orderFields}} }`, { id });
      return readOrder(there(found.order, `order ${id}`));
    },
  })
  .action("searchOrders", {
    title: "Search orders",
    description: "Without the scope `read_all_orders`, those of the last 60 days.",
    idempotent: true,
    input: { ...searching, query: searching.query.examples("fulfillment_status:unfulfilled financial_status:paid") },
    output: { orders: s.array(s.object(order)), next: s.string().nullable() },
    async run(ctx, { query, limit, after }) {
      const orders = await search<Order>(ctx, "orders", orderFields, { query, limit, after });
      return { orders: orders.nodes.map(readOrder), next: nextOf(orders) };
    },
  })
  .action("tagOrder", {
    title: "Add tags to an order",
    idempotent: true,
    input: { order: idOf("order").examples("5634567890123"), tags: tags.min(1).examples(["packed"]) },
    output: {},
    async run(ctx, { order, tags }) {
      await change(ctx, `mutation ($id: ID!, $tags: [String!]!) { tagsAdd(id: $id, tags: $tags) { userErrors { field message } } }`, {
        id: gid("Order", order), tags,
      });
      return {};
    },
  })
  .action("fulfillOrder", {
    title: "Fulfil an order",
    description: "All of it that is open, with one shipment for each location that it is sent from.",
    input: {
      order: idOf("order").examples("5634567890123"),
      trackingNumber: s.string().optional().examples("1Z999AA10123456784"),
      trackingCompany: s.string().optional().help("As Shopify knows it, such as `UPS`, so that it makes the URL.").examples("UPS"),
      trackingUrl: s.string().format("uri").optional(),
      notify: s.bool().default(false).help("Tells the customer by e-mail."),
    },
    output: { fulfillments: s.array(s.object({ id: s.string(), status: s.string() })) },
    async run(ctx, { order, trackingNumber, trackingCompany, trackingUrl, notify }) {
      const id = gid("Order", order);
      const found = await ask<{ order: { fulfillmentOrders: { nodes: { id: string; status: string }[] } } | null }>(
        ctx,
        `query ($id: ID!) { order(id: $id) { fulfillmentOrders(first: 50) { nodes { id status } } } }`,
        { id },
      );
      const open = there(found.order, `order ${id}`).fulfillmentOrders.nodes.filter((f) => f.status === "OPEN" || f.status === "IN_PROGRESS");
      if (open.length === 0) {
        throw new ConnectorError("invalid_input", `order ${id} has nothing that is open`);
      }
      const tracking = { number: trackingNumber, company: trackingCompany, url: trackingUrl };
      const fulfillments: { id: string; status: string }[] = [];
      for (const part of open) {
        const { fulfillment } = await change<{ fulfillment: { id: string; status: string } }>(
          ctx,
          `mutation ($fulfillment: FulfillmentInput!) { fulfillmentCreate(fulfillment: $fulfillment) { fulfillment { id status } userErrors { field message } } }`,
          { fulfillment: { lineItemsByFulfillmentOrder: [{ fulfillmentOrderId: part.id }], notifyCustomer: notify, trackingInfo: tracking } },
        );
        fulfillments.push({ id: fulfillment.id, status: fulfillment.status });
      }
      ctx.tag("order", id);
      return { fulfillments };
    },
  })
  .action("searchCustomers", {
    title: "Search customers",
    idempotent: true,
    input: { ...searching, query: searching.query.examples("email:ada@example.com") },
    output: { customers: s.array(s.object(customer)), next: s.string().nullable() },
    async run(ctx, { query, limit, after }) {
      const customers = await search<Customer>(ctx, "customers", customerFields, { query, limit, after });
      return { customers: customers.nodes.map(readCustomer), next: nextOf(customers) };
    },
  })
  .action("createCustomer", {
    title: "Create a customer",
    input: aboutCustomer,
    output: customer,
    async run(ctx, input) {
      const made = await change<{ customer: Customer }>(
        ctx,
        `mutation ($input: CustomerInput!) { customerCreate(input: $input) { customer {${customerFields}} userErrors { field message } } }`,
        { input },
      );
      ctx.tag("customer", made.customer.id);
      return readCustomer(made.customer);
    },
  })
  .action("updateCustomer", {
    title: "Change a customer",
    description: "Changes what is given, and leaves the rest.",
    idempotent: true,
    input: { customer: idOf("customer").examples("7012345678901"), ...aboutCustomer },
    output: customer,
    async run(ctx, { customer, ...changes }) {
      const changed = await change<{ customer: Customer }>(
        ctx,
        `mutation ($input: CustomerInput!) { customerUpdate(input: $input) { customer {${customerFields}} userErrors { field message } } }`,
        { input: { id: gid("Customer", customer), ...changes } },
      );
      return readCustomer(changed.customer);
    },
  })
  .poll("orders", {
    title: "Orders that are new or have changed",
    description: "Each time that one has changed. The first run only marks where to begin.",
    every: "1m",
    cursor: s.object({ since: s.string(), after: s.string().nullable() }),
    async run(ctx, cursor) {
      const page = await changedSince<Order>(ctx, "orders", orderFields, cursor);
      return { ...page, records: page.records.map(readOrder) };
    },
    key: (o) => `${o.id}@${o.updatedAt}`,
  })
  .poll("products", {
    title: "Products that are new or have changed",
    description: "Each time that one has changed. The first run only marks where to begin.",
    every: "5m",
    cursor: s.object({ since: s.string(), after: s.string().nullable() }),
    async run(ctx, cursor) {
      const page = await changedSince<Product>(ctx, "products", productFields, cursor);
      return { ...page, records: page.records.map(readProduct) };
    },
    key: (p) => `${p.id}@${p.updatedAt}`,
  });

/** Searches one of the shop's lists: what was changed longest ago comes first. */
async function search<T>(ctx: Asking, list: string, fields: string, variables: { query: string; limit: number; after?: string | null | undefined }) {
  const found = await ask<Record<string, Connection<T>>>(
    ctx,
    `query ($query: String!, $limit: Int!, $after: String) {
      ${list}(first: $limit, after: $after, query: $query, sortKey: UPDATED_AT) { nodes {${fields}} pageInfo { hasNextPage endCursor } }
    }`,
    variables,
  );
  return found[list] ?? raise(new ConnectorError("contract_changed", `Shopify's answer has no ${list}`));
}

/** A page of what has changed since the cursor; after the last page, it goes on from the newest. */
async function changedSince<T extends { updatedAt: string }>(ctx: Asking, list: string, fields: string, cursor: { since: string; after: string | null } | null) {
  if (cursor === null) {
    return { records: [], cursor: { since: new Date().toISOString(), after: null } };
  }
  const found = await search<T>(ctx, list, fields, { query: `updated_at:>='${cursor.since}'`, limit: 10, after: cursor.after });
  const after = nextOf(found);
  const since = after === null ? (found.nodes.at(-1)?.updatedAt ?? cursor.since) : cursor.since;
  return { records: found.nodes, cursor: { since, after }, more: after !== null };
}

function raise(error: ConnectorError): never {
  throw error;
}
