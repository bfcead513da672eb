/* chunks.c - a text as pieces, and means with their errors. */
#include "cli/chunks.h"

#include <math.h>
#include <string.h>

#include "os/file.h"

#define FILE_MAX ((size_t)1 << 32)

nx_status nx_text_chunks_read_ids(nx_ids *out, const nx_vocab *vocab, const char *path,
                                  int64_t n_min, nx_error *err)
{
    nx_buf    text = {.max = FILE_MAX};
    nx_status st;

    if (!vocab)
        return nx_fail(err, NX_EUNSUPPORTED, "the model has no vocabulary, so it can't read text");
    if (strcmp(path, "-") == 0)
        st = nx_fd_read_all(&text, 0, "stdin", err);
    else
        st = nx_file_read_all(&text, path, err);
    if (!st)
        st = nx_vocab_encode(vocab, out, text.data ? text.data : "", text.len,
                             NX_ENCODE_ADD_SPECIAL, err);
    nx_buf_free(&text);
    if (!st && (int64_t)out->n < n_min)
        st = nx_fail(err, NX_EINVAL,
                     "%s: %zu tokens, expected at least %lld. Use a longer text or a smaller --ctx",
                     path, out->n, (long long)n_min);
    return st;
}

nx_status nx_text_chunks_read(nx_text_chunks *c, const nx_vocab *vocab, const char *path,
                              int32_t n_ctx, int32_t n_max, nx_error *err)
{
    *c = (nx_text_chunks){.n_ctx = n_ctx, .bos = -1, .n_quiet = n_ctx / 2};
    nx_status st = nx_text_chunks_read_ids(&c->ids, vocab, path, n_ctx, err);
    if (st) return st;
    const nx_vocab_special *special = nx_vocab_special_ids(vocab);
    if (special->add_bos) c->bos = special->bos;
    c->n_rows = n_ctx - 1 - c->n_quiet;
    c->n = (int64_t)c->ids.n / n_ctx;
    if (n_max && n_max < c->n) c->n = n_max;
    return NX_OK;
}

void nx_text_chunks_free(nx_text_chunks *c)
{
    nx_ids_free(&c->ids);
    *c = (nx_text_chunks){0};
}

const int32_t *nx_text_chunks_at(nx_text_chunks *c, int64_t i)
{
    int32_t *chunk = c->ids.ids + i * c->n_ctx;

    if (c->bos >= 0) chunk[0] = c->bos;
    return chunk;
}

void nx_tally_add(nx_tally *t, double x)
{
    t->n++;
    t->sum += x;
    t->sum_squares += x * x;
}

double nx_tally_mean(const nx_tally *t)
{
    return t->sum / (double)t->n;
}

double nx_tally_standard_error(const nx_tally *t)
{
    if (t->n < 2) return 0;
    double variance = t->sum_squares / (double)t->n - nx_tally_mean(t) * nx_tally_mean(t);
    return variance > 0 ? sqrt(variance / (double)(t->n - 1)) : 0;
}
