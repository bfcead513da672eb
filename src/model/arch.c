/* arch.c - which architectures there are. */
#include "model/arch.h"

#include <string.h>

static const nx_arch_plan *const plans[] = {&nx_arch_llama};

#define N_PLANS (sizeof plans / sizeof *plans)

const nx_arch_plan *nx_arch_find(nx_str name)
{
    for (size_t i = 0; i < N_PLANS; i++)
        if (nx_str_eq(name, nx_str_of(plans[i]->arch.name))) return plans[i];
    return NULL;
}

const nx_arch *const *nx_arch_list(void)
{
    static const nx_arch *const list[] = {&nx_arch_llama.arch, NULL};

    _Static_assert(sizeof list / sizeof *list == N_PLANS + 1, "every plan is listed");
    return list;
}

int64_t nx_side_length(const nx_hparams *hp, nx_side side)
{
    switch (side) {
    case NX_SIDE_ONE: return 1;
    case NX_SIDE_EMBD: return hp->n_embd;
    case NX_SIDE_FF: return hp->n_ff;
    case NX_SIDE_Q: return (int64_t)hp->n_heads * hp->head_dim;
    case NX_SIDE_KV: return (int64_t)hp->n_heads_kv * hp->head_dim;
    }
    return 0;
}
