/* gguf_write.c - writes GGUF version 3.
 *
 * Idea: metadata and tensor directory grow in two buffers, whose counts are known only at begin.
 *       Before a byte of them leaves, our own reader must accept them.
 */
#include "format/gguf_write.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "format/gguf_read.h"
#include "os/file.h"

enum { HEADER_BYTES_MAX = 1 << 30 };

struct nx_gguf_writer {
    nx_file_out file;  /* fd -1 when writing to a buffer */
    nx_buf     *to;    /* or NULL when writing to a file */
    char       *name;  /* for messages */
    nx_error    error; /* the first one; status NX_OK while all is well */
    nx_buf      meta, directory;
    uint64_t    n_meta;
    uint64_t   *sizes; /* [n_tensors] bytes of each tensor's data */
    int64_t     n_tensors, cap;
    uint64_t    data_bytes; /* of all tensors, padding between them included */
    uint64_t    file_bytes;
    int64_t     current; /* tensor being written */
    uint64_t    written; /* bytes of it */
    bool        begun;
};

static bool failed(const nx_gguf_writer *w)
{
    return w->error.status != NX_OK;
}

static nx_status report(const nx_gguf_writer *w, nx_error *err)
{
    if (failed(w) && err) *err = w->error;
    return w->error.status;
}

/* ---- Opening and closing ---- */

static nx_status create(nx_gguf_writer **out, const char *name, nx_error *err)
{
    nx_gguf_writer *w = nx_calloc(1, sizeof *w);

    *out = NULL;
    if (w) w->name = nx_strdup(name);
    if (!w || !w->name) {
        nx_free(w);
        return nx_fail(err, NX_ENOMEM, "%s: out of memory for a writer", name);
    }
    w->file.fd = -1;
    w->meta.max = w->directory.max = HEADER_BYTES_MAX;
    *out = w;
    return NX_OK;
}

nx_status nx_gguf_writer_open(nx_gguf_writer **out, const char *path, nx_error *err)
{
    nx_status st = create(out, path, err);

    if (st) return st;
    st = nx_file_out_open(&(*out)->file, path, err);
    if (!st) return NX_OK;
    nx_gguf_writer_destroy(*out);
    *out = NULL;
    return st;
}

nx_status nx_gguf_writer_open_buf(nx_gguf_writer **out, nx_buf *to, nx_error *err)
{
    nx_status st = create(out, "memory", err);

    if (!st) (*out)->to = to;
    return st;
}

void nx_gguf_writer_destroy(nx_gguf_writer *w)
{
    if (!w) return;
    nx_file_out_abort(&w->file);
    nx_buf_free(&w->meta);
    nx_buf_free(&w->directory);
    nx_free(w->sizes);
    nx_free(w->name);
    nx_free(w);
}

/* ---- Bytes, low first ---- */

static void add(nx_gguf_writer *w, nx_buf *b, const void *bytes, size_t n)
{
    if (!failed(w)) (void)nx_buf_add(b, bytes, n, &w->error);
}

static void add_uint(nx_gguf_writer *w, nx_buf *b, uint64_t x, size_t width)
{
    unsigned char bytes[8];

    for (size_t i = 0; i < width; i++) bytes[i] = (unsigned char)(x >> 8 * i);
    add(w, b, bytes, width);
}

static void add_f32(nx_gguf_writer *w, nx_buf *b, float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    add_uint(w, b, bits, 4);
}

static void add_string(nx_gguf_writer *w, nx_buf *b, nx_str s)
{
    add_uint(w, b, s.len, 8);
    add(w, b, s.p, s.len);
}

/* ---- Metadata ---- */

static void put_key(nx_gguf_writer *w, const char *key, nx_meta_type type)
{
    assert(!w->begun);
    add_string(w, &w->meta, nx_str_of(key));
    add_uint(w, &w->meta, type, 4);
    w->n_meta++;
}

static void put_array(nx_gguf_writer *w, const char *key, nx_meta_type elem, int64_t n)
{
    put_key(w, key, NX_META_ARRAY);
    add_uint(w, &w->meta, elem, 4);
    add_uint(w, &w->meta, (uint64_t)n, 8);
}

void nx_gguf_put_int(nx_gguf_writer *w, const char *key, nx_meta_type type, int64_t x)
{
    put_key(w, key, type);
    add_uint(w, &w->meta, (uint64_t)x, nx_meta_type_bytes(type));
}

void nx_gguf_put_f32(nx_gguf_writer *w, const char *key, float x)
{
    put_key(w, key, NX_META_F32);
    add_f32(w, &w->meta, x);
}

void nx_gguf_put_bool(nx_gguf_writer *w, const char *key, bool x)
{
    put_key(w, key, NX_META_BOOL);
    add_uint(w, &w->meta, x, 1);
}

void nx_gguf_put_string(nx_gguf_writer *w, const char *key, nx_str s)
{
    put_key(w, key, NX_META_STRING);
    add_string(w, &w->meta, s);
}

void nx_gguf_put_strings(nx_gguf_writer *w, const char *key, const nx_str *s, int64_t n)
{
    put_array(w, key, NX_META_STRING, n);
    for (int64_t i = 0; i < n; i++) add_string(w, &w->meta, s[i]);
}

void nx_gguf_put_i32s(nx_gguf_writer *w, const char *key, const int32_t *x, int64_t n)
{
    put_array(w, key, NX_META_I32, n);
    for (int64_t i = 0; i < n; i++) add_uint(w, &w->meta, (uint32_t)x[i], 4);
}

void nx_gguf_put_f32s(nx_gguf_writer *w, const char *key, const float *x, int64_t n)
{
    put_array(w, key, NX_META_F32, n);
    for (int64_t i = 0; i < n; i++) add_f32(w, &w->meta, x[i]);
}

void nx_gguf_put_bools(nx_gguf_writer *w, const char *key, const bool *x, int64_t n)
{
    put_array(w, key, NX_META_BOOL, n);
    for (int64_t i = 0; i < n; i++) add_uint(w, &w->meta, x[i], 1);
}

/* Bytes of n values from p; the reader has checked that they are there. */
static size_t value_bytes(const unsigned char *p, nx_meta_type type, uint64_t n)
{
    const unsigned char *at = p;

    if (type != NX_META_STRING) return (size_t)n * nx_meta_type_bytes(type);
    for (uint64_t i = 0; i < n; i++) at += 8 + nx_gguf_u64(at);
    return (size_t)(at - p);
}

void nx_gguf_put_meta(nx_gguf_writer *w, const nx_meta *m)
{
    bool array = m->type == NX_META_ARRAY;

    assert(!w->begun);
    add_string(w, &w->meta, m->key);
    add_uint(w, &w->meta, m->type, 4);
    if (array) add_uint(w, &w->meta, m->elem_type, 4);
    if (array) add_uint(w, &w->meta, m->n, 8);
    add(w, &w->meta, m->data, value_bytes(m->data, array ? m->elem_type : m->type, m->n));
    w->n_meta++;
}

/* ---- Tensor directory ---- */

static bool room_for_tensor(nx_gguf_writer *w)
{
    if (failed(w)) return false;
    if (w->n_tensors < w->cap) return true;
    int64_t   cap = w->cap ? w->cap * 2 : 64;
    uint64_t *sizes = nx_realloc(w->sizes, (size_t)cap, sizeof *sizes);
    if (!sizes) {
        nx_fail(&w->error, NX_ENOMEM, "%s: out of memory for the tensor directory", w->name);
        return false;
    }
    w->sizes = sizes;
    w->cap = cap;
    return true;
}

/* Bytes of a tensor; 0 when a side is no length or the product has no end. */
static uint64_t tensor_bytes(nx_dtype t, int n_dims, const int64_t *ne)
{
    const nx_dtype_info *info = nx_dtype_get(t);
    uint64_t             n = 1;

    for (int d = 0; d < n_dims; d++)
        if (ne[d] < 1 || __builtin_mul_overflow(n, (uint64_t)ne[d], &n)) return 0;
    return __builtin_mul_overflow(n / info->block_len, (uint64_t)info->block_bytes, &n) ? 0 : n;
}

void nx_gguf_add_tensor(nx_gguf_writer *w, const char *name, nx_dtype t, int n_dims,
                        const int64_t *ne)
{
    uint64_t bytes = tensor_bytes(t, n_dims, ne), end;

    assert(!w->begun && n_dims >= 1 && n_dims <= NX_TENSOR_DIMS_MAX);
    if (!room_for_tensor(w)) return;
    add_string(w, &w->directory, nx_str_of(name));
    add_uint(w, &w->directory, (uint64_t)n_dims, 4);
    for (int d = 0; d < n_dims; d++) add_uint(w, &w->directory, (uint64_t)ne[d], 8);
    add_uint(w, &w->directory, nx_dtype_get(t)->gguf_id, 4);
    add_uint(w, &w->directory, w->data_bytes, 8);
    w->sizes[w->n_tensors++] = bytes;
    if (failed(w)) return;
    if (bytes == 0 || __builtin_add_overflow(w->data_bytes, bytes, &end) ||
        !nx_gguf_pad(&w->data_bytes, end, NX_GGUF_ALIGNMENT))
        nx_fail(&w->error, NX_EINVAL, "%s: tensor %s: its sides give no size", w->name, name);
}

/* ---- Writing ---- */

static void emit(nx_gguf_writer *w, const void *bytes, size_t n)
{
    if (failed(w) || n == 0) return;
    if (w->to)
        (void)nx_buf_add(w->to, bytes, n, &w->error);
    else
        (void)nx_fd_write_all(w->file.fd, bytes, n, w->file.path_partial, &w->error);
}

static void emit_padding(nx_gguf_writer *w, uint64_t at)
{
    static const char zeros[NX_GGUF_ALIGNMENT];
    uint64_t          end;

    if (nx_gguf_pad(&end, at, NX_GGUF_ALIGNMENT)) emit(w, zeros, (size_t)(end - at));
}

/* Magic, version, counts, then the two buffers, in one. */
static void compose(nx_gguf_writer *w, nx_buf *header)
{
    add(w, header, "GGUF", 4);
    add_uint(w, header, 3, 4);
    add_uint(w, header, (uint64_t)w->n_tensors, 8);
    add_uint(w, header, w->n_meta, 8);
    add(w, header, w->meta.data, w->meta.len);
    add(w, header, w->directory.data, w->directory.len);
}

static void check_header(nx_gguf_writer *w, const nx_buf *header)
{
    nx_gguf g = {0};

    if (failed(w)) return;
    (void)nx_gguf_read_header(&g, w->name, header->data, header->len, w->file_bytes, &w->error);
    if (!failed(w)) assert(g.n_tensors == 0 || g.data_at + w->data_bytes == w->file_bytes);
    nx_gguf_free(&g);
}

nx_status nx_gguf_begin(nx_gguf_writer *w, nx_error *err)
{
    nx_buf   header = {.max = (size_t)HEADER_BYTES_MAX * 2 + 64};
    uint64_t data_at = 0;

    assert(!w->begun);
    w->begun = true;
    compose(w, &header);
    (void)nx_gguf_pad(&data_at, header.len, NX_GGUF_ALIGNMENT); /* far from 2^64 */
    if (__builtin_add_overflow(data_at, w->data_bytes, &w->file_bytes) && !failed(w))
        nx_fail(&w->error, NX_EINVAL, "%s: tensors beyond 2^64 bytes", w->name);
    check_header(w, &header);
    emit(w, header.data, header.len);
    emit_padding(w, header.len);
    nx_buf_free(&header);
    return report(w, err);
}

uint64_t nx_gguf_writer_bytes(const nx_gguf_writer *w)
{
    return w->file_bytes;
}

nx_status nx_gguf_write(nx_gguf_writer *w, const void *bytes, size_t n, nx_error *err)
{
    uint64_t left = w->current < w->n_tensors ? w->sizes[w->current] - w->written : 0;

    assert(w->begun);
    if (!failed(w) && n > left)
        nx_fail(&w->error, NX_EINVAL, "%s: %zu bytes for tensor %lld, which takes %llu more",
                w->name, n, (long long)w->current, (unsigned long long)left);
    emit(w, bytes, n);
    if (failed(w)) return report(w, err);
    w->written += n;
    if (n == left && n > 0) {
        emit_padding(w, w->written);
        w->current++;
        w->written = 0;
    }
    return report(w, err);
}

nx_status nx_gguf_commit(nx_gguf_writer *w, nx_error *err)
{
    if (!failed(w) && !(w->begun && w->current == w->n_tensors))
        nx_fail(&w->error, NX_EINVAL, "%s: %lld of %lld tensors written", w->name,
                (long long)w->current, (long long)w->n_tensors);
    if (!failed(w) && !w->to) (void)nx_file_out_commit(&w->file, &w->error);
    return report(w, err);
}
