/* backup_in.h - the parts of a backup's file, for the files that write and read it. */
#ifndef NX_SERVER_BACKUP_IN_H
#define NX_SERVER_BACKUP_IN_H

#include <stdint.h>

#include "base/buf.h"

#define NX_BACKUP_MAGIC "NXBAK\0\0\1" /* 8 bytes, then u64: milliseconds since 1970 */

enum { NX_BACKUP_HEAD = 16, NX_BACKUP_PIECE = 1 << 20 };

typedef enum nx_backup_kind {
    NX_BACKUP_END, /* bytes: how many parts came before */
    NX_BACKUP_PEPPER,
    NX_BACKUP_DATABASE,
    NX_BACKUP_COLLECTION, /* name: the collection's */
    NX_BACKUP_ALIASES,    /* u32 n, then pairs of texts */
    NX_BACKUP_KINDS,
} nx_backup_kind;

/* Followed by the name and the content, each with zeros up to a multiple of 8, and a u64 checksum of the
 * content; the end by nothing. */
typedef struct nx_backup_part {
    char     magic[4]; /* NXPT */
    uint32_t crc;      /* of the bytes behind this field */
    uint32_t kind, name_bytes;
    uint64_t bytes;
    uint32_t name_crc, zero;
} nx_backup_part;

_Static_assert(sizeof(nx_backup_part) == 32, "drawn in docs/formats/backup.md");

#endif
