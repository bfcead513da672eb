/* roff_mdoc.c - the macros of BSD's manual pages: words in a line call others of their kind.
 * Source: mdoc(7).
 */
#include <stdio.h>
#include <string.h>

#include "rag/roff.h"

/* What a macro puts around its words. `each`: around every one of them. */
typedef struct wrap {
    const char *name, *before, *after;
    bool        each;
} wrap;

static const wrap wraps[] = {
    {"Fl", "-", "", true},         {"Ar", "", "", false},
    {"Cm", "", "", false},         {"Ic", "", "", false},
    {"Pa", "", "", false},         {"Ev", "", "", false},
    {"Em", "", "", false},         {"Sy", "", "", false},
    {"Li", "", "", false},         {"Va", "", "", false},
    {"Vt", "", "", false},         {"Fa", "", "", false},
    {"Ft", "", "", false},         {"Er", "", "", false},
    {"Dv", "", "", false},         {"An", "", "", false},
    {"Ad", "", "", false},         {"Ms", "", "", false},
    {"Tn", "", "", false},         {"No", "", "", false},
    {"Op", "[", "]", false},       {"Oo", "[", "", false},
    {"Oc", "", "]", false},        {"Bq", "[", "]", false},
    {"Bo", "[", "", false},        {"Bc", "", "]", false},
    {"Pq", "(", ")", false},       {"Po", "(", "", false},
    {"Pc", "", ")", false},        {"Dq", "“", "”", false},
    {"Do", "“", "", false},        {"Dc", "", "”", false},
    {"Qq", "\"", "\"", false},     {"Qo", "\"", "", false},
    {"Qc", "", "\"", false},       {"Sq", "‘", "’", false},
    {"So", "‘", "", false},        {"Sc", "", "’", false},
    {"Ql", "‘", "’", false},       {"Aq", "<", ">", false},
    {"Ao", "<", "", false},        {"Ac", "", ">", false},
    {"Brq", "{", "}", false},      {"Bro", "{", "", false},
    {"Brc", "", "}", false},       {"Mt", "", "", false},
    {"Cd", "", "", false},         {"Xo", "", "", false},
    {"Xc", "", "", false},         {"Bx", "BSD ", "", false},
    {"Fx", "FreeBSD ", "", false}, {"Nx", "NetBSD ", "", false},
    {"Ox", "OpenBSD ", "", false}, {"Dx", "DragonFly ", "", false},
    {"Ux", "UNIX", "", false},     {"At", "AT&T UNIX ", "", false},
    {"St", "", "", false},         {"In", "#include <", ">", false},
    {"Nd", "— ", "", false},       {"Sx", "", "", false},
    {"Li", "", "", false},         {"Lb", "library ", "", false},
    {"Fr", "", "", false},         {"Ta", " ", "", false},
    {"%A", "", "", false},         {"%T", "", "", false},
    {"%B", "", "", false},         {"%J", "", "", false},
    {"%D", "", "", false},         {"%I", "", "", false},
    {"%R", "", "", false},         {"%N", "", "", false},
    {"%V", "", "", false},         {"%U", "", "", false},
    {"%O", "", "", false},         {"%P", "", "", false},
    {"%C", "", "", false},         {"%Q", "", "", false},
};

static const wrap *find_wrap(nx_str name)
{
    for (size_t i = 0; i < sizeof wraps / sizeof *wraps; i++)
        if (strlen(wraps[i].name) == name.len && memcmp(wraps[i].name, name.p, name.len) == 0)
            return &wraps[i];
    return NULL;
}

static bool is(nx_str s, const char *name)
{
    return strlen(name) == s.len && memcmp(s.p, name, s.len) == 0;
}

static bool is_macro(nx_str s)
{
    return find_wrap(s) || is(s, "Nm") || is(s, "Xr") || is(s, "Ns") || is(s, "Fn") ||
           is(s, "Ap") || is(s, "Lk") || is(s, "Pf") || is(s, "Eo") || is(s, "Ec");
}

static bool closes(nx_str s)
{
    return s.len == 1 && strchr(".,:;)]?!", s.p[0]);
}

static bool opens(nx_str s)
{
    return s.len == 1 && strchr("([", s.p[0]);
}

/* ---- Words ---- */

static void raw(nx_roff *r, const char *s)
{
    nx_compose_text(&r->c, nx_str_of(s));
}

static void gap(nx_roff *r)
{
    if (!r->no_space) nx_compose_space(&r->c);
    r->no_space = false;
}

static void word(nx_roff *r, nx_str s)
{
    if (closes(s)) r->no_space = true;
    gap(r);
    nx_roff_write(r, s);
    if (opens(s)) r->no_space = true;
}

static void words(nx_roff *r, const nx_str *args, int n);

/* Words up to the next macro of the line. */
static int plain_run(const nx_str *args, int n)
{
    int i = 0;

    while (i < n && !is_macro(args[i])) i++;
    return i;
}

/* Punctuation at the end of a line stands outside of what it ends. */
static int closing_run(const nx_str *args, int n)
{
    int k = 0;

    while (k < n && closes(args[n - 1 - k])) k++;
    return k;
}

static void wrapped(nx_roff *r, const wrap *w, const nx_str *args, int n)
{
    bool encloses = w->before[0] && w->after[0]; /* the whole line, with the macros in it */
    int  run = encloses ? n - closing_run(args, n) : plain_run(args, n);
    int  tail = encloses ? 0 : closing_run(args, run);

    if (w->after[0] && !w->before[0]) { /* a closing half */
        r->no_space = true;
        gap(r);
        raw(r, w->after);
        words(r, args, n);
        return;
    }
    gap(r);
    if (!w->each) raw(r, w->before);
    r->no_space = true;
    if (encloses) {
        words(r, args, run);
    } else if (w->each) {
        for (int i = 0; i < run - tail || (i == 0 && run == tail); i++) {
            if (i) gap(r);
            raw(r, w->before);
            if (i < run - tail) nx_roff_write(r, args[i]);
        }
        r->no_space = run == tail; /* Fl alone is a dash that sticks */
    } else {
        for (int i = 0; i < run - tail; i++) word(r, args[i]);
        r->no_space = run == tail && w->before[0];
    }
    if (encloses) {
        r->no_space = false;
        raw(r, w->after);
    }
    words(r, args + run - tail, n - run + tail);
}

/* Fn name arg arg: name(arg, arg) */
static int function(nx_roff *r, const nx_str *args, int n)
{
    int run = plain_run(args, n), tail = closing_run(args, run);

    gap(r);
    for (int i = 0; i < run - tail; i++) {
        if (i == 1) raw(r, "(");
        if (i > 1) raw(r, ", ");
        nx_roff_write(r, args[i]);
    }
    raw(r, run - tail > 1 ? ")" : "()");
    return run - tail;
}

/* The macros that a table can't say. How many arguments it took. */
static int special(nx_roff *r, nx_str name, const nx_str *args, int n)
{
    if (is(name, "Ns")) {
        r->no_space = true;
        return 0;
    }
    if (is(name, "Ap")) {
        raw(r, "'");
        r->no_space = true;
        return 0;
    }
    if (is(name, "Pf") && n) {
        gap(r);
        nx_roff_write(r, args[0]);
        r->no_space = true;
        return 1;
    }
    if (is(name, "Xr") && n) {
        gap(r);
        nx_roff_write(r, args[0]);
        if (n < 2 || closes(args[1])) return 1;
        raw(r, "(");
        nx_roff_write(r, args[1]);
        raw(r, ")");
        return 2;
    }
    if (is(name, "Fn") && n) return function(r, args, n);
    if (is(name, "Nm") && (!n || is_macro(args[0]) || closes(args[0]))) {
        gap(r);
        raw(r, r->name);
    }
    return 0;
}

static void words(nx_roff *r, const nx_str *args, int n)
{
    while (n > 0 && !r->c.st) {
        const wrap *w = find_wrap(args[0]);
        if (w) {
            wrapped(r, w, args + 1, n - 1);
            return;
        }
        int took = 1;
        if (is_macro(args[0]))
            took += special(r, args[0], args + 1, n - 1);
        else
            word(r, args[0]);
        args += took;
        n -= took;
    }
}

/* ---- Blocks ---- */

static void section(nx_roff *r, const nx_roff_call *call, int32_t level)
{
    nx_roff_verbatim(r, false);
    nx_compose_part(&r->c, NX_PART_HEADING, level);
    r->no_space = true;
    words(r, call->args, call->n);
    nx_compose_part(&r->c, NX_PART_PARAGRAPH, 0);
}

static void begin_list(nx_roff *r, const nx_roff_call *call)
{
    char kind = call->n && call->args[0].len > 1 ? call->args[0].p[1] : 't';

    if (r->n_lists < NX_ROFF_LISTS) r->lists[r->n_lists] = kind;
    r->n_lists++;
    nx_compose_part(&r->c, NX_PART_PARAGRAPH, 0);
}

static void list_item(nx_roff *r, const nx_roff_call *call)
{
    int  at = r->n_lists < NX_ROFF_LISTS ? r->n_lists - 1 : NX_ROFF_LISTS - 1;
    char kind = at >= 0 ? r->lists[at] : 't';

    nx_compose_part(&r->c, kind == 'c' ? NX_PART_TABLE_ROW : NX_PART_ITEM, 0);
    r->no_space = true;
    words(r, call->args, call->n);
    if (call->n && kind != 'c') nx_compose_line(&r->c);
    r->no_space = false;
}

/* Nm at the head of a line: the page's own name, the first time it is told. */
static void name_line(nx_roff *r, const nx_roff_call *call)
{
    int run = plain_run(call->args, call->n);

    if (run && !r->name[0] && !closes(call->args[0])) {
        nx_str s = nx_roff_decode(r, call->args[0]);
        snprintf(r->name, sizeof r->name, "%.*s", (int)(s.len < 100 ? s.len : 100), s.p);
    }
    if (!run || closes(call->args[0])) {
        gap(r);
        raw(r, r->name);
    }
    words(r, call->args, call->n);
}

static void page_title(nx_roff *r, const nx_roff_call *call)
{
    char   lower[128];
    size_t n = 0;

    if (call->n < 1) return;
    nx_str s = nx_roff_decode(r, call->args[0]);
    for (; n < s.len && n + 8 < sizeof lower; n++)
        lower[n] = (char)(s.p[n] >= 'A' && s.p[n] <= 'Z' ? s.p[n] | 32 : s.p[n]);
    if (call->n > 1 && call->args[1].len < 6)
        n += (size_t)snprintf(lower + n, sizeof lower - n, "(%.*s)", (int)call->args[1].len,
                              call->args[1].p);
    nx_compose_title(&r->c, (nx_str){lower, n});
}

static bool block(nx_roff *r, const nx_roff_call *call)
{
    nx_str name = nx_str_of(call->name);

    if (is(name, "Dd") || is(name, "Os") || is(name, "Bk") || is(name, "Ek") || is(name, "Rs") ||
        is(name, "Re") || is(name, "Sm"))
        return true;
    if (is(name, "Dt"))
        page_title(r, call);
    else if (is(name, "Sh"))
        section(r, call, 1);
    else if (is(name, "Ss"))
        section(r, call, 2);
    else if (is(name, "Pp") || is(name, "Lp"))
        nx_compose_part(&r->c, r->nofill ? NX_PART_CODE : NX_PART_PARAGRAPH, 0);
    else if (is(name, "Bl"))
        begin_list(r, call);
    else if (is(name, "It"))
        list_item(r, call);
    else if (is(name, "El")) {
        if (r->n_lists) r->n_lists--;
        nx_compose_part(&r->c, NX_PART_PARAGRAPH, 0);
    } else if (is(name, "Bd")) {
        bool filled = call->n && (is(call->args[0], "-filled") || is(call->args[0], "-ragged"));
        nx_compose_part(&r->c, NX_PART_PARAGRAPH, 0);
        nx_roff_verbatim(r, !filled);
    } else if (is(name, "Ed")) {
        nx_roff_verbatim(r, false);
        nx_compose_part(&r->c, NX_PART_PARAGRAPH, 0);
    } else if (is(name, "Dl") || is(name, "D1")) {
        nx_compose_part(&r->c, NX_PART_CODE, 0);
        r->no_space = true;
        words(r, call->args, call->n);
        nx_compose_part(&r->c, NX_PART_PARAGRAPH, 0);
    } else {
        return false;
    }
    return true;
}

static bool sentence(nx_roff *r, const nx_roff_call *call)
{
    nx_str name = nx_str_of(call->name);

    if (is(name, "Ex")) {
        gap(r);
        raw(r, "The ");
        raw(r, r->name);
        raw(r, " utility exits 0 on success, and >0 if an error occurs. ");
    } else if (is(name, "Rv")) {
        gap(r);
        raw(r,
            "The function returns the value 0 if successful; otherwise the value -1 is returned and "
            "errno is set to indicate the error. ");
    } else if (is(name, "Fo")) {
        gap(r);
        words(r, call->args, call->n);
        raw(r, "(");
        r->no_space = true;
        return true;
    } else if (is(name, "Fc")) {
        raw(r, ") ");
    } else if (is(name, "Lk")) {
        for (int i = call->n - 1; i >= 0; i--) word(r, call->args[i]);
    } else {
        return false;
    }
    r->no_space = false;
    return true;
}

bool nx_roff_mdoc(nx_roff *r, const nx_roff_call *call)
{
    nx_str name = nx_str_of(call->name);

    if (block(r, call) || sentence(r, call)) return true;
    if (is(name, "Nm")) {
        name_line(r, call);
    } else if (is_macro(name)) {
        nx_roff_call whole = {.n = 0};
        whole.args[whole.n++] = name;
        for (int i = 0; i < call->n && whole.n < NX_ROFF_ARGS; i++)
            whole.args[whole.n++] = call->args[i];
        words(r, whole.args, whole.n);
    } else {
        return false;
    }
    if (r->nofill)
        nx_compose_line(&r->c);
    else if (!r->no_space)
        nx_compose_space(&r->c);
    return true;
}
