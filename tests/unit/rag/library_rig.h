/* library_rig.h - a shelf on a disk in memory, with chunks put into it by hand: for tests of what is done with
 * them. Vectors have DIM numbers. */
#ifndef NX_TESTS_RAG_LIBRARY_RIG_H
#define NX_TESTS_RAG_LIBRARY_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../store/plain_distances.h"
#include "../store/sim_disk.h"
#include "rag/fields.h"
#include "rag/retrieve.h"
#include "store/words.h"

enum { DIM = 8 };

typedef struct library {
    sim_disk  disk;
    nx_store *store;
    nx_shelf *shelf;
    nx_error  err;
} library;

/* One chunk. Everything but doc, chunk_id and text may be left out. */
typedef struct slip {
    int          doc, chunk_id;
    nx_str       text;
    uint64_t     start_pos; /* the end is that and the text's length */
    const char  *headings, *tag;
    const float *vector; /* [DIM]; NULL: not there yet */
} slip;

static inline void library_open(library *l)
{
    nx_store_options  opt = {.distances = &plain_distances, .head_bytes_max = 20000};
    nx_shelf_settings settings = {.model = NX_STR("test"),
                                  .dim = DIM,
                                  .chunking = {.limit = 256},
                                  .language = NX_STR("english")};

    memset(l, 0, sizeof *l);
    sim_init(&l->disk);
    opt.disk = &l->disk.base;
    if (nx_store_open(&l->store, "store", &opt, &l->err)) fail_msg("%s", l->err.text);
    if (nx_shelf_open(&l->shelf, l->store, NULL, NX_STR("docs"), &settings, &l->err))
        fail_msg("%s", l->err.text);
}

static inline void library_close(library *l)
{
    nx_shelf_close(l->shelf);
    nx_store_close(l->store);
    sim_free(&l->disk);
}

static inline nx_point_id slip_id(int doc, int chunk_id)
{
    return (nx_point_id){(uint64_t)doc + 1, (uint64_t)chunk_id + 1, 1};
}

static inline void slip_payload(nx_buf *b, const slip *s)
{
    nx_fields f;
    char      doc[NX_ID_TEXT], source[32];
    nx_str    tag = nx_str_of(s->tag);

    snprintf(source, sizeof source, "/docs/%d.txt", s->doc);
    nx_fields_begin(&f, b, NULL);
    nx_fields_text(&f, "kind", NX_STR("chunk"));
    nx_fields_text(&f, "text", s->text);
    nx_fields_text(&f, "doc_id", nx_str_of(nx_id_write(doc, slip_id(s->doc, 1000000))));
    nx_fields_int(&f, "chunk_id", s->chunk_id);
    nx_fields_uint(&f, "start_pos", s->start_pos);
    nx_fields_uint(&f, "end_pos", s->start_pos + s->text.len);
    nx_fields_text(&f, "source", nx_str_of(source));
    nx_fields_text(&f, "path", nx_str_of(s->headings));
    nx_fields_text(&f, "origin", NX_STR("file"));
    if (s->tag) nx_fields_texts(&f, "access_tags", &tag, 1);
    assert_int_equal(nx_fields_end(&f), NX_OK);
}

static inline void library_put(library *l, const slip *slips, size_t n)
{
    nx_writes *w = nx_writes_create(nx_shelf_collection(l->shelf));

    for (size_t i = 0; i < n; i++) {
        nx_buf    b = {.max = 1 << 20}, ids = {.max = 1 << 20}, values = {.max = 1 << 20};
        nx_vector v[2];
        nx_point  p = {.id = slip_id(slips[i].doc, slips[i].chunk_id), .vectors = v};
        slip_payload(&b, &slips[i]);
        p.payload = (nx_value){(const uint8_t *)b.data, (uint32_t)b.len};
        assert_int_equal(nx_bm25_vector(&ids, &values, slips[i].text, false, NULL, NULL), NX_OK);
        if (slips[i].vector)
            v[p.n_vectors++] = (nx_vector){.slot = nx_shelf_dense(l->shelf),
                                           .form = NX_FORM_DENSE,
                                           .n = DIM,
                                           .values = slips[i].vector};
        v[p.n_vectors++] = (nx_vector){.slot = nx_shelf_words(l->shelf),
                                       .form = NX_FORM_SPARSE,
                                       .n = (int32_t)(ids.len / 4),
                                       .indices = (const uint32_t *)(const void *)ids.data,
                                       .values = (const float *)(const void *)values.data};
        if (nx_writes_put(w, &p, NX_PUT, &l->err)) fail_msg("%s", l->err.text);
        nx_buf_free(&b);
        nx_buf_free(&ids);
        nx_buf_free(&values);
    }
    if (nx_collection_write(nx_shelf_collection(l->shelf), w, true, NULL, &l->err))
        fail_msg("%s", l->err.text);
    nx_writes_destroy(w);
}

static inline nx_status library_ask(library *l, nx_passages *out, const nx_question *q)
{
    nx_snapshot *snap = nx_snapshot_take(nx_shelf_collection(l->shelf));
    nx_status    st = nx_retrieve(out, l->shelf, snap, q, NULL, &l->err);

    nx_snapshot_release(snap);
    return st;
}

/* A direction at `angle` degrees from the first axis, towards axis. */
static inline const float *direction(float out[DIM], double degrees, int axis)
{
    memset(out, 0, DIM * sizeof *out);
    out[0] = (float)cos(degrees * 3.14159265358979 / 180);
    out[axis] = (float)sin(degrees * 3.14159265358979 / 180);
    return out;
}

#endif
