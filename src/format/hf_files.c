/* hf_files.c - the files of a Hugging Face folder: side files, one safetensors or shards by index. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "format/hf.h"
#include "format/printable.h"
#include "os/dir.h"
#include "os/file.h"

#define INDEX_NAME "model.safetensors.index.json"

static nx_status no_memory(const nx_hf *hf, const char *what, nx_error *err)
{
    return nx_fail(err, NX_ENOMEM, "%s: out of memory for %s", hf->shown, what);
}

static nx_status join(char **out, const nx_checkpoint *cp, const char *name, nx_error *err)
{
    size_t size = strlen(cp->path) + strlen(name) + 2;

    *out = nx_alloc(size, 1);
    if (!*out) return no_memory(cp->hf, "a path", err);
    snprintf(*out, size, "%s/%s", cp->path, name);
    return NX_OK;
}

/* ---- Side files ---- */

static nx_status add_side(nx_checkpoint *cp, const char *name, nx_error *err)
{
    nx_hf *hf = cp->hf;
    char  *path;

    if (hf->n_sides == hf->sides_cap) {
        int32_t cap = hf->sides_cap ? hf->sides_cap * 2 : 16;
        void   *grown = nx_realloc(hf->sides, (size_t)cap, sizeof *hf->sides);
        if (!grown) return no_memory(hf, "a list of files", err);
        hf->sides = grown;
        hf->sides_cap = cap;
    }
    nx_hf_side *side = &hf->sides[hf->n_sides];
    *side = (nx_hf_side){.name = nx_strdup(name)};
    if (!side->name) return no_memory(hf, "a file name", err);
    hf->n_sides++;
    nx_status st = join(&path, cp, name, err);
    if (!st) st = nx_file_map_open(&side->map, path, err);
    nx_free(path);
    if (!st) cp->bytes += side->map.bytes;
    return st;
}

/* "1_Pooling/config.json" and its like, of sentence-transformers. */
static nx_status add_modules(nx_checkpoint *cp, const nx_listing *d, nx_error *err)
{
    nx_status st = NX_OK;

    for (size_t i = 0; i < d->n && !st; i++) {
        const char *under = strchr(d->names[i], '_');
        char        name[300], *path;
        if (!under || d->names[i][0] < '0' || d->names[i][0] > '9' || strlen(d->names[i]) > 255)
            continue;
        snprintf(name, sizeof name, "%s/config.json", d->names[i]);
        st = join(&path, cp, name, err);
        if (st) return st;
        bool there = nx_file_exists(path);
        nx_free(path);
        if (there) st = add_side(cp, name, err);
    }
    return st;
}

static nx_status add_templates(nx_checkpoint *cp, nx_error *err)
{
    static const char folder[] = "additional_chat_templates";
    char             *path, name[300];
    nx_listing        d;
    nx_status         st = join(&path, cp, folder, err);

    if (st) return st;
    st = nx_dir_list(&d.names, &d.n, path, err);
    nx_free(path);
    if (st) return st;
    for (size_t i = 0; i < d.n && !st; i++) {
        size_t n = strlen(d.names[i]);
        if (n <= 6 || n > 255 || strcmp(d.names[i] + n - 6, ".jinja") != 0) continue;
        snprintf(name, sizeof name, "%s/%s", folder, d.names[i]);
        st = add_side(cp, name, err);
    }
    nx_free(d.names);
    return st;
}

nx_status nx_hf_open_sides(nx_checkpoint *cp, const nx_listing *d, nx_error *err)
{
    static const char *const known[] = {
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "chat_template.jinja",
        "chat_template.json",
        "vocab.json",
        "merges.txt",
        "vocab.txt",
        "spiece.model",
        "tekken.json",
        "modules.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
    };
    nx_status st = NX_OK;

    for (size_t i = 0; i < sizeof known / sizeof *known && !st; i++)
        if (nx_listing_has(d, known[i])) st = add_side(cp, known[i], err);
    if (!st && nx_listing_has(d, "additional_chat_templates")) st = add_templates(cp, err);
    if (!st && nx_listing_has(d, "modules.json")) st = add_modules(cp, d, err);
    return st;
}

nx_str nx_hf_side_text(const nx_hf *hf, const char *name)
{
    for (int32_t i = 0; i < hf->n_sides; i++)
        if (strcmp(hf->sides[i].name, name) == 0)
            return (nx_str){hf->sides[i].map.bytes ? (const char *)hf->sides[i].map.data : "",
                            hf->sides[i].map.bytes};
    return (nx_str){NULL, 0};
}

/* ---- Shards ---- */

/* A name from an index must stay inside the folder. */
static bool is_plain_name(nx_str s)
{
    return s.len > 0 && s.len < 256 && !memchr(s.p, '/', s.len) && !memchr(s.p, '\0', s.len) &&
           s.p[0] != '.';
}

static nx_status open_shard(nx_checkpoint *cp, int32_t i, nx_str name, nx_error *err)
{
    nx_hf_shard *shard = &cp->hf->shards[i];
    char        *path, text[256];

    memcpy(text, name.p, name.len); /* at most 255, see is_plain_name */
    text[name.len] = '\0';
    nx_status st = join(&path, cp, text, err);
    if (!st) st = nx_file_map_open(&shard->map, path, err);
    if (!st) st = nx_safetensors_read(&shard->st, path, shard->map.data, shard->map.bytes, err);
    if (!st) cp->bytes += shard->map.bytes;
    nx_free(path);
    return st;
}

static nx_status open_listed(nx_checkpoint *cp, const nx_str *names, int32_t n, nx_error *err)
{
    nx_hf    *hf = cp->hf;
    nx_status st = NX_OK;

    hf->shards = nx_calloc((size_t)n, sizeof *hf->shards);
    if (!hf->shards) return no_memory(hf, "its files", err);
    hf->n_shards = n;
    for (int32_t i = 0; i < n && !st; i++) st = open_shard(cp, i, names[i], err);
    return st;
}

/* The distinct file names of an index, sorted. */
static nx_status distinct_files(const nx_hf *hf, const nx_json *map, nx_name_index *ix,
                                nx_error *err)
{
    int64_t   n = 0, first, second;
    char      shown[120];
    nx_status st = nx_name_index_alloc(ix, (int64_t)map->object.n, err);

    for (size_t i = 0; i < map->object.n && !st; i++) {
        const nx_json *v = &map->object.members[i].value;
        if (v->type == NX_JSON_STRING && is_plain_name(v->text))
            ix->entries[i] = (nx_name_entry){v->text, (int64_t)i};
        else
            st = nx_fail(err, NX_EFORMAT,
                         "%s/" INDEX_NAME ": weight_map in line %u: \"%s\", expected the name of a "
                         "file in this folder",
                         hf->shown, v->line,
                         v->type == NX_JSON_STRING ? nx_printable(shown, sizeof shown, v->text)
                                                   : nx_json_type_name(v));
    }
    if (st) return st;
    (void)nx_name_index_sort(ix, &first, &second); /* most are there many times */
    for (int64_t i = 0; i < ix->n; i++)
        if (n == 0 || !nx_str_eq(ix->entries[n - 1].name, ix->entries[i].name))
            ix->entries[n++] = ix->entries[i];
    ix->n = n;
    return NX_OK;
}

/* Each tensor of the index must lie in the file that it names. */
static nx_status check_map(const nx_hf *hf, const nx_json *map, nx_name_index *files, nx_error *err)
{
    char shown[120], file[120];

    for (int64_t i = 0; i < files->n; i++) files->entries[i].at = i; /* now the shard's number */
    for (size_t i = 0; i < map->object.n; i++) {
        const nx_json_member *m = &map->object.members[i];
        int64_t               shard = nx_name_index_find(files, m->value.text);
        if (shard >= 0 && nx_safetensors_find(&hf->shards[shard].st, m->key)) continue;
        return nx_fail(err, NX_EFORMAT,
                       "%s/" INDEX_NAME ": line %u: tensor %s is not in %s. Files of different "
                       "downloads?",
                       hf->shown, m->value.line, nx_printable(shown, sizeof shown, m->key),
                       nx_printable(file, sizeof file, m->value.text));
    }
    return NX_OK;
}

static nx_status open_mapped(nx_checkpoint *cp, const nx_json *map, nx_error *err)
{
    nx_name_index files = {0};
    nx_str       *names = NULL;
    nx_status     st = distinct_files(cp->hf, map, &files, err);

    if (!st && !(names = nx_alloc((size_t)files.n, sizeof *names)))
        st = no_memory(cp->hf, "the names of its files", err);
    for (int64_t i = 0; i < files.n && !st; i++) names[i] = files.entries[i].name;
    if (!st) st = open_listed(cp, names, (int32_t)files.n, err);
    if (!st) st = check_map(cp->hf, map, &files, err);
    nx_free(names);
    nx_name_index_free(&files);
    return st;
}

static nx_status open_index(nx_checkpoint *cp, nx_error *err)
{
    nx_hf      *hf = cp->hf;
    nx_file_map text = {0};
    nx_json_doc doc = {0};
    char       *path;
    nx_status   st = join(&path, cp, INDEX_NAME, err);

    if (!st) st = nx_file_map_open(&text, path, err);
    if (!st) st = nx_json_parse(&doc, path, (const char *)text.data, text.bytes, 0, err);
    nx_free(path);
    const nx_json *map = st ? NULL : nx_json_get(doc.root, "weight_map");
    if (!st && (!map || map->type != NX_JSON_OBJECT || map->object.n == 0 ||
                map->object.n > NX_ST_TENSORS_MAX))
        st = nx_fail(err, NX_EFORMAT, "%s/" INDEX_NAME ": weight_map: %s, expected an object",
                     hf->shown, nx_json_type_name(map));
    if (!st) st = open_mapped(cp, map, err);
    nx_json_doc_free(&doc);
    nx_file_map_close(&text);
    return st;
}

static bool is_safetensors(const char *name)
{
    size_t n = strlen(name);

    return n > 12 && strcmp(name + n - 12, ".safetensors") == 0;
}

nx_status nx_hf_open_shards(nx_checkpoint *cp, const nx_listing *d, nx_error *err)
{
    nx_str only = {NULL, 0};
    int    n = 0;

    if (nx_listing_has(d, INDEX_NAME)) return open_index(cp, err);
    if (nx_listing_has(d, "model.safetensors"))
        return open_listed(cp, (nx_str[]){NX_STR("model.safetensors")}, 1, err);
    for (size_t i = 0; i < d->n; i++)
        if (is_safetensors(d->names[i]) && n++ == 0) only = nx_str_of(d->names[i]);
    if (n == 0) return NX_OK; /* a description without weights */
    if (n == 1 && is_plain_name(only)) return open_listed(cp, &only, 1, err);
    return nx_fail(err, NX_EFORMAT,
                   "%s: %d safetensors files, expected model.safetensors, or " INDEX_NAME
                   " that lists them. Incomplete download?",
                   cp->hf->shown, n);
}
