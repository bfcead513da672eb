/* rag_config.c - a small file, read once, written whole. */
#include "server/rag_config.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/jsonread.h"
#include "os/dir.h"
#include "os/file.h"
#include "server/datadir.h"

#define FILE_MAX ((size_t)64 << 10)

struct nx_rag_config {
    char            path[NX_DATADIR_PATH_MAX];
    pthread_mutex_t writing; /* changes take turns; the disk is waited for under it */
    pthread_mutex_t lock;    /* guards now */
    nx_rag_settings now;
};

/* ---- Values ---- */

void nx_rag_settings_default(nx_rag_settings *s)
{
    *s = (nx_rag_settings){.enabled = true,
                           .top_k = 5,
                           .min_score = 0.7,
                           .chunk_size = 512,
                           .chunk_overlap = 50,
                           .privacy_epsilon = 1};
}

static nx_status check_int(const char *name, int32_t x, int32_t min, int32_t max,
                           const char **field, nx_error *err)
{
    if (x >= min && x <= max) return NX_OK;
    *field = name;
    return nx_fail(err, NX_EINVAL, "%s: %d, expected %d to %d", name, x, min, max);
}

static nx_status check_number(const char *name, double x, double min, double max,
                              const char **field, nx_error *err)
{
    if (isfinite(x) && x >= min && x <= max) return NX_OK;
    *field = name;
    return nx_fail(err, NX_EINVAL, "%s: %g, expected %g to %g", name, x, min, max);
}

nx_status nx_rag_settings_check(const nx_rag_settings *s, const char **field, nx_error *err)
{
    const char *to_blame = NULL;
    nx_status   st = check_int("top_k", s->top_k, 1, NX_RAG_TOP_K_MAX, &to_blame, err);

    if (!st) st = check_number("min_score", s->min_score, 0, 1, &to_blame, err);
    if (!st)
        st = check_int("chunk_size", s->chunk_size, NX_RAG_CHUNK_SIZE_MIN, NX_RAG_CHUNK_SIZE_MAX,
                       &to_blame, err);
    if (!st)
        st = check_int("chunk_overlap", s->chunk_overlap, 0, NX_RAG_CHUNK_OVERLAP_MAX, &to_blame,
                       err);
    if (!st)
        st = check_number("privacy_epsilon", s->privacy_epsilon, NX_RAG_EPSILON_MIN,
                          NX_RAG_EPSILON_MAX, &to_blame, err);
    if (!st && s->chunk_overlap >= s->chunk_size) {
        to_blame = "chunk_overlap";
        st =
            nx_fail(err, NX_EINVAL, "chunk_overlap: %d, expected less than chunk_size, which is %d",
                    s->chunk_overlap, s->chunk_size);
    }
    if (field) *field = to_blame;
    return st;
}

void nx_rag_settings_write(nx_jw *w, const nx_rag_settings *s)
{
    nx_jw_int(w, "top_k", s->top_k);
    nx_jw_double(w, "min_score", s->min_score);
    nx_jw_int(w, "chunk_size", s->chunk_size);
    nx_jw_int(w, "chunk_overlap", s->chunk_overlap);
    nx_jw_bool(w, "enable_privacy", false);
    nx_jw_double(w, "privacy_epsilon", s->privacy_epsilon);
}

/* ---- The file ---- */

/* A member that is there and isn't of the kind is a fault; one that isn't there leaves *out alone. */
static nx_status read_number(const nx_json *o, const char *name, double *out, nx_error *err)
{
    const nx_json *v = nx_json_get(o, name);

    if (nx_json_absent(v) || nx_json_number(v, out)) return NX_OK;
    return nx_fail(err, NX_EFORMAT, "%s: expected a number, found %s", name, nx_json_type_name(v));
}

static nx_status read_int(const nx_json *o, const char *name, int32_t *out, nx_error *err)
{
    double    x = *out;
    nx_status st = read_number(o, name, &x, err);

    if (!st && !(x >= INT32_MIN && x <= INT32_MAX && x == floor(x)))
        st = nx_fail(err, NX_EFORMAT, "%s: expected an integer, found %g", name, x);
    if (!st) *out = (int32_t)x;
    return st;
}

static nx_status read_bool(const nx_json *o, const char *name, bool *out, nx_error *err)
{
    const nx_json *v = nx_json_get(o, name);

    if (nx_json_absent(v) || nx_json_get_bool(o, name, out)) return NX_OK;
    return nx_fail(err, NX_EFORMAT, "%s: expected true or false, found %s", name,
                   nx_json_type_name(v));
}

static nx_status read_settings(nx_rag_settings *s, const nx_json *o, nx_error *err)
{
    nx_status st = NX_OK;

    if (o->type != NX_JSON_OBJECT)
        st = nx_fail(err, NX_EFORMAT, "expected an object, found %s", nx_json_type_name(o));
    if (!st) st = read_bool(o, "enabled", &s->enabled, err);
    if (!st) st = read_int(o, "top_k", &s->top_k, err);
    if (!st) st = read_number(o, "min_score", &s->min_score, err);
    if (!st) st = read_int(o, "chunk_size", &s->chunk_size, err);
    if (!st) st = read_int(o, "chunk_overlap", &s->chunk_overlap, err);
    if (!st) st = read_number(o, "privacy_epsilon", &s->privacy_epsilon, err);
    return st ? st : nx_rag_settings_check(s, NULL, err);
}

static nx_status read_file(nx_rag_config *c, nx_error *err)
{
    nx_buf      text = {.max = FILE_MAX};
    nx_json_doc doc = {0};
    nx_status   st;

    if (!nx_file_exists(c->path)) return NX_OK;
    st = nx_file_read_all(&text, c->path, err);
    if (!st) st = nx_json_parse(&doc, c->path, text.data ? text.data : "", text.len, 0, err);
    if (!st) {
        st = read_settings(&c->now, doc.root, err);
        if (st)
            st = nx_fail_prefix(err, NX_EFORMAT,
                                "%s (correct it, or take it away: then the "
                                "defaults hold)",
                                c->path);
    }
    nx_json_doc_free(&doc);
    nx_buf_free(&text);
    return st;
}

static nx_status write_aside(const char *path, const nx_buf *text, nx_error *err)
{
    nx_file_out f = {0};
    nx_status   st = nx_file_out_open(&f, path, err);

    if (!st) st = nx_fd_write_all(f.fd, text->data, text->len, path, err);
    if (!st) st = nx_file_out_commit(&f, err);
    if (st) nx_file_out_abort(&f);
    return st;
}

static nx_status write_file(const nx_rag_config *c, const nx_rag_settings *s, nx_error *err)
{
    nx_jw     w = {.buf.max = FILE_MAX};
    char      aside[NX_DATADIR_PATH_MAX];
    nx_status st = NX_OK;

    nx_jw_open(&w, NULL, '{');
    nx_jw_bool(&w, "enabled", s->enabled);
    nx_rag_settings_write(&w, s);
    nx_jw_close(&w, '}');
    if (w.st) st = nx_fail(err, w.st, "%s", w.err.text);
    if (!st && !nx_path_write(aside, sizeof aside, "%s.new", c->path))
        st = nx_fail(err, NX_ELIMIT, "%s: the path is too long", c->path);
    if (!st) st = write_aside(aside, &w.buf, err);
    if (!st) st = nx_path_rename(aside, c->path, err); /* and the folder is synced */
    nx_buf_free(&w.buf);
    return st;
}

/* ---- Life ---- */

nx_status nx_rag_config_open(nx_rag_config **out, const char *data, nx_error *err)
{
    nx_rag_config *c = nx_calloc(1, sizeof *c);
    nx_status      st = NX_OK;

    *out = NULL;
    if (!c) return nx_fail(err, NX_ENOMEM, "settings of the answers from documents");
    pthread_mutex_init(&c->writing, NULL);
    pthread_mutex_init(&c->lock, NULL);
    nx_rag_settings_default(&c->now);
    if (!nx_path_write(c->path, sizeof c->path, "%s/rag.json", data))
        st = nx_fail(err, NX_ELIMIT, "the data folder's path is too long");
    if (!st) st = read_file(c, err);
    if (st)
        nx_rag_config_close(c);
    else
        *out = c;
    return st;
}

void nx_rag_config_close(nx_rag_config *c)
{
    if (!c) return;
    pthread_mutex_destroy(&c->writing);
    pthread_mutex_destroy(&c->lock);
    nx_free(c);
}

nx_rag_settings nx_rag_config_get(nx_rag_config *c)
{
    pthread_mutex_lock(&c->lock);
    nx_rag_settings now = c->now;
    pthread_mutex_unlock(&c->lock);
    return now;
}

nx_status nx_rag_config_change(nx_rag_config *c, nx_rag_change_fn change, void *ctx,
                               nx_rag_settings *now, nx_error *err)
{
    nx_rag_settings s;
    nx_status       st = NX_OK;

    pthread_mutex_lock(&c->writing);
    s = nx_rag_config_get(c);
    if (change(ctx, &s)) {
        st = nx_rag_settings_check(&s, NULL, err);
        if (!st) st = write_file(c, &s, err);
        pthread_mutex_lock(&c->lock);
        if (!st) c->now = s;
        pthread_mutex_unlock(&c->lock);
    }
    if (now) *now = nx_rag_config_get(c);
    pthread_mutex_unlock(&c->writing);
    return st;
}
