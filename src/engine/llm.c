/* llm.c - opens a model in the order in which it can be refused most cheaply. */
#include "engine/llm.h"

#include "base/alloc.h"

/* Some tokenizers know a few tokens that their model has no row for (Gemma 3's image token). */
#define N_ROWLESS_MAX 1024

/* Embeddings are often padded to a round number of rows that no token stands for. A trained model
 * never prefers them; should one be chosen all the same, as the original would, it says nothing. */
static nx_status check_vocab_size(const nx_llm *llm, nx_error *err)
{
    int32_t rows = llm->model->hp.n_vocab;
    int32_t n = llm->vocab ? nx_vocab_size(llm->vocab) : rows;

    if (n <= rows || (nx_checkpoint_version(llm->cp) == 0 && n - rows <= N_ROWLESS_MAX))
        return NX_OK;
    return nx_tensor_fail(llm->cp, "token_embd.weight", NX_EFORMAT, err,
                          "%d rows, expected at least %d, one for each token of the vocabulary. "
                          "Another model's tokenizer?",
                          rows, n);
}

static nx_status open_parts(nx_llm *llm, nx_error *err)
{
    nx_status st = nx_model_open(&llm->model, llm->cp, err);

    if (!st && nx_vocab_present(llm->cp)) st = nx_vocab_open(&llm->vocab, llm->cp, err);
    if (!st) st = check_vocab_size(llm, err);
    return st;
}

nx_status nx_llm_take(nx_llm **out, nx_checkpoint *cp, nx_backend *be, nx_error *err)
{
    nx_llm *llm = nx_calloc(1, sizeof *llm);

    *out = NULL;
    if (!llm) {
        nx_checkpoint_close(cp);
        be->ops->destroy(be);
        return nx_fail(err, NX_ENOMEM, "model");
    }
    llm->cp = cp;
    llm->be = be;
    nx_status st = open_parts(llm, err);
    if (st) {
        nx_llm_close(llm);
        return st;
    }
    *out = llm;
    return NX_OK;
}

nx_status nx_llm_open(nx_llm **out, const char *path, nx_backend *be, nx_error *err)
{
    nx_checkpoint *cp = NULL;

    *out = NULL;
    nx_status st = nx_checkpoint_open(&cp, path, err);
    if (st) {
        be->ops->destroy(be);
        return st;
    }
    nx_checkpoint_willneed(cp);
    return nx_llm_take(out, cp, be, err);
}

nx_status nx_llm_check_generates(const nx_llm *llm, nx_error *err)
{
    if (!llm->model->hp.both_ways) return NX_OK;
    return nx_fail(err, NX_EUNSUPPORTED,
                   "%.300s: a %s model, which generates no text. It embeds: nexus embed",
                   nx_checkpoint_path(llm->cp), llm->model->arch->title);
}

void nx_llm_close(nx_llm *llm)
{
    if (!llm) return;
    nx_model_close(llm->model);
    nx_vocab_close(llm->vocab);
    nx_checkpoint_close(llm->cp);
    llm->be->ops->destroy(llm->be);
    nx_free(llm);
}
