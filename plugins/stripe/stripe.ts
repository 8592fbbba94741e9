// What is particular to Stripe's API: amounts, metadata, how it names objects, and how it says no.

import { ConnectorError, s, type HttpResponse } from "@cofferdam/connector";

/** An amount of money, in the smallest unit of its currency. */
export const amount = s.int().min(1).help("In the smallest unit of the currency: 1099 is 10.99 EUR, or 1,099 JPY.").examples(1099);
export const currency = s.string().pattern(/^[a-z]{3}$/).help("Three letters in lower case, as in ISO 4217.").examples("eur");
export const metadata = s.record(s.string().max(500)).help("Your own notes on it, up to 50.").examples({ order: "1001" });
export const customerId = s.string().pattern(/^cus_/).help("The customer's id.").examples("cus_QXg1oVR9Bl7pGv");

/** A customer, as far as it is told. */
export const customer = {
  id: s.string(),
  email: s.string().nullable(),
  name: s.string().nullable(),
  phone: s.string().nullable(),
  description: s.string().nullable(),
  metadata: s.record(s.string()),
  created: s.string().format("date-time"),
};

/** https://docs.stripe.com/api/customers/object, in part. */
export interface Customer {
  id: string;
  email: string | null;
  name: string | null;
  phone: string | null;
  description: string | null;
  metadata: Record<string, string>;
  created: number;
}

/** An invoice, as far as it is told. */
export const invoice = {
  id: s.string(),
  number: s.string().nullable().help("It has one once it is final."),
  status: s.string().help("`draft`, `open`, `paid`, `uncollectible` or `void`."),
  customer: s.string().nullable(),
  currency: s.string(),
  amountDue: s.int().help("In the smallest unit of the currency."),
  amountPaid: s.int(),
  url: s.string().nullable().help("Where the customer pays it, once it is final."),
  pdf: s.string().nullable(),
  dueDate: s.string().nullable(),
};

/** https://docs.stripe.com/api/invoices/object, in part. */
export interface Invoice {
  id: string;
  number: string | null;
  status: string | null;
  customer: string | null;
  currency: string;
  amount_due: number;
  amount_paid: number;
  hosted_invoice_url?: string | null;
  invoice_pdf?: string | null;
  due_date: number | null;
}

/** A page of a list. */
export interface List<T> {
  data: T[];
  has_more: boolean;
}

/** A page of a search. */
export interface SearchResult<T> extends List<T> {
  next_page?: string | null;
}

/** https://docs.stripe.com/api/events/object. */
export interface Event {
  id: string;
  type: string;
  created: number;
  api_version: string | null;
  livemode: boolean;
  data: { object: Record<string, unknown>; previous_attributes?: Record<string, unknown> };
}

/** A time as people read it: Stripe counts seconds. */
export const time = (seconds: number) => new Date(seconds * 1000).toISOString();

export function readCustomer({ id, email, name, phone, description, metadata, created }: Customer) {
  return { id, email, name, phone, description, metadata, created: time(created) };
}

export function readInvoice(i: Invoice) {
  return {
    id: i.id,
    number: i.number,
    status: i.status ?? "draft",
    customer: i.customer,
    currency: i.currency,
    amountDue: i.amount_due,
    amountPaid: i.amount_paid,
    url: i.hosted_invoice_url ?? null,
    pdf: i.invoice_pdf ?? null,
    dueDate: i.due_date === null ? null : time(i.due_date),
  };
}

/** Where objects are, by what their ids begin with. */
const places: Record<string, string> = {
  ch: "charges", cs: "checkout/sessions", cus: "customers", evt: "events", in: "invoices", ii: "invoiceitems", pi: "payment_intents",
  pm: "payment_methods", po: "payouts", price: "prices", prod: "products", pyr: "refunds", re: "refunds", sub: "subscriptions", txn: "balance_transactions",
};

/** The path of an object. */
export function pathOf(id: string): string {
  const place = places[id.split("_")[0] ?? ""];
  if (place === undefined) {
    throw new ConnectorError("invalid_input", `${id} is no id that can be looked up: one begins with ${Object.keys(places).join("_, ")}_`);
  }
  return `/v1/${place}/${encodeURIComponent(id)}`;
}

/** https://docs.stripe.com/api/errors. */
interface Complaint {
  error?: { type?: string; code?: string; decline_code?: string; message?: string; param?: string; request_log_url?: string };
}

/** What Stripe says is wrong. */
export function complaint(response: HttpResponse): NonNullable<Complaint["error"]> {
  try {
    return (JSON.parse(response.text()) as Complaint).error ?? {};
  } catch {
    return {};
  }
}

/** What Stripe means by an answer: https://docs.stripe.com/error-handling. */
export function checkResponse(response: HttpResponse): ConnectorError | undefined {
  if (response.ok || response.status >= 500) {
    return undefined; // What most APIs mean by it.
  }
  const { type, code, decline_code, message = response.text().slice(0, 300), param, request_log_url } = complaint(response);
  const said = `Stripe answered ${response.status}: ${message}${param ? ` (${param})` : ""}`;
  const details = { status: response.status, type, code, decline_code, param, request_log_url };
  switch (response.status) {
    case 401:
    case 403:
      return new ConnectorError("auth", said, { details });
    case 409: // Another request holds the object, or has the same key and is not done.
      return new ConnectorError("retry", said, { details, retryAfterMs: 2_000 });
    case 429:
      return new ConnectorError("rate_limited", said, { details, retryAfterMs: response.error()?.retryAfterMs ?? 1_000 });
    default:
      // A key that was used for something else is this connector's mistake. All other are the input's: a card that is
      // declined (402), an object that is not there (404), a parameter that does not fit.
      return new ConnectorError(type === "idempotency_error" ? "plugin_bug" : "invalid_input", said, { details });
  }
}
