/* hub.h - models by name: fetched from a hub that speaks Hugging Face's REST API, kept in the cache
 * layout of huggingface_hub, so that every tool on the machine shares one copy.
 *
 *   $HF_HUB_CACHE (else $HF_HOME/hub, else ~/.cache/huggingface/hub)
 *     models--org--name/
 *       blobs/<etag>              the bytes: SHA-256 of large files, git's SHA-1 of small ones
 *       blobs/<etag>.incomplete   what has come so far
 *       refs/<revision>           the commit that a branch or tag stood for when it was pulled
 *       snapshots/<commit>/path   links to ../../blobs/<etag>
 *     .locks/models--org--name/<etag>.lock
 *
 * A ref is written last: a name is found only when all that was asked for is there.
 */
#ifndef NX_FORMAT_HUB_H
#define NX_FORMAT_HUB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"

#define NX_HUB_PATH_MAX 4096

/* ---- Names (hub_name.c) ---- */

/* org/name[:quant-or-file][@revision] */
typedef struct nx_hub_name {
    char repo[200];     /* "org/name"; old repositories have no org */
    char pick[256];     /* "Q4_K_M", "file.gguf", or "" */
    char revision[256]; /* "main" when not given */
} nx_hub_name;

/* NX_EINVAL says what a name looks like. */
nx_status nx_hub_name_parse(nx_hub_name *out, const char *text, nx_error *err);

/* Could this be a name (and not a path that was mistyped)? */
bool nx_hub_name_likely(const char *text);

/* A path of a repository that may become a path of ours: relative, no "." or ".." or empty parts,
 * no backslash, no control characters, valid UTF-8, at most 1000 bytes. */
bool nx_hub_path_safe(nx_str path);

/* ---- Where things are (hub_cache.c) ---- */

typedef struct nx_hub {
    char        endpoint[512]; /* HF_ENDPOINT, else https://huggingface.co; no slash at the end */
    char        cache[2048];   /* the folder that holds models--... */
    char        token[512];    /* HF_TOKEN, else the token file, else "" */
    bool        offline;       /* HF_HUB_OFFLINE */
    const char *home;          /* borrowed from the environment; may be NULL */
} nx_hub;

/* From the environment. NX_EINVAL: a value that can't be (named). */
nx_status nx_hub_open(nx_hub *out, nx_error *err);

/* cache/models--org--name */
void nx_hub_repo_folder(const nx_hub *hub, const char *repo, char out[NX_HUB_PATH_MAX]);

/* The path in the cache that loads as this model: a snapshot's folder or a GGUF file in it.
 * NX_ENOENT: not there (how to pull it) or several to choose from (which). */
nx_status nx_hub_locate(char out[NX_HUB_PATH_MAX], const nx_hub *hub, const nx_hub_name *name,
                        nx_error *err);

/* ---- What is there (hub_list.c) ---- */

typedef struct nx_hub_model {
    const char *name;      /* "org/name" */
    const char *revision;  /* commit */
    const char *refs;      /* "main, v2", or "" */
    const char *format;    /* "GGUF", "safetensors", "incomplete", "other" */
    const char *variants;  /* GGUF files' quantisations, "Q4_K_M, Q8_0", or "" */
    uint64_t    bytes;     /* of the files in this snapshot */
    int64_t     used_unix; /* when its files were read last, as far as the file system tells */
} nx_hub_model;

typedef struct nx_hub_models {
    nx_arena      arena;
    nx_hub_model *v; /* [n] by name */
    size_t        n, cap;
    uint64_t      bytes; /* on disk, each blob once, unfinished ones too */
} nx_hub_models;

nx_status nx_hub_models_read(nx_hub_models *out, const nx_hub *hub, nx_error *err);
void      nx_hub_models_free(nx_hub_models *m);

/* Remove a repository, one of its revisions (a commit, its first 7 digits or more, or a ref), or one
 * file or quantisation of it, with the blobs that nothing else points to. *freed in bytes.
 * NX_ENOENT. Waits for nobody: what a pull holds locked stays. */
nx_status nx_hub_remove(const nx_hub *hub, const nx_hub_name *name, bool whole_repo,
                        uint64_t *freed, nx_error *err);

/* ---- What the hub has (hub_api.c) ---- */

typedef struct nx_hub_file {
    const char *path;
    const char *etag; /* lower-case hex: SHA-256 when lfs, else git's blob SHA-1 */
    uint64_t    bytes;
    bool        lfs;
} nx_hub_file;

typedef struct nx_hub_tree {
    nx_arena     arena;
    char         commit[41];
    nx_hub_file *files; /* [n] */
    size_t       n, cap;
} nx_hub_tree;

/* Take the JSON of a model's info, or of one page of its tree. NX_EFORMAT says what is wrong with
 * it; a path that isn't safe is refused. */
nx_status nx_hub_read_info(nx_hub_tree *tree, const char *text, size_t len, nx_error *err);
nx_status nx_hub_read_tree(nx_hub_tree *tree, const char *text, size_t len, nx_error *err);

/* Ask the hub for the commit and the files of name's revision. Messages for a repository, revision
 * or permission that isn't there; retries where that helps. */
nx_status nx_hub_tree_fetch(nx_hub_tree *tree, const nx_hub *hub, const nx_hub_name *name,
                            const atomic_bool *cancel, nx_error *err);
void      nx_hub_tree_free(nx_hub_tree *tree);

/* ---- Which of it we want (hub_select.c) ---- */

/* Put the files to fetch first in tree->files and their number in *n. pick "" chooses by itself.
 * NX_ENOENT lists what there is; NX_EUNSUPPORTED: nothing but pickle files, and why not those. */
nx_status nx_hub_select(nx_hub_tree *tree, size_t *n, const char *pick, nx_error *err);

/* "Q4_K_M" in "Model-7B.Q4_K_M.gguf" or "model-q4_k_m-00001-of-00003.gguf": the part of a GGUF
 * file's name that tells its type, or an empty span. */
nx_str nx_hub_quant_of(const char *path);

bool nx_hub_is_gguf(const char *path);    /* a model's, not a projector's */
int  nx_hub_split_part(const char *path); /* 1 of ...-00001-of-00003.gguf; 0: not split */
bool nx_hub_picks(const char *pick, const char *path); /* does :pick mean this GGUF file? */

/* ---- Fetching (hub_pull.c) ---- */

typedef struct nx_hub_progress {
    uint64_t bytes_done, bytes_here, bytes_total; /* here: of those done, what was there before */
    size_t   files_done, files_total;
} nx_hub_progress;

typedef struct nx_hub_pull_options {
    int                n_jobs; /* files at once, 1 to 16 */
    const atomic_bool *cancel;
    /* Called about ten times a second, and once for each finished file (path set). */
    void (*on_progress)(void *ctx, const nx_hub_progress *p, const char *path);
    void *ctx;
} nx_hub_pull_options;

/* Fetch what name asks for. Everything that came is kept, whatever happens: the same call goes on
 * where it ended. out: the path that loads (as nx_hub_locate). */
nx_status nx_hub_pull(char out[NX_HUB_PATH_MAX], nx_hub_progress *total, const nx_hub *hub,
                      const nx_hub_name *name, const nx_hub_pull_options *opt, nx_error *err);

#endif
