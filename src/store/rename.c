/* rename.c - aliases changed and listed; all changes of a call take effect together. */
#include <string.h>

#include "base/alloc.h"
#include "store/store_in.h"

typedef struct renaming {
    nx_store      *s;
    nx_alias_pair *pairs; /* room for one more of each change */
    size_t         n;
    nx_error      *err;
} renaming;

static size_t place_in(const renaming *r, nx_str alias)
{
    size_t i = 0;

    while (i < r->n && !nx_str_eq(r->pairs[i].alias, alias)) i++;
    return i;
}

static nx_status check_name(const renaming *r, nx_str alias)
{
    char      folder[NX_FOLDER_MAX + 1];
    bool      found;
    nx_status st = nx_folder_of(folder, alias, r->err);

    if (st) return st;
    nx_store_place(r->s, alias, &found);
    if (found)
        return nx_fail(r->err, NX_EBUSY, "Collection `%.*s` already exists!", (int)alias.len,
                       alias.p);
    for (const nx_coming *x = r->s->coming; x; x = x->next)
        if (nx_str_eq(x->name, alias))
            return nx_fail(r->err, NX_EBUSY, "Collection `%.*s` is being restored", (int)alias.len,
                           alias.p);
    return NX_OK;
}

static nx_status point_to(renaming *r, nx_str alias, nx_str collection)
{
    size_t    at = place_in(r, alias);
    nx_status st = check_name(r, alias);

    if (st) return st;
    r->pairs[at] = (nx_alias_pair){alias, collection};
    r->n += at == r->n;
    return NX_OK;
}

static void forget(renaming *r, size_t at)
{
    if (at < r->n) r->pairs[at] = r->pairs[--r->n];
}

static nx_status rename_one(renaming *r, nx_str from, nx_str to)
{
    size_t at = place_in(r, from);

    if (at == r->n)
        return nx_fail(r->err, NX_ENOENT, "Alias %.*s does not exists!",
                       (int)(from.len < 300 ? from.len : 300), from.p);
    nx_str collection = r->pairs[at].collection;
    forget(r, at);
    return point_to(r, to, collection);
}

static nx_status apply(renaming *r, const nx_alias_change *x)
{
    bool found;

    switch (x->kind) {
    case NX_ALIAS_DELETE: forget(r, place_in(r, x->alias)); return NX_OK;
    case NX_ALIAS_RENAME: return rename_one(r, x->alias, x->to);
    case NX_ALIAS_CREATE: break;
    }
    nx_store_place(r->s, x->to, &found);
    return found ? point_to(r, x->alias, x->to) : nx_store_no_such(x->to, r->err);
}

/* The list as it is, with room for `more`. */
static nx_status begin(renaming *r, size_t more)
{
    const nx_aliases *now = &r->s->aliases;

    if (now->why.status)
        return nx_fail(r->err, NX_EFORMAT,
                       "%s; put a whole one back, or remove it and name them anew", now->why.text);
    r->pairs = nx_alloc(now->n + more + 1, sizeof *r->pairs);
    if (!r->pairs) return nx_fail(r->err, NX_ENOMEM, "a list of aliases");
    for (; r->n < now->n; r->n++)
        r->pairs[r->n] = (nx_alias_pair){nx_str_of(now->list[r->n].alias),
                                         nx_str_of(now->list[r->n].collection)};
    return NX_OK;
}

static void put_in_force(nx_store *s, nx_aliases *next)
{
    pthread_mutex_lock(&s->lock);
    nx_aliases old = s->aliases;
    s->aliases = *next;
    *next = old;
    pthread_mutex_unlock(&s->lock);
}

nx_status nx_store_change_aliases(nx_store *s, const nx_alias_change *changes, size_t n,
                                  nx_error *err)
{
    renaming   r = {.s = s, .err = err};
    nx_aliases next = {0};

    pthread_mutex_lock(&s->change);
    nx_status st = begin(&r, n);
    for (size_t i = 0; !st && i < n; i++) st = apply(&r, &changes[i]);
    if (!st && r.n > NX_ALIASES_MAX)
        st = nx_fail(err, NX_ELIMIT, "%d aliases, and no more", NX_ALIASES_MAX);
    if (!st) st = nx_aliases_make(&next, r.pairs, r.n, err);
    if (!st) st = nx_aliases_save(&next, s->disk, s->dir, err);
    if (!st) put_in_force(s, &next);
    pthread_mutex_unlock(&s->change);
    nx_aliases_free(&next);
    nx_free(r.pairs);
    return st;
}

nx_status nx_store_list_aliases(nx_store *s, nx_alias **out, size_t *n, nx_error *err)
{
    nx_aliases copy = {0};
    renaming   r = {.s = s, .err = err};

    *out = NULL;
    *n = 0;
    pthread_mutex_lock(&s->lock);
    nx_status st = begin(&r, 0);
    if (!st) st = nx_aliases_make(&copy, r.pairs, r.n, err);
    pthread_mutex_unlock(&s->lock);
    nx_free(r.pairs);
    if (st) return st;
    *out = copy.list;
    *n = copy.n;
    return NX_OK;
}
