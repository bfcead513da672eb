/* dir.h - folders: made, listed, removed; room on the disk; locks between processes.
 *
 * Thread: any.
 */
#ifndef NX_OS_DIR_H
#define NX_OS_DIR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* printf a path into out[cap]. False when it doesn't fit: out is then empty, which no file is. */
bool nx_path_write(char *out, size_t cap, const char *fmt, ...) NX_PRINTF(3, 4);

/* Make path and the folders above it, where they are missing. NX_EIO with the reason. */
nx_status nx_dir_make(const char *path, nx_error *err);

/* Make the folders above the file path. */
nx_status nx_dir_make_above(const char *path, nx_error *err);

bool nx_dir_exists(const char *path); /* a folder, or a link to one */

/* Names in path but "." and "..", sorted by byte; *out is one block (nx_free) of *n pointers with
 * their strings behind them. A missing folder has none. NX_EIO, NX_ENOMEM. */
nx_status nx_dir_list(char ***out, size_t *n, const char *path, nx_error *err);

/* Remove a file, link or folder with all that it holds; links are removed, not followed. Nothing
 * there is NX_OK. NX_EIO names what could not be removed. */
nx_status nx_dir_remove_all(const char *path, nx_error *err);

/* Bytes that this user can still write to the file system that path (existing) lies on. */
nx_status nx_dir_free_bytes(uint64_t *out, const char *path, nx_error *err);

/* NX_EIO with both numbers when path's file system has less room than `bytes`. */
nx_status nx_dir_need_room(const char *path, uint64_t bytes, nx_error *err);

/* rename(2), and the folder above is synced: after it, `to` survives a power cut. NX_EIO. */
nx_status nx_path_rename(const char *from, const char *to, nx_error *err);

/* Hold the lock file at path (made where missing) against other processes, and threads with their
 * own descriptor: flock(2), as the filelock package does. Waits; NX_ECANCELLED when *cancel (may
 * be NULL) becomes true first. The file stays there when the lock is released. */
nx_status nx_lock_take(int *fd, const char *path, const atomic_bool *cancel, nx_error *err);
void      nx_lock_release(int fd); /* -1 does nothing */

#endif
