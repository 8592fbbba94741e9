// Answers what host/webhook/peertest asks the vendors' libraries: a line of JSON each.
//
//   {"peer","do":"verify","secret","url","query","headers","body"}  ->  {"accepted"}
//   {"peer","do":"sign","secret","body","at"}                       ->  {"headers"}
import { sign, verify } from "@octokit/webhooks-methods";
import bolt from "@slack/bolt/dist/receivers/verify-request.js";
import { createInterface } from "node:readline";
import Stripe from "stripe";
import twilio from "twilio";

const stripe = new Stripe("sk_test_none");

const peers = {
  octokit: {
    verify: async ({ secret, headers, body }) => verify(secret, body, headers["X-Hub-Signature-256"]),
    sign: async ({ secret, body }) => ({ "X-Hub-Signature-256": await sign(secret, body), "X-Github-Delivery": "d-1" }),
  },
  stripe: {
    verify: async ({ secret, headers, body }) => stripe.webhooks.constructEvent(body, headers["Stripe-Signature"], secret) !== undefined,
    sign: async ({ secret, body, at }) => ({ "Stripe-Signature": stripe.webhooks.generateTestHeaderString({ payload: body, secret, timestamp: at }) }),
  },
  bolt: {
    verify: async ({ secret, headers, body }) =>
      bolt.isValidSlackRequest({
        signingSecret: secret,
        body,
        headers: { "x-slack-signature": headers["X-Slack-Signature"], "x-slack-request-timestamp": Number(headers["X-Slack-Request-Timestamp"]) },
      }),
  },
  twilio: {
    verify: async ({ secret, url, query, headers, body, form }) =>
      form
        ? twilio.validateRequest(secret, headers["X-Twilio-Signature"], url, Object.fromEntries(new URLSearchParams(body)))
        : twilio.validateRequestWithBody(secret, headers["X-Twilio-Signature"], `${url}?${query}`, body),
    sign: async ({ secret, url, body }) => ({
      "X-Twilio-Signature": twilio.getExpectedTwilioSignature(secret, url, Object.fromEntries(new URLSearchParams(body))),
    }),
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  let answer;
  try {
    answer = asked.do === "sign" ? { headers: await peers[asked.peer].sign(asked) } : { accepted: await peers[asked.peer].verify(asked) };
  } catch (thrown) {
    answer = { accepted: false, error: String(thrown) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
