/* prompt.c - what the model is to read, from a text, stdin or ids. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "os/file.h"

#define TEXT_MAX ((size_t)1 << 30)

nx_status nx_parse_ids(nx_ids *out, const char *text, int32_t n_vocab, nx_error *err)
{
    const int64_t max = n_vocab > 0 ? n_vocab - 1 : INT32_MAX;
    const char   *p = text + strspn(text, ", \t\n");

    while (*p) {
        char      word[32];
        int64_t   id = 0;
        size_t    len = strcspn(p, ", \t\n");
        nx_status st;

        snprintf(word, sizeof word, "%.*s", (int)(len < sizeof word ? len : sizeof word), p);
        st = nx_parse_int(&id, word, 0, max, err);
        if (!st) st = nx_ids_add(out, (int32_t)id, err);
        if (st) return nx_fail_prefix(err, st, "token id %zu", out->n + 1);
        p += len;
        p += strspn(p, ", \t\n");
    }
    return NX_OK;
}

/* Whether ids is a list at all; what the vocabulary holds is known later. */
static nx_status check_ids(const char *ids, nx_error *err)
{
    nx_ids    l = {0};
    nx_status st = nx_parse_ids(&l, ids, 0, err);

    if (!st && l.n == 0) st = nx_fail(err, NX_EINVAL, "no ids given");
    nx_ids_free(&l);
    return st;
}

int nx_prompt_check(const nx_prompt *p, const char *command)
{
    nx_error err;

    if (p->text && p->ids)
        return nx_cli_misuse(command, "--prompt and --prompt-ids exclude each other");
    if (!p->text && !p->ids)
        return nx_cli_misuse(command, "no prompt: give one with -p TEXT, or -p - to read stdin");
    if (p->ids && check_ids(p->ids, &err))
        return nx_cli_misuse(command, "--prompt-ids: %s", err.text);
    return NX_CLI_GO;
}

nx_status nx_read_text(nx_buf *out, const char *text, nx_error *err)
{
    if (out->max == 0) out->max = TEXT_MAX;
    if (strcmp(text, "-") == 0) {
        if (nx_terminal_get()->in) nx_log_info("reading from the terminal; Ctrl-D ends the text");
        return nx_fd_read_all(out, 0, "stdin", err);
    }
    return nx_buf_add(out, text, strlen(text), err);
}

static nx_status text_ids(nx_ids *out, const char *text, const nx_vocab *vocab, nx_error *err)
{
    nx_buf    b = {0};
    nx_status st;

    if (!vocab)
        return nx_fail(err, NX_EUNSUPPORTED,
                       "the model has no vocabulary, so it can't read text. "
                       "Give token ids with --prompt-ids");
    st = nx_read_text(&b, text, err);
    if (!st)
        st = nx_vocab_encode(vocab, out, b.data ? b.data : "", b.len,
                             NX_ENCODE_ADD_SPECIAL | NX_ENCODE_PARSE_SPECIAL, err);
    nx_buf_free(&b);
    if (!st && out->n == 0)
        st = nx_fail(err, NX_EINVAL,
                     "the prompt is empty, and this model's vocabulary has no token "
                     "that begins a text. Give at least one character");
    return st;
}

nx_status nx_prompt_ids(nx_ids *out, const nx_prompt *p, const nx_vocab *vocab, int32_t n_vocab,
                        nx_error *err)
{
    nx_status st;

    if (p->text) return text_ids(out, p->text, vocab, err);
    st = nx_parse_ids(out, p->ids, n_vocab, err);
    return st ? nx_fail_prefix(err, st, "--prompt-ids") : NX_OK;
}
