/* Hello-c is a connector for GitHub: it counts the issues that are opened in each
 * repository, and labels them with the tenant's token. */
#include "hello.h"

static cd_value on_issues(cd_context *ctx, cd_value delivery) {
    /* https://docs.github.com/webhooks/webhook-events-and-payloads#issues */
    cd_value event = cd_delivery_json(ctx, delivery);
    if (!event) return NULL;
    if (!cd_is(cd_get(event, "action"), "opened")) {
        cd_debug(ctx, "nothing to do", cd_object("action", cd_get(event, "action")));
        return cd_null();
    }
    const char *repo = cd_string(cd_get(event, "repository", "full_name"));
    int64_t number = cd_integer(cd_get(event, "issue", "number"), 0), count;
    const char *name = cd_string(cd_get(ctx->config, "label"));

    /* People find the execution by repo=owner/name and issue=n. */
    if (!cd_tag(ctx, "repo", repo) || !cd_tag(ctx, "issue", cd_format("%lld", number))) return NULL;
    if (!cd_state_add(ctx, cd_format("issues/%s", repo), 1, &count)) return NULL;
    if (!add_label(ctx, repo, number, name)) return NULL;

    cd_value done = cd_object("repo", cd_text(repo), "issue", cd_number(number), "label", cd_text(name), "count", cd_number(count));
    cd_info(ctx, "labelled", cd_object("repo", cd_text(repo), "issue", cd_number(number), "count", cd_number(count)));
    return cd_emit(ctx, "issue.labelled", cd_format("%s#%lld", repo, number), done) ? done : NULL;
}

static cd_value label(cd_context *ctx, cd_value input) {
    return add_label(ctx, cd_string(cd_get(input, "repo")), cd_integer(cd_get(input, "number"), 0), cd_string(cd_get(input, "label")));
}

/* Asks who the token belongs to. */
static cd_value test(cd_context *ctx, cd_value input) {
    (void)input;
    cd_value user = github(ctx, "GET", "/user", NULL);
    if (!user) return NULL;
    cd_info(ctx, "the token works", cd_object("login", cd_get(user, "login")));
    return cd_empty_object();
}

const cd_connector cofferdam = {
    .manifest = CD_JSON({
        "name": "hello-c",
        "version": "0.1.0",
        "title": "Hello, GitHub",
        "description": "Counts and labels issues.",
        "config": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "label": {
                    "title": "Label", "description": "The label that a new issue gets.",
                    "type": "string", "default": "triage"
                },
                "api_url": {
                    "title": "API URL", "description": "The base of GitHub's REST API; change it for GitHub Enterprise.",
                    "type": "string", "format": "uri", "default": "https://api.github.com"
                }
            },
            "additionalProperties": false
        },
        "actions": [{
            "name": "label",
            "title": "Label an issue",
            "idempotent": true,
            "input": {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "type": "object",
                "properties": {
                    "repo": { "description": "The repository, as owner/name.", "type": "string" },
                    "number": { "description": "The issue's number.", "type": "integer" },
                    "label": { "description": "The label to add; GitHub creates it if need be.", "type": "string" }
                },
                "required": ["repo", "number", "label"],
                "additionalProperties": false
            },
            "output": {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "type": "object",
                "properties": {
                    "labels": { "description": "All labels of the issue.", "type": "array", "items": { "type": "string" } }
                },
                "required": ["labels"]
            }
        }],
        "webhooks": [{ "name": "issues", "title": "Issues", "scheme": "github" }],
        "connections": [{
            "name": "github", "title": "GitHub", "type": "bearer",
            "hosts": ["api.github.com", "{config.api_url}"]
        }],
        "egress": [
            { "host": "api.github.com", "methods": ["GET", "POST"] },
            { "host": "{config.api_url}", "methods": ["GET", "POST"] }
        ],
        "test": true
    }),
    .actions = CD_HANDLERS({ "label", label }),
    .webhooks = CD_HANDLERS({ "issues", on_issues }),
    .test = test,
};
