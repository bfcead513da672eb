/* point_lines.h - points as JSON lines, {"id", "vector", "payload"}, as Qdrant's API writes them: into a
 * collection from a file or from a Qdrant server elsewhere, and out of one.
 *
 * Thread: one at a time.
 */
#ifndef NX_CLI_POINT_LINES_H
#define NX_CLI_POINT_LINES_H

#include "cli/instance.h"

typedef struct nx_lines_report {
    uint64_t n_points, n_lines; /* written; of the file, also those skipped */
    char     next[64];          /* from a server: the id to go on with, as JSON; "": none */
} nx_lines_report;

/* To path ("-": stdout); NX_ECANCELLED after Ctrl-C. */
nx_status nx_lines_export(nx_instance *i, const char *name, const char *path, nx_lines_report *out,
                          nx_error *err);

/* From path ("-": stdin), beginning behind `skip` lines. The collection is there. NX_EINVAL and NX_EFORMAT
 * name the line. What was written stays: the same lines may be written again. */
nx_status nx_lines_import(nx_instance *i, const char *name, const char *path, uint64_t skip,
                          nx_lines_report *out, nx_error *err);

/* From http(s)://HOST:PORT/collections/NAME; api_key may be NULL. The collection is made, with its payload
 * indexes, where it isn't there. start: the first id, as JSON; NULL: from the beginning. */
nx_status nx_lines_import_from(nx_instance *i, const char *name, const char *url,
                               const char *api_key, const char *start, nx_lines_report *out,
                               nx_error *err);

#endif
