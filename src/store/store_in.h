/* store_in.h - the store's insides, shared by the files that open it, change what is in it, and make
 * collections from files.
 *
 * Locks, in the order they are taken: `change` (who makes, drops, replaces or renames: one at a time,
 * with the disk's time), a collection's own, `lock` (the list; held for some instructions, so that
 * finding a collection waits for no disk).
 */
#ifndef NX_STORE_STORE_IN_H
#define NX_STORE_STORE_IN_H

#include <pthread.h>

#include "store/aliases.h"
#include "store/collection.h"
#include "store/folder_name.h"

enum { NX_STORE_PATH_CAP = 4096 };

typedef struct nx_entry {
    char          *name;
    nx_collection *c;   /* NULL: quarantined when it was opened */
    nx_error       why; /* then */
} nx_entry;

/* A collection that is being made from a file: its name is taken. */
typedef struct nx_coming {
    nx_str            name;
    struct nx_coming *next;
} nx_coming;

struct nx_store {
    nx_store_options options;
    nx_disk         *disk;
    char            *dir;
    int              folder_lock;

    pthread_mutex_t change;  /* held, with `lock`, by who changes what follows */
    pthread_mutex_t lock;    /* held by who looks */
    nx_entry       *entries; /* sorted by name */
    size_t          n, cap;
    nx_aliases      aliases;
    nx_coming      *coming; /* under change alone */

    pthread_mutex_t wake_lock;
    pthread_cond_t  wake;
    bool            stop, woken; /* under wake_lock */
    bool            started;
    pthread_t       thread;
};

/* ---- store.c ---- */

/* Where the name is, or would be. Under change or lock. */
size_t nx_store_place(const nx_store *s, nx_str name, bool *found);

nx_status nx_store_no_such(nx_str name, nx_error *err); /* NX_ENOENT, in Qdrant's words */

/* <store>/<folder><ending>, in out[NX_STORE_PATH_CAP]. */
nx_status nx_store_path(char *out, const nx_store *s, const char *folder, const char *ending,
                        nx_error *err);

/* Room for one more entry. Under change. NX_ELIMIT, NX_ENOMEM. */
nx_status nx_store_reserve(nx_store *s, nx_error *err);

/* Open the folder as the collection e->name: e->c, or the reason in e->why. */
void nx_store_open_into(nx_entry *e, nx_store *s, const char *folder);

/* The same into a new entry: open, or quarantined (NX_OK, too). NX_ENOMEM. */
nx_status nx_store_open_entry(nx_entry *e, nx_store *s, const char *folder, const char *name,
                              nx_error *err);

/* The same of a folder that was just made: open, or an error, and the folder is removed. */
nx_status nx_store_open_fresh(nx_entry *e, nx_store *s, const char *folder, const char *name,
                              nx_error *err);

/* Put e into the list, reserved before, or in place of the entry `old`, which *e is then. Under
 * change. */
void nx_store_insert(nx_store *s, nx_entry e);
void nx_store_swap(nx_store *s, nx_entry *e);

/* The entry leaves the list, with aliases of it. Under change; the folder is gone before. */
void nx_store_forget(nx_store *s, size_t at);

/* Is the name free? NX_EBUSY: a collection, an alias, or one that is coming. Under change. */
nx_status nx_store_free_name(const nx_store *s, nx_str name, nx_error *err);

/* Before a name is given: aliases of one that went leave the file. Under change. */
nx_status nx_store_save_aliases(nx_store *s, nx_error *err);

/* ---- replace.c ---- */

/* What a crash left half-way: <folder>.next takes its place; there: there is an old one. */
nx_status nx_store_finish_replacing(nx_store *s, const char *folder, bool there, nx_error *err);

/* ---- Nobody writes into a collection's folder: no request, no maintainer, no settings ---- */

void nx_store_hold(nx_collection *c); /* NULL does nothing */
void nx_store_let_go(nx_collection *c);

/* From here on the handle that others have only reads. Held. */
void nx_store_detach(nx_collection *c, nx_status st, const char *why);

#endif
