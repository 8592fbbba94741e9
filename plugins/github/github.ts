// What is particular to GitHub's REST API: how it names repositories, divides lists, and says no.

import { ConnectorError, s, type HttpResponse } from "@cofferdam/connector";

/** A repository, as owner/name. */
export const repo = s.string().pattern(/^[A-Za-z0-9_.-]+\/[A-Za-z0-9_.-]+$/).help("The repository, as owner/name.").examples("octo-org/lighthouse");

/** The number of an issue or a pull request. */
export const number = s.int().min(1).help("The number of the issue or pull request.").examples(42);

/** An issue, as far as it is told. */
export const issue = {
  id: s.int().help("The id, which is unique on all of GitHub."),
  number: s.int().help("The number in its repository."),
  title: s.string(),
  state: s.enum("open", "closed"),
  labels: s.array(s.string()),
  assignees: s.array(s.string()).help("Their logins."),
  author: s.string().help("The login."),
  comments: s.int().help("How many there are."),
  url: s.string().format("uri").help("Where people read it."),
  createdAt: s.string().format("date-time"),
  updatedAt: s.string().format("date-time"),
};

/** https://docs.github.com/rest/issues/issues#get-an-issue, in part. */
export interface Issue {
  id: number;
  number: number;
  title: string;
  body: string | null;
  state: "open" | "closed";
  labels: (string | { name?: string })[];
  assignees: { login: string }[] | null;
  user: { login: string } | null;
  comments: number;
  html_url: string;
  created_at: string;
  updated_at: string;
  /** It is set where the issue is a pull request. */
  pull_request?: unknown;
}

/** https://docs.github.com/rest/pulls/pulls#get-a-pull-request, in part. */
export interface PullRequest {
  id: number;
  number: number;
  title: string;
  state: "open" | "closed";
  draft?: boolean;
  merged?: boolean;
  merge_commit_sha: string | null;
  user: { login: string } | null;
  head: { ref: string; sha: string };
  base: { ref: string };
  html_url: string;
  created_at: string;
  updated_at: string;
}

/** A pull request, as far as it is told. */
export const pullRequest = {
  id: s.int().help("The id, which is unique on all of GitHub."),
  number: s.int().help("The number in its repository."),
  title: s.string(),
  state: s.enum("open", "closed"),
  draft: s.bool(),
  author: s.string().help("The login."),
  head: s.string().help("The branch that is to be merged."),
  sha: s.string().help("The newest commit of that branch."),
  base: s.string().help("The branch that it is to be merged into."),
  url: s.string().format("uri").help("Where people read it."),
  createdAt: s.string().format("date-time"),
  updatedAt: s.string().format("date-time"),
};

export function readIssue(i: Issue) {
  return {
    id: i.id,
    number: i.number,
    title: i.title,
    state: i.state,
    labels: labelNames(i.labels),
    assignees: (i.assignees ?? []).map((a) => a.login),
    author: i.user?.login ?? "ghost",
    comments: i.comments,
    url: i.html_url,
    createdAt: i.created_at,
    updatedAt: i.updated_at,
  };
}

export function readPullRequest(p: PullRequest) {
  return {
    id: p.id,
    number: p.number,
    title: p.title,
    state: p.state,
    draft: p.draft ?? false,
    author: p.user?.login ?? "ghost",
    head: p.head.ref,
    sha: p.head.sha,
    base: p.base.ref,
    url: p.html_url,
    createdAt: p.created_at,
    updatedAt: p.updated_at,
  };
}

export function labelNames(labels: Issue["labels"]): string[] {
  return labels.map((l) => (typeof l === "string" ? l : (l.name ?? "")));
}

/** The path of something in a repository; a repository's name has nothing that a URL would misread. */
export const at = (repository: string, rest: string) => `/repos/${repository}${rest}`;

/**
 * What GitHub means by an answer: what everybody means, and more. Its rate limits answer 403 as well as 429
 * (https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api), and what a token may not see is "not found".
 */
export function checkResponse(response: HttpResponse): ConnectorError | undefined {
  if (response.ok || response.status >= 500) {
    return undefined; // What most APIs mean by it.
  }
  const wait = limitedFor(response);
  if (wait !== undefined) {
    return new ConnectorError("rate_limited", "GitHub's rate limit is used up", { retryAfterMs: wait, details: { status: response.status } });
  }
  const { message, fields } = complaint(response);
  const said = `GitHub answered ${response.status}: ${message}`;
  const details = { status: response.status, errors: fields };
  switch (response.status) {
    case 401:
    case 403:
      return new ConnectorError("auth", said, { details });
    case 404:
      return new ConnectorError("invalid_input", `${said}. It is not there, or the token may not see it`, { details });
    default:
      return new ConnectorError("invalid_input", said, { details });
  }
}

/** How long a rate limit asks to wait, in milliseconds; undefined if there is none. */
function limitedFor(response: HttpResponse): number | undefined {
  if (response.status !== 403 && response.status !== 429) {
    return undefined;
  }
  const after = Number(response.headers.get("retry-after"));
  if (after > 0) {
    return after * 1000;
  }
  if (response.headers.get("x-ratelimit-remaining") === "0") {
    const now = Date.parse(response.headers.get("date") ?? "") || Date.now(); // GitHub's clock, so that ours need not agree.
    return Math.max(1000, Number(response.headers.get("x-ratelimit-reset")) * 1000 - now);
  }
  const secondary = response.status === 429 || /secondary rate limit|abuse detection/i.test(response.text());
  return secondary ? 60_000 : undefined; // What GitHub asks for where it says no time.
}

/** What GitHub says is wrong, and with which fields. */
function complaint(response: HttpResponse): { message: string; fields: unknown } {
  try {
    const { message, errors } = JSON.parse(response.text()) as { message?: string; errors?: { field?: string; code?: string; message?: string }[] };
    const details = (errors ?? []).map((e) => e.message ?? `${e.field ?? "something"} is ${e.code ?? "wrong"}`);
    return { message: [message ?? "no reason", ...details].join("; "), fields: errors };
  } catch {
    return { message: response.text().slice(0, 300), fields: undefined };
  }
}
