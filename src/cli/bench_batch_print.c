/* bench_batch_print.c - the figures of `nexus bench --parallel`, for people, spreadsheets and
 * programs: each figure of a run is told as its median over the runs. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench_batch.h"

/* A run's figures by name, in the order in which they are printed. */
typedef struct figure {
    const char *name; /* with its unit */
    size_t      at;   /* a double of nx_bench_batch_run */
    double      factor;
} figure;

#define AT(field) offsetof(nx_bench_batch_run, field)

static const figure figures[] = {
    {"tok_s", AT(rate), 1},
    {"decode_tok_s", AT(decode), 1},
    {"first_ms_p50", AT(first.p50), 1e3},
    {"first_ms_p99", AT(first.p99), 1e3},
    {"gap_ms_p50", AT(gap.p50), 1e3},
    {"gap_ms_p99", AT(gap.p99), 1e3},
    {"gap_ms_max", AT(gap.max), 1e3},
    {"step_ms_p50", AT(step.p50), 1e3},
    {"step_ms_p99", AT(step.p99), 1e3},
};

#define N_FIGURES (sizeof figures / sizeof *figures)

static double value(const nx_bench_batch_run *r, const figure *f)
{
    double v;

    memcpy(&v, (const char *)r + f->at, sizeof v);
    return v * f->factor;
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* Median, least and most of one figure over the runs. */
static void spread(double out[3], const nx_bench_batch_run *runs, int32_t n, const figure *f)
{
    double v[NX_BENCH_RUNS_MAX];

    for (int32_t i = 0; i < n; i++) v[i] = value(&runs[i], f);
    qsort(v, (size_t)n, sizeof *v, by_value);
    out[0] = (v[(n - 1) / 2] + v[n / 2]) / 2;
    out[1] = v[0];
    out[2] = v[n - 1];
}

static void print_text(const nx_bench *b, const nx_bench_batch_opts *o,
                       const nx_bench_batch_run *runs)
{
    const nx_bench_batch_run *last = &runs[o->n_runs - 1];

    nx_out_printf("%s, mostly %s, %s with %d threads on %s\n", b->model, b->type, b->backend,
                  b->n_threads, b->cpu);
    nx_out_printf("%d answers at once, %d new tokens each, ", o->n_parallel, o->n_new);
    if (o->prompts)
        nx_out_printf("prompts of %s\n", o->prompts);
    else
        nx_out_printf("prompts of %d tokens\n", o->n_prompt);
    nx_out_printf("\n%-16s %10s %10s %10s\n", "", "median", "min", "max");
    for (size_t i = 0; i < N_FIGURES; i++) {
        double v[3];
        spread(v, runs, o->n_runs, &figures[i]);
        if (v[2] > 0)
            nx_out_printf("%-16s %10.3f %10.3f %10.3f\n", figures[i].name, v[0], v[1], v[2]);
    }
    nx_out_printf("\nlast run: %" PRIu64 " steps, %" PRIu64 " of %" PRIu64
                  " guesses were right, slices of %d prompt tokens\n",
                  last->n_steps, last->n_accepted, last->n_drafted, last->n_slice);
}

static void print_csv(const nx_bench *b, const nx_bench_batch_opts *o,
                      const nx_bench_batch_run *runs)
{
    nx_out_printf("model,type,threads,parallel,prompt,new,draft,run");
    for (size_t i = 0; i < N_FIGURES; i++) nx_out_printf(",%s", figures[i].name);
    nx_out_printf(",steps,drafted,accepted,slice\n");
    for (int32_t r = 0; r < o->n_runs; r++) {
        nx_bench_print_csv_text(b->model);
        nx_out_printf(",%s,%d,%d,%d,%d,%d,%d", b->type, b->n_threads, o->n_parallel,
                      o->prompts ? 0 : o->n_prompt, o->n_new, o->n_draft, r);
        for (size_t i = 0; i < N_FIGURES; i++) nx_out_printf(",%.4f", value(&runs[r], &figures[i]));
        nx_out_printf(",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%d\n", runs[r].n_steps,
                      runs[r].n_drafted, runs[r].n_accepted, runs[r].n_slice);
    }
}

static int print_json(const nx_bench *b, const nx_bench_batch_opts *o,
                      const nx_bench_batch_run *runs)
{
    nx_jw w = {.buf.max = NX_JW_MAX};

    nx_jw_open(&w, NULL, '{');
    nx_jw_text(&w, "nexus", NX_VERSION);
    nx_jw_text(&w, "model", b->model);
    nx_jw_text(&w, "type", b->type);
    nx_jw_text(&w, "cpu", b->cpu);
    nx_jw_int(&w, "threads", b->n_threads);
    nx_jw_text(&w, "kv_type", b->kv_type);
    nx_jw_int(&w, "parallel", o->n_parallel);
    if (!o->prompts) nx_jw_int(&w, "prompt_tokens", o->n_prompt);
    nx_jw_int(&w, "new_tokens", o->n_new);
    nx_jw_int(&w, "draft", o->n_draft);
    nx_jw_open(&w, "median", '{');
    for (size_t i = 0; i < N_FIGURES; i++) {
        double v[3];
        spread(v, runs, o->n_runs, &figures[i]);
        nx_jw_number(&w, figures[i].name, v[0], 6);
    }
    nx_jw_close(&w, '}');
    nx_jw_open(&w, "runs", '[');
    for (int32_t r = 0; r < o->n_runs; r++) {
        nx_jw_open(&w, NULL, '{');
        for (size_t i = 0; i < N_FIGURES; i++)
            nx_jw_number(&w, figures[i].name, value(&runs[r], &figures[i]), 6);
        nx_jw_u64(&w, "steps", runs[r].n_steps);
        nx_jw_u64(&w, "drafted", runs[r].n_drafted);
        nx_jw_u64(&w, "accepted", runs[r].n_accepted);
        nx_jw_int(&w, "slice", runs[r].n_slice);
        nx_jw_close(&w, '}');
    }
    nx_jw_close(&w, ']');
    nx_jw_close(&w, '}');
    return nx_jw_finish(&w);
}

int nx_bench_batch_print(const nx_bench *b, const nx_bench_batch_opts *o,
                         const nx_bench_batch_run *runs, nx_bench_format format)
{
    if (format == NX_BENCH_JSON) return print_json(b, o, runs);
    if (format == NX_BENCH_CSV)
        print_csv(b, o, runs);
    else
        print_text(b, o, runs);
    return nx_out_finish();
}
