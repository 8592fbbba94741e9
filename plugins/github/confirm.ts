// What became of a request that was sent and not answered: GitHub has no keys by which it would know one that comes
// again, so the connector looks whether what it asked for is there.

import type { BaseContext, Confirmation, Doubt } from "@cofferdam/connector";
import { at, type Issue, type PullRequest } from "./github.ts";

/**
 * An invisible mark at the end of a text in Markdown, by which it is found again. The key is the execution's own, so no
 * text of another execution has it.
 */
export const marked = (text: string, key: string) => `${text}\n\n<!-- ${key} -->`;

const findMark = (text: string) => /<!-- exe_[^>]+ -->$/.exec(text)?.[0];

/** Looks for what a request was to make. */
export async function confirm(ctx: BaseContext, doubt: Doubt): Promise<Confirmation> {
  const { method, url: path } = doubt.request;
  if (method === "PATCH") {
    return { happened: false }; // It sets values: setting them again changes nothing.
  }
  if (/\/labels$/.test(path)) {
    return { happened: false }; // An issue has a label once.
  }
  if (/\/issues$/.test(path)) {
    return byMark(ctx, doubt, { state: "all", sort: "created", direction: "desc" });
  }
  if (/\/issues\/\d+\/comments$/.test(path)) {
    return byMark(ctx, doubt, {});
  }
  if (/\/pulls$/.test(path)) {
    return pullRequestOf(ctx, doubt);
  }
  return {}; // A workflow's run does not say who asked for it.
}

/** Finds the issue or comment with the mark of the one that was to be made. */
async function byMark(ctx: BaseContext, doubt: Doubt, query: Record<string, string>): Promise<Confirmation> {
  const mark = findMark(doubt.request.json<{ body?: string }>().body ?? "");
  if (mark === undefined) {
    return {};
  }
  // A minute more, as clocks need not agree.
  const since = new Date(doubt.askedAt.getTime() - 60_000).toISOString();
  const { data } = await ctx.http.get<Pick<Issue, "body">[]>(doubt.request.url, { query: { ...query, since, per_page: 100 } });
  const found = data.find((one) => one.body?.includes(mark));
  return found ? { happened: true, response: { status: 201, json: found } } : { happened: false };
}

/** A branch has one open pull request into another. */
async function pullRequestOf(ctx: BaseContext, doubt: Doubt): Promise<Confirmation> {
  const { head, base } = doubt.request.json<{ head: string; base: string }>();
  const owner = /\/repos\/([^/]+)\//.exec(doubt.request.url)?.[1] ?? "";
  const { data } = await ctx.http.get<PullRequest[]>(doubt.request.url, {
    query: { state: "open", head: head.includes(":") ? head : `${owner}:${head}`, base },
  });
  return data[0] ? { happened: true, response: { status: 201, json: data[0] } } : { happened: false };
}

/** The path of the comments of an issue or pull request. */
export const commentsOf = (repository: string, number: number) => at(repository, `/issues/${number}/comments`);
