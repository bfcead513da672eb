/* test_gguf_read.c - what protects everything above from a damaged file: each structural lie is
 * refused with a message that names the field and the byte, and a right file reads as it is. */
#include "gguf_bytes.h"

#include <stdio.h>

#include "base/alloc.h"

enum { F32 = 0, F16 = 1, Q4_0 = 2, IQ2_XXS = 16 };

/* Two entries of metadata and two tensors, the first without padding behind it. `header` receives where the tensor directory ends, `end` where the data do. */
static bytes small_file(size_t *header, size_t *end)
{
    bytes b = {0};

    put_head(&b, 3, 2, 2);
    put_key(&b, "general.architecture", NX_META_STRING);
    put_str(&b, "llama");
    put_key_array(&b, "tokenizer.ggml.tokens", NX_META_STRING, 2);
    put_str(&b, "a");
    put_str(&b, "bc");
    put_tensor(&b, "first", F32, 8, 0, 0);
    put_tensor(&b, "second", Q4_0, 64, 3, 32);
    *header = b.n;
    put_zeros_to(&b, 32);
    put_data(&b, 32);
    put_data(&b, 3 * 36);
    *end = b.n;
    return b;
}

static void reads_a_small_file(void **state)
{
    size_t         header, end;
    bytes          b = small_file(&header, &end);
    nx_checkpoint *cp = expect_open(&b);
    (void)state;

    assert_string_equal(nx_checkpoint_path(cp), "t.gguf");
    assert_int_equal(nx_checkpoint_version(cp), 3);
    assert_int_equal(nx_checkpoint_bytes(cp), b.n);
    assert_int_equal(nx_checkpoint_n_meta(cp), 2);
    assert_int_equal(nx_checkpoint_n_tensors(cp), 2);
    assert_null(nx_checkpoint_tensor(cp, "third"));
    assert_null(nx_checkpoint_meta(cp, "general"));

    const nx_tensor *t = nx_checkpoint_tensor(cp, "second");
    assert_non_null(t);
    assert_ptr_equal(t, nx_checkpoint_tensor_at(cp, 1));
    assert_int_equal(t->dtype, NX_DTYPE_Q4_0);
    assert_int_equal(t->n_dims, 2);
    assert_int_equal(t->ne[0], 64);
    assert_int_equal(t->ne[1], 3);
    assert_int_equal(t->ne[2], 1);
    assert_int_equal(t->bytes, 3 * 36);
    assert_ptr_equal(t->data, b.p + end - 3 * 36);
    t = nx_checkpoint_tensor(cp, "first");
    assert_int_equal(t->bytes, 32);
    assert_int_equal(((const unsigned char *)t->data)[0], 1);
    nx_checkpoint_close(cp);
    free(b.p);
}

static void reads_version_2_and_tensors_in_any_order(void **state)
{
    bytes b = {0};
    (void)state;

    put_head(&b, 2, 2, 0);
    put_tensor(&b, "behind", F16, 4, 0, 32);
    put_tensor(&b, "before", F32, 1, 0, 0);
    put_zeros_to(&b, 32);
    put_data(&b, 4);
    put_zeros_to(&b, 32);
    put_data(&b, 8);
    nx_checkpoint *cp = expect_open(&b);
    assert_int_equal(nx_checkpoint_version(cp), 2);
    assert_ptr_equal(nx_checkpoint_tensor(cp, "behind")->data, b.p + b.n - 8);
    nx_checkpoint_close(cp);
    free(b.p);
}

static void reads_every_tensor_type(void **state)
{
    bytes    b = {0};
    uint64_t at = 0, end = 0, size[NX_DTYPE_GGUF_COUNT];
    char     name[32];
    (void)state;

    put_head(&b, 3, NX_DTYPE_GGUF_COUNT, 0);
    for (int i = 0; i < NX_DTYPE_GGUF_COUNT; i++) {
        const nx_dtype_info *info = nx_dtype_get((nx_dtype)i);
        snprintf(name, sizeof name, "t.%s", info->name);
        put_tensor(&b, name, info->gguf_id, 256, 2, at);
        size[i] = 512 / info->block_len * info->block_bytes;
        end = at + size[i];
        at = (end + 31) / 32 * 32;
    }
    put_zeros_to(&b, 32);
    size_t data = b.n;
    put_data(&b, end);
    for (int i = 0; i + 1 < NX_DTYPE_GGUF_COUNT; i++) { /* zeros between them */
        while (size[i] % 32 != 0) b.p[data + size[i]++] = 0;
        data += size[i];
    }
    nx_checkpoint *cp = expect_open(&b);
    for (int i = 0; i < NX_DTYPE_GGUF_COUNT; i++) {
        const nx_tensor *t = nx_checkpoint_tensor_at(cp, i);
        assert_int_equal(t->dtype, i);
        assert_int_equal(t->bytes, 2 * nx_dtype_row_bytes((nx_dtype)i, 256));
    }
    nx_checkpoint_close(cp);
    free(b.p);
}

static void reads_a_vocabulary_without_tensors(void **state)
{
    bytes b = {0};
    (void)state;

    put_head(&b, 3, 0, 1);
    put_key_uint(&b, "k", NX_META_U8, 7);
    nx_checkpoint *cp = expect_open(&b);
    assert_int_equal(nx_checkpoint_n_tensors(cp), 0);
    assert_null(nx_checkpoint_tensor(cp, "x"));
    nx_checkpoint_close(cp);

    put_data(&b, 1);
    REFUSED(&b, NX_EFORMAT, "end of the data at byte 38", "expected 0");

    put_head(&b, 3, 0, 0);
    nx_checkpoint_close(expect_open(&b));
    free(b.p);
}

/* ---- Header ---- */

static void refuses_other_files(void **state)
{
    bytes b = {0};
    (void)state;

    REFUSED(&b, NX_EFORMAT, "header at byte 0", "needs 24 bytes, 0 remain", "Truncated");
    put(&b, "GGU", 3);
    REFUSED(&b, NX_EFORMAT, "header at byte 0", "3 remain");
    put(&b, "Dear Sir, \n", 11);
    REFUSED(&b, NX_EFORMAT, "header at byte 0", "\"Dear\", expected \"GGUF\"", "Not a GGUF file?");
    put(&b, "\x7f\x1b[H...", 7);
    REFUSED(&b, NX_EFORMAT, "\"\\x7F\\x1B[H\"");
    put(&b, "tjgg\1\0\0\0", 8);
    REFUSED(&b, NX_EUNSUPPORTED, "header at byte 0", "from before GGUF");
}

static void refuses_other_versions(void **state)
{
    bytes b = {0};
    (void)state;

    put_head(&b, 1, 0, 0);
    REFUSED(&b, NX_EUNSUPPORTED, "header at byte 4", "GGUF version 1, expected 2 or 3", "again");
    put_head(&b, 4, 0, 0);
    REFUSED(&b, NX_EUNSUPPORTED, "header at byte 4", "GGUF version 4, expected 2 or 3");
    put_head(&b, 0, 0, 0);
    REFUSED(&b, NX_EUNSUPPORTED, "header at byte 4", "GGUF version 0, expected 2 or 3");
    put_head(&b, 0x03000000, 0, 0);
    REFUSED(&b, NX_EUNSUPPORTED, "header at byte 4", "big-endian");
}

static void refuses_lying_counts(void **state)
{
    bytes b = {0};
    (void)state;

    put_head(&b, 3, UINT64_MAX, 0);
    REFUSED(&b, NX_EFORMAT, "header at byte 8", "18446744073709551615 tensors", "0 bytes remain");
    put_head(&b, 3, 0, UINT64_MAX);
    REFUSED(&b, NX_EFORMAT, "header at byte 16", "18446744073709551615 metadata entries");
    put_head(&b, 3, 0, 2);
    put_key_uint(&b, "a.rather.long.key", NX_META_U32, 1);
    REFUSED(&b, NX_EFORMAT, "metadata 1 at byte 57", "0 remain");
    put_head(&b, 3, 2, 0);
    put_tensor(&b, "a.tensor.of.two", F32, 8, 1, 0);
    put_zeros_to(&b, 32);
    put_data(&b, 32);
    REFUSED(&b, NX_EFORMAT, "tensor 1 at byte 79");
    put_head(&b, 3, 0, 70000);
    put_data(&b, 1000000);
    REFUSED(&b, NX_EFORMAT, "header at byte 16", "expected at most 65536");
    put_head(&b, 3, 1100000, 0);
    put_data(&b, 40000000);
    REFUSED(&b, NX_EFORMAT, "header at byte 8", "expected at most 1048576");
}

/* One tensor fewer, one entry fewer: nothing is missing, so only what is left over tells. */
static void refuses_counts_that_are_too_low(void **state)
{
    size_t header, end;
    bytes  b = small_file(&header, &end);
    (void)state;

    b.p[8] = 1;
    REFUSED(&b, NX_EFORMAT, "padding before the tensor data at byte", "Counts or sizes damaged?");
    b = small_file(&header, &end);
    b.p[8] = 0;
    REFUSED(&b, NX_EFORMAT, "end of the data at byte", "expected");
    b = small_file(&header, &end);
    b.p[16] = 1;
    REFUSED(&b, NX_EFORMAT, "tensor 0 (tokenizer.ggml.tokens) at byte", "9 dimensions");
    b = small_file(&header, &end);
    b.p[16] = 3;
    REFUSED(&b, NX_EFORMAT, "tensor 0 at byte 151", "name of 0 bytes");
}

/* ---- Metadata ---- */

static void refuses_bad_keys(void **state)
{
    bytes b = {0};
    char  key[65537];
    (void)state;

    memset(key, 'k', 65536);
    key[65536] = '\0';
    put_head(&b, 3, 0, 1);
    put_key_uint(&b, key, NX_META_U8, 1);
    REFUSED(&b, NX_EFORMAT, "metadata 0 at byte 24", "key of 65536 bytes, expected 1 to 65535");
    key[65535] = '\0';
    put_head(&b, 3, 0, 1);
    put_key_uint(&b, key, NX_META_U8, 1);
    nx_checkpoint_close(expect_open(&b));
    free(b.p);
    b = (bytes){0};

    put_head(&b, 3, 0, 1);
    put_key_uint(&b, "", NX_META_U8, 1);
    put_zeros_to(&b, 64);
    REFUSED(&b, NX_EFORMAT, "metadata 0 at byte 24", "key of 0 bytes");
    put_head(&b, 3, 0, 1);
    put_uint(&b, UINT64_MAX, 8);
    put_data(&b, 100);
    REFUSED(&b, NX_EFORMAT, "metadata 0 at byte 24", "key of 18446744073709551615 bytes");
    put_head(&b, 3, 0, 1);
    put_uint(&b, 1000, 8);
    put_data(&b, 100);
    REFUSED(&b, NX_EFORMAT, "metadata 0 at byte 32", "key needs 1000 bytes, 100 remain");
    put_head(&b, 3, 0, 3);
    put_key_uint(&b, "twice", NX_META_U8, 1);
    put_key_uint(&b, "once", NX_META_U8, 1);
    put_key_uint(&b, "twice", NX_META_U16, 2);
    REFUSED(&b, NX_EFORMAT, "metadata 2 (twice) at byte 76", "key of metadata 0 again");
}

static void refuses_bad_values(void **state)
{
    bytes b = {0};
    (void)state;

    put_head(&b, 3, 0, 1);
    put_key(&b, "k", 13);
    put_uint(&b, 0, 8);
    REFUSED(&b, NX_EFORMAT, "metadata 0 (k) at byte 33", "value type 13, expected 0 to 12");
    put_head(&b, 3, 0, 1);
    put_key(&b, "k", NX_META_BOOL);
    put_uint(&b, 2, 1);
    REFUSED(&b, NX_EFORMAT, "metadata 0 (k) at byte 37", "value 2, expected 0 or 1");
    put_head(&b, 3, 0, 1);
    put_key(&b, "k", NX_META_U64);
    put_uint(&b, 0, 7);
    REFUSED(&b, NX_EFORMAT, "metadata 0 (k) at byte 37", "u64, 7 bytes remain");
    put_head(&b, 3, 0, 1);
    put_key(&b, "k", NX_META_STRING);
    put_uint(&b, UINT64_MAX - 3, 8);
    put_data(&b, 9);
    REFUSED(&b, NX_EFORMAT, "metadata 0 (k) at byte 45", "18446744073709551612 bytes, 9 remain");
}

static void refuses_bad_arrays(void **state)
{
    bytes b = {0};
    (void)state;

    put_head(&b, 3, 0, 1);
    put_key_array(&b, "scores", NX_META_F32, 1ull << 32);
    put_data(&b, 100);
    REFUSED(&b, NX_EFORMAT, "metadata 0 (scores) at byte 54", "4294967296 of type f32",
            "100 bytes remain");
    put_head(&b, 3, 0, 1);
    put_key_array(&b, "k", NX_META_U64, 1ull << 61); /* times 8: 0 modulo 2^64 */
    REFUSED(&b, NX_EFORMAT, "metadata 0 (k) at byte 49", "0 bytes remain");
    put_head(&b, 3, 0, 1);
    put_key_array(&b, "k", NX_META_STRING, 1ull << 61);
    put_data(&b, 80);
    REFUSED(&b, NX_EFORMAT, "metadata 0 (k) at byte 49", "strings, 80 bytes remain");
    put_head(&b, 3, 0, 1);
    put_key_array(&b, "k", NX_META_STRING, 2);
    put_str(&b, "good");
    put_uint(&b, 5, 8);
    put(&b, "four", 4);
    REFUSED(&b, NX_EFORMAT, "metadata 0 (k) at byte 69", "needs 5 bytes, 4 remain");
    put_head(&b, 3, 0, 1);
    put_key_array(&b, "k", 99, 0);
    REFUSED(&b, NX_EFORMAT, "metadata 0 (k) at byte 37", "array element type 99");
    put_head(&b, 3, 0, 1);
    put_key_array(&b, "k", NX_META_ARRAY, 1);
    for (int i = 0; i < 1000; i++) put_uint(&b, NX_META_ARRAY, 4), put_uint(&b, 1, 8);
    REFUSED(&b, NX_EUNSUPPORTED, "metadata 0 (k) at byte 37", "array of arrays");
    put_head(&b, 3, 0, 1);
    put_key_array(&b, "k", NX_META_BOOL, 3);
    put(&b, "\0\1\3", 3);
    REFUSED(&b, NX_EFORMAT, "metadata 0 (k) at byte 51", "value 3, expected 0 or 1");
}

static void messages_are_printable(void **state)
{
    bytes b = {0};
    (void)state;

    put_head(&b, 3, 0, 1);
    put_key(&b, "\x1b]0;own\a\xff\xc3\xa9", 77);
    REFUSED(&b, NX_EFORMAT, "(\\x1B]0;own\\x07\\xFF\xc3\xa9)", "value type 77");
    put_head(&b, 3, 0, 1);
    put_key(
        &b,
        "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk",
        77);
    REFUSED(&b, NX_EFORMAT, "kkk...) at byte", "value type 77");
}

static void refuses_bad_alignment(void **state)
{
    static const uint64_t bad[] = {0, 1, 4, 24, 33, 1u << 21, 1u << 31};
    bytes                 b = {0};
    (void)state;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        put_head(&b, 3, 0, 1);
        put_key_uint(&b, "general.alignment", NX_META_U32, bad[i]);
        REFUSED(&b, NX_EFORMAT, "metadata 0 (general.alignment) at byte 53", "a power of two");
    }
    put_head(&b, 3, 0, 1);
    put_key(&b, "general.alignment", NX_META_STRING);
    put_str(&b, "32");
    REFUSED(&b, NX_EFORMAT, "general.alignment", "string, expected an integer");
}

static void obeys_alignment(void **state)
{
    bytes b = {0};
    (void)state;

    put_head(&b, 3, 2, 1);
    put_key_uint(&b, "general.alignment", NX_META_U32, 256);
    put_tensor(&b, "a", F32, 1, 0, 0);
    put_tensor(&b, "b", F32, 1, 0, 256);
    put_zeros_to(&b, 256);
    put_data(&b, 4);
    put_zeros_to(&b, 256);
    put_data(&b, 4);
    nx_checkpoint *cp = expect_open(&b);
    assert_ptr_equal(nx_checkpoint_tensor(cp, "b")->data, b.p + b.n - 4);
    nx_checkpoint_close(cp);
    free(b.p);
}

/* ---- Tensor directory ---- */

/* A file of one tensor with 64 bytes of data and something wrong. */
static bytes one_tensor(const char *name, uint32_t type, uint64_t ne0, uint64_t ne1, uint64_t at)
{
    bytes b = {0};

    put_head(&b, 3, 1, 0);
    put_tensor(&b, name, type, ne0, ne1, at);
    put_zeros_to(&b, 32);
    put_data(&b, 64);
    return b;
}

static void refuses_bad_names(void **state)
{
    char  name[66];
    bytes b;
    (void)state;

    memset(name, 'n', 65);
    name[65] = '\0';
    b = one_tensor(name, F32, 16, 0, 0);
    REFUSED(&b, NX_EFORMAT, "tensor 0 at byte 24", "name of 65 bytes, expected 1 to 64");
    name[64] = '\0';
    b = one_tensor(name, F32, 16, 0, 0);
    nx_checkpoint_close(expect_open(&b));
    free(b.p);
    b = one_tensor("", F32, 16, 0, 0);
    REFUSED(&b, NX_EFORMAT, "tensor 0 at byte 24", "name of 0 bytes");
    b = one_tensor("a_b", F32, 16, 0, 0);
    b.p[33] = '\0';
    REFUSED(&b, NX_EFORMAT, "tensor 0 (a\\x00b) at byte 24", "zero byte");

    b = (bytes){0};
    put_head(&b, 3, 2, 0);
    put_tensor(&b, "same", F32, 8, 0, 0);
    put_tensor(&b, "same", F32, 8, 0, 32);
    put_zeros_to(&b, 32);
    put_data(&b, 64);
    REFUSED(&b, NX_EFORMAT, "tensor 1 (same) at byte 60", "name of tensor 0 again");
}

static void refuses_bad_shapes(void **state)
{
    bytes b = one_tensor("t", F32, 0, 0, 0);
    (void)state;

    REFUSED(&b, NX_EFORMAT, "tensor 0 (t) at byte 37", "dimension 0 is 0");
    b = one_tensor("t", F32, 1ull << 63, 0, 0);
    REFUSED(&b, NX_EFORMAT, "tensor 0 (t) at byte 37", "dimension 0 is 9223372036854775808");
    b = one_tensor("t", F32, 1ull << 32, 1ull << 32, 0);
    REFUSED(&b, NX_EFORMAT, "tensor 0 (t) at byte 45", "dimension 1 is 4294967296", "2^63");
    b = one_tensor("t", F32, 1ull << 31, 1ull << 31, 0); /* 2^62 numbers, 2^64 bytes */
    REFUSED(&b, NX_EFORMAT, "tensor 0 (t) at byte 53", "blocks of 4 bytes exceed 2^63");
    b = one_tensor("t", F32, 16, 0, 0);
    b.p[33] = 0;
    REFUSED(&b, NX_EFORMAT, "tensor 0 (t) at byte 33", "0 dimensions, expected 1 to 4");
    b = one_tensor("t", F32, 16, 0, 0);
    b.p[33] = 5;
    REFUSED(&b, NX_EFORMAT, "tensor 0 (t) at byte 33", "5 dimensions, expected 1 to 4");
    b = one_tensor("t", Q4_0, 33, 0, 0);
    REFUSED(&b, NX_EFORMAT, "tensor 0 (t) at byte 45", "33 numbers", "multiple of 32 for q4_0");
}

static void refuses_other_tensor_types_by_name(void **state)
{
    bytes b = one_tensor("t", IQ2_XXS, 256, 0, 0);
    (void)state;

    REFUSED(&b, NX_EUNSUPPORTED, "tensor 0 (t) at byte 45", "IQ2_XXS (16)", "expected one of F32",
            "IQ4_XS");
    b = one_tensor("t", 4711, 256, 0, 0);
    REFUSED(&b, NX_EUNSUPPORTED, "tensor 0 (t) at byte 45", "type 4711", "Damaged");
}

static void refuses_misplaced_data(void **state)
{
    bytes b = one_tensor("t", F32, 8, 0, 1);
    (void)state;

    REFUSED(&b, NX_EFORMAT, "tensor 0 (t) at byte 49", "offset 1, expected a multiple of 32");
    b = one_tensor("t", F32, 8, 0, 32);
    REFUSED(&b, NX_EFORMAT, "tensor 0 (t) at byte 24", "offset 32, expected 0");
    b = one_tensor("t", F32, 8, 0, UINT64_MAX - 31);
    REFUSED(&b, NX_EFORMAT, "tensor 0 (t) at byte 24", "offset 18446744073709551584, expected 0");
    b = one_tensor("t", F32, 1u << 30, 0, 0);
    REFUSED(&b, NX_EFORMAT, "tensor 0 (t) at byte 24", "found 128", "Truncated download?");

    b = (bytes){0};
    put_head(&b, 3, 2, 0);
    put_tensor(&b, "long", F32, 16, 0, 0);
    put_tensor(&b, "inside", F32, 8, 0, 32);
    put_zeros_to(&b, 32);
    put_data(&b, 64);
    REFUSED(&b, NX_EFORMAT, "tensor 1 (inside) at byte 60", "overlap those of tensor 0",
            "end at 64");
    put_head(&b, 3, 2, 0);
    put_tensor(&b, "a", F32, 1, 0, 0);
    put_tensor(&b, "b", F32, 1, 0, 64);
    put_zeros_to(&b, 32);
    put_data(&b, 68);
    REFUSED(&b, NX_EFORMAT, "tensor 1 (b) at byte 57", "offset 64, expected 32");
    put_head(&b, 3, 2, 0);
    put_tensor(&b, "a", F32, 1ull << 60, 0, 0);
    put_tensor(&b, "b", F32, 1ull << 60, 0, 1ull << 62);
    REFUSED(&b, NX_EFORMAT, "tensor 1 (b) at byte", "beyond 2^63");
}

/* ---- Every cut, every bit ---- */

static void refuses_every_truncation(void **state)
{
    size_t   header, end;
    bytes    b = small_file(&header, &end);
    nx_error err;
    (void)state;

    assert_int_equal(b.n, end);
    for (size_t n = 0; n < end; n++) {
        unsigned char *copy = malloc(n + 1); /* exactly n, so that a sanitizer sees byte n read */
        nx_checkpoint *cp;
        assert_non_null(copy);
        copy = realloc(copy, n ? n : 1);
        memcpy(copy, b.p, n);
        assert_int_equal(nx_checkpoint_open_bytes(&cp, "t.gguf", copy, n, &err), NX_EFORMAT);
        assert_non_null(strstr(err.text, "Truncated"));
        assert_non_null(strstr(err.text, "at byte"));
        free(copy);
    }
    free(b.p);
}

static void takes_zero_padding_only(void **state)
{
    size_t header, end;
    bytes  b = small_file(&header, &end);
    (void)state;

    put_zeros_to(&b, 32);
    nx_checkpoint_close(expect_open(&b));
    put_zeros_to(&b, 4096);
    nx_checkpoint_close(expect_open(&b));
    b.p[b.n - 1] = 1;
    REFUSED(&b, NX_EFORMAT, "end of the data at byte 4095", "expected 0");
    b = (bytes){0};
    put_head(&b, 3, 2, 0);
    put_tensor(&b, "short", F32, 3, 0, 0);
    put_tensor(&b, "next", F32, 8, 0, 32);
    put_zeros_to(&b, 32);
    put_data(&b, 13);
    put_zeros_to(&b, 32);
    put_data(&b, 32);
    REFUSED(&b, NX_EFORMAT, "padding after tensor 0 (short) at byte 140", "value 13, expected 0");
    b = small_file(&header, &end);
    put_zeros_to(&b, 8192);
    REFUSED(&b, NX_EFORMAT, "end of the data", "belong to no tensor");
}

/* Whatever bit of the header flips, the file loads or is refused with field and byte; counts,
 * sizes, types and offsets never load. */
static void survives_every_flipped_bit(void **state)
{
    size_t header, end;
    bytes  b = small_file(&header, &end);
    size_t directory = header - (8 + 5 + 4 + 8 + 4 + 8) - (8 + 6 + 4 + 16 + 4 + 8);
    (void)state;

    for (size_t bit = 0; bit < header * 8; bit++) {
        nx_checkpoint *cp = NULL;
        nx_error       err = {0};
        size_t         at = bit / 8;
        b.p[at] ^= (unsigned char)(1u << bit % 8);
        nx_status st = nx_checkpoint_open_bytes(&cp, "t.gguf", b.p, b.n, &err);
        if (st) {
            assert_memory_equal(err.text, "t.gguf: ", 8);
            assert_non_null(strstr(err.text, " at byte "));
        }
        bool name = (at >= directory + 8 && at < directory + 13) ||
                    (at >= directory + 45 && at < directory + 51);
        bool version = at == 4; /* 3 to 2 reads the same */
        if (at < 24 || at >= directory)
            if (!name && !version) assert_int_not_equal(st, NX_OK);
        nx_checkpoint_close(cp);
        b.p[at] ^= (unsigned char)(1u << bit % 8);
    }
    free(b.p);
}

static void reports_every_failed_allocation(void **state)
{
    size_t         header, end;
    bytes          b = small_file(&header, &end);
    nx_checkpoint *cp;
    nx_status      st = NX_ENOMEM;
    int            n = 0;
    (void)state;

    for (; st != NX_OK; n++) {
        nx_error err = {0};
        nx_alloc_fail_after(n);
        st = nx_checkpoint_open_bytes(&cp, "t.gguf", b.p, b.n, &err);
        nx_alloc_fail_after(-1);
        if (st) {
            assert_int_equal(st, NX_ENOMEM);
            assert_int_equal(err.status, NX_ENOMEM);
            assert_null(cp);
        }
    }
    assert_true(n > 6);
    nx_checkpoint_close(cp);
    free(b.p);
}

static void floors_above_can_name_field_and_byte(void **state)
{
    size_t         header, end;
    bytes          b = small_file(&header, &end);
    nx_checkpoint *cp = expect_open(&b);
    nx_error       err;
    (void)state;

    assert_int_equal(nx_tensor_fail(cp, "second", NX_EFORMAT, &err, "shape [%d]", 7), NX_EFORMAT);
    assert_string_equal(err.text, "t.gguf: tensor second at byte 170: shape [7]");
    assert_int_equal(nx_tensor_fail(cp, "third", NX_EUNSUPPORTED, &err, "no"), NX_EUNSUPPORTED);
    assert_string_equal(err.text, "t.gguf: tensor third missing between byte 133 and byte 216: no");
    assert_int_equal(nx_meta_fail(cp, "general.architecture", NX_EFORMAT, &err, "no %s", "llama"),
                     NX_EFORMAT);
    assert_string_equal(err.text, "t.gguf: general.architecture at byte 56: no llama");
    nx_checkpoint_close(cp);
    free(b.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_small_file),
        cmocka_unit_test(reads_version_2_and_tensors_in_any_order),
        cmocka_unit_test(reads_every_tensor_type),
        cmocka_unit_test(reads_a_vocabulary_without_tensors),
        cmocka_unit_test(refuses_other_files),
        cmocka_unit_test(refuses_other_versions),
        cmocka_unit_test(refuses_lying_counts),
        cmocka_unit_test(refuses_counts_that_are_too_low),
        cmocka_unit_test(refuses_bad_keys),
        cmocka_unit_test(refuses_bad_values),
        cmocka_unit_test(refuses_bad_arrays),
        cmocka_unit_test(messages_are_printable),
        cmocka_unit_test(refuses_bad_alignment),
        cmocka_unit_test(obeys_alignment),
        cmocka_unit_test(refuses_bad_names),
        cmocka_unit_test(refuses_bad_shapes),
        cmocka_unit_test(refuses_other_tensor_types_by_name),
        cmocka_unit_test(refuses_misplaced_data),
        cmocka_unit_test(refuses_every_truncation),
        cmocka_unit_test(takes_zero_padding_only),
        cmocka_unit_test(survives_every_flipped_bit),
        cmocka_unit_test(reports_every_failed_allocation),
        cmocka_unit_test(floors_above_can_name_field_and_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
