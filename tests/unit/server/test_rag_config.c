/* test_rag_config.c - settings stay what they were set to: over an end, beside each other, and not half. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/dir.h"
#include "server/rag_config.h"

static char folder[] = "/tmp/nx-rag-config-XXXXXX";

static int set_up(void **state)
{
    (void)state;
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return nx_dir_remove_all(folder, NULL) ? -1 : 0;
}

static nx_rag_config *opened(void)
{
    nx_rag_config *c;
    nx_error       err;

    if (nx_rag_config_open(&c, folder, &err)) fail_msg("%s", err.text);
    return c;
}

static void write_text(const char *text)
{
    char  path[256];
    FILE *f;

    snprintf(path, sizeof path, "%s/rag.json", folder);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static bool become(void *ctx, nx_rag_settings *s)
{
    *s = *(const nx_rag_settings *)ctx;
    return true;
}

static bool count_up(void *ctx, nx_rag_settings *s)
{
    (void)ctx;
    s->top_k++;
    return true;
}

static bool leave(void *ctx, nx_rag_settings *s)
{
    (void)ctx;
    s->top_k = 99;
    return false;
}

static void assert_same(const nx_rag_settings *a, const nx_rag_settings *b)
{
    assert_int_equal(a->enabled, b->enabled);
    assert_int_equal(a->top_k, b->top_k);
    assert_true(a->min_score == b->min_score);
    assert_int_equal(a->chunk_size, b->chunk_size);
    assert_int_equal(a->chunk_overlap, b->chunk_overlap);
    assert_true(a->privacy_epsilon == b->privacy_epsilon);
}

static void a_new_folder_has_the_contract(void **state)
{
    nx_rag_config  *c = opened();
    nx_rag_settings now = nx_rag_config_get(c);

    (void)state;
    assert_true(now.enabled);
    assert_int_equal(now.top_k, 5);
    assert_true(now.min_score == 0.7);
    assert_int_equal(now.chunk_size, 512);
    assert_int_equal(now.chunk_overlap, 50);
    nx_rag_config_close(c);
    nx_rag_config_close(NULL);
}

static void what_is_set_is_there_after_an_end(void **state)
{
    const nx_rag_settings all[] = {
        {false, 1, 0, 100, 0, 0.1},
        {true, 100, 1, 2048, 500, 10},
        {true, 7, 0.05, 501, 500, 1.0 / 3},
    };

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        nx_rag_settings s = all[i], now;
        nx_rag_config  *c = opened();
        assert_int_equal(nx_rag_config_change(c, become, &s, &now, NULL), NX_OK);
        assert_same(&now, &s);
        nx_rag_config_close(c);
        c = opened();
        now = nx_rag_config_get(c);
        assert_same(&now, &s);
        assert_int_equal(nx_rag_config_change(c, leave, NULL, &now, NULL), NX_OK);
        assert_same(&now, &s);
        nx_rag_config_close(c);
    }
}

static void what_does_not_fit_changes_nothing(void **state)
{
    static const struct {
        const char     *field;
        nx_rag_settings s;
    } wrong[] = {
        {"top_k", {true, 0, 0.7, 512, 50, 1}},
        {"top_k", {true, 101, 0.7, 512, 50, 1}},
        {"min_score", {true, 5, -0.01, 512, 50, 1}},
        {"min_score", {true, 5, 1.01, 512, 50, 1}},
        {"min_score", {true, 5, 0.0 / 0.0, 512, 50, 1}},
        {"chunk_size", {true, 5, 0.7, 99, 50, 1}},
        {"chunk_size", {true, 5, 0.7, 2049, 50, 1}},
        {"chunk_overlap", {true, 5, 0.7, 512, -1, 1}},
        {"chunk_overlap", {true, 5, 0.7, 2048, 501, 1}},
        {"chunk_overlap", {true, 5, 0.7, 300, 300, 1}},
        {"chunk_overlap", {true, 5, 0.7, 300, 400, 1}},
        {"privacy_epsilon", {true, 5, 0.7, 512, 50, 0.09}},
        {"privacy_epsilon", {true, 5, 0.7, 512, 50, 10.1}},
    };
    nx_rag_config  *c = opened();
    nx_rag_settings before = nx_rag_config_get(c), now;
    const char     *field;
    nx_error        err;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        nx_rag_settings s = wrong[i].s;
        assert_int_equal(nx_rag_settings_check(&s, &field, &err), NX_EINVAL);
        assert_string_equal(field, wrong[i].field);
        assert_non_null(strstr(err.text, wrong[i].field));
        assert_int_equal(nx_rag_config_change(c, become, &s, &now, &err), NX_EINVAL);
        assert_same(&now, &before);
    }
    nx_rag_config_close(c);
}

static void a_file_of_somebody_elses(void **state)
{
    static const char *const wrong[] = {
        "",
        "[]",
        "{",
        "{\"top_k\": \"5\"}",
        "{\"top_k\": 5.5}",
        "{\"top_k\": 1e300}",
        "{\"top_k\": 0}",
        "{\"enabled\": 1}",
        "{\"min_score\": []}",
        "{\"chunk_size\": 100, \"chunk_overlap\": 100}",
    };
    nx_rag_config *c;
    nx_error       err;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        write_text(wrong[i]);
        if (nx_rag_config_open(&c, folder, &err) != NX_EFORMAT) fail_msg("%s", wrong[i]);
        assert_null(c);
        assert_non_null(strstr(err.text, "rag.json"));
    }
    write_text("{\"top_k\": 9.0, \"enabled\": null, \"of a later version\": {}}");
    c = opened();
    assert_int_equal(nx_rag_config_get(c).top_k, 9);
    assert_true(nx_rag_config_get(c).enabled);
    nx_rag_config_close(c);
}

static void *add_ten(void *ctx)
{
    for (int i = 0; i < 10; i++)
        if (nx_rag_config_change(ctx, count_up, NULL, NULL, NULL)) return ctx;
    return NULL;
}

static void changes_take_turns(void **state)
{
    nx_rag_config *c = opened();
    pthread_t      threads[4];
    void          *failed;

    (void)state;
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, add_ten, c), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    nx_rag_config_close(c);
    c = opened();
    assert_int_equal(nx_rag_config_get(c).top_k, 45);
    nx_rag_config_close(c);
}

/* The file can't be put in its place: a folder is there. */
static void what_is_not_on_the_disk_is_not_in_force(void **state)
{
    nx_rag_config  *c = opened();
    nx_rag_settings s = nx_rag_config_get(c), now;
    char            path[256];

    (void)state;
    snprintf(path, sizeof path, "%s/rag.json", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    s.enabled = false;
    assert_int_equal(nx_rag_config_change(c, become, &s, &now, NULL), NX_EIO);
    assert_true(now.enabled);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(nx_rag_config_change(c, become, &s, &now, NULL), NX_OK);
    assert_false(now.enabled);
    nx_rag_config_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_new_folder_has_the_contract, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_set_is_there_after_an_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_does_not_fit_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_of_somebody_elses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(changes_take_turns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_on_the_disk_is_not_in_force, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
