/* walk_ffn.c - the feed-forward half of a layer: gated or plain, one for all tokens or experts that
 * a router chooses (Shazeer et al. 2017; Jiang et al. 2024), with an expert that all tokens share
 * (Dai et al. 2024). */
#include "model/walk_parts.h"

static float *input_of(const nx_walk *w, const nx_layer *l)
{
    if (w->m->hp.parallel) return w->h_ffn;
    return l->ffn_norm ? w->h : w->x;
}

void nx_walk_ffn_enter(nx_walk *w, int32_t layer, int32_t T)
{
    const nx_layer *l = &w->m->layers[layer];

    if (l->ffn_norm)
        nx_walk_norm(w, input_of(w, l), w->x, l->ffn_norm, l->ffn_norm_b, T, w->m->hp.n_embd);
}

/* gate = act(in Wgate) * (in Wup), n wide. */
static void gated(nx_walk *w, const nx_tensor *gate, const nx_tensor *up, const nx_layer *biases,
                  const float *in, int32_t T)
{
    const nx_backend_ops *ops = w->be->ops;
    int64_t               n = gate->ne[1];

    ops->matmul(w->be, (float *const[]){w->gate, w->up}, (const nx_tensor *const[]){gate, up}, 2,
                in, T, false);
    if (biases) {
        nx_walk_bias(w, w->gate, biases->b_gate, T, n);
        nx_walk_bias(w, w->up, biases->b_up, T, n);
    }
    ops->act_mul(w->be, w->gate, w->gate, w->up, T * n, w->m->hp.activation);
}

static void dense(nx_walk *w, const nx_layer *l, const float *in, int32_t T)
{
    const nx_backend_ops *ops = w->be->ops;
    int64_t               n = w->m->hp.n_ff;

    if (l->gate.data) {
        gated(w, &l->gate, &l->up, l, in, T);
    } else {
        ops->matmul(w->be, &w->gate, (const nx_tensor *const[]){&l->up}, 1, in, T, false);
        nx_walk_bias(w, w->gate, l->b_up, T, n);
        ops->act_mul(w->be, w->gate, w->gate, NULL, T * n, w->m->hp.activation);
    }
    nx_walk_leave(w, &l->down, l->b_down, l->post_ffn_norm, w->gate, T);
}

/* The expert of all tokens. Its input is in h: it must run before h is used for its output, so the
 * experts came first. The router's row of logits has room for its gate. */
static void shared_expert(nx_walk *w, const nx_layer *l, const float *in, int32_t T)
{
    const nx_backend_ops *ops = w->be->ops;

    ops->matmul(w->be, &w->route, (const nx_tensor *const[]){&l->shared_gate}, 1, in, T, false);
    gated(w, &l->gate_shared, &l->up_shared, NULL, in, T);
    ops->matmul(w->be, &w->h, (const nx_tensor *const[]){&l->down_shared}, 1, w->gate, T, false);
    ops->gate_rows(w->be, w->h, w->route, T, w->m->hp.n_embd);
    ops->add(w->be, w->x, w->h, (int64_t)T * w->m->hp.n_embd, 1.0f);
}

static void experts(nx_walk *w, const nx_layer *l, const float *in, int32_t T)
{
    const nx_backend_ops *ops = w->be->ops;
    const nx_hparams     *hp = &w->m->hp;
    int32_t               E = hp->n_experts, k = hp->n_experts_used;
    nx_route_opts how = {.k = k, .normalise = hp->experts_normalise, .scale = hp->experts_scale};

    ops->matmul(w->be, &w->route, (const nx_tensor *const[]){&l->router}, 1, in, T, false);
    ops->route(w->be, w->chosen, w->share, w->route, T, E, &how);
    ops->matmul_experts(w->be, w->gate_exps, l->gate_exps, E, in, T, w->chosen, k, false);
    ops->matmul_experts(w->be, w->up_exps, l->up_exps, E, in, T, w->chosen, k, false);
    ops->act_mul(w->be, w->gate_exps, w->gate_exps, w->up_exps, (int64_t)T * k * hp->n_ff_expert,
                 hp->activation);
    ops->matmul_experts(w->be, w->up_exps, l->down_exps, E, w->gate_exps, T, w->chosen, k, true);
    ops->combine(w->be, w->x, w->up_exps, w->share, T, k, hp->n_embd);
    if (l->shared_gate.data) shared_expert(w, l, in, T);
}

void nx_walk_ffn(nx_walk *w, int32_t layer, int32_t T)
{
    const nx_layer *l = &w->m->layers[layer];

    if (!w->m->hp.parallel) nx_walk_ffn_enter(w, layer, T);
    if (l->kind.experts)
        experts(w, l, input_of(w, l), T);
    else
        dense(w, l, input_of(w, l), T);
    nx_walk_settle(w, l->ffn_sum_norm, l->ffn_sum_norm_b, T);
}
