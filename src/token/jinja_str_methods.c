/* jinja_str_methods.c - the methods of Python's str.
 *
 * Pieces of a string keep who wrote which byte; what is made of single characters keeps it for
 * each.
 */
#include <string.h>

#include "token/jinja_call.h"
#include "token/jinja_print.h"
#include "token/jinja_str.h"

#define METHOD(name)                                                                               \
    static nx_status name(jj *j, jj_val *out, const jj_val *self, const jj_val *arg,               \
                          const jj_call *c)
#define UNUSED (void)j, (void)out, (void)self, (void)arg, (void)c

static nx_status want_str(jj *j, const jj_val *v, const jj_str **out)
{
    if (v->type == JJ_UNDEFINED) return jj_undefined_used(j, v);
    if (v->type != JJ_STR) return jj_type_error(j, "must be str, not %s", jj_type_name(v));
    *out = v->s;
    return NX_OK;
}

static nx_status want_int(jj *j, const jj_val *v, int64_t preset, int64_t *out)
{
    *out = preset;
    if (v->type == JJ_MISSING || jj_as_int(v, out)) return NX_OK;
    if (v->type == JJ_UNDEFINED) return jj_undefined_used(j, v);
    return jj_type_error(j, "'%s' object cannot be interpreted as an integer", jj_type_name(v));
}

static bool absent(const jj_val *v)
{
    return v->type == JJ_MISSING || v->type == JJ_NONE;
}

/* ---- Case ---- */

METHOD(upper)
{
    UNUSED;
    return jj_recase(j, out, self->s, JJ_TO_UPPER);
}

METHOD(lower)
{
    UNUSED;
    return jj_recase(j, out, self->s, JJ_TO_LOWER);
}

METHOD(casefold)
{
    UNUSED;
    return jj_recase(j, out, self->s, JJ_TO_FOLD);
}

METHOD(capitalize)
{
    UNUSED;
    return jj_capitalize(j, out, self->s);
}

/* Words are runs of cased characters. */
METHOD(title)
{
    jj_out   o = {.j = j};
    bool     inside = false;
    uint32_t form[3];

    UNUSED;
    TRY(jj_steps(j, self->s->len / 4));
    for (size_t at = 0; at < self->s->len && !o.st;) {
        size_t   from = at;
        uint32_t cp = jj_next_char(self->s, &at);
        bool     cased = jj_char_flags(cp) & JJ_CASED;
        size_t   n = jj_char_map(cp, inside ? JJ_TO_LOWER : JJ_TO_TITLE, form);
        for (size_t i = 0; i < n; i++) jj_put_cp(&o, form[i], jj_user_at(self->s, from));
        inside = cased;
    }
    return jj_out_str(&o, out);
}

METHOD(swapcase)
{
    jj_out   o = {.j = j};
    uint32_t form[3];

    UNUSED;
    TRY(jj_steps(j, self->s->len / 4));
    for (size_t at = 0; at < self->s->len && !o.st;) {
        size_t   from = at;
        uint32_t cp = jj_next_char(self->s, &at);
        unsigned flags = jj_char_flags(cp);
        size_t   n = 1;
        form[0] = cp;
        if (flags & JJ_UPPER) n = jj_char_map(cp, JJ_TO_LOWER, form);
        if (flags & JJ_LOWER) n = jj_char_map(cp, JJ_TO_UPPER, form);
        for (size_t i = 0; i < n; i++) jj_put_cp(&o, form[i], jj_user_at(self->s, from));
    }
    return jj_out_str(&o, out);
}

/* ---- Ends ---- */

static nx_status strip_sides(jj *j, jj_val *out, const jj_val *self, const jj_val *arg, int sides)
{
    const jj_str *chars = NULL;

    if (!absent(arg)) TRY(want_str(j, arg, &chars));
    return jj_strip(j, out, self->s, chars, sides);
}

METHOD(strip)
{
    UNUSED;
    return strip_sides(j, out, self, arg, JJ_LEFT | JJ_RIGHT);
}

METHOD(lstrip)
{
    UNUSED;
    return strip_sides(j, out, self, arg, JJ_LEFT);
}

METHOD(rstrip)
{
    UNUSED;
    return strip_sides(j, out, self, arg, JJ_RIGHT);
}

static bool starts(const jj_str *s, const jj_str *with)
{
    return with->len <= s->len && memcmp(s->p, with->p, with->len) == 0;
}

static bool ends(const jj_str *s, const jj_str *with)
{
    return with->len <= s->len && memcmp(s->p + s->len - with->len, with->p, with->len) == 0;
}

METHOD(removeprefix)
{
    const jj_str *p = NULL;

    UNUSED;
    TRY(want_str(j, &arg[0], &p));
    return jj_slice_bytes(j, out, self->s, starts(self->s, p) ? p->len : 0, self->s->len);
}

METHOD(removesuffix)
{
    const jj_str *p = NULL;

    UNUSED;
    TRY(want_str(j, &arg[0], &p));
    return jj_slice_bytes(j, out, self->s, 0, self->s->len - (ends(self->s, p) ? p->len : 0));
}

/* The part of self that start and end (characters) leave; *from: its first byte. */
static nx_status window(jj *j, jj_val *out, const jj_val *self, const jj_val *from,
                        const jj_val *to)
{
    const jj_val step = jj_int(1);
    jj_val       a = absent(from) ? JJ_VAL_NONE : *from, b = absent(to) ? JJ_VAL_NONE : *to;

    if (a.type == JJ_NONE && b.type == JJ_NONE) {
        *out = *self;
        return NX_OK;
    }
    TRY(jj_slice(j, out, self, &a, &b, &step));
    return out->type == JJ_STR ? NX_OK : jj_type_error(j, "slice indices must be integers");
}

static nx_status with_any(jj *j, jj_val *out, const jj_val *self, const jj_val *arg,
                          bool (*has)(const jj_str *, const jj_str *))
{
    jj_val        part;
    const jj_str *p = NULL;
    bool          yes = false;

    TRY(window(j, &part, self, &arg[1], &arg[2]));
    if (arg[0].type == JJ_TUPLE) {
        for (size_t i = 0; i < arg[0].list->n && !yes; i++) {
            TRY(want_str(j, &arg[0].list->v[i], &p));
            yes = has(part.s, p);
        }
    } else {
        TRY(want_str(j, &arg[0], &p));
        yes = has(part.s, p);
    }
    *out = jj_bool(yes);
    return NX_OK;
}

METHOD(startswith)
{
    UNUSED;
    return with_any(j, out, self, arg, starts);
}

METHOD(endswith)
{
    UNUSED;
    return with_any(j, out, self, arg, ends);
}

/* ---- Finding ---- */

/* Where arg[0] is found, in characters; -1: nowhere. */
static nx_status find_char(jj *j, int64_t *out, const jj_val *self, const jj_val *arg, bool last)
{
    const jj_val  none = JJ_VAL_MISSING;
    const jj_str *needle = NULL;
    jj_val        part, before;
    size_t        at;

    TRY(want_str(j, &arg[0], &needle));
    TRY(window(j, &part, self, &arg[1], &arg[2]));
    TRY(jj_search(j, part.s->len, needle->len));
    at = last ? jj_str_rfind(part.s, part.s->len, jj_bytes(needle))
              : jj_str_find(part.s, 0, jj_bytes(needle));
    *out = -1;
    if (at == SIZE_MAX) return NX_OK;
    *out = (int64_t)jj_str_char_of(part.s, at);
    if (absent(&arg[1])) return NX_OK;
    int64_t start = 0;
    jj_as_int(&arg[1], &start);
    if (needle->len == 0 && start > (int64_t)self->s->n_chars) {
        *out = -1;
        return NX_OK;
    }
    TRY(window(j, &before, self, &none, &arg[1])); /* what start skips */
    *out += before.s->n_chars;
    return NX_OK;
}

METHOD(find)
{
    int64_t at;

    UNUSED;
    TRY(find_char(j, &at, self, arg, false));
    *out = jj_int(at);
    return NX_OK;
}

METHOD(rfind)
{
    int64_t at;

    UNUSED;
    TRY(find_char(j, &at, self, arg, true));
    *out = jj_int(at);
    return NX_OK;
}

METHOD(index_)
{
    UNUSED;
    TRY(find(j, out, self, arg, c));
    return out->i < 0 ? jj_type_error(j, "substring not found") : NX_OK;
}

METHOD(rindex_)
{
    UNUSED;
    TRY(rfind(j, out, self, arg, c));
    return out->i < 0 ? jj_type_error(j, "substring not found") : NX_OK;
}

METHOD(count)
{
    const jj_str *needle = NULL;
    jj_val        part;
    int64_t       n = 0;

    UNUSED;
    TRY(want_str(j, &arg[0], &needle));
    TRY(window(j, &part, self, &arg[1], &arg[2]));
    TRY(jj_search(j, part.s->len, needle->len));
    if (needle->len == 0) n = (int64_t)part.s->n_chars + 1;
    for (size_t at = 0; needle->len; n++) {
        at = jj_str_find(part.s, at, jj_bytes(needle));
        if (at == SIZE_MAX) break;
        at += needle->len;
    }
    *out = jj_int(n);
    return NX_OK;
}

/* ---- Splitting and joining ---- */

static nx_status add_piece(jj_vec *l, const jj_str *s, size_t from, size_t to)
{
    jj_val piece;

    TRY(jj_slice_bytes(l->j, &piece, s, from, to));
    return jj_vec_add(l, piece);
}

static nx_status split_space(jj_vec *l, const jj_str *s, int64_t n_max)
{
    size_t at = 0, start;

    for (;;) {
        size_t next;
        for (start = at; start < s->len; start = next) {
            next = start;
            if (!(jj_char_flags(jj_next_char(s, &next)) & JJ_SPACE)) break;
        }
        if (start >= s->len) return NX_OK;
        if (n_max >= 0 && (int64_t)l->n >= n_max) return add_piece(l, s, start, s->len);
        for (at = start; at < s->len; at = next) {
            next = at;
            if (jj_char_flags(jj_next_char(s, &next)) & JJ_SPACE) break;
        }
        TRY(add_piece(l, s, start, at));
    }
}

static size_t char_before(const jj_str *s, size_t at)
{
    do at--;
    while (at > 0 && ((unsigned char)s->p[at] & 0xC0) == 0x80);
    return at;
}

static bool space_at(const jj_str *s, size_t at)
{
    return jj_char_flags(jj_next_char(s, &at)) & JJ_SPACE;
}

/* From the end; the pieces come in reverse. */
static nx_status rsplit_space(jj_vec *l, const jj_str *s, int64_t n_max)
{
    size_t at = s->len;

    for (;;) {
        while (at > 0 && space_at(s, char_before(s, at))) at = char_before(s, at);
        if (at == 0) return NX_OK;
        size_t end = at;
        if (n_max >= 0 && (int64_t)l->n >= n_max) return add_piece(l, s, 0, end);
        while (at > 0 && !space_at(s, char_before(s, at))) at = char_before(s, at);
        TRY(add_piece(l, s, at, end));
    }
}

static nx_status split_at(jj_vec *l, const jj_str *s, const jj_str *sep, int64_t n_max)
{
    size_t at = 0;

    while (n_max < 0 || (int64_t)l->n < n_max) {
        size_t hit = jj_str_find(s, at, jj_bytes(sep));
        if (hit == SIZE_MAX) break;
        TRY(add_piece(l, s, at, hit));
        at = hit + sep->len;
    }
    return add_piece(l, s, at, s->len);
}

static nx_status rsplit_at(jj_vec *l, const jj_str *s, const jj_str *sep, int64_t n_max)
{
    size_t end = s->len;

    while (n_max < 0 || (int64_t)l->n < n_max) {
        size_t hit = jj_str_rfind(s, end, jj_bytes(sep));
        if (hit == SIZE_MAX) break;
        TRY(add_piece(l, s, hit + sep->len, end));
        end = hit;
    }
    return add_piece(l, s, 0, end);
}

static void reverse(jj_vec *l)
{
    for (size_t a = 0, b = l->n; a + 1 < b; a++) {
        jj_val v = l->v[a];
        l->v[a] = l->v[--b];
        l->v[b] = v;
    }
}

static nx_status split_any(jj *j, jj_val *out, const jj_val *self, const jj_val *arg, bool right)
{
    jj_vec        l = {.j = j};
    const jj_str *sep = NULL;
    int64_t       n_max;

    if (!absent(&arg[0])) TRY(want_str(j, &arg[0], &sep));
    TRY(want_int(j, &arg[1], -1, &n_max));
    if (sep && sep->len == 0) return jj_type_error(j, "empty separator");
    TRY(jj_search(j, 4 * (size_t)self->s->len, sep ? sep->len : 1));
    if (sep)
        TRY((right ? rsplit_at : split_at)(&l, self->s, sep, n_max));
    else
        TRY((right ? rsplit_space : split_space)(&l, self->s, n_max));
    if (right) reverse(&l);
    return jj_vec_list(&l, out, JJ_LIST);
}

METHOD(split)
{
    UNUSED;
    return split_any(j, out, self, arg, false);
}

METHOD(rsplit)
{
    UNUSED;
    return split_any(j, out, self, arg, true);
}

METHOD(splitlines)
{
    UNUSED;
    return jj_split_lines(j, out, self->s, jj_truth(&arg[0]));
}

static nx_status partition_at(jj *j, jj_val *out, const jj_val *self, const jj_val *arg, bool right)
{
    const jj_str *sep = NULL, *s = self->s;
    jj_val        t;

    TRY(want_str(j, &arg[0], &sep));
    if (sep->len == 0) return jj_type_error(j, "empty separator");
    TRY(jj_search(j, s->len, sep->len));
    size_t hit = right ? jj_str_rfind(s, s->len, jj_bytes(sep)) : jj_str_find(s, 0, jj_bytes(sep));
    size_t a = hit != SIZE_MAX ? hit : right ? 0 : s->len;
    size_t b = hit != SIZE_MAX ? hit + sep->len : a;
    TRY(jj_list_new(j, &t, JJ_TUPLE, 3));
    TRY(jj_slice_bytes(j, &t.list->v[0], s, 0, a));
    TRY(jj_slice_bytes(j, &t.list->v[1], s, a, b));
    TRY(jj_slice_bytes(j, &t.list->v[2], s, b, s->len));
    *out = t;
    return NX_OK;
}

METHOD(partition)
{
    UNUSED;
    return partition_at(j, out, self, arg, false);
}

METHOD(rpartition)
{
    UNUSED;
    return partition_at(j, out, self, arg, true);
}

METHOD(join)
{
    jj_out  o = {.j = j};
    jj_val *items;
    size_t  n;

    UNUSED;
    TRY(jj_items_of(j, &arg[0], &items, &n));
    for (size_t i = 0; i < n; i++) {
        if (items[i].type != JJ_STR) {
            return jj_type_error(j, "sequence item %zu: expected str instance, %s found", i,
                                 jj_type_name(&items[i]));
        }
        if (i) jj_put_str(&o, self->s);
        jj_put_str(&o, items[i].s);
    }
    TRY(jj_steps(j, n));
    return jj_out_str(&o, out);
}

METHOD(replace)
{
    const jj_str *from = NULL, *to = NULL;
    int64_t       n_max;

    UNUSED;
    TRY(want_str(j, &arg[0], &from));
    TRY(want_str(j, &arg[1], &to));
    TRY(want_int(j, &arg[2], -1, &n_max));
    return jj_replace(j, out, self->s, from, to, n_max);
}

/* ---- Width ---- */

static nx_status fill_of(jj *j, const jj_val *arg, const jj_str **out)
{
    static const jj_str space = {.p = " ", .len = 1, .n_chars = 1};

    *out = &space;
    if (arg->type == JJ_MISSING) return NX_OK;
    TRY(want_str(j, arg, out));
    if ((*out)->n_chars == 1) return NX_OK;
    return jj_type_error(j, "The fill character must be exactly one character long");
}

static nx_status justify(jj *j, jj_val *out, const jj_val *self, const jj_val *arg, char side)
{
    jj_out        o = {.j = j};
    const jj_str *fill = NULL;
    int64_t       width;

    TRY(want_int(j, &arg[0], 0, &width));
    TRY(fill_of(j, &arg[1], &fill));
    if (side == 'c') return jj_center(j, out, self->s, width, fill);
    if (side == 'r') jj_put_fill(&o, fill, width - (int64_t)self->s->n_chars);
    jj_put_str(&o, self->s);
    if (side == 'l') jj_put_fill(&o, fill, width - (int64_t)self->s->n_chars);
    return jj_out_str(&o, out);
}

METHOD(center)
{
    UNUSED;
    return justify(j, out, self, arg, 'c');
}

METHOD(ljust)
{
    UNUSED;
    return justify(j, out, self, arg, 'l');
}

METHOD(rjust)
{
    UNUSED;
    return justify(j, out, self, arg, 'r');
}

METHOD(zfill)
{
    static const jj_str zero = {.p = "0", .len = 1, .n_chars = 1};
    jj_out              o = {.j = j};
    const jj_str       *s = self->s;
    int64_t             width;
    size_t              sign = s->len && (s->p[0] == '-' || s->p[0] == '+');

    UNUSED;
    TRY(want_int(j, &arg[0], 0, &width));
    jj_put_range(&o, s, 0, sign);
    jj_put_fill(&o, &zero, width - (int64_t)s->n_chars);
    jj_put_range(&o, s, sign, s->len);
    return jj_out_str(&o, out);
}

METHOD(expandtabs)
{
    static const jj_str space = {.p = " ", .len = 1, .n_chars = 1};
    jj_out              o = {.j = j};
    int64_t             size, column = 0;

    UNUSED;
    TRY(want_int(j, &arg[0], 8, &size));
    TRY(jj_steps(j, self->s->len / 4));
    for (size_t at = 0; at < self->s->len && !o.st;) {
        size_t   from = at;
        uint32_t cp = jj_next_char(self->s, &at);
        if (cp == '\t') {
            int64_t n = size > 0 ? size - column % size : 0;
            jj_put_fill(&o, &space, n);
            column += n;
            continue;
        }
        jj_put_range(&o, self->s, from, at);
        column = cp == '\n' || cp == '\r' ? 0 : column + 1;
    }
    return jj_out_str(&o, out);
}

/* ---- What kind of characters ---- */

static nx_status all_are(jj *j, jj_val *out, const jj_str *s, unsigned flags, bool empty)
{
    bool yes = s->len > 0 || empty;

    TRY(jj_work(j, 4 * (size_t)s->len));
    for (size_t at = 0; at < s->len && yes;) yes = jj_char_flags(jj_next_char(s, &at)) & flags;
    *out = jj_bool(yes);
    return NX_OK;
}

#define ARE(name, flags, empty)                                                                    \
    METHOD(name)                                                                                   \
    {                                                                                              \
        UNUSED;                                                                                    \
        return all_are(j, out, self->s, flags, empty);                                             \
    }
ARE(isalpha_, JJ_ALPHA, false)
ARE(isdecimal_, JJ_DECIMAL, false)
ARE(isdigit_, JJ_DIGIT, false)
ARE(isnumeric_, JJ_NUMERIC, false)
ARE(isalnum_, JJ_ALPHA | JJ_DECIMAL | JJ_DIGIT | JJ_NUMERIC, false)
ARE(isspace_, JJ_SPACE, false)
ARE(isprintable_, JJ_PRINTABLE, true)

METHOD(islower_)
{
    UNUSED;
    *out = jj_bool(jj_all_case(self->s, JJ_LOWER));
    return jj_work(j, 4 * (size_t)self->s->len);
}

METHOD(isupper_)
{
    UNUSED;
    *out = jj_bool(jj_all_case(self->s, JJ_UPPER));
    return jj_work(j, 4 * (size_t)self->s->len);
}

METHOD(istitle_)
{
    bool any = false, inside = false, yes = true;

    UNUSED;
    for (size_t at = 0; at < self->s->len && yes;) {
        unsigned f = jj_char_flags(jj_next_char(self->s, &at));
        if (f & (JJ_UPPER | JJ_TITLE))
            yes = !inside;
        else if (f & JJ_LOWER)
            yes = inside;
        inside = f & (JJ_UPPER | JJ_TITLE | JJ_LOWER);
        any |= inside;
    }
    *out = jj_bool(yes && any);
    return jj_work(j, 4 * (size_t)self->s->len);
}

METHOD(isascii_)
{
    UNUSED;
    *out = jj_bool(self->s->len == self->s->n_chars);
    return NX_OK;
}

METHOD(isidentifier_)
{
    bool yes = self->s->len > 0;

    UNUSED;
    for (size_t at = 0; at < self->s->len && yes;) {
        yes = jj_char_flags(jj_next_char(self->s, &at)) & JJ_ID_CONTINUE;
    }
    size_t first = 0;
    if (yes) yes = jj_char_flags(jj_next_char(self->s, &first)) & JJ_ID_START;
    *out = jj_bool(yes);
    return jj_work(j, 4 * (size_t)self->s->len);
}

/* ---- Formatting ---- */

METHOD(format)
{
    UNUSED;
    return jj_format(j, out, self->s, c);
}

METHOD(format_map)
{
    jj_call named = {0};

    UNUSED;
    if (c->n_pos != 1 || c->n_kw || c->pos[0].type != JJ_DICT) {
        return jj_type_error(j, "format_map() takes one mapping");
    }
    const jj_dict *d = c->pos[0].dict;
    named.kw = jj_alloc(j, d->n, sizeof *named.kw);
    named.kw_value = jj_alloc(j, d->n, sizeof *named.kw_value);
    if (!named.kw || !named.kw_value) return j->err->status;
    for (size_t i = 0; i < d->n; i++) {
        if (d->e[i].key.type != JJ_STR) continue;
        named.kw[named.n_kw] = jj_bytes(d->e[i].key.s);
        named.kw_value[named.n_kw++] = d->e[i].value;
    }
    return jj_format(j, out, self->s, &named);
}

const jj_method_def jj_str_methods[] = {
    {"capitalize", "", 0, capitalize},
    {"casefold", "", 0, casefold},
    {"center", "width fillchar", 1, center},
    {"count", "sub start end", 1, count},
    {"endswith", "suffix start end", 1, endswith},
    {"expandtabs", "tabsize", 0, expandtabs},
    {"find", "sub start end", 1, find},
    {"format", "", -1, format},
    {"format_map", "", -1, format_map},
    {"index", "sub start end", 1, index_},
    {"isalnum", "", 0, isalnum_},
    {"isalpha", "", 0, isalpha_},
    {"isascii", "", 0, isascii_},
    {"isdecimal", "", 0, isdecimal_},
    {"isdigit", "", 0, isdigit_},
    {"isidentifier", "", 0, isidentifier_},
    {"islower", "", 0, islower_},
    {"isnumeric", "", 0, isnumeric_},
    {"isprintable", "", 0, isprintable_},
    {"isspace", "", 0, isspace_},
    {"istitle", "", 0, istitle_},
    {"isupper", "", 0, isupper_},
    {"join", "iterable", 1, join},
    {"ljust", "width fillchar", 1, ljust},
    {"lower", "", 0, lower},
    {"lstrip", "chars", 0, lstrip},
    {"partition", "sep", 1, partition},
    {"removeprefix", "prefix", 1, removeprefix},
    {"removesuffix", "suffix", 1, removesuffix},
    {"replace", "old new count", 2, replace},
    {"rfind", "sub start end", 1, rfind},
    {"rindex", "sub start end", 1, rindex_},
    {"rjust", "width fillchar", 1, rjust},
    {"rpartition", "sep", 1, rpartition},
    {"rsplit", "sep maxsplit", 0, rsplit},
    {"rstrip", "chars", 0, rstrip},
    {"split", "sep maxsplit", 0, split},
    {"splitlines", "keepends", 0, splitlines},
    {"startswith", "prefix start end", 1, startswith},
    {"strip", "chars", 0, strip},
    {"swapcase", "", 0, swapcase},
    {"title", "", 0, title},
    {"upper", "", 0, upper},
    {"zfill", "width", 1, zfill},
    {NULL, NULL, 0, NULL},
};
