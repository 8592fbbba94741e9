/* Cofferdam: how a connector is written in C.
 *
 * A connector is one value that says what it is and does:
 *
 *     #include "cofferdam.h"
 *
 *     static cd_value label(cd_context *ctx, cd_value input) { ... }
 *
 *     const cd_connector cofferdam = {
 *         .manifest = CD_JSON({ "name": "hello", "version": "0.1.0", "actions": [{ "name": "label" }] }),
 *         .actions = CD_HANDLERS({"label", label}),
 *     };
 *
 * Everything is JSON: a handler gets a cd_value and returns one. It returns what
 * cd_fail gives, which is NULL, when it fails; whatever gets NULL for a value gives
 * NULL, so that one check at the end does for many. Nothing is ever freed: memory goes
 * with the call, and so do variables. See sdk/ABI.md for what the host makes of it all.
 *
 * There is no C library: this header has what connectors need of one.
 */
#ifndef COFFERDAM_H
#define COFFERDAM_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- connector: what it is and does ------------------------------------------ */

typedef struct cd_context cd_context;

/* A JSON value. NULL is none at all: what failed. */
typedef const struct cd_node *cd_value;

/* What a handler is given: an action its input; a webhook the delivery (cd_delivery_json
 * reads its body); a poll the cursor, null at first; test and confirm all of the input,
 * which for confirm has {"function","request","asked_at"}: what nobody knows of whether it
 * had its effect; verify {"received_at","method","url","query","headers","body"}, a request
 * that claims to be a delivery, whose body cd_delivery_body and cd_delivery_json read. */
typedef cd_value (*cd_run)(cd_context *ctx, cd_value input);

typedef struct {
    const char *name;
    cd_run run;
} cd_handler;

typedef struct {
    const char *manifest; /* What describe returns, see sdk/ABI.md, "Manifest". Write it with CD_JSON. */
    const cd_handler *actions, *webhooks, *polls; /* By the names that the manifest has. Write them with CD_HANDLERS. */
    /* Decide whether a delivery is authentic, of the webhooks that have "verify": true in place of a "scheme", before
     * anything is stored. They return cd_accept, cd_refuse or cd_respond, and have cd_sign_hmac with the endpoint's secret
     * and the configuration: no HTTP, no state, no log, and 50 ms of a core. What fails refuses. */
    const cd_handler *verify;
    cd_run test;          /* Checks an installation. The manifest says "test": true. */
    cd_run confirm;       /* Returns cd_happened, cd_not_happened or cd_unsure. The manifest says "confirm": true. */
} cd_connector;

/* The connector of this program, which its author defines. */
extern const cd_connector cofferdam;

#define CD_JSON(...) #__VA_ARGS__
#define CD_HANDLERS(...) (const cd_handler[]) { __VA_ARGS__, { NULL, NULL } }

/* A poll's output: records is an array of {"key","data"}. */
cd_value cd_page(cd_value records, cd_value cursor, bool more);

cd_value cd_happened(cd_value response);
cd_value cd_not_happened(void);
cd_value cd_unsure(void);

/* Verdicts of verify. A second delivery with the same id is not run again; without one ("" or NULL), one with the same
 * body is not. The timestamp says when the vendor signed it, in seconds since 1970, and is 0 if it does not say that: more
 * than five minutes from now, the host refuses it. */
cd_value cd_accept(const char *id, int64_t timestamp);
/* Whoever delivers is told the code at most; the message is for the operator's log. */
cd_value cd_refuse(const char *code, const char *message);
/* Answers a vendor's handshake, which is no delivery: nothing runs. The status is 200 to 299; a string is sent as text,
 * any other value as JSON, of at most 2 KiB. */
cd_value cd_respond(int64_t status, cd_value body);

/* ---- context: one call, and all that it can reach ------------------------------ */

struct cd_context {
    const char *execution; /* The same when it is run again. */
    int64_t attempt;       /* Counts from 1. */
    cd_value config;       /* The installation's, with the defaults of the manifest's schema. */
    cd_value connections;  /* The granted connections: name to an object of fields that are not secret. */
    cd_value checkpoint;   /* What cd_start_again_at left, or null. */
    cd_value failure;      /* What cd_fail said last, or NULL. */
};

/* A record, which becomes an event when the execution succeeds. Of one key an installation keeps the first; "" is none. */
bool cd_emit(cd_context *ctx, const char *name, const char *key, cd_value data);
/* Marks the execution, so that people find it by name=value. */
bool cd_tag(cd_context *ctx, const char *name, const char *value);

/* Go to the execution's trace. fields is an object or NULL. */
void cd_debug(cd_context *ctx, const char *message, cd_value fields);
void cd_info(cd_context *ctx, const char *message, cd_value fields);
void cd_warn(cd_context *ctx, const char *message, cd_value fields);
void cd_error(cd_context *ctx, const char *message, cd_value fields);

/* Wait, up to 400 days. More than a second ends the sandbox meanwhile: the call is made again then, and what it had
 * asked before is answered as it was. until is a time such as 2026-01-02T15:04:05Z. */
bool cd_sleep(cd_context *ctx, int64_t milliseconds);
bool cd_sleep_until(cd_context *ctx, const char *until);
/* Ends the call: what it has done is kept, and at that time it is made again from its start, with the checkpoint. It
 * returns only if it fails. */
cd_value cd_start_again_at(cd_context *ctx, const char *until, cd_value checkpoint);

/* Milliseconds since 1970; the clock stands still between host calls. */
int64_t cd_now(void);
/* The execution's own random stream, the same when it is run again. */
void cd_random(void *buffer, size_t size);

/* A function of the host app's own, which the manifest names: CD_FUNCTION(plan_of) declares it, and
 * cd_call(ctx, "plan_of", plan_of, request) asks it. */
typedef uint64_t cd_function(uint64_t request);
#define CD_FUNCTION(name) __attribute__((import_module("extism:host/user"), import_name(#name))) uint64_t name(uint64_t request)
cd_value cd_call(cd_context *ctx, const char *name, cd_function *function, cd_value request);

/* ---- http: what a third party is asked ------------------------------------------ */

typedef struct {
    const char *connection; /* Whose credential the host adds, or NULL. */
    const char *method;     /* Defaults to GET. */
    const char *url;
    cd_value headers;       /* An object: name to a string, or to an array of them. */
    cd_value json;          /* Sent as application/json. */
    const char *body;       /* Or these bytes, as they are. */
    size_t size;
    int64_t timeout_ms;     /* Can only shorten the host's own. */
    const char *idempotency_key;
    bool literal;           /* What looks like a placeholder of the connection's "slots" is text. */
} cd_request;

typedef struct {
    int64_t status;
    cd_value headers; /* Names are in lower case; cd_header reads one. */
    const char *body; /* Ends in a NUL that is not counted. */
    size_t size;
} cd_response;

/* Makes a request. A status of 400 and above is an answer: see cd_check. */
bool cd_http(cd_context *ctx, cd_request request, cd_response *response);
/* Fails for a status of 400 and above, with the code that most APIs mean by it and the wait that Retry-After asks for:
 * 401 and 403 auth; 408, 500 and above upstream_unavailable; 425 and 429 rate_limited; any other invalid_input. */
bool cd_check(cd_context *ctx, const cd_response *response);
/* Reads the body as JSON; what does not fit is contract_changed. */
cd_value cd_decode(cd_context *ctx, const cd_response *response);
/* All three. */
cd_value cd_fetch(cd_context *ctx, cd_request request);
/* The first value of a header, or "". The name is in lower case. */
const char *cd_header(cd_value headers, const char *name);
/* A webhook's body as JSON; what does not fit is invalid_input. */
cd_value cd_delivery_json(cd_context *ctx, cd_value delivery);
/* A webhook's body, whether it came as body or as body_base64. */
const char *cd_delivery_body(cd_value delivery, size_t *size);
/* One segment of a URL's path, or a value of its query, with what would end it escaped. */
const char *cd_escape(const char *segment);

/* ---- sign: signatures of keys that stay outside ---------------------------------- */

/* The host signs with the key of a connection, by an algorithm that the connection has under "sign" in the manifest. A
 * connection that is not granted, or has no such key, is no_connection; an algorithm that the manifest does not ask for
 * is denied. */

/* {"hex","base64"}: an HMAC of the payload, by hmac-sha1, hmac-sha256, hmac-sha384 or hmac-sha512. */
cd_value cd_sign_hmac(cd_context *ctx, const char *connection, const char *algorithm, const char *payload, size_t size);
/* Compares such a signature with one that came, in hexadecimal digits or in base64, in constant time; NULL is none. */
bool cd_is_signature(cd_value signature, const char *given);
/* The connections that verify has for the endpoint's signing secret: its text as it is, and what that is the base64 (after
 * a "whsec_") or the hexadecimal digits of. */
#define CD_SECRET "secret"
#define CD_SECRET_BASE64 "secret.base64"
#define CD_SECRET_HEX "secret.hex"
/* {"token","expires_at"}: a JSON web token of claims, an object. The host adds iat and exp. A lifetime of 0 is the host's,
 * 300 seconds; 3600 is the most. */
cd_value cd_sign_jwt(cd_context *ctx, const char *connection, const char *algorithm, cd_value claims, int64_t lifetime_s);
/* {"url","expires_at"}: a URL that AWS takes as signed, at one of the connection's hosts. Requests of cd_http need none of
 * this: the host signs them. */
cd_value cd_sign_sigv4(cd_context *ctx, const char *connection, const char *method, const char *url, int64_t lifetime_s);

/* ---- state: what an installation remembers --------------------------------------- */

/* JSON documents by key. Writes are seen by the same call, and committed with its success or not at all. */

/* The value, or null if there is none, which found, if it is not NULL, tells from a null that is stored. */
cd_value cd_state_get(cd_context *ctx, const char *key, bool *found);
bool cd_state_set(cd_context *ctx, const char *key, cd_value value);
bool cd_state_delete(cd_context *ctx, const char *key);
/* Stores updated if the value is old; an old of NULL means that the key must be absent. */
bool cd_state_swap(cd_context *ctx, const char *key, cd_value old, cd_value updated, bool *swapped);
/* Adds to an integer, which starts at 0, and gives the sum. It never conflicts with other executions. */
bool cd_state_add(cd_context *ctx, const char *key, int64_t delta, int64_t *sum);
/* {"entries":[{"key","value"}],"more"} of the keys that begin with prefix and come after a key ("" for none). A limit
 * of 0 leaves their number to the host. */
cd_value cd_state_list(cd_context *ctx, const char *prefix, const char *after, int64_t limit);

/* ---- error: why a call failed ------------------------------------------------------ */

/* Codes of your own are welcome. These decide what follows, see sdk/ABI.md. */
#define CD_RATE_LIMITED "rate_limited"
#define CD_UPSTREAM_UNAVAILABLE "upstream_unavailable"
#define CD_RETRY "retry"
#define CD_NETWORK "network"
#define CD_TIMEOUT "timeout"
#define CD_AUTH "auth"
#define CD_INVALID_INPUT "invalid_input"
#define CD_CONTRACT_CHANGED "contract_changed"
#define CD_PLUGIN_BUG "plugin_bug"
#define CD_INTERNAL "internal"
/* Codes of cd_refuse. */
#define CD_SIGNATURE_MISSING "signature_missing"
#define CD_SIGNATURE_INVALID "signature_invalid"
#define CD_DELIVERY_ID_MISSING "delivery_id_missing"
#define CD_DELIVERY_REFUSED "delivery_refused"

/* Makes the call fail, and gives NULL. The message is for people, and must hold nothing secret. */
cd_value cd_fail(cd_context *ctx, const char *code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Add to the failure. */
cd_value cd_retry_after(cd_context *ctx, int64_t milliseconds);
cd_value cd_details(cd_context *ctx, cd_value details);

/* ---- JSON ---------------------------------------------------------------------------- */

typedef enum { CD_NULL, CD_BOOL, CD_NUMBER, CD_STRING, CD_ARRAY, CD_OBJECT } cd_kind;

/* Reads a document of up to 512 levels. What is none gives NULL. */
cd_value cd_parse(const char *text, size_t size);
/* Writes one. The text ends in a NUL that is not counted. */
const char *cd_write(cd_value value, size_t *size);

cd_kind cd_kind_of(cd_value value);
/* The member at the end of a path of keys, or null. */
#define cd_get(value, ...) cd_get_path(value, __VA_ARGS__, (const char *)NULL)
cd_value cd_get_path(cd_value value, const char *key, ...) __attribute__((sentinel));
/* Members of an array or object, in order: for (cd_value v = cd_first(all); v; v = cd_next(v)) ... */
cd_value cd_first(cd_value value);
cd_value cd_next(cd_value value);
const char *cd_key(cd_value value);
size_t cd_count(cd_value value);
/* A string, or "". cd_size counts its bytes, which may include a NUL. */
const char *cd_string(cd_value value);
size_t cd_size(cd_value value);
/* Whether it is a string without a NUL: then cd_string is all of it, which what is signed or compared has to be. */
bool cd_is_plain(cd_value value);
/* Whether it is this string. */
bool cd_is(cd_value value, const char *text);
/* A number that is written without point and exponent, or otherwise. */
int64_t cd_integer(cd_value value, int64_t otherwise);
/* A number as it is written, which no rounding has touched, or "". */
const char *cd_digits(cd_value value);
bool cd_bool(cd_value value);

cd_value cd_null(void);
cd_value cd_boolean(bool truth);
cd_value cd_number(int64_t number);
/* A number as it is to be written, such as "0.25"; what is none gives NULL. */
cd_value cd_decimal(const char *digits);
cd_value cd_text(const char *text);
cd_value cd_bytes(const char *text, size_t size);
/* cd_object("repo", cd_text(repo), "issue", cd_number(42)), cd_array(cd_text("a"), cd_text("b")). */
#define cd_object(...) cd_object_of(__VA_ARGS__, (const char *)NULL)
cd_value cd_object_of(const char *key, ...) __attribute__((sentinel));
#define cd_array(...) cd_array_of(sizeof((cd_value[]) { __VA_ARGS__ }) / sizeof(cd_value), (cd_value[]) { __VA_ARGS__ })
cd_value cd_array_of(size_t count, const cd_value *items);
cd_value cd_empty_object(void);
cd_value cd_empty_array(void);
/* Adds to a value that was made by the above, and gives it. */
cd_value cd_append(cd_value array, cd_value item);
cd_value cd_put(cd_value object, const char *key, cd_value member);

/* ---- what C programs need ---------------------------------------------------------- */

/* As printf, for %s, %d, %lld, %zu, %c and %%. */
const char *cd_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Memory for this call, aligned for anything. A request that cannot be had ends the call. */
void *cd_allocate(size_t size);
const char *cd_trim_suffix(const char *text, const char *suffix);
/* A copy of the bytes before the first one of a character, or NULL if there is none; *after is what follows it. */
const char *cd_cut(const char *text, char separator, const char **after);
bool cd_contains(const char *text, const char *part);
/* Reads a whole decimal number; false if it is anything else. */
bool cd_read_integer(const char *text, int64_t *number);
/* Milliseconds since 1970 of a date of HTTP, such as Sun, 06 Nov 1994 08:49:37 GMT. */
bool cd_read_date(const char *text, int64_t *milliseconds);

size_t strlen(const char *text);
int strcmp(const char *a, const char *b);
int memcmp(const void *a, const void *b, size_t size);
void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memset(void *to, int byte, size_t size);

#endif
