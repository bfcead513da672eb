/* Protects stop texts: nothing of them is ever shown, everything else is, and soon. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "engine/stops.h"

/* Feed text in pieces of `step` bytes; what is handed out is collected. */
static bool feed(const char *text, const nx_str *stop, size_t n_stop, size_t step, char *out)
{
    nx_stops s = {.stop = stop, .n_stop = n_stop, .held = {.max = 4096}};
    size_t   len = strlen(text), n_out = 0, n_ready;
    bool     found = false;

    for (size_t i = 0; i < len && !found; i += step) {
        size_t n = len - i < step ? len - i : step;
        assert_int_equal(nx_buf_add(&s.held, text + i, n, NULL), NX_OK);
        found = nx_stops_scan(&s, &n_ready);
        memcpy(out + n_out, s.held.data, n_ready);
        n_out += n_ready;
        nx_stops_drop(&s, n_ready);
    }
    if (!found) {
        memcpy(out + n_out, s.held.data, s.held.len);
        n_out += s.held.len;
    }
    out[n_out] = '\0';
    nx_buf_free(&s.held);
    return found;
}

static void test_stop_is_cut_off_at_every_piece_size(void **state)
{
    const nx_str stop[] = {NX_STR("\n\nUser:"), NX_STR("END"), NX_STR("")};
    char         out[256];

    (void)state;
    for (size_t step = 1; step < 40; step++) {
        assert_true(feed("Hello\n\nUse this.\n\nUser: and so on", stop, 3, step, out));
        assert_string_equal(out, "Hello\n\nUse this.");
        assert_true(feed("xEENDy END", stop, 3, step, out));
        assert_string_equal(out, "xE");
        assert_false(feed("EN\n\nUser", stop, 3, step, out));
        assert_string_equal(out, "EN\n\nUser");
    }
}

static void test_the_earliest_of_several_wins(void **state)
{
    const nx_str stop[] = {NX_STR("later"), NX_STR("early")};
    char         out[64];

    (void)state;
    assert_true(feed("an early and a later", stop, 2, 64, out));
    assert_string_equal(out, "an ");
    assert_true(feed("earlylater", stop, 2, 64, out));
    assert_string_equal(out, "");
}

static void test_without_stops_nothing_is_held(void **state)
{
    nx_stops s = {.held = {.max = 64}};
    size_t   n_ready = 9;

    (void)state;
    assert_false(nx_stops_scan(&s, &n_ready));
    assert_int_equal(n_ready, 0);
    assert_int_equal(nx_buf_add(&s.held, "abc", 3, NULL), NX_OK);
    assert_false(nx_stops_scan(&s, &n_ready));
    assert_int_equal(n_ready, 3);
    nx_buf_free(&s.held);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stop_is_cut_off_at_every_piece_size),
        cmocka_unit_test(test_the_earliest_of_several_wins),
        cmocka_unit_test(test_without_stops_nothing_is_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
