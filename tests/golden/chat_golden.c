/* Protects: conversations look to a model as its own template writes them, and our built-in
 * templates write them alike.
 *
 * Cases of llama.cpp (shared data, templates/cases.json): a template as the model ships it, and
 * what one conversation becomes, BOS and EOS taken off its two ends. (More templates over more
 * conversations: tests/parity/test_templates.py.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/jsonread.h"
#include "os/file.h"
#include "token/chat.h"

/* style NULL: of none that we have. folded: what llama.cpp's own code wrote folds the system text,
 * which the template itself drops (jinja2 agrees: tests/parity/test_templates.py). */
static const struct {
    const char *model, *style;
    bool        folded;
} expected[] = {
    {"teknium/OpenHermes-2.5-Mistral-7B", "chatml", false},
    {"TheBloke/FusionNet_34Bx2_MoE-AWQ", "llama2", false},
    {"mlabonne/AlphaMonarch-7B", "monarch", false},
    {"OrionStarAI/Orion-14B-Chat", NULL, true},
    {"deepseek-ai/deepseek-coder-33b-instruct", "deepseek-coder", false},
    {"Orca-Vicuna", "orca-vicuna", false},
    {"Llama-3", "llama3", false},
    {"Phi-3-small", "phi3", false},
    {"Phi-3-vision", "phi3", false},
    {"ChatGLM4", "glm4", false},
    {"MiniCPM-3B-OpenHermes-2.5-v2-GGUF", "minicpm", false},
    {"ibm-granite/granite-3.0-8b-instruct", "granite", false},
    /* Its template moves the system text to the newest question; ours (mistral-v3) puts it before
     * the first, so that a turn's beginning can be kept. */
    {"Mistral-Large-Instruct-2407 (mistralai 'v3' template; modified to have system prompt at "
     "start)",
     NULL, false},
    {"mistralai/Mistral-Large-Instruct-2411 (mistralai 'v7' template)", "mistral-v7", false},
    {"Infinigence/Megrez-3B-Instruct", "megrez", false},
};
#define N_EXPECTED (sizeof expected / sizeof *expected)

static nx_json_doc cases;

static nx_str text_of(const nx_json *o, const char *key)
{
    nx_str s = {0};

    assert_true(nx_json_get_string(o, key, &s));
    return s;
}

/* The text without bos and eos at its ends. */
static nx_str bare(nx_str t, nx_str bos, nx_str eos)
{
    if (bos.len && t.len >= bos.len && memcmp(t.p, bos.p, bos.len) == 0) {
        t = (nx_str){t.p + bos.len, t.len - bos.len};
    }
    if (eos.len && t.len >= eos.len && memcmp(t.p + t.len - eos.len, eos.p, eos.len) == 0) {
        t.len -= eos.len;
    }
    return t;
}

static void check(const nx_json *one, const nx_jinja_result *r, nx_str bos, nx_str eos)
{
    nx_str got = bare((nx_str){r->text.data, r->text.len}, bos, eos);
    nx_str want = text_of(one, "expected"), name = text_of(one, "name");

    if (!nx_str_eq(got, want)) {
        fail_msg("%.*s:\n%.*s\nexpected:\n%.*s", (int)name.len, name.p, (int)got.len, got.p,
                 (int)want.len, want.p);
    }
}

static void check_case(const nx_json *one, const char *style, bool folded)
{
    const nx_json  *messages = nx_json_get(cases.root, "messages");
    nx_str          bos = text_of(one, "bos_token"), eos = text_of(one, "eos_token");
    nx_jinja_result r = {0};
    nx_jinja       *t = NULL;
    nx_chat        *c = NULL;
    nx_error        err;
    const nx_json   yes = {.type = NX_JSON_BOOL, .boolean = true};
    nx_jinja_var    vars[] = {{.name = "messages", .json = messages, .user = true},
                              {.name = "add_generation_prompt", .json = &yes},
                              {.name = "bos_token", .text = bos},
                              {.name = "eos_token", .text = eos}};

    if (nx_jinja_compile(&t, "t", text_of(one, "template"), NULL, &err)) fail_msg("%s", err.text);
    if (nx_jinja_render(t, &r, vars, 4, NULL, &err)) fail_msg("%s", err.text);
    if (!folded) check(one, &r, bos, eos);
    nx_jinja_free(t);
    if (style) {
        if (eos.len == 0) vars[3].text = eos = NX_STR("</s>"); /* where a template spells it out */
        nx_chat_request ask = {.messages = messages, .vars = vars + 2, .n_vars = 2, .answer = true};
        if (nx_chat_open(&c, NULL, NULL, style, &err)) fail_msg("%s", err.text);
        if (nx_chat_render(c, &r, &ask, &err)) fail_msg("%s", err.text);
        check(one, &r, bos, eos);
        nx_chat_close(c);
    }
    nx_jinja_result_free(&r);
}

static void cases_come_out_equal(void **state)
{
    const nx_json *list = nx_json_get(cases.root, "cases");

    (void)state;
    assert_int_equal(list->array.n, N_EXPECTED);
    for (size_t i = 0; i < N_EXPECTED; i++) {
        const nx_json *one = &list->array.items[i];
        assert_true(nx_json_is(nx_json_get(one, "name"), expected[i].model));
        check_case(one, expected[i].style, expected[i].folded);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases_come_out_equal),
    };
    const char *folder = getenv("NX_SHARED");
    char        path[1024];
    nx_buf      text = {.max = 1 << 22};
    nx_error    err;

    snprintf(path, sizeof path, "%s/data/templates/cases.json",
             folder ? folder : NX_SOURCE_DIR "/../shared");
    if (!nx_file_exists(path)) {
        printf("skipped: no %s\n", path);
        return 77;
    }
    if (nx_file_read_all(&text, path, &err) ||
        nx_json_parse(&cases, path, text.data, text.len, 0, &err)) {
        printf("%s\n", err.text);
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    nx_json_doc_free(&cases);
    nx_buf_free(&text);
    return failed;
}
