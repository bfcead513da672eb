/* shelf_embed.c - the vectors that are missing: found, made in batches, written with what they finish.
 *
 * Idea:  documents that wait for vectors are taken in the order of their coming, until their chunks fill a
 *        batch. Payload indexes and the bits of the vectors that are there find those chunks: nothing else is
 *        read. One record brings a batch's vectors, and the state of the documents that it finishes.
 * Races: a chunk that went meanwhile is not there, so its vector goes nowhere. A document that was replaced
 *        meanwhile has another time of indexing, so that it isn't called ready.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "rag/shelf_in.h"

enum { DOCUMENTS_AT_ONCE = 4096, ROUNDS_MAX = 1000 };

typedef struct waiting {
    nx_point_id id;
    nx_str      indexed_at; /* in arena: which version it is */
    uint64_t    n;          /* chunks that may lack a vector */
} waiting;

typedef struct piece {
    nx_point_id id;
    size_t      at, len; /* in texts */
    int32_t     n_tokens;
} piece;

typedef struct batch {
    nx_shelf          *s;
    nx_embedder       *e;
    const atomic_bool *cancel;
    nx_error          *err;
    nx_snapshot       *snap;
    nx_arena           a;

    waiting     *docs; /* [n_docs] */
    size_t       n_docs;
    size_t       first;    /* where in the shelf's list they begin */
    bool         finishes; /* every chunk that they lack is in this batch */
    nx_point_id *ids;      /* [n] */
    size_t       n, max;

    piece *pieces; /* [n_pieces], by length */
    size_t n_pieces;
    nx_buf texts;
    float *vectors; /* [n_pieces, dim] */
} batch;

static void batch_free(batch *b)
{
    nx_snapshot_release(b->snap);
    nx_arena_free(&b->a);
    nx_free(b->docs);
    nx_free(b->ids);
    nx_free(b->pieces);
    nx_buf_free(&b->texts);
    nx_free(b->vectors);
}

/* ---- Which ---- */

/* The list of those that wait is made anew when it is at its end: who came since came later. */
static nx_status list_waiting(batch *b, bool *anew)
{
    nx_shelf *s = b->s;

    *anew = s->next_waiting >= s->n_waiting;
    if (!*anew) return NX_OK;
    nx_free(s->waiting);
    s->waiting = NULL;
    s->next_waiting = s->n_waiting = 0;
    return nx_shelf_in_state(b->snap, &s->waiting, &s->n_waiting, NX_DOCUMENT_WORDS, b->err);
}

/* *waits: it still does. */
static nx_status read_waiting(batch *b, waiting *w, bool *waits, nx_point_copy *copy,
                              nx_point_id id)
{
    nx_document doc;
    nx_error    inner = {0};
    nx_status   st = nx_shelf_get(b->s, b->snap, &doc, copy, id, NULL, &inner);

    *waits = !st && doc.state == NX_DOCUMENT_WORDS;
    if (st == NX_ENOENT) return NX_OK;
    if (st) return nx_fail(b->err, st, "%s", inner.text);
    if (!*waits) return NX_OK;
    nx_str at = nx_field_text(doc.payload, "indexed_at");
    char  *text = nx_arena_strndup(&b->a, at.p, at.len);
    if (!text) return nx_fail(b->err, NX_ENOMEM, "a batch of chunks");
    *w = (waiting){id, {text, at.len}, nx_field_uint(doc.payload, "n_waiting")};
    if (!w->n) w->n = doc.n_chunks;
    return NX_OK;
}

/* As many of the list as fill the batch, and one at least. */
static nx_status take_documents(batch *b, size_t most)
{
    nx_shelf     *s = b->s;
    nx_point_copy copy = {0};
    uint64_t      sum = 0;
    nx_status     st = NX_OK;

    b->first = s->next_waiting;
    for (size_t i = b->first; !st && i < s->n_waiting && b->n_docs < most; i++) {
        bool waits;
        st = read_waiting(b, &b->docs[b->n_docs], &waits, &copy, s->waiting[i]);
        if (st || (waits && b->n_docs > 0 && sum + b->docs[b->n_docs].n > b->max)) break;
        s->next_waiting = i + 1;
        if (waits) sum += b->docs[b->n_docs++].n;
    }
    nx_point_copy_free(&copy);
    return st;
}

static nx_status choose_documents(batch *b)
{
    size_t    most = b->max < DOCUMENTS_AT_ONCE ? b->max : DOCUMENTS_AT_ONCE;
    bool      anew = false;
    nx_status st = NX_OK;

    b->docs = nx_calloc(most, sizeof *b->docs);
    if (!b->docs) return nx_fail(b->err, NX_ENOMEM, "a batch of chunks");
    while (!st && b->n_docs == 0 && !anew) {
        st = list_waiting(b, &anew);
        if (!st) st = take_documents(b, most);
    }
    return st;
}

static nx_status one_of_them(batch *b, nx_condition *out)
{
    nx_point_id *ids = nx_arena_alloc(&b->a, b->n_docs, sizeof *ids);

    if (!ids) return nx_fail(b->err, NX_ENOMEM, "a filter");
    for (size_t i = 0; i < b->n_docs; i++) ids[i] = b->docs[i].id;
    return nx_shelf_condition_documents(&b->a, out, ids, b->n_docs, b->err);
}

/* Chunks without a vector: of those documents, or, where there are none, of any: a version that couldn't be
 * replaced lacks some, perhaps. */
static nx_status choose_chunks(batch *b)
{
    nx_condition     has = {.kind = NX_COND_VECTOR, .slot = b->s->dense}, c[2];
    nx_filter        lacks = {.must_not = &has, .n_must_not = 1}, own = {.must = c, .n_must = 1};
    const nx_filter *f;
    nx_status        st = NX_OK;

    c[0] = (nx_condition){.kind = NX_COND_FILTER, .filter = &lacks}; /* the soonest told */
    if (b->n_docs) st = one_of_them(b, &c[own.n_must++]);
    if (!st) st = nx_shelf_filter_chunks(&b->a, NULL, &own, &f, b->err);
    if (!st && !b->ids) b->ids = nx_alloc(b->max + 1, sizeof *b->ids);
    if (!st && !b->ids) st = nx_fail(b->err, NX_ENOMEM, "a batch of chunks");
    if (!st) st = nx_snapshot_scroll(b->snap, b->ids, &b->n, b->max + 1, NULL, f, b->err);
    b->finishes = b->n <= b->max;
    if (!b->finishes) b->n = b->max;
    return st;
}

/* ---- Their vectors ---- */

static int by_length(const void *pa, const void *pb)
{
    const piece *a = pa, *b = pb;

    if (a->n_tokens != b->n_tokens) return a->n_tokens < b->n_tokens ? -1 : 1;
    return nx_id_compare(a->id, b->id);
}

static nx_status read_texts(batch *b)
{
    nx_point_copy copy = {0};
    nx_status     st = NX_OK;

    b->texts.max = (size_t)1 << 30;
    b->pieces = nx_alloc(b->n, sizeof *b->pieces);
    if (!b->pieces) return nx_fail(b->err, NX_ENOMEM, "a batch of chunks");
    for (size_t i = 0; !st && i < b->n; i++) {
        nx_chunk_view v;
        size_t        at = b->texts.len;
        st = nx_snapshot_get(b->snap, &copy, b->ids[i], b->err);
        if (!st) st = nx_chunk_view_read(&v, b->ids[i], copy.point.payload, b->err);
        if (!st) st = nx_chunk_view_text(&b->texts, &v, b->err);
        if (!st) b->pieces[b->n_pieces++] = (piece){b->ids[i], at, b->texts.len - at, v.n_tokens};
    }
    nx_point_copy_free(&copy);
    if (b->n_pieces > 1) qsort(b->pieces, b->n_pieces, sizeof *b->pieces, by_length);
    return st;
}

/* A text of which the model makes no token would stop all others: it is embedded as a dash. */
static nx_status embed(batch *b, nx_embed_text *texts, const nx_embed_options *opt)
{
    nx_embed_report report;
    nx_error        inner = {0};
    nx_status       st;

    for (size_t tries = 0;; tries++) {
        st = nx_embedder_run(b->e, b->vectors, texts, (int32_t)b->n_pieces, opt, &report, &inner);
        if (st != NX_EINVAL || report.failed < 0 || tries == b->n_pieces) break;
        texts[report.failed].text = NX_STR("-");
    }
    if (st && b->err) *b->err = inner;
    return st;
}

static nx_status run(batch *b)
{
    size_t           dim = (size_t)nx_embedder_dims(b->e);
    nx_embed_text   *texts = nx_calloc(b->n_pieces, sizeof *texts);
    nx_embed_options opt;
    nx_status        st = NX_OK;

    b->vectors = nx_calloc(b->n_pieces, dim * sizeof *b->vectors);
    if (!texts || !b->vectors) st = nx_fail(b->err, NX_ENOMEM, "%zu vectors", b->n_pieces);
    nx_embed_options_default(&opt);
    opt.long_texts = NX_LONG_WINDOWS;
    opt.input_type = NX_INPUT_PASSAGE;
    opt.cancel = b->cancel;
    for (size_t i = 0; !st && i < b->n_pieces; i++)
        texts[i].text = (nx_str){b->texts.data + b->pieces[i].at, b->pieces[i].len};
    if (!st) st = embed(b, texts, &opt);
    nx_free(texts);
    return st;
}

/* ---- Into the log ---- */

/* The document is ready, if it is still that version. */
static nx_status add_ready(batch *b, nx_writes *w, nx_value ready, const waiting *doc)
{
    nx_filter    *f = nx_arena_alloc(&b->a, 1, sizeof *f);
    nx_condition *c = nx_arena_alloc(&b->a, 2, sizeof *c);

    if (!f || !c) return nx_fail(b->err, NX_ENOMEM, "a filter");
    *f = (nx_filter){.must = c, .n_must = 2};
    nx_status st = nx_shelf_condition(&b->a, &c[0], "state", NX_STR("words"), b->err);
    if (!st) st = nx_shelf_condition(&b->a, &c[1], "indexed_at", doc->indexed_at, b->err);
    if (!st) st = nx_writes_only_if(w, f, b->err);
    return st ? st : nx_writes_set_payload(w, doc->id, ready, (nx_str){0}, b->err);
}

static nx_status ready_payload(nx_buf *out, nx_error *err)
{
    nx_fields f;

    nx_fields_begin(&f, out, err);
    nx_fields_text(&f, "state", nx_str_of(nx_document_state_name(NX_DOCUMENT_READY)));
    nx_fields_null(&f, "n_waiting");
    return nx_fields_end(&f);
}

static nx_status write_batch(batch *b)
{
    nx_writes *w = nx_writes_create(b->s->c);
    nx_buf     ready = {.max = 4096};
    int32_t    dim = nx_embedder_dims(b->e);
    nx_status  st = w ? ready_payload(&ready, b->err) : nx_fail(b->err, NX_ENOMEM, "a request");
    nx_value   v = nx_shelf_value_of(&ready);

    for (size_t i = 0; !st && i < b->n_pieces; i++) {
        const nx_vector vector = {.slot = b->s->dense,
                                  .form = NX_FORM_DENSE,
                                  .n = dim,
                                  .values = b->vectors + i * (size_t)dim};
        const nx_point  p = {.id = b->pieces[i].id, .vectors = &vector, .n_vectors = 1};
        st = nx_writes_update_vectors(w, &p, b->err);
    }
    for (size_t i = 0; !st && b->finishes && i < b->n_docs; i++)
        st = add_ready(b, w, v, &b->docs[i]);
    if (!st) st = nx_collection_write(b->s->c, w, true, NULL, b->err);
    nx_writes_destroy(w);
    nx_buf_free(&ready);
    return st;
}

/* ---- One batch ---- */

/* What isn't finished is taken again: after an error, or where it was too much for one batch. */
static nx_status make_batch(batch *b)
{
    nx_status st;

    b->snap = nx_snapshot_take(b->s->c);
    st = choose_documents(b);
    if (!st) st = choose_chunks(b);
    if (!st && b->n == 0 && b->n_docs == 0) return NX_OK;
    if (!st) st = read_texts(b);
    if (!st && b->n_pieces) st = run(b);
    if (!st) st = write_batch(b);
    if (st || !b->finishes) b->s->next_waiting = b->first;
    return st;
}

static nx_status check_dims(const nx_shelf *s, const nx_embedder *e, nx_error *err)
{
    const nx_slot *slot = &nx_collection_config(s->c)->slots[s->dense];

    if (nx_embedder_dims(e) == slot->dim) return NX_OK;
    return nx_fail(err, NX_EINVAL, "the model makes vectors of %d numbers, the collection has %d",
                   nx_embedder_dims(e), slot->dim);
}

nx_status nx_shelf_embed(nx_shelf *s, nx_embedder *e, int32_t max, const atomic_bool *cancel,
                         int32_t *n, nx_error *err)
{
    nx_status st = check_dims(s, e, err);
    bool      more = true;

    *n = 0;
    if (!st && max < 1) st = nx_fail(err, NX_EINVAL, "a batch of %d chunks", max);
    if (st) return st;
    pthread_mutex_lock(&s->embedding);
    for (int i = 0; !st && more && *n == 0 && i < ROUNDS_MAX; i++) {
        batch b = {.s = s, .e = e, .cancel = cancel, .err = err, .max = (size_t)max};
        st = make_batch(&b);
        if (!st) *n = (int32_t)b.n_pieces;
        more = b.n_docs > 0; /* documents that lacked nothing are ready now: the next ones */
        batch_free(&b);
    }
    pthread_mutex_unlock(&s->embedding);
    return st;
}
