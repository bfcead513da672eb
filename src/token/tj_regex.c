/* tj_regex.c - Oniguruma's patterns in PCRE2's words.
 *
 * tokenizer.json's patterns are Oniguruma's (Ruby syntax, UTF-8), with the properties of Unicode 16.
 * What differs is written out: \h is a hexadecimal digit, \v one character, {n,m}+ is no
 * possessive, {,m} is an interval, (?m) lets the dot match newlines, \s and \w are other sets, a
 * class may hold classes and intersections, and \p{..} gets the characters that PCRE2 is too old for.
 *
 * Idea:   one pass; `atom` is where the last thing that a quantifier may follow begins in the
 *         output, so that it can still be wrapped. A class becomes [..], or, where it holds
 *         complements or classes, an expression that matches one character.
 * Refuses: letters after a backslash that it doesn't know, rather than guess.
 */
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "token/tj.h"
#include "token/unicode.h"

#define PATTERN_MAX (1u << 16)
#define OUTPUT_MAX  (1u << 22)
#define DEPTH_MAX   64
#define N_ATOMS     256

/* White_Space, whatever PCRE2 thinks of U+180E, and the word characters of Oniguruma: outside a
 * class it counts superscripts and fractions below U+0100 in. */
#define SPACES "\\t-\\r\\x{20}\\x{85}\\p{Z}"
#define WORDS_IN_CLASS                                                                             \
    "\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}"     \
    "\\x{1f170}-\\x{1f189}\\p{L}"
#define WORDS WORDS_IN_CLASS "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"

/* Beside \p{Alphabetic} and the like: what Unicode 15 and 16 brought, as Oniguruma has it. */
#define LATE_ALPHA                                                                                  \
    "\\x{363}-\\x{36f}\\x{c04}\\x{f82}-\\x{f83}\\x{1dd3}-\\x{1de6}\\x{11080}-\\x{11081}\\x{897}"    \
    "\\x{cf3}\\x{10d69}\\x{10efc}\\x{11241}\\x{113b8}-\\x{113c0}\\x{113c2}\\x{113c5}\\x{113c7}-"    \
    "\\x{113ca}\\x{113cc}-\\x{113cd}\\x{11f00}-\\x{11f01}\\x{11f03}\\x{11f34}-\\x{11f3a}\\x{11f3e}" \
    "-\\x{11f40}\\x{1611e}-\\x{1612e}\\x{1e08f}" /* and L */
#define LATE_UPPER "\\x{1c89}\\x{a7cb}-\\x{a7cc}\\x{a7da}\\x{a7dc}\\x{10d50}-\\x{10d65}"
#define LATE_LOWER                                                                                 \
    "\\x{10fc}\\x{a7f2}-\\x{a7f4}\\x{ab69}\\x{1c8a}\\x{a7cd}\\x{a7db}\\x{10d70}-\\x{10d85}"        \
    "\\x{1df25}-\\x{1df2a}\\x{1e030}-\\x{1e06d}"
#define LATE_ND                                                                                    \
    "\\x{10d40}-\\x{10d49}\\x{116d0}-\\x{116e3}\\x{11bf0}-\\x{11bf9}\\x{11f50}-\\x{11f59}"         \
    "\\x{16130}-\\x{16139}\\x{16d70}-\\x{16d79}\\x{1ccf0}-\\x{1ccf9}\\x{1e4f0}-\\x{1e4f9}"         \
    "\\x{1e5f1}-\\x{1e5fa}"
#define LATE_HAN "\\x{2b739}\\x{2ebf0}-\\x{2ee5d}\\x{31350}-\\x{323af}"

typedef struct reader {
    const char *p;
    size_t      n, at;
    nx_error   *err;
    int         depth;
} reader;

static nx_status bad(reader *r, const char *what)
{
    return nx_fail(r->err, NX_EFORMAT, "pattern, byte %zu: %s", r->at, what);
}

static nx_status cannot(reader *r, const char *what)
{
    return nx_fail(r->err, NX_EUNSUPPORTED, "pattern, byte %zu: %s: we don't have that", r->at,
                   what);
}

static bool more(const reader *r)
{
    return r->at < r->n;
}

static bool next_is(const reader *r, const char *text)
{
    size_t n = strlen(text);

    return r->n - r->at >= n && memcmp(r->p + r->at, text, n) == 0;
}

static uint32_t take_char(reader *r)
{
    size_t   n;
    uint32_t c = nx_utf8_decode(r->p + r->at, r->n - r->at, &n);

    r->at += n;
    return c;
}

static nx_status puts_to(nx_buf *out, const char *text, nx_error *err)
{
    return nx_buf_add(out, text, strlen(text), err);
}

/* A character of which neither a pattern nor a class could think anything else. */
static nx_status put_char(nx_buf *out, uint32_t c, nx_error *err)
{
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
        char one = (char)c;
        return nx_buf_add(out, &one, 1, err);
    }
    return nx_buf_addf(out, err, "\\x{%x}", (unsigned)c);
}

/* ---- Sets of characters ----------------------------------------------------------------------- */

/* What a class holds: members for [..], and expressions that match one character each. */
typedef struct set {
    nx_buf members, others; /* others are joined by | */
} set;

static void set_init(set *s)
{
    *s = (set){.members.max = OUTPUT_MAX, .others.max = OUTPUT_MAX};
}

static void set_free(set *s)
{
    nx_buf_free(&s->members);
    nx_buf_free(&s->others);
}

static nx_status add_other(set *s, const char *text, size_t len, nx_error *err)
{
    nx_status st = s->others.len ? puts_to(&s->others, "|", err) : NX_OK;

    return st ? st : nx_buf_add(&s->others, text, len, err);
}

/* members, or what is none of them. */
static nx_status add_members(set *s, const char *members, const char *extra, bool negated,
                             nx_error *err)
{
    nx_status st;

    if (!negated) {
        st = puts_to(&s->members, members, err);
        return st ? st : puts_to(&s->members, extra, err);
    }
    st = s->others.len ? puts_to(&s->others, "|", err) : NX_OK;
    return st ? st : nx_buf_addf(&s->others, err, "[^%s%s]", members, extra);
}

/* The set as an expression of one character. */
static nx_status put_set(nx_buf *out, const set *s, bool negated, nx_error *err)
{
    const char *members = s->members.len ? s->members.data : NULL;
    const char *others = s->others.len ? s->others.data : NULL;

    if (!negated) {
        if (members && others) return nx_buf_addf(out, err, "(?:[%s]|%s)", members, others);
        if (members) return nx_buf_addf(out, err, "[%s]", members);
        return others ? nx_buf_addf(out, err, "(?:%s)", others) : puts_to(out, "(?!)", err);
    }
    if (members && others) return nx_buf_addf(out, err, "(?:(?!%s)[^%s])", others, members);
    if (members) return nx_buf_addf(out, err, "[^%s]", members);
    if (others) return nx_buf_addf(out, err, "(?:(?!%s)(?s:.))", others);
    return puts_to(out, "(?s:.)", err);
}

/* ---- Properties ------------------------------------------------------------------------------- */

static const struct {
    const char *name, *members;
    const char *extra; /* categories whose late arrivals belong to it, or NULL */
} properties[] = {
    {"letter", "\\p{L}", "L"},
    {"uppercaseletter", "\\p{Lu}", "Lu"},
    {"lowercaseletter", "\\p{Ll}", "Ll"},
    {"titlecaseletter", "\\p{Lt}", "Lt"},
    {"modifierletter", "\\p{Lm}", "Lm"},
    {"otherletter", "\\p{Lo}", "Lo"},
    {"mark", "\\p{M}", "M"},
    {"nonspacingmark", "\\p{Mn}", "Mn"},
    {"spacingmark", "\\p{Mc}", "Mc"},
    {"enclosingmark", "\\p{Me}", "Me"},
    {"number", "\\p{N}", "N"},
    {"decimalnumber", "\\p{Nd}", "Nd"},
    {"digit", "\\p{Nd}", "Nd"},
    {"letternumber", "\\p{Nl}", "Nl"},
    {"othernumber", "\\p{No}", "No"},
    {"punctuation", "\\p{P}", "P"},
    {"punct", "\\p{P}", "P"},
    {"connectorpunctuation", "\\p{Pc}", "Pc"},
    {"dashpunctuation", "\\p{Pd}", "Pd"},
    {"openpunctuation", "\\p{Ps}", "Ps"},
    {"closepunctuation", "\\p{Pe}", "Pe"},
    {"initialpunctuation", "\\p{Pi}", "Pi"},
    {"finalpunctuation", "\\p{Pf}", "Pf"},
    {"otherpunctuation", "\\p{Po}", "Po"},
    {"symbol", "\\p{S}", "S"},
    {"mathsymbol", "\\p{Sm}", "Sm"},
    {"currencysymbol", "\\p{Sc}", "Sc"},
    {"modifiersymbol", "\\p{Sk}", "Sk"},
    {"othersymbol", "\\p{So}", "So"},
    {"separator", "\\p{Z}", NULL},
    {"spaceseparator", "\\p{Zs}", NULL},
    {"lineseparator", "\\p{Zl}", NULL},
    {"paragraphseparator", "\\p{Zp}", NULL},
    {"control", "\\p{Cc}", NULL},
    {"cntrl", "\\p{Cc}", NULL},
    {"format", "\\p{Cf}", "Cf"},
    {"privateuse", "\\p{Co}", NULL},
    {"any", "\\x{0}-\\x{10ffff}", NULL},
    {"ascii", "\\x{0}-\\x{7f}", NULL},
    {"space", SPACES, NULL},
    {"whitespace", SPACES, NULL},
    {"blank", "\\t\\p{Zs}", NULL},
    {"xdigit", "0-9A-Fa-f", NULL},
    {"alpha", "\\p{Alphabetic}" LATE_ALPHA, "L"},
    {"alphabetic", "\\p{Alphabetic}" LATE_ALPHA, "L"},
    {"alnum", "\\p{Alphabetic}" LATE_ALPHA "\\p{Nd}" LATE_ND, "L"},
    {"upper", "\\p{Uppercase}" LATE_UPPER, NULL},
    {"uppercase", "\\p{Uppercase}" LATE_UPPER, NULL},
    {"lower", "\\p{Lowercase}" LATE_LOWER, NULL},
    {"lowercase", "\\p{Lowercase}" LATE_LOWER, NULL},
    {"latin", "\\p{sc:Latin}\\x{a7cb}-\\x{a7cd}\\x{a7da}-\\x{a7dc}\\x{1df25}-\\x{1df2a}", NULL},
    {"cyrillic", "\\p{sc:Cyrillic}\\x{1c89}-\\x{1c8a}\\x{1e030}-\\x{1e06d}\\x{1e08f}", NULL},
    {"hiragana", "\\p{sc:Hiragana}\\x{1b132}", NULL},
    {"katakana", "\\p{sc:Katakana}\\x{1b155}", NULL},
    {"arabic", "\\p{sc:Arabic}\\x{897}\\x{10ec2}-\\x{10ec4}\\x{10efc}-\\x{10eff}", NULL},
    {"devanagari", "\\p{sc:Devanagari}\\x{11b00}-\\x{11b09}", NULL},
    {"han", "\\p{sc:Han}" LATE_HAN, NULL},
};
#define N_PROPERTIES (sizeof properties / sizeof *properties)

static const char *extra_of(const char *name)
{
    return name ? nx_uc_pcre_extra(name, strlen(name)) : "";
}

/* Category names of one or two letters in any case: "lu". */
static bool is_category(const char *name)
{
    static const char all[] = "l lu ll lt lm lo m mn mc me n nd nl no p pc pd ps pe pi pf po s sm "
                              "sc sk so z zs zl zp c cc cf co ";
    char              word[4];
    size_t            n = strlen(name);

    if (n < 1 || n > 2) return false;
    snprintf(word, sizeof word, "%s ", name);
    for (const char *at = strstr(all, word); at; at = strstr(at + 1, word)) {
        if (at == all || at[-1] == ' ') return true;
    }
    return false;
}

static const char *const scripts[] = {
    "adlam",      "arabic",    "armenian",  "balinese",
    "bengali",    "bopomofo",  "braille",   "canadianaboriginal",
    "cherokee",   "common",    "coptic",    "cyrillic",
    "devanagari", "ethiopic",  "georgian",  "gothic",
    "greek",      "gujarati",  "gurmukhi",  "hangul",
    "hebrew",     "hiragana",  "inherited", "javanese",
    "kannada",    "katakana",  "khmer",     "lao",
    "latin",      "malayalam", "mongolian", "myanmar",
    "nko",        "ogham",     "oriya",     "runic",
    "sinhala",    "syriac",    "tamil",     "telugu",
    "thaana",     "thai",      "tibetan",   "tifinagh",
    "vai",        "yi",
};

static bool is_script(const char *name)
{
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        if (!strcmp(scripts[i], name)) return true;
    }
    return false;
}

static nx_status add_words(reader *r, set *s, bool negated)
{
    char extra[4096];

    snprintf(extra, sizeof extra, "%s%s%s", extra_of("L"), extra_of("M"), extra_of("Nd"));
    return add_members(s, r->depth ? WORDS_IN_CLASS : WORDS, extra, negated, r->err);
}

/* name: in lower case, without spaces, hyphens and underscores. */
static nx_status add_property(reader *r, set *s, const char *name, bool negated)
{
    char members[64], category[3] = "";

    if (!strcmp(name, "word")) return add_words(r, s, negated);
    for (size_t i = 0; i < N_PROPERTIES; i++) {
        if (strcmp(properties[i].name, name)) continue;
        return add_members(s, properties[i].members, extra_of(properties[i].extra), negated,
                           r->err);
    }
    if (is_category(name)) {
        category[0] = (char)(name[0] - 'a' + 'A');
        category[1] = name[1];
        snprintf(members, sizeof members, "\\p{%s}", category);
        /* "other" holds what is not assigned: what PCRE2 doesn't know is no longer that. */
        if (name[0] == 'c' && !name[1]) return cannot(r, "\\p{C}");
        return add_members(s, members, extra_of(category), negated, r->err);
    }
    if (is_script(name)) {
        snprintf(members, sizeof members, "\\p{sc:%s}", name);
        return add_members(s, members, "", negated, r->err);
    }
    return cannot(r, "this property");
}

/* What follows \p or \P. */
static nx_status read_property(reader *r, set *s, bool negated)
{
    char   name[48];
    size_t n = 0;

    if (!next_is(r, "{")) return cannot(r, "\\p without braces");
    for (r->at++; more(r) && r->p[r->at] != '}'; r->at++) {
        char c = r->p[r->at];
        if (c == '^' && n == 0) {
            negated = !negated;
            continue;
        }
        if (c == ' ' || c == '-' || c == '_') continue;
        if (n + 1 == sizeof name) return cannot(r, "this property");
        name[n++] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    if (!more(r)) return bad(r, "\\p{ without }");
    name[n] = '\0';
    nx_status st = add_property(r, s, name, negated);
    r->at++;
    return st;
}

/* ---- Escapes ---------------------------------------------------------------------------------- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static nx_status read_digits(reader *r, uint32_t *c, int n_min, int n_max, int base)
{
    int n = 0;

    for (*c = 0; n < n_max && more(r); n++, r->at++) {
        int v = hex_value(r->p[r->at]);
        if (v < 0 || v >= base) break;
        *c = *c * (uint32_t)base + (uint32_t)v;
    }
    if (n < n_min || *c > 0x10FFFF) return bad(r, "not a character's number");
    return NX_OK;
}

/* The character of an escape whose letter is c and has been read. *is: it is one. */
static nx_status read_char_escape(reader *r, uint32_t letter, uint32_t *c, bool *is)
{
    static const char letters[] = "tnrfaev", chars[] = "\t\n\r\f\a\033\v";
    const char       *known = letter < 128 && letter ? strchr(letters, (int)letter) : NULL;
    nx_status         st = NX_OK;

    *is = true;
    *c = letter;
    if (known) {
        *c = (unsigned char)chars[known - letters];
    } else if (letter == 'x' && next_is(r, "{")) {
        r->at++;
        st = read_digits(r, c, 1, 8, 16);
        if (!st && !next_is(r, "}")) st = bad(r, "expected } after the number");
        if (!st) r->at++;
    } else if (letter == 'x') {
        st = read_digits(r, c, 1, 2, 16);
        if (!st && *c > 0x7F) st = cannot(r, "\\x of a byte above 7F");
    } else if (letter == 'u') {
        st = read_digits(r, c, 4, 4, 16);
    } else if (letter == '0') {
        st = read_digits(r, c, 0, 2, 8);
    } else if ((letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
               (letter >= '1' && letter <= '9')) {
        *is = false;
    }
    if (!st && *is && *c >= 0xD800 && *c <= 0xDFFF) st = bad(r, "half of a surrogate pair");
    return st;
}

/* \d \w \s \h and their complements, \p and \P: true when letter is one of them. */
static bool read_set_escape(reader *r, uint32_t letter, set *s, nx_status *st)
{
    switch (letter) {
    case 'd':
    case 'D': *st = add_members(s, "\\p{Nd}", extra_of("Nd"), letter == 'D', r->err); return true;
    case 's':
    case 'S': *st = add_members(s, SPACES, "", letter == 'S', r->err); return true;
    case 'h':
    case 'H': *st = add_members(s, "0-9A-Fa-f", "", letter == 'H', r->err); return true;
    case 'w':
    case 'W': *st = add_words(r, s, letter == 'W'); return true;
    case 'p':
    case 'P': *st = read_property(r, s, letter == 'P'); return true;
    default: return false;
    }
}

/* ---- Classes ---------------------------------------------------------------------------------- */

static nx_status read_class(reader *r, nx_buf *out);

static nx_status read_posix(reader *r, set *s, bool *was)
{
    char   name[16];
    size_t n = 0, at = r->at + 2;
    bool   negated = at < r->n && r->p[at] == '^';

    *was = false;
    for (at += negated; at < r->n && n + 1 < sizeof name; at++) {
        if (r->p[at] < 'a' || r->p[at] > 'z') break;
        name[n++] = r->p[at];
    }
    if (at + 1 >= r->n || r->p[at] != ':' || r->p[at + 1] != ']') return NX_OK;
    name[n] = '\0';
    *was = true;
    r->at = at + 2;
    if (!strcmp(name, "punct")) return add_members(s, "\\p{P}\\p{S}", "", negated, r->err);
    return add_property(r, s, name, negated);
}

/* One character of a class, or a set that is added to s at once (*is_char false). */
static nx_status read_member(reader *r, set *s, uint32_t *c, bool *is_char)
{
    nx_status st = NX_OK;
    bool      was = false;

    *is_char = false;
    if (next_is(r, "[:")) {
        st = read_posix(r, s, &was);
        if (st || was) return st;
    }
    if (next_is(r, "[")) {
        nx_buf inner = {.max = OUTPUT_MAX};
        st = read_class(r, &inner);
        if (!st) st = add_other(s, inner.data, inner.len, r->err);
        nx_buf_free(&inner);
        return st;
    }
    uint32_t letter = take_char(r);
    if (letter != '\\') {
        *c = letter;
        *is_char = true;
        return NX_OK;
    }
    if (!more(r)) return bad(r, "a backslash at the end");
    letter = take_char(r);
    if (read_set_escape(r, letter, s, &st)) return st;
    if (letter == 'b')
        letter = *c = 8, *is_char = true;
    else
        st = read_char_escape(r, letter, c, is_char);
    if (!st && !*is_char) st = cannot(r, "this escape in a class");
    return st;
}

/* Members up to ] or &&. */
static nx_status read_members(reader *r, set *s)
{
    nx_status st = NX_OK;
    bool      is_char;
    uint32_t  c = 0, last = 0;

    for (bool begin = true; !st && more(r); begin = false) {
        if ((!begin && next_is(r, "]")) || next_is(r, "&&")) return NX_OK;
        st = read_member(r, s, &c, &is_char);
        if (st || !is_char) continue;
        if (next_is(r, "-") && r->at + 1 < r->n && r->p[r->at + 1] != ']') {
            r->at++;
            st = read_member(r, s, &last, &is_char);
            if (!st && !is_char) st = bad(r, "a range that ends in a class");
            if (!st && last < c) st = bad(r, "an empty range");
            if (!st) st = put_char(&s->members, c, r->err);
            if (!st) st = puts_to(&s->members, "-", r->err);
            if (!st) st = put_char(&s->members, last, r->err);
        } else {
            st = put_char(&s->members, c, r->err);
        }
    }
    return st ? st : bad(r, "[ without ]");
}

/* From [ to its ]: an expression that matches one character. */
static nx_status read_class(reader *r, nx_buf *out)
{
    nx_buf    all = {.max = OUTPUT_MAX};
    bool      negated, more_sets = true;
    int       n = 0;
    nx_status st = NX_OK;

    if (++r->depth > DEPTH_MAX) return bad(r, "classes too deep in each other");
    r->at++;
    negated = next_is(r, "^");
    r->at += negated;
    while (!st && more_sets) {
        set one;
        set_init(&one);
        st = read_members(r, &one);
        more_sets = !st && next_is(r, "&&");
        if (!st) r->at += more_sets ? 2 : 1;
        /* All but the last are asked without moving on. */
        if (!st && more_sets) st = puts_to(&all, "(?=", r->err);
        if (!st && !more_sets && n == 0)
            st = put_set(&all, &one, negated, r->err);
        else if (!st)
            st = put_set(&all, &one, false, r->err);
        if (!st && more_sets) st = puts_to(&all, ")", r->err);
        n++;
        set_free(&one);
    }
    if (!st && n == 1) st = nx_buf_add(out, all.data, all.len, r->err);
    if (!st && n > 1) {
        st = nx_buf_addf(out, r->err, negated ? "(?:(?!%s)(?s:.))" : "(?:%s)", all.data);
    }
    nx_buf_free(&all);
    r->depth--;
    return st;
}

/* ---- The pattern ------------------------------------------------------------------------------ */

typedef struct writer {
    reader  r;
    nx_buf *out;
    size_t  atom;       /* where the last atom begins in out */
    bool    has_atom;   /* a quantifier may follow */
    bool    quantified; /* the atom has a quantifier already */
    size_t  groups[N_ATOMS];
    int     n_groups;
} writer;

static nx_status put(writer *w, const char *text)
{
    return puts_to(w->out, text, w->r.err);
}

static void begin_atom(writer *w)
{
    w->atom = w->out->len;
    w->has_atom = true;
    w->quantified = false;
}

/* (?:atom) */
static nx_status wrap(writer *w)
{
    nx_status st = put(w, "(?:)");

    if (st) return st;
    char  *p = w->out->data + w->atom;
    size_t n = w->out->len - w->atom - 4;
    memmove(p + 3, p, n);
    memcpy(p, "(?:", 3);
    p[n + 3] = ')';
    return NX_OK;
}

/* \b between what Oniguruma calls word characters; \B elsewhere. */
static nx_status put_boundary(writer *w, bool negated)
{
    nx_buf    word = {.max = OUTPUT_MAX};
    nx_status st;
    set       s;

    set_init(&s);
    read_set_escape(&w->r, 'w', &s, &st);
    if (!st) st = put_set(&word, &s, false, w->r.err);
    if (!st) {
        const char *c = word.data;
        st = nx_buf_addf(w->out, w->r.err,
                         negated ? "(?:(?<=%s)(?=%s)|(?<!%s)(?!%s))"
                                 : "(?:(?<=%s)(?!%s)|(?<!%s)(?=%s))",
                         c, c, c, c);
    }
    set_free(&s);
    nx_buf_free(&word);
    return st;
}

static nx_status read_escape(writer *w)
{
    reader   *r = &w->r;
    nx_status st = NX_OK;
    set       s;
    uint32_t  c;
    bool      is_char;

    r->at++;
    if (!more(r)) return bad(r, "a backslash at the end");
    uint32_t letter = take_char(r);
    begin_atom(w);
    set_init(&s);
    if (read_set_escape(r, letter, &s, &st)) {
        if (!st) st = put_set(w->out, &s, false, r->err);
        set_free(&s);
        return st;
    }
    set_free(&s);
    if (letter == 'b' || letter == 'B') return put_boundary(w, letter == 'B');
    if (letter < 128 && letter && strchr("AzZGKRX", (int)letter)) {
        return nx_buf_addf(w->out, r->err, "\\%c", (int)letter);
    }
    st = read_char_escape(r, letter, &c, &is_char);
    if (st) return st;
    if (is_char) return put_char(w->out, c, r->err);
    if (letter >= '1' && letter <= '9') {
        return nx_buf_addf(w->out, r->err, "\\g{%c}", (int)letter);
    }
    return cannot(r, "this escape");
}

/* Ruby's m is PCRE2's s. Up to : or ). */
static nx_status read_options(writer *w)
{
    reader *r = &w->r;

    for (; more(r) && r->p[r->at] != ':' && r->p[r->at] != ')'; r->at++) {
        char c = r->p[r->at];
        if (!strchr("imx-", c)) return cannot(r, "this option of a group");
        nx_status st = nx_buf_addf(w->out, r->err, "%c", c == 'm' ? 's' : c);
        if (st) return st;
    }
    if (!more(r)) return bad(r, "( without )");
    return NX_OK;
}

static nx_status open_group(writer *w)
{
    static const char *const kinds[] = {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"};
    reader                  *r = &w->r;
    nx_status                st;

    if (next_is(r, "(?#")) {
        while (more(r) && r->p[r->at] != ')') r->at++;
        if (!more(r)) return bad(r, "( without )");
        r->at++;
        return NX_OK;
    }
    begin_atom(w);
    w->has_atom = false;
    if (w->n_groups == N_ATOMS) return bad(r, "groups too deep in each other");
    w->groups[w->n_groups++] = w->atom;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!next_is(r, kinds[i])) continue;
        r->at += strlen(kinds[i]);
        return put(w, kinds[i]);
    }
    r->at++;
    if (!next_is(r, "?")) return put(w, "(");
    r->at++;
    if (next_is(r, "<")) { /* a name: nothing refers to it */
        while (more(r) && r->p[r->at] != '>') r->at++;
        if (!more(r)) return bad(r, "a group's name without >");
        r->at++;
        return put(w, "(");
    }
    st = put(w, "(?");
    if (!st) st = read_options(w);
    if (st) return st;
    if (r->p[r->at] == ')') w->n_groups--; /* (?i): till the group around it ends */
    return nx_buf_addf(w->out, r->err, "%c", r->p[r->at++]);
}

static nx_status close_group(writer *w)
{
    if (w->n_groups == 0) return bad(&w->r, ") without (");
    w->atom = w->groups[--w->n_groups];
    w->has_atom = true;
    w->quantified = false;
    w->r.at++;
    return put(w, ")");
}

/* {n}, {n,}, {,m}, {n,m}: the length of its text, or 0 when it is none. */
static size_t interval(const reader *r, long *min, long *max)
{
    size_t at = r->at + 1, digits = 0;

    *min = 0;
    for (; at < r->n && r->p[at] >= '0' && r->p[at] <= '9' && digits < 7; at++, digits++) {
        *min = *min * 10 + (r->p[at] - '0');
    }
    *max = *min;
    if (at < r->n && r->p[at] == ',') {
        size_t more_digits = 0;
        *max = 0;
        for (at++; at < r->n && r->p[at] >= '0' && r->p[at] <= '9' && more_digits < 7; at++) {
            *max = *max * 10 + (r->p[at] - '0');
            more_digits++;
        }
        if (more_digits == 0) *max = -1;
        digits += more_digits;
    }
    return digits && at < r->n && r->p[at] == '}' ? at + 1 - r->at : 0;
}

static nx_status read_interval(writer *w, size_t len, long min, long max)
{
    reader   *r = &w->r;
    nx_status st = w->quantified ? wrap(w) : NX_OK;

    if (min > 65535 || max > 65535) return cannot(r, "a count above 65535");
    r->at += len;
    if (!st && max < 0)
        st = nx_buf_addf(w->out, r->err, "{%ld,}", min);
    else if (!st)
        st = nx_buf_addf(w->out, r->err, "{%ld,%ld}", min, max);
    w->quantified = true;
    if (!st && next_is(r, "?") && min != max) {
        r->at++;
        return put(w, "?");
    }
    return st;
}

static nx_status read_quantifier(writer *w)
{
    reader   *r = &w->r;
    char      c = r->p[r->at];
    nx_status st = w->quantified ? wrap(w) : NX_OK;

    if (!w->has_atom) return bad(r, "a quantifier of nothing");
    w->quantified = true;
    r->at++;
    if (!st) st = nx_buf_addf(w->out, r->err, "%c", c);
    if (!st && more(r) && (r->p[r->at] == '?' || r->p[r->at] == '+')) {
        st = nx_buf_addf(w->out, r->err, "%c", r->p[r->at++]);
    }
    return st;
}

static nx_status read_one(writer *w)
{
    reader *r = &w->r;
    long    min, max;
    size_t  len;

    switch (r->p[r->at]) {
    case '\\': return read_escape(w);
    case '[': begin_atom(w); return read_class(r, w->out);
    case '(': return open_group(w);
    case ')': return close_group(w);
    case '*':
    case '+':
    case '?': return read_quantifier(w);
    case '{':
        len = interval(r, &min, &max);
        if (len && w->has_atom) return read_interval(w, len, min, max);
        break;
    case '|':
        w->has_atom = false;
        r->at++;
        return put(w, "|");
    case '^':
    case '$':
    case '.': begin_atom(w); return nx_buf_addf(w->out, r->err, "%c", r->p[r->at++]);
    default: break;
    }
    begin_atom(w);
    return put_char(w->out, take_char(r), r->err);
}

nx_status nx_tj_translate(nx_buf *out, nx_str onig, nx_error *err)
{
    writer    w = {.r = {.p = onig.p, .n = onig.len, .err = err}, .out = out};
    nx_status st = NX_OK;

    if (onig.len > PATTERN_MAX) {
        return nx_fail(err, NX_ELIMIT, "pattern: %zu bytes, at most %u", onig.len, PATTERN_MAX);
    }
    while (!st && more(&w.r)) st = read_one(&w);
    if (!st && w.n_groups) st = bad(&w.r, "( without )");
    return st;
}
