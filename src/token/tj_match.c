/* tj_match.c - finds what a tokenizer.json's patterns match.
 *
 * A pattern from a file may be made to run forever: each search has a limit of steps, and all of
 * one text together one of time, after which the text is refused.
 */
#define PCRE2_CODE_UNIT_WIDTH 8

#include <pcre2.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "os/clock.h"
#include "token/tj.h"
#include "token/unicode.h"

#define STEPS_MIN     50000000u
#define SECONDS_MIN   5
#define BYTES_A_SEC   50000u /* slower than this is no tokenizer */
#define CALLS_A_CHECK 8u

static void *heap_take(size_t bytes, void *ctx)
{
    (void)ctx;
    return nx_alloc(bytes, 1);
}

static void heap_give(void *p, void *ctx)
{
    (void)ctx;
    nx_free(p);
}

static nx_status failed(nx_error *err, int code)
{
    char text[128] = "";

    if (code == PCRE2_ERROR_NOMEMORY || code == PCRE2_ERROR_HEAP_FAILED ||
        code == PCRE2_ERROR_HEAPLIMIT) {
        return nx_fail(err, NX_ENOMEM, "pattern");
    }
    if (code == PCRE2_ERROR_MATCHLIMIT || code == PCRE2_ERROR_DEPTHLIMIT) {
        return nx_fail(err, NX_ELIMIT, "the tokenizer's pattern takes too many steps on this text");
    }
    pcre2_get_error_message(code, (unsigned char *)text, sizeof text);
    return nx_fail(err, NX_EFORMAT, "pattern: PCRE2 says %s (%d)", text, code);
}

/* ---- Compiling -------------------------------------------------------------------------------- */

static nx_status compile(nx_tj_pattern *p, const nx_buf *text, nx_error *err)
{
    uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_NO_UTF_CHECK | PCRE2_NEVER_BACKSLASH_C |
                       PCRE2_MULTILINE | PCRE2_MATCH_UNSET_BACKREF;
    int                    code = 0;
    size_t                 at;
    pcre2_general_context *heap = pcre2_general_context_create(heap_take, heap_give, NULL);
    pcre2_compile_context *ctx = heap ? pcre2_compile_context_create(heap) : NULL;

    if (ctx) {
        pcre2_set_newline(ctx, PCRE2_NEWLINE_LF);
        pcre2_set_parens_nest_limit(ctx, 200);
        p->code = pcre2_compile((PCRE2_SPTR)(text->data ? text->data : ""), text->len, options,
                                &code, &at, ctx);
    }
    pcre2_compile_context_free(ctx);
    pcre2_general_context_free(heap);
    if (!ctx || (!p->code && code == PCRE2_ERROR_HEAP_FAILED)) {
        return nx_fail(err, NX_ENOMEM, "pattern");
    }
    if (!p->code) return failed(err, code);
    p->jit = pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE) == 0;
    return NX_OK;
}

nx_status nx_tj_pattern_compile(nx_tj_pattern *p, nx_str onig, nx_error *err)
{
    nx_buf    text = {.max = 1 << 24};
    nx_status st = nx_tj_translate(&text, onig, err);

    *p = (nx_tj_pattern){0};
    if (!st) st = compile(p, &text, err);
    if (!st) p->cut = nx_cut_find(onig);
    nx_buf_free(&text);
    return st;
}

/* \X, and the marks that came after PCRE2's Unicode, which it takes for unassigned: one of them,
 * with what follows it, belongs to the grapheme before it, but not to a control character. */
nx_status nx_tj_pattern_graphemes(nx_tj_pattern *p, nx_error *err)
{
    nx_buf    text = {.max = 1 << 16};
    nx_status st = nx_buf_addf(&text, err, "\\X(?:(?<![\\p{Cc}\\p{Zl}\\p{Zp}])(?=[%s])\\X)*",
                               nx_uc_pcre_extra("M", 1));

    *p = (nx_tj_pattern){0};
    if (!st) st = compile(p, &text, err);
    nx_buf_free(&text);
    return st;
}

nx_status nx_tj_pattern_read(nx_tj_pattern *p, nx_arena *arena, const nx_json *v, nx_error *err)
{
    nx_str text;

    *p = (nx_tj_pattern){0};
    if (nx_json_get_string(v, "String", &text)) return nx_tj_keep(arena, &p->literal, text, err);
    if (!nx_json_get_string(v, "Regex", &text)) {
        return nx_tj_bad(v, err, "pattern: expected {\"String\": ..} or {\"Regex\": ..}");
    }
    nx_error  inner = {0};
    nx_status st = nx_tj_pattern_compile(p, text, &inner);
    if (st == NX_EFORMAT || st == NX_EUNSUPPORTED || st == NX_ELIMIT) {
        nx_tj_bad(nx_json_get(v, "Regex"), err, "%s", inner.text);
        if (err) err->status = st;
    } else if (st && err) {
        *err = inner;
    }
    return st;
}

void nx_tj_pattern_free(nx_tj_pattern *p)
{
    pcre2_code_free(p->code);
    *p = (nx_tj_pattern){0};
}

/* ---- Matching --------------------------------------------------------------------------------- */

static nx_status make(nx_tj_matcher *m, nx_error *err)
{
    pcre2_general_context *heap = pcre2_general_context_create(heap_take, heap_give, NULL);

    if (heap && !m->limits) m->limits = pcre2_match_context_create(heap);
    if (heap && !m->data) m->data = pcre2_match_data_create(1, heap);
    pcre2_general_context_free(heap);
    if (!m->limits || !m->data) return nx_fail(err, NX_ENOMEM, "pattern state");
    return NX_OK;
}

void nx_tj_matcher_free(nx_tj_matcher *m)
{
    pcre2_match_data_free(m->data);
    pcre2_match_context_free(m->limits);
    *m = (nx_tj_matcher){0};
}

static nx_status check_time(nx_tj_matcher *m, size_t len, nx_error *err)
{
    if (m->calls++ % CALLS_A_CHECK) return NX_OK;
    int64_t now = nx_clock_ns();
    if (m->deadline_ns == 0) {
        m->deadline_ns = now + (int64_t)(SECONDS_MIN + len / BYTES_A_SEC) * 1000000000;
    }
    if (now <= m->deadline_ns) return NX_OK;
    return nx_fail(err, NX_ELIMIT, "the tokenizer's pattern takes too long on this text");
}

/* One search from `from`: 1 and its bounds, 0 for none, or PCRE2's error. */
static int find(const nx_tj_pattern *p, nx_tj_matcher *m, const char *text, size_t len, size_t from,
                size_t bounds[2])
{
    PCRE2_SPTR subject = (PCRE2_SPTR)text;
    uint64_t   steps = STEPS_MIN + 32 * (uint64_t)(len - from);
    int        rc = PCRE2_ERROR_JIT_STACKLIMIT;

    pcre2_set_match_limit(m->limits, steps < UINT32_MAX ? (uint32_t)steps : UINT32_MAX);
    if (p->jit) rc = pcre2_jit_match(p->code, subject, len, from, 0, m->data, m->limits);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) {
        rc = pcre2_match(p->code, subject, len, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, m->data,
                         m->limits);
    }
    if (rc == PCRE2_ERROR_NOMATCH) return 0;
    if (rc < 0) return rc;
    const size_t *at = pcre2_get_ovector_pointer(m->data);
    bounds[0] = at[0];
    bounds[1] = at[1];
    return 1;
}

static bool find_literal(nx_str what, const char *text, size_t len, size_t from, size_t bounds[2])
{
    while (what.len && len - from >= what.len) {
        const char *at = memchr(text + from, what.p[0], len - from - what.len + 1);
        if (!at) return false;
        from = (size_t)(at - text);
        if (memcmp(at, what.p, what.len) == 0) {
            bounds[0] = from;
            bounds[1] = from + what.len;
            return true;
        }
        from++;
    }
    return false;
}

nx_status nx_tj_next(const nx_tj_pattern *p, nx_tj_matcher *m, nx_tj_search *s, const char *text,
                     size_t len, size_t bounds[2], bool *found, nx_error *err)
{
    nx_status st = p->code ? make(m, err) : NX_OK;

    *found = false;
    while (!st && !s->ended && s->from <= len) {
        int rc;
        if (p->code) {
            st = check_time(m, len, err);
            rc = st ? 0 : find(p, m, text, len, s->from, bounds);
        } else {
            rc = find_literal(p->literal, text, len, s->from, bounds);
        }
        if (rc < 0) return failed(err, rc);
        if (rc == 0) {
            s->ended = true;
            break;
        }
        if (bounds[0] < s->from || bounds[0] > bounds[1]) { /* \K in a lookaround */
            return nx_fail(err, NX_EFORMAT, "pattern: a match that ends before it begins");
        }
        if (bounds[0] == bounds[1] && s->matched && s->matched_to == bounds[1]) {
            size_t n = 1; /* an empty match behind a match: one character on */
            if (s->from < len) nx_utf8_decode(text + s->from, len - s->from, &n);
            s->from += n;
            continue;
        }
        *found = s->matched = true;
        s->from = s->matched_to = bounds[1];
        break;
    }
    return st;
}
