/* jsonread.c - JSON text as a tree of values, in one pass.
 *
 * Idea: children are gathered on one stack while their parent is open, and copied into the arena,
 *       side by side, when it closes. Array items ride in members without a key.
 */
#define _GNU_SOURCE /* strtod_l */
#include "base/jsonread.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"

typedef struct reader {
    const char     *name;
    const char     *p, *end;
    uint32_t        line;
    const char     *line_begin;
    unsigned        flags;
    int             depth;
    nx_arena       *arena;
    nx_json_member *stack; /* [n], room for cap */
    size_t          n, cap;
    size_t          bytes_max; /* of stack and arena; SIZE_MAX: as many as there are */
    locale_t        numbers;   /* the C locale: a point is a point */
    nx_error       *err;
} reader;

static nx_status read_value(reader *r, nx_json *out);

/* ---- Errors ---- */

static nx_status fail_at(reader *r, const char *at, const char *what)
{
    return nx_fail(r->err, NX_EFORMAT, "%s: line %u, column %zu: %s", r->name, r->line,
                   (size_t)(at - r->line_begin) + 1, what);
}

static nx_status fail_memory(reader *r)
{
    return nx_fail(r->err, NX_ENOMEM, "%s", r->name);
}

/* May the stack have room for cap, and the arena take n things more? */
static nx_status check_room(reader *r, size_t cap, size_t n, size_t size)
{
    size_t bytes =
        cap * sizeof *r->stack + n * size; /* n is at most cap, and cap in memory, or twice it */

    if (r->arena->used_bytes <= r->bytes_max && bytes <= r->bytes_max - r->arena->used_bytes)
        return NX_OK;
    return nx_fail(
        r->err, NX_ELIMIT,
        "%s: line %u, column %zu: so many values up to here that reading them takes more than "
        "%zu MB of memory. Send fewer at a time",
        r->name, r->line, (size_t)(r->p - r->line_begin) + 1, r->bytes_max >> 20);
}

/* ---- White space ---- */

static void skip_space(reader *r)
{
    for (; r->p < r->end; r->p++) {
        if (*r->p == '\n') {
            r->line++;
            r->line_begin = r->p + 1;
        } else if (*r->p != ' ' && *r->p != '\t' && *r->p != '\r') {
            return;
        }
    }
}

static bool take(reader *r, char c)
{
    if (r->p == r->end || *r->p != c) return false;
    r->p++;
    return true;
}

/* ---- Strings ---- */

static int hex4(const char *p, const char *end)
{
    int v = 0;

    if (end - p < 4) return -1;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int  d = c >= '0' && c <= '9'   ? c - '0'
                 : c >= 'a' && c <= 'f' ? c - 'a' + 10
                 : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                        : -1;
        if (d < 0) return -1;
        v = v << 4 | d;
    }
    return v;
}

/* The escape after the backslash at *p: its bytes to out[4], how many in *n; *p moves past it. */
static const char *unescape(const char **p, const char *end, char *out, size_t *n)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char       *known = *p < end && **p ? strchr(from, **p) : NULL;

    *n = 1;
    if (known) {
        *out = to[known - from];
        ++*p;
        return NULL;
    }
    if (*p == end || **p != 'u') return "no such escape";
    int32_t cp = hex4(*p + 1, end);
    if (cp < 0) return "expected four hexadecimal digits";
    *p += 5;
    if (cp >= 0xDC00 && cp < 0xE000) return "half of a surrogate pair";
    if (cp >= 0xD800 && cp < 0xDC00) {
        int32_t low = end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u' ? hex4(*p + 2, end) : -1;
        if (low < 0xDC00 || low >= 0xE000) return "half of a surrogate pair";
        cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
        *p += 6;
    }
    *n = nx_utf8_encode(out, (uint32_t)cp);
    return NULL;
}

/* Copy the string whose bytes are body..close, escapes undone. */
static nx_status copy_unescaped(reader *r, const char *body, const char *close, nx_str *out)
{
    char *text = nx_arena_alloc(r->arena, (size_t)(close - body), 1); /* escapes only shrink */
    char *w = text;

    if (!text) return fail_memory(r);
    for (const char *p = body; p < close;) {
        size_t n;
        if (*p != '\\') {
            *w++ = *p++;
            continue;
        }
        const char *at = p++;
        const char *wrong = unescape(&p, close, w, &n);
        if (wrong) return fail_at(r, at, wrong);
        w += n;
    }
    *out = (nx_str){text, (size_t)(w - text)};
    return NX_OK;
}

/* At the opening quote. */
static nx_status read_string(reader *r, nx_str *out)
{
    const char *body = ++r->p;
    bool        escaped = false;
    size_t      bad;

    for (;; r->p++) {
        if (r->p == r->end) return fail_at(r, body - 1, "a string that doesn't end");
        unsigned char c = (unsigned char)*r->p;
        if (c == '"') break;
        if (c < 0x20) return fail_at(r, r->p, "a control character in a string, expected \\u00..");
        if (c != '\\') continue;
        escaped = true;
        if (++r->p == r->end) return fail_at(r, body - 1, "a string that doesn't end");
    }
    const char *close = r->p++;
    if (!nx_utf8_valid(body, (size_t)(close - body), &bad))
        return fail_at(r, body + bad, "not UTF-8");
    if (escaped) return copy_unescaped(r, body, close, out);
    *out = (nx_str){body, (size_t)(close - body)};
    return NX_OK;
}

/* ---- Numbers and words ---- */

static bool digits(reader *r)
{
    const char *from = r->p;

    while (r->p < r->end && *r->p >= '0' && *r->p <= '9') r->p++;
    return r->p > from;
}

/* Magnitude of the decimal digits from..to, or false when it needs more than 64 bits. */
static bool whole_number(const char *from, const char *to, uint64_t *out)
{
    uint64_t v = 0;

    for (; from < to; from++) {
        unsigned d = (unsigned)(*from - '0');
        if (v > (UINT64_MAX - d) / 10) return false;
        v = v * 10 + d;
    }
    *out = v;
    return true;
}

/* Most numbers, without strtod: m / 10^k, where m has at most 64 bits and 10^k is exact in them. The
 * x87's result is right to 64 bits, and rounds to the right double, unless those it drops are exactly half
 * a unit: then only the digits behind know which way. False: ask strtod. */
#if LDBL_MANT_DIG == 64
static bool scale(uint64_t m, int exponent, double *out)
{
    static const long double powers[] = {1e0L,  1e1L,  1e2L,  1e3L,  1e4L,  1e5L,  1e6L,
                                         1e7L,  1e8L,  1e9L,  1e10L, 1e11L, 1e12L, 1e13L,
                                         1e14L, 1e15L, 1e16L, 1e17L, 1e18L, 1e19L, 1e20L,
                                         1e21L, 1e22L, 1e23L, 1e24L, 1e25L, 1e26L, 1e27L};
    uint64_t                 significand;

    if (exponent < -27 || exponent > 27) return false;
    long double v =
        exponent < 0 ? (long double)m / powers[-exponent] : (long double)m * powers[exponent];
    memcpy(&significand, &v, sizeof significand);
    if ((significand & 0x7FF) == 0x400) return false;
    *out = (double)v;
    return true;
}
#else
static bool scale(uint64_t m, int exponent, double *out)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

    if (m >> 53 || exponent < -22 || exponent > 22) return false;
    *out = exponent < 0 ? (double)m / powers[-exponent] : (double)m * powers[exponent];
    return true;
}
#endif

/* The number spelled from..to, which is well-formed. */
static bool quick_float(const char *from, const char *to, double *out)
{
    uint64_t    m = 0;
    int         exponent = 0, n = 0, written = 0;
    bool        minus = *from == '-', point = false;
    const char *p = from + minus;

    for (; p < to && (*p | 0x20) != 'e'; p++) {
        if (*p == '.') {
            point = true;
            continue;
        }
        if (n == 19) return false;
        m = m * 10 + (unsigned)(*p - '0');
        n += m != 0;
        exponent -= point;
    }
    if (p < to) {
        bool down = p[1] == '-';
        for (p += 1 + (down || p[1] == '+'); p < to; p++) {
            written = written * 10 + (*p - '0');
            if (written > 999) return false;
        }
        exponent += down ? -written : written;
    }
    if (m == 0)
        *out = 0;
    else if (!scale(m, exponent, out))
        return false;
    if (minus) *out = -*out;
    return true;
}

static nx_status float_of(reader *r, const char *from, nx_json *out)
{
    char   small[64];
    size_t len = (size_t)(r->p - from);

    out->type = NX_JSON_FLOAT;
    out->spelled = from;
    if (quick_float(from, r->p, &out->f)) return NX_OK;
    char *text = len < sizeof small ? small : nx_alloc(len + 1, 1); /* strtod wants its NUL */
    if (!text) return fail_memory(r);
    memcpy(text, from, len);
    text[len] = '\0';
    out->f = strtod_l(text, NULL, r->numbers);
    if (text != small) nx_free(text);
    return NX_OK;
}

static nx_status read_number(reader *r, nx_json *out)
{
    const char *from = r->p;
    bool        negative = take(r, '-'), whole = true;
    const char *first = r->p;
    uint64_t    magnitude;

    if (!digits(r)) return fail_at(r, from, "expected a value");
    if (*first == '0' && r->p - first > 1) return fail_at(r, from, "a number with a leading 0");
    const char *last = r->p;
    if (take(r, '.')) {
        whole = false;
        if (!digits(r)) return fail_at(r, r->p, "expected a digit after the point");
    }
    if (r->p < r->end && (*r->p | 0x20) == 'e') {
        whole = false;
        r->p++;
        if (!take(r, '-')) take(r, '+');
        if (!digits(r)) return fail_at(r, r->p, "expected a digit of the exponent");
    }
    if (!whole || !whole_number(first, last, &magnitude)) return float_of(r, from, out);
    if (magnitude <= INT64_MAX || (negative && magnitude == (uint64_t)INT64_MAX + 1)) {
        out->type = NX_JSON_INT;
        out->i = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
        return NX_OK;
    }
    if (negative) return float_of(r, from, out);
    out->type = NX_JSON_UINT;
    out->u = magnitude;
    return NX_OK;
}

static bool word(reader *r, const char *text)
{
    size_t n = strlen(text);

    if ((size_t)(r->end - r->p) < n || memcmp(r->p, text, n) != 0) return false;
    r->p += n;
    return true;
}

static nx_status read_word(reader *r, nx_json *out)
{
    const char *from = r->p;

    if (word(r, "null")) {
        out->type = NX_JSON_NULL;
    } else if (word(r, "true") || word(r, "false")) {
        out->type = NX_JSON_BOOL;
        out->boolean = *from == 't';
    } else if ((r->flags & NX_JSON_PYTHON) &&
               (word(r, "NaN") || word(r, "Infinity") || word(r, "-Infinity"))) {
        out->type = NX_JSON_FLOAT;
        out->spelled = from;
        out->f = *from == 'N' ? (double)NAN : *from == '-' ? -INFINITY : INFINITY;
    } else {
        return read_number(r, out);
    }
    return NX_OK;
}

/* ---- Arrays and objects ---- */

static nx_status push(reader *r, const nx_json_member *m)
{
    if (r->n == r->cap) {
        size_t    cap = r->cap ? r->cap * 2 : 256;
        nx_status st = check_room(r, cap, 0, 0);
        if (st) return st;
        void *grown = nx_realloc(r->stack, cap, sizeof *r->stack);
        if (!grown) return fail_memory(r);
        r->stack = grown;
        r->cap = cap;
    }
    r->stack[r->n++] = *m;
    return NX_OK;
}

static nx_status read_member(reader *r, bool keyed)
{
    nx_json_member m = {{NULL, 0}, {0}};
    nx_status      st;

    skip_space(r);
    if (keyed) {
        if (r->p == r->end || *r->p != '"') return fail_at(r, r->p, "expected a key in quotes");
        st = read_string(r, &m.key);
        if (st) return st;
        skip_space(r);
        if (!take(r, ':')) return fail_at(r, r->p, "expected ':' after the key");
    }
    st = read_value(r, &m.value);
    if (st) return st;
    skip_space(r);
    return push(r, &m);
}

/* Move what lies on the stack above `base` into the arena, as the children of out. */
static nx_status close_array(reader *r, size_t base, nx_json *out)
{
    size_t    n = r->n - base;
    nx_status st = check_room(r, r->cap, n, sizeof(nx_json));

    if (st) return st;
    nx_json *items = nx_arena_alloc(r->arena, n, sizeof *items);
    if (!items) return fail_memory(r);
    for (size_t i = 0; i < n; i++) items[i] = r->stack[base + i].value;
    out->array.items = items;
    out->array.n = n;
    r->n = base;
    return NX_OK;
}

static nx_status close_object(reader *r, size_t base, nx_json *out)
{
    size_t    n = r->n - base;
    nx_status st = check_room(r, r->cap, n, sizeof(nx_json_member));

    if (st) return st;
    nx_json_member *members = nx_arena_alloc(r->arena, n, sizeof *members);
    if (!members) return fail_memory(r);
    if (n) memcpy(members, r->stack + base, n * sizeof *members);
    out->object.members = members;
    out->object.n = n;
    r->n = base;
    return NX_OK;
}

static nx_status read_children(reader *r, nx_json *out, bool keyed)
{
    const char  close = keyed ? '}' : ']';
    size_t      base = r->n;
    const char *open = r->p++;

    if (++r->depth > NX_JSON_DEPTH_MAX) return fail_at(r, open, "nested too deeply");
    skip_space(r);
    if (!take(r, close)) {
        do {
            nx_status st = read_member(r, keyed);
            if (st) return st;
        } while (take(r, ','));
        if (!take(r, close))
            return fail_at(r, r->p, keyed ? "expected ',' or '}'" : "expected ',' or ']'");
    }
    r->depth--;
    out->type = keyed ? NX_JSON_OBJECT : NX_JSON_ARRAY;
    return keyed ? close_object(r, base, out) : close_array(r, base, out);
}

static nx_status read_value(reader *r, nx_json *out)
{
    skip_space(r);
    out->line = r->line;
    if (r->p == r->end) return fail_at(r, r->p, "the text ends where a value is expected");
    switch (*r->p) {
    case '{': return read_children(r, out, true);
    case '[': return read_children(r, out, false);
    case '"': out->type = NX_JSON_STRING; return read_string(r, &out->text);
    default: return read_word(r, out);
    }
}

static nx_status read_all(reader *r, nx_json *root)
{
    nx_status st = read_value(r, root);

    if (st) return st;
    skip_space(r);
    return r->p == r->end ? NX_OK : fail_at(r, r->p, "expected the end of the text");
}

static nx_status parse_into(nx_arena *arena, const nx_json **out, const char *name,
                            const char *text, size_t len, unsigned flags, size_t bytes_max,
                            nx_error *err)
{
    if (!text) text = "";
    reader   r = {.name = name,
                  .p = text,
                  .end = text + len,
                  .line = 1,
                  .line_begin = text,
                  .flags = flags,
                  .arena = arena,
                  .bytes_max = bytes_max,
                  .err = err};
    nx_json *root = nx_arena_alloc(arena, 1, sizeof *root);

    r.numbers = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    nx_status st = root && r.numbers ? read_all(&r, root) : fail_memory(&r);
    if (r.numbers) freelocale(r.numbers);
    nx_free(r.stack);
    *out = st ? NULL : root;
    return st;
}

nx_status nx_json_parse_into(nx_arena *arena, const nx_json **out, const char *name,
                             const char *text, size_t len, unsigned flags, nx_error *err)
{
    return parse_into(arena, out, name, text, len, flags, SIZE_MAX, err);
}

nx_status nx_json_parse_within(nx_json_doc *doc, const char *name, const char *text, size_t len,
                               unsigned flags, size_t bytes_max, nx_error *err)
{
    *doc = (nx_json_doc){.arena.chunk_bytes = len < 4096 ? 4096 : 64 * 1024};
    nx_status st = parse_into(&doc->arena, &doc->root, name, text, len, flags, bytes_max, err);
    if (st) nx_json_doc_free(doc);
    return st;
}

nx_status nx_json_parse(nx_json_doc *doc, const char *name, const char *text, size_t len,
                        unsigned flags, nx_error *err)
{
    return nx_json_parse_within(doc, name, text, len, flags, SIZE_MAX, err);
}

void nx_json_doc_free(nx_json_doc *doc)
{
    nx_arena_free(&doc->arena);
    *doc = (nx_json_doc){0};
}

/* ---- Looking things up ---- */

const nx_json *nx_json_get_str(const nx_json *obj, nx_str key)
{
    if (!obj || obj->type != NX_JSON_OBJECT) return NULL;
    for (size_t i = obj->object.n; i-- > 0;)
        if (nx_str_eq(obj->object.members[i].key, key)) return &obj->object.members[i].value;
    return NULL;
}

const nx_json *nx_json_get(const nx_json *obj, const char *key)
{
    return nx_json_get_str(obj, nx_str_of(key));
}

bool nx_json_get_int(const nx_json *obj, const char *key, int64_t *out)
{
    const nx_json *v = nx_json_get(obj, key);

    if (!v || v->type != NX_JSON_INT) return false;
    *out = v->i;
    return true;
}

bool nx_json_get_number(const nx_json *obj, const char *key, double *out)
{
    return nx_json_number(nx_json_get(obj, key), out);
}

bool nx_json_get_bool(const nx_json *obj, const char *key, bool *out)
{
    const nx_json *v = nx_json_get(obj, key);

    if (!v || v->type != NX_JSON_BOOL) return false;
    *out = v->boolean;
    return true;
}

bool nx_json_get_string(const nx_json *obj, const char *key, nx_str *out)
{
    const nx_json *v = nx_json_get(obj, key);

    if (!v || v->type != NX_JSON_STRING) return false;
    *out = v->text;
    return true;
}

bool nx_json_number(const nx_json *v, double *out)
{
    if (!v) return false;
    switch (v->type) {
    case NX_JSON_INT: *out = (double)v->i; return true;
    case NX_JSON_UINT: *out = (double)v->u; return true;
    case NX_JSON_FLOAT: *out = v->f; return true;
    default: return false;
    }
}

bool nx_json_is(const nx_json *v, const char *text)
{
    return v && v->type == NX_JSON_STRING && nx_str_eq(v->text, nx_str_of(text));
}

bool nx_json_absent(const nx_json *v)
{
    return !v || v->type == NX_JSON_NULL;
}

const char *nx_json_type_name(const nx_json *v)
{
    static const char *const names[] = {"null",     "a boolean", "an integer", "an integer",
                                        "a number", "a string",  "an array",   "an object"};

    return v ? names[v->type] : "nothing";
}
