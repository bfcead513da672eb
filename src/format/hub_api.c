/* hub_api.c - the two questions that we ask the Hub: which commit, and which files.
 *
 *   GET /api/models/{repo}/revision/{revision}          {"sha": ..., ...}
 *   GET /api/models/{repo}/tree/{sha}?recursive=true    [{"type", "path", "size", "oid",
 *                                                         "lfs": {"oid", "size"}}, ...]
 *   and, where there are more, Link: <...>; rel="next".
 */
#include "format/hub_http.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/jsonread.h"
#include "format/printable.h"

#define ANSWER_MAX ((size_t)64 << 20)
#define FILES_MAX  200000
#define PAGES_MAX  1000

void nx_hub_tree_free(nx_hub_tree *tree)
{
    nx_arena_free(&tree->arena);
    nx_free(tree->files);
    *tree = (nx_hub_tree){0};
}

static bool is_hex(nx_str s, size_t len)
{
    if (s.len != len) return false;
    for (size_t i = 0; i < len; i++) {
        char c = s.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
    }
    return true;
}

nx_status nx_hub_read_info(nx_hub_tree *tree, const char *text, size_t len, nx_error *err)
{
    nx_json_doc doc;
    nx_str      sha = {NULL, 0};
    nx_status   st = nx_json_parse(&doc, "the hub's answer", text, len, 0, err);

    if (st) return st;
    if (!nx_json_get_string(doc.root, "sha", &sha) || !is_hex(sha, 40)) {
        st = nx_fail(err, NX_EFORMAT, "the hub's answer: expected \"sha\", a commit of 40 digits");
    } else {
        memcpy(tree->commit, sha.p, 40);
        tree->commit[40] = '\0';
    }
    nx_json_doc_free(&doc);
    return st;
}

static nx_status add_file(nx_hub_tree *tree, const nx_hub_file *f, nx_error *err)
{
    if (tree->n == FILES_MAX)
        return nx_fail(err, NX_ELIMIT, "the hub lists more than %d files", FILES_MAX);
    if (tree->n == tree->cap) {
        size_t cap = tree->cap ? tree->cap * 2 : 64;
        void  *grown = nx_realloc(tree->files, cap, sizeof *tree->files);
        if (!grown) return nx_fail(err, NX_ENOMEM, "list of files");
        tree->files = grown;
        tree->cap = cap;
    }
    tree->files[tree->n++] = *f;
    return NX_OK;
}

static nx_status bad_entry(const nx_json *e, const char *what, nx_error *err)
{
    return nx_fail(err, NX_EFORMAT, "the hub's list of files, line %u: %s", e->line, what);
}

static nx_status read_entry(nx_hub_tree *tree, const nx_json *e, nx_error *err)
{
    const nx_json *lfs = nx_json_get(e, "lfs"), *source = nx_json_absent(lfs) ? e : lfs;
    nx_str         path, oid;
    int64_t        size;
    char           shown[128];

    if (!nx_json_is(nx_json_get(e, "type"), "file")) return NX_OK; /* a folder */
    if (!nx_json_get_string(e, "path", &path)) return bad_entry(e, "expected \"path\"", err);
    if (!nx_hub_path_safe(path))
        return nx_fail(err, NX_EFORMAT,
                       "the hub's list of files: the path \"%s\" would leave the "
                       "model's folder. Refused",
                       nx_printable(shown, sizeof shown, path));
    if (!nx_json_get_int(source, "size", &size) || size < 0)
        return bad_entry(e, "expected \"size\", 0 or more", err);
    if (!nx_json_get_string(source, "oid", &oid) || !is_hex(oid, source == lfs ? 64 : 40))
        return bad_entry(e, "expected \"oid\", a hash in hexadecimal", err);

    nx_hub_file f = {.path = nx_arena_strndup(&tree->arena, path.p, path.len),
                     .etag = nx_arena_strndup(&tree->arena, oid.p, oid.len),
                     .bytes = (uint64_t)size,
                     .lfs = source == lfs};
    if (!f.path || !f.etag) return nx_fail(err, NX_ENOMEM, "list of files");
    return add_file(tree, &f, err);
}

nx_status nx_hub_read_tree(nx_hub_tree *tree, const char *text, size_t len, nx_error *err)
{
    nx_json_doc doc;
    nx_status   st = nx_json_parse(&doc, "the hub's list of files", text, len, 0, err);

    if (st) return st;
    if (doc.root->type != NX_JSON_ARRAY)
        st = nx_fail(err, NX_EFORMAT, "the hub's list of files: expected an array, found %s",
                     nx_json_type_name(doc.root));
    for (size_t i = 0; !st && i < doc.root->array.n; i++)
        st = read_entry(tree, &doc.root->array.items[i], err);
    nx_json_doc_free(&doc);
    return st;
}

/* ---- Asking ---- */

/* url, as text. */
static nx_status ask(nx_hub_talk *talk, nx_http_reply *reply, const char *url, nx_buf *answer,
                     nx_error *err)
{
    nx_http_request rq = {.url = url};

    return nx_hub_talk_get_all(talk, reply, &rq, answer, err);
}

static nx_status ask_commit(nx_hub_tree *tree, nx_hub_talk *talk, nx_error *err)
{
    nx_http_reply reply;
    nx_buf        url = {.max = 8192}, answer = {.max = ANSWER_MAX};
    nx_status     st =
        nx_buf_addf(&url, err, "%s/api/models/%s/revision/", talk->hub->endpoint, talk->name->repo);

    if (!st) st = nx_url_add_escaped(&url, talk->name->revision, false, err);
    if (!st) st = ask(talk, &reply, url.data, &answer, err);
    if (!st) st = nx_hub_read_info(tree, answer.data ? answer.data : "", answer.len, err);
    nx_buf_free(&answer);
    nx_buf_free(&url);
    return st;
}

static nx_status ask_files(nx_hub_tree *tree, nx_hub_talk *talk, nx_error *err)
{
    nx_http_reply reply = {.status = 0};
    nx_buf        url = {.max = 8192}, answer = {.max = ANSWER_MAX};
    nx_status     st = nx_buf_addf(&url, err, "%s/api/models/%s/tree/%s?recursive=true",
                                   talk->hub->endpoint, talk->name->repo, tree->commit);

    for (int page = 0; !st; page++) {
        if (page == PAGES_MAX) st = nx_fail(err, NX_ELIMIT, "the hub's list of files never ends");
        nx_buf_clear(&answer);
        if (!st) st = ask(talk, &reply, url.data, &answer, err);
        if (!st) st = nx_hub_read_tree(tree, answer.data ? answer.data : "", answer.len, err);
        if (st || !reply.next[0]) break;
        /* The token goes along: the next page must be on the same hub. */
        size_t n = strlen(talk->hub->endpoint);
        if (strncmp(reply.next, talk->hub->endpoint, n) != 0 || reply.next[n] != '/')
            st = nx_fail(err, NX_EFORMAT, "the hub's list of files goes on elsewhere: refused");
        nx_buf_clear(&url);
        if (!st) st = nx_buf_add(&url, reply.next, strlen(reply.next), err);
    }
    nx_buf_free(&answer);
    nx_buf_free(&url);
    return st;
}

nx_status nx_hub_tree_fetch(nx_hub_tree *tree, const nx_hub *hub, const nx_hub_name *name,
                            const atomic_bool *cancel, nx_error *err)
{
    nx_hub_talk talk;

    *tree = (nx_hub_tree){0};
    nx_status st = nx_hub_talk_begin(&talk, hub, name, cancel, err);
    if (st) return st;
    st = ask_commit(tree, &talk, err);
    if (!st) st = ask_files(tree, &talk, err);
    nx_hub_talk_end(&talk);
    if (st) nx_hub_tree_free(tree);
    return st;
}
