/* unpack.h - a folder of a collection, made from a file that nx_collection_export wrote. */
#ifndef NX_STORE_UNPACK_H
#define NX_STORE_UNPACK_H

#include "store/store.h"

/* Read the file at path, check every byte of it, and make the folder dir, which isn't there; whole and
 * synced, but for its own name. On error it may be there in part. NX_EFORMAT names the fault;
 * NX_ENOENT, NX_EIO, NX_EFULL, NX_ENOMEM, NX_ELIMIT, NX_ECANCELLED. */
nx_status nx_unpack(nx_disk *disk, const char *dir, const char *path, nx_copy_fn progress,
                    void *ctx, nx_error *err);

#endif
