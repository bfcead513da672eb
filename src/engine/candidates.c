/* candidates.c - selection and cuts over candidate tokens. */
#include "engine/candidates.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

struct nx_surprise {
    double distance; /* | -log p - entropy | */
    size_t rank;     /* place in the sorted set: breaks ties towards the likelier */
};

nx_status nx_candidates_open(nx_candidates *s, size_t n_max, bool with_typical, nx_error *err)
{
    *s = (nx_candidates){.c = nx_alloc(n_max, sizeof *s->c)};
    if (with_typical) {
        s->scratch = nx_alloc(n_max, sizeof *s->scratch);
        s->surprises = nx_alloc(n_max, sizeof *s->surprises);
    }
    if (s->c && (!with_typical || (s->scratch && s->surprises))) return NX_OK;
    nx_candidates_close(s);
    return nx_fail(err, NX_ENOMEM, "%zu candidate tokens", n_max);
}

void nx_candidates_close(nx_candidates *s)
{
    nx_free(s->c);
    nx_free(s->scratch);
    nx_free(s->surprises);
    *s = (nx_candidates){0};
}

int nx_candidate_order(const void *a, const void *b)
{
    const nx_candidate *x = a, *y = b;

    if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static void swap(nx_candidate *a, nx_candidate *b)
{
    nx_candidate t = *a;
    *a = *b;
    *b = t;
}

/* Hoare's quickselect: afterwards c[0..k) are the k first of the order, in any order. */
static void select_first(nx_candidate *c, size_t n, size_t k)
{
    size_t lo = 0, hi = n;

    while (hi - lo > 1) {
        nx_candidate pivot = c[lo + (hi - lo) / 2];
        size_t       i = lo, j = hi - 1;
        for (;;) {
            while (nx_candidate_order(&c[i], &pivot) < 0) i++;
            while (nx_candidate_order(&pivot, &c[j]) < 0) j--;
            if (i >= j) break;
            swap(&c[i++], &c[j--]);
        }
        size_t split = j + 1; /* [lo, split) come before [split, hi) */
        if (split >= hi) split = hi - 1;
        if (k == split) return;
        if (k < split)
            hi = split;
        else
            lo = split;
    }
}

void nx_candidates_sort(nx_candidates *s, size_t k)
{
    if (k > s->n) k = s->n;
    if (k <= s->n_sorted) return;
    size_t from = s->n_sorted;
    if (k < s->n) select_first(s->c + from, s->n - from, k - from);
    qsort(s->c + from, k - from, sizeof *s->c, nx_candidate_order);
    s->n_sorted = k;
}

static void cut(nx_candidates *s, size_t n)
{
    s->n = n;
    if (s->n_sorted > n) s->n_sorted = n;
}

void nx_candidates_top_k(nx_candidates *s, size_t k)
{
    if (k >= s->n) return;
    nx_candidates_sort(s, k);
    cut(s, k);
}

/* Sum over the set of e^(logit - logit of the likeliest). The first is the likeliest. */
static double total_mass(const nx_candidates *s)
{
    double max = (double)s->c[0].logit, sum = 0;

    for (size_t i = 0; i < s->n; i++) sum += exp((double)s->c[i].logit - max);
    return sum;
}

void nx_candidates_top_p(nx_candidates *s, double p)
{
    nx_candidates_sort(s, 1);
    double max = (double)s->c[0].logit;
    double want = p * total_mass(s), mass = 0;

    for (size_t i = 0; i < s->n; i++) {
        /* Sort a little ahead: the answer is nearly always among the first few. */
        if (i >= s->n_sorted) nx_candidates_sort(s, i < 64 ? 64 : 4 * i);
        mass += exp((double)s->c[i].logit - max);
        if (mass >= want) {
            cut(s, i + 1);
            return;
        }
    }
}

void nx_candidates_min_p(nx_candidates *s, double p)
{
    nx_candidates_sort(s, 1);
    double least = (double)s->c[0].logit + log(p);
    size_t n = 0;

    /* Stable, so what was sorted stays sorted. */
    size_t sorted = 0;
    for (size_t i = 0; i < s->n; i++) {
        if ((double)s->c[i].logit < least) continue;
        if (i < s->n_sorted) sorted++;
        s->c[n++] = s->c[i];
    }
    s->n = n;
    s->n_sorted = sorted;
}

/* ---- Locally typical sampling (Meister et al. 2023, arXiv 2202.00666) ---- */

static int surprise_order(const void *a, const void *b)
{
    const nx_surprise *x = a, *y = b;

    if (x->distance != y->distance) return x->distance < y->distance ? -1 : 1;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

void nx_candidates_typical(nx_candidates *s, double p)
{
    nx_candidates_sort(s, s->n);
    double       max = (double)s->c[0].logit, total = total_mass(s), entropy = 0, mass = 0;
    nx_surprise *by = s->surprises;

    for (size_t i = 0; i < s->n; i++) {
        double log_p = (double)s->c[i].logit - max - log(total);
        entropy -= exp(log_p) * log_p;
    }
    for (size_t i = 0; i < s->n; i++) {
        double log_p = (double)s->c[i].logit - max - log(total);
        by[i] = (nx_surprise){fabs(-log_p - entropy), i};
    }
    qsort(by, s->n, sizeof *by, surprise_order);
    size_t n = 0;
    while (n < s->n && mass < p) {
        s->scratch[n] = s->c[by[n].rank];
        mass += exp((double)s->scratch[n].logit - max) / total;
        n++;
    }
    memcpy(s->c, s->scratch, n * sizeof *s->c);
    s->n = n;
    s->n_sorted = 0;
}

int32_t nx_candidates_draw(nx_candidates *s, double temperature, double u)
{
    double sum = 0, at = 0;

    nx_candidates_sort(s, 1);
    double max = (double)s->c[0].logit;
    for (size_t i = 0; i < s->n; i++) sum += exp(((double)s->c[i].logit - max) / temperature);
    double want = u * sum;
    for (size_t i = 0; i < s->n; i++) {
        if (i >= s->n_sorted) nx_candidates_sort(s, i < 64 ? 64 : 4 * i);
        at += exp(((double)s->c[i].logit - max) / temperature);
        if (at > want) return s->c[i].id;
    }
    return s->c[s->n - 1].id; /* u * sum rounded up to sum */
}
