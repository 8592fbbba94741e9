import { s } from "@cofferdam/connector";
import { money } from "./shopify.ts";

/** An order, as far as it is told. */
export const order = {
  id: s.string(),
  name: s.string().help("As people know it, such as `#1001`."),
  email: s.string().nullable(),
  customer: s.string().nullable().help("The customer's id."),
  financialStatus: s.string().nullable().help("Such as `PAID`."),
  fulfillmentStatus: s.string().help("Such as `UNFULFILLED`."),
  total: money,
  currency: s.string(),
  tags: s.array(s.string()),
  lines: s.array(s.object({ title: s.string(), sku: s.string().nullable(), quantity: s.int(), price: money.help("Of one.") })).help("The first 25."),
  createdAt: s.string().format("date-time"),
  updatedAt: s.string().format("date-time"),
  cancelledAt: s.string().nullable(),
};

interface Money {
  shopMoney: { amount: string; currencyCode: string };
}

/** https://shopify.dev/docs/api/admin-graphql/latest/objects/Order, in part. */
export interface Order {
  id: string;
  name: string;
  email: string | null;
  customer: { id: string } | null;
  displayFinancialStatus: string | null;
  displayFulfillmentStatus: string;
  totalPriceSet: Money;
  tags: string[];
  lineItems: { nodes: { title: string; sku: string | null; quantity: number; originalUnitPriceSet: Money }[] };
  createdAt: string;
  updatedAt: string;
  cancelledAt: string | null;
}

export const orderFields = `
  id name email customer { id } displayFinancialStatus displayFulfillmentStatus tags createdAt updatedAt cancelledAt
  totalPriceSet { shopMoney { amount currencyCode } }
  lineItems(first: 25) { nodes { title sku quantity originalUnitPriceSet { shopMoney { amount currencyCode } } } }`;

export function readOrder(o: Order) {
  return {
    id: o.id,
    name: o.name,
    email: o.email,
    customer: o.customer?.id ?? null,
    financialStatus: o.displayFinancialStatus,
    fulfillmentStatus: o.displayFulfillmentStatus,
    total: o.totalPriceSet.shopMoney.amount,
    currency: o.totalPriceSet.shopMoney.currencyCode,
    tags: o.tags,
    lines: o.lineItems.nodes.map((l) => ({ title: l.title, sku: l.sku, quantity: l.quantity, price: l.originalUnitPriceSet.shopMoney.amount })),
    createdAt: o.createdAt,
    updatedAt: o.updatedAt,
    cancelledAt: o.cancelledAt,
  };
}
