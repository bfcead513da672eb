/* safetensors_write.c - writes safetensors, whole or in shards. */
#include "format/safetensors_write.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "os/file.h"

enum { ALIGNMENT = 8, HEADER_BYTES_MAX = NX_ST_HEADER_MAX };

typedef struct entry {
    char       *name;
    nx_st_dtype dtype;
    int32_t     n_dims;
    int64_t     shape[NX_ST_DIMS_MAX];
    uint64_t    bytes;
    uint64_t    offset; /* in its shard's data section */
    int32_t     shard;
} entry;

struct nx_safetensors_writer {
    char       *folder;
    uint64_t    shard_bytes_max;
    nx_error    error; /* the first one; status NX_OK while all is well */
    entry      *entries;
    int64_t     n, cap;
    uint64_t    data_bytes;
    int32_t     n_shards;
    nx_file_out file;    /* of the shard being written; fd -1 between shards */
    uint64_t    data_at; /* its data section's first byte */
    int64_t     current; /* entry being written */
    uint64_t    written; /* bytes of it */
    bool        begun;
};

static bool failed(const nx_safetensors_writer *w)
{
    return w->error.status != NX_OK;
}

static nx_status report(const nx_safetensors_writer *w, nx_error *err)
{
    if (failed(w) && err) *err = w->error;
    return w->error.status;
}

/* ---- Opening and closing ---- */

nx_status nx_safetensors_writer_open(nx_safetensors_writer **out, const char *folder,
                                     uint64_t shard_bytes_max, nx_error *err)
{
    nx_safetensors_writer *w = nx_calloc(1, sizeof *w);

    *out = NULL;
    if (w) w->folder = nx_strdup(folder);
    if (!w || !w->folder) {
        nx_free(w);
        return nx_fail(err, NX_ENOMEM, "%s: out of memory for a writer", folder);
    }
    w->file.fd = -1;
    w->shard_bytes_max = shard_bytes_max;
    *out = w;
    return NX_OK;
}

void nx_safetensors_writer_destroy(nx_safetensors_writer *w)
{
    if (!w) return;
    nx_file_out_abort(&w->file);
    for (int64_t i = 0; i < w->n; i++) nx_free(w->entries[i].name);
    nx_free(w->entries);
    nx_free(w->folder);
    nx_free(w);
}

/* ---- Tensors ---- */

static bool room_for_entry(nx_safetensors_writer *w)
{
    if (w->n < w->cap) return true;
    int64_t cap = w->cap ? w->cap * 2 : 64;
    entry  *grown = nx_realloc(w->entries, (size_t)cap, sizeof *grown);
    if (!grown) {
        nx_fail(&w->error, NX_ENOMEM, "%s: out of memory for the tensor directory", w->folder);
        return false;
    }
    w->entries = grown;
    w->cap = cap;
    return true;
}

/* Bytes of a tensor; false when a side is negative or the product has no end. */
static bool entry_bytes(uint64_t *out, nx_st_dtype t, int n_dims, const int64_t *shape)
{
    uint64_t n = 1;

    for (int d = 0; d < n_dims; d++)
        if (shape[d] < 0 || __builtin_mul_overflow(n, (uint64_t)shape[d], &n)) return false;
    if (__builtin_mul_overflow(n, (uint64_t)nx_st_dtype_bits(t), &n) || n % 8) return false;
    *out = n / 8;
    return true;
}

void nx_safetensors_add(nx_safetensors_writer *w, const char *name, nx_st_dtype t, int n_dims,
                        const int64_t *shape)
{
    assert(!w->begun && n_dims >= 0 && n_dims <= NX_ST_DIMS_MAX);
    if (failed(w) || !room_for_entry(w)) return;
    entry *e = &w->entries[w->n];
    *e = (entry){.dtype = t, .n_dims = n_dims};
    for (int d = 0; d < n_dims; d++) e->shape[d] = shape[d];
    if (!entry_bytes(&e->bytes, t, n_dims, shape) ||
        __builtin_add_overflow(w->data_bytes, e->bytes, &w->data_bytes)) {
        nx_fail(&w->error, NX_EINVAL, "%s: tensor %s: its sides give no size", w->folder, name);
        return;
    }
    e->name = nx_strdup(name);
    if (e->name)
        w->n++;
    else
        nx_fail(&w->error, NX_ENOMEM, "%s: out of memory for tensor names", w->folder);
}

uint64_t nx_safetensors_writer_bytes(const nx_safetensors_writer *w)
{
    return w->data_bytes;
}

/* ---- Shards ---- */

static void refuse_duplicates(nx_safetensors_writer *w)
{
    nx_name_index ix = {0};
    int64_t       first, second;

    if (failed(w) || nx_name_index_alloc(&ix, w->n, &w->error)) return;
    for (int64_t i = 0; i < w->n; i++)
        ix.entries[i] = (nx_name_entry){nx_str_of(w->entries[i].name), i};
    if (!nx_name_index_sort(&ix, &first, &second))
        nx_fail(&w->error, NX_EINVAL, "%s: tensor %s twice", w->folder, w->entries[first].name);
    nx_name_index_free(&ix);
}

/* Number the shards, as save_pretrained cuts: a tensor that doesn't fit begins the next. */
static void divide(nx_safetensors_writer *w)
{
    uint64_t used = 0;

    for (int64_t i = 0; i < w->n; i++) {
        entry *e = &w->entries[i];
        if (used > 0 && (used >= w->shard_bytes_max || e->bytes > w->shard_bytes_max - used)) {
            w->n_shards++;
            used = 0;
        }
        e->shard = w->n_shards;
        used += e->bytes;
    }
    w->n_shards++;
}

/* Places in the shard that begins at entry `from`: 8-byte numbers, then 4, 2 and the rest. */
static int64_t place(nx_safetensors_writer *w, int64_t from)
{
    uint64_t offset = 0;
    int64_t  to = from;

    while (to < w->n && w->entries[to].shard == w->entries[from].shard) to++;
    for (int bits = 64; bits >= 8; bits /= 2)
        for (int64_t i = from; i < to; i++) {
            entry *e = &w->entries[i];
            int    own = nx_st_dtype_bits(e->dtype);
            if (own != bits && !(bits == 8 && own < 8)) continue;
            e->offset = offset;
            offset += e->bytes;
        }
    return to;
}

static void shard_name(const nx_safetensors_writer *w, int32_t shard, char *out, size_t cap)
{
    if (w->n_shards == 1)
        snprintf(out, cap, "model.safetensors");
    else
        snprintf(out, cap, "model-%05d-of-%05d.safetensors", shard + 1, w->n_shards);
}

static char *path_of(nx_safetensors_writer *w, const char *name)
{
    size_t size = strlen(w->folder) + strlen(name) + 2;
    char  *path = nx_alloc(size, 1);

    if (path)
        snprintf(path, size, "%s/%s", w->folder, name);
    else
        nx_fail(&w->error, NX_ENOMEM, "%s: out of memory for a path", w->folder);
    return path;
}

static nx_status add_entry(nx_buf *b, const entry *e, nx_error *err)
{
    nx_status st = nx_buf_add(b, ",", 1, err);

    if (!st) st = nx_json_add_string(b, e->name, strlen(e->name), err);
    if (!st) st = nx_buf_addf(b, err, ":{\"dtype\":\"%s\",\"shape\":[", nx_st_dtype_name(e->dtype));
    for (int32_t d = 0; d < e->n_dims && !st; d++)
        st = nx_buf_addf(b, err, "%s%" PRId64, d ? "," : "", e->shape[d]);
    if (st) return st;
    return nx_buf_addf(b, err, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", e->offset,
                       e->offset + e->bytes);
}

/* Length, JSON and the spaces that align what follows. */
static nx_status compose_header(nx_buf *b, const nx_safetensors_writer *w, int64_t from, int64_t to,
                                nx_error *err)
{
    static const char start[] = "________{\"__metadata__\":{\"format\":\"pt\"}";
    nx_status         st = nx_buf_add(b, start, sizeof start - 1, err);

    for (int64_t i = from; i < to && !st; i++) st = add_entry(b, &w->entries[i], err);
    if (!st) st = nx_buf_add(b, "}", 1, err);
    while (!st && b->len % ALIGNMENT) st = nx_buf_add(b, " ", 1, err);
    if (st) return st;
    uint64_t len = b->len - 8;
    for (int i = 0; i < 8; i++) b->data[i] = (char)(unsigned char)(len >> 8 * i);
    return NX_OK;
}

static void begin_shard(nx_safetensors_writer *w)
{
    nx_buf  header = {.max = HEADER_BYTES_MAX};
    char    name[64];
    int64_t to = place(w, w->current);

    shard_name(w, w->entries[w->current].shard, name, sizeof name);
    char *path = path_of(w, name);
    if (path && !nx_file_out_open(&w->file, path, &w->error) &&
        !compose_header(&header, w, w->current, to, &w->error) &&
        !nx_fd_write_all(w->file.fd, header.data, header.len, w->file.path_partial, &w->error))
        w->data_at = header.len;
    nx_buf_free(&header);
    nx_free(path);
}

static void seek_to(nx_safetensors_writer *w, const entry *e)
{
    if (!failed(w))
        (void)nx_fd_seek(w->file.fd, w->data_at + e->offset, w->file.path_partial, &w->error);
}

/* Make the next tensor that has bytes the current one, in its shard and at its place. */
static void advance(nx_safetensors_writer *w, int32_t shard)
{
    while (!failed(w) && w->current < w->n) {
        const entry *e = &w->entries[w->current];
        if (e->shard != shard) {
            if (shard >= 0) (void)nx_file_out_commit(&w->file, &w->error);
            if (!failed(w)) begin_shard(w);
            shard = e->shard;
        }
        if (e->bytes > 0) {
            seek_to(w, e);
            return;
        }
        w->current++;
    }
}

nx_status nx_safetensors_begin(nx_safetensors_writer *w, nx_error *err)
{
    assert(!w->begun);
    w->begun = true;
    if (!failed(w) && w->n == 0) nx_fail(&w->error, NX_EINVAL, "%s: no tensor to write", w->folder);
    refuse_duplicates(w);
    if (failed(w)) return report(w, err);
    divide(w);
    advance(w, -1);
    return report(w, err);
}

nx_status nx_safetensors_write(nx_safetensors_writer *w, const void *bytes, size_t n, nx_error *err)
{
    assert(w->begun);
    if (failed(w) || n == 0) return report(w, err);
    const entry *e = w->current < w->n ? &w->entries[w->current] : NULL;
    uint64_t     left = e ? e->bytes - w->written : 0;
    if (!e || n > left) {
        nx_fail(&w->error, NX_EINVAL, "%s: %zu bytes for tensor %s, which takes %" PRIu64 " more",
                w->folder, n, e ? e->name : "after the last", left);
        return report(w, err);
    }
    if (nx_fd_write_all(w->file.fd, bytes, n, w->file.path_partial, &w->error))
        return report(w, err);
    w->written += n;
    if (n == left) {
        w->written = 0;
        w->current++;
        advance(w, e->shard);
    }
    return report(w, err);
}

/* ---- The index of shards ---- */

static nx_status compose_index(nx_buf *b, const nx_safetensors_writer *w, nx_error *err)
{
    char      name[64];
    nx_status st = nx_buf_addf(
        b, err, "{\n  \"metadata\": {\n    \"total_size\": %" PRIu64 "\n  },\n  \"weight_map\": {",
        w->data_bytes);

    for (int64_t i = 0; i < w->n && !st; i++) {
        const entry *e = &w->entries[i];
        shard_name(w, e->shard, name, sizeof name);
        st = nx_buf_addf(b, err, "%s\n    ", i ? "," : "");
        if (!st) st = nx_json_add_string(b, e->name, strlen(e->name), err);
        if (!st) st = nx_buf_addf(b, err, ": \"%s\"", name);
    }
    return st ? st : nx_buf_addf(b, err, "\n  }\n}\n");
}

static void write_index(nx_safetensors_writer *w)
{
    nx_buf      text = {.max = HEADER_BYTES_MAX};
    nx_file_out file = {.fd = -1};
    char       *path = path_of(w, "model.safetensors.index.json");

    if (path && !compose_index(&text, w, &w->error) && !nx_file_out_open(&file, path, &w->error) &&
        !nx_fd_write_all(file.fd, text.data, text.len, file.path_partial, &w->error))
        (void)nx_file_out_commit(&file, &w->error);
    nx_file_out_abort(&file);
    nx_buf_free(&text);
    nx_free(path);
}

nx_status nx_safetensors_commit(nx_safetensors_writer *w, nx_error *err)
{
    if (!failed(w) && !(w->begun && w->current == w->n))
        nx_fail(&w->error, NX_EINVAL, "%s: %lld of %lld tensors written", w->folder,
                (long long)w->current, (long long)w->n);
    if (!failed(w)) (void)nx_file_out_commit(&w->file, &w->error);
    if (!failed(w) && w->n_shards > 1) write_index(w);
    return report(w, err);
}
