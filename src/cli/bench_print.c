/* bench_print.c - the figures of `nexus bench`, for people, spreadsheets and programs. */
#include <inttypes.h>

#include "cli/bench.h"

void nx_bench_print(const nx_bench *b)
{
    char params[32], weights[32];

    nx_format_count(params, sizeof params, (double)b->n_params);
    nx_format_bytes(weights, sizeof weights, b->weights_bytes);
    nx_out_printf("%s: %s parameters, %s, mostly %s\n", b->model, params, weights, b->type);
    nx_out_printf("%s with %d threads on %s\n", b->backend, b->n_threads, b->cpu);
    if (b->ceiling > 0)
        nx_out_printf("memory is read at %.1f GB/s (best of %d sweeps over %.2f GB)\n",
                      b->ceiling / 1e9, NX_BENCH_SWEEPS, (double)NX_BENCH_SWEEP_SIZE / 1e9);
    nx_out_printf("\n%-20s %10s %10s %10s %10s %10s\n", "tokens per second", "median", "min", "max",
                  "GB/s", "of ceiling");
    for (int i = 0; i < b->n_tests; i++) {
        const nx_bench_test *t = &b->tests[i];
        nx_out_printf("%-8s %5d @ %-4d %9.2f %10.2f %10.2f", t->name, t->n, t->depth, t->median,
                      t->min, t->max);
        if (t->weights_bytes)
            nx_out_printf(" %10.2f %9.1f%%", t->bytes_per_s / 1e9, 100 * t->fraction);
        nx_out_printf("\n");
    }
    for (int i = 0; i < b->n_tests; i++)
        if (b->tests[i].weights_bytes)
            nx_out_printf("\none token reads %" PRIu64 " bytes of weights and %" PRIu64
                          " bytes of KV cache\n",
                          b->tests[i].weights_bytes, b->tests[i].kv_bytes);
}

void nx_bench_print_csv_text(const char *s)
{
    nx_out_printf("\"");
    for (; *s; s++) nx_out_printf(*s == '"' ? "\"\"" : "%c", *s);
    nx_out_printf("\"");
}

void nx_bench_print_csv(const nx_bench *b)
{
    nx_out_printf(
        "model,type,cpu,backend,threads,batch,kv,test,n,depth,runs,tok_s_median,tok_s_min,"
        "tok_s_max,weights_bytes,kv_bytes,gb_s,ceiling_gb_s,fraction\n");
    for (int i = 0; i < b->n_tests; i++) {
        const nx_bench_test *t = &b->tests[i];
        nx_bench_print_csv_text(b->model);
        nx_out_printf(",%s,", b->type);
        nx_bench_print_csv_text(b->cpu);
        nx_out_printf(",%s,%d,%d,%s,%s,%d,%d,%d,%.3f,%.3f,%.3f,", b->backend, b->n_threads,
                      b->n_batch, b->kv_type, t->name, t->n, t->depth, b->n_runs, t->median, t->min,
                      t->max);
        if (t->weights_bytes)
            nx_out_printf("%" PRIu64 ",%" PRIu64 ",%.3f,%.3f,%.4f\n", t->weights_bytes, t->kv_bytes,
                          t->bytes_per_s / 1e9, b->ceiling / 1e9, t->fraction);
        else
            nx_out_printf(",,,,\n");
    }
}

static void add_test(nx_jw *w, const nx_bench *b, const nx_bench_test *t)
{
    nx_jw_open(w, NULL, '{');
    nx_jw_text(w, "test", t->name);
    nx_jw_int(w, "n", t->n);
    nx_jw_int(w, "depth", t->depth);
    nx_jw_number(w, "tokens_per_s_median", t->median, 6);
    nx_jw_number(w, "tokens_per_s_min", t->min, 6);
    nx_jw_number(w, "tokens_per_s_max", t->max, 6);
    nx_jw_open(w, "tokens_per_s", '[');
    for (int32_t i = 0; i < b->n_runs; i++) nx_jw_number(w, NULL, t->rate[i], 6);
    nx_jw_close(w, ']');
    if (t->weights_bytes) {
        nx_jw_u64(w, "weights_bytes_per_token", t->weights_bytes);
        nx_jw_u64(w, "kv_bytes_per_token", t->kv_bytes);
        nx_jw_number(w, "bytes_per_s", t->bytes_per_s, 6);
        nx_jw_number(w, "fraction_of_ceiling", t->fraction, 4);
    }
    nx_jw_close(w, '}');
}

int nx_bench_print_json(const nx_bench *b)
{
    nx_jw w = {.buf.max = NX_JW_MAX};

    nx_jw_open(&w, NULL, '{');
    nx_jw_text(&w, "nexus", NX_VERSION);
    nx_jw_text(&w, "model", b->model);
    nx_jw_text(&w, "type", b->type);
    nx_jw_u64(&w, "parameters", b->n_params);
    nx_jw_u64(&w, "weights_bytes", b->weights_bytes);
    nx_jw_text(&w, "cpu", b->cpu);
    nx_jw_text(&w, "backend", b->backend);
    nx_jw_int(&w, "threads", b->n_threads);
    nx_jw_int(&w, "batch", b->n_batch);
    nx_jw_text(&w, "kv_type", b->kv_type);
    nx_jw_int(&w, "runs", b->n_runs);
    if (b->ceiling > 0) {
        nx_jw_number(&w, "ceiling_bytes_per_s", b->ceiling, 6);
        nx_jw_int(&w, "ceiling_sweeps", NX_BENCH_SWEEPS);
        nx_jw_u64(&w, "ceiling_sweep_bytes", NX_BENCH_SWEEP_SIZE);
    }
    nx_jw_open(&w, "tests", '[');
    for (int i = 0; i < b->n_tests; i++) add_test(&w, b, &b->tests[i]);
    nx_jw_close(&w, ']');
    nx_jw_close(&w, '}');
    return nx_jw_finish(&w);
}
