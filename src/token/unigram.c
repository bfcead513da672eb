/* unigram.c - a trie of sorted texts, and the best way through a text (Viterbi).
 *
 * Trie:   the texts are sorted; a node is a range of them that agree so far, its children lie side
 *         by side, in order of their byte. The root's are found by a table, others by halving.
 * Walk:   nodes[i] is the best way known to the place i bytes after `base`. When no token reaches
 *         beyond the place at hand, all ways go through it: the way up to it is given out, and its
 *         sum is all that remains of it.
 */
#include "token/unigram.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"

#define UNKNOWN_PENALTY 10.0
#define TEXT_MAX        ((size_t)1 << 30)
#define NODES_MAX       ((size_t)1 << 31)

typedef struct trie_node {
    uint32_t kids;   /* index of the first */
    int32_t  token;  /* index into tokens, or -1 */
    uint16_t n_kids; /* 0 to 256 */
    uint8_t  label;
} trie_node;

typedef struct token {
    int32_t id;
    bool    favoured;
    double  score;
} token;

struct nx_unigram {
    trie_node         *nodes; /* [n_nodes]; 0 is the root */
    size_t             n_nodes, cap;
    token             *tokens;
    uint32_t           first[256]; /* the root's child, or 0 */
    nx_unigram_options options;
    double             unknown;
};

struct nx_unigram_node {
    double   score;
    int32_t  id;
    uint32_t len; /* of the token that ends here; 0: no way leads here yet */
};

/* ---- The trie --------------------------------------------------------------------------------- */

typedef struct entry {
    nx_str text;
    size_t at; /* index into the caller's tokens */
} entry;

static int by_text(const void *pa, const void *pb)
{
    const entry *a = pa, *b = pb;
    size_t       shorter = a->text.len < b->text.len ? a->text.len : b->text.len;
    int          order = shorter ? memcmp(a->text.p, b->text.p, shorter) : 0;

    if (order) return order;
    if (a->text.len != b->text.len) return a->text.len < b->text.len ? -1 : 1;
    return a->at < b->at ? -1 : a->at > b->at;
}

/* A range of entries that agree in their first `depth` bytes: what a trie node stands for. */
typedef struct range {
    size_t lo, hi, depth;
} range;

static nx_status add_node(nx_unigram *u, range **ranges, range r, uint8_t label, nx_error *err)
{
    if (u->n_nodes == u->cap) {
        size_t cap = u->cap ? u->cap + u->cap / 2 : 1024;
        if (cap > NODES_MAX) return nx_fail(err, NX_ELIMIT, "trie of %zu nodes", cap);
        trie_node *nodes = nx_realloc(u->nodes, cap, sizeof *nodes);
        if (nodes) u->nodes = nodes;
        range *more = nx_realloc(*ranges, cap, sizeof *more);
        if (more) *ranges = more;
        if (!nodes || !more) return nx_fail(err, NX_ENOMEM, "trie of %zu nodes", cap);
        u->cap = cap;
    }
    (*ranges)[u->n_nodes] = r;
    u->nodes[u->n_nodes++] = (trie_node){.token = -1, .label = label};
    return NX_OK;
}

/* The children of node i: one for each byte that its entries go on with. */
static nx_status add_kids(nx_unigram *u, range **ranges, const entry *entries, size_t i,
                          nx_error *err)
{
    range     r = (*ranges)[i];
    nx_status st = NX_OK;
    size_t    at = r.lo;

    for (; at < r.hi && entries[at].text.len == r.depth; at++) {
        u->nodes[i].token = (int32_t)entries[at].at; /* of equals the last one stays */
    }
    u->nodes[i].kids = (uint32_t)u->n_nodes;
    while (!st && at < r.hi) {
        uint8_t c = (uint8_t)entries[at].text.p[r.depth];
        range   kid = {.lo = at, .depth = r.depth + 1};
        while (at < r.hi && (uint8_t)entries[at].text.p[r.depth] == c) at++;
        kid.hi = at;
        st = add_node(u, ranges, kid, c, err);
        if (!st) u->nodes[i].n_kids++;
    }
    return st;
}

static nx_status build(nx_unigram *u, entry *entries, size_t n, nx_error *err)
{
    range    *ranges = NULL;
    nx_status st;

    if (n > 1) qsort(entries, n, sizeof *entries, by_text);
    st = add_node(u, &ranges, (range){.hi = n}, 0, err);
    for (size_t i = 0; !st && i < u->n_nodes; i++) st = add_kids(u, &ranges, entries, i, err);
    nx_free(ranges);
    for (uint32_t i = 0; !st && i < u->nodes[0].n_kids; i++) {
        uint32_t kid = u->nodes[0].kids + i;
        u->first[u->nodes[kid].label] = kid;
    }
    return st;
}

static nx_status copy_tokens(nx_unigram *u, entry *entries, const nx_unigram_token *tokens,
                             size_t n)
{
    size_t used = 0;

    for (size_t i = 0; i < n; i++) {
        u->tokens[i] = (token){tokens[i].id, tokens[i].favoured, tokens[i].score};
        if (u->options.single) u->tokens[i].score = (double)(float)tokens[i].score;
        if (tokens[i].text.len) entries[used++] = (entry){tokens[i].text, i};
    }
    return build(u, entries, used, NULL);
}

nx_status nx_unigram_create(nx_unigram **out, const nx_unigram_token *tokens, size_t n,
                            const nx_unigram_options *options, nx_error *err)
{
    nx_unigram *u = nx_calloc(1, sizeof *u);
    entry      *entries = nx_alloc(n, sizeof *entries);
    nx_status   st = NX_ENOMEM;

    *out = NULL;
    if (u) u->tokens = nx_alloc(n, sizeof *u->tokens);
    if (u && u->tokens && entries && n < INT32_MAX) {
        u->options = *options;
        u->unknown = options->score_min - UNKNOWN_PENALTY;
        if (options->single) u->unknown = (double)((float)options->score_min - 10.0f);
        st = copy_tokens(u, entries, tokens, n);
    }
    nx_free(entries);
    if (st) {
        nx_unigram_destroy(u);
        return nx_fail(err, st, "trie of %zu tokens", n);
    }
    *out = u;
    return NX_OK;
}

void nx_unigram_destroy(nx_unigram *u)
{
    if (!u) return;
    nx_free(u->nodes);
    nx_free(u->tokens);
    nx_free(u);
}

static const trie_node *kid_of(const nx_unigram *u, const trie_node *node, uint8_t c)
{
    const trie_node *kids = u->nodes + node->kids;
    uint32_t         lo = 0, hi = node->n_kids;

    if (node == u->nodes) return u->first[c] ? u->nodes + u->first[c] : NULL;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (kids[mid].label < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < node->n_kids && kids[lo].label == c ? kids + lo : NULL;
}

size_t nx_unigram_longest(const nx_unigram *u, const char *p, size_t len, int32_t *id)
{
    const trie_node *node = u->nodes;
    size_t           best = 0;

    for (size_t i = 0; i < len && (node = kid_of(u, node, (uint8_t)p[i])); i++) {
        if (node->token < 0) continue;
        *id = u->tokens[node->token].id;
        best = i + 1;
    }
    return best;
}

/* ---- The walk --------------------------------------------------------------------------------- */

typedef struct walk {
    const nx_unigram *u;
    nx_unigram_work  *w;
    const char       *text;
    size_t            len, base, reach; /* reach: the farthest place that a way leads to */
    nx_unigram_fn     on_token;
    void             *ctx;
} walk;

void nx_unigram_work_free(nx_unigram_work *w)
{
    nx_free(w->nodes);
    *w = (nx_unigram_work){0};
}

/* Room for the places up to `place`; those that are new have no way yet. */
static nx_status reach_to(walk *k, size_t place, nx_error *err)
{
    size_t n = place - k->base + 1;

    if (n > TEXT_MAX) return nx_fail(err, NX_ELIMIT, "over %zu bytes undecided", TEXT_MAX);
    if (n > k->w->cap) {
        size_t           cap = n + n / 2 + 256;
        nx_unigram_node *nodes = nx_realloc(k->w->nodes, cap, sizeof *nodes);
        if (!nodes) return nx_fail(err, NX_ENOMEM, "best way through %zu bytes", n);
        k->w->nodes = nodes;
        k->w->cap = cap;
    }
    for (; k->reach < place; k->reach++) {
        k->w->nodes[k->reach + 1 - k->base] = (nx_unigram_node){0};
    }
    return NX_OK;
}

/* The sum up to a token's end, rounded to a float where those are the judge's. */
static double sum(const nx_unigram *u, const token *t, size_t len, double before)
{
    double score = t->score;

    if (t->favoured) score = (double)(0.1f * (float)(len - 1));
    return u->options.single ? (double)((float)score + (float)before) : score + before;
}

static nx_status try_token(walk *k, size_t at, size_t len, int32_t id, double score, nx_error *err)
{
    nx_status        st = at + len > k->reach ? reach_to(k, at + len, err) : NX_OK;
    nx_unigram_node *n;

    if (st) return st;
    n = &k->w->nodes[at + len - k->base];
    if (n->len == 0 || score > n->score) {
        *n = (nx_unigram_node){.score = k->u->options.single ? (double)(float)score : score,
                               .id = id,
                               .len = (uint32_t)len};
    }
    return NX_OK;
}

/* All tokens that begin at `at`; where none covers just its first character, that one is unknown. */
static nx_status from_here(walk *k, size_t at, nx_error *err)
{
    const trie_node *node = k->u->nodes;
    double           before = k->w->nodes[at - k->base].score;
    bool             covered = false;
    size_t           n;
    nx_status        st = NX_OK;

    nx_utf8_decode(k->text + at, k->len - at, &n);
    for (size_t i = at; !st && i < k->len && (node = kid_of(k->u, node, (uint8_t)k->text[i]));
         i++) {
        if (node->token < 0) continue;
        const token *t = &k->u->tokens[node->token];
        size_t       len = i + 1 - at;
        st = try_token(k, at, len, t->id, sum(k->u, t, len, before), err);
        covered |= len == n;
    }
    if (st || covered) return st;
    double unknown = k->u->unknown + before;
    if (k->u->options.single) unknown = (double)((float)k->u->unknown + (float)before);
    return try_token(k, at, n, NX_UNIGRAM_UNKNOWN, unknown, err);
}

/* Give out the way from base to `at`, which then is the base. */
static nx_status give(walk *k, size_t at, nx_error *err)
{
    nx_unigram_node *nodes = k->w->nodes;
    double           score = nodes[at - k->base].score;
    nx_status        st = NX_OK;
    uint32_t         next = 0;
    int32_t          next_id = 0;

    /* Turn the links round: from the token that ends at a place to the one that begins there. */
    for (size_t i = at - k->base, len; i > 0; i -= len) {
        nx_unigram_node n = nodes[i];
        len = n.len;
        nodes[i].len = next;
        nodes[i].id = next_id;
        next = n.len;
        next_id = n.id;
    }
    nodes[0].len = next;
    nodes[0].id = next_id;
    for (size_t i = 0; !st && i < at - k->base;) {
        uint32_t len = nodes[i].len;
        st = k->on_token(k->ctx, nodes[i].id, k->text + k->base + i, len, err);
        i += len;
    }
    k->base = at;
    nodes[0] = (nx_unigram_node){.score = score};
    return st;
}

nx_status nx_unigram_encode(const nx_unigram *u, nx_unigram_work *w, const char *text, size_t len,
                            nx_unigram_fn on_token, void *ctx, nx_error *err)
{
    walk      k = {.u = u, .w = w, .text = text, .len = len, .on_token = on_token, .ctx = ctx};
    nx_status st = len ? reach_to(&k, 0, err) : NX_OK;

    if (st || len == 0) return st;
    w->nodes[0] = (nx_unigram_node){0};
    for (size_t at = 0; !st && at < len; at++) {
        if (at > k.base && at == k.reach) st = give(&k, at, err);
        if (!st && (at == k.base || w->nodes[at - k.base].len)) st = from_here(&k, at, err);
    }
    return st ? st : give(&k, len, err);
}
