/* token_strings - what a tokenizer.json makes of many texts, for tests/parity/test_tokenizer_json.py.
 *
 *   token_strings TOKENIZER.JSON < texts      one JSON string a line
 *   token_strings VOCABULARY.GGUF < texts     the same, and of a Hugging Face folder
 *   token_strings TOKENIZER.JSON OUT.GGUF     write the vocabulary as GGUF's keys
 *
 * Prints for each text one line of JSON: [ids with special tokens around, ids without, the text that
 * the first decode to without special tokens, and with them]; null where the tokenizer refuses. A
 * stream must say the same as decoding at once: else the program ends with an error.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/jsonread.h"
#include "os/file.h"
#include "token/export.h"
#include "token/tj.h"

static void die(const char *what, const nx_error *err)
{
    fprintf(stderr, "%s: %s\n", what, err->text);
    exit(1);
}

static void add_ids(nx_buf *out, const nx_ids *ids)
{
    nx_buf_addf(out, NULL, "[");
    for (size_t i = 0; i < ids->n; i++) nx_buf_addf(out, NULL, i ? ",%d" : "%d", (int)ids->ids[i]);
    nx_buf_addf(out, NULL, "],");
}

static void add_text(nx_buf *out, const nx_vocab *v, const nx_ids *ids, bool control)
{
    nx_buf     text = {.max = 1u << 30}, streamed = {.max = 1u << 30};
    nx_decoder d = {.keep_control = control};
    nx_error   err;

    if (nx_vocab_decode(v, &text, ids->ids, ids->n, control, &err)) die("decode", &err);
    for (size_t i = 0; i < ids->n; i++) {
        if (nx_decoder_push(&d, v, ids->ids[i], &streamed, &err)) die("push", &err);
    }
    if (nx_decoder_finish(&d, &streamed, &err)) die("finish", &err);
    if (text.len != streamed.len || (text.len && memcmp(text.data, streamed.data, text.len))) {
        fprintf(stderr, "streamed \"%s\", at once \"%s\"\n", streamed.len ? streamed.data : "",
                text.len ? text.data : "");
        exit(1);
    }
    nx_json_add_string(out, text.data ? text.data : "", text.len, NULL);
    nx_decoder_free(&d);
    nx_buf_free(&text);
    nx_buf_free(&streamed);
}

static void answer(const nx_vocab *v, nx_str text)
{
    nx_ids   around = {0}, plain = {0};
    nx_buf   out = {.max = 1u << 30};
    nx_error err;

    if (nx_vocab_encode(v, &around, text.p, text.len,
                        NX_ENCODE_ADD_SPECIAL | NX_ENCODE_PARSE_SPECIAL, &err) ||
        nx_vocab_encode(v, &plain, text.p, text.len, NX_ENCODE_PARSE_SPECIAL, &err)) {
        fprintf(stderr, "refused: %s\n", err.text);
        puts("null");
    } else {
        nx_buf_addf(&out, NULL, "[");
        add_ids(&out, &around);
        add_ids(&out, &plain);
        add_text(&out, v, &around, false);
        nx_buf_addf(&out, NULL, ",");
        add_text(&out, v, &around, true);
        printf("%s]\n", out.data);
    }
    nx_ids_free(&around);
    nx_ids_free(&plain);
    nx_buf_free(&out);
}

static void read_lines(const nx_vocab *v)
{
    nx_error err;
    char    *line = NULL;
    size_t   cap = 0;
    ssize_t  n;

    while ((n = getline(&line, &cap, stdin)) > 0) {
        nx_json_doc doc;
        if (nx_json_parse(&doc, "stdin", line, (size_t)n, 0, &err)) die("line", &err);
        answer(v, doc.root->text);
        nx_json_doc_free(&doc);
    }
    free(line);
}

static void write_gguf(const nx_vocab *v, const char *path)
{
    nx_gguf_writer *w;
    nx_error        err;

    if (nx_gguf_writer_open(&w, path, &err)) die("writer", &err);
    nx_gguf_put_string(w, "general.architecture", NX_STR("llama"));
    if (nx_vocab_export(v, w, nx_vocab_size(v) + 3, &err)) die("export", &err);
    if (nx_gguf_begin(w, &err) || nx_gguf_commit(w, &err)) die("write", &err);
    nx_gguf_writer_destroy(w);
}

int main(int argc, char **argv)
{
    nx_file_map    file = {0};
    nx_checkpoint *cp = NULL;
    nx_vocab      *v;
    nx_error       err;

    if (argc < 2 || argc > 3) return 2;
    const char *dot = strrchr(argv[1], '.');
    if (dot && strcmp(dot, ".json") == 0) {
        if (nx_file_map_open(&file, argv[1], &err)) die("open", &err);
        nx_str json = {(const char *)file.data, file.bytes};
        if (nx_tj_create(&v, NULL, json, &err)) die("create", &err);
    } else {
        if (nx_checkpoint_open(&cp, argv[1], &err)) die("open", &err);
        if (nx_vocab_open(&v, cp, &err)) die("create", &err);
    }
    if (argc == 3)
        write_gguf(v, argv[2]);
    else
        read_lines(v);
    nx_vocab_close(v);
    nx_checkpoint_close(cp);
    nx_file_map_close(&file);
    return 0;
}
