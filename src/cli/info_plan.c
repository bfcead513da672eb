/* info_plan.c - gathers plans for several types, and prints them as a table or as JSON. */
#include "cli/info_plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/backends.h"
#include "os/memory.h"

#define GPUS_MAX 8
#define ROWS_MAX (NX_RECIPE_COUNT + 1)

/* A bus of 16 lanes of PCIe 4.0 moves about this much in a second. */
#define BUS_BYTES_PER_S 25e9

nx_status nx_parse_bytes(uint64_t *out, const char *text, nx_error *err)
{
    static const struct {
        const char *unit;
        double      factor;
    } units[] = {{"", 1},         {"B", 1},      {"K", 0x1p10},   {"KB", 1e3},    {"KiB", 0x1p10},
                 {"M", 0x1p20},   {"MB", 1e6},   {"MiB", 0x1p20}, {"G", 0x1p30},  {"GB", 1e9},
                 {"GiB", 0x1p30}, {"T", 0x1p40}, {"TB", 1e12},    {"TiB", 0x1p40}};
    char  *end;
    double x = strtod(text, &end);

    while (*end == ' ') end++;
    for (size_t i = 0; end != text && i < sizeof units / sizeof *units; i++) {
        if (strcasecmp(end, units[i].unit) != 0) continue;
        if (!(x > 0) || x * units[i].factor > 0x1p60) break;
        *out = (uint64_t)(x * units[i].factor);
        return NX_OK;
    }
    return nx_fail(err, NX_EINVAL, "expected a size such as 16GB, 24GiB or 512M, found '%.40s'",
                   text);
}

/* ---- Gathering ---- */

typedef struct gpu {
    uint64_t    memory;
    const char *text;
} gpu;

typedef struct table {
    const nx_checkpoint *cp;
    nx_backend          *be;
    nx_plan              rows[ROWS_MAX];
    int                  n_rows;
    gpu                  gpus[GPUS_MAX];
    int                  n_gpus;
    uint64_t             memory;
} table;

static nx_status read_sizes(table *t, const nx_info_plan_request *r, nx_error *err)
{
    static const char *const usual[] = {"16GB", "24GB", "48GB", "80GB"};
    int                      n = r->gpus.n ? (int)r->gpus.n : 4;

    if (n > GPUS_MAX)
        return nx_fail(err, NX_EINVAL, "--gpu-memory: %d sizes, at most %d", n, GPUS_MAX);
    for (int i = 0; i < n; i++) {
        t->gpus[i].text = r->gpus.n ? r->gpus.v[i].p : usual[i];
        nx_status st = nx_parse_bytes(&t->gpus[i].memory, t->gpus[i].text, err);
        if (st) return nx_fail_prefix(err, st, "--gpu-memory");
    }
    t->n_gpus = n;
    t->memory = nx_memory_available();
    if (!r->memory) return NX_OK;
    nx_status st = nx_parse_bytes(&t->memory, r->memory, err);
    return st ? nx_fail_prefix(err, st, "--memory") : st;
}

static nx_status add_row(table *t, const nx_info_plan_request *r, nx_recipe recipe, nx_error *err)
{
    nx_plan_options opt = {.recipe = recipe,
                           .kv_dtype = nx_kv_choice(r->m, t->cp),
                           .n_ctx = r->m->ctx,
                           .n_batch = r->m->batch};
    nx_status       st = nx_plan_make(&t->rows[t->n_rows], t->cp, t->be, &opt, err);

    if (!st) t->n_rows++;
    return st;
}

/* The checkpoint as it is, then the types worth comparing; or the one that was asked for. */
static nx_status add_rows(table *t, const nx_info_plan_request *r, nx_error *err)
{
    static const nx_recipe usual[] = {NX_RECIPE_NF4_DQ, NX_RECIPE_NF4,  NX_RECIPE_Q4_K_M,
                                      NX_RECIPE_Q5_K_M, NX_RECIPE_Q6_K, NX_RECIPE_INT8,
                                      NX_RECIPE_Q8_0};
    nx_recipe              wanted;
    nx_status              st = nx_parse_recipe(&wanted, r->m, err);

    if (!st) st = add_row(t, r, wanted, err);
    if (st || wanted != NX_RECIPE_NONE) return st;
    for (size_t i = 0; !st && i < sizeof usual / sizeof *usual; i++)
        st = add_row(t, r, usual[i], err);
    return st;
}

static const char *row_name(const nx_plan *p)
{
    return p->recipe == NX_RECIPE_NONE ? nx_dtype_get(p->native)->name
                                       : nx_recipe_get(p->recipe)->name;
}

/* ---- As text ---- */

static const char *bytes_text(char out[32], uint64_t bytes)
{
    nx_format_bytes(out, 32, bytes);
    return out;
}

static void print_head(const table *t)
{
    const nx_plan *p = &t->rows[0];
    char           a[32], b[32], c[32], n[32];

    nx_format_count(n, sizeof n, (double)p->n_params);
    nx_out_printf("%-15s%s parameters in %d layers\n", "model", n, p->hp.n_layers);
    nx_out_printf("%-15s%d positions, %s each in %s: %s\n", "KV cache", p->n_ctx,
                  bytes_text(a, p->kv_per_position), nx_dtype_get(p->kv_dtype)->name,
                  bytes_text(b, p->kv));
    nx_out_printf("%-15s%s for batches of %d\n", "work", bytes_text(c, p->work), p->n_batch);
    if (t->memory != UINT64_MAX)
        nx_out_printf("%-15s%s left for nexus\n", "memory here", bytes_text(a, t->memory));
}

static void print_cell(const nx_plan *p, const gpu *g)
{
    nx_offload o;
    char       text[32];

    nx_plan_offload(&o, p, g->memory);
    if (o.fits)
        snprintf(text, sizeof text, "fits");
    else
        snprintf(text, sizeof text, "%d of %d layers", o.n_layers, p->hp.n_layers);
    nx_out_printf("  %-15s", text);
}

static void print_table(const table *t)
{
    char weights[32], total[32];

    nx_out_printf("\n%-9s %9s %9s  %-12s", "type", "weights", "in all", "memory here");
    for (int g = 0; g < t->n_gpus; g++) nx_out_printf("  GPU of %-8s", t->gpus[g].text);
    nx_out_printf("\n");
    for (int i = 0; i < t->n_rows; i++) {
        const nx_plan *p = &t->rows[i];
        nx_out_printf("%-9s %9s %9s  %-12s", row_name(p), bytes_text(weights, p->weights),
                      bytes_text(total, nx_plan_total(p)),
                      nx_plan_total(p) <= t->memory ? "fits" : "too small");
        for (int g = 0; g < t->n_gpus; g++) print_cell(p, &t->gpus[g]);
        nx_out_printf("\n");
    }
}

/* What keeping the rest in RAM would mean, in one sentence for one type and GPU. */
static void print_offload(const nx_plan *p, const gpu *g)
{
    nx_offload o;
    char       total[32], ram[32], bus[32];

    nx_plan_offload(&o, p, g->memory);
    if (o.fits) {
        nx_out_printf("%s of GPU memory hold it in %s.\n", g->text, row_name(p));
        return;
    }
    nx_out_printf(
        "%s of GPU memory cannot hold it in %s, which takes %s with its KV cache.\n"
        "  Offload: %d of %d layers on the GPU, %s stay in RAM. Each token then moves %s "
        "over\n  the bus: at 25 GB/s (PCIe 4.0, 16 lanes) at most %.2g tokens a second.\n",
        g->text, row_name(p), bytes_text(total, nx_plan_total(p)), o.n_layers, p->hp.n_layers,
        bytes_text(ram, o.in_ram), bytes_text(bus, o.bus_per_token),
        BUS_BYTES_PER_S / (double)(o.bus_per_token ? o.bus_per_token : 1));
}

/* The type that needs least, which decides whether a GPU can hold the model at all. */
static const nx_plan *smallest(const table *t)
{
    const nx_plan *best = &t->rows[0];

    for (int i = 1; i < t->n_rows; i++)
        if (nx_plan_total(&t->rows[i]) < nx_plan_total(best)) best = &t->rows[i];
    return best;
}

static void print_ram(const table *t, const nx_plan *p)
{
    char total[32], left[32];
    int  ctx = nx_plan_ctx_max(p, t->memory);

    if (t->memory == UINT64_MAX || nx_plan_total(p) <= t->memory) return;
    nx_out_printf("The memory here (%s) cannot hold it in %s, which takes %s",
                  bytes_text(left, t->memory), row_name(p), bytes_text(total, nx_plan_total(p)));
    if (ctx > 0)
        nx_out_printf("; with --ctx %d it would.\n", ctx);
    else
        nx_out_printf(", at any context.\n");
}

static int print_text(const table *t)
{
    print_head(t);
    print_table(t);
    nx_out_printf("\n");
    for (int g = 0; g < t->n_gpus; g++) print_offload(smallest(t), &t->gpus[g]);
    print_ram(t, smallest(t));
    return nx_out_finish();
}

/* ---- As JSON ---- */

static void add_gpu(nx_jw *w, const nx_plan *p, const gpu *g)
{
    nx_offload o;

    nx_plan_offload(&o, p, g->memory);
    nx_jw_open(w, NULL, '{');
    nx_jw_u64(w, "memory_bytes", g->memory);
    nx_jw_bool(w, "fits", o.fits);
    nx_jw_int(w, "layers", o.n_layers);
    nx_jw_u64(w, "gpu_bytes", o.on_gpu);
    nx_jw_u64(w, "ram_bytes", o.in_ram);
    nx_jw_u64(w, "bus_bytes_per_token", o.bus_per_token);
    nx_jw_close(w, '}');
}

static void add_plan(nx_jw *w, const table *t, const nx_plan *p)
{
    uint64_t layers = 0;

    for (int32_t l = 0; l < p->hp.n_layers; l++) layers += p->layers[l];
    nx_jw_open(w, NULL, '{');
    nx_jw_text(w, "type", row_name(p));
    nx_jw_bool(w, "quantised_while_loading", p->recipe != NX_RECIPE_NONE);
    nx_jw_u64(w, "weights_bytes", p->weights);
    nx_jw_u64(w, "layers_bytes", layers);
    nx_jw_u64(w, "embedding_bytes", p->embedding);
    nx_jw_u64(w, "head_bytes", p->head);
    nx_jw_u64(w, "kv_bytes", p->kv);
    nx_jw_u64(w, "work_bytes", p->work);
    nx_jw_u64(w, "total_bytes", nx_plan_total(p));
    nx_jw_u64(w, "private_bytes", nx_plan_private(p));
    nx_jw_u64(w, "bytes_per_token", p->per_token);
    nx_jw_bool(w, "fits_memory", nx_plan_total(p) <= t->memory);
    nx_jw_open(w, "gpus", '[');
    for (int g = 0; g < t->n_gpus; g++) add_gpu(w, p, &t->gpus[g]);
    nx_jw_close(w, ']');
    nx_jw_close(w, '}');
}

static int print_json(const table *t)
{
    nx_jw          w = {.buf.max = NX_JW_MAX};
    const nx_plan *p = &t->rows[0];

    nx_jw_open(&w, NULL, '{');
    nx_jw_text(&w, "file", nx_checkpoint_path(t->cp));
    nx_jw_u64(&w, "parameters", p->n_params);
    nx_jw_int(&w, "layers", p->hp.n_layers);
    nx_jw_int(&w, "ctx", p->n_ctx);
    nx_jw_text(&w, "kv_type", nx_dtype_get(p->kv_dtype)->name);
    nx_jw_u64(&w, "kv_bytes_per_position", p->kv_per_position);
    if (t->memory == UINT64_MAX)
        nx_jw_null(&w, "memory_bytes");
    else
        nx_jw_u64(&w, "memory_bytes", t->memory);
    nx_jw_open(&w, "plans", '[');
    for (int i = 0; i < t->n_rows; i++) add_plan(&w, t, &t->rows[i]);
    nx_jw_close(&w, ']');
    nx_jw_close(&w, '}');
    return nx_jw_finish(&w);
}

int nx_info_plan(const nx_checkpoint *cp, const nx_info_plan_request *r)
{
    table     t = {.cp = cp};
    nx_error  err;
    nx_status st = read_sizes(&t, r, &err);

    if (!st)
        st = nx_backends_create(&t.be, r->m->threads,
                                r->m->exact ? NX_PRECISION_EXACT : NX_PRECISION_CODES, &err);
    if (!st) st = add_rows(&t, r, &err);
    int code = st ? nx_cli_fail(&err) : r->json ? print_json(&t) : print_text(&t);
    for (int i = 0; i < t.n_rows; i++) nx_plan_free(&t.rows[i]);
    if (t.be) t.be->ops->destroy(t.be);
    return code;
}
