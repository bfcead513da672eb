/* walk.c - rows of heads in this thread, then those of segments, cut into pieces for the pool.
 *
 * Memory: of a segment's row, what is asked for is copied, once.
 */
#include "store/walk.h"

#include "base/alloc.h"
#include "store/collection.h"
#include "store/match.h"

enum { PIECE_ROWS = 1024 };

typedef struct piece {
    int      seg;
    uint64_t from, n;
} piece;

/* What one worker has; the row it stands on. */
typedef struct nx_walker {
    struct walk    *walk;
    nx_walk_row     row;
    const nx_block *block; /* of a head's row, whole; or of a segment's, bare, once it was read */
    nx_seg         *seg;   /* NULL: a head's */
    uint64_t        at;
    nx_buf          bare, dense;
    nx_match        match;
    nx_status       st;
    nx_error        err;
} nx_walker;

typedef struct walk {
    nx_snapshot *s;
    nx_walk_fn   fn;
    void        *ctx;
    piece       *pieces;
    size_t       n_pieces;
    nx_walker   *walkers;
    int          n_walkers;
} walk;

int nx_walk_workers(const nx_pool *pool)
{
    return pool ? nx_pool_threads(pool) : 1;
}

uint64_t nx_walk_rows(const nx_snapshot *s)
{
    uint64_t n = nx_head_n_rows(s->head) + (s->frozen ? nx_head_n_rows(s->frozen) : 0);

    for (int i = 0; i < s->n_segs; i++) n += s->segs[i]->head.n_rows;
    return n;
}

/* ---- What a row holds ---- */

static nx_status need_block(nx_walker *w, nx_error *err)
{
    if (w->block) return NX_OK;
    nx_buf_clear(&w->bare);
    nx_status st = nx_seg_row_bare(w->seg, &w->bare, w->at, err);
    if (!st) w->block = (const nx_block *)(const void *)w->bare.data;
    return st;
}

nx_status nx_walk_payload(const nx_walk_row *row, nx_value *out, nx_error *err)
{
    nx_status st = need_block(row->walker, err);

    *out = st ? (nx_value){0} : nx_block_payload(row->walker->block);
    return st;
}

static nx_status read_dense(nx_walker *w, int32_t slot, nx_vector *out, bool *has, nx_error *err)
{
    int32_t   dim = w->walk->s->c->manifest.config.slots[slot].dim;
    size_t    bytes = 4 * (size_t)dim;
    nx_status st = nx_seg_has_dense(w->seg, has, slot, w->at, err);

    if (st || !*has) return st;
    nx_buf_clear(&w->dense);
    char *p = nx_buf_room(&w->dense, bytes, err);
    if (!p) return err ? err->status : NX_ENOMEM;
    st = nx_seg_dense(w->seg, (float *)(void *)p, slot, w->at, err);
    *out = (nx_vector){slot, NX_FORM_DENSE, dim, (const float *)(const void *)p, NULL};
    return st;
}

nx_status nx_walk_vector(const nx_walk_row *row, int32_t slot, nx_vector *out, bool *has,
                         nx_error *err)
{
    nx_walker       *w = row->walker;
    const nx_config *c = &w->walk->s->c->manifest.config;

    *has = false;
    if (w->seg && c->slots[slot].form == NX_FORM_DENSE) return read_dense(w, slot, out, has, err);
    nx_status st = need_block(w, err);
    if (!st) *has = nx_block_vector(w->block, c, slot, out);
    return st;
}

/* ---- Stepping on rows ---- */

static nx_status visit_head_row(nx_walker *w, const nx_head_row *row, size_t place)
{
    w->block = row->block;
    w->seg = NULL;
    w->row.id = nx_block_id(row->block);
    w->row.place = place;
    return w->walk->fn(w->walk->ctx, &w->row, &w->err);
}

static nx_status visit_seg_row(nx_walker *w, nx_seg *seg, uint64_t at, nx_point_id id, size_t place)
{
    w->block = NULL;
    w->seg = seg;
    w->at = at;
    w->row.id = id;
    w->row.place = place;
    return w->walk->fn(w->walk->ctx, &w->row, &w->err);
}

static bool lives(const nx_head_row *row, uint64_t seq)
{
    return nx_alive_at(atomic_load_explicit(&row->death, memory_order_acquire), seq);
}

static nx_status walk_head(nx_walker *w, nx_head *h)
{
    uint32_t  n = h ? nx_head_n_rows(h) : 0;
    uint64_t  seq = w->walk->s->seq;
    nx_status st = NX_OK;

    for (uint32_t i = 0; !st && i < n; i++) {
        const nx_head_row *row = nx_head_row_at(h, i);
        if (row->birth > seq) break;
        if (lives(row, seq) && nx_match_block(&w->match, row->block))
            st = visit_head_row(w, row, 0);
    }
    return st;
}

static nx_status walk_piece(nx_walker *w, const piece *p)
{
    nx_snapshot *s = w->walk->s;
    nx_seg      *seg = s->segs[p->seg];
    nx_status    st = NX_OK;

    for (uint64_t row = p->from; !st && row < p->from + p->n; row++) {
        nx_point_id id;
        bool        fits = false;
        if (!nx_alive_at(nx_seg_death(seg, row), s->seq)) continue;
        st = nx_seg_id(seg, &id, row, &w->err);
        if (!st) st = nx_match_row(&w->match, &fits, seg, row, id, &w->err);
        if (!st && fits) st = visit_seg_row(w, seg, row, id, 0);
    }
    return st;
}

static void walk_pieces(void *ctx, int thread, int64_t begin, int64_t end)
{
    walk      *x = ctx;
    nx_walker *w = &x->walkers[thread];

    for (int64_t i = begin; !w->st && i < end; i++) w->st = walk_piece(w, &x->pieces[i]);
}

/* ---- Walks ---- */

static nx_status start(walk *x, const nx_filter *filter, int n, nx_error *err)
{
    x->walkers = nx_calloc((size_t)n, sizeof *x->walkers);
    if (!x->walkers) return nx_fail(err, NX_ENOMEM, "a scan");
    x->n_walkers = n;
    for (int i = 0; i < n; i++) {
        nx_walker *w = &x->walkers[i];
        w->walk = x;
        w->row = (nx_walk_row){.worker = i, .walker = w};
        w->match = (nx_match){.filter = filter, .config = &x->s->c->manifest.config};
        w->bare.max = w->dense.max = NX_BLOCK_MAX;
    }
    return NX_OK;
}

static nx_status finish(walk *x, nx_status st, nx_error *err)
{
    for (int i = 0; i < x->n_walkers; i++) {
        nx_walker *w = &x->walkers[i];
        if (!st && w->st) {
            st = w->st;
            if (err) *err = w->err;
        }
        nx_match_free(&w->match);
        nx_buf_free(&w->bare);
        nx_buf_free(&w->dense);
    }
    nx_free(x->walkers);
    nx_free(x->pieces);
    return st;
}

static nx_status cut_pieces(walk *x, nx_error *err)
{
    nx_snapshot *s = x->s;
    size_t       n = 0;

    for (int i = 0; i < s->n_segs; i++)
        n += (size_t)((s->segs[i]->head.n_rows + PIECE_ROWS - 1) / PIECE_ROWS);
    x->pieces = nx_alloc(n, sizeof *x->pieces);
    if (!x->pieces) return nx_fail(err, NX_ENOMEM, "a scan");
    for (int i = 0; i < s->n_segs; i++) {
        uint64_t rows = s->segs[i]->head.n_rows;
        for (uint64_t at = 0; at < rows; at += PIECE_ROWS)
            x->pieces[x->n_pieces++] =
                (piece){i, at, rows - at < PIECE_ROWS ? rows - at : PIECE_ROWS};
    }
    return NX_OK;
}

nx_status nx_walk(nx_snapshot *s, const nx_filter *filter, nx_walk_fn fn, void *ctx, nx_pool *pool,
                  nx_error *err)
{
    walk      x = {.s = s, .fn = fn, .ctx = ctx};
    nx_status st = cut_pieces(&x, err);

    if (!st) st = start(&x, filter, nx_walk_workers(pool), err);
    if (st) return finish(&x, st, err);
    x.walkers[0].st = walk_head(&x.walkers[0], s->head);
    if (!x.walkers[0].st && s->frozen) x.walkers[0].st = walk_head(&x.walkers[0], s->frozen);
    if (x.walkers[0].st) return finish(&x, NX_OK, err);
    if (pool && x.n_pieces > 1)
        nx_pool_run(pool, (int64_t)x.n_pieces, 1, walk_pieces, &x);
    else
        walk_pieces(&x, 0, 0, (int64_t)x.n_pieces);
    return finish(&x, NX_OK, err);
}

/* In which head it is, if it is in one. *done: nowhere else. */
static const nx_head_row *find_in_heads(const nx_snapshot *s, nx_point_id id, bool *done)
{
    nx_head *heads[] = {s->head, s->frozen};

    *done = false;
    for (int i = 0; i < 2 && !*done; i++) {
        uint32_t row = heads[i] ? nx_head_find(heads[i], id, s->seq, done) : NX_NO_ROW;
        if (row != NX_NO_ROW) return nx_head_row_at(heads[i], row);
    }
    return NULL;
}

static nx_status visit_id(nx_walker *w, nx_point_id id, size_t place)
{
    nx_snapshot       *s = w->walk->s;
    bool               done;
    const nx_head_row *row = find_in_heads(s, id, &done);

    if (row) return visit_head_row(w, row, place);
    for (int i = s->n_segs - 1; !done && i >= 0; i--) {
        uint64_t  at;
        bool      same;
        nx_status st = nx_seg_lower_bound(s->segs[i], &at, &same, id, &w->err);
        if (st) return st;
        if (same && nx_alive_at(nx_seg_death(s->segs[i], at), s->seq))
            return visit_seg_row(w, s->segs[i], at, id, place);
    }
    return NX_OK;
}

nx_status nx_walk_ids(nx_snapshot *s, const nx_point_id *ids, size_t n, nx_walk_fn fn, void *ctx,
                      nx_error *err)
{
    walk      x = {.s = s, .fn = fn, .ctx = ctx};
    nx_status st = start(&x, NULL, 1, err);

    for (size_t i = 0; !st && !x.walkers[0].st && i < n; i++)
        x.walkers[0].st = visit_id(&x.walkers[0], ids[i], i);
    return finish(&x, st, err);
}
