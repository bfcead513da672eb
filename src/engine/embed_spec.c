/* embed_spec.c - reads what a checkpoint says of embedding. */
#include "engine/embed_spec.h"

#include <stdio.h>

#include "format/printable.h"

#define KEY "nexus.embedding."

enum { POOLING_NONE = 0, POOLING_MAX = 1000, PROMPT_MAX = 4096 };

static const char *pooling_key(char *out, size_t cap, const nx_checkpoint *cp)
{
    nx_str arch = {0};
    char   shown[64];

    nx_meta_string(cp, "general.architecture", &arch, false, NULL);
    snprintf(out, cap, "%s.pooling_type", nx_printable(shown, sizeof shown, arch));
    return out;
}

static const nx_arch *arch_of(const nx_checkpoint *cp)
{
    nx_str name = {0};

    nx_meta_string(cp, "general.architecture", &name, false, NULL);
    for (const nx_arch *const *a = nx_arch_list(); *a; a++)
        if (nx_str_eq(name, nx_str_of((*a)->name))) return *a;
    return NULL;
}

int64_t nx_embed_pooling_of(const nx_checkpoint *cp)
{
    char    key[96];
    int64_t type = POOLING_NONE;

    if (nx_meta_int(cp, pooling_key(key, sizeof key, cp), &type, 0, POOLING_MAX, false, NULL))
        return POOLING_NONE;
    return type;
}

bool nx_embed_spec_present(const nx_checkpoint *cp)
{
    const nx_arch *arch = arch_of(cp);
    char           key[96];

    return nx_embed_pooling_of(cp) != NX_POOLING_RANK &&
           ((arch && arch->encoder) ||
            nx_checkpoint_meta(cp, pooling_key(key, sizeof key, cp)) != NULL);
}

static nx_status read_pooling(nx_embed_spec *s, const nx_checkpoint *cp, const nx_model *m,
                              nx_error *err)
{
    char      key[96];
    int64_t   type = POOLING_NONE;
    nx_status st =
        nx_meta_int(cp, pooling_key(key, sizeof key, cp), &type, 0, POOLING_MAX, false, err);

    if (st) return st;
    if (type == POOLING_NONE && !m->arch->encoder)
        return nx_fail(err, NX_EUNSUPPORTED,
                       "%.300s: a model that generates text. Embeddings need one that was made for "
                       "them",
                       nx_checkpoint_path(cp));
    if (type == POOLING_NONE) type = NX_POOLING_MEAN;
    if (type == NX_POOLING_RANK)
        return nx_fail(err, NX_EUNSUPPORTED,
                       "%.300s: a reranker, which makes no vectors. Name an embedding model",
                       nx_checkpoint_path(cp));
    if (type > NX_POOLING_LAST)
        return nx_meta_fail(cp, key, NX_EUNSUPPORTED, err,
                            "%lld, expected 1 (mean), 2 (cls) or 3 (last)", (long long)type);
    s->pooling = (nx_pooling)type;
    return NX_OK;
}

static nx_status read_length(nx_embed_spec *s, const nx_checkpoint *cp, const nx_model *m,
                             nx_error *err)
{
    int64_t   n = m->hp.n_ctx;
    nx_status st = nx_meta_int(cp, KEY "length_max", &n, 3, INT32_MAX, false, err);

    s->length_max = n < m->hp.n_ctx ? (int32_t)n : m->hp.n_ctx;
    return st;
}

static nx_status read_prompts(nx_embed_spec *s, const nx_checkpoint *cp, nx_error *err)
{
    static const char *const keys[NX_INPUT_TYPES] = {KEY "prompt", KEY "prompt_query",
                                                     KEY "prompt_passage"};
    nx_status                st = NX_OK;

    for (int i = 0; !st && i < NX_INPUT_TYPES; i++) {
        st = nx_meta_string(cp, keys[i], &s->prompt[i], false, err);
        if (!st && s->prompt[i].len > PROMPT_MAX)
            st = nx_meta_fail(cp, keys[i], NX_ELIMIT, err, "%zu bytes, at most %d",
                              s->prompt[i].len, PROMPT_MAX);
    }
    return st;
}

nx_status nx_embed_spec_read(nx_embed_spec *out, const nx_checkpoint *cp, const nx_model *m,
                             nx_error *err)
{
    *out = (nx_embed_spec){.normalise = true, .pools_prompt = true};
    nx_status st = read_pooling(out, cp, m, err);
    if (!st) st = read_length(out, cp, m, err);
    if (!st) st = nx_meta_bool(cp, KEY "normalise", &out->normalise, false, err);
    if (!st) st = nx_meta_bool(cp, KEY "pools_prompt", &out->pools_prompt, false, err);
    if (!st) st = nx_meta_bool(cp, KEY "lowercase", &out->lowercase, false, err);
    return st ? st : read_prompts(out, cp, err);
}

const char *nx_pooling_name(nx_pooling pooling)
{
    static const char *const names[] = {"none", "mean", "cls", "last", "rank"};

    return names[pooling];
}

const char *nx_embed_alias(nx_str name)
{
    static const char *const names[][2] = {
        {"fast", "sentence-transformers/all-MiniLM-L6-v2"},
        {"balanced", "sentence-transformers/all-mpnet-base-v2"},
        {"quality", "sentence-transformers/all-MiniLM-L12-v2"},
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (nx_str_eq(name, nx_str_of(names[i][0]))) return names[i][1];
    return NULL;
}
