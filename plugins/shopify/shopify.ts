// What is particular to Shopify's GraphQL Admin API: its ids, what a query costs, and how it says no.

import { ConnectorError, s, type BaseContext, type HttpResponse } from "@cofferdam/connector";

/** What asks Shopify. */
export type Asking = Pick<BaseContext, "http" | "sleep" | "log">;

/** A money amount: Shopify gives it as text, so that no digit is lost. */
export const money = s.string().pattern(/^\d+(\.\d+)?$/);
export const tags = s.array(s.string().max(255)).max(250);

/** An id, as a number or in Shopify's long form. */
export const idOf = (kind: string) => s.string().pattern(/^(gid:\/\/shopify\/[A-Za-z]+\/)?\d+$/).help(`The id of the ${kind}, as a number or as \`gid://shopify/...\`.`);

/** An id in Shopify's long form. */
export const gid = (kind: string, id: string) => (id.startsWith("gid://") ? id : `gid://shopify/${kind}/${id}`);

/** What a search takes. */
export const searching = {
  query: s.string().default("").help("In Shopify's search syntax, see <https://shopify.dev/docs/api/usage/search-syntax>; all, if it is empty."),
  limit: s.int().min(1).max(50).default(10).help("How many at the most. What a search costs grows with it: https://shopify.dev/docs/api/usage/limits."),
  after: s.string().optional().help("The `next` of the search before."),
};

/** A page of a search. */
export interface Connection<T> {
  nodes: T[];
  pageInfo: { hasNextPage: boolean; endCursor: string | null };
}

/** The next page's cursor. */
export const nextOf = ({ pageInfo }: Connection<unknown>) => (pageInfo.hasNextPage ? pageInfo.endCursor : null);

/** What a mutation says of its input: https://shopify.dev/docs/api/admin-graphql/latest/objects/UserError. */
interface UserError {
  field: string[] | null;
  message: string;
  code?: string | null;
}

/** What comes back: https://shopify.dev/docs/api/admin-graphql#status-and-error-codes. */
interface Answer<T> {
  data?: T | null;
  errors?: string | { message: string; extensions?: { code?: string } }[];
  extensions?: { cost?: Cost };
}

/** https://shopify.dev/docs/api/usage/limits#rate-limits: a bucket of points that fills again. */
interface Cost {
  requestedQueryCost: number;
  throttleStatus: { maximumAvailable: number; currentlyAvailable: number; restoreRate: number };
}

/** How often a query is asked again for which the bucket was too empty. */
const patience = 5;

/**
 * Asks Shopify. A query for which the bucket of points is too empty was not done: it is asked again in this call when
 * there are enough, because to the host its answer is a success like any other.
 */
export async function ask<T>(ctx: Asking, query: string, variables: Record<string, unknown> = {}): Promise<T> {
  for (let turn = 1; ; turn++) {
    const { data: answer } = await ctx.http.post<Answer<T>>("/graphql.json", { query, variables });
    const wait = throttledFor(answer);
    if (wait === undefined) {
      return dataOf(answer);
    }
    if (turn === patience) {
      throw new ConnectorError("rate_limited", "Shopify's bucket of points stays empty: others use it up", { retryAfterMs: wait });
    }
    ctx.log.debug("waiting for Shopify's bucket of points", { ms: wait });
    await ctx.sleep(wait);
  }
}

/** Makes a mutation, and gives what it made; what it says of its input is an error. */
export async function change<T extends object>(ctx: Asking, mutation: string, variables: Record<string, unknown>): Promise<T> {
  const data = await ask<Record<string, T & { userErrors: UserError[] }>>(ctx, mutation, variables);
  const payload = Object.values(data)[0];
  if (!payload) {
    throw new ConnectorError("contract_changed", "Shopify's answer to a mutation is empty");
  }
  if (payload.userErrors.length > 0) {
    const said = payload.userErrors.map((e) => (e.field ? `${e.field.join(".")}: ${e.message}` : e.message)).join("; ");
    throw new ConnectorError("invalid_input", `Shopify says: ${said}`, { details: { userErrors: payload.userErrors } });
  }
  return payload;
}

/** Gives what was looked for, or says that it is not there. */
export function there<T>(found: T | null, what: string): T {
  if (found === null) {
    throw new ConnectorError("invalid_input", `there is no ${what}`);
  }
  return found;
}

/** How long the bucket needs until it holds enough, in milliseconds; undefined if it did. */
function throttledFor<T>({ errors, extensions }: Answer<T>): number | undefined {
  if (!Array.isArray(errors) || !errors.some((e) => e.extensions?.code === "THROTTLED")) {
    return undefined;
  }
  if (!extensions?.cost) {
    return 2_000;
  }
  const { requestedQueryCost, throttleStatus } = extensions.cost;
  const missing = requestedQueryCost - throttleStatus.currentlyAvailable;
  return Math.max(1_000, Math.ceil((missing / throttleStatus.restoreRate) * 1_000));
}

function dataOf<T>({ data, errors }: Answer<T>): T {
  if (errors !== undefined && errors.length > 0) {
    throw refusal(errors);
  }
  if (!data) {
    throw new ConnectorError("contract_changed", "Shopify's answer has neither data nor errors");
  }
  return data;
}

function refusal(errors: NonNullable<Answer<unknown>["errors"]>): ConnectorError {
  const list = typeof errors === "string" ? [{ message: errors }] : errors;
  const said = `Shopify says: ${list.map((e) => e.message).join("; ")}`;
  switch (list.map((e) => ("extensions" in e ? e.extensions?.code : undefined)).find(Boolean)) {
    case "ACCESS_DENIED":
      return new ConnectorError("auth", said);
    case "SHOP_INACTIVE":
      return new ConnectorError("shop_inactive", said);
    case "INTERNAL_SERVER_ERROR":
    case "TIMEOUT":
      return new ConnectorError("upstream_unavailable", said);
    case "MAX_COST_EXCEEDED":
    case "BAD_REQUEST":
    case "NOT_FOUND":
      return new ConnectorError("invalid_input", said);
    default:
      return new ConnectorError("contract_changed", said); // The query does not fit the version's schema.
  }
}

/** What a status means here: https://shopify.dev/docs/api/admin-graphql#status-and-error-codes. */
export function checkResponse(response: HttpResponse): ConnectorError | undefined {
  switch (response.status) {
    case 402:
    case 423:
      return new ConnectorError("shop_inactive", `the shop is frozen or locked (${response.status})`);
    case 404:
      return new ConnectorError("invalid_input", "there is no such shop, or no such version of the API (404)");
    case 429: // Its Retry-After has a point: 2.0.
      return new ConnectorError("rate_limited", "Shopify asks for patience (429)", { retryAfterMs: (Number(response.headers.get("retry-after")) || 1) * 1_000 });
    case 430:
      return new ConnectorError("rate_limited", "Shopify takes the requests for an attack (430)", { retryAfterMs: 60_000 });
    default:
      return undefined; // What most APIs mean by it.
  }
}
