/* pack.h - a collection as one file: drawn in docs/formats/snapshot.md.
 *
 * A head, pieces of whole points in order of their ids, an end. Each has its checksum, and pieces name
 * the head that they belong to, so that no two files can be mixed.
 */
#ifndef NX_STORE_PACK_H
#define NX_STORE_PACK_H

#include "store/block.h"
#include "store/settings.h"

#define NX_PACK_MAGIC "NXSNP\0\0\1"     /* 8 bytes */
#define NX_PACK_PIECE ((size_t)1 << 20) /* bytes from which on a piece is closed */

/* No piece is longer: the last point that went in may be large. */
#define NX_PACK_PIECE_MAX (NX_PACK_PIECE + NX_BLOCK_MAX)

/* Followed by configuration and settings, each with zeros up to a multiple of 8, and a u64 checksum
 * of all before it. */
typedef struct nx_pack_head {
    char     magic[8];
    uint64_t incarnation, seq, n_points;
    uint32_t config_bytes, settings_bytes;
} nx_pack_head;

_Static_assert(sizeof(nx_pack_head) == 40, "the head of a snapshot");

/* Followed by the blocks. The end is a piece without any: first is n_points then. */
typedef struct nx_pack_piece {
    char     magic[4]; /* NXPC, or NXND for the end */
    uint32_t crc;      /* of the bytes behind this field */
    uint64_t first;    /* points before this piece */
    uint32_t n_points, bytes;
    uint32_t body_crc;
    uint32_t head_crc; /* the checksum of this file's head */
} nx_pack_piece;

_Static_assert(sizeof(nx_pack_piece) == 32, "a piece of a snapshot");

#endif
