// Hello-ts is a connector for GitHub: it counts the issues that are opened in each repository, and labels them with the
// tenant's token.
import { ConnectorError, defineConnector, s, type ContextOf, type HttpResponse } from "@cofferdam/connector";

const github = defineConnector({
  name: "hello-ts",
  version: "0.1.0",
  title: "Hello, GitHub",
  description: "Counts and labels issues.",
  config: {
    label: s.string().title("Label").help("The label that a new issue gets.").default("triage"),
    api_url: s.string().format("uri").title("API URL").help("The base of GitHub's REST API; change it for GitHub Enterprise.").default("https://api.github.com"),
  },
  hosts: [
    { host: "api.github.com", methods: ["GET", "POST"] },
    { host: "{config.api_url}", methods: ["GET", "POST"] },
  ],
  connection: { name: "github", title: "GitHub", auth: { type: "bearer" } },
  state: { "issues/*": s.int() },
  baseUrl: (config) => config.api_url,
  headers: { Accept: "application/vnd.github+json", "User-Agent": "cofferdam-hello-ts", "X-GitHub-Api-Version": "2022-11-28" },
  checkResponse: rateLimit,
  async test(ctx) {
    const { data: user } = await ctx.http.get<{ login: string }>("/user");
    ctx.log.info("the token works", { login: user.login });
  },
});

export default github
  .action("label", {
    title: "Label an issue",
    idempotent: true,
    input: {
      repo: s.string().help("The repository, as owner/name."),
      number: s.int().help("The issue's number."),
      label: s.string().help("The label to add; GitHub creates it if need be."),
    },
    output: { labels: s.array(s.string()).help("All labels of the issue.") },
    run: label,
  })
  .webhook("issues", {
    title: "Issues",
    scheme: "github",
    async run(ctx, delivery) {
      const { action, issue, repository } = delivery.json<IssuesEvent>();
      if (action !== "opened") {
        ctx.log.debug("nothing to do", { action });
        return;
      }
      const repo = repository.full_name;
      ctx.tag("repo", repo);
      ctx.tag("issue", issue.number);
      const count = await ctx.state.add(`issues/${repo}`);
      await label(ctx, { repo, number: issue.number, label: ctx.config.label });
      const done = { repo, issue: issue.number, label: ctx.config.label, count };
      ctx.log.info("labelled", { repo, issue: issue.number, count });
      ctx.emit("issue.labelled", done, { key: `${repo}#${issue.number}` });
      return done;
    },
  });

/** The part of GitHub's payload that matters here: https://docs.github.com/webhooks/webhook-events-and-payloads#issues */
interface IssuesEvent {
  action: string;
  issue: { number: number };
  repository: { full_name: string };
}

/** https://docs.github.com/rest/issues/labels#add-labels-to-an-issue */
async function label(ctx: ContextOf<typeof github>, input: { repo: string; number: number; label: string }) {
  const [owner, name, ...more] = input.repo.split("/");
  if (!owner || !name || more.length > 0) {
    throw new ConnectorError("invalid_input", `the repository ${input.repo} is not of the form owner/name`);
  }
  if (input.number < 1) {
    throw new ConnectorError("invalid_input", `the issue's number is ${input.number}; they begin at 1`);
  }
  const path = `/repos/${encodeURIComponent(owner)}/${encodeURIComponent(name)}/issues/${input.number}/labels`;
  const { data: all } = await ctx.http.post<{ name: string }[]>(path, { labels: [input.label] });
  return { labels: all.map((one) => one.name) };
}

/** GitHub says 403 as well as 429 when it asks to wait: https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api */
function rateLimit(response: HttpResponse) {
  if (response.status !== 403 && response.status !== 429) {
    return;
  }
  const { headers } = response;
  let seconds = Number(headers.get("retry-after") ?? NaN);
  if (Number.isNaN(seconds) && headers.get("x-ratelimit-remaining") === "0") {
    seconds = Number(headers.get("x-ratelimit-reset")) - Date.now() / 1000;
  }
  if (Number.isNaN(seconds) && response.text().includes("secondary rate limit")) {
    seconds = 60; // What GitHub asks for when it says no time.
  }
  if (response.status === 429 || !Number.isNaN(seconds)) {
    return new ConnectorError("rate_limited", `GitHub answered with status ${response.status}: its rate limit is used up`, { retryAfterMs: seconds * 1000 });
  }
}
