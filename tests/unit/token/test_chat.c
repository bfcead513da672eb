/* Protects: what a message says stays text, whatever it spells; a conversation's ids begin with
 * those of its beginning, so that a KV cache can be kept; the model's own template is the one that
 * is run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "maker_gguf.h"
#include "token/chat.h"
#include "token/chat_style.h"

#define MARK "\xE2\x96\x81"

static const char *const control[] = {
    "<|im_start|>",      "<|im_end|>",      "<|start_header_id|>",
    "<|end_header_id|>", "<|eot_id|>",      "[INST]",
    "[/INST]",           "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]",
    "<|assistant|>",     "<|user|>",        "<|system|>",
    "<|end|>",           "[gMASK]",         "<sop>",
    "<start_of_turn>",   "<end_of_turn>",   "<|start_of_role|>",
    "<|end_of_role|>",   "<|end_of_text|>", "<|role_start|>",
    "<|role_end|>",      "<|turn_end|>",    "<|EOT|>",
};
#define N_CONTROL ((int)(sizeof control / sizeof *control))

/* With every mark of every style. `merges` across spaces and line ends tempt the encoder. */
static void make_vocab_with(maker *m, bool bpe, bool merges)
{
    if (bpe && !merges) {
        maker_bpe(m, "llama-bpe");
        m->src.special.bos = maker_say(m, "<s>", NX_TOKEN_CONTROL, 0);
        m->src.special.eos = maker_say(m, "</s>", NX_TOKEN_CONTROL, 0);
    } else if (bpe) {
        maker_bpe(m, "llama-bpe");
        int32_t lines = maker_merge(m, '\n', '\n');
        maker_merge(m, lines, '\n');
        maker_merge(m, lines, lines);
        maker_merge(m, ' ', 'H');
        maker_merge(m, ' ', ' ');
        m->src.special.bos = maker_say(m, "<s>", NX_TOKEN_CONTROL, 0);
        m->src.special.eos = maker_say(m, "</s>", NX_TOKEN_CONTROL, 0);
    } else {
        maker_spm(m);
        maker_say(m, MARK, NX_TOKEN_NORMAL, -9);
        maker_say(m, MARK MARK, NX_TOKEN_NORMAL, -1);
        maker_say(m, "\n", NX_TOKEN_NORMAL, -9);
        maker_say(m, "\n\n", NX_TOKEN_NORMAL, -2);
        maker_say(m, "H", NX_TOKEN_NORMAL, -9);
        maker_say(m,
                  "\n"
                  "H",
                  NX_TOKEN_NORMAL, -1);
        maker_say(m, MARK "H", NX_TOKEN_NORMAL, -3);
        maker_say(m, ":" MARK, NX_TOKEN_NORMAL, -3);
        maker_say(m, ":", NX_TOKEN_NORMAL, -3);
    }
    for (int i = 0; i < N_CONTROL; i++) maker_say(m, control[i], NX_TOKEN_CONTROL, 0);
}

static void make_vocab(maker *m, bool bpe)
{
    make_vocab_with(m, bpe, true);
}

typedef struct model {
    nx_checkpoint *cp;
    nx_vocab      *v;
} model;

static model open_model(const maker *m, const char *chat_template)
{
    model    o = {.cp = maker_checkpoint(m, NULL, chat_template)};
    nx_error err = {0};

    if (nx_vocab_open(&o.v, o.cp, &err)) fail_msg("%s", err.text);
    return o;
}

static void close_model(model *o)
{
    nx_vocab_close(o->v);
    nx_checkpoint_close(o->cp);
}

static nx_ids encode(const nx_chat *c, const nx_chat_message *messages, size_t n, bool answer)
{
    nx_ids   ids = {0};
    nx_error err = {0};

    if (nx_chat_encode(c, &ids, messages, n, answer, &err)) fail_msg("%s", err.text);
    return ids;
}

static const nx_chat_message talk[] = {
    {NX_CHAT_SYSTEM, {"\nH be brief\n", 12}},
    {NX_CHAT_USER, {"\n\n Hello  ", 10}},
    {NX_CHAT_ASSISTANT, {"\nHi: H\n\n", 9}},
    {NX_CHAT_USER, {" H", 2}},
    {NX_CHAT_ASSISTANT, {"", 0}},
    {NX_CHAT_USER, {"\n", 1}},
    {NX_CHAT_ASSISTANT, {" H", 2}},
    {NX_CHAT_USER, {"end", 3}},
};
#define N_TALK (sizeof talk / sizeof *talk)

/* Of every beginning of the conversation, closed or opened for an answer, ids are the beginning of
 * those of all that can follow. */
static void check_prefixes(const nx_chat *c, const nx_chat_message *messages, size_t n_all)
{
    nx_ids all = encode(c, messages, n_all, true);

    for (size_t n = 1; n < n_all; n++) {
        for (int answer = 0; answer < 2; answer++) {
            if (answer && messages[n].role != NX_CHAT_ASSISTANT) continue;
            nx_ids some = encode(c, messages, n, answer);
            assert_true(some.n > 0 && some.n <= all.n);
            if (memcmp(some.ids, all.ids, some.n * sizeof *some.ids) != 0) {
                fail_msg("%s: %zu messages%s are no beginning", nx_chat_name(c), n,
                         answer ? " and an answer's opening" : "");
            }
            nx_ids_free(&some);
        }
    }
    nx_ids_free(&all);
}

static void beginnings_stay(void **state)
{
    static maker m;

    (void)state;
    make_vocab_with(&m, true, false); /* an id a byte: texts decide */
    model o = open_model(&m, NULL);
    for (const char *const *name = nx_chat_names(); *name; name++) {
        nx_chat *c = NULL;
        nx_error err = {0};
        if (nx_chat_open(&c, o.cp, o.v, *name, &err)) fail_msg("%s", err.text);
        assert_string_equal(nx_chat_name(c), *name);
        check_prefixes(c, talk, N_TALK);
        check_prefixes(c, talk + 1, N_TALK - 1); /* without a system text */
        nx_chat_close(c);
    }
    close_model(&o);
}

static size_t count_control(const nx_vocab *v, const nx_ids *ids)
{
    size_t n = 0;

    for (size_t i = 0; i < ids->n; i++) n += nx_vocab_type(v, ids->ids[i]) == NX_TOKEN_CONTROL;
    return n;
}

/* A message that spells every control token has as many of them as one that spells none. */
static void messages_inject_nothing(void **state)
{
    static maker    m;
    char            attack[1024] = "";
    nx_chat_message tame[] = {{NX_CHAT_SYSTEM, NX_STR("x")},
                              {NX_CHAT_USER, NX_STR("x")},
                              {NX_CHAT_ASSISTANT, NX_STR("x")},
                              {NX_CHAT_USER, NX_STR("x")}};
    nx_chat_message wild[4];

    (void)state;
    for (int i = 0; i < N_CONTROL; i++) strcat(attack, control[i]);
    strcat(attack, "<s></s>\x01\x02");
    for (int i = 0; i < 4; i++) wild[i] = (nx_chat_message){tame[i].role, nx_str_of(attack)};
    for (int bpe = 0; bpe < 2; bpe++) {
        make_vocab(&m, bpe);
        model o = open_model(&m, NULL);
        for (const char *const *name = nx_chat_names(); *name; name++) {
            nx_chat *c = NULL;
            assert_int_equal(nx_chat_open(&c, o.cp, o.v, *name, NULL), NX_OK);
            nx_ids a = encode(c, tame, 4, true), b = encode(c, wild, 4, true);
            assert_int_equal(count_control(o.v, &a), count_control(o.v, &b));
            nx_ids_free(&a);
            nx_ids_free(&b);
            nx_chat_close(c);
        }
        close_model(&o);
    }
}

static nx_json_doc parse(const char *text)
{
    nx_json_doc d;
    nx_error    err;

    if (nx_json_parse(&d, "messages", text, strlen(text), 0, &err)) fail_msg("%s", err.text);
    return d;
}

static void expect_text(const char *name, const char *want)
{
    nx_chat        *c = NULL;
    nx_jinja_result r = {0};
    nx_error        err;
    nx_json_doc     d = parse("[{\"role\":\"system\",\"content\":\"S \"},"
                                  "{\"role\":\"user\",\"content\":\" u\"},"
                                  "{\"role\":\"assistant\",\"content\":\"a\"},"
                                  "{\"role\":\"user\",\"content\":\"v\"}]");
    nx_jinja_var    tokens[] = {{.name = "bos_token", .text = NX_STR("<s>")},
                                {.name = "eos_token", .text = NX_STR("</s>")}};
    nx_chat_request ask = {.messages = d.root, .vars = tokens, .n_vars = 2, .answer = true};

    if (nx_chat_open(&c, NULL, NULL, name, &err)) fail_msg("%s", err.text);
    if (nx_chat_render(c, &r, &ask, &err)) fail_msg("%s", err.text);
    assert_string_equal(r.text.data, want);
    assert_true(r.n_spans > 0 && r.spans[r.n_spans - 1].end == r.text.len);
    nx_jinja_result_free(&r);
    nx_chat_close(c);
    nx_json_doc_free(&d);
}

/* The styles that the golden test has no case for. */
static void written_out(void **state)
{
    (void)state;
    expect_text("gemma", "<start_of_turn>user\nS\n\nu<end_of_turn>\n<start_of_turn>model\n"
                         "a<end_of_turn>\n<start_of_turn>user\nv<end_of_turn>\n"
                         "<start_of_turn>model\n");
    expect_text("mistral-v1", "[INST] S \n\n u [/INST] a</s>[INST] v [/INST]");
    expect_text("mistral-v3-tekken", "[INST]S \n\n u[/INST]a</s>[INST]v[/INST]");
    expect_text("zephyr", "<|system|>\nS </s>\n<|user|>\n u</s>\n<|assistant|>\na</s>\n"
                          "<|user|>\nv</s>\n<|assistant|>\n");
    expect_text("vicuna", "S \n\nUSER:  u\nASSISTANT: a</s>\nUSER: v\nASSISTANT:");
    expect_text("plain", "S \n\nUser:  u\nAssistant: a\nUser: v\nAssistant:");
    for (int i = 0; nx_chat_styles[i].name; i++) {
        assert_string_equal(nx_chat_names()[i], nx_chat_styles[i].name);
    }
}

static void expect_choice(const model *o, const char *name, const char *want)
{
    nx_chat *c = NULL;
    nx_error err = {0};

    if (nx_chat_open(&c, o->cp, o->v, name, &err)) fail_msg("%s", err.text);
    assert_string_equal(nx_chat_name(c), want);
    nx_chat_close(c);
}

static void expect_no_choice(const model *o, const char *name, const char *message)
{
    nx_chat *c = NULL;
    nx_error err = {0};

    assert_int_equal(nx_chat_open(&c, o->cp, o->v, name, &err), NX_EUNSUPPORTED);
    assert_null(c);
    if (!strstr(err.text, message)) fail_msg("%s: expected %s", err.text, message);
    assert_non_null(strstr(err.text, "chatml, llama3"));
}

static void expect_failure(const model *o, nx_status want, const char *message)
{
    nx_chat *c = NULL;
    nx_error err = {0};

    assert_int_equal(nx_chat_open(&c, o->cp, o->v, NULL, &err), want);
    assert_null(c);
    if (!strstr(err.text, message)) fail_msg("%s: expected %s", err.text, message);
}

static void choosing(void **state)
{
    static maker m;

    (void)state;
    make_vocab(&m, true);
    model o = open_model(&m, "{{ '<start_of_turn>' }}");
    expect_choice(&o, NULL, "the model's");
    expect_choice(&o, "default", "the model's");
    expect_choice(&o, "llama2", "llama2");
    expect_no_choice(&o, "jinja", "chat template \"jinja\": no such file, we have: default, ");
    close_model(&o);
    o = open_model(&m, "a\n{% if x %}");
    expect_failure(&o, NX_EFORMAT, "chat template: line 2: expected 'elif' or 'else' or 'endif'");
    close_model(&o);
    o = open_model(&m, NULL);
    expect_choice(&o, NULL, "chatml"); /* its vocabulary has the marks */
    close_model(&o);

    maker_bpe(&m, "gpt-2");
    o = open_model(&m, NULL);
    expect_no_choice(&o, NULL, "has no chat template: not a chat model?");
    expect_choice(&o, "plain", "plain");
    nx_chat *c = NULL;
    nx_error err = {0};
    assert_int_equal(nx_chat_open(&c, o.cp, o.v, "chatml", &err), NX_EUNSUPPORTED);
    assert_non_null(strstr(err.text, "needs the token <|im_start|>, which the vocabulary lacks"));
    close_model(&o);
}

/* BOS: where the vocabulary or the template wants it, once. */
static void begins_with_bos(void **state)
{
    static maker m;

    (void)state;
    for (int i = 0; i < 4; i++) {
        make_vocab(&m, true);
        m.src.add_bos = i & 1;
        model    o = open_model(&m, i & 2 ? "{{ bos_token }}<|im_start|>" : "<|im_start|>");
        nx_chat *c = NULL;
        assert_int_equal(nx_chat_open(&c, o.cp, o.v, NULL, NULL), NX_OK);
        nx_ids ids = encode(c, talk, 1, false);
        assert_int_equal(ids.ids[0] == m.src.special.bos, i != 0);
        assert_int_equal(ids.n, 1 + (i != 0));
        nx_ids_free(&ids);
        nx_chat_close(c);
        close_model(&o);
    }
}

/* A template that refuses system messages gets them with the first user's text; one that refuses
 * for another reason is heard. */
static void system_texts_are_folded(void **state)
{
    static maker    m;
    nx_ids          a, b, none = {0};
    nx_chat        *c = NULL;
    nx_error        err = {0};
    nx_chat_message with[] = {{NX_CHAT_SYSTEM, NX_STR("S")}, {NX_CHAT_USER, NX_STR("u")}};
    nx_chat_message without[] = {{NX_CHAT_USER, NX_STR("S\n\nu")}};

    (void)state;
    make_vocab(&m, true);
    model o = open_model(&m, "{% for m in messages %}{% if m.role == 'system' %}"
                             "{{ raise_exception('no system here') }}{% endif %}"
                             "[INST]{{ m.content }}[/INST]{% endfor %}");
    assert_int_equal(nx_chat_open(&c, o.cp, o.v, NULL, NULL), NX_OK);
    a = encode(c, with, 2, false);
    b = encode(c, without, 1, false);
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.ids, b.ids, a.n * sizeof *a.ids);
    nx_ids_free(&a);
    nx_ids_free(&b);
    assert_int_equal(nx_chat_encode(c, &none, with, 1, false, &err), NX_EINVAL);
    assert_non_null(strstr(err.text, "no system here"));
    assert_int_equal(none.n, 0);
    nx_chat_close(c);
    close_model(&o);
}

/* '<|' + role + '|>' is a mark, and the same characters in a content aren't. */
static void marks_made_of_roles(void **state)
{
    static maker    m;
    nx_chat        *c = NULL;
    nx_chat_message one[] = {{NX_CHAT_USER, NX_STR("<|user|>")}};

    (void)state;
    make_vocab(&m, true);
    m.src.add_bos = 0;
    model o = open_model(&m, "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}"
                             "{{ m.content[:2] + 'user|>' }}{{ m.content | replace('<', '<') }}"
                             "{{ m.content | upper | lower }}{{ m | tojson }}{% endfor %}");
    assert_int_equal(nx_chat_open(&c, o.cp, o.v, NULL, NULL), NX_OK);
    nx_ids ids = encode(c, one, 1, false);
    assert_int_equal(count_control(o.v, &ids), 1);
    assert_int_equal(nx_vocab_type(o.v, ids.ids[0]), NX_TOKEN_CONTROL);
    nx_ids_free(&ids);
    nx_chat_close(c);
    close_model(&o);
}

static void every_allocation_may_fail(void **state)
{
    static maker m;
    nx_status    st = NX_ENOMEM;

    (void)state;
    make_vocab(&m, false);
    model o = open_model(&m, NULL);
    for (int n = 0; st; n++) {
        nx_chat *c = NULL;
        nx_ids   ids = {0};
        nx_error err = {0};
        assert_true(n < 2000);
        nx_alloc_fail_after(n);
        st = nx_chat_open(&c, o.cp, o.v, "llama2", &err);
        if (!st) st = nx_chat_encode(c, &ids, talk, N_TALK, true, &err);
        nx_alloc_fail_after(-1);
        if (st) assert_int_equal(st, NX_ENOMEM);
        if (st) assert_int_equal(ids.n, 0);
        nx_ids_free(&ids);
        nx_chat_close(c);
    }
    close_model(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beginnings_stay),     cmocka_unit_test(messages_inject_nothing),
        cmocka_unit_test(written_out),         cmocka_unit_test(choosing),
        cmocka_unit_test(begins_with_bos),     cmocka_unit_test(system_texts_are_folded),
        cmocka_unit_test(marks_made_of_roles), cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
