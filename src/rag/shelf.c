/* shelf.c - a collection opened or made as a shelf; its settings; locks of documents. */
#include "rag/shelf_in.h"

#include <string.h>

#include "base/alloc.h"
#include "net/digest.h"
#include "os/clock.h"

enum { LOCKS = 64, MODEL_NAME_MAX = 1024, LANGUAGE_MAX = 64 };

static const nx_point_id settings_id = {0x5000, 0x8000000000000000u, 1};

/* ---- Locks of documents ---- */

static pthread_once_t  locks_once = PTHREAD_ONCE_INIT;
static pthread_mutex_t locks[LOCKS];

static void make_locks(void)
{
    for (int i = 0; i < LOCKS; i++) pthread_mutex_init(&locks[i], NULL);
}

static pthread_mutex_t *lock_of(nx_point_id doc)
{
    pthread_once(&locks_once, make_locks);
    return &locks[doc.lo % LOCKS];
}

void nx_shelf_lock(nx_point_id doc)
{
    pthread_mutex_lock(lock_of(doc));
}

bool nx_shelf_try_lock(nx_point_id doc)
{
    return pthread_mutex_trylock(lock_of(doc)) == 0;
}

void nx_shelf_unlock(nx_point_id doc)
{
    pthread_mutex_unlock(lock_of(doc));
}

void nx_shelf_lock_all(void)
{
    pthread_once(&locks_once, make_locks);
    for (int i = 0; i < LOCKS; i++) pthread_mutex_lock(&locks[i]);
}

void nx_shelf_unlock_all(void)
{
    for (int i = LOCKS; i-- > 0;) pthread_mutex_unlock(&locks[i]);
}

int64_t nx_shelf_now_us(void)
{
    static _Atomic int64_t last;
    int64_t                now = nx_clock_unix_ms() * 1000, before = atomic_load(&last), next;

    do next = now > before ? now : before + 1;
    while (!atomic_compare_exchange_weak(&last, &before, next));
    return next;
}

/* ---- Ids ---- */

static uint64_t half_of(const char *hex)
{
    uint64_t x = 0;

    for (int i = 0; i < 16; i++)
        x = x << 4 | (uint64_t)(hex[i] <= '9' ? hex[i] - '0' : hex[i] - 'a' + 10);
    return x;
}

nx_status nx_shelf_uuid(nx_point_id *out, const nx_str *parts, size_t n, nx_error *err)
{
    char      hex[NX_DIGEST_HEX_MAX];
    nx_digest d = {0};
    nx_status st = nx_digest_begin(&d, NX_DIGEST_SHA256, err);

    *out = (nx_point_id){0};
    if (st) return st;
    for (size_t i = 0; i < n; i++) {
        uint64_t len = parts[i].len;
        nx_digest_add(&d, &len, sizeof len);
        if (len) nx_digest_add(&d, parts[i].p, len);
    }
    nx_digest_end(&d, hex);
    /* Version 8 and variant 2 of RFC 9562: bits that mean what their maker says. */
    out->hi = (half_of(hex) & ~(uint64_t)0xF000) | 0x8000;
    out->lo = (half_of(hex + 16) & ~((uint64_t)3 << 62)) | (uint64_t)2 << 62;
    out->is_uuid = 1;
    return NX_OK;
}

/* ---- Rules ---- */

static const char *unit_name(nx_chunk_unit unit)
{
    return unit == NX_CHUNK_CHARS ? "characters" : "tokens";
}

static nx_status write_chunking(nx_buf *b, const nx_chunk_options *o, nx_error *err)
{
    nx_fields f;

    nx_fields_begin(&f, b, err);
    nx_fields_text(&f, "unit", nx_str_of(unit_name(o->unit)));
    nx_fields_int(&f, "size", o->size);
    nx_fields_int(&f, "overlap", o->overlap);
    nx_fields_int(&f, "limit", o->limit);
    return nx_fields_end(&f);
}

static nx_status write_settings(nx_buf *b, const nx_shelf_settings *s, nx_error *err)
{
    nx_buf    chunking = {.max = 4096};
    nx_fields f;
    nx_status st = write_chunking(&chunking, &s->chunking, err);

    if (!st) {
        nx_fields_begin(&f, b, err);
        nx_fields_text(&f, "kind", NX_STR("settings"));
        nx_fields_text(&f, "model", s->model);
        nx_fields_int(&f, "dim", s->dim);
        nx_fields_value(&f, "chunking", nx_shelf_value_of(&chunking));
        nx_fields_text(&f, "language", s->language);
        nx_fields_text(&f, "template", s->template);
        st = nx_fields_end(&f);
    }
    nx_buf_free(&chunking);
    return st;
}

static void read_settings(nx_shelf_settings *out, nx_value v)
{
    nx_value c = nx_value_member(v, NX_STR("chunking"));

    *out = (nx_shelf_settings){.model = nx_field_text(v, "model"),
                               .dim = nx_field_i32(v, "dim"),
                               .language = nx_field_text(v, "language"),
                               .template = nx_field_text(v, "template")};
    out->chunking.unit = nx_str_eq(nx_field_text(c, "unit"), nx_str_of(unit_name(NX_CHUNK_CHARS)))
                             ? NX_CHUNK_CHARS
                             : NX_CHUNK_TOKENS;
    out->chunking.size = nx_field_i32(c, "size");
    out->chunking.overlap = nx_field_i32(c, "overlap");
    out->chunking.limit = nx_field_i32(c, "limit");
}

static void rules_free(nx_shelf_rules *r)
{
    while (r) {
        nx_shelf_rules *before = r->before;
        nx_buf_free(&r->payload);
        nx_buf_free(&r->cut);
        nx_free(r);
        r = before;
    }
}

/* Everything that decides where chunks begin and end. The number in front grows with each change of how
 * documents are read or cut. */
static nx_status describe_cut(nx_buf *out, const nx_shelf_settings *s, nx_error *err)
{
    const nx_chunk_options *o = &s->chunking;

    return nx_buf_addf(out, err, "1: %d %s, overlap %d, limit %d, %.*s", o->size,
                       unit_name(o->unit), o->overlap, o->limit, (int)s->model.len, s->model.p);
}

/* From a settings' payload, which is copied. */
static nx_status rules_make(nx_shelf_rules **out, nx_value payload, nx_error *err)
{
    nx_shelf_rules *r = nx_calloc(1, sizeof *r);

    *out = NULL;
    if (!r) return nx_fail(err, NX_ENOMEM, "settings");
    r->payload.max = r->cut.max = NX_PAYLOAD_MAX;
    nx_status st = nx_buf_add(&r->payload, payload.p, payload.n, err);
    if (!st) read_settings(&r->settings, nx_shelf_value_of(&r->payload));
    if (!st) st = describe_cut(&r->cut, &r->settings, err);
    if (st)
        rules_free(r);
    else
        *out = r;
    return st;
}

static nx_status rules_write(nx_shelf_rules **out, nx_shelf *s, const nx_shelf_settings *to,
                             nx_error *err)
{
    nx_buf     b = {.max = NX_PAYLOAD_MAX};
    nx_writes *w = nx_writes_create(s->c);
    nx_status  st = w ? write_settings(&b, to, err) : nx_fail(err, NX_ENOMEM, "settings");
    nx_point   p = {.id = settings_id};

    *out = NULL;
    p.payload = nx_shelf_value_of(&b);
    if (!st) st = nx_writes_put(w, &p, NX_PUT, err);
    if (!st) st = rules_make(out, p.payload, err);
    if (!st) {
        st = nx_collection_write(s->c, w, true, NULL, err);
        if (st) {
            rules_free(*out);
            *out = NULL;
        }
    }
    nx_writes_destroy(w);
    nx_buf_free(&b);
    return st;
}

/* What the settings' point says; where there is none: *out NULL. */
static nx_status rules_read(nx_shelf_rules **out, nx_shelf *s, nx_error *err)
{
    nx_snapshot  *snap = nx_snapshot_take(s->c);
    nx_point_copy copy = {0};
    nx_error      inner;
    nx_status     st = nx_snapshot_get(snap, &copy, settings_id, &inner);

    *out = NULL;
    if (!st) st = rules_make(out, copy.point.payload, &inner);
    nx_point_copy_free(&copy);
    nx_snapshot_release(snap);
    if (st == NX_ENOENT) return NX_OK;
    if (st && err) *err = inner;
    return st;
}

/* Where nobody wrote settings: what the slots say, and the usual. */
static nx_shelf_settings plain_settings(const nx_shelf *s)
{
    const nx_slot *slot = &nx_collection_config(s->c)->slots[s->dense];

    return (nx_shelf_settings){.model = slot->model,
                               .dim = slot->dim,
                               .chunking = {.limit = 256},
                               .language = NX_STR("english")};
}

static nx_status rules_begin(nx_shelf *s, const nx_shelf_settings *settings, nx_error *err)
{
    nx_shelf_rules   *r = NULL;
    nx_shelf_settings plain = plain_settings(s);
    nx_buf            b = {.max = NX_PAYLOAD_MAX};
    nx_status         st = rules_read(&r, s, err);

    if (!st && !r && settings) {
        st = rules_write(&r, s, settings, err);
    } else if (!st && !r) {
        st = write_settings(&b, &plain, err);
        if (!st) st = rules_make(&r, nx_shelf_value_of(&b), err);
    }
    nx_buf_free(&b);
    if (!st) atomic_store(&s->rules, r);
    return st;
}

static nx_status rules_change(nx_shelf *s, const nx_shelf_settings *to, nx_error *err)
{
    nx_shelf_rules *r;
    nx_status       st = rules_write(&r, s, to, err);

    if (st) return st;
    r->before = atomic_load(&s->rules);
    atomic_store(&s->rules, r);
    return NX_OK;
}

/* ---- The collection ---- */

static int32_t find_slot(const nx_config *c, nx_str name)
{
    for (int32_t i = 0; i < c->n_slots; i++)
        if (nx_str_eq(c->slots[i].name, name)) return i;
    return -1;
}

bool nx_shelf_is_made_of_documents(const nx_config *c)
{
    int32_t dense = find_slot(c, NX_STR(NX_SHELF_DENSE)),
            words = find_slot(c, NX_STR(NX_SHELF_WORDS));

    return dense >= 0 && words >= 0 && c->slots[dense].form == NX_FORM_DENSE &&
           c->slots[words].form == NX_FORM_SPARSE;
}

static nx_status find_slots(nx_shelf *s, nx_error *err)
{
    const nx_config *c = nx_collection_config(s->c);
    nx_str           name = nx_collection_name(s->c);

    s->dense = find_slot(c, NX_STR(NX_SHELF_DENSE));
    s->words = find_slot(c, NX_STR(NX_SHELF_WORDS));
    if (nx_shelf_is_made_of_documents(c)) return NX_OK;
    return nx_fail(err, NX_EUNSUPPORTED,
                   "collection %.*s is not made of documents: it has no vectors named \"%s\" "
                   "(dense) and \"%s\" (sparse)",
                   (int)name.len, name.p, NX_SHELF_DENSE, NX_SHELF_WORDS);
}

static nx_status check_model(const nx_shelf *s, const nx_shelf_settings *want, nx_error *err)
{
    const nx_slot *slot = &nx_collection_config(s->c)->slots[s->dense];
    nx_str         name = nx_collection_name(s->c);

    if (slot->dim == want->dim && nx_str_eq(slot->model, want->model)) return NX_OK;
    return nx_fail(err, NX_EINVAL,
                   "collection %.*s was embedded with %.*s (%d numbers), not with %.*s (%d): use "
                   "that model, or move it to this one with `nexus reindex --model`",
                   (int)name.len, name.p, (int)slot->model.len, slot->model.p, slot->dim,
                   (int)want->model.len, want->model.p, want->dim);
}

static nx_status check_settings(const nx_shelf_settings *s, nx_error *err)
{
    if (s->model.len == 0 || s->model.len > MODEL_NAME_MAX || s->dim < 1 || s->dim > NX_DIM_MAX)
        return nx_fail(err, NX_EINVAL, "an embedding model of %zu letters and %d numbers",
                       s->model.len, s->dim);
    if (s->language.len > LANGUAGE_MAX || s->chunking.limit < 16)
        return nx_fail(err, NX_EINVAL, "the model takes %d tokens, expected 16 or more",
                       s->chunking.limit);
    return NX_OK;
}

static nx_status create(nx_store *store, nx_str name, const nx_shelf_settings *settings,
                        nx_error *err)
{
    nx_config *c = nx_calloc(1, sizeof *c);

    if (!c) return nx_fail(err, NX_ENOMEM, "a collection");
    c->n_slots = 2;
    c->slots[0] = (nx_slot){.name = NX_STR(NX_SHELF_DENSE),
                            .form = NX_FORM_DENSE,
                            .distance = NX_COSINE,
                            .storage = NX_STORE_F16_SQ8,
                            .dim = settings->dim,
                            .model = settings->model};
    c->slots[1] = (nx_slot){.name = NX_STR(NX_SHELF_WORDS), .form = NX_FORM_SPARSE, .idf = true};
    nx_status st = nx_store_create_collection(store, name, c, err);
    nx_free(c);
    return st;
}

/* A crash may have come between the collection and its indexes. */
static nx_status make_indexes(nx_collection *c, nx_error *err)
{
    static const char *const keywords[] = {"kind",  "doc_id",      "source",
                                           "state", "access_tags", "hash"};
    nx_status                st = NX_OK;

    for (size_t i = 0; !st && i < sizeof keywords / sizeof *keywords; i++) {
        const nx_settings  *now = nx_collection_settings(c);
        const nx_index_spec spec = {.path = nx_str_of(keywords[i]), .kind = NX_INDEX_KEYWORD};
        bool                there = nx_settings_index(now, spec.path) != NULL;
        nx_settings_release(now);
        if (!there) st = nx_collection_create_index(c, &spec, err);
    }
    return st;
}

static nx_status find_or_create(nx_collection **out, nx_store *store, nx_str name,
                                const nx_shelf_settings *settings, nx_error *err)
{
    nx_error  inner = {0};
    nx_status st = nx_store_find(out, store, name, &inner);

    if (st == NX_ENOENT && settings) {
        st = check_settings(settings, &inner);
        if (!st) st = create(store, name, settings, &inner);
        if (!st || st == NX_EBUSY) st = nx_store_find(out, store, name, &inner); /* by another */
    }
    if (st && err) *err = inner;
    return st;
}

nx_status nx_shelf_open(nx_shelf **out, nx_store *store, nx_blobs *blobs, nx_str name,
                        const nx_shelf_settings *settings, nx_error *err)
{
    *out = NULL;
    if (settings && nx_shelf_keeps_name(name))
        return nx_fail(err, NX_EINVAL,
                       "%.*s: such a name is kept for a collection that moves to another model",
                       (int)name.len, name.p);
    return nx_shelf_open_any(out, store, blobs, name, settings, err);
}

nx_status nx_shelf_open_any(nx_shelf **out, nx_store *store, nx_blobs *blobs, nx_str name,
                            const nx_shelf_settings *settings, nx_error *err)
{
    nx_shelf *s = nx_calloc(1, sizeof *s);

    *out = NULL;
    if (!s) return nx_fail(err, NX_ENOMEM, "a shelf");
    s->blobs = blobs;
    pthread_mutex_init(&s->change, NULL);
    pthread_mutex_init(&s->embedding, NULL);
    nx_status st = find_or_create(&s->c, store, name, settings, err);
    if (!st) st = find_slots(s, err);
    if (!st && settings) st = check_model(s, settings, err);
    if (!st && settings) st = make_indexes(s->c, err);
    if (!st) st = rules_begin(s, settings, err);
    if (st)
        nx_shelf_close(s);
    else
        *out = s;
    return st;
}

void nx_shelf_close(nx_shelf *s)
{
    if (!s) return;
    rules_free(atomic_load(&s->rules));
    nx_free(s->waiting);
    nx_collection_release(s->c);
    pthread_mutex_destroy(&s->change);
    pthread_mutex_destroy(&s->embedding);
    nx_free(s);
}

nx_collection *nx_shelf_collection(nx_shelf *s)
{
    return s->c;
}

nx_blobs *nx_shelf_blobs(nx_shelf *s)
{
    return s->blobs;
}

const nx_shelf_settings *nx_shelf_get_settings(nx_shelf *s)
{
    return &nx_shelf_rules_now(s)->settings;
}

int32_t nx_shelf_dense(const nx_shelf *s)
{
    return s->dense;
}

int32_t nx_shelf_words(const nx_shelf *s)
{
    return s->words;
}

/* ---- Changes ---- */

nx_status nx_shelf_set_template(nx_shelf *s, nx_str text, nx_error *err)
{
    pthread_mutex_lock(&s->change);
    nx_shelf_settings to = nx_shelf_rules_now(s)->settings;
    to.template = text;
    nx_status st = rules_change(s, &to, err);
    pthread_mutex_unlock(&s->change);
    return st;
}

nx_status nx_shelf_set_chunking(nx_shelf *s, const nx_chunk_options *opt, nx_error *err)
{
    pthread_mutex_lock(&s->change);
    nx_shelf_settings to = nx_shelf_rules_now(s)->settings;
    int32_t           limit = to.chunking.limit;
    to.chunking = *opt;
    if (!opt->limit) to.chunking.limit = limit;
    nx_status st = check_settings(&to, err);
    if (!st && to.chunking.size && to.chunking.overlap >= to.chunking.size)
        st = nx_fail(err, NX_EINVAL, "an overlap of %d with chunks of %d: expected less",
                     to.chunking.overlap, to.chunking.size);
    if (!st && (to.chunking.size < 0 || to.chunking.overlap < 0))
        st = nx_fail(err, NX_EINVAL, "chunks of %d with an overlap of %d", to.chunking.size,
                     to.chunking.overlap);
    if (!st) st = rules_change(s, &to, err);
    pthread_mutex_unlock(&s->change);
    return st;
}
