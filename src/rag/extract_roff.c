/* extract_roff.c - manual pages: requests, conditions, man's macros; mdoc's are in roff_mdoc.c. */
#include <stdio.h>
#include <string.h>

#include "rag/roff.h"

/* ---- Lines ---- */

bool nx_roff_next_line(nx_roff *r)
{
    nx_line l;
    bool    any = false;

    nx_buf_clear(&r->line);
    r->line.max = (size_t)1 << 20;
    while (!r->c.st && nx_line_at(&l, r->in, r->at)) {
        r->at = l.next;
        any = true;
        size_t n = l.end - l.begin, slashes = 0;
        while (slashes < n && r->in.p[l.end - 1 - slashes] == '\\') slashes++;
        bool goes_on = slashes % 2 != 0;
        if (nx_buf_add(&r->line, r->in.p + l.begin, n - goes_on, r->err))
            nx_compose_fail(&r->c, NX_ELIMIT, "a line is over %zu KiB long", r->line.max >> 10);
        if (!goes_on) break;
    }
    return any && !r->c.st;
}

static nx_str line_of(const nx_roff *r)
{
    return (nx_str){r->line.data ? r->line.data : "", r->line.len};
}

void nx_roff_split(nx_roff_call *call, nx_str s)
{
    size_t at = 0;

    call->n = 0;
    while (call->n < NX_ROFF_ARGS) {
        while (at < s.len && (s.p[at] == ' ' || s.p[at] == '\t')) at++;
        if (at == s.len) return;
        if (s.len - at >= 2 && s.p[at] == '\\' && s.p[at + 1] == '"') return; /* a comment */
        bool   quoted = s.p[at] == '"';
        size_t from = at += quoted;
        while (at < s.len && (quoted ? s.p[at] != '"' || (at + 1 < s.len && s.p[at + 1] == '"')
                                     : s.p[at] != ' ' && s.p[at] != '\t'))
            at += (s.p[at] == '\\' || (quoted && s.p[at] == '"')) && at + 1 < s.len ? 2 : 1;
        call->args[call->n++] = (nx_str){s.p + from, at - from};
        if (quoted && at < s.len) at++;
    }
    /* Too many to tell apart: the last is all that is left. */
    call->args[call->n - 1].len = (size_t)(s.p + s.len - call->args[call->n - 1].p);
}

static void parse_call(nx_roff_call *call, nx_str l)
{
    size_t at = 1, from;

    while (at < l.len && (l.p[at] == ' ' || l.p[at] == '\t')) at++;
    from = at;
    while (at < l.len && l.p[at] != ' ' && l.p[at] != '\t' && l.p[at] != '\\') at++;
    size_t n = at - from < sizeof call->name ? at - from : sizeof call->name - 1;
    memset(call->name, 0, sizeof call->name);
    memcpy(call->name, l.p + from, n);
    while (at < l.len && (l.p[at] == ' ' || l.p[at] == '\t')) at++;
    call->rest = (nx_str){l.p + at, l.len - at};
    nx_roff_split(call, call->rest);
}

/* ---- Words ---- */

/* What is in front of words: a heading or a tag that was announced. */
static void begin_announced(nx_roff *r)
{
    if (r->heading_next) {
        nx_compose_part(&r->c, NX_PART_HEADING, r->heading_level);
    } else if (r->tag_next) {
        nx_compose_part(&r->c, NX_PART_ITEM, 0);
    }
}

/* ... and behind them. */
static void end_announced(nx_roff *r)
{
    if (r->heading_next) nx_compose_part(&r->c, NX_PART_PARAGRAPH, 0);
    if (r->tag_next) nx_compose_line(&r->c);
    r->heading_next = r->tag_next = false;
}

void nx_roff_write(nx_roff *r, nx_str s)
{
    nx_compose_text(&r->c, nx_roff_decode(r, s));
}

void nx_roff_verbatim(nx_roff *r, bool on)
{
    if (r->nofill == on) return;
    r->nofill = on;
    nx_compose_part(&r->c, on ? NX_PART_CODE : NX_PART_PARAGRAPH, 0);
}

static void end_of_line(nx_roff *r)
{
    if (r->nofill)
        nx_compose_line(&r->c);
    else
        nx_compose_space(&r->c);
}

static void text_line(nx_roff *r, nx_str l)
{
    begin_announced(r);
    if (!r->nofill && l.len && l.p[0] == ' ') nx_compose_line(&r->c);
    nx_roff_write(r, l);
    end_of_line(r);
    end_announced(r);
}

/* Arguments as words: with blanks between them or, of fonts that alternate, without. */
static void write_args(nx_roff *r, const nx_roff_call *call, int from, bool blanks)
{
    for (int i = from; i < call->n; i++) {
        if (i > from && blanks) nx_compose_space(&r->c);
        nx_roff_write(r, call->args[i]);
    }
}

static void paragraph(nx_roff *r)
{
    r->tag_next = false;
    nx_compose_part(&r->c, r->nofill ? NX_PART_CODE : NX_PART_PARAGRAPH, 0);
}

/* ---- Conditions ---- */

static int braces(nx_str l)
{
    int n = 0;

    for (size_t i = 0; i + 1 < l.len; i++)
        if (l.p[i] == '\\') {
            n += l.p[i + 1] == '{' ? 1 : l.p[i + 1] == '}' ? -1 : 0;
            i++;
        }
    return n;
}

/* The condition that s begins with; *at: behind it. */
static bool holds(nx_roff *r, nx_str s, size_t *at)
{
    bool not = false, yes = false;

    while (*at < s.len && s.p[*at] == ' ') ++*at;
    while (*at < s.len && s.p[*at] == '!') {
        not = !not ;
        ++*at;
    }
    if (*at >= s.len) return false;
    char c = s.p[*at];
    if (c == 'n' || c == 'o' || c == 't' || c == 'e' || c == 'v') {
        yes = c == 'n' || c == 'o';
        ++*at;
    } else if (c == 'd' || c == 'r' || c == 'm' || c == 'F' || c == 'S' || c == 'c') {
        for (++*at; *at < s.len && s.p[*at] == ' ';) ++*at;
        while (*at < s.len && s.p[*at] != ' ' && s.p[*at] != '\\') ++*at;
    } else {
        size_t from = *at;
        bool   text = c == '\'' || c == '"';
        int    marks = 0;
        while (*at < s.len && (text ? marks < 3 : s.p[*at] != ' ')) {
            if (s.p[*at] == '\\' && *at + 1 < s.len && s.p[*at + 1] == '{') break;
            marks += s.p[*at] == c;
            ++*at;
        }
        nx_str d = nx_roff_decode(r, (nx_str){s.p + from, *at - from});
        if (text) {
            const char *mid = d.len > 1 ? memchr(d.p + 1, c, d.len - 1) : NULL;
            size_t      n = mid ? (size_t)(mid - d.p) - 1 : 0;
            yes = mid && d.len == 2 * n + 3 && memcmp(d.p + 1, mid + 1, n) == 0;
        } else {
            yes = d.len && d.p[0] > '0' && d.p[0] <= '9' && !memchr(d.p, '=', d.len) &&
                  !memchr(d.p, '<', d.len) && !memchr(d.p, '>', d.len);
        }
    }
    return yes != not ;
}

static void line(nx_roff *r, nx_str l);

/* What stands behind a condition: done, or left out, with all that its braces hold. */
static void branch(nx_roff *r, nx_str rest, bool yes, int depth)
{
    while (rest.len && (rest.p[0] == ' ' || rest.p[0] == '\t'))
        rest = (nx_str){rest.p + 1, rest.len - 1};
    if (!yes) {
        for (int open = braces(rest); open > 0 && nx_roff_next_line(r);) open += braces(line_of(r));
        return;
    }
    if (rest.len >= 2 && rest.p[0] == '\\' && rest.p[1] == '{') {
        rest = (nx_str){rest.p + 2, rest.len - 2};
        r->blocks++;
    }
    if (rest.len && depth < 16) line(r, rest);
}

static void conditional(nx_roff *r, const nx_roff_call *call)
{
    static _Thread_local int depth; /* ".if n .if n ..." on one line */
    size_t                   at = 0;
    bool                     yes;

    if (strcmp(call->name, "el") == 0) {
        yes = !r->was_true;
    } else {
        yes = holds(r, call->rest, &at);
        if (strcmp(call->name, "ie") == 0) r->was_true = yes;
    }
    depth++;
    branch(r, (nx_str){call->rest.p + at, call->rest.len - at}, yes, depth);
    depth--;
}

/* ---- Requests ---- */

/* All up to the line ".." (or ".NAME", as .de and .ig may say); blanks may stand behind its first dot. */
static void skip_definition(nx_roff *r, nx_str end)
{
    if (!end.len) end = NX_STR(".");
    while (nx_roff_next_line(r)) {
        nx_str l = line_of(r);
        size_t at = 1;
        if (!l.len || l.p[0] != '.') continue;
        while (at < l.len && l.p[at] == ' ') at++;
        if (l.len - at >= end.len && memcmp(l.p + at, end.p, end.len) == 0) return;
    }
}

static bool is_one_of(const char *words, const char *name)
{
    size_t n = strlen(name);

    for (const char *at = strstr(words, name); n && at; at = strstr(at + 1, name))
        if (at[-1] == ' ' && at[n] == ' ') return true;
    return false;
}

static bool request(nx_roff *r, const nx_roff_call *call)
{
    const char *name = call->name;

    if (is_one_of(" if ie el ", name)) {
        conditional(r, call);
    } else if (is_one_of(" de de1 am dei ig ", name)) {
        skip_definition(r, strcmp(name, "ig") == 0 ? (call->n ? call->args[0] : NX_STR(""))
                                                   : (call->n > 1 ? call->args[1] : NX_STR("")));
    } else if (is_one_of(" ds as ", name)) {
        if (call->n) {
            const char *after = call->args[0].p + call->args[0].len,
                       *end = call->rest.p + call->rest.len;
            while (after < end && *after == ' ') after++;
            nx_roff_set_string(r, call->args[0], (nx_str){after, (size_t)(end - after)},
                               name[0] == 'a');
        }
    } else if (is_one_of(" nf EX Vb ", name)) {
        nx_roff_verbatim(r, true);
    } else if (is_one_of(" fi EE Ve ", name)) {
        nx_roff_verbatim(r, false);
    } else if (is_one_of(" br sp ti in ce Sp ", name)) {
        if (strcmp(name, "sp") == 0 || strcmp(name, "Sp") == 0)
            paragraph(r);
        else
            nx_compose_line(&r->c);
    } else if (strcmp(name, "TS") == 0) {
        nx_roff_table(r);
    } else if (is_one_of(" EQ PS G1 ", name)) {
        skip_definition(r, NX_STR("EN"));
    } else if (strcmp(name, "so") == 0) {
        nx_compose_line(&r->c);
        nx_compose_text(&r->c, NX_STR("See "));
        write_args(r, call, 0, true);
        nx_compose_line(&r->c);
    } else {
        return is_one_of(
            " \\\" ne na ad hy nh nr rm rn tr ta ps vs ft ll lt pl po cc c2 ec eo ev fp it lf mk rt "
            "nx pc pm rd ss sv tc tm uf ul cu wh ch bd bp cs dt fc fl hc hw hla hlm hpf lc ls nm nn ns "
            "os rs pi als chop do fam mso nop return shift special tag warn write while break "
            "PD DT IX AT UC PU HP_ RS RE ad. P! ex ab al cflags char color defcolor device "
            "hcode hpfcode kern length linetabs mso open opena close psbb sizes substring trf troff "
            "unformat vpt PE GE LINKSTYLE ",
            name);
    }
    return true;
}

/* ---- man's macros ---- */

static void title(nx_roff *r, const nx_roff_call *call)
{
    nx_buf   t = {.max = 512};
    nx_error ignored;

    r->c.doc->title.max = 4096;
    for (int i = 0; i < 2 && i < call->n; i++) {
        nx_str s = nx_roff_decode(r, call->args[i]);
        for (size_t k = 0; i == 0 && k < s.len; k++) /* LS is ls */
            if (r->words.data[k] >= 'A' && r->words.data[k] <= 'Z') r->words.data[k] |= 32;
        (void)nx_buf_addf(&t, &ignored, i ? "(%.*s)" : "%.*s", (int)(s.len < 200 ? s.len : 200),
                          s.p);
    }
    if (t.len) nx_compose_title(&r->c, (nx_str){t.data, t.len});
    nx_buf_free(&t);
}

static void heading(nx_roff *r, const nx_roff_call *call, int32_t level)
{
    nx_roff_verbatim(r, false);
    r->tag_next = false;
    r->heading_next = true;
    r->heading_level = level;
    if (!call->n) return;
    begin_announced(r);
    write_args(r, call, 0, true);
    end_announced(r);
}

static void link_target(nx_roff *r, const nx_roff_call *call)
{
    if (!call->n) return;
    nx_compose_text(&r->c, NX_STR("<"));
    nx_roff_write(r, call->args[0]);
    nx_compose_text(&r->c, NX_STR("> "));
}

/* Words whose font alone is special: those of the line, or all of the next. */
static void font(nx_roff *r, const nx_roff_call *call, bool blanks)
{
    if (!call->n) return;
    begin_announced(r);
    write_args(r, call, 0, blanks);
    end_of_line(r);
    end_announced(r);
}

static void item(nx_roff *r, const nx_roff_call *call)
{
    nx_compose_part(&r->c,
                    r->nofill ? NX_PART_CODE
                    : call->n ? NX_PART_ITEM
                              : NX_PART_PARAGRAPH,
                    0);
    if (!call->n) return;
    nx_roff_write(r, call->args[0]);
    /* A tag has its line; a bullet goes before the words. */
    if (call->args[0].len > 4)
        nx_compose_line(&r->c);
    else
        nx_compose_space(&r->c);
}

static bool man_macro(nx_roff *r, const nx_roff_call *call)
{
    const char *name = call->name;

    if (strcmp(name, "TH") == 0) {
        title(r, call);
    } else if (strcmp(name, "SH") == 0) {
        heading(r, call, 1);
    } else if (strcmp(name, "SS") == 0) {
        heading(r, call, 2);
    } else if (is_one_of(" P PP LP HP ", name)) {
        paragraph(r);
    } else if (strcmp(name, "IP") == 0) {
        item(r, call);
    } else if (strcmp(name, "TP") == 0) {
        r->tag_next = true;
    } else if (strcmp(name, "TQ") == 0) {
        nx_compose_line(&r->c);
    } else if (is_one_of(" B I SM SB R ", name)) {
        font(r, call, true);
    } else if (is_one_of(" BR RB BI IB IR RI ", name)) {
        font(r, call, false);
    } else if (strcmp(name, "SY") == 0) {
        nx_compose_line(&r->c);
        font(r, call, true);
    } else if (strcmp(name, "OP") == 0) {
        nx_compose_text(&r->c, NX_STR("["));
        write_args(r, call, 0, true);
        nx_compose_text(&r->c, NX_STR("] "));
    } else if (is_one_of(" UR MT ", name)) {
        link_target(r, call);
    } else {
        return is_one_of(" UE ME YS ", name);
    }
    return true;
}

static void control_line(nx_roff *r, nx_str l)
{
    nx_roff_call call;

    parse_call(&call, l);
    if (!call.name[0] || request(r, &call)) return;
    if (strcmp(call.name, "Dd") == 0) r->mdoc = true;
    if (r->mdoc && nx_roff_mdoc(r, &call)) return;
    if (man_macro(r, &call)) return;
    font(r, &call, true); /* nobody knows it: its words are kept */
}

static void line(nx_roff *r, nx_str l)
{
    nx_buf copy = {.max = (size_t)1 << 20};

    if (nx_watch_often(&r->watch, r->err))
        nx_compose_fail(&r->c, NX_ELIMIT, "reading it takes too long");
    /* The end of a condition that holds. */
    while (r->blocks > 0 && l.len >= 2 && l.p[l.len - 2] == '\\' && l.p[l.len - 1] == '}') {
        l.len -= 2;
        r->blocks--;
        if (l.len == 1 && l.p[0] == '.') return;
    }
    if (!l.len) {
        if (!r->nofill)
            paragraph(r);
        else
            nx_compose_line(&r->c);
        return;
    }
    if (l.p[0] != '.' && l.p[0] != '\'') {
        text_line(r, l);
        return;
    }
    /* The line's buffer is read anew by requests that take lines. */
    if (nx_buf_add(&copy, l.p, l.len, r->err))
        nx_compose_fail(&r->c, NX_ENOMEM, "no memory for a line");
    else
        control_line(r, (nx_str){copy.data, copy.len});
    nx_buf_free(&copy);
}

nx_status nx_extract_roff(nx_doc *doc, nx_str name, nx_str bytes, const nx_extract_limits *limits,
                          nx_error *err)
{
    nx_doc    text = {0};
    nx_roff   r = {.watch = nx_watch_start(limits), .err = err};
    size_t    begin;
    nx_status st = nx_text_read(&text, bytes, limits, &begin, err);

    (void)name;
    if (!st) {
        nx_compose_start(&r.c, doc, NX_DOC_ROFF, limits, err);
        memcpy(doc->encoding, text.encoding, sizeof doc->encoding);
        r.in = (nx_str){text.text.data ? text.text.data : "", text.text.len};
        r.at = begin;
        while (nx_roff_next_line(&r)) line(&r, line_of(&r));
        st = nx_compose_finish(&r.c);
    }
    for (int32_t i = 0; i < r.n_strings; i++) nx_buf_free(&r.strings[i].value);
    nx_buf_free(&r.line);
    nx_buf_free(&r.words);
    nx_doc_free(&text);
    return st;
}
