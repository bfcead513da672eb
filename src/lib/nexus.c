/* nexus.c - the public API: handles around engine/, arguments checked, errors always written.
 *
 * Idea: each call translates options, calls one function beneath, and keeps nothing of its own
 *       but the two handles.
 */
#include "nexus/nexus.h"

#include <string.h>

#include "base/alloc.h"
#include "engine/generate.h"
#include "lib/backends.h"
#include "os/random.h"

struct nx_engine {
    nx_llm *llm;
    char   *name; /* general.name, "" when absent */
};

struct nx_session {
    nx_engine   *engine;
    nx_timeline *tl;
};

const char *nx_version(void)
{
    return NX_VERSION;
}

/* ---- Engine ---- */

void nx_engine_options_default(nx_engine_options *opt)
{
    *opt = (nx_engine_options){0};
}

static nx_status copy_name(nx_engine *engine, nx_error *err)
{
    nx_str    name = NX_STR("");
    nx_status st = nx_meta_string(engine->llm->cp, "general.name", &name, false, err);

    if (st) return st;
    engine->name = nx_strndup(name.p, name.len);
    return engine->name ? NX_OK : nx_fail(err, NX_ENOMEM, "engine");
}

static nx_status open_llm(nx_llm **out, const char *path, int32_t n_threads, nx_error *err)
{
    nx_backend *be = NULL;
    nx_status   st = nx_backends_create(&be, n_threads, NX_PRECISION_CODES, err);

    return st ? st : nx_llm_open(out, path, be, err);
}

nx_status nx_engine_open(nx_engine **out, const char *path, const nx_engine_options *opt,
                         nx_error *err)
{
    if (!out || !path) return nx_fail(err, NX_EINVAL, "nx_engine_open: out and path are needed");
    *out = NULL;
    nx_engine *engine = nx_calloc(1, sizeof *engine);
    if (!engine) return nx_fail(err, NX_ENOMEM, "engine");
    nx_status st = open_llm(&engine->llm, path, opt ? opt->n_threads : 0, err);
    if (!st && !engine->llm->vocab)
        st = nx_fail(err, NX_EUNSUPPORTED, "%s: the file has no vocabulary", path);
    if (!st) st = copy_name(engine, err);
    if (st) {
        nx_engine_close(engine);
        return st;
    }
    *out = engine;
    return NX_OK;
}

void nx_engine_close(nx_engine *engine)
{
    if (!engine) return;
    nx_llm_close(engine->llm);
    nx_free(engine->name);
    nx_free(engine);
}

void nx_engine_get_info(const nx_engine *engine, nx_engine_info *out)
{
    const nx_model *m = engine->llm->model;

    *out = (nx_engine_info){
        .architecture = m->arch->name,
        .name = engine->name,
        .n_params = m->n_params,
        .weights_bytes = m->weights_bytes,
        .n_vocab = m->hp.n_vocab,
        .n_ctx_model = m->hp.n_ctx,
        .n_layers = m->hp.n_layers,
        .n_embd = m->hp.n_embd,
    };
}

/* ---- Text and tokens ---- */

static unsigned encode_flags(bool with_special)
{
    return with_special ? NX_ENCODE_ADD_SPECIAL | NX_ENCODE_PARSE_SPECIAL : 0;
}

nx_status nx_tokenize(const nx_engine *engine, int32_t *ids, size_t cap, size_t *n_ids,
                      const char *text, size_t len, bool with_special, nx_error *err)
{
    nx_ids    list = {0};
    nx_status st =
        nx_vocab_encode(engine->llm->vocab, &list, text, len, encode_flags(with_special), err);

    *n_ids = st ? 0 : list.n;
    if (!st && list.n > cap)
        st = nx_fail(err, NX_ELIMIT, "%zu tokens don't fit the %zu given", list.n, cap);
    if (!st && list.n) memcpy(ids, list.ids, list.n * sizeof *ids);
    nx_ids_free(&list);
    return st;
}

nx_status nx_detokenize(const nx_engine *engine, char *text, size_t cap, size_t *len,
                        const int32_t *ids, size_t n_ids, nx_error *err)
{
    nx_buf    buf = {.max = SIZE_MAX / 2};
    nx_status st = nx_vocab_decode(engine->llm->vocab, &buf, ids, n_ids, false, err);

    *len = st ? 0 : buf.len;
    if (!st && buf.len > cap)
        st = nx_fail(err, NX_ELIMIT, "%zu bytes don't fit the %zu given", buf.len, cap);
    if (!st && buf.len) memcpy(text, buf.data, buf.len);
    nx_buf_free(&buf);
    return st;
}

/* ---- Sessions ---- */

void nx_session_options_default(nx_session_options *opt)
{
    *opt = (nx_session_options){.n_batch = NX_BATCH_DEFAULT, .kv_type = NX_KV_F16};
}

static nx_status kv_dtype(nx_dtype *out, nx_kv_type type, nx_error *err)
{
    switch (type) {
    case NX_KV_F16: *out = NX_DTYPE_F16; return NX_OK;
    case NX_KV_F32: *out = NX_DTYPE_F32; return NX_OK;
    case NX_KV_Q8_0: *out = NX_DTYPE_Q8_0; return NX_OK;
    }
    return nx_fail(err, NX_EINVAL, "KV type %d is none of nx_kv_type", (int)type);
}

nx_status nx_session_create(nx_session **out, nx_engine *engine, const nx_session_options *opt,
                            nx_error *err)
{
    nx_session_options  defaults;
    nx_timeline_options tl_opt = {0};

    if (!out || !engine)
        return nx_fail(err, NX_EINVAL, "nx_session_create: out and engine are needed");
    *out = NULL;
    nx_session_options_default(&defaults);
    if (!opt) opt = &defaults;
    nx_status st = kv_dtype(&tl_opt.kv_dtype, opt->kv_type, err);
    if (st) return st;
    tl_opt.n_ctx = opt->n_ctx;
    tl_opt.n_batch = opt->n_batch;

    nx_session *s = nx_calloc(1, sizeof *s);
    if (!s) return nx_fail(err, NX_ENOMEM, "session");
    s->engine = engine;
    st = nx_timeline_create(&s->tl, engine->llm, &tl_opt, err);
    if (st) {
        nx_session_destroy(s);
        return st;
    }
    *out = s;
    return NX_OK;
}

void nx_session_destroy(nx_session *session)
{
    if (!session) return;
    nx_timeline_destroy(session->tl);
    nx_free(session);
}

nx_status nx_session_eval(nx_session *session, const int32_t *ids, size_t n_ids, nx_error *err)
{
    return nx_timeline_eval(session->tl, ids, n_ids, NULL, NULL, err);
}

const float *nx_session_logits(const nx_session *session)
{
    return nx_timeline_logits(session->tl);
}

int32_t nx_session_length(const nx_session *session)
{
    return nx_timeline_length(session->tl);
}

nx_status nx_session_rewind(nx_session *session, int32_t n_keep, nx_error *err)
{
    int32_t n = nx_timeline_length(session->tl);

    if (n_keep < 0 || n_keep > n)
        return nx_fail(err, NX_EINVAL, "rewind to %d tokens: expected 0 to %d", n_keep, n);
    nx_timeline_rewind(session->tl, n_keep);
    return NX_OK;
}

/* ---- Generation ---- */

void nx_generate_options_default(nx_generate_options *opt)
{
    nx_sampler_options s;

    nx_sampler_options_default(&s);
    *opt = (nx_generate_options){
        .n_predict = 256,
        .temperature = s.temperature,
        .top_k = s.top_k,
        .top_p = s.top_p,
        .min_p = s.min_p,
        .typical_p = s.typical_p,
        .repeat_penalty = s.repeat_penalty,
        .frequency_penalty = s.frequency_penalty,
        .presence_penalty = s.presence_penalty,
        .penalty_window = s.penalty_window,
    };
}

static nx_status open_sampler(nx_sampler **out, const nx_session *s, const nx_generate_options *opt,
                              uint64_t seed, nx_error *err)
{
    nx_sampler_options so = {
        .temperature = opt->temperature,
        .top_k = opt->top_k,
        .top_p = opt->top_p,
        .typical_p = opt->typical_p,
        .min_p = opt->min_p,
        .repeat_penalty = opt->repeat_penalty,
        .frequency_penalty = opt->frequency_penalty,
        .presence_penalty = opt->presence_penalty,
        .penalty_window = opt->penalty_window,
        .seed = seed,
    };

    return nx_sampler_create(out, &so, s->engine->llm->model->hp.n_vocab, err);
}

/* BOS belongs at the beginning of a timeline only. */
static nx_status encode_prompt(const nx_session *s, nx_ids *out, const char *prompt, nx_error *err)
{
    unsigned flags = NX_ENCODE_PARSE_SPECIAL;

    if (nx_timeline_length(s->tl) == 0) flags |= NX_ENCODE_ADD_SPECIAL;
    nx_status st = nx_vocab_encode(s->engine->llm->vocab, out, prompt, strlen(prompt), flags, err);
    if (!st && out->n == 0)
        st = nx_fail(err, NX_EINVAL, "the prompt is empty: there is nothing to continue");
    return st;
}

/* The stop texts as spans; the caller frees. */
static nx_status copy_stops(nx_str **out, const nx_generate_options *opt, nx_error *err)
{
    *out = nx_alloc(opt->n_stop, sizeof **out);
    if (!*out) return nx_fail(err, NX_ENOMEM, "stop texts");
    for (size_t i = 0; i < opt->n_stop; i++) (*out)[i] = nx_str_of(opt->stop[i]);
    return NX_OK;
}

nx_status nx_session_generate(nx_session *session, const char *prompt,
                              const nx_generate_options *opt, nx_text_fn on_text, void *ctx,
                              nx_generate_result *result, nx_error *err)
{
    nx_generate_options defaults;
    nx_ids              ids = {0};
    nx_sampler         *sampler = NULL;
    nx_str             *stop = NULL;

    if (!session || !prompt)
        return nx_fail(err, NX_EINVAL, "nx_session_generate: session and prompt are needed");
    nx_generate_options_default(&defaults);
    if (!opt) opt = &defaults;
    if (opt->n_predict < 0)
        return nx_fail(err, NX_EINVAL, "n_predict is %d, expected 0 or more", opt->n_predict);
    uint64_t  seed = opt->seed ? opt->seed : nx_random_seed();
    nx_status st = open_sampler(&sampler, session, opt, seed, err);
    if (!st) st = encode_prompt(session, &ids, prompt, err);
    if (!st) st = copy_stops(&stop, opt, err);
    if (st) goto out;

    nx_generation g = {.n_predict = opt->n_predict,
                       .sampler = sampler,
                       .stop = stop,
                       .n_stop = opt->n_stop,
                       .on_text = on_text,
                       .ctx = ctx};
    st = nx_generate_run(&g, session->tl, ids.ids, ids.n, err);
    if (!st && result)
        *result = (nx_generate_result){.n_prompt = g.n_prompt,
                                       .n_new = g.n_new,
                                       .finish = g.finish,
                                       .seed = seed,
                                       .prefill_s = g.prefill_s,
                                       .decode_s = g.decode_s};
out:
    nx_free(stop);
    nx_ids_free(&ids);
    nx_sampler_destroy(sampler);
    return st;
}
