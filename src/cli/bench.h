/* bench.h - what `nexus bench` measured: filled by cmd_bench.c, shown by bench_print.c. */
#ifndef NX_CLI_BENCH_H
#define NX_CLI_BENCH_H

#include "cli/cli.h"

#define NX_BENCH_RUNS_MAX   1000
#define NX_BENCH_SWEEPS     5
#define NX_BENCH_SWEEP_SIZE ((size_t)1 << 30)

typedef struct nx_bench_test {
    const char *name;                    /* "prefill", "decode" */
    int32_t     n;                       /* tokens of one run */
    int32_t     depth;                   /* positions that are there before */
    double      rate[NX_BENCH_RUNS_MAX]; /* [n_runs] tokens per second, in the order of the runs */
    double      median, min, max;
    /* Decoding reads memory: */
    uint64_t weights_bytes, kv_bytes; /* read for one token, the mean over a run; 0: not counted */
    double   bytes_per_s, fraction;   /* at the median; of the ceiling */
} nx_bench_test;

typedef struct nx_bench {
    const char   *model; /* path, or "synthetic 1b q8_0" */
    const char   *type;  /* that holds most bytes */
    uint64_t      n_params, weights_bytes;
    const char   *backend;
    char          cpu[96];
    int32_t       n_threads, n_batch, n_runs;
    const char   *kv_type;
    double        ceiling; /* bytes per second; 0: not measured */
    nx_bench_test tests[2];
    int           n_tests;
} nx_bench;

/* To stdout. nx_bench_print_csv: one line of names, one for each test. */
void nx_bench_print(const nx_bench *b);
void nx_bench_print_csv(const nx_bench *b);
int  nx_bench_print_json(const nx_bench *b); /* returns the exit code */

/* In quotes: a path may hold a comma or a quote. */
void nx_bench_print_csv_text(const char *s);

#endif
