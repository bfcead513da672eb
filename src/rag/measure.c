/* measure.c - recall@k, MRR and nDCG@10 of lists of results. */
#include "rag/measure.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"

enum { NDCG_AT = 10 };

bool nx_source_is(nx_str source, nx_str name)
{
    if (name.len == 0 || source.len < name.len) return false;
    size_t before = source.len - name.len;
    if (memcmp(source.p + before, name.p, name.len) != 0) return false;
    return before == 0 || source.p[before - 1] == '/';
}

/* ---- Figures ---- */

static double gain(size_t place) /* from 0 */
{
    return 1 / log2((double)place + 2);
}

/* new_at[i]: how many right ones place i holds that no place before it held; of n_right in all. */
static void add(nx_measure *m, const size_t *new_at, size_t n, size_t n_right, size_t *rank)
{
    size_t seen = 0, first = 0;
    double dcg = 0, ideal = 0;

    for (size_t i = 0; i < n; i++) {
        if (!new_at[i]) continue;
        if (!first) first = i + 1;
        if (i < (size_t)m->k) seen += new_at[i];
        if (i < NDCG_AT) dcg += (double)new_at[i] * gain(i);
    }
    for (size_t i = 0; i < n_right && i < NDCG_AT; i++) ideal += gain(i);
    m->n++;
    m->recall += (double)seen / (double)n_right;
    m->mrr += first ? 1 / (double)first : 0;
    m->ndcg += dcg < ideal ? dcg / ideal : 1; /* a passage may hold two spans */
    if (rank) *rank = first;
}

nx_figures nx_measure_figures(const nx_measure *m)
{
    double n = m->n ? (double)m->n : 1;

    return (nx_figures){m->recall / n, m->mrr / n, m->ndcg / n};
}

/* ---- By document ---- */

static bool came_before(const nx_found *found, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (nx_str_eq(found[k].source, found[i].source)) return true;
    return false;
}

nx_status nx_measure_documents(nx_measure *m, const nx_gold *g, const nx_found *found, size_t n,
                               size_t *rank, nx_error *err)
{
    size_t  n_places = 0;
    size_t *new_at = nx_calloc(n + 1, sizeof *new_at);
    bool   *seen = nx_calloc(g->n_documents + 1, sizeof *seen);

    for (size_t i = 0; new_at && seen && i < n; i++) {
        if (came_before(found, i)) continue;
        for (size_t d = 0; d < g->n_documents; d++) {
            if (seen[d] || !nx_source_is(found[i].source, g->documents[d])) continue;
            seen[d] = true;
            new_at[n_places]++;
        }
        n_places++;
    }
    nx_status st = new_at && seen ? NX_OK : nx_fail(err, NX_ENOMEM, "figures");
    if (!st) add(m, new_at, n_places, g->n_documents, rank);
    nx_free(new_at);
    nx_free(seen);
    return st;
}

/* ---- By span ---- */

static bool counts(unsigned char c)
{
    return c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Letters and digits, small; out has room for text.len. */
static size_t bare(char *out, nx_str text)
{
    size_t n = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.p[i];
        if (!counts((unsigned char)c)) continue;
        out[n++] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
    }
    return n;
}

static bool stands_in(const char *a, size_t n, const char *b, size_t m)
{
    for (size_t i = 0; i + m <= n; i++)
        if (memcmp(a + i, b, m) == 0) return true;
    return false;
}

static nx_status holds(bool *out, nx_str text, nx_str span, nx_error *err)
{
    char *a = nx_alloc(text.len + span.len + 1, 1);

    if (!a) return nx_fail(err, NX_ENOMEM, "figures");
    char  *b = a + text.len;
    size_t n = bare(a, text), m = bare(b, span);
    *out = stands_in(a, n, b, m);
    nx_free(a);
    return NX_OK;
}

nx_status nx_measure_spans(nx_measure *m, const nx_gold *g, const nx_found *found, size_t n,
                           size_t *rank, nx_error *err)
{
    size_t   *new_at = nx_calloc(n + 1, sizeof *new_at);
    bool     *seen = nx_calloc(g->n_spans + 1, sizeof *seen), here = false;
    nx_status st = new_at && seen ? NX_OK : nx_fail(err, NX_ENOMEM, "figures");

    for (size_t i = 0; !st && i < n; i++) {
        for (size_t s = 0; !st && s < g->n_spans; s++) {
            if (seen[s] || !nx_source_is(found[i].source, g->spans[s].source)) continue;
            st = holds(&here, found[i].text, g->spans[s].text, err);
            if (st || !here) continue;
            seen[s] = true;
            new_at[i]++;
        }
    }
    if (!st) add(m, new_at, n, g->n_spans, rank);
    nx_free(new_at);
    nx_free(seen);
    return st;
}
