/* datadir.h - the data folder: found, made for its owner alone, and held by one server.
 *
 *     DATA/lock           flock(2)ed by the server that runs; holds its process number
 *     DATA/control.sock   how `nexus key`, `ps` and `stop` speak with that server
 *     DATA/nexus.db       keys and usage (db.h)
 *     DATA/pepper         32 random bytes that the hashes of keys are mixed with
 *
 * Thread: one at a time.
 */
#ifndef NX_SERVER_DATADIR_H
#define NX_SERVER_DATADIR_H

#include <stddef.h>

#include "base/error.h"

#define NX_DATADIR_PATH_MAX 2048

typedef struct nx_datadir {
    char path[NX_DATADIR_PATH_MAX];
    char socket[NX_DATADIR_PATH_MAX], db[NX_DATADIR_PATH_MAX], pepper[NX_DATADIR_PATH_MAX];
    int  lock_fd; /* -1: not held */
    int  pid;     /* after NX_EBUSY: the process that holds the folder; 0: unknown */
} nx_datadir;

/* Fill in the paths: given, else $XDG_DATA_HOME/nexus, else ~/.local/share/nexus. Touches nothing.
 * NX_EINVAL (no home to put it in), NX_ELIMIT (too long). */
nx_status nx_datadir_find(nx_datadir *d, const char *given, nx_error *err);

/* The same, then make the folder (0700; one of ours that others may enter is closed to them) and take
 * it. NX_EBUSY: a server, or a command, holds it: the message names its process and what to do, and
 * the paths are there. NX_EIO. */
nx_status nx_datadir_open(nx_datadir *d, const char *given, nx_error *err);

void nx_datadir_close(nx_datadir *d); /* zeroed by nx_datadir_find or closed: does nothing */

/* Process number out of a lock file's text; 0: it says none. */
int nx_datadir_pid(const char *text, size_t len);

#endif
