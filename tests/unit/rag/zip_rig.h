/* zip_rig.h - zip files made in memory, and a document's parts as one readable text. */
#ifndef NX_TESTS_ZIP_RIG_H
#define NX_TESTS_ZIP_RIG_H

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>

#include "rag/extract.h"

typedef struct zip_file {
    const char *name;
    const char *text;
    size_t      n; /* 0: strlen(text) */
} zip_file;

/* A zip file of these members (name NULL: the end), in *out of cap bytes; returns its length. */
static inline size_t zip_make(char *out, size_t cap, const zip_file *files)
{
    struct archive *a = archive_write_new();
    size_t          used = 0;

    archive_write_set_format_zip(a);
    archive_write_set_bytes_per_block(a, 0);
    if (archive_write_open_memory(a, out, cap, &used) != ARCHIVE_OK) abort();
    for (; files->name; files++) {
        struct archive_entry *e = archive_entry_new();
        size_t                n = files->n ? files->n : strlen(files->text);
        archive_entry_set_pathname(e, files->name);
        archive_entry_set_size(e, (la_int64_t)n);
        archive_entry_set_filetype(e, AE_IFREG);
        archive_entry_set_perm(e, 0644);
        if (archive_write_header(a, e) != ARCHIVE_OK) abort();
        if (archive_write_data(a, files->text, n) != (la_ssize_t)n) abort();
        archive_entry_free(e);
    }
    if (archive_write_close(a) != ARCHIVE_OK) abort();
    archive_write_free(a);
    return used;
}

/* "H1 Top\nP words\nI item\nC code\nT head\nR row\n", with @page behind the letter where there is one. */
static inline void zip_shape(nx_buf *out, const nx_doc *doc)
{
    static const char letters[] = "HPICTRX";

    out->max = (size_t)1 << 30;
    nx_buf_clear(out);
    for (size_t i = 0; i < doc->n_parts; i++) {
        const nx_part *p = &doc->parts[i];
        nx_buf_addf(out, NULL, "%c", letters[p->kind]);
        if (p->kind == NX_PART_HEADING) nx_buf_addf(out, NULL, "%d", p->level);
        if (p->page) nx_buf_addf(out, NULL, "@%d", p->page);
        nx_buf_addf(out, NULL, " %.*s\n", (int)(p->end - p->begin), doc->text.data + p->begin);
    }
}

#endif
