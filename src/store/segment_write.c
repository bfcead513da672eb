/* segment_write.c - one pass over the rows for each section, so that memory stays small. */
#include "store/segment_write.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "num/half.h"
#include "store/codes.h"
#include "store/postings.h"

enum { OUT_PIECES = 16 }; /* written at once */

#define LISTS_AT_ONCE ((uint64_t)64 << 20) /* bytes of posting lists: each so many, one more pass */

/* ---- Which rows ---- */

static nx_status add_ref(nx_gather *g, nx_row_ref ref, nx_error *err)
{
    if (g->n_rows == g->cap) {
        size_t      cap = g->cap ? 2 * g->cap : 1024;
        nx_row_ref *grown = nx_realloc(g->rows, cap, sizeof *grown);
        if (!grown) return nx_fail(err, NX_ENOMEM, "%zu rows of a segment", cap);
        g->rows = grown;
        g->cap = cap;
    }
    g->rows[g->n_rows++] = ref;
    return NX_OK;
}

nx_status nx_gather_head(nx_gather *g, nx_head *h, uint64_t seq, nx_error *err)
{
    uint32_t  n = nx_head_n_rows(h), source = (uint32_t)g->n_sources++;
    nx_status st = NX_OK;

    g->heads[source] = h;
    for (uint32_t i = 0; !st && i < n; i++) {
        nx_head_row *row = nx_head_row_at(h, i);
        if (!nx_alive_at(atomic_load_explicit(&row->death, memory_order_acquire), seq)) continue;
        st = add_ref(g, (nx_row_ref){nx_block_id(row->block), source, i}, err);
    }
    return st;
}

nx_status nx_gather_seg(nx_gather *g, nx_seg *s, uint64_t seq, nx_error *err)
{
    uint32_t  source = (uint32_t)g->n_sources++;
    nx_status st = NX_OK;

    g->segs[source] = s;
    for (uint64_t i = 0; !st && i < s->head.n_rows; i++) {
        nx_point_id id;
        if (!nx_alive_at(nx_seg_death(s, i), seq)) continue;
        st = nx_seg_id(s, &id, i, err);
        if (!st) st = add_ref(g, (nx_row_ref){id, source, (uint32_t)i}, err);
    }
    return st;
}

void nx_gather_free(nx_gather *g)
{
    nx_free(g->rows);
    *g = (nx_gather){0};
}

uint64_t nx_gather_death(const nx_gather *g, size_t i)
{
    const nx_row_ref *r = &g->rows[i];

    if (g->segs[r->source]) return nx_seg_death(g->segs[r->source], r->row);
    return atomic_load_explicit(&nx_head_row_at(g->heads[r->source], r->row)->death,
                                memory_order_acquire);
}

static int by_id(const void *pa, const void *pb)
{
    return nx_id_compare(((const nx_row_ref *)pa)->id, ((const nx_row_ref *)pb)->id);
}

/* ---- A file, written in large pieces, summed on the way ---- */

typedef struct writer {
    nx_gather       *g;
    const nx_config *config;
    nx_disk         *disk;
    nx_disk_file    *file;
    nx_seg_head      head;
    uint8_t         *buf; /* [OUT_PIECES * NX_SEG_PIECE] */
    size_t           n;   /* bytes in buf */
    uint64_t         at;  /* where buf goes */
    uint32_t        *crcs;
    size_t           n_crcs, cap_crcs;
    nx_buf           row; /* scratch: one row */
    nx_error        *err;
} writer;

static nx_status add_crc(writer *w, uint32_t crc)
{
    if (w->n_crcs == w->cap_crcs) {
        size_t    cap = w->cap_crcs ? 2 * w->cap_crcs : 64;
        uint32_t *grown = nx_realloc(w->crcs, cap, sizeof *grown);
        if (!grown) return nx_fail(w->err, NX_ENOMEM, "checksums of a segment");
        w->crcs = grown;
        w->cap_crcs = cap;
    }
    w->crcs[w->n_crcs++] = crc;
    return NX_OK;
}

static nx_status flush(writer *w)
{
    nx_status st = NX_OK;

    for (size_t i = 0; !st && i < w->n; i += NX_SEG_PIECE)
        st =
            add_crc(w, nx_crc32c(0, w->buf + i, w->n - i < NX_SEG_PIECE ? w->n - i : NX_SEG_PIECE));
    if (!st && w->n) st = w->disk->ops->write(w->disk, w->file, w->buf, w->n, w->at, w->err);
    w->at += w->n;
    w->n = 0;
    if (!st && w->g->between) st = w->g->between(w->g->ctx, w->err);
    return st;
}

static nx_status put(writer *w, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    nx_status      st = NX_OK;

    while (!st && n > 0) {
        size_t room = (size_t)OUT_PIECES * NX_SEG_PIECE - w->n, k = n < room ? n : room;
        memcpy(w->buf + w->n, p, k);
        w->n += k;
        p += k;
        n -= k;
        if (k == room) st = flush(w);
    }
    return st;
}

/* ---- Sections ---- */

static nx_status open_section(writer *w, nx_section_kind kind, int32_t slot, uint32_t width)
{
    static const uint8_t zeros[NX_SEG_ALIGN];
    uint64_t             at = w->at + w->n;
    size_t               pad = (size_t)((NX_SEG_ALIGN - at % NX_SEG_ALIGN) % NX_SEG_ALIGN);

    w->head.sections[w->head.n_sections++] =
        (nx_section){.kind = kind, .slot = (uint32_t)slot, .at = at + pad, .width = width};
    return put(w, zeros, pad);
}

static void close_section(writer *w)
{
    nx_section *x = &w->head.sections[w->head.n_sections - 1];

    x->bytes = w->at + w->n - x->at;
}

static nx_status write_ids(writer *w)
{
    nx_status st = open_section(w, NX_SECTION_IDS, 0, 0);

    for (size_t i = 0; !st && i < w->g->n_rows; i++) {
        nx_point_id id = w->g->rows[i].id;
        uint64_t    pair[2] = {id.hi, id.lo};
        w->head.n_numbers += !id.is_uuid;
        st = put(w, pair, sizeof pair);
    }
    close_section(w);
    return st;
}

/* A head's row as it lies in a segment: without dense vectors, with its version. */
static nx_status bare_of_head(writer *w, const nx_head_row *row)
{
    nx_vector      kept[NX_SLOTS_MAX], v;
    nx_vector_iter it = nx_block_vectors(row->block);
    nx_point       p = {.id = nx_block_id(row->block),
                        .version = row->birth,
                        .vectors = kept,
                        .payload = nx_block_payload(row->block)};

    while (nx_vector_next(&it, w->config, &v))
        if (v.form != NX_FORM_DENSE) kept[p.n_vectors++] = v;
    return nx_block_add_point(&w->row, w->config, &p, w->err);
}

static nx_status load_bare(writer *w, size_t i)
{
    const nx_row_ref *r = &w->g->rows[i];
    nx_seg           *s = w->g->segs[r->source];

    nx_buf_clear(&w->row);
    return s ? nx_seg_row_bare(s, &w->row, r->row, w->err)
             : bare_of_head(w, nx_head_row_at(w->g->heads[r->source], r->row));
}

/* Rows first, since their places are only known then: places are gathered in memory. */
static nx_status write_rows(writer *w)
{
    size_t    n = w->g->n_rows;
    uint64_t *places = nx_alloc(n + 1, sizeof *places);
    nx_status st = places ? open_section(w, NX_SECTION_ROWS, 0, 0)
                          : nx_fail(w->err, NX_ENOMEM, "places of %zu rows", n);

    if (st || !places) return st;
    places[0] = 0;
    for (size_t i = 0; !st && i < n; i++) {
        st = load_bare(w, i);
        if (!st) st = put(w, w->row.data, w->row.len);
        places[i + 1] = places[i] + w->row.len;
    }
    close_section(w);
    if (!st) st = open_section(w, NX_SECTION_PLACES, 0, 0);
    if (!st) st = put(w, places, (n + 1) * sizeof *places);
    close_section(w);
    nx_free(places);
    return st;
}

/* Row i's vector of that slot into x [dim]; zeros where it has none. */
static nx_status load_dense(writer *w, size_t i, int32_t slot, float *x, bool *has)
{
    const nx_row_ref *r = &w->g->rows[i];
    nx_seg           *s = w->g->segs[r->source];
    size_t            bytes = 4 * (size_t)w->config->slots[slot].dim;
    nx_vector         v;

    memset(x, 0, bytes);
    if (s) {
        nx_status st = nx_seg_has_dense(s, has, slot, r->row, w->err);
        if (st || !*has) return st;
        return nx_seg_dense(s, x, slot, r->row, w->err);
    }
    *has =
        nx_block_vector(nx_head_row_at(w->g->heads[r->source], r->row)->block, w->config, slot, &v);
    if (*has) memcpy(x, v.values, bytes);
    return NX_OK;
}

/* Which rows have the slot's vector: bits [n_rows], and whether any has. */
static nx_status find_present(writer *w, int32_t slot, uint64_t *bits, float *x, bool *any)
{
    nx_status st = NX_OK;

    *any = false;
    memset(bits, 0, (w->g->n_rows + 63) / 64 * 8);
    for (size_t i = 0; !st && i < w->g->n_rows; i++) {
        bool has;
        st = load_dense(w, i, slot, x, &has);
        if (has) bits[i / 64] |= (uint64_t)1 << i % 64;
        *any |= has;
    }
    return st;
}

/* Numbers that halves hold exactly, since they were rounded when they came in. In place: each half is
 * written where no number is read any more. */
static void narrow(float *x, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        uint16_t h = nx_f32_to_f16(x[i]);
        memcpy((uint8_t *)x + 2 * (size_t)i, &h, 2);
    }
}

static nx_status write_vectors(writer *w, int32_t slot, float *x)
{
    const nx_slot *kind = &w->config->slots[slot];
    nx_status      st = open_section(w, NX_SECTION_DENSE, slot, 0);

    for (size_t i = 0; !st && i < w->g->n_rows; i++) {
        bool has;
        st = load_dense(w, i, slot, x, &has);
        if (!st && nx_slot_halves(kind)) narrow(x, kind->dim);
        if (!st) st = put(w, x, nx_slot_row_bytes(kind));
    }
    close_section(w);
    return st;
}

/* The codes, or else the scales, of each row. */
static nx_status write_codes(writer *w, int32_t slot, float *x, int8_t *codes, bool scales)
{
    int32_t   dim = w->config->slots[slot].dim;
    uint32_t  width = ((uint32_t)dim + 31) / 32 * 32;
    nx_status st = scales ? open_section(w, NX_SECTION_SCALES, slot, 0)
                          : open_section(w, NX_SECTION_CODES, slot, width);

    for (size_t i = 0; !st && i < w->g->n_rows; i++) {
        bool  has;
        float scale[2];
        st = load_dense(w, i, slot, x, &has);
        if (st) break;
        nx_code_row(codes, scale, x, dim, width);
        st = scales ? put(w, scale, sizeof scale) : put(w, codes, width);
    }
    close_section(w);
    return st;
}

/* Records: the vectors, and which rows have one. */
static nx_status write_slot(writer *w, int32_t slot, uint64_t *bits, float *x, bool *any)
{
    nx_status st = find_present(w, slot, bits, x, any);

    if (st || !*any) return st;
    st = write_vectors(w, slot, x);
    if (!st) st = open_section(w, NX_SECTION_PRESENT, slot, 0);
    if (!st) st = put(w, bits, (w->g->n_rows + 63) / 64 * 8);
    close_section(w);
    return st;
}

/* ---- Posting lists of a sparse slot ---- */

typedef struct sparse_source {
    writer *w;
    int32_t slot;
} sparse_source;

static nx_status sparse_of(void *ctx, uint64_t i, nx_vector *v, bool *has, nx_error *err)
{
    sparse_source    *x = ctx;
    writer           *w = x->w;
    const nx_row_ref *r = &w->g->rows[i];
    nx_seg           *s = w->g->segs[r->source];
    nx_status         st = NX_OK;

    nx_buf_clear(&w->row);
    if (s) st = nx_seg_row_bare(s, &w->row, r->row, err);
    const nx_block *b = s ? (const nx_block *)(const void *)w->row.data
                          : nx_head_row_at(w->g->heads[r->source], r->row)->block;
    if (!st) *has = nx_block_vector(b, w->config, x->slot, v);
    return st;
}

static nx_status put_lists(writer *w, const nx_tally *t, sparse_source *x)
{
    nx_status st = NX_OK;

    for (uint64_t from = 0, to; !st && from < t->n_keys; from = to) {
        to = nx_tally_reach(t, from, LISTS_AT_ONCE);
        size_t   n = (size_t)(t->starts[to] - t->starts[from]);
        uint8_t *lists = nx_calloc(n, 8);
        st = lists ? nx_tally_fill(t, lists, from, to, sparse_of, x, w->err)
                   : nx_fail(w->err, NX_ENOMEM, "posting lists of a segment");
        if (!st) st = put(w, lists, 8 * n);
        nx_free(lists);
    }
    return st;
}

static nx_status write_postings(writer *w, int32_t slot)
{
    sparse_source x = {w, slot};
    nx_tally      t = {0};
    uint8_t      *head = NULL;
    nx_status     st = nx_tally_count(&t, w->g->n_rows, sparse_of, &x, w->err);

    if (!st) head = nx_alloc((size_t)nx_tally_head_bytes(&t), 1);
    if (!st && !head) st = nx_fail(w->err, NX_ENOMEM, "posting lists of a segment");
    if (!st) st = open_section(w, NX_SECTION_POSTINGS, slot, 0);
    if (!st) {
        nx_tally_write_head(&t, head);
        st = put(w, head, (size_t)nx_tally_head_bytes(&t));
        if (!st) st = put_lists(w, &t, &x);
        close_section(w);
    }
    nx_free(head);
    nx_tally_free(&t);
    return st;
}

/* Derivations share no piece with records: damage in one is none of the other. */
static nx_status begin_derived(writer *w)
{
    static const uint8_t zeros[NX_SEG_PIECE];
    uint64_t             at = w->at + w->n - NX_SEG_HEAD;

    return put(w, zeros, (size_t)((NX_SEG_PIECE - at % NX_SEG_PIECE) % NX_SEG_PIECE));
}

static nx_status write_derived(writer *w, const bool any[NX_SLOTS_MAX], float *x, int8_t *codes)
{
    bool      begun = false;
    nx_status st = NX_OK;

    for (int32_t slot = 0; !st && slot < w->config->n_slots; slot++) {
        bool sparse = w->config->slots[slot].form == NX_FORM_SPARSE;
        if (!sparse && (!any[slot] || !(w->config->slots[slot].storage & NX_STORE_SQ8))) continue;
        if (!begun) st = begin_derived(w);
        begun = true;
        if (!st && sparse) st = write_postings(w, slot);
        if (sparse) continue;
        if (!st) st = write_codes(w, slot, x, codes, false);
        if (!st) st = write_codes(w, slot, x, codes, true);
    }
    return st;
}

static nx_status write_slots(writer *w)
{
    bool      any[NX_SLOTS_MAX] = {0};
    uint64_t *bits = nx_alloc((w->g->n_rows + 63) / 64, 8);
    float    *x = nx_alloc(NX_DIM_MAX, sizeof *x);
    int8_t   *codes = nx_alloc(NX_DIM_MAX, 1);
    nx_status st = NX_OK;

    if (!bits || !x || !codes) st = nx_fail(w->err, NX_ENOMEM, "vectors of a segment");
    for (int32_t slot = 0; !st && slot < w->config->n_slots; slot++)
        if (w->config->slots[slot].form == NX_FORM_DENSE)
            st = write_slot(w, slot, bits, x, &any[slot]);
    if (!st) st = write_derived(w, any, x, codes);
    nx_free(bits);
    nx_free(x);
    nx_free(codes);
    return st;
}

/* The table, and at last the head: until then the file is none. */
static nx_status write_table_and_head(writer *w, uint64_t incarnation, uint64_t number)
{
    nx_seg_head *h = &w->head;
    nx_status    st = flush(w);
    uint64_t     at = w->at;

    memcpy(h->magic, "NXSEG\0\0\1", 8);
    h->incarnation = incarnation;
    h->number = number;
    h->n_rows = w->g->n_rows;
    h->table_at = at;
    h->bytes = at + 4 * w->n_crcs;
    h->table_crc = nx_crc32c(0, w->crcs, 4 * w->n_crcs);
    if (!st) st = w->disk->ops->write(w->disk, w->file, w->crcs, 4 * w->n_crcs, at, w->err);
    memset(w->buf, 0, NX_SEG_HEAD);
    memcpy(w->buf, h, sizeof *h);
    uint32_t crc = nx_crc32c(0, w->buf, NX_SEG_HEAD);
    memcpy(w->buf + offsetof(nx_seg_head, head_crc), &crc, 4);
    if (!st) st = w->disk->ops->write(w->disk, w->file, w->buf, NX_SEG_HEAD, 0, w->err);
    return st ? st : w->disk->ops->sync(w->disk, w->file, w->err);
}

nx_status nx_seg_write(nx_gather *g, nx_disk *disk, const char *path, const nx_config *config,
                       uint64_t incarnation, uint64_t number, nx_error *err)
{
    nx_status st = NX_OK;
    writer   *w = nx_calloc(1, sizeof *w);

    if (!w) return nx_fail(err, NX_ENOMEM, "%s", path);
    *w = (writer){.g = g, .config = config, .disk = disk, .at = NX_SEG_HEAD, .err = err};
    w->row.max = NX_BLOCK_MAX;
    w->buf = nx_alloc_aligned(OUT_PIECES, NX_SEG_PIECE, 64);
    if (!w->buf) st = nx_fail(err, NX_ENOMEM, "%s", path);
    if (g->n_rows > 1) qsort(g->rows, g->n_rows, sizeof *g->rows, by_id);
    if (!st) st = disk->ops->open(disk, &w->file, path, NX_DISK_CREATE | NX_DISK_EMPTY, err);
    if (!st) st = write_ids(w);
    if (!st) st = write_rows(w);
    if (!st) st = write_slots(w);
    if (!st) st = write_table_and_head(w, incarnation, number);
    disk->ops->close(disk, w->file);
    nx_free(w->buf);
    nx_free(w->crcs);
    nx_buf_free(&w->row);
    nx_free(w);
    return st;
}
