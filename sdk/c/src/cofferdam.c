/* The C SDK of Cofferdam: see cofferdam.h for what it offers, and sdk/ABI.md for the contract that it keeps. */
#include "cofferdam.h"

/* ---- memory and text ----------------------------------------------------------------- */

/* A call's memory is never given back: the sandbox is reset after each. So what is in use is what lies below `top`. */
extern unsigned char __heap_base;
static uintptr_t top;

static const uintptr_t page = 65536;

/* Eight bytes at any address. */
typedef uint64_t __attribute__((aligned(1), may_alias)) word;

void *cd_allocate(size_t size) {
    if (top == 0) top = ((uintptr_t)&__heap_base + 15) & ~(uintptr_t)15;
    if (size > UINTPTR_MAX - 15 - top) __builtin_trap();
    uintptr_t begin = top;
    top = (top + size + 15) & ~(uintptr_t)15;
    uintptr_t have = __builtin_wasm_memory_size(0) * page;
    if (top > have || top < begin) {
        uintptr_t more = (top - have + page - 1) / page;
        /* The host tells a guest that was refused memory from others that trap. */
        if (top < begin || __builtin_wasm_memory_grow(0, more) == (size_t)-1) __builtin_trap();
    }
    return (void *)begin;
}

__attribute__((no_builtin)) size_t strlen(const char *text) {
    size_t size = 0;
    while (text[size]) size++;
    return size;
}

__attribute__((no_builtin)) int memcmp(const void *a, const void *b, size_t size) {
    const unsigned char *x = a, *y = b;
    for (; size; size--, x++, y++)
        if (*x != *y) return *x - *y;
    return 0;
}

int strcmp(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    return (unsigned char)*a - (unsigned char)*b;
}

__attribute__((no_builtin)) void *memcpy(void *restrict to, const void *restrict from, size_t size) {
    unsigned char *t = to;
    const unsigned char *f = from;
    for (; size >= 8; size -= 8, t += 8, f += 8) *(word *)t = *(const word *)f;
    for (; size; size--) *t++ = *f++;
    return to;
}

__attribute__((no_builtin)) void *memset(void *to, int byte, size_t size) {
    for (unsigned char *t = to; size; size--) *t++ = (unsigned char)byte;
    return to;
}

/* Text that grows. It always has room for a NUL. */
typedef struct {
    char *at;
    size_t size, room;
} buffer;

static char *reserve(buffer *b, size_t more) {
    if (b->size + more + 1 > b->room) {
        size_t room = b->room * 2 > b->size + more + 64 ? b->room * 2 : b->size + more + 64;
        char *at = cd_allocate(room);
        memcpy(at, b->at, b->size);
        b->at = at, b->room = room;
    }
    return b->at + b->size;
}

static void add(buffer *b, const char *text, size_t size) {
    memcpy(reserve(b, size), text, size);
    b->size += size;
}

static void add_char(buffer *b, char c) { *reserve(b, 1) = c, b->size++; }

static const char *finish(buffer *b) {
    *reserve(b, 0) = 0;
    return b->at;
}

static const char *copy(const char *text, size_t size) {
    buffer b = { 0 };
    add(&b, text, size);
    return finish(&b);
}

static void add_integer(buffer *b, int64_t n) {
    char digits[20];
    size_t at = sizeof digits;
    uint64_t rest = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    do digits[--at] = (char)('0' + rest % 10);
    while (rest /= 10);
    if (n < 0) add_char(b, '-');
    add(b, digits + at, sizeof digits - at);
}

static const char *format_list(const char *format, va_list args) {
    buffer b = { 0 };
    for (const char *f = format; *f; f++) {
        if (*f != '%') {
            add_char(&b, *f);
            continue;
        }
        int wide = 0;
        while (*++f == 'l' || *f == 'z') wide += *f == 'l';
        switch (*f) {
        case 's': {
            const char *text = va_arg(args, const char *);
            add(&b, text ? text : "(null)", strlen(text ? text : "(null)"));
            break;
        }
        case 'd': add_integer(&b, wide > 1 ? va_arg(args, long long) : va_arg(args, int)); break;
        case 'u': add_integer(&b, wide > 1 ? va_arg(args, long long) : (int64_t)va_arg(args, unsigned)); break;
        case 'c': add_char(&b, (char)va_arg(args, int)); break;
        case 0: f--; break;
        default: add_char(&b, *f);
        }
    }
    return finish(&b);
}

const char *cd_format(const char *format, ...) {
    va_list args;
    va_start(args, format);
    const char *text = format_list(format, args);
    va_end(args);
    return text;
}

const char *cd_trim_suffix(const char *text, const char *suffix) {
    size_t size = strlen(text), end = strlen(suffix);
    if (size < end || memcmp(text + size - end, suffix, end)) return text;
    return copy(text, size - end);
}

const char *cd_cut(const char *text, char separator, const char **after) {
    for (const char *at = text; *at; at++) {
        if (*at != separator) continue;
        *after = at + 1;
        return copy(text, (size_t)(at - text));
    }
    return NULL;
}

bool cd_contains(const char *text, const char *part) {
    size_t size = strlen(part);
    for (size_t left = strlen(text); left >= size; left--, text++)
        if (!memcmp(text, part, size)) return true;
    return false;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool cd_read_integer(const char *text, int64_t *number) {
    bool negative = *text == '-';
    text += negative || *text == '+';
    uint64_t n = 0, most = (uint64_t)INT64_MAX + negative;
    if (!*text) return false;
    for (; *text; text++) {
        uint64_t digit = (uint64_t)(*text - '0');
        if (!is_digit(*text) || n > (most - digit) / 10) return false;
        n = n * 10 + digit;
    }
    *number = (int64_t)(negative ? 0 - n : n);
    return true;
}

/* Days since 1970 of a date of the Gregorian calendar, whose years begin in March here. */
static int64_t days(int64_t year, int64_t month, int64_t day) {
    if (month <= 2) year--, month += 12;
    return year * 365 + year / 4 - year / 100 + year / 400 + (153 * (month - 3) + 2) / 5 + day - 1 - 719468;
}

bool cd_read_date(const char *text, int64_t *milliseconds) {
    /* https://www.rfc-editor.org/rfc/rfc9110#field.date, its fixed form: a digit for each 0. */
    static const char form[] = "Aaa, 00 Aaa 0000 00:00:00 GMT", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    if (strlen(text) != sizeof form - 1) return false;
    for (size_t i = 0; form[i]; i++) {
        bool fits = form[i] == '0' ? is_digit(text[i]) : form[i] == 'A' || form[i] == 'a' ? text[i] > ' ' : text[i] == form[i];
        if (!fits && i < 26) return false;
    }
    if (memcmp(text + 26, "GMT", 3)) return false;
    int64_t month = 0;
    while (month < 12 && memcmp(months + 3 * month, text + 8, 3)) month++;
    if (month == 12) return false;
#define TWO(at) ((text[at] - '0') * 10 + text[(at) + 1] - '0')
    int64_t day = days(TWO(12) * 100 + TWO(14), month + 1, TWO(5));
    *milliseconds = (((day * 24 + TWO(17)) * 60 + TWO(20)) * 60 + TWO(23)) * 1000;
#undef TWO
    return true;
}

/* ---- JSON ---------------------------------------------------------------------------- */

struct cd_node {
    cd_kind kind;
    bool truth;
    size_t size;      /* Of text. */
    const char *text; /* A string, or a number as it is written. */
    const char *key;  /* As a member of an object. */
    size_t key_size;
    size_t count;
    struct cd_node *first, *last, *next;
};

static const struct cd_node null_node = { .kind = CD_NULL };

static struct cd_node *node(cd_kind kind) {
    struct cd_node *n = cd_allocate(sizeof *n);
    *n = (struct cd_node) { .kind = kind };
    return n;
}

/* Takes a node for a member. */
static void link(struct cd_node *parent, const char *key, size_t key_size, struct cd_node *n) {
    n->key = key, n->key_size = key_size, n->next = NULL;
    if (parent->last) parent->last->next = n;
    else parent->first = n;
    parent->last = n;
    parent->count++;
}

/* Members are copies, so that a value may be in several places. */
static void attach(struct cd_node *parent, const char *key, size_t key_size, cd_value member) {
    struct cd_node *n = node(member->kind);
    *n = *member;
    link(parent, key, key_size, n);
}

typedef struct {
    char *at; /* Strings are decoded in place: they never get longer. */
    const char *end;
    int depth;
} reader;

enum { most_levels = 512 };

static struct cd_node *read_value(reader *r);

static void skip_blanks(reader *r) {
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r')) r->at++;
}

static bool take(reader *r, char c) {
    if (r->at == r->end || *r->at != c) return false;
    r->at++;
    return true;
}

static int hex(char c) {
    if (is_digit(c)) return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Reads the four digits of an escape, or gives -1. */
static int32_t read_unit(reader *r) {
    if (r->end - r->at < 4) return -1;
    int32_t unit = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex(*r->at++);
        if (digit < 0) return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

static size_t encode_utf8(uint32_t rune, char *to) {
    if (rune < 0x80) return to[0] = (char)rune, 1;
    size_t more = rune < 0x800 ? 1 : rune < 0x10000 ? 2 : 3;
    static const unsigned char marks[] = { 0, 0xc0, 0xe0, 0xf0 };
    to[0] = (char)(marks[more] | rune >> 6 * more);
    for (size_t i = 1; i <= more; i++) to[i] = (char)(0x80 | (rune >> 6 * (more - i) & 0x3f));
    return more + 1;
}

/* Reads what follows \u. Half of a pair alone is the replacement character. */
static bool read_rune(reader *r, char **to) {
    int32_t unit = read_unit(r);
    if (unit < 0) return false;
    uint32_t rune = (uint32_t)unit;
    if (unit >= 0xd800 && unit < 0xe000) {
        rune = 0xfffd;
        char *after = r->at;
        if (unit < 0xdc00 && r->end - r->at >= 6 && r->at[0] == '\\' && r->at[1] == 'u') {
            r->at += 2;
            int32_t low = read_unit(r);
            if (low >= 0xdc00 && low < 0xe000) rune = 0x10000 + (((uint32_t)unit & 0x3ff) << 10 | ((uint32_t)low & 0x3ff));
            else r->at = after;
        }
    }
    *to += encode_utf8(rune, *to);
    return true;
}

/* Reads a string after its quote. The NUL behind it takes the place of the closing one. */
static bool read_string(reader *r, const char **text, size_t *size) {
    static const char escapes[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
    char *to = r->at;
    *text = to;
    while (r->at < r->end) {
        char c = *r->at++;
        if (c == '"') {
            *size = (size_t)(to - *text);
            *to = 0;
            return true;
        }
        if ((unsigned char)c < 0x20) return false;
        if (c != '\\') {
            *to++ = c;
            continue;
        }
        if (r->at == r->end) return false;
        c = *r->at++;
        if (c == 'u') {
            if (!read_rune(r, &to)) return false;
            continue;
        }
        const char *e = escapes;
        while (*e && *e != c) e += 2;
        if (!*e) return false;
        *to++ = e[1];
    }
    return false;
}

static bool skip_digits(const char **at, const char *end) {
    const char *begin = *at;
    while (*at < end && is_digit(**at)) ++*at;
    return *at > begin;
}

/* The end of the number that begins at text, or NULL. */
static const char *number_end(const char *at, const char *end) {
    if (at < end && *at == '-') at++;
    const char *whole = at;
    if (!skip_digits(&at, end) || (*whole == '0' && at - whole > 1)) return NULL;
    if (at < end && *at == '.' && (at++, !skip_digits(&at, end))) return NULL;
    if (at < end && (*at | 32) == 'e') {
        at++;
        if (at < end && (*at == '+' || *at == '-')) at++;
        if (!skip_digits(&at, end)) return NULL;
    }
    return at;
}

static struct cd_node *read_number(reader *r) {
    const char *end = number_end(r->at, r->end);
    if (!end) return NULL;
    struct cd_node *n = node(CD_NUMBER);
    n->size = (size_t)(end - r->at);
    n->text = copy(r->at, n->size);
    r->at += n->size;
    return n;
}

static struct cd_node *read_word(reader *r, const char *text, struct cd_node value) {
    size_t size = strlen(text);
    if ((size_t)(r->end - r->at) < size || memcmp(r->at, text, size)) return NULL;
    r->at += size;
    struct cd_node *n = node(value.kind);
    *n = value;
    return n;
}

static struct cd_node *read_members(reader *r, cd_kind kind, char close) {
    struct cd_node *all = node(kind);
    if (++r->depth > most_levels) return NULL;
    skip_blanks(r);
    bool done = take(r, close);
    while (!done) {
        const char *key = NULL;
        size_t key_size = 0;
        skip_blanks(r);
        if (kind == CD_OBJECT) {
            if (!take(r, '"') || !read_string(r, &key, &key_size)) return NULL;
            skip_blanks(r);
            if (!take(r, ':')) return NULL;
        }
        struct cd_node *member = read_value(r);
        if (!member) return NULL;
        link(all, key, key_size, member);
        skip_blanks(r);
        done = take(r, close);
        if (!done && !take(r, ',')) return NULL;
    }
    r->depth--;
    return all;
}

static struct cd_node *read_value(reader *r) {
    skip_blanks(r);
    if (r->at == r->end) return NULL;
    switch (*r->at) {
    case '{': return r->at++, read_members(r, CD_OBJECT, '}');
    case '[': return r->at++, read_members(r, CD_ARRAY, ']');
    case 't': return read_word(r, "true", (struct cd_node) { .kind = CD_BOOL, .truth = true });
    case 'f': return read_word(r, "false", (struct cd_node) { .kind = CD_BOOL });
    case 'n': return read_word(r, "null", null_node);
    case '"': {
        struct cd_node *n = node(CD_STRING);
        r->at++;
        return read_string(r, &n->text, &n->size) ? n : NULL;
    }
    default: return read_number(r);
    }
}

/* Reads a document from memory that it may write to. */
static cd_value parse_in_place(char *text, size_t size) {
    reader r = { .at = text, .end = text + size };
    cd_value value = read_value(&r);
    skip_blanks(&r);
    return r.at == r.end ? value : NULL;
}

cd_value cd_parse(const char *text, size_t size) { return parse_in_place((char *)copy(text, size), size); }

static void write_string(buffer *b, const char *text, size_t size) {
    static const char digits[] = "0123456789abcdef";
    add_char(b, '"');
    for (size_t i = 0, from = 0; i <= size; i++) {
        unsigned char c = i < size ? (unsigned char)text[i] : '"';
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        add(b, text + from, i - from);
        from = i + 1;
        if (i == size) break;
        if (c == '"' || c == '\\') add_char(b, '\\'), add_char(b, (char)c);
        else add(b, "\\u00", 4), add_char(b, digits[c >> 4]), add_char(b, digits[c & 15]);
    }
    add_char(b, '"');
}

static void write_value(buffer *b, cd_value v) {
    switch (v->kind) {
    case CD_NULL: add(b, "null", 4); break;
    case CD_BOOL: v->truth ? add(b, "true", 4) : add(b, "false", 5); break;
    case CD_NUMBER: add(b, v->text, v->size); break;
    case CD_STRING: write_string(b, v->text, v->size); break;
    case CD_ARRAY:
    case CD_OBJECT:
        add_char(b, v->kind == CD_ARRAY ? '[' : '{');
        for (const struct cd_node *m = v->first; m; m = m->next) {
            if (m != v->first) add_char(b, ',');
            if (v->kind == CD_OBJECT) write_string(b, m->key, m->key_size), add_char(b, ':');
            write_value(b, m);
        }
        add_char(b, v->kind == CD_ARRAY ? ']' : '}');
    }
}

const char *cd_write(cd_value value, size_t *size) {
    buffer b = { 0 };
    write_value(&b, value ? value : &null_node);
    *size = b.size;
    return finish(&b);
}

cd_kind cd_kind_of(cd_value v) { return v ? v->kind : CD_NULL; }

/* Of two members of one key the last counts. */
static cd_value member_of(cd_value v, const char *key) {
    cd_value found = &null_node;
    size_t size = strlen(key);
    if (v && v->kind == CD_OBJECT)
        for (cd_value m = v->first; m; m = m->next)
            if (m->key_size == size && !memcmp(m->key, key, size)) found = m;
    return found;
}

cd_value cd_get_path(cd_value v, const char *key, ...) {
    va_list keys;
    va_start(keys, key);
    for (; key; key = va_arg(keys, const char *)) v = member_of(v, key);
    va_end(keys);
    return v;
}

cd_value cd_first(cd_value v) { return v ? v->first : NULL; }
cd_value cd_next(cd_value v) { return v->next; }
const char *cd_key(cd_value v) { return v && v->key ? v->key : ""; }
size_t cd_count(cd_value v) { return v ? v->count : 0; }
const char *cd_string(cd_value v) { return v && v->kind == CD_STRING ? v->text : ""; }
bool cd_is_plain(cd_value v) { return cd_kind_of(v) == CD_STRING && strlen(v->text) == v->size; }
size_t cd_size(cd_value v) { return v && v->kind == CD_STRING ? v->size : 0; }
bool cd_is(cd_value v, const char *text) { return cd_kind_of(v) == CD_STRING && v->size == strlen(text) && !memcmp(v->text, text, v->size); }
const char *cd_digits(cd_value v) { return v && v->kind == CD_NUMBER ? v->text : ""; }
bool cd_bool(cd_value v) { return v && v->truth; }

int64_t cd_integer(cd_value v, int64_t otherwise) {
    int64_t number;
    return cd_read_integer(cd_digits(v), &number) ? number : otherwise;
}

cd_value cd_null(void) { return &null_node; }

cd_value cd_boolean(bool truth) {
    struct cd_node *n = node(CD_BOOL);
    n->truth = truth;
    return n;
}

cd_value cd_number(int64_t number) {
    buffer b = { 0 };
    add_integer(&b, number);
    struct cd_node *n = node(CD_NUMBER);
    n->text = finish(&b), n->size = b.size;
    return n;
}

cd_value cd_decimal(const char *digits) {
    size_t size = strlen(digits);
    if (number_end(digits, digits + size) != digits + size) return NULL;
    struct cd_node *n = node(CD_NUMBER);
    n->text = copy(digits, size), n->size = size;
    return n;
}

cd_value cd_bytes(const char *text, size_t size) {
    struct cd_node *n = node(CD_STRING);
    n->text = text, n->size = size;
    return n;
}

cd_value cd_text(const char *text) { return text ? cd_bytes(text, strlen(text)) : NULL; }
cd_value cd_empty_object(void) { return node(CD_OBJECT); }
cd_value cd_empty_array(void) { return node(CD_ARRAY); }

cd_value cd_put(cd_value object, const char *key, cd_value member) {
    if (!object || !member) return NULL;
    attach((struct cd_node *)object, key, strlen(key), member);
    return object;
}

cd_value cd_append(cd_value array, cd_value item) {
    if (!array || !item) return NULL;
    attach((struct cd_node *)array, NULL, 0, item);
    return array;
}

cd_value cd_object_of(const char *key, ...) {
    cd_value object = cd_empty_object();
    va_list members;
    va_start(members, key);
    for (; key; key = va_arg(members, const char *)) object = cd_put(object, key, va_arg(members, cd_value));
    va_end(members);
    return object;
}

cd_value cd_array_of(size_t count, const cd_value *items) {
    cd_value array = cd_empty_array();
    for (size_t i = 0; i < count; i++) array = cd_append(array, items[i]);
    return array;
}

/* ---- the host: Extism's memory, see https://extism.org/docs/concepts/memory ------------ */

#define EXTISM(name) __attribute__((import_module("extism:host/env"), import_name(#name))) extern
EXTISM(input_length) uint64_t input_length(void);
EXTISM(input_load_u64) uint64_t input_load_u64(uint64_t offset);
EXTISM(input_load_u8) uint32_t input_load_u8(uint64_t offset);
EXTISM(alloc) uint64_t extism_alloc(uint64_t size);
EXTISM(free) void extism_free(uint64_t offset);
EXTISM(length) uint64_t extism_length(uint64_t offset);
EXTISM(load_u64) uint64_t load_u64(uint64_t offset);
EXTISM(load_u8) uint32_t load_u8(uint64_t offset);
EXTISM(store_u64) void store_u64(uint64_t offset, uint64_t value);
EXTISM(store_u8) void store_u8(uint64_t offset, uint32_t value);
EXTISM(output_set) void output_set(uint64_t offset, uint64_t size);
EXTISM(error_set) void error_set(uint64_t offset);

#define WASI(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name))) extern
WASI(clock_time_get) uint32_t clock_time_get(uint32_t clock, uint64_t precision, uint64_t *time);
WASI(random_get) uint32_t random_get(void *buffer, size_t size);

/* Copies what is there into memory that ends in a NUL. */
static char *load(uint64_t offset, size_t size, uint64_t eight(uint64_t), uint32_t one(uint64_t)) {
    char *text = cd_allocate(size + 1);
    size_t i = 0;
    for (; i + 8 <= size; i += 8) *(word *)(text + i) = eight(offset + i);
    for (; i < size; i++) text[i] = (char)one(offset + i);
    text[size] = 0;
    return text;
}

static uint64_t store(const char *text, size_t size) {
    uint64_t offset = extism_alloc(size);
    size_t i = 0;
    for (; i + 8 <= size; i += 8) store_u64(offset + i, *(const word *)(text + i));
    for (; i < size; i++) store_u8(offset + i, (unsigned char)text[i]);
    return offset;
}

static cd_value input(void) {
    size_t size = (size_t)input_length();
    return parse_in_place(load(0, size, input_load_u64, input_load_u8), size);
}

cd_value cd_call(cd_context *ctx, const char *name, cd_function *function, cd_value request) {
    if (!request) return ctx->failure ? NULL : cd_fail(ctx, CD_PLUGIN_BUG, "%s: the request is NULL", name);
    size_t size;
    const char *question = cd_write(request, &size);
    uint64_t asked = store(question, size), told = function(asked);
    extism_free(asked);
    size = (size_t)extism_length(told);
    cd_value answer = parse_in_place(load(told, size, load_u64, load_u8), size);
    extism_free(told);
    cd_value error = cd_get(answer, "error");
    if (cd_kind_of(answer) != CD_OBJECT) return cd_fail(ctx, CD_INTERNAL, "%s: the host's answer is not a JSON object", name);
    if (cd_kind_of(error) == CD_NULL) return cd_get(answer, "result");
    cd_fail(ctx, cd_string(cd_get(error, "code")), "%s: %s", name, cd_string(cd_get(error, "message")));
    return cd_retry_after(ctx, cd_integer(cd_get(error, "retry_after_ms"), 0));
}

/* ---- context ----------------------------------------------------------------------------- */

CD_FUNCTION(emit);
CD_FUNCTION(tag);
__attribute__((import_module("extism:host/user"), import_name("log"))) uint64_t host_log(uint64_t request);
__attribute__((import_module("extism:host/user"), import_name("sleep"))) uint64_t host_sleep(uint64_t request);

bool cd_emit(cd_context *ctx, const char *name, const char *key, cd_value data) {
    cd_value record = cd_object("name", cd_text(name), "data", data);
    if (*key) record = cd_put(record, "key", cd_text(key));
    return cd_call(ctx, "emit", emit, record);
}

bool cd_tag(cd_context *ctx, const char *name, const char *value) {
    return cd_call(ctx, "tag", tag, cd_object("name", cd_text(name), "value", cd_text(value)));
}

/* A line that cannot be written fails nothing. */
static void write_line(cd_context *ctx, const char *level, const char *message, cd_value fields) {
    cd_value before = ctx->failure, line = cd_object("level", cd_text(level), "message", cd_text(message));
    cd_call(ctx, "log", host_log, fields ? cd_put(line, "fields", fields) : line);
    ctx->failure = before;
}

void cd_debug(cd_context *ctx, const char *message, cd_value fields) { write_line(ctx, "debug", message, fields); }
void cd_info(cd_context *ctx, const char *message, cd_value fields) { write_line(ctx, "info", message, fields); }
void cd_warn(cd_context *ctx, const char *message, cd_value fields) { write_line(ctx, "warn", message, fields); }
void cd_error(cd_context *ctx, const char *message, cd_value fields) { write_line(ctx, "error", message, fields); }

bool cd_sleep(cd_context *ctx, int64_t milliseconds) {
    return cd_call(ctx, "sleep", host_sleep, cd_object("ms", cd_number(milliseconds > 0 ? milliseconds : 0)));
}

bool cd_sleep_until(cd_context *ctx, const char *until) {
    return cd_call(ctx, "sleep", host_sleep, cd_object("until", cd_text(until)));
}

cd_value cd_start_again_at(cd_context *ctx, const char *until, cd_value checkpoint) {
    if (cd_kind_of(checkpoint) == CD_NULL)
        return cd_fail(ctx, CD_PLUGIN_BUG, "the checkpoint is null: give the call something by which it knows that it is not the first");
    if (!cd_call(ctx, "sleep", host_sleep, cd_object("until", cd_text(until), "checkpoint", checkpoint))) return NULL;
    return cd_fail(ctx, CD_INTERNAL, "the host did not end the call, as a checkpoint asks for");
}

int64_t cd_now(void) {
    uint64_t nanoseconds = 0;
    clock_time_get(0, 1, &nanoseconds);
    return (int64_t)(nanoseconds / 1000000);
}

void cd_random(void *buffer, size_t size) {
    if (size && random_get(buffer, size)) __builtin_trap();
}

/* ---- error --------------------------------------------------------------------------------- */

cd_value cd_fail(cd_context *ctx, const char *code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const char *message = format_list(format, args);
    va_end(args);
    ctx->failure = cd_object("code", cd_text(code), "message", cd_text(message));
    return NULL;
}

cd_value cd_retry_after(cd_context *ctx, int64_t milliseconds) {
    if (milliseconds > 0) cd_put(ctx->failure, "retry_after_ms", cd_number(milliseconds));
    return NULL;
}

cd_value cd_details(cd_context *ctx, cd_value details) {
    cd_put(ctx->failure, "details", details);
    return NULL;
}

/* ---- http ------------------------------------------------------------------------------------ */

CD_FUNCTION(http);

static bool valid_utf8(const unsigned char *at, size_t size) {
    const unsigned char *end = at + size;
    while (at < end) {
        unsigned char c = *at++;
        size_t more = c < 0x80 ? 0 : c >= 0xc2 && c < 0xe0 ? 1 : (c & 0xf0) == 0xe0 ? 2 : c >= 0xf0 && c < 0xf5 ? 3 : 4;
        if (more == 4 || (size_t)(end - at) < more) return false;
        unsigned char low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80, high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
        for (; more; more--, at++, low = 0x80, high = 0xbf)
            if (*at < low || *at > high) return false;
    }
    return true;
}

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static cd_value encode_base64(const char *bytes, size_t size) {
    buffer b = { 0 };
    for (size_t i = 0; i < size; i += 3) {
        uint32_t bits = 0;
        for (size_t j = 0; j < 3; j++) bits = bits << 8 | (i + j < size ? (unsigned char)bytes[i + j] : 0u);
        for (size_t j = 0; j < 4; j++) add_char(&b, i + j > size ? '=' : base64[bits >> (18 - 6 * j) & 63]);
    }
    return cd_bytes(finish(&b), b.size);
}

static const char *decode_base64(cd_value text, size_t *size) {
    buffer b = { 0 };
    uint32_t bits = 0;
    int have = 0;
    for (const char *at = cd_string(text); *at; at++) {
        const char *digit = base64;
        while (*digit && *digit != *at) digit++;
        if (!*digit) break;
        bits = bits << 6 | (uint32_t)(digit - base64), have += 6;
        if (have >= 8) have -= 8, add_char(&b, (char)(bits >> have));
    }
    *size = b.size;
    return finish(&b);
}

/* What came as body, or as body_base64. */
static const char *body_of(cd_value message, size_t *size) {
    cd_value text = cd_get(message, "body");
    if (cd_kind_of(text) != CD_STRING) return decode_base64(cd_get(message, "body_base64"), size);
    *size = cd_size(text);
    return cd_string(text);
}

static cd_value put_body(cd_value wire, const char *body, size_t size) {
    if (!body || !size) return wire;
    if (valid_utf8((const unsigned char *)body, size)) return cd_put(wire, "body", cd_bytes(body, size));
    return cd_put(wire, "body_base64", encode_base64(body, size));
}

static const char *lower(const char *text) {
    char *to = (char *)copy(text, strlen(text));
    for (char *at = to; *at; at++)
        if (*at >= 'A' && *at <= 'Z') *at |= 32;
    return to;
}

static cd_value wire_headers(cd_request *r) {
    cd_value headers = cd_empty_object();
    for (cd_value h = cd_first(r->headers); h; h = cd_next(h))
        headers = cd_put(headers, lower(cd_key(h)), cd_kind_of(h) == CD_ARRAY ? h : cd_array(h));
    if (r->json && cd_kind_of(cd_get(headers, "content-type")) == CD_NULL)
        headers = cd_put(headers, "content-type", cd_array(cd_text("application/json")));
    return headers;
}

bool cd_http(cd_context *ctx, cd_request r, cd_response *response) {
    cd_value wire = cd_object("method", cd_text(r.method ? r.method : "GET"), "url", cd_text(r.url), "headers", wire_headers(&r));
    if (r.connection) wire = cd_put(wire, "connection", cd_text(r.connection));
    if (r.timeout_ms) wire = cd_put(wire, "timeout_ms", cd_number(r.timeout_ms));
    if (r.idempotency_key) wire = cd_put(wire, "idempotency_key", cd_text(r.idempotency_key));
    if (r.literal) wire = cd_put(wire, "literal", cd_boolean(true));
    if (r.json) r.body = cd_write(r.json, &r.size);
    cd_value answer = cd_call(ctx, "http", http, put_body(wire, r.body, r.size));
    if (!answer) return false;
    response->status = cd_integer(cd_get(answer, "status"), 0);
    response->headers = cd_get(answer, "headers");
    response->body = body_of(answer, &response->size);
    return true;
}

const char *cd_header(cd_value headers, const char *name) { return cd_string(cd_first(cd_get(headers, name))); }

/* Seconds or a date, https://www.rfc-editor.org/rfc/rfc9110#field.retry-after. A date counts from the response's own,
 * so that clocks need not agree. */
static int64_t retry_after(cd_value headers) {
    const int64_t year = 365 * 24 * 60 * 60;
    const char *value = cd_header(headers, "retry-after");
    int64_t seconds, until, now;
    if (cd_read_integer(value, &seconds)) return (seconds < 0 ? 0 : seconds > year ? year : seconds) * 1000;
    if (!cd_read_date(value, &until) || !cd_read_date(cd_header(headers, "date"), &now)) return 0;
    return until > now ? until - now : 0;
}

static const char *code_of(int64_t status) {
    if (status == 401 || status == 403) return CD_AUTH;
    if (status == 425 || status == 429) return CD_RATE_LIMITED;
    if (status == 408 || status >= 500) return CD_UPSTREAM_UNAVAILABLE;
    return CD_INVALID_INPUT;
}

/* Enough of a body to recognise an error message, cut between characters. */
static const char *excerpt(const cd_response *r) {
    size_t size = r->size < 300 ? r->size : 300;
    if (!valid_utf8((const unsigned char *)r->body, r->size)) return "(a body that is not text)";
    while (size && size < r->size && (r->body[size] & 0xc0) == 0x80) size--;
    return cd_format("%s%s", copy(r->body, size), size < r->size ? "..." : "");
}

bool cd_check(cd_context *ctx, const cd_response *r) {
    if (r->status < 400) return true;
    cd_fail(ctx, code_of(r->status), "the API answered with status %lld: %s", r->status, excerpt(r));
    cd_retry_after(ctx, retry_after(r->headers));
    return cd_details(ctx, cd_object("status", cd_number(r->status)));
}

cd_value cd_decode(cd_context *ctx, const cd_response *r) {
    cd_value value = cd_parse(r->body, r->size);
    if (value) return value;
    return cd_fail(ctx, CD_CONTRACT_CHANGED, "decode the response (status %lld): it is not JSON", r->status);
}

cd_value cd_fetch(cd_context *ctx, cd_request request) {
    cd_response response;
    return cd_http(ctx, request, &response) && cd_check(ctx, &response) ? cd_decode(ctx, &response) : NULL;
}

const char *cd_delivery_body(cd_value delivery, size_t *size) { return body_of(delivery, size); }

cd_value cd_delivery_json(cd_context *ctx, cd_value delivery) {
    size_t size;
    const char *body = body_of(delivery, &size);
    cd_value value = cd_parse(body, size);
    if (value) return value;
    return cd_fail(ctx, CD_INVALID_INPUT, "decode the body of delivery \"%s\": it is not JSON", cd_string(cd_get(delivery, "id")));
}

const char *cd_escape(const char *segment) {
    static const char digits[] = "0123456789ABCDEF";
    buffer b = { 0 };
    for (const char *at = segment; *at; at++) {
        unsigned char c = (unsigned char)*at;
        bool plain = is_digit(*at) || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '-' || c == '_' || c == '.' || c == '~';
        if (plain) add_char(&b, *at);
        else add_char(&b, '%'), add_char(&b, digits[c >> 4]), add_char(&b, digits[c & 15]);
    }
    return finish(&b);
}

/* ---- sign -------------------------------------------------------------------------------------- */

CD_FUNCTION(sign);

static cd_value sign_request(const char *connection, const char *algorithm) {
    return cd_object("connection", cd_text(connection), "algorithm", cd_text(algorithm));
}

static cd_value ask_sign(cd_context *ctx, cd_value request, int64_t lifetime_s) {
    return cd_call(ctx, "sign", sign, lifetime_s ? cd_put(request, "lifetime_s", cd_number(lifetime_s)) : request);
}

cd_value cd_sign_hmac(cd_context *ctx, const char *connection, const char *algorithm, const char *payload, size_t size) {
    bool text = valid_utf8((const unsigned char *)payload, size);
    cd_value request = sign_request(connection, algorithm);
    return ask_sign(ctx, cd_put(request, text ? "payload" : "payload_base64", text ? cd_bytes(payload, size) : encode_base64(payload, size)), 0);
}

/* Looks at all of it, whatever differs where: how long it takes says nothing but the length. */
static bool same(cd_value text, const char *given) {
    size_t size = strlen(given);
    volatile unsigned char different = cd_size(text) != size;
    for (size_t i = 0; i < size && i < cd_size(text); i++) different |= (unsigned char)(cd_string(text)[i] ^ given[i]);
    return !different;
}

bool cd_is_signature(cd_value signature, const char *given) {
    if (!given) return false;
    cd_value hex = cd_get(signature, "hex");
    bool is_hex = same(hex, given), is_base64 = same(cd_get(signature, "base64"), given);
    return cd_size(hex) && (is_hex | is_base64);
}

cd_value cd_sign_jwt(cd_context *ctx, const char *connection, const char *algorithm, cd_value claims, int64_t lifetime_s) {
    return ask_sign(ctx, cd_put(sign_request(connection, algorithm), "claims", claims), lifetime_s);
}

cd_value cd_sign_sigv4(cd_context *ctx, const char *connection, const char *method, const char *url, int64_t lifetime_s) {
    cd_value request = cd_put(sign_request(connection, "aws-sigv4"), "method", cd_text(method));
    return ask_sign(ctx, cd_put(request, "url", cd_text(url)), lifetime_s);
}

/* ---- state ------------------------------------------------------------------------------------- */

CD_FUNCTION(state_get);
CD_FUNCTION(state_set);
CD_FUNCTION(state_delete);
CD_FUNCTION(state_cas);
CD_FUNCTION(state_add);
CD_FUNCTION(state_list);

cd_value cd_state_get(cd_context *ctx, const char *key, bool *found) {
    cd_value answer = cd_call(ctx, "state_get", state_get, cd_object("key", cd_text(key)));
    if (found) *found = cd_bool(cd_get(answer, "found"));
    return answer ? cd_get(answer, "value") : NULL;
}

bool cd_state_set(cd_context *ctx, const char *key, cd_value value) {
    return cd_call(ctx, "state_set", state_set, cd_object("key", cd_text(key), "value", value));
}

bool cd_state_delete(cd_context *ctx, const char *key) {
    return cd_call(ctx, "state_delete", state_delete, cd_object("key", cd_text(key)));
}

bool cd_state_swap(cd_context *ctx, const char *key, cd_value old, cd_value updated, bool *swapped) {
    cd_value request = cd_object("key", cd_text(key), "new", updated);
    cd_value answer = cd_call(ctx, "state_cas", state_cas, old ? cd_put(request, "old", old) : request);
    *swapped = cd_bool(cd_get(answer, "swapped"));
    return answer;
}

bool cd_state_add(cd_context *ctx, const char *key, int64_t delta, int64_t *sum) {
    cd_value answer = cd_call(ctx, "state_add", state_add, cd_object("key", cd_text(key), "delta", cd_number(delta)));
    *sum = cd_integer(cd_get(answer, "value"), 0);
    return answer;
}

cd_value cd_state_list(cd_context *ctx, const char *prefix, const char *after, int64_t limit) {
    cd_value request = cd_object("prefix", cd_text(prefix));
    if (*after) request = cd_put(request, "after", cd_text(after));
    if (limit) request = cd_put(request, "limit", cd_number(limit));
    return cd_call(ctx, "state_list", state_list, request);
}

/* ---- connector ------------------------------------------------------------------------------------ */

cd_value cd_page(cd_value records, cd_value cursor, bool more) {
    return cd_object("records", records, "cursor", cursor, "more", cd_boolean(more));
}

cd_value cd_happened(cd_value response) { return cd_object("happened", cd_boolean(true), "response", response); }
cd_value cd_not_happened(void) { return cd_object("happened", cd_boolean(false)); }
cd_value cd_unsure(void) { return cd_empty_object(); }

cd_value cd_accept(const char *id, int64_t timestamp) {
    cd_value verdict = cd_object("accept", cd_boolean(true));
    if (id && *id) verdict = cd_put(verdict, "id", cd_text(id));
    return timestamp ? cd_put(verdict, "timestamp", cd_number(timestamp)) : verdict;
}

cd_value cd_refuse(const char *code, const char *message) {
    return cd_object("accept", cd_boolean(false), "code", cd_text(code), "message", cd_text(message));
}

cd_value cd_respond(int64_t status, cd_value body) {
    const char *form = cd_kind_of(body) == CD_STRING ? "text" : "json";
    return cd_object("accept", cd_boolean(true), "respond", cd_object("status", cd_number(status), form, body));
}

/* The manifest, which is read once: warmup leaves it in the image that every call begins with. */
static cd_value manifest;

static cd_value read_manifest(void) {
    if (!manifest) manifest = cd_parse(cofferdam.manifest, strlen(cofferdam.manifest));
    return manifest;
}

static cd_run find(const cd_handler *all, const char *name) {
    for (; all && all->name; all++)
        if (!strcmp(all->name, name)) return all->run;
    return NULL;
}

/* Each part of the manifest has its handler, and each handler its part. */
static bool check_parts(cd_context *ctx, const char *list, const cd_handler *handlers) {
    cd_value parts = cd_get(manifest, list);
    for (cd_value p = cd_first(parts); p; p = cd_next(p)) {
        const char *name = cd_string(cd_get(p, "name"));
        if (!find(handlers, name)) return cd_fail(ctx, CD_PLUGIN_BUG, "the manifest's %s have \"%s\", for which there is no handler", list, name);
    }
    for (; handlers && handlers->name; handlers++) {
        cd_value p = cd_first(parts);
        while (p && !cd_is(cd_get(p, "name"), handlers->name)) p = cd_next(p);
        if (!p) return cd_fail(ctx, CD_PLUGIN_BUG, "there is a handler \"%s\", which is not among the manifest's %s", handlers->name, list);
    }
    return true;
}

/* The webhooks that the manifest leaves to verify are those that have one. */
static bool check_verify(cd_context *ctx) {
    cd_value webhooks = cd_get(manifest, "webhooks");
    for (cd_value w = cd_first(webhooks); w; w = cd_next(w)) {
        const char *name = cd_string(cd_get(w, "name"));
        if (cd_bool(cd_get(w, "verify")) != (find(cofferdam.verify, name) != NULL))
            return cd_fail(ctx, CD_PLUGIN_BUG, "the webhook \"%s\" must say by \"verify\": true whether there is a verify of it", name);
    }
    for (const cd_handler *h = cofferdam.verify; h && h->name; h++)
        if (!find(cofferdam.webhooks, h->name)) return cd_fail(ctx, CD_PLUGIN_BUG, "there is a verify \"%s\", which is not among the webhooks", h->name);
    return true;
}

static bool check_connector(cd_context *ctx) {
    if (cd_kind_of(read_manifest()) != CD_OBJECT) return cd_fail(ctx, CD_PLUGIN_BUG, "the manifest is not a JSON object");
    if (cd_bool(cd_get(manifest, "test")) != (cofferdam.test != NULL))
        return cd_fail(ctx, CD_PLUGIN_BUG, "the manifest's \"test\" must say whether there is a test");
    if (cd_bool(cd_get(manifest, "confirm")) != (cofferdam.confirm != NULL))
        return cd_fail(ctx, CD_PLUGIN_BUG, "the manifest's \"confirm\" must say whether there is a confirm");
    return check_parts(ctx, "actions", cofferdam.actions) && check_parts(ctx, "webhooks", cofferdam.webhooks) &&
           check_parts(ctx, "polls", cofferdam.polls) && check_verify(ctx);
}

/* The configuration, with the defaults of its schema where the tenant says nothing. */
static cd_value configuration(cd_value given) {
    cd_value config = cd_empty_object();
    for (cd_value c = cd_first(given); c; c = cd_next(c)) attach((struct cd_node *)config, c->key, c->key_size, c);
    for (cd_value p = cd_first(cd_get(read_manifest(), "config", "properties")); p; p = cd_next(p)) {
        bool has_default = false, given_one = false;
        for (cd_value k = cd_first(p); k; k = cd_next(k)) has_default |= !strcmp(cd_key(k), "default");
        for (cd_value c = cd_first(given); c; c = cd_next(c)) given_one |= !strcmp(cd_key(c), cd_key(p));
        if (has_default && !given_one) config = cd_put(config, cd_key(p), cd_get(p, "default"));
    }
    return config;
}

static int32_t output(cd_value value) {
    size_t size;
    const char *text = cd_write(value, &size);
    output_set(store(text, size), size);
    return 0;
}

static int32_t failed(cd_value failure) {
    size_t size;
    const char *text = cd_write(failure, &size);
    error_set(store(text, size));
    return 1;
}

static int32_t finish_call(cd_context *ctx, cd_value result) {
    if (result) return output(result);
    if (!ctx->failure) cd_fail(ctx, CD_PLUGIN_BUG, "the connector returned NULL, and did not say why with cd_fail");
    return failed(ctx->failure);
}

static const char *names_of(const cd_handler *all) {
    buffer b = { 0 };
    for (; all && all->name; all++) {
        if (b.size) add(&b, ", ", 2);
        add_char(&b, '"'), add(&b, all->name, strlen(all->name)), add_char(&b, '"');
    }
    return b.size ? finish(&b) : "none";
}

/* Asks a verify. The request gets the time, as that of a delivery has it; what is no verdict, no host could read. */
static cd_value verdict_of(cd_context *ctx, cd_run verify, cd_value in) {
    cd_value request = cd_get(in, "request"), time = cd_get(in, "time");
    cd_value verdict = verify(ctx, cd_put(cd_kind_of(request) == CD_OBJECT ? request : cd_empty_object(), "received_at", time));
    if (!verdict || cd_kind_of(cd_get(verdict, "accept")) == CD_BOOL) return verdict;
    return cd_fail(ctx, CD_PLUGIN_BUG, "verify returned no verdict: return what cd_accept, cd_refuse or cd_respond gives");
}

/* Serves one call: kind is the envelope's member with the handler's name, argument the one with its input. */
static int32_t serve(const char *kind, const cd_handler *all, cd_run only, const char *argument) {
    cd_value in = input();
    cd_context ctx = {
        .execution = cd_string(cd_get(in, "execution")), .attempt = cd_integer(cd_get(in, "attempt"), 0),
        .config = configuration(cd_get(in, "config")), .connections = cd_get(in, "connections"), .checkpoint = cd_get(in, "checkpoint"),
    };
    if (cd_kind_of(in) != CD_OBJECT) return finish_call(&ctx, cd_fail(&ctx, CD_INVALID_INPUT, "read the input of %s: it is not a JSON object", kind));
    const char *name = cd_string(cd_get(in, kind));
    cd_run run = all ? find(all, name) : only;
    if (!run && !all) cd_fail(&ctx, CD_INVALID_INPUT, "this connector has no %s", kind);
    else if (!run) cd_fail(&ctx, CD_INVALID_INPUT, "there is no %s \"%s\"; this connector has %s", kind, name, names_of(all));
    if (!run) return finish_call(&ctx, NULL);
    if (!strcmp(kind, "verify")) return finish_call(&ctx, verdict_of(&ctx, run, in));
    return finish_call(&ctx, run(&ctx, argument ? cd_get(in, argument) : in));
}

#define EXPORT(name) __attribute__((export_name(#name))) int32_t export_##name(void)

EXPORT(describe) {
    cd_context ctx = { 0 };
    if (!check_connector(&ctx)) return failed(ctx.failure);
    size_t size = strlen(cofferdam.manifest);
    output_set(store(cofferdam.manifest, size), size);
    return 0;
}

static const cd_handler none[] = { { NULL, NULL } };

EXPORT(action) { return serve("action", cofferdam.actions ? cofferdam.actions : none, NULL, "input"); }
EXPORT(webhook) { return serve("webhook", cofferdam.webhooks ? cofferdam.webhooks : none, NULL, "request"); }
EXPORT(poll) { return serve("poll", cofferdam.polls ? cofferdam.polls : none, NULL, "cursor"); }
EXPORT(verify) { return serve("verify", cofferdam.verify ? cofferdam.verify : none, NULL, NULL); }
EXPORT(test) { return serve("test", NULL, cofferdam.test, NULL); }
EXPORT(confirm) { return serve("confirm", NULL, cofferdam.confirm, NULL); }

EXPORT(warmup) {
    read_manifest();
    return 0;
}
