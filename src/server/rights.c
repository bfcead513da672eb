/* rights.c - a key's bounds as answers, and as filters. */
#include "server/rights.h"

#include "base/arena.h"

static const nx_key_bounds *bounds_of(const nx_call *c)
{
    return &c->key.bounds; /* all zero without a key */
}

bool nx_rights_tagged(const nx_call *c)
{
    return bounds_of(c)->n[NX_KEY_TAGS] > 0;
}

/* A tagged key manages nothing: a snapshot or a dropped collection is about everybody's points. */
bool nx_rights_allow(const nx_call *c, nx_str collection, nx_right right)
{
    const nx_key_bounds *b = bounds_of(c);

    if (b->n[NX_KEY_COLLECTIONS] && !nx_key_bounds_has(b, NX_KEY_COLLECTIONS, collection))
        return false;
    if (right == NX_RIGHT_READ) return true;
    return !b->read_only && (right == NX_RIGHT_WRITE || !nx_rights_tagged(c));
}

/* ---- Tags as a filter ---- */

/* [n] conditions at the path of tags: one of the key's, and, where open, none at all. */
static nx_status tag_conditions(nx_call *c, nx_condition **out, int32_t *n, bool open,
                                nx_error *err)
{
    const nx_key_bounds *b = bounds_of(c);
    uint16_t             n_tags = b->n[NX_KEY_TAGS];
    nx_condition        *v = nx_arena_alloc(&c->kept, 2, sizeof *v);
    nx_str              *tags = nx_arena_alloc(&c->kept, n_tags, sizeof *tags);
    nx_path              path;
    nx_status            st = nx_path_parse(&path, NX_STR(NX_ACCESS_TAGS), err);

    if (!v || !tags) return nx_fail(err, NX_ENOMEM, "a key's tags");
    for (uint16_t i = 0; i < n_tags; i++) tags[i] = nx_key_bounds_name(b, NX_KEY_TAGS, i);
    v[0] = (nx_condition){.kind = NX_COND_TEXT_ANY, .path = path, .texts = tags, .n_texts = n_tags};
    v[1] = (nx_condition){.kind = NX_COND_EMPTY, .path = path};
    *out = v;
    *n = open ? 2 : 1;
    return st;
}

/* own and one of the conditions. */
static nx_status both(nx_call *c, const nx_filter *own, bool open, const nx_filter **out,
                      nx_error *err)
{
    nx_filter    *f = nx_arena_alloc(&c->kept, 2, sizeof *f);
    nx_condition *of_tags, *must = nx_arena_alloc(&c->kept, 2, sizeof *must);
    int32_t       n;
    nx_status     st;

    *out = NULL;
    if (!f || !must) return nx_fail(err, NX_ENOMEM, "a key's tags");
    st = tag_conditions(c, &of_tags, &n, open, err);
    if (st) return st;
    f[1] = (nx_filter){.should = of_tags, .n_should = n};
    must[0] = (nx_condition){.kind = NX_COND_FILTER, .filter = &f[1]};
    must[1] = (nx_condition){.kind = NX_COND_FILTER, .filter = own};
    f[0] = (nx_filter){.must = must, .n_must = own ? 2 : 1};
    *out = &f[0];
    return NX_OK;
}

nx_status nx_rights_filter(nx_call *c, const nx_filter *own, const nx_filter **out, nx_error *err)
{
    *out = own;
    return nx_rights_tagged(c) ? both(c, own, true, out, err) : NX_OK;
}

nx_status nx_rights_change_filter(nx_call *c, const nx_filter *own, const nx_filter **out,
                                  nx_error *err)
{
    *out = own;
    return nx_rights_tagged(c) ? both(c, own, false, out, err) : NX_OK;
}

/* ---- Tags of what is written ---- */

static bool is_own_tag(const nx_key_bounds *b, nx_value v)
{
    return nx_value_kind_of(v) == NX_VALUE_TEXT &&
           nx_key_bounds_has(b, NX_KEY_TAGS, nx_value_text(v));
}

nx_status nx_rights_payload(const nx_call *c, nx_value payload, nx_error *err)
{
    const nx_key_bounds *b = bounds_of(c);
    nx_value tags = payload.n ? nx_value_member(payload, NX_STR(NX_ACCESS_TAGS)) : (nx_value){0};
    bool     fits = false;
    nx_str   key;
    nx_value item;

    if (!nx_rights_tagged(c)) return NX_OK;
    if (tags.n && nx_value_kind_of(tags) == NX_VALUE_ARRAY) {
        nx_value_iter it = nx_value_each(tags);
        fits = nx_value_count(tags) > 0;
        while (nx_value_next(&it, &key, &item)) fits = fits && is_own_tag(b, item);
    } else {
        fits = tags.n && is_own_tag(b, tags);
    }
    if (fits) return NX_OK;
    return nx_fail(err, NX_EINVAL,
                   "this key is bound to access tags: what it writes needs \"" NX_ACCESS_TAGS
                   "\" in its payload, with tags of the key alone");
}
