/* segment.c - reading segments. */
#include "store/segment.h"

#include <string.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "num/half.h"
#include "os/fault.h"
#include "store/codes.h"
#include "store/index.h"
#include "store/postings_seg.h"

/* ---- Bytes of the mapping, where the disk may fail ---- */

typedef struct transfer {
    void       *out;
    const void *in;
    size_t      n;
    uint32_t    crc;
} transfer;

static void do_copy(void *ctx)
{
    transfer *t = ctx;

    memcpy(t->out, t->in, t->n);
}

static void do_sum(void *ctx)
{
    transfer *t = ctx;

    t->crc = nx_crc32c(0, t->in, t->n);
}

static nx_status unreadable(const nx_seg *s, uint64_t at, nx_error *err)
{
    return nx_fail(err, NX_EIO, "%s: byte %llu can't be read from the disk", s->path,
                   (unsigned long long)at);
}

static nx_status damaged(const nx_seg *s, uint64_t at, const char *what, nx_error *err)
{
    return nx_fail(err, NX_EFORMAT, "%s: byte %llu: %s", s->path, (unsigned long long)at, what);
}

static nx_status check_piece(nx_seg *s, size_t piece, nx_error *err)
{
    uint64_t at = NX_SEG_HEAD + (uint64_t)piece * NX_SEG_PIECE;
    uint64_t n = s->head.table_at - at < NX_SEG_PIECE ? s->head.table_at - at : NX_SEG_PIECE;
    transfer t = {.in = s->map.data + at, .n = (size_t)n};

    if (!nx_fault_run(do_sum, &t)) return unreadable(s, at, err);
    if (t.crc != s->crcs[piece])
        return damaged(s, at, "the 64 KiB from here don't have their checksum", err);
    atomic_fetch_or_explicit(&s->checked[piece / 64], (uint64_t)1 << piece % 64,
                             memory_order_release);
    return NX_OK;
}

nx_status nx_seg_need(nx_seg *s, uint64_t at, uint64_t bytes, const void **out, nx_error *err)
{
    *out = s->map.data + at;
    if (bytes == 0) return NX_OK;
    size_t first = (size_t)((at - NX_SEG_HEAD) / NX_SEG_PIECE);
    size_t last = (size_t)((at + bytes - 1 - NX_SEG_HEAD) / NX_SEG_PIECE);
    for (size_t i = first; i <= last; i++) {
        uint64_t word = atomic_load_explicit(&s->checked[i / 64], memory_order_acquire);
        if (word >> i % 64 & 1) continue;
        nx_status st = check_piece(s, i, err);
        if (st) return st;
    }
    return NX_OK;
}

void nx_seg_forget(nx_seg *s, uint64_t at, uint64_t bytes)
{
    if (bytes == 0) return;
    size_t first = (size_t)((at - NX_SEG_HEAD) / NX_SEG_PIECE);
    size_t last = (size_t)((at + bytes - 1 - NX_SEG_HEAD) / NX_SEG_PIECE);
    for (size_t i = first; i <= last; i++)
        atomic_fetch_and_explicit(&s->checked[i / 64], ~((uint64_t)1 << i % 64),
                                  memory_order_relaxed);
}

nx_status nx_seg_copy(nx_seg *s, void *out, uint64_t at, uint64_t bytes, nx_error *err)
{
    transfer  t = {.out = out, .n = (size_t)bytes};
    nx_status st = nx_seg_need(s, at, bytes, &t.in, err);

    if (!st && !nx_fault_run(do_copy, &t)) st = unreadable(s, at, err);
    return st;
}

/* ---- Opening ---- */

/* Does the section lie where it may, with the size that its kind has? */
static bool section_fits(const nx_seg *s, const nx_section *x, uint64_t from)
{
    uint64_t n = s->head.n_rows;
    bool     slotted = x->kind >= NX_SECTION_DENSE;

    if (x->at < from || x->at % NX_SEG_ALIGN || x->at > s->head.table_at ||
        x->bytes > s->head.table_at - x->at)
        return false;
    nx_form form = x->kind == NX_SECTION_POSTINGS ? NX_FORM_SPARSE : NX_FORM_DENSE;
    if (slotted &&
        (x->slot >= (uint32_t)s->config->n_slots || s->config->slots[x->slot].form != form))
        return false;
    uint64_t dim = slotted ? (uint64_t)s->config->slots[x->slot].dim : 0;
    uint64_t row_bytes = slotted ? nx_slot_row_bytes(&s->config->slots[x->slot]) : 0;
    switch ((nx_section_kind)x->kind) {
    case NX_SECTION_IDS: return x->bytes == n * 16;
    case NX_SECTION_PLACES: return x->bytes == (n + 1) * 8;
    case NX_SECTION_ROWS: return x->bytes % 8 == 0;
    case NX_SECTION_DENSE: return x->bytes == n * row_bytes;
    case NX_SECTION_PRESENT: return x->bytes == (n + 63) / 64 * 8;
    case NX_SECTION_CODES: return x->width == (dim + 31) / 32 * 32 && x->bytes == n * x->width;
    case NX_SECTION_SCALES: return x->bytes == n * 8;
    case NX_SECTION_POSTINGS: return x->bytes % 8 == 0;
    }
    return false;
}

static const nx_section **place_of(nx_seg *s, const nx_section *x)
{
    switch ((nx_section_kind)x->kind) {
    case NX_SECTION_IDS: return &s->ids;
    case NX_SECTION_PLACES: return &s->places;
    case NX_SECTION_ROWS: return &s->rows;
    case NX_SECTION_DENSE: return &s->dense[x->slot];
    case NX_SECTION_PRESENT: return &s->present[x->slot];
    case NX_SECTION_CODES: return &s->codes[x->slot];
    case NX_SECTION_SCALES: return &s->scales[x->slot];
    case NX_SECTION_POSTINGS: return &s->postings[x->slot];
    }
    return NULL;
}

static nx_status bind_sections(nx_seg *s, nx_error *err)
{
    uint64_t from = NX_SEG_HEAD;

    for (uint32_t i = 0; i < s->head.n_sections; i++) {
        const nx_section *x = &s->head.sections[i];
        if (!section_fits(s, x, from) || *place_of(s, x))
            return damaged(s, 72 + 40 * (uint64_t)i, "no section can be so", err);
        *place_of(s, x) = x;
        from = x->at + x->bytes;
    }
    bool whole = s->ids && s->places && s->rows;
    for (int i = 0; i < NX_SLOTS_MAX; i++)
        whole &= !s->dense[i] == !s->present[i] && !s->codes[i] == !s->scales[i] &&
                 (!s->codes[i] || s->dense[i]);
    return whole ? NX_OK : damaged(s, 72, "a section is missing", err);
}

static nx_status check_head(nx_seg *s, uint64_t incarnation, uint64_t number, nx_error *err)
{
    nx_seg_head *h = &s->head;

    if (memcmp(h->magic, "NXSEG\0\0\1", 8) != 0) return damaged(s, 0, "no segment of ours", err);
    if (h->incarnation != incarnation) return damaged(s, 8, "another collection's segment", err);
    if (h->number != number) return damaged(s, 16, "another number than its name says", err);
    if (h->bytes != s->map.bytes)
        return nx_fail(err, NX_EFORMAT, "%s: %zu bytes, expected %llu. Truncated?", s->path,
                       s->map.bytes, (unsigned long long)h->bytes);
    if (h->n_rows == 0 || h->n_rows > UINT32_MAX || h->n_numbers > h->n_rows ||
        h->n_sections > NX_SEG_SECTIONS_MAX || h->table_at < NX_SEG_HEAD || h->table_at > h->bytes)
        return damaged(s, 24, "numbers that no segment has", err);
    s->n_pieces = (size_t)((h->table_at - NX_SEG_HEAD + NX_SEG_PIECE - 1) / NX_SEG_PIECE);
    if (h->bytes - h->table_at != s->n_pieces * 4)
        return damaged(s, 48, "a table of checksums of another size", err);
    return bind_sections(s, err);
}

static nx_status read_head(nx_seg *s, uint64_t incarnation, uint64_t number, nx_error *err)
{
    uint8_t  *page = nx_alloc(NX_SEG_HEAD, 1);
    transfer  t = {.out = page, .in = s->map.data, .n = NX_SEG_HEAD};
    nx_status st = NX_OK;

    if (!page) return nx_fail(err, NX_ENOMEM, "%s", s->path);
    if (s->map.bytes < NX_SEG_HEAD)
        st = nx_fail(err, NX_EFORMAT, "%s: %zu bytes, too short for a segment", s->path,
                     s->map.bytes);
    else if (!nx_fault_run(do_copy, &t))
        st = unreadable(s, 0, err);
    if (!st) {
        memcpy(&s->head, page, sizeof s->head);
        memset(page + offsetof(nx_seg_head, head_crc), 0, 4);
        if (nx_crc32c(0, page, NX_SEG_HEAD) != s->head.head_crc)
            st = damaged(s, 0, "the head doesn't have its checksum", err);
    }
    nx_free(page);
    return st ? st : check_head(s, incarnation, number, err);
}

static nx_status read_table(nx_seg *s, nx_error *err)
{
    size_t n = s->n_pieces;

    s->crcs = nx_alloc(n, 4);
    s->checked = nx_calloc((n + 63) / 64, sizeof *s->checked);
    s->deaths = nx_calloc((size_t)s->head.n_rows, sizeof *s->deaths);
    if (!s->crcs || !s->checked || !s->deaths) return nx_fail(err, NX_ENOMEM, "%s", s->path);
    transfer t = {.out = s->crcs, .in = s->map.data + s->head.table_at, .n = n * 4};
    if (!nx_fault_run(do_copy, &t)) return unreadable(s, s->head.table_at, err);
    if (nx_crc32c(0, s->crcs, n * 4) != s->head.table_crc)
        return damaged(s, s->head.table_at, "the table of checksums doesn't have its own", err);
    return NX_OK;
}

nx_status nx_seg_open(nx_seg **out, nx_disk *disk, const char *path, const nx_config *config,
                      uint64_t incarnation, uint64_t number, nx_error *err)
{
    nx_seg   *s = nx_calloc(1, sizeof *s);
    nx_status st = NX_OK;

    *out = NULL;
    if (!s) return nx_fail(err, NX_ENOMEM, "%s", path);
    atomic_init(&s->refs, 1);
    s->disk = disk;
    s->config = config;
    s->path = nx_strdup(path);
    if (!s->path) st = nx_fail(err, NX_ENOMEM, "%s", path);
    if (!st) st = disk->ops->map(disk, &s->map, path, err);
    if (!st) st = read_head(s, incarnation, number, err);
    if (!st) st = read_table(s, err);
    if (st)
        nx_seg_release(s);
    else
        *out = s;
    return st;
}

void nx_seg_retain(nx_seg *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
}

static void free_codes(nx_codes *c)
{
    if (!c) return;
    nx_free((void *)(uintptr_t)c->codes);
    nx_free((void *)(uintptr_t)c->scales);
    nx_free(c);
}

void nx_seg_release(nx_seg *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) > 1) return;
    s->disk->ops->unmap(s->disk, &s->map);
    nx_seg_postings_free(s);
    nx_seg_index_free(s);
    for (int i = 0; i < NX_SLOTS_MAX; i++) free_codes(atomic_load(&s->made[i]));
    nx_free(s->crcs);
    nx_free(s->checked);
    nx_free(s->deaths);
    nx_free(s->path);
    nx_free(s);
}

void nx_seg_kill(nx_seg *s, uint64_t row, uint64_t seq)
{
    atomic_store_explicit(&s->deaths[row], seq, memory_order_release);
    atomic_fetch_add_explicit(&s->n_dead, 1, memory_order_release);
}

/* ---- Rows ---- */

nx_status nx_seg_id(nx_seg *s, nx_point_id *out, uint64_t row, nx_error *err)
{
    uint64_t  pair[2];
    nx_status st = nx_seg_copy(s, pair, s->ids->at + row * 16, 16, err);

    *out = (nx_point_id){pair[0], pair[1], row >= s->head.n_numbers};
    return st;
}

nx_status nx_seg_lower_bound(nx_seg *s, uint64_t *row, bool *same, nx_point_id id, nx_error *err)
{
    uint64_t lo = id.is_uuid ? s->head.n_numbers : 0;
    uint64_t hi = id.is_uuid ? s->head.n_rows : s->head.n_numbers;

    *same = false;
    while (lo < hi) {
        uint64_t    mid = lo + (hi - lo) / 2;
        nx_point_id got;
        nx_status   st = nx_seg_id(s, &got, mid, err);
        if (st) return st;
        int c = nx_id_compare(got, id);
        if (c == 0) *same = true;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    *row = lo;
    return NX_OK;
}

nx_status nx_seg_row_bare(nx_seg *s, nx_buf *out, uint64_t row, nx_error *err)
{
    uint64_t  place[2];
    nx_status st = nx_seg_copy(s, place, s->places->at + row * 8, 16, err);

    if (st) return st;
    if (place[0] % 8 || place[1] < place[0] + sizeof(nx_block) || place[1] > s->rows->bytes)
        return damaged(s, s->places->at + row * 8, "a row that lies nowhere", err);
    size_t n = (size_t)(place[1] - place[0]), at = out->len;
    char  *p = nx_buf_room(out, n, err);
    if (!p) return err ? err->status : NX_ENOMEM;
    st = nx_seg_copy(s, p, s->rows->at + place[0], n, err);
    if (st) return st;
    out->len = at + n;
    out->data[out->len] = '\0';
    const nx_block *b = (const nx_block *)(const void *)p;
    if (!nx_block_check(s->config, b, n) || b->kind != NX_BLOCK_PUT || b->bytes != n) {
        out->len = at;
        return damaged(s, s->rows->at + place[0], "a row that is no point", err);
    }
    return NX_OK;
}

nx_status nx_seg_has_dense(nx_seg *s, bool *out, int32_t slot, uint64_t row, nx_error *err)
{
    uint64_t word = 0;

    *out = false;
    if (!s->dense[slot]) return NX_OK;
    nx_status st = nx_seg_copy(s, &word, s->present[slot]->at + row / 64 * 8, 8, err);
    *out = word >> row % 64 & 1;
    return st;
}

static void widen(float *out, const uint16_t *halves, int32_t n)
{
    for (int32_t i = 0; i < n; i++) out[i] = nx_f16_to_f32(halves[i]);
}

nx_status nx_seg_dense(nx_seg *s, float *out, int32_t slot, uint64_t row, nx_error *err)
{
    enum { AT_ONCE = 512 };
    const nx_slot *kind = &s->config->slots[slot];
    uint64_t       at = s->dense[slot]->at + row * nx_slot_row_bytes(kind);
    uint16_t       halves[AT_ONCE];
    nx_status      st = NX_OK;

    if (!nx_slot_halves(kind)) return nx_seg_copy(s, out, at, nx_slot_row_bytes(kind), err);
    for (int32_t i = 0, n; !st && i < kind->dim; i += n) {
        n = kind->dim - i < AT_ONCE ? kind->dim - i : AT_ONCE;
        st = nx_seg_copy(s, halves, at + 2 * (uint64_t)i, 2 * (uint64_t)n, err);
        if (!st) widen(out + i, halves, n);
    }
    return st;
}

/* The dense vectors of a row, copied into `values`; vectors point into it. */
static nx_status read_dense(nx_seg *s, uint64_t row, nx_buf *values, nx_vector *v, int32_t *n,
                            nx_error *err)
{
    nx_status st = NX_OK;

    for (int32_t slot = 0; !st && slot < s->config->n_slots; slot++) {
        bool   has = false;
        size_t bytes = 4 * (size_t)s->config->slots[slot].dim;
        st = nx_seg_has_dense(s, &has, slot, row, err);
        if (st || !has) continue;
        char *p = nx_buf_room(values, bytes, err);
        if (!p) return err ? err->status : NX_ENOMEM;
        st = nx_seg_dense(s, (float *)(void *)p, slot, row, err);
        values->len += bytes;
        v[(*n)++] = (nx_vector){.slot = slot, .form = NX_FORM_DENSE, .n = (int32_t)(bytes / 4)};
    }
    for (int32_t i = 0, at = 0; i < *n; at += 4 * v[i++].n)
        v[i].values = (const float *)(const void *)(values->data + at);
    return st;
}

/* Dense vectors [n_dense] and those of the bare block, by slot. */
static int32_t join_vectors(nx_vector *out, const nx_vector *dense, int32_t n_dense,
                            const nx_block *bare, const nx_config *c)
{
    nx_vector_iter it = nx_block_vectors(bare);
    nx_vector      v;
    int32_t        n = 0, d = 0;

    while (nx_vector_next(&it, c, &v)) {
        while (d < n_dense && dense[d].slot < v.slot) out[n++] = dense[d++];
        out[n++] = v;
    }
    while (d < n_dense) out[n++] = dense[d++];
    return n;
}

nx_status nx_seg_row(nx_seg *s, nx_buf *out, uint64_t row, nx_error *err)
{
    nx_buf    bare = {.max = NX_BLOCK_MAX}, values = {.max = NX_BLOCK_MAX};
    nx_vector dense[NX_SLOTS_MAX], all[2 * NX_SLOTS_MAX];
    int32_t   n = 0;
    nx_status st = nx_seg_row_bare(s, &bare, row, err);

    if (!st) st = read_dense(s, row, &values, dense, &n, err);
    if (!st) {
        const nx_block *b = (const nx_block *)(const void *)bare.data;
        nx_point        p = {.id = nx_block_id(b),
                             .version = b->version,
                             .vectors = all,
                             .payload = nx_block_payload(b)};
        p.n_vectors = join_vectors(all, dense, n, b, s->config);
        st = nx_block_add_point(out, s->config, &p, err);
    }
    nx_buf_free(&bare);
    nx_buf_free(&values);
    return st;
}

/* ---- Codes ---- */

typedef struct making {
    nx_seg  *s;
    nx_codes out;
    int32_t  slot;
    float   *wide; /* [dim]: of halves */
} making;

static void do_make(void *ctx)
{
    making        *m = ctx;
    const nx_slot *kind = &m->s->config->slots[m->slot];
    const uint8_t *rows = m->s->map.data + m->s->dense[m->slot]->at;

    for (uint64_t i = 0; i < m->s->head.n_rows; i++) {
        const void  *row = rows + i * nx_slot_row_bytes(kind);
        const float *x = row;
        if (nx_slot_halves(kind)) {
            widen(m->wide, row, kind->dim);
            x = m->wide;
        }
        nx_code_row((int8_t *)(uintptr_t)m->out.codes + i * m->out.width,
                    (float *)(uintptr_t)m->out.scales + 2 * i, x, kind->dim, m->out.width);
    }
}

/* From the vectors, as they were made at first: the same bits. */
static nx_status make_codes(nx_seg *s, nx_codes **out, int32_t slot, nx_error *err)
{
    making      m = {.s = s, .slot = slot, .out.width = s->codes[slot]->width};
    const void *x;
    size_t      n = (size_t)s->head.n_rows;
    nx_status   st = nx_seg_need(s, s->dense[slot]->at, s->dense[slot]->bytes, &x, err);

    *out = NULL;
    if (st) return st;
    nx_log_warn("%s: 8-bit codes are damaged, and made anew in memory", s->path);
    nx_codes *c = nx_calloc(1, sizeof *c);
    m.out.codes = nx_alloc_aligned(n, m.out.width, 64);
    m.out.scales = nx_alloc_aligned(n, 8, 64);
    m.wide = nx_alloc((size_t)s->config->slots[slot].dim, sizeof *m.wide);
    if (!c || !m.out.codes || !m.out.scales || !m.wide)
        st = nx_fail(err, NX_ENOMEM, "%s: codes", s->path);
    if (!st && !nx_fault_run(do_make, &m)) st = unreadable(s, s->dense[slot]->at, err);
    nx_free(m.wide);
    if (st || !c) {
        nx_free((void *)(uintptr_t)m.out.codes);
        nx_free((void *)(uintptr_t)m.out.scales);
        nx_free(c);
        return st;
    }
    *c = m.out;
    *out = c;
    return NX_OK;
}

/* Those rows of the file's codes, when they are good. */
static nx_status file_codes(nx_seg *s, nx_codes *out, int32_t slot, uint64_t from, uint64_t n)
{
    const nx_section *codes = s->codes[slot], *scales = s->scales[slot];
    const void       *p;
    nx_status st = nx_seg_need(s, codes->at + from * codes->width, n * codes->width, &p, NULL);

    if (!st) st = nx_seg_need(s, scales->at + from * 8, n * 8, &p, NULL);
    *out = (nx_codes){(const int8_t *)s->map.data + codes->at,
                      (const float *)(const void *)(s->map.data + scales->at), codes->width};
    return st;
}

nx_status nx_seg_codes_of(nx_seg *s, nx_codes *out, int32_t slot, uint64_t from, uint64_t n,
                          nx_error *err)
{
    nx_codes *made = atomic_load_explicit(&s->made[slot], memory_order_acquire);

    if (!made) {
        if (!file_codes(s, out, slot, from, n)) return NX_OK;
        nx_status st = make_codes(s, &made, slot, err);
        if (st) return st;
        nx_codes *other = NULL;
        if (!atomic_compare_exchange_strong(&s->made[slot], &other, made)) {
            free_codes(made); /* another thread was faster */
            made = other;
        }
    }
    *out = *made;
    return NX_OK;
}

nx_status nx_seg_codes(nx_seg *s, nx_codes *out, bool *has, int32_t slot, nx_error *err)
{
    *has = s->codes[slot] != NULL;
    return *has ? nx_seg_codes_of(s, out, slot, 0, s->head.n_rows, err) : NX_OK;
}
