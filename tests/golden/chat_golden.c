/* Protects: conversations look to a model as its own template would have written them.
 *
 * Cases of llama.cpp (shared data, templates/cases.json): a template as the model ships it, and
 * what one conversation becomes, BOS and EOS taken off its two ends. Each must be recognised as
 * the style named here, and come out equal.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "token/chat_style.h"

/* NULL: of no style that we have. */
static const struct {
    const char *model, *style;
    bool        differs; /* see below */
} expected[] = {
    {"teknium/OpenHermes-2.5-Mistral-7B", "chatml", false},
    {"TheBloke/FusionNet_34Bx2_MoE-AWQ", "llama2", false},
    {"mlabonne/AlphaMonarch-7B", "monarch", false},
    {"OrionStarAI/Orion-14B-Chat", NULL, false},
    {"deepseek-ai/deepseek-coder-33b-instruct", "deepseek-coder", false},
    {"Orca-Vicuna", "orca-vicuna", false},
    {"Llama-3", "llama3", false},
    {"Phi-3-small", "phi3", false},
    {"Phi-3-vision", "phi3", false},
    {"ChatGLM4", "glm4", false},
    {"MiniCPM-3B-OpenHermes-2.5-v2-GGUF", "minicpm", false},
    {"ibm-granite/granite-3.0-8b-instruct", "granite", false},
    /* Its template moves the system text to the newest question, so that no turn's beginning
     * could be kept. Ours puts it before the first. */
    {"Mistral-Large-Instruct-2407 (mistralai 'v3' template; modified to have system prompt at "
     "start)",
     "mistral-v3", true},
    {"mistralai/Mistral-Large-Instruct-2411 (mistralai 'v7' template)", "mistral-v7", false},
    {"Infinigence/Megrez-3B-Instruct", "megrez", false},
};
#define N_EXPECTED (sizeof expected / sizeof *expected)

static const char v3_ours[] =
    "[INST] You are a helpful assistant\n\nHello[/INST] Hi there</s>[INST] Who are you[/INST]"
    "    I am an assistant   </s>[INST] Another question[/INST]";

static json_object *cases;

static const char *text_of(json_object *o, const char *key)
{
    json_object *value = NULL;

    assert_true(json_object_object_get_ex(o, key, &value));
    return json_object_get_string(value);
}

static size_t read_messages(nx_chat_message out[16])
{
    json_object *list = NULL;

    assert_true(json_object_object_get_ex(cases, "messages", &list));
    size_t n = json_object_array_length(list);
    assert_true(n <= 16);
    for (size_t i = 0; i < n; i++) {
        json_object *m = json_object_array_get_idx(list, i);
        const char  *role = text_of(m, "role");
        out[i].role = strcmp(role, "system") == 0 ? NX_CHAT_SYSTEM
                      : strcmp(role, "user") == 0 ? NX_CHAT_USER
                                                  : NX_CHAT_ASSISTANT;
        out[i].text = nx_str_of(text_of(m, "content"));
    }
    return n;
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

static void check_case(json_object *one, const nx_chat_style *s, const char *want)
{
    nx_chat_message messages[16];
    size_t          n = read_messages(messages);
    nx_chat_text    out = {.text.max = 1 << 20};
    nx_str          bos = nx_str_of(text_of(one, "bos_token"));
    nx_str          eos = nx_str_of(text_of(one, "eos_token"));

    if (eos.len == 0) eos = NX_STR("</s>"); /* where a template spells it out */
    assert_int_equal(nx_chat_style_write(s, &out, bos, eos, messages, n, true, NULL), NX_OK);
    assert_true(out.n_spans > 0 && out.spans[out.n_spans - 1].end == out.text.len);
    nx_str got = bare((nx_str){out.text.data, out.text.len}, bos, eos);
    if (!nx_str_eq(got, nx_str_of(want))) {
        fail_msg("%s:\n%.*s\nexpected:\n%s", s->name, (int)got.len, got.p, want);
    }
    nx_chat_text_free(&out);
}

static void cases_come_out_equal(void **state)
{
    json_object *list = NULL;

    (void)state;
    assert_true(json_object_object_get_ex(cases, "cases", &list));
    assert_int_equal(json_object_array_length(list), N_EXPECTED);
    for (size_t i = 0; i < N_EXPECTED; i++) {
        json_object         *one = json_object_array_get_idx(list, i);
        const nx_chat_style *s = nx_chat_style_recognise(nx_str_of(text_of(one, "template")));
        assert_string_equal(text_of(one, "name"), expected[i].model);
        if (!expected[i].style) {
            assert_null(s);
            continue;
        }
        if (!s || strcmp(s->name, expected[i].style) != 0) {
            fail_msg("%s: recognised as %s", expected[i].model, s ? s->name : "nothing");
        }
        check_case(one, s, expected[i].differs ? v3_ours : text_of(one, "expected"));
    }
}

/* Templates as models ship them, with tools and all. */
static void shipped_templates_are_recognised(void **state)
{
    static const char *const files[][2] = {
        {"Qwen-Qwen2.5-7B-Instruct", "chatml"},
        {"google-gemma-2-2b-it", "gemma"},
        {"meta-llama-Llama-3.1-8B-Instruct", "llama3"},
        {"meta-llama-Llama-3.2-3B-Instruct", "llama3"},
        {"meta-llama-Llama-3.3-70B-Instruct", "llama3"},
        {"microsoft-Phi-3.5-mini-instruct", "phi3"},
        {"mistralai-Mistral-Nemo-Instruct-2407", "mistral-v3-tekken"},
        {"NousResearch-Hermes-3-Llama-3.1-8B-tool_use", "chatml"},
    };
    const char *folder = getenv("NX_SHARED");
    static char text[1 << 16];
    char        path[1024];

    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/data/templates/%s.jinja",
                 folder ? folder : NX_SOURCE_DIR "/../shared", files[i][0]);
        FILE *f = fopen(path, "rb");
        if (!f) skip();
        size_t n = fread(text, 1, sizeof text, f);
        fclose(f);
        const nx_chat_style *s = nx_chat_style_recognise((nx_str){text, n});
        if (!s || strcmp(s->name, files[i][1]) != 0) {
            fail_msg("%s: recognised as %s", files[i][0], s ? s->name : "nothing");
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases_come_out_equal),
        cmocka_unit_test(shipped_templates_are_recognised),
    };
    const char *folder = getenv("NX_SHARED");
    char        path[1024];

    snprintf(path, sizeof path, "%s/data/templates/cases.json",
             folder ? folder : NX_SOURCE_DIR "/../shared");
    cases = json_object_from_file(path);
    if (!cases) {
        printf("skipped: no %s\n", path);
        return 77;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    json_object_put(cases);
    return failed;
}
