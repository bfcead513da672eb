/* extract.c - how long does an extracted answer take, and what is seen on the way to it?
 *
 *     bench_extract models/all-minilm-l6-v2.gguf < questions.jsonl > seen.jsonl
 *
 * A line in: {"question", "passages": [{"text", "title", "headings", "source", "dense", "words", "rank_dense",
 * "rank_words"}]}, best first. A line out: the answer, milliseconds of the question's embedding and of all, the
 * features of passages and of each sentence that was weighed. tools/eval/calibrate.py fits the coefficients of
 * src/rag/relevance.c to them.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/jsonread.h"
#include "base/jsonwrite.h"
#include "engine/embedder.h"
#include "lib/backends.h"
#include "os/clock.h"
#include "rag/answer_in.h"

enum { DIMS_MAX = 4096, PASSAGES_MAX = 100, THREADS = 2 };

static void must(nx_status st, const nx_error *err)
{
    if (!st) return;
    fprintf(stderr, "bench_extract: %s\n", err->text);
    exit(1);
}

static nx_embedder *open_embedder(const char *path)
{
    nx_embedder_options opt = {.n_cache = 0};
    nx_embedder        *e;
    nx_backend         *be;
    nx_llm             *llm;
    nx_error            err = {0};

    must(nx_backends_create(&be, THREADS, NX_PRECISION_FINE, &err), &err);
    must(nx_llm_open(&llm, path, be, &err), &err);
    must(nx_embedder_open(&e, llm, &opt, &err), &err);
    if (nx_embedder_dims(e) > DIMS_MAX) exit(1);
    return e;
}

static nx_str text_of(const nx_json *o, const char *key)
{
    const nx_json *v = nx_json_get(o, key);

    return v && v->type == NX_JSON_STRING ? v->text : NX_STR("");
}

static float number_of(const nx_json *o, const char *key)
{
    const nx_json *v = nx_json_get(o, key);

    if (v && v->type == NX_JSON_INT) return (float)v->i;
    return v && v->type == NX_JSON_FLOAT ? (float)v->f : 0;
}

static void read_passages(nx_passages *out, nx_passage *room, const nx_json *line)
{
    const nx_json *list = nx_json_get(line, "passages");

    *out = (nx_passages){.passages = room};
    for (size_t i = 0; list && list->type == NX_JSON_ARRAY && i < list->array.n && i < PASSAGES_MAX;
         i++) {
        const nx_json *x = &list->array.items[i];
        nx_passage    *p = &room[out->n++];
        nx_passage_given(p, text_of(x, "text"), text_of(x, "title"), text_of(x, "source"));
        p->chunk.headings = text_of(x, "headings");
        p->has_dense = true;
        p->dense = number_of(x, "dense");
        p->words = number_of(x, "words");
        p->rank_dense = (int32_t)number_of(x, "rank_dense");
        p->rank_words = (int32_t)number_of(x, "rank_words");
    }
}

static void print_floats(nx_jw *w, const char *key, const float *f, size_t n)
{
    nx_jw_open(w, key, '[');
    for (size_t i = 0; i < n; i++) nx_jw_number(w, NULL, (double)f[i], 5);
    nx_jw_close(w, ']');
}

/* What was seen: once more, beside the answer that was timed. */
static void print_seen(nx_jw *w, const nx_question *q, const nx_passages *p, nx_embedder *e)
{
    nx_question_words asked;
    nx_choices        choices;
    float             f[NX_REL_FEATURES];
    nx_error          err = {0};

    must(nx_question_words_read(&asked, q->text, &err), &err);
    must(nx_relevance_features(f, q, &asked, p, &err), &err);
    must(nx_choices_make(&choices, q, &asked, p, e, &err), &err);
    print_floats(w, "passages", f, NX_REL_FEATURES);
    nx_jw_open(w, "sentences", '[');
    for (size_t i = 0; i < choices.n; i++) {
        const nx_choice *x = &choices.list[i];
        nx_str           text = p->passages[x->passage].chunk.text;
        nx_jw_open(w, NULL, '{');
        nx_jw_string(w, "text", (nx_str){text.p + x->unit.begin, x->unit.end - x->unit.begin});
        nx_jw_int(w, "passage", (int64_t)x->passage);
        nx_jw_number(w, "score", (double)x->score, 5);
        print_floats(w, "features", x->f, NX_UNIT_FEATURES);
        nx_jw_close(w, '}');
    }
    nx_jw_close(w, ']');
    nx_choices_free(&choices);
    nx_question_words_free(&asked);
}

static void ask(nx_embedder *e, const char *text, size_t len)
{
    static nx_passage room[PASSAGES_MAX];
    static float      vector[DIMS_MAX];
    nx_embed_options  opt;
    nx_embed_report   report;
    nx_json_doc       doc;
    nx_passages       passages;
    nx_extracted      x;
    nx_error          err = {0};
    nx_jw             w = {.buf.max = NX_JW_MAX};

    must(nx_json_parse(&doc, "stdin", text, len, 0, &err), &err);
    read_passages(&passages, room, doc.root);
    nx_question   q = {.text = text_of(doc.root, "question"), .vector = vector};
    nx_embed_text in = {.text = q.text};
    int64_t       t0 = nx_clock_ns();
    nx_embed_options_default(&opt);
    must(nx_embedder_run(e, vector, &in, 1, &opt, &report, &err), &err);
    int64_t t1 = nx_clock_ns();
    must(nx_extract_answer(&x, &q, &passages, e, &err), &err);
    int64_t t2 = nx_clock_ns();

    nx_jw_open(&w, NULL, '{');
    nx_jw_bool(&w, "found", x.found);
    nx_jw_number(&w, "confidence", (double)x.confidence, 5);
    nx_jw_number(&w, "relevance", (double)nx_relevance(&q, &passages), 5);
    nx_jw_string(&w, "text", (nx_str){x.text.data, x.text.len});
    nx_jw_number(&w, "embed_ms", (double)(t1 - t0) / 1e6, 4);
    nx_jw_number(&w, "extract_ms", (double)(t2 - t1) / 1e6, 4);
    print_seen(&w, &q, &passages, e);
    nx_jw_close(&w, '}');
    must(w.st, &w.err);
    printf("%s\n", w.buf.data);
    nx_buf_free(&w.buf);
    nx_extracted_free(&x);
    nx_json_doc_free(&doc);
}

int main(int argc, char **argv)
{
    char  *line = NULL;
    size_t cap = 0;

    if (argc != 2) {
        fprintf(stderr, "usage: bench_extract EMBEDDING_MODEL < questions.jsonl\n");
        return 2;
    }
    nx_embedder *e = open_embedder(argv[1]);
    for (ssize_t n; (n = getline(&line, &cap, stdin)) > 0;)
        if (n > 1) ask(e, line, (size_t)n);
    free(line);
    nx_embedder_close(e);
    return 0;
}
