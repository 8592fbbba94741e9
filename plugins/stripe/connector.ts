import { defineConnector, form, s } from "@cofferdam/connector";
import {
  amount, checkResponse, complaint, currency, customer, customerId, invoice, metadata, pathOf, readCustomer, readInvoice, time,
  type Customer, type Event, type Invoice, type List, type SearchResult,
} from "./stripe.ts";

const stripe = defineConnector({
  name: "stripe",
  version: "1.0.0",
  title: "Stripe",
  description:
    "Keeps customers, writes invoices, takes payments by Checkout, pays back, and hears of what happens in an account. What it changes is never done twice: Stripe knows requests by their keys. Stripe signs webhooks in a way of its own, so events are polled.",
  config: {
    account: s.string().pattern(/^acct_/).optional().title("Connected account").help("For platforms: the account on whose behalf everything is done."),
    eventTypes: s.array(s.string()).max(20).default([]).title("Types of events").help("What the poll is to find, such as `invoice.paid`; all that the key may see, if it is empty.").examples(["invoice.paid"]),
  },
  connection: {
    title: "Stripe",
    auth: { type: "bearer" },
    description:
      "A restricted key, from Developers, API keys in the Dashboard. It needs Write for Customers, Invoices, Charges and Refunds, and Checkout Sessions, and Read for Events and what else is looked up. The key of a sandbox works, too.",
  },
  hosts: [{ host: "api.stripe.com", methods: ["GET", "POST", "DELETE"] }],
  // https://docs.stripe.com/api/idempotent_requests: keys are kept for at least 24 hours.
  idempotency: [{ host: "api.stripe.com", header: "Idempotency-Key", ttl: "24h" }],
  // A conflict with another request that is under way: https://docs.stripe.com/api/errors.
  notDone: [{ host: "api.stripe.com", status: [409] }],
  baseUrl: "https://api.stripe.com",
  headers: (config) => ({ "stripe-version": "2026-02-25.clover", "stripe-account": config.account }),
  checkResponse,
  async test(ctx) {
    await ctx.http.get("/v1/customers", { query: { limit: 1 } });
  },
});

/** What can be said of a customer. */
const aboutCustomer = {
  email: s.string().max(512).optional().examples("ada@example.com"),
  name: s.string().max(256).optional().examples("Ada Lovelace"),
  phone: s.string().max(20).optional(),
  description: s.string().max(350).optional().help("For you, not for the customer."),
  metadata: metadata.optional(),
};

export default stripe
  .action("createCustomer", {
    title: "Create a customer",
    input: aboutCustomer,
    output: customer,
    async run(ctx, input) {
      const { data } = await ctx.http.post<Customer>("/v1/customers", form(input), { idempotencyKey: ctx.idempotencyKey("customer") });
      ctx.tag("customer", data.id);
      return readCustomer(data);
    },
  })
  .action("updateCustomer", {
    title: "Change a customer",
    description: "Changes what is given, and leaves the rest. A note with an empty text is removed.",
    idempotent: true,
    input: { customer: customerId, ...aboutCustomer },
    output: customer,
    async run(ctx, { customer, ...changes }) {
      const { data } = await ctx.http.post<Customer>(pathOf(customer), form(changes), { idempotencyKey: ctx.idempotencyKey("customer") });
      return readCustomer(data);
    },
  })
  .action("createInvoice", {
    title: "Create an invoice with its items",
    description: "Makes a draft, puts the items on it, and, if asked, makes it final and sends it. It is one invoice, whatever happens in between.",
    input: {
      customer: customerId,
      items: s
        .array(
          s.object({
            price: s.string().pattern(/^price_/).optional().help("The id of a price; or else an amount."),
            quantity: s.int().min(1).default(1).help("Of the price."),
            amount: amount.optional(),
            currency: currency.optional().help("Of the amount."),
            description: s.string().max(500).optional().examples("A lighthouse lamp"),
          }),
        )
        .min(1)
        .max(100)
        .examples([{ amount: 1099, currency: "eur", description: "A lighthouse lamp" }]),
      collection: s.enum("send_invoice", "charge_automatically").default("send_invoice").help("Whether the customer pays by the invoice, or by the payment method that is kept."),
      daysUntilDue: s.int().min(0).max(365).default(30).help("Of an invoice that is sent."),
      description: s.string().max(1500).optional().help("A note to the customer."),
      metadata: metadata.optional(),
      finalize: s.bool().default(true).help("Otherwise it stays a draft."),
      send: s.bool().default(false).help("Sends it by e-mail, which makes it final."),
    },
    output: invoice,
    async run(ctx, { customer, items, collection, daysUntilDue, description, metadata, finalize, send }) {
      const post = async (name: string, path: string, body: Record<string, unknown>) =>
        (await ctx.http.post<Invoice>(path, form(body), { idempotencyKey: ctx.idempotencyKey(name) })).data;
      let made = await post("invoice", "/v1/invoices", {
        customer,
        collection_method: collection,
        days_until_due: collection === "send_invoice" ? daysUntilDue : undefined,
        description,
        metadata,
        auto_advance: false,
        pending_invoice_items_behavior: "exclude", // Only what is given here.
      });
      ctx.tag("invoice", made.id);
      for (const [i, { price, quantity, ...item }] of items.entries()) {
        const what = price ? { pricing: { price }, quantity, description: item.description } : item;
        await post(`item-${i}`, "/v1/invoiceitems", { customer, invoice: made.id, ...what });
      }
      const path = pathOf(made.id);
      if (finalize || send) {
        made = await post("finalize", `${path}/finalize`, { auto_advance: true });
      }
      if (send) {
        made = await post("send", `${path}/send`, {});
      }
      return readInvoice(finalize || send ? made : (await ctx.http.get<Invoice>(path)).data);
    },
  })
  .action("refund", {
    title: "Pay back",
    description: "All of a payment, or a part of it.",
    input: {
      payment: s.string().pattern(/^(pi|ch|py)_/).help("The id of the payment intent or the charge.").examples("pi_3PtZ1yIbCdEfGhIj0aBcDeFg"),
      amount: amount.optional().help("In the smallest unit of the currency. Left out, it is all that is left."),
      reason: s.enum("duplicate", "fraudulent", "requested_by_customer").optional().examples("requested_by_customer"),
      metadata: metadata.optional(),
    },
    output: { id: s.string(), status: s.string().nullable().help("`pending`, `succeeded`, `failed`, `requires_action` or `canceled`."), amount: s.int(), currency: s.string() },
    async run(ctx, { payment, ...rest }) {
      const of = payment.startsWith("pi_") ? { payment_intent: payment } : { charge: payment };
      const { data } = await ctx.http.post<{ id: string; status: string | null; amount: number; currency: string }>(
        "/v1/refunds",
        form({ ...of, ...rest }),
        { idempotencyKey: ctx.idempotencyKey("refund") },
      );
      ctx.tag("payment", payment);
      return { id: data.id, status: data.status, amount: data.amount, currency: data.currency };
    },
  })
  .action("createCheckoutSession", {
    title: "Open a checkout",
    description: "Makes a page on which a customer pays, once or by subscription.",
    input: {
      mode: s.enum("payment", "subscription").default("payment"),
      items: s
        .array(s.object({ price: s.string().pattern(/^price_/).help("The id of a price."), quantity: s.int().min(1).default(1) }))
        .min(1)
        .max(100)
        .examples([{ price: "price_1PtZ1yIbCdEfGhIjKlMnOpQr", quantity: 1 }]),
      successUrl: s.string().format("uri").help("Where the customer goes after paying.").examples("https://shop.example/thanks"),
      cancelUrl: s.string().format("uri").optional().help("Where the customer goes who does not."),
      customer: customerId.optional(),
      customerEmail: s.string().format("email").optional().help("Of one who is not a customer yet."),
      reference: s.string().max(200).optional().help("Yours, such as the number of an order.").examples("1001"),
      metadata: metadata.optional(),
    },
    output: { id: s.string(), url: s.string().nullable().help("The page."), expiresAt: s.string().format("date-time") },
    async run(ctx, { items, successUrl, cancelUrl, customerEmail, reference, ...rest }) {
      const { data } = await ctx.http.post<{ id: string; url: string | null; expires_at: number }>(
        "/v1/checkout/sessions",
        form({
          ...rest, line_items: items, success_url: successUrl, cancel_url: cancelUrl, customer_email: customerEmail, client_reference_id: reference,
        }),
        { idempotencyKey: ctx.idempotencyKey("session") },
      );
      return { id: data.id, url: data.url, expiresAt: time(data.expires_at) };
    },
  })
  .action("cancelSubscription", {
    title: "Cancel a subscription",
    idempotent: true,
    input: {
      subscription: s.string().pattern(/^sub_/).examples("sub_1PtZ1yIbCdEfGhIjKlMnOpQr"),
      atPeriodEnd: s.bool().default(true).help("At the end of what is paid; otherwise at once."),
    },
    output: { id: s.string(), status: s.string().help("Such as `active` until its end, and `canceled`."), endsAt: s.string().nullable() },
    async run(ctx, { subscription, atPeriodEnd }) {
      const path = pathOf(subscription);
      if (atPeriodEnd) {
        await ctx.http.post(path, form({ cancel_at_period_end: true }), { idempotencyKey: ctx.idempotencyKey("cancel") });
      } else {
        await ctx.http.delete(path, { allow: [404] }); // One that is cancelled is not there for this, and is for what follows.
      }
      const { data } = await ctx.http.get<{ id: string; status: string; cancel_at: number | null }>(path);
      return { id: data.id, status: data.status, endsAt: data.cancel_at === null ? null : time(data.cancel_at) };
    },
  })
  .action("retrieve", {
    title: "Look up anything by its id",
    description: "As Stripe has it, see <https://docs.stripe.com/api>.",
    idempotent: true,
    input: {
      id: s.string().max(255).pattern(/^[a-z]+_[A-Za-z0-9_]+$/).examples("in_1PtZ1yIbCdEfGhIjKlMnOpQr"),
      expand: s.array(s.string()).max(10).default([]).help("What is to be given whole instead of by its id, such as `customer`."),
    },
    output: { object: s.record(s.any()) },
    async run(ctx, { id, expand }) {
      const { data } = await ctx.http.get<Record<string, unknown>>(pathOf(id), { query: { "expand[]": expand } });
      return { object: data };
    },
  })
  .action("search", {
    title: "Search",
    description: "In the query language of <https://docs.stripe.com/search>. What was written less than a minute ago may be missing.",
    idempotent: true,
    input: {
      in: s.enum("customers", "charges", "invoices", "payment_intents", "prices", "products", "subscriptions").default("customers"),
      query: s.string().min(1).examples("email:'ada@example.com'"),
      limit: s.int().min(1).max(100).default(10).help("How many at the most."),
      page: s.string().optional().help("The `nextPage` of the search before."),
    },
    output: { objects: s.array(s.record(s.any())), nextPage: s.string().nullable() },
    async run(ctx, { in: place, ...query }) {
      const { data } = await ctx.http.get<SearchResult<Record<string, unknown>>>(`/v1/${place}/search`, { query });
      return { objects: data.data, nextPage: data.next_page ?? null };
    },
  })
  .poll("events", {
    title: "Events",
    description: "What happens in the account, the oldest first. The first run only marks where to begin. Stripe keeps events for 30 days.",
    every: "1m",
    async run(ctx, cursor) {
      const events = async (query: Record<string, string | number>, allow: number[] = []) =>
        ctx.http.get<List<Event>>("/v1/events", { query: { ...query, "types[]": ctx.config.eventTypes }, allow });
      if (cursor === null) {
        const { data } = await events({ limit: 1 });
        return { records: [], cursor: data.data[0]?.id ?? "none" };
      }
      const page = await events(cursor === "none" ? { limit: 100 } : { limit: 100, ending_before: cursor }, [400, 404]);
      if (!page.ok) {
        if (complaint(page).param !== "ending_before") {
          throw checkResponse(page);
        }
        ctx.log.warn("the poll was off for more than 30 days: it begins anew", { cursor });
        return { records: [], cursor: null };
      }
      const records = page.data.data.map((e) => ({
        id: e.id, type: e.type, created: time(e.created), object: e.data.object, previous: e.data.previous_attributes, livemode: e.livemode,
      }));
      return { records: records.reverse(), cursor: page.data.data[0]?.id ?? cursor, more: cursor !== "none" && page.data.has_more };
    },
    key: (e) => e.id,
  });
