/* Protects: a log line is one whole line: no mixing, no stray control characters, valid JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <unistd.h>

#include "base/log.h"
#include "base/utf8.h"

static int  pipe_fd[2];
static char got[1 << 16];

static int64_t fixed_clock(void)
{
    return 1234567890123; /* 2009-02-13T23:31:30.123Z */
}

static void setup_log(nx_log_options opt)
{
    assert_int_equal(pipe(pipe_fd), 0);
    opt.fd = pipe_fd[1];
    nx_log_setup(&opt);
}

/* All that was logged since setup_log. */
static const char *logged(void)
{
    size_t  len = 0;
    ssize_t n;

    close(pipe_fd[1]);
    while ((n = read(pipe_fd[0], got + len, sizeof got - 1 - len)) > 0) len += (size_t)n;
    close(pipe_fd[0]);
    got[len] = '\0';
    return got;
}

static void text_lines(void **state)
{
    (void)state;
    setup_log((nx_log_options){.level = NX_LOG_INFO});
    nx_log_info("loaded %d", 3);
    nx_log_warn("slow");
    nx_log_error("gone");
    nx_log_debug("unseen");
    assert_string_equal(logged(), "loaded 3\nnexus: warn: slow\nnexus: error: gone\n");
}

static void levels(void **state)
{
    (void)state;
    setup_log((nx_log_options){.level = NX_LOG_ERROR});
    nx_log_warn("no");
    nx_log_error("yes");
    assert_string_equal(logged(), "nexus: error: yes\n");
    setup_log((nx_log_options){.level = NX_LOG_DEBUG});
    nx_log_debug("yes");
    assert_string_equal(logged(), "nexus: debug: yes\n");
}

static void colour(void **state)
{
    (void)state;
    setup_log((nx_log_options){.level = NX_LOG_INFO, .colour = true});
    nx_log_error("red");
    assert_string_equal(logged(), "\033[31mnexus: error:\033[0m red\n");
}

static void a_strangers_name_stays_text(void **state)
{
    (void)state;
    setup_log((nx_log_options){.level = NX_LOG_INFO});
    nx_log_error("key \"\033]0;title\007\x7F\"");
    assert_string_equal(logged(), "nexus: error: key \"?]0;title??\"\n");
}

static void json_lines(void **state)
{
    (void)state;
    setup_log((nx_log_options){.level = NX_LOG_INFO, .json = true});
    nx_log_warn("say \"%s\"\n\033", "a\xFF");
    assert_string_equal(logged(), "{\"level\":\"warn\",\"message\":"
                                  "\"say \\\"a\xEF\xBF\xBD\\\"\\n\\u001b\"}\n");
    setup_log((nx_log_options){.level = NX_LOG_INFO, .json = true, .clock_ms = fixed_clock});
    nx_log_info("x");
    assert_string_equal(logged(), "{\"time\":\"2009-02-13T23:31:30.123Z\",\"level\":\"info\","
                                  "\"message\":\"x\"}\n");
}

/* Longer than a line may be, with a character on the cut: whole characters, one newline. In JSON
 * the worst byte takes six. */
static void long_lines(void **state)
{
    static char text[8192];

    (void)state;
    for (int shift = 0; shift < 3; shift++) {
        memset(text, 'a', sizeof text - 1);
        for (size_t i = (size_t)shift; i + 3 < sizeof text; i += 3)
            memcpy(text + i, "\xE2\x96\x81", 3);
        setup_log((nx_log_options){.level = NX_LOG_INFO});
        nx_log_info("%s", text);
        const char *line = logged();
        size_t      len = strlen(line);
        assert_true(len > 2000);
        assert_true(nx_utf8_valid(line, len, NULL));
        assert_ptr_equal(strchr(line, '\n'), line + len - 1);
    }
    memset(text, 1, sizeof text - 1);
    setup_log((nx_log_options){.level = NX_LOG_INFO, .json = true});
    nx_log_info("%s", text);
    const char *line = logged();
    assert_string_equal(line + strlen(line) - 9, "\\u0001\"}\n");
}

static void *say_often(void *arg)
{
    for (int i = 0; i < 100; i++) nx_log_info("%s", (const char *)arg);
    return NULL;
}

static void threads_do_not_mix(void **state)
{
    static char text[2][61];
    pthread_t   threads[2];

    (void)state;
    setup_log((nx_log_options){.level = NX_LOG_INFO});
    for (int t = 0; t < 2; t++) {
        memset(text[t], 'a' + t, 60);
        assert_int_equal(pthread_create(&threads[t], NULL, say_often, text[t]), 0);
    }
    for (int t = 0; t < 2; t++) pthread_join(threads[t], NULL);
    const char *p = logged();
    assert_int_equal(strlen(p), 200 * 61);
    for (int i = 0; i < 200; i++, p += 61) {
        assert_memory_equal(p, text[p[0] - 'a'], 60);
        assert_int_equal(p[60], '\n');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_lines),
        cmocka_unit_test(levels),
        cmocka_unit_test(colour),
        cmocka_unit_test(a_strangers_name_stays_text),
        cmocka_unit_test(json_lines),
        cmocka_unit_test(long_lines),
        cmocka_unit_test(threads_do_not_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
