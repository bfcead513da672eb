/* join.c - candidates become passages: neighbours of one document are one passage.
 *
 * Idea:   two chunks are neighbours when one follows the other in their document and their spans touch or
 *         overlap, and say the same where they do. What lies between spans that don't touch isn't known here, so
 *         they stay apart: a passage's text is always the very bytes of its document between its positions.
 */
#include <string.h>

#include "rag/retrieve_in.h"

typedef struct group {
    nx_prospect *members[NX_JOIN_MAX]; /* [n] in the document's order */
    nx_prospect *best;
    size_t       n; /* 0: it went into another */
} group;

typedef struct groups {
    group *list; /* [n], by their best */
    size_t n, n_alive;
} groups;

/* ---- Neighbours ---- */

static bool is_span(const nx_chunk_view *v)
{
    return v->end_pos > v->start_pos && v->end_pos - v->start_pos == v->text.len;
}

/* Does b follow a without a gap? */
static bool follows(const nx_chunk_view *a, const nx_chunk_view *b)
{
    if (nx_id_compare(a->doc, b->doc) != 0 || a->origin != b->origin) return false;
    if (b->chunk_id != a->chunk_id + 1 || !is_span(a) || !is_span(b)) return false;
    if (b->start_pos < a->start_pos || b->start_pos > a->end_pos || b->end_pos < a->end_pos)
        return false;
    size_t shared = (size_t)(a->end_pos - b->start_pos);
    return memcmp(a->text.p + (a->text.len - shared), b->text.p, shared) == 0;
}

static bool group_follows(const group *a, const group *b)
{
    return a->n + b->n <= NX_JOIN_MAX && follows(&a->members[a->n - 1]->view, &b->members[0]->view);
}

/* ---- Groups ---- */

/* b goes into a, which is the better one. */
static void merge(group *a, group *b)
{
    group first = group_follows(a, b) ? *a : *b, second = first.best == a->best ? *b : *a;

    for (size_t i = 0; i < second.n; i++) first.members[first.n++] = second.members[i];
    first.best = a->best;
    *a = first;
    b->n = 0;
}

/* Group i is new, or has grown: join what touches it. A group has one neighbour at most on either side. */
static void settle(groups *g, size_t i)
{
    for (bool again = true; again;) {
        again = false;
        for (size_t k = 0; k < g->n && !again; k++) {
            group *a = &g->list[k < i ? k : i], *b = &g->list[k < i ? i : k];
            if (k == i || a->n == 0 || b->n == 0) continue;
            if (!group_follows(a, b) && !group_follows(b, a)) continue;
            merge(a, b);
            g->n_alive--;
            if (k < i) i = k;
            again = true;
        }
    }
}

static nx_status make_groups(nx_retrieval *r, groups *g)
{
    g->list = nx_arena_alloc(&r->arena, r->n + 1, sizeof *g->list);
    if (!g->list) return nx_fail(r->err, NX_ENOMEM, "passages");
    for (size_t i = 0; i < r->n; i++) {
        if (r->list[i].gone) continue;
        g->list[g->n++] = (group){.members = {&r->list[i]}, .best = &r->list[i], .n = 1};
        g->n_alive++;
        if (!r->q->no_join) settle(g, g->n - 1);
        if (g->n_alive <= (size_t)r->q->top_k) continue;
        g->n_alive--;
        g->n--; /* one more than is wanted, and it belongs to none of them */
        break;
    }
    return NX_OK;
}

/* ---- Passages: all they hold is copied ---- */

/* Room in the passages' memory; NULL sets the error. */
static void *keep(nx_retrieval *r, size_t n, size_t size)
{
    void *p = nx_arena_alloc(&r->out->arena, n, size);

    if (!p) nx_fail(r->err, NX_ENOMEM, "a passage");
    return p;
}

static nx_status copy_view(nx_retrieval *r, nx_chunk_view *out, const nx_chunk_view *v)
{
    uint8_t *bytes = keep(r, v->payload.n, 1);

    if (!bytes) return NX_ENOMEM;
    memcpy(bytes, v->payload.p, v->payload.n);
    return nx_chunk_view_read(out, v->id, (nx_value){bytes, v->payload.n}, r->err);
}

/* Text and positions of all members, around the view of the best. */
static nx_status join_views(nx_retrieval *r, nx_chunk_view *out, const group *g)
{
    const nx_chunk_view *first = &g->members[0]->view, *last = &g->members[g->n - 1]->view;
    size_t               len = (size_t)(last->end_pos - first->start_pos);
    char                *text = keep(r, len + 1, 1);

    if (!text) return NX_ENOMEM;
    out->n_tokens = 0;
    for (size_t i = 0; i < g->n; i++) {
        const nx_chunk_view *v = &g->members[i]->view;
        memcpy(text + (size_t)(v->start_pos - first->start_pos), v->text.p, v->text.len);
        out->n_tokens += v->n_tokens;
        if (v->page && (!out->page || v->page < out->page)) out->page = v->page;
        if (v->page_end > out->page_end) out->page_end = v->page_end;
    }
    out->text = (nx_str){text, len};
    out->start_pos = first->start_pos;
    out->start_char = first->start_char;
    out->end_pos = last->end_pos;
    out->end_char = last->end_char;
    r->out->n_joined += g->n - 1;
    return NX_OK;
}

static nx_status write_matched(nx_retrieval *r, nx_str *out, uint64_t bits)
{
    size_t len = 0;

    for (size_t i = 0; i < r->asked.n; i++)
        if (bits >> i & 1) len += r->asked.words[i].len + 1;
    char *text = keep(r, len + 1, 1);
    if (!text) return NX_ENOMEM;
    *out = (nx_str){text, 0};
    for (size_t i = 0; i < r->asked.n; i++) {
        nx_str word = r->asked.words[i];
        if (!(bits >> i & 1)) continue;
        if (out->len) text[out->len++] = ' ';
        memcpy(text + out->len, word.p, word.len);
        out->len += word.len;
    }
    return NX_OK;
}

static nx_status write_also(nx_retrieval *r, nx_passage *p, const nx_prospect *c)
{
    nx_str *also = keep(r, (size_t)c->n_folded + 1, sizeof *also);

    if (!also) return NX_ENOMEM;
    for (int32_t i = 0; i < c->n_folded; i++) {
        char *text = keep(r, c->also[i].len + 1, 1);
        if (!text) return NX_ENOMEM;
        if (c->also[i].len) memcpy(text, c->also[i].p, c->also[i].len);
        also[i] = (nx_str){text, c->also[i].len};
    }
    p->also = also;
    p->n_folded = c->n_folded;
    return NX_OK;
}

/* Near duplicates of the other members are left out: they stand for less than the passage. */
static nx_status write_passage(nx_retrieval *r, nx_passage *p, const group *g)
{
    const nx_prospect *best = g->best;
    uint64_t           matched = 0;
    nx_point_id       *ids = keep(r, g->n, sizeof *ids);

    if (!ids) return NX_ENOMEM;
    *p = (nx_passage){.ids = ids,
                      .n_ids = (int32_t)g->n,
                      .score = (float)best->score,
                      .has_dense = best->has_dense,
                      .dense = best->dense,
                      .words = best->words,
                      .rank_dense = best->rank_dense,
                      .rank_words = best->rank_words,
                      .has_rerank = best->has_rerank,
                      .rerank = best->rerank};
    for (size_t i = 0; i < g->n; i++) {
        ids[i] = g->members[i]->id;
        matched |= g->members[i]->matched;
    }
    nx_status st = copy_view(r, &p->chunk, &best->view);
    if (!st && g->n > 1) st = join_views(r, &p->chunk, g);
    if (!st) st = write_also(r, p, best);
    return st ? st : write_matched(r, &p->matched, matched);
}

nx_status nx_retrieval_join(nx_retrieval *r)
{
    groups    g = {0};
    nx_status st = make_groups(r, &g);

    if (!st) {
        r->out->passages = keep(r, g.n_alive + 1, sizeof *r->out->passages);
        if (!r->out->passages) st = NX_ENOMEM;
    }
    for (size_t i = 0; !st && i < g.n; i++) {
        if (g.list[i].n == 0) continue;
        st = write_passage(r, &r->out->passages[r->out->n], &g.list[i]);
        if (!st) r->out->n++;
    }
    return st;
}
