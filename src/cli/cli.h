/* cli.h - what the commands share: options, the terminal, output, progress, opening a model.
 *
 * A command is one file cmd_<name>.c with one function nx_cmd_<name>(argc, argv) that returns the
 * exit code, and a line in command.c. Its shape:
 *
 *     int nx_cmd_count(int argc, char **argv)
 *     {
 *         nx_model_opts m = NX_MODEL_OPTS_DEFAULT;
 *         int32_t       n = 256;
 *         const nx_opt  opts[] = {
 *             NX_MODEL_OPTS(m),
 *             NX_OPT("n-predict", 'n', NX_OPT_INT, &n, "N", "new tokens at most", .max = 1e6),
 *             NX_OPT_END,
 *         };
 *         const nx_usage usage = {.command = "count", .synopsis = "[-m MODEL] TEXT", ...};
 *         nx_args args;
 *         int     code = nx_opt_parse(&usage, &args, argc, argv);
 *         if (code != NX_CLI_GO) return code;
 *         ...
 *         return st ? nx_cli_fail(&err) : nx_out_finish();
 *     }
 *
 * Words to the user go three ways: results to stdout through nx_out_*, messages and figures to
 * stderr through nx_log_*, progress to stderr through nx_progress_* and only on a terminal.
 * Exit codes: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C.
 * Thread: main thread only, but for nx_cli_cancel.
 */
#ifndef NX_CLI_CLI_H
#define NX_CLI_CLI_H

#include <stdatomic.h>

#include "base/jsonwrite.h"
#include "base/log.h"
#include "engine/generate.h"
#include "format/recipe.h"
#include "os/pool.h"

enum {
    NX_CLI_GO = -1, /* from nx_opt_parse: the command line is fine, go on */
    NX_CLI_DONE = 0,
    NX_CLI_FAILED = 1,
    NX_CLI_USAGE = 2,
    NX_CLI_INTERRUPTED = 130, /* 128 + SIGINT, as shells say it */
};

/* ---- Commands (command.c) ------------------------------------------------------------------- */

typedef struct nx_command {
    const char *name;
    const char *summary;               /* one line, for `nexus --help` */
    int (*run)(int argc, char **argv); /* argv[0] is the command's name; returns the exit code */
} nx_command;

/* The table, ended by an entry whose name is NULL. */
const nx_command *nx_commands(void);

/* main, all of it: global options, choice of command, exit code. */
int nx_cli_main(int argc, char **argv);

int nx_cmd_help(int argc, char **argv);
int nx_cmd_generate(int argc, char **argv);
int nx_cmd_chat(int argc, char **argv);
int nx_cmd_tokenize(int argc, char **argv);
int nx_cmd_embed(int argc, char **argv);
int nx_cmd_rerank(int argc, char **argv);
int nx_cmd_detokenize(int argc, char **argv);
int nx_cmd_template(int argc, char **argv);
int nx_cmd_logits(int argc, char **argv);
int nx_cmd_info(int argc, char **argv);
int nx_cmd_bench(int argc, char **argv);
int nx_cmd_perplexity(int argc, char **argv);
int nx_cmd_quantize(int argc, char **argv);
int nx_cmd_compare(int argc, char **argv);
int nx_cmd_pull(int argc, char **argv);
int nx_cmd_list(int argc, char **argv);
int nx_cmd_rm(int argc, char **argv);
int nx_cmd_serve(int argc, char **argv);
int nx_cmd_ps(int argc, char **argv);
int nx_cmd_stop(int argc, char **argv);
int nx_cmd_key(int argc, char **argv);
int nx_cmd_collection(int argc, char **argv);
int nx_cmd_backup(int argc, char **argv);
int nx_cmd_restore(int argc, char **argv);
int nx_cmd_index(int argc, char **argv);
int nx_cmd_reindex(int argc, char **argv);
int nx_cmd_search(int argc, char **argv);
int nx_cmd_ask(int argc, char **argv);
int nx_cmd_eval(int argc, char **argv);

/* ---- Options (option.c, option_help.c) ------------------------------------------------------ */

typedef enum nx_opt_kind {
    NX_OPT_STOP,    /* ends a table: NX_OPT_END */
    NX_OPT_HEADING, /* a line between groups of the help text: name is the line */
    NX_OPT_FLAG,    /* bool: set to true */
    NX_OPT_INT,     /* int32_t in [min, max] */
    NX_OPT_U64,     /* uint64_t */
    NX_OPT_FLOAT,   /* float in [min, max]; (min, max] with above_min */
    NX_OPT_TEXT,    /* const char *: borrowed from argv or the environment */
    NX_OPT_CHOICE,  /* int: index into choices */
    NX_OPT_LIST,    /* nx_texts: each use appends; nx_texts_free afterwards */
} nx_opt_kind;

/* One option: --name VALUE, --name=VALUE, -l VALUE, -lVALUE. The value that stands in *out when
 * the command line is read is the default, and the help text says so (unless `help` speaks of the
 * default itself). With env, NEXUS_NAME (upper case, - as _) sets it too; the flag wins. */
typedef struct nx_opt {
    const char *name;
    char        letter; /* 0: none */
    nx_opt_kind kind;
    void       *out;
    const char *arg;  /* the value's name in the help text: "N"; NULL for flags */
    const char *help; /* one sentence, no full stop */
    double      min, max;
    bool        above_min;
    const char *choices; /* NX_OPT_CHOICE: "f16|f32|q8_0" */
    bool        env;
    const char *alias; /* a second long name, not shown in the help text */
} nx_opt;

/* One entry of a table; what its kind needs follows by name: NX_OPT("ctx", ..., .min = 1). */
#define NX_OPT(name_, letter_, kind_, out_, arg_, help_, ...)                                      \
    {                                                                                              \
        .name = (name_), .letter = (letter_), .kind = (kind_), .out = (out_), .arg = (arg_),       \
        .help = (help_), __VA_ARGS__                                                               \
    }
#define NX_OPT_GROUP(title)                                                                        \
    {                                                                                              \
        .name = (title), .kind = NX_OPT_HEADING                                                    \
    }
#define NX_OPT_END                                                                                 \
    {                                                                                              \
        .kind = NX_OPT_STOP                                                                        \
    }

typedef struct nx_texts {
    nx_str *v; /* [n]; each is NUL-terminated too */
    size_t  n;
} nx_texts;

void nx_texts_free(nx_texts *t);

typedef struct nx_usage {
    const char   *command;  /* "generate"; NULL: the program itself */
    const char   *synopsis; /* after the name: "[-m MODEL] -p PROMPT [options]" */
    const char   *about;    /* what it does, lines of at most 80 columns */
    const char   *examples; /* whole lines, indented by two */
    const nx_opt *options;
    int           n_args_min, n_args_max; /* positional arguments; -1: any number */
    const char   *args_missing;           /* said when there are too few: "no TEXT given" */
} nx_usage;

/* Positional arguments, borrowed from argv. */
typedef struct nx_args {
    char **v; /* [n] */
    int    n;
} nx_args;

/* Read the environment and the command line (argv[0] is skipped) into the options, add what every
 * command has (--log-format, --log-level, --help) and set the log up. "-" and what follows "--"
 * are positional. Returns NX_CLI_GO, or the exit code after help was printed (0) or the mistake
 * explained (2). argv is permuted. */
int nx_opt_parse(const nx_usage *usage, nx_args *args, int argc, char **argv);

/* The same, but reading stops at the first positional argument: for the words before a command. */
int nx_opt_parse_leading(const nx_usage *usage, nx_args *args, int argc, char **argv);

void nx_opt_print_help(const nx_usage *usage, const nx_opt *common);

/* "NEXUS_KV_TYPE" of "kv-type". */
void nx_opt_env_name(char *out, size_t cap, const char *name);

/* The word of `words` (NULL-terminated) that `typed` most likely meant, or NULL. */
const char *nx_opt_nearest(const char *typed, const char *const *words);

/* Say what is wrong with the command line; returns NX_CLI_USAGE. */
int nx_cli_misuse(const char *command, const char *fmt, ...) NX_PRINTF(2, 3);

/* Log err and return NX_CLI_FAILED. A reader of stdout that went away (nx_out_gone) is no news:
 * then nothing is said. */
int nx_cli_fail(const nx_error *err);

/* Numbers as people write them; the whole text must be one number. NX_EINVAL says what was
 * expected and found, without naming the option. */
nx_status nx_parse_int(int64_t *out, const char *text, int64_t min, int64_t max, nx_error *err);
nx_status nx_parse_u64(uint64_t *out, const char *text, nx_error *err);
nx_status nx_parse_float(double *out, const char *text, double min, double max, bool above_min,
                         nx_error *err);

/* Ids separated by commas or spaces, appended to out. NX_EINVAL names the one that isn't a number
 * in 0..n_vocab-1 (n_vocab 0: any that fits). */
nx_status nx_parse_ids(nx_ids *out, const char *text, int32_t n_vocab, nx_error *err);

/* ---- Opening a model (opening.c) ------------------------------------------------------------ */

typedef struct nx_model_opts {
    const char *model;   /* NULL: the one that ships */
    int32_t     threads; /* 0: all processors */
    int32_t     ctx;     /* 0: the model's, at most NX_CTX_DEFAULT_MAX */
    int32_t     batch;
    int         kv_type;  /* index into NX_KV_CHOICES */
    bool        exact;    /* products in floats, whatever the weights' type */
    bool        fine;     /* nearly so, and faster: NX_PRECISION_FINE */
    const char *quantize; /* a recipe's name; NULL: as the checkpoint is */
    bool        no_memory_check;
    bool        unattended; /* no progress bar and no Ctrl-C: this isn't the main thread */
} nx_model_opts;

#define NX_KV_CHOICES "auto|f16|f32|q8_0"
#define NX_MODEL_OPTS_DEFAULT                                                                      \
    {                                                                                              \
        .batch = NX_BATCH_DEFAULT                                                                  \
    }

#define NX_OPT_MODEL(m)                                                                            \
    NX_OPT("model", 'm', NX_OPT_TEXT, &(m).model, "MODEL",                                         \
           "a GGUF file, a Hugging Face folder, or the name of a fetched model; default: the "     \
           "model that ships with nexus",                                                          \
           .env = true)
#define NX_OPT_THREADS(m)                                                                          \
    NX_OPT("threads", 't', NX_OPT_INT, &(m).threads, "N",                                          \
           "worker threads; default: all processors", .max = NX_POOL_THREADS_MAX, .env = true)
#define NX_OPT_CTX(m)                                                                              \
    NX_OPT("ctx", 'c', NX_OPT_INT, &(m).ctx, "N",                                                  \
           "positions of context; default: the model's, at most 4096", .max = 1 << 30,             \
           .env = true)
#define NX_OPT_BATCH(m)                                                                            \
    NX_OPT("batch", 'b', NX_OPT_INT, &(m).batch, "N", "prompt tokens computed together", .min = 1, \
           .max = 65536, .env = true)
#define NX_OPT_KV_TYPE(m)                                                                           \
    NX_OPT(                                                                                         \
        "kv-type", 0, NX_OPT_CHOICE, &(m).kv_type, "TYPE",                                          \
        "numbers of the KV cache; auto is f16, but f32 with --exact and for what is stored in f32", \
        .choices = NX_KV_CHOICES, .env = true)
#define NX_OPT_EXACT(m)                                                                            \
    NX_OPT("exact", 0, NX_OPT_FLAG, &(m).exact, NULL,                                              \
           "compute in floats, whatever the weights' type: slower, for those who compare",         \
           .env = true)
#define NX_OPT_QUANTIZE(m)                                                                         \
    NX_OPT("quantize", 0, NX_OPT_TEXT, &(m).quantize, "TYPE",                                      \
           "make the weights smaller while loading: nf4, nf4-dq, int8, q4_0, q4_k_m, q8_0, ...",   \
           .env = true)
#define NX_OPT_NO_MEMORY_CHECK(m)                                                                  \
    NX_OPT("no-memory-check", 0, NX_OPT_FLAG, &(m).no_memory_check, NULL,                          \
           "load a model although it doesn't fit the memory that is left", .env = true)
/* All of them, as one group of the help text. */
#define NX_MODEL_OPTS(m)                                                                           \
    NX_OPT_GROUP("Model"), NX_OPT_MODEL(m), NX_OPT_THREADS(m), NX_OPT_CTX(m), NX_OPT_BATCH(m),     \
        NX_OPT_KV_TYPE(m), NX_OPT_EXACT(m), NX_OPT_QUANTIZE(m), NX_OPT_NO_MEMORY_CHECK(m)

/* The path to open: as given, or that of the model that ships: beside the program in a source
 * tree (../../models from build/release) or as installed (../share/nexus/models). NX_ENOENT says
 * where it looked. out[cap] receives the path when it isn't the given one. */
nx_status nx_model_path(const char **path, char *out, size_t cap, const char *given, nx_error *err);

/* The same for an embedding model, whose names fast, balanced and quality are known: given NULL, or
 * fast where it wasn't fetched, is the one that ships. */
nx_status nx_embedding_path(const char **path, char *out, size_t cap, const char *given,
                            nx_error *err);

nx_status nx_open_checkpoint(nx_checkpoint **out, const char *given, nx_error *err);
nx_status nx_open_llm(nx_llm **out, const nx_model_opts *m, nx_error *err);
nx_status nx_open_timeline(nx_timeline **out, const nx_llm *llm, const nx_model_opts *m,
                           nx_error *err); /* cancelled by nx_cli_cancel */
/* The cache's type for this model. auto: f16; f32 with --exact, and for what is stored in f32 (a folder
 * whose floats are, or a GGUF file that `nexus quantize --type f32` wrote), since whoever stores floats
 * wants to see what floats compute. */
nx_dtype nx_kv_choice(const nx_model_opts *m, const nx_checkpoint *cp);
/* The recipe that m asks for, or NX_RECIPE_NONE. NX_EINVAL lists all. */
nx_status nx_parse_recipe(nx_recipe *out, const nx_model_opts *m, nx_error *err);

/* ---- Prompts (prompt.c) --------------------------------------------------------------------- */

/* What the model reads: a text, or ids for those who compare. */
typedef struct nx_prompt {
    const char *text; /* "-": stdin, byte for byte */
    const char *ids;
} nx_prompt;

#define NX_PROMPT_OPTS(p)                                                                          \
    NX_OPT("prompt", 'p', NX_OPT_TEXT, &(p).text, "TEXT", "the text to continue; - reads stdin"),  \
        NX_OPT("prompt-ids", 0, NX_OPT_TEXT, &(p).ids, "ID,ID,...",                                \
               "the same as token ids, taken as they are")

/* Say what is wrong with p (none given, both given, ids that aren't): NX_CLI_USAGE, or NX_CLI_GO. */
int nx_prompt_check(const nx_prompt *p, const char *command);

/* The ids of p: BOS and control tokens as the vocabulary wants them for a text. At least one id:
 * an empty text without BOS is NX_EINVAL. vocab may be NULL for ids. */
nx_status nx_prompt_ids(nx_ids *out, const nx_prompt *p, const nx_vocab *vocab, int32_t n_vocab,
                        nx_error *err);

/* text, or all of stdin when it is "-", appended to out. */
nx_status nx_read_text(nx_buf *out, const char *text, nx_error *err);

/* ---- Sampling (sampling.c) ------------------------------------------------------------------ */

/* How an answer is chosen, and where it ends: for generate and chat. */
typedef struct nx_sampling {
    nx_sampler_options opt;
    int32_t            n_predict;
    nx_texts           stop, bias;
    bool               ignore_end;
} nx_sampling;

#define NX_SAMPLING_OPTS(s)                                                                        \
    NX_OPT_GROUP("Length"),                                                                        \
        NX_OPT("n-predict", 'n', NX_OPT_INT, &(s).n_predict, "N",                                  \
               "new tokens at most; the context may end sooner", .max = 1 << 30),                  \
        NX_OPT("stop", 0, NX_OPT_LIST, &(s).stop, "TEXT",                                          \
               "end before this text appears (can be repeated)"),                                  \
        NX_OPT("ignore-eos", 0, NX_OPT_FLAG, &(s).ignore_end, NULL,                                \
               "go on after the token that ends an answer"),                                       \
        NX_OPT_GROUP("Sampling, in the order it happens"),                                         \
        NX_OPT("logit-bias", 0, NX_OPT_LIST, &(s).bias, "ID=X",                                    \
               "add X to a token's logit, -inf forbids it (can be repeated)"),                     \
        NX_OPT("repeat-penalty", 0, NX_OPT_FLOAT, &(s).opt.repeat_penalty, "X",                    \
               "divide the logit of tokens seen lately; 1 is off", .above_min = true, .max = 100,  \
               .env = true),                                                                       \
        NX_OPT("frequency-penalty", 0, NX_OPT_FLOAT, &(s).opt.frequency_penalty, "X",              \
               "lower it by X for each time seen", .min = -100, .max = 100, .env = true),          \
        NX_OPT("presence-penalty", 0, NX_OPT_FLOAT, &(s).opt.presence_penalty, "X",                \
               "lower it by X when seen at all", .min = -100, .max = 100, .env = true),            \
        NX_OPT("penalty-window", 0, NX_OPT_INT, &(s).opt.penalty_window, "N",                      \
               "how many last tokens the penalties see; -1 is all", .min = -1, .max = 1 << 30,     \
               .env = true, .alias = "repeat-last-n"),                                             \
        NX_OPT("top-k", 0, NX_OPT_INT, &(s).opt.top_k, "N", "keep the N likeliest; 0 is off",      \
               .max = 1 << 30, .env = true),                                                       \
        NX_OPT("typical-p", 0, NX_OPT_FLOAT, &(s).opt.typical_p, "P",                              \
               "keep the most typical of mass P; 1 is off", .above_min = true, .max = 1,           \
               .env = true),                                                                       \
        NX_OPT("top-p", 0, NX_OPT_FLOAT, &(s).opt.top_p, "P",                                      \
               "keep the likeliest of mass P; 1 is off", .above_min = true, .max = 1,              \
               .env = true),                                                                       \
        NX_OPT("min-p", 0, NX_OPT_FLOAT, &(s).opt.min_p, "P",                                      \
               "keep those at least P times as likely as the likeliest; 0 is off", .max = 1,       \
               .env = true),                                                                       \
        NX_OPT("temp", 0, NX_OPT_FLOAT, &(s).opt.temperature, "T",                                 \
               "0 always takes the likeliest; higher is bolder", .max = 100, .env = true,          \
               .alias = "temperature"),                                                            \
        NX_OPT("seed", 's', NX_OPT_U64, &(s).opt.seed, "N",                                        \
               "the same seed gives the same text; default: a random one, as 0 does", .env = true)

void nx_sampling_default(nx_sampling *s);
void nx_sampling_free(nx_sampling *s);

/* Say what is wrong with stop texts and biases: NX_CLI_USAGE, or NX_CLI_GO. */
int nx_sampling_check(const nx_sampling *s, const char *command);

/* The sampler that s describes. Puts the seed in force into s->opt.seed. */
nx_status nx_sampling_open(nx_sampler **out, nx_sampling *s, int32_t n_vocab, nx_error *err);

/* "prompt 5 tokens, 812/s · 48 new, 1.2 k/s · first after 7 ms · seed 42" to the log.
 * first_s: from the command's start to the first token; 0: there was none. */
void nx_sampling_figures(nx_log_level level, const nx_generation *g, double first_s, uint64_t seed);

/* ---- The terminal (terminal.c) -------------------------------------------------------------- */

typedef struct nx_terminal {
    bool in, out, err;           /* is stdin, stdout, stderr a terminal? */
    bool out_colour, err_colour; /* a terminal, TERM isn't dumb, NO_COLOR isn't set */
    bool err_redraw;             /* lines of stderr can be drawn over */
} nx_terminal;

const nx_terminal *nx_terminal_get(void);
int                nx_terminal_width(int fd); /* columns now; 80 when unknown */

/* Set by the first Ctrl-C after nx_cli_catch_interrupt; the second one kills as usual. */
extern atomic_bool nx_cli_cancel;
void               nx_cli_catch_interrupt(void);   /* clears nx_cli_cancel */
void               nx_cli_release_interrupt(void); /* Ctrl-C kills again */

/* ---- Standard output (output.c) ------------------------------------------------------------- */

/* Buffered. After the first failure the rest is dropped and the functions return the failure, so
 * a command may print on and look at the end. nx_out_finish flushes, says what went wrong (nothing
 * when the reader simply left, as `| head` does), and returns the exit code. */
nx_status nx_out_write(const void *bytes, size_t n);
nx_status nx_out_printf(const char *fmt, ...) NX_PRINTF(1, 2);
nx_status nx_out_flush(void);
bool      nx_out_gone(void); /* true: the reader left (EPIPE) */
int       nx_out_finish(void);

/* ---- Progress (progress.c) ------------------------------------------------------------------ */

/* One line on stderr, drawn over: bar, counts, rate, time left. Appears after half a second of
 * work, and never when stderr isn't a terminal. */
typedef struct nx_progress {
    const char *label, *unit; /* "reading the prompt", "tokens"; unit "B": bytes, as kB, MB, GB */
    int64_t     start_ns, drawn_ns;
    int64_t     base; /* of `done`, what was there before we began: doesn't count as speed */
    bool        shown;
} nx_progress;

void nx_progress_begin(nx_progress *p, const char *label, const char *unit);
void nx_progress_at(nx_progress *p, int64_t done, int64_t total);
void nx_progress_end(nx_progress *p); /* erases the line */

/* "1.2 GB", "812 tok": three digits and a unit, for people. */
void nx_format_bytes(char *out, size_t cap, uint64_t bytes);
void nx_format_count(char *out, size_t cap, double n); /* "812", "12.3", "1.24 k" */

/* ---- JSON (jsonout.c) ----------------------------------------------------------------------- */

/* Print the value and a newline to stdout, free the buffer, return the exit code. */
int nx_jw_finish(nx_jw *w);

#endif
