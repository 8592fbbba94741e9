// Each line with "want" must be an error that says so: messages.test.ts compares.
import { ConnectorError, defineConnector, s } from "../../src/index.js";

const base = { name: "a", version: "1.0.0" };

defineConnector({ ...base, titel: "A" }); // want: Did you mean to write 'title'?
defineConnector({ ...base, baseURL: "https://a.test" }); // want: Did you mean to write 'baseUrl'?
defineConnector({ ...base, limits: { timeoutMS: 1 } }); // want: Did you mean to write 'timeoutMs'?
defineConnector({ ...base, hosts: [{ host: "a.test", methods: ["DELET"] }] }); // want: Type '"DELET"' is not assignable to type 'Method'. Did you mean '"DELETE"'?
defineConnector({ ...base, connection: { auth: { type: "bearer" }, fieds: {} } }); // want: Did you mean to write 'fields'?
defineConnector({ ...base, connection: { auth: { type: "baerer" } } }); // want: Did you mean '"bearer"'?

const shop = defineConnector({
  ...base,
  config: { pageSize: s.int().default(100) },
  connection: { auth: { type: "bearer" }, fields: { accountId: s.string() } },
  state: { lastSeen: s.string(), "orders/*": s.int() },
});

shop.action("a", { idempotant: true, run() {} }); // want: Did you mean to write 'idempotent'?
shop.poll("a", { evry: "5m", key: () => "", run: () => ({ records: [], cursor: "" }) }); // want: Did you mean to write 'every'?
shop.webhook("a", { scheme: "gihub", run() {} }); // want: Did you mean '"github"'?
shop.action("a", {
  input: { email: s.string(), plan: s.enum("free", "paid") },
  output: { id: s.string(), plan: s.enum("free", "paid") },
  async run(ctx, input) {
    void ctx.config.pagesize; // want: Did you mean 'pageSize'?
    void ctx.connection.accountID; // want: Did you mean 'accountId'?
    void input.emial; // want: Did you mean 'email'?
    await ctx.state.get("lastSeem"); // want: Argument of type '"lastSeem"' is not assignable to parameter of type 'StateKey<
    await ctx.state.add("lastSeen"); // want: is not assignable to parameter of type '`orders/${string}`'
    await ctx.http.get("/x", { qurey: {} }); // want: Did you mean to write 'query'?
    await ctx.http.post("/x", input, { idempotencykey: "" }); // want: Did you mean to write 'idempotencyKey'?
    if (input.plan === "payd") throw new Error(); // want: This comparison appears to be unintentional because the types '"free" | "paid"' and '"payd"' have no overlap.
    throw new ConnectorError("invalid_input", "", { retryafterMs: 1 }); // want: Did you mean to write 'retryAfterMs'?
  },
});
shop.action("a", { output: { plan: s.enum("free", "paid") }, run: () => ({ plan: "pai" }) }); // want: Did you mean '"paid"'?
