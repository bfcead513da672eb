/* file.h - files: mapped read-only, read whole, written aside and renamed. */
#ifndef NX_OS_FILE_H
#define NX_OS_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* A regular file, mapped read-only. Shared page cache: costs no private memory. */
typedef struct nx_file_map {
    const unsigned char *data; /* NULL when bytes == 0 */
    size_t               bytes;
    char                *path; /* as given; owned */
} nx_file_map;

/* Errors: NX_ENOENT, NX_EINVAL (a directory or special file), NX_EIO. The caller must not shrink
 * the file while it is mapped (a read past its new end is a SIGBUS, as with every mapping). */
nx_status nx_file_map_open(nx_file_map *out, const char *path, nx_error *err);
void      nx_file_map_close(nx_file_map *m); /* an all-zero struct is fine */

/* Ask the kernel to read ahead and to keep the pages (advice: failures are ignored). */
void nx_file_map_willneed(const nx_file_map *m, size_t offset, size_t bytes);

/* Let go of the pages that lie wholly inside [data, data + bytes) of the mapping, other bytes are
 * left alone: they leave this process and stay in the page cache; reading them brings them back. */
void nx_file_map_forget(const nx_file_map *m, const void *data, size_t bytes);

/* Append all of fd to out until its end (a pipe, stdin, a file). NX_ELIMIT beyond out->max. */
nx_status nx_fd_read_all(nx_buf *out, int fd, const char *name, nx_error *err);
nx_status nx_file_read_all(nx_buf *out, const char *path, nx_error *err);

/* Write all bytes or fail with the reason; EPIPE comes back as NX_EIO with a plain message. */
nx_status nx_fd_write_all(int fd, const void *bytes, size_t n, const char *name, nx_error *err);

/* Let the next write go to `at`, counted from the file's beginning. NX_EIO. */
nx_status nx_fd_seek(int fd, uint64_t at, const char *name, nx_error *err);

/* A file that appears whole or not at all: written to PATH.partial, synced, renamed by commit. */
typedef struct nx_file_out {
    int   fd;
    char *path, *path_partial;
} nx_file_out;

nx_status nx_file_out_open(nx_file_out *f, const char *path, nx_error *err);
nx_status nx_file_out_commit(nx_file_out *f, nx_error *err); /* closes, also on error */
/* Removes the partial file. Nothing after commit, and nothing for an all-zero struct. */
void nx_file_out_abort(nx_file_out *f);

bool nx_file_exists(const char *path);

#endif
