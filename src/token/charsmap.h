/* charsmap.h - SentencePiece's precompiled character map: texts, and what stands for them.
 *
 * Owns:   a copy of the map. Thread: any, once open.
 *
 *     offset  bytes  field
 *     0       4      size of the double array in bytes, little-endian, a multiple of 4
 *     4       size   units of 4 bytes: a Darts double array over the keys' bytes
 *     4+size  rest   replacements, each ended by a NUL; a key's value is an offset into them
 *
 * A unit: bits 0..7 label, bit 31 set for values (and then 0..30 the value), bit 8 "a key ends
 * here", bits 10..30 the offset to the children, shifted by 8 more where bit 9 is set.
 */
#ifndef NX_TOKEN_CHARSMAP_H
#define NX_TOKEN_CHARSMAP_H

#include "base/buf.h"

typedef struct nx_charsmap nx_charsmap;

/* bytes may go after the call. NX_EFORMAT (sizes that don't agree, replacements without an end),
 * NX_ENOMEM. */
nx_status nx_charsmap_open(nx_charsmap **out, nx_str bytes, nx_error *err);
void      nx_charsmap_close(nx_charsmap *m); /* NULL does nothing */

/* Bytes of the longest (of the shortest) key that p[0..len) begins with, and its replacement, a
 * view into m; 0: none. A key whose value lies outside the replacements counts as none. */
size_t nx_charsmap_longest(const nx_charsmap *m, const char *p, size_t len, nx_str *out);
size_t nx_charsmap_shortest(const nx_charsmap *m, const char *p, size_t len, nx_str *out);

#endif
