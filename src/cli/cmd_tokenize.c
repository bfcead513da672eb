/* cmd_tokenize.c - text to ids and back. A vocabulary is enough: weights aren't looked at. */
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "cli/cli.h"

/* What both commands open. */
typedef struct words {
    nx_checkpoint *cp;
    nx_vocab      *vocab;
} words;

static nx_status open_words(words *w, const char *model, nx_error *err)
{
    nx_status st = nx_open_checkpoint(&w->cp, model, err);

    return st ? st : nx_vocab_open(&w->vocab, w->cp, err);
}

static void close_words(words *w)
{
    nx_vocab_close(w->vocab);
    nx_checkpoint_close(w->cp);
}

/* ---- tokenize ---- */

static int print_ids(const nx_ids *ids)
{
    for (size_t i = 0; i < ids->n; i++) nx_out_printf(i ? " %d" : "%d", (int)ids->ids[i]);
    nx_out_printf("\n");
    return nx_out_finish();
}

/* One line for each token: its id and, as a JSON string, how the vocabulary spells it. */
static int print_pieces(const nx_ids *ids, const nx_vocab *vocab, nx_error *err)
{
    nx_buf    b = {.max = 1 << 20};
    nx_status st = NX_OK;

    for (size_t i = 0; i < ids->n && !st; i++) {
        const nx_str piece = nx_vocab_text(vocab, ids->ids[i]);

        nx_buf_clear(&b);
        st = nx_json_add_string(&b, piece.p, piece.len, err);
        if (!st) nx_out_printf("%7d  %s\n", (int)ids->ids[i], b.data);
    }
    nx_buf_free(&b);
    return st ? nx_cli_fail(err) : nx_out_finish();
}

static int print_json(const nx_ids *ids, const nx_vocab *vocab, bool pieces)
{
    nx_jw w = {.buf.max = NX_JW_MAX};

    nx_jw_open(&w, NULL, '{');
    nx_jw_ids(&w, "ids", ids->ids, ids->n);
    if (pieces) {
        nx_jw_open(&w, "pieces", '[');
        for (size_t i = 0; i < ids->n; i++)
            nx_jw_string(&w, NULL, nx_vocab_text(vocab, ids->ids[i]));
        nx_jw_close(&w, ']');
    }
    nx_jw_close(&w, '}');
    return nx_jw_finish(&w);
}

int nx_cmd_tokenize(int argc, char **argv)
{
    nx_model_opts m = NX_MODEL_OPTS_DEFAULT;
    bool          no_special = false, pieces = false, json = false;
    const nx_opt  opts[] = {
        NX_OPT_MODEL(m),
        NX_OPT("no-special", 0, NX_OPT_FLAG, &no_special, NULL,
                "the text alone: nothing added around it, control tokens spelled in it are text"),
        NX_OPT("pieces", 0, NX_OPT_FLAG, &pieces, NULL,
                "one line a token: its id and its spelling"),
        NX_OPT("json", 0, NX_OPT_FLAG, &json, NULL, "print {\"ids\":[..]}"),
        NX_OPT_END,
    };
    const nx_usage usage = {
        .command = "tokenize",
        .synopsis = "[-m MODEL] [options] TEXT|-",
        .about =
            "Print the token ids of a text on one line. With - the text is stdin, byte for\n"
            "byte. By default the model's beginning-of-text token is added as the model wants\n"
            "it, and control tokens spelled in the text are read as such.",
        .examples = "  nexus tokenize 'Hello world'\n"
                    "  nexus tokenize -m model.gguf --pieces 'Hello world'\n"
                    "  nexus tokenize --no-special - < notes.txt | nexus detokenize -",
        .options = opts,
        .n_args_min = 1,
        .n_args_max = 1,
        .args_missing = "no text given: name it, or - to read stdin",
    };
    words     w = {0};
    nx_buf    text = {0};
    nx_ids    ids = {0};
    nx_args   args;
    nx_error  err;
    nx_status st;
    int       code = nx_opt_parse(&usage, &args, argc, argv);

    if (code != NX_CLI_GO) return code;
    st = open_words(&w, m.model, &err);
    if (!st) st = nx_read_text(&text, args.v[0], &err);
    if (!st)
        st =
            nx_vocab_encode(w.vocab, &ids, text.data ? text.data : "", text.len,
                            no_special ? 0 : NX_ENCODE_ADD_SPECIAL | NX_ENCODE_PARSE_SPECIAL, &err);
    if (st)
        code = nx_cli_fail(&err);
    else if (json)
        code = print_json(&ids, w.vocab, pieces);
    else
        code = pieces ? print_pieces(&ids, w.vocab, &err) : print_ids(&ids);
    nx_ids_free(&ids);
    nx_buf_free(&text);
    close_words(&w);
    return code;
}

/* ---- detokenize ---- */

static nx_status read_ids(nx_ids *out, const nx_args *args, int32_t n_vocab, nx_error *err)
{
    nx_status st = NX_OK;

    for (int i = 0; i < args->n && !st; i++) {
        nx_buf b = {0};

        st = nx_read_text(&b, args->v[i], err);
        if (!st) st = nx_parse_ids(out, b.data ? b.data : "", n_vocab, err);
        nx_buf_free(&b);
    }
    return st;
}

int nx_cmd_detokenize(int argc, char **argv)
{
    nx_model_opts m = NX_MODEL_OPTS_DEFAULT;
    bool          control = false;
    const nx_opt  opts[] = {
        NX_OPT_MODEL(m),
        NX_OPT("control", 0, NX_OPT_FLAG, &control, NULL,
                "spell control tokens out instead of leaving them out"),
        NX_OPT_END,
    };
    const nx_usage usage = {
        .command = "detokenize",
        .synopsis = "[-m MODEL] [--control] ID...|-",
        .about = "Print the bytes that token ids stand for: exactly those, with a newline after\n"
                 "them on a terminal only. With - the ids are read from stdin.",
        .examples =
            "  nexus detokenize -m model.gguf 1 403 407 261 378\n"
            "  nexus tokenize --no-special - < notes.txt | nexus detokenize - | cmp - notes.txt",
        .options = opts,
        .n_args_min = 1,
        .n_args_max = -1,
        .args_missing = "no ids given: name them, or - to read stdin",
    };
    words     w = {0};
    nx_buf    text = {.max = NX_JW_MAX};
    nx_ids    ids = {0};
    nx_args   args;
    nx_error  err;
    nx_status st;
    int       code = nx_opt_parse(&usage, &args, argc, argv);

    if (code != NX_CLI_GO) return code;
    st = open_words(&w, m.model, &err);
    if (!st) st = read_ids(&ids, &args, nx_vocab_size(w.vocab), &err);
    if (!st) st = nx_vocab_decode(w.vocab, &text, ids.ids, ids.n, control, &err);
    if (st) {
        code = nx_cli_fail(&err);
    } else {
        nx_out_write(text.data ? text.data : "", text.len);
        if (nx_terminal_get()->out) nx_out_write("\n", 1);
        code = nx_out_finish();
    }
    nx_buf_free(&text);
    nx_ids_free(&ids);
    close_words(&w);
    return code;
}
