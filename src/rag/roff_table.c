/* roff_table.c - tbl's tables: what is between .TS and .TE, as rows. */
#include <string.h>

#include "rag/roff.h"

/* "tab(;)" among the options of a table: the mark between cells. */
static char find_tab(nx_str l, char otherwise)
{
    for (size_t i = 0; i + 5 <= l.len; i++)
        if (memcmp(l.p + i, "tab", 3) == 0) {
            size_t at = i + 3;
            while (at < l.len && l.p[at] == ' ') at++;
            if (at + 1 < l.len && l.p[at] == '(') return l.p[at + 1];
        }
    return otherwise;
}

static bool is_rule(nx_str l)
{
    for (size_t i = 0; i < l.len; i++)
        if (l.p[i] != '_' && l.p[i] != '=' && l.p[i] != ' ') return false;
    return true;
}

/* A cell of several lines, T{ to T}: what follows T} on its line is the row's rest. */
static nx_str write_long_cell(nx_roff *r)
{
    while (nx_roff_next_line(r)) {
        nx_str l = {r->line.data ? r->line.data : "", r->line.len};
        if (l.len >= 2 && l.p[0] == 'T' && l.p[1] == '}') return (nx_str){l.p + 2, l.len - 2};
        if (l.len && (l.p[0] == '.' || l.p[0] == '\'')) {
            /* fonts and breaks: their words */
            const char *blank = memchr(l.p, ' ', l.len);
            if (!blank || (l.len > 1 && l.p[1] == '\\')) continue;
            l = (nx_str){blank, (size_t)(l.p + l.len - blank)};
        }
        nx_roff_write(r, l);
        nx_compose_space(&r->c);
    }
    return NX_STR("");
}

static void write_row(nx_roff *r, nx_str l, char tab)
{
    bool more = true;

    nx_compose_part(&r->c, NX_PART_TABLE_ROW, 0);
    while (more && !r->c.st) {
        const char *end = memchr(l.p, tab, l.len);
        nx_str      cell = {l.p, end ? (size_t)(end - l.p) : l.len};
        nx_compose_cell(&r->c);
        if (cell.len == 2 && cell.p[0] == 'T' && cell.p[1] == '{' && !end) {
            l = write_long_cell(r);
            more = l.len && l.p[0] == tab;
            if (more) l = (nx_str){l.p + 1, l.len - 1};
            continue;
        }
        nx_roff_write(r, cell);
        more = end != NULL;
        if (more) l = (nx_str){end + 1, l.len - cell.len - 1};
    }
}

/* Formats end with a line that ends in a dot. */
static void skip_formats(nx_roff *r, char *tab)
{
    for (bool first = true; nx_roff_next_line(r); first = false) {
        nx_str l = {r->line.data ? r->line.data : "", r->line.len};
        while (l.len && (l.p[l.len - 1] == ' ' || l.p[l.len - 1] == '\t')) l.len--;
        if (first && l.len && l.p[l.len - 1] == ';') {
            *tab = find_tab(l, *tab);
            continue;
        }
        if (l.len && l.p[l.len - 1] == '.') return;
        if (l.len > 2 && memcmp(l.p, ".TE", 3) == 0) return;
    }
}

void nx_roff_table(nx_roff *r)
{
    char tab = '\t';

    skip_formats(r, &tab);
    while (nx_roff_next_line(r)) {
        nx_str l = {r->line.data ? r->line.data : "", r->line.len};
        if (l.len > 2 && memcmp(l.p, ".TE", 3) == 0) break;
        if (l.len > 2 && memcmp(l.p, ".T&", 3) == 0) {
            skip_formats(r, &tab);
            continue;
        }
        if (!l.len || l.p[0] == '.' || l.p[0] == '\'' || is_rule(l)) continue;
        nx_buf row = {.max = (size_t)1 << 20}; /* cells of several lines read on */
        if (nx_buf_add(&row, l.p, l.len, r->err))
            nx_compose_fail(&r->c, NX_ENOMEM, "no memory for a row");
        else
            write_row(r, (nx_str){row.data, row.len}, tab);
        nx_buf_free(&row);
    }
    nx_compose_part(&r->c, r->nofill ? NX_PART_CODE : NX_PART_PARAGRAPH, 0);
}
