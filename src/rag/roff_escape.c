/* roff_escape.c - roff's escapes: characters by name, strings, and all that only moves things about. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "rag/roff.h"

/* ---- Characters ---- */

static const struct {
    char name[5], utf8[5];
} chars[] = {
    {"-", "-"},   {"hy", "-"},  {"en", "–"},  {"em", "—"},    {"aq", "'"},   {"dq", "\""},
    {"lq", "“"},  {"rq", "”"},  {"oq", "‘"},  {"cq", "’"},    {"bu", "•"},   {"co", "©"},
    {"rg", "®"},  {"tm", "™"},  {"ha", "^"},  {"ti", "~"},    {"rs", "\\"},  {"sl", "/"},
    {"at", "@"},  {"sh", "#"},  {"Do", "$"},  {"or", "|"},    {"ba", "|"},   {"br", "│"},
    {"ul", "_"},  {"ru", "_"},  {"lB", "["},  {"rB", "]"},    {"lC", "{"},   {"rC", "}"},
    {"la", "⟨"},  {"ra", "⟩"},  {"->", "→"},  {"<-", "←"},    {"<>", "↔"},   {"ua", "↑"},
    {"da", "↓"},  {"rA", "⇒"},  {"lA", "⇐"},  {"de", "°"},    {"mu", "×"},   {"di", "÷"},
    {"+-", "±"},  {"**", "*"},  {"pl", "+"},  {"mi", "−"},    {"eq", "="},   {"<=", "≤"},
    {">=", "≥"},  {"!=", "≠"},  {"==", "≡"},  {"~~", "≈"},    {"~=", "≅"},   {"if", "∞"},
    {"mo", "∈"},  {"es", "∅"},  {"sc", "§"},  {"ps", "¶"},    {"dg", "†"},   {"dd", "‡"},
    {"ct", "¢"},  {"Po", "£"},  {"Ye", "¥"},  {"Eu", "€"},    {"Fo", "«"},   {"Fc", "»"},
    {"fo", "‹"},  {"fc", "›"},  {"Bq", "„"},  {"bq", "‚"},    {"12", "½"},   {"14", "¼"},
    {"34", "¾"},  {"S1", "¹"},  {"S2", "²"},  {"S3", "³"},    {"ss", "ß"},   {"ae", "æ"},
    {"AE", "Æ"},  {"oe", "œ"},  {"OE", "Œ"},  {"/o", "ø"},    {"/O", "Ø"},   {"oa", "å"},
    {"oA", "Å"},  {":a", "ä"},  {":o", "ö"},  {":u", "ü"},    {":A", "Ä"},   {":O", "Ö"},
    {":U", "Ü"},  {":e", "ë"},  {":i", "ï"},  {":y", "ÿ"},    {"'a", "á"},   {"'e", "é"},
    {"'i", "í"},  {"'o", "ó"},  {"'u", "ú"},  {"'y", "ý"},    {"'A", "Á"},   {"'E", "É"},
    {"'I", "Í"},  {"'O", "Ó"},  {"'U", "Ú"},  {"'c", "ć"},    {"'C", "Ć"},   {"`a", "à"},
    {"`e", "è"},  {"`i", "ì"},  {"`o", "ò"},  {"`u", "ù"},    {"`A", "À"},   {"`E", "È"},
    {"^a", "â"},  {"^e", "ê"},  {"^i", "î"},  {"^o", "ô"},    {"^u", "û"},   {"^A", "Â"},
    {"^E", "Ê"},  {"~a", "ã"},  {"~n", "ñ"},  {"~o", "õ"},    {"~A", "Ã"},   {"~N", "Ñ"},
    {"~O", "Õ"},  {",c", "ç"},  {",C", "Ç"},  {"vs", "š"},    {"vS", "Š"},   {"vz", "ž"},
    {"vZ", "Ž"},  {"vc", "č"},  {"vC", "Č"},  {"ga", "`"},    {"aa", "´"},   {"ad", "¨"},
    {"a^", "^"},  {"a~", "~"},  {"ac", "¸"},  {"r!", "¡"},    {"r?", "¿"},   {"*a", "α"},
    {"*b", "β"},  {"*g", "γ"},  {"*d", "δ"},  {"*e", "ε"},    {"*l", "λ"},   {"*m", "μ"},
    {"*p", "π"},  {"*s", "σ"},  {"*W", "Ω"},  {"*D", "Δ"},    {"*S", "Σ"},   {"*h", "θ"},
    {"*w", "ω"},  {"*x", "χ"},  {"mc", "µ"},  {"sr", "√"},    {"pc", "·"},   {"md", "·"},
    {"bv", "│"},  {"sq", "□"},  {"OK", "✓"},  {"ci", "○"},    {"lh", "☜"},   {"rh", "☞"},
    {"no", "¬"},  {"AN", "∧"},  {"OR", "∨"},  {"te", "∃"},    {"fa", "∀"},   {"sb", "⊂"},
    {"sp", "⊃"},  {"fm", "′"},  {"sd", "″"},  {"Of", "ª"},    {"Om", "º"},   {"-D", "Ð"},
    {"Sd", "ð"},  {"TP", "Þ"},  {"Tp", "þ"},  {".i", "ı"},    {"/L", "Ł"},   {"/l", "ł"},
    {"ff", "ff"}, {"fi", "fi"}, {"fl", "fl"}, {"Fi", "ffi"},  {"Fl", "ffl"}, {"lf", "⌊"},
    {"rf", "⌋"},  {"lc", "⌈"},  {"rc", "⌉"},  {"space", " "},
};

const char *nx_roff_char(char out[8], nx_str name)
{
    char digits[8] = "";

    for (size_t i = 0; i < sizeof chars / sizeof *chars; i++)
        if (strlen(chars[i].name) == name.len && memcmp(chars[i].name, name.p, name.len) == 0) {
            memcpy(out, chars[i].utf8, sizeof chars[i].utf8);
            return out;
        }
    out[0] = '\0';
    /* u00E9, u0061_0301: the first of a composed one is enough to be read. */
    if (name.len >= 5 && name.len < 32 && name.p[0] == 'u') {
        size_t n = 0;
        while (n < 6 && n + 1 < name.len && name.p[n + 1] != '_') n++;
        memcpy(digits, name.p + 1, n);
        char *end;
        long  cp = strtol(digits, &end, 16);
        if (!*end && cp > 31 && cp < 0x110000 && !(cp >= 0xD800 && cp < 0xE000))
            out[nx_utf8_encode(out, (uint32_t)cp)] = '\0';
    }
    return out;
}

/* ---- Strings ---- */

nx_str nx_roff_get_string(const nx_roff *r, nx_str name)
{
    static const struct {
        const char *name, *value;
    } known[] = {{"lq", "“"},   {"rq", "”"},   {"R", "®"},  {"Tm", "™"},   {"aq", "'"}, {"Aq", "'"},
                 {"L\"", "\""}, {"R\"", "\""}, {"C`", ""},  {"C'", ""},    {"--", "—"}, {"PI", "π"},
                 {"Lt", "<"},   {"Gt", ">"},   {"Le", "≤"}, {"Ge", "≥"},   {"Ne", "≠"}, {"Am", "&"},
                 {"Ba", "|"},   {"Pm", "±"},   {"If", "∞"}, {"Na", "NaN"}, {"q", "\""}, {"S", ""}};

    for (int32_t i = 0; i < r->n_strings; i++)
        if (strlen(r->strings[i].name) == name.len &&
            memcmp(r->strings[i].name, name.p, name.len) == 0)
            return (nx_str){r->strings[i].value.data ? r->strings[i].value.data : "",
                            r->strings[i].value.len};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i].name) == name.len && memcmp(known[i].name, name.p, name.len) == 0)
            return nx_str_of(known[i].value);
    return NX_STR("");
}

void nx_roff_set_string(nx_roff *r, nx_str name, nx_str value, bool append)
{
    nx_roff_string *s = NULL;

    if (!name.len || name.len >= sizeof s->name) return;
    for (int32_t i = 0; i < r->n_strings; i++)
        if (strlen(r->strings[i].name) == name.len &&
            memcmp(r->strings[i].name, name.p, name.len) == 0)
            s = &r->strings[i];
    if (!s) {
        if (r->n_strings == NX_ROFF_STRINGS) return;
        s = &r->strings[r->n_strings++];
        *s = (nx_roff_string){.value.max = 4096};
        memcpy(s->name, name.p, name.len);
    }
    if (!append) nx_buf_clear(&s->value);
    if (value.len && value.p[0] == '"') value = (nx_str){value.p + 1, value.len - 1};
    nx_error ignored; /* one that is too long stays as it was */
    (void)nx_buf_add(&s->value, value.p, value.len, &ignored);
}

/* ---- Escapes ---- */

/* The name behind an escape: x, (xx or [xxx]. *at moves behind it. */
static nx_str take_name(nx_str s, size_t *at)
{
    size_t from = *at, n = 1;

    if (from >= s.len) return NX_STR("");
    if (s.p[from] == '(') {
        from++;
        n = s.len - from < 2 ? s.len - from : 2;
        *at = from + n;
        return (nx_str){s.p + from, n};
    }
    if (s.p[from] == '[') {
        const char *close = memchr(s.p + from, ']', s.len - from);
        from++;
        n = close ? (size_t)(close - s.p) - from : s.len - from;
        *at = close ? from + n + 1 : s.len;
        return (nx_str){s.p + from, n};
    }
    *at = from + 1;
    return (nx_str){s.p + from, 1};
}

/* 'argument' in any delimiter. */
static nx_str take_quoted(nx_str s, size_t *at)
{
    size_t from = *at + 1;

    if (*at >= s.len) return NX_STR("");
    const char *close = from < s.len ? memchr(s.p + from, s.p[*at], s.len - from) : NULL;
    size_t      end = close ? (size_t)(close - s.p) : s.len;
    *at = close ? end + 1 : s.len;
    return from < end ? (nx_str){s.p + from, end - from} : NX_STR("");
}

/* \s+1, \s-2, \s0, \s(12, \s[+1], \s'1' */
static void skip_size(nx_str s, size_t *at)
{
    if (*at < s.len && (s.p[*at] == '+' || s.p[*at] == '-')) ++*at;
    if (*at < s.len && s.p[*at] == '\'')
        (void)take_quoted(s, at);
    else if (*at < s.len && (s.p[*at] == '(' || s.p[*at] == '['))
        (void)take_name(s, at);
    else if (*at < s.len)
        ++*at;
}

typedef struct decoding {
    nx_roff *r;
    nx_buf  *out;
    int      depth;
    int      n_strings; /* put so far: strings of strings could go on for ever */
} decoding;

static void decode(decoding *d, nx_str s);

static void put(decoding *d, const char *p, size_t n)
{
    if (!d->r->c.st && nx_buf_add(d->out, p, n, d->r->err))
        nx_compose_fail(&d->r->c, NX_ELIMIT, "a line grows too long");
}

static void put_string(decoding *d, nx_str name)
{
    nx_str value = nx_roff_get_string(d->r, name);

    if (d->depth > 8 || d->n_strings > 100) return;
    d->n_strings++;
    d->depth++;
    decode(d, value);
    d->depth--;
}

/* The escape at s[at], behind its backslash; where what follows begins. */
static size_t escape(decoding *d, nx_str s, size_t at)
{
    char        c = s.p[at++], bytes[8];
    const char *plain;

    switch (c) {
    case 'f':
    case 'F':
    case 'm':
    case 'M':
    case 'g':
    case 'k':
    case 'Y':
    case 'V': (void)take_name(s, &at); return at;
    case 'n': { /* registers: groff is there, all others are 0 */
        if (at < s.len && (s.p[at] == '+' || s.p[at] == '-')) at++;
        nx_str name = take_name(s, &at);
        put(d, name.len == 2 && memcmp(name.p, ".g", 2) == 0 ? "1" : "0", 1);
        return at;
    }
    case '*': put_string(d, take_name(s, &at)); return at;
    case '(':
    case '[': {
        at--;
        nx_str name = take_name(s, &at);
        plain = nx_roff_char(bytes, name);
        put(d, plain, strlen(plain));
        return at;
    }
    case 'C': {
        plain = nx_roff_char(bytes, take_quoted(s, &at));
        put(d, plain, strlen(plain));
        return at;
    }
    case 's': skip_size(s, &at); return at;
    case 'h':
    case 'v':
    case 'w':
    case 'l':
    case 'L':
    case 'D':
    case 'b':
    case 'x':
    case 'H':
    case 'S':
    case 'o':
    case 'N':
    case 'X':
    case 'A':
    case 'B':
    case 'R':
    case 'Z': {
        nx_str inside = take_quoted(s, &at);
        if (c == 'w') put(d, "0", 1);
        if (c == 'h' && inside.len && inside.p[0] != '-') put(d, " ", 1);
        if (c == 'o' || c == 'b') put(d, inside.p, inside.len ? 1 : 0);
        return at;
    }
    case 'e':
    case 'E':
    case '\\': put(d, "\\", 1); return at;
    case '-': put(d, "-", 1); return at;
    case '\'': put(d, "'", 1); return at;
    case '`': put(d, "`", 1); return at;
    case ' ':
    case '~':
    case '0':
    case 't': put(d, " ", 1); return at;
    case '"':
    case '#': return s.len; /* a comment */
    case '&':
    case '|':
    case '^':
    case '%':
    case ':':
    case '/':
    case ',':
    case ')':
    case 'c':
    case 'p':
    case 'd':
    case 'u':
    case 'r':
    case 'a':
    case 'z':
    case '{':
    case '}':
    case '!':
    case '?': return at;
    default: put(d, &c, 1); return at;
    }
}

static void decode(decoding *d, nx_str s)
{
    for (size_t at = 0; at < s.len && !d->r->c.st;) {
        const char *slash = memchr(s.p + at, '\\', s.len - at);
        size_t      end = slash ? (size_t)(slash - s.p) : s.len;
        put(d, s.p + at, end - at);
        at = end + 1;
        if (slash && at < s.len) at = escape(d, s, at);
    }
}

nx_str nx_roff_decode(nx_roff *r, nx_str s)
{
    decoding d = {r, &r->words, 0, 0};

    nx_buf_clear(&r->words);
    r->words.max = (size_t)1 << 20;
    decode(&d, s);
    return (nx_str){r->words.data ? r->words.data : "", r->words.len};
}
