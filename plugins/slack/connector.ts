import { ConnectorError, defineConnector, s } from "@cofferdam/connector";
import { confirm, mark } from "./confirm.ts";
import {
  blocks, channel, checkResponse, nextOf, posted, readUser, text, ts, user, type Answer, type Channel, type Message, type User,
} from "./slack.ts";

const slack = defineConnector({
  name: "slack",
  version: "1.1.0",
  title: "Slack",
  description:
    "Posts and changes messages, talks to people directly, uploads files, and reads a channel. A message whose answer was lost is looked for in the channel before it is posted again. Slack signs its events in a way of its own, so messages are polled.",
  config: {
    channel: s.string().pattern(/^[CGD][A-Z0-9]{6,}$/).optional().title("Channel").help("The id of the channel that the poll reads.").examples("C0123456789"),
  },
  connection: {
    name: "slack_account",
    title: "Slack workspace",
    auth: { type: "oauth2", provider: "slack", scopes: ["chat:write"] },
    hosts: ["slack.com"],
    description:
      "The app of the provider `slack` posts as a bot. As far as they are used, it needs the scopes of the token below, too.",
    or: [
      {
        title: "Slack, with a token",
        auth: { type: "bearer" },
        hosts: ["slack.com"],
        description:
          "The bot token of an app, from OAuth & Permissions on <https://api.slack.com/apps>. It needs the scopes `chat:write`, and as far as they are used: `im:write`, `reactions:write`, `files:write`, `channels:read`, `groups:read`, `users:read`, `users:read.email`, and `channels:history`, by which lost messages are looked for, too.",
      },
    ],
  },
  hosts: [
    { host: "slack.com", methods: ["GET", "POST"] },
    { host: "files.slack.com", methods: ["POST"] },
  ],
  baseUrl: "https://slack.com/api",
  checkResponse,
  confirm,
  async test(ctx) {
    const { data } = await ctx.http.post<Answer & { team: string; user: string }>("/auth.test");
    ctx.log.info("the token works", { team: data.team, user: data.user });
  },
});

/** What a message says. */
const content = { text, blocks: blocks.optional() };

export default slack
  .action("postMessage", {
    title: "Post a message",
    input: {
      channel,
      ...content,
      threadTs: ts.optional().help("The message to reply to, by its id."),
      unfurl: s.bool().default(true).help("Whether links show what is behind them."),
      username: s.string().max(80).optional().help("Another name than the app's; it needs the scope `chat:write.customize`."),
      icon: s.string().pattern(/^:[^:]+:$/).optional().help("An emoji in place of the app's picture, with the same scope."),
    },
    output: posted,
    async run(ctx, { channel, text, blocks, threadTs, unfurl, username, icon }) {
      const { data } = await ctx.http.post<Answer & { channel: string; ts: string }>("/chat.postMessage", {
        channel, text, blocks, thread_ts: threadTs, unfurl_links: unfurl, unfurl_media: unfurl, username, icon_emoji: icon,
        metadata: mark(ctx.idempotencyKey("message")),
      });
      ctx.tag("channel", data.channel);
      return { channel: data.channel, ts: data.ts };
    },
  })
  .action("reply", {
    title: "Reply in a thread",
    input: { channel, threadTs: ts, ...content, broadcast: s.bool().default(false).help("Shows the reply in the channel, too.") },
    output: posted,
    async run(ctx, { channel, threadTs, text, blocks, broadcast }) {
      const { data } = await ctx.http.post<Answer & { channel: string; ts: string }>("/chat.postMessage", {
        channel, text, blocks, thread_ts: threadTs, reply_broadcast: broadcast, metadata: mark(ctx.idempotencyKey("reply")),
      });
      return { channel: data.channel, ts: data.ts };
    },
  })
  .action("updateMessage", {
    title: "Change a message",
    description: "One of the app's own.",
    idempotent: true,
    input: { channel, ts, ...content },
    output: posted,
    async run(ctx, { channel, ts, text, blocks }) {
      const { data } = await ctx.http.post<Answer & { channel: string; ts: string }>("/chat.update", { channel, ts, text, blocks });
      return { channel: data.channel, ts: data.ts };
    },
  })
  .action("deleteMessage", {
    title: "Delete a message",
    description: "One of the app's own.",
    idempotent: true,
    input: { channel, ts },
    output: {},
    async run(ctx, input) {
      await accepting(ctx.http.post("/chat.delete", input), "message_not_found"); // That is what was asked for.
      return {};
    },
  })
  .action("sendDirectMessage", {
    title: "Write to people directly",
    description: "One person, or a group of up to eight.",
    input: { users: s.array(s.string().pattern(/^[UW][A-Z0-9]+$/)).min(1).max(8).help("Their ids.").examples(["U0123456789"]), ...content },
    output: posted,
    async run(ctx, { users, text, blocks }) {
      const opened = await ctx.http.post<Answer & { channel: { id: string } }>("/conversations.open", { users: users.join(",") });
      const { data } = await ctx.http.post<Answer & { channel: string; ts: string }>("/chat.postMessage", {
        channel: opened.data.channel.id, text, blocks, metadata: mark(ctx.idempotencyKey("message")),
      });
      return { channel: data.channel, ts: data.ts };
    },
  })
  .action("addReaction", {
    title: "React to a message",
    idempotent: true,
    input: { channel, ts, emoji: s.string().pattern(/^[a-z0-9_+'-]+(::[a-z0-9-]+)?$/).help("Its name, without colons.").examples("white_check_mark") },
    output: {},
    async run(ctx, { channel, ts, emoji }) {
      await accepting(ctx.http.post("/reactions.add", { channel, timestamp: ts, name: emoji }), "already_reacted");
      return {};
    },
  })
  .action("uploadFile", {
    title: "Upload a file into a channel",
    input: {
      channel: s.string().pattern(/^[CGD][A-Z0-9]{6,}$/).help("The channel's id.").examples("C0123456789"),
      name: s.string().min(1).max(255).examples("report.csv"),
      content: s.string().min(1).max(4_000_000).help("A text.").examples("day,orders\n2026-01-31,12\n"),
      title: s.string().optional(),
      comment: s.string().optional().help("A message that goes with it."),
      threadTs: ts.optional().help("The message to reply to, by its id."),
    },
    output: { file: s.string().help("The file's id.") },
    async run(ctx, { channel, name, content, title = name, comment, threadTs }) {
      const body = new TextEncoder().encode(content);
      const where = await ctx.http.get<Answer & { upload_url: string; file_id: string }>("/files.getUploadURLExternal", {
        query: { filename: name, length: body.length },
      });
      await ctx.http.post(where.data.upload_url, body, { connection: false }); // The URL is the permission.
      await ctx.http.post("/files.completeUploadExternal", {
        files: [{ id: where.data.file_id, title }], channel_id: channel, initial_comment: comment, thread_ts: threadTs,
      });
      return { file: where.data.file_id };
    },
  })
  .action("listChannels", {
    title: "List channels",
    idempotent: true,
    input: {
      types: s.array(s.enum("public_channel", "private_channel", "mpim", "im")).min(1).default(["public_channel"]),
      archived: s.bool().default(false).help("Those that are archived, too."),
      limit: s.int().min(1).max(999).default(200).help("About how many."),
      cursor: s.string().optional().help("The `next` of the list before."),
    },
    output: {
      channels: s.array(s.object({
        id: s.string(), name: s.string(), private: s.bool(), archived: s.bool(), member: s.bool().help("The app is in it."), topic: s.string(), members: s.int().nullable(),
      })),
      next: s.string().nullable(),
    },
    async run(ctx, { types, archived, limit, cursor }) {
      const { data } = await ctx.http.get<Answer & { channels: Channel[] }>("/conversations.list", {
        query: { types: types.join(","), exclude_archived: !archived, limit, cursor },
      });
      const channels = data.channels.map((c) => ({
        id: c.id, name: c.name ?? "", private: c.is_private ?? false, archived: c.is_archived ?? false, member: c.is_member ?? false,
        topic: c.topic?.value ?? "", members: c.num_members ?? null,
      }));
      return { channels, next: nextOf(data) };
    },
  })
  .action("listUsers", {
    title: "List people",
    idempotent: true,
    input: { limit: s.int().min(1).max(999).default(200).help("About how many."), cursor: s.string().optional().help("The `next` of the list before.") },
    output: { users: s.array(s.object(user)), next: s.string().nullable() },
    async run(ctx, query) {
      const { data } = await ctx.http.get<Answer & { members: User[] }>("/users.list", { query });
      return { users: data.members.map(readUser), next: nextOf(data) };
    },
  })
  .action("findUser", {
    title: "Find a person by e-mail address",
    idempotent: true,
    input: { email: s.string().format("email").examples("ada@example.com") },
    output: { user: s.object(user).nullable().help("Null, if there is nobody.") },
    async run(ctx, query) {
      const found = await accepting(ctx.http.get<Answer & { user: User }>("/users.lookupByEmail", { query }), "users_not_found");
      return { user: found ? readUser(found.data.user) : null };
    },
  })
  .poll("messages", {
    title: "Messages in a channel",
    description: "What is written in the configured channel, the oldest first. The first run only marks where to begin. Replies in threads are not among them.",
    every: "1m",
    async run(ctx, cursor) {
      if (!ctx.config.channel || cursor === null) {
        return { records: [], cursor: `${Math.floor(Date.now() / 1000)}.000000` };
      }
      const messages: Message[] = [];
      let next: string | null = null;
      do { // Slack begins with the newest: what is between it and the cursor may be several pages.
        const page: { data: Answer & { messages: Message[] } } = await ctx.http.get("/conversations.history", {
          query: { channel: ctx.config.channel, oldest: cursor, limit: 200, cursor: next },
        });
        messages.push(...page.data.messages);
        next = nextOf(page.data);
      } while (next !== null);
      const records = messages.reverse().map((m) => ({
        channel: ctx.config.channel, ts: m.ts, user: m.user ?? null, bot: m.bot_id ?? null, kind: m.subtype ?? "message", text: m.text, threadTs: m.thread_ts ?? null,
      }));
      return { records, cursor: messages.at(-1)?.ts ?? cursor };
    },
    key: (m) => `${m.channel}/${m.ts}`,
  });

/** Gives undefined where Slack says no by a word that is fine here. */
async function accepting<T>(asked: Promise<T>, word: string): Promise<T | undefined> {
  try {
    return await asked;
  } catch (thrown) {
    if (thrown instanceof ConnectorError && (thrown.details as Partial<Answer> | undefined)?.error === word) {
      return undefined;
    }
    throw thrown;
  }
}
