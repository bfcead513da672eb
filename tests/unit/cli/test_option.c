/* test_option.c - protects the reading of command lines: forms of options, ranges, the order of
 * environment and flags, slips; and how numbers are shown to people. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/cli.h"

typedef struct values {
    bool        flag, other;
    int32_t     n;
    uint64_t    seed;
    float       temp;
    const char *text;
    int         kind;
    nx_texts    stop;
} values;

/* Parse words (NULL-terminated) after the command's name; args may be NULL. */
static int parse(values *v, nx_args *args, const char *const *words)
{
    const nx_opt opts[] = {
        NX_OPT_GROUP("Group"),
        NX_OPT("flag", 'f', NX_OPT_FLAG, &v->flag, NULL, "a flag"),
        NX_OPT("other", 'o', NX_OPT_FLAG, &v->other, NULL, "another"),
        NX_OPT("n-predict", 'n', NX_OPT_INT, &v->n, "N", "a count", .min = -1, .max = 100,
               .env = true),
        NX_OPT("seed", 0, NX_OPT_U64, &v->seed, "N", "a seed"),
        NX_OPT("temp", 0, NX_OPT_FLOAT, &v->temp, "T", "a number", .max = 2, .above_min = true,
               .alias = "temperature"),
        NX_OPT("text", 0, NX_OPT_TEXT, &v->text, "TEXT", "a text"),
        NX_OPT("kv-type", 0, NX_OPT_CHOICE, &v->kind, "TYPE", "a choice",
               .choices = "f16|f32|q8_0"),
        NX_OPT("stop", 0, NX_OPT_LIST, &v->stop, "TEXT", "a list"),
        NX_OPT_END,
    };
    const nx_usage usage = {.command = "test", .synopsis = "", .options = opts, .n_args_max = -1};
    static char    name[] = "test";
    char          *argv[32] = {name};
    nx_args        unused;
    int            argc = 1;

    while (words[argc - 1]) {
        argv[argc] = (char *)(uintptr_t)words[argc - 1]; /* parsed words are only read */
        argc++;
    }
    return nx_opt_parse(&usage, args ? args : &unused, argc, argv);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_forms(void **state)
{
    values  v = {0};
    nx_args args;

    (void)state;
    assert_int_equal(
        parse(&v, &args,
              WORDS("-fo", "-n5", "a", "--temp=0.5", "-", "--text", "-x", "--", "--flag")),
        NX_CLI_GO);
    assert_true(v.flag && v.other);
    assert_int_equal(v.n, 5);
    assert_true(v.temp == 0.5f);
    assert_string_equal(v.text, "-x");
    assert_int_equal(args.n, 3);
}

static void test_values(void **state)
{
    values v = {0};

    (void)state;
    assert_int_equal(parse(&v, NULL,
                           WORDS("--temperature", "2", "--seed", "18446744073709551615",
                                 "--kv-type", "q8_0", "-n", "-1", "--stop", "a", "--stop", "")),
                     NX_CLI_GO);
    assert_true(v.temp == 2);
    assert_true(v.seed == UINT64_MAX);
    assert_int_equal(v.kind, 2);
    assert_int_equal(v.n, -1);
    assert_int_equal(v.stop.n, 2);
    assert_string_equal(v.stop.v[0].p, "a");
    assert_int_equal(v.stop.v[1].len, 0);
    nx_texts_free(&v.stop);
}

static void test_mistakes(void **state)
{
    static const char *const wrong[][3] = {
        {"-n", "101"},
        {"-n", "-2"},
        {"-n", ""},
        {"-n", "1.5"},
        {"-n", " 1"},
        {"-n", "0x10"},
        {"-n"},
        {"--seed", "-1"},
        {"--seed", "1e3"},
        {"--temp", "0"},
        {"--temp", "2.1"},
        {"--temp", "inf"},
        {"--temp", "nan"},
        {"--temp", "1 "},
        {"--flag=1"},
        {"--kv-type", "f1"},
        {"--kv-type", ""},
        {"--flagg"},
        {"-x"},
        {"-fx"},
        {"--n"},
        {"--seed", "18446744073709551616"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        values v = {.n = 7};
        assert_int_equal(parse(&v, NULL, wrong[i]), NX_CLI_USAGE);
        assert_int_equal(v.n, 7);
    }
}

static void test_environment(void **state)
{
    values v = {0};
    char   name[64];

    (void)state;
    nx_opt_env_name(name, sizeof name, "n-predict");
    assert_string_equal(name, "NEXUS_N_PREDICT");
    setenv(name, "12", 1);
    assert_int_equal(parse(&v, NULL, WORDS("--flag")), NX_CLI_GO);
    assert_int_equal(v.n, 12);
    assert_int_equal(parse(&v, NULL, WORDS("-n", "13")), NX_CLI_GO);
    assert_int_equal(v.n, 13);
    setenv(name, "many", 1);
    assert_int_equal(parse(&v, NULL, WORDS("-n", "13")), NX_CLI_USAGE);
    setenv(name, "", 1);
    v.n = 3;
    assert_int_equal(parse(&v, NULL, WORDS("--flag")), NX_CLI_GO);
    assert_int_equal(v.n, 3);
    unsetenv(name);
    setenv("NEXUS_FLAG", "1", 1); /* not one that the environment sets */
    v.flag = false;
    assert_int_equal(parse(&v, NULL, WORDS("--other")), NX_CLI_GO);
    assert_false(v.flag);
    unsetenv("NEXUS_FLAG");
}

static void test_nearest(void **state)
{
    const char *const words[] = {"temp", "top-k", "top-p", "threads", "repeat-penalty", NULL};

    (void)state;
    assert_string_equal(nx_opt_nearest("tmep", words), "temp");
    assert_string_equal(nx_opt_nearest("thread", words), "threads");
    assert_string_equal(nx_opt_nearest("topk", words), "top-k");
    assert_string_equal(nx_opt_nearest("repeat", words), "repeat-penalty");
    assert_null(nx_opt_nearest("colour", words));
    assert_null(nx_opt_nearest("", words));
    assert_null(nx_opt_nearest("bogus", (const char *const[]){"logits", "info", NULL}));
}

static void test_ids(void **state)
{
    nx_ids   ids = {0};
    nx_error err;

    (void)state;
    assert_int_equal(nx_parse_ids(&ids, " 1,403, 7\n,", 512, &err), NX_OK);
    assert_int_equal(ids.n, 3);
    assert_int_equal(ids.ids[1], 403);
    assert_int_equal(nx_parse_ids(&ids, "512", 512, &err), NX_EINVAL);
    assert_non_null(strstr(err.text, "token id 4"));
    assert_int_equal(nx_parse_ids(&ids, "1,-1", 0, &err), NX_EINVAL);
    assert_int_equal(nx_parse_ids(&ids, "99999999999999999999999999999999999999", 0, &err),
                     NX_EINVAL);
    nx_ids_free(&ids);
}

static void test_people(void **state)
{
    static const struct {
        double      n;
        const char *text;
    } counts[] = {{0, "0"},         {7, "7"},         {812, "812"},      {8.125, "8.12"},
                  {81.25, "81.2"},  {999.4, "999"},   {999.6, "1.00 k"}, {12345, "12.3 k"},
                  {99960, "100 k"}, {1.5e9, "1.50 G"}};
    char text[32];

    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        nx_format_count(text, sizeof text, counts[i].n);
        assert_string_equal(text, counts[i].text);
    }
    nx_format_bytes(text, sizeof text, 15);
    assert_string_equal(text, "15 B");
    nx_format_bytes(text, sizeof text, 1400000000);
    assert_string_equal(text, "1.40 GB");
}

static void test_json(void **state)
{
    nx_jw w = {.buf.max = 1000};

    (void)state;
    nx_jw_open(&w, NULL, '{');
    nx_jw_ids(&w, "ids", (const int32_t[]){1, -2}, 2);
    nx_jw_text(&w, "text", "a\"\n");
    nx_jw_open(&w, "empty", '{');
    nx_jw_close(&w, '}');
    nx_jw_number(&w, "x", 0.5, 6);
    nx_jw_null(&w, "none");
    nx_jw_bool(&w, "yes", true);
    nx_jw_close(&w, '}');
    assert_int_equal(w.st, NX_OK);
    assert_string_equal(w.buf.data, "{\"ids\":[1,-2],\"text\":\"a\\\"\\n\",\"empty\":{},\"x\":0.5,"
                                    "\"none\":null,\"yes\":true}");
    nx_buf_free(&w.buf);
    w = (nx_jw){.buf.max = 3};
    nx_jw_text(&w, NULL, "too long");
    nx_jw_int(&w, NULL, 1);
    assert_int_equal(w.st, NX_ELIMIT);
    nx_buf_free(&w.buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),    cmocka_unit_test(test_values),
        cmocka_unit_test(test_mistakes), cmocka_unit_test(test_environment),
        cmocka_unit_test(test_nearest),  cmocka_unit_test(test_ids),
        cmocka_unit_test(test_people),   cmocka_unit_test(test_json),
    };

    unsetenv("NEXUS_LOG_FORMAT");
    unsetenv("NEXUS_LOG_LEVEL");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
