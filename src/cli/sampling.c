/* sampling.c - how an answer is chosen, from the options; and the figures at its end. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/cli.h"
#include "os/random.h"

void nx_sampling_default(nx_sampling *s)
{
    *s = (nx_sampling){.n_predict = 256};
    nx_sampler_options_default(&s->opt);
    s->opt.seed = 0;
}

void nx_sampling_free(nx_sampling *s)
{
    nx_texts_free(&s->stop);
    nx_texts_free(&s->bias);
}

/* "403=-2.5" */
static nx_status parse_bias(nx_logit_bias *out, const char *text, int32_t n_vocab, nx_error *err)
{
    const char *eq = strchr(text, '=');
    char        id_text[24];
    int64_t     id = 0;
    double      bias = 0;
    nx_status   st;

    if (!eq || eq - text >= (ptrdiff_t)sizeof id_text)
        return nx_fail(err, NX_EINVAL, "--logit-bias: expected ID=X, found '%s'", text);
    snprintf(id_text, sizeof id_text, "%.*s", (int)(eq - text), text);
    st = nx_parse_int(&id, id_text, 0, n_vocab - 1, err);
    if (!st) st = nx_parse_float(&bias, eq + 1, -INFINITY, 1e6, false, err);
    if (st) return nx_fail_prefix(err, st, "--logit-bias %s", text);
    *out = (nx_logit_bias){(int32_t)id, (float)bias};
    return NX_OK;
}

int nx_sampling_check(const nx_sampling *s, const char *command)
{
    nx_logit_bias unused;
    nx_error      err;

    for (size_t i = 0; i < s->stop.n; i++)
        if (s->stop.v[i].len == 0)
            return nx_cli_misuse(command, "--stop: the text is empty: every answer would end "
                                          "before it begins");
    for (size_t i = 0; i < s->bias.n; i++)
        if (parse_bias(&unused, s->bias.v[i].p, INT32_MAX, &err))
            return nx_cli_misuse(command, "%s", err.text);
    return NX_CLI_GO;
}

nx_status nx_sampling_open(nx_sampler **out, nx_sampling *s, int32_t n_vocab, nx_error *err)
{
    nx_logit_bias *bias = nx_alloc(s->bias.n, sizeof *bias);
    nx_status      st = NX_OK;

    *out = NULL;
    if (!bias) return nx_fail(err, NX_ENOMEM, "logit biases");
    for (size_t i = 0; i < s->bias.n && !st; i++)
        st = parse_bias(&bias[i], s->bias.v[i].p, n_vocab, err);
    if (s->opt.seed == 0) s->opt.seed = nx_random_seed();
    s->opt.bias = bias;
    s->opt.n_bias = s->bias.n;
    if (!st) st = nx_sampler_create(out, &s->opt, n_vocab, err); /* copies the biases */
    s->opt.bias = NULL;
    s->opt.n_bias = 0;
    nx_free(bias);
    return st;
}

/* ", 812/s", or nothing when too little happened to measure. */
static void rate_text(char *out, size_t cap, int32_t n, double s)
{
    char rate[32];

    out[0] = '\0';
    if (n < 1 || s <= 0) return;
    nx_format_count(rate, sizeof rate, n / s);
    snprintf(out, cap, ", %s tok/s", rate);
}

void nx_sampling_figures(nx_log_level level, const nx_generation *g, double first_s, uint64_t seed)
{
    char prompt_rate[48], new_rate[48], first[48] = "";

    rate_text(prompt_rate, sizeof prompt_rate, g->n_prompt, g->prefill_s);
    /* decode_s begins with the first token, so it covers one less. */
    rate_text(new_rate, sizeof new_rate, g->n_new - 1, g->decode_s);
    if (first_s >= 1)
        snprintf(first, sizeof first, " · first after %.2f s", first_s);
    else if (first_s > 0)
        snprintf(first, sizeof first, " · first after %.0f ms", first_s * 1e3);
    nx_log(level, "prompt %d tokens%s · %d new%s%s · seed %llu", (int)g->n_prompt, prompt_rate,
           (int)g->n_new, new_rate, first, (unsigned long long)seed);
}
