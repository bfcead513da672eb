/* bench_batch.h - `nexus bench --parallel N`: many answers at once by the batch engine, no HTTP.
 *
 * Owns:   nothing; the model is borrowed.
 * Thread: main.
 */
#ifndef NX_CLI_BENCH_BATCH_H
#define NX_CLI_BENCH_BATCH_H

#include "cli/bench.h"

typedef struct nx_bench_batch_opts {
    int32_t     n_parallel;       /* answers at once */
    int32_t     n_prompt, n_new;  /* tokens of each */
    const char *prompts;          /* a file, one prompt a line; NULL: random ids */
    int32_t     n_slice, n_draft; /* as `nexus serve` has them */
    int32_t     n_runs;
    uint64_t    seed;
} nx_bench_batch_opts;

/* Percentiles of times, in seconds. */
typedef struct nx_bench_times {
    double p50, p99, max;
} nx_bench_times;

/* One run: a fresh engine, all jobs submitted at once, until the last has ended. */
typedef struct nx_bench_batch_run {
    double         rate;   /* new tokens of all per second, prompts included in the time */
    double         decode; /* of one answer alone: from its first token on; else 0 */
    nx_bench_times first;  /* from submission to the first token */
    nx_bench_times gap;    /* from one token of an answer to its next */
    nx_bench_times step;
    uint64_t       n_steps, n_drafted, n_accepted;
    int32_t        n_slice; /* prompt tokens that the last step with answers had room for */
} nx_bench_batch_run;

/* Time n_runs. runs: [n_runs]. Errors of the engine; NX_EIO, NX_EINVAL (the file of prompts);
 * NX_ECANCELLED by Ctrl-C. */
nx_status nx_bench_batch_time(nx_bench_batch_run *runs, const nx_llm *llm, const nx_model_opts *m,
                              const nx_bench_batch_opts *o, nx_error *err);

/* To stdout, as `format` says; b: what cmd_bench.c knows of the model. Returns the exit code. */
typedef enum nx_bench_format { NX_BENCH_TEXT, NX_BENCH_CSV, NX_BENCH_JSON } nx_bench_format;
int nx_bench_batch_print(const nx_bench *b, const nx_bench_batch_opts *o,
                         const nx_bench_batch_run *runs, nx_bench_format format);

#endif
