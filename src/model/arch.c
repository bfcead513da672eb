/* arch.c - which architectures there are. */
#include "model/arch.h"

#include <stdio.h>
#include <string.h>

#include "format/printable.h"

static const nx_arch *const archs[] = {
    &nx_arch_llama,
    &nx_arch_qwen2,
    &nx_arch_qwen2moe,
    &nx_arch_qwen3,
    &nx_arch_qwen3moe,
    &nx_arch_gemma2,
    &nx_arch_gemma3,
    &nx_arch_phi3,
    &nx_arch_gpt2,
    &nx_arch_gptneox,
    &nx_arch_olmo2,
    &nx_arch_starcoder2,
    &nx_arch_granite,
    &nx_arch_smollm3,
    &nx_arch_bert,
    &nx_arch_mpnet,
    &nx_arch_nomic_bert,
    &nx_arch_modern_bert,
    NULL,
};

const nx_arch *const *nx_arch_list(void)
{
    return archs;
}

nx_status nx_arch_find(const nx_arch **out, const nx_checkpoint *cp, nx_error *err)
{
    char      known[512] = "", shown[64];
    nx_str    name;
    nx_status st = nx_meta_string(cp, "general.architecture", &name, true, err);

    if (st) return st;
    for (const nx_arch *const *a = archs; *a; a++) {
        if (nx_str_eq(name, nx_str_of((*a)->name))) {
            *out = *a;
            return NX_OK;
        }
        size_t len = strlen(known);
        snprintf(known + len, sizeof known - len, "%s%s (%s)", len ? ", " : "", (*a)->name,
                 (*a)->title);
    }
    return nx_meta_fail(cp, "general.architecture", NX_EUNSUPPORTED, err,
                        "architecture \"%s\" is not supported (supported: %s)",
                        nx_printable(shown, sizeof shown, name), known);
}
