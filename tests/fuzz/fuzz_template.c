/* fuzz_template.c - any bytes as a template, a question and a passage: refused with a reason, or a prompt within its
 * budget in which the passage's text opens and closes no passage. */
#include "input.h"
#include "rag/answer.h"

static nx_status count_bytes(void *ctx, nx_str system, nx_str user, int32_t *n, nx_error *err)
{
    (void)ctx;
    (void)err;
    *n = (int32_t)(system.len + user.len);
    return NX_OK;
}

static size_t count(const nx_buf *b, const char *what)
{
    size_t n = 0;

    for (const char *p = b->data; p && (p = strstr(p, what)); p++) n++;
    return n;
}

/* A passage between two marks of our own: exactly those are there. */
static void check_marks(nx_str text)
{
    nx_passage    p;
    nx_rag_prompt out;

    nx_passage_given(&p, text, text, NX_STR("S"));
    if (nx_rag_prompt_build(&out, NX_STR("{passages}{question}"), NX_STR(""), &p, 1, 1 << 20,
                            count_bytes, NULL, NULL))
        abort();
    if (count(&out.user, "<passage") != 1 || count(&out.user, "</passage") != 1) abort();
    nx_rag_prompt_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input         in = {(const char *)data, size};
    nx_error      err = {0};
    nx_rag_prompt out;
    nx_passage    p[2];

    if (size > 8192 || memchr(data, 0, size)) return 0;
    int32_t budget = input_byte(&in) * 8;
    nx_str template = input_take(&in, (size_t)input_byte(&in));
    nx_str text = input_take(&in, (size_t)input_byte(&in));
    nx_passage_given(&p[0], text, NX_STR("A"), NX_STR("S"));
    nx_passage_given(&p[1], (nx_str){in.p, in.len}, NX_STR("B"), NX_STR("S"));
    if (nx_utf8_valid(text.p, text.len, NULL)) check_marks(text);
    nx_status st =
        nx_rag_prompt_build(&out, template, NX_STR("q?"), p, 2, budget, count_bytes, NULL, &err);
    if (st && st != NX_EINVAL && st != NX_ELIMIT) abort();
    if (st && err.text[0] == '\0') abort();
    if (!st && out.n_tokens > budget) abort();
    if (!st) nx_rag_prompt_free(&out);
    return 0;
}
