import { defineConnector, s } from "@cofferdam/connector";
import { commentsOf, confirm, marked } from "./confirm.ts";
import {
  at, checkResponse, issue, labelNames, number, pullRequest, readIssue, readPullRequest, repo, type Issue, type PullRequest,
} from "./github.ts";

const github = defineConnector({
  name: "github",
  version: "1.1.0",
  title: "GitHub",
  description: "Works with issues, pull requests and workflows, and hears of what happens in repositories, on github.com and on GitHub Enterprise Server.",
  config: {
    apiUrl: s.string().format("uri").default("https://api.github.com").title("API URL").help("The base of the REST API. For GitHub Enterprise Server it is `https://HOST/api/v3`."),
    repository: repo.optional().title("Repository").help("The one that the poll `issues` looks at, as owner/name."),
    mark: s.bool().default(true).title("Mark what is written").help("Ends issues and comments with an invisible `<!-- ... -->`, by which one is found again whose answer was lost. Without it, a person has to look."),
  },
  connection: {
    name: "github_account",
    title: "GitHub account",
    // No scope is required: a GitHub App has permissions in their place, and says of scopes that it has none.
    auth: { type: "oauth2", provider: "github" },
    hosts: ["api.github.com"],
    description:
      "For github.com. A GitHub App needs, for the repositories that are meant, the permissions Issues, Pull requests and Actions (read and write), and Contents (read; write to merge). An OAuth app needs the scope `repo`, and `notifications` for the poll of that name.",
    or: [
      {
        title: "GitHub, with a token",
        auth: { type: "bearer" },
        hosts: ["{config.apiUrl}"],
        description:
          "A fine-grained personal access token, from Settings, Developer settings, Personal access tokens. It needs, for the repositories that are meant: Issues, Pull requests and Actions (read and write), and Contents (read; write to merge). The poll `notifications` needs a classic token with the scope `notifications`.",
      },
    ],
  },
  hosts: [{ host: "{config.apiUrl}", methods: ["GET", "POST", "PUT", "PATCH", "DELETE"] }],
  // GitHub answers 403 for its rate limits, too: https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api.
  notDone: [{ host: "{config.apiUrl}", status: [403] }],
  baseUrl: (config) => config.apiUrl,
  headers: { accept: "application/vnd.github+json", "x-github-api-version": "2022-11-28", "user-agent": "cofferdam-github" },
  checkResponse,
  confirm,
  async test(ctx) {
    const { data } = await ctx.http.get<{ login: string }>("/user");
    ctx.log.info("the token works", { login: data.login });
  },
});

export default github
  .action("createIssue", {
    title: "Create an issue",
    input: {
      repo,
      title: s.string().min(1).max(256).help("The title.").examples("The light is out"),
      body: s.string().default("").help("The text, in Markdown."),
      labels: s.array(s.string()).default([]).help("Labels to begin with; GitHub creates those that are new.").examples(["bug"]),
      assignees: s.array(s.string()).max(10).default([]).help("Logins of those who are to work on it."),
      milestone: s.int().optional().help("The number of a milestone."),
    },
    output: issue,
    async run(ctx, { repo, body, ...rest }) {
      const text = ctx.config.mark ? marked(body, ctx.idempotencyKey("issue")) : body;
      const { data } = await ctx.http.post<Issue>(at(repo, "/issues"), { ...rest, body: text });
      ctx.tag("issue", `${repo}#${data.number}`);
      return readIssue(data);
    },
  })
  .action("getIssue", {
    title: "Get an issue",
    idempotent: true,
    input: { repo, number },
    output: { ...issue, body: s.string().help("The text, in Markdown.") },
    async run(ctx, { repo, number }) {
      const { data } = await ctx.http.get<Issue>(at(repo, `/issues/${number}`));
      return { ...readIssue(data), body: data.body ?? "" };
    },
  })
  .action("updateIssue", {
    title: "Change an issue",
    description: "Changes what is given, and leaves the rest. Labels and assignees replace those that there are.",
    idempotent: true,
    input: {
      repo,
      number,
      title: s.string().min(1).max(256).optional(),
      body: s.string().optional().help("The text, in Markdown."),
      state: s.enum("open", "closed").optional().examples("closed"),
      stateReason: s.enum("completed", "not_planned", "duplicate", "reopened").optional().help("Why the state is what it is."),
      labels: s.array(s.string()).optional(),
      assignees: s.array(s.string()).max(10).optional().help("Logins."),
    },
    output: issue,
    async run(ctx, { repo, number, stateReason, ...rest }) {
      const { data } = await ctx.http.patch<Issue>(at(repo, `/issues/${number}`), { ...rest, state_reason: stateReason });
      return readIssue(data);
    },
  })
  .action("searchIssues", {
    title: "Search issues and pull requests",
    description: "Takes what the search field of GitHub takes, see <https://docs.github.com/search-github/searching-on-github/searching-issues-and-pull-requests>.",
    idempotent: true,
    input: {
      query: s.string().min(1).max(256).examples("repo:octo-org/lighthouse is:issue is:open label:bug"),
      limit: s.int().min(1).max(100).default(30).help("How many at the most."),
    },
    output: { total: s.int().help("How many there are."), issues: s.array(s.object(issue)) },
    async run(ctx, { query, limit }) {
      const { data } = await ctx.http.get<{ total_count: number; items: Issue[] }>("/search/issues", {
        query: { q: query, per_page: limit, advanced_search: true },
      });
      return { total: data.total_count, issues: data.items.map(readIssue) };
    },
  })
  .action("comment", {
    title: "Comment on an issue or a pull request",
    input: { repo, number, body: s.string().min(1).max(65_000).help("The text, in Markdown.").examples("Looking into it.") },
    output: { id: s.int(), url: s.string().format("uri") },
    async run(ctx, { repo, number, body }) {
      const text = ctx.config.mark ? marked(body, ctx.idempotencyKey("comment")) : body;
      const { data } = await ctx.http.post<{ id: number; html_url: string }>(commentsOf(repo, number), { body: text });
      ctx.tag("issue", `${repo}#${number}`);
      return { id: data.id, url: data.html_url };
    },
  })
  .action("addLabels", {
    title: "Add labels to an issue or a pull request",
    idempotent: true,
    input: { repo, number, labels: s.array(s.string().min(1)).min(1).max(100).help("GitHub creates those that are new.").examples(["triage"]) },
    output: { labels: s.array(s.string()).help("All that it has now.") },
    async run(ctx, { repo, number, labels }) {
      const { data } = await ctx.http.post<Issue["labels"]>(at(repo, `/issues/${number}/labels`), { labels });
      return { labels: labelNames(data) };
    },
  })
  .action("removeLabel", {
    title: "Remove a label from an issue or a pull request",
    idempotent: true,
    input: { repo, number, label: s.string().min(1).examples("triage") },
    output: { labels: s.array(s.string()).help("All that it has now.") },
    async run(ctx, { repo, number, label }) {
      const path = at(repo, `/issues/${number}/labels`);
      await ctx.http.delete(`${path}/${encodeURIComponent(label)}`, { allow: [404] }); // It does not have it: that is what was asked for.
      const { data } = await ctx.http.get<Issue["labels"]>(path, { query: { per_page: 100 } });
      return { labels: labelNames(data) };
    },
  })
  .action("createPullRequest", {
    title: "Create a pull request",
    input: {
      repo,
      title: s.string().min(1).max(256).examples("Mend the light"),
      head: s.string().min(1).help("The branch to be merged; for one of a fork, `owner:branch`.").examples("mend-light"),
      base: s.string().min(1).help("The branch to merge it into.").examples("main"),
      body: s.string().default("").help("The text, in Markdown."),
      draft: s.bool().default(false),
    },
    output: pullRequest,
    async run(ctx, { repo, ...rest }) {
      const { data } = await ctx.http.post<PullRequest>(at(repo, "/pulls"), rest);
      ctx.tag("pull", `${repo}#${data.number}`);
      return readPullRequest(data);
    },
  })
  .action("listPullRequests", {
    title: "List pull requests",
    description: "Those that were changed last come first.",
    idempotent: true,
    input: {
      repo,
      state: s.enum("open", "closed", "all").default("open"),
      base: s.string().optional().help("Only those into this branch.").examples("main"),
      head: s.string().optional().help("Only those of this branch, as `owner:branch`."),
      limit: s.int().min(1).max(100).default(30).help("How many at the most."),
    },
    output: { pullRequests: s.array(s.object(pullRequest)) },
    async run(ctx, { repo, limit, ...rest }) {
      const { data } = await ctx.http.get<PullRequest[]>(at(repo, "/pulls"), {
        query: { ...rest, sort: "updated", direction: "desc", per_page: limit },
      });
      return { pullRequests: data.map(readPullRequest) };
    },
  })
  .action("mergePullRequest", {
    title: "Merge a pull request",
    idempotent: true,
    input: {
      repo,
      number,
      method: s.enum("merge", "squash", "rebase").default("merge"),
      sha: s.string().pattern(/^[0-9a-f]{40}$/).optional().help("The commit that its branch must be at, so that nothing is merged that nobody has seen."),
      title: s.string().optional().help("Of the commit."),
      message: s.string().optional().help("Of the commit."),
    },
    output: { sha: s.string().help("The commit that it was merged as.") },
    async run(ctx, { repo, number, method, sha, title, message }) {
      const path = at(repo, `/pulls/${number}`);
      const merge = await ctx.http.put<{ sha: string }>(
        `${path}/merge`,
        { merge_method: method, sha, commit_title: title, commit_message: message },
        { allow: [405] },
      );
      if (merge.ok) {
        return { sha: merge.data.sha };
      }
      // It cannot be merged: perhaps because it is, by this request before an answer was lost.
      const { data } = await ctx.http.get<PullRequest>(path);
      if (!data.merged) {
        throw checkResponse(merge);
      }
      return { sha: data.merge_commit_sha ?? "" };
    },
  })
  .action("dispatchWorkflow", {
    title: "Run a workflow",
    description: "The workflow must have the trigger `workflow_dispatch`. GitHub does not say which run it becomes.",
    input: {
      repo,
      workflow: s.string().min(1).help("The name of its file, or its id.").examples("deploy.yml"),
      ref: s.string().min(1).help("The branch or tag to run it on.").examples("main"),
      inputs: s.record(s.string()).default({}).help("What the workflow asks for.").examples({ environment: "staging" }),
    },
    output: {},
    async run(ctx, { repo, workflow, ref, inputs }) {
      await ctx.http.post(at(repo, `/actions/workflows/${encodeURIComponent(workflow)}/dispatches`), { ref, inputs });
      return {};
    },
  })
  .webhook("issues", {
    title: "Issues and comments",
    description: "Emits `issue.opened`, `issue.closed`, `issue.labeled` and so on, and `comment.created` and the like. Choose the events Issues and Issue comments.",
    scheme: "github",
    run(ctx, delivery) {
      const event = delivery.json<{ action: string; issue: Issue; comment?: { id: number; body: string; html_url: string }; repository: { full_name: string } }>();
      const kind = { issues: "issue", issue_comment: "comment" }[delivery.headers.get("x-github-event") ?? ""];
      if (kind === undefined) {
        return ignore(ctx, delivery.headers.get("x-github-event"));
      }
      const repo = event.repository.full_name;
      ctx.tag("issue", `${repo}#${event.issue.number}`);
      const comment = event.comment && { id: event.comment.id, body: event.comment.body, url: event.comment.html_url };
      ctx.emit(`${kind}.${event.action}`, { repo, issue: readIssue(event.issue), comment }, { key: delivery.id });
      return { emitted: `${kind}.${event.action}` };
    },
  })
  .webhook("pullRequests", {
    title: "Pull requests",
    description: "Emits `pull_request.opened`, `pull_request.merged` (where GitHub says closed), `pull_request.synchronize` and so on. Choose the event Pull requests.",
    scheme: "github",
    run(ctx, delivery) {
      if (delivery.headers.get("x-github-event") !== "pull_request") {
        return ignore(ctx, delivery.headers.get("x-github-event"));
      }
      const event = delivery.json<{ action: string; pull_request: PullRequest; repository: { full_name: string } }>();
      const repo = event.repository.full_name;
      const action = event.action === "closed" && event.pull_request.merged ? "merged" : event.action;
      ctx.tag("pull", `${repo}#${event.pull_request.number}`);
      ctx.emit(`pull_request.${action}`, { repo, pullRequest: readPullRequest(event.pull_request) }, { key: delivery.id });
      return { emitted: `pull_request.${action}` };
    },
  })
  .webhook("push", {
    title: "Pushes",
    description: "Emits `push` with the commits that are new on a branch. Choose the event Pushes.",
    scheme: "github",
    run(ctx, delivery) {
      if (delivery.headers.get("x-github-event") !== "push") {
        return ignore(ctx, delivery.headers.get("x-github-event"));
      }
      const event = delivery.json<Push>();
      ctx.tag("repo", event.repository.full_name);
      const commits = event.commits.map((c) => ({ sha: c.id, message: c.message, author: c.author.username ?? c.author.name, url: c.url }));
      const { ref, before, after, forced, deleted } = event;
      ctx.emit("push", { repo: event.repository.full_name, ref, before, after, forced, deleted, pusher: event.pusher.name, commits }, { key: delivery.id });
      return { emitted: "push", commits: commits.length };
    },
  })
  .poll("issues", {
    title: "Issues that have changed",
    description: "For repositories without a webhook: issues and pull requests of the configured repository, each time that one has changed. The first run only marks where to begin.",
    every: "5m",
    cursor: s.object({ since: s.string(), page: s.int() }),
    async run(ctx, cursor) {
      if (!ctx.config.repository || cursor === null) {
        return { records: [], cursor: { since: new Date().toISOString(), page: 1 } };
      }
      const { data } = await ctx.http.get<Issue[]>(at(ctx.config.repository, "/issues"), {
        query: { state: "all", sort: "updated", direction: "asc", since: cursor.since, per_page: 100, page: cursor.page },
      });
      const records = data.map((i) => ({ ...readIssue(i), isPullRequest: i.pull_request !== undefined }));
      return { records, ...next(cursor, data) };
    },
    key: (i) => `${i.id}@${i.updatedAt}`,
  })
  .poll("notifications", {
    title: "Notifications",
    description: "Those of the token's owner that are not read yet. It needs a classic token.",
    every: "1m",
    cursor: s.object({ since: s.string(), page: s.int() }),
    async run(ctx, cursor) {
      const from = cursor ?? { since: new Date(0).toISOString(), page: 1 };
      const { data } = await ctx.http.get<Notification[]>("/notifications", { query: { since: from.since, per_page: 50, page: from.page } });
      const records = data.map((n) => ({
        id: n.id, repo: n.repository.full_name, reason: n.reason, kind: n.subject.type, title: n.subject.title, updatedAt: n.updated_at,
      }));
      if (data.length === 50) {
        return { records, cursor: { ...from, page: from.page + 1 }, more: true };
      }
      return { records, cursor: { since: latest(from.since, data), page: 1 } };
    },
    key: (n) => `${n.id}@${n.updatedAt}`,
  });

/** Where a list goes on that is sorted by time of change, the oldest first. */
function next(cursor: { since: string; page: number }, data: Issue[]) {
  const more = data.length === 100;
  const since = latest(cursor.since, data);
  // A page of one second only is followed by the next page of that second.
  return { cursor: more && since === cursor.since ? { since, page: cursor.page + 1 } : { since, page: 1 }, more };
}

const latest = (since: string, all: { updated_at: string }[]) => all.reduce((newest, one) => (one.updated_at > newest ? one.updated_at : newest), since);

/** A hook that is set to more events than the connector knows is no mistake. */
function ignore(ctx: { log: { debug(message: string, fields?: Record<string, unknown>): void } }, event: string | undefined) {
  ctx.log.debug("nothing to do", { event });
  return undefined;
}

/** https://docs.github.com/webhooks/webhook-events-and-payloads#push, in part. */
interface Push {
  ref: string;
  before: string;
  after: string;
  forced: boolean;
  deleted: boolean;
  pusher: { name: string };
  repository: { full_name: string };
  commits: { id: string; message: string; url: string; author: { name: string; username?: string } }[];
}

/** https://docs.github.com/rest/activity/notifications#list-notifications-for-the-authenticated-user, in part. */
interface Notification {
  id: string;
  reason: string;
  updated_at: string;
  subject: { title: string; type: string };
  repository: { full_name: string };
}
