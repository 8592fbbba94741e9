import { s } from "@cofferdam/connector";
import { money } from "./shopify.ts";

/** A product, as far as it is told. */
export const product = {
  id: s.string(),
  title: s.string(),
  handle: s.string().help("Its name in URLs."),
  status: s.enum("ACTIVE", "ARCHIVED", "DRAFT", "UNLISTED"),
  vendor: s.string(),
  productType: s.string(),
  tags: s.array(s.string()),
  totalInventory: s.int(),
  variants: s.array(
    s.object({ id: s.string(), title: s.string(), sku: s.string().nullable(), price: money, inventoryItem: s.string().help("What inventory is counted of."), available: s.int().nullable() }),
  ).help("The first 25."),
  updatedAt: s.string().format("date-time"),
};

/** https://shopify.dev/docs/api/admin-graphql/latest/objects/Product, in part. */
export interface Product {
  id: string;
  title: string;
  handle: string;
  status: "ACTIVE" | "ARCHIVED" | "DRAFT" | "UNLISTED";
  vendor: string;
  productType: string;
  tags: string[];
  totalInventory: number;
  updatedAt: string;
  variants: { nodes: { id: string; title: string; sku: string | null; price: string; inventoryQuantity: number | null; inventoryItem: { id: string } }[] };
}

export const productFields = `
  id title handle status vendor productType tags totalInventory updatedAt
  variants(first: 25) { nodes { id title sku price inventoryQuantity inventoryItem { id } } }`;

export function readProduct({ variants, ...rest }: Product) {
  return {
    ...rest,
    variants: variants.nodes.map((v) => ({ id: v.id, title: v.title, sku: v.sku, price: v.price, inventoryItem: v.inventoryItem.id, available: v.inventoryQuantity })),
  };
}
