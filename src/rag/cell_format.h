/* cell_format.h - a number in a table cell as people see it: dates, times and percentages by its format.
 *
 * Thread: any; plain functions.
 */
#ifndef NX_RAG_CELL_FORMAT_H
#define NX_RAG_CELL_FORMAT_H

#include <stdbool.h>

#include "base/buf.h"

typedef enum nx_cell_kind {
    NX_CELL_NUMBER,
    NX_CELL_PERCENT,
    NX_CELL_DATE,
    NX_CELL_TIME,
    NX_CELL_DATE_TIME,
} nx_cell_kind;

/* What a format code ("yyyy\-mm\-dd", "0.0%", "[Red]#,##0") shows, and what one of Excel's own numbers does. */
nx_cell_kind nx_cell_kind_of_code(nx_str code);
nx_cell_kind nx_cell_kind_of_id(int64_t id);

enum { NX_CELL_TEXT_MAX = 64 };

/* value, as the file has it, as text: "2024-03-01", "13:45", "25%", "0.1". What is no number, or no date between
 * the years 1900 and 9999, stays as it is (cut at NX_CELL_TEXT_MAX). since_1904: days count from there. Returns
 * the length. */
size_t nx_cell_text(char out[NX_CELL_TEXT_MAX], nx_str value, nx_cell_kind kind, bool since_1904);

#endif
