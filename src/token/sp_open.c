/* sp_open.c - tokenizer.model of a Hugging Face folder, with what the JSON files beside it say. */
#include "base/alloc.h"
#include "token/side.h"
#include "token/sp.h"

static nx_status create(nx_vocab **out, nx_spmodel *m, nx_side *side, const nx_checkpoint *cp,
                        nx_error *err)
{
    nx_sp_options o = {.cp = cp,
                       .add_bos = side->add_bos,
                       .add_eos = side->add_eos,
                       .special = side->special,
                       .added = side->texts,
                       .added_types = side->types,
                       .n_added = side->n_added,
                       .first_prefix_only = side->first_prefix_only};
    nx_status     st = nx_sp_create(out, m, &o, err);

    if (st) return st;
    ((nx_sp *)(*out)->impl)->texts = nx_side_take_texts(side);
    nx_side_mark_ends(side, *out);
    return NX_OK;
}

nx_status nx_sp_open(nx_vocab **out, const nx_checkpoint *cp, const char *name, nx_str bytes,
                     nx_error *err)
{
    nx_spmodel m;
    nx_status  st = nx_spmodel_read(&m, name, bytes, err);
    nx_side    side = {.base_texts = m.texts, .base_types = m.types, .n_base = m.n};

    *out = NULL;
    if (!st) st = nx_side_read(&side, cp, err);
    if (!st) st = create(out, &m, &side, cp, err);
    nx_spmodel_free(&m);
    nx_side_free(&side);
    return st ? nx_fail_prefix(err, st, "%s", nx_checkpoint_path(cp)) : NX_OK;
}
