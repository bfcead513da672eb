/* test_gguf_write.c - what the writer writes reads back as it was, byte for byte where it counts;
 * what can't be read it refuses to write; a file that fails leaves nothing behind. */
#include "gguf_bytes.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "format/gguf_write.h"

static const unsigned char q8_0[2 * 34] = {7, 1, 2, 3};
static const float         norm[5] = {1, 2, 3, 4, 5};

static void fill(nx_gguf_writer *w)
{
    nx_gguf_put_string(w, "name", NX_STR("n\0m"));
    nx_gguf_put_int(w, "i8", NX_META_I8, -1);
    nx_gguf_put_int(w, "u64", NX_META_U64, INT64_MAX);
    nx_gguf_put_f32(w, "f", 0.5f);
    nx_gguf_put_bool(w, "b", true);
    nx_gguf_put_strings(w, "ss", (nx_str[]){NX_STR("x"), NX_STR(""), NX_STR("yz")}, 3);
    nx_gguf_put_i32s(w, "is", (int32_t[]){-1, INT32_MAX}, 2);
    nx_gguf_put_f32s(w, "fs", (float[]){-0.25f}, 1);
    nx_gguf_put_bools(w, "bs", (bool[]){true, false}, 2);
    nx_gguf_add_tensor(w, "norm", NX_DTYPE_F32, 1, (int64_t[]){5});
    nx_gguf_add_tensor(w, "matrix", NX_DTYPE_Q8_0, 2, (int64_t[]){32, 2});
}

/* Begin, data in three calls, commit. */
static nx_status write_all(nx_gguf_writer *w, nx_error *err)
{
    nx_status st = nx_gguf_begin(w, err);

    if (!st) st = nx_gguf_write(w, norm, 12, err);
    if (!st) st = nx_gguf_write(w, norm + 3, 8, err);
    if (!st) st = nx_gguf_write(w, q8_0, sizeof q8_0, err);
    return st ? st : nx_gguf_commit(w, err);
}

static void check_file(const nx_checkpoint *cp)
{
    int64_t  x, n;
    double   d;
    bool     yes;
    nx_str   s, *ss;
    int64_t *is;
    float   *fs;

    assert_int_equal(nx_checkpoint_version(cp), 3);
    assert_int_equal(nx_checkpoint_n_meta(cp), 9);
    assert_int_equal(nx_meta_string(cp, "name", &s, true, NULL), NX_OK);
    assert_true(nx_str_eq(s, NX_STR("n\0m")));
    assert_int_equal(nx_meta_int(cp, "i8", &x, -1, -1, true, NULL), NX_OK);
    assert_int_equal(nx_meta_int(cp, "u64", &x, INT64_MAX, INT64_MAX, true, NULL), NX_OK);
    assert_int_equal(nx_meta_float(cp, "f", &d, true, NULL), NX_OK);
    assert_true(d == 0.5);
    assert_int_equal(nx_meta_bool(cp, "b", &yes, true, NULL), NX_OK);
    assert_true(yes);
    assert_int_equal(nx_meta_strings(cp, "ss", &ss, &n, true, NULL), NX_OK);
    assert_true(n == 3 && nx_str_eq(ss[2], NX_STR("yz")));
    nx_free(ss);
    assert_int_equal(nx_meta_ints(cp, "is", &is, &n, true, NULL), NX_OK);
    assert_true(n == 2 && is[0] == -1 && is[1] == INT32_MAX);
    nx_free(is);
    assert_int_equal(nx_meta_floats(cp, "fs", &fs, &n, true, NULL), NX_OK);
    assert_true(n == 1 && fs[0] == -0.25f);
    nx_free(fs);
    const nx_meta *bs = nx_checkpoint_meta(cp, "bs");
    assert_true(bs->elem_type == NX_META_BOOL && bs->n == 2 && bs->data[0] == 1);

    const nx_tensor *t = nx_checkpoint_tensor(cp, "norm");
    assert_memory_equal(t->data, norm, sizeof norm);
    t = nx_checkpoint_tensor(cp, "matrix");
    assert_true(t->dtype == NX_DTYPE_Q8_0 && t->ne[0] == 32 && t->ne[1] == 2);
    assert_memory_equal(t->data, q8_0, sizeof q8_0);
}

static void what_is_written_reads_back(void **state)
{
    static const char path[] = "/tmp/nexus-test-write.gguf";
    nx_gguf_writer   *w;
    nx_checkpoint    *cp;
    nx_error          err = {0};
    struct stat       s;
    (void)state;

    assert_int_equal(nx_gguf_writer_open(&w, path, &err), NX_OK);
    fill(w);
    assert_int_equal(write_all(w, &err), NX_OK);
    uint64_t bytes_said = nx_gguf_writer_bytes(w);
    nx_gguf_writer_destroy(w);
    assert_int_equal(stat(path, &s), 0);
    assert_int_equal(s.st_size, bytes_said);
    assert_int_equal(s.st_size % 32, 0);
    assert_int_equal(nx_checkpoint_open(&cp, path, &err), NX_OK);
    check_file(cp);
    nx_checkpoint_close(cp);
    unlink(path);
}

static void memory_and_file_are_the_same_bytes(void **state)
{
    nx_buf          b = {.max = 1 << 20};
    nx_gguf_writer *w;
    nx_checkpoint  *cp;
    nx_error        err = {0};
    (void)state;

    assert_int_equal(nx_gguf_writer_open_buf(&w, &b, &err), NX_OK);
    fill(w);
    assert_int_equal(write_all(w, &err), NX_OK);
    assert_int_equal(nx_gguf_writer_bytes(w), b.len);
    nx_gguf_writer_destroy(w);
    assert_int_equal(nx_checkpoint_open_bytes(&cp, "memory", b.data, b.len, &err), NX_OK);
    check_file(cp);
    nx_checkpoint_close(cp);

    /* The first bytes, by hand: magic, version 3, 2 tensors, 9 entries, then "name". */
    assert_memory_equal(b.data,
                        "GGUF\3\0\0\0\2\0\0\0\0\0\0\0\11\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0name\10", 37);
    nx_buf_free(&b);
}

static void a_vocabulary_needs_no_tensors(void **state)
{
    nx_buf          b = {.max = 1 << 20};
    nx_gguf_writer *w;
    nx_checkpoint  *cp;
    (void)state;

    assert_int_equal(nx_gguf_writer_open_buf(&w, &b, NULL), NX_OK);
    nx_gguf_put_strings(w, "empty", NULL, 0);
    assert_int_equal(nx_gguf_begin(w, NULL), NX_OK);
    assert_int_equal(nx_gguf_commit(w, NULL), NX_OK);
    nx_gguf_writer_destroy(w);
    assert_int_equal(nx_checkpoint_open_bytes(&cp, "memory", b.data, b.len, NULL), NX_OK);
    nx_checkpoint_close(cp);
    nx_buf_free(&b);
}

/* begin must refuse what `spoil` adds, and say `says`. */
static void expect_begin_refused(void spoil(nx_gguf_writer *), nx_status want, const char *says)
{
    nx_buf          b = {.max = 1 << 20};
    nx_gguf_writer *w;
    nx_error        err = {0};

    assert_int_equal(nx_gguf_writer_open_buf(&w, &b, &err), NX_OK);
    fill(w);
    spoil(w);
    assert_int_equal(nx_gguf_begin(w, &err), want);
    if (!strstr(err.text, says)) print_error("%s\n", err.text);
    assert_non_null(strstr(err.text, says));
    assert_int_equal(nx_gguf_write(w, norm, 4, NULL), want); /* it sticks */
    assert_int_equal(nx_gguf_commit(w, NULL), want);
    assert_int_equal(b.len, 0);
    nx_gguf_writer_destroy(w);
    nx_buf_free(&b);
}

static void key_twice(nx_gguf_writer *w)
{
    nx_gguf_put_bool(w, "f", false);
}

static void name_twice(nx_gguf_writer *w)
{
    nx_gguf_add_tensor(w, "norm", NX_DTYPE_F32, 1, (int64_t[]){5});
}

static void half_a_block(nx_gguf_writer *w)
{
    nx_gguf_add_tensor(w, "half", NX_DTYPE_Q4_0, 1, (int64_t[]){48});
}

static void no_length(nx_gguf_writer *w)
{
    nx_gguf_add_tensor(w, "none", NX_DTYPE_F32, 2, (int64_t[]){4, 0});
}

static void no_end(nx_gguf_writer *w)
{
    nx_gguf_add_tensor(w, "huge", NX_DTYPE_F32, 2, (int64_t[]){INT64_MAX, INT64_MAX});
}

static void refuses_what_cannot_be_read(void **state)
{
    (void)state;
    expect_begin_refused(key_twice, NX_EFORMAT, "metadata 9 (f) at byte");
    expect_begin_refused(name_twice, NX_EFORMAT, "tensor 2 (norm) at byte");
    expect_begin_refused(half_a_block, NX_EFORMAT, "multiple of 32");
    expect_begin_refused(no_length, NX_EINVAL, "tensor none: its sides give no size");
    expect_begin_refused(no_end, NX_EINVAL, "tensor huge: its sides give no size");
}

static void counts_the_data(void **state)
{
    static const char path[] = "/tmp/nexus-test-write-half.gguf";
    nx_gguf_writer   *w;
    nx_error          err = {0};
    (void)state;

    assert_int_equal(nx_gguf_writer_open(&w, path, &err), NX_OK);
    fill(w);
    assert_int_equal(nx_gguf_begin(w, &err), NX_OK);
    assert_int_equal(nx_gguf_write(w, norm, sizeof norm, &err), NX_OK);
    assert_int_equal(nx_gguf_commit(w, &err), NX_EINVAL);
    assert_non_null(strstr(err.text, "1 of 2 tensors written"));
    nx_gguf_writer_destroy(w);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_not_equal(access("/tmp/nexus-test-write-half.gguf.partial", F_OK), 0);

    assert_int_equal(nx_gguf_writer_open(&w, path, &err), NX_OK);
    fill(w);
    assert_int_equal(nx_gguf_begin(w, &err), NX_OK);
    assert_int_equal(nx_gguf_write(w, q8_0, 21, &err), NX_EINVAL);
    assert_non_null(strstr(err.text, "21 bytes for tensor 0, which takes 20 more"));
    nx_gguf_writer_destroy(w);
    assert_int_not_equal(access(path, F_OK), 0);
}

static void reports_the_worlds_failures(void **state)
{
    nx_buf          b = {.max = 100};
    nx_gguf_writer *w;
    nx_error        err = {0};
    (void)state;

    assert_int_equal(nx_gguf_writer_open(&w, "/nowhere/at/all.gguf", &err), NX_ENOENT);
    assert_null(w);
    assert_int_equal(nx_gguf_writer_open_buf(&w, &b, &err), NX_OK);
    fill(w);
    assert_int_equal(write_all(w, &err), NX_ELIMIT);
    nx_gguf_writer_destroy(w);
    nx_buf_free(&b);

    nx_status st = NX_ENOMEM;
    int       n = 0;
    for (; st; n++) {
        b = (nx_buf){.max = 1 << 20};
        nx_alloc_fail_after(n);
        st = nx_gguf_writer_open_buf(&w, &b, &err);
        if (!st) {
            fill(w);
            st = write_all(w, &err);
        }
        nx_alloc_fail_after(-1);
        assert_true(st == NX_OK || (st == NX_ENOMEM && err.status == NX_ENOMEM));
        nx_gguf_writer_destroy(w);
        nx_buf_free(&b);
    }
    assert_true(n > 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(memory_and_file_are_the_same_bytes),
        cmocka_unit_test(a_vocabulary_needs_no_tensors),
        cmocka_unit_test(refuses_what_cannot_be_read),
        cmocka_unit_test(counts_the_data),
        cmocka_unit_test(reports_the_worlds_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
