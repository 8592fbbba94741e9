// What became of a message that was sent and not answered. Each carries metadata, which nobody sees, with a key that is
// the execution's own: the channel's history says whether it is there.

import { ConnectorError, type BaseContext, type Confirmation, type Doubt } from "@cofferdam/connector";
import { type Answer, type Message } from "./slack.ts";

const eventType = "cofferdam_message";

/** What a message is found by: https://docs.slack.dev/messaging/message-metadata. */
export const mark = (key: string) => ({ event_type: eventType, event_payload: { key } });

interface Post {
  channel: string;
  thread_ts?: string;
  metadata?: Message["metadata"];
}

/** Methods that come to the same when they are called again. */
const same = /\/(chat\.update|chat\.delete|conversations\.open|reactions\.add)$/;

export async function confirm(ctx: BaseContext, doubt: Doubt): Promise<Confirmation> {
  const { url } = doubt.request;
  if (same.test(url) || url.startsWith("https://files.slack.com/")) {
    return { happened: false };
  }
  if (!url.endsWith("/chat.postMessage")) {
    return {};
  }
  const post = doubt.request.json<Post>();
  const key = post.metadata?.event_payload["key"];
  if (!/^[CGD]/.test(post.channel) || key === undefined) {
    return {}; // A history is found by the channel's id.
  }
  const messages = await historyOf(ctx, post, doubt.askedAt);
  const found = messages?.find((m) => m.metadata?.event_type === eventType && m.metadata.event_payload["key"] === key);
  if (found) {
    return { happened: true, response: { status: 200, json: { ok: true, channel: post.channel, ts: found.ts } } };
  }
  return messages ? { happened: false } : {};
}

/** What was posted since, a minute more as clocks need not agree; undefined if the app may not look. */
async function historyOf(ctx: BaseContext, post: Post, since: Date): Promise<Message[] | undefined> {
  const query = { channel: post.channel, oldest: since.getTime() / 1000 - 60, include_all_metadata: true, limit: 200 };
  try {
    const { data } = post.thread_ts
      ? await ctx.http.get<Answer & { messages: Message[] }>("/conversations.replies", { query: { ...query, ts: post.thread_ts } })
      : await ctx.http.get<Answer & { messages: Message[] }>("/conversations.history", { query });
    return data.messages;
  } catch (thrown) {
    if (thrown instanceof ConnectorError && (thrown.code === "auth" || thrown.code === "invalid_input")) {
      return undefined;
    }
    throw thrown;
  }
}
