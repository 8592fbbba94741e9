// What is particular to Slack's Web API: it says no with a status of 200, and in words.

import { ConnectorError, s, type Code, type HttpResponse } from "@cofferdam/connector";

export const channel = s.string().min(1).help("The id of a channel, group or direct message; the name with a `#` works where messages are posted.").examples("C0123456789");
export const ts = s.string().pattern(/^\d+\.\d+$/).help("The message's id, which Slack calls its timestamp.").examples("1503435956.000247");
export const text = s.string().min(1).max(40_000).help("The text, in Slack's own Markdown. With blocks, it is what notifications show.").examples("The light is *on* again.");
export const blocks = s.array(s.record(s.any())).max(50).help("A richer form, see <https://docs.slack.dev/reference/block-kit/blocks>.");

/** A message that was posted. */
export const posted = { channel: s.string().help("The channel's id."), ts: s.string().help("The message's id.") };

/** What every answer begins with. */
export interface Answer {
  ok: boolean;
  error?: string;
  /** What a token lacks. */
  needed?: string;
  response_metadata?: { next_cursor?: string; messages?: string[] };
}

/** https://docs.slack.dev/reference/objects/conversation-object, in part. */
export interface Channel {
  id: string;
  name?: string;
  is_private?: boolean;
  is_archived?: boolean;
  is_member?: boolean;
  topic?: { value: string };
  num_members?: number;
}

/** https://docs.slack.dev/reference/objects/user-object, in part. */
export interface User {
  id: string;
  name: string;
  deleted?: boolean;
  is_bot?: boolean;
  profile?: { real_name?: string; display_name?: string; email?: string };
}

/** https://docs.slack.dev/reference/events/message, in part. */
export interface Message {
  type: string;
  subtype?: string;
  ts: string;
  thread_ts?: string;
  user?: string;
  bot_id?: string;
  text: string;
  metadata?: { event_type: string; event_payload: Record<string, unknown> };
}

/** A user, as far as they are told. */
export const user = {
  id: s.string(),
  name: s.string().help("The handle."),
  realName: s.string(),
  email: s.string().nullable().help("If the app may see it."),
  bot: s.bool(),
  active: s.bool(),
};

export function readUser(u: User) {
  return {
    id: u.id, name: u.name, realName: u.profile?.real_name ?? u.name, email: u.profile?.email ?? null, bot: u.is_bot ?? false, active: !u.deleted,
  };
}

/** The next page's cursor: Slack ends with an empty one. */
export const nextOf = (answer: Answer) => answer.response_metadata?.next_cursor || null;

/** Slack's words for what is neither the input's fault nor the tenant's: https://docs.slack.dev/reference/methods/chat.postMessage#errors. */
const codes: Record<string, Code> = {
  ...all("auth", "not_authed", "invalid_auth", "account_inactive", "token_revoked", "token_expired", "no_permission", "missing_scope",
    "not_allowed_token_type", "access_denied", "accesslimited", "enterprise_is_restricted", "org_login_required", "ekm_access_denied",
    "team_access_not_granted", "two_factor_setup_required"),
  ...all("rate_limited", "ratelimited", "rate_limited"),
  ...all("upstream_unavailable", "internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"),
  ...all("contract_changed", "unknown_method", "method_deprecated", "deprecated_endpoint", "method_not_supported_for_channel_type"),
  ...all("plugin_bug", "invalid_json", "json_not_object", "invalid_post_type", "missing_post_type", "invalid_form_data", "invalid_charset", "invalid_arg_name",
    "invalid_array_arg"),
};

function all(code: Code, ...errors: string[]): Record<string, Code> {
  return Object.fromEntries(errors.map((e) => [e, code]));
}

/** What helps where Slack's word says too little. */
const hints: Record<string, string> = {
  not_in_channel: "invite the app into the channel: /invite @app",
  channel_not_found: "the id is wrong, or the app is not in the private channel",
  is_archived: "the channel is archived",
};

/** What Slack means by an answer. */
export function checkResponse(response: HttpResponse): ConnectorError | undefined {
  if (!response.ok || !(response.headers.get("content-type") ?? "").includes("json")) {
    return undefined; // What most APIs mean by it; rate limits are a 429 with Retry-After.
  }
  const answer = response.data as Answer;
  return answer.ok === false ? refusal(answer) : undefined;
}

/** An answer that says no, as an error. */
function refusal({ error = "no reason", needed, response_metadata }: Answer): ConnectorError {
  const why = [hints[error], needed && `the app needs the scope ${needed}`, ...(response_metadata?.messages ?? [])].filter(Boolean).join("; ");
  return new ConnectorError(codes[error] ?? "invalid_input", `Slack says ${error}${why ? `: ${why}` : ""}`, { details: { error, needed } });
}
