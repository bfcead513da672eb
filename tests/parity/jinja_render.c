/* jinja_render.c - renders templates for test_templates.py: one JSON object a line in, one out.
 *
 * {"template": "...", "vars": {...}, "unix_ms": 0} gives {"text": "..."} or {"error": "..."}.
 * "user" lists the names of variables that people wrote; with it the reply also has "user", the
 * text's stretches [from, to) that are theirs, in bytes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "token/jinja.h"

static void reply_error(nx_buf *b, const nx_error *err)
{
    nx_buf_addf(b, NULL, "{\"error\":");
    nx_json_add_string(b, err->text, strlen(err->text), NULL);
    nx_buf_addf(b, NULL, "}\n");
}

static void reply_text(nx_buf *b, const nx_jinja_result *r, bool spans)
{
    size_t from = 0;

    nx_buf_addf(b, NULL, "{\"text\":");
    nx_json_add_string(b, r->text.data, r->text.len, NULL);
    if (spans) nx_buf_addf(b, NULL, ",\"user\":[");
    for (size_t i = 0, n = 0; spans && i < r->n_spans; from = r->spans[i++].end) {
        if (r->spans[i].user)
            nx_buf_addf(b, NULL, "%s[%zu,%zu]", n++ ? "," : "", from, r->spans[i].end);
    }
    nx_buf_addf(b, NULL, spans ? "]}\n" : "}\n");
}

static bool listed(const nx_json *names, nx_str name)
{
    for (size_t i = 0; names && i < names->array.n; i++) {
        if (nx_str_eq(names->array.items[i].text, name)) return true;
    }
    return false;
}

static void render(const nx_json *job, nx_buf *b)
{
    nx_jinja        *t = NULL;
    nx_jinja_result  r = {0};
    nx_error         err = {0};
    nx_jinja_options o = {0};
    nx_str           text = {0};
    const nx_json   *vars = nx_json_get(job, "vars"), *user = nx_json_get(job, "user");
    nx_jinja_var     v[64];
    char             names[64][64];
    size_t           n = 0;

    nx_json_get_string(job, "template", &text);
    nx_json_get_int(job, "unix_ms", &o.unix_ms);
    for (; vars && n < vars->object.n && n < 64; n++) {
        const nx_json_member *m = &vars->object.members[n];
        snprintf(names[n], sizeof names[n], "%.*s", (int)m->key.len, m->key.p);
        v[n] = (nx_jinja_var){.name = names[n], .json = &m->value, .user = listed(user, m->key)};
    }
    nx_status st = nx_jinja_compile(&t, "t", text, NULL, &err);
    if (!st) st = nx_jinja_render(t, &r, v, n, &o, &err);
    if (st)
        reply_error(b, &err);
    else
        reply_text(b, &r, user != NULL);
    nx_jinja_result_free(&r);
    nx_jinja_free(t);
}

int main(void)
{
    char   *line = NULL;
    size_t  cap = 0;
    ssize_t len;
    nx_buf  b = {.max = (size_t)1 << 30};

    while ((len = getline(&line, &cap, stdin)) > 0) {
        nx_json_doc doc;
        nx_error    err;
        nx_buf_clear(&b);
        if (nx_json_parse(&doc, "job", line, (size_t)len, NX_JSON_PYTHON, &err)) {
            reply_error(&b, &err);
        } else {
            render(doc.root, &b);
            nx_json_doc_free(&doc);
        }
        fwrite(b.data, 1, b.len, stdout);
        fflush(stdout);
    }
    free(line);
    nx_buf_free(&b);
    return 0;
}
