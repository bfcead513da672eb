/* Protects: safetensors files are read strictly (sizes, offsets, tiling, names), each refusal says
 * what and where; what the writer writes is what the reader reads, whole and in shards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "format/safetensors.h"
#include "format/safetensors_write.h"
#include "os/file.h"

/* A file of that header and n zero bytes of data. */
static size_t compose(unsigned char *out, const char *header, size_t n)
{
    size_t len = strlen(header);

    for (int i = 0; i < 8; i++) out[i] = (unsigned char)(len >> 8 * i);
    memcpy(out + 8, header, len);
    memset(out + 8 + len, 0, n);
    return 8 + len + n;
}

static nx_status read_text(nx_safetensors *s, const char *header, size_t n, nx_error *err)
{
    static unsigned char bytes[4096];

    *s = (nx_safetensors){0};
    return nx_safetensors_read(s, "x.safetensors", bytes, compose(bytes, header, n), err);
}

static void reads_types_shapes_and_places(void **state)
{
    nx_safetensors s;
    nx_error       err = {0};

    (void)state;
    assert_int_equal(
        read_text(&s,
                  "{\"__metadata__\":{\"format\":\"pt\"},"
                  "\"b\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[4,16]},"
                  "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
                  "\"e\":{\"dtype\":\"I64\",\"shape\":[0],\"data_offsets\":[16,16]}}  ",
                  16, &err),
        NX_OK);
    assert_int_equal(s.n_tensors, 3);
    assert_non_null(s.metadata);
    const nx_st_tensor *b = nx_safetensors_find(&s, NX_STR("b"));
    assert_non_null(b);
    assert_int_equal(b->dtype, NX_ST_BF16);
    assert_int_equal(b->n_dims, 2);
    assert_int_equal(b->shape[0], 2);
    assert_int_equal(b->shape[1], 3);
    assert_int_equal(b->bytes, 12);
    assert_ptr_equal(b->data, s.data + s.data_at + 4);
    assert_int_equal(nx_safetensors_find(&s, NX_STR("a"))->n_dims, 0);
    assert_null(nx_safetensors_find(&s, NX_STR("c")));
    nx_safetensors_free(&s);
}

typedef struct bad {
    const char *header;
    size_t      n;
    const char *says;
} bad;

static void refuses_with_the_reason(void **state)
{
    static const bad cases[] = {
        {"", 0, "expected the '{'"},
        {" {}", 0, "expected the '{'"},
        {"{", 0, "line 1"},
        {"{}", 4, "expected the file's end"},
        {"{\"a\":1}", 0, "tensor a: an integer, expected an object"},
        {"{\"a\":{\"dtype\":\"F31\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "type \"F31\""},
        {"{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype is an integer"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":3,\"data_offsets\":[0,4]}}", 4, "shape is"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "side 0"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1.5],\"data_offsets\":[0,4]}}", 4, "side 1"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,4]}}", 4,
         "below 2^63"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4,
         "9 dimensions"},
        {"{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]}}", 1, "are no bytes"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "data_offsets is"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "expected to lie"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]}}", 4, "Truncated"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, "expected 8"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", 2, "begins at byte"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
         3, "begins at byte"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
         2, "twice"},
        {"{\"\\u0000\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, "zero bytes"},
        {"{\"__metadata__\":3}", 0, "__metadata__"},
        {"{\"__metadata__\":{\"a\":3}}", 0, "expected a string"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nx_safetensors s;
        nx_error       err = {0};
        nx_status      st = read_text(&s, cases[i].header, cases[i].n, &err);
        if (st == NX_OK || !strstr(err.text, cases[i].says) || !strstr(err.text, "x.safetensors"))
            fail_msg("%s: %d \"%s\", expected \"%s\"", cases[i].header, st, err.text,
                     cases[i].says);
        nx_safetensors_free(&s);
    }
}

static void refuses_lying_lengths(void **state)
{
    unsigned char  bytes[16] = {255, 255, 255, 255, 255, 255, 255, 255, '{', '}'};
    nx_safetensors s = {0};
    nx_error       err = {0};

    (void)state;
    for (size_t n = 0; n < 10; n++) {
        assert_int_equal(nx_safetensors_read(&s, "x", bytes, n, &err), NX_EFORMAT);
        nx_safetensors_free(&s);
    }
    memset(bytes, 0, 8);
    bytes[0] = 3;
    assert_int_equal(nx_safetensors_read(&s, "x", bytes, 10, &err), NX_EFORMAT);
    nx_safetensors_free(&s);
    bytes[0] = 2;
    assert_int_equal(nx_safetensors_read(&s, "x", bytes, 10, &err), NX_OK);
    nx_safetensors_free(&s);
}

/* ---- Writing ---- */

typedef struct scratch {
    char dir[32];
} scratch;

static void make_dir(scratch *d)
{
    strcpy(d->dir, "/tmp/nx-st-XXXXXX");
    assert_non_null(mkdtemp(d->dir));
}

static const char *const files[] = {"model.safetensors", "model-00001-of-00002.safetensors",
                                    "model-00002-of-00002.safetensors",
                                    "model.safetensors.index.json"};

static void remove_dir(const scratch *d)
{
    char path[128];

    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", d->dir, files[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(d->dir), 0);
}

static const unsigned char payload[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

/* Three u8, an empty one, two f32 and a bf16. */
static nx_status write_all(const char *dir, uint64_t shard, nx_error *err)
{
    nx_safetensors_writer *w;
    nx_status              st = nx_safetensors_writer_open(&w, dir, shard, err);

    if (st) return st;
    nx_safetensors_add(w, "codes", NX_ST_U8, 1, (int64_t[]){3});
    nx_safetensors_add(w, "none", NX_ST_F32, 2, (int64_t[]){0, 4});
    nx_safetensors_add(w, "pair\"\n", NX_ST_F32, 2, (int64_t[]){2, 1});
    nx_safetensors_add(w, "one", NX_ST_BF16, 0, NULL);
    st = nx_safetensors_begin(w, err);
    if (!st) st = nx_safetensors_write(w, payload, 3, err);
    if (!st) st = nx_safetensors_write(w, payload, 5, err);
    if (!st) st = nx_safetensors_write(w, payload + 5, 3, err);
    if (!st) st = nx_safetensors_write(w, payload, 2, err);
    if (!st) st = nx_safetensors_commit(w, err);
    nx_safetensors_writer_destroy(w);
    return st;
}

static void open_file(nx_safetensors *s, nx_file_map *map, const scratch *d, const char *name)
{
    char     path[128];
    nx_error err = {0};

    *s = (nx_safetensors){0};
    snprintf(path, sizeof path, "%s/%s", d->dir, name);
    assert_int_equal(nx_file_map_open(map, path, &err), NX_OK);
    if (nx_safetensors_read(s, path, map->data, map->bytes, &err)) fail_msg("%s", err.text);
}

static void writes_what_it_reads(void **state)
{
    scratch        d;
    nx_safetensors s;
    nx_file_map    map;
    nx_error       err = {0};

    (void)state;
    make_dir(&d);
    assert_int_equal(write_all(d.dir, NX_ST_SHARD_BYTES, &err), NX_OK);
    open_file(&s, &map, &d, "model.safetensors");
    assert_int_equal(s.n_tensors, 4);
    const nx_st_tensor *pair = nx_safetensors_find(&s, NX_STR("pair\"\n"));
    assert_int_equal(pair->at % 4, 0); /* aligned although three bytes were added before it */
    assert_memory_equal(pair->data, payload, 8);
    assert_memory_equal(nx_safetensors_find(&s, NX_STR("codes"))->data, payload, 3);
    assert_memory_equal(nx_safetensors_find(&s, NX_STR("one"))->data, payload, 2);
    nx_safetensors_free(&s);
    nx_file_map_close(&map);
    remove_dir(&d);
}

static void writes_shards_with_an_index(void **state)
{
    scratch        d;
    nx_safetensors s;
    nx_file_map    map;
    nx_buf         index = {.max = 4096};
    nx_error       err = {0};
    char           path[128];

    (void)state;
    make_dir(&d);
    assert_int_equal(write_all(d.dir, 10, &err), NX_OK);
    open_file(&s, &map, &d, files[1]);
    assert_int_equal(s.n_tensors, 2);
    nx_safetensors_free(&s);
    nx_file_map_close(&map);
    open_file(&s, &map, &d, files[2]);
    assert_int_equal(s.n_tensors, 2);
    nx_safetensors_free(&s);
    nx_file_map_close(&map);
    snprintf(path, sizeof path, "%s/%s", d.dir, files[3]);
    assert_int_equal(nx_file_read_all(&index, path, &err), NX_OK);
    assert_non_null(strstr(index.data, "\"total_size\": 13"));
    assert_non_null(strstr(index.data, "\"one\": \"model-00002-of-00002.safetensors\""));
    nx_buf_free(&index);
    remove_dir(&d);
}

static void writer_refuses_what_makes_no_file(void **state)
{
    scratch                d;
    nx_safetensors_writer *w;
    nx_error               err = {0};

    (void)state;
    make_dir(&d);
    assert_int_equal(nx_safetensors_writer_open(&w, d.dir, 10, &err), NX_OK);
    assert_int_equal(nx_safetensors_begin(w, &err), NX_EINVAL);
    nx_safetensors_writer_destroy(w);

    assert_int_equal(nx_safetensors_writer_open(&w, d.dir, 10, &err), NX_OK);
    nx_safetensors_add(w, "a", NX_ST_U8, 1, (int64_t[]){3});
    nx_safetensors_add(w, "a", NX_ST_U8, 1, (int64_t[]){3});
    assert_int_equal(nx_safetensors_begin(w, &err), NX_EINVAL);
    assert_non_null(strstr(err.text, "a twice"));
    nx_safetensors_writer_destroy(w);

    assert_int_equal(nx_safetensors_writer_open(&w, d.dir, 10, &err), NX_OK);
    nx_safetensors_add(w, "a", NX_ST_U8, 1, (int64_t[]){3});
    assert_int_equal(nx_safetensors_begin(w, &err), NX_OK);
    assert_int_equal(nx_safetensors_write(w, payload, 4, &err), NX_EINVAL);
    assert_int_equal(nx_safetensors_commit(w, &err), NX_EINVAL);
    nx_safetensors_writer_destroy(w);
    remove_dir(&d);
}

static void survives_lack_of_memory(void **state)
{
    scratch  d;
    nx_error err;

    (void)state;
    make_dir(&d);
    for (int64_t n = 0;; n++) {
        nx_safetensors s = {0};
        err = (nx_error){0};
        nx_alloc_fail_after(n);
        nx_status st = write_all(d.dir, 10, &err);
        if (!st)
            st = read_text(&s, "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
                           &err);
        nx_alloc_fail_after(-1);
        nx_safetensors_free(&s); /* also what a failed reading leaves */
        if (st == NX_OK) break;
        assert_int_equal(st, NX_ENOMEM);
        assert_int_equal(err.status, NX_ENOMEM);
    }
    remove_dir(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_types_shapes_and_places),
        cmocka_unit_test(refuses_with_the_reason),
        cmocka_unit_test(refuses_lying_lengths),
        cmocka_unit_test(writes_what_it_reads),
        cmocka_unit_test(writes_shards_with_an_index),
        cmocka_unit_test(writer_refuses_what_makes_no_file),
        cmocka_unit_test(survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
