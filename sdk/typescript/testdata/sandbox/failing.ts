import { ConnectorError, type Connector } from "@cofferdam/connector";

/** Adds actions that fail, each in another way. */
export function failing(connector: Connector) {
  const cyclic: Record<string, unknown> = { list: [] };
  (cyclic["list"] as unknown[]).push(cyclic);
  return connector
    .action("throwsText", { run: () => Promise.reject("boom") })
    .action("throwsNothing", { run: () => Promise.reject(undefined) })
    .action("throwsCause", { run: () => { throw new Error("outer", { cause: new TypeError("inner") }); } })
    .action("throwsCode", { run: () => { throw new ConnectorError("rate_limited", "slow", { retryAfterMs: 1500, details: { a: 1 } }); } })
    .action("returnsCycle", { run: () => cyclic })
    .action("returnsPromise", { run: () => ({ customer: Promise.resolve(1) }) })
    .action("usesBuffer", { run: () => Buffer.from("x").length })
    .action("usesIntl", { run: () => new Intl.NumberFormat("de").format(1) })
    .action("neverSettles", { run: () => new Promise<void>(() => {}) })
    .action("forgets", { run: (ctx) => void ctx.http.get("https://nowhere.test/") })
    .action("recurses", { run: function down(): number { return down() + 1; } })
    .action("hoards", { run: () => { const all: unknown[] = []; for (;;) all.push("x".repeat(1_000_000) + all.length); } });
}
