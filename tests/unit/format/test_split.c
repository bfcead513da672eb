/* test_split.c - a split set loads as one file whatever part is named, and a set with a part
 * missing, renamed, doubled or foreign is refused with the part's name. */
#include "gguf_bytes.h"

#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"

static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/nexus-split-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    char command[128];
    (void)state;

    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

static const char *path_of(const char *name)
{
    static char path[128];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

/* What a part claims; 99 leaves the key out. */
typedef struct claims {
    uint64_t no, count, total;
} claims;

/* One part with one tensor of `value`s. */
static void write_part(const char *name, claims c, const char *tensor, float value)
{
    bytes b = {0};
    float data[8];

    put_head(&b, 3, 1, 1 + (c.no != 99) + (c.count != 99) + (c.total != 99));
    put_key(&b, "general.name", NX_META_STRING);
    put_str(&b, tensor);
    if (c.no != 99) put_key_uint(&b, "split.no", NX_META_U16, c.no);
    if (c.count != 99) put_key_uint(&b, "split.count", NX_META_U16, c.count);
    if (c.total != 99) put_key_uint(&b, "split.tensors.count", NX_META_I32, c.total);
    put_tensor(&b, tensor, 0, 8, 0, 0);
    put_zeros_to(&b, 32);
    for (int i = 0; i < 8; i++) data[i] = value;
    put(&b, data, sizeof data);

    FILE *f = fopen(path_of(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(b.p, 1, b.n, f), b.n);
    assert_int_equal(fclose(f), 0);
    free(b.p);
}

static void write_three(void)
{
    write_part("m-00001-of-00003.gguf", (claims){0, 3, 3}, "a", 1);
    write_part("m-00002-of-00003.gguf", (claims){1, 3, 3}, "b", 2);
    write_part("m-00003-of-00003.gguf", (claims){2, 3, 3}, "c", 3);
}

static void expect_path_refused(const char *name, nx_status want, const char *part,
                                const char *says)
{
    nx_checkpoint *cp;
    nx_error       err = {0};
    nx_status      st = nx_checkpoint_open(&cp, path_of(name), &err);

    if (st != want || !strstr(err.text, part) || !strstr(err.text, says))
        print_error("%s: %s\n", nx_status_name(st), err.text);
    assert_int_equal(st, want);
    assert_null(cp);
    assert_non_null(strstr(err.text, part));
    assert_non_null(strstr(err.text, says));
}

static void any_part_opens_all(void **state)
{
    static const char *const names[] = {"m-00001-of-00003.gguf", "m-00002-of-00003.gguf",
                                        "m-00003-of-00003.gguf"};
    (void)state;

    write_three();
    for (size_t i = 0; i < 3; i++) {
        nx_checkpoint *cp;
        nx_error       err = {0};
        nx_str         name;
        assert_int_equal(nx_checkpoint_open(&cp, path_of(names[i]), &err), NX_OK);
        assert_int_equal(nx_checkpoint_n_tensors(cp), 3);
        assert_non_null(strstr(nx_checkpoint_path(cp), names[0]));
        assert_int_equal(nx_meta_string(cp, "general.name", &name, true, &err), NX_OK);
        assert_true(nx_str_eq(name, NX_STR("a"))); /* metadata of part 1 */
        for (int k = 0; k < 3; k++) {
            const nx_tensor *t = nx_checkpoint_tensor(cp, (const char *[]){"a", "b", "c"}[k]);
            assert_non_null(t);
            assert_ptr_equal(t, nx_checkpoint_tensor_at(cp, k));
            assert_true(((const float *)t->data)[7] == (float)k + 1);
        }
        nx_tensor_fail(cp, "c", NX_EFORMAT, &err, "x");
        assert_non_null(strstr(err.text, names[2]));
        nx_checkpoint_willneed(cp);
        nx_checkpoint_close(cp);
    }
}

static void a_missing_part_is_named(void **state)
{
    (void)state;
    write_three();
    assert_int_equal(unlink(path_of("m-00002-of-00003.gguf")), 0);
    expect_path_refused("m-00001-of-00003.gguf", NX_ENOENT, "m-00002-of-00003.gguf",
                        "part 2 of the 3");
    expect_path_refused("m-00002-of-00003.gguf", NX_ENOENT, "m-00002-of-00003.gguf",
                        "no such file");
    expect_path_refused("n-00002-of-00003.gguf", NX_ENOENT, "n-00002-of-00003.gguf",
                        "no such file");
}

static void names_and_metadata_must_agree(void **state)
{
    (void)state;
    write_three();
    write_part("m-00002-of-00003.gguf", (claims){2, 3, 3}, "b", 2);
    expect_path_refused("m-00001-of-00003.gguf", NX_EFORMAT, "m-00002-of-00003.gguf: split.no",
                        "2, expected 1");
    write_part("m-00002-of-00003.gguf", (claims){1, 4, 3}, "b", 2);
    expect_path_refused("m-00003-of-00003.gguf", NX_EFORMAT, "m-00002-of-00003.gguf: split.count",
                        "4, expected 3");
    write_part("m-00002-of-00003.gguf", (claims){1, 3, 4}, "b", 2);
    expect_path_refused("m-00003-of-00003.gguf", NX_EFORMAT,
                        "m-00002-of-00003.gguf: split.tensors.count", "4, expected 3");
    write_part("m-00002-of-00003.gguf", (claims){99, 3, 3}, "b", 2);
    expect_path_refused("m-00001-of-00003.gguf", NX_EFORMAT, "m-00002-of-00003.gguf: split.no",
                        "missing between byte 24");
    write_part("m-00002-of-00003.gguf", (claims){1, 99, 3}, "b", 2);
    expect_path_refused("m-00001-of-00003.gguf", NX_EFORMAT, "m-00002-of-00003.gguf: split.count",
                        "missing between byte 24");
    write_part("m-00002-of-00003.gguf", (claims){1, 3, 99}, "b", 2); /* not all writers add it */
    nx_checkpoint *cp;
    assert_int_equal(nx_checkpoint_open(&cp, path_of("m-00001-of-00003.gguf"), NULL), NX_OK);
    nx_checkpoint_close(cp);
}

static void odd_names_are_refused(void **state)
{
    (void)state;
    write_part("m-00004-of-00003.gguf", (claims){3, 3, 3}, "d", 4);
    expect_path_refused("m-00004-of-00003.gguf", NX_EFORMAT, "m-00004-of-00003.gguf",
                        "part 4 of 3 by its name");
    write_part("m-00000-of-00000.gguf", (claims){0, 0, 1}, "d", 4);
    expect_path_refused("m-00000-of-00000.gguf", NX_EFORMAT, "m-00000-of-00000.gguf",
                        "part 0 of 0 by its name");
    write_part("renamed.gguf", (claims){1, 3, 3}, "b", 2);
    expect_path_refused("renamed.gguf", NX_EFORMAT, "renamed.gguf: split.count at byte",
                        "expected a name that ends in -00001-of-00003.gguf");
    write_part("plain-00001-of-0003.gguf", (claims){99, 99, 99}, "whole", 1); /* no split name */
    nx_checkpoint *cp;
    assert_int_equal(nx_checkpoint_open(&cp, path_of("plain-00001-of-0003.gguf"), NULL), NX_OK);
    nx_checkpoint_close(cp);
    write_part("one-00001-of-00001.gguf", (claims){0, 1, 1}, "whole", 1);
    assert_int_equal(nx_checkpoint_open(&cp, path_of("one-00001-of-00001.gguf"), NULL), NX_OK);
    nx_checkpoint_close(cp);
    write_part("whole.gguf", (claims){0, 1, 1}, "whole", 1);
    assert_int_equal(nx_checkpoint_open(&cp, path_of("whole.gguf"), NULL), NX_OK);
    nx_checkpoint_close(cp);
    write_part("less.gguf", (claims){99, 99, 2}, "whole", 1);
    expect_path_refused("less.gguf", NX_EFORMAT, "less.gguf: split.tensors.count", "2, expected 1");
}

static void a_tensor_in_two_parts_is_refused(void **state)
{
    (void)state;
    write_three();
    write_part("m-00003-of-00003.gguf", (claims){2, 3, 3}, "a", 3);
    expect_path_refused("m-00001-of-00003.gguf", NX_EFORMAT, "m-00003-of-00003.gguf: tensor a",
                        "in part 1 already");
}

static void a_part_in_memory_is_refused(void **state)
{
    bytes b = {0};
    (void)state;

    put_head(&b, 3, 0, 1);
    put_key_uint(&b, "split.count", NX_META_U16, 2);
    REFUSED(&b, NX_EFORMAT, "split.count at byte 47", "one of 2 parts");
    put_head(&b, 3, 0, 1);
    put_key_uint(&b, "split.count", NX_META_BOOL, 1);
    REFUSED(&b, NX_EFORMAT, "split.count at byte 47", "bool, expected an integer");
}

static void reports_every_failed_allocation(void **state)
{
    nx_checkpoint *cp;
    nx_status      st = NX_ENOMEM;
    int            n = 0;
    (void)state;

    write_three();
    for (; st != NX_OK; n++) {
        nx_error err = {0};
        nx_alloc_fail_after(n);
        st = nx_checkpoint_open(&cp, path_of("m-00002-of-00003.gguf"), &err);
        nx_alloc_fail_after(-1);
        if (st) assert_true(st == NX_ENOMEM && err.status == NX_ENOMEM && cp == NULL);
    }
    assert_true(n > 20);
    nx_checkpoint_close(cp);
}

static void refuses_what_is_no_file(void **state)
{
    (void)state;
    expect_path_refused("", NX_EINVAL, dir, "several models");
    expect_path_refused("absent.gguf", NX_ENOENT, "absent.gguf", "no such file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_part_opens_all),
        cmocka_unit_test(a_missing_part_is_named),
        cmocka_unit_test(names_and_metadata_must_agree),
        cmocka_unit_test(odd_names_are_refused),
        cmocka_unit_test(a_tensor_in_two_parts_is_refused),
        cmocka_unit_test(a_part_in_memory_is_refused),
        cmocka_unit_test(reports_every_failed_allocation),
        cmocka_unit_test(refuses_what_is_no_file),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
