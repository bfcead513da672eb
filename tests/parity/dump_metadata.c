/* dump_metadata.c - the metadata of many checkpoints as JSON, for scripts that compare.
 *
 *   dump_metadata MODEL...       one line each: {"key": value, ...}, or the error as a string
 */
#include <stdio.h>

#include "base/json.h"
#include "format/checkpoint.h"

static void add_number(nx_buf *b, const nx_checkpoint *cp, const char *key)
{
    int64_t i = 0;
    double  f = 0;
    bool    yes = false;

    if (!nx_meta_int(cp, key, &i, INT64_MIN, INT64_MAX, true, NULL))
        nx_buf_addf(b, NULL, "%lld", (long long)i);
    else if (!nx_meta_float(cp, key, &f, true, NULL))
        nx_json_add_number(b, f, 9, NULL);
    else if (!nx_meta_bool(cp, key, &yes, true, NULL))
        nx_buf_addf(b, NULL, yes ? "true" : "false");
    else
        nx_buf_addf(b, NULL, "null");
}

static void add_value(nx_buf *b, const nx_checkpoint *cp, const nx_meta *m, const char *key)
{
    nx_str s;

    if (m->type == NX_META_ARRAY && m->elem_type == NX_META_BOOL) {
        for (uint64_t i = 0; i < m->n; i++)
            nx_buf_addf(b, NULL, "%s%s", i ? ", " : "[", m->data[i] ? "true" : "false");
        nx_buf_addf(b, NULL, "]");
    } else if (m->type == NX_META_STRING && !nx_meta_string(cp, key, &s, true, NULL)) {
        nx_json_add_string(b, s.p, s.len, NULL);
    } else {
        add_number(b, cp, key);
    }
}

static void dump(nx_buf *b, const char *path)
{
    nx_checkpoint *cp;
    nx_error       err = {0};
    char           key[128];

    if (nx_checkpoint_open(&cp, path, &err)) {
        nx_json_add_string(b, err.text, nx_str_of(err.text).len, NULL);
        return;
    }
    for (int64_t i = 0; i < nx_checkpoint_n_meta(cp); i++) {
        const nx_meta *m = nx_checkpoint_meta_at(cp, i);
        snprintf(key, sizeof key, "%.*s", (int)m->key.len, m->key.p);
        nx_buf_addf(b, NULL, "%s\"%s\": ", i ? ", " : "{", key);
        add_value(b, cp, m, key);
    }
    nx_buf_addf(b, NULL, "}");
    nx_checkpoint_close(cp);
}

int main(int argc, char **argv)
{
    nx_buf b = {.max = 1 << 26};

    for (int i = 1; i < argc; i++) {
        dump(&b, argv[i]);
        puts(b.data);
        nx_buf_clear(&b);
    }
    nx_buf_free(&b);
    return 0;
}
