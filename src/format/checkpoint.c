/* checkpoint.c - opens a GGUF file, or all files of a split set, as one list of named tensors; hands
 *                folders to hf.c.
 *
 * Idea: a split set is named NAME-00001-of-00003.gguf. The name says where the parts are; the keys
 *       split.no, split.count and split.tensors.count in each part must agree with it. Metadata
 *       come from the first part.
 */
#include "format/checkpoint.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "format/hf.h"
#include "format/printable.h"
#include "os/dir.h"
#include "os/file.h"

typedef nx_checkpoint_part part;

/* ---- Names of split sets ---- */

/* What -00002-of-00003.gguf at the end of a path says. */
typedef struct split_name {
    int stem_len;  /* bytes of the path before it */
    int no, count; /* 1-based part, parts in all; both 1 for a file that is whole */
} split_name;

static bool five_digits(const char *s, int *out)
{
    *out = 0;
    for (int i = 0; i < 5; i++) {
        if (s[i] < '0' || s[i] > '9') return false;
        *out = *out * 10 + (s[i] - '0');
    }
    return true;
}

static bool split_name_read(split_name *out, const char *path)
{
    enum { SUFFIX = 1 + 5 + 4 + 5 + 5 }; /* -NNNNN -of- NNNNN .gguf */
    size_t len = strlen(path);

    *out = (split_name){.no = 1, .count = 1};
    if (len <= SUFFIX || len > 65536) return false;
    const char *s = path + len - SUFFIX;
    if (s[0] != '-' || memcmp(s + 6, "-of-", 4) != 0 || memcmp(s + 15, ".gguf", 5) != 0)
        return false;
    if (!five_digits(s + 1, &out->no) || !five_digits(s + 10, &out->count)) return false;
    out->stem_len = (int)(len - SUFFIX);
    return true;
}

static char *part_path(const char *path, const split_name *split, int no)
{
    size_t size = (size_t)split->stem_len + 32;
    char  *out = nx_alloc(size, 1);

    if (out) snprintf(out, size, "%.*s-%05d-of-%05d.gguf", split->stem_len, path, no, split->count);
    return out;
}

/* ---- Parts ---- */

/* A key of a part that must hold `expected`, or be absent unless required. */
static nx_status check_split_key(const nx_gguf *g, const char *key, int64_t expected, bool required,
                                 nx_error *err)
{
    int64_t at = nx_name_index_find(&g->meta_index, nx_str_of(key)), found;

    if (at < 0 && !required) return NX_OK;
    if (at < 0)
        return nx_fail(err, NX_EFORMAT,
                       "%s: %s: missing between byte 24 and byte %" PRIu64 ", expected %" PRId64
                       ". Not a part of this split set?",
                       g->name, key, g->header_bytes, expected);
    const nx_meta *m = &g->meta[at];
    if (!nx_meta_as_int(m, &found))
        return nx_fail(err, NX_EFORMAT, "%s: %s at byte %" PRIu64 ": %s, expected an integer",
                       g->name, key, m->offset, nx_meta_type_name(m->type));
    if (found == expected) return NX_OK;
    return nx_fail(err, NX_EFORMAT,
                   "%s: %s at byte %" PRIu64 ": %" PRId64 ", expected %" PRId64
                   ". Renamed, or of another split set?",
                   g->name, key, m->offset, found, expected);
}

/* A file on its own must not be a part of something larger. */
static nx_status check_whole(const nx_gguf *g, nx_error *err)
{
    int64_t at = nx_name_index_find(&g->meta_index, NX_STR("split.count")), count = 0;

    if (at < 0) return NX_OK;
    const nx_meta *m = &g->meta[at];
    if (!nx_meta_as_int(m, &count))
        return nx_fail(err, NX_EFORMAT,
                       "%s: split.count at byte %" PRIu64 ": %s, expected an integer", g->name,
                       m->offset, nx_meta_type_name(m->type));
    if (count == 0 || count == 1) return NX_OK;
    return nx_fail(err, NX_EFORMAT,
                   "%s: split.count at byte %" PRIu64 ": one of %" PRId64
                   " parts, expected a name that ends in -00001-of-%05" PRId64
                   ".gguf, by which to find the others. Renamed?",
                   g->name, m->offset, count, count);
}

static nx_status check_part(const nx_gguf *g, const split_name *split, int no, nx_error *err)
{
    bool      many = split->count > 1;
    nx_status st = check_split_key(g, "split.count", split->count, many, err);

    return st ? st : check_split_key(g, "split.no", no - 1, many, err);
}

static nx_status open_part(part *p, const char *path, nx_error *err)
{
    nx_status st = nx_file_map_open(&p->map, path, err);

    if (!st) st = nx_folder_check_file(path, p->map.data, p->map.bytes, err);
    return st ? st : nx_gguf_read(&p->g, path, p->map.data, p->map.bytes, err);
}

static nx_status open_split_part(nx_checkpoint *cp, const char *path, const split_name *split,
                                 int no, nx_error *err)
{
    char *name = part_path(path, split, no);

    if (!name) return nx_fail(err, NX_ENOMEM, "out of memory for a path");
    nx_status st = open_part(&cp->parts[no - 1], name, err);
    if (st == NX_ENOENT) {
        char shown[160];
        st = nx_fail(err, NX_ENOENT,
                     "%s: no such file: part %d of the %d of a split set is "
                     "missing. All parts belong in one folder",
                     nx_printable_path(shown, sizeof shown, name), no, split->count);
    }
    if (!st) st = check_part(&cp->parts[no - 1].g, split, no, err);
    if (!st && no == 1) {
        cp->path = name;
        return NX_OK;
    }
    nx_free(name);
    return st;
}

static nx_status alloc_parts(nx_checkpoint *cp, int n, nx_error *err)
{
    cp->parts = nx_calloc((size_t)n, sizeof *cp->parts);
    if (!cp->parts) return nx_fail(err, NX_ENOMEM, "out of memory for %d files", n);
    cp->n_parts = n;
    return NX_OK;
}

static nx_status open_split(nx_checkpoint *cp, const char *path, const split_name *split,
                            nx_error *err)
{
    char      shown[160];
    nx_status st;

    if (split->no < 1 || split->no > split->count)
        return nx_fail(err, NX_EFORMAT, "%s: part %d of %d by its name, expected 1 to %d",
                       nx_printable_path(shown, sizeof shown, path), split->no, split->count,
                       split->count);
    if (!nx_file_exists(path)) return nx_fail(err, NX_ENOENT, "%s: no such file", path);
    st = alloc_parts(cp, split->count, err);
    for (int no = 1; no <= split->count && !st; no++)
        st = open_split_part(cp, path, split, no, err);
    return st;
}

static nx_status open_whole(nx_checkpoint *cp, const char *path, nx_error *err)
{
    nx_status st = alloc_parts(cp, 1, err);

    if (!st) st = open_part(&cp->parts[0], path, err);
    if (!st) st = check_whole(&cp->parts[0].g, err);
    if (st) return st;
    cp->path = nx_strdup(path);
    return cp->path ? NX_OK : nx_fail(err, NX_ENOMEM, "out of memory for a path");
}

/* ---- All tensors together ---- */

static nx_status check_total(const nx_checkpoint *cp, nx_error *err)
{
    nx_status st = NX_OK;

    for (int32_t i = 0; i < cp->n_parts && !st; i++)
        st = check_split_key(&cp->parts[i].g, "split.tensors.count", cp->n_tensors, false, err);
    return st;
}

static nx_status refuse_duplicate(const nx_checkpoint *cp, int64_t a, int64_t b, nx_error *err)
{
    const nx_gguf_tensor *e = &cp->tensors[b];
    char                  shown[80];

    return nx_fail(err, NX_EFORMAT, "%s: tensor %s at byte %" PRIu64 ": is in part %d already",
                   cp->parts[e->part].g.name,
                   nx_printable(shown, sizeof shown, nx_str_of(e->t.name)), e->entry_at,
                   cp->tensors[a].part + 1);
}

static nx_status index_all(nx_checkpoint *cp, nx_error *err)
{
    int64_t   first, second;
    nx_status st = nx_name_index_alloc(&cp->tensor_index, cp->n_tensors, err);

    if (st) return st;
    for (int64_t i = 0; i < cp->n_tensors; i++)
        cp->tensor_index.entries[i] = (nx_name_entry){nx_str_of(cp->tensors[i].t.name), i};
    if (nx_name_index_sort(&cp->tensor_index, &first, &second)) return NX_OK;
    return refuse_duplicate(cp, first, second, err);
}

/* A whole file's lists become the checkpoint's as they are. */
static void take_lists(nx_checkpoint *cp)
{
    nx_gguf *g = &cp->parts[0].g;

    cp->tensors = g->tensors;
    cp->tensor_index = g->tensor_index;
    g->tensors = NULL;
    g->tensor_index = (nx_name_index){0};
}

static nx_status merge_lists(nx_checkpoint *cp, nx_error *err)
{
    nx_gguf_tensor *to;

    cp->tensors = to = nx_alloc((size_t)cp->n_tensors, sizeof *cp->tensors);
    if (!to) return nx_fail(err, NX_ENOMEM, "out of memory for the tensor directory");
    for (int32_t i = 0; i < cp->n_parts; i++) {
        const nx_gguf *g = &cp->parts[i].g;
        for (int64_t k = 0; k < g->n_tensors; k++) {
            *to = g->tensors[k];
            to++->part = i;
        }
    }
    return index_all(cp, err);
}

static nx_status gather(nx_checkpoint *cp, nx_error *err)
{
    for (int32_t i = 0; i < cp->n_parts; i++) {
        cp->n_tensors += cp->parts[i].g.n_tensors;
        cp->bytes += cp->parts[i].g.bytes;
    }
    nx_status st = check_total(cp, err);
    if (st) return st;
    if (cp->n_parts > 1) return merge_lists(cp, err);
    take_lists(cp);
    return NX_OK;
}

/* ---- Opening and closing ---- */

static nx_status create(nx_checkpoint **cp, nx_error *err)
{
    *cp = nx_calloc(1, sizeof **cp);
    return *cp ? NX_OK : nx_fail(err, NX_ENOMEM, "out of memory for a checkpoint");
}

/* Hand cp over when all went well, else close it. */
static nx_status finish(nx_checkpoint **out, nx_checkpoint *cp, nx_status st)
{
    if (st) {
        nx_checkpoint_close(cp);
        return st;
    }
    *out = cp;
    return NX_OK;
}

static nx_status open_gguf(nx_checkpoint *cp, const char *path, nx_error *err)
{
    split_name split;
    nx_status  st;

    if (split_name_read(&split, path))
        st = open_split(cp, path, &split, err);
    else
        st = open_whole(cp, path, err);
    return st ? st : gather(cp, err);
}

static nx_status open_folder(nx_checkpoint *cp, const char *path, nx_error *err)
{
    char     *file = NULL;
    nx_status st = nx_folder_look(&file, path, err);

    if (st) return st;
    if (file) {
        st = open_gguf(cp, file, err);
        nx_free(file);
        return st;
    }
    cp->path = nx_strdup(path);
    return cp->path ? nx_hf_open(cp, err) : nx_fail(err, NX_ENOMEM, "out of memory for a path");
}

nx_status nx_checkpoint_open(nx_checkpoint **out, const char *path, nx_error *err)
{
    nx_checkpoint *cp;

    *out = NULL;
    nx_status st = create(&cp, err);
    if (st) return st;
    st = nx_dir_exists(path) ? open_folder(cp, path, err) : open_gguf(cp, path, err);
    return finish(out, cp, st);
}

nx_status nx_checkpoint_open_bytes(nx_checkpoint **out, const char *name, const void *bytes,
                                   size_t n, nx_error *err)
{
    nx_checkpoint *cp;

    *out = NULL;
    nx_status st = create(&cp, err);
    if (st) return st;
    st = alloc_parts(cp, 1, err);
    if (!st) st = nx_gguf_read(&cp->parts[0].g, name, bytes, n, err);
    if (!st) st = check_whole(&cp->parts[0].g, err);
    if (!st && !(cp->path = nx_strdup(name)))
        st = nx_fail(err, NX_ENOMEM, "out of memory for a path");
    if (!st) st = gather(cp, err);
    return finish(out, cp, st);
}

void nx_checkpoint_close(nx_checkpoint *cp)
{
    if (!cp) return;
    for (int32_t i = 0; i < cp->n_parts; i++) {
        nx_gguf_free(&cp->parts[i].g);
        nx_file_map_close(&cp->parts[i].map);
    }
    while (cp->owned) {
        nx_checkpoint_owned *o = cp->owned;
        cp->owned = o->next;
        o->release(o->p);
        nx_free(o);
    }
    nx_free(cp->parts);
    nx_free(cp->tensors);
    nx_name_index_free(&cp->tensor_index);
    nx_hf_close(cp->hf);
    nx_free(cp->path);
    nx_free(cp);
}

/* ---- Looking at it ---- */

const char *nx_checkpoint_path(const nx_checkpoint *cp)
{
    return cp->path;
}

uint64_t nx_checkpoint_bytes(const nx_checkpoint *cp)
{
    return cp->bytes;
}

uint32_t nx_checkpoint_version(const nx_checkpoint *cp)
{
    return cp->hf ? 0 : cp->parts[0].g.version;
}

int64_t nx_checkpoint_n_tensors(const nx_checkpoint *cp)
{
    return cp->n_tensors;
}

const nx_tensor *nx_checkpoint_tensor_at(const nx_checkpoint *cp, int64_t i)
{
    return &cp->tensors[i].t;
}

const nx_tensor *nx_checkpoint_tensor(const nx_checkpoint *cp, const char *name)
{
    int64_t i = nx_name_index_find(&cp->tensor_index, nx_str_of(name));

    return i < 0 ? NULL : &cp->tensors[i].t;
}

nx_status nx_tensor_fail(const nx_checkpoint *cp, const char *name, nx_status st, nx_error *err,
                         const char *fmt, ...)
{
    const nx_gguf *g = &cp->parts[0].g;
    int64_t        i = nx_name_index_find(&cp->tensor_index, nx_str_of(name));
    char           shown[80], text[256], where[80];
    va_list        args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (cp->hf) return nx_hf_tensor_fail(cp, name, i, st, err, text);
    if (i >= 0) {
        g = &cp->parts[cp->tensors[i].part].g;
        snprintf(where, sizeof where, "at byte %" PRIu64, cp->tensors[i].entry_at);
    } else {
        uint64_t from = cp->n_tensors ? cp->tensors[0].entry_at : g->header_bytes;
        snprintf(where, sizeof where, "missing between byte %" PRIu64 " and byte %" PRIu64, from,
                 g->header_bytes);
    }
    return nx_fail(err, st, "%s: tensor %s %s: %s", g->name,
                   nx_printable(shown, sizeof shown, nx_str_of(name)), where, text);
}

nx_str nx_checkpoint_file(const nx_checkpoint *cp, const char *name)
{
    return cp->hf ? nx_hf_side_text(cp->hf, name) : (nx_str){NULL, 0};
}

const char *nx_checkpoint_file_name(const nx_checkpoint *cp, int32_t i)
{
    return cp->hf && i >= 0 && i < cp->hf->n_sides ? cp->hf->sides[i].name : NULL;
}

void nx_checkpoint_willneed(const nx_checkpoint *cp)
{
    for (int32_t i = 0; i < cp->n_parts; i++)
        nx_file_map_willneed(&cp->parts[i].map, 0, cp->parts[i].map.bytes);
    for (int32_t i = 0; cp->hf && i < cp->hf->n_shards; i++)
        nx_file_map_willneed(&cp->hf->shards[i].map, 0, cp->hf->shards[i].map.bytes);
}

void nx_checkpoint_forget(const nx_checkpoint *cp, const void *data, size_t bytes)
{
    for (int32_t i = 0; i < cp->n_parts; i++) nx_file_map_forget(&cp->parts[i].map, data, bytes);
    for (int32_t i = 0; cp->hf && i < cp->hf->n_shards; i++)
        nx_file_map_forget(&cp->hf->shards[i].map, data, bytes);
}

void nx_checkpoint_replace(nx_checkpoint *cp, int64_t i, const nx_tensor *t)
{
    nx_tensor *to = &cp->tensors[i].t;

    to->dtype = t->dtype;
    to->data = t->data;
    to->bytes = t->bytes;
    to->scales = t->scales;
    to->first_number = t->first_number;
}

nx_status nx_checkpoint_own(nx_checkpoint *cp, void *p, void (*release)(void *p), nx_error *err)
{
    nx_checkpoint_owned *o = nx_alloc(1, sizeof *o);

    if (!o) {
        release(p);
        return nx_fail(err, NX_ENOMEM, "out of memory for a checkpoint");
    }
    *o = (nx_checkpoint_owned){.next = cp->owned, .p = p, .release = release};
    cp->owned = o;
    return NX_OK;
}

int64_t nx_checkpoint_n_meta(const nx_checkpoint *cp)
{
    return cp->parts[0].g.n_meta;
}

const nx_meta *nx_checkpoint_meta_at(const nx_checkpoint *cp, int64_t i)
{
    return &cp->parts[0].g.meta[i];
}

const nx_meta *nx_checkpoint_meta(const nx_checkpoint *cp, const char *key)
{
    const nx_gguf *g = &cp->parts[0].g;
    int64_t        i = nx_name_index_find(&g->meta_index, nx_str_of(key));

    return i < 0 ? NULL : &g->meta[i];
}
