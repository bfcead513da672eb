/* point_lines.c - points in and out, as lines, in requests of some hundred. */
#include "cli/point_lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "os/file.h"

enum { BATCH_POINTS = 500, PAGE_POINTS = 250, READ_BYTES = 1 << 20 };

#define BATCH_BYTES ((size_t)4 << 20)
#define LINE_MAX    ((size_t)24 << 20) /* below what the server takes in one request */
#define PAGE_MAX    ((size_t)512 << 20)

/* ---- JSON that was read, written again: numbers as they were spelled ---- */

static void write_spelled(nx_jw *w, const char *key, const char *p)
{
    size_t n = strspn(p, "0123456789+-.eE");

    nx_jw_raw(w, key, (nx_str){p, n});
}

static void write_json(nx_jw *w, const char *key, const nx_json *v);

/* Keys may hold any byte but are NUL-terminated for the writer: with a NUL they can't be. */
static void write_members(nx_jw *w, const nx_json *v)
{
    char key[1024];

    for (size_t i = 0; i < v->object.n; i++) {
        const nx_json_member *m = &v->object.members[i];
        char                 *name = m->key.len < sizeof key ? key : nx_alloc(m->key.len + 1, 1);
        if (!name) {
            w->st = nx_fail(&w->err, NX_ENOMEM, "a key of %zu bytes", m->key.len);
            return;
        }
        memcpy(name, m->key.p, m->key.len);
        name[m->key.len] = '\0';
        if (strlen(name) != m->key.len)
            w->st = nx_fail(&w->err, NX_EUNSUPPORTED, "a key with a NUL in it");
        write_json(w, name, &m->value);
        if (name != key) nx_free(name);
    }
}

static void write_json(nx_jw *w, const char *key, const nx_json *v)
{
    switch (v->type) {
    case NX_JSON_NULL: nx_jw_null(w, key); break;
    case NX_JSON_BOOL: nx_jw_bool(w, key, v->boolean); break;
    case NX_JSON_INT: nx_jw_int(w, key, v->i); break;
    case NX_JSON_UINT: nx_jw_u64(w, key, v->u); break;
    case NX_JSON_FLOAT: write_spelled(w, key, v->spelled); break;
    case NX_JSON_STRING: nx_jw_string(w, key, v->text); break;
    case NX_JSON_ARRAY:
        nx_jw_open(w, key, '[');
        for (size_t i = 0; i < v->array.n; i++) write_json(w, NULL, &v->array.items[i]);
        nx_jw_close(w, ']');
        break;
    case NX_JSON_OBJECT:
        nx_jw_open(w, key, '{');
        write_members(w, v);
        nx_jw_close(w, '}');
        break;
    }
}

static void write_point(nx_jw *w, const nx_json *p)
{
    static const char *const members[] = {"id", "vector", "payload"};

    nx_jw_open(w, NULL, '{');
    for (int i = 0; i < 3; i++) {
        const nx_json *v = nx_json_get(p, members[i]);
        if (v && v->type != NX_JSON_NULL) write_json(w, members[i], v);
    }
    nx_jw_close(w, '}');
}

/* ---- Pages of points, from our server or another ---- */

typedef struct source {
    nx_instance *i;       /* ours; NULL: elsewhere */
    const char  *name;    /* ours */
    nx_http     *http;    /* elsewhere */
    const char  *url;     /* ".../collections/NAME" */
    const char  *api_key; /* may be NULL */
} source;

static nx_status ask_elsewhere(source *s, const char *method, const char *rest, nx_jw *body,
                               nx_said *said, nx_error *err)
{
    nx_buf        url = {.max = 8192};
    nx_http_reply reply;

    *said = (nx_said){.text.max = PAGE_MAX};
    nx_status    st = nx_buf_addf(&url, err, "%s%s", s->url, rest);
    nx_http_call call = {.method = method, .url = url.data, .bearer = s->api_key, .stall_s = 120};
    if (body) call.body = (nx_str){body->buf.data, body->buf.len};
    if (!st) st = nx_http_send(s->http, &reply, &call, &said->text, err);
    nx_buf_free(&url);
    if (body) nx_buf_free(&body->buf);
    if (st) return st;
    st = nx_json_parse(&said->doc, s->url, said->text.data ? said->text.data : "", said->text.len,
                       0, err);
    if (reply.status < 200 || reply.status >= 300) {
        st = nx_qdrant_refusal(reply.status, said->doc.root, err);
        return nx_fail_prefix(err, st, "%s", s->url);
    }
    if (!st) said->result = nx_json_get(said->doc.root, "result");
    return st;
}

static nx_status ask_source(source *s, const char *method, const char *rest, nx_jw *body,
                            nx_said *said, nx_error *err)
{
    nx_buf path = {.max = 8192};

    if (!s->i) return ask_elsewhere(s, method, rest, body, said, err);
    *said = (nx_said){0};
    nx_status st = nx_collection_url(&path, s->name, rest, err);
    if (!st)
        st = nx_instance_ask(s->i, method, path.data, body, said, err);
    else if (body)
        nx_buf_free(&body->buf);
    nx_buf_free(&path);
    return st;
}

/* The points after `next` (JSON; "": from the beginning), and next becomes the following one's, or "". */
static nx_status read_page(source *s, char next[64], nx_said *said, const nx_json **points,
                           nx_error *err)
{
    nx_jw w = {.buf.max = 4096};

    nx_jw_open(&w, NULL, '{');
    nx_jw_int(&w, "limit", PAGE_POINTS);
    nx_jw_bool(&w, "with_vector", true);
    nx_jw_bool(&w, "with_payload", true);
    if (next[0]) nx_jw_raw(&w, "offset", nx_str_of(next));
    nx_jw_close(&w, '}');
    nx_status st = ask_source(s, "POST", "/points/scroll", &w, said, err);
    if (st) return st;
    *points = nx_json_get(said->result, "points");
    if (!*points || (*points)->type != NX_JSON_ARRAY)
        return nx_fail(err, NX_EFORMAT, "the server's answer has no points");
    const nx_json *offset = nx_json_get(said->result, "next_page_offset");
    next[0] = '\0';
    if (nx_json_absent(offset)) return NX_OK;
    nx_jw o = {.buf.max = 63};
    write_json(&o, NULL, offset);
    st = o.st;
    if (!st) memcpy(next, o.buf.data, o.buf.len + 1);
    nx_buf_free(&o.buf);
    return st ? nx_fail(err, NX_EFORMAT, "the server's answer has an offset that is no id") : NX_OK;
}

/* What GET of the collection says; *total: its points. */
static nx_status read_info(source *s, nx_said *said, int64_t *total, nx_error *err)
{
    nx_status st = ask_source(s, "GET", "", NULL, said, err);

    *total = 0;
    if (!st) (void)nx_json_get_int(said->result, "points_count", total);
    return st;
}

static nx_status cancelled(nx_error *err)
{
    return nx_fail(err, NX_ECANCELLED, "stopped");
}

/* ---- Out ---- */

static nx_status export_page(const nx_json *points, nx_file_out *out, nx_error *err)
{
    nx_jw     w = {.buf.max = PAGE_MAX};
    nx_status st = NX_OK;

    for (size_t k = 0; k < points->array.n; k++) {
        w.comma = false;
        write_point(&w, &points->array.items[k]);
        w.comma = false;
        if (!w.st) w.st = nx_buf_add(&w.buf, "\n", 1, &w.err);
    }
    if (w.st) st = nx_fail(err, w.st, "%s", w.err.text);
    if (!st && w.buf.len)
        st = out->path ? nx_fd_write_all(out->fd, w.buf.data, w.buf.len, out->path, err)
                       : nx_out_write(w.buf.data, w.buf.len);
    nx_buf_free(&w.buf);
    return st;
}

static nx_status export_all(source *s, nx_file_out *out, int64_t total, nx_lines_report *report,
                            nx_error *err)
{
    nx_progress    bar;
    nx_said        said = {0};
    const nx_json *points;
    nx_status      st = NX_OK;

    nx_progress_begin(&bar, "writing", "points");
    do {
        st = read_page(s, report->next, &said, &points, err);
        if (!st) st = export_page(points, out, err);
        if (!st) report->n_points += points->array.n;
        nx_said_free(&said);
        nx_progress_at(&bar, (int64_t)report->n_points, total);
        if (!st && atomic_load(&nx_cli_cancel)) st = cancelled(err);
    } while (!st && report->next[0]);
    nx_progress_end(&bar);
    return st;
}

nx_status nx_lines_export(nx_instance *i, const char *name, const char *path, nx_lines_report *out,
                          nx_error *err)
{
    source      s = {.i = i, .name = name};
    nx_file_out file = {.fd = 1};
    nx_said     said = {0};
    int64_t     total;
    bool        plain = strcmp(path, "-") == 0;

    *out = (nx_lines_report){0};
    nx_status st = read_info(&s, &said, &total, err);
    nx_said_free(&said);
    if (!st && !plain) st = nx_file_out_open(&file, path, err);
    if (st) return st;
    nx_cli_catch_interrupt();
    st = export_all(&s, &file, total, out, err);
    nx_cli_release_interrupt();
    if (!plain && st)
        nx_file_out_abort(&file);
    else if (!plain)
        st = nx_file_out_commit(&file, err);
    return st;
}

/* ---- In ---- */

typedef struct batch {
    nx_instance *i;
    nx_buf       path, body;
    size_t       n;
} batch;

static nx_status batch_begin(batch *b, nx_instance *i, const char *name, nx_error *err)
{
    *b = (batch){.i = i, .path.max = 8192, .body.max = LINE_MAX + 2 * BATCH_BYTES};
    return nx_collection_url(&b->path, name, "/points?wait=true", err);
}

static void batch_free(batch *b)
{
    nx_buf_free(&b->path);
    nx_buf_free(&b->body);
}

static nx_status batch_add(batch *b, nx_str point, nx_error *err)
{
    nx_status st =
        b->n ? nx_buf_add(&b->body, ",", 1, err) : nx_buf_addf(&b->body, err, "{\"points\":[");

    if (!st) st = nx_buf_add(&b->body, point.p, point.len, err);
    if (!st) b->n++;
    return st;
}

static bool batch_full(const batch *b)
{
    return b->n >= BATCH_POINTS || b->body.len >= BATCH_BYTES;
}

/* Send what is there; *n_points counts it. */
static nx_status batch_send(batch *b, uint64_t *n_points, nx_error *err)
{
    nx_jw   w = {.buf = b->body};
    nx_said said;

    if (b->n == 0) return NX_OK;
    nx_status st = nx_buf_addf(&w.buf, err, "]}");
    b->body = (nx_buf){.max = b->body.max};
    if (st) {
        nx_buf_free(&w.buf);
        return st;
    }
    st = nx_instance_ask(b->i, "PUT", b->path.data, &w, &said, err);
    nx_said_free(&said);
    if (!st) *n_points += b->n;
    b->n = 0;
    return st;
}

/* Lines of a file, or of a pipe. */
typedef struct lines {
    int      fd;
    nx_buf   buf;
    size_t   from; /* where the next line begins in buf */
    uint64_t n, done, total;
    bool     end;
} lines;

static nx_status read_more(lines *l, nx_error *err)
{
    memmove(l->buf.data ? l->buf.data : (char *)"", l->buf.data ? l->buf.data + l->from : "",
            l->buf.len - l->from);
    l->buf.len -= l->from;
    l->from = 0;
    char *room = nx_buf_room(&l->buf, READ_BYTES, err);
    if (!room) return nx_fail_prefix(err, err->status, "line %llu", (unsigned long long)l->n + 1);
    ssize_t k;
    do k = read(l->fd, room, READ_BYTES);
    while (k < 0 && errno == EINTR && !atomic_load(&nx_cli_cancel));
    if (k < 0)
        return errno == EINTR ? cancelled(err)
                              : nx_fail(err, NX_EIO, "reading: %s", strerror(errno));
    l->buf.len += (size_t)k;
    l->buf.data[l->buf.len] = '\0';
    l->end = k == 0;
    return NX_OK;
}

/* *line.p NULL: there is no more. It lives until the next call. */
static nx_status next_line(lines *l, nx_str *line, nx_error *err)
{
    for (;;) {
        char  *p = l->buf.data ? l->buf.data + l->from : NULL;
        size_t n = l->buf.len - l->from;
        char  *end = n ? memchr(p, '\n', n) : NULL;
        if (end || (l->end && n)) {
            size_t len = end ? (size_t)(end - p) : n;
            *line = (nx_str){p, len};
            l->from += len + (end != NULL);
            l->done += len + 1;
            l->n++;
            return NX_OK;
        }
        *line = (nx_str){0};
        if (l->end) return NX_OK;
        nx_status st = read_more(l, err);
        if (st) return st;
    }
}

static bool is_blank(nx_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!strchr(" \t\r", s.p[i])) return false;
    return true;
}

static nx_status check_line(nx_str line, uint64_t n, nx_error *err)
{
    nx_json_doc doc;
    nx_error    inner;

    if (line.len > LINE_MAX)
        return nx_fail(err, NX_ELIMIT, "line %llu: %zu bytes, at most %zu", (unsigned long long)n,
                       line.len, LINE_MAX);
    if (nx_json_parse(&doc, "point", line.p, line.len, 0, &inner))
        return nx_fail(err, NX_EFORMAT, "line %llu: %s", (unsigned long long)n, inner.text);
    bool fine = doc.root->type == NX_JSON_OBJECT && nx_json_get(doc.root, "id");
    nx_json_doc_free(&doc);
    if (fine) return NX_OK;
    return nx_fail(
        err, NX_EFORMAT,
        "line %llu: expected a point, {\"id\": 7, \"vector\": [...], \"payload\": {...}}",
        (unsigned long long)n);
}

static nx_status send_lines(batch *b, lines *l, uint64_t *sent_lines, nx_lines_report *out,
                            nx_error *err)
{
    nx_status st = batch_send(b, &out->n_points, err);

    if (st)
        return nx_fail_prefix(err, st, "lines %llu to %llu", (unsigned long long)*sent_lines + 1,
                              (unsigned long long)l->n);
    *sent_lines = out->n_lines = l->n;
    return NX_OK;
}

static nx_status import_lines(batch *b, lines *l, uint64_t skip, nx_lines_report *out,
                              nx_error *err)
{
    nx_progress bar;
    nx_str      line;
    uint64_t    sent = skip;
    nx_status   st = NX_OK;

    nx_progress_begin(&bar, "importing", "B");
    out->n_lines = skip;
    do {
        st = next_line(l, &line, err);
        if (!st && line.p && l->n > skip && !is_blank(line)) {
            st = check_line(line, l->n, err);
            if (!st) st = batch_add(b, line, err);
        }
        if (!st && (batch_full(b) || !line.p)) st = send_lines(b, l, &sent, out, err);
        nx_progress_at(&bar, (int64_t)l->done, (int64_t)l->total);
        if (!st && line.p && atomic_load(&nx_cli_cancel)) st = cancelled(err);
    } while (!st && line.p);
    nx_progress_end(&bar);
    return st;
}

nx_status nx_lines_import(nx_instance *i, const char *name, const char *path, uint64_t skip,
                          nx_lines_report *out, nx_error *err)
{
    lines       l = {.buf.max = LINE_MAX + 2 * READ_BYTES};
    batch       b;
    struct stat is;

    *out = (nx_lines_report){0};
    l.fd = strcmp(path, "-") == 0 ? 0 : open(path, O_RDONLY | O_CLOEXEC);
    if (l.fd < 0)
        return nx_fail(err, errno == ENOENT ? NX_ENOENT : NX_EIO, "%s: %s", path, strerror(errno));
    if (fstat(l.fd, &is) == 0 && S_ISREG(is.st_mode)) l.total = (uint64_t)is.st_size;
    nx_status st = batch_begin(&b, i, name, err);
    nx_cli_catch_interrupt();
    if (!st) st = import_lines(&b, &l, skip, out, err);
    nx_cli_release_interrupt();
    batch_free(&b);
    nx_buf_free(&l.buf);
    if (l.fd > 0) close(l.fd);
    return st;
}

/* ---- From a server elsewhere ---- */

/* A body for PUT /collections/NAME out of what GET says of another one. */
static nx_status create_like(nx_instance *i, const char *name, const nx_json *info, nx_error *err)
{
    static const char *const whole[] = {"quantization_config", "hnsw_config"};
    const nx_json           *config = nx_json_get(info, "config");
    const nx_json           *params = nx_json_get(config, "params");
    static const char *const parts[] = {"vectors", "sparse_vectors", "on_disk_payload"};
    nx_buf                   path = {.max = 8192};
    nx_jw                    w = {.buf.max = 1 << 20};
    nx_said                  said = {0};

    if (!params) return nx_fail(err, NX_EFORMAT, "the server tells no configuration");
    nx_jw_open(&w, NULL, '{');
    for (int k = 0; k < 3; k++) {
        const nx_json *v = nx_json_get(params, parts[k]);
        if (!nx_json_absent(v)) write_json(&w, parts[k], v);
    }
    for (int k = 0; k < 2; k++) {
        const nx_json *v = nx_json_get(config, whole[k]);
        if (!nx_json_absent(v)) write_json(&w, whole[k], v);
    }
    nx_jw_close(&w, '}');
    nx_status st = nx_collection_url(&path, name, "", err);
    if (st)
        nx_buf_free(&w.buf);
    else
        st = nx_instance_ask(i, "PUT", path.data, &w, &said, err);
    nx_said_free(&said);
    nx_buf_free(&path);
    return st;
}

static nx_status create_index(nx_instance *i, const char *path, const nx_json_member *m,
                              nx_error *err)
{
    const nx_json *type = nx_json_get(&m->value, "data_type");
    const nx_json *params = nx_json_get(&m->value, "params");
    nx_jw          w = {.buf.max = 1 << 20};
    nx_said        said;

    nx_jw_open(&w, NULL, '{');
    nx_jw_string(&w, "field_name", m->key);
    if (!nx_json_absent(params) && params->object.n)
        write_json(&w, "field_schema", params);
    else if (!nx_json_absent(type))
        write_json(&w, "field_schema", type);
    nx_jw_close(&w, '}');
    nx_status st = nx_instance_ask(i, "PUT", path, &w, &said, err);
    nx_said_free(&said);
    return st;
}

static nx_status create_indexes(nx_instance *i, const char *name, const nx_json *info,
                                nx_error *err)
{
    const nx_json *schema = nx_json_get(info, "payload_schema");
    nx_buf         path = {.max = 8192};
    nx_status      st = nx_collection_url(&path, name, "/index?wait=true", err);

    if (schema && schema->type == NX_JSON_OBJECT)
        for (size_t k = 0; !st && k < schema->object.n; k++)
            st = create_index(i, path.data, &schema->object.members[k], err);
    nx_buf_free(&path);
    return st;
}

/* Make the collection where it isn't there. */
static nx_status prepare(nx_instance *i, const char *name, const nx_json *info, nx_error *err)
{
    source  mine = {.i = i, .name = name};
    nx_said said = {0};
    int64_t total;

    nx_status st = read_info(&mine, &said, &total, err);
    nx_said_free(&said);
    if (st != NX_ENOENT) return st;
    st = create_like(i, name, info, err);
    return st ? st : create_indexes(i, name, info, err);
}

static nx_status import_page(batch *b, const nx_json *points, nx_lines_report *out, nx_error *err)
{
    nx_status st = NX_OK;

    for (size_t k = 0; !st && k < points->array.n; k++) {
        nx_jw w = {.buf.max = LINE_MAX};
        write_point(&w, &points->array.items[k]);
        st = w.st ? nx_fail(err, w.st, "%s", w.err.text)
                  : batch_add(b, (nx_str){w.buf.data, w.buf.len}, err);
        nx_buf_free(&w.buf);
        if (!st && batch_full(b)) st = batch_send(b, &out->n_points, err);
    }
    return st ? st : batch_send(b, &out->n_points, err);
}

static nx_status import_pages(source *from, batch *b, int64_t total, nx_lines_report *out,
                              nx_error *err)
{
    nx_progress    bar;
    const nx_json *points;
    nx_status      st = NX_OK;

    nx_progress_begin(&bar, "importing", "points");
    do {
        nx_said said = {0};
        char    next[64];
        memcpy(next, out->next, sizeof next);
        st = read_page(from, next, &said, &points, err);
        if (!st) st = import_page(b, points, out, err);
        nx_said_free(&said);
        if (!st) memcpy(out->next, next, sizeof next);
        nx_progress_at(&bar, (int64_t)out->n_points, total);
        if (!st && out->next[0] && atomic_load(&nx_cli_cancel)) st = cancelled(err);
    } while (!st && out->next[0]);
    nx_progress_end(&bar);
    return st;
}

/* A number, or a UUID with or without its quotes. */
static nx_status read_start(char next[64], const char *start, nx_error *err)
{
    size_t n = start ? strlen(start) : 0;
    bool   number = n && strspn(start, "0123456789") == n;

    next[0] = '\0';
    if (n == 0) return NX_OK;
    if (n > 60 || strspn(start, "0123456789abcdefABCDEF-\"") != n)
        return nx_fail(err, NX_EINVAL, "%.80s: no id of a point", start);
    if (number || start[0] == '"')
        memcpy(next, start, n + 1);
    else
        snprintf(next, 64, "\"%s\"", start);
    return NX_OK;
}

nx_status nx_lines_import_from(nx_instance *i, const char *name, const char *url,
                               const char *api_key, const char *start, nx_lines_report *out,
                               nx_error *err)
{
    source  from = {.url = url, .api_key = api_key};
    nx_said info = {0};
    batch   b = {0};
    int64_t total = 0;

    *out = (nx_lines_report){0};
    nx_status st = read_start(out->next, start, err);
    if (!st) st = nx_http_create(&from.http, err);
    if (!st) st = read_info(&from, &info, &total, err);
    if (!st) st = prepare(i, name, info.result, err);
    nx_said_free(&info);
    if (!st) st = batch_begin(&b, i, name, err);
    nx_cli_catch_interrupt();
    if (!st) st = import_pages(&from, &b, total, out, err);
    nx_cli_release_interrupt();
    batch_free(&b);
    nx_http_destroy(from.http);
    return st;
}
