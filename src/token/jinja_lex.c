/* jinja_lex.c - template text as tokens. */
#include "token/jinja_lex.h"

#include <string.h>

#include "base/utf8.h"
#include "token/jinja_chars.h"

typedef struct lexer {
    jj         *j;
    const char *p; /* [len], line ends are \n */
    size_t      len, at;
    uint32_t    line;
    jj_tok     *tok;
    size_t      n, cap;
    char       *open; /* [n_open] brackets that wait for their closing */
    size_t      n_open, cap_open;
    bool        line_starting;
} lexer;

static nx_status wrong(lexer *x, const char *what)
{
    x->j->line = x->line;
    return jj_fail(x->j, NX_EFORMAT, "%s", what);
}

static nx_status add(lexer *x, jj_tok t)
{
    if (x->n == x->cap) {
        size_t  cap = x->cap ? 2 * x->cap : 64;
        jj_tok *grown = jj_alloc(x->j, cap, sizeof *grown);
        if (!grown) return x->j->err->status;
        if (x->n) memcpy(grown, x->tok, x->n * sizeof *grown);
        x->tok = grown;
        x->cap = cap;
    }
    if (!t.line) t.line = x->line;
    x->tok[x->n++] = t;
    return NX_OK;
}

static bool looking_at(const lexer *x, size_t at, const char *word)
{
    size_t n = strlen(word);

    return x->len - at >= n && memcmp(x->p + at, word, n) == 0;
}

/* Bytes of the white space character at p, or 0. */
static size_t space_at(const char *p, size_t len)
{
    size_t n;

    if (len == 0) return 0;
    uint32_t cp = nx_utf8_decode(p, len, &n);
    return cp != NX_UTF8_BAD && jj_char_flags(cp) & JJ_SPACE ? n : 0;
}

static size_t skip_space(const lexer *x, size_t at)
{
    size_t n;

    while ((n = space_at(x->p + at, x->len - at))) at += n;
    return at;
}

/* Where the white space begins that ends at `to`. */
static size_t strip_back(const lexer *x, size_t from, size_t to)
{
    while (to > from) {
        size_t at = to - 1;
        while (at > from && ((unsigned char)x->p[at] & 0xC0) == 0x80) at--;
        if (!space_at(x->p + at, to - at)) break;
        to = at;
    }
    return to;
}

static void pass(lexer *x, size_t to)
{
    for (; x->at < to; x->at++) x->line += x->p[x->at] == '\n';
}

/* ---- Text between tags ---- */

/* Data up to a tag at `to` whose sign is -, + or 0; lstrip: the tag is no variable. */
static nx_status data(lexer *x, size_t to, char sign, bool lstrip)
{
    size_t from = x->at, end = to;

    if (sign == '-') {
        end = strip_back(x, from, to);
    } else if (sign != '+' && lstrip) {
        size_t line = to;
        while (line > from && x->p[line - 1] != '\n') line--;
        if ((line > from || x->line_starting) && strip_back(x, line, to) == line) end = line;
    }
    if (end > from) TRY(add(x, (jj_tok){.type = JJ_TOK_DATA, .text = {x->p + from, end - from}}));
    pass(x, to);
    return NX_OK;
}

static char sign_at(const lexer *x, size_t at)
{
    return at < x->len && (x->p[at] == '-' || x->p[at] == '+') ? x->p[at] : 0;
}

/* The end of a tag at `at`: %} with its sign, and what it swallows. 0: there is none. */
static size_t tag_end(const lexer *x, size_t at, const char *close, bool trims)
{
    char sign = sign_at(x, at);

    if (sign == '+' && !trims) return 0; /* }} knows no + */
    if (!looking_at(x, at + (sign != 0), close)) return 0;
    at += (sign != 0) + strlen(close);
    if (sign == '-') return skip_space(x, at);
    return at + (trims && !sign && at < x->len && x->p[at] == '\n');
}

/* After "{%", its sign and a word of the lexer's own ("raw"): where the word ends, or 0. */
static size_t word_after(const lexer *x, size_t at, const char *word)
{
    at = skip_space(x, at + (sign_at(x, at) != 0));
    return looking_at(x, at, word) ? skip_space(x, at + strlen(word)) : 0;
}

static void ends_at(lexer *x, size_t to)
{
    pass(x, to);
    x->line_starting = to > 0 && x->p[to - 1] == '\n';
}

static nx_status raw_block(lexer *x, size_t body)
{
    ends_at(x, body);
    for (size_t at = body; at + 1 < x->len; at++) {
        if (x->p[at] != '{' || x->p[at + 1] != '%') continue;
        size_t word = word_after(x, at + 2, "endraw");
        size_t end = word ? tag_end(x, word, "%}", true) : 0;
        if (!end) continue;
        TRY(data(x, at, sign_at(x, at + 2), true));
        ends_at(x, end);
        return NX_OK;
    }
    return wrong(x, "Missing end of raw directive");
}

static nx_status comment(lexer *x)
{
    for (size_t at = x->at + 2 + (sign_at(x, x->at + 2) != 0); at + 1 < x->len; at++) {
        if (x->p[at] != '#' && x->p[at] != '-' && x->p[at] != '+') continue;
        size_t end = tag_end(x, at, "#}", true);
        if (!end) continue;
        ends_at(x, end);
        return NX_OK;
    }
    return wrong(x, "Missing end of comment tag");
}

/* ---- Inside tags ---- */

static size_t name_end(const lexer *x, size_t at)
{
    size_t n, start = at;

    while (at < x->len) {
        uint32_t cp = nx_utf8_decode(x->p + at, x->len - at, &n);
        if (cp < 0x80 ? !(cp == '_' || (cp >= '0' && cp <= '9') || (cp | 32) - 'a' < 26)
                      : !(jj_char_flags(cp) & (JJ_ID_START | JJ_ID_CONTINUE)))
            break;
        if (at == start && cp >= '0' && cp <= '9') break;
        at += n;
    }
    return at;
}

static bool digit(int c, int base)
{
    int v = c >= '0' && c <= '9'                 ? c - '0'
            : (c | 32) >= 'a' && (c | 32) <= 'z' ? (c | 32) - 'a' + 10
                                                 : 99;

    return v < base;
}

/* Digits with single underscores between them, from `at`; first: an underscore may lead. */
static size_t digits_end(const lexer *x, size_t at, int base, bool lead)
{
    size_t start = at;

    while (at < x->len) {
        size_t next = at + (x->p[at] == '_' && (at > start || lead));
        if (next >= x->len || !digit(x->p[next], base)) break;
        at = next + 1;
    }
    return at;
}

static size_t float_end(const lexer *x, size_t at)
{
    size_t whole = digits_end(x, at, 10, false), end = whole, exp;

    if (at > 0 && x->p[at - 1] == '.') return at;
    if (end < x->len && x->p[end] == '.') {
        end = digits_end(x, end + 1, 10, false);
        if (end == whole + 1) end = whole;
    }
    if (end < x->len && (x->p[end] | 32) == 'e') {
        exp = end + 1;
        if (exp < x->len && (x->p[exp] == '+' || x->p[exp] == '-')) exp++;
        size_t done = digits_end(x, exp, 10, false);
        if (done > exp) return done;
    }
    return end > whole ? end : at;
}

static size_t integer_end(const lexer *x, size_t at)
{
    int    base = 10;
    size_t end;

    if (x->p[at] == '0' && at + 1 < x->len) {
        char c = (char)(x->p[at + 1] | 32);
        base = c == 'b' ? 2 : c == 'o' ? 8 : c == 'x' ? 16 : 10;
        if (base != 10 && (end = digits_end(x, at + 2, base, true)) > at + 2) return end;
    }
    if (x->p[at] != '0') return digits_end(x, at, 10, false);
    end = at + 1; /* zeros alone */
    while (end < x->len) {
        size_t next = end + (x->p[end] == '_');
        if (next >= x->len || x->p[next] != '0') break;
        end = next + 1;
    }
    return end;
}

static nx_status number(lexer *x)
{
    size_t end = float_end(x, x->at);
    jj_tok t = {.type = JJ_TOK_FLOAT};
    bool   too_large = false;

    if (end > x->at) {
        double d = 0;
        jj_parse_float((nx_str){x->p + x->at, end - x->at}, &d);
        t.number = jj_float(d);
    } else {
        int64_t i = 0;
        end = integer_end(x, x->at);
        t.type = JJ_TOK_INTEGER;
        jj_parse_int((nx_str){x->p + x->at, end - x->at}, 0, &i, &too_large);
        if (too_large) return wrong(x, "an integer of more than 64 bits");
        t.number = jj_int(i);
    }
    t.text = (nx_str){x->p + x->at, end - x->at};
    TRY(add(x, t));
    pass(x, end);
    return NX_OK;
}

/* ---- Strings ---- */

static int hex_value(char c)
{
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
}

static nx_status hex_escape(lexer *x, jj_out *o, const char *p, size_t len, size_t n, size_t *used)
{
    uint32_t cp = 0;

    for (size_t i = 0; i < n; i++) {
        if (i >= len || hex_value(p[i]) < 0) return wrong(x, "truncated \\x, \\u or \\U escape");
        cp = cp << 4 | (uint32_t)hex_value(p[i]);
    }
    if (cp >= 0x110000) return wrong(x, "illegal Unicode character");
    if (cp >= 0xD800 && cp < 0xE000) return wrong(x, "an escape that is half of a surrogate pair");
    jj_put_cp(o, cp, false);
    *used = n;
    return NX_OK;
}

/* A backslash before a character beyond ASCII: the original turns that character into an escape of
 * its own first, whose backslash then escapes nothing. */
static void odd_escape(jj_out *o, uint32_t cp)
{
    static const char hex[] = "0123456789abcdef";
    int               n = cp < 0x100 ? 2 : cp < 0x10000 ? 4 : 8;

    jj_put_text(o, n == 2 ? "\\x" : n == 4 ? "\\u" : "\\U");
    while (n--) jj_put(o, &hex[cp >> 4 * n & 15], 1, false);
}

/* One escape; p stands after its backslash. */
static nx_status escape(lexer *x, jj_out *o, const char *p, size_t len, size_t *used)
{
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    const char       *hit = len && p[0] ? strchr(from, p[0]) : NULL;
    uint32_t          cp = 0;
    size_t            n;

    *used = 1;
    if (len == 0) return wrong(x, "\\ at end of string");
    if (p[0] == '\n') return NX_OK;
    if (hit) {
        jj_put(o, &to[hit - from], 1, false);
    } else if (p[0] >= '0' && p[0] <= '7') {
        for (*used = 0; *used < 3 && *used < len && p[*used] >= '0' && p[*used] <= '7'; ++*used) {
            cp = cp * 8 + (uint32_t)(p[*used] - '0');
        }
        jj_put_cp(o, cp, false);
    } else if (p[0] == 'x' || p[0] == 'u' || p[0] == 'U') {
        TRY(hex_escape(x, o, p + 1, len - 1, p[0] == 'x' ? 2 : p[0] == 'u' ? 4 : 8, used));
        ++*used;
    } else if (p[0] == 'N') {
        return wrong(x, "\\N{...} isn't supported: write the character itself");
    } else if ((unsigned char)p[0] < 0x80) {
        jj_put_text(o, "\\");
        jj_put(o, p, 1, false);
    } else {
        odd_escape(o, nx_utf8_decode(p, len, &n));
        *used = n;
    }
    return NX_OK;
}

static nx_status string(lexer *x)
{
    const char quote = x->p[x->at];
    size_t     at = x->at + 1, used;
    jj_out     o = {.j = x->j};
    jj_val     v;
    jj_tok     t = {.type = JJ_TOK_STRING, .line = x->line};

    while (at < x->len && x->p[at] != quote) at += 1 + (x->p[at] == '\\');
    if (at >= x->len) {
        return wrong(x, quote == '"' ? "unexpected char '\"'" : "unexpected char \"'\"");
    }
    const size_t end = at;
    for (at = x->at + 1; at < end;) {
        size_t run = 0;
        while (at + run < end && x->p[at + run] != '\\') run++;
        jj_put(&o, x->p + at, run, false);
        at += run;
        if (at == end) break;
        TRY(escape(x, &o, x->p + at + 1, end - at - 1, &used));
        at += 1 + used;
    }
    TRY(jj_out_str(&o, &v));
    t.text = jj_bytes(v.s);
    TRY(add(x, t));
    pass(x, end + 1);
    return NX_OK;
}

/* ---- Operators ---- */

static nx_status bracket(lexer *x, char c)
{
    static const char opens[] = "([{", closes[] = ")]}";
    const char       *hit = strchr(opens, c);
    char              text[64];

    if (hit) {
        if (x->n_open == x->cap_open) {
            size_t cap = x->cap_open ? 2 * x->cap_open : 64;
            char  *grown = jj_alloc(x->j, cap, 1);
            if (!grown) return x->j->err->status;
            if (x->n_open) memcpy(grown, x->open, x->n_open);
            x->open = grown;
            x->cap_open = cap;
        }
        x->open[x->n_open++] = closes[hit - opens];
        return NX_OK;
    }
    if (!strchr(closes, c)) return NX_OK;
    if (x->n_open && x->open[x->n_open - 1] == c) {
        x->n_open--;
        return NX_OK;
    }
    memcpy(text, "unexpected '?', expected '?'", 29);
    text[12] = c;
    if (x->n_open)
        text[26] = x->open[x->n_open - 1];
    else
        text[14] = '\0';
    return wrong(x, text);
}

static nx_status operator_(lexer *x)
{
    static const char pairs[][3] = {"//", "**", "==", "!=", ">=", "<="};
    char              text[24] = "unexpected char ''";
    size_t            n;

    for (int i = 0; i < 6; i++) {
        if (!looking_at(x, x->at, pairs[i])) continue;
        TRY(add(x, (jj_tok){.type = JJ_TOK_OPERATOR, .op = JJ_OP_FLOORDIV + i}));
        x->at += 2;
        return NX_OK;
    }
    const char c = x->p[x->at];
    if (c && strchr("+-/*%~[](){}><=.:|,;", c)) {
        TRY(bracket(x, c));
        TRY(add(x, (jj_tok){.type = JJ_TOK_OPERATOR, .op = c}));
        x->at++;
        return NX_OK;
    }
    nx_utf8_decode(x->p + x->at, x->len - x->at, &n);
    memcpy(text + 17, x->p + x->at, n);
    memcpy(text + 17 + n, "'", 2);
    return wrong(x, text);
}

/* What stands between {{ and }}, or {% and %}. */
static nx_status tag(lexer *x, bool block)
{
    const char *close = block ? "%}" : "}}";
    size_t      end;

    while (x->at < x->len) {
        if (x->n_open == 0 && (end = tag_end(x, x->at, close, block))) {
            TRY(add(x, (jj_tok){.type = block ? JJ_TOK_BLOCK_END : JJ_TOK_VAR_END}));
            ends_at(x, end);
            return NX_OK;
        }
        size_t space = skip_space(x, x->at);
        if (space > x->at) {
            pass(x, space);
            continue;
        }
        const char c = x->p[x->at];
        if (c >= '0' && c <= '9') {
            TRY(number(x));
        } else if (c == '"' || c == '\'') {
            TRY(string(x));
        } else if ((end = name_end(x, x->at)) > x->at) {
            size_t   n;
            uint32_t first = nx_utf8_decode(x->p + x->at, x->len - x->at, &n);
            if (first >= 0x80 && !(jj_char_flags(first) & JJ_ID_START)) {
                return wrong(x, "Invalid character in identifier");
            }
            TRY(add(x, (jj_tok){.type = JJ_TOK_NAME, .text = {x->p + x->at, end - x->at}}));
            x->at = end;
        } else {
            TRY(operator_(x));
        }
    }
    return NX_OK; /* the parser says what is missing */
}

/* ---- The whole ---- */

static size_t next_tag(const lexer *x)
{
    for (size_t at = x->at; at + 1 < x->len; at++) {
        const char *hit = memchr(x->p + at, '{', x->len - 1 - at);
        if (!hit) break;
        at = (size_t)(hit - x->p);
        if (hit[1] == '{' || hit[1] == '%' || hit[1] == '#') return at;
    }
    return x->len;
}

/* Line ends as \n, without the last one. */
static nx_status normalise(lexer *x, nx_str text)
{
    char  *p = jj_alloc(x->j, text.len + 1, 1);
    size_t n = 0;

    if (!p) return x->j->err->status;
    for (size_t i = 0; i < text.len; i++) {
        bool cr = text.p[i] == '\r';
        p[n++] = cr ? '\n' : text.p[i];
        if (cr && i + 1 < text.len && text.p[i + 1] == '\n') i++;
    }
    x->p = p;
    x->len = n - (n && p[n - 1] == '\n');
    return NX_OK;
}

static nx_status one_tag(lexer *x, size_t at)
{
    const char kind = x->p[at + 1], sign = sign_at(x, at + 2);
    size_t     word, end;

    TRY(data(x, at, sign, kind != '{'));
    if (kind == '#') return comment(x);
    if (kind == '%' && (word = word_after(x, at + 2, "raw"))) {
        size_t plain = looking_at(x, word, "%}") ? word + 2 : 0;
        end = plain ? plain : sign_at(x, word) == '-' ? tag_end(x, word, "%}", true) : 0;
        if (end) return raw_block(x, end);
    }
    TRY(add(x, (jj_tok){.type = kind == '{' ? JJ_TOK_VAR_BEGIN : JJ_TOK_BLOCK_BEGIN}));
    x->at += 2 + (sign != 0);
    return tag(x, kind == '%');
}

nx_status jj_lex(jj *j, jj_tok **out, size_t *n, nx_str text)
{
    lexer  x = {.j = j, .line = 1, .line_starting = true};
    size_t bad;

    if (!nx_utf8_valid(text.p, text.len, &bad)) {
        return jj_fail(j, NX_EFORMAT, "byte %zu isn't UTF-8", bad);
    }
    TRY(normalise(&x, text));
    while (x.at < x.len) {
        size_t at = next_tag(&x);
        if (at == x.len) {
            TRY(add(&x, (jj_tok){.type = JJ_TOK_DATA, .text = {x.p + x.at, x.len - x.at}}));
            pass(&x, x.len);
        } else {
            TRY(one_tag(&x, at));
        }
    }
    TRY(add(&x, (jj_tok){.type = JJ_TOK_EOF}));
    *out = x.tok;
    *n = x.n;
    return NX_OK;
}
