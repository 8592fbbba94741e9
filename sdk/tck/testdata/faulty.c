/* A guest without an SDK that does all of it wrong: the kit must say so. */
typedef unsigned long long u64;
#define FROM(module, name) __attribute__((import_module(module), import_name(#name))) extern
FROM("extism:host/env", alloc) u64 alloc(u64 size);
FROM("extism:host/env", store_u8) void store_u8(u64 offset, int byte);
FROM("extism:host/env", output_set) void output_set(u64 offset, u64 size);
FROM("extism:host/env", input_length) u64 input_length(void);
FROM("extism:host/user", tag) u64 tag(u64 request);
#define EXPORT(name) __attribute__((export_name(#name))) int name##_(void)

static u64 size;

static u64 store(const char *text) {
    for (size = 0; text[size];) size++;
    u64 offset = alloc(size);
    for (u64 i = 0; i < size; i++) store_u8(offset + i, text[i]);
    return offset;
}

static int put(const char *text) {
    u64 offset = store(text);
    output_set(offset, size);
    return 0;
}

/* It asks while it starts. */
EXPORT(_initialize) { return tag(store("{\"name\":\"a\",\"value\":\"b\"}")), 0; }

/* Its schema refuses what it should accept. */
EXPORT(describe) {
    return put("{\"name\":\"faulty\",\"version\":\"1.0.0\",\"title\":\"Another\",\"config\":{\"type\":\"object\",\"required\":[\"a\"]},"
               "\"actions\":[{\"name\":\"label\",\"input\":{\"type\":\"nonsense\"},\"output\":{\"x-secret\":true}}],"
               "\"webhooks\":[{\"name\":\"issues\",\"verify\":true}]}");
}

/* It traps, whatever it is given. */
EXPORT(action) { __builtin_trap(); }

/* It succeeds, whatever it is given. */
EXPORT(webhook) { return put("not JSON"); }

/* It fails without a word. */
EXPORT(test) { return 1; }

/* poll and confirm are missing, and the verify of its webhook. */
