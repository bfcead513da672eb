/* key_bounds.c - two lists of names in one block. */
#include "server/key_bounds.h"

#include <string.h>

#include "base/utf8.h"

enum { NAME_MAX_BYTES = 255 };

static const char *const list_names[NX_KEY_LISTS] = {"collections", "tags"};

bool nx_key_bounds_any(const nx_key_bounds *b)
{
    return b->read_only || b->n[NX_KEY_COLLECTIONS] || b->n[NX_KEY_TAGS];
}

static const char *names_of(const nx_key_bounds *b, nx_key_list list)
{
    return b->names + (list == NX_KEY_TAGS ? b->used[NX_KEY_COLLECTIONS] : 0);
}

nx_str nx_key_bounds_name(const nx_key_bounds *b, nx_key_list list, uint16_t i)
{
    const char *p = names_of(b, list);

    for (; i > 0; i--) p += strlen(p) + 1;
    return nx_str_of(p);
}

bool nx_key_bounds_has(const nx_key_bounds *b, nx_key_list list, nx_str name)
{
    const char *p = names_of(b, list);

    for (uint16_t i = 0; i < b->n[list]; i++, p += strlen(p) + 1)
        if (nx_str_eq(nx_str_of(p), name)) return true;
    return false;
}

nx_status nx_key_bounds_add(nx_key_bounds *b, nx_key_list list, nx_str name, nx_error *err)
{
    size_t used = (size_t)b->used[NX_KEY_COLLECTIONS] + b->used[NX_KEY_TAGS];

    if (name.len == 0 || name.len > NAME_MAX_BYTES || memchr(name.p, 0, name.len) ||
        !nx_utf8_valid(name.p, name.len, NULL))
        return nx_fail(err, NX_EINVAL, "%s: a name is 1 to %d bytes of UTF-8", list_names[list],
                       NAME_MAX_BYTES);
    if (nx_key_bounds_has(b, list, name)) return NX_OK;
    if (b->n[list] >= NX_KEY_NAMES_MAX || used + name.len + 1 > sizeof b->names)
        return nx_fail(err, NX_ELIMIT, "%s: a key is bound to at most %d, %d bytes in all",
                       list_names[list], NX_KEY_NAMES_MAX, NX_KEY_NAMES_CAP);
    size_t at = list == NX_KEY_TAGS ? used : b->used[NX_KEY_COLLECTIONS];
    memmove(b->names + at + name.len + 1, b->names + at, used - at);
    memcpy(b->names + at, name.p, name.len);
    b->names[at + name.len] = '\0';
    b->used[list] += (uint16_t)(name.len + 1);
    b->n[list]++;
    return NX_OK;
}

/* ---- JSON ---- */

static void write_list(nx_jw *w, const nx_key_bounds *b, nx_key_list list)
{
    nx_jw_open(w, list_names[list], '[');
    for (uint16_t i = 0; i < b->n[list]; i++) nx_jw_string(w, NULL, nx_key_bounds_name(b, list, i));
    nx_jw_close(w, ']');
}

void nx_key_bounds_write(nx_jw *w, const nx_key_bounds *b)
{
    write_list(w, b, NX_KEY_COLLECTIONS);
    nx_jw_bool(w, "read_only", b->read_only);
    write_list(w, b, NX_KEY_TAGS);
}

static nx_status read_list(nx_key_bounds *b, nx_key_list list, const nx_json *object, nx_error *err)
{
    const nx_json *v = nx_json_get(object, list_names[list]);
    nx_status      st = NX_OK;

    if (nx_json_absent(v)) return NX_OK;
    if (v->type != NX_JSON_ARRAY)
        return nx_fail(err, NX_EINVAL, "%s: expected an array, found %s", list_names[list],
                       nx_json_type_name(v));
    for (size_t i = 0; !st && i < v->array.n; i++) {
        const nx_json *item = &v->array.items[i];
        st = item->type == NX_JSON_STRING
                 ? nx_key_bounds_add(b, list, item->text, err)
                 : nx_fail(err, NX_EINVAL, "%s[%zu]: expected a string, found %s", list_names[list],
                           i, nx_json_type_name(item));
    }
    return st;
}

nx_status nx_key_bounds_read(nx_key_bounds *b, const nx_json *object, nx_error *err)
{
    const nx_json *ro = nx_json_get(object, "read_only");
    nx_status      st = read_list(b, NX_KEY_COLLECTIONS, object, err);

    if (!st) st = read_list(b, NX_KEY_TAGS, object, err);
    if (st || nx_json_absent(ro)) return st;
    if (ro->type != NX_JSON_BOOL)
        return nx_fail(err, NX_EINVAL, "read_only: expected true or false, found %s",
                       nx_json_type_name(ro));
    b->read_only = ro->boolean;
    return NX_OK;
}

nx_status nx_key_bounds_to_text(char out[NX_KEY_BOUNDS_CAP], const nx_key_bounds *b, nx_error *err)
{
    nx_jw     w = {.buf.max = NX_KEY_BOUNDS_CAP - 1};
    nx_status st = NX_OK;

    out[0] = '\0';
    if (!nx_key_bounds_any(b)) return NX_OK;
    nx_jw_open(&w, NULL, '{');
    nx_key_bounds_write(&w, b);
    nx_jw_close(&w, '}');
    if (w.st) {
        st = nx_fail(err, w.st, "what a key is bound to: %s", w.err.text);
    } else {
        memcpy(out, w.buf.data, w.buf.len);
        out[w.buf.len] = '\0';
    }
    nx_buf_free(&w.buf);
    return st;
}

nx_status nx_key_bounds_of_text(nx_key_bounds *b, const char *text, nx_error *err)
{
    nx_json_doc doc = {0};
    nx_status   st;

    *b = (nx_key_bounds){0};
    if (!*text) return NX_OK;
    st = nx_json_parse(&doc, "what a key is bound to", text, strlen(text), 0, err);
    if (!st && doc.root->type != NX_JSON_OBJECT)
        st = nx_fail(err, NX_EFORMAT, "what a key is bound to: no object");
    if (!st) st = nx_key_bounds_read(b, doc.root, err);
    nx_json_doc_free(&doc);
    /* Less than what was written would be more rights: never take a part. */
    if (!st && !nx_key_bounds_any(b))
        st = nx_fail(err, NX_EFORMAT, "what a key is bound to: nothing, though it says so");
    return st && st != NX_ENOMEM ? nx_fail_prefix(err, NX_EFORMAT, "nexus.db"), NX_EFORMAT : st;
}
