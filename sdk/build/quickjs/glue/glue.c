/*
 * The glue between Extism and QuickJS: it evaluates a bundle once (load), then
 * calls the function that the bundle left for each export.
 *
 * It is compiled to a position-independent module, which ../linker.go links with
 * the engine. The engine's functions are those of quickjs.h of QuickJS-NG; they are
 * declared here, so that no header is needed. See ../doc.go for what scripts see.
 *
 * Rules: nothing here may trap, whatever the script does; a failure of the engine
 * is an exception or a report; what a call holds need not be freed at its end,
 * because the sandbox is put back, but what one host call holds is.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The engine. A value is a tag in the high half and, for these, a number in the low. */
typedef struct JSRuntime JSRuntime;
typedef struct JSContext JSContext;
typedef uint64_t JSValue;
typedef uint32_t JSAtom;
typedef JSValue JSCFunction(JSContext *, JSValue self, int argc, JSValue *argv);

enum { TAG_INT = 0, TAG_UNDEFINED = 3, TAG_EXCEPTION = 6 };
#define VALUE(tag, n) ((JSValue)(tag) << 32 | (uint32_t)(n))
#define UNDEFINED VALUE(TAG_UNDEFINED, 0)
#define EXCEPTION VALUE(TAG_EXCEPTION, 0)

enum { PROMISE_PENDING = 0, PROMISE_REJECTED = 2 };
enum { EVAL_GLOBAL = 0 };

typedef struct {
  void *(*calloc)(void *opaque, size_t n, size_t size);
  void *(*malloc)(void *opaque, size_t size);
  void (*free)(void *opaque, void *);
  void *(*realloc)(void *opaque, void *, size_t size);
  size_t (*usable_size)(const void *);
} JSMallocFunctions;

JSRuntime *JS_NewRuntime2(const JSMallocFunctions *, void *opaque);
JSContext *JS_NewContext(JSRuntime *);
void JS_SetMaxStackSize(JSRuntime *, size_t);
void JS_SetGCThreshold(JSRuntime *, size_t);
void JS_UpdateStackTop(JSRuntime *);
void JS_RunGC(JSRuntime *);
void JS_SetModuleLoaderFunc(JSRuntime *, void *normalize, void *load, void *opaque);
void JS_SetHostPromiseRejectionTracker(JSRuntime *, void (*)(JSContext *, JSValue, JSValue, bool, void *), void *);
int JS_ExecutePendingJob(JSRuntime *, JSContext **);
JSValue JS_Eval(JSContext *, const char *text, size_t n, const char *file, int flags);
JSValue JS_Call(JSContext *, JSValue f, JSValue self, int argc, JSValue *argv);
bool JS_IsFunction(JSContext *, JSValue);
int JS_PromiseState(JSContext *, JSValue);
JSValue JS_PromiseResult(JSContext *, JSValue);
JSValue JS_GetException(JSContext *);
JSValue JS_DupValue(JSContext *, JSValue);
void JS_FreeValue(JSContext *, JSValue);
JSValue JS_GetGlobalObject(JSContext *);
JSValue JS_NewObject(JSContext *);
JSValue JS_NewStringLen(JSContext *, const char *, size_t);
JSValue JS_NewArrayBufferCopy(JSContext *, const uint8_t *, size_t);
JSValue JS_NewCFunction2(JSContext *, JSCFunction *, const char *name, int length, int kind, int magic);
JSValue JS_GetPropertyStr(JSContext *, JSValue, const char *);
int JS_SetPropertyStr(JSContext *, JSValue, const char *, JSValue);
int JS_DeleteProperty(JSContext *, JSValue, JSAtom, int flags);
JSAtom JS_NewAtomLen(JSContext *, const char *, size_t);
void JS_FreeAtom(JSContext *, JSAtom);
JSValue JS_JSONStringify(JSContext *, JSValue, JSValue replacer, JSValue space);
int JS_ToInt32(JSContext *, int32_t *, JSValue);
const char *JS_ToCStringLen2(JSContext *, size_t *n, JSValue, bool cesu8);
void JS_FreeCString(JSContext *, const char *);
JSValue JS_ThrowTypeError(JSContext *, const char *format, ...);
JSValue JS_ThrowRangeError(JSContext *, const char *format, ...);
void *js_malloc(JSContext *, size_t);
void js_free(JSContext *, void *);
void *malloc(size_t);
void *calloc(size_t, size_t);
void *realloc(void *, size_t);
void free(void *);
void *memcpy(void *, const void *, size_t);
void *memset(void *, int, size_t);
size_t strlen(const char *);
int strcmp(const char *, const char *);

/* The engine's side modules. Each gives 0, or leaves an exception. */
int qjs_ext_crypto_init(JSContext *, JSRuntime *);
int qjs_ext_encoding_init(JSContext *, JSRuntime *);
int qjs_ext_headers_init(JSContext *, JSRuntime *);
int qjs_ext_structured_clone_init(JSContext *, JSRuntime *);
int qjs_ext_url_init(JSContext *, JSRuntime *);

/* The host. Offsets are into Extism's memory. */
#define HOST(name) __attribute__((import_module("extism:host/env"), import_name(#name)))
HOST(input_length) uint64_t input_length(void);
HOST(input_load_u8) uint32_t input_load_u8(uint64_t);
HOST(input_load_u64) uint64_t input_load_u64(uint64_t);
HOST(output_set) void output_set(uint64_t, uint64_t);
HOST(error_set) void error_set(uint64_t);
HOST(alloc) uint64_t alloc(uint64_t);
HOST(free) void release(uint64_t);
HOST(length) uint64_t length(uint64_t);
HOST(load_u8) uint32_t load_u8(uint64_t);
HOST(load_u64) uint64_t load_u64(uint64_t);
HOST(store_u8) void store_u8(uint64_t, uint32_t);
HOST(store_u64) void store_u64(uint64_t, uint64_t);

__attribute__((import_module("wasi_snapshot_preview1"), import_name("random_get"))) int32_t random_get(void *, size_t);

/* Made by the linker: the host's functions by name, ended by a name of 0. */
extern const struct {
  const char *name;
  uint64_t (*call)(uint64_t request);
} cofferdam_functions[];

#define EXPORT(name) __attribute__((export_name(#name)))

/* The engine's own stack is 1 MiB, but the sandbox bounds the machine's, to 4 MiB, and
   a frame of JavaScript takes 240 bytes of the one and 3.8 KB of the other: 800 frames.
   The engine's parser comes next to the sandbox's bound, at 256 KiB. */
enum { STACK_BYTES = 192 << 10 };
/* Below this much memory, cycles are not looked for: a call is short, its memory is
   thrown away, and looking costs as much as the bundle has objects. */
enum { GC_BYTES = 8 << 20 };
/* https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md#errno */
enum { ERRNO_NOT_PERMITTED = 63 };

static JSRuntime *runtime;
static JSContext *context;
static JSValue dispatch;
/* Whether the bundle is being evaluated, and asked for randomness meanwhile. */
static bool loading, asked_for_random;
/* Whether the image is complete. */
static bool loaded;
/* Whether the script called error(). */
static bool failed;
/* How many rejected promises nobody has handled, and what the last was rejected with. */
static int unhandled;
static JSValue unhandled_reason = UNDEFINED;

static bool is_exception(JSValue v) { return v >> 32 == TAG_EXCEPTION; }

/* text_of gives a value's text, as UTF-8, or 0 and an exception. */
static const char *text_of(JSContext *c, JSValue v, size_t *n) { return JS_ToCStringLen2(c, n, v, false); }

/* mend replaces half a surrogate pair, for which UTF-8 has no form, by U+FFFD where it
   begins in the n bytes at s: both take three. The engine hands out a copy of its own
   where a string is not ASCII. */
static void mend(char *s, size_t n) {
  for (uint8_t *p = (uint8_t *)s, *end = p + n; p < end; p++)
    if (p[0] == 0xed && p[1] >= 0xa0) p[0] = 0xef, p[1] = 0xbf, p[2] = 0xbd;
}

/* has_ed says whether one of eight bytes may be 0xed, with which such a half begins:
   https://graphics.stanford.edu/~seander/bithacks.html#ZeroInWord. */
static bool has_ed(uint64_t word) {
  const uint64_t ones = 0x0101010101010101;
  uint64_t x = word ^ ones * 0xed;
  return (x - ones) & ~x & ones << 7;
}

/* to_host copies into a new block, and gives 0 when there is no room for one. */
static uint64_t to_host(const char *s, size_t n) {
  uint64_t at = alloc(n), word;
  size_t i = 0;
  if (!at) return 0;
  for (; i + 8 <= n; i += 8) {
    __builtin_memcpy(&word, s + i, 8);
    if (has_ed(word)) {
      mend((char *)s + i, 8);
      __builtin_memcpy(&word, s + i, 8);
    }
    store_u64(at + i, word);
  }
  mend((char *)s + i, n - i);
  for (; i < n; i++) store_u8(at + i, (uint8_t)s[i]);
  return at;
}

/* give copies a value's text to the host. An empty text is block 0. */
static bool give(JSContext *c, JSValue v, uint64_t *at, size_t *n) {
  const char *s = text_of(c, v, n);
  if (!s) return false;
  *at = to_host(s, *n);
  JS_FreeCString(c, s);
  if (*n && !*at) JS_ThrowRangeError(c, "%u bytes are more than the host has room for", (unsigned)*n);
  return !*n || *at;
}

/* read_input gives the input with a zero behind it, or 0 and an exception. */
static char *read_input(JSContext *c, size_t *np) {
  size_t n = input_length(), i = 0;
  char *s = js_malloc(c, n + 1);
  if (!s) return 0;
  for (; i + 8 <= n; i += 8) {
    uint64_t word = input_load_u64(i);
    __builtin_memcpy(s + i, &word, 8);
  }
  for (; i < n; i++) s[i] = (char)input_load_u8(i);
  s[n] = 0;
  *np = n;
  return s;
}

/* take gives a block of the host's as a string, and frees the block. */
static JSValue take(JSContext *c, uint64_t at) {
  size_t n = at ? length(at) : 0, i = 0;
  char *s = js_malloc(c, n + 1);
  if (!s) return EXCEPTION;
  for (; i + 8 <= n; i += 8) {
    uint64_t word = load_u64(at + i);
    __builtin_memcpy(s + i, &word, 8);
  }
  for (; i < n; i++) s[i] = (char)load_u8(at + i);
  if (at) release(at);
  JSValue text = JS_NewStringLen(c, s, n);
  js_free(c, s);
  return text;
}

/* What scripts call. */

static JSValue js_input(JSContext *c, JSValue self, int argc, JSValue *argv) {
  (void)self, (void)argc, (void)argv;
  size_t n;
  char *s = read_input(c, &n);
  if (!s) return EXCEPTION;
  JSValue text = JS_NewStringLen(c, s, n);
  js_free(c, s);
  return text;
}

static JSValue js_output(JSContext *c, JSValue self, int argc, JSValue *argv) {
  (void)self, (void)argc;
  uint64_t at;
  size_t n;
  if (!give(c, argv[0], &at, &n)) return EXCEPTION;
  output_set(at, n);
  return UNDEFINED;
}

static JSValue js_error(JSContext *c, JSValue self, int argc, JSValue *argv) {
  (void)self, (void)argc;
  uint64_t at;
  size_t n;
  if (!give(c, argv[0], &at, &n)) return EXCEPTION;
  if (n) error_set(at);
  failed = true;
  return UNDEFINED;
}

static JSValue js_random(JSContext *c, JSValue self, int argc, JSValue *argv) {
  (void)self, (void)argc;
  enum { MOST = 65536 };
  int32_t n = 0;
  uint8_t *p;
  if (JS_ToInt32(c, &n, argv[0])) return EXCEPTION;
  if (n < 0 || n > MOST) return JS_ThrowRangeError(c, "%d random bytes are not 0 to %d", (int)n, MOST);
  if (loading) {
    asked_for_random = true;
    return JS_ThrowTypeError(c, "there is no randomness while the connector is loaded");
  }
  if (!(p = js_malloc(c, n + 1))) return EXCEPTION;
  random_get(p, n);
  JSValue buffer = JS_NewArrayBufferCopy(c, p, n);
  js_free(c, p);
  return buffer;
}

/* js_call calls a function of the host. While the bundle is loaded only logs go out,
   and the host drops them. */
static JSValue js_call(JSContext *c, JSValue self, int argc, JSValue *argv) {
  (void)self, (void)argc;
  size_t n, i = 0;
  uint64_t request;
  const char *name = text_of(c, argv[0], &n);
  if (!name) return EXCEPTION;
  JSValue result = EXCEPTION;
  while (cofferdam_functions[i].name && strcmp(cofferdam_functions[i].name, name)) i++;
  if (!cofferdam_functions[i].name) {
    JS_ThrowTypeError(c, "the host function \"%s\" is not linked: list it under functions", name);
  } else if (loading && strcmp(name, "log")) {
    JS_ThrowTypeError(c, "the host function \"%s\" was called while the connector was loaded: call it in an action, a webhook or a poll", name);
  } else if (give(c, argv[1], &request, &n)) {
    uint64_t answer = cofferdam_functions[i].call(request);
    if (request && request != answer) release(request);
    result = take(c, answer);
  }
  JS_FreeCString(c, name);
  return result;
}

/* What the engine calls. */

static void on_rejection(JSContext *c, JSValue promise, JSValue reason, bool handled, void *opaque) {
  (void)promise, (void)opaque;
  if (handled) {
    unhandled--;
    return;
  }
  unhandled++;
  JS_FreeValue(c, unhandled_reason);
  unhandled_reason = JS_DupValue(c, reason);
}

static void *refuse_module(JSContext *c, const char *name, void *opaque) {
  (void)opaque;
  JS_ThrowTypeError(c, "cannot import \"%s\": a connector is one bundle, and imports only what its build found", name);
  return 0;
}

/* The engine imports these for an embedder that writes its functions outside of it,
   as this one does not. The time zone is UTC; fuel bounds what an interrupt would. */
EXPORT(host_get_timezone_offset) int32_t host_get_timezone_offset(int32_t high, int32_t low) { return (void)high, (void)low, 0; }
EXPORT(host_interrupt) int32_t host_interrupt(void) { return 0; }
EXPORT(host_promise_rejection) void host_promise_rejection(int32_t p, int32_t r, int32_t h) { (void)p, (void)r, (void)h; }
EXPORT(host_module_normalize) int32_t host_module_normalize(int32_t base, int32_t name) { return (void)base, (void)name, 0; }
EXPORT(host_module_load) int32_t host_module_load(int32_t name, int32_t n) { return (void)name, (void)n, 0; }
EXPORT(host_call) int32_t host_call(int32_t f, int32_t n, int32_t self, int32_t argc, int32_t argv) {
  return (void)f, (void)n, (void)self, (void)argc, (void)argv, 0;
}

/* What all but this file gets for WASI's random_get: refused while the bundle is
   loaded, because it would be frozen, the same for everybody. */
EXPORT(cofferdam_random) int32_t cofferdam_random(int32_t p, int32_t n) {
  if (loading) return asked_for_random = true, ERRNO_NOT_PERMITTED;
  return random_get((void *)p, n);
}

/* The engine's memory. What is freed while the bundle is loaded is frozen with the
   rest, so it is zeroed first, which takes no room: of a large bundle it is half. */

/* usable_size is what a block holds: dlmalloc has the size of the chunk in front of it,
   with flags in three bits, and uses 4 bytes of it. */
static size_t usable_size(const void *p) { return p ? (((const size_t *)p)[-1] & ~(size_t)7) - 4 : 0; }

static void *js_allocate(void *opaque, size_t size) { return (void)opaque, malloc(size); }
static void *js_allocate_zeroed(void *opaque, size_t n, size_t size) { return (void)opaque, calloc(n, size); }

static void js_release(void *opaque, void *p) {
  (void)opaque;
  if (!loaded) memset(p, 0, usable_size(p));
  free(p);
}

static void *js_resize(void *opaque, void *p, size_t size) {
  if (loaded || !p || !size) return realloc(p, size);
  size_t old = usable_size(p);
  if (size <= old) {
    memset((char *)p + size, 0, old - size);
    return realloc(p, size);
  }
  void *q = malloc(size);
  if (!q) return 0;
  memcpy(q, p, old);
  js_release(opaque, p);
  return q;
}

/* Reports. */

/* fail reports a text of JSON. The first error of a call stands. */
static int32_t fail(const char *json, size_t n) {
  uint64_t at;
  if (!failed && (at = to_host(json, n))) error_set(at);
  failed = true;
  return 1;
}

static int32_t fail_with(const char *json) { return fail(json, strlen(json)); }

/* report reports what was thrown. Its memory may have run out, and its own toString
   may throw: then there is less to say. */
static int32_t report(JSValue thrown) {
  if (failed) return 1;
  JS_RunGC(runtime);
  size_t n;
  const char *message = text_of(context, thrown, &n);
  if (!message) {
    JS_FreeValue(context, JS_GetException(context));
    return fail_with("{\"code\":\"plugin_bug\",\"message\":\"something was thrown that has no text, or there is no memory left to say it\"}");
  }
  JSValue error = JS_NewObject(context), details = JS_NewObject(context);
  JSValue stack = JS_GetPropertyStr(context, thrown, "stack");
  if (is_exception(stack)) stack = UNDEFINED;
  JS_SetPropertyStr(context, details, "stack", stack);
  JS_SetPropertyStr(context, error, "code", JS_NewStringLen(context, "plugin_bug", 10));
  JS_SetPropertyStr(context, error, "message", JS_NewStringLen(context, message, n));
  JS_SetPropertyStr(context, error, "details", details);
  const char *json = text_of(context, JS_JSONStringify(context, error, UNDEFINED, UNDEFINED), &n);
  if (!json) return fail_with("{\"code\":\"plugin_bug\",\"message\":\"out of memory\"}");
  return fail(json, n);
}

/* settle runs jobs until there are none. The result must not be pending then. */
static int32_t settle(JSValue result, const char *pending) {
  JSContext *c;
  int ran;
  if (is_exception(result)) return report(JS_GetException(context));
  while ((ran = JS_ExecutePendingJob(runtime, &c)) > 0) {
  }
  if (ran < 0) return report(JS_GetException(context));
  int state = JS_PromiseState(context, result);
  if (state == PROMISE_PENDING) return fail_with(pending);
  if (state == PROMISE_REJECTED) return report(JS_PromiseResult(context, result));
  if (unhandled > 0) return report(unhandled_reason);
  JS_FreeValue(context, result);
  return failed;
}

/* The exports. */

static void define(JSValue object, const char *name, JSCFunction *f, int args) {
  JS_SetPropertyStr(context, object, name, JS_NewCFunction2(context, f, name, args, 0, 0));
}

static int extend(void) {
  JSValue global = JS_GetGlobalObject(context), door = JS_NewObject(context);
  define(door, "input", js_input, 0);
  define(door, "output", js_output, 1);
  define(door, "error", js_error, 1);
  define(door, "call", js_call, 2);
  define(door, "random", js_random, 1);
  JS_SetPropertyStr(context, global, "__cofferdam", door);
  JS_FreeValue(context, global);
  return qjs_ext_encoding_init(context, runtime) || qjs_ext_headers_init(context, runtime) ||
         qjs_ext_url_init(context, runtime) || qjs_ext_crypto_init(context, runtime) ||
         qjs_ext_structured_clone_init(context, runtime);
}

static JSValue evaluate(void) {
  size_t n;
  char *source = read_input(context, &n);
  if (!source) return EXCEPTION;
  JSValue result = JS_Eval(context, source, n, "connector.js", EVAL_GLOBAL);
  js_free(context, source);
  return result;
}

static int32_t take_dispatch(void) {
  static const char name[] = "__cofferdam_dispatch";
  JSValue global = JS_GetGlobalObject(context);
  JSAtom atom = JS_NewAtomLen(context, name, sizeof name - 1);
  dispatch = JS_GetPropertyStr(context, global, name);
  JS_DeleteProperty(context, global, atom, 0);
  JS_FreeAtom(context, atom);
  JS_FreeValue(context, global);
  if (JS_IsFunction(context, dispatch)) return 0;
  return fail_with("{\"code\":\"plugin_bug\",\"message\":\"the bundle does not set __cofferdam_dispatch to a function: is the connector mounted?\"}");
}

EXPORT(load) int32_t load(void) {
  static const JSMallocFunctions memory = {js_allocate_zeroed, js_allocate, js_release, js_resize, usable_size};
  runtime = JS_NewRuntime2(&memory, 0);
  context = runtime ? JS_NewContext(runtime) : 0;
  if (!context) return fail_with("{\"code\":\"plugin_bug\",\"message\":\"there is not enough memory to start the engine\"}");
  JS_SetMaxStackSize(runtime, STACK_BYTES);
  JS_SetGCThreshold(runtime, GC_BYTES);
  JS_SetModuleLoaderFunc(runtime, 0, refuse_module, 0);
  JS_SetHostPromiseRejectionTracker(runtime, on_rejection, 0);
  if (extend()) return report(JS_GetException(context));
  loading = true;
  int32_t code = settle(evaluate(),
      "{\"code\":\"plugin_bug\",\"message\":\"the connector is not loaded when its script ends: it waits for a promise at its top level; wait inside of an action, a webhook or a poll\"}");
  loading = false;
  if (!code && asked_for_random)
    code = fail_with("{\"code\":\"plugin_bug\",\"message\":\"the connector asks for random bytes while it is loaded, which would be the same in every call: ask inside of an action, a webhook or a poll\"}");
  if (code || (code = take_dispatch())) return code;
  JS_RunGC(runtime);
  loaded = true;
  return 0;
}

static int32_t run(int index) {
  JSValue argument = VALUE(TAG_INT, index);
  /* Other hosts make many calls in one instance. */
  failed = false;
  unhandled = 0;
  JS_UpdateStackTop(runtime);
  return settle(JS_Call(context, dispatch, UNDEFINED, 1, &argument),
      "{\"code\":\"plugin_bug\",\"message\":\"deadlock: a promise never settles: nothing is left to run, and what the export returned is still pending\"}");
}

EXPORT(describe) int32_t describe(void) { return run(0); }
EXPORT(action) int32_t action(void) { return run(1); }
EXPORT(webhook) int32_t webhook(void) { return run(2); }
EXPORT(poll) int32_t poll(void) { return run(3); }
EXPORT(test) int32_t test(void) { return run(4); }
EXPORT(confirm) int32_t confirm(void) { return run(5); }
