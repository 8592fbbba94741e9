/* Probe asks each function of the host by way of the SDK: what its input says, and nothing else. */
#include "cofferdam.h"

static cd_value done(bool ok) { return ok ? cd_empty_object() : NULL; }
static const char *text(cd_value in, const char *name) { return cd_string(cd_get(in, name)); }

/* A member that may not be there. */
static cd_value given(cd_value in, const char *name) {
    for (cd_value m = cd_first(in); m; m = cd_next(m))
        if (!strcmp(cd_key(m), name)) return m;
    return NULL;
}

static cd_value get(cd_context *ctx, cd_value in) {
    bool found;
    cd_value value = cd_state_get(ctx, text(in, "key"), &found);
    return value ? cd_object("found", cd_boolean(found), "value", value) : NULL;
}

static cd_value set(cd_context *ctx, cd_value in) { return done(cd_state_set(ctx, text(in, "key"), cd_get(in, "value"))); }
static cd_value delete_(cd_context *ctx, cd_value in) { return done(cd_state_delete(ctx, text(in, "key"))); }

static cd_value swap(cd_context *ctx, cd_value in) {
    bool swapped;
    if (!cd_state_swap(ctx, text(in, "key"), given(in, "old"), cd_get(in, "new"), &swapped)) return NULL;
    return cd_object("swapped", cd_boolean(swapped));
}

static cd_value add(cd_context *ctx, cd_value in) {
    int64_t sum;
    return cd_state_add(ctx, text(in, "key"), cd_integer(cd_get(in, "delta"), 0), &sum) ? cd_object("sum", cd_number(sum)) : NULL;
}

static cd_value list(cd_context *ctx, cd_value in) {
    cd_value page = cd_state_list(ctx, text(in, "prefix"), text(in, "after"), cd_integer(cd_get(in, "limit"), 0));
    if (!page) return NULL;
    cd_value keys = cd_empty_array(), values = cd_empty_array();
    for (cd_value e = cd_first(cd_get(page, "entries")); e; e = cd_next(e)) {
        cd_append(keys, cd_get(e, "key"));
        cd_append(values, cd_get(e, "value"));
    }
    return cd_object("keys", keys, "values", values, "more", cd_get(page, "more"));
}

static const char *optional(cd_value in, const char *name) { return given(in, name) ? text(in, name) : NULL; }

static cd_value http_(cd_context *ctx, cd_value in) {
    cd_request r = {
        .connection = optional(in, "connection"), .method = text(in, "method"), .url = text(in, "url"), .headers = given(in, "headers"),
        .json = given(in, "json"), .body = text(in, "text"), .size = cd_size(cd_get(in, "text")),
        .timeout_ms = cd_integer(cd_get(in, "timeout_ms"), 0), .idempotency_key = optional(in, "key"),
    };
    cd_value bytes = cd_get(in, "bytes");
    if (cd_count(bytes)) {
        char *body = cd_allocate(cd_count(bytes));
        for (cd_value b = cd_first(bytes); b; b = cd_next(b)) body[r.size++] = (char)cd_integer(b, 0);
        r.body = body;
    }
    cd_response response;
    if (!cd_http(ctx, r, &response)) return NULL;
    cd_value shown = cd_bytes(response.body, response.size);
    bool ascii = response.size < 1000;
    for (size_t i = 0; i < response.size; i++) ascii = ascii && (unsigned char)response.body[i] < 0xf0;
    return cd_object("status", cd_number(response.status), "retry", cd_text(cd_header(response.headers, "retry-after")),
                     "text", ascii ? shown : cd_null(), "size", cd_number((int64_t)response.size));
}

static cd_value context(cd_context *ctx, cd_value in) {
    (void)in;
    return cd_object("execution", cd_text(ctx->execution), "attempt", cd_number(ctx->attempt), "word", cd_get(ctx->config, "word"),
                     "n", cd_get(ctx->config, "n"), "connections", ctx->connections, "now", cd_number(cd_now()));
}

static cd_value echo(cd_context *ctx, cd_value in) {
    (void)ctx;
    return in;
}

static cd_value log_(cd_context *ctx, cd_value in) {
    cd_value level = cd_get(in, "level");
    (cd_is(level, "debug") ? cd_debug : cd_is(level, "info") ? cd_info : cd_is(level, "warn") ? cd_warn : cd_error)(ctx, text(in, "message"), cd_get(in, "fields"));
    return cd_empty_object();
}

static cd_value emit_(cd_context *ctx, cd_value in) { return done(cd_emit(ctx, text(in, "name"), text(in, "key"), cd_get(in, "data"))); }
static cd_value tag_(cd_context *ctx, cd_value in) { return done(cd_tag(ctx, text(in, "name"), text(in, "value"))); }

static cd_value sleep_(cd_context *ctx, cd_value in) {
    if (given(in, "until")) return done(cd_sleep_until(ctx, text(in, "until")));
    return done(cd_sleep(ctx, cd_integer(cd_get(in, "ms"), 0)));
}

static cd_value hmac(cd_context *ctx, cd_value in) {
    cd_value bytes = cd_get(in, "bytes");
    const char *payload = text(in, "text");
    size_t size = cd_size(cd_get(in, "text"));
    if (cd_count(bytes)) {
        char *body = cd_allocate(cd_count(bytes));
        for (cd_value b = cd_first(bytes); b; b = cd_next(b)) body[size++] = (char)cd_integer(b, 0);
        payload = body;
    }
    return cd_sign_hmac(ctx, text(in, "connection"), text(in, "algorithm"), payload, size);
}

static cd_value jwt(cd_context *ctx, cd_value in) {
    return cd_sign_jwt(ctx, text(in, "connection"), text(in, "algorithm"), cd_get(in, "claims"), cd_integer(cd_get(in, "lifetime_s"), 0));
}

static cd_value sigv4(cd_context *ctx, cd_value in) {
    return cd_sign_sigv4(ctx, text(in, "connection"), text(in, "method"), text(in, "url"), cd_integer(cd_get(in, "lifetime_s"), 0));
}

static cd_value again(cd_context *ctx, cd_value in) {
    if (cd_kind_of(ctx->checkpoint) != CD_NULL) return cd_object("checkpoint", ctx->checkpoint);
    return cd_start_again_at(ctx, text(in, "until"), cd_get(in, "checkpoint"));
}

static cd_value fail(cd_context *ctx, cd_value in) {
    cd_fail(ctx, text(in, "code"), "%s", text(in, "message"));
    cd_retry_after(ctx, cd_integer(cd_get(in, "retry_after_ms"), 0));
    return cd_details(ctx, cd_get(in, "details"));
}

static cd_value bug(cd_context *ctx, cd_value in) {
    (void)ctx, (void)in;
    return NULL;
}

static cd_value deliver(cd_context *ctx, cd_value d) {
    (void)ctx;
    size_t size;
    const char *body = cd_delivery_body(d, &size);
    cd_value bytes = cd_empty_array(), headers = cd_get(d, "headers");
    for (size_t i = 0; i < size; i++) cd_append(bytes, cd_number((unsigned char)body[i]));
    return cd_object("id", cd_get(d, "id"), "method", cd_get(d, "method"), "path", cd_get(d, "path"), "query", cd_get(d, "query"),
                     "header", cd_text(cd_header(headers, "x-test")), "none", cd_text(cd_header(headers, "none")), "bytes", bytes);
}

static cd_value misbehave(cd_context *ctx, const char *what) {
    if (!strcmp(what, "http")) return cd_fetch(ctx, (cd_request) { .url = "https://api.example.com/" });
    if (!strcmp(what, "state")) return done(cd_state_set(ctx, "a", cd_number(1)));
    if (!strcmp(what, "token")) return cd_sign_jwt(ctx, CD_SECRET, "HS256", cd_object("a", cd_number(1)), 0);
    for (volatile bool spin = !strcmp(what, "spin"); spin;) continue;
    return NULL;
}

static cd_value verify(cd_context *ctx, cd_value d) {
    cd_value headers = cd_get(d, "headers");
    const char *what = cd_header(headers, "x-do"), *method = text(d, "method"), *query = text(d, "query");
    if (*what) return misbehave(ctx, what);
    if (!strcmp(method, "GET")) return cd_respond(200, cd_text(query));
    if (!strcmp(method, "PUT")) return cd_respond(201, cd_object("challenge", cd_get(cd_delivery_json(ctx, d), "challenge")));
    const char *given = cd_header(headers, "x-signature"), *secret = cd_header(headers, "x-secret");
    if (!*given) return cd_refuse(CD_SIGNATURE_MISSING, "there is no x-signature");

    size_t size;
    const char *body = cd_delivery_body(d, &size);
    const char *head = cd_format("%s|%s|%s|%s|", text(ctx->config, "word"), method, text(d, "url"), query);
    char *payload = cd_allocate(strlen(head) + size);
    memcpy(payload, head, strlen(head));
    memcpy(payload + strlen(head), body, size);
    cd_value want = cd_sign_hmac(ctx, *secret ? secret : CD_SECRET, "hmac-sha256", payload, strlen(head) + size);
    if (!want) return NULL;
    if (!cd_is_signature(want, given)) return cd_refuse(CD_SIGNATURE_INVALID, cd_format("it is another, at %s", text(d, "received_at")));
    int64_t signed_at = 0;
    cd_read_integer(cd_header(headers, "x-time"), &signed_at);
    return cd_accept(cd_header(headers, "x-id"), signed_at);
}

static cd_value count(cd_context *ctx, cd_value cursor) {
    (void)ctx;
    int64_t n = cd_integer(cd_get(cursor, "n"), 0);
    if (n >= 3) return cd_page(cd_empty_array(), cursor, false);
    cd_value next = cd_object("n", cd_number(n + 1));
    return cd_page(cd_array(cd_object("key", cd_text(cd_format("%lld", n + 1)), "data", next)), next, true);
}

static cd_value confirm(cd_context *ctx, cd_value doubt) {
    const char *url = cd_string(cd_get(doubt, "request", "url"));
    if (!cd_fetch(ctx, (cd_request) { .url = url })) return NULL;
    if (cd_contains(url, "/yes"))
        return cd_happened(cd_object("status", cd_number(201), "headers", cd_get(doubt, "request", "headers"), "body", cd_text("made")));
    return cd_contains(url, "/no") ? cd_not_happened() : cd_unsure();
}

const cd_connector cofferdam = {
    .manifest = CD_JSON({
        "name": "probe-c", "version": "0.1.0",
        "config": { "type": "object", "properties": { "word": { "type": "string", "default": "Hello" }, "n": { "type": "integer" } } },
        "connections": [
            { "name": "account", "type": "bearer", "hosts": ["api.example.com"], "rate": { "per_second": 9.5, "burst": 20 } },
            { "name": "shared", "type": "hmac", "hosts": ["api.example.com"], "sign": ["hmac-sha1", "hmac-sha256", "HS256"] },
            { "name": "app", "type": "private_key", "hosts": ["api.example.com"], "sign": ["EdDSA", "ES256", "RS256"] },
            { "name": "aws", "type": "aws_sigv4", "hosts": ["examplebucket.s3.amazonaws.com"], "sign": ["aws-sigv4"] }
        ],
        "egress": [{ "host": "api.example.com", "methods": ["GET", "POST", "PUT", "PATCH"] }],
        "idempotency": [{ "host": "api.example.com", "header": "Idempotency-Key", "ttl": "1h" }],
        "actions": [
            { "name": "get" }, { "name": "set" }, { "name": "delete" }, { "name": "swap" }, { "name": "add" }, { "name": "list" },
            { "name": "http" }, { "name": "context" }, { "name": "echo" }, { "name": "log" }, { "name": "emit" }, { "name": "tag" },
            { "name": "sleep" }, { "name": "again" }, { "name": "hmac" }, { "name": "jwt" }, { "name": "sigv4" },
            { "name": "fail" }, { "name": "bug" }
        ],
        "webhooks": [{ "name": "any", "scheme": "github" }, { "name": "signed", "verify": true }],
        "polls": [{ "name": "count", "every": "1m" }],
        "confirm": true
    }),
    .actions = CD_HANDLERS({ "get", get }, { "set", set }, { "delete", delete_ }, { "swap", swap }, { "add", add }, { "list", list },
                           { "http", http_ }, { "context", context }, { "echo", echo }, { "log", log_ }, { "emit", emit_ }, { "tag", tag_ },
                           { "sleep", sleep_ }, { "again", again }, { "hmac", hmac }, { "jwt", jwt }, { "sigv4", sigv4 }, { "fail", fail }, { "bug", bug }),
    .webhooks = CD_HANDLERS({ "any", deliver }, { "signed", deliver }),
    .verify = CD_HANDLERS({ "signed", verify }),
    .polls = CD_HANDLERS({ "count", count }),
    .confirm = confirm,
};
