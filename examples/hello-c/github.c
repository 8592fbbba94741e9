#include "hello.h"

/* Says whether GitHub asks to wait, and for how long. It answers 403 for that as well as 429, see
 * https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api. */
static bool rate_limit(const cd_response *r, int64_t *wait_ms) {
    int64_t seconds, reset;
    *wait_ms = 0;
    if (r->status != 403 && r->status != 429) return false;
    if (cd_read_integer(cd_header(r->headers, "retry-after"), &seconds)) {
        *wait_ms = seconds * 1000;
        return true;
    }
    bool used_up = !strcmp(cd_header(r->headers, "x-ratelimit-remaining"), "0");
    if (used_up && cd_read_integer(cd_header(r->headers, "x-ratelimit-reset"), &reset)) {
        *wait_ms = reset * 1000 - cd_now();
        return true;
    }
    if (cd_contains(r->body, "secondary rate limit")) {
        *wait_ms = 60 * 1000; /* What GitHub asks for when it says no time. */
        return true;
    }
    return r->status == 429;
}

/* Fails for what GitHub means by a status: what everybody means, and rate limits of its own. */
static bool check(cd_context *ctx, const cd_response *r) {
    int64_t wait_ms;
    if (!rate_limit(r, &wait_ms)) return cd_check(ctx, r);
    cd_fail(ctx, CD_RATE_LIMITED, "GitHub answered with status %lld: its rate limit is used up", r->status);
    return cd_retry_after(ctx, wait_ms);
}

cd_value github(cd_context *ctx, const char *method, const char *path, cd_value body) {
    const char *base = cd_trim_suffix(cd_string(cd_get(ctx->config, "api_url")), "/");
    cd_response response;
    bool answered = cd_http(ctx, (cd_request) {
        .connection = "github",
        .method = method,
        .url = cd_format("%s%s", base, path),
        .headers = cd_object("Accept", cd_text("application/vnd.github+json"),
                             "User-Agent", cd_text("cofferdam-hello-c"),
                             "X-GitHub-Api-Version", cd_text("2022-11-28")),
        .json = body,
    }, &response);
    return answered && check(ctx, &response) ? cd_decode(ctx, &response) : NULL;
}

/* https://docs.github.com/rest/issues/labels#add-labels-to-an-issue */
cd_value add_label(cd_context *ctx, const char *repo, int64_t number, const char *label) {
    const char *name = NULL, *owner = cd_cut(repo, '/', &name);
    if (!owner || !*owner || !*name || cd_contains(name, "/"))
        return cd_fail(ctx, CD_INVALID_INPUT, "the repository \"%s\" is not of the form owner/name", repo);
    if (number < 1) return cd_fail(ctx, CD_INVALID_INPUT, "the issue's number is %lld; they begin at 1", number);

    const char *path = cd_format("/repos/%s/%s/issues/%lld/labels", cd_escape(owner), cd_escape(name), number);
    cd_value all = github(ctx, "POST", path, cd_object("labels", cd_array(cd_text(label))));
    if (!all) return NULL;
    cd_value labels = cd_empty_array();
    for (cd_value one = cd_first(all); one; one = cd_next(one)) cd_append(labels, cd_get(one, "name"));
    return cd_object("labels", labels);
}
