/* fuzz_citations.c - any bytes as a model's answer over passages: read without harm; every citation leads to bytes of a
 * passage and stands in the answer as "[n]"; reading the answer once more changes nothing. */
#include <stdio.h>

#include "input.h"
#include "rag/answer.h"

static void check(const nx_citations *c, const nx_buf *answer, const nx_passage *passages, size_t n)
{
    for (size_t i = 0; i < c->n; i++) {
        const nx_citation *x = &c->list[i];
        char               mark[16];
        size_t             len = (size_t)snprintf(mark, sizeof mark, "[%d]", x->number);
        if (x->passage >= n || (size_t)x->number != x->passage + 1) abort();
        if (x->start_pos > x->end_pos || x->end_pos > passages[x->passage].chunk.text.len) abort();
        if (x->at_end > answer->len || x->at_end - x->at != len) abort();
        if (memcmp(answer->data + x->at, mark, len) != 0) abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input        in = {(const char *)data, size};
    nx_passage   passages[3];
    size_t       n = (size_t)input_byte(&in) % 4;
    nx_buf       answer = {.max = 1 << 20};
    nx_citations c;

    if (size > 8192) return 0;
    for (size_t i = 0; i < n; i++) {
        nx_str text = input_take(&in, (size_t)input_byte(&in));
        nx_passage_given(&passages[i], text, NX_STR("T"), NX_STR("S"));
    }
    if (nx_buf_add(&answer, in.p, in.len, NULL)) abort();
    (void)nx_answer_declines((nx_str){in.p, in.len});
    (void)nx_rewrite_read((nx_str){in.p, in.len}, NX_STR("And how do I remove it?"));
    for (int round = 0; round < 2; round++) {
        if (nx_citations_read(&c, &answer, passages, n, NULL)) abort();
        check(&c, &answer, passages, n);
        nx_citations_free(&c);
    }
    nx_buf_free(&answer);
    return 0;
}
