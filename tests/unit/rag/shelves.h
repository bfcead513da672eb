/* shelves.h - for tests: a store, blobs and the small embedding model in a folder of their own; and whether
 * everything on a shelf is as it must be. SHELVES_FAIL may be another way to fail than cmocka's. */
#ifndef TESTS_SHELVES_H
#define TESTS_SHELVES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef SHELVES_FAIL
#include <cmocka.h>
#define SHELVES_FAIL fail_msg
#endif

#include "base/alloc.h"
#include "lib/backends.h"
#include "os/dir.h"
#include "rag/fields.h"
#include "rag/shelf.h"

#define SHELF_MODEL NX_SOURCE_DIR "/models/all-minilm-l6-v2.gguf"

typedef struct shelves {
    char         dir[256];
    nx_store    *store;
    nx_blobs    *blobs;
    nx_shelf    *s;
    nx_embedder *e;
} shelves;

static inline nx_embedder *shelves_model(void)
{
    nx_backend  *be;
    nx_llm      *llm;
    nx_embedder *e = NULL;
    nx_error     err;

    if (nx_backends_create(&be, 2, NX_PRECISION_CODES, &err) ||
        nx_llm_open(&llm, SHELF_MODEL, be, &err) || nx_embedder_open(&e, llm, NULL, &err))
        SHELVES_FAIL("%s", err.text);
    return e;
}

static inline nx_shelf_settings shelves_settings(void)
{
    return (nx_shelf_settings){.model = NX_STR("minilm"),
                               .dim = 384,
                               .chunking = {.size = 64, .overlap = 8, .limit = 256},
                               .language = NX_STR("english")};
}

static inline void shelves_open_store(shelves *x)
{
    nx_store_options opt = {.background = true};
    char             path[300];
    nx_error         err;

    if (nx_backends_distances(&opt.distances, &err)) SHELVES_FAIL("%s", err.text);
    snprintf(path, sizeof path, "%s/store", x->dir);
    if (nx_store_open(&x->store, path, &opt, &err)) SHELVES_FAIL("%s", err.text);
    snprintf(path, sizeof path, "%s/blobs", x->dir);
    if (nx_blobs_open(&x->blobs, path, &err)) SHELVES_FAIL("%s", err.text);
}

static inline void shelves_open_shelf(shelves *x)
{
    nx_shelf_settings set = shelves_settings();
    nx_error          err;

    if (nx_shelf_open(&x->s, x->store, x->blobs, NX_STR("docs"), &set, &err))
        SHELVES_FAIL("%s", err.text);
}

static inline void shelves_close_store(shelves *x)
{
    nx_shelf_close(x->s);
    nx_store_close(x->store);
    nx_blobs_close(x->blobs);
    x->s = NULL;
}

static inline void shelves_open(shelves *x, nx_embedder *e)
{
    *x = (shelves){.e = e};
    snprintf(x->dir, sizeof x->dir, "/tmp/nx_shelf_XXXXXX");
    if (!mkdtemp(x->dir)) SHELVES_FAIL("%s can't be made", x->dir);
    shelves_open_store(x);
    shelves_open_shelf(x);
}

static inline void shelves_close(shelves *x)
{
    nx_error err;

    shelves_close_store(x);
    if (nx_dir_remove_all(x->dir, &err)) SHELVES_FAIL("%s", err.text);
}

/* All vectors that are missing. */
static inline uint64_t shelves_embed(shelves *x, int32_t max)
{
    uint64_t all = 0;
    int32_t  n = 1;
    nx_error err;

    while (n > 0) {
        if (nx_shelf_embed(x->s, x->e, max, NULL, &n, &err)) SHELVES_FAIL("%s", err.text);
        all += (uint64_t)n;
    }
    return all;
}

/* ---- Is everything as it must be? ---- */

typedef struct shelf_seen {
    uint64_t n_documents, n_chunks, n_vectors;
} shelf_seen;

typedef struct shelf_span {
    uint64_t chunk_id, begin, end;
} shelf_span;

static inline int shelf_by_chunk_id(const void *pa, const void *pb)
{
    const shelf_span *a = pa, *b = pb;

    return a->chunk_id < b->chunk_id ? -1 : a->chunk_id > b->chunk_id;
}

static inline nx_point_id *shelves_ids(nx_snapshot *snap, const nx_filter *f, size_t *n)
{
    size_t       max = nx_snapshot_count(snap) + 1;
    nx_point_id *ids = calloc(max, sizeof *ids);
    nx_error     err;

    if (nx_snapshot_scroll(snap, ids, n, max, NULL, f, &err)) SHELVES_FAIL("%s", err.text);
    return ids;
}

/* A document's chunks: numbered without a gap, no two alike, each the bytes of its place; all of them there, and
 * "ready" only with every vector. Returns how many there are; *vectors: how many have one. */
static inline size_t shelves_check_document(shelves *x, nx_snapshot *snap, const nx_document *doc,
                                            uint64_t *vectors)
{
    nx_arena         a = {0};
    nx_point_copy    copy = {0};
    const nx_filter *f;
    nx_buf           bytes = {.max = (size_t)1 << 30};
    size_t           n = 0;
    nx_error         err;

    *vectors = 0;
    if (doc->n_chunks) {
        const char *name = doc->text_sha256[0] ? doc->text_sha256 : doc->sha256;
        if (nx_blobs_read(x->blobs, &bytes, name, 0, UINT64_MAX, NULL, &err))
            SHELVES_FAIL("%.*s: %s", (int)doc->source.len, doc->source.p, err.text);
    }
    if (nx_shelf_filter_chunks(&a, &doc->id, NULL, &f, &err)) SHELVES_FAIL("%s", err.text);
    nx_point_id *ids = shelves_ids(snap, f, &n);
    shelf_span  *spans = calloc(n + 1, sizeof *spans);
    for (size_t i = 0; i < n; i++) {
        nx_chunk_view v;
        if (nx_snapshot_get(snap, &copy, ids[i], &err) ||
            nx_chunk_view_read(&v, ids[i], copy.point.payload, &err))
            SHELVES_FAIL("%s", err.text);
        for (int32_t k = 0; k < copy.point.n_vectors; k++)
            *vectors += copy.point.vectors[k].slot == nx_shelf_dense(x->s);
        spans[i] = (shelf_span){v.chunk_id, v.start_pos, v.end_pos};
        if (v.end_pos > bytes.len || v.end_pos - v.start_pos != v.text.len ||
            memcmp(bytes.data + v.start_pos, v.text.p, v.text.len) != 0)
            SHELVES_FAIL("%.*s: chunk %d isn't bytes %d to %d", (int)doc->source.len, doc->source.p,
                         (int)v.chunk_id, (int)v.start_pos, (int)v.end_pos);
    }
    qsort(spans, n, sizeof *spans, shelf_by_chunk_id);
    for (size_t i = 0; i < n; i++)
        if (spans[i].chunk_id != i || (i > 0 && spans[i].begin <= spans[i - 1].begin))
            SHELVES_FAIL("%.*s: chunk %d stands at place %d", (int)doc->source.len, doc->source.p,
                         (int)spans[i].chunk_id, (int)i);
    if (n != doc->n_chunks)
        SHELVES_FAIL("%.*s: %d chunks, its record says %d", (int)doc->source.len, doc->source.p,
                     (int)n, (int)doc->n_chunks);
    if (doc->state == NX_DOCUMENT_READY && *vectors != n)
        SHELVES_FAIL("%.*s is ready with %d of %d vectors", (int)doc->source.len, doc->source.p,
                     (int)*vectors, (int)n);
    free(spans);
    free(ids);
    nx_buf_free(&bytes);
    nx_arena_free(&a);
    nx_point_copy_free(&copy);
    return n;
}

/* Every document, and that there is no chunk beside theirs. */
static inline shelf_seen shelves_check(shelves *x)
{
    nx_arena         a = {0};
    nx_point_copy    copy = {0};
    const nx_filter *f;
    shelf_seen       seen = {0};
    size_t           n = 0, n_all = 0;
    nx_error         err;
    nx_snapshot     *snap = nx_snapshot_take(nx_shelf_collection(x->s));

    if (nx_shelf_filter_documents(&a, NULL, &f, &err)) SHELVES_FAIL("%s", err.text);
    nx_point_id *ids = shelves_ids(snap, f, &n);
    for (size_t i = 0; i < n; i++) {
        nx_document doc;
        uint64_t    vectors;
        if (nx_shelf_get(x->s, snap, &doc, &copy, ids[i], NULL, &err)) SHELVES_FAIL("%s", err.text);
        seen.n_chunks += shelves_check_document(x, snap, &doc, &vectors);
        seen.n_vectors += vectors;
    }
    seen.n_documents = n;
    if (nx_shelf_filter_chunks(&a, NULL, NULL, &f, &err)) SHELVES_FAIL("%s", err.text);
    nx_point_id *all = shelves_ids(snap, f, &n_all);
    if (n_all != seen.n_chunks)
        SHELVES_FAIL("%d chunks, and documents have %d: orphans", (int)n_all, (int)seen.n_chunks);
    free(all);
    free(ids);
    nx_snapshot_release(snap);
    nx_point_copy_free(&copy);
    nx_arena_free(&a);
    return seen;
}

#endif
