/* Protects: what a chat template may cost, what it says when it fails, and who wrote which byte.
 * What templates mean is judged by jinja2 itself (tests/parity/test_templates.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "token/jinja.h"

static const char talk[] =
    "[{\"role\":\"user\",\"content\":\"A<b>\\u00e4 z\",\"n\":[1,{\"k\":\"v\"}]},"
    "{\"role\":\"assistant\",\"content\":\"x,y\"}]";

static nx_status run(nx_jinja_result *r, const char *source, nx_error *err)
{
    nx_json_doc  d;
    nx_jinja    *t = NULL;
    nx_status    st;
    nx_jinja_var vars[] = {{.name = "messages", .user = true}, {.name = "bos_token"}};

    st = nx_json_parse(&d, "talk", talk, sizeof talk - 1, 0, err);
    if (st) return st;
    vars[0].json = d.root;
    vars[1].text = NX_STR("<s>");
    st = nx_jinja_compile(&t, "t.jinja", nx_str_of(source), NULL, err);
    if (!st) st = nx_jinja_render(t, r, vars, 2, NULL, err);
    nx_jinja_free(t);
    nx_json_doc_free(&d);
    return st;
}

/* The text with the user's stretches in brackets. */
static void expect(const char *source, const char *want)
{
    nx_jinja_result r = {0};
    nx_error        err;
    char            got[1024];
    size_t          n = 0, from = 0;

    if (run(&r, source, &err)) fail_msg("%s", err.text);
    for (size_t i = 0; i < r.n_spans; from = r.spans[i++].end) {
        n += (size_t)snprintf(got + n, sizeof got - n, r.spans[i].user ? "[%.*s]" : "%.*s",
                              (int)(r.spans[i].end - from), r.text.data + from);
    }
    got[n] = '\0';
    assert_string_equal(got, want);
    nx_jinja_result_free(&r);
}

static void refuse(const char *source, nx_status want, const char *message)
{
    nx_jinja_result r = {0};
    nx_error        err;

    assert_int_equal(run(&r, source, &err), want);
    if (strcmp(err.text, message) != 0) fail_msg("%s\nexpected %s", err.text, message);
    nx_jinja_result_free(&r);
}

#define C "messages[0].content"

static void who_wrote_what(void **state)
{
    (void)state;
    expect("{{ bos_token + " C " + '</s>' }}", "<s>[A<b>\xC3\xA4 z]</s>");
    expect("{{ messages[0].role }}{{ messages | length }}", "user2");
    expect("{{ ('- ' + " C " + ' -')[1:4] }}", " [A<]");
    expect("{{ ('- ' + " C " + ' -')[::-1] }}", "- [z \xC3\xA4>b<A] -");
    expect("{{ (' ' + " C " + ' ') | trim }}", "[A<b>\xC3\xA4 z]");
    expect("{{ " C ".split(' ') | join('|') }}", "[A<b>\xC3\xA4]|[z]");
    expect("{{ " C " | replace('b', '<B>') }}", "[A<]<B>[>\xC3\xA4 z]");
    expect("{{ (" C " ~ '!') | upper }}", "[A<B>\xC3\x84 Z]!");
    expect("{{ messages[1] | tojson }}", "{\"[role]\": \"assistant\", \"[content]\": \"[x,y]\"}");
    expect("{{ messages[0].n }}", "[1, {'[k]': '[v]'}]");
    expect("{% set x %}a{{ " C " }}{% endset %}{{ x | indent(1, true) }}", " a[A<b>\xC3\xA4 z]");
    expect("{{ '%s=%s' % ('a', messages[1].content) }}", "a=[x,y]");
    expect("{{ '{}<{:>4}>'.format('a', messages[1].content) }}", "a< [x,y]>");
    expect("{% filter title %}{{ messages[1].content }} b{% endfilter %}", "[X,y] B");
    expect("{{ messages[1].content | list }}", "['[x]', '[,]', '[y]']");
    expect("{{ messages | map(attribute='content') | list | last }}", "[x,y]");
}

static void says_line_and_reason(void **state)
{
    (void)state;
    refuse("a\n{% if x %}\nb", NX_EFORMAT,
           "t.jinja: line 3: expected 'elif' or 'else' or 'endif', got the end of the template, in "
           "the block of if");
    refuse("\n\n{{ x", NX_EFORMAT, "t.jinja: line 3: expected '}}', got the end of the template");
    refuse("{% nope %}", NX_EFORMAT, "t.jinja: line 1: unknown tag 'nope'");
    refuse("{{ 1 | nope }}", NX_EFORMAT, "t.jinja: line 1: no filter named nope");
    refuse("\n{# x", NX_EFORMAT, "t.jinja: line 2: Missing end of comment tag");
    refuse("{{ (1] }}", NX_EFORMAT, "t.jinja: line 1: unexpected ']', expected ')'");
    refuse("\xFF", NX_EFORMAT, "t.jinja: line 1: byte 0 isn't UTF-8");
    refuse("\n{{ x.y }}", NX_EINVAL, "t.jinja: line 2: 'x' is undefined");
    refuse("{{ messages[0].zz.y }}", NX_EINVAL,
           "t.jinja: line 1: 'dict object' has no attribute 'zz'");
    refuse("{{ 'a' + 1 }}", NX_EINVAL,
           "t.jinja: line 1: can only concatenate str (not \"int\") to str");
    refuse("\n{{ raise_exception('no ' + messages[0].role) }}", NX_EINVAL,
           "t.jinja: line 2: the template refuses: no user");
    refuse("{{ messages.append(1) }}", NX_EINVAL,
           "t.jinja: line 1: access to attribute 'append' of 'list' object is unsafe: nothing can "
           "be changed in place");
    refuse("{% include 'x' %}", NX_EUNSUPPORTED,
           "t.jinja: line 1: include isn't supported: a template stands alone");
}

static void raising_is_told(void **state)
{
    nx_jinja_result r = {0};
    nx_error        err;

    (void)state;
    assert_int_equal(run(&r, "{{ raise_exception('x') }}", &err), NX_EINVAL);
    assert_true(r.raised);
    assert_int_equal(run(&r, "{{ x.y }}", &err), NX_EINVAL);
    assert_false(r.raised);
    nx_jinja_result_free(&r);
}

/* Whatever it is, it ends, with little memory, in little time. */
static void costs_have_an_end(void **state)
{
    static const char *const greedy[] = {
        "{{ 'a' * 10 ** 9 }}",
        "{{ [1] * 10 ** 9 }}",
        "{{ range(10 ** 9) }}",
        "{{ 10 ** 10 ** 10 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ 'x'.center(10 ** 9) }}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{{ 'abcdefgh' * 100 }}{% endfor %}"
        "{% endfor %}",
        "{% set ns = namespace(x='a') %}{% for a in range(99) %}{% set ns.x = ns.x + ns.x %}"
        "{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for a in range(99) %}{% set ns.x = [ns.x, ns.x] %}"
        "{% endfor %}{{ ns.x }}",
        "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}",
        "{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(1) }}",
        "{% set x = 'ab' * 999999 %}{% for i in range(9999) %}{{ x.count('a' * 999 + 'b') }}"
        "{% endfor %}",
        "{% set x = 'a' * 9999999 %}{% for i in range(9999) %}{{ x.upper()[0] }}{% endfor %}",
        "{% set x = range(99999) | list %}{% for i in range(9999) %}{{ x | sort | length }}"
        "{% endfor %}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof greedy / sizeof *greedy; i++) {
        nx_jinja_result r = {0};
        nx_error        err = {0};
        clock_t         begin = clock();
        nx_status       st = run(&r, greedy[i], &err);
        double          seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
        if (st != NX_ELIMIT) fail_msg("%s: %s", greedy[i], st ? err.text : "rendered");
        if (seconds > 10) fail_msg("%s: %.1f s", greedy[i], seconds); /* sanitizers are slow */
        nx_jinja_result_free(&r);
    }
}

static void deep_templates_are_refused(void **state)
{
    static const char *const parts[][3] = {
        {"{{ ", "(", "1"},           {"{{ ", "[", "1"},      {"{{ ", "-", "1"},
        {"{{ ", "not ", "1"},        {"{{ 1", " + 1", ""},   {"{{ x", ".y", ""},
        {"{{ x", "|d", ""},          {"", "{% if x %}", ""}, {"", "{% for x in y %}", ""},
        {"{{ 1", " if 1 else 1", ""}};
    static char text[1 << 20];

    (void)state;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        nx_jinja *t = NULL;
        nx_error  err = {0};
        size_t    n = 0, step = strlen(parts[i][1]);
        n += (size_t)snprintf(text, sizeof text, "%s", parts[i][0]);
        while (n + step + 8 < sizeof text)
            n += (size_t)snprintf(text + n, sizeof text - n, "%s", parts[i][1]);
        n += (size_t)snprintf(text + n, sizeof text - n, "%s }}", parts[i][2]);
        nx_status st = nx_jinja_compile(&t, "deep", (nx_str){text, n}, NULL, &err);
        if (st != NX_ELIMIT && st != NX_EFORMAT) fail_msg("%s: %d %s", parts[i][1], st, err.text);
        assert_null(t);
    }
}

static void every_allocation_may_fail(void **state)
{
    static const char source[] =
        "{% macro m(a, b=2) %}{{ a }}{{ caller() if caller }}{{ varargs }}{% endmacro %}"
        "{% call m(1, 2, 3) %}x{% endcall %}{% set ns = namespace(x=[]) %}"
        "{% for m in messages if m.role %}{% set ns.x = ns.x + [m.content | upper] %}"
        "{{ loop.index }}{{ m | tojson(indent=2) }}{% endfor %}{{ ns.x | sort | join('-') }}"
        "{{ '%s %5.2f' % ('a', 1.5) }}{{ '{:>5}'.format(1) }}{{ {'a': 1, 'b': [1, 2]} }}";
    nx_status st = NX_ENOMEM;

    (void)state;
    for (int n = 0; st; n++) {
        nx_jinja_result r = {0};
        nx_error        err = {0};
        assert_true(n < 500);
        nx_alloc_fail_after(n);
        st = run(&r, source, &err);
        nx_alloc_fail_after(-1);
        if (st) assert_int_equal(st, NX_ENOMEM);
        nx_jinja_result_free(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_wrote_what),
        cmocka_unit_test(says_line_and_reason),
        cmocka_unit_test(raising_is_told),
        cmocka_unit_test(costs_have_an_end),
        cmocka_unit_test(deep_templates_are_refused),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
