/* wordset.c - see wordset.h. */
#include "rag/wordset.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

void nx_wordset_free(nx_wordset *s)
{
    nx_free(s->ids);
    *s = (nx_wordset){0};
}

static bool add(nx_wordset *s, uint32_t id)
{
    if (s->n == s->cap) {
        size_t    cap = s->cap ? s->cap * 2 : 32;
        uint32_t *ids = nx_realloc(s->ids, cap, sizeof *ids);
        if (!ids) return false;
        s->ids = ids;
        s->cap = cap;
    }
    s->ids[s->n++] = id;
    return true;
}

typedef struct adding {
    nx_wordset *set;
    bool        failed;
} adding;

static bool add_word(void *ctx, nx_str word)
{
    adding *a = ctx;

    a->failed = !add(a->set, nx_bm25_id(word));
    return !a->failed;
}

static int by_id(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void tidy(nx_wordset *s)
{
    size_t n = 0;

    if (s->n == 0) return;
    qsort(s->ids, s->n, sizeof *s->ids, by_id);
    for (size_t i = 0; i < s->n; i++)
        if (i == 0 || s->ids[i] != s->ids[n - 1]) s->ids[n++] = s->ids[i];
    s->n = n;
}

/* ---- What words lose ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

static bool is_quote(char c)
{
    return strchr("()[]{}<>\"'`,;:!?*", c) != NULL;
}

/* A run without blanks, without what stands around it: "(--force)," is --force. */
static nx_str stripped(nx_str s)
{
    while (s.len && is_quote(s.p[0])) s.p++, s.len--;
    while (s.len && (is_quote(s.p[s.len - 1]) || s.p[s.len - 1] == '.')) s.len--;
    return s;
}

/* Has it a mark that words are cut at, and something besides? */
static bool is_special(nx_str s)
{
    bool mark = false, alnum = false;

    if (s.len < 2 || s.len > 200) return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (((c | 32) >= 'a' && (c | 32) <= 'z') || (c >= '0' && c <= '9'))
            alnum = true;
        else if (strchr("-/.=+@$%~#", c))
            mark = true;
    }
    return mark && alnum;
}

static bool add_specials(nx_wordset *s, nx_str text)
{
    for (size_t i = 0; i < text.len;) {
        size_t from = i;
        while (i < text.len && !is_blank(text.p[i])) i++;
        nx_str run = stripped((nx_str){text.p + from, i - from});
        if (is_special(run) && !add(s, nx_bm25_id(run))) return false;
        while (i < text.len && is_blank(text.p[i])) i++;
    }
    return true;
}

nx_status nx_wordset_read(nx_wordset *s, nx_words *w, nx_str text, nx_error *err)
{
    adding    a = {.set = s};
    nx_status st = nx_words_each(w, text, true, add_word, &a, err);

    if (!st && (a.failed || !add_specials(s, text)))
        st = nx_fail(err, NX_ENOMEM, "no memory for the words of a text");
    tidy(s);
    return st;
}

bool nx_wordset_has(const nx_wordset *s, uint32_t id)
{
    return s->n && bsearch(&id, s->ids, s->n, sizeof id, by_id) != NULL;
}

size_t nx_wordset_common(const nx_wordset *a, const nx_wordset *b)
{
    size_t n = 0;

    for (size_t i = 0; i < a->n; i++) n += nx_wordset_has(b, a->ids[i]);
    return n;
}
